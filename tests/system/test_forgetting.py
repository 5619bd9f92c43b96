"""A real daemon forgets: afterwards nothing of it is in any file, and everything beside it is."""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.support.agents import QUIET, Agent, daemon_pid, end_daemon, http_client, until
from tests.support.residues import found_in, marker
from typer.testing import CliRunner

from memmcp_server.cli import app
from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places

pytestmark = [pytest.mark.system, pytest.mark.requirement("M8")]
JOURNAL_FILES = {"journal.db", "journal.db-wal"}
WHY = "asked for by the person it is about"


@pytest.fixture
def agent(data_dir: Path) -> Iterator[Agent]:
    one = Agent(data_dir, name="claude")
    one.initialize()
    yield one
    one.close()


def memmcp(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)], env=QUIET)


def long_text(name: str, length: int) -> str:
    """Return a text every piece of which, however it is cut up, tells where it comes from."""
    piece = f"{marker(name)} and so on, "
    return (piece * (length // len(piece) + 1))[:length]


def plant(agent: Agent, side: str) -> dict[str, str]:
    """Write one memory of every kind; ``side`` is part of each marker. Returns ids by kind."""
    write = agent.call
    ids = {
        "short": write("memory_write", content=marker(f"{side}-short"))["id"],
        "page": write("memory_write", content=long_text(f"{side}-page", 200))["id"],
        "overflow": write("memory_write", content=long_text(f"{side}-overflow", 20_000))["id"],
        "tag": write("memory_write", content=f"{side} tagged", tags=[marker(f"{side}-tag")])["id"],
        "metadata": write("memory_write", content=f"{side} told", metadata={"who": marker(f"{side}-metadata")})["id"],
        "old": write("memory_write", content=long_text(f"{side}-old-1", 300), namespace=f"team/{side}")["id"],
    }
    write("memory_update", id=ids["old"], content=long_text(f"{side}-old-2", 6_000))
    write("memory_update", id=ids["old"], content=f"{side} has nothing to say any more", tags=[marker(f"{side}-old-3")])
    for step in range(3):
        write("memory_write", content=long_text(f"{side}-step-{step}", 500), trajectory_id=f"session-{side}")
    ids["trajectory"] = f"session-{side}"
    return ids


MARKED = ("short", "page", "overflow", "tag", "metadata", "old-1", "old-2", "old-3", "step-0", "step-1", "step-2")


def of(side: str) -> set[str]:
    return {f"{side}-{name}" for name in MARKED}


def audited(data_dir: Path, **query: Any) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = http_client(data_dir).get("/memory/audit", query)["entries"]
    return entries


def delivered(data_dir: Path) -> bool:
    outbox = http_client(data_dir).get("/admin/status")["outbox"]
    return all(queue["pending"] == 0 for queue in outbox.values())


def worker_of(daemon: int) -> int:
    children = Path(f"/proc/{daemon}/task/{daemon}/children")
    for line in children.read_text().split() if children.exists() else []:
        if b"index.worker" in Path(f"/proc/{line}/cmdline").read_bytes():
            return int(line)
    return 0


def check(data_dir: Path, *, kept: str, gone: str) -> None:
    """The control stands in the journal and its tags in the index; of the other side nothing is anywhere."""
    found = found_in(data_dir)
    for name in of(kept):
        assert found[name] & JOURNAL_FILES, name
    for name in (f"{kept}-tag", f"{kept}-old-3"):
        assert any(path.startswith("index") for path in found[name]), name
    assert {name: found[name] for name in found if name.startswith(gone)} == {}


@pytest.mark.skipif(sys.platform != "linux", reason="stops the index worker through /proc")
def test_what_is_forgotten_is_in_no_file_and_what_is_not_is_where_it_was(
    data_dir: Path, agent: Agent, tmp_path: Path
) -> None:
    planted = {side: plant(agent, side) for side in ("control", "secret")}
    until(lambda: delivered(data_dir), 40)
    before = found_in(data_dir)
    for side in ("control", "secret"):  # the search finds every kind in every store that keeps it
        assert of(side) <= set(before)
        assert all(before[name] & JOURNAL_FILES for name in of(side))
        for name in (f"{side}-tag", f"{side}-old-3"):
            holders = {path for path in before[name] if path.startswith("index")}
            assert any("wal" in path for path in holders)
            assert any("payload_storage" in path for path in holders)
    copy = memmcp(data_dir, "backup", str(tmp_path / "copies"))
    assert copy.exit_code == 0, copy.stderr

    secret = planted["secret"]
    preview = agent.call("memory_forget", filter={"namespace": "team/secret"}, reason=WHY)
    assert (preview["status"], preview["count"]) == ("preview", 1)
    order = {"filter": {"namespace": "team/secret"}, "preview_id": preview["preview"]["preview_id"]}
    assert agent.call("memory_forget", 60, **order, reason=WHY)["count"] == 1
    assert agent.call("memory_forget", 60, id=secret["trajectory"], reason=WHY)["count"] == 4
    rest = [secret[name] for name in ("short", "page", "overflow", "tag", "metadata")]
    ordered = memmcp(data_dir, "forget", *rest, "--reason", WHY, "--yes")
    assert ordered.exit_code == 0, ordered.stderr
    assert "5 forgotten" in ordered.stdout
    assert str(tmp_path / "copies") in ordered.stderr

    check(data_dir, kept="control", gone="secret")
    hits = agent.call("memory_search", query=marker("secret-short"), namespace="default")["hits"]
    assert [hit["content"] for hit in hits if "secret" in hit["content"]] == []
    assert agent.call("memory_search", query=marker("control-short"))["hits"]
    worker = worker_of(daemon_pid(data_dir))
    assert worker
    os.kill(worker, signal.SIGSTOP)  # the index hangs, and a backlog grows
    try:
        late = agent.call("memory_write", content=marker("secret-late"), tags=[marker("secret-late-tag")])["id"]
        forgetting = agent.begin("tools/call", {"name": "memory_forget", "arguments": {"id": late, "reason": WHY}})
        until(lambda: [each["action"] for each in audited(data_dir, id=late)] == ["purge", "forget"], 40)
        check(data_dir, kept="control", gone="secret")
    finally:
        os.kill(worker, signal.SIGCONT)
    until(lambda: len(audited(data_dir, id=late)) == 3, 60)
    assert agent.answer(forgetting, 60)["result"]["structuredContent"]["count"] == 1
    for memory_id in (*secret.values(), late):
        index, journal, entry = audited(data_dir, id=memory_id)
        assert (entry["action"], entry["reason"], entry["agent"]) == ("forget", WHY, entry["agent"])
        assert (journal["detail"]["part"], index["detail"]["part"]) == ("journal", "index")
        assert (journal["detail"]["residues"], index["detail"]["residues"]) == (0, 0)
        assert journal["detail"]["files"] >= 1 < index["detail"]["files"]
        assert [path for path in journal["detail"]["copies"] if str(tmp_path) in path]

    check(data_dir, kept="control", gone="secret")
    assert memmcp(data_dir, "stop").exit_code == 0
    until(lambda: not is_served(Places(data_dir)), 30)
    check(data_dir, kept="control", gone="secret")


def test_a_daemon_that_dies_between_commit_and_purge_finishes_at_its_next_start(data_dir: Path, agent: Agent) -> None:
    gone = agent.call("memory_write", content=long_text("secret-page", 3_000), tags=[marker("secret-tag")])["id"]
    agent.call("memory_write", content=marker("control-short"), tags=[marker("control-tag")])
    until(lambda: delivered(data_dir), 40)
    with closing(sqlite3.connect(data_dir / "journal.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM memories").fetchone()  # a reader that keeps the log from being emptied
        agent.begin("tools/call", {"name": "memory_forget", "arguments": {"id": gone, "reason": WHY}})
        until(lambda: audited(data_dir, id=gone), 40)
        end_daemon(data_dir)
        left = found_in(data_dir)
        assert left["secret-page"] & JOURNAL_FILES
        assert any(path.startswith("index") for path in left["secret-tag"])
        reader.rollback()

    again = Agent(data_dir, name="claude")
    again.initialize()
    try:
        until(lambda: len(audited(data_dir, id=gone)) == 3, 60)
        found = found_in(data_dir)
        assert {"control-short", "control-tag"} == set(found)
        assert found["control-short"] & JOURNAL_FILES
        assert any(path.startswith("index") for path in found["control-tag"])
    finally:
        again.close()
