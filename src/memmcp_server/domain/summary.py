"""What a memory holds, counted, with what weighs most in it."""

from dataclasses import dataclass
from typing import Literal

from .memory import Memory, MemoryFilter

GroupBy = Literal["kind", "agent", "namespace"]
SummaryBy = Literal["kind", "agent", "namespace", "strategy"]

STRATEGIES = "strategies/"
"""A strategy's memories lie in a namespace of its own below this."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many memories share a kind, an agent or a namespace; ``newest_ns`` is the last commit among them."""

    name: str
    number: int
    newest_ns: int


@dataclass(frozen=True, slots=True)
class SummaryQuery:
    """``where`` bounds what is summed up; ``limit`` how many memories of each list are shown."""

    where: MemoryFilter
    by: SummaryBy = "kind"
    limit: int = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """A memory in a summary; ``stale`` says why what it rests on does not stand any more (nothing: it does)."""

    memory: Memory
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """``total`` counts current memories, expired ones too; the lists show what still holds. ``groups_left_out``: there
    are more groups than ``counts`` has."""

    by: SummaryBy
    total: int
    counts: tuple[Count, ...]
    groups_left_out: bool
    highlights: tuple[Shown, ...]
    newest: tuple[Shown, ...]
    digests: tuple[Shown, ...]
