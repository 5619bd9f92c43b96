"""A client that comes first is answered before its daemon stands."""

import contextlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import data_directory, until
from tests.unit.memmcp_server.daemon.fake_daemon import FakeDaemon, Reply
from tests.unit.memmcp_server.daemon.test_session import INITIALIZE, INITIALIZED, Client, call

from memmcp_server import __version__
from memmcp_server.daemon import session as session_module
from memmcp_server.daemon.handshakes import KEPT_MAX, Handshakes
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.requirement("M10")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_directory() as directory:
        yield directory


@contextlib.contextmanager
def meeting(data_dir: Path) -> Iterator[Client]:
    client = Client(data_dir)
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def serving(data_dir: Path, *arguments: Any, **options: Any) -> Iterator[FakeDaemon]:
    daemon = FakeDaemon(data_dir, *arguments, **options)
    try:
        yield daemon
    finally:
        daemon.close()


def served_once(data_dir: Path, *arguments: Any, **options: Any) -> None:
    with serving(data_dir, *arguments, **options), meeting(data_dir) as client:
        client.shake_hands()


def test_the_next_first_client_is_answered_at_once_and_the_new_daemon_hears_the_handshake(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "FAILURE_PAUSE_S", 0.0)
    served_once(data_dir)
    with meeting(data_dir) as client:
        assert client.ask({**INITIALIZE, "id": "mine"})["result"]["protocolVersion"] == "2025-11-25"
        client.say(INITIALIZED)
        # No daemon can be started here: the request that needs one hears it, early answer or not.
        assert "error" in client.ask(call(2, "why"))
        with serving(data_dir) as daemon:
            assert client.ask(call(3, "why"))["result"]["name"] == "why"
            methods = [heard["method"] for heard in daemon.heard[0]]
        assert methods == ["initialize", "notifications/initialized", "tools/call"]
        assert [told.get("id") for told in client.told] == ["mine", 2, 3]


def test_a_running_daemon_is_asked_and_its_new_answer_is_kept(data_dir: Path) -> None:
    served_once(data_dir)

    def changed(message: dict[str, Any]) -> Reply:
        return {"jsonrpc": "2.0", "id": message["id"], "result": {"changed": True}} if "id" in message else None

    served_once(data_dir, changed)
    assert Handshakes(Places(data_dir).handshakes).find(INITIALIZE) == {"changed": True}


def test_what_a_daemon_of_another_version_answers_is_not_kept(data_dir: Path) -> None:
    served_once(data_dir, greeting={"memmcp": "daemon", "protocol": 1, "version": "99.0"})
    assert not Places(data_dir).handshakes.exists()


def test_an_answer_that_was_replayed_is_kept(data_dir: Path) -> None:
    kept = Handshakes(Places(data_dir).handshakes)
    with serving(data_dir) as daemon, meeting(data_dir) as client:
        client.shake_hands()
        Places(data_dir).handshakes.unlink()
        daemon.hang_up()
        until(lambda: len(daemon.heard) == 2 and len(daemon.heard[1]) == 2)
    assert kept.find(INITIALIZE) == {"method": "initialize", "protocolVersion": "2025-11-25"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"[]",
        b"\xff" * 10,
        b"[" * 100_000,
        b'{"version": "0.0.0", "results": {"{\\"protocolVersion\\": \\"2025-11-25\\"}": {}}}',
        b'{"version": "VERSION", "results": 7}',
        b'{"version": "VERSION", "results": {"{\\"protocolVersion\\": \\"2025-11-25\\"}": 7}}',
    ],
)
def test_a_file_of_another_version_or_none_at_all_answers_nobody(data_dir: Path, content: bytes) -> None:
    places = Places(data_dir)
    places.handshakes.write_bytes(content.replace(b"VERSION", __version__.encode()))
    kept = Handshakes(places.handshakes)
    assert kept.find(INITIALIZE) is None
    kept.keep(INITIALIZE, {"id": 1, "result": {"good": 1}})
    assert kept.find(INITIALIZE) == {"good": 1}


def test_the_answer_belongs_to_the_question_and_not_to_the_clients_name(data_dir: Path) -> None:
    kept = Handshakes(Places(data_dir).handshakes)
    kept.keep(INITIALIZE, {"id": 1, "result": {"good": 1}})
    named = {"protocolVersion": "2025-11-25", "clientInfo": {"name": "cursor", "version": "9"}}
    assert kept.find({**INITIALIZE, "params": named}) == {"good": 1}
    assert kept.find({**INITIALIZE, "params": {"protocolVersion": "2024-11-05"}}) is None
    assert kept.find({**INITIALIZE, "params": {**named, "capabilities": {"sampling": {}}}}) is None


def test_errors_are_not_kept_and_the_file_stays_small_and_private(data_dir: Path) -> None:
    places = Places(data_dir)
    kept = Handshakes(places.handshakes)
    kept.keep(INITIALIZE, {"id": 1, "error": {"code": -32000, "message": "not now"}})
    assert not places.handshakes.exists()
    for number in range(KEPT_MAX + 3):
        kept.keep({**INITIALIZE, "params": {"protocolVersion": str(number)}}, {"id": 1, "result": {"n": number}})
    assert len(json.loads(places.handshakes.read_bytes())["results"]) == KEPT_MAX
    assert kept.find({**INITIALIZE, "params": {"protocolVersion": "0"}}) is None
    assert stat.S_IMODE(places.handshakes.stat().st_mode) == 0o600
    before = places.handshakes.read_bytes()
    kept.keep(INITIALIZE, {"id": 1, "result": {"long": "x" * 300_000}})
    assert places.handshakes.read_bytes() == before


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_wait(tmp_path: Path) -> None:
    Handshakes(tmp_path / "missing" / "handshakes.json").keep(INITIALIZE, {"id": 1, "result": {}})
    assert list(tmp_path.iterdir()) == []
