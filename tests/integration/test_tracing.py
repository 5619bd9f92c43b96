"""Decisions on their way from the journal to a receiver of traces that is down, slow, busy, broken or picky."""

import time
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr
from tests.support.decisions import SPANS_OF_A_TRADE, T0_NS, note, passed, trade
from tests.support.market_server import eventually
from tests.support.otlp_receiver import (
    SECRET_KEY,
    TROUBLES,
    OtlpReceiver,
    attributes_of,
    basic_authorization,
    free_port,
)
from tests.support.tracing import QUICK, relaying, telling, to_langfuse, write

from memmcp_server.config import OtlpSection, Sections, TracingSection
from memmcp_server.domain.identifiers import MemoryId, Namespace
from memmcp_server.domain.lifecycle import ForgetMemory
from memmcp_server.domain.memory import MemoryDraft, Provenance
from memmcp_server.domain.tracing.calls import begun
from memmcp_server.domain.tracing.spans import root_id_of, span_id_of, trace_id_of

pytestmark = pytest.mark.anyio

DECISIONS = 10_000


@pytest.mark.requirement("O3")
@pytest.mark.requirement("M11")
@pytest.mark.requirement("Q4")
async def test_ten_thousand_decisions_all_arrive_through_every_fault_of_the_receiver(tmp_path: Path) -> None:
    port, receiver = free_port(), OtlpReceiver(refused={"trading.odd"})
    sections = to_langfuse(tmp_path, f"http://127.0.0.1:{port}")
    stretch = DECISIONS // (len(TROUBLES) + 3)
    async with relaying(sections) as (journal, relay):
        await write(journal, 0, stretch, 10)  # nobody listens
        async with receiver.serving(port):
            for number, fault in enumerate(TROUBLES, 1):
                receiver.fault = fault
                await write(journal, number * stretch, stretch, 10)
                await eventually(lambda met=fault: receiver.met[met] > 0)  # type: ignore[misc]
            receiver.fault = "picky"
            await journal.commit([note("odd", DECISIONS + each, f"odd {each}") for each in range(3)])
            written = (len(TROUBLES) + 1) * stretch
            await write(journal, written, DECISIONS - written, 10)
            assert await relay.drain(60)
            assert (await journal.outbox_stats())["langfuse"].dead == 3
            receiver.fault = ""
            assert await journal.outbox_retry(None) == 3
            relay.wake()
            assert await relay.drain(20)

        traces = receiver.traces()
        assert len(traces) == DECISIONS + 3
        for number in range(DECISIONS):
            if number % 10 == 0:
                name = f"run-1.trade-{number}"
                spans = traces[trace_id_of(name)]
                assert len(spans) == SPANS_OF_A_TRADE
                assert {span.parent_span_id for span in spans} == {b"", root_id_of(name)}
        assert sum(len(spans) == 1 for spans in traces.values()) == DECISIONS - DECISIONS // 10 + 3
        assert len(receiver.scores) == DECISIONS // 10 * 5
        assert (await journal.outbox_stats())["langfuse"].pending == 0


