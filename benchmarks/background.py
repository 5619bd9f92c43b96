"""Does the search in the background slow the loop?  ``python -m benchmarks.background``.

A kernel trades generated bars of several tokens under the foundation profile, cycle after cycle, and commits to a
journal on disk after each. Beside it runs the background search, as the daemon starts it, but with a whole core for
budget, so that it never rests. Rounds alternate: the search stands still (SIGSTOP), the search runs (SIGCONT). Then a
search with a smaller budget shows how much of a core it takes.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from tests.support import searching

from trading.adapters.sql_journal import JournalStore
from trading.engine.kernel import Kernel
from trading.evolution.errand import Errand
from trading.evolution.keeper import COMMAND
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model.market_data import CycleEnd, MarketEvent
from trading.model.profile import FOUNDATION
from trading.ports import Journal
from trading.runtime.assembly import RunPlan, begin, make_kernel

ROUNDS = 5
MEDIAN_RATIO_MAX = 1.10
P99_RATIO_MAX = 1.5
BUDGET_TIMES_MAX = 1.25
"""How far above its budget a measured share may be: a batch is not cut in two."""


@dataclass
class Side:
    """Times of one side in microseconds: of the decision, and of the decision with its commit."""

    decided_us: list[float] = field(default_factory=list)
    written_us: list[float] = field(default_factory=list)


def cycles_of(cycles: int) -> Iterator[list[MarketEvent]]:
    together: list[MarketEvent] = []
    for event in SyntheticFeed(SyntheticMarket(seed=7, cycles=cycles)).events():
        together.append(event)
        if isinstance(event, CycleEnd):
            yield together
            together = []


def measure(kernel: Kernel, journal: Journal, told: Iterator[list[MarketEvent]], cycles: int, pause_s: float) -> Side:
    """Take so many cycles with a pause between them, as a loop that waits for the market does."""
    side = Side()
    for _ in range(cycles):
        events = next(told)
        time.sleep(pause_s)
        began = time.perf_counter()
        for event in events:
            kernel.on_event(event)
        decided = time.perf_counter()
        journal.commit()
        side.decided_us.append((decided - began) * 1e6)
        side.written_us.append((time.perf_counter() - began) * 1e6)
    return side


@contextmanager
def searching_beside(folder: Path, budget_percent: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the background search as the daemon does, and give it once it searches. The strategy has no kernel: there is
    nothing to compile first, and each candidate computes for a while."""
    errand = Errand(
        strategies=("random_entry",),
        data=(str(searching.write_bars(folder / "bars", days=60)),),
        trials_per_day=100_000,
        cpu_budget_percent=budget_percent,
        days_max=365,
        run_dir=str(folder),
        folder=str(folder / str(budget_percent)),
        profile="foundation",
        profiles_dir=None,
        equity_lamports=2_000_000_000,
    )
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(errand.line())
        process.stdin.flush()
        while json.loads(process.stdout.readline())["phase"] != "searching":
            pass
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def cpu_s(pid: int) -> float:
    """Return the seconds that a process has computed (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds_of(folder: Path, cycles: int, pause_s: float) -> dict[bool, list[Side]]:
    """Return the rounds without (False) and with (True) a search that runs."""
    store = JournalStore.at(folder / "journal.db")
    found: dict[bool, list[Side]] = {False: [], True: []}
    try:
        market = SyntheticFeed(SyntheticMarket(seed=7))
        plan = RunPlan("backtest", market.description, FOUNDATION, 20 * 10**9, 200 * 10**9)
        journal = store.start_run("run", plan.identity, 1)
        kernel = make_kernel(plan, "run", journal)
        begin(kernel)
        told = cycles_of((2 * ROUNDS + 1) * cycles)
        with searching_beside(folder, 100) as process:
            os.kill(process.pid, signal.SIGSTOP)
            measure(kernel, journal, told, cycles, 0.0)  # warm-up
            for place in range(2 * ROUNDS):
                # Which side comes first changes from pair to pair.
                is_running = (place + place // 2) % 2 == 1
                os.kill(process.pid, signal.SIGCONT if is_running else signal.SIGSTOP)
                found[is_running].append(measure(kernel, journal, told, cycles, pause_s))
    finally:
        store.close()
    return found


def share_of(folder: Path, budget_percent: int, seconds: float) -> float:
    """Return the share of a core that a search with this budget takes, in percent, from one rest to another."""
    with searching_beside(folder, budget_percent) as process:
        assert process.stdout is not None
        marks: list[tuple[float, float]] = []
        while not marks or marks[-1][1] - marks[0][1] < seconds:
            line = json.loads(process.stdout.readline())
            marks.append((line["cpu_s"], time.monotonic()))
        (first_cpu_s, first_s), (last_cpu_s, last_s) = marks[0], marks[-1]
        return 100.0 * (last_cpu_s - first_cpu_s) / (last_s - first_s)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--pause-ms", type=float, default=3.0)
    parser.add_argument("--budget", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=40.0)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        found = rounds_of(Path(name), arguments.cycles, arguments.pause_ms / 1_000)
        share = share_of(Path(name), arguments.budget, arguments.seconds)
    print(f"{ROUNDS} rounds of {arguments.cycles} cycles a side, in turns; the medians of the rounds.\n")
    print("| a cycle of the loop | alone | beside the search | ratio | goal |")
    print("|---|---|---|---|---|")
    is_good = True
    for what, times in (("decided", "decided_us"), ("decided and on disk", "written_us")):
        for title, percent, limit in (("median", 50, MEDIAN_RATIO_MAX), ("p99", 99, P99_RATIO_MAX)):
            alone, beside = (
                median(float(np.percentile(getattr(side, times), percent)) for side in found[is_running])
                for is_running in (False, True)
            )
            is_good = is_good and beside <= limit * alone
            print(
                f"| {what}, {title} | {alone:,.0f} us | {beside:,.0f} us | {beside / alone:.2f} | at most {limit:.2f} |"
            )
    is_good = is_good and share <= BUDGET_TIMES_MAX * arguments.budget
    print(
        f"\nA search with a budget of {arguments.budget} % of a core took {share:.1f} % of one over "
        f"{arguments.seconds:.0f} s (goal: at most {BUDGET_TIMES_MAX * arguments.budget:.0f} %)."
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
