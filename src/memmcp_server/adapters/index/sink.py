"""Sink ``qdrant``: carries memories from the journal to the index.

An entry only says that a memory changed. What is written is what the journal says now, all versions at once, so that a
late or repeated entry changes nothing and each version ends where the next begins.
"""

from collections.abc import Sequence

from memmcp_server.domain.outbox import SINK_QDRANT, OutboxEntry
from memmcp_server.ports import IndexPoint, Journal, VectorIndex

from .texts import point_of


class QdrantSink:
    def __init__(self, journal: Journal, index: VectorIndex) -> None:
        self._journal = journal
        self._index = index

    @property
    def name(self) -> str:
        return SINK_QDRANT

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        points: list[IndexPoint] = []
        forgotten = []
        for memory_id in dict.fromkeys(entry.memory_id for entry in entries):
            versions = await self._journal.versions(memory_id)
            if not versions:
                forgotten.append(memory_id)
            points.extend(point_of(memory) for memory in versions)
        if forgotten:
            await self._index.remove(forgotten)
        if points:
            await self._index.upsert(points)


async def rebuild(journal: Journal, index: VectorIndex) -> int:
    """Drop the index and queue every memory for it again; return how many entries wait now.

    Until they are through, search finds the memories by their words in the journal.
    """
    await index.clear()
    return await journal.outbox_refill(SINK_QDRANT)
