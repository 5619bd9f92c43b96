"""The launch study on recorded launches: ``python -m scripts.launch_study FOLDER``.

Writes its section in docs/results.md, whatever it says. FOLDER holds ``pumpfun_tokens_1h_usd.csv.gz``, hourly bars of
newly launched tokens in USD, and ``solusdc_raydium_1h_close.csv.gz``, which turns them into SOL.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from random import Random

from scripts.results_file import commit, splice

from trading.adapters.trial_ledger import Trial, TrialLedger, family_of
from trading.cli.trials import ledger_path
from trading.evolution.launch_study import (
    CURVE,
    EQUITY_LAMPORTS,
    TRADES_MIN,
    Figures,
    Study,
    graduates_at_once,
    scope_of,
    study,
    token_feeds,
)
from trading.execution.bonding_curve import graduated_reserves
from trading.feeds.instruments import LAUNCH_POOL_FEE_BPS
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model.tier import tier_of
from trading.model.units import sol_text
from trading.strategies.launch_scanner import LaunchScanner
from trading.strategies.parameters import Value
from trading.strategies.registry import declared

FILES = ("pumpfun_tokens_1h_usd.csv.gz", "solusdc_raydium_1h_close.csv.gz")
GRID: dict[str, tuple[Value, ...]] = {
    "wait_bars": (1, 2, 3),
    "window_bars": (3, 6, 24),
    "entry_rise": (-1.0, -0.9, -0.5, 0.0, 0.1),
    "entry_flow": (-1.0, -0.5, 0.0, 0.1),
    "hold_bars": (1, 3, 6, 24),
    "stop_share": (0.1, 0.25, 0.5, 1.0),
}
"""What candidates are drawn from: the bars are of an hour, and most launches fall within their first one."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--candidates", type=int, default=24, help="parameter sets that are tried")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    feed = open_replay([options.folder / name for name in FILES])
    feeds, candidates = token_feeds(feed), drawn(options.candidates, options.seed)
    _count(feeds, candidates, options.seed)
    found = study(feeds, candidates, options.seed)
    pooled = sum(map(graduates_at_once, feeds.values()))
    section = described(found, feed, pooled, options.candidates, options.seed)
    splice("launch-study", section)
    print(section)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


def drawn(count: int, seed: int) -> list[dict[str, Value]]:
    """Return the defaults and seeded draws from the grid, each once."""
    chance = Random(seed)
    whole = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    fitting = [each for each in whole if each["wait_bars"] <= each["window_bars"]]
    defaults = {each.name: each.default for each in declared(LaunchScanner.NAME) if each.name in GRID}
    return [defaults, *chance.sample(fitting, count - 1)]


def _count(feeds: dict[str, ReplayFeed], candidates: Sequence[dict[str, Value]], seed: int) -> None:
    """Write every candidate into the ledger of trials, before it is tried. They have no daily returns."""
    with_ledger = TrialLedger.at(ledger_path())
    for candidate in candidates:
        with_ledger.add(
            Trial(
                family=family_of([LaunchScanner.NAME]),
                scope=scope_of(feeds, candidate, seed),
                who="sweep",
                at_ns=time.time_ns(),
                feed="launch study, first part",
                parameters={f"{LaunchScanner.NAME}.{name}": value for name, value in candidate.items()},
                sharpe=None,
                observations=0,
                trades=0,
                return_bps=0,
            )
        )
    with_ledger.close()


def described(found: Study, feed: ReplayFeed, pooled: int, candidates: int, seed: int) -> str:
    """Return the section; ``pooled`` tokens leave their curve within their first bar."""
    depth = sol_text(graduated_reserves(CURVE).lamports // 10**7 * 10**7)
    least = sol_text(tier_of(EQUITY_LAMPORTS).pool_lamports_min)
    command = f"python -m scripts.launch_study FOLDER --candidates {candidates} --seed {seed}"
    text = f"""## Launch study

`{command}`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}. {feed.description.detail}.

Tokens are split beforehand by a hash of the seed and their mint: {found.first_tokens} on which parameters are chosen
among {candidates} sets (the defaults and seeded draws from the grid in the script), {found.second_tokens} on which the
choice is judged once. Prices in USD are divided by SOL's hourly price: the open by SOL's close of the hour before, the
close by its own. Each token is a run of its own in the full engine: {sol_text(EQUITY_LAMPORTS)} SOL, a tenth of it a
trade, at most one trade a token; decided at a bar's close, filled at the next bar's open; the pool's fee of
{LAUNCH_POOL_FEE_BPS / 100} % each way, network and priority fees. No reserves are recorded, so the impact is that of a
declared model: pump.fun's launch curve while the price is below its graduation, and the pool that it becomes from then
on ({depth} SOL at that price, less with the root of it as the token falls); {pooled} of
{found.first_tokens + found.second_tokens} tokens reach it within their first bar. A pool of less than {least} SOL is
too shallow for a desk of that size, so launches that fell that far by then are not bought. What is held at the last bar
counts at what a sale would bring. No facts are
recorded, so no rug check stood before any trade, and none of this says what the checks are worth. The trimmed mean
leaves out a tenth of the trades at either end (one launch in a hundred decides a plain mean); intervals are of 95 %,
by drawing tokens 2,000 times.
"""
    if found.parameters is None or found.scanner is None or found.every is None or found.first is None:
        return f"{text}\nNot proven: no set of parameters had {TRADES_MIN} trades on the first part.\n"
    names = ", ".join(f"`{name}` {value}" for name, value in found.parameters.items())
    rows = [
        _row("scanner, first part (chosen there)", found.first),
        _row("scanner, second part", found.scanner),
        _row("every launch one bar late, second part", found.every),
    ]
    low, high = map(_share, found.margin_interval)
    return "\n".join(
        [
            text,
            f"Chosen: {names}.",
            "",
            "| | trades | median a trade | interval | trimmed mean a trade | interval |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"Scanner less every launch (trimmed means): {_share(found.margin)}, interval {low} to {high}.",
            "",
            verdict(found),
            "",
        ]
    )


def verdict(found: Study) -> str:
    """Return the sentence that a test holds the profiles against."""
    if found.is_proven:
        return "Proven: above zero, and above buying every launch, by the lower ends of both intervals."
    if found.scanner is None or found.scanner.trades < TRADES_MIN:
        return f"Not proven: fewer than {TRADES_MIN} trades on the second part. The scanner stays off by default."
    return "Not proven: the lower ends of its intervals are not above zero. The scanner stays off by default."


def _row(name: str, figures: Figures) -> str:
    spans = [f"{_share(low)} to {_share(high)}" for low, high in (figures.median_interval, figures.trimmed_interval)]
    cells = (name, str(figures.trades), _share(figures.median), spans[0], _share(figures.trimmed), spans[1])
    return f"| {' | '.join(cells)} |"


def _share(value: float) -> str:
    return f"{value:+.1%}".replace("%", " %")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
