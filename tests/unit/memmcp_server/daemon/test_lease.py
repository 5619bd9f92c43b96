import json
import os
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import platformdirs
import pytest
from tests.support.agents import data_directory

from memmcp_server.daemon.finding import read_record, spawn_environment
from memmcp_server.daemon.lease import Lease, Record
from memmcp_server.daemon.places import UNIX_PATH_BYTES_MAX, Places, default_data_dir, resolve_data_dir
from memmcp_server.errors import DataDirectoryError, LeaseHeld


@pytest.fixture
def places() -> Iterator[Places]:
    with data_directory() as directory:
        yield Places(directory)


def record(socket: str) -> Record:
    return Record("http://127.0.0.1:9", socket, "a-token", datetime(2026, 1, 1, tzinfo=UTC))


def test_the_second_owner_is_refused_and_told_about_the_first(places: Places) -> None:
    lease = Lease.take(places)
    lease.publish(record("x"))
    with pytest.raises(LeaseHeld) as caught:
        Lease.take(places)
    assert f"pid {os.getpid()}" in caught.value.message
    assert "http://127.0.0.1:9" in (caught.value.hint or "")
    lease.release()
    Lease.take(places).release()


def test_the_record_is_readable_by_its_owner_alone_and_goes_with_the_lease(places: Places) -> None:
    lease = Lease.take(places)
    lease.publish(record(str(places.socket)))
    assert stat.S_IMODE(places.record.stat().st_mode) == 0o600
    document = json.loads(places.record.read_text())
    assert sorted(document) == ["http", "pid", "socket", "started_at", "token", "version"]
    assert document["started_at"] == "2026-01-01T00:00:00+00:00"
    lease.release()
    lease.release()
    assert read_record(places) is None


def test_what_a_dead_daemon_left_is_cleared_away(places: Places) -> None:
    places.socket.touch()
    folder = Path(tempfile.mkdtemp(prefix="memmcp-"))
    (folder / "daemon.sock").touch()
    places.record.write_text(json.dumps({"socket": str(folder / "daemon.sock"), "pid": 1}))
    lease = Lease.take(places)
    assert not folder.exists()
    assert not places.socket.exists()
    assert read_record(places) is None
    lease.release()


def test_a_foreign_path_in_a_record_is_not_cleared_away_with_its_folder(places: Places, tmp_path: Path) -> None:
    kept = tmp_path / "memmcp-notours" / "kept.txt"
    kept.parent.mkdir()
    kept.touch()
    places.record.write_text(json.dumps({"socket": str(kept.parent / "daemon.sock"), "pid": 1}))
    Lease.take(places).release()
    assert kept.exists()


def test_a_path_too_long_for_a_socket_moves_it_to_a_private_folder(places: Places) -> None:
    deep = Places(places.data_dir / ("x" * UNIX_PATH_BYTES_MAX))
    lease = Lease.take(deep)
    path = lease.socket_path()
    assert len(os.fsencode(path)) <= UNIX_PATH_BYTES_MAX
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    lease.release()
    assert not path.parent.exists()


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match=str(tmp_path / "file" / "data")) as caught:
        Lease.take(Places(tmp_path / "file" / "data"))
    assert "--data-dir" in (caught.value.hint or "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataDirectoryError, match=str(tmp_path)):
        Lease.take(Places(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"socket": 3}', "\x00\xff"])
def test_a_damaged_record_is_no_record(places: Places, text: str) -> None:
    places.record.write_text(text)
    assert read_record(places) is None


def test_the_default_directory_is_the_platforms_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for xdg in ("", "/somewhere"):
        monkeypatch.setenv("XDG_DATA_HOME", xdg)
        expected = platformdirs.user_data_dir("memmcp", appauthor=False)
        assert str(default_data_dir(os.environ)) == expected


def test_the_option_wins_over_the_environment_and_both_become_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert resolve_data_dir("a", {"MEMMCP_DATA_DIR": "/b"}) == Path("/a")
    assert resolve_data_dir(None, {"MEMMCP_DATA_DIR": "/b"}) == Path("/b")


def test_a_spawned_daemon_inherits_neither_money_settings_nor_strangers() -> None:
    environ = {
        "PATH": "p",
        "LC_ALL": "C",
        "MEMMCP_HTTP__PORT": "0",
        "MEMMCP_TRADING__FEED": "synthetic",
        "MEMMCP_TRADING__MONEY": "real",
        "MEMMCP_TRADING__PROFILE": "reckless",
        "TRADING_PAPER__SPEED": "max",
        "AWS_SECRET_ACCESS_KEY": "s",
        "PYTHONSTARTUP": "x",
        "LD_PRELOAD": "x",
    }
    assert sorted(spawn_environment(environ)) == ["LC_ALL", "MEMMCP_HTTP__PORT", "MEMMCP_TRADING__FEED", "PATH"]
