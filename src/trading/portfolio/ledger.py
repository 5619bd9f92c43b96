"""The books: cash, positions and deposits of every bucket as a fold of facts, exact to the lamport.

Two accounts of the same money are kept apart and compared after every event: the wallet (what arrived and left) and
the buckets (who it belongs to). The identity that must hold at every event is

  cash + rent + cost of open positions = net deposits + realised profit - charges of failed transactions
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from trading.errors import IllegalTransition, InvalidInput, LedgerMismatch
from trading.model.account import CostTotals, LosingExit, RoundTrip
from trading.model.events import (
    AccountClosed,
    CapitalDeposited,
    CapitalMoved,
    CapitalWithdrawn,
    FeePaid,
    LedgerEvent,
    OrderFilled,
    OrderRejected,
    PositionWrittenOff,
)
from trading.model.order import Side
from trading.model.position import Holding, Position
from trading.model.units import ceil_div
from trading.model.wallet import MAIN, account_key

from .buckets import Booking, Bucket

SEEN_MAX: Final = 100_000
"""How many booked events are remembered to recognise a repeat; repeats come within seconds, not within so many."""


@dataclass(frozen=True, slots=True)
class _Slippage:
    """Sum over the fills of an open position, for the mean of its round trip."""

    sum_bps: int = 0
    fills: int = 0


class Ledger:
    """Fold of deposits, withdrawals, moves between buckets, fills, rejections and what the wallet's upkeep costs.

    Raises: LedgerMismatch when the books do not add up (a fill of what is not held, a wallet below zero, the same
    order reported twice with different content); InvalidInput for a withdrawal, a move or a fee of more than there is,
    and for a deposit that comes back and was not paid. An event that was refused changed nothing.
    """

    def __init__(self, seen_max: int = SEEN_MAX) -> None:
        self._seen_max = seen_max
        self._buckets: dict[str, Bucket] = {}
        self._seen: dict[str, str] = {}
        self._rent_by_account: dict[str, tuple[str, int]] = {}
        self._slippage: dict[tuple[str, str], _Slippage] = {}
        self._losing_exits: dict[str, LosingExit] = {}
        self._wallet_lamports = 0
        self._fee_lamports = 0
        self._impact_lamports = 0
        self._priority_lamports = 0
        self.holdings: Mapping[str, Holding] = {}
        """All positions of each token taken together, in the order in which the tokens were bought first."""
        self._rent_lamports = 0

    @classmethod
    def folded(cls, events: Iterable[LedgerEvent]) -> "Ledger":
        """Return the books after these events: the same events give the same books."""
        ledger = cls()
        for event in events:
            ledger.apply(event)
        return ledger

    def apply(self, event: LedgerEvent) -> Booking:
        """Book one event, once."""
        key, content = _key(event), _fingerprint(event)
        known = self._seen.get(key)
        if known is not None:
            if known != content:
                msg = f"{key} was booked before with other content than {event}"
                raise LedgerMismatch(msg, field=key)
            return Booking(duplicate=True)
        booking = self._book(event)
        if booking.position is not None:
            self.holdings = self._held()
        self._seen[key] = content
        if len(self._seen) > self._seen_max:
            del self._seen[next(iter(self._seen))]
        self.verify()
        return booking

    def _book(self, event: LedgerEvent) -> Booking:
        match event:
            case CapitalDeposited():
                _require_positive(event.lamports)
                self._move_in(event.bucket, event.lamports)
            case CapitalWithdrawn():
                self._require_cash(event.bucket, event.lamports)
                self._move_in(event.bucket, -event.lamports)
            case CapitalMoved():
                self._move_between(event)
            case OrderRejected():
                self._charge(event)
            case AccountClosed():
                self._closed_account(event)
            case FeePaid():
                self._paid_fee(event)
            case PositionWrittenOff():
                return self._written_off(event)
            case _:
                self._require_bookable(event)
                return self._bought(event) if event.fill.side is Side.BUY else self._sold(event)
        return Booking()

    # What the books say

    @property
    def cash_lamports(self) -> int:
        """SOL in the wallet."""
        return self._wallet_lamports

    @property
    def rent_lamports(self) -> int:
        """Refundable deposits of open token accounts."""
        return self._rent_lamports

    def rent_deposits(self, wallet: str = MAIN) -> dict[str, int]:
        """Return the deposit of each open token account of a wallet, by mint."""
        return {
            key.rpartition("/")[2]: deposit
            for key, (_, deposit) in self._rent_by_account.items()
            if key == account_key(wallet, key.rpartition("/")[2])
        }

    @property
    def realised_lamports(self) -> int:
        return sum(bucket.realised_lamports for bucket in self._buckets.values())

    @property
    def net_deposits_lamports(self) -> int:
        return sum(bucket.net_deposits_lamports for bucket in self._buckets.values())

    @property
    def costs(self) -> CostTotals:
        failed = sum(bucket.failed_lamports for bucket in self._buckets.values())
        return CostTotals(
            self._fee_lamports, self._impact_lamports, self._priority_lamports, failed, self.rent_lamports
        )

    @property
    def buckets(self) -> Mapping[str, Bucket]:
        return self._buckets

    def bucket_cash_lamports(self, name: str) -> int:
        bucket = self._buckets.get(name)
        return 0 if bucket is None else bucket.cash_lamports

    @property
    def has_positions(self) -> bool:
        return bool(self.holdings)

    def positions(self) -> list[Position]:
        """Return all open positions, by bucket and mint in the order in which they were opened."""
        return [position for bucket in self._buckets.values() for position in bucket.positions.values()]

    def _held(self) -> dict[str, Holding]:
        found: dict[str, Holding] = {}
        for position in self.positions():
            before = found.get(position.mint)
            units, cost = position.base_units, position.cost_lamports
            if before is not None:
                units, cost = units + before.base_units, cost + before.cost_lamports
            found[position.mint] = Holding(position.mint, units, cost)
        return found

    def position(self, bucket: str, mint: str) -> Position | None:
        book = self._buckets.get(bucket)
        return None if book is None else book.positions.get(mint)

    def holding(self, mint: str) -> Holding | None:
        """Return all positions in a token together, None when there is none."""
        return self.holdings.get(mint)

    def held_mints(self) -> list[str]:
        """Return the tokens held, each once, in the order in which they were opened."""
        return list(self.holdings)

    def losing_exit(self, mint: str) -> LosingExit | None:
        """Return the newest exit of this token that lost money, over all buckets."""
        return self._losing_exits.get(mint)

    def verify(self) -> None:
        """Compare the wallet with the buckets and with what came in. Raises: LedgerMismatch."""
        buckets = self._buckets.values()
        in_buckets = sum(bucket.cash_lamports for bucket in buckets)
        if in_buckets != self._wallet_lamports:
            msg = f"the buckets hold {in_buckets} lamports, the wallet {self._wallet_lamports}"
            raise LedgerMismatch(msg, field="cash_lamports")
        if sum(bucket.rent_lamports for bucket in buckets) != self.rent_lamports:
            msg = "the rent deposits of the buckets are not those of the token accounts"
            raise LedgerMismatch(msg, field="rent_lamports")
        booked = sum(bucket.book_lamports for bucket in buckets)
        failed = sum(bucket.failed_lamports for bucket in buckets)
        expected = self.net_deposits_lamports + self.realised_lamports - failed
        if booked != expected:
            msg = f"cash, rent and positions at cost are {booked} lamports, deposits and results {expected}"
            raise LedgerMismatch(msg, field="book_lamports")

    # How each event is booked

    def _bucket(self, name: str) -> Bucket:
        return self._buckets.setdefault(name, Bucket(name))

    def _require_cash(self, name: str, lamports: int) -> None:
        _require_positive(lamports)
        cash = self.bucket_cash_lamports(name)
        if lamports > cash:
            msg = f"lamports: bucket {name!r} has {cash} lamports in cash, {lamports} cannot be taken out"
            raise InvalidInput(msg, field="lamports")

    def _move_in(self, name: str, lamports: int) -> None:
        bucket = self._bucket(name)
        bucket.cash_lamports += lamports
        bucket.net_deposits_lamports += lamports
        self._wallet_lamports += lamports

    def _move_between(self, event: CapitalMoved) -> None:
        self._require_cash(event.from_bucket, event.lamports)
        source, target = self._bucket(event.from_bucket), self._bucket(event.to_bucket)
        source.cash_lamports -= event.lamports
        source.net_deposits_lamports -= event.lamports
        target.cash_lamports += event.lamports
        target.net_deposits_lamports += event.lamports

    def _charge(self, event: OrderRejected) -> None:
        charged = event.rejected.charged_lamports
        if charged < 0:
            msg = f"order {event.rejected.order_id}: a rejection cannot charge {charged} lamports"
            raise IllegalTransition(msg, field="charged_lamports")
        self._require_wallet(charged, f"order {event.rejected.order_id}")
        bucket = self._bucket(event.bucket)
        bucket.cash_lamports -= charged
        bucket.failed_lamports += charged
        self._wallet_lamports -= charged

    def _closed_account(self, event: AccountClosed) -> None:
        account = account_key(event.wallet, event.mint)
        _, deposit = self._rent_by_account.get(account, ("", 0))
        if not deposit or deposit != event.lamports:
            msg = f"lamports: the deposit of {event.mint} is {deposit} lamports, {event.lamports} cannot come back"
            raise InvalidInput(msg, field="lamports")
        self._wallet_lamports += deposit
        self._return_deposit(account)

    def _paid_fee(self, event: FeePaid) -> None:
        """A fee without a trade lessens the result of the bucket that pays it."""
        self._require_cash(event.bucket, event.lamports)
        bucket = self._bucket(event.bucket)
        bucket.cash_lamports -= event.lamports
        bucket.realised_lamports -= event.lamports
        self._wallet_lamports -= event.lamports
        self._fee_lamports += event.lamports

    def _require_bookable(self, event: OrderFilled) -> None:
        fill = event.fill
        parts = (fill.lamports, fill.network_fee_lamports, fill.priority_fee_lamports, fill.pool_fee_lamports)
        if fill.base_units <= 0 or min(parts) < 0:
            msg = f"order {fill.order_id}: a fill of {fill.base_units} base units for {fill.lamports} lamports is none"
            raise IllegalTransition(msg, field="base_units")
        if fill.side is Side.SELL:
            position = self.position(event.bucket, fill.mint)
            held = 0 if position is None else position.base_units
            if fill.base_units > held:
                msg = f"order {fill.order_id} sold {fill.base_units} of {fill.mint}, bucket {event.bucket!r} has {held}"
                raise LedgerMismatch(msg, field="base_units")
        _, deposit = self._rent_by_account.get(account_key(event.wallet, fill.mint), ("", 0))
        if (fill.rent_lamports > 0 and deposit) or (fill.rent_lamports < 0 and deposit != -fill.rent_lamports):
            msg = f"order {fill.order_id}: rent of {fill.rent_lamports} for {fill.mint}, whose deposit is {deposit}"
            raise LedgerMismatch(msg, field="rent_lamports")
        leaves = fill.network_fee_lamports + fill.priority_fee_lamports + fill.rent_lamports
        leaves += fill.lamports if fill.side is Side.BUY else -fill.lamports
        self._require_wallet(leaves, f"order {fill.order_id}")

    def _require_wallet(self, lamports: int, what: str) -> None:
        if lamports > self._wallet_lamports:
            msg = f"{what} takes {lamports} lamports out of a wallet that holds {self._wallet_lamports}"
            raise LedgerMismatch(msg, field="cash_lamports")

    def _bought(self, event: OrderFilled) -> Booking:
        fill = event.fill
        bucket = self._bucket(event.bucket)
        cost = fill.lamports + fill.network_fee_lamports + fill.priority_fee_lamports
        old = bucket.positions.get(fill.mint)
        if old is None:
            position = Position(
                bucket=event.bucket,
                mint=fill.mint,
                strategy=event.strategy,
                trajectory_id=event.trajectory_id,
                opened_ns=fill.ts_ns,
                base_units=fill.base_units,
                cost_lamports=cost,
                bought_lamports=cost,
                last_buy_lamports=fill.lamports,
            )
        else:
            position = replace(
                old,
                base_units=old.base_units + fill.base_units,
                cost_lamports=old.cost_lamports + cost,
                bought_lamports=old.bought_lamports + cost,
                buys=old.buys + 1,
                added_lamports=old.added_lamports + cost,
                last_buy_lamports=fill.lamports,
            )
        bucket.positions[fill.mint] = position
        bucket.cash_lamports -= cost
        self._wallet_lamports -= cost + fill.rent_lamports
        self._book_rent(bucket, event)
        self._count_costs(event)
        return Booking(position=position)

    def _sold(self, event: OrderFilled) -> Booking:
        fill = event.fill
        bucket = self._bucket(event.bucket)
        old = bucket.positions[fill.mint]
        proceeds = fill.lamports - fill.network_fee_lamports - fill.priority_fee_lamports
        # The last sale takes all that is left of the cost, so no lamport of it stays behind by rounding.
        cost = old.cost_lamports * fill.base_units // old.base_units
        realised = proceeds - cost
        bucket.cash_lamports += proceeds
        bucket.realised_lamports += realised
        self._wallet_lamports += proceeds - fill.rent_lamports
        self._book_rent(bucket, event)
        self._count_costs(event)
        if realised < 0:
            self._losing_exits[fill.mint] = LosingExit(fill.mint, fill.ts_ns, fill.lamports, fill.base_units)
        position = replace(
            old,
            base_units=old.base_units - fill.base_units,
            cost_lamports=old.cost_lamports - cost,
            realised_lamports=old.realised_lamports + realised,
            sold_lamports=old.sold_lamports + proceeds,
            added_lamports=old.added_lamports - old.added_lamports * fill.base_units // old.base_units,
        )
        if position.base_units:
            bucket.positions[fill.mint] = position
            return Booking(position, realised)
        del bucket.positions[fill.mint]
        return Booking(position, realised, self._round_trip(position, fill.ts_ns))

    def _round_trip(self, position: Position, closed_ns: int) -> RoundTrip:
        slippage = self._slippage.pop((position.bucket, position.mint))
        return RoundTrip(
            trajectory_id=position.trajectory_id,
            bucket=position.bucket,
            strategy=position.strategy,
            mint=position.mint,
            opened_ns=position.opened_ns,
            closed_ns=closed_ns,
            bought_lamports=position.bought_lamports,
            sold_lamports=position.sold_lamports,
            realised_lamports=position.realised_lamports,
            slippage_bps=ceil_div(slippage.sum_bps, slippage.fills),
            fills=slippage.fills,
        )

    def _written_off(self, event: PositionWrittenOff) -> Booking:
        position = self.position(event.bucket, event.mint)
        if position is None:
            msg = f"bucket {event.bucket!r} holds no {event.mint} to write off"
            raise LedgerMismatch(msg, field="mint")
        bucket = self._bucket(event.bucket)
        loss = position.cost_lamports
        bucket.realised_lamports -= loss
        del bucket.positions[event.mint]
        self._losing_exits[event.mint] = LosingExit(event.mint, event.ts_ns, 0, position.base_units)
        left = position.realised_lamports - loss
        gone = replace(position, base_units=0, cost_lamports=0, added_lamports=0, realised_lamports=left)
        return Booking(gone, -loss, self._round_trip(gone, event.ts_ns))

    def _book_rent(self, bucket: Bucket, event: OrderFilled) -> None:
        """Book the deposit of a token account: paid by the bucket that buys first, returned to that same bucket."""
        fill = event.fill
        if fill.rent_lamports > 0:
            self._rent_by_account[account_key(event.wallet, fill.mint)] = (bucket.name, fill.rent_lamports)
            self._rent_lamports += fill.rent_lamports
            bucket.cash_lamports -= fill.rent_lamports
            bucket.rent_lamports += fill.rent_lamports
        elif fill.rent_lamports < 0:
            self._return_deposit(account_key(event.wallet, fill.mint))

    def _return_deposit(self, account: str) -> None:
        payer, deposit = self._rent_by_account.pop(account)
        self._rent_lamports -= deposit
        self._buckets[payer].cash_lamports += deposit
        self._buckets[payer].rent_lamports -= deposit

    def _count_costs(self, event: OrderFilled) -> None:
        fill = event.fill
        self._fee_lamports += fill.pool_fee_lamports + fill.network_fee_lamports
        self._impact_lamports += fill.impact_lamports
        self._priority_lamports += fill.priority_fee_lamports
        key = (event.bucket, fill.mint)
        old = self._slippage.get(key, _Slippage())
        self._slippage[key] = _Slippage(old.sum_bps + fill.slippage_bps, old.fills + 1)


def _fingerprint(event: LedgerEvent) -> str:
    """Return what tells two events with one key apart, the same in every process (``hash`` of a text is not)."""
    return hashlib.blake2b(repr(event).encode(), digest_size=8).hexdigest()


def _key(event: LedgerEvent) -> str:
    match event:
        case OrderFilled():
            return f"order {event.fill.order_id}"
        case OrderRejected():
            return f"order {event.rejected.order_id}"
        case PositionWrittenOff():
            return f"write-off {event.bucket} {event.mint} {event.ts_ns}"
        case _:
            return f"capital {event.key}"


def _require_positive(lamports: int) -> None:
    if lamports <= 0:
        msg = f"lamports: must be above 0, not {lamports}"
        raise InvalidInput(msg, field="lamports")
