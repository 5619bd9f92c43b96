"""Calls at the doors as spans: who called what about which ids, spooled on disk, and never a text."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp.client import Client
from mcp_types import Implementation
from tests.support.market_server import eventually
from tests.support.otlp_receiver import OtlpReceiver, attributes_of, free_port
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, staged
from tests.support.tracing import telling, to_langfuse

from memmcp_server.adapters.tracing.spool import NAME, Spool
from memmcp_server.cli.daemon import _outside_rows
from memmcp_server.domain.correlation import current
from memmcp_server.domain.tracing.calls import LINKS_MAX, begun, observed, parent_of
from memmcp_server.domain.tracing.spans import trace_id_of

pytestmark = pytest.mark.anyio

TEXT = "Rugs pull liquidity within ten minutes, says the user's neighbour."
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def called(stage: Stage, tool: str, *, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    async with Client(stage.mcp, client_info=Implementation(name="cursor", version="1"), mode="legacy") as client:
        result = await client.call_tool(tool, arguments, meta=meta)  # type: ignore[arg-type]
    body: dict[str, Any] = result.structured_content or {}
    return body


@pytest.mark.requirement("O3")
async def test_tool_calls_and_the_reads_and_writes_below_them_are_spans_without_a_text(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url, telling(to_langfuse(tmp_path, url)) as calls:
        async with staged(tmp_path, calls=calls) as stage:
            opened = await called(stage, "trajectory", action="open", title="a session of mine")
            written = await called(stage, "memory_write", content=TEXT, trajectory_id=opened["id"])
            await called(stage, "memory_search", query="liquidity rugs neighbour")
            await called(stage, "memory_forget", id="no-such-memory", reason="because of the neighbour")
            await stage.http.get("/memory/search", params={"q": "neighbour"}, headers={"x-memmcp-agent": "curl"})
            await stage.http.get(f"/memory/{written['id']}")
        await eventually(lambda: len(receiver.named("GET /memory/...")) == 1)

    [write], [search] = receiver.named("memory_write"), receiver.named("memory_search")
    assert attributes_of(write)["langfuse.observation.type"] == "tool"
    assert attributes_of(write)["user.id"] == "cursor"
    assert written["id"] in attributes_of(write)["langfuse.observation.metadata"]
    assert [link.trace_id for link in write.links] == [trace_id_of(opened["id"])]
    [below] = [span for span in receiver.named("memory.write") if span.trace_id == write.trace_id]
    assert below.parent_span_id == write.span_id
    [read] = [span for span in receiver.named("memory.search") if span.trace_id == search.trace_id]
    assert attributes_of(read)["langfuse.observation.type"] == "retriever"
    assert written["id"] in attributes_of(read)["langfuse.observation.metadata"]
    [refused] = receiver.named("memory_forget")
    assert attributes_of(refused)["langfuse.observation.level"] == "WARNING"
    [over_http] = receiver.named("GET /memory/search")
    assert attributes_of(over_http)["user.id"] == "curl"
    assert "neighbour" not in str(receiver.spans)
    assert "a session of mine" not in str(receiver.spans)


@pytest.mark.requirement("O3")
async def test_a_call_goes_on_in_the_trace_that_the_client_names(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url, telling(to_langfuse(tmp_path, url)) as calls:
        async with staged(tmp_path, calls=calls) as stage:
            await called(stage, "memory_write", content=TEXT, meta={"traceparent": PARENT})
        await eventually(lambda: bool(receiver.named("memory_write")))

    [span] = receiver.named("memory_write")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])


@pytest.mark.requirement("O3")
async def test_an_operator_brings_history_to_a_receiver_and_is_told_where_that_is_not_the_way(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await called(stage, "memory_write", content=TEXT)
        headers = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
        for sink, hint in (("qdrant", "memmcp rebuild-index"), ("langfuse", None)):
            answer = await stage.http.post("/admin/outbox/refill", json={"sink": sink}, headers=headers)
            assert answer.status_code == 422
            assert error_of(answer).get("hint") == hint
        assert (await stage.http.post("/admin/outbox/refill", json={"sink": "langfuse"})).status_code == 401


@pytest.mark.requirement("O3")
async def test_what_waits_for_a_receiver_is_in_the_status_and_in_the_metrics(tmp_path: Path) -> None:
    sections = to_langfuse(tmp_path, "http://127.0.0.1:9")
    async with telling(sections) as calls, staged(tmp_path, calls=calls) as stage:
        await called(stage, "memory_write", content=TEXT)
        headers = {"authorization": f"Bearer {OPERATOR_TOKEN}"}
        with anyio.fail_after(30):
            # A call and the write below it reach the spool one after the other; the first attempt may be between.
            while not (told := await _spans_in_status(stage, headers))["problem"] or told["pending"] < 2:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        scraped = (await stage.http.get("/metrics")).text
    assert told["pending"] == 2
    assert told["dropped"] == 0
    assert told["problem"].startswith("langfuse cannot be reached")
    assert 'memmcp_spans_waiting{receiver="langfuse"} 2' in scraped
    assert _outside_rows({"spans": {"langfuse": told}}) == [
        ("calls to langfuse", f"2 spans pending: {told['problem']}")
    ]


async def _spans_in_status(stage: Stage, headers: dict[str, str]) -> dict[str, Any]:
    document = (await stage.http.get("/admin/status", headers=headers)).json()
    spans: dict[str, Any] = document["spans"]["langfuse"]
    return spans


@pytest.mark.parametrize("text", ["", "00-0-0-00", PARENT.replace("4bf9", "zzzz"), f"00-{'0' * 32}-{'1' * 16}-01"])
def test_what_is_no_trace_parent_begins_a_trace_of_its_own(text: str) -> None:
    assert parent_of(text) is None


async def test_work_below_a_call_knows_its_trace_and_nothing_is_made_where_nobody_listens(tmp_path: Path) -> None:
    async with telling(to_langfuse(tmp_path, "http://127.0.0.1:9")) as calls:
        with begun(calls, "a_tool", "tool", user="cursor") as call, observed("memory.search", "retriever") as below:
            known = current()
            assert known is not None
            assert (known.trace_id, known.agent) == (call.trace_id.hex(), "cursor")
            assert below.trace_id == call.trace_id
    with begun(None, "a_tool", "tool") as call, observed("memory.search", "retriever") as below:
        assert call is below
        assert current() is None


@pytest.mark.requirement("O3")
async def test_a_call_that_fails_says_how_and_links_no_more_decisions_than_it_may(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url, telling(to_langfuse(tmp_path, url)) as calls:
        with suppress(KeyError), begun(calls, "broken", "tool") as call:
            for number in range(LINKS_MAX + 4):
                call.touch(f"trade-{number}")
            call.touch(None)
            raise KeyError
        with suppress(KeyError), begun(calls, "known", "tool") as call:
            call.fail("a reason")
            raise KeyError
        await eventually(lambda: len(receiver.spans) == 2)
    [broken], [known] = receiver.named("broken"), receiver.named("known")
    assert attributes_of(broken)["langfuse.observation.level"] == "ERROR"
    assert broken.status.message == "KeyError"
    assert len(broken.links) == LINKS_MAX
    assert attributes_of(known)["langfuse.observation.status_message"] == "a reason"


@pytest.mark.requirement("O3")
@pytest.mark.requirement("Q4")
async def test_spans_beyond_the_spools_bound_are_dropped_oldest_first_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, bytes_max=65_536)
    spool.open()
    for number in range(10):
        spool.put({"langfuse": (5, bytes([number]) * 10_000), "otlp": (1, b"o")}, number)
    waiting = spool.waiting("langfuse")
    assert (waiting.spans, waiting.dropped) == (30, 20)
    assert waiting.oldest_ns == 4
    kept = spool.next("langfuse")
    assert kept is not None
    assert kept.body[0] == 4
    spool.close()
    spool.open()
    assert spool.waiting("langfuse") == waiting
    spool.keep_only({"otlp"})
    assert spool.next("langfuse") is None
    spool.close()


@pytest.mark.requirement("Q4")
async def test_a_damaged_spool_is_set_aside_and_spans_go_on(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"this is no database, " * 500)
    receiver = OtlpReceiver()
    async with receiver.serving() as url, telling(to_langfuse(tmp_path, url)) as calls:
        with begun(calls, "a_tool", "tool"):
            await anyio.lowlevel.checkpoint()
        await eventually(lambda: bool(receiver.spans))
    assert len(list(tmp_path.glob("spans.damaged-*"))) == 1


@pytest.mark.requirement("O3")
@pytest.mark.requirement("Q4")
async def test_a_span_that_is_refused_holds_nothing_else_up_and_is_counted(tmp_path: Path) -> None:
    port, receiver = free_port(), OtlpReceiver(fault="picky", refused={"call 3"})
    async with telling(to_langfuse(tmp_path, f"http://127.0.0.1:{port}")) as calls:
        for number in range(8):
            with begun(calls, f"call {number}", "tool"):
                await anyio.lowlevel.checkpoint()
        async with receiver.serving(port):
            await eventually(lambda: len(receiver.spans) == 7)
            with anyio.fail_after(30):
                while (told := (await calls.waiting())["langfuse"]).refused == 0:  # noqa: ASYNC110 - as seen from outside
                    await anyio.sleep(0.01)
    assert (told.spans, told.refused, told.dropped) == (0, 1, 0)
    assert {span.name for span in receiver.spans.values()} == {f"call {number}" for number in range(8) if number != 3}
