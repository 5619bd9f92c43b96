"""Kill a search at each commit of its databases, and hold what the next one finds against an undisturbed search.

    python -m benchmarks.crash_search [--every 1] [--chains 20] [--seed 1]

First one search is killed at each commit (or each n-th) and goes on to its end; then some are killed several times in a
row, at commits by chance.
"""

import argparse
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.support.search_crash import KILLED, attempt, made, small_order


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--chains", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began_s = time.monotonic()
    killed, wrong = 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quiet = small_order(folder, "quiet")
        if attempt(quiet, None, folder / "commits") != 0:
            return 1
        expected, commits = made(quiet), int((folder / "commits").read_text())
        chances = random.Random(arguments.seed)
        cases = [[at] for at in range(1, commits + 1, max(1, arguments.every))]
        cases += [[chances.randint(1, commits // 3) for _ in range(4)] for _ in range(arguments.chains)]
        for place, kills in enumerate(cases):
            order = replace(quiet, run_dir=folder / str(place), ledger=folder / f"{place}.db")
            codes = [attempt(order, at) for at in kills]
            killed += codes.count(KILLED)
            if attempt(order, None) != 0 or made(order) != expected:
                wrong.append(kills)
                print(f"  wrong after kills at {kills}", flush=True)
    print(
        f"search: {killed} processes killed in {len(cases)} cases at {commits} commits, "
        f"{len(wrong)} wrong; {time.monotonic() - began_s:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
