"""A desk that trades beside the nodes: what it opens is reserved among theirs, and what came of it is told once.

Its intents stay in its own journal. Here it has a child for each, so that its purchases and sales count, and never meet
those of a node: the same row of limits is held, the same questions are asked.
"""

from typing import Any, Final

import sqlalchemy as sa

from trading.errors import InvalidInput
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentRecord
from trading.model.node import SharedState

from .journal import UNRESERVE, StoredIntents
from .orders import LATE

OVER: Final = "the desk has told that it is over"

_SHARED: Final = sa.text("SELECT *, now_ns() AS now_ns FROM limits WHERE one = 1 FOR UPDATE")
_KNOWN: Final = sa.text("SELECT 1 FROM reservations WHERE child_id = :child")
_NEW_PARENT: Final = sa.text(
    "INSERT INTO parents (id, key, token, is_buy, planned_ns) VALUES (:child, :child, :token, :is_buy, now_ns()) "
    "ON CONFLICT (id) DO NOTHING"
)
_NEW_CHILD: Final = sa.text(
    "INSERT INTO children (id, parent_id, number, wallet, token, is_buy, lamports, due_ns, until_ns, state, node, "
    "problem, body) VALUES (:child, :child, 0, :wallet, :token, :is_buy, :lamports, :created, :until, :state, "
    ":name, '', '') ON CONFLICT (id) DO UPDATE SET state = excluded.state, problem = ''"
)
# A question that was given up as unanswered may be carried out after the desk has told that its intent is over: nothing
# would ever take that reservation back. One that was only late for the nodes is not over for the desk.
_ASKED: Final = sa.text(
    _NEW_CHILD.text + " WHERE children.state IN ('planned', 'claimed') OR children.problem = :late RETURNING id"
)
_RESERVE: Final = sa.text(
    "INSERT INTO reservations (child_id, wallet, token, is_buy, lamports) "
    "VALUES (:child, :wallet, :token, :is_buy, :lamports)"
)
_ROOM: Final = sa.text(
    "SELECT (SELECT coalesce(sum(lamports), 0) FROM reservations WHERE is_buy) + "
    "(SELECT coalesce(sum(cost_lamports), 0) FROM holdings) AS lamports, "
    "(SELECT coalesce(sum(lamports), 0) FROM reservations WHERE is_buy AND token = :token) + "
    "(SELECT coalesce(sum(cost_lamports), 0) FROM holdings WHERE token = :token) AS in_token, "
    "(SELECT count(*) FROM reservations WHERE is_buy) AS entries, "
    "EXISTS (SELECT 1 FROM reservations r WHERE r.token = :token AND r.is_buy <> :is_buy "
    "AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.id = r.child_id AND i.state = 'needs_review')) AS crosses, "
    "EXISTS (SELECT 1 FROM children WHERE token = :token AND NOT is_buy AND state = 'planned' "
    "AND due_ns <= :now AND until_ns > :now) AS leaves"
)
_FILLED: Final = sa.text("SELECT 1 FROM fills WHERE child_id = :child")
_OVER: Final = sa.text("UPDATE children SET problem = :problem WHERE id = :child")
# A journal that was put back as it was before counts its events anew from there.
_NEW_DESK: Final = sa.text(
    "INSERT INTO desks (name, told) VALUES (:name, :newest) ON CONFLICT (name) "
    "DO UPDATE SET told = least(desks.told, excluded.told) RETURNING told"
)
_DESKS: Final = sa.text("SELECT name FROM desks ORDER BY name")
# A node's own children have intents here; a desk's are in its own journal.
_GIVE_UP: Final = sa.text(
    "UPDATE children SET state = 'failed', problem = :problem WHERE node = :name AND state IN ('planned', 'claimed') "
    "AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.id = children.id) RETURNING id, wallet"
)
_TOLD: Final = sa.text("UPDATE desks SET told = :seq WHERE name = :name AND told < :seq")


