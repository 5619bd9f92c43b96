"""All of ``make test`` behind set-up, in two turns on two cores.

Lint, what must be covered to the last branch and the tests of compiled kernels beside the page's own tests; then the
quick tests, those that start daemons and those in a browser, all at once: the first compute while the others wait.

``--coverage`` counts branches too, in child processes as well, which takes about twice as long. Other arguments are
handed to pytest in the place of the whole suite: ``python scripts/run_tests.py tests/unit -k journal``.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parent))
import set_up

COVERAGE_MIN_PERCENT = 95
EXECUTION = "tests/unit/trading/execution"
WHOLLY_COVERED = {
    "trading.execution.verifier": ("test_verifier.py", "test_round_trip_messages.py"),
    "trading.execution.token_accounts": ("test_upkeep_rules.py",),
    "trading.execution.upkeep_rules": ("test_upkeep_rules.py",),
}
"""Modules of which no branch may be left out, each by its own tests: what reads a transaction before it is signed."""
SYSTEM, BROWSER = ("tests/system", "tests/clients"), "tests/browser"
"""Where the tests with these marks are, and no others: reading all the rest takes its time too."""

COMPILED = (
    *("tests/unit/trading/evolution", "tests/unit/test_noise.py", "tests/property/test_kernels.py"),
    *(f"tests/integration/test_{name}.py" for name in ("background_search", "killed_search", "search_workers")),
)
"""Tests of the kernels. Each process that runs some of them compiles the kernels anew, for a dozen seconds: so one."""

PYTEST = [str(set_up.BIN / "python"), "-m", "pytest", "-q", "--durations=8"]
KERNELS = [*PYTEST, "-m", "not system and not browser", *COMPILED]
QUICK = [*PYTEST, *(f"--ignore={tests}" for tests in (*COMPILED, *SYSTEM, BROWSER))]
# Four on two cores, because daemons and the browser take their share of the processors at the same time, and a third of
# the time a test waits.
QUICK_PROCESSES = 4
# Reading all files in each process, as pytest-xdist does, took longer than many a folder of tests.
SHARED_OUT = ["-p", "tests.support.sharing_out", "-o", "console_output_style=classic"]
# Files are run side by side, since most of what they do is waiting for processes of their own. In order: those in
# tests/clients share a daemon that trades until its last test has ended, so they come last.
BY_FILE = ["--dist", "loadfile", "--no-loadscope-reorder"]
DAEMONS = [*PYTEST, "-n", "2", *BY_FILE, "-m", "system and not bench", *SYSTEM]
# In a process of their own: Playwright keeps an event loop running in its thread. Most of the time they wait.
IN_BROWSER = [*PYTEST, "-m", "browser", BROWSER]


@dataclass(frozen=True)
class Phase:
    """Commands that are run one after the other until one fails."""

    name: str
    commands: Sequence[Sequence[str]]
    cwd: Path = set_up.ROOT
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, out: BinaryIO | None = None) -> int:
        """Return the exit code of the first command that failed, or 0. ``out`` None: show what they print at once."""
        started, code = time.monotonic(), 0
        for command in self.commands:
            _say(out, "$ " + " ".join(command))
            code = subprocess.run(
                command, cwd=self.cwd, env=environment() | self.environ, stdout=out, stderr=out, check=False
            ).returncode
            if code:
                break
        told = f"failed with exit code {code}" if code else "done"
        _say(out, f"[tests] {self.name} {told} in {time.monotonic() - started:.0f} s")
        return code


def _say(out: BinaryIO | None, text: str) -> None:
    if out is None:
        print(text, flush=True)
    else:
        out.write(f"{text}\n".encode())
        out.flush()


def environment() -> dict[str, str]:
    """Return the environment with bytecode kept: each of some hundred processes would compile the project anew."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def side_by_side(first: Phase, *others: Phase) -> int:
    """Run phases at once and return the first failure's exit code, or 0.

    The first one shows what it prints; what the others print comes after it, whole.
    """
    with ThreadPoolExecutor(max(1, len(others))) as threads, tempfile.TemporaryDirectory() as folder:
        texts = [Path(folder) / str(number) for number in range(len(others))]
        runs = [threads.submit(_into, text, phase) for text, phase in zip(texts, others, strict=True)]
        codes = [first.run()]
        for run, text in zip(runs, texts, strict=True):
            codes.append(run.result())
            print(text.read_text("utf-8", errors="replace"), end="", flush=True)
    return next((code for code in codes if code), 0)


def _into(path: Path, phase: Phase) -> int:
    with path.open("wb") as out:
        return phase.run(out)


def lint() -> Phase:
    ruff, floors, types = (str(set_up.BIN / name) for name in ("ruff", "lint-imports", "mypy"))
    return Phase("lint", [[ruff, "check", "."], [ruff, "format", "--check", "-q", "."], [floors, "--no-logo"], [types]])


def page_tests() -> Phase:
    node, npm = set_up.node_tools()
    path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    return Phase("page", [[str(npm), "run", "--silent", "check"]], set_up.UI, {"PATH": path})


def whole_coverage() -> Phase:
    """Run those tests, each counted in a file of its own, so that the figures of ``--coverage`` stay as they are."""
    gate = ["--cov-branch", "--cov-report=term-missing", "--cov-fail-under=100"]
    commands = [
        [*PYTEST, *(f"{EXECUTION}/{name}" for name in names), f"--cov={module}", *gate]
        for module, names in WHOLLY_COVERED.items()
    ]
    return Phase("whole coverage", commands, environ={"COVERAGE_FILE": str(set_up.VENV / ".coverage-whole")})


def quick_tests(folder: str) -> list[Phase]:
    """Return the processes that share out the quick tests; ``folder``: an empty one, where they note what they take."""
    command = [*QUICK, *SHARED_OUT, f"--share={folder}"]
    return [Phase(f"quick {number}", [command]) for number in range(1, QUICK_PROCESSES + 1)]


def python_tests() -> int:
    with tempfile.TemporaryDirectory() as folder:
        return side_by_side(*quick_tests(folder), Phase("daemons", [DAEMONS]), Phase("browser", [IN_BROWSER]))


def covered_tests() -> int:
    """The same one after the other: whoever ends takes the counts of the others for its own."""
    coverage = [str(set_up.BIN / "python"), "-m", "coverage"]
    Phase("erase", [[*coverage, "erase"]]).run()
    counted = ["--cov", "--cov-append", "--cov-report="]
    phases = [
        Phase("kernels", [[*KERNELS, *counted]]),
        Phase("quick", [[*QUICK, "-n", "4", "--dist", "worksteal", *counted]]),
        Phase("daemons", [[*DAEMONS, *counted]]),
        Phase("browser", [[*IN_BROWSER, *counted]]),
        Phase("report", [[*coverage, "report", f"--fail-under={COVERAGE_MIN_PERCENT}"]]),
    ]
    codes = [phase.run() for phase in phases]
    return next((code for code in codes if code), 0)


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--coverage"]:
        return covered_tests()
    if arguments:
        return Phase("pytest", [[str(set_up.BIN / "python"), "-m", "pytest", *arguments]]).run()
    return side_by_side(page_tests(), lint(), whole_coverage(), Phase("kernels", [KERNELS])) or python_tests()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
