"""Transfers between venues over a bridge that is late, loses and takes back, while the process is killed.

    python -m benchmarks.transfers --transfers 20000 --seed 1

Each has to end flat: where the bridge says that it is, handed in at most once, counted once.
"""

import argparse
import logging
import sys
import time
from collections import Counter

import anyio
from tests.support.bridge_chaos import bridged
from tests.support.memory_disk import memory_directory

AT_ONCE: int = 1_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--transfers", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)  # what fails here is meant to
    began_s, states, kinds, kills, wrong = time.monotonic(), Counter[str](), Counter[str](), 0, 0
    with memory_directory() as folder:
        for number in range(max(1, arguments.transfers // AT_ONCE)):
            found = anyio.run(bridged, folder, arguments.seed + number, AT_ONCE)
            states.update({state.value: count for state, count in found.states.items()})
            kinds += found.kinds
            kills, wrong = kills + found.kills, wrong + len(found.wrong)
            for each in found.wrong:
                print(f"  seed {arguments.seed + number}: {each}", flush=True)
    print(
        f"transfers: {sum(states.values())}, {dict(sorted(states.items()))}, {wrong} wrong; fates "
        f"{dict(sorted(kinds.items()))}; {kills} kills; {time.monotonic() - began_s:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
