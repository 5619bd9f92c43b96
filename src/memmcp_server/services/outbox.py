"""What the operator sees and settles of all that waits: the journal's outbox and the spool's writes, as one list."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memmcp_server.domain.spooled import SINK_JOURNAL
from memmcp_server.ports import Journal

from .relay import Relay
from .spooling import Spooling, is_spooled


@dataclass(frozen=True, slots=True)
class Outbox:
    """``spooling`` None: the journal is a file, and there is only its outbox."""

    journal: Journal
    relay: Relay
    spooling: Spooling | None

    @property
    def _is_away(self) -> bool:
        return self.spooling is not None and self.spooling.problem is not None

    async def entries(self, sink: str | None, *, dead: bool | None, limit: int) -> list[dict[str, Any]]:
        """Return entries, those that wait on this machine first; of the journal's none while its server is away.

        Raises: JournalBusy, JournalUnavailable.
        """
        found: list[dict[str, Any]] = []
        if self.spooling is not None and sink in (None, SINK_JOURNAL):
            found = [write.document() for write in await self.spooling.entries(dead=dead, limit=limit)]
        if sink == SINK_JOURNAL or self._is_away or len(found) >= limit:
            return found
        rest = await self.journal.outbox_entries(sink, dead=dead, limit=limit - len(found))
        return [*found, *(asdict(entry) for entry in rest)]

    async def retry(self, entry_ids: Sequence[int] | None) -> int:
        """Make dead entries live again (None: all of them); return how many.

        Raises: JournalBusy, JournalUnavailable, StorageFull.
        """
        ours = None if entry_ids is None else [each for each in entry_ids if is_spooled(each)]
        theirs = None if entry_ids is None else [each for each in entry_ids if not is_spooled(each)]
        count = 0
        if self.spooling is not None and ours != []:
            count = await self.spooling.retry(ours)
        if theirs or (theirs is None and not self._is_away):
            count += await self.journal.outbox_retry(theirs)
            self.relay.wake()
        return count

    async def drop(self, entry_id: int) -> bool:
        """Give up one entry; False: there is none of this id. Raises: JournalBusy, JournalUnavailable."""
        if is_spooled(entry_id):
            return self.spooling is not None and await self.spooling.drop(entry_id)
        return await self.journal.outbox_drop(entry_id)
