"""Sink ``qdrant``: carries memories from the journal to the index.

An entry only says that a memory changed. What is written is what the journal says now, all versions at once, so that a
late or repeated entry changes nothing and each version ends where the next begins.
"""

from collections.abc import Sequence

import anyio

from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.outbox import SINK_QDRANT, OutboxEntry
from memmcp_server.errors import Unavailable
from memmcp_server.ports import IndexPoint, Journal, VectorIndex

from .texts import point_of

KEEPER_POLL_S = 5.0


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


async def keep_filled(journal: Journal, index: VectorIndex, poll_s: float = KEEPER_POLL_S) -> None:
    """Refill an index that has lost everything, until cancelled.

    The outbox knows what was delivered, not to whom: another Qdrant server, a deleted folder or a dropped collection is
    empty although nothing waits.
    """
    while True:
        try:
            if await is_lost(journal, index):
                await journal.outbox_refill(SINK_QDRANT)
        except Unavailable:
            pass  # the journal is busy or going down: look again later
        await anyio.sleep(poll_s)


async def is_lost(journal: Journal, index: VectorIndex) -> bool:
    """Tell whether the index holds nothing, nothing is on its way, and yet there are memories."""
    status = await index.status()
    if status.state not in {"ready", "degraded"} or status.points:
        return False
    stats = (await journal.outbox_stats()).get(SINK_QDRANT)
    if stats is not None and (stats.pending or stats.dead):
        return False
    return await journal.count(MemoryFilter()) > 0
