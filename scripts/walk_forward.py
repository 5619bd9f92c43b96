"""Walk-forward of every strategy on recorded hourly bars: ``python -m scripts.walk_forward FOLDER``.

Writes the table between its markers in docs/results.md, whatever it says. FOLDER holds ``*USDT_1h.csv.gz``. Only files
of one market kind are divided by each other: SOL's hourly file is of a perpetual, so the tokens are those whose files
are of perpetuals too. Strategies are walked side by side, each in a process of its own.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from scripts.results_file import commit, splice

from trading.adapters.trial_ledger import TrialLedger
from trading.cli.trials import ledger_path
from trading.evolution.walk_forward import (
    Plan,
    Result,
    Window,
    annual_sharpe,
    block_bootstrap,
    draws,
    growth,
    max_drawdown,
    walk_forward,
    windows,
)
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model.profile import BASELINE, FOUNDATION
from trading.model.tier import TIERS
from trading.model.units import LAMPORTS_PER_SOL, sol_text
from trading.portfolio import statistics
from trading.strategies.registry import module_of

TOKENS = ("BTC", "DOGE", "WIF", "RENDER")
TUNED = ("momentum_breakout", "mean_reversion", "trend_following", "volatility_breakout", "lead_lag", "sma_cross")
BASELINES = ("buy_and_hold", "random_entry")
PLAN = Plan(train_days=180, test_days=60, embargo_days=2)
EQUITY_LAMPORTS = 2 * LAMPORTS_PER_SOL


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--candidates", type=int, default=12, help="parameter sets a strategy and window")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    feed = feed_of(options.folder)
    assert feed.summary.first_ns is not None
    assert feed.summary.last_ns is not None
    spans = windows(feed.summary.first_ns, feed.summary.last_ns, PLAN)
    found: list[Result] = []
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(TUNED)), mp_context=spawned) as pool:
        for result in pool.map(walked, [(options, name) for name in (*TUNED, *BASELINES)]):
            found.append(result)
            said = f"{result.strategy}: {growth(result.returns) - 1:+.2%} in {time.monotonic() - began:.0f} s"
            print(said, file=sys.stderr)
    section = _section(feed, spans, found, options)
    splice("walk-forward", section)
    print(section)
    return 0


def feed_of(folder: Path) -> ReplayFeed:
    """Return SOL and the tokens whose files are of the same market kind."""
    return open_replay([folder / f"{symbol}USDT_1h.csv.gz" for symbol in ("SOL", *TOKENS)])


def walked(wanted: tuple[argparse.Namespace, str]) -> Result:
    """Return the walk of one strategy; which of them run at the same time changes no figure."""
    options, name = wanted
    feed = feed_of(options.folder)
    assert feed.summary.first_ns is not None
    assert feed.summary.last_ns is not None
    spans = windows(feed.summary.first_ns, feed.summary.last_ns, PLAN)
    is_baseline = name in BASELINES
    candidates = draws(name, 1 if is_baseline else options.candidates, options.seed)
    rules = BASELINE if is_baseline else FOUNDATION
    ledger = TrialLedger.at(ledger_path())
    try:
        return walk_forward(feed, rules, name, candidates, spans, equity_of(name), ledger)
    finally:
        ledger.close()


def equity_of(strategy: str) -> int:
    """Return the start capital in lamports: of the smallest desk whose tier lets the strategy enter."""
    module = module_of(strategy)
    return max(EQUITY_LAMPORTS, min(tier.from_lamports for tier in TIERS if tier.admits(module)))


def _section(feed: ReplayFeed, spans: Sequence[Window], found: Sequence[Result], options: argparse.Namespace) -> str:
    trials = sum(result.trials for result in found)
    ends = (spans[0].test_from_ns, spans[-1].test_to_ns)
    first, last = (f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d}" for ns in ends)
    command = f"python -m scripts.walk_forward FOLDER --candidates {options.candidates} --seed {options.seed}"
    text = f"""## Walk-forward on hourly bars

`{command}`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}. {feed.description.detail}.

{len(spans)} windows: parameters are chosen by Sharpe on {PLAN.train_days} days among {options.candidates} sets (the
defaults and seeded draws), {PLAN.embargo_days} days are left out, the choice is judged on the next {PLAN.test_days}.
Judged from {first} until {last}, out of sample, each window with as many SOL as the table says: 2, or
the least with which a desk's tier lets the strategy enter. Returns are in SOL, after all costs. Strategies run under
the profile `foundation` (its stops, its holding time of a day at most), the baselines under `baseline` (a
tenth of equity a token, no exits). The deflated Sharpe is the probability of being better than the best of {trials}
worthless trials; the interval is that of the mean daily return (95 %, blocks of 5 days).
"""
    costs = "costs, SOL (pool and signature, impact, priority, failed)"
    figures = "return | Sharpe a year | deflated | trials | mean a day, bps | largest drawdown | fills"
    columns = f"strategy | SOL | {figures} | {costs}"
    lines = [text, f"| {columns} |", "|" + " --- |" * (columns.count("|") + 1)]
    lines += [_row(result, trials, options.seed) for result in found]
    lines += ["| holding SOL | | +0.0 % | | | | 0 | 0.0 % | 0 | 0 |", "", _verdict(found, trials, options.seed)]
    return "\n".join(lines)


def _row(result: Result, trials: int, seed: int) -> str:
    returns = result.returns
    sharpe, deflated = annual_sharpe(returns), _deflated(result, trials)
    low, high = block_bootstrap(returns, seed)
    documents = [judged.document for judged in result.judged]
    kinds = ("fee", "impact", "priority", "failed")
    costs = [sum(document["costs"][f"{kind}_lamports"] for document in documents) for kind in kinds]
    cells = (
        result.strategy,
        sol_text(equity_of(result.strategy)),
        f"{growth(returns) - 1:+.1%}",
        _figure(sharpe),
        _figure(deflated),
        str(result.trials),
        f"{low * 1e4:+.1f} to {high * 1e4:+.1f}",
        f"{max_drawdown(returns):.1%}",
        str(sum(document["trades"] for document in documents)),
        ", ".join(sol_text(cost // 1_000 * 1_000) for cost in costs),
    )
    return f"| {' | '.join(cells)} |".replace("%", " %")


def _deflated(result: Result, trials: int) -> float | None:
    moments = statistics.moments(result.returns)
    per_day = statistics.sharpe(moments)
    return None if per_day is None else statistics.deflated_sharpe(per_day, moments, trials)


def _verdict(found: Sequence[Result], trials: int, seed: int) -> str:
    proven = [
        result.strategy
        for result in found
        if result.strategy in TUNED
        and block_bootstrap(result.returns, seed)[0] > 0.0
        and (_deflated(result, trials) or 0.0) > 0.95
    ]
    if proven:
        return f"Above zero by the interval and by the deflated Sharpe: {', '.join(proven)}."
    return "Not proven: no strategy is above zero by both its interval and its deflated Sharpe."


def _figure(value: float | None) -> str:
    return "too little data" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
