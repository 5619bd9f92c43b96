"""Spans and scores, and their names: whoever sends the same thing again sends it under the same ids.

A trace is one decision: a trajectory with its steps, or one memory that stands alone.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from memmcp_server.domain.identifiers import Json

SpanType = Literal[
    "span", "agent", "tool", "chain", "retriever", "evaluator", "guardrail", "generation", "embedding", "event"
]
Level = Literal["DEBUG", "DEFAULT", "WARNING", "ERROR"]
ScoreKind = Literal["NUMERIC", "BOOLEAN", "CATEGORICAL"]

NO_DETAILS: Final[Mapping[str, Json]] = MappingProxyType({})
DECISIONS_KEPT: Final = 4_096

_KEPT_OF: Final = 1 << 64


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


class Span(NamedTuple):
    """One finished observation: it is sent once and complete, never to be changed. A tuple, which is quickly made.

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
    details: Mapping[str, Json] = NO_DETAILS
    session: str = ""
    user: str = ""
    trace_name: str = ""
    tags: tuple[str, ...] = ()
    usage: Usage | None = None
    linked: tuple[tuple[bytes, bytes], ...] = ()
    scores: tuple[Score, ...] = ()


@lru_cache(maxsize=DECISIONS_KEPT)
def trace_id_of(decision_id: str) -> bytes:
    """Return the trace of a trajectory, or of a memory that stands alone, by its id."""
    return hashlib.sha256(b"trace/" + _bytes(decision_id)).digest()[:16]


@lru_cache(maxsize=DECISIONS_KEPT)
def root_id_of(trajectory_id: str) -> bytes:
    """Return the span of a whole trajectory, which its steps name as their parent before it is sent itself."""
    return hashlib.sha256(b"root/" + _bytes(trajectory_id)).digest()[:8]


def span_id_of(memory_id: str, version: int) -> bytes:
    return hashlib.sha256(_bytes(f"span/{version}/{memory_id}")).digest()[:8]


def score_id_of(span: Span, score: Score) -> str:
    return hashlib.sha256(b"score/" + span.trace_id + span.span_id + score.name.encode()).hexdigest()[:32]


def is_sampled(trace_id: bytes, rate: float) -> bool:
    """Say whether a trace is kept: by its id alone, so that a decision is kept or left out whole, its scores too.

    The same rule as OpenTelemetry's ``TraceIdRatioBased``.
    """
    return int.from_bytes(trace_id[8:], "big") < rate * _KEPT_OF


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # what a caller made up; naming a way to go on costs every other text
        return text.encode("utf-8", "surrogatepass")
