"""Everything the desk knows about itself, as a fold of journal rows: the same rows give the same state."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trading.model import commands, events
from trading.model.account import TradingState
from trading.model.order import Order, Purpose
from trading.model.profile import Profile, profile_named
from trading.model.profile_content import profile_of
from trading.model.tier import tier_bounds, tier_named, tier_of
from trading.model.trading_day import UTC, TradingDay
from trading.model.units import NS_PER_S
from trading.portfolio.buckets import Booking
from trading.portfolio.entry_facts import EntryBook
from trading.portfolio.forecasts import ForecastBook
from trading.portfolio.ledger import Ledger
from trading.portfolio.performance import EquityCurve, TrackRecords
from trading.portfolio.promotions import PromotionBook
from trading.portfolio.rotation_book import RotationBook
from trading.portfolio.wallets import WalletBook
from trading.recall.memory import SituationMemory
from trading.risk.after_gap import GapBook
from trading.risk.day import DayTally
from trading.risk.drawdown import DrawdownGuard
from trading.risk.exits import PeakPrices
from trading.risk.gap import highest_exposure_lamports
from trading.risk.levels import LevelBook, level_key
from trading.risk.protections import ProtectionBook
from trading.risk.returns import ReturnBook
from trading.sidecar.book import AdviceBook

from .trail import Trail

RETURN_PERIOD_NS = 86_400 * NS_PER_S
"""Statistics are over daily returns."""

DAY, TIER = "day", "tier"
"""When a strategy's window is reported."""

