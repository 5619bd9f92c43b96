"""Does the index say what the journal says? Compare the whole of both, and bring the index into order.

The journal is read in the order of its commits, each memory once, at its first version; then every point of the index
is asked for its memory. Both in pages with pauses between them, so that searches and deliveries go first.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import anyio

from memmcp_server.domain.drift import DriftKind, DriftReport
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.ports import Clock, IndexPoint, Journal, VectorIndex

PAGE_LEN = 128
"""Memories that are compared at once."""
POINTS_PAGE_LEN = 500
FOUND_MAX = 5_000
"""Memories that one round can bring into order; what is beyond them is counted and left to the next round."""
EXAMPLES_MAX = 10
ENTRIES_MAX = 1_000
PAUSE_SHARE = 1.0
"""The pause after a page, as a share of what the page took."""
SETTLE_S = 10.0
"""How long what is on its way to the index gets to arrive before it counts as missing."""
SETTLE_POLL_S = 0.1

Project = Callable[[Sequence[MemoryId]], Awaitable[Mapping[MemoryId, Sequence[IndexPoint]]]]
"""Gives what the index should hold of each memory now; nothing of one that is gone."""
Advance = Callable[[int, int], None]
"""Is told how far a round has come: memories done, memories in all."""

_log = logging.getLogger(__name__)


class IndexHealth:
    def __init__(self, journal: Journal, index: VectorIndex, project: Project, clock: Clock) -> None:
        self.index = index
        self._journal = journal
        self._index = index
        self._project = project
        self._clock = clock

    async def check(self, *, repair: bool, advance: Advance | None = None) -> DriftReport:
        """Compare journal and index; ``repair`` queues what is wrong for delivery again and removes what is too much.

        Raises: IndexUnavailable, JournalBusy, JournalUnavailable.
        """
        drifts = Drifts()
        async for page, checked in self.compared(self._index, advance):
            drifts.add(page, checked)
        await self._settle(drifts)
        if not (await self._index.status()).unvectored:
            drifts.pardon(DriftKind.UNVECTORED)  # without a model nothing can be done about it, so nothing is wrong
        waiting = await self._waiting()
        report = DriftReport(
            at_ns=self._clock.now_ns(),
            checked=drifts.checked,
            found=dict(drifts.counts),
            waiting=len(waiting & drifts.kinds.keys()),
            is_complete=drifts.is_complete,
            examples=tuple(list(drifts.kinds)[:EXAMPLES_MAX]),
        )
        if report.total:
            level = logging.INFO if await self._pending() else logging.WARNING  # a large import is still under way
            _log.log(level, "the index differs from the journal: %s", describe(report))
        if not repair or not drifts.kinds:
            return report
        return replace(report, repaired=await self._repair(drifts.kinds))

    async def revector(self) -> int:
        """Queue memories whose vector is missing although a model is there; return how many, at most ``FOUND_MAX``.

        Raises: IndexUnavailable, JournalBusy, JournalUnavailable.
        """
        lacking: dict[MemoryId, None] = {}
        after: str | None = None
        while len(lacking) < FOUND_MAX:
            page, after = await self._index.memory_ids(after=after, limit=POINTS_PAGE_LEN, lacking_vector=True)
            lacking |= dict.fromkeys(page)
            if after is None:
                break
        return await self._journal.outbox_queue(SINK_QDRANT, list(lacking)) if lacking else 0

    async def is_lost(self) -> bool:
        """Tell whether the index holds less than half of what was delivered to it.

        Half, not all: what is missing besides is found by ``check``. This one is cheap, so that a deleted folder or a
        dropped collection is noticed at once, also when what was written since has gone to the new, empty index.
        """
        # In this order a delivery in between is counted twice rather than not at all.
        stats = (await self._journal.outbox_stats()).get(SINK_QDRANT)
        waiting = 0 if stats is None else stats.pending + stats.dead
        memories = await self._journal.count(MemoryFilter())
        status = await self._index.status()
        return status.state in {"ready", "degraded"} and 2 * status.points < memories - waiting

    async def compared(
        self, index: VectorIndex, advance: Advance | None = None
    ) -> AsyncIterator[tuple[dict[MemoryId, DriftKind], int]]:
        """Yield what differs, page by page, with the number of memories compared in that page."""
        total = await self._journal.count(MemoryFilter()) if advance is not None else 0
        checked = points = 0
        async for wanted in self._pages():
            began_s = self._clock.monotonic_s()
            found = await index.compare(wanted)
            checked += len(wanted)
            points += sum(map(len, wanted.values())) if not found else 0
            yield found, len(wanted)
            if advance is not None:
                advance(min(checked, total), total)
            await self._pause(began_s)
        if points == (await index.status()).points:
            return  # every point was accounted for, so none is too much
        after: str | None = None
        while True:
            began_s = self._clock.monotonic_s()
            ids, after = await index.memory_ids(after=after, limit=POINTS_PAGE_LEN)
            there = await self._journal.all_versions(ids)
            yield {memory_id: DriftKind.SURPLUS for memory_id in ids if memory_id not in there}, 0
            if after is None:
                return
            await self._pause(began_s)

    async def differing(self, index: VectorIndex, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, DriftKind]:
        """Return which of the memories differ in that index now."""
        found: dict[MemoryId, DriftKind] = {}
        for start in range(0, len(memory_ids), PAGE_LEN):
            found |= await index.compare(await self._project(memory_ids[start : start + PAGE_LEN]))
        return found

    async def project(self, memory_ids: Sequence[MemoryId]) -> Mapping[MemoryId, Sequence[IndexPoint]]:
        return await self._project(memory_ids)

    async def _pages(self) -> AsyncIterator[dict[MemoryId, Sequence[IndexPoint]]]:
        after = Seq(0)
        while changes := await self._journal.changes(after, limit=PAGE_LEN):
            after = changes[-1].seq
            first = [change.memory.id for change in changes if change.memory is not None and change.memory.version == 1]
            wanted = await self._project(first) if first else {}
            # What was forgotten since the page was read is no loss.
            present = {memory_id: points for memory_id, points in wanted.items() if points}
            if present:
                yield present

    async def _settle(self, drifts: "Drifts") -> None:
        """Wait for what was on its way while it was compared, then compare what differed once more."""
        if not drifts.kinds:
            return
        with anyio.move_on_after(SETTLE_S):
            while await self._pending():  # noqa: ASYNC110 - the outbox tells nobody when it is empty
                await anyio.sleep(SETTLE_POLL_S)
        ids = list(drifts.kinds)
        drifts.settle(ids, await self.differing(self._index, ids))

    async def _pending(self) -> int:
        stats = (await self._journal.outbox_stats()).get(SINK_QDRANT)
        return 0 if stats is None else stats.pending

    async def _waiting(self) -> set[MemoryId]:
        entries = await self._journal.outbox_entries(SINK_QDRANT, dead=None, limit=ENTRIES_MAX)
        return {entry.memory_id for entry in entries}

    async def _repair(self, kinds: Mapping[MemoryId, DriftKind]) -> int:
        surplus = [memory_id for memory_id, kind in kinds.items() if kind is DriftKind.SURPLUS]
        gone: list[MemoryId] = []
        for start in range(0, len(surplus), PAGE_LEN):
            chunk = surplus[start : start + PAGE_LEN]
            there = await self._journal.all_versions(chunk)
            gone += [memory_id for memory_id in chunk if memory_id not in there]
            await self._index.remove(chunk)
        return await self._journal.outbox_queue(SINK_QDRANT, list(kinds)) + len(gone)

    async def _pause(self, began_s: float) -> None:
        await anyio.sleep(PAUSE_SHARE * (self._clock.monotonic_s() - began_s))


class Drifts:
    """What a round has found so far: all of it counted, the first ``FOUND_MAX`` memories kept."""

    def __init__(self) -> None:
        self.kinds: dict[MemoryId, DriftKind] = {}
        self.counts: Counter[DriftKind] = Counter()
        self.checked = 0
        self.is_complete = True

    def add(self, found: Mapping[MemoryId, DriftKind], checked: int) -> None:
        self.checked += checked
        for memory_id, kind in found.items():
            if memory_id in self.kinds:
                continue
            self.counts[kind] += 1
            if len(self.kinds) < FOUND_MAX:
                self.kinds[memory_id] = kind
            else:
                self.is_complete = False

    def settle(self, memory_ids: Sequence[MemoryId], found: Mapping[MemoryId, DriftKind]) -> None:
        """Take the memories to be as they were found now."""
        for memory_id in memory_ids:
            self.counts[self.kinds.pop(memory_id)] -= 1
        for memory_id, kind in found.items():
            self.kinds[memory_id] = kind
            self.counts[kind] += 1
        self.counts = +self.counts

    def pardon(self, pardoned: DriftKind) -> None:
        """Leave out what is of that kind."""
        self.kinds = {memory_id: kind for memory_id, kind in self.kinds.items() if kind is not pardoned}
        del self.counts[pardoned]


def describe(report: DriftReport) -> str:
    """Return the report in one line."""
    parts = [f"{number} {kind}" for kind, number in report.found.items()]
    waiting = f" ({report.waiting} of them wait in the outbox)" if report.waiting else ""
    return f"{', '.join(parts) or 'nothing'} of {report.checked} memories{waiting}"
