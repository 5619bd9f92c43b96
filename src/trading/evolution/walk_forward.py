"""Walk-forward: parameters are chosen on one window and judged on the next, again and again.

Each window's choice sees the training bars alone; between training and test lies an embargo, so that no position of the
one reaches into the other. The judged windows, chained, are one out-of-sample curve. Every run is the full engine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, Final

import numpy as np

from trading.adapters.trial_ledger import TrialLedger
from trading.errors import InvalidInput
from trading.feeds.replay import ReplayFeed
from trading.model.profile import Profile, StrategyChoice
from trading.model.units import BPS_ONE, NS_PER_S
from trading.portfolio import statistics
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.strategies.parameters import Parameter, Value
from trading.strategies.registry import ON_SWAPS, create, declared

DAY_NS: Final = 86_400 * NS_PER_S
TRADES_MIN: Final = 5
"""Candidates with fewer fills in training are not chosen: their figure is an anecdote."""
DRAWS_MAX: Final = 10_000
BLOCK_DAYS: Final = 5
RESAMPLES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Window:
    """Times in nanoseconds; each range excludes its start and includes its end."""

    train_from_ns: int
    train_to_ns: int
    test_from_ns: int
    test_to_ns: int


@dataclass(frozen=True, slots=True)
class Plan:
    """``anchored``: every training window begins at the first bar, else it moves along."""

    train_days: int
    test_days: int
    embargo_days: int = 2
    anchored: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """One window: what was chosen, how it looked in training (Sharpe a year, None where too few traded), and the
    test run's document."""

    window: Window
    parameters: Mapping[str, Value]
    train_sharpe: float | None
    document: Mapping[str, Any]
    returns: tuple[float, ...]
    """Daily returns of the test."""


@dataclass(frozen=True, slots=True)
class Result:
    """``trials`` counts every parameter set that was tried in every window."""

    strategy: str
    judged: tuple[Judged, ...]
    trials: int

    @property
    def returns(self) -> list[float]:
        """All out-of-sample daily returns, in order."""
        return [each for judged in self.judged for each in judged.returns]


def windows(first_ns: int, last_ns: int, plan: Plan) -> list[Window]:
    """Return the windows that fit between two times, the tests side by side.

    Raises: InvalidInput when not even one fits, or a length is none.
    """
    if min(plan.train_days, plan.test_days) < 1 or plan.embargo_days < 0:
        msg = f"train_days and test_days must be at least 1 and embargo_days at least 0, not {plan}"
        raise InvalidInput(msg, field="train_days")
    found: list[Window] = []
    train_to_ns = first_ns + plan.train_days * DAY_NS
    while True:
        test_from_ns = train_to_ns + plan.embargo_days * DAY_NS
        test_to_ns = test_from_ns + plan.test_days * DAY_NS
        if test_to_ns > last_ns:
            break
        train_from_ns = first_ns if plan.anchored else train_to_ns - plan.train_days * DAY_NS
        found.append(Window(train_from_ns, train_to_ns, test_from_ns, test_to_ns))
        train_to_ns += plan.test_days * DAY_NS
    if not found:
        days = (last_ns - first_ns) // DAY_NS
        msg = f"{days} days of bars are too few for a window of {plan.train_days} + {plan.test_days} days"
        raise InvalidInput(msg, field="train_days")
    return found


def draws(strategy: str, count: int, seed: int) -> list[dict[str, Value]]:
    """Return the defaults and ``count`` - 1 seeded draws from a strategy's declared ranges that it accepts.

    A parameter is drawn around its default, by up to four times more or less on a log scale, within its range; one
    whose default is not above 0 is drawn evenly from its range, and one that is not tuned keeps it.
    Raises: InvalidInput.
    """
    if not 1 <= count <= DRAWS_MAX:
        msg = f"count: from 1 to {DRAWS_MAX}, not {count}"
        raise InvalidInput(msg, field="count")
    chance = Random(seed)  # noqa: S311 - a search, no secret
    parameters = declared(strategy)
    found: list[dict[str, Value]] = [{each.name: each.default for each in parameters}]
    for _ in range(100 * count):
        if len(found) >= count:
            break
        drawn = {each.name: _drawn(each, chance) if each.is_tuned else each.default for each in parameters}
        try:
            create(strategy, drawn)
        except InvalidInput:
            continue  # lengths out of order: the draw is repeated
        if drawn not in found:
            found.append(drawn)
    return found


def _drawn(parameter: Parameter, chance: Random) -> Value:
    if parameter.default > 0:
        value = float(parameter.default) * 4.0 ** chance.uniform(-1.0, 1.0)
    else:
        value = chance.uniform(float(parameter.low), float(parameter.high))
    value = min(max(value, float(parameter.low)), float(parameter.high))
    return round(value) if parameter.is_int else float(f"{value:.3g}")


