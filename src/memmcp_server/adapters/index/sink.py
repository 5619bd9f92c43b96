"""Sink ``qdrant``: carries memories from the journal to the index.

An entry only says that a memory changed. What is written is what the journal says now, all versions at once, so that a
late or repeated entry changes nothing and each version ends where the next begins.
"""

from collections.abc import Mapping, Sequence

from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.outbox import SINK_QDRANT, OutboxEntry
from memmcp_server.domain.threads import CONNECTION_MARK
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.ports import IndexPoint, Journal, VectorIndex

from .texts import CONTEXT_MAX, point_of

PAUSE_NS_MAX = 30 * 60 * NS_PER_S
"""Within one connection, what was said longer ago than this is another conversation."""


class QdrantSink:
    def __init__(self, journal: Journal, index: VectorIndex) -> None:
        self._journal = journal
        self._index = index

    @property
    def name(self) -> str:
        return SINK_QDRANT

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        wanted = list(dict.fromkeys(entry.memory_id for entry in entries))
        points = await points_of(self._journal, wanted)
        forgotten = [memory_id for memory_id in wanted if not points[memory_id]]
        if forgotten:
            await self._index.remove(forgotten)
        if len(forgotten) < len(wanted):
            await self._index.upsert([point for each in points.values() for point in each])


async def points_of(journal: Journal, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, list[IndexPoint]]:
    """Return what the index should hold of each memory: every version, oldest first; nothing of one that is gone."""
    versions = await journal.all_versions(memory_ids)
    known: dict[MemoryId, Memory] = {}
    before: dict[MemoryId, MemoryId] = {}
    asked = list(versions)
    for _ in range(CONTEXT_MAX):
        if not asked:
            break
        around = await journal.surroundings(asked, as_of_ns=None)
        known.update(around.memories)
        before.update(around.before)
        asked = [around.before[memory_id] for memory_id in asked if memory_id in around.before]
    return {
        memory_id: [point_of(memory, _previous(memory, known, before)) for memory in versions.get(memory_id, [])]
        for memory_id in memory_ids
    }


def _previous(memory: Memory, known: Mapping[MemoryId, Memory], before: Mapping[MemoryId, MemoryId]) -> list[Memory]:
    """Return what was said before a current memory in its thread, the nearest first, at most ``CONTEXT_MAX``.

    A version that has ended gets none: what stands before it now may have been said long after it.
    """
    found: list[Memory] = []
    if memory.superseded_at_ns is not None or memory.thread is None:
        return found
    latest = memory
    while len(found) < CONTEXT_MAX and (earlier := known.get(before.get(latest.id, MemoryId("")))) is not None:
        is_paused = abs(latest.ts_event_ns - earlier.ts_event_ns) > PAUSE_NS_MAX
        if memory.thread.startswith(CONNECTION_MARK) and is_paused:
            break
        found.append(earlier)
        latest = earlier
    return found
