"""A run told again for a report: what its rows say about money, by strategy, by token and in total.

One fold of journal events, the same whether the run is finished, still going on, a backtest or a paper session. Memory
grows with the strategies and tokens that traded, not with the trades.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from trading.model import events
from trading.model.account import RoundTrip
from trading.model.order import Fill, Order
from trading.model.units import BPS_ONE, NS_PER_S, ratio_bps

from .buckets import Booking
from .ledger import Ledger
from .performance import EquityCurve

COST_KINDS: Final = ("fee", "impact", "priority", "failed")
"""What trading spends. Rent is a deposit: it comes back when the account is closed."""


@dataclass(slots=True)
class Costs:
    """Lamports by kind. ``fee`` are pool fees and signatures, of which ``network`` are the signatures; ``failed`` are
    charges of transactions that came to nothing; ``rent`` is what was paid for accounts less what came back."""

    fee: int = 0
    network: int = 0
    impact: int = 0
    priority: int = 0
    failed: int = 0
    rent: int = 0

    @property
    def total(self) -> int:
        """What was spent, rent apart."""
        return self.fee + self.impact + self.priority + self.failed

    def share_bps(self, kind: str) -> int | None:
        """Return the share of a kind in what was spent, None where nothing was."""
        return int(getattr(self, kind)) * BPS_ONE // self.total if self.total else None

    def fill(self, fill: Fill) -> None:
        self.fee += fill.pool_fee_lamports + fill.network_fee_lamports
        self.network += fill.network_fee_lamports
        self.impact += fill.impact_lamports
        self.priority += fill.priority_fee_lamports
        self.rent += fill.rent_lamports


@dataclass(slots=True)
class Tally:
    """What one strategy did, or what was done in one token."""

    name: str
    fills: int = 0
    turnover_lamports: int = 0
    round_trips: int = 0
    wins: int = 0
    realised_lamports: int = 0
    bought_lamports: int = 0
    held_ns: int = 0
    slippage_bps_sum: int = 0
    costs: Costs = field(default_factory=Costs)

    @property
    def win_rate_bps(self) -> int | None:
        return self.wins * BPS_ONE // self.round_trips if self.round_trips else None

    @property
    def return_bps(self) -> int | None:
        """What finished trades brought as a share of what was put into them."""
        return ratio_bps(self.realised_lamports, self.bought_lamports) if self.bought_lamports else None

    @property
    def mean_holding_s(self) -> int | None:
        return self.held_ns // NS_PER_S // self.round_trips if self.round_trips else None

    @property
    def mean_slippage_bps(self) -> int | None:
        return round(self.slippage_bps_sum / self.fills) if self.fills else None

    @property
    def cost_of_turnover_bps(self) -> int | None:
        """What trading spent as a share of what changed hands."""
        return self.costs.total * BPS_ONE // self.turnover_lamports if self.turnover_lamports else None

    def fill(self, fill: Fill) -> None:
        self.fills += 1
        self.turnover_lamports += fill.lamports
        self.slippage_bps_sum += fill.slippage_bps
        self.costs.fill(fill)

    def close(self, trip: RoundTrip) -> None:
        self.round_trips += 1
        self.wins += trip.realised_lamports > 0
        self.realised_lamports += trip.realised_lamports
        self.bought_lamports += trip.bought_lamports
        self.held_ns += trip.closed_ns - trip.opened_ns


class AccountFold:
    """``take`` the events of a run in order. Unknown ones are passed over."""

    def __init__(self, return_period_ns: int) -> None:
        self.curve = EquityCurve(return_period_ns)
        self.ledger = Ledger()
        self.total = Tally("")
        self.strategies: dict[str, Tally] = {}
        self.tokens: dict[str, Tally] = {}
        self.denials: Counter[str] = Counter()
        self.signals = 0
        self.rejections = 0
        self.start_lamports = 0
        self.exposure_bps_max = 0
        self.first: events.CycleMarked | None = None
        self.last: events.CycleMarked | None = None
        self.marks = 0
        self._exposure_bps_sum = 0
        self._orders: dict[str, Order] = {}

    @property
    def exposure_bps_mean(self) -> int | None:
        """The mean over the marks; they are as dense as things happened."""
        return self._exposure_bps_sum // self.marks if self.marks else None

    def take(self, event: object) -> Booking | None:
        """Take one event; return what the ledger made of it, where it is the ledger's."""
        match event:
            case events.CycleMarked():
                self._marked(event)
            case events.OrderFilled():
                return self._filled(event)
            case events.OrderRejected():
                return self._rejected(event)
            case events.PositionWrittenOff() | events.CapitalMoved():
                return self._book(event)
            case events.AccountClosed(lamports=lamports):
                if not self._book(event).duplicate:
                    self.total.costs.rent -= lamports
            case events.FeePaid(lamports=lamports):
                if not self._book(event).duplicate:
                    self.total.costs.fee += lamports
                    self.total.costs.network += lamports
            case events.CapitalDeposited(lamports=lamports):
                self._flow(event, lamports)
            case events.CapitalWithdrawn(lamports=lamports):
                self._flow(event, -lamports)
            case events.OrderApproved(order=order):
                self._orders[order.id] = order
            case events.OrderDenied(denied=denied) | events.SignalPassed(denied=denied):
                self.denials[denied.reason] += 1
            case events.SignalRaised():
                self.signals += 1
        return None

    def _marked(self, mark: events.CycleMarked) -> None:
        self.curve.mark(mark.ts_ns, mark.equity_lamports)
        exposure = max(0, mark.exposure_lamports) * BPS_ONE // mark.equity_lamports if mark.equity_lamports > 0 else 0
        self._exposure_bps_sum += exposure
        self.exposure_bps_max = max(self.exposure_bps_max, exposure)
        self.first = self.first or mark
        self.last = mark
        self.marks += 1

    def _filled(self, event: events.OrderFilled) -> Booking:
        fill = event.fill
        self._orders.pop(fill.order_id, None)
        booking = self._book(event)
        if not booking.duplicate:
            for tally in self._tallies(event.strategy, fill.mint):
                tally.fill(fill)
        return booking

    def _rejected(self, event: events.OrderRejected) -> Booking:
        order = self._orders.pop(event.rejected.order_id, None)
        booking = self._book(event)
        if not booking.duplicate:
            self.rejections += 1
            for tally in self._tallies(event.strategy, None if order is None else order.mint):
                tally.costs.failed += event.rejected.charged_lamports
        return booking

    def _flow(self, event: events.CapitalDeposited | events.CapitalWithdrawn, lamports: int) -> None:
        if self.ledger.apply(event).duplicate:
            return
        if self.first is None:
            self.start_lamports += lamports
        self.curve.flow(lamports)

    def _book(self, event: events.LedgerEvent) -> Booking:
        booking = self.ledger.apply(event)
        trip = booking.closed
        if trip is not None:
            for tally in self._tallies(trip.strategy, trip.mint):
                tally.close(trip)
        return booking

    def _tallies(self, strategy: str, mint: str | None) -> list[Tally]:
        """Return the sums that something counts in: the run's, its strategy's and, where it is of one, its token's."""
        found = [self.total, self.strategies.setdefault(strategy, Tally(strategy))]
        return found if mint is None else [*found, self.tokens.setdefault(mint, Tally(mint))]
