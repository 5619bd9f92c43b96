"""A spool in memory: nothing survives the process, everything else holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.spooled import SPOOL_ID_BASE, SpooledWrite, SpoolStats
from memmcp_server.errors import InvalidInput, StorageFull


class MemorySpool:
    """``ports.WriteSpool``."""

    def __init__(self, rows_max: int = 1_000) -> None:
        self._rows_max = rows_max
        self._writes: dict[int, SpooledWrite] = {}
        self._last_id = SPOOL_ID_BASE
        self._other_ids: dict[MemoryId, MemoryId] = {}
        self._notes: dict[str, JsonObject] = {}
        self._delivered = 0

    async def put(self, write: SpooledWrite) -> SpooledWrite:
        if any("\x00" in draft.content for draft in write.drafts):
            raise InvalidInput("content holds U+0000", field="content")
        if self._memories() + len(write.drafts) > self._rows_max:
            raise StorageFull("the spool is full", hint="repeat later")
        self._last_id += 1
        kept = replace(write, id=self._last_id)
        self._writes[kept.id] = replace(kept, drafts=tuple(replace(draft, is_new_id=False) for draft in kept.drafts))
        return kept

    async def live(self, after: int, limit: int) -> list[SpooledWrite]:
        return [write for write in self._writes.values() if not write.dead and write.id > after][:limit]

    async def entries(self, *, dead: bool | None, limit: int) -> list[SpooledWrite]:
        return [write for write in self._writes.values() if dead in (None, write.dead)][:limit]

    async def find(self, memory_id: MemoryId) -> SpooledWrite | None:
        return next((write for write in self._writes.values() if memory_id in write.memory_ids), None)

    async def done(self, write_ids: Sequence[int], other_ids: Mapping[MemoryId, MemoryId]) -> None:
        for write_id in write_ids:
            self._writes.pop(write_id, None)
        self._other_ids |= other_ids
        self._delivered += len(write_ids)

    async def bury(self, write_id: int, error: str) -> None:
        self._writes[write_id] = replace(self._writes[write_id], dead=True, last_error=error)

    async def retry(self, write_ids: Sequence[int] | None) -> list[SpooledWrite]:
        chosen = [write for write in self._writes.values() if write.dead and (not write_ids or write.id in write_ids)]
        for write in chosen:
            self._writes[write.id] = replace(write, dead=False, last_error="")
        return [self._writes[write.id] for write in chosen]

    async def drop(self, write_id: int) -> SpooledWrite | None:
        return self._writes.pop(write_id, None)

    async def final_ids(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, MemoryId]:
        return {each: self._other_ids[each] for each in memory_ids if each in self._other_ids}

    async def stats(self) -> SpoolStats:
        live = [write for write in self._writes.values() if not write.dead]
        oldest_ns = min((write.at_ns for write in live), default=None)
        dead = len(self._writes) - len(live)
        return SpoolStats(len(live), dead, self._memories(), 0, oldest_ns, self._delivered)

    async def note(self, name: str) -> JsonObject | None:
        return self._notes.get(name)

    async def write_note(self, name: str, document: JsonObject) -> None:
        self._notes[name] = document

    def _memories(self) -> int:
        return sum(len(write.drafts) for write in self._writes.values())