TRADES_MAX = 20_000
Traded = events.OrderFilled | events.OrderRejected | events.PositionWrittenOff


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill as it is shown. ``number`` counts from 1; ``realised_lamports`` is None for a buy."""

    number: int
    filled: events.OrderFilled
    realised_lamports: int | None
    reason: str
    sol_usd: Decimal | None


class DeskState:
    """``apply`` takes what was journalled; ``mark`` takes the account's value. Nothing else changes it.

    Three facts come without a row of their own, because their inputs are in the journal: the market's time and SOL
    price (``observe_time``), the best price of each position (``peaks``) and hourly ``returns``.
    """

    def __init__(self, profile: Profile, target_lamports: int) -> None:
        self.profile = profile
        self.target_lamports = target_lamports
        self.ledger = Ledger()
        self.day = TradingDay()
        """The days that limits and digests count by."""
        self.zone = self.day.zone
        self.guard = DrawdownGuard(profile.limits.drawdown, self.day)
        self.levels = LevelBook(profile.limits, self.day)
        self.protections = ProtectionBook(profile.limits.protections)
        self.gaps = GapBook(profile.after_gap)
        self.promotions = PromotionBook()
        self.returns = ReturnBook()
        self.today = DayTally()
        self.peaks = PeakPrices()
        self.records = TrackRecords()
        self.entries = EntryBook()
        self.rotation = RotationBook()
        self.curve = EquityCurve(RETURN_PERIOD_NS)
        self.tier = tier_of(0)
        self.open_orders: dict[str, Order] = {}
        self.wallets: WalletBook | None = None
        """What lies where, None in a desk with one wallet."""
        self.trading_state = TradingState.ACTIVE
        self.state_reason = "no limit is crossed"
        self.entries_allowed = True
        self.now_ns = 0
        self.sol_usd: Decimal | None = None
        self.cycle = 0
        self.marked_ns = 0
        """The newest mark that has a row."""
        self.window_ns = 0
        """Where the present window began: at the last day that was reported, or at the first cycle."""
        self.start_lamports = 0
        self.exposure_lamports = 0
        self.fills_total = 0
        self.slippage_bps_sum = 0
        self.signals_total = 0
        self.denials: Counter[str] = Counter()
        self.forecasts = ForecastBook()
        self.situations = SituationMemory()
        self.advice = AdviceBook()
        self.ranked_ns = 0
        """When the universe was ranked last."""
        self.ranked_mints: tuple[str, ...] = ()
        self.last_signal_ns: dict[str, int] = {}
        self.trail = Trail()
        self.trades: list[Trade] = []
        """The newest ``TRADES_MAX`` fills, oldest first; the whole of them is in the journal."""
        self._ordinals: dict[str, int] = {}
        self._ordinals_ns = 0
        self._appliers = self._appliers_of_kinds()

    def _appliers_of_kinds(self) -> Mapping[type, Callable[[int, Any], Booking | None]]:
        return {
            events.RunStarted: self._run_started,
            events.CapitalDeposited: self._flow_applied,
            events.CapitalWithdrawn: self._flow_applied,
            events.CapitalMoved: self._moved,
            events.WalletsNamed: self._wallets_named,
            events.WalletMoved: self._wallet_moved,
            events.AccountClosed: self._kept_up,
            events.FeePaid: self._kept_up,
            events.SignalRaised: self._signal_raised,
            events.SignalPassed: self._signal_passed,
            events.ForecastMade: self._forecast_made,
            events.ForecastScored: self._forecast_scored,
            events.UniverseRanked: self._universe_ranked,
            events.AdviceScored: self._advice_scored,
            events.OrderApproved: self._order_approved,
            events.OrderDenied: self._order_denied,
            events.OrderFilled: self._filled,
            events.OrderRejected: self._rejected,
            events.PositionWrittenOff: self._written_off,
            events.PositionClosed: self._position_closed,
            events.SituationMet: self._situation_met,
            events.SituationRecalled: self._situation_recalled,
            events.RecallJudged: self._recall_judged,
            events.TradingStateChanged: self._state_changed,
            events.LevelStateChanged: self._level_changed,
            events.GapSeen: self._gap_seen,
            events.ProfileSwitched: self._profile_switched,
            events.StrategyPromoted: self._promoted,
            events.StrategyJudged: self._judged,
            events.StrategyDemoted: self._demoted,
            events.TierChanged: self._tier_changed,
            events.WindowReported: self._window_reported,
            events.SharesRotated: self._shares_rotated,
            events.CycleMarked: self._cycle_marked,
            commands.ReduceOnly: self._reduce,
            commands.FlattenAndHalt: self._halt,
            commands.Resume: self._resume,
            commands.SetTarget: self._set_target,
            commands.MoveCapital: self._move_asked,
            commands.HoldWallet: self._hold_wallet,
            commands.GiveSituations: self._give_situations,
        }

    def apply(self, ts_ns: int, event: events.Event | commands.Command) -> Booking | None:
        """Take one journalled event; return what the ledger made of it, where it is the ledger's."""
        applier = self._appliers.get(type(event))
        return None if applier is None else applier(ts_ns, event)

    def observe_time(self, ts_ns: int, sol_usd: Decimal | None) -> None:
        self.now_ns = ts_ns
        if sol_usd is not None:
            self.sol_usd = sol_usd

    def mark(self, ts_ns: int, equity_lamports: int) -> TradingState:
        """Take the equity at liquidation value; the drawdown guard answers with the state it demands."""
        self.curve.mark(ts_ns, equity_lamports)
        return self.guard.mark(ts_ns, equity_lamports)

    def corridor(self) -> tuple[int, int]:
        """Return the equities between which (both included) a mark on the same day changes nothing but the equity."""
        low, high = self.curve.corridor()
        guard_low, guard_high = self.guard.corridor()
        tier_low, tier_high = tier_bounds(self.tier)
        low = max(low, guard_low, self.curve.equity_for(self.start_lamports, tier_low) + 2)
        high = min(high, guard_high)
        if tier_high is not None:
            high = min(high, self.curve.equity_for(self.start_lamports, tier_high) - 2)
        exposure = highest_exposure_lamports(self.profile.limits, self.ledger.cash_lamports)
        if exposure is not None:
            high = min(high, self.ledger.cash_lamports + exposure)
        return low, high

    def drift(self, equity_lamports: int) -> None:
        """Take an equity within the corridor: quick, and the same as ``mark``."""
        self.curve.drift(equity_lamports)
        self.guard.drift(equity_lamports)

    def marked(self, ts_ns: int, cycle: int, equity_lamports: int, exposure_lamports: int) -> None:
        """Take the end of a cycle."""
        self.cycle = cycle
        self.window_ns = self.window_ns or ts_ns
        self.trail.add(ts_ns, equity_lamports)
        self.exposure_lamports = exposure_lamports

    @property
    def equity_lamports(self) -> int:
        """Equity at the last mark, moved by what came in and went out since."""
        return self.curve.equity_lamports

    @property
    def equity_without_flows_lamports(self) -> int:
        """What the first deposit would have become had nobody moved money since; the tier goes by it."""
        return self.curve.grown_lamports(self.start_lamports)

    @property
    def due_ns(self) -> int:
        """From when on the end of a cycle has a forecast or advice to score, or an hour's returns to note."""
        return min(self.forecasts.next_due_ns, self.returns.due_ns, self.advice.next_due_ns)

    @property
    def slippage_bps_mean(self) -> int | None:
        return round(self.slippage_bps_sum / self.fills_total) if self.fills_total else None

    def trades_after(self, number: int) -> list[Trade]:
        """Return the fills with a higher number, oldest first, as far back as they are kept."""
        newer = self.fills_total - number
        return self.trades[-newer:] if newer > 0 else []

    def orders_now(self, trajectory_id: str) -> int:
        """Return how many orders of the trajectory were decided at this very time."""
        return self._ordinals.get(trajectory_id, 0) if self._ordinals_ns == self.now_ns else 0

    def pending_entries(self) -> list[Order]:
        return [order for order in self.open_orders.values() if order.purpose is Purpose.ENTRY]

    def units_on_sale(self, bucket: str, mint: str) -> int:
        """Return the base units of a position that open exits have taken."""
        return sum(
            order.amount_in
            for order in self.open_orders.values()
            if order.purpose is Purpose.EXIT and order.bucket == bucket and order.mint == mint
        )

    def _run_started(self, _ts_ns: int, event: events.RunStarted) -> None:
        self.use_zone(event.zone or UTC)

    def use_zone(self, zone: str) -> None:
        """Count days by the clocks of this zone."""
        self.zone = zone
        self.day = TradingDay(zone)
        self.use_limits()

    def _flow_applied(self, _ts_ns: int, event: events.CapitalDeposited | events.CapitalWithdrawn) -> Booking:
        booking = self.ledger.apply(event)
        if booking.duplicate:
            return booking
        amount = event.lamports if isinstance(event, events.CapitalDeposited) else -event.lamports
        if self.cycle == 0:
            self.start_lamports += amount
            self.tier = tier_of(self.start_lamports)
        self.curve.flow(amount)
        self.guard.flow(amount)
        self.levels.flow(event.bucket, amount, is_external=True, wallet=event.wallet)
        self._lies(event)
        return booking

    def _moved(self, ts_ns: int, event: events.CapitalMoved) -> Booking:
        booking = self.ledger.apply(event)
        if not booking.duplicate:
            self.rotation.moved(ts_ns, event)
            self.levels.flow(event.from_bucket, -event.lamports, is_external=False)
            self.levels.flow(event.to_bucket, event.lamports, is_external=False)
        return booking

    def _wallets_named(self, _ts_ns: int, event: events.WalletsNamed) -> None:
        if self.wallets is None:
            units = {mint: each.base_units for mint, each in self.ledger.holdings.items()}
            self.wallets = WalletBook.begun(self.ledger.cash_lamports, units, self.ledger.rent_deposits())
        self.wallets.use(event.wallets)

    def _wallet_moved(self, _ts_ns: int, event: events.WalletMoved) -> None:
        self.levels.wallet_flow(event.from_wallet, -event.worth_lamports)
        self.levels.wallet_flow(event.to_wallet, event.worth_lamports)
        if self.wallets is not None:
            self.wallets.take(event)

    def _hold_wallet(self, _ts_ns: int, event: commands.HoldWallet) -> None:
        if self.wallets is not None:
            self.wallets.hold(event.wallet, event.problem)

    def _lies(self, event: events.LedgerEvent) -> None:
        """Note where it lies what an event changed."""
        if self.wallets is not None:
            self.wallets.take(event)

    def _kept_up(self, _ts_ns: int, event: events.AccountClosed | events.FeePaid) -> Booking:
        """What a deposit that comes back adds to cash it takes from rent; a fee is a loss like any other."""
        booking = self.ledger.apply(event)
        if not booking.duplicate:
            self._lies(event)
        return booking

    def _booked(self, _ts_ns: int, event: Traded) -> Booking:
        booking = self.ledger.apply(event)
        if not booking.duplicate:
            self._lies(event)
        if booking.realised_lamports is not None:
            self.levels.realised(event.bucket, event.strategy, booking.realised_lamports)
        if booking.closed is not None:
            self.records.add(self.entries.closed(booking.closed))
            self.peaks.forget(booking.closed.bucket, booking.closed.mint)
            self.gaps.forget(booking.closed.bucket, booking.closed.mint)
        return booking

    def _filled(self, ts_ns: int, event: events.OrderFilled) -> Booking:
        order = self.open_orders.pop(event.fill.order_id, None)
        booking = self._booked(ts_ns, event)
        reason = "" if order is None else order.reason
        if booking.position is not None and booking.closed is None:  # one that was adopted has no order of ours
            self.entries.enter(ts_ns, event.trajectory_id, self.tier.name, self.profile.name)
        if booking.closed is not None:
            self.protections.close(ts_ns, booking.closed, reason, self.equity_lamports)
        if not booking.duplicate:
            self.fills_total += 1
            self.slippage_bps_sum += event.fill.slippage_bps
            self.today.trade(self.day.number(ts_ns), event.fill.lamports)
            self.trades.append(Trade(self.fills_total, event, booking.realised_lamports, reason, self.sol_usd))
            if len(self.trades) > TRADES_MAX:
                del self.trades[: TRADES_MAX // 10]
        return booking

    def _written_off(self, ts_ns: int, event: events.PositionWrittenOff) -> Booking:
        booking = self._booked(ts_ns, event)
        if self.wallets is not None and self.ledger.holding(event.mint) is None:
            self.wallets.forget(event.mint)
        if booking.closed is not None:
            self.protections.close(ts_ns, booking.closed, "", self.equity_lamports)
        return booking

    def _rejected(self, ts_ns: int, event: events.OrderRejected) -> Booking:
        order = self.open_orders.pop(event.rejected.order_id, None)
        booking = self._booked(ts_ns, event)
        if not booking.duplicate:
            self.levels.realised(event.bucket, event.strategy, -event.rejected.charged_lamports)
        if order is not None and self.ledger.position(event.bucket, order.mint) is None:
            self.entries.forget(event.trajectory_id)
        return booking

    def _signal_raised(self, ts_ns: int, event: events.SignalRaised) -> None:
        self.signals_total += 1
        self.entries.hear(ts_ns, event.trajectory_id, event.signal)
        self.last_signal_ns[event.signal.strategy] = ts_ns

    def _signal_passed(self, _ts_ns: int, event: events.SignalPassed) -> None:
        self.denials[event.denied.reason] += 1

    def _forecast_made(self, _ts_ns: int, event: events.ForecastMade) -> None:
        self.forecasts.add(event.trajectory_id, event.forecast)

    def _forecast_scored(self, ts_ns: int, event: events.ForecastScored) -> None:
        self.forecasts.settle(event.score)
        self.situations.settle(ts_ns, event.score.forecast_id, event.score.realised_bps)

    def _position_closed(self, ts_ns: int, event: events.PositionClosed) -> None:
        self.situations.close(ts_ns, event.trajectory_id, event.return_bps)

    def _situation_met(self, _ts_ns: int, event: events.SituationMet) -> None:
        self.situations.meet(event.situation)

    def _situation_recalled(self, _ts_ns: int, event: events.SituationRecalled) -> None:
        if event.recollection is not None:
            recalled = event.edge_bps + event.recollection.shift_bps
            self.situations.answer(event.situation_id, event.edge_bps, recalled)

    def _recall_judged(self, _ts_ns: int, event: events.RecallJudged) -> None:
        self.situations.judged(event.strategy, shifts=event.shifts)

    def _give_situations(self, ts_ns: int, event: commands.GiveSituations) -> None:
        self.situations.give(ts_ns, event.situations)

    def _advice_scored(self, _ts_ns: int, event: events.AdviceScored) -> None:
        self.advice.settle(event.score)

    def _universe_ranked(self, _ts_ns: int, event: events.UniverseRanked) -> None:
        self.ranked_ns = event.ts_ns
        self.ranked_mints = tuple(each.mint for each in event.ranked)

    def _order_approved(self, ts_ns: int, event: events.OrderApproved) -> None:
        self._count_order(ts_ns, event.order)
        self.open_orders[event.order.id] = event.order
        if event.order.purpose is Purpose.ENTRY:
            self.today.enter(self.day.number(ts_ns))
            self.entries.enter(ts_ns, event.order.trajectory_id, self.tier.name, self.profile.name)

    def _order_denied(self, ts_ns: int, event: events.OrderDenied) -> None:
        self._count_order(ts_ns, event.order)
        self.denials[event.denied.reason] += 1

    def _count_order(self, ts_ns: int, order: Order) -> None:
        if ts_ns != self._ordinals_ns:
            self._ordinals_ns = ts_ns
            self._ordinals.clear()
        self._ordinals[order.trajectory_id] = self._ordinals.get(order.trajectory_id, 0) + 1

    def _state_changed(self, _ts_ns: int, event: events.TradingStateChanged) -> None:
        self.trading_state = event.after
        self.state_reason = event.reason
        self.entries_allowed = event.entries_allowed

    def _level_changed(self, _ts_ns: int, event: events.LevelStateChanged) -> None:
        self.levels.told(event.level, event.name, event.after)

    def _gap_seen(self, _ts_ns: int, event: events.GapSeen) -> None:
        self.gaps.take(event.steps, event.entries_from_cycle)

    def _profile_switched(self, _ts_ns: int, event: events.ProfileSwitched) -> None:
        before = {choice.name: choice.parameters for choice in self.profile.strategies}
        self.profile = profile_of(event.content) if event.content else profile_named(event.after)
        for choice in self.profile.strategies:
            if before.get(choice.name) != choice.parameters:
                self.rotation.renew(choice.name)
        self.promotions.keep({choice.name: choice.lineage for choice in self.profile.strategies})
        self.use_limits()

    def _promoted(self, _ts_ns: int, event: events.StrategyPromoted) -> None:
        self.promotions.promote(event)

    def _judged(self, _ts_ns: int, event: events.StrategyJudged) -> None:
        self.promotions.judge(event)

    def _demoted(self, _ts_ns: int, event: events.StrategyDemoted) -> None:
        self.promotions.demote(event)

    def use_limits(self) -> None:
        """Go on under the limits of the profile; peaks and states stay."""
        self.guard.use(self.profile.limits.drawdown, self.day)
        self.levels.use(self.profile.limits, self.day)
        self.protections.use(self.profile.limits.protections)
        self.gaps.use(self.profile.after_gap)

    def _tier_changed(self, _ts_ns: int, event: events.TierChanged) -> None:
        self.tier = tier_named(event.after)

    def _window_reported(self, _ts_ns: int, event: events.WindowReported) -> None:
        if event.occasion == DAY:
            self.window_ns = event.until_ns

    def _shares_rotated(self, _ts_ns: int, event: events.SharesRotated) -> None:
        self.rotation.take(event)

    def _move_asked(self, _ts_ns: int, event: commands.MoveCapital) -> None:
        self.rotation.ask(event)

    def _cycle_marked(self, _ts_ns: int, event: events.CycleMarked) -> None:
        self.marked_ns = event.ts_ns
        self.marked(event.ts_ns, event.cycle, event.equity_lamports, event.exposure_lamports)

    def _reduce(self, _ts_ns: int, event: commands.ReduceOnly) -> None:
        self._demand(TradingState.REDUCING, event)

    def _halt(self, _ts_ns: int, event: commands.FlattenAndHalt) -> None:
        self._demand(TradingState.HALTED, event)

    def _demand(self, state: TradingState, event: commands.ReduceOnly | commands.FlattenAndHalt) -> None:
        reason = f"{event.actor}: {event.reason}"
        if event.level:
            self.levels.demand(level_key(event.level), state, reason)
        else:
            self.guard.demand(state, reason)

    def _resume(self, ts_ns: int, event: commands.Resume) -> None:
        self.levels.resume(ts_ns, level_key(event.level) if event.level else None)
        if not event.level:
            self.guard.resume(ts_ns, self.equity_lamports)

    def _set_target(self, _ts_ns: int, event: commands.SetTarget) -> None:
        self.target_lamports = event.lamports
