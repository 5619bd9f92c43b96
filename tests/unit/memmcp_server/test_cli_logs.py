"""memmcp logs, over a file."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.daemon.places import Places

WIDE = {"COLUMNS": "200"}
ERROR = {"type": "ValueError", "message": "no", "traceback": "Traceback: [bold]deep[/]"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    log = Places(tmp_path).log
    log.parent.mkdir()
    lines = (
        {"ts": "2026-11-27T10:00:00.000Z", "level": "info", "logger": "n", "message": "up \x1b[31m[red]x[/]"},
        {"ts": "2026-11-27T10:00:01.000Z", "level": "error", "logger": "n", "message": "no", "error": ERROR}
        | {"request": "req-1", "agent": "cursor", "tool": "why"},
    )
    old = "2026-11-26T10:00:00Z INFO memmcp: of before\n"
    log.write_text(old + "".join(f"{json.dumps(each)}\n" for each in lines), encoding="utf-8")
    return tmp_path


def told(folder: Path, *options: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["logs", "--data-dir", str(folder), *options], env=WIDE)
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.requirement("O6")
def test_people_read_lines_with_whose_they_are_and_nothing_steers_their_terminal(folder: Path) -> None:
    text = told(folder)
    assert "INFO     memmcp: of before" in text
    assert "ERROR    n: no (why cursor req-1)" in text
    assert "Traceback: [bold]deep[/]" in text
    assert "[red]x[/]" in text
    assert "\x1b[31m" not in text


@pytest.mark.parametrize(
    "option", [("--level", "Warning"), ("--request", "req-1"), ("--since", "2026-11-27T10:00:01Z")]
)
def test_a_filter_leaves_the_rest_out(folder: Path, option: tuple[str, str]) -> None:
    text = told(folder, *option)
    assert "n: no" in text
    assert "up" not in text
    assert "of before" not in text


def test_programs_read_the_lines_as_they_stand(folder: Path) -> None:
    [line] = told(folder, "--json", "-n", "1").splitlines()
    assert json.loads(line)["request"] == "req-1"


def test_what_is_long_over_does_not_come_and_wrong_filters_are_named(folder: Path) -> None:
    assert told(folder, "--since", "10m") == ""
    assert "level: one of debug, info" in told(folder, "--level", "loud", code=2)
    assert "since: a number with s, m, h" in told(folder, "--since", "yesterday", code=2)
    assert "since: a number with s, m, h" in told(folder, "--since", "2026-11-27T10:00:00", code=2)


def test_without_a_log_it_says_where_it_would_be(tmp_path: Path) -> None:
    assert str(Places(tmp_path).log) in told(tmp_path, code=1).replace("\n", "")
