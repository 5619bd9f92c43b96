"""GET /events over a real socket: state at once, rows in order, nothing lost in silence, a prompt end."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx2
import pytest
from tests.support.stage import Event, Stage, error_of, events_of, served, staged

from memmcp_server.config import HttpSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.lifecycle import ForgetMemory, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.wire.status import MetricsAnswer
from memmcp_server.wire.trading import TradingSnapshot

pytestmark = pytest.mark.anyio
PATIENCE_S = 30


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, http=HttpSection(streams_max=2)) as opened:
        yield opened


@contextlib.asynccontextmanager
async def stream(url: str, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
    async with (
        httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as client,
        client.stream("GET", "/events", headers={name.replace("_", "-"): v for name, v in headers.items()}) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events_of(response)


async def take(events: AsyncIterator[Event], kind: str, count: int = 1) -> list[Event]:
    found: list[Event] = []
    with anyio.fail_after(PATIENCE_S):
        async for event in events:
            if event.kind == kind:
                found.append(event)
                if len(found) == count:
                    break
    return found


async def take_rows(events: AsyncIterator[Event], count: int) -> list[Event]:
    """Return the next events that are neither gauge nor anything else without a place in the journal."""
    found: list[Event] = []
    with anyio.fail_after(PATIENCE_S):
        async for event in events:
            if event.id is not None:
                found.append(event)
                if len(found) == count:
                    break
    return found


async def remember(stage: Stage, *contents: str) -> None:
    now_ns = stage.services.clock.now_ns()
    drafts = [make_draft(DraftFields(text), Provenance(agent="a"), DraftLimits(), now_ns) for text in contents]
    await stage.services.journal.commit(drafts)


@pytest.mark.requirement("D2")
async def test_a_new_page_gets_the_state_at_once_and_each_change_after(stage: Stage) -> None:
    async with served(stage.app) as url, stream(url) as events:
        [first] = await take(events, "trading")
        [metrics] = await take(events, "metrics")
        MetricsAnswer.model_validate(metrics.data)
        before = TradingSnapshot.model_validate(first.data)
        stage.trading.advance()
        [second] = await take(events, "trading")
        assert TradingSnapshot.model_validate(second.data).cycle == before.cycle + 1


async def test_a_memory_is_shown_with_its_seq_as_id_and_cut_to_a_line(stage: Stage) -> None:
    async with served(stage.app) as url, stream(url) as events:
        await take(events, "trading")
        await remember(stage, "x" * 500)
        [row] = await take(events, "memory")
    assert row.id == "1"
    assert set(row.data) == {"seq", "id", "kind", "namespace", "agent", "content", "ts", "trajectory_id"}
    assert row.data["content"] == "x" * 199 + "…"


async def test_a_page_that_comes_back_gets_exactly_the_rows_it_missed(stage: Stage) -> None:
    await remember(stage, *(f"row {number}" for number in range(1, 8)))
    async with served(stage.app) as url, stream(url, Last_Event_ID="4") as events:
        missed = await take(events, "memory", 3)
        await remember(stage, "row 8")
        missed += await take(events, "memory")
    assert [row.data["content"] for row in missed] == ["row 5", "row 6", "row 7", "row 8"]
    assert [row.id for row in missed] == ["5", "6", "7", "8"]


async def test_a_page_too_far_behind_is_told_to_read_again(stage: Stage) -> None:
    for start in range(0, 1_200, 200):
        await remember(stage, *(f"row {start + number}" for number in range(200)))
    async with served(stage.app) as url, stream(url, Last_Event_ID="3") as events:
        [gap] = await take(events, "resync")
    assert {name: gap.data[name] for name in ("from", "to")} == {"from": 4, "to": 1_200}
    assert gap.id == "1200"
    missed = (await stage.http.get("/memory/changes", params={"cursor": gap.data["cursor"], "limit": 2})).json()
    assert [change["seq"] for change in missed["changes"]] == [4, 5]


@pytest.mark.requirement("M14")
async def test_what_was_done_to_a_memory_and_versions_that_are_over_are_rows_too(stage: Stage) -> None:
    await remember(stage, "first")
    memory_id = (await stage.services.journal.page(MemoryFilter(), after=None, limit=1, newest_first=True))[0].id
    by = Provenance(agent="a")
    await stage.services.journal.commit([UpdateMemory(memory_id, "u", by, content="second")])
    await remember(stage, "gone")
    gone = (await stage.services.journal.page(MemoryFilter(), after=None, limit=1, newest_first=True))[0].id
    async with served(stage.app) as url, stream(url, Last_Event_ID="0") as events:
        rows = await take_rows(events, 3)
        await stage.services.journal.commit([ForgetMemory(gone, "asked to", by)])
        rows += await take_rows(events, 1)
    assert [(row.kind, row.id, row.data.get("content")) for row in rows] == [
        ("memory", "1", "first"),
        ("memory", "2", "second"),
        ("memory", "3", "gone"),
        ("change", "4", None),
    ]
    assert set(rows[3].data) == {"seq", "action", "id", "kind", "namespace", "agent", "reason", "ts"}
    assert (rows[3].data["action"], rows[3].data["id"], rows[3].data["reason"]) == ("forget", gone, "asked to")
    async with served(stage.app) as url, stream(url, Last_Event_ID="2") as events:
        assert [row.id for row in await take_rows(events, 1)] == ["4"]


@pytest.mark.requirement("M14")
async def test_rows_of_a_hidden_namespace_reach_only_who_may_read_it(stage: Stage) -> None:
    operator = Caller("cli", "", "test", "operator", "cli")
    await stage.services.policies.set("secret/", {"readers": ["claude"]}, operator)

    async def plan(number: int) -> None:
        now_ns = stage.services.clock.now_ns()
        hidden = DraftFields(f"plan {number}", namespace="secret/plans")
        await stage.services.journal.commit([make_draft(hidden, Provenance(agent="a"), DraftLimits(), now_ns)])
        await remember(stage, f"open {number}")

    await plan(1)
    async with (
        served(stage.app) as url,
        stream(url, Last_Event_ID="0") as events,
        stream(url, Last_Event_ID="0", X_Memmcp_Agent="claude") as reader,
    ):
        seen, read = await take_rows(events, 1), await take_rows(reader, 2)
        await plan(2)
        seen, read = seen + await take_rows(events, 1), read + await take_rows(reader, 2)
    assert [row.data["content"] for row in seen] == ["open 1", "open 2"]
    assert [row.data["content"] for row in read] == ["plan 1", "open 1", "plan 2", "open 2"]


async def test_a_page_that_was_in_another_journal_is_told_to_read_all_of_this_one(stage: Stage) -> None:
    await remember(stage, "one", "two")
    async with served(stage.app) as url, stream(url, Last_Event_ID="900") as events:
        [gap] = await take(events, "resync")
        await remember(stage, "three")
        [row] = await take(events, "memory")
    assert (gap.data["from"], gap.data["to"], gap.id) == (1, 2, "2")
    assert row.data["content"] == "three"


@pytest.mark.parametrize("wrong", ["-1", "x", "9" * 30])
async def test_a_wrong_last_event_id_is_named(stage: Stage, wrong: str) -> None:
    response = await stage.http.get("/events", headers={"Last-Event-ID": wrong})
    assert response.status_code == 422
    assert error_of(response)["field"] == "Last-Event-ID"


async def test_one_page_too_many_is_refused_and_a_closed_one_makes_room(stage: Stage) -> None:
    async with served(stage.app) as url:
        async with stream(url) as one, stream(url) as two:
            await take(one, "trading")
            await take(two, "trading")
            assert stage.services.clients.count == 2
            async with httpx2.AsyncClient(base_url=url) as client:
                response = await client.get("/events")
            assert response.status_code == 503
            assert error_of(response)["code"] == "too_many_streams"
        with anyio.fail_after(PATIENCE_S):
            while stage.services.clients.count:
                await anyio.lowlevel.checkpoint()
        async with stream(url) as three:
            await take(three, "trading")


async def test_pages_that_come_at_the_same_moment_are_counted_before_they_are_let_in(stage: Stage) -> None:
    codes: list[int] = []

    async def come(client: httpx2.AsyncClient) -> None:
        async with client.stream("GET", "/events") as response:
            codes.append(response.status_code)
            if len(codes) == 12:
                all_answered.set()
            await all_answered.wait()

    all_answered = anyio.Event()
    with anyio.fail_after(PATIENCE_S):
        async with served(stage.app) as url, httpx2.AsyncClient(base_url=url, timeout=PATIENCE_S) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(come, client)
            assert sorted(codes) == [200, 200, *([503] * 10)]
            while stage.app.state.live.streams:
                await anyio.lowlevel.checkpoint()


async def test_a_page_that_asks_for_the_head_alone_keeps_no_place(stage: Stage) -> None:
    for _ in range(3):
        assert (await stage.http.head("/events")).status_code == 200
    assert stage.app.state.live.streams == stage.services.clients.count == 0


async def test_closing_ends_every_stream_at_once_and_lets_the_server_stop(stage: Stage) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with served(stage.app) as url, stream(url) as events:
            await take(events, "trading")
            stage.app.state.live.close()
            async for _ in events:
                continue


async def test_without_trading_the_page_still_gets_metrics_and_memories(tmp_path: Path) -> None:
    async with staged(tmp_path, without_desk=True) as stage, served(stage.app) as url, stream(url) as events:
        [first] = await take(events, "metrics")
        assert first.data["journal_seq"] == 0
        await remember(stage, "row")
        await take(events, "memory")
