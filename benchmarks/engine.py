"""How fast the engine and the array kernel are beside their peers: ``python -m benchmarks.engine``.

One task for all: 500,000 one-minute bars of a random walk (``tests.support.yardstick``), moving averages of 10 and 50
closes, one token a trade, a fee of 0.1 %, 13,642 orders. Ours runs as it trades: gate, ledger, journal and drawdown
guards are on, every order is asked of every limit. Peers are installed by uv into a throw-away folder, never into ours,
and run in a process of their own; loading data and compiling is not counted for anybody (compiling is stated apart).
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import yardstick
from tests.support.yardstick import BARS, EQUITY_LAMPORTS, FAST, FEE_BPS, SLOW, Walk

HERE = Path(__file__).resolve().parent
INSTALL_TIMEOUT_S = 600
RUN_TIMEOUT_S = 900
PEERS = {
    "backtesting.py": ("backtesting==0.6.6", "backtesting_py.py"),
    "vectorbt": ("vectorbt==1.2.0", "vectorbt_py.py"),
    "NautilusTrader": ("nautilus_trader==1.221.0", "nautilus_py.py"),
}
BARS_PER_S_GOAL, OF_BACKTESTING_GOAL, OF_NAUTILUS_GOAL = 250_000, 3.0, 10.0
SETS_PER_S_GOAL, OF_VECTORBT_GOAL, RSS_MB_GOAL = 100e6, 20.0, 400.0
PROFIT_TOLERANCE = 1e-6
SWEEP = [(fast, slow) for fast in range(5, 51, 5) for slow in range(60, 241, 20)]
CONVENTIONS = """Conventions: decided at a close and filled at the next open by all but NautilusTrader, which fills at
the close of the bar that decides (so its profit is another one); the fee is paid in the quote; ours also pays 5,000
lamports a transaction and the impact of its pool, both added back above as the run printed them; equity is marked at
what a sale would bring. Best of three runs of each, of five for compiled code."""


@dataclass(frozen=True)
class Taken:
    """``profit`` is in units of the walk's price."""

    seconds: float
    orders: int
    profit: float
    rss_mb: float
    more: str = ""


def engine(prices: Walk) -> Taken:
    """Run the full engine; the feed is made before, as every peer's data is."""
    from trading.adapters.memory_journal import MemoryJournal
    from trading.engine import strides
    from trading.feeds.series import collector_paused
    from trading.runtime.assembly import RunPlan, begin, make_kernel

    feed = yardstick.feed_of(prices)
    plan = RunPlan("backtest", feed.description, yardstick.profile(), EQUITY_LAMPORTS, 10**16)
    journal = MemoryJournal()
    kernel = make_kernel(plan, "yardstick", journal)
    begin(kernel)
    before_mb = rss_mb()
    with collector_paused():
        began = time.perf_counter()
        for _ in strides.take(kernel, feed.events()):
            journal.commit()
        kernel.end()
        journal.commit()
        seconds = time.perf_counter() - began
    state = kernel.state
    costs = state.ledger.costs
    network = 5_000 * state.fills_total
    kept = state.equity_lamports - EQUITY_LAMPORTS + network + costs.impact_lamports
    more = (
        f"journal {journal.horizon():,} rows, sha256 {journal.sha256()[:12]}; added back: network fees "
        f"{network / 1e9:.6f} SOL, impact {costs.impact_lamports / 1e9:.6f} SOL; {before_mb:.0f} MB before the run"
    )
    return Taken(seconds, state.fills_total, kept / 1e9 / float(yardstick.PRICE_SCALE), rss_mb(), more)


def kernel(prices: Walk) -> tuple[Taken, float, float]:
    """Return the pinned pair alone, the seconds of the sweep, and the seconds of compiling."""
    from trading.evolution.kernels import Market, Terms, fills, screen

    equity = EQUITY_LAMPORTS / 1e9
    terms = Terms(fee_bps=FEE_BPS, units=1.0, equity=equity)
    market = Market.of({yardstick.MINT: yardstick.bars_of(prices)}, terms)
    pair = {"fast_bars": FAST, "slow_bars": SLOW}
    sets = [{"fast_bars": fast, "slow_bars": slow} for fast, slow in SWEEP]
    began = time.perf_counter()
    screen("sma_cross", market, [pair])
    compiled = time.perf_counter() - began
    one = best(lambda: screen("sma_cross", market, [pair]))
    sweep = best(lambda: screen("sma_cross", market, sets))
    profit = equity * (float(np.prod(1.0 + screen("sma_cross", market, [pair]).returns[0])) - 1.0)
    orders = len(fills("sma_cross", market, pair))
    return Taken(one, orders, profit / float(yardstick.PRICE_SCALE), rss_mb()), sweep, compiled