def walk_forward(
    feed: ReplayFeed,
    rules: Profile,
    strategy: str,
    candidates: Sequence[Mapping[str, Value]],
    spans: Sequence[Window],
    equity_lamports: int = 2_000_000_000,
    ledger: TrialLedger | None = None,
) -> Result:
    """Choose among ``candidates`` by the Sharpe of training, judge the choice on the next window.

    ``rules`` are the desk's; its strategies are replaced by the one that is judged. The test begins with as many bars
    before it as the strategy warms up on, in which it cannot speak. Every run is counted in the ``ledger``.

    Raises: InvalidInput, DataError, TrialLedgerUnavailable.
    """
    if not candidates:
        msg = "candidates: at least one set of parameters"
        raise InvalidInput(msg, field="candidates")
    if strategy in ON_SWAPS and not feed.summary.swaps:
        msg = f"{strategy} has no opinion without swaps, and {feed.description.detail} tells none"
        raise InvalidInput(msg, field="data", hint="give a file of swaps: mint,ts,side,sol,tokens")
    bench = _Bench(feed, rules, strategy, equity_lamports, ledger)
    judged: list[Judged] = []
    for span in spans:
        best, best_sharpe = candidates[0], None
        for candidate in candidates if len(candidates) > 1 else ():
            document, returns = bench.run(candidate, span.train_from_ns, span.train_to_ns)
            sharpe = annual_sharpe(returns) if document["trades"] >= TRADES_MIN else None
            if sharpe is not None and (best_sharpe is None or sharpe > best_sharpe):
                best, best_sharpe = candidate, sharpe
        document, returns = bench.run(best, span.test_from_ns, span.test_to_ns)
        judged.append(Judged(span, dict(best), best_sharpe, document, tuple(returns)))
    return Result(strategy, tuple(judged), len(candidates) * len(spans))


def annual_sharpe(returns: Sequence[float]) -> float | None:
    """Return the Sharpe ratio a year of daily returns, None where they do not vary."""
    per_day = statistics.sharpe(statistics.moments(returns))
    return None if per_day is None else statistics.annualised(per_day, 86_400)


def block_bootstrap(returns: Sequence[float], seed: int, share: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean daily return: circular blocks of ``BLOCK_DAYS`` days, drawn with replacement
    (Politis & Romano 1992), so that days which hang together stay together."""
    days = np.asarray(returns, dtype=np.float64)
    if days.size == 0:
        return 0.0, 0.0
    chance = np.random.default_rng(seed)
    blocks = -(-days.size // BLOCK_DAYS)
    starts = chance.integers(0, days.size, (RESAMPLES, blocks))
    places = (starts[:, :, None] + np.arange(BLOCK_DAYS)) % days.size
    means = days[places.reshape(RESAMPLES, -1)[:, : days.size]].mean(axis=1)
    tail = (1.0 - share) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def growth(returns: Sequence[float]) -> float:
    """Return what the chained returns make of 1."""
    return math.prod(1.0 + each for each in returns)


def max_drawdown(returns: Sequence[float]) -> float:
    """Return the largest drop of the chained curve from its peak, as a share."""
    value = peak = 1.0
    deepest = 0.0
    for each in returns:
        value *= 1.0 + each
        peak = max(peak, value)
        deepest = max(deepest, 1.0 - value / peak)
    return deepest


@dataclass(frozen=True, slots=True)
class _Bench:
    """What all runs of one walk have in common."""

    feed: ReplayFeed
    rules: Profile
    strategy: str
    equity_lamports: int
    ledger: TrialLedger | None

    def run(self, parameters: Mapping[str, Value], from_ns: int, to_ns: int) -> tuple[Mapping[str, Any], list[float]]:
        """Return the document and the daily returns of one run over that time."""
        interval_ns = self.feed.description.interval_s * NS_PER_S
        warmup_ns = create(self.strategy, parameters).warmup_bars * interval_ns
        choice = StrategyChoice(name=self.strategy, weight_bps=BPS_ONE, parameters=dict(parameters))
        spec = BacktestSpec(
            feed=self.feed.cut(from_ns - warmup_ns, to_ns),
            rules=self.rules.model_copy(update={"strategies": (choice,)}),
            equity_lamports=self.equity_lamports,
            ledger=self.ledger,
            who="sweep",
        )
        result = run_backtest(spec)
        return result.document, daily_returns(result.equity, from_ns, to_ns)


def daily_returns(equity: Sequence[tuple[int, int]], from_ns: int, to_ns: int) -> list[float]:
    """Return the returns of whole days from ``from_ns`` on, by the last mark of each; a day without a mark is flat."""
    days = (to_ns - from_ns) // DAY_NS
    closes: list[int] = []
    place, newest = 0, equity[0][1]
    for day in range(days + 1):
        end_ns = from_ns + day * DAY_NS
        while place < len(equity) and equity[place][0] <= end_ns:
            newest = equity[place][1]
            place += 1
        closes.append(newest)
    return [after / before - 1.0 if before > 0 else 0.0 for before, after in pairwise(closes)]
