"""The one loop: market events and commands in, journal rows and orders out. It waits for nothing and asks no clock.

Every input is journalled before it is dispatched, and every change of the desk is a journalled event before it is
applied; so the state is a fold of the rows, and a run can be repeated from its inputs byte for byte.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trading.errors import DataError
from trading.model import commands, events
from trading.model.account import TradingState
from trading.model.event_codec import decode, encode
from trading.model.market_data import Bar, CycleEnd, History, MarketEvent, TokenGone, TokenListed, ts_of
from trading.model.order import Fill, Purpose, Signal, VenueReport
from trading.model.profile import Profile
from trading.model.tier import moved_tier
from trading.portfolio.buckets import Booking, split_lamports
from trading.ports import Journal, Strategy, Venue

from .inputs import ENDED, INPUT, MARKET_KINDS, decode_input, encode_input
from .rows import bar_row, end_row, mark_row
from .state import DAY, RETURN_PERIOD_NS, TIER, DeskState
from .trader import Trader
from .valuation import Valuation, Valuer

NOT_FILLED: Final = "not filled"
"""How the outcome of a trajectory begins whose entry never became a position."""

CYCLE_MARKED: Final = "cycle_marked"
EVIDENCE_MAX: Final = 50
"""Trades that the report of a window names."""

MakeStrategies = Callable[[Profile], list[Strategy]]


@dataclass(frozen=True, slots=True)
class RunSetup:
    """What a run is made of. ``scope`` goes into every id and is a function of the inputs alone, so that a replay names
    everything the same; ``by_reference``: bars can be looked up in a recorded or generated feed."""

    run_id: str
    scope: str
    mode: str
    feed: str
    profile: Profile
    equity_lamports: int
    target_lamports: int
    by_reference: bool
    seed: int = 0


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A journal row with its body parsed."""

    ts_ns: int
    kind: str
    body: Mapping[str, Any]


