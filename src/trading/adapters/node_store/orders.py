"""Parent orders, their children, and the one transaction in which a child is claimed.

Whoever claims holds the limits' row: no two claims count the same room. A purchase is claimed within what all nodes
together may have, a sale always; neither while the token's other side is open anywhere, so that no own order can meet
another. A purchase also waits for every sale of its token that is due: who wants out goes first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.execution_rows import body_of, intent_of_body
from trading.adapters.intent_book import check_wish
from trading.errors import InvalidInput, KeyTaken
from trading.model.intent import SOL_MINT, Intent, IntentKind
from trading.model.node import ChildSeen, Exposure, Holder, Parent, SharedLimits, SharedState

from .journal import StoredIntents
from .opening import Door
from .schema import children, limits, parents

_MOST: Final = ("exposure_lamports_max", "token_lamports_max", "entries_open_max")
_BIGGEST: Final = (1 << 63) - 1
LATE: Final = "the deadline passed before a node began it"
# Whether there is anything to claim, or too late for it, is read without a lock: most of the time there is nothing, and
# the limits' row would be what many nodes meet at first.
_IS_WORK: Final = sa.text(
    "SELECT EXISTS (SELECT 1 FROM children WHERE state = 'planned' AND due_ns <= now_ns() "
    "AND (wallet = ANY(:wallets) OR until_ns <= now_ns()))"
)
_SHARED: Final = sa.text("SELECT *, now_ns() AS now_ns FROM limits WHERE one = 1 FOR UPDATE")
_LATE: Final = sa.text(
    "UPDATE children SET state = 'failed', problem = :problem WHERE id IN (SELECT id FROM children "
    "WHERE state = 'planned' AND until_ns <= :now ORDER BY until_ns LIMIT 100 FOR UPDATE SKIP LOCKED) "
    "RETURNING id, wallet"
)
_HELD: Final = sa.text(
    "SELECT wallet FROM leases WHERE node = :node AND epoch = :epoch AND until_ns >= now_ns() "
    "AND wallet = ANY(:wallets) ORDER BY wallet FOR SHARE"
)
# One statement, so that what is being settled meanwhile is seen either as a reservation or as a holding.
_USED: Final = sa.text(
    "SELECT (SELECT coalesce(sum(lamports), 0) FROM reservations WHERE is_buy) + "
    "(SELECT coalesce(sum(cost_lamports), 0) FROM holdings) AS lamports, "
    "(SELECT count(*) FROM reservations WHERE is_buy) AS entries"
)
# What waits for a person is final on the chain and meets nobody any more: no sale may have to wait for the answer. Its
# reservation counts all the same. A sale that a desk waits with is planned too, under the desk's name: it is the desk's
# also where a node could sign for its wallet.
_DUE: Final = sa.text(
    "SELECT c.id, c.wallet, c.token, c.is_buy, c.lamports, c.body FROM children c "
    "WHERE c.state = 'planned' AND c.due_ns <= :now AND c.until_ns > :now AND c.wallet = ANY(:wallets) "
    "AND c.node = '' "
    "AND NOT EXISTS (SELECT 1 FROM wallets w WHERE w.wallet = c.wallet AND w.problem <> '') "
    "AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.token = c.token "
    "AND (r.wallet = c.wallet OR (r.is_buy <> c.is_buy "
    "AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.id = r.child_id AND i.state = 'needs_review')))) "
    "AND (NOT c.is_buy OR (:buys AND c.lamports <= :room AND "
    "c.lamports + (SELECT coalesce(sum(r.lamports), 0) FROM reservations r WHERE r.token = c.token AND r.is_buy) + "
    "(SELECT coalesce(sum(h.cost_lamports), 0) FROM holdings h WHERE h.token = c.token) <= :token_max "
    "AND NOT EXISTS (SELECT 1 FROM children s WHERE s.token = c.token "
    "AND NOT s.is_buy AND s.state = 'planned' AND s.due_ns <= :now AND s.until_ns > :now))) "
    "ORDER BY c.is_buy, c.due_ns, c.id LIMIT 1 FOR UPDATE OF c SKIP LOCKED"
)
_CLAIM: Final = sa.text("UPDATE children SET state = 'claimed', node = :node WHERE id = :id")
_RESERVE: Final = sa.text(
    "INSERT INTO reservations (child_id, wallet, token, is_buy, lamports) "
    "VALUES (:id, :wallet, :token, :is_buy, :lamports)"
)
_NUMBER: Final = sa.text("SELECT coalesce(max(number), 0) + 1 FROM intents")
_CHILDREN: Final = sa.text(
    "SELECT c.id, c.wallet, c.node, coalesce(i.state, c.state) AS state, coalesce(i.problem, c.problem) AS problem "
    "FROM children c LEFT JOIN intents i ON i.id = c.id WHERE c.parent_id = :parent ORDER BY c.number"
)
_COUNTS: Final = sa.text(
    "SELECT coalesce(i.state, c.state) AS state, count(*) AS many FROM children c LEFT JOIN intents i ON i.id = c.id "
    "GROUP BY 1"
)
_CANCEL: Final = sa.text(
    "UPDATE children SET state = 'cancelled', problem = :problem WHERE parent_id = :parent AND state = 'planned' "
    "RETURNING id, wallet"
)
_BEGUN: Final = sa.text("SELECT id FROM children WHERE parent_id = :parent AND state = 'claimed' ORDER BY number")


class Orders(StoredIntents):
    """The orders of one store, and everything that came of them. Any thread may call it."""

    def __init__(self, door: Door, now_ns: Callable[[], int]) -> None:
        super().__init__(door, now_ns)

    def plan(self, parent: Parent) -> bool:
        """Write a parent and its children down; False where it was known already.

        Raises: InvalidInput for children that are none; KeyTaken; JournalUnavailable.
        """
        _check(parent)
        rows = [_row_of(parent, number) for number in range(len(parent.children))]
        with self._writing() as connection:
            new = {"id": parent.id, "key": parent.key, "token": parent.token, "is_buy": parent.is_buy}
            written = connection.execute(
                sa.text(
                    "INSERT INTO parents (id, key, token, is_buy, planned_ns) "
                    "VALUES (:id, :key, :token, :is_buy, now_ns()) ON CONFLICT (key) DO NOTHING"
                ),
                new,
            )
            if written.rowcount != 1:
                self._require_same(connection, parent, rows)
                return False
            connection.execute(sa.insert(children), rows)
            for row in rows:
                body = {"parent": parent.id, "number": row["number"], "due_ns": row["due_ns"]}
                self._note(connection, row["wallet"], row["id"], "planned", body)
        return True

    def _require_same(self, connection: sa.Connection, parent: Parent, rows: Sequence[Mapping[str, Any]]) -> None:
        found = connection.execute(sa.select(parents.c.id).where(parents.c.key == parent.key)).scalar_one()
        known = sa.select(children.c.id, children.c.body).where(children.c.parent_id == found)
        if {row["id"]: row["body"] for row in rows} != {row.id: row.body for row in connection.execute(known)}:
            msg = f"key: {parent.key} stands for another order, {found}"
            raise KeyTaken(msg, field="key", hint="a repeat names the same order; a new order takes a new key")

    def claim(self, holder: Holder, wallets: Collection[str], most: int, *, buys: bool = True) -> list[Intent]:
        """Take up to ``most`` children that are due in these wallets, as far as the holder has their leases: each is an
        open intent from now on, with what it may add reserved. ``buys`` False: sales only.

        Raises: JournalUnavailable, after which it is not known whether anything was claimed: ``unfinished`` says.
        """
        taken: list[Intent] = []
        with self._reading() as connection:
            if not connection.execute(_IS_WORK, {"wallets": sorted(wallets)}).scalar_one():
                return taken
        with self._writing() as connection:
            shared = connection.execute(_SHARED).one()
            for late in connection.execute(_LATE, {"problem": LATE, "now": shared.now_ns}).all():
                self._note(connection, late.wallet, late.id, "failed", {"problem": LATE})
            own = {"node": holder.node, "epoch": holder.epoch, "wallets": sorted(wallets)}
            held = list(connection.execute(_HELD, own).scalars())
            while held and len(taken) < most:
                intent = self._claimed(connection, shared, holder, held, buys=buys)
                if intent is None:
                    break
                taken.append(intent)
        return taken

    def _claimed(
        self, connection: sa.Connection, shared: sa.Row[Any], holder: Holder, held: Sequence[str], *, buys: bool
    ) -> Intent | None:
        used = connection.execute(_USED).one()
        may_buy = buys and shared.state == SharedState.ACTIVE.value and used.entries < shared.entries_open_max
        asked = {
            "now": shared.now_ns,
            "wallets": held,
            "room": shared.exposure_lamports_max - int(used.lamports),
            "token_max": shared.token_lamports_max,
            "buys": may_buy,
        }
        row = connection.execute(_DUE, asked).one_or_none()
        if row is None:
            return None
        connection.execute(_CLAIM, {"id": row.id, "node": holder.node})
        told = {"id": row.id, "wallet": row.wallet, "token": row.token, "is_buy": row.is_buy, "lamports": row.lamports}
        connection.execute(_RESERVE, told)
        intent = intent_of_body(parse_json(row.body))
        self._note(connection, row.wallet, row.id, "claimed", {"node": holder.node, "epoch": holder.epoch})
        self._opened(connection, intent, int(connection.execute(_NUMBER).scalar_one()))
        return intent

    def cancel(self, parent_id: str, reason: str) -> None:
        """End what was not begun of a parent, and ask that nothing more is signed for the rest. What was signed lives
        until it landed or is proven dead. Raises: JournalUnavailable."""
        with self._writing() as connection:
            for row in connection.execute(_CANCEL, {"parent": parent_id, "problem": reason}).all():
                self._note(connection, row.wallet, row.id, "cancelled", {"problem": reason})
            begun = list(connection.execute(_BEGUN, {"parent": parent_id}).scalars())
        for child_id in begun:
            self.ask_to_cancel(child_id)

    def children(self, parent_id: str) -> Sequence[ChildSeen]:
        with self._reading() as connection:
            return [ChildSeen(**row) for row in connection.execute(_CHILDREN, {"parent": parent_id}).mappings()]

    def counts(self) -> Mapping[str, int]:
        """Return how many children are in each state: all that were ever planned."""
        with self._reading() as connection:
            return {str(row.state): int(row.many) for row in connection.execute(_COUNTS)}

    def shared_limits(self) -> SharedLimits:
        with self._reading() as connection:
            row = connection.execute(sa.select(limits)).one()
        most = (row.exposure_lamports_max, row.token_lamports_max, row.entries_open_max)
        return SharedLimits(SharedState(row.state), *most)

    def share(self, wanted: SharedLimits, actor: str) -> None:
        """Set what all nodes together may have. What is more already is only reduced. Raises: InvalidInput."""
        self.change({name: getattr(wanted, name) for name in ("state", *_MOST)}, actor)

    def change(self, wished: Mapping[str, SharedState | int], actor: str) -> None:
        """Set some of the shared limits and leave the others as whoever set them last wished. Raises: InvalidInput."""
        for name in _MOST:
            if not 0 <= int(wished.get(name, 0)) <= _BIGGEST:
                msg = f"{name}: {wished[name]} is not within 0 and {_BIGGEST}"
                raise InvalidInput(msg, field=name)
        values = {name: str(each) if name == "state" else int(each) for name, each in wished.items()}
        with self._writing() as connection:
            connection.execute(sa.update(limits).values(**values))
            self._note(connection, "", "", "shared", {"actor": actor, **values})

    def held(self, token: str) -> tuple[int, int]:
        """Return how many base units of a token the fills left in all wallets together, and what they cost."""
        query = sa.text(
            "SELECT coalesce(sum(units), 0) AS units, coalesce(sum(cost_lamports), 0) AS cost FROM holdings "
            "WHERE token = :token"
        )
        with self._reading() as connection:
            row = connection.execute(query, {"token": token}).one()
        return int(row.units), int(row.cost)

    def exposure(self) -> Exposure:
        """Return what of the limits is used now."""
        per_token = sa.text(
            "SELECT token, sum(lamports) AS lamports FROM (SELECT token, lamports FROM reservations WHERE is_buy "
            "UNION ALL SELECT token, cost_lamports FROM holdings) AS each GROUP BY token"
        )
        with self._reading() as connection:
            used = connection.execute(_USED).one()
            by_token = {row.token: int(row.lamports) for row in connection.execute(per_token)}
        return Exposure(int(used.lamports), int(used.entries), by_token)


def _check(parent: Parent) -> None:
    if not parent.children:
        msg = "children: a parent without any does nothing"
        raise InvalidInput(msg, field="children")
    for each in parent.children:
        intent = each.intent
        check_wish(intent)
        pair = (intent.in_mint, intent.out_mint)
        if intent.kind is not IntentKind.SWAP or SOL_MINT not in pair:
            msg = f"kind: {intent.kind.value} of {intent.in_mint}: nodes swap a token for SOL or SOL for a token"
            raise InvalidInput(msg, field="kind")
        if pair != (parent.children[0].intent.in_mint, parent.children[0].intent.out_mint):
            msg = f"children: {intent.id} trades something else than the first"
            raise InvalidInput(msg, field="children")


def _row_of(parent: Parent, number: int) -> dict[str, Any]:
    child = parent.children[number]
    intent = child.intent
    return {
        "id": intent.id,
        "parent_id": parent.id,
        "number": child.number,
        "wallet": intent.wallet,
        "token": parent.token,
        "is_buy": parent.is_buy,
        "lamports": intent.amount_in if parent.is_buy else 0,
        "due_ns": child.due_ns,
        "until_ns": intent.deadline_ns,
        "state": "planned",
        "node": "",
        "problem": "",
        "body": canonical_json(body_of(intent)),
    }
