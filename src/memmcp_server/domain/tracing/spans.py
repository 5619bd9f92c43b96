"""Spans and scores, and their names: whoever sends the same thing again sends it under the same ids.

A trace is one decision: a trajectory with its steps, or one memory that stands alone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from memmcp_server.domain.identifiers import Json

SpanType = Literal[
    "span", "agent", "tool", "chain", "retriever", "evaluator", "guardrail", "generation", "embedding", "event"
]
Level = Literal["DEBUG", "DEFAULT", "WARNING", "ERROR"]
ScoreKind = Literal["NUMERIC", "BOOLEAN", "CATEGORICAL"]

_KEPT_OF = 1 << 64


@dataclass(frozen=True, slots=True)
class Score:
    """``value``: text for CATEGORICAL, 1 or 0 for BOOLEAN. ``of_trace``: of the whole decision, not of its span."""

    name: str
    value: float | str
    kind: ScoreKind = "NUMERIC"
    of_trace: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation took. ``cost_usd`` is for people to read, nothing is reckoned with it."""

    model: str
    tokens_in: int
    tokens_out: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Span:
    """One finished observation: it is sent once and complete, never to be changed.

    ``trace_id`` has 16 bytes, ``span_id`` and ``parent_id`` 8, ``parent_id`` b"" for the root. ``given`` and ``came``
    are its input and output. ``linked``: decisions that it touched, each by its trace and root. ``session``, ``user``,
    ``trace_name`` and ``tags`` are those of the trace, on every span of it.
    """

    trace_id: bytes
    span_id: bytes
    name: str
    type: SpanType
    start_ns: int
    end_ns: int
    parent_id: bytes = b""
    level: Level = "DEFAULT"
    status: str = ""
    given: str = ""
    came: str = ""
    details: Mapping[str, Json] = field(default_factory=dict)
    session: str = ""
    user: str = ""
    trace_name: str = ""
    tags: tuple[str, ...] = ()
    usage: Usage | None = None
    linked: tuple[tuple[bytes, bytes], ...] = ()
    scores: tuple[Score, ...] = ()


def trace_id_of(decision_id: str) -> bytes:
    """Return the trace of a trajectory, or of a memory that stands alone, by its id."""
    return hashlib.sha256(b"trace/" + decision_id.encode("utf-8", "surrogatepass")).digest()[:16]


def root_id_of(trajectory_id: str) -> bytes:
    """Return the span of a whole trajectory, which its steps name as their parent before it is sent itself."""
    return hashlib.sha256(b"root/" + trajectory_id.encode("utf-8", "surrogatepass")).digest()[:8]


def span_id_of(memory_id: str, version: int) -> bytes:
    return hashlib.sha256(f"span/{version}/{memory_id}".encode("utf-8", "surrogatepass")).digest()[:8]


def score_id_of(span: Span, score: Score) -> str:
    return hashlib.sha256(b"score/" + span.trace_id + span.span_id + score.name.encode()).hexdigest()[:32]


def is_sampled(trace_id: bytes, rate: float) -> bool:
    """Say whether a trace is kept: by its id alone, so that a decision is kept or left out whole, its scores too.

    The same rule as OpenTelemetry's ``TraceIdRatioBased``.
    """
    return int.from_bytes(trace_id[8:], "big") < rate * _KEPT_OF
