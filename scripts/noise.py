"""What the gates let through: whole searches on markets of pure noise, and on markets with a planted edge.

``python -m scripts.noise`` repeats the search of ``trading.evolution`` (Optuna, cross-validation, array kernels, the
front in the full engine, a hold-out) on generated markets, each with a trial ledger of its own, and puts every finalist
before the gates from candidate to paper, as the desk does. On noise hardly any search may have one that passes; on the
planted edge most must. The figures go between their markers in docs/results.md; the last line has them, and the exit
code is 1 where one falls short.

Trading costs next to nothing here, so that nothing but the gates stands between luck and the desk: with costs, noise
loses by itself.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
from scripts.results_file import commit, splice

from trading.adapters.trial_ledger import TrialLedger, family_of
from trading.config import PromotionSection
from trading.evolution.bench import Evaluated, engine_run
from trading.evolution.course import Course, SearchSpec
from trading.evolution.evidence import Ran, Searched, evidence_of, ran
from trading.evolution.fitness import front
from trading.evolution.kernels import Market, Screened, Terms, screen
from trading.evolution.search import Worker
from trading.evolution.trial_store import opened
from trading.feeds.replay import ReplayFeed, ReplaySummary
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, CycleEnd, FeedDescription, MarketEvent, TokenListed
from trading.model.profile import BASELINE
from trading.model.promotion import Evidence, GateReading
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, NS_PER_S
from trading.portfolio.gates import failed, paper_gates
from trading.strategies.parameters import Value
from trading.strategies.registry import create

Parameters = Mapping[str, Value]
Floats = np.ndarray[Any, np.dtype[np.float64]]

STRATEGY: Final = "sma_cross"
MINT: Final = "sim:NOISE"
INTERVAL_S: Final = 28_800
BARS_A_DAY: Final = 86_400 // INTERVAL_S
FIRST_NS: Final = 1_609_459_200 * NS_PER_S
DAYS: Final = 1_460
HOLDOUT_DAYS: Final = 365
VOLATILITY_DAY: Final = 0.04
EQUITY_LAMPORTS: Final = 2_000 * LAMPORTS_PER_SOL
"""So much that the fees of the network are no share of an order."""
DEPTH_LAMPORTS: Final = 10**9 * LAMPORTS_PER_SOL
NOISES: Final = ("normal", "heavy tails", "clustered")
"""Returns of a normal distribution, of Student's t with 4 degrees of freedom, and with a volatility that comes in
waves; in turns."""
RULES: Final = BASELINE.model_copy(
    update={
        "limits": BASELINE.limits.model_copy(update={"edge_over_cost_bps_min": -10_000}),
        "exits": BASELINE.exits.model_copy(update={"holding_s_max": 30 * 86_400}),
    }
)
FALSE_SHARE_MAX: Final = 0.05
FALSE_UPPER_MAX: Final = 0.08
POWER_MIN: Final = 0.80
Z_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Edge:
    """What the market does: its drift is ``drift_day`` up or down, and turns round after ``days_held`` days on
    average. 0: it is a fair game."""

    drift_day: float = 0.0
    days_held: float = 40.0

    @property
    def sharpe(self) -> float:
        """The Sharpe ratio a year of who knows the drift, and holds the token while it is up: half the time."""
        mean = self.drift_day / 2.0
        variance = VOLATILITY_DAY**2 / 2.0 + self.drift_day**2 / 4.0
        return float(mean / variance**0.5 * 365.0**0.5)


PLANTED: Final = Edge(0.025, 40.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """One whole search. ``counts_trials`` False is the control: each candidate is judged as the only one ever tried,
    on the days that chose it, and by nothing else."""

    edge: Edge
    trials: int = 500
    days: int = DAYS
    holdout_days: int = HOLDOUT_DAYS
    counts_trials: bool = True


@dataclass(frozen=True, slots=True)
class Repeat:
    """What came of one search: how many candidates it tried, whether any finalist was promoted, and which gates each
    of them passed by the kernel's figures."""

    seed: int
    trials: int
    is_promoted: bool
    passed: tuple[tuple[str, ...], ...]


