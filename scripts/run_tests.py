"""The tests of ``make test``: the page's, then the quick ones on every core, then those that start real daemons.

Arguments are handed to pytest in the place of the whole suite: ``python scripts/run_tests.py tests/unit -k journal``.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import set_up

COVERAGE_MIN_PERCENT = 90


def run(command: Sequence[str | Path], cwd: Path = set_up.ROOT, **environ: str) -> int:
    print("$", " ".join(map(str, command)), flush=True)
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **environ}, check=False
    ).returncode


def page_tests() -> int:
    node, npm = set_up.node_tools()
    path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    return run([npm, "run", "--silent", "check"], cwd=set_up.UI, PATH=path)


def python_tests() -> int:
    pytest = [set_up.BIN / "python", "-m", "pytest", "-q", "--durations=8"]
    coverage = ["--cov", "--cov-report="]
    codes = [
        run([*pytest, "-n", "2", "-m", "not system and not browser", *coverage]),
        run([*pytest, "-m", "system and not browser", *coverage, "--cov-append"]),
        # In a process of their own: Playwright keeps an event loop running in its thread.
        run([*pytest, "-m", "browser", *coverage, "--cov-append"]),
    ]
    report = [
        set_up.BIN / "python",
        "-m",
        "coverage",
        "report",
        f"--fail-under={COVERAGE_MIN_PERCENT}",
        "--format=total",
    ]
    covered = run(report)
    if covered:
        print(f"branch coverage is below {COVERAGE_MIN_PERCENT} % (the figure above)", flush=True)
    return next((code for code in [*codes, covered] if code), 0)


def main(arguments: Sequence[str]) -> int:
    if arguments:
        return run([set_up.BIN / "python", "-m", "pytest", *arguments])
    return page_tests() or python_tests()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