class Kernel:
    """One run. Belongs to one thread at a time; ``journal`` is committed by its owner, at the end of a cycle."""

    def __init__(self, setup: RunSetup, journal: Journal, venue: Venue, make_strategies: MakeStrategies) -> None:
        self.setup = setup
        self.state = DeskState(setup.profile, setup.target_lamports)
        self.venue = venue
        self.valuer = Valuer(self.state, venue)
        self.trader = Trader(setup.scope, self.state, venue, self.valuer, self.emit)
        self.strategies = make_strategies(setup.profile)
        self._make_strategies = make_strategies
        self._journal = journal
        self._by_reference = setup.by_reference
        self._signals: list[Signal] = []
        self.seen_ns: dict[str, int] = {}
        """The close of the newest bar of each token that the strategies were shown."""
        self._tiered_at: tuple[int, int] | None = None
        self.cycles = 0
        self.bars = 0

    @property
    def warmup_bars(self) -> int:
        """How many bars of a token it takes until every strategy may speak about it."""
        return max((strategy.warmup_bars for strategy in self.strategies), default=0)

    def start(self, parameters: str) -> None:
        """Begin an empty run: the header, then the start capital, split over the buckets by the profile's weights."""
        setup = self.setup
        self.emit(events.RunStarted(setup.run_id, setup.mode, setup.profile.name, setup.feed, parameters, setup.seed))
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
            event = self._news_of(event)
            if not event.bars:
                return
        ts_ns = ts_of(event)
        self._record(ts_ns, event)
        self.state.now_ns = ts_ns
        for report in self.venue.on_market(event):
            self._report(report)
        self._observe(event)
        if type(event) is CycleEnd:
            self._decide()
        elif type(event) is TokenGone:
            self._write_off(event)

    def _record(self, ts_ns: int, event: MarketEvent) -> None:
        row = None
        if type(event) is Bar:
            row = bar_row(event) if self._by_reference else None
        elif type(event) is CycleEnd:
            row = end_row(event)
        if row is None:
            kind, body = encode_input(event, by_reference=self._by_reference)
            self._journal.append(ts_ns, kind, body)
        else:
            self._journal.append_canonical(ts_ns, INPUT, row)

    def end(self) -> None:
        """Record that the feed has ended."""
        self._journal.append(self.state.now_ns, ENDED, {})

    def emit(self, event: events.Event | commands.Command) -> Booking | None:
        """Journal an event, then apply it."""
        kind, body = encode(event)
        self._journal.append(self.state.now_ns, kind, body)
        return self.state.apply(self.state.now_ns, event)

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
        self.strategies = [before.get((strategy.name, repr(strategy.parameters())), strategy) for strategy in fresh]

    def restore(self, rows: Iterable[StoredRow], recorded: Iterator[MarketEvent] | None) -> None:
        """Fold the rows of a run into a kernel that has not begun: facts are taken from the rows, not decided again.

        The market is shown to the venue and the strategies once more, so that they know what they knew; what they say
        to it is in the rows already. ``recorded`` yields the events that the rows only refer to.

        Raises: DataError when the recorded feed is not the one that the rows came from.
        """
        seen: MarketEvent | None = None
        for row in rows:
            if row.kind == ENDED:
                continue
            if row.kind in MARKET_KINDS:
                if seen is not None:
                    self._observe(seen)
                seen = self._stored_event(row, recorded)
                self.state.now_ns = row.ts_ns
                self.venue.on_market(seen)
            else:
                self._fold(row)
        if seen is not None:
            self._observe(seen)
        self._signals.clear()

    def _stored_event(self, row: StoredRow, recorded: Iterator[MarketEvent] | None) -> MarketEvent:
        if recorded is None:
            return decode_input(row.kind, row.ts_ns, row.body)
        event = next(recorded, None)
        while type(event) is History:
            event = self._news_of(event)
            if event.bars:
                break
            event = next(recorded, None)
        if event is None or (row.kind, row.body) != encode_input(event, by_reference=self._by_reference):
            msg = f"the feed no longer gives what this run was made from: row {dict(row.body)} against {event}"
            raise DataError(msg, hint="bring the recorded file back, or start a new run")
        return event

    def _fold(self, row: StoredRow) -> None:
        event = decode(row.kind, row.body)
        if isinstance(event, events.CycleMarked):
            self.state.mark(event.ts_ns, event.equity_lamports)
        self.state.apply(row.ts_ns, event)
        if isinstance(event, events.OrderApproved):
            self.venue.submit(event.order)
        elif isinstance(event, events.ProfileSwitched):
            self.switch_profile(self.state.profile)

    def _news_of(self, history: History) -> History:
        """Return the bars that the strategies have not been shown, without any from the future."""
        seen_ns = self.seen_ns.get(history.mint, 0)
        news: list[Bar] = []
        for bar in history.bars:
            if seen_ns < bar.ts_close_ns <= history.ts_ns:
                news.append(bar)
                seen_ns = bar.ts_close_ns
        return history if len(news) == len(history.bars) else replace(history, bars=tuple(news))

    def _observe(self, event: MarketEvent) -> None:
        if type(event) is Bar:
            self.bars += 1
            self.seen_ns[event.mint] = event.ts_close_ns
            if event.sol_usd is not None:
                self.state.sol_usd = event.sol_usd
            mint = event.mint
            for bucket in self.state.ledger.buckets.values():
                if mint in bucket.positions:
                    self.state.peaks.observe(bucket.name, mint, event.close)
            for strategy in self.strategies:
                signal = strategy.on_bar(event)
                if signal is not None:
                    self._signals.append(signal)
        elif type(event) is CycleEnd:
            self.cycles += 1
            if event.sol_usd is not None:
                self.state.sol_usd = event.sol_usd
        elif type(event) is History:
            for bar in event.bars:
                self.seen_ns[event.mint] = bar.ts_close_ns
                for strategy in self.strategies:
                    strategy.on_bar(bar)  # what it thought then is over
        elif type(event) is TokenListed:
            self.valuer.instruments[event.instrument.mint] = event.instrument
            self.valuer.listed_ns.setdefault(event.instrument.mint, event.ts_ns)

    def _decide(self) -> None:
        self._close_day()
        valuation = self.valuer.value()
        flatten = self._mark(valuation)
        signals, self._signals = self._signals, []
        if signals or valuation.by_mint:
            exits = [signal for signal in signals if signal.strength < 0]
            self.trader.run_exits(exits, valuation, flatten)
            self.trader.run_entries([signal for signal in signals if signal.strength > 0], valuation)
        equity, exposure = valuation.equity_lamports, valuation.exposure_lamports
        row = mark_row(self.state, self.cycles, equity, valuation.cash_lamports, exposure)
        self._journal.append_canonical(self.state.now_ns, CYCLE_MARKED, row)
        self.state.marked(self.state.now_ns, self.cycles, equity, exposure)

    def _mark(self, valuation: Valuation) -> str | None:
        """Mark the account; return why everything must be sold now, None where it need not."""
        state = self.state
        after = state.mark(state.now_ns, valuation.equity_lamports)
        if after is not state.trading_state:
            self.update_state(state.guard.reason)
        worth = (valuation.equity_lamports, state.curve.net_flows_lamports)
        if worth != self._tiered_at:  # the tier goes by nothing else
            self._tiered_at = worth
            moved = moved_tier(state.tier, state.equity_without_flows_lamports)
            if moved is not state.tier:
                self.emit(events.TierChanged(state.now_ns, state.tier.name, moved.name, valuation.equity_lamports))
                self._report_windows(TIER, state.now_ns)
        return None if after is TradingState.ACTIVE else self.flatten_reason()

    def _close_day(self) -> None:
        """Report the windows when a day is over: at the first cycle of another one."""
        state = self.state
        day_ns = state.now_ns - state.now_ns % RETURN_PERIOD_NS
        if 0 < state.window_ns < day_ns:
            self._report_windows(DAY, day_ns)

    def _report_windows(self, occasion: str, until_ns: int) -> None:
        state = self.state
        since_ns = state.window_ns
        for bucket in list(state.ledger.buckets.values()):
            window = state.records.window(bucket.name, since_ns, until_ns)
            self.emit(
                events.WindowReported(
                    ts_ns=state.now_ns,
                    occasion=occasion,
                    strategy=bucket.name,
                    bucket=bucket.name,
                    since_ns=since_ns,
                    until_ns=until_ns,
                    trades=window.trades,
                    wins=window.wins,
                    realised_lamports=window.realised_lamports,
                    mean_return_bps=window.mean_return_bps,
                    mean_slippage_bps=window.mean_slippage_bps,
                    mean_holding_s=window.mean_holding_s,
                    tier=state.tier.name,
                    profile=state.profile.name,
                    capital_lamports=bucket.book_lamports,
                    evidence=window.evidence[-EVIDENCE_MAX:],
                )
            )

    def flatten_reason(self) -> str | None:
        """Return why nothing may be held now: a crossed drawdown limit, or an operator's halt."""
        guard = self.state.guard
        if guard.state is TradingState.HALTED or guard.is_reducing_by_drawdown:
            return f"{guard.state.value.lower()}: {guard.reason}"
        return None

    def _report(self, report: VenueReport) -> None:
        order = self.state.open_orders[report.order_id]
        if isinstance(report, Fill):
            filled = events.OrderFilled(order.trajectory_id, order.strategy, order.bucket, report)
            booking = self.emit(filled)
            assert booking is not None
            self._close_out(booking, order.reason)
            return
        self.emit(events.OrderRejected(order.trajectory_id, order.strategy, order.bucket, report))
        if order.purpose is Purpose.ENTRY and self.state.ledger.position(order.bucket, order.mint) is None:
            self.emit(
                events.PositionClosed(
                    trajectory_id=order.trajectory_id,
                    strategy=order.strategy,
                    bucket=order.bucket,
                    mint=order.mint,
                    ts_ns=report.ts_ns,
                    realised_lamports=-report.charged_lamports,
                    return_bps=0,
                    holding_ns=0,
                    reason=f"{NOT_FILLED}: {report.reason}: {report.message}",
                )
            )

    def _write_off(self, gone: TokenGone) -> None:
        for position in self.state.ledger.positions():
            if position.mint == gone.mint:
                booking = self.emit(
                    events.PositionWrittenOff(
                        position.trajectory_id, position.strategy, position.bucket, gone.mint, gone.ts_ns, gone.reason
                    )
                )
                assert booking is not None
                self._close_out(booking, f"written off: {gone.reason}")

    def _close_out(self, booking: Booking, reason: str) -> None:
        trip = booking.closed
        if trip is not None:
            self.emit(
                events.PositionClosed(
                    trajectory_id=trip.trajectory_id,
                    strategy=trip.strategy,
                    bucket=trip.bucket,
                    mint=trip.mint,
                    ts_ns=trip.closed_ns,
                    realised_lamports=trip.realised_lamports,
                    return_bps=trip.return_bps,
                    holding_ns=trip.closed_ns - trip.opened_ns,
                    reason=reason,
                )
            )