class Desks(StoredIntents):
    """Any thread may call it. ``name`` is the desk's, its own for each desk; ``seq`` counts its journal's events."""

    def begin(self, name: str, newest: int) -> int:
        """Return up to which event of its journal a desk has told what came of its orders; from now on, the first time.

        Raises: JournalUnavailable.
        """
        with self._writing() as connection:
            return int(connection.execute(_NEW_DESK, {"name": name, "newest": newest}).scalar_one())

    def take(self, name: str, intent: Intent) -> str:
        """Reserve what an intent may add, and its side of the token, until it is over. Return why not, "" where it is
        reserved. Raises: JournalUnavailable."""
        row = _row(name, intent)
        with self._writing() as connection:
            shared = connection.execute(_SHARED).one()
            if connection.execute(_KNOWN, row).first() is not None:
                return ""
            about = {"token": row["token"], "is_buy": row["is_buy"], "now": shared.now_ns}
            why = _why_not(row, shared, connection.execute(_ROOM, about).one())
            if why and row["is_buy"]:
                return why
            connection.execute(_NEW_PARENT, row)
            # A sale that has to wait is planned as far as others see it: no purchase of its token begins before it.
            asked = row | {"state": "planned" if why else "claimed", "late": LATE}
            if connection.execute(_ASKED, asked).first() is None:
                return OVER
            if why:
                return why
            connection.execute(_RESERVE, row)
            self._note(connection, intent.wallet, row["child"], "claimed", {"node": name})
        return ""

    def over(self, name: str, seq: int, known: IntentRecord | None, *, holds: bool = True) -> None:
        """Note what came of an intent, once, and that the desk has told everything up to ``seq``. None: nothing that
        counts here; without ``holds`` what it bought or sold is no part of what is held. Raises: JournalUnavailable."""
        with self._writing() as connection:
            if connection.execute(_TOLD, {"name": name, "seq": seq}).rowcount != 1 or known is None:
                return
            row = _row(name, known.intent)
            if connection.execute(_FILLED, row).first() is not None:
                return  # told before the journal was put back as it was before
            # Not reserved: a sale while the database was away. It counts all the same.
            connection.execute(_NEW_PARENT, row)
            connection.execute(_NEW_CHILD, row | {"state": known.state.value})
            connection.execute(_OVER, {"child": row["child"], "problem": known.problem})
            about = {"child": row["child"], "node": name, "holds": holds}
            self._over(connection, known.intent, known.state, known.settlement, **about)
            self._note(connection, known.intent.wallet, row["child"], known.state.value, {"node": name})

    def give_up(self, name: str, reason: str) -> int:
        """End what a desk has reserved that will not come back, and return how many orders that were.

        What it had signed may land all the same, and is not seen here. If the desk comes back it tells on as ever.

        Raises: InvalidInput for a desk that is not known; JournalUnavailable.
        """
        with self._writing() as connection:
            known = list(connection.execute(_DESKS).scalars())
            if name not in known:
                msg = f"desk: {name[:80]!r} is not known; known are {', '.join(known[:20]) or 'none'}"
                raise InvalidInput(msg, field="desk")
            problem = f"the desk was given up: {reason}"[:500]
            ended = connection.execute(_GIVE_UP, {"name": name, "problem": problem}).all()
            for row in ended:
                connection.execute(UNRESERVE, {"child": row.id})
                self._note(connection, row.wallet, row.id, "failed", {"problem": problem, "node": name})
        return len(ended)


def _row(name: str, intent: Intent) -> dict[str, Any]:
    is_buy = intent.in_mint == SOL_MINT
    token = intent.out_mint if is_buy else intent.in_mint
    if intent.kind is IntentKind.ROUND_TRIP:  # while it is under way it is a purchase, and leaves nothing held
        token = intent.accounts[0].mint
    return {
        "child": f"{name}/{intent.id}",
        "name": name,
        "wallet": intent.wallet,
        "token": token,
        "is_buy": is_buy,
        "lamports": intent.amount_in if is_buy else 0,
        "created": intent.created_ns,
        "until": intent.deadline_ns,
    }


def _why_not(row: dict[str, Any], shared: sa.Row[Any], used: sa.Row[Any]) -> str:
    if used.crosses:
        return f"an own order trades {row['token']} the other way"
    if not row["is_buy"]:
        return ""
    if shared.state != SharedState.ACTIVE.value:
        return "the nodes only sell"
    if used.leaves:
        return f"a sale of {row['token']} is due, and goes first"
    if used.entries >= shared.entries_open_max:
        return f"{used.entries} purchases are open, {shared.entries_open_max} may be"
    for have, most in ((used.lamports, shared.exposure_lamports_max), (used.in_token, shared.token_lamports_max)):
        if int(have) + row["lamports"] > most:
            return f"{have} lamports are in tokens or on the way there; with {row['lamports']} more it is above {most}"
    return ""
