"""Trips between the local chain and a loopback exchange while everything fails, and opportunities that were planted.

    python -m benchmarks.arbitrage --runs 1000 --seed 1

Each run is one trip with its own wallet, executor and journals; ``at-once`` of them share one chain and one exchange.
It has to end flat within its deadline, with no order sent twice, and with books that say what chain and exchange did.
Then opportunities are planted between two venues, above and below their full cost, for the real monitor and runner.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio
from tests.support.memory_disk import memory_directory
from tests.support.trip_chaos import Ended, trips, world
from tests.support.two_venues import TwoVenues, plant

PLANTED: int = 1_000
TAKEN_SHARE_MIN: float = 0.9


async def chaos(runs: int, seed: int, at_once: int, folder: Path) -> tuple[list[Ended], Counter[str]]:
    """Return how each trip ended, and what was done to them."""
    ended: list[Ended] = []
    async with world(folder, seed) as made:
        async for each in trips(made, range(runs), at_once=at_once):
            ended.append(each)
            for wrong in each.wrong:
                print(f"  seed {each.seed}: {wrong}", flush=True)
        return ended, made.counts


def told(ended: list[Ended], counts: Counter[str], took_s: float) -> str:
    """Return the figures of all trips, for a person."""
    phases = Counter(each.phase.value for each in ended)
    times_s = sorted(each.took_s for each in ended)
    second = sum(each.attempts > 1 for each in ended)
    hurt = ", ".join(f"{what} {n}" for what, n in sorted(counts.items()) if n)
    return (
        f"arbitrage: {len(ended)} trips, {dict(sorted(phases.items()))}, {second} of them past their first leg; "
        f"{sum(each.failed_legs for each in ended)} legs failed or were filled in part, "
        f"{sum(each.kills for each in ended)} kills, {sum(bool(each.wrong) for each in ended)} wrong; flat after "
        f"{statistics.median(times_s):.1f} s, at most {times_s[-1]:.1f} s, "
        f"the nearest {min(each.left_s for each in ended):.1f} s before its deadline; {took_s:.0f} s\n  {hurt}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--planted", type=int, default=PLANTED)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)  # what fails here is meant to
    began_s = time.monotonic()
    with memory_directory() as folder:
        runs = max(1, arguments.runs)
        ended, counts = anyio.run(chaos, runs, arguments.seed, arguments.at_once, folder)
    print(told(ended, counts, time.monotonic() - began_s), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        market = TwoVenues(Path(folder), arguments.seed)
        found = anyio.run(plant, market, max(1, arguments.planted))
        market.journal.close()
    share = found.taken / found.above if found.above else 0.0
    print(
        f"planted: {found.above + found.below} opportunities, {found.above} above their full cost and {found.below} "
        f"not; taken {found.taken} of the first ({share:.1%}) and {found.wrong} of the others; "
        f"{sum(each <= 0 for each in found.results)} of the trips lost"
    )
    is_sound = not any(each.wrong for each in ended) and share >= TAKEN_SHARE_MIN and not found.wrong
    return 0 if is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
