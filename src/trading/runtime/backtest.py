"""A run over recorded or generated bars, from the first to the last, as fast as the kernel goes.

Conventions, printed with every report: an order decided at a bar's close fills at the next bar's open; equity is
marked at what selling everything would bring; open positions at the end are marked, not sold.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from trading.adapters.memory_journal import MemoryJournal
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.adapters.trial_ledger import Standing, Trial, TrialLedger, family_of
from trading.engine import strides
from trading.engine.kernel import Kernel
from trading.errors import DataError, InvalidInput
from trading.execution.conditions import IDEAL, Conditions, conditions_of
from trading.feeds.series import collector_paused
from trading.model.market_data import Bar, CycleEnd, MarketEvent, TokenGone
from trading.model.profile import BACKTEST_PROFILES, Profile
from trading.model.units import BPS_ONE, ratio_bps
from trading.portfolio import statistics
from trading.portfolio.performance import skill
from trading.ports import Feed, Journal

from .assembly import RunPlan, begin, chosen_profile, make_kernel
from .documents import costs_of_totals
from .plans import plan_text
from .recorded_runs import JOURNAL_NAME
from .report_series import thinned_curve
from .situations import digest_of, give, situations_of

CONVENTIONS = "decided at a close, filled at the next open; marked at liquidation value; not sold at the end"
COMMIT_EVENTS = 50_000
SECONDS_PER_DAY = 86_400

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BacktestSpec:
    """``strategies`` empty: those of the profile. ``run_dir`` keeps the journal there. ``ledger`` counts the run as a
    trial by ``who``; without one nothing is counted and the run is judged as the only one. ``rules`` is a whole profile
    in place of the named one. ``conditions`` is the state of the chain: conditions, the name of some (ideal, calm,
    congested), or a file of them; ``seed`` is where their chance begins. ``profiles_dir`` holds the
    operator's own profiles. ``situations`` names a recorded run (``recorded_runs``) whose situations this one may
    recall, each from the time on at which that run knew what came of it.
    """

    feed: Feed
    profile: str = "foundation"
    strategies: tuple[str, ...] = ()
    equity_lamports: int = 2_000_000_000
    target_lamports: int = 20_000_000_000
    run_dir: Path | None = None
    ledger: TrialLedger | None = None
    who: str = "api"
    seed: int = 0
    rules: Profile | None = None
    conditions: Conditions | str = IDEAL
    profiles_dir: Path | None = None
    situations: str = ""


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """What holding would have brought, in bps of the start equity and in SOL terms.

    ``hold_sol_bps`` is 0 by definition; ``hold_sol_usd_bps`` is the same in USD, None where SOL has no price.
    ``hold_tokens_bps``: equal parts of every token that was there at the first cycle, bought and marked at closes.
    """

    hold_tokens_bps: int | None
    hold_sol_usd_bps: int | None


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """``as_json`` is the document of ``memmcp-trade backtest --json``; ``equity`` (ts_ns, lamports) is each cycle's."""

    document: Mapping[str, Any]
    equity: tuple[tuple[int, int], ...]
    journal: Journal
    plan: RunPlan

    def as_json(self) -> dict[str, Any]:
        return dict(self.document)

    def kept(self) -> dict[str, Any]:
        """Return what is kept of it beside its journal: the document, and the equity of all cycles, thinned."""
        return {**self.document, "curve": thinned_curve(self.equity)}


def run_backtest(spec: BacktestSpec, progress: Progress | None = None) -> BacktestResult:
    """Run it. ``progress(cycles, bars)`` is called now and then.

    Raises: InvalidInput, DataError naming file and row, JournalUnavailable.
    """
    if spec.equity_lamports <= 0:
        msg = f"equity: must be above 0, not {spec.equity_lamports} lamports"
        raise InvalidInput(msg, field="equity_sol")
    profile = spec.rules or chosen_profile(spec.profile, spec.strategies, BACKTEST_PROFILES, spec.profiles_dir)
    past = situations_of(spec.situations, profile)
    plan = RunPlan(
        mode="backtest",
        feed=spec.feed.description,
        profile=profile,
        equity_lamports=spec.equity_lamports,
        target_lamports=spec.target_lamports,
        seed=spec.seed,
        conditions=conditions_of(spec.conditions),
        situations=digest_of(past),
    )
    run_id = f"bt_{plan.scope}"
    with _journal(spec, plan, run_id) as journal:
        kernel = make_kernel(plan, run_id, journal)
        begin(kernel)
        give(kernel, past)
        holder = _Holder()
        began = time.perf_counter()
        with collector_paused():  # the kernel makes no cycles, and the loaded bars are many
            equity = _drive(kernel, journal, holder.watching(spec.feed.events()), progress)
        kernel.end()
        journal.commit()
        seconds = time.perf_counter() - began
        if kernel.bars == 0:
            msg = f"{spec.feed.description.detail}: no bar of a token to trade"
            raise DataError(msg, hint="give a token's bars beside those of SOL, and a time range that has some")
        standing = Standing(1, None) if spec.ledger is None else spec.ledger.add(_trial(spec, plan, kernel))
        document = _document(kernel, journal, holder, standing, seconds) | _conditions(plan)
        result = BacktestResult(document, equity, journal, plan)
        if isinstance(journal, SqlJournal):
            journal.store.keep_result(journal.run, json.dumps(result.kept(), sort_keys=True).encode())
    return result


def _drive(
    kernel: Kernel, journal: Journal, events: Iterator[MarketEvent], progress: Progress | None
) -> tuple[tuple[int, int], ...]:
    """Take every event; return time and equity at the end of each cycle."""
    committed = 0
    equity: strides.Marks = []
    for marks in strides.take(kernel, events):
        equity += marks
        if kernel.bars + kernel.cycles - committed >= COMMIT_EVENTS:
            journal.commit()
            committed = kernel.bars + kernel.cycles
            if progress is not None:
                progress(kernel.cycles, kernel.bars)
    return tuple(equity)


