"""What agents, programs and operators see at the doors while the journal's server is away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.memory_spool import MemorySpool
from tests.integration.test_mcp_tools import called, client_of, refused
from tests.support.journals import a_draft
from tests.support.stage import OPERATOR_TOKEN, Stage, staged

from memmcp_server.errors import JournalUnavailable
from memmcp_server.services.spooling import Spooling

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M2"), pytest.mark.requirement("M11")]
AWAY = "the journal at postgresql://db does not answer"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, spool=MemorySpool(), without_desk=True) as opened:
        spooling_of(opened)._note_away(JournalUnavailable(AWAY))
        yield opened


def spooling_of(stage: Stage) -> Spooling:
    assert stage.services.spooling is not None
    return stage.services.spooling


async def carried(stage: Stage) -> None:
    task = asyncio.create_task(spooling_of(stage).run(stage.services.memories.commit_each))
    with anyio.fail_after(10):
        while not spooling_of(stage).is_empty():  # noqa: ASYNC110
            await anyio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})


async def write(stage: Stage, **body: Any) -> tuple[int, dict[str, Any]]:
    response = await stage.http.post("/memory/write", json=body)
    return response.status_code, response.json()


async def operator(stage: Stage, method: str, path: str, **more: Any) -> Any:
    response = await stage.http.request(method, path, headers=OPERATOR, **more)
    assert response.status_code < 300, response.text
    return response.json()


async def test_a_write_is_answered_as_durable_here_and_reads_by_the_same_id_later(stage: Stage) -> None:
    status, kept = await write(stage, content="while it is away", idempotency_key="k")
    assert (status, kept["durable"], kept["seq"], kept["duplicate"]) == (202, "local", None, False)
    status, again = await write(stage, content="while it is away", idempotency_key="k")
    assert (status, again["id"], again["durable"], again["duplicate"]) == (200, kept["id"], "local", True)
    status, other = await write(stage, content="something else", idempotency_key="k")
    assert (status, other["error"]["code"]) == (409, "idempotency_conflict")
    async with client_of(stage) as client:
        tool = await called(client, "memory_write", content="by a tool")
        assert (tool["durable"], tool.get("seq")) == ("local", None)
        assert "memory_write is taken meanwhile" in await refused(client, "memory_search", query="away")
        assert "on its way to the journal" in await refused(client, "memory_update", id=kept["id"], content="x")
        assert "on its way to the journal" in await refused(client, "memory_forget", id=kept["id"], reason="wrong")
    await carried(stage)
    read = await stage.http.get(f"/memory/{kept['id']}")
    assert read.json()["content"] == "while it is away"
    status, last = await write(stage, content="while it is away", idempotency_key="k")
    assert (status, last["id"], last["durable"], last["duplicate"]) == (200, kept["id"], True, True)


async def test_a_step_of_an_open_trajectory_is_kept_at_both_doors(tmp_path: Path) -> None:
    async with staged(tmp_path, spool=MemorySpool(), without_desk=True) as stage:
        opened = (await stage.http.post("/trajectories", json={"title": "mend the build"})).json()
        spooling_of(stage)._note_away(JournalUnavailable(AWAY))
        kept = await stage.http.post(f"/trajectories/{opened['id']}/steps", json={"content": "read the log"})
        assert (kept.status_code, kept.json()["durable"], kept.json()["seq"]) == (202, "local", None)
        async with client_of(stage) as client:
            tool = await called(client, "trajectory", action="step", id=opened["id"], content="raised the time-out")
            assert (tool["durable"], tool["namespace"]) == ("local", opened["namespace"])
            assert "on their way" in await refused(
                client, "trajectory", action="close", id=opened["id"], outcome="done"
            )
        await carried(stage)
        read = (await stage.http.get(f"/trajectories/{opened['id']}")).json()
        assert [step["content"] for step in read["steps"]] == ["read the log", "raised the time-out"]


async def test_a_secret_is_kept_nowhere(stage: Stage) -> None:
    status, answer = await write(stage, content="password = hunter2hunter2Xy9")
    assert (status, answer["error"]["code"]) == (422, "secret_refused")
    assert spooling_of(stage).is_empty()


async def test_status_health_and_metrics_tell_of_what_is_kept(stage: Stage) -> None:
    await write(stage, content="kept")
    status = await operator(stage, "GET", "/admin/status")
    assert status["journal"]["problem"] == AWAY
    queue = status["outbox"]["journal"]
    assert (queue["pending"], queue["dead"], queue["relay"]["state"]) == (1, 0, "backing_off")
    assert (await stage.http.get("/telemetry/metrics")).json()["queues"]["journal"]["pending"] == 1
    checks = (await stage.http.get("/health")).json()["checks"]
    assert checks["journal"] == f"{AWAY}; memories are kept on this machine meanwhile"
    assert 'memmcp_outbox_pending{sink="journal"} 1.0' in (await stage.http.get("/metrics")).text
    await carried(stage)
    status = await operator(stage, "GET", "/admin/status")
    queue = status["outbox"]["journal"]
    assert (status["journal"]["problem"], queue["pending"], queue["delivered"]) == (None, 0, 1)


async def test_a_dead_letter_is_listed_with_its_text_and_tried_again_or_dropped(stage: Stage) -> None:
    await write(stage, content="ours", idempotency_key="k", agent="claude")
    [live] = (await operator(stage, "GET", "/admin/outbox", params={"sink": "journal"}))["entries"]
    assert (live["content"], live["dead"]) == ("ours", False)
    await stage.services.journal.commit([a_draft("theirs", "k")])
    await carried(stage)
    [dead] = (await operator(stage, "GET", "/admin/outbox", params={"dead": True}))["entries"]
    assert (dead["sink"], dead["content"], dead["key"], dead["agent"]) == ("journal", "ours", "k", "claude")
    assert "already stands for" in dead["last_error"]
    checks = (await stage.http.get("/health")).json()["checks"]
    assert "1 entries are dead" in checks["outbox"]
    assert (await operator(stage, "POST", "/admin/outbox/retry", json={"ids": [dead["id"]]}))["count"] == 1
    await carried(stage)
    assert (await operator(stage, "POST", "/admin/outbox/drop", json={"id": dead["id"]}))["count"] == 1
    response = await stage.http.post("/admin/outbox/drop", json={"id": dead["id"]}, headers=OPERATOR)
    assert response.status_code == 404


async def test_a_filter_to_forget_waits_until_nothing_is_on_its_way(stage: Stage) -> None:
    async with client_of(stage) as client:
        await called(client, "memory_write", content="kept", namespace="team")
        said = await refused(client, "memory_forget", filter={"namespace": "team"}, reason="over")
        assert "a filter would miss them" in said
        await carried(stage)
        preview = await called(client, "memory_forget", filter={"namespace": "team"}, reason="over")
        assert preview["count"] == 1
