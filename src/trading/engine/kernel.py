"""The one loop: market events and commands in, journal rows and orders out. It waits for nothing and asks no clock.

Every input is journalled before anything that it leads to, and every change of the desk is a journalled event before
it is applied; so the state is a fold of the rows, and a run can be repeated from its inputs byte for byte.

Recorded inputs are journalled by reference: one row names a stretch of them, and it is written before any other row.
A cycle in which nothing happened has no row of its own then: its mark follows from the inputs. What a crash finds
without a row is such quiet cycles only; the same inputs give them again.
So most bars cost little: while no strategy speaks, no order fills and equity and prices stay in ranges in which no
rule could have a say (``quiet``), a cycle only notes the equity.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from trading.model import commands, events
from trading.model.account import TradingState
from trading.model.event_codec import decode, encode
from trading.model.market_data import (
    Advised,
    Bar,
    CycleEnd,
    History,
    MarketEvent,
    Swap,
    TokenGone,
    VenueReported,
    ts_of,
)
from trading.model.order import Fill, Purpose, Signal, VenueReport
from trading.model.profile import Profile
from trading.model.profile_content import content_of
from trading.model.tier import moved_tier
from trading.model.trading_day import UTC
from trading.portfolio.buckets import Booking, split_lamports
from trading.ports import Journal, Strategy, Venue

from .advising import Advisor
from .closings import closed, never_filled
from .forecasting import Forecaster
from .gap_keeper import GapKeeper
from .inputs import ENDED, INPUT, MARKET_KINDS, Stretch, encode_input, news_of
from .level_keeper import LevelKeeper
from .listeners import Listeners
from .promoting import judge_promoted
from .quiet import MARK_SPACING_NS, Quiet
from .recalling import Recaller
from .rotator import Rotator
from .rows import mark_row
from .run import RunSetup, StoredRow
from .state import TIER, DeskState
from .stored_inputs import StoredInputs
from .trader import Trader
from .treasury import keep_shares
from .valuation import Valuation, Valuer
from .windows import close_day, report_windows

CYCLE_MARKED: Final = "cycle_marked"
MOVES: Final = (events.CapitalMoved, events.CapitalDeposited, events.CapitalWithdrawn, events.WalletMoved)
"""Money that moves by itself: the levels are marked before it does."""
MakeStrategies = Callable[[Profile], list[Strategy]]


class Kernel:
    """One run. Belongs to one thread at a time; ``journal`` is committed by its owner, at the end of a cycle."""

    def __init__(self, setup: RunSetup, journal: Journal, venue: Venue, make_strategies: MakeStrategies) -> None:
        self.setup = setup
        self.state = DeskState(setup.profile, setup.target_lamports)
        self.venue = venue
        self.valuer = Valuer(self.state, venue)
        self.trader = Trader(setup.scope, self.state, venue, self.valuer, self.emit)
        self.levels = LevelKeeper(self.state, self.valuer, self.emit)
        self.gaps = GapKeeper(self.state, self.valuer, venue, self.emit)
        self.forecaster = Forecaster(self.state, venue, self.valuer, self.trader, self.emit)
        self.recaller = Recaller(self.state, self.valuer, self.emit)
        self.forecaster.met = self.recaller.met
        self.trader.counsellors.append(self.recaller.counsel)
        self.advisor = Advisor(self.state, venue, self.emit)
        self.trader.counsellors.append(self.advisor.weigh)
        self.quiet = Quiet(self.state, self.valuer, self.trader, self.levels, by_reference=setup.by_reference)
        self.rotator = Rotator(self.state, self.valuer, self.levels, self.emit)
        self._listeners = Listeners()
        self.strategies = make_strategies(setup.profile)
        self._make_strategies = make_strategies
        self._journal = journal
        self._by_reference = setup.by_reference
        self._signals: list[Signal] = []
        self._stretch = Stretch()
        self._is_loud = True
        """Whether a row was written in this cycle, so that its mark is written too."""
        self._is_between = False
        """Whether the newest event ended a cycle, and the next one has not begun."""
        self.seen_ns: dict[str, int] = {}
        """The close of the newest bar of each token that the strategies were shown."""
        self._tiered_at: tuple[int, int] | None = None
        self.cycles = 0
        self.bars = 0

    @property
    def strategies(self) -> list[Strategy]:
        return self._strategies

    @strategies.setter
    def strategies(self, strategies: list[Strategy]) -> None:
        self._strategies = strategies
        self._on_bar = [strategy.on_bar for strategy in strategies]
        self.trader.facts_needed_by = self._listeners.use(strategies)

    @property
    def warmup_bars(self) -> int:
        """How many bars of a token it takes until every strategy may speak about it."""
        return max((strategy.warmup_bars for strategy in self.strategies), default=0)

    def start(self, parameters: str) -> None:
        """Begin an empty run: the header, then the start capital, split over the buckets by the profile's weights."""
        setup = self.setup
        header = (setup.run_id, setup.mode, setup.profile.name, setup.feed, parameters, setup.seed, setup.conditions)
        self.emit(events.RunStarted(*header, content_of(setup.profile), "" if setup.zone == UTC else setup.zone))
        shares = split_lamports(
            setup.equity_lamports, {choice.name: choice.weight_bps for choice in setup.profile.strategies}
        )
        rest = setup.equity_lamports - sum(shares.values())
        first = next(iter(shares))
        for bucket, lamports in shares.items():
            capital = lamports + (rest if bucket == first else 0)
            if capital:
                self.emit(events.CapitalDeposited(f"start/{bucket}", 0, bucket, capital, "start capital"))

    def on_event(self, event: MarketEvent) -> None:
        """Take one market event: record it, move the venue, let the strategies see it; at a CycleEnd decide.

        Of a History only the bars count that are news to the strategies; one without news leaves no row.
        """
        if type(event) is History:
            event = news_of(event, self.seen_ns.get(event.mint, 0))
            if not event.bars:
                return
        if type(event) is VenueReported:
            self._take_report(event)
            return
        if type(event) is Advised:
            self._record(event)
            self.advisor.take(event)
            return
        self._is_between = False
        if self._by_reference and (type(event) is Bar or type(event) is CycleEnd or type(event) is Swap):
            stretch = self._stretch
            stretch.newest = event
            stretch.events += 1
            if stretch.first is None:
                stretch.first = event
        else:
            self._record(event)
        self.state.now_ns = event.ts_close_ns if isinstance(event, Bar) else event.ts_ns
        for report in self.venue.on_market(event):
            self._report(report)
        self._observe(event)
        if type(event) is CycleEnd:
            if event.ts_ns - self.state.trail.newest_ns > self.state.gaps.least_ns:
                self.gaps.look(self.cycles)
            if (
                self._signals
                or self._is_loud
                or event.ts_ns >= self.quiet.until_ns
                or not self.quiet.holds(self.cycles)
            ):
                self._decide()
            self._is_between = True
        elif type(event) is TokenGone:
            self._write_off(event)

    def take_cycle(self, bars: Sequence[Bar], end: CycleEnd, signals: Sequence[Signal]) -> None:
        """Take the bars of a cycle, to which the strategies have said these opinions already, and its end."""
        on_bar, self._on_bar = self._on_bar, []
        for bar in bars:
            self.on_event(bar)
        self._on_bar = on_bar
        self._signals += signals
        self.on_event(end)

    @property
    def is_at_rest(self) -> bool:
        """Whether the newest event ended a cycle that left nothing to decide or to write down."""
        return self._is_between and not self._is_loud and not self._signals

    def pass_over(self, bars: Sequence[Bar], ends: Sequence[CycleEnd]) -> None:
        """Count in the bars and the ends of quiet cycles that venue, strategies and account have taken already; nothing
        was due before the last of them."""
        stretch, state = self._stretch, self.state
        if stretch.first is None:
            stretch.first = bars[0] if bars and bars[0].ts_close_ns <= ends[0].ts_ns else ends[0]
        stretch.newest = ends[-1]
        stretch.events += len(bars) + len(ends)
        state.now_ns = ends[-1].ts_ns
        sol_usd = _newest_sol_usd(bars, ends)
        if sol_usd is not None:
            state.sol_usd = sol_usd
        self.bars += len(bars)
        if self.recaller.is_on:
            self.recaller.histories.add_all(bars)
        self.cycles += len(ends)
        state.cycle = self.cycles
        if state.now_ns >= state.due_ns:
            self._look(state.now_ns)

    def _take_report(self, event: VenueReported) -> None:
        """Book what became of an order on a real venue; it comes between two cycles, and the next one decides."""
        self._record(event)
        for report in self.venue.on_market(event):
            self._report(report)

    def _record(self, event: MarketEvent) -> None:
        self._settle()
        kind, body = encode_input(event, by_reference=self._by_reference)
        self._journal.append(ts_of(event), kind, body)
        self._is_loud = True

    @property
    def unwritten(self) -> list[str | int | bool | None]:
        """What no row says yet, for ``go_on_with``: the inputs of quiet cycles, and whether a mark is due."""
        return [self._stretch.events, self._stretch.begins, self._is_loud]

    def go_on_with(self, events: int, first: str | int | None, is_loud: bool) -> None:
        """Go on where a checkpoint was written."""
        self._stretch = Stretch(events, first)
        self._is_between = True
        if events:
            self._stretch.newest = CycleEnd(self.state.now_ns, None)
        self._is_loud = is_loud

    def _settle(self) -> None:
        """Write down the inputs that have no row yet and, between two cycles, the mark of the one that was quiet."""
        if self._stretch.events:
            stretch, self._stretch = self._stretch, Stretch()
            self._journal.append(stretch.ts_ns, INPUT, stretch.body(), is_plain=True)
            if self._is_between:
                state = self.state
                self._write_mark(state.equity_lamports, state.ledger.cash_lamports, state.exposure_lamports)

    def _write_mark(self, equity_lamports: int, cash_lamports: int, exposure_lamports: int) -> None:
        state = self.state
        row = mark_row(state, self.cycles, equity_lamports, cash_lamports, exposure_lamports)
        self._journal.append_canonical(state.now_ns, CYCLE_MARKED, row)
        state.marked_ns = state.now_ns

    def end(self) -> None:
        """Record that the feed has ended."""
        self._settle()
        self._journal.append(self.state.now_ns, ENDED, {})

    def emit(self, event: events.Event | commands.Command) -> Booking | None:
        """Journal an event, then apply it."""
        self._settle()
        self._is_loud = True
        kind, body = encode(event)
        self._journal.append(self.state.now_ns, kind, body, is_plain=True)
        self._mark_before(event)
        return self.state.apply(self.state.now_ns, event)

    def _mark_before(self, event: object) -> None:
        """Mark the levels before money moves between them, also those that came into being since the last cycle."""
        if isinstance(event, MOVES) and self.cycles:
            self.levels.mark(self.valuer.value())

    def update_state(self, reason: str, *, entries_allowed: bool | None = None) -> None:
        """Record the trading state that the guard demands, where it is another one than before."""
        state = self.state
        before, after = state.trading_state, state.guard.state
        entries = state.entries_allowed if entries_allowed is None else entries_allowed
        if before is not after or entries is not state.entries_allowed:
            self.emit(events.TradingStateChanged(state.now_ns, before, after, entries, reason))

    def switch_profile(self, profile: Profile) -> None:
        """Go on under another profile; strategies that stay as they are keep what they have seen."""
        before = {(strategy.name, repr(strategy.parameters())): strategy for strategy in self.strategies}
        fresh = self._make_strategies(profile)
        self.recaller.use(profile)
        self.strategies = [before.get((strategy.name, repr(strategy.parameters())), strategy) for strategy in fresh]

    def restore(self, rows: Iterable[StoredRow], recorded: Iterator[MarketEvent] | None) -> None:
        """Fold the rows of a run into a kernel that has not begun: facts are taken from the rows, not decided again.

        The market is shown to the venue and the strategies once more, so that they know what they knew; what they say
        to it is in the rows already. ``recorded`` yields the events that the rows only refer to.

        Raises: DataError when the recorded feed is not the one that the rows came from.
        """
        seen: MarketEvent | None = None
        has_mark = False
        inputs = StoredInputs(recorded, self.seen_ns, self._stretch, by_reference=self._by_reference)
        for row in rows:
            if row.kind == ENDED:
                continue
            if row.kind not in MARKET_KINDS:
                self._fold(row)
                has_mark = has_mark or row.kind == CYCLE_MARKED
                self._is_loud = row.kind != CYCLE_MARKED
                continue
            # What is news of a History depends on what was seen: so observe before the next event is fetched.
            if seen is not None:
                self._seen_again(seen, has_mark=has_mark)
            seen, has_mark = None, False
            for event in inputs.events_of(row):
                if seen is not None:
                    self._seen_again(seen, has_mark=False)
                seen = event
                self.state.now_ns = ts_of(event)
                self.venue.on_market(event)
        if seen is not None:
            self._seen_again(seen, has_mark=has_mark)
        self._stretch = inputs.rest
        self._signals.clear()

    def _seen_again(self, event: MarketEvent, *, has_mark: bool) -> None:
        """Observe an event whose consequences are folded; a cycle without a mark of its own was a quiet one."""
        self._observe(event)
        if type(event) is CycleEnd and not has_mark:
            valuation = self.valuer.value()
            self.state.mark(event.ts_ns, valuation.equity_lamports)
            self.levels.mark(valuation)
            self.state.marked(event.ts_ns, self.cycles, valuation.equity_lamports, valuation.exposure_lamports)

    def _fold(self, row: StoredRow) -> None:
        event = decode(row.kind, row.body)
        self._mark_before(event)
        if isinstance(event, events.CycleMarked):
            self.state.mark(event.ts_ns, event.equity_lamports)
            self.levels.mark(self.valuer.value())
        self.state.apply(row.ts_ns, event)
        if isinstance(event, events.OrderApproved):
            self.venue.submit(event.order)
        elif isinstance(event, events.ProfileSwitched):
            self.switch_profile(self.state.profile)

    def _observe(self, event: MarketEvent) -> None:
        if type(event) is Bar:
            self.bars += 1
            self.seen_ns[event.mint] = event.ts_close_ns
            if event.sol_usd is not None:
                self.state.sol_usd = event.sol_usd
            if event.mint in self.state.ledger.holdings:
                self.quiet.observe(event)
            if self.recaller.is_on:
                self.recaller.histories.add(event)
            for on_bar in self._on_bar:
                signal = on_bar(event)
                if signal is not None:
                    self._signals.append(signal)
        elif type(event) is CycleEnd:
            self.cycles += 1
            state = self.state
            if event.sol_usd is not None:
                state.sol_usd = event.sol_usd
            if event.ts_ns >= state.due_ns:
                self._look(event.ts_ns)
        elif type(event) is Advised:
            self.advisor.take(event)
        elif type(event) is Swap:
            for on_swap in self._listeners.on_swap:
                on_swap(event)
        elif type(event) is History:
            self.state.returns.learn(event.ts_ns, event.bars)
            self.recaller.learn(event.bars)
            for bar in event.bars:
                self.seen_ns[event.mint] = bar.ts_close_ns
                for strategy in self.strategies:
                    strategy.on_bar(bar)  # what it thought then is over
        else:
            self._listeners.tell(event, self.valuer)

    def _look(self, now_ns: int) -> None:
        """Note what is due at the end of a cycle and leaves no row."""
        if now_ns >= self.state.forecasts.next_due_ns:
            self.forecaster.look(now_ns)
        if now_ns >= self.state.advice.next_due_ns:
            self.advisor.look(now_ns)
        if now_ns >= self.state.returns.due_ns:
            self.state.returns.sample(now_ns, self.valuer.newest_bars())
            self.recaller.sample(now_ns)

    def _decide(self) -> None:
        is_new_day = close_day(self.state, self.emit)
        valuation = self.valuer.value()
        flatten = self._mark(valuation)
        if is_new_day:  # after the mark: the peaks of levels move in proportion to what they are worth now
            judge_promoted(self.state, self.valuer, valuation, self.emit)
            self.rotator.look(valuation)
            keep_shares(self.state, self.valuer, valuation, self.emit)
        signals, self._signals = self._signals, []
        self.advisor.observe(is_told=bool(signals) or self._is_told)
        self.forecaster.observe(signals, is_told=bool(signals) or self._is_told)
        self.recaller.judge()
        if signals or valuation.by_mint:
            exits = [signal for signal in signals if signal.strength < 0]
            self.trader.run_exits(exits, valuation, flatten)
            self.trader.run_entries([signal for signal in signals if signal.strength > 0], valuation)
        state = self.state
        equity, exposure = valuation.equity_lamports, valuation.exposure_lamports
        if self._is_told:
            self._settle()
            self._write_mark(equity, valuation.cash_lamports, exposure)
        state.marked(state.now_ns, self.cycles, equity, exposure)
        self._is_loud = False
        self.quiet.begin(valuation)

    @property
    def _is_told(self) -> bool:
        """Whether this cycle has a mark of its own."""
        return self._is_loud or not self._by_reference or self.state.now_ns >= self.state.marked_ns + MARK_SPACING_NS

    def _mark(self, valuation: Valuation) -> str | None:
        """Mark the account; return why everything must be sold now, None where it need not."""
        state = self.state
        after = state.mark(state.now_ns, valuation.equity_lamports)
        if after is not state.trading_state:
            self.update_state(state.guard.reason)
        self.levels.mark(valuation)
        self.levels.tell()
        worth = (valuation.equity_lamports, state.curve.net_flows_lamports)
        if worth != self._tiered_at:  # the tier goes by nothing else
            self._tiered_at = worth
            moved = moved_tier(state.tier, state.equity_without_flows_lamports)
            if moved is not state.tier:
                self.emit(events.TierChanged(state.now_ns, state.tier.name, moved.name, valuation.equity_lamports))
                report_windows(state, self.emit, TIER, state.now_ns)
        return None if after is TradingState.ACTIVE else self.flatten_reason()

    def flatten_reason(self) -> str | None:
        """Return why nothing may be held now: a crossed drawdown limit, or an operator's halt."""
        guard = self.state.guard
        if guard.state is TradingState.HALTED or guard.is_reducing_by_drawdown:
            return f"{guard.state.value.lower()}: {guard.reason}"
        return None

    def _report(self, report: VenueReport) -> None:
        order = self.state.open_orders[report.order_id]
        if isinstance(report, Fill):
            filled = events.OrderFilled(order.trajectory_id, order.strategy, order.bucket, report, order.wallet)
            booking = self.emit(filled)
            assert booking is not None
            self._close_out(booking, order.reason)
            return
        self.emit(events.OrderRejected(order.trajectory_id, order.strategy, order.bucket, report, order.wallet))
        if order.purpose is Purpose.ENTRY and self.state.ledger.position(order.bucket, order.mint) is None:
            self.emit(never_filled(order, report))

    def book(self, event: events.LedgerEvent, reason: str) -> None:
        """Book what happened without an order of ours; a position that it closes has that reason."""
        booking = self.emit(event)
        assert booking is not None
        self._close_out(booking, reason)

    def _write_off(self, gone: TokenGone) -> None:
        for position in self.state.ledger.positions():
            if position.mint == gone.mint:
                whose = (position.trajectory_id, position.strategy, position.bucket)
                booking = self.emit(events.PositionWrittenOff(*whose, gone.mint, gone.ts_ns, gone.reason))
                assert booking is not None
                self._close_out(booking, f"written off: {gone.reason}")

    def _close_out(self, booking: Booking, reason: str) -> None:
        if booking.closed is not None:
            self.emit(closed(booking.closed, reason))


def _newest_sol_usd(bars: Sequence[Bar], ends: Sequence[CycleEnd]) -> Decimal | None:
    """Return the newest SOL price that these carry, None where none does; the end of a cycle comes after its bars."""
    end = next((each for each in reversed(ends) if each.sol_usd is not None), None)
    since_ns = -1 if end is None else end.ts_ns
    for bar in reversed(bars):
        if bar.ts_close_ns <= since_ns:
            break
        if bar.sol_usd is not None:
            return bar.sol_usd
    return None if end is None else end.sol_usd
