"""Where candidates are tried: all at once by an array kernel, or one by one in the full engine.

Both start a candidate with the first bar that the search sees, so its warm-up costs it days in both. What the engine
made of a candidate is kept in the run directory: a search that was killed does not pay for it again.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from trading.model.instrument import Instrument
from trading.model.market_data import Bar, TokenListed
from trading.model.units import NS_PER_S
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.strategies.parameters import Value
from trading.strategies.registry import create

from .course import DAY_NS, Course, Screener
from .fitness import Floats, Ints
from .kernels import Market, Terms, screen
from .walk_forward import daily_returns

EVALUATED_DIR: Final = "evaluated"
TIMINGS: Final = frozenset({"engine_seconds", "bars_per_second", "trials", "deflated_sharpe"})
"""Of a run's document: what another run over the same bars may say otherwise, or is said of the whole search."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A row for each candidate: daily net returns (candidates, days) and round trips (candidates,)."""

    returns: Floats
    trades: Ints


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What the full engine made of a candidate: its document (without timings) and its daily net returns."""

    document: Mapping[str, Any]
    returns: tuple[float, ...]

    @property
    def trades(self) -> int:
        """Its round trips."""
        return sum(int(each["round_trips"]) for each in self.document["strategies"].values())


class Bench(Protocol):
    """What tries candidates."""

    @property
    def screened_by(self) -> Screener: ...

    def evaluate(self, candidates: Sequence[Mapping[str, Value]]) -> Evaluated:
        """Try candidates that their strategy accepts; what comes of one does not depend on the others."""
        ...


class EngineBench:
    """The full engine. ``run_dir`` None: nothing is kept."""

    screened_by: Screener = "engine"

    def __init__(self, course: Course, run_dir: Path | None) -> None:
        self._course = course
        self._kept = None if run_dir is None else run_dir / EVALUATED_DIR

    def evaluate(self, candidates: Sequence[Mapping[str, Value]]) -> Evaluated:
        found = [self._one(candidate) for candidate in candidates]
        days = self._course.scheme.days
        returns = np.array([each[0] for each in found], dtype=np.float64).reshape(len(found), days)
        return Evaluated(returns, np.array([each[1] for each in found], dtype=np.int64))

    def _one(self, candidate: Mapping[str, Value]) -> tuple[Floats, int]:
        path = None if self._kept is None else self._kept / f"{self._course.scope_of(candidate)}.npy"
        if path is not None and path.exists():
            row: Floats = np.load(path, allow_pickle=False)
            if row.shape == (self._course.scheme.days + 1,):
                return row[1:], int(row[0])
        run = engine_run(self._course, candidate, self._course.from_ns, self._course.until_ns)
        returns = np.array(run.returns, dtype=np.float64)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # By a name of its own, because two workers may try one candidate when one of them was thought dead.
            part = path.with_suffix(f".{os.getpid()}")
            with part.open("wb") as file:
                np.save(file, np.concatenate(([float(run.trades)], returns)))
            part.replace(path)
        return returns, run.trades


class KernelBench:
    """The array kernel of the strategy, under the terms that the profile and the dearest and shallowest pool make."""

    screened_by: Screener = "kernel"

    def __init__(self, course: Course) -> None:
        self._course = course
        bars: dict[str, list[Bar]] = {}
        pools: list[Instrument] = []
        for event in course.feed.events():
            match event:
                case Bar(mint=mint):
                    bars.setdefault(mint, []).append(event)
                case TokenListed(instrument=instrument):
                    pools.append(instrument)
                case _:
                    pass
        terms = Terms.of(
            course.spec.rules,
            max(each.pool_fee_bps + each.creator_fee_bps for each in pools),
            course.spec.equity_lamports,
            min(each.pool_lamports_default for each in pools),
        )
        self._market = Market.of(bars, terms).cut(course.from_ns, course.until_ns)

    def evaluate(self, candidates: Sequence[Mapping[str, Value]]) -> Evaluated:
        screened = screen(self._course.spec.strategy, self._market, candidates)
        # Days at either end on which no bar closed are flat.
        returns = np.zeros((len(candidates), self._course.scheme.days))
        first = int(self._market.days[0]) - self._course.from_ns // DAY_NS
        returns[:, first : first + screened.returns.shape[1]] = screened.returns
        return Evaluated(returns, screened.trades)


def bench_of(course: Course, run_dir: Path | None = None) -> Bench:
    """Return the kernel where the strategy has one and lives on bars, else the engine."""
    return KernelBench(course) if course.screened_by == "kernel" else EngineBench(course, run_dir)


def engine_run(course: Course, candidate: Mapping[str, Value], from_ns: int, to_ns: int) -> EngineRun:
    """Run a candidate in the full engine and judge it on the days from ``from_ns`` to ``to_ns``.

    Where there are bars before them, it warms up on those, in which it cannot speak. No ledger counts the run: its
    candidate is counted once, when it is tried. Raises: DataError.
    """
    warmup_ns = create(course.spec.strategy, candidate).warmup_bars * course.feed.description.interval_s * NS_PER_S
    spec = BacktestSpec(
        feed=course.feed.cut(max(course.from_ns, from_ns - warmup_ns), to_ns),
        rules=course.rules_with(candidate),
        equity_lamports=course.spec.equity_lamports,
    )
    result = run_backtest(spec)
    document = {name: value for name, value in result.document.items() if name not in TIMINGS}
    return EngineRun(document, tuple(daily_returns(result.equity, from_ns, to_ns)))
