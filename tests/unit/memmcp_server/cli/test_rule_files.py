"""connect --rules: a marked block in the file that each client reads, and not a byte of the rest."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.cli.rule_files import BEGIN, END, FILES, TEXT
from memmcp_server.tools.server import tool_specs

NAMES = sorted(FILES)


def rules(name: str, project: Path, *options: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["connect", name, "--rules", "--project", str(project), *options])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("name", NAMES)
def test_rules_are_written_once_and_taken_out_again(name: str, tmp_path: Path) -> None:
    file = tmp_path / FILES[name].path
    assert TEXT.splitlines()[0] in rules(name, tmp_path, "--dry-run").stdout
    assert list(tmp_path.iterdir()) == []
    rules(name, tmp_path)
    text = file.read_text()
    assert text == f"{FILES[name].head}{BEGIN}\n{TEXT}{END}\n"
    assert "has it already" in rules(name, tmp_path).stdout
    assert file.read_text() == text
    rules(name, tmp_path, "--remove")
    assert not file.exists()
    assert "nothing of memMCP" in rules(name, tmp_path, "--remove").stdout


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_the_person_wrote_stays_to_the_byte(name: str, newline: str, tmp_path: Path) -> None:
    file = tmp_path / FILES[name].path
    file.parent.mkdir(parents=True, exist_ok=True)
    mine = f"\ufeff# My rules{newline}{newline}- tabs, not spaces{newline}".encode()
    file.write_bytes(mine)
    answer = json.loads(rules(name, tmp_path, "--json").stdout)
    written = file.read_bytes()
    assert written.startswith(mine)
    assert Path(answer["backup"]).read_bytes() == mine
    assert (b"\r\n" in written) == (newline == "\r\n")
    file.write_bytes(written + b"- later" + newline.encode())
    assert "has it already" in rules(name, tmp_path).stdout
    rules(name, tmp_path, "--remove")
    assert file.read_bytes().replace(newline.encode() * 2, newline.encode()) == (
        mine.replace(newline.encode() * 2, newline.encode()) + b"- later" + newline.encode()
    )


def test_an_older_block_is_replaced_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "AGENTS.md"
    file.write_text(f"before\n{BEGIN}\nold advice\n{END}\nafter\n")
    rules("codex", tmp_path)
    assert file.read_text() == f"before\n{BEGIN}\n{TEXT}{END}\nafter\n"


@pytest.mark.parametrize("text", [f"{BEGIN}\nno end\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"])
def test_marks_that_do_not_pair_up_are_left_alone(text: str, tmp_path: Path) -> None:
    file = tmp_path / "CLAUDE.md"
    file.write_text(text)
    for option in ((), ("--remove",)):
        assert "left alone" in rules("claude-code", tmp_path, *option, code=2).stderr
    assert file.read_text() == text


def test_a_client_without_rule_files_is_refused_with_a_way_out(tmp_path: Path) -> None:
    assert "AGENTS.md" in rules("claude-desktop", tmp_path, code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_every_tool_that_the_rules_name_exists() -> None:
    import re

    tools = {spec.name for spec in tool_specs()}
    named = set(re.findall(r"`([a-z_]+)`", TEXT)) - {"memmcp", "decision", "lesson", "idempotency_key", "preview_id"}
    assert len(named) >= 7
    assert named <= tools
    assert len(TEXT) < 2_000  # every agent pays for it in every session
