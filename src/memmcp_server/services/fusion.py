"""Unite ranked lists into one: reciprocal rank fusion with a small k."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memmcp_server.domain.memory import Memory
from memmcp_server.domain.search import Found

RANK_OFFSET = 10
"""k of reciprocal rank fusion. 60, the usual value, measured worse than words alone on short lists."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory at ``rank`` (0 is best) of one list. ``weight`` in (0, 1] says how much that list believes in it."""

    memory: Memory
    source: Literal["index", "words"]
    rank: int
    weight: float
    why: str


def fuse(candidates: Sequence[Candidate]) -> list[Found]:
    """Return each memory once, best first; among equals the newer one.

    score = sum over lists of weight * (k + 1) / (k + 1 + rank), divided by the number of lists that hold anything,
    so that the best of every list with full weight has 1. (Cormack, Clarke, Buettcher: Reciprocal rank fusion, 2009.)
    """
    lists = len({candidate.source for candidate in candidates})
    scores: dict[str, float] = {}
    reasons: dict[str, list[str]] = {}
    memories: dict[str, Memory] = {}
    for candidate in candidates:
        memory = candidate.memory
        held = memories.setdefault(memory.id, memory)
        if memory.version > held.version:
            memories[memory.id] = memory
        score = candidate.weight * (RANK_OFFSET + 1) / (RANK_OFFSET + 1 + candidate.rank)
        scores[memory.id] = scores.get(memory.id, 0.0) + score
        reasons.setdefault(memory.id, []).append(candidate.why)
    found = [Found(memory, scores[key] / lists, "; ".join(reasons[key])) for key, memory in memories.items()]
    return sorted(found, key=lambda each: (-each.score, -each.memory.seq))
