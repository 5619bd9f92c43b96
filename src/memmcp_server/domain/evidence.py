"""What a memory rests on, and whether that still stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .identifiers import MemoryId
from .lifecycle import Link, LinkKind, Standing
from .memory import Memory


@dataclass(frozen=True, slots=True)
class MemoryDetails:
    """A memory with the links that hold from and to it, its standing, and why it is stale (nothing: it is not)."""

    memory: Memory
    links: tuple[Link, ...]
    standing: Standing
    stale: tuple[str, ...]


def staleness(
    memory_id: MemoryId, links: Sequence[Link], lasts: Mapping[MemoryId, Memory], now_ns: int
) -> tuple[str, ...]:
    """Return a reason for each memory it cites that does not stand any more as it did when it was cited.

    ``lasts`` has the last version of every cited memory that exists.
    """
    reasons: list[str] = []
    for link in links:
        if link.kind is not LinkKind.CITES or link.from_id != memory_id:
            continue
        last = lasts.get(link.to_id)
        if last is None:
            reasons.append(f"{link.to_id} was forgotten")
        elif last.superseded_at_ns is not None:
            reasons.append(f"{link.to_id} was superseded")
        elif last.version > link.to_version:
            reasons.append(f"{link.to_id} was updated since (version {last.version})")
        elif last.is_expired_at(now_ns):
            reasons.append(f"{link.to_id} has expired")
        elif not last.holds_at(now_ns):
            reasons.append(f"{link.to_id} does not hold any more")
    return tuple(reasons)
