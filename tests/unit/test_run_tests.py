"""What ``make test`` runs at once is shown whole, and one failure of any is a failure of all."""

import sys
from pathlib import Path

import pytest
from scripts.run_tests import Phase, environment, side_by_side

pytestmark = pytest.mark.requirement("Q1")


def phase(name: str, *programs: str) -> Phase:
    return Phase(name, [[sys.executable, "-c", program] for program in programs])


def test_phases_run_at_once_and_what_the_others_print_comes_whole_after_the_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "told"
    is_told = f"pathlib.Path({str(told)!r}).exists()"
    wait = f"import itertools, pathlib, time; any({is_told} or time.sleep(0.01) for _ in itertools.count())"
    first = phase("first", f"{wait}; print('first')")
    other = phase("other", "print('one')", f"print('two'); open({str(told)!r}, 'w').close()")
    assert side_by_side(first, other) == 0
    printed = [line for line in capfd.readouterr().out.splitlines() if not line.startswith("$")]
    assert [line.split(" in ")[0] for line in printed] == [
        "first",
        "[tests] first done",
        "one",
        "two",
        "[tests] other done",
    ]


@pytest.mark.parametrize(("first", "other", "code"), [(0, 3, 3), (4, 0, 4), (4, 3, 4), (0, 0, 0)])
def test_the_exit_code_is_that_of_whichever_failed(
    first: int, other: int, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    found = side_by_side(
        phase("first", f"raise SystemExit({first})"), phase("other", f"raise SystemExit({other})", "print('reached')")
    )
    assert found == code
    out = capfd.readouterr().out
    assert ("reached" in [line.strip() for line in out.splitlines()]) == (other == 0)
    assert out.count("failed with exit code") == (first != 0) + (other != 0)


def test_tests_keep_their_bytecode_where_the_shell_says_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KEPT", "yes")
    assert "PYTHONDONTWRITEBYTECODE" not in environment()
    assert environment()["KEPT"] == "yes"
