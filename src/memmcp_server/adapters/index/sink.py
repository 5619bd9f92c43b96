"""Sink ``qdrant``: carries memories from the journal to the index.

An entry only says that a memory changed. What is written is what the journal says now, all versions at once, so that a
late or repeated entry changes nothing and each version ends where the next begins.
"""

import logging
from collections.abc import Sequence

import anyio

from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.outbox import SINK_QDRANT, OutboxEntry
from memmcp_server.errors import Unavailable
from memmcp_server.ports import IndexPoint, Journal, VectorIndex

from .texts import point_of

KEEPER_POLL_S = 5.0

_log = logging.getLogger(__name__)


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
    empty, or nearly so, although little waits.
    """
    while True:
        try:
            if await is_lost(journal, index):
                count = await journal.outbox_refill(SINK_QDRANT)
                _log.warning("the index has lost what it held: %d memories go there again", count)
        except Unavailable:
            pass  # the journal is busy or going down: look again later
        await anyio.sleep(poll_s)


async def is_lost(journal: Journal, index: VectorIndex) -> bool:
    """Tell whether the index holds less than half of what was delivered to it.

    Half, not all: an operator may drop entries. Nothing at all would be too little to ask: what is written while the
    loss goes unseen is delivered to the new index, which is then not empty.
    """
    # In this order a delivery in between is counted twice rather than not at all.
    stats = (await journal.outbox_stats()).get(SINK_QDRANT)
    waiting = 0 if stats is None else stats.pending + stats.dead
    memories = await journal.count(MemoryFilter())
    status = await index.status()
    return status.state in {"ready", "degraded"} and 2 * status.points < memories - waiting
