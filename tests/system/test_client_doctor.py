"""doctor on the clients' entries: each thing that can be wrong with a connection is named, with what to do."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import QUIET, data_directory, http_client, until
from typer.testing import CliRunner

from memmcp_server.cli import app, client_doctor
from memmcp_server.cli.client_files import KINDS, default_path
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("MEMMCP_", "XDG_", "CODEX_"))]:
        monkeypatch.delenv(name)
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def connect(name: str, *options: str, data_dir: Path | None) -> None:
    chosen = ["--data-dir", str(data_dir)] if data_dir else []
    result = CliRunner().invoke(app, ["connect", name, *chosen, *options])
    assert result.exit_code == 0, result.output


def doctor(data_dir: Path, *options: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", "--json", "--data-dir", str(data_dir), *options])
    findings: list[dict[str, Any]] = json.loads(result.stdout)["findings"]
    assert result.exit_code == any(each["level"] == "problem" for each in findings)
    return findings


def of(name: str, findings: list[dict[str, Any]]) -> dict[str, Any]:
    [found] = [each for each in findings if each["name"] == name]
    return found


def entry_file(tmp_path: Path, name: str, entry: Mapping[str, Any], own_name: str = "memmcp") -> Path:
    kind = KINDS[name]
    file = default_path(kind, {"HOME": str(tmp_path)}, tmp_path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({kind.section: {own_name: entry}}))
    return file


@pytest.mark.requirement("A4")
def test_every_client_that_was_connected_is_found_to_answer(desk: Path) -> None:
    for name in ("cursor", "codex", "claude-desktop"):
        connect(name, data_dir=desk)
    connect("claude-code", "--http", data_dir=desk)
    findings = doctor(desk)
    for name in ("cursor", "codex", "claude-desktop", "claude-code"):
        assert (of(name, findings)["level"], of(name, findings)["text"].endswith("answers")) == ("ok", True)
    assert "windsurf, trae, vscode" in of("clients", findings)["text"]
    assert "--rules" in of("cursor rules", findings)["hint"]


def test_another_data_directory_is_named_with_both(desk: Path, tmp_path: Path) -> None:
    connect("cursor", data_dir=tmp_path / "elsewhere")
    [two, untried] = [each for each in doctor(desk) if each["name"] == "cursor"]
    assert two["level"] == "problem"
    assert str(tmp_path / "elsewhere") in two["text"]
    assert str(desk) in two["text"]
    assert f"memmcp connect cursor --data-dir {desk}" in two["hint"]
    assert "--start" in untried["hint"]
    assert not (tmp_path / "elsewhere").exists()  # looking starts nothing


def test_an_entry_whose_daemon_does_not_run_is_tried_when_that_is_asked_for() -> None:
    with data_directory() as directory:
        connect("cursor", data_dir=directory)
        assert "not tried" in of("cursor", doctor(directory))["text"]
        assert of("cursor", doctor(directory, "--start"))["text"].endswith("answers")
        assert CliRunner().invoke(app, ["stop", "--data-dir", str(directory)]).exit_code == 0


def test_an_entry_without_a_directory_means_the_default_one_whatever_this_shell_says(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMMCP_DATA_DIR", str(desk))
    connect("cursor", data_dir=None)
    found = [each for each in doctor(desk) if each["name"] == "cursor"]
    assert found[0]["level"] == "problem"
    assert "two memories" in found[0]["hint"]


HUNG = """
import json
input(); print(json.dumps({"id": 1, "result": {"serverInfo": {"name": "memmcp"}}}), flush=True)
input(); input(); print(json.dumps({"id": 2, "error": {"message": "the daemon hangs: memmcp stop"}}), flush=True)
"""


HANGS = {"command": sys.executable, "args": ["-c", "input(); input()", "--data-dir", "DESK"]}
"""Takes the first message and answers none, until it is killed."""


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"command": sys.executable, "args": ["-c", HUNG, "--data-dir", "DESK"]}, "its daemon does not answer"),
        ({"command": "/nowhere/memmcp", "args": ["stdio"]}, "is not there"),
        ({"command": sys.executable, "args": ["-c", "print('Welcome!')", "--data-dir", "DESK"]}, "does not speak MCP"),
        ({"command": sys.executable, "args": ["-c", "pass", "--data-dir", "DESK"]}, "gave no answer"),
        (HANGS, "gave no answer"),
        ({"url": "http://127.0.0.1:9/mcp"}, "cannot be reached"),
        ({"url": "ftp://x"}, "neither a command nor an http URL"),
        ({"url": "HTTP/no-such-route"}, "answers 404"),
    ],
)
def test_what_does_not_work_is_a_problem_with_a_hint(
    entry: dict[str, Any], said: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if entry is HANGS:  # only here is the limit what ends it: the others have the time that a busy machine takes
        monkeypatch.setattr(client_doctor, "HANDSHAKE_TIMEOUT_S", 1.0)
    http = str(http_client(desk).record["http"])
    text = json.dumps(entry).replace("DESK", str(desk)).replace('"HTTP', f'"{http}')
    entry_file(tmp_path, "cursor", json.loads(text))
    found = of("cursor", doctor(desk))
    assert found["level"] == "problem"
    assert said in found["text"]
    assert found["hint"]


def test_what_a_command_said_before_it_was_asked_is_told_also_when_it_has_ended(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, asks = tmp_path / "said", client_doctor._initialize

    def when_it_has_ended() -> dict[str, Any]:
        until(said.exists)
        time.sleep(0.3)  # it ends at once after that
        return asks()

    monkeypatch.setattr(client_doctor, "_initialize", when_it_has_ended)
    speaks = f"print('Welcome!', flush=True); open({str(said)!r}, 'x')"
    entry_file(tmp_path, "cursor", {"command": sys.executable, "args": ["-c", speaks, "--data-dir", str(desk)]})
    assert "does not speak MCP: 'Welcome!'" in of("cursor", doctor(desk))["text"]


def test_two_entries_and_a_broken_file_are_problems(desk: Path, tmp_path: Path) -> None:
    connect("cursor", data_dir=desk)
    project = tmp_path / "project"
    (project / ".cursor").mkdir(parents=True)
    (project / ".cursor" / "mcp.json").write_text(
        json.dumps({"mcpServers": {"brain": {"command": "memmcp", "args": ["stdio"]}}})
    )
    around = client_doctor.Surroundings(Places(desk), dict(os.environ), project)
    first = next(iter(client_doctor.examine_clients(around)))
    assert first.level == "problem"
    assert "'brain'" in first.text
    assert "keep one" in first.hint

    file = entry_file(tmp_path, "windsurf", {})
    file.write_text("{broken")
    found = of("windsurf", doctor(desk))
    assert found["level"] == "problem"
    assert "line 1" in found["text"]


def test_a_token_in_the_file_is_noted_and_a_name_is_not(desk: Path, tmp_path: Path) -> None:
    record = http_client(desk).record
    url = f"{record['http']}/mcp"
    entry_file(tmp_path, "cursor", {"url": url, "headers": {"Authorization": f"Bearer {record['token']}"}})
    found = of("cursor", doctor(desk))
    assert found["level"] == "note"
    assert "MEMMCP_TOKEN" in found["hint"]
    assert str(record["token"]) not in json.dumps(found)


def test_rules_of_another_version_are_noted(desk: Path, tmp_path: Path) -> None:
    connect("cursor", data_dir=desk)
    connect("cursor", "--rules", data_dir=None)
    assert of("cursor rules", doctor(desk))["level"] == "ok"
    file = tmp_path / ".cursor" / "rules" / "memmcp.mdc"
    file.write_text(file.read_text().replace("lessons and decisions", "whatever"))
    assert of("cursor rules", doctor(desk))["level"] == "note"


@pytest.mark.requirement("A4")
def test_a_named_token_is_taken_from_the_environment_and_a_wrong_one_is_a_problem(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ["--data-dir", str(desk)]
    made = CliRunner().invoke(app, ["token", "add", "doctor", "--scope", "memory:read", "--json", *where])
    token = json.loads(made.stdout)["token"]
    connect("cursor", "--http", "--token", data_dir=desk)
    try:
        monkeypatch.setenv("MEMMCP_TOKEN", token)
        findings = doctor(desk)
        assert of("cursor", findings)["level"] == "ok"
        assert not [each for each in findings if "MEMMCP_TOKEN is no setting" in each["text"]]
        monkeypatch.setenv("MEMMCP_TOKEN", f"{token}x")
        refused = of("cursor", doctor(desk))
    finally:
        CliRunner().invoke(app, ["token", "remove", "doctor", *where])
    assert refused["level"] == "problem"
    assert "refuses (401)" in refused["text"]
    assert "memmcp token add" in refused["hint"]
    assert token not in json.dumps(refused)
