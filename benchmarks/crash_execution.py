"""Kill processes that carry intents out on the rehearsal chain, and hold the chain against their books.

    python -m benchmarks.crash_execution --runs 500 --seed 1 [--state FILE]

Every case of the matrix once, then any by chance. With ``--state`` a run that was stopped goes on where it was.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import anyio
from tests.support.execution_crash import Case, matrix, run_cases


def cases_of(runs: int, seed: int) -> list[Case]:
    """Return the cases of a run: the same for the same seed."""
    whole = matrix()
    chances = random.Random(seed)
    return (whole + [chances.choice(whole) for _ in range(max(0, runs - len(whole)))])[:runs]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=None, help="a file that remembers what was run")
    arguments = parser.parse_args()
    cases = cases_of(arguments.runs, arguments.seed)
    state: Path | None = arguments.state
    before = json.loads(state.read_text()) if state is not None and state.exists() else {"done": 0, "wrong": []}
    done, wrong = int(before["done"]), list(before["wrong"])
    began_s = time.monotonic()

    def told(case: Case, problem: str) -> None:
        nonlocal done
        done += 1
        if problem:
            wrong.append(f"{case.name}: {problem}")
            print(f"  {wrong[-1]}", flush=True)
        if state is not None:
            state.write_text(json.dumps({"done": done, "wrong": wrong}))

    with tempfile.TemporaryDirectory() as folder:
        killed = anyio.run(run_cases, cases[done:], Path(folder), told)
    print(
        f"execution: {killed} processes killed in {done} cases of {len({each.name for each in cases})} kinds, "
        f"{len(wrong)} wrong; {time.monotonic() - began_s:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
