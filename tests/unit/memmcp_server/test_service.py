"""The unit that keeps the daemon running, and the commands that install and remove it."""

import json
import os
import plistlib
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memmcp_server.cli.root import app
from memmcp_server.cli.service_units import LABEL, MARK, unit_of
from memmcp_server.errors import InvalidInput

pytestmark = pytest.mark.requirement("O8")
HOME = Path("/home/maria")
COMMAND = Path("/opt/mem mcp/bin/memmcp")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a service manager that writes down what it is asked."""
    tools = tmp_path / "tools"
    tools.mkdir()
    manager = tools / "systemctl"
    manager.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ntest ! -e {tmp_path}/broken || exit 1\n')
    manager.chmod(0o755)
    for name in list(os.environ):
        if name.startswith(("MEMMCP_", "TRADING_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def asked(home: Path) -> list[str]:
    return (home / "asked").read_text().splitlines() if (home / "asked").exists() else []


def test_a_systemd_unit_starts_the_daemon_again_after_a_crash_and_not_after_an_orderly_end() -> None:
    unit = unit_of("linux", {}, HOME, COMMAND, None)
    assert unit.path == HOME / ".config/systemd/user/memmcp.service"
    assert 'ExecStart="/opt/mem mcp/bin/memmcp" "serve"\n' in unit.text
    assert "Restart=on-failure\n" in unit.text
    assert "UMask=0077\n" in unit.text


def test_each_data_directory_has_a_unit_of_its_own() -> None:
    paths = {unit_of("linux", {}, HOME, COMMAND, data_dir).path for data_dir in (None, HOME / "a", HOME / "b")}
    assert len(paths) == 3
    assert unit_of("linux", {"XDG_CONFIG_HOME": "/x"}, HOME, COMMAND, None).path.is_relative_to("/x")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("name", ["plain", "with space", "100%", "$HOME", 'qu"ote', "back\\slash"])
def test_systemd_understands_the_unit_whatever_the_directory_is_called(tmp_path: Path, name: str) -> None:
    unit = unit_of("linux", {}, tmp_path, Path("/bin/true"), tmp_path / name)
    file = tmp_path / unit.path.name
    file.write_text(unit.text)
    checked = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    told = [line for line in checked.stderr.splitlines() if file.name in line]
    assert told == []


def test_nothing_in_a_path_is_expanded() -> None:
    text = unit_of("linux", {}, HOME, COMMAND, Path('/a%h$B"\\')).text
    assert '"/a%%h$$B\\"\\\\"' in text


def test_a_launchd_agent_is_a_property_list_with_the_same_command() -> None:
    unit = unit_of("darwin", {}, HOME, COMMAND, HOME / "my <data>")
    document = plistlib.loads(unit.text.encode())
    assert document["ProgramArguments"] == [str(COMMAND), "serve", "--data-dir", str(HOME / "my <data>")]
    assert document["KeepAlive"] == {"SuccessfulExit": False}
    assert unit.path.parent == HOME / "Library/LaunchAgents"
    assert document["Label"].startswith(LABEL)
    assert unit.path.stem == document["Label"]
    assert MARK in unit.text


def test_a_system_without_either_is_told_what_to_do_instead() -> None:
    with pytest.raises(InvalidInput) as raised:
        unit_of("win32", {}, HOME, Path("C:/memmcp.exe"), None)
    assert "schtasks" in (raised.value.hint or "")


def test_a_path_that_would_write_lines_of_its_own_is_refused() -> None:
    with pytest.raises(InvalidInput):
        unit_of("linux", {}, HOME, COMMAND, Path("/data\nExecStartPre=/bin/evil"))


def test_install_writes_the_unit_and_starts_it_and_a_repeat_changes_nothing(home: Path) -> None:
    run = CliRunner()
    first = json.loads(run.invoke(app, ["service", "install", "--json"]).stdout)
    assert first["changed"]
    path = Path(first["path"])
    assert path.read_text() == first["unit"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert asked(home) == [
        "--user daemon-reload",
        "--user enable memmcp.service",
        "--user restart memmcp.service",
    ]
    again = json.loads(run.invoke(app, ["service", "install", "--json"]).stdout)
    assert not again["changed"]
    assert asked(home)[3:] == ["--user enable --now memmcp.service"]
    json.loads(run.invoke(app, ["service", "install", "--json", "--no-start"]).stdout)
    assert len(asked(home)) == 4


def test_a_dry_run_changes_nothing(home: Path) -> None:
    done = CliRunner().invoke(app, ["service", "install", "--dry-run"])
    assert done.exit_code == 0
    assert "ExecStart=" in done.stdout
    assert not (home / ".config").exists()
    assert asked(home) == []


def test_settings_of_the_shell_are_named_and_their_values_are_nowhere(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMMCP_HTTP__TOKEN", "hunter2")
    done = CliRunner().invoke(app, ["service", "install", "--json", "--no-start"])
    document = json.loads(done.stdout[: done.stdout.rindex("}") + 1])
    assert document["unseen"] == ["MEMMCP_HTTP__TOKEN"]
    assert "hunter2" not in done.output
    assert "hunter2" not in Path(document["path"]).read_text()


def test_a_named_data_directory_is_named_for_the_service_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMMCP_DATA_DIR", str(home / "mine"))
    done = CliRunner().invoke(app, ["service", "install", "--dry-run"])
    assert f'"--data-dir" "{home / "mine"}"' in done.stdout


def test_remove_stops_it_and_takes_the_unit_away_once(home: Path) -> None:
    run = CliRunner()
    run.invoke(app, ["service", "install", "--no-start"])
    first = json.loads(run.invoke(app, ["service", "remove", "--json"]).stdout)
    assert first["removed"]
    assert not Path(first["path"]).exists()
    assert asked(home) == ["--user disable --now memmcp.service", "--user daemon-reload"]
    assert not json.loads(run.invoke(app, ["service", "remove", "--json"]).stdout)["removed"]
    assert len(asked(home)) == 2


def test_a_unit_of_somebody_else_is_left_alone(home: Path) -> None:
    path = home / ".config/systemd/user/memmcp.service"
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nExecStart=/bin/mine\n")
    for command in ("install", "remove"):
        done = CliRunner().invoke(app, ["service", command])
        assert done.exit_code == 1
    assert "/bin/mine" in path.read_text()


def test_a_service_manager_that_refuses_is_told_and_the_unit_is_there(home: Path) -> None:
    (home / "broken").touch()
    done = CliRunner().invoke(app, ["service", "install"])
    assert done.exit_code == 1
    assert "systemctl --user enable memmcp.service" in done.output
    assert (home / ".config/systemd/user/memmcp.service").exists()
