"""Spans as requests of OTLP, read back with the protocol's own classes."""

import gzip
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from tests.support.otlp_receiver import attributes_of

from memmcp_server.adapters.tracing.encoding import (
    DETAILS_BYTES_MAX,
    SCORES_BYTES_MAX,
    SCORES_LEN_MAX,
    encoded,
    encoded_scores,
    halves,
)
from memmcp_server.domain.tracing.spans import Score, Span, Usage

TRACE, SPAN, PARENT = bytes(range(16)), bytes(range(8)), bytes(range(8, 16))
TEXTS = st.text(alphabet=st.characters(codec="utf-8"), max_size=50)


def a_span(**fields: Any) -> Span:
    given = {"trace_id": TRACE, "span_id": SPAN, "name": "a span", "type": "span", "start_ns": 1, "end_ns": 2, **fields}
    return Span(**given)


def read(body: bytes) -> list[Message]:
    [of_resource] = ExportTraceServiceRequest.FromString(gzip.decompress(body)).resource_spans
    [of_scope] = of_resource.scope_spans
    return list(of_scope.spans)


def read_one(span: Span) -> Message:
    [message] = read(encoded([span], {"service.version": "1.2"}, "paper"))
    return message


@settings(max_examples=30, deadline=None)
@given(
    name=TEXTS,
    text=TEXTS,
    times=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    repeats=st.sampled_from([1, 3, 400]),
)
def test_whatever_a_span_says_is_read_back_as_it_was(
    name: str, text: str, times: tuple[int, int], repeats: int
) -> None:
    long = text * repeats
    span = a_span(name=name, given=long, came=long[::-1], start_ns=times[0], end_ns=times[1], details={"a": text})
    message = read_one(span)
    attributes = attributes_of(message)
    assert (message.trace_id, message.span_id, message.name) == (TRACE, SPAN, name)
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == times
    assert attributes.get("langfuse.observation.input", "") == long
    assert attributes.get("langfuse.observation.output", "") == long[::-1]


def test_a_span_has_its_place_its_scores_its_links_and_what_it_cost() -> None:
    scores = (Score("outcome", "won", "CATEGORICAL"), Score("slippage_bps", -17.5))
    usage = Usage("a-model", 10, 5, 0.25)
    span = a_span(
        parent_id=PARENT, level="ERROR", status="broken", scores=scores, usage=usage, linked=((TRACE, PARENT),)
    )
    message = read_one(span._replace(type="generation", tags=("trading", "Bönk"), session="run-1", user="xavier"))
    attributes = attributes_of(message)
    assert message.parent_span_id == PARENT
    assert (message.status.code, message.status.message) == (Status.STATUS_CODE_ERROR, "broken")
    assert message.kind == Message.SPAN_KIND_CLIENT
    assert [(link.trace_id, link.span_id) for link in message.links] == [(TRACE, PARENT)]
    assert [(event.name, event.time_unix_nano) for event in message.events] == [("gen_ai.evaluation.result", 2)] * 2
    assert [attributes_of(event) for event in message.events] == [
        {"gen_ai.evaluation.name": "outcome", "gen_ai.evaluation.score.label": "won"},
        {"gen_ai.evaluation.name": "slippage_bps", "gen_ai.evaluation.score.value": -17.5},
    ]
    assert attributes["langfuse.trace.tags"] == ["trading", "B?nk"]
    assert (attributes["langfuse.release"], attributes["langfuse.environment"]) == ("1.2", "paper")
    assert attributes["langfuse.observation.usage_details"] == '{"input":10,"output":5,"total":15}'
    assert attributes["gen_ai.usage.output_tokens"] == 5


def test_figures_that_are_too_large_are_left_out_and_that_is_said() -> None:
    wide = read_one(a_span(details={"kept": 7, "long": "x" * 500, "list": ["y" * 100] * 400}))
    assert attributes_of(wide)["langfuse.observation.metadata"].startswith('{"kept":7,"long":"xxx')
    assert '"left_out_bytes":' in attributes_of(wide)["langfuse.observation.metadata"]
    many = read_one(a_span(details={f"name {number}": "z" * 200 for number in range(400)}))
    assert attributes_of(many)["langfuse.observation.metadata"].startswith('{"left_out_bytes":')
    assert len(attributes_of(many)["langfuse.observation.metadata"]) < DETAILS_BYTES_MAX


def test_a_request_is_halved_down_to_single_spans() -> None:
    spans = [a_span(span_id=bytes([number] * 8)) for number in range(5)]
    parts = halves(encoded(spans, {}, "paper"))
    assert parts is not None
    assert [[message.span_id[0] for message in read(part)] for part in parts] == [[0, 1], [2, 3, 4]]
    assert halves(encoded(spans[:1], {}, "paper")) is None


def documents_of(*spans: Span) -> list[list[dict[str, Any]]]:
    return [orjson.loads(body) for body in encoded_scores(spans, "paper")]


def test_a_score_names_its_span_or_its_trace_and_the_time_of_the_decision() -> None:
    scores = (Score("slippage_bps", 3.0), Score("outcome", "won", "CATEGORICAL", of_trace=True))
    [[lone, whole]] = documents_of(a_span(end_ns=1_700_000_000_123_456_789, scores=scores))
    assert lone["observationId"] == SPAN.hex()
    assert lone["timestamp"] == "2023-11-14T22:13:20.123Z"
    assert "observationId" not in whole
    assert (whole["traceId"], whole["value"], whole["dataType"]) == (TRACE.hex(), "won", "CATEGORICAL")
    assert lone["id"] != whole["id"]


def test_scores_go_out_in_bodies_that_the_receiver_takes() -> None:
    assert documents_of(a_span()) == []
    one = a_span(scores=(Score("slippage_bps", 3.0),))
    assert [len(body) for body in documents_of(*[one] * (SCORES_LEN_MAX + 1))] == [SCORES_LEN_MAX, 1]
    long = a_span(scores=(Score("outcome", "x" * 500_000, "CATEGORICAL"),) * 3)
    bodies = encoded_scores([long], "paper")
    assert [len(orjson.loads(body)) for body in bodies] == [1, 1, 1]
    assert max(map(len, bodies)) < SCORES_BYTES_MAX
