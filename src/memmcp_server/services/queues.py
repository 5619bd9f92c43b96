"""Every queue of the memory: from the journal to its sinks, and from the spool to the journal."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.outbox import RelayStats, SinkStats
from memmcp_server.domain.spooled import SINK_JOURNAL
from memmcp_server.errors import JournalUnavailable
from memmcp_server.ports import Journal

from .spooling import Spooling


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """``relays``: of those queues that the relay knows nothing of. ``seq``: the newest commit that was heard of."""

    stats: Mapping[str, SinkStats]
    relays: Mapping[str, RelayStats]
    seq: Seq


class Queues:
    """While the journal's server is away its own queues are told as they were last seen.

    ``spooling`` None: the journal is a file, and there are only its own queues.
    """

    def __init__(self, journal: Journal, spooling: Spooling | None = None) -> None:
        self._journal = journal
        self._spooling = spooling
        self._last: dict[str, SinkStats] = {}
        self._last_seq = Seq(0)

    @property
    def problem(self) -> str | None:
        """Why the journal's server cannot be written to now; None when it can, or where there is none."""
        return None if self._spooling is None else self._spooling.problem

    async def read(self) -> QueueFigures:
        """Raises: JournalBusy, JournalUnavailable (the journal is a file, or the spool's file cannot be read)."""
        spooling = self._spooling
        if spooling is None:
            return QueueFigures(await self._journal.outbox_stats(), {}, await self._journal.horizon())
        if spooling.problem is None:
            with contextlib.suppress(JournalUnavailable):  # the next write, or the next look, finds it out
                self._last, self._last_seq = await self._journal.outbox_stats(), await self._journal.horizon()
        stats, relay = await spooling.queue()
        return QueueFigures({**self._last, SINK_JOURNAL: stats}, {SINK_JOURNAL: relay}, self._last_seq)
