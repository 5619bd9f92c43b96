"""Who may use which wallet: nodes are registered, say that they live, and hold leases with a fence.

A lease's token grows each time that its wallet comes to a holder. Every write for a wallet names the token that it
goes by, under the lease's own row lock, so that a holder who slept over its lease changes nothing any more.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from trading.adapters.canonical import canonical_json
from trading.errors import LeaseLost
from trading.model.node import Holder, Lease, NodeState, SharedState
from trading.model.units import NS_PER_S

from .opening import Door

TAKEN_AT_ONCE: Final = 2
"""Wallets that a node takes with one beat: those that start together share what there is."""

# A question that was given up as unanswered may be carried out later, after the one that followed it: the same process
# is never shut out by itself.
_REGISTER: Final = sa.text(
    "INSERT INTO nodes (name, epoch, version, state, began_ns, seen_ns, told, process) "
    "VALUES (:name, 1, :version, 'working', now_ns(), now_ns(), :told, :process) "
    "ON CONFLICT (name) DO UPDATE SET "
    "epoch = nodes.epoch + CASE WHEN nodes.process = excluded.process AND excluded.process <> '' THEN 0 ELSE 1 END, "
    "version = excluded.version, state = 'working', process = excluded.process, "
    "began_ns = excluded.began_ns, seen_ns = excluded.seen_ns, told = excluded.told RETURNING epoch"
)
_BEAT: Final = sa.text(
    "UPDATE nodes SET seen_ns = now_ns(), state = :state, told = :told WHERE name = :node AND epoch = :epoch"
)
_NEW_LEASES: Final = sa.text(
    "INSERT INTO leases (wallet, node, epoch, token, until_ns) SELECT unnest(CAST(:wallets AS varchar[])), '', 0, 0, 0 "
    "ON CONFLICT (wallet) DO NOTHING"
)
# The order in which rows are locked is the same everywhere, so that no two wait for each other.
_OWN: Final = sa.text(
    "SELECT wallet, token, until_ns >= now_ns() AS lives FROM leases WHERE node = :node AND epoch = :epoch "
    "ORDER BY wallet FOR UPDATE"
)
_RENEW: Final = sa.text(
    "UPDATE leases SET until_ns = now_ns() + :ttl_ns WHERE node = :node AND epoch = :epoch AND until_ns >= now_ns()"
)
# What an older process of this very node holds may be taken at once: the token shuts it out as the time would.
_FREE: Final = sa.text(
    "SELECT wallet FROM leases WHERE wallet = ANY(:wallets) AND (until_ns < now_ns() OR "
    "(node = :node AND epoch < :epoch)) ORDER BY wallet LIMIT :most FOR UPDATE SKIP LOCKED"
)
_TAKE: Final = sa.text(
    "UPDATE leases SET node = :node, epoch = :epoch, token = token + 1, until_ns = now_ns() + :ttl_ns "
    "WHERE wallet = ANY(:wallets) RETURNING wallet, token"
)
# Whoever could sign for them is gone, and nothing would be signed any more: what was begun has to end all the same.
_ORPHANS: Final = sa.text(
    "SELECT wallet FROM leases WHERE until_ns < now_ns() AND EXISTS (SELECT 1 FROM intents i JOIN children c "
    "ON c.id = i.id WHERE i.wallet = leases.wallet AND i.state IN ('open', 'waiting_for_approval', 'signed', 'landed') "
    "AND c.until_ns + :ttl_ns < now_ns()) ORDER BY wallet LIMIT 1 FOR UPDATE OF leases SKIP LOCKED"
)
_RELEASE: Final = sa.text(
    "UPDATE leases SET until_ns = 0 WHERE node = :node AND epoch = :epoch AND wallet = ANY(:wallets)"
)
_OTHERS: Final = sa.text(
    "SELECT n.name, count(l.wallet) AS held FROM nodes n LEFT JOIN leases l ON l.node = n.name AND l.epoch = n.epoch "
    "AND l.until_ns >= now_ns() WHERE n.name <> :node AND n.state = 'working' AND n.seen_ns + :ttl_ns >= now_ns() "
    "AND CAST(convert_from(n.told, 'UTF8') AS jsonb) -> 'wallets' ?| CAST(:wallets AS text[]) GROUP BY n.name"
)
_STATE: Final = sa.text("SELECT state, now_ns() AS now_ns FROM limits WHERE one = 1")


@dataclass(frozen=True, slots=True)
class Beat:
    """What a node knows after it was heard: the leases that it holds, how many of them others could take over because
    they hold fewer, what all nodes are to do, and the server's time."""

    leases: tuple[Lease, ...]
    surplus: int
    state: SharedState
    now_ns: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What a node says with a beat: whose ``wallets`` it can sign for, how many of them it wants at most, and
    ``told``, what others are shown of it (ints and strings)."""

    state: NodeState
    wallets: tuple[str, ...]
    wallets_max: int
    told: Mapping[str, Any]


class Leases:
    """Nodes and leases of one store. Any thread may call it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._ttl_ns = int(door.rules.lease_s * NS_PER_S)

    def register(self, name: str, version: str, process: str = "") -> Holder:
        """Make a node known. An older process of that name is shut out from now on; ``process`` may register again.

        Raises: JournalUnavailable.
        """
        with self._door.writing() as connection:
            told = {"name": name, "version": version, "told": canonical_json({"wallets": []}), "process": process}
            return Holder(name, int(connection.execute(_REGISTER, told).scalar_one()))

    def beat(self, holder: Holder, wish: Wish) -> Beat:
        """Say that a node lives: its leases are renewed, and it is given free ones of the wallets that it wishes.

        A lease that ran out is not renewed: it comes again, if at all, with a new token. A node may be given a wallet
        that it does not wish, too: one that nobody takes, with something begun whose time is over. That is only watched
        to its end.

        Raises: LeaseLost where another process has registered under the name; JournalUnavailable.
        """
        own = {"node": holder.node, "epoch": holder.epoch, "ttl_ns": self._ttl_ns}
        wallets = sorted(set(wish.wallets))
        with self._door.writing() as connection:
            told = canonical_json({**wish.told, "wallets": wallets})
            if connection.execute(_BEAT, own | {"state": wish.state.value, "told": told}).rowcount != 1:
                msg = f"another process runs the node {holder.node}: this one may do nothing any more"
                raise LeaseLost(msg, hint="give each node a name of its own")
            connection.execute(_NEW_LEASES, {"wallets": wallets})
            held = {row.wallet: int(row.token) for row in connection.execute(_OWN, own) if row.lives}
            connection.execute(_RENEW, own)
            if wish.state is NodeState.WORKING:
                most = min(TAKEN_AT_ONCE, wish.wallets_max - len(held))
                held |= self._taken(connection, own, [each for each in wallets if each not in held], most)
            surplus = self._surplus(connection, own, wallets, len(held))
            shared = connection.execute(_STATE).one()
        found = tuple(Lease(wallet, holder, token) for wallet, token in sorted(held.items()))
        return Beat(found, surplus, SharedState(shared.state), int(shared.now_ns))

    def _taken(
        self, connection: sa.Connection, own: Mapping[str, Any], wallets: Sequence[str], most: int
    ) -> dict[str, int]:
        free: list[str] = []
        if most > 0 and wallets:
            free += connection.execute(_FREE, {**own, "wallets": wallets, "most": most}).scalars()
        if not free:
            free += connection.execute(_ORPHANS, own).scalars()
        if not free:
            return {}
        return {row.wallet: int(row.token) for row in connection.execute(_TAKE, {**own, "wallets": free})}

    def _surplus(self, connection: sa.Connection, own: Mapping[str, Any], wallets: Sequence[str], held: int) -> int:
        fewest = min((int(row.held) for row in connection.execute(_OTHERS, {**own, "wallets": wallets})), default=held)
        return max(0, (held - fewest) // 2)

    def release(self, holder: Holder, wallets: Collection[str]) -> None:
        """Give leases back, so that another node need not wait for their end. Raises: JournalUnavailable."""
        with self._door.writing() as connection:
            own = {"node": holder.node, "epoch": holder.epoch, "wallets": sorted(wallets)}
            connection.execute(_RELEASE, own)

    def leave(self, holder: Holder) -> None:
        """Say that a node has ended; what it still held is free. Raises: JournalUnavailable."""
        own = {"node": holder.node, "epoch": holder.epoch}
        with self._door.writing() as connection:
            connection.execute(sa.text("UPDATE leases SET until_ns = 0 WHERE node = :node AND epoch = :epoch"), own)
            gone = sa.text("UPDATE nodes SET state = 'gone', seen_ns = now_ns() WHERE name = :node AND epoch = :epoch")
            connection.execute(gone, own)