@pytest.mark.requirement("O3")
async def test_a_trade_is_one_trace_with_its_steps_its_scores_and_who_made_it(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url, relaying(to_langfuse(tmp_path, url)) as (journal, relay):
        await journal.commit(trade(3))
        assert await relay.drain(10)

    name = "run-1.trade-3"
    [spans] = receiver.traces().values()
    [root] = [span for span in spans if not span.parent_span_id]
    assert (root.trace_id, root.span_id, root.name) == (trace_id_of(name), root_id_of(name), "trade")
    assert root.end_time_unix_nano - root.start_time_unix_nano == 600 * 10**9
    assert all(span.parent_span_id == root.span_id for span in spans if span is not root)
    kinds = {span.name: attributes_of(span)["langfuse.observation.type"] for span in spans}
    assert kinds == {"trade": "agent", "signal": "chain", "verdict": "guardrail", "order": "tool", "fill": "event"}
    for span in spans:
        told = attributes_of(span)
        assert (told["session.id"], told["user.id"], told["langfuse.environment"]) == ("run-1", "xavier", "paper")
        assert told["langfuse.trace.name"] == "trade"
        assert told["langfuse.release"]
    assert attributes_of(root)["langfuse.observation.input"].startswith("momentum_breakout buys BONK")
    scores = {
        (each["name"], each["value"], each["dataType"], "observationId" in each) for each in receiver.scores.values()
    }
    assert scores == {
        ("outcome", "lost", "CATEGORICAL", False),
        ("pnl_sol", -0.007, "NUMERIC", False),
        ("return_bps", -280.0, "NUMERIC", False),
        ("slippage_bps", 17.0, "NUMERIC", True),
    }
    headers = receiver.headers[0]
    assert headers["authorization"] == basic_authorization()
    assert headers["x-langfuse-ingestion-version"] == "4"
    assert headers["content-encoding"] == "gzip"


@pytest.mark.requirement("O3")
async def test_what_the_sidecar_said_is_a_generation_with_tokens_and_cost_and_its_question(tmp_path: Path) -> None:
    asked = {"id": "asm-1", "kind": "entry", "mint": "m", "evidence": []}
    said = {**asked, "outcome": "answered", "asked_ns": T0_NS, "latency_ms": 1_500, "tokens_in": 812, "tokens_out": 96}
    said |= {"cost_micro_usd": 4_210, "is_cached": False, "advice": {"model": "a-model", "horizon_s": 3_600}}
    receiver = OtlpReceiver()
    async with receiver.serving() as url, relaying(to_langfuse(tmp_path, url)) as (journal, relay):
        request = note("request", 1, "The sidecar was asked about an entry of BONK", place="memory_bank", **asked)
        await journal.commit([request, note("response", 1, "a-model on BONK: ...", place="memory_bank", **said)])
        assert await relay.drain(10)

    [answer], [question] = receiver.named("sidecar.response"), receiver.named("sidecar.request")
    told = attributes_of(answer)
    assert told["langfuse.observation.type"] == "generation"
    assert told["langfuse.observation.model.name"] == "a-model"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (812, 96)
    assert told["langfuse.observation.cost_details"] == '{"total":0.00421}'
    assert answer.end_time_unix_nano - answer.start_time_unix_nano == 1_500_000_000
    assert (question.trace_id, question.parent_span_id) == (answer.trace_id, answer.span_id)
    assert attributes_of(question)["langfuse.observation.input"].startswith("The sidecar was asked")


@pytest.mark.requirement("O3")
@pytest.mark.requirement("O4")
async def test_every_change_of_an_alert_is_an_event_of_its_level_linked_to_its_trade(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url, relaying(to_langfuse(tmp_path, url)) as (journal, relay):
        told = {"severity": "critical", "state": "firing", "trajectory_id": "run-1.trade-3"}
        await journal.commit([note("alert", 1, "The drawdown is 12 %", **told)])
        assert await relay.drain(10)

    [alert] = receiver.spans.values()
    assert attributes_of(alert)["langfuse.observation.type"] == "event"
    assert attributes_of(alert)["langfuse.observation.level"] == "ERROR"
    assert alert.trace_id != trace_id_of("run-1.trade-3")
    assert [link.trace_id for link in alert.links] == [trace_id_of("run-1.trade-3")]


@pytest.mark.requirement("O3")
async def test_any_receiver_of_otlp_gets_the_same_spans_with_the_scores_as_events(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url:
        otlp = OtlpSection(endpoint=url, headers={"X-Key": SecretStr("a-key")})
        async with relaying(Sections(data_dir=tmp_path, otlp=otlp, relay=QUICK)) as (journal, relay):
            await journal.commit(trade(1))
            assert await relay.drain(10)

    assert len(receiver.spans) == SPANS_OF_A_TRADE
    assert receiver.headers[0]["x-key"] == "a-key"
    assert receiver.resources[0]["service.name"] == "memmcp"
    assert receiver.scores == {}
    [root] = receiver.named("trade")
    scores = {attributes_of(event)["gen_ai.evaluation.name"] for event in root.events}
    assert scores == {"outcome", "pnl_sol", "return_bps"}


@pytest.mark.requirement("O3")
@pytest.mark.requirement("M11")
async def test_sampling_keeps_or_leaves_out_whole_decisions_with_their_scores(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url, relaying(to_langfuse(tmp_path, url, sample_rate=0.5)) as (journal, relay):
        await write(journal, 0, 80, 1)
        assert await relay.drain(10)

    traces = receiver.traces()
    assert 20 < len(traces) < 60
    assert all(len(spans) == SPANS_OF_A_TRADE for spans in traces.values())
    assert {bytes.fromhex(score["traceId"]) for score in receiver.scores.values()} == set(traces)


@pytest.mark.requirement("O3")
@pytest.mark.requirement("M11")
async def test_a_refill_brings_history_to_a_receiver_that_came_later_and_repeats_change_nothing(tmp_path: Path) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url, relaying(to_langfuse(tmp_path, url)) as (journal, relay):
        await write(journal, 0, 30, 3)
        assert await relay.drain(10)
        before = dict(receiver.spans), dict(receiver.scores)
        assert await journal.outbox_refill("langfuse") == 20 + 10 * (SPANS_OF_A_TRADE + 1)
        relay.wake()
        assert await relay.drain(10)
        assert (receiver.spans, receiver.scores) == before
        assert set(receiver.came.values()) == {2}


@pytest.mark.requirement("O3")
async def test_what_is_forgotten_is_deleted_at_langfuse_with_the_decision_it_was_told_in(tmp_path: Path) -> None:
    receiver, by = OtlpReceiver(), Provenance(agent="operator")
    sections = to_langfuse(tmp_path, "http://unused", environment="paper")
    sections = sections.model_copy(update={"tracing": TracingSection(content="all")})
    async with receiver.serving() as url:
        langfuse = sections.langfuse.model_copy(update={"base_url": url})
        async with relaying(sections.model_copy(update={"langfuse": langfuse})) as (journal, relay):
            await journal.commit(trade(1))
            lone, _ = await journal.commit([passed(2), passed(4)])
            assert await relay.drain(10)
            step = MemoryId((await journal.steps("run-1.trade-1", after=None, limit=1))[0].id)  # type: ignore[arg-type]
            await journal.commit([ForgetMemory(each, "asked for", by) for each in (lone.id, step)])
            relay.wake()
            assert await relay.drain(10)

    assert {trace_id_of("run-1.signal-2").hex(), trace_id_of("run-1.trade-1").hex()} <= set(receiver.deleted)
    assert list(receiver.traces()) == [trace_id_of("run-1.signal-4")]
    assert receiver.scores == {}


@pytest.mark.requirement("O3")
@pytest.mark.parametrize(("content", "is_told"), [("desk", False), ("all", True), ("none", False)])
async def test_what_agents_write_is_told_only_where_the_operator_says_so(
    tmp_path: Path, content: str, *, is_told: bool
) -> None:
    receiver = OtlpReceiver()
    async with receiver.serving() as url:
        sections = to_langfuse(tmp_path, url)
        tracing = TracingSection.model_validate({"content": content})
        async with relaying(sections.model_copy(update={"tracing": tracing})) as (journal, relay):
            [mine] = await journal.commit([_of_an_agent("The user's cat is called Leo", {"cat": "Leo"})])
            await journal.commit([_of_an_agent(f"the password is {SECRET_KEY}", {"api_key": SECRET_KEY})])
            await journal.commit(trade(1))
            assert await relay.drain(10)

    span = receiver.spans[span_id_of(mine.id, 1)]
    assert ("Leo" in str(span)) is is_told
    assert attributes_of(span)["user.id"] == "cursor"
    everything = str(receiver.spans)
    assert SECRET_KEY not in everything
    assert ("momentum_breakout buys BONK" in everything) is (content != "none")
    assert bool(receiver.scores) is (content != "none")


@pytest.mark.requirement("O3")
@pytest.mark.requirement("Q4")
@pytest.mark.parametrize("fault", ["down", "slow", "hanging", "busy", "broken"])
async def test_ending_takes_no_longer_than_a_moment_and_loses_nothing_whatever_the_receiver_does(
    tmp_path: Path, fault: Any
) -> None:
    receiver, port = OtlpReceiver(fault="" if fault == "down" else fault, slow_s=60.0, retry_after="3600"), free_port()
    sections = to_langfuse(tmp_path, f"http://127.0.0.1:{port}", timeout_s=30.0)
    began_s = 0.0

    async def live() -> None:
        nonlocal began_s
        async with telling(sections) as calls, relaying(sections) as (journal, _):
            await journal.commit(trade(1))
            with begun(calls, "memory_write", "tool", user="cursor"):
                await anyio.lowlevel.checkpoint()
            if fault != "down":
                await eventually(lambda: receiver.met[fault] >= 1)
            began_s = time.monotonic()

    if fault == "down":
        await live()
    else:
        async with receiver.serving(port):
            await live()
            receiver.release.set()
    assert time.monotonic() - began_s < 20.0

    after = OtlpReceiver()
    async with after.serving(port), telling(sections) as calls, relaying(sections) as (_, relay):
        assert await relay.drain(10)
        await eventually(lambda: bool(after.named("memory_write")))
        assert (await calls.waiting())["langfuse"].dropped == 0
    assert len(after.spans) == SPANS_OF_A_TRADE + 1


def _of_an_agent(text: str, metadata: dict[str, Any]) -> MemoryDraft:
    by = Provenance(agent="cursor", session="a-session")
    return MemoryDraft(
        content=text, key=text, ts_event_ns=T0_NS, namespace=Namespace("default"), metadata=metadata, provenance=by
    )
