"""How many parameter sets a second the array kernels screen, beside their peers, and how they rank them beside the full
engine: ``python -m benchmarks.evolution``.

Speed: a moving-average crossover on all bars of eight recorded hourly files (bars of the same shape are made where
there are none), one token a trade, a fee of 0.1 %, decided at a close and filled at the next open. Prices are whole
ticks, so that averages which are equal are equal in every engine. vectorbt and Optuna with backtesting.py run in
environments of their own, on one core, with the same sets; each profit and number of orders must be the kernel's.

Rank: sets of every strategy that has a kernel, in the kernel and in the full engine under the same exits, with the
engine's own fees, impact and network; every trade of the one is looked for in the other.
"""

import argparse
import csv
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import alone

from trading.adapters.trial_ledger import TrialLedger
from trading.evolution.bench import bench_of
from trading.evolution.course import Course, SearchSpec
from trading.evolution.kernels import Market, Terms, fills, screen, screenable
from trading.evolution.search import Worker
from trading.evolution.trial_store import opened
from trading.evolution.walk_forward import draws
from trading.feeds.replay import ReplayFeed, open_replay
from trading.model.market_data import Bar
from trading.model.units import NS_PER_S
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.strategies.parameters import Value

HERE = Path(__file__).resolve().parent
PEERS = {
    "vectorbt": (("vectorbt==1.2.0",), "vectorbt_sweep.py"),
    "Optuna + backtesting.py": (("optuna==5.0.0", "backtesting==0.6.6"), "optuna_backtesting.py"),
}
OF_VECTORBT_GOAL, OF_OPTUNA_GOAL, TRADES_GOAL = 10.0, 100.0, 0.99
INSTALL_TIMEOUT_S, RUN_TIMEOUT_S = 600, 600
PROFIT_TOLERANCE = 1e-6
EQUITY = 1e9
FEE_BPS = 10
HOUR_NS = 3_600 * NS_PER_S
SHAPE = {"BONK": 13528, "BTC": 21888, "DOGE": 21888, "FLOKI": 18894, "PEPE": 18894, "RENDER": 8150, "SOL": 21888}
SHAPE["WIF"] = 12706
TRIPS_MIN = 10
CONVENTIONS = """Conventions: decided at a close, filled at the next open; a fee of 0.1 % on every fill; what is held at
the end is marked at what a sale would bring. Ours also makes daily returns and the drawdown of all tokens together;
the peers make the profit alone. Loading bars, building arrays and compiling is not counted for anybody. One core each,
in seconds of the processor, so that what else runs on the machine counts for nobody; seconds by the clock count it.
Best of three runs of ours and of vectorbt."""


@dataclass(frozen=True)
class Prices:
    """Opens, highs, lows and closes of one token in whole ticks, hour after hour from ``first_ns``."""

    first_ns: int
    columns: Any

    def bars(self, mint: str) -> list[Bar]:
        found = []
        for number, row in enumerate(self.columns.T.tolist()):
            opened, high, low, close = map(Decimal, row)
            ts_ns = self.first_ns + number * HOUR_NS
            found.append(
                Bar(mint, ts_ns, ts_ns + HOUR_NS, opened, high, low, close, Decimal(1), None, None, f"{mint}:{number}")
            )
        return found


def market_dir() -> Path | None:
    named = Path(os.environ.get("MEMMCP_MARKET_DIR", HERE.parent.parent / "shared" / "market")) / "ohlcv_1h"
    return named if named.is_dir() else None


