"""A desk at work, told to a receiver: what it decides, why, and what comes of it."""

from collections import Counter
from pathlib import Path

import pytest
from tests.support import sidecar_desk
from tests.support.chat_server import ChatServer
from tests.support.market_server import eventually
from tests.support.otlp_receiver import OtlpReceiver, attributes_of
from tests.support.tracing import relaying, to_langfuse

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.trading_desk import JournalMemory

pytestmark = pytest.mark.anyio
CYCLES = 60


@pytest.mark.requirement("O3")
@pytest.mark.requirement("O2")
async def test_every_trade_of_a_desk_is_a_whole_trace_with_its_forecast_its_steps_and_its_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecar_desk, "CYCLES", CYCLES)
    (tmp_path / "memory").mkdir()
    receiver = OtlpReceiver()
    async with (
        receiver.serving() as url,
        relaying(to_langfuse(tmp_path / "memory", url, timeout_s=10.0)) as (journal, relay),
        ChatServer(said={"size_scale_bps": 9_000}).serving() as chat,
    ):
        memory = JournalMemory(journal, RuleScanner())
        async with sidecar_desk.opened(tmp_path, sidecar_desk.sections(chat), memory) as desk:  # type: ignore[arg-type]
            await sidecar_desk.ended(desk, within_s=60)
            await eventually(lambda: bool(receiver.named("trade")))
        assert await relay.drain(20)

    traces = receiver.traces()
    trades = [spans for spans in traces.values() if any(span.name == "trade" for span in spans)]
    assert len(trades) >= 5
    for spans in trades:
        [root] = [span for span in spans if span.name == "trade"]
        steps = Counter(span.name for span in spans)
        assert steps["signal"] >= 1
        assert steps["verdict"] == steps["order"] >= 2
        assert steps["fill"] >= 2
        assert all(span.parent_span_id == root.span_id for span in spans if span is not root)
        of_trace = {each["name"] for each in receiver.scores.values() if each["traceId"] == root.trace_id.hex()}
        assert {"outcome", "pnl_sol", "return_bps", "slippage_bps"} <= of_trace
    foreseen = [spans for spans in trades if {"forecast", "outcome", "fill"} <= {span.name for span in spans}]
    assert foreseen, "no trade was told with its forecast and what came of that"
    passed = [span for span in receiver.named("signal") if not span.parent_span_id]
    assert passed
    assert all(attributes_of(span)["langfuse.observation.metadata"].count('"denied"') for span in passed)
    answers = [attributes_of(span) for span in receiver.named("sidecar.response")]
    assert answers
    assert all(each["gen_ai.usage.input_tokens"] == 500 for each in answers)
    assert {attributes_of(span)["langfuse.environment"] for span in receiver.spans.values()} == {"paper"}
    assert set(receiver.came.values()) == {1}
