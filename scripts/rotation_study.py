"""Rotation of capital against equal shares and the best single strategy: ``python -m scripts.rotation_study FOLDER``.

Writes its section between markers in docs/results.md, whatever it says. FOLDER is that of ``scripts.walk_forward``, and
so are the strategies, their windows and candidates. First on the daily returns that the walk-forward judged, then in
the full engine. The figures of the rule are chosen on the first third of the judged days.
"""

import argparse
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scripts.results_file import commit, splice
from scripts.walk_forward import PLAN, TUNED, feed_of, walked

from trading.adapters.trial_ledger import TrialLedger
from trading.cli.trials import ledger_path
from trading.evolution.rotation_study import (
    GRID,
    best_single,
    choose_terms,
    even,
    lifted,
    mean_interval,
    part,
    resampled,
    rotated,
)
from trading.evolution.walk_forward import (
    Result,
    annual_sharpe,
    block_bootstrap,
    daily_returns,
    growth,
    max_drawdown,
    windows,
)
from trading.model.bucket_rules import BucketRules
from trading.model.profile import FOUNDATION, Profile, StrategyChoice
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, NS_PER_S, sol_text
from trading.portfolio.rotation import TERMS, Terms, regret_bound_ppm
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.strategies.registry import create

FIRST_WINDOWS = 4
"""So many windows of the walk are the first part: the rule's figures are chosen there."""
ROTATES = BucketRules(rotation="fixed_share")
KEPT = BucketRules(band_bps=0)
EQUITY_LAMPORTS = 20 * LAMPORTS_PER_SOL
"""The least with which a desk's tier lets every one of the strategies enter."""
FILLS_MIN = 30
"""With fewer a strategy hardly traded."""
EDGE = 10 / BPS_ONE
"""A day, of the control."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run in the full engine; ``returns`` are of the judged days, fills and costs of all."""

    name: str
    returns: tuple[float, ...]
    fills: int
    cost_lamports: int


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--candidates", type=int, default=12, help="parameter sets a strategy and window")
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(TUNED)), mp_context=spawned) as pool:
        walks = list(pool.map(walked, [(options, name) for name in TUNED]))
        _say(began, f"{len(walks)} strategies walked")
        chosen = {walk.strategy: walk.judged[0].parameters for walk in walks}
        wanted = [(options, name, buckets, chosen) for name, buckets in _arms().items()]
        runs = list(pool.map(_run, wanted))
    _say(began, "full engine done")
    section = "\n".join(
        [
            *_head(walks, options),
            *_on_streams(walks, options),
            *_in_engine(runs, options),
            "",
            _verdict(walks, runs, options),
        ]
    )
    splice("rotation", section)
    print(section)
    _say(began, "written")
    return 0


def _say(began: float, what: str) -> None:
    print(f"{what} after {time.monotonic() - began:.0f} s", file=sys.stderr)


def _arms() -> dict[str, BucketRules]:
    return {"rotation": ROTATES, "equal shares, kept daily": KEPT, "profit stays where it was made": BucketRules()}


def _run(wanted: tuple[argparse.Namespace, str, BucketRules, Mapping[str, Mapping[str, int | float]]]) -> Run:
    """Return one run of all strategies in one desk over the judged days, each with what its first training chose."""
    options, name, buckets, chosen = wanted
    feed = feed_of(options.folder)
    assert feed.summary.first_ns is not None
    assert feed.summary.last_ns is not None
    spans = windows(feed.summary.first_ns, feed.summary.last_ns, PLAN)
    from_ns, to_ns = spans[0].test_from_ns, spans[-1].test_to_ns
    warmup_bars = max(create(each, parameters).warmup_bars for each, parameters in chosen.items())
    warmup_ns = warmup_bars * feed.description.interval_s * NS_PER_S
    rules = _profile(buckets, chosen)
    ledger = TrialLedger.at(ledger_path())
    try:
        cut = feed.cut(from_ns - warmup_ns, to_ns)
        spec = BacktestSpec(cut, rules=rules, equity_lamports=EQUITY_LAMPORTS, ledger=ledger, who="sweep")
        result = run_backtest(spec)
    finally:
        ledger.close()
    costs = result.document["costs"]
    paid = sum(costs[f"{kind}_lamports"] for kind in ("fee", "impact", "priority", "failed"))
    judged_ns = spans[FIRST_WINDOWS].test_from_ns
    return Run(name, tuple(daily_returns(result.equity, judged_ns, to_ns)), result.document["trades"], paid)


