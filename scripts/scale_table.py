"""The same recorded run at 2 to 20,000 SOL: ``python -m scripts.scale_table FOLDER``.

Writes the table between its markers in docs/results.md, whatever it says. FOLDER holds ``*USDT_5m.csv.gz``. The depth
of pools is no part of those bars, so it is declared: a share of the volume, within a floor and a cap (``DEPTH``).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from scripts.results_file import commit, splice

from trading.adapters.canonical import parse_json
from trading.execution.capacity import capacity
from trading.execution.conditions import Conditions
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model import events
from trading.model.event_codec import decode
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Measure, Purpose
from trading.model.profile import FOUNDATION
from trading.model.tier import tier_of
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL
from trading.runtime.backtest import BacktestResult, BacktestSpec, run_backtest

TOKENS = ("BONK", "WIF", "PEPE", "BOME")
SIZES_SOL = (2, 20, 200, 2_000, 20_000)
DEPTH = Conditions(
    name="scale",
    liquidity="volume",
    depth_volume_bps=1_000,
    depth_bars=288,
    depth_lamports_min=10 * LAMPORTS_PER_SOL,
    depth_lamports_max=20_000 * LAMPORTS_PER_SOL,
)
POOL_FEE_BPS = 25
COSTS = ("fee", "impact", "priority", "failed")


@dataclass(frozen=True, slots=True)
class Run:
    """One size. ``depths`` and ``edges`` are those of entries that were judged; ``shallow`` of them had too shallow a
    pool for the tier."""

    equity_sol: int
    document: dict[str, Any]
    amounts: tuple[int, ...]
    depths: tuple[int, ...]
    shallow: int
    edges: tuple[int, ...]
    mints: frozenset[str]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="default: ohlcv_5m below MEMMCP_MARKET_DIR")
    options = parser.parse_args(arguments)
    named = os.environ.get("MEMMCP_MARKET_DIR")
    if options.folder is None and named is None:
        parser.error("name the folder, or set MEMMCP_MARKET_DIR")
    folder = options.folder or Path(str(named)) / "ohlcv_5m"
    feed = open_replay([folder / f"{symbol}USDT_5m.csv.gz" for symbol in ("SOL", *TOKENS)])
    runs = [_run(feed, equity_sol) for equity_sol in SIZES_SOL]
    section = _section(feed, runs)
    splice("scale", section)
    print(section)
    return 0


def _run(feed: ReplayFeed, equity_sol: int) -> Run:
    result = run_backtest(
        BacktestSpec(feed=feed, equity_lamports=equity_sol * LAMPORTS_PER_SOL, conditions=DEPTH, who="scale table")
    )
    amounts: list[int] = []
    depths: list[int] = []
    shallow = 0
    edges: list[int] = []
    mints: set[str] = set()
    for event in _events(result):
        if isinstance(event, events.SignalRaised):
            if event.signal.strength > 0:
                edges.append(event.signal.edge_bps)
            continue
        if isinstance(event, events.OrderApproved):
            if event.order.purpose is not Purpose.ENTRY:
                continue
            amounts.append(event.order.amount_in)
            mints.add(event.order.mint)
            measures: Sequence[Measure] = event.measures
        else:
            measures = event.denied.broken
        found = [measure for measure in measures if measure.name == "pool_lamports"]
        depths += [measure.used for measure in found]
        shallow += any(measure.is_broken for measure in found)
    return Run(equity_sol, result.as_json(), tuple(amounts), tuple(depths), shallow, tuple(edges), frozenset(mints))


def _events(result: BacktestResult) -> Sequence[Any]:
    kinds = ("signal_raised", "signal_passed", "order_approved", "order_denied")
    return [decode(row.kind, parse_json(row.body)) for row in result.journal.rows(kinds=kinds)]


def _section(feed: ReplayFeed, runs: Sequence[Run]) -> str:
    text = f"""## The same run at five sizes

`python -m scripts.scale_table FOLDER`, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}. {feed.description.detail}.

Profile `foundation`, its two strategies. Bars say nothing about the depth of pools; declared is
{DEPTH.liquidity_text()}. Shallow: entries that reached the gate and whose pool held less than the tier asks for; pools:
tokens that were entered, of {len(TOKENS)}. Costs are shares of all costs; pool fee and signatures are one kind. Zero
edge: with the median stated edge of the signals and the median depth of the pools that were deep enough, an order below
the first size loses to fixed costs and one above the second to its own impact (`execution/capacity.py`).
"""
    columns = (
        "SOL | tier | least depth, SOL | entries judged, shallow | pools | entries | median entry, SOL | "
        "fee %, impact %, priority %, failed % | costs of the turnover, bps | return | zero edge, SOL"
    )
    lines = [text, f"| {columns} |", "|" + " --- |" * (columns.count("|") + 1), *map(_row, runs)]
    return "\n".join(lines)


def _row(run: Run) -> str:
    tier = tier_of(run.equity_sol * LAMPORTS_PER_SOL)
    costs = [run.document["costs"][f"{kind}_lamports"] for kind in COSTS]
    whole = sum(costs)
    turnover = 2 * sum(run.amounts)
    cells = (
        f"{run.equity_sol:,}",
        tier.name if tier.name == run.document["tier"] else f"{tier.name}, then {run.document['tier']}",
        f"{tier.pool_lamports_min // LAMPORTS_PER_SOL:,}",
        f"{len(run.depths)}, {run.shallow}",
        f"{len(run.mints)} of {len(TOKENS)}",
        str(len(run.amounts)),
        _sol(median(run.amounts)) if run.amounts else "-",
        ", ".join(f"{100 * cost / whole:.1f}" for cost in costs) if whole else "-",
        f"{BPS_ONE * whole / turnover:.0f}" if turnover else "-",
        f"{run.document['return_bps'] / 100:+.2f} %",
        _zero_edge(run),
    )
    return f"| {' | '.join(cells)} |"


def _zero_edge(run: Run) -> str:
    deep = [depth for depth in run.depths if depth >= tier_of(run.equity_sol * LAMPORTS_PER_SOL).pool_lamports_min]
    if not deep or not run.edges:
        return "-"
    fixed = 2 * (SIGNATURE_FEE_LAMPORTS + FOUNDATION.priority_fee_lamports)
    edge, depth = int(median(run.edges)), int(median(deep))
    found = capacity(depth, POOL_FEE_BPS, fixed, edge)
    if found is None:
        return f"no size, at {edge} bps"
    return f"{_sol(found.least_lamports)} to {_sol(found.most_lamports)}, at {edge} bps in {_sol(depth)}"


def _sol(lamports: float) -> str:
    return (
        f"{lamports / LAMPORTS_PER_SOL:,.4g}" if lamports < LAMPORTS_PER_SOL else f"{lamports / LAMPORTS_PER_SOL:,.1f}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
