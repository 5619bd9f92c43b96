"""Spans of what is no memory: a call at a door, and what it reads and writes on its way.

The door begins a span; whatever works for it adds spans below, without knowing who listens. Where nobody does, nothing
is made. A span of a call says what was done and to which ids, never a text: texts are told by the memories themselves.
"""

import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from memmcp_server.domain.correlation import Correlation, correlated, current
from memmcp_server.domain.identifiers import Json

from .spans import Level, Span, SpanType, root_id_of, trace_id_of

LINKS_MAX: Final = 16
IDS_MAX: Final = 10
"""Ids that one span names; a search may find more."""
ID_CHARS_MAX: Final = 200

_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)


@dataclass(frozen=True, slots=True)
class SpansWaiting:
    """How many spans wait for a receiver, since when, how many were dropped for room or refused there; ``problem``:
    why the last ones did not get through, "" while they do."""

    spans: int
    oldest_ns: int | None
    dropped: int
    refused: int
    problem: str = ""


class SpanRecorder(Protocol):
    """Takes finished spans, at once and without waiting. The clock and chance come from it too."""

    def now_ns(self) -> int: ...

    def new_id(self, length: int) -> bytes: ...

    def record(self, span: Span) -> None: ...

    async def waiting(self) -> dict[str, SpansWaiting]:
        """Return how it stands for each receiver. Raises: Unavailable."""

    def parts(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Return what has to run beside the daemon for the spans to arrive, by name."""

    async def end(self) -> None:
        """Keep what has not been sent, within a bound, after the parts have ended."""


@dataclass(slots=True)
class Call:
    """A span under way. What is told of it is in it when it ends."""

    recorder: SpanRecorder | None
    trace_id: bytes
    span_id: bytes
    user: str = ""
    session: str = ""
    trace_name: str = ""
    details: dict[str, Json] = field(default_factory=dict)
    linked: dict[tuple[bytes, bytes], None] = field(default_factory=dict)
    level: Level = "DEFAULT"
    status: str = ""

    def tell(self, **details: Json) -> None:
        """Add details; only ids, names and figures."""
        if self.recorder is not None:
            self.details.update(details)

    def touch(self, trajectory_id: str | None) -> None:
        """Link the span to the decision that it touched."""
        if self.recorder is not None and trajectory_id and len(self.linked) < LINKS_MAX:
            self.linked[trace_id_of(trajectory_id), root_id_of(trajectory_id)] = None

    def fail(self, code: str, *, is_ours: bool = False) -> None:
        """Say that it did not work out; ``is_ours``: nobody foresaw it."""
        self.level, self.status = ("ERROR" if is_ours else "WARNING"), code


_NOBODY: Final = Call(None, _NO_TRACE, _NO_SPAN)
_under_way: ContextVar[Call | None] = ContextVar("memmcp_call", default=None)


@contextmanager
def begun(
    recorder: SpanRecorder | None, name: str, kind: SpanType, *, user: str = "", session: str = "", parent: str = ""
) -> Iterator[Call]:
    """Begin a span at a door. ``parent``: the W3C ``traceparent`` that the client sent, whose trace goes on here."""
    if recorder is None:
        yield _NOBODY
        return
    given = parent_of(parent)
    trace_id, parent_id = given or (recorder.new_id(16), b"")
    call = Call(recorder, trace_id, recorder.new_id(8), user, session, name)
    held = current() or Correlation("", user, name)
    with correlated(replace(held, trace_id=trace_id.hex(), span_id=call.span_id.hex())):
        yield from _running(call, name, kind, parent_id)


@contextmanager
def observed(name: str, kind: SpanType) -> Iterator[Call]:
    """Add a span below the one under way; nothing where there is none."""
    above = _under_way.get()
    if above is None or above.recorder is None:
        yield _NOBODY
        return
    recorder = above.recorder
    call = Call(recorder, above.trace_id, recorder.new_id(8), above.user, above.session, above.trace_name)
    yield from _running(call, name, kind, above.span_id)


def under_way() -> Call | None:
    """Return the span that is under way here, None where nobody listens."""
    return _under_way.get()


def parent_of(trace_parent: str) -> tuple[bytes, bytes] | None:
    """Return trace and span of a ``traceparent``, None for what is none."""
    found = _TRACE_PARENT.fullmatch(trace_parent)
    if found is None:
        return None
    trace_id, span_id = bytes.fromhex(found[1]), bytes.fromhex(found[2])
    return None if trace_id == _NO_TRACE or span_id == _NO_SPAN else (trace_id, span_id)


def shown_ids(ids: list[str]) -> list[Json]:
    return [each[:ID_CHARS_MAX] for each in ids[:IDS_MAX]]


def _running(call: Call, name: str, kind: SpanType, parent_id: bytes) -> Iterator[Call]:
    recorder = call.recorder
    assert recorder is not None
    began_ns = recorder.now_ns()
    token = _under_way.set(call)
    try:
        yield call
    except BaseException as error:
        if not call.status:
            code = getattr(error, "code", None)
            call.fail(code if isinstance(code, str) else type(error).__name__, is_ours=not isinstance(code, str))
        raise
    finally:
        _under_way.reset(token)
        span = Span(
            trace_id=call.trace_id,
            span_id=call.span_id,
            name=name,
            type=kind,
            start_ns=began_ns,
            end_ns=max(began_ns, recorder.now_ns()),
            parent_id=parent_id,
            level=call.level,
            status=call.status,
            details=call.details,
            session=call.session,
            user=call.user,
            trace_name=call.trace_name,
            tags=("calls",),
            linked=tuple(call.linked),
        )
        recorder.record(span)
