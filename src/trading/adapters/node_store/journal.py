"""What is owed to the chain for one leased wallet: the nodes' body of ``ports.ExecutionJournal``.

Each write holds the row of the wallet's lease and says by which token it goes. What brings bytes out (``signed``)
needs the lease to run still, by the server's clock; what only tells of the chain (landed, expired, settled) needs the
token alone. With the end of an intent its reservation goes, and its fill is booked, in the same transaction.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

from trading.adapters.execution_rows import found_record
from trading.adapters.execution_schema import intents
from trading.adapters.intent_book import BY_KEY, IntentBook, known_in, same_wish
from trading.errors import InvalidInput, LeaseLost
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentRecord, IntentState, Settlement
from trading.model.node import Lease

from .opening import Door, translating

_LEASE: Final = sa.text(
    "SELECT node, epoch, token, until_ns >= now_ns() AS lives FROM leases WHERE wallet = :wallet FOR UPDATE"
)
_ENDED_BY: Final = sa.text("UPDATE children SET node = :node WHERE id = :child")
_TALLY: Final = sa.text(
    "INSERT INTO tallies (node, state, many, fee_lamports, tip_lamports, rent_lamports) "
    "VALUES (:node, :state, 1, :fee, :tip, :rent) ON CONFLICT (node, state) DO UPDATE SET many = tallies.many + 1, "
    "fee_lamports = tallies.fee_lamports + excluded.fee_lamports, "
    "tip_lamports = tallies.tip_lamports + excluded.tip_lamports, "
    "rent_lamports = tallies.rent_lamports + excluded.rent_lamports"
)
UNRESERVE: Final = sa.text("DELETE FROM reservations WHERE child_id = :child")
_FILL: Final = sa.text(
    "INSERT INTO fills (child_id, signature, node, wallet, token, is_buy, units, lamports, fee_lamports, tip_lamports, "
    "rent_lamports, booked_ns) "
    "VALUES (:child, :signature, :node, :wallet, :token, :is_buy, :units, :lamports, :fee, :tip, :rent, now_ns())"
)
_BOUGHT: Final = sa.text(
    "INSERT INTO holdings (wallet, token, units, cost_lamports) VALUES (:wallet, :token, :units, :lamports) "
    "ON CONFLICT (wallet, token) DO UPDATE SET units = holdings.units + excluded.units, "
    "cost_lamports = holdings.cost_lamports + excluded.cost_lamports"
)
# What is left costs its share of what all of it cost, rounded up: the exposure is never told too small.
_SOLD: Final = sa.text(
    "UPDATE holdings SET units = greatest(units - :units, 0), cost_lamports = CASE WHEN units <= :units THEN 0 "
    "ELSE ceil(cost_lamports * (units - :units) / units)::bigint END WHERE wallet = :wallet AND token = :token"
)


class StoredIntents(IntentBook):
    """The intents of all wallets, for a person: reads, halts, releases and answers, by no lease."""

    def __init__(self, door: Door, now_ns: Callable[[], int]) -> None:
        super().__init__(door.engine, now_ns)
        self._door = door

    def open(self, intent: Intent) -> IntentRecord:
        """Return what is known under the intent's key. Raises: InvalidInput for one that was never claimed."""
        with self._reading() as connection:
            known = found_record(connection, BY_KEY, intent.key)
        if known is None:
            msg = f"key: {intent.key} was not claimed"
            raise InvalidInput(msg, field="key", hint="nodes carry out what was planned and claimed, nothing else")
        same_wish(known.intent, intent)
        return known

    @contextmanager
    def _writing(self, *, signs: bool = False) -> Iterator[sa.Connection]:
        if signs:
            msg = "nothing is signed without the lease of its wallet"
            raise LeaseLost(msg)
        with self._door.writing() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with translating(self._door.shown), self._engine.connect() as connection, connection.begin():
            yield connection

    def _closed(self, connection: sa.Connection, known: IntentRecord, state: IntentState) -> None:
        settlement = known_in(connection, known.intent.id).settlement
        self._over(connection, known.intent, state, settlement, child=known.intent.id, node=self._node())

    def _over(
        self,
        connection: sa.Connection,
        intent: Intent,
        state: IntentState,
        settlement: Settlement | None,
        *,
        child: str,
        node: str,
        holds: bool = True,
    ) -> None:
        """Let go what was reserved for a child, book its fill and count it, within the caller's transaction. Without
        ``holds`` the fill changes nothing of what counts as held."""
        connection.execute(UNRESERVE, {"child": child})
        paid = {"fee": 0, "tip": 0, "rent": 0}
        if settlement is not None:
            paid = {
                "fee": settlement.fee_lamports,
                "tip": settlement.tip_lamports,
                "rent": settlement.rent_lamports,
            }
            if state is IntentState.SETTLED and intent.kind is IntentKind.SWAP:
                row = self._fill(connection, intent, settlement, paid | {"child": child, "node": node})
                if holds:
                    _hold(connection, row)
        connection.execute(_TALLY, paid | {"node": node, "state": state.value})

    def _fill(
        self, connection: sa.Connection, intent: Intent, settlement: Settlement, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        is_buy = intent.in_mint == SOL_MINT
        row: dict[str, Any] = {
            **more,
            "signature": settlement.signature,
            "wallet": intent.wallet,
            "token": intent.out_mint if is_buy else intent.in_mint,
            "is_buy": is_buy,
            "units": settlement.out_units if is_buy else settlement.in_units,
            "lamports": settlement.in_units if is_buy else settlement.out_units,
        }
        connection.execute(_FILL, row)
        return row

    def _node(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing: the door is whoever opened it's."""


class LeasedIntents(StoredIntents):
    """The intents of one wallet, for the node that holds its lease."""

    def __init__(self, door: Door, lease: Lease, now_ns: Callable[[], int]) -> None:
        super().__init__(door, now_ns)
        self._lease = lease

    @contextmanager
    def _writing(self, *, signs: bool = False) -> Iterator[sa.Connection]:
        with self._door.writing() as connection:
            self._require_lease(connection, signs=signs)
            yield connection

    def _require_lease(self, connection: sa.Connection, *, signs: bool) -> None:
        """Hold the lease until the transaction is over. Raises: LeaseLost."""
        lease = self._lease
        found = connection.execute(_LEASE, {"wallet": lease.wallet}).one_or_none()
        own = (lease.holder.node, lease.holder.epoch, lease.token)
        if found is None or (found.node, found.epoch, found.token) != own:
            msg = f"wallet {lease.wallet} is another holder's by now: nothing was written under token {lease.token}"
            raise LeaseLost(msg)
        if signs and not found.lives:
            msg = f"the lease of wallet {lease.wallet} has run out: nothing is signed under token {lease.token}"
            raise LeaseLost(msg)

    def _is_own(self) -> sa.ColumnElement[bool]:
        return intents.c.wallet == self._lease.wallet

    def _node(self) -> str:
        return self._lease.holder.node

    def _closed(self, connection: sa.Connection, known: IntentRecord, state: IntentState) -> None:
        # It counts for whoever ended it; the record still says who claimed it.
        connection.execute(_ENDED_BY, {"node": self._node(), "child": known.intent.id})
        super()._closed(connection, known, state)


def _hold(connection: sa.Connection, fill: Mapping[str, Any]) -> None:
    """Add a purchase to what is held, or take a sale out of it."""
    moved = {name: fill[name] for name in ("wallet", "token", "units")}
    if fill["is_buy"]:
        connection.execute(_BOUGHT, moved | {"lamports": fill["lamports"]})
    else:
        connection.execute(_SOLD, moved)