def recorded(folder: Path) -> dict[str, Prices]:
    """Return every file's prices in ticks of its own last digit."""
    found = {}
    for path in sorted(folder.glob("*USDT_1h.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        prices = [[Decimal(row[name]) for row in rows] for name in ("open", "high", "low", "close")]
        digits = max(-int(price.normalize().as_tuple().exponent) for column in prices for price in column)
        ticks = np.array([[int(price.scaleb(max(0, digits))) for price in column] for column in prices], np.int64)
        found[path.name.removesuffix("USDT_1h.csv.gz")] = Prices(int(rows[0]["ts"]) * NS_PER_S, ticks)
    return found


def made() -> dict[str, Prices]:
    """Return random walks of as many bars as the recorded files have."""
    found = {}
    for seed, (symbol, count) in enumerate(sorted(SHAPE.items())):
        chance = np.random.default_rng(seed)
        closes = np.round(20_000 * np.exp(np.cumsum(chance.normal(0, 0.01, count)))) + 100
        opens = np.concatenate((closes[:1], closes[:-1])) + chance.integers(-3, 4, count)
        stretch = chance.integers(0, 200, (2, count))
        highs, lows = np.maximum(opens, closes) + stretch[0], np.minimum(opens, closes)
        lows = np.maximum(1, lows - stretch[1] * lows // 40_000)
        first_ns = (1_672_531_200 + (max(SHAPE.values()) - count) * 3_600) * NS_PER_S
        found[symbol] = Prices(first_ns, np.stack((opens, highs, lows, closes)).astype(np.int64))
    return found


def pairs(count: int) -> list[tuple[int, int]]:
    """Return so many different pairs of averages, all over the range that a search would look at."""
    chance = np.random.default_rng(5)
    found: dict[tuple[int, int], None] = {}
    while len(found) < count:
        fast = int(chance.integers(2, 100))
        found[fast, fast + int(chance.integers(2, 400))] = None
    return list(found)


def as_sets(chosen: Sequence[tuple[int, int]]) -> list[Mapping[str, Value]]:
    return [{"fast_bars": fast, "slow_bars": slow} for fast, slow in chosen]


def best(call: Any, clock: Any = time.process_time, times: int = 3) -> float:
    """Return the fewest seconds by that clock: of the processor, so that what else runs on the machine counts for
    nobody."""
    taken = []
    for _ in range(times):
        began = clock()
        call()
        taken.append(clock() - began)
    return min(taken)


def peer(folder: Path, name: str, bars: Path, sets: Path) -> dict[str, Any] | str:
    """Install a peer and run the sweep in it; return why, where that is not possible."""
    packages, script = PEERS[name]
    environment = folder / script
    python = environment / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    try:
        for command in (
            [uv, "venv", "-q", "--python", sys.executable, environment],
            [uv, "pip", "install", "-q", "--python", python, *packages],
        ):
            subprocess.run([str(part) for part in command], check=True, timeout=INSTALL_TIMEOUT_S, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"cannot be installed: {error}"
    one_core = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [str(python), str(HERE / "evolution_peers" / script), str(bars), str(sets)]
    runs = []
    for _ in range(3 if name == "vectorbt" else 1):
        try:
            done = subprocess.run(
                command,
                check=True,
                capture_output=True,
                text=True,
                timeout=RUN_TIMEOUT_S,
                env={**os.environ, **one_core},
            )
        except subprocess.SubprocessError as error:
            return f"does not run: {error}"
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return min(runs, key=lambda run: float(run["seconds"]))


def unlike(prices: Mapping[str, Prices], chosen: Sequence[tuple[int, int]], run: Mapping[str, Any]) -> list[str]:
    """Return where a peer's profit or number of orders is not the kernel's, token by token and set by set."""
    found = []
    terms = Terms(fee_bps=FEE_BPS, units=1.0, equity=EQUITY)
    for symbol, each in prices.items():
        market = Market.of({symbol: each.bars(symbol)}, terms)
        returns = screen("sma_cross", market, as_sets(chosen)).returns
        for place, values in enumerate(as_sets(chosen)):
            profit = EQUITY * float(np.expm1(np.log1p(returns[place]).sum()))
            theirs, orders = run["profit"][symbol][place], len(fills("sma_cross", market, values))
            scale = max(abs(profit), float(each.columns[3].mean()))
            if orders != run["orders"][symbol][place] or abs(profit - theirs) > PROFIT_TOLERANCE * scale:
                counted = run["orders"][symbol][place]
                found.append(
                    f"{symbol} {chosen[place]}: {orders} orders and {profit:.1f}, not {counted} and {theirs:.1f}"
                )
    return found


def speed(prices: Mapping[str, Prices], counts: tuple[int, int, int]) -> list[str]:
    """Print the table of speeds; return what fell short."""
    ours, of_vectorbt, of_optuna = counts
    market = Market.of(
        {symbol: each.bars(symbol) for symbol, each in prices.items()}, Terms(FEE_BPS, units=1.0, equity=EQUITY)
    )
    chosen = pairs(ours)
    sets = as_sets(chosen)
    began = time.perf_counter()
    screen("sma_cross", market, sets[:1])
    compiled = time.perf_counter() - began
    one = best(lambda: screen("sma_cross", market, sets))
    halves = [sets[::2], sets[1::2]]
    by_clock = best(lambda: screen("sma_cross", market, sets), time.perf_counter)
    with ThreadPoolExecutor(2) as pool:
        two = best(lambda: list(pool.map(lambda half: screen("sma_cross", market, half), halves)), time.perf_counter)
    rows = {"memMCP": (ours, one, rss_mb()), "memMCP, one worker, by the clock": (ours, by_clock, rss_mb())}
    rows["memMCP, two workers, by the clock"] = (ours, two, rss_mb())
    folder = Path(tempfile.mkdtemp(prefix="me-"))
    told: dict[str, dict[str, Any] | str] = {}
    asked = {"vectorbt": chosen[:of_vectorbt], "Optuna + backtesting.py": chosen[:of_optuna]}
    try:
        names = ("opens", "highs", "lows", "closes")
        columns = {
            f"{symbol}.{name}": each.columns[place].astype(float)
            for symbol, each in prices.items()
            for place, name in enumerate(names)
        }
        np.savez(folder / "bars.npz", **columns)
        body = {"vectorbt": asked["vectorbt"], "optuna": asked["Optuna + backtesting.py"]}
        (folder / "sets.json").write_text(json.dumps(body), encoding="utf-8")
        for name in PEERS:
            told[name] = peer(folder, name, folder / "bars.npz", folder / "sets.json")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"| sma_cross, {market.bars:,} bars of {len(prices)} files | sets | seconds | sets/s | bar-sets/s | peak MB |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    misses: list[str] = []
    for name, run in told.items():
        if isinstance(run, str):
            print(f"| {name} | {run.splitlines()[0][:120]} | | | | |")
            misses.append(f"{name} gave no figure")
            continue
        rows[name] = (run["sets"], run["seconds"], run["rss_mb"])
        misses += [f"{name}, {each}" for each in unlike(prices, asked[name], run)[:3]]
    rates = {}
    for name, (count, seconds, peak) in rows.items():
        rates[name] = count / seconds
        figures = f"{seconds:.2f} | {rates[name]:,.2f} | {rates[name] * market.bars:,.0f} | {peak:.0f}"
        print(f"| {name} | {count} | {figures} |")
    print("\n| one core against | goal | ratio |\n| --- | --- | --- |")
    for name, goal in zip(PEERS, (OF_VECTORBT_GOAL, OF_OPTUNA_GOAL), strict=True):
        if name in rates:
            ratio = rates["memMCP"] / rates[name]
            print(f"| {name} | {goal:.0f} | {ratio:.0f} |")
            misses += [] if ratio >= goal else [f"{ratio:.1f} times {name} of {goal:.0f}"]
    print(f"\nCompiling takes {compiled:.1f} s once a process. {CONVENTIONS}")
    return misses


def every_strategy(feed: ReplayFeed, count: int) -> None:
    """Print how fast the kernel of each strategy is, with random sets of its declared ranges."""
    market = alone.market_of(feed)
    print(f"\n| kernel, {market.bars:,} bars of {len(market.mints)} tokens in SOL | sets/s | bar-sets/s |")
    print("| --- | --- | --- |")
    for name in sorted(screenable()):
        sets = draws(name, count, 1)
        screen(name, market, sets[:1])
        seconds = best(lambda name=name, sets=sets: screen(name, market, sets))
        print(f"| {name} | {count / seconds:,.0f} | {count * market.bars / seconds:,.0f} |")


def rank(feed: ReplayFeed, count: int) -> list[str]:
    """Print how the kernel ranks sets beside the full engine, and every trade in which they differ; return what fell
    short."""
    market = alone.market_of(feed)
    head = "trades of the engine | in the kernel | only in the kernel | rank correlation | furthest apart, bps"
    print(f"\n| strategy | sets | {head} |\n| --- | --- | --- | --- | --- | --- | --- |")
    misses, differing, all_trades, all_found = [], [], 0, 0
    for name in sorted(screenable()):
        drawn = draws(name, 60, 3)
        trips = screen(name, market, drawn).trades
        sets = [each for each, trades in zip(drawn, trips, strict=True) if trades >= TRIPS_MIN][:count]
        theirs, ours, trades, hits, more = [], [], 0, 0, 0
        for values, returns in zip(sets, screen(name, market, sets).returns, strict=True):
            spec = BacktestSpec(
                feed, rules=alone.profile(name, values), equity_lamports=alone.EQUITY_LAMPORTS, target_lamports=10**15
            )
            result = run_backtest(spec)
            engine = alone.trades_of(result.journal)
            kernel = {(each.mint, each.ts_ns, each.is_buy) for each in fills(name, market, values)}
            theirs.append(float(result.document["return_bps"]))
            ours.append(float(np.expm1(np.log1p(returns).sum())) * 1e4)
            trades, hits, more = trades + len(engine), hits + len(engine & kernel), more + len(kernel - engine)
            differing += [(name, "engine", *each) for each in engine - kernel]
            differing += [(name, "kernel", *each) for each in kernel - engine]
        apart = max((abs(mine - their) for mine, their in zip(ours, theirs, strict=True)), default=0.0)
        correlation = spearman(ours, theirs)
        print(f"| {name} | {len(sets)} | {trades} | {hits} | {more} | {correlation:.3f} | {apart:.1f} |")
        all_trades, all_found = all_trades + trades + more, all_found + hits
    share = all_found / max(1, all_trades)
    print(f"\nOf {all_trades} trades {share:.2%} are the same, at the same opens (goal {TRADES_GOAL:.0%}). ", end="")
    print(f"Random sets of each strategy with at least {TRIPS_MIN} round trips, on the last {market.bars:,} bars.")
    if differing:
        print("\n| strategy | only in | token | fill | side |\n| --- | --- | --- | --- | --- |")
        for strategy, side, mint, ts_ns, is_buy in differing[:50]:
            when = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
            print(f"| {strategy} | {side} | {mint} | {when:%Y-%m-%d %H:%M} | {'buy' if is_buy else 'sell'} |")
    misses += [] if share >= TRADES_GOAL else [f"{share:.2%} of trades the same, of {TRADES_GOAL:.0%}"]
    return misses


def whole_search(feed: ReplayFeed, trials: int) -> None:
    """Print how many candidates a second a search draws, screens, cross-validates, counts and tells."""
    rules = alone.profile("sma_cross", {})
    course = Course(SearchSpec("sma_cross", rules, alone.EQUITY_LAMPORTS, trials=trials), feed)
    with tempfile.TemporaryDirectory(prefix="me-") as folder, opened("benchmark", course.spec, "one#0") as store:
        ledger = TrialLedger.at(Path(folder) / "trials.db")
        bench = bench_of(course)
        bench.evaluate([course.genome.defaults])
        began = time.process_time()
        Worker(course, store, ledger, bench).run()
        seconds = time.process_time() - began
        told = len(store.told())
    tests = len(course.scheme.test_masks)
    what = f"drawing, screening, {tests} cross-validated test sets a candidate, the ledger of trials"
    rate = f"{told / seconds:,.0f} candidates a second"
    print(f"\nA whole search of sma_cross by NSGA-II over the same bars ({what}): {rate}.")


def spearman(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the rank correlation; equal values share their mean rank. 1 where there is nothing to rank."""
    if len(ours) < 2 or min(len(set(ours)), len(set(theirs))) < 2:
        return 1.0
    return statistics.correlation(ours, theirs, method="ranked")


def rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("speed", "rank"))
    parser.add_argument("--sets", type=int, nargs=3, default=(1_000, 50, 3), metavar=("OURS", "VECTORBT", "OPTUNA"))
    parser.add_argument("--engine-sets", type=int, default=8, help="sets of each strategy that the full engine runs")
    options = parser.parse_args(arguments)
    folder = market_dir()
    misses: list[str] = []
    if folder is None:
        print("No recorded bars (MEMMCP_MARKET_DIR): random walks of the same shape stand for them.\n")
    if options.only != "rank":
        misses += speed(made() if folder is None else recorded(folder), tuple(options.sets))
    if options.only != "speed" and folder is not None:
        whole = open_replay([folder])
        every_strategy(whole, 100)
        whole_search(whole, 500)
        last_ns = whole.last_ns
        misses += rank(whole.cut(last_ns - 365 * 24 * HOUR_NS, last_ns), options.engine_sets)
    print("\nAll goals are met." if not misses else "\nShort of its goals: " + "; ".join(misses) + ".")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
