"""A daemon whose journal moved to PostgreSQL: the same memories, found at once, with the index that was there."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import Agent, environment, until
from tests.support.postgres import running_postgres
from typer.testing import CliRunner

from memmcp_server.cli import app

pytestmark = pytest.mark.system
TEXTS = ("Wombats dig burrows", "Numbats eat termites", "Quolls hunt at night")


def run(data_dir: Path, *arguments: str) -> Any:
    ended = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir), "--json"])
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return json.loads(ended.stdout)


def settled(data_dir: Path) -> dict[str, Any]:
    """Return the status once the index has all there is."""
    until(lambda: (status := run(data_dir, "status"))["index"]["points"] and not _pending(status), 60)
    found: dict[str, Any] = run(data_dir, "status")
    return found


def _pending(status: dict[str, Any]) -> int:
    return int(status["outbox"]["qdrant"]["pending"])


@pytest.mark.requirement("M9")
@pytest.mark.requirement("Q5")
def test_the_daemon_finds_every_memory_and_fills_no_index_again(data_dir: Path) -> None:
    agent = Agent(data_dir, environ=environment())
    agent.initialize()
    written = [agent.call("memory_write", content=text, idempotency_key=text) for text in TEXTS]
    before = settled(data_dir)
    agent.close()
    run(data_dir, "stop")
    with running_postgres() as server:
        url = server.url(server.new_database())
        assert run(data_dir, "migrate", "sqlite-to-postgres", "--to", url)["equal"]
        (data_dir / "journal.db").rename(data_dir / "journal.old")
        agent = Agent(data_dir, environ=environment({"MEMMCP_JOURNAL__URL": url}))
        agent.initialize()
        [hit] = agent.call("memory_search", query="numbats termites", limit=1)["hits"]
        assert hit["id"] == written[1]["id"]
        again = agent.call("memory_write", content=TEXTS[0], idempotency_key=TEXTS[0])
        assert (again["id"], again["duplicate"]) == (written[0]["id"], True)
        assert _pending(run(data_dir, "status")) == 0  # nothing is queued for the index a second time
        after = settled(data_dir)
        assert after["journal"]["seq"] == before["journal"]["seq"] + 1  # the audit's entry
        for figure in ("generation", "points"):
            assert after["index"][figure] == before["index"][figure]
        assert run(data_dir, "index", "check")["total"] == 0
        agent.close()
        run(data_dir, "stop")
    assert not (data_dir / "journal.db").exists()
