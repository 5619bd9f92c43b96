"""Spans -> the body of an OTLP request: protobuf, gzipped.

Written for its price, which every decision pays: through the SDK's ``ReadableSpan`` and ``encode_spans`` a span takes
some five times as long. What repeats itself is kept, long texts are wrapped by hand, and the protocol's own classes do
the rest; tests read all of it with those classes.
"""

import gzip
from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from memmcp_server.domain.identifiers import Json
from memmcp_server.domain.times import from_ns
from memmcp_server.domain.tracing.spans import Score, Span, Usage, score_id_of

GZIP_LEVEL: Final = 1
"""The texts repeat themselves: higher levels take several times as long and save little."""
DETAILS_BYTES_MAX: Final = 16_384
NAME_CHARS_MAX: Final = 200
"""Langfuse drops longer values of what it groups by, and whatever is not ASCII."""

SCORES_LEN_MAX: Final = 100
SCORES_BYTES_MAX: Final = 900_000
"""Langfuse takes a body of 1 MiB; its SDK stays below 1,000,000 bytes."""

# Tags of protobuf fields (opentelemetry/proto/trace/v1/trace.proto). Of those with a length: number << 3 | 2.
RESOURCE_SPANS_TAG: Final = b"\x0a"
RESOURCE_TAG: Final = b"\x0a"
SCOPE_SPANS_TAG: Final = b"\x12"
SCOPE_TAG: Final = b"\x0a"
SPAN_TAG: Final = b"\x12"
ATTRIBUTE_TAG: Final = b"\x4a"
KEY_TAG: Final = b"\x0a"
VALUE_TAG: Final = b"\x12"
STRING_TAG: Final = b"\x0a"
NAME_TAG: Final = b"\x2a"
EVENT_TAG: Final = b"\x5a"
NAME_OF_EVENT_TAG: Final = b"\x12"
ATTRIBUTE_OF_EVENT_TAG: Final = b"\x1a"
# With the length behind it, for the identifiers, which have one.
TRACE_ID_TAG: Final = b"\x0a\x10"
SPAN_ID_TAG: Final = b"\x12\x08"
PARENT_ID_TAG: Final = b"\x22\x08"
# Fields of eight bytes: number << 3 | 1.
START_TAG: Final = b"\x39"
END_TAG: Final = b"\x41"
TIME_OF_EVENT_TAG: Final = b"\x09"
DOUBLE_TAG: Final = b"\x21"
TIMES: Final = Struct("<cQcQ")
TIME: Final = Struct("<cQ")
DOUBLE: Final = Struct("<cBcd")

_KINDS: Final = {"tool": Message.SPAN_KIND_SERVER, "generation": Message.SPAN_KIND_CLIENT}
_IS_ERROR: Final = frozenset({"ERROR"})


def encoded(spans: Sequence[Span], resource: Mapping[str, str], environment: str) -> bytes:
    """Return the compressed request that holds the spans. ``resource`` names who sends: service, version, host."""
    release = resource.get("service.version", "")
    scope = InstrumentationScope(name="memmcp", version=release)
    parts = [_field(SCOPE_TAG, scope.SerializeToString())]
    parts += [_field(SPAN_TAG, _message(span, environment, release)) for span in spans]
    whose = Resource(attributes=[_pair(name, value) for name, value in resource.items()])
    of_scope = _field(SCOPE_SPANS_TAG, b"".join(parts))
    request = _field(RESOURCE_SPANS_TAG, _field(RESOURCE_TAG, whose.SerializeToString()) + of_scope)
    return gzip.compress(request, GZIP_LEVEL, mtime=0)


