"""What is asked of the memory and what was found, with the reason for each hit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from .cursors import SearchCursor
from .identifiers import MemoryId
from .memory import Memory, MemoryFilter

IndexState = Literal["ready", "starting", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """``cursor`` is the ``next_cursor`` of the page before; what was asked has to be the same.

    ``where.valid_at_ns`` None: what holds now, or held at ``as_of_ns``.
    """

    text: str
    where: MemoryFilter = field(default_factory=MemoryFilter)
    limit: int = 10
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """``score`` is comparable within one answer only; ``why`` says in words what it is made of, ``parts`` in numbers.

    ``stale``: why what it rests on does not stand any more. ``contradicts``: current memories that say the contrary.
    ``unverified_days``: nobody wrote, changed or confirmed it for so long; None where that is no matter.
    """

    memory: Memory
    score: float
    why: str
    parts: Mapping[str, float] = field(default_factory=dict)
    stale: tuple[str, ...] = ()
    contradicts: tuple[MemoryId, ...] = ()
    unverified_days: int | None = None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two current memories that cannot both hold; the newer first. One of them was found."""

    newer: Memory
    older: Memory


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``found`` is best first. ``backlog`` counts the versions that the index has not reached.

    ``note`` says in words what the answer lacks, None when it lacks nothing. ``next_cursor`` None: no more.
    ``start`` is where this page begins.
    """

    found: tuple[Found, ...]
    index_state: IndexState
    backlog: int
    note: str | None
    next_cursor: str | None = None
    contradictions: tuple[Contradiction, ...] = ()
    start: SearchCursor = field(default_factory=lambda: SearchCursor(0, 0))

    def cursor_after(self, query: SearchQuery, hits: int) -> str | None:
        """Return the cursor that goes on after so many hits of this page; None where that is the very beginning."""
        offset = self.start.offset + hits
        return replace(self.start, offset=offset).text(query.text, query.where) if offset else None
