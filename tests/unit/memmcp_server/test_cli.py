"""What of the command line needs no daemon: help, clients' configuration files, findings of the doctor."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from memmcp_server import __version__
from memmcp_server.cli import app
from memmcp_server.cli.client_files import KINDS, default_path


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if hasattr(command, "commands"):
            found += commands(command, (*path, name))
    return found


EXPECTED = {
    *("serve", "stdio", "status", "stop", "doctor", "logs", "write", "search", "export", "import", "backup"),
    *("rebuild-index", "outbox", "trajectory", "trajectories", "summary", "connect"),
}


@pytest.mark.requirement("O6")
@pytest.mark.requirement("O6")
def test_every_command_is_there_and_explains_itself_and_each_option() -> None:
    root = get_command(app)
    listed = commands(root)
    assert {path[0] for path in listed} >= EXPECTED
    for path in listed:
        text = run(*path, "--help").output
        assert "Usage:" in text
        command: Any = root
        for name in path:
            command = command.commands[name]
        assert command.help, path
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name not in ("limit", "help"):
                assert parameter.help, (path, parameter.name)


def test_the_version_is_printed() -> None:
    assert run("--version").output.strip() == __version__


def test_wrong_use_ends_with_two() -> None:
    run("no-such-command", code=2)
    run("connect", "emacs", code=2)
    run("search", "x", "--limit", "0", code=2)


@pytest.mark.requirement("A4")
@pytest.mark.parametrize("name", sorted(name for name, kind in KINDS.items() if kind.form == "json"))
def test_connect_adds_an_entry_keeps_what_is_there_and_backs_it_up(name: str, tmp_path: Path) -> None:
    section = KINDS[name].section
    file = tmp_path / "client.json"
    before = {"theme": "dark", section: {"other": {"command": "x"}, "memmcp": {"command": "old", "env": {"A": "1"}}}}
    file.write_text(json.dumps(before))
    file.chmod(0o640)
    answer = json.loads(run("connect", name, "--config", str(file), "--json").stdout)
    after = json.loads(file.read_text())
    assert after["theme"] == "dark"
    assert after[section]["other"] == {"command": "x"}
    ours = after[section]["memmcp"]
    assert Path(ours["command"]).name.startswith("memmcp")
    assert ours["args"] == ["stdio"]
    assert ours["env"] == {"A": "1"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert json.loads(Path(answer["backup"]).read_text()) == before

    again = json.loads(run("connect", name, "--config", str(file), "--json").stdout)
    assert (again["changed"], again["backup"]) == (False, None)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.requirement("A4")
def test_connect_makes_a_missing_file_and_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "er" / "mcp.json"
    run("connect", "cursor", "--config", str(file), "--data-dir", "/somewhere/else")
    assert json.loads(file.read_text())["mcpServers"]["memmcp"]["args"] == ["stdio", "--data-dir", "/somewhere/else"]


def test_a_dry_run_shows_the_difference_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"keep": 1}')
    lines = run("connect", "vscode", "--config", str(file), "--dry-run").stdout.splitlines()
    assert '-{"keep": 1}' in lines
    assert any(line.startswith('+{"keep": 1, "servers": {"memmcp": {"type": "stdio"') for line in lines)
    assert file.read_text() == '{"keep": 1}'


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("cursor", {"url": "http://127.0.0.1:8765/mcp"}),
        ("windsurf", {"serverUrl": "http://127.0.0.1:8765/mcp"}),
        ("vscode", {"type": "http", "url": "http://127.0.0.1:8765/mcp"}),
        ("claude-code", {"type": "http", "url": "http://127.0.0.1:8765/mcp"}),
    ],
)
def test_over_http_each_client_gets_the_key_it_reads(name: str, entry: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    run("connect", name, "--http", "--config", str(file), "--data-dir", str(tmp_path / "none"))
    assert json.loads(file.read_text())[KINDS[name].section]["memmcp"] == entry


def test_a_client_without_http_in_its_file_is_refused_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    assert "leave --http out" in run("connect", "claude-desktop", "--http", "--config", str(file), code=2).stderr
    assert not file.exists()


@pytest.mark.parametrize("text", ["{broken", '{"a": 1} # comment', "[]", '{"mcpServers": []}', "\xff\xfe"])
def test_a_file_that_cannot_be_read_safely_is_left_alone(text: str, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_bytes(text.encode("latin-1"))
    assert str(file) in run("connect", "cursor", "--config", str(file), code=2).stderr.replace("\n", "")
    assert file.read_bytes() == text.encode("latin-1")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.json", tmp_path / "c.json"
    real.write_text("{}")
    link.symlink_to(real)
    run("connect", "cursor", "--config", str(link))
    assert link.is_symlink()
    assert "memmcp" in json.loads(real.read_text())["mcpServers"]


def test_each_client_is_looked_for_where_it_reads(tmp_path: Path) -> None:
    environ = {"HOME": "/h"}
    linux = {name: str(default_path(kind, environ, Path("/p"), "linux")) for name, kind in KINDS.items()}
    assert linux == {
        "claude-desktop": "/h/.config/Claude/claude_desktop_config.json",
        "cursor": "/h/.cursor/mcp.json",
        "windsurf": "/h/.codeium/windsurf/mcp_config.json",
        "trae": "/p/.trae/mcp.json",
        "vscode": "/h/.config/Code/User/mcp.json",
        "claude-code": "/h/.claude.json",
        "codex": "/h/.codex/config.toml",
    }
    mac = default_path(KINDS["claude-desktop"], environ, Path("/p"), "darwin")
    assert str(mac) == "/h/Library/Application Support/Claude/claude_desktop_config.json"


def test_doctor_names_every_bad_setting_and_ends_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MEMMCP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))  # no client of whoever runs this
    (tmp_path / "memmcp.toml").write_text('[http]\nport = "many"\n[index]\nx = 1\n')
    findings = json.loads(run("doctor", "--data-dir", str(tmp_path), "--json", code=1).stdout)["findings"]
    problems = [finding["text"] for finding in findings if finding["level"] == "problem"]
    assert len(problems) == 2
    assert any(text.startswith("http.port (file): given 'many'") for text in problems)
    assert any(text.startswith("index (file): there is no such setting") for text in problems)


@pytest.mark.requirement("O4")
def test_doctor_says_what_a_phone_still_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    tmp_path.chmod(0o700)
    (tmp_path / "memmcp.toml").write_text('[phone]\ntoken = "7012345678:AAHk3vU9x2QmZr7Wc1Lp0Tn5Ys8Bd4Ef6Gj"\n')
    answer = run("doctor", "--data-dir", str(tmp_path), "--json")
    told = {each["text"] for each in json.loads(answer.stdout)["findings"] if each["name"] == "phone"}
    assert told == {"nobody may speak with the bot", "no PIN is set, so it changes nothing"}
    assert "AAHk3" not in answer.output


def test_doctor_says_when_others_can_look_into_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path.chmod(0o755)
    findings = json.loads(run("doctor", "--data-dir", str(tmp_path), "--json").stdout)["findings"]
    assert any("others on this machine" in finding["text"] for finding in findings)