def halves(body: bytes) -> tuple[bytes, bytes] | None:
    """Return a request as two of half as many spans, None for one that holds a single span."""
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
    [scope_spans] = request.resource_spans[0].scope_spans
    spans = list(scope_spans.spans)
    if len(spans) < 2:
        return None
    found: list[bytes] = []
    for part in (spans[: len(spans) // 2], spans[len(spans) // 2 :]):
        del scope_spans.spans[:]
        scope_spans.spans.extend(part)
        found.append(gzip.compress(request.SerializeToString(), GZIP_LEVEL, mtime=0))
    return found[0], found[1]


def encoded_scores(spans: Sequence[Span], environment: str) -> list[bytes]:
    """Return the scores of the spans as the bodies in which Langfuse takes them."""
    bodies: list[bytes] = []
    waiting: list[bytes] = []
    size = 2
    for span in spans:
        for score in span.scores:
            one = orjson.dumps(_score_document(span, score, environment))
            if waiting and (len(waiting) >= SCORES_LEN_MAX or size + len(one) + 1 > SCORES_BYTES_MAX):
                bodies.append(b"[" + b",".join(waiting) + b"]")
                waiting, size = [], 2
            waiting.append(one)
            size += len(one) + 1
    if waiting:
        bodies.append(b"[" + b",".join(waiting) + b"]")
    return bodies


def _score_document(span: Span, score: Score, environment: str) -> dict[str, Any]:
    """Return a score as Langfuse takes it. The time is the decision's: a repeat then replaces it."""
    document: dict[str, Any] = {
        "id": score_id_of(span, score),
        "traceId": span.trace_id.hex(),
        "name": score.name,
        "value": score.value,
        "dataType": score.kind,
        "environment": environment,
        "timestamp": _iso(span.end_ns),
    }
    if not score.of_trace:
        document["observationId"] = span.span_id.hex()
    return document


def _message(span: Span, environment: str, release: str) -> bytes:
    """Return a serialised span: what every span has by hand, what is rare by the protocol's classes."""
    parts = [
        TRACE_ID_TAG,
        span.trace_id,
        SPAN_ID_TAG,
        span.span_id,
        _field(NAME_TAG, span.name.encode()),
        TIMES.pack(START_TAG, max(0, span.start_ns), END_TAG, max(0, span.end_ns)),
        _of_trace(span.type, (environment, release), span.level, span.trace_name, span.session, span.user, span.tags),
        _attribute(METADATA, _details(span.details)),
    ]
    if span.parent_id:
        parts += (PARENT_ID_TAG, span.parent_id)
    if span.given:
        parts.append(_attribute(INPUT, span.given.encode()))
    if span.came:
        parts.append(_attribute(OUTPUT, span.came.encode()))
    if span.status:
        parts.append(_attribute(STATUS, span.status.encode()))
    for score in span.scores:
        parts.append(_evaluation(score, max(0, span.end_ns)))
    if span.linked or span.usage is not None or span.level in _IS_ERROR:
        parts.append(_rare(span))
    return b"".join(parts)


def _rare(span: Span) -> bytes:
    message = Message(links=[Message.Link(trace_id=trace, span_id=root) for trace, root in span.linked])
    if span.level in _IS_ERROR:
        message.status.code = Status.STATUS_CODE_ERROR
        message.status.message = span.status
    if span.usage is not None:
        message.attributes.extend(_usage(span.usage))
    return bytes(message.SerializeToString())


@lru_cache(maxsize=4_096)
def _of_trace(
    kind: str, sender: tuple[str, str], level: str, trace_name: str, session: str, user: str, tags: tuple[str, ...]
) -> bytes:
    """Return the attributes that many spans share."""
    attributes = [_pair("langfuse.observation.type", kind), _pair("langfuse.environment", sender[0])]
    attributes.append(_pair("langfuse.release", sender[1]))
    if level != "DEFAULT":
        attributes.append(_pair("langfuse.observation.level", level))
    named = (("langfuse.trace.name", trace_name), ("session.id", session), ("user.id", user))
    attributes.extend([_pair(name, _name(value)) for name, value in named if value])
    if tags:
        values = [AnyValue(string_value=_name(tag)) for tag in tags]
        attributes.append(KeyValue(key="langfuse.trace.tags", value=AnyValue(array_value=ArrayValue(values=values))))
    span_kind = _KINDS.get(kind, Message.SPAN_KIND_INTERNAL)
    return bytes(Message(kind=span_kind, attributes=attributes).SerializeToString())


def _attribute(key: bytes, value: bytes) -> bytes:
    """Return a serialised text attribute; ``key`` is a field of the pair already."""
    told = _field(STRING_TAG, value)
    return _field(ATTRIBUTE_TAG, key + _field(VALUE_TAG, told))


def _field(tag: bytes, body: bytes) -> bytes:
    """Return a field that has a length: its tag, its length as a varint, its body."""
    length = len(body)
    if length < 0x80:
        return b"%b%c%b" % (tag, length, body)
    if length < 0x4000:
        return b"%b%c%c%b" % (tag, length & 0x7F | 0x80, length >> 7, body)
    digits = bytearray()
    while length >= 0x80:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return tag + bytes(digits) + body


def _usage(usage: Usage) -> list[KeyValue]:
    tokens = {"input": usage.tokens_in, "output": usage.tokens_out, "total": usage.tokens_in + usage.tokens_out}
    return [
        _pair("langfuse.observation.model.name", usage.model),
        _pair("langfuse.observation.usage_details", orjson.dumps(tokens).decode()),
        _pair("langfuse.observation.cost_details", orjson.dumps({"total": usage.cost_usd}).decode()),
        _pair("gen_ai.response.model", usage.model),
        KeyValue(key="gen_ai.usage.input_tokens", value=AnyValue(int_value=usage.tokens_in)),
        KeyValue(key="gen_ai.usage.output_tokens", value=AnyValue(int_value=usage.tokens_out)),
    ]


def _evaluation(score: Score, ts_ns: int) -> bytes:
    """Return a score as OpenTelemetry's conventions tell one, an event, for receivers that know no scores."""
    value = score.value
    if isinstance(value, str):
        told = _field(ATTRIBUTE_OF_EVENT_TAG, LABEL + _field(VALUE_TAG, _field(STRING_TAG, value.encode())))
    else:
        told = _field(ATTRIBUTE_OF_EVENT_TAG, VALUE + DOUBLE.pack(VALUE_TAG, 9, DOUBLE_TAG, value))
    return _field(EVENT_TAG, TIME.pack(TIME_OF_EVENT_TAG, ts_ns) + EVALUATION + _score_name(score.name) + told)


@lru_cache(maxsize=256)
def _score_name(name: str) -> bytes:
    return _field(ATTRIBUTE_OF_EVENT_TAG, NAME + _field(VALUE_TAG, _field(STRING_TAG, name.encode())))


def _details(details: Mapping[str, Json]) -> bytes:
    body = orjson.dumps(dict(details), option=orjson.OPT_NON_STR_KEYS)
    if len(body) <= DETAILS_BYTES_MAX:
        return body
    kept = {name: each for name, each in details.items() if not isinstance(each, dict | list)}
    short = {name: each[:NAME_CHARS_MAX] if isinstance(each, str) else each for name, each in kept.items()}
    body = orjson.dumps({**short, "left_out_bytes": len(body)})
    return body if len(body) <= DETAILS_BYTES_MAX else orjson.dumps({"left_out_bytes": len(body)})


def _pair(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _name(text: str) -> str:
    return text.encode("ascii", "replace").decode()[:NAME_CHARS_MAX]


EVALUATION: Final = _field(NAME_OF_EVENT_TAG, b"gen_ai.evaluation.result")
NAME: Final = _field(KEY_TAG, b"gen_ai.evaluation.name")
LABEL: Final = _field(KEY_TAG, b"gen_ai.evaluation.score.label")
VALUE: Final = _field(KEY_TAG, b"gen_ai.evaluation.score.value")
METADATA: Final = _field(KEY_TAG, b"langfuse.observation.metadata")
INPUT: Final = _field(KEY_TAG, b"langfuse.observation.input")
OUTPUT: Final = _field(KEY_TAG, b"langfuse.observation.output")
STATUS: Final = _field(KEY_TAG, b"langfuse.observation.status_message")


def _iso(ts_ns: int) -> str:
    return from_ns(max(0, ts_ns)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
