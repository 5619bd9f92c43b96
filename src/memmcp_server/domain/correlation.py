"""What a piece of work belongs to: the request that set it off. Logs, spans and metrics name it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Correlation:
    """``request`` is unique to one call at one door (a bridge's stamp where there is one); ``trace_id`` (32 hex digits)
    and ``span_id`` (16) are those of the span under way, empty where nothing is traced."""

    request: str
    agent: str = ""
    tool: str = ""
    trace_id: str = ""
    span_id: str = ""


_current: ContextVar[Correlation | None] = ContextVar("memmcp_correlation", default=None)


def current() -> Correlation | None:
    """Return what this task works for, None outside of any request."""
    return _current.get()


@contextmanager
def correlated(correlation: Correlation) -> Iterator[None]:
    """Mark the work of the block, and of the tasks and threads it starts, as belonging to this request."""
    token = _current.set(correlation)
    try:
        yield
    finally:
        _current.reset(token)
