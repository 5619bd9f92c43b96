"""The part of a Journal that relay and sink use, in memory: versions of memories and their outbox entries."""

from collections.abc import Sequence
from dataclasses import replace

import anyio

from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import Change, Surroundings
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.domain.outbox import SINK_QDRANT, OutboxEntry, SinkStats
from memmcp_server.errors import JournalUnavailable


class OutboxJournal:
    """``is_down`` makes every call fail the way a journal that is down does; ``reads`` counts reads of memories."""

    def __init__(self, sink: str = SINK_QDRANT) -> None:
        self._sink = sink
        self._memories: dict[MemoryId, list[Memory]] = {}
        self._retry_at_ns: dict[int, int] = {}
        self._committed = anyio.Event()
        self._seq = 0
        self._delivered = 0
        self.entries: dict[int, OutboxEntry] = {}
        self.is_down = False
        self.reads = 0
        self._cursors: dict[str, Seq] = {}

    node = ""
    """It is one daemon's alone."""

    def put(self, *memories: Memory) -> None:
        """Commit the memories as the next versions of their ids, each with its outbox entry."""
        for memory in memories:
            self._seq += 1
            versions = self._memories.setdefault(memory.id, [])
            if versions:
                versions[-1] = replace(versions[-1], superseded_at_ns=memory.known_at_ns)
            position = versions[0].position if versions else self._seq
            versions.append(replace(memory, version=len(versions) + 1, seq=Seq(self._seq), position=position))
            self._queue(versions[-1])
        self._announce()

    def forget(self, memory_id: MemoryId) -> None:
        """Drop every version and queue the news."""
        last = self._memories.pop(memory_id)[-1]
        self._seq += 1
        self._queue(last)
        self._announce()

    @property
    def dead(self) -> dict[MemoryId, OutboxEntry]:
        return {entry.memory_id: entry for entry in self.entries.values() if entry.dead}

    @property
    def live(self) -> list[OutboxEntry]:
        return [entry for entry in self.entries.values() if not entry.dead]

    async def versions(self, memory_id: MemoryId) -> list[Memory]:
        self._require_up()
        return list(self._memories.get(memory_id, []))

    async def all_versions(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, list[Memory]]:
        self._require_up()
        self.reads += 1
        return {each: list(self._memories[each]) for each in memory_ids if each in self._memories}

    async def surroundings(
        self, memory_ids: Sequence[MemoryId], *, as_of_ns: int | None, with_neighbours: bool = True
    ) -> Surroundings:
        self._require_up()
        self.reads += 1
        current = [versions[-1] for versions in self._memories.values() if versions[-1].superseded_at_ns is None]
        before: dict[MemoryId, MemoryId] = {}
        for memory in current:
            earlier = [m for m in current if m.thread == memory.thread and m.position < memory.position]
            if memory.id in memory_ids and memory.thread is not None and earlier:
                before[memory.id] = max(earlier, key=lambda m: m.position).id
        wanted = {*memory_ids, *before.values()}
        return Surroundings({m.id: m for m in current if m.id in wanted}, before, {}, {})

    async def changes(self, after: Seq, *, limit: int) -> list[Change]:
        self._require_up()
        found = [memory for versions in self._memories.values() for memory in versions if memory.seq > after]
        return [Change(memory.seq, memory) for memory in sorted(found, key=lambda memory: memory.seq)][:limit]

    async def cursor(self, name: str) -> Seq | None:
        self._require_up()
        return self._cursors.get(name)

    async def save_cursor(self, name: str, seq: Seq) -> None:
        self._require_up()
        self._cursors[name] = max(seq, self._cursors.get(name, seq))

    async def count(self, where: MemoryFilter) -> int:
        self._require_up()
        return sum(where.admits(versions[-1]) for versions in self._memories.values())

    async def horizon(self) -> Seq:
        self._require_up()
        return Seq(self._seq)

    async def wait_for_commit(self, after: Seq, timeout_s: float) -> Seq:
        self._require_up()
        with anyio.move_on_after(timeout_s):
            while self._seq <= after:
                await self._committed.wait()
        return Seq(self._seq)

    async def outbox_due(self, sink: str, *, now_ns: int, limit: int) -> list[OutboxEntry]:
        self._require_up()
        return [entry for entry in self.live if self._retry_at_ns.get(entry.id, 0) <= now_ns][:limit]

    async def outbox_delivered(self, entry_ids: Sequence[int]) -> None:
        self._require_up()
        for entry_id in entry_ids:
            del self.entries[entry_id]
        self._delivered += len(entry_ids)

    async def outbox_failed(self, entry_ids: Sequence[int], *, error: str, retry_at_ns: int | None) -> None:
        self._require_up()
        for entry_id in entry_ids:
            entry = self.entries[entry_id]
            self.entries[entry_id] = replace(
                entry, attempts=entry.attempts + 1, last_error=error, dead=retry_at_ns is None
            )
            self._retry_at_ns[entry_id] = retry_at_ns or 0

    async def outbox_stats(self) -> dict[str, SinkStats]:
        self._require_up()
        return {self._sink: SinkStats(len(self.live), len(self.dead), None, self._delivered)}

    async def outbox_refill(self, sink: str) -> int:
        self._require_up()
        self.entries.clear()
        for versions in self._memories.values():
            for memory in versions:
                self._queue(memory)
        self._announce()
        return len(self.entries)

    async def outbox_queue(self, sink: str, memory_ids: Sequence[MemoryId]) -> int:
        self._require_up()
        waiting = {entry.memory_id for entry in self.entries.values()}
        queued = [each for each in memory_ids if each in self._memories and each not in waiting]
        for memory_id in queued:
            self._queue(self._memories[memory_id][-1])
        self._announce()
        return len(queued)

    def _queue(self, memory: Memory) -> None:
        entry_id = max(self.entries, default=0) + 1
        self.entries[entry_id] = OutboxEntry(entry_id, self._sink, memory.id, memory.version, memory.seq, 0)

    def _announce(self) -> None:
        committed, self._committed = self._committed, anyio.Event()
        committed.set()

    def _require_up(self) -> None:
        if self.is_down:
            raise JournalUnavailable("the journal is down")
