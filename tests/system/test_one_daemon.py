"""Several agents on one machine: one daemon, one memory, one loop."""

import threading
import time
from pathlib import Path

import pytest
from tests.support.agents import Agent, agents, daemon_pid, environment, http_client, until

from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.system

TRADING = environment({"MEMMCP_TRADING__ENABLED": "true", "MEMMCP_TRADING__FEED": "synthetic"})


def initialize_together(group: list[Agent]) -> list[dict[str, object]]:
    answers: list[dict[str, object]] = []
    threads = [threading.Thread(target=lambda a=agent: answers.append(a.initialize(60))) for agent in group]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return answers


@pytest.mark.requirement("M10")
@pytest.mark.requirement("M1")
def test_eight_agents_at_the_same_instant_share_one_daemon_one_memory_and_one_loop(data_dir: Path) -> None:
    with agents(data_dir, 8, environ=TRADING) as group:
        answers = initialize_together(group)
        assert [answer["result"]["serverInfo"]["name"] for answer in answers] == ["memmcp"] * 8  # type: ignore[index]
        status = http_client(data_dir).get("/admin/status")
        assert (status["clients"], status["pid"]) == (8, daemon_pid(data_dir))

        written = group[0].call("memory_write", content="The zebrafish pool drains at dawn")
        began_s = time.monotonic()
        for agent in group[1:]:
            hits = agent.call("memory_search", query="zebrafish pool")["hits"]
            assert [hit["id"] for hit in hits] == [written["id"]]
        assert time.monotonic() - began_s < 7 * 1.0

        until(lambda: http_client(data_dir).get("/admin/status")["trading"].get("run_id"), 60)
        runs = {agent.call("telemetry_trading")["run_id"] for agent in group}
        assert len(runs) == 1
        assert all(agent.process.poll() is None for agent in group)


@pytest.mark.requirement("A3")
def test_a_bridge_ends_with_its_client_and_leaves_the_daemon_to_the_others(data_dir: Path) -> None:
    with agents(data_dir, 2) as (first, second):
        first.initialize()
        second.initialize()
        pid = daemon_pid(data_dir)
        began_s = time.monotonic()
        assert first.close() == 0
        assert time.monotonic() - began_s < 10.0
        assert second.call("memory_search", query="anything")["hits"] == []
        assert daemon_pid(data_dir) == pid
    until(lambda: http_client(data_dir).get("/admin/status")["clients"] == 0)
    assert is_served(Places(data_dir))
