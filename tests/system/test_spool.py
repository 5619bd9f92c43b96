"""A daemon whose journal is on a server: killed with memories that only it has, begun again before the server is."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import environment, until
from tests.support.daemons import served
from tests.support.postgres import running_postgres

from memmcp_server.cli.client import find
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.system
KEPT = 5
CARRIED_WITHIN_S = 60


def write(data_dir: Path, text: str) -> dict[str, Any]:
    return find(Places(data_dir)).post("/memory/write", {"content": text, "idempotency_key": f"key of {text}"})


def waiting(data_dir: Path) -> int:
    return int(find(Places(data_dir)).get("/admin/status")["outbox"]["journal"]["pending"])


@pytest.mark.requirement("M2")
@pytest.mark.requirement("Q4")
def test_a_daemon_killed_while_its_server_is_away_carries_what_it_kept_after_the_next_start(tmp_path: Path) -> None:
    data_dir, texts = tmp_path / "data", [f"kept {number}" for number in range(KEPT)]
    with running_postgres() as server:
        environ = environment({"MEMMCP_JOURNAL__URL": server.url(server.new_database())})
        with served(data_dir, "--no-trading", environ=environ) as daemon:
            before = write(data_dir, "before")
            assert before["durable"] is True
            server.kill()
            kept = [write(data_dir, text) for text in texts]
            assert [(each["durable"], each["seq"]) for each in kept] == [("local", None)] * KEPT
            daemon.kill()
            daemon.wait()
        with served(data_dir, "--no-trading", environ=environ):
            again = write(data_dir, texts[0])
            assert (again["id"], again["duplicate"], again["durable"]) == (kept[0]["id"], True, "local")
            server.start()
            until(lambda: waiting(data_dir) == 0, CARRIED_WITHIN_S)
            found = [write(data_dir, text) for text in ["before", *texts]]
            assert [each["id"] for each in found] == [each["id"] for each in [before, *kept]]
            assert all(each["duplicate"] and each["durable"] is True for each in found)
            assert find(Places(data_dir)).get("/telemetry/metrics")["memories"] == 1 + KEPT