def _profile(buckets: BucketRules, chosen: Mapping[str, Mapping[str, int | float]]) -> Profile:
    weights = [BPS_ONE // len(chosen)] * len(chosen)
    weights[0] += BPS_ONE - sum(weights)
    choices = tuple(
        StrategyChoice(name=name, weight_bps=weight, parameters=dict(parameters))
        for (name, parameters), weight in zip(chosen.items(), weights, strict=True)
    )
    return FOUNDATION.model_copy(update={"strategies": choices, "buckets": buckets})


def _head(walks: Sequence[Result], options: argparse.Namespace) -> list[str]:
    first, middle, last = (
        f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d}"
        for ns in (
            walks[0].judged[0].window.test_from_ns,
            walks[0].judged[FIRST_WINDOWS].window.test_from_ns,
            walks[0].judged[-1].window.test_to_ns,
        )
    )
    command = (
        f"python -m scripts.rotation_study FOLDER --candidates {options.candidates} --resamples {options.resamples} "
        f"--seed {options.seed}"
    )
    return [
        f"""## Rotation of capital

`{command}`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}.

The strategies and the windows of the walk-forward (its own section): {", ".join(TUNED)}.
Every return is out of sample and after all costs, in SOL. The rule (`portfolio/rotation.py`: fixed share over closed
days) begins with equal shares; floor {ROTATES.rotation_floor_bps} bps, cap {ROTATES.rotation_cap_bps},
at most {ROTATES.rotation_step_bps} a day, {ROTATES.rotation_warmup_days} days of warm-up,
{ROTATES.rotation_cost_bps} bps of what moves as its cost. Its rate and shift are chosen among {len(GRID)} pairs on the
days from {first} until {middle}; judged are the days until {last}, the beliefs
beginning even again. Intervals are of 95 %.
"""
    ]


def _on_streams(walks: Sequence[Result], options: argparse.Namespace) -> list[str]:
    streams = {walk.strategy: tuple(walk.returns) for walk in walks}
    cut = sum(len(judged.returns) for judged in walks[0].judged[:FIRST_WINDOWS])
    terms = choose_terms(part(streams, 0, cut), ROTATES)
    judged = part(streams, cut)
    of_rule, of_even = rotated(judged, ROTATES, terms), even(judged)
    best = best_single(judged)
    fills = {walk.strategy: sum(one.document["trades"] for one in walk.judged[FIRST_WINDOWS:]) for walk in walks}
    said = (
        f"**On the daily returns.** Chosen: a rate of {terms.rate_percent / 100:g} and a shift of "
        f"{terms.shift_ppm / 10_000:g} %; the desk's are {TERMS.rate_percent / 100:g} and "
        f"{TERMS.shift_ppm / 10_000:g} %."
    )
    return [
        said,
        "",
        "| | return | Sharpe a year | mean a day, bps | largest drawdown | what moved, or fills |",
        "| --- | --- | --- | --- | --- | --- |",
        _row("rotation", of_rule.returns, f"{of_rule.moved_bps / 100:.0f} % of the capital", options.seed),
        _row("equal shares", of_even, "", options.seed),
        _row(f"best single in hindsight ({best})", judged[best], f"{fills[best]} fills", options.seed),
        *(_row(name, judged[name], f"{fills[name]} fills", options.seed) for name in judged if name != best),
        "",
        _difference("Rotation less equal shares", of_rule.returns, of_even, options.seed),
        *_regrets(of_rule.returns, judged, fills, terms, options.seed),
        _many(judged, terms, options),
        _control(judged, terms, options.seed),
        "",
    ]


def _row(name: str, returns: Sequence[float], moved: str, seed: int) -> str:
    sharpe = annual_sharpe(returns)
    low, high = block_bootstrap(returns, seed)
    figures = (
        _percent(growth(returns) - 1),
        "too little data" if sharpe is None else f"{sharpe:.2f}",
        f"{low * 1e4:+.2f} to {high * 1e4:+.2f}",
        f"{max_drawdown(returns):.1%}".replace("%", " %"),
        moved,
    )
    return f"| {name} | {' | '.join(figures)} |"


def _difference(what: str, one: Sequence[float], other: Sequence[float], seed: int) -> str:
    apart = [a - b for a, b in zip(one, other, strict=True)]
    low, high = block_bootstrap(apart, seed)
    mean = math.fsum(apart) / len(apart)
    return f"- {what}: {mean * 1e4:+.3f} bps a day, {low * 1e4:+.3f} to {high * 1e4:+.3f}."


