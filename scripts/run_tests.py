"""The tests of ``make test``: the page's, then what must be covered to the last branch, then the quick ones on every
core, then those that start real daemons.

``--coverage`` counts branches too, in child processes as well, which takes about twice as long. Other arguments are
handed to pytest in the place of the whole suite: ``python scripts/run_tests.py tests/unit -k journal``.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import set_up

COVERAGE_MIN_PERCENT = 95
WHOLLY_COVERED = {"trading.execution.verifier": "tests/unit/trading/execution/test_verifier.py"}
"""Modules of which no branch may be left out, each by its own tests: what reads a transaction before it is signed."""
SYSTEM, BROWSER = ("tests/system", "tests/clients"), "tests/browser"
"""Where the tests with these marks are, and no others: reading all the rest takes its time too."""


def run(command: Sequence[str | Path], cwd: Path = set_up.ROOT, **environ: str) -> int:
    print("$", " ".join(map(str, command)), flush=True)
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **environ}, check=False
    ).returncode


def page_tests() -> int:
    node, npm = set_up.node_tools()
    path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    return run([npm, "run", "--silent", "check"], cwd=set_up.UI, PATH=path)


def whole_coverage() -> int:
    """Run those tests again and count: an own file, so that the figures of ``--coverage`` stay as they are."""
    with tempfile.TemporaryDirectory() as place:
        for module, tests in WHOLLY_COVERED.items():
            counted = [f"--cov={module}", "--cov-branch", "--cov-report=term-missing", "--cov-fail-under=100"]
            command = [set_up.BIN / "python", "-m", "pytest", "-q", tests, *counted]
            if code := run(command, COVERAGE_FILE=str(Path(place) / "coverage")):
                return code
    return 0


def python_tests(*, coverage: bool) -> int:
    pytest = [set_up.BIN / "python", "-m", "pytest", "-q", "--durations=8"]
    counted = ["--cov", "--cov-append", "--cov-report="] if coverage else []
    if coverage:
        run([set_up.BIN / "python", "-m", "coverage", "erase"])
    codes = [
        whole_coverage(),
        run([*pytest, "-n", "2", "-m", "not system and not browser", *counted]),
        # Files are run side by side, since most of what they do is waiting for processes of their own.
        run([*pytest, "-n", "2", "--dist", "loadfile", "-m", "system and not bench", *SYSTEM, *counted]),
        # In a process of their own: Playwright keeps an event loop running in its thread.
        run([*pytest, "-m", "browser", BROWSER, *counted]),
    ]
    if coverage:
        codes.append(run([set_up.BIN / "python", "-m", "coverage", "report", f"--fail-under={COVERAGE_MIN_PERCENT}"]))
    return next((code for code in codes if code), 0)


def main(arguments: Sequence[str]) -> int:
    if arguments == ["--coverage"]:
        return python_tests(coverage=True)
    if arguments:
        return run([set_up.BIN / "python", "-m", "pytest", *arguments])
    return page_tests() or python_tests(coverage=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