def market(seed: int, edge: Edge, days: int) -> ReplayFeed:
    """Return a token's bars, drawn by the seed: a fair game in SOL but for the drift of the edge."""
    chance = np.random.default_rng(seed)
    count = days * BARS_A_DAY
    scale = VOLATILITY_DAY / BARS_A_DAY**0.5
    shocks = scale * _noise(chance, NOISES[seed % len(NOISES)], count)
    turns = np.cumsum(chance.random(count) < 1.0 / (edge.days_held * BARS_A_DAY)) + chance.integers(0, 2)
    drift = np.where(turns % 2 == 0, 1.0, -1.0) * edge.drift_day / BARS_A_DAY
    # A log return of minus half the variance is a fair game in prices.
    closes = 0.01 * np.exp(np.cumsum(drift + shocks - shocks.var() / 2.0))
    return _feed(seed, edge, closes)


def _noise(chance: np.random.Generator, kind: str, count: int) -> Floats:
    """Return shocks with a variance of 1."""
    if kind == "normal":
        return chance.standard_normal(count)
    if kind == "heavy tails":
        found: Floats = chance.standard_t(4, count) / 2.0**0.5
        return found
    waves = np.repeat(chance.standard_normal(count // (5 * BARS_A_DAY) + 1), 5 * BARS_A_DAY)[:count]
    spread = np.exp(0.5 * waves)
    calm: Floats = chance.standard_normal(count) * spread / np.sqrt(np.square(spread).mean())
    return calm


def _feed(seed: int, edge: Edge, closes: Floats) -> ReplayFeed:
    prices = [Decimal(f"{close:.9g}") for close in closes]
    step = INTERVAL_S * NS_PER_S
    instrument = Instrument(MINT, "NOISE", 6, 0, DEPTH_LAMPORTS)
    groups: dict[int, list[MarketEvent]] = {}
    before = prices[0]
    for number, close in enumerate(prices):
        ts_ns = FIRST_NS + number * step
        high, low = max(before, close), min(before, close)
        source = f"noise:{number}"
        bar = Bar(MINT, ts_ns, ts_ns + step, before, high, low, close, Decimal(10**9), None, None, source)
        groups[bar.ts_close_ns] = [bar] if number else [TokenListed(bar.ts_close_ns, instrument, source), bar]
        before = close
    cycles = [CycleEnd(ts_ns, None) for ts_ns in groups]
    name = f"noise-{seed}-{edge.drift_day}-{edge.days_held}"
    description = FeedDescription("replay", f"{len(prices)} generated bars: {name}", INTERVAL_S, ((name, name),))
    summary = ReplaySummary(len(prices), first_ns=cycles[0].ts_ns, last_ns=cycles[-1].ts_ns, symbols=["NOISE"])
    return ReplayFeed(groups, cycles, description, summary)


class Screening:
    """Body of ``evolution.bench.Bench``: ``KernelBench``, which can tell of the days kept back too."""

    screened_by: Final = "kernel"

    def __init__(self, course: Course) -> None:
        bars = [event for event in course.feed.events() if isinstance(event, Bar)]
        terms = Terms.of(RULES, 0, EQUITY_LAMPORTS, DEPTH_LAMPORTS)
        self._course = course
        self._whole = Market.of({MINT: bars}, terms)
        self._seen = self._whole.cut(course.from_ns, course.until_ns)

    def evaluate(self, candidates: Sequence[Parameters]) -> Evaluated:
        found = screen(STRATEGY, self._seen, candidates)
        return Evaluated(found.returns, found.trades)

    def seen(self, candidate: Parameters) -> Ran:
        """Return what the kernel makes of a candidate on the days that the search saw."""
        return _ran(screen(STRATEGY, self._seen, [candidate]), self._course.scheme.days)

    def held(self, candidate: Parameters) -> Ran:
        """Return it on the days kept back; before them it warms up, in which it cannot speak."""
        warmup_ns = create(STRATEGY, candidate).warmup_bars * INTERVAL_S * NS_PER_S
        market = self._whole.cut(self._course.until_ns - warmup_ns, self._course.to_ns)
        return _ran(screen(STRATEGY, market, [candidate]), self._course.spec.holdout_days)


def _ran(found: Screened, days: int) -> Ran:
    deepest_bps = round(float(found.max_drawdown[0]) * BPS_ONE)
    return Ran(found.returns[0][-days:].tolist(), int(found.trades[0]), deepest_bps, None)


def repeat(seed: int, wish: Settings, rules: PromotionSection) -> Repeat:
    """Search once, and put the finalists before the gates until one is promoted."""
    spec = SearchSpec(STRATEGY, RULES, EQUITY_LAMPORTS, trials=wish.trials, seed=seed, holdout_days=wish.holdout_days)
    course = Course(spec, market(seed, wish.edge, wish.days))
    bench = Screening(course)
    with tempfile.TemporaryDirectory() as folder:
        ledger = TrialLedger.at(Path(folder) / "trials.db")
        try:
            with opened(course.search_id, spec, "noise#0") as store:
                Worker(course, store, ledger, bench).run()
                told = store.told()
            family_trials = ledger.standing(family_of([STRATEGY])).trials
        finally:
            ledger.close()
    searched = Searched.of(bench.evaluate([each.candidate for each in told]).returns, len(told))
    passed: list[tuple[str, ...]] = []
    is_promoted = False
    for row in front([each.outcome.objectives for each in told])[: spec.finalists]:
        candidate = told[row].candidate
        evidence = evidence_of(bench.seen(candidate), bench.held(candidate), searched)
        gates = _gates(evidence, family_trials, wish, rules)
        passed.append(tuple(gate.name for gate in gates if gate.passed))
        if not is_promoted and _is_near(gates):
            is_promoted = not failed(_gates(_confirmed(course, candidate, searched), family_trials, wish, rules))
    return Repeat(seed, len(told), is_promoted, tuple(passed))


def _confirmed(course: Course, candidate: Parameters, searched: Searched) -> Evidence:
    """Return the evidence that counts: the full engine's, on the days that the search saw and on those kept back."""
    seen = engine_run(course, candidate, course.from_ns, course.until_ns)
    held = engine_run(course, candidate, course.until_ns, course.to_ns)
    return evidence_of(ran(seen.document, STRATEGY, seen.returns), ran(held.document, STRATEGY, held.returns), searched)


def _gates(evidence: Evidence, family_trials: int, wish: Settings, rules: PromotionSection) -> tuple[GateReading, ...]:
    if wish.counts_trials:
        return paper_gates(evidence, family_trials, rules)
    alone = paper_gates(replace(evidence, trials=1), 1, rules)
    return tuple(gate for gate in alone if not gate.name.startswith("holdout_"))


def _is_near(gates: Sequence[GateReading]) -> bool:
    """Say whether the engine is asked: not where by the kernel's figures it is more likely luck than not, in what chose
    the candidate or on the days kept back. Kernel and engine agree to far less than that."""
    return all(gate.value >= BPS_ONE // 2 for gate in gates if gate.name in ("deflated_sharpe", "holdout_psr"))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (Wilson 1927)."""
    share, z2 = hits / of, Z_95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 / (1 + z2 / of) * ((share * (1 - share) + z2 / (4 * of)) / of) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Tally:
    """Of so many searches, how many had at least one finalist that was promoted."""

    name: str
    repeats: tuple[Repeat, ...]

    @property
    def hits(self) -> int:
        return sum(each.is_promoted for each in self.repeats)

    @property
    def share(self) -> float:
        return self.hits / len(self.repeats)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, len(self.repeats))

    @property
    def text(self) -> str:
        low, high = self.interval
        return f"{self.share:.1%} ({self.hits} of {len(self.repeats)}; 95 % interval {low:.1%} to {high:.1%})"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200, help="searches on noise")
    parser.add_argument("--planted", type=int, default=60, help="searches on the planted edge")
    parser.add_argument("--control", type=int, default=20, help="searches on noise that ignore the number of trials")
    parser.add_argument("--trials", type=int, default=500, help="candidates a search")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    noise, planted = Settings(Edge(), options.trials), Settings(PLANTED, options.trials)
    blind = replace(noise, counts_trials=False)
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        tallies = [
            _tally(pool, name, wish, options.seed + offset, count)
            for name, wish, offset, count in (
                ("noise", noise, 0, options.repeats),
                ("planted edge", planted, 100_000, options.planted),
                ("noise, number of trials ignored", blind, 0, options.control),
            )
        ]
    seconds = time.monotonic() - began
    section = _section(tallies, options)
    splice("noise", section)
    print(section)
    return _verdict(tallies, seconds)


def _tally(pool: ProcessPoolExecutor, name: str, wish: Settings, seed: int, count: int) -> Tally:
    rules = PromotionSection()
    found = []
    for done, each in enumerate(pool.map(repeat, range(seed, seed + count), [wish] * count, [rules] * count), 1):
        found.append(each)
        if done % 20 == 0 or done == count:
            print(f"{name}: {done} of {count}, {sum(one.is_promoted for one in found)} promoted", file=sys.stderr)
    return Tally(name, tuple(found))


def _verdict(tallies: Sequence[Tally], seconds: float) -> int:
    noise, planted, blind = tallies
    upper, trials = noise.interval[1], min(each.trials for each in noise.repeats)
    is_good = noise.share <= FALSE_SHARE_MAX and upper <= FALSE_UPPER_MAX and planted.share >= POWER_MIN
    print(
        f"noise: {noise.text} of at least {trials} candidates promoted one; power {planted.text} at a Sharpe of "
        f"{PLANTED.sharpe:.1f} a year; trials ignored {blind.text}; {seconds:.0f} s: "
        f"{'ok' if is_good else 'FALLS SHORT'}"
    )
    return 0 if is_good else 1


def _section(tallies: Sequence[Tally], options: argparse.Namespace) -> str:
    rules = PromotionSection()
    lines = [
        f"""## What the gates let through

`python -m scripts.noise --repeats {options.repeats} --planted {options.planted} --control {options.control} --trials
{options.trials} --seed {options.seed}`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}. Each repeat is a whole search
for parameters of `{STRATEGY}` on a generated market of its own ({DAYS - HOLDOUT_DAYS} days to choose by, {HOLDOUT_DAYS}
that no search saw, bars of {INTERVAL_S // 3_600} hours): {options.trials} candidates screened by the array kernel, the
front of at most 8, the likely of them run in the full engine, before the gates to paper with the bounds that ship
(deflated Sharpe at least {rules.dsr_bps_min / 100:g} %, overfitting at most {rules.pbo_bps_max / 100:g} %, on the days
kept back a probability of {rules.holdout_psr_bps_min / 100:g} % that it earns anything). Noise is a fair game without
costs: normal, heavy-tailed and clustered returns in turns, {VOLATILITY_DAY:.0%} a day. The planted edge: the drift is
{PLANTED.drift_day:.1%} a day, up or down, and turns round after {PLANTED.days_held:g} days on average; who knew it and
held the token while it is up would have a Sharpe ratio of {PLANTED.sharpe:.1f} a year. Intervals are Wilson's.
""",
        "| searches | with at least one promoted | asked for |",
        "| --- | --- | --- |",
    ]
    asked = (
        f"at most {FALSE_SHARE_MAX:.0%}, its upper end at most {FALSE_UPPER_MAX:.0%}",
        f"at least {POWER_MIN:.0%}",
        "the control: by the days that chose it alone, as the only one ever tried, noise is promoted",
    )
    lines += [f"| {tally.name} | {tally.text} | {want} |" for tally, want in zip(tallies, asked, strict=True)]
    lines += [
        "",
        "Finalists that passed each gate, by the kernel's figures:",
        "",
        f"| gate | {' | '.join(each.name for each in tallies)} |",
    ]
    lines.append("|" + " --- |" * (len(tallies) + 1))
    gates = ("deflated_sharpe", "overfitting", "trades", "drawdown", "holdout_psr", "holdout_drawdown")
    lines += [f"| `{gate}` | {' | '.join(_share(tally, gate) for tally in tallies)} |" for gate in gates]
    return "\n".join(lines).replace("%", " %").replace("  %", " %")


def _share(tally: Tally, gate: str) -> str:
    finalists = [names for each in tally.repeats for names in each.passed]
    if not finalists or (gate.startswith("holdout_") and tally.name.endswith("ignored")):
        return "not asked"
    return f"{sum(gate in names for names in finalists) / len(finalists):.0%}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