def _regrets(
    ours: Sequence[float], judged: Mapping[str, Sequence[float]], fills: Mapping[str, int], terms: Terms, seed: int
) -> list[str]:
    """Say how far the rule stayed behind the best single, and behind the best of those that traded at all."""
    best = best_single(judged)
    bound = regret_bound_ppm(len(judged), len(ours), 0, terms) / 1_000_000
    worst = f"The beliefs' bound in the worst case is {_percent(bound)}: no promise that a desk could live on."
    told = [f"- {_regret(ours, judged[best], best, seed)} {worst}"]
    active = {name: each for name, each in judged.items() if fills[name] >= FILLS_MIN}
    if best not in active and active:
        second = best_single(active)
        told.append(
            f"- {best} hardly traded, so that the best was to do next to nothing. "
            f"{_regret(ours, judged[second], f'{second}, the best with at least {FILLS_MIN} fills', seed)}"
        )
    return told


def _regret(ours: Sequence[float], best: Sequence[float], name: str, seed: int) -> str:
    apart = [b - a for a, b in zip(ours, best, strict=True)]
    low, high = block_bootstrap(apart, seed)
    days = len(apart)
    return (
        f"Regret against {name}: {_percent(math.fsum(apart))} of the capital over {days} days, "
        f"{_percent(low * days)} to {_percent(high * days)} by drawing blocks of days."
    )


def _percent(share: float) -> str:
    return f"{share * 100:+.2f} %"


def _many(judged: Mapping[str, Sequence[float]], terms: Terms, options: argparse.Namespace) -> str:
    """Say what the whole rule makes of other histories made of the same days."""
    over_even, regrets = [], []
    for drawn in resampled(judged, options.resamples, options.seed):
        ours = growth(rotated(drawn, ROTATES, terms).returns)
        over_even.append(ours - growth(even(drawn)))
        regrets.append(growth(drawn[best_single(drawn)]) - ours)
    (low, high), (least, most) = mean_interval(over_even), mean_interval(regrets)
    better = sum(each > 0 for each in over_even) / len(over_even)
    return (
        f"- The whole rule on {options.resamples} histories drawn from the same days in blocks: better than equal "
        f"shares in {better * 100:.0f} % of them, by {_percent(low)} to {_percent(high)} of the start; behind the best "
        f"single of each by {_percent(least)} to {_percent(most)}."
    )


def _control(judged: Mapping[str, Sequence[float]], terms: Terms, seed: int) -> str:
    """Say whether the rule could have won: with an edge that is there."""
    name = min(judged, key=lambda each: growth(judged[each]))
    edged = lifted(judged, name, EDGE)
    what = f"Control, {EDGE * 1e4:.0f} bps a day added to the worst ({name}): rotation less equal shares"
    return _difference(what, rotated(edged, ROTATES, terms).returns, even(edged), seed)


def _in_engine(runs: Sequence[Run], options: argparse.Namespace) -> list[str]:
    by_name = {run.name: run for run in runs}
    rotation = by_name["rotation"]
    said = (
        f"**In the full engine.** One desk of {sol_text(EQUITY_LAMPORTS)} SOL with all {len(TUNED)} strategies under "
        "the limits of `foundation`, each with the parameters of its first training, from the first day on; only the "
        "rule of the buckets differs, with the desk's rate and shift. Returns are of the same judged days; fills and "
        "costs of the whole run."
    )
    lines = [
        said,
        "",
        "| | return | Sharpe a year | mean a day, bps | largest drawdown | fills, costs in SOL |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            _row(r.name, r.returns, f"{r.fills}, {sol_text(r.cost_lamports // 1_000 * 1_000)}", options.seed)
            for r in runs
        ),
        "",
    ]
    lines += [
        _difference(f"Rotation less {run.name}", rotation.returns, run.returns, options.seed)
        for run in runs
        if run is not rotation
    ]
    return lines


def _verdict(walks: Sequence[Result], runs: Sequence[Run], options: argparse.Namespace) -> str:
    """Say whether rotation may be on by default: only where both intervals against equal shares are above zero."""
    streams = {walk.strategy: tuple(walk.returns) for walk in walks}
    cut = sum(len(judged.returns) for judged in walks[0].judged[:FIRST_WINDOWS])
    terms, judged = choose_terms(part(streams, 0, cut), ROTATES), part(streams, cut)
    pairs = [(rotated(judged, ROTATES, terms).returns, even(judged)), (runs[0].returns, runs[1].returns)]
    lows = [block_bootstrap([a - b for a, b in zip(*pair, strict=True)], options.seed)[0] for pair in pairs]
    if min(lows) > 0.0:
        return "Proven: rotation is above equal shares by both intervals."
    return "Not proven: rotation is not above equal shares by both intervals. It stays off by default."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
