"""The spool: where writes are durable on this machine while the journal's server is away."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.spooled import SpooledWrite, SpoolStats


class WriteSpool(Protocol):
    """Bounded; an awaited ``put`` is durable (fsync) when it returns.

    Raises everywhere: JournalUnavailable (the file cannot be used), JournalBusy, StorageFull.
    """

    async def put(self, write: SpooledWrite) -> SpooledWrite:
        """Keep a write; return it with its id. Ids grow in the order of keeping.

        Raises: StorageFull (the disk or the spool is full), InvalidInput (what no journal could hold).
        """

    async def live(self, after: int, limit: int) -> list[SpooledWrite]:
        """Return those that are still to be carried, beyond that id, oldest first."""

    async def entries(self, *, dead: bool | None, limit: int) -> list[SpooledWrite]:
        """Return live or dead ones or both (None), oldest first."""

    async def find(self, memory_id: MemoryId) -> SpooledWrite | None:
        """Return the write, live or dead, that holds a memory of this id."""

    async def done(self, write_ids: Sequence[int], other_ids: Mapping[MemoryId, MemoryId]) -> None:
        """Let go of writes that the journal has. ``other_ids``: what was acknowledged under an id of ours and stands
        in the journal under that of an earlier write of the same key."""

    async def bury(self, write_id: int, error: str) -> None:
        """Make a write dead: no repeat mends what the journal said."""

    async def retry(self, write_ids: Sequence[int] | None) -> list[SpooledWrite]:
        """Make dead writes live again (None: all of them); return them."""

    async def drop(self, write_id: int) -> SpooledWrite | None:
        """Give up a write; nothing of it is left in the file. None: there is none of this id."""

    async def final_ids(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, MemoryId]:
        """Return under which id the journal holds those of the memories that it holds under another one."""

    async def stats(self) -> SpoolStats: ...

    async def note(self, name: str) -> JsonObject | None:
        """Return what was written down under this name."""

    async def write_note(self, name: str, document: JsonObject) -> None: ...
