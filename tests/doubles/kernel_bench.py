"""A kernel on a scripted market, and questions to its journal."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tests.doubles.scripted_market import ScriptedFeed, ScriptedStrategy

from trading.adapters.canonical import parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.engine.control import Control
from trading.engine.kernel import Kernel
from trading.engine.run import RunSetup, StoredRow
from trading.execution.simulated_venue import SimulatedVenue
from trading.model.event_codec import KINDS, decode
from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.model.profile import FOUNDATION, Profile
from trading.ports import Feed, Journal, Strategy
from trading.risk.levels import LevelKey

Opinion = Callable[[Bar], float | None]


def quiet(_bar: Bar) -> float | None:
    return None


def profile(**limits: Any) -> Profile:
    """Return the default profile with one strategy on all the money, and with other limits where given."""
    choices = (FOUNDATION.strategies[0].model_copy(update={"weight_bps": 10_000}),)
    wanted = FOUNDATION.limits.model_copy(update=limits)
    return FOUNDATION.model_copy(update={"strategies": choices, "limits": wanted})


class KernelBench:
    """One run. ``feed`` takes events; ``events`` gives what the journal says, decoded."""

    def __init__(
        self,
        opinion: Opinion = quiet,
        *,
        rules: Profile | None = None,
        equity: int = 10 * 10**9,
        by_reference: bool = True,
        journal: Journal | None = None,
        begin: bool = True,
        zone: str = "UTC",
    ) -> None:
        self.opinion = opinion
        given = (rules or profile(), equity, 10**11, by_reference)
        setup = RunSetup("run", "scope", "backtest", "a script", *given, zone=zone)
        self.setup = setup
        self.journal = journal or MemoryJournal()
        self.kernel = Kernel(setup, self.journal, SimulatedVenue(), self._strategies)
        self.control = Control(self.kernel)
        if begin:
            self.kernel.start("{}")

    def _strategies(self, profile: Profile) -> list[Strategy]:
        return [ScriptedStrategy(self.opinion, choice.name) for choice in profile.strategies]

    def feed(self, events: Sequence[MarketEvent]) -> "KernelBench":
        for event in events:
            self.kernel.on_event(event)
            self.kernel.state.ledger.verify()
        self.journal.commit()
        return self

    def events(self, *kinds: type) -> list[Any]:
        self.journal.commit()
        found = [decode(row.kind, parse_json(row.body)) for row in self.journal.rows(kinds=KINDS)]
        return [event for event in found if not kinds or isinstance(event, kinds)]

    def kinds(self) -> list[str]:
        self.journal.commit()
        return [row.kind for row in self.journal.rows()]

    def _made(self, **given: Any) -> "KernelBench":
        """Return a bench of the same strategies; one that has others says so here."""
        return KernelBench(self.opinion, **given)

    def restored(self, feed: ScriptedFeed | None, *, upto: int | None = None) -> "KernelBench":
        """Return another bench, folded from this one's committed rows (the first ``upto`` of them)."""
        self.journal.commit()
        other = self._made(
            rules=self.setup.profile,
            equity=self.setup.equity_lamports,
            begin=False,
            by_reference=self.setup.by_reference,
        )
        other.setup = replace(self.setup)
        other.kernel.restore(stored(self.journal, upto), None if feed is None else feed.events())
        if feed is not None and upto is None:
            catch_up(other.kernel, feed, self.kernel.cycles)
        return other


def catch_up(kernel: Kernel, feed: Feed, cycles: int) -> None:
    """Take the quiet cycles that left no row, as a session does that is opened again."""
    for event in feed.events(kernel.cycles) if kernel.cycles < cycles else ():
        kernel.on_event(event)
        if kernel.cycles == cycles:
            return


def stored(journal: Journal, upto: int | None = None) -> Iterator[StoredRow]:
    for row in journal.rows():
        if upto is not None and row.seq > upto:
            return
        yield StoredRow(row.ts_ns, row.kind, parse_json(row.body))


def fingerprint(kernel: Kernel) -> dict[str, Any]:
    """Return everything a desk knows that a restart must bring back."""
    state, ledger = kernel.state, kernel.state.ledger
    return {
        "cash": ledger.cash_lamports,
        "rent": ledger.rent_lamports,
        "realised": ledger.realised_lamports,
        "costs": ledger.costs,
        "positions": ledger.positions(),
        "buckets": {name: bucket.cash_lamports for name, bucket in ledger.buckets.items()},
        "open_orders": sorted(state.open_orders),
        "venue_orders": sorted(order.id for order in kernel.venue.open_orders()),
        "window_ns": state.window_ns,
        "state": (state.trading_state, state.entries_allowed, state.state_reason),
        "guard": (state.guard.state, state.guard.peak_lamports, state.guard.drawdown_bps, state.guard.day_loss_bps),
        "levels": levels_of(kernel),
        "trips": {name: state.records.trips(name) for name in state.records.names()},
        "entries": state.entries.open(),
        "today": (state.today.entries(state.now_ns), state.today.turnover_lamports(state.now_ns)),
        "locks": list(state.protections.locks(0)),
        "equity": state.equity_lamports,
        "twr": state.curve.time_weighted_return_bps,
        "tier": state.tier.name,
        "promotions": dict(state.promotions.standings),
        "cycles": (kernel.cycles, state.cycle, kernel.bars, state.now_ns),
        "counts": (state.signals_total, dict(state.denials), state.fills_total, state.slippage_bps_sum),
        "sparkline": state.trail.sparkline(),
        "target": state.target_lamports,
        "worth": kernel.valuer.value(),
    }


def levels_of(kernel: Kernel) -> dict[LevelKey, tuple[str, int, int, int]]:
    """Return each level's state, worth, peak and drop, brought up to the last cycle."""
    kernel.levels.refresh()
    return {
        key: (guard.state.value, guard.equity_lamports, guard.peak_lamports, guard.drawdown_bps)
        for key, guard, _ in kernel.state.levels.figures()
    }


def cycles_of(events: Sequence[MarketEvent]) -> list[list[MarketEvent]]:
    groups: list[list[MarketEvent]] = [[]]
    for event in events:
        groups[-1].append(event)
        if isinstance(event, CycleEnd):
            groups.append([])
    return groups[:-1]
