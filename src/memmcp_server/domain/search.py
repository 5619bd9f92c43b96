"""What is asked of the memory and what was found, with the reason for each hit."""

from dataclasses import dataclass, field
from typing import Literal

from .memory import Memory, MemoryFilter

IndexState = Literal["ready", "starting", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    text: str
    where: MemoryFilter = field(default_factory=MemoryFilter)
    limit: int = 10


@dataclass(frozen=True, slots=True)
class Found:
    """``score`` is fused, in (0, 1], comparable within one answer only; ``why`` names the parts it is made of."""

    memory: Memory
    score: float
    why: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``found`` is best first. ``backlog`` counts the versions that the index has not reached.

    ``note`` says in words what the answer lacks, None when it lacks nothing.
    """

    found: tuple[Found, ...]
    index_state: IndexState
    backlog: int
    note: str | None