@contextmanager
def _journal(spec: BacktestSpec, plan: RunPlan, run_id: str) -> Iterator[Journal]:
    if spec.run_dir is None:
        yield MemoryJournal()
        return
    store = JournalStore.at(spec.run_dir / JOURNAL_NAME)
    try:
        # The run's own name is a function of its inputs; in a directory that is used again it gets a number.
        number = store.runs_named(run_id)
        journal = store.start_run(run_id if number == 0 else f"{run_id}#{number}", plan.identity, time.time_ns())
        store.keep_plan(journal.run, plan_text(plan))
        yield journal
    finally:
        store.close()


def _trial(spec: BacktestSpec, plan: RunPlan, kernel: Kernel) -> Trial:
    state = kernel.state
    moments = state.curve.moments()
    return Trial(
        family=family_of([choice.name for choice in plan.profile.strategies]),
        scope=plan.scope,
        who=spec.who,
        at_ns=time.time_ns(),
        feed=plan.feed.detail,
        parameters={
            f"{strategy.name}.{name}": value
            for strategy in kernel.strategies
            for name, value in strategy.parameters().items()
        },
        sharpe=statistics.sharpe(moments),
        observations=moments.count,
        trades=state.fills_total,
        return_bps=ratio_bps(state.equity_lamports - state.start_lamports, state.start_lamports),
    )


class _Holder:
    """Watches the closes to know what holding would have brought."""

    def __init__(self) -> None:
        self._first: dict[str, Decimal] = {}
        self._last: dict[str, Decimal] = {}
        self._sol_usd_first: Decimal | None = None
        self._sol_usd_last: Decimal | None = None
        self._is_first_cycle = True

    def watching(self, events: Iterator[MarketEvent]) -> Iterator[MarketEvent]:
        last = self._last
        for event in events:
            if type(event) is Bar:
                if self._is_first_cycle:
                    self._first.setdefault(event.mint, event.close)
                last[event.mint] = event.close
            elif type(event) is CycleEnd:
                if self._is_first_cycle:
                    self._is_first_cycle = not self._first
                if event.sol_usd is not None:
                    if self._sol_usd_first is None:
                        self._sol_usd_first = event.sol_usd
                    else:
                        self._sol_usd_last = event.sol_usd
            elif type(event) is TokenGone:
                last[event.mint] = Decimal(0)
            yield event

    def benchmarks(self) -> Benchmarks:
        tokens = None
        if self._first:
            growth = sum((self._last[mint] / first for mint, first in self._first.items()), Decimal(0))
            tokens = int((growth / len(self._first) - 1) * BPS_ONE)
        usd = None
        if self._sol_usd_first is not None and self._sol_usd_last is not None:
            usd = int((self._sol_usd_last / self._sol_usd_first - 1) * BPS_ONE)
        return Benchmarks(tokens, usd)


def _document(kernel: Kernel, journal: Journal, holder: _Holder, standing: Standing, seconds: float) -> dict[str, Any]:
    state = kernel.state
    found = skill(state.curve.moments(), standing.trials, standing.sharpe_variance, SECONDS_PER_DAY)
    benchmarks = holder.benchmarks()
    start, end = state.start_lamports, state.equity_lamports
    return {
        "run_id": kernel.setup.run_id,
        "journal_sha256": journal.sha256(),
        "bars": kernel.bars,
        "cycles": kernel.cycles,
        "engine_seconds": round(seconds, 6),
        "bars_per_second": round(kernel.bars / seconds) if seconds > 0 else 0,
        "equity_start_lamports": start,
        "equity_end_lamports": end,
        "return_bps": ratio_bps(end - start, start),
        "max_drawdown_bps": state.curve.max_drawdown_bps,
        "trades": state.fills_total,
        "signals": state.signals_total,
        "denials": dict(sorted(state.denials.items())),
        "costs": costs_of_totals(state.ledger.costs),
        "sharpe": found.sharpe,
        "deflated_sharpe": found.deflated_sharpe,
        "trials": found.trials,
        "benchmarks": {
            "hold_sol": {"return_bps": 0, "usd_return_bps": benchmarks.hold_sol_usd_bps},
            "hold_tokens": {"return_bps": benchmarks.hold_tokens_bps},
        },
        "strategies": {strategy.name: _strategy(kernel, strategy.name) for strategy in kernel.strategies},
        "profile": state.profile.name,
        "tier": state.tier.name,
        "feed": kernel.setup.feed,
        "conventions": CONVENTIONS,
    }


def _conditions(plan: RunPlan) -> dict[str, Any]:
    """Return what the fills rest on."""
    is_recorded = plan.feed.liquidity == "recorded"
    return {
        "conditions": plan.conditions.model_dump(mode="json"),
        "liquidity": "recorded" if is_recorded else plan.conditions.liquidity_text(),
        "seed": plan.seed,
    }


def _strategy(kernel: Kernel, name: str) -> dict[str, Any]:
    window = kernel.state.records.window(name)
    return {
        "round_trips": kernel.state.records.trades(name),
        "wins": kernel.state.records.wins(name),
        "win_rate_bps": window.win_rate_bps,
        "realised_lamports": kernel.state.records.realised_lamports(name),
        "mean_return_bps": window.mean_return_bps,
        "mean_slippage_bps": window.mean_slippage_bps,
        "mean_holding_s": window.mean_holding_s,
        "parameters": next(dict(each.parameters()) for each in kernel.strategies if each.name == name),
    }