def bare_loop(prices: Walk) -> Taken:
    """The floor: the pinned pair alone in compiled code, without screening's drawdown and arguments."""
    import numba

    @numba.njit
    def loop(opens: Any, closes: Any, f: int, s: int, fee: float) -> tuple[float, int]:
        cash, is_long, wish, orders = 0.0, False, 0, 0
        fast_sum, slow_sum = closes[s - f : s].sum(), closes[:s].sum()
        above = fast_sum * s > slow_sum * f
        for i in range(s, closes.size):
            if wish != 0:
                is_long = wish > 0
                cash += -opens[i] * (1 + fee) if is_long else opens[i] * (1 - fee)
                orders, wish = orders + 1, 0
            slow_sum += closes[i] - closes[i - s]
            fast_sum += closes[i] - closes[i - f]
            now = fast_sum * s > slow_sum * f
            if now != above:
                above = now
                if now:
                    wish = 1
                elif is_long:
                    wish = -1
        return (cash + closes[-1] * (1 - fee) if is_long else cash), orders

    opens, closes = as_ticks(prices.opens), as_ticks(prices.closes)
    loop(opens, closes, FAST, SLOW, FEE_BPS / 1e4)
    seconds = best(lambda: loop(opens, closes, FAST, SLOW, FEE_BPS / 1e4))
    profit, orders = loop(opens, closes, FAST, SLOW, FEE_BPS / 1e4)
    return Taken(seconds, orders, profit / 100, rss_mb())


def as_ticks(prices: Any) -> Any:
    return np.round(prices * 100).astype(np.int64)


def best(call: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken)


def rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(what: str, bars: int) -> dict[str, Any]:
    """Run one of ours in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "benchmarks.engine", "--only", what, "--bars", str(bars)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, cwd=HERE.parent)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peer(folder: Path, name: str, walk: Path, bars: int) -> dict[str, Any] | str:
    """Install a peer and run the task in it; return why, where that is not possible."""
    package, script = PEERS[name]
    environment = folder / name
    uv = Path(sys.executable).parent / "uv"
    python = environment / "bin" / "python"
    try:
        for command in (
            [uv, "venv", "-q", "--python", sys.executable, environment],
            [uv, "pip", "install", "-q", "--python", python, package],
        ):
            subprocess.run([str(part) for part in command], check=True, timeout=INSTALL_TIMEOUT_S, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"cannot be installed: {error}"
    extra = {"vectorbt": str(min(25, len(SWEEP))), "NautilusTrader": str(bars)}.get(name)
    command = [str(python), str(HERE / "engine_peers" / script), str(walk), *([extra] if extra else [])]
    runs: list[dict[str, Any]] = []
    for _ in range(3):
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
        except subprocess.SubprocessError as error:
            return f"does not run: {error}"
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return min(runs, key=lambda run: float(run["seconds"]))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=BARS)
    parser.add_argument("--only", choices=("engine", "kernel", "bare"), help="run one of ours and print JSON")
    options = parser.parse_args(arguments)
    prices = yardstick.walk(options.bars)
    if options.only:
        return _one(options.only, prices)
    folder = Path(tempfile.mkdtemp(prefix="me-"))
    try:
        walk = folder / "walk.npz"
        np.savez(walk, opens=prices.opens, highs=prices.highs, lows=prices.lows, closes=prices.closes)
        ours = min((apart("engine", options.bars) for _ in range(3)), key=lambda run: float(run["seconds"]))
        screened = apart("kernel", options.bars)
        floor = apart("bare", options.bars)
        peers = {name: peer(folder, name, walk, options.bars) for name in PEERS}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _table(options.bars, ours, screened, floor, peers)


def _one(what: str, prices: Walk) -> int:
    if what == "engine":
        print(json.dumps(engine(prices).__dict__))
    elif what == "kernel":
        taken, sweep, compiled = kernel(prices)
        print(json.dumps({**taken.__dict__, "sweep_seconds": sweep, "sets": len(SWEEP), "compiled": compiled}))
    else:
        print(json.dumps(bare_loop(prices).__dict__))
    return 0


def _table(
    bars: int,
    ours: dict[str, Any],
    screened: dict[str, Any],
    floor: dict[str, Any],
    peers: dict[str, dict[str, Any] | str],
) -> int:
    print("| one pair | bars/s | seconds | orders | profit | peak MB |\n| --- | --- | --- | --- | --- | --- |")
    rows: dict[str, dict[str, Any] | str] = {"memMCP, full engine": ours, "memMCP, array kernel": screened}
    for name, run in {**rows, "bare numba loop": floor, **peers}.items():
        if isinstance(run, str):
            print(f"| {name} | {run.splitlines()[0][:120]} | | | | |")
            continue
        print(
            f"| {name} | {bars / run['seconds']:,.0f} | {run['seconds']:.3f} | {run['orders']:,} | "
            f"{run['profit']:,.2f} | {run['rss_mb']:.0f} |"
        )
    print("\n| sweep | sets | bar-sets/s | peak MB |\n| --- | --- | --- | --- |")
    swept = bars * screened["sets"] / screened["sweep_seconds"]
    print(f"| memMCP, array kernel, one core | {screened['sets']} | {swept:,.0f} | {screened['rss_mb']:.0f} |")
    vectorbt = peers["vectorbt"]
    theirs = None if isinstance(vectorbt, str) else bars * vectorbt["sets"] / vectorbt["sweep_seconds"]
    if theirs is not None and not isinstance(vectorbt, str):
        print(f"| vectorbt, 25 columns a call | {vectorbt['sets']} | {theirs:,.0f} | {vectorbt['rss_mb']:.0f} |")
    print(f"\nThe full engine: {ours['more']}. Compiling the kernel takes {screened['compiled']:.1f} s once a process.")
    print(f"\n{CONVENTIONS}\n")
    misses = _misses(bars, ours, screened, floor, peers, swept, theirs)
    print("All goals are met." if not misses else "Short of its goals: " + "; ".join(misses) + ".")
    return 1 if misses else 0


def _misses(
    bars: int,
    ours: dict[str, Any],
    screened: dict[str, Any],
    floor: dict[str, Any],
    peers: dict[str, dict[str, Any] | str],
    swept: float,
    theirs: float | None,
) -> list[str]:
    speed = bars / ours["seconds"]
    misses = [] if speed >= BARS_PER_S_GOAL else [f"full engine {speed:,.0f} bars/s of {BARS_PER_S_GOAL:,}"]
    for name, goal in (("backtesting.py", OF_BACKTESTING_GOAL), ("NautilusTrader", OF_NAUTILUS_GOAL)):
        run = peers[name]
        if not isinstance(run, str):
            times = run["seconds"] / ours["seconds"]
            misses += [] if times >= goal else [f"{times:.2f} times {name} of {goal:.0f}"]
    misses += [] if swept >= SETS_PER_S_GOAL else [f"kernel {swept:,.0f} bar-sets/s of {SETS_PER_S_GOAL:,.0f}"]
    if theirs is not None:
        misses += [] if swept >= OF_VECTORBT_GOAL * theirs else [f"kernel {swept / theirs:.1f} times vectorbt"]
    misses += [] if screened["rss_mb"] <= RSS_MB_GOAL else [f"kernel {screened['rss_mb']:.0f} MB of {RSS_MB_GOAL:.0f}"]
    same = [floor, ours, *([peers["backtesting.py"]] if not isinstance(peers["backtesting.py"], str) else [])]
    profits = [float(run["profit"]) for run in same if isinstance(run, dict)]
    off = max(abs(profit / screened["profit"] - 1) for profit in profits)
    misses += [] if off <= PROFIT_TOLERANCE else [f"profits differ by {off:.1e}"]
    orders = statistics.mode([screened["orders"], *(run["orders"] for run in same if isinstance(run, dict))])
    misses += [] if orders == ours["orders"] else [f"{ours['orders']} orders of {orders}"]
    return misses


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
