"""Processes that share out the quick tests run each test once, and none of them says "passed" for what is broken."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.sharing_out import FIRST

pytestmark = pytest.mark.requirement("Q1")

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
import pathlib, pytest
RUN = pathlib.Path(__file__).with_name("run")
@pytest.fixture(scope="session")
def begun():
    with RUN.open("a") as out: out.write("begun\\n")
"""
NOTES = """
import pathlib, pytest
@pytest.mark.parametrize("number", [1, 2])
def test_a_note_is_made(begun, request, number):
    run = pathlib.Path(__file__).parents[1] / "run"
    with run.open("a") as out: out.write(request.node.nodeid + "\\n")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST, "utf-8")
    for name in ("one", "two", "three"):
        (tmp_path / "some").mkdir(exist_ok=True)
        (tmp_path / "some" / f"test_{name}.py").write_text(NOTES, "utf-8")
    (tmp_path / "share").mkdir()
    return tmp_path


@pytest.fixture
def start(project: Path) -> Callable[[], "subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.sharing_out", "-p", "no:cacheprovider"]
    options = [f"--share={project / 'share'}", "--import-mode=importlib", "some"]

    def start() -> "subprocess.Popen[str]":
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen([*command, *options], cwd=project, env=environment, stdout=subprocess.PIPE, text=True)

    return start


def run(start: Callable[[], "subprocess.Popen[str]"], processes: int) -> list[int]:
    started = [start() for _ in range(processes)]
    for process in started:
        process.communicate(timeout=60)
    return [process.returncode for process in started]


def test_each_test_is_run_once_and_whoever_comes_too_late_has_nothing_to_complain_of(
    project: Path, start: Callable[[], "subprocess.Popen[str]"]
) -> None:
    assert run(start, 2) == [0, 0]
    assert run(start, 1) == [0]
    noted = (project / "run").read_text("utf-8").splitlines()
    names = [line for line in noted if line != "begun"]
    assert sorted(names) == sorted(
        f"some/test_{name}.py::test_a_note_is_made[{number}]" for name in ("one", "two", "three") for number in (1, 2)
    )
    # What a session shares is made once in each process that runs tests at all, and kept from file to file.
    assert noted.count("begun") <= 2


@pytest.mark.parametrize("broken", ["def test_that_fails(): assert False", "import no_such_module"])
def test_a_file_that_fails_or_cannot_be_read_is_a_failure_and_the_others_are_run(
    broken: str, project: Path, start: Callable[[], "subprocess.Popen[str]"]
) -> None:
    (project / "some" / "test_a_first_one.py").write_text(broken, "utf-8")
    assert run(start, 1) == [1]
    noted = (project / "run").read_text("utf-8").splitlines()
    assert len(noted) == 7
    assert noted.count("begun") == 1


def test_what_is_taken_first_is_there() -> None:
    assert [name for name in FIRST if not (ROOT / name).is_file()] == []
