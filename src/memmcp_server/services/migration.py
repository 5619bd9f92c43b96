"""From one generation of the index to the next, while the first goes on being searched.

Filled in the order of the journal's commits, each memory once, at its first version, with all versions it has by then:
what is written later goes to both generations anyway. How far it has come is a cursor of the journal, saved after what
it says is durable in the index, so that whoever dies repeats at most one page. Then the whole is compared with the
journal, the golden queries are asked of both, and one step makes the next generation the searched one. Anything that
speaks against it leaves the old one in place, and says what.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import anyio

from memmcp_server.domain.drift import DriftKind
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import Change
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.errors import IndexUnavailable, InvalidInput, NotFound, Refused, Unavailable
from memmcp_server.ports import Clock, IndexStatus, Journal, NextGeneration, VectorIndex

from .evaluation import Evaluation
from .index_health import Drifts, IndexHealth

PAGE_LEN = 128
"""Entries of the journal that are read, embedded and written at once: a second or two of one core, then one flush. The
embedded engine lets nobody search while it flushes, so that many small pages would cost the searches most of the time.
"""
PAUSE_SHARE = 0.25
"""The pause after a page, as a share of what the page took."""
GIVE_WAY_S = 2.0
"""How long filling waits, after each page, for what has just been written to be delivered."""
GIVE_WAY_POLL_S = 0.05
ATTEMPTS_MAX = 3
"""Failures of a page before it is taken apart, and of a single memory before it is passed over."""
VERIFY_ROUNDS_MAX = 3

Phase = Literal["filling", "checking", "refused"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` and ``total`` are positions in the journal. ``problem``: why the switch did not happen, or what hinders
    the filling; empty for nothing.
    """

    generation: int
    phase: Phase
    done: int
    total: int
    problem: str = ""


class Migration:
    """Does a bounded piece of work at each ``step``; the keeper of the index calls it."""

    def __init__(self, journal: Journal, health: IndexHealth, evaluation: Evaluation, clock: Clock) -> None:
        self._journal = journal
        self._health = health
        self._evaluation = evaluation
        self._index = health.index
        self._clock = clock
        self._refused = ""
        self._failures = 0
        self._careful_until = Seq(0)
        self._left_alone = ""
        self._is_switching = anyio.Lock()
        self.progress: Progress | None = None

    async def begin(self) -> None:
        """Begin a next generation, also for the same model. Raises: IndexUnavailable."""
        await self._index.begin()
        self._left_alone = ""
        self._refused = ""

    async def abandon(self) -> None:
        """Give the next generation up; it is not begun again for the same reason before the next start.

        Raises: IndexUnavailable, NotFound.
        """
        status = await self._index.status()
        _require_next(status)
        await self._index.abandon()
        self._left_alone = status.wants
        self.progress = None

    async def step(self) -> bool:
        """Do the next piece of work; return whether there is more to do at once.

        Raises: IndexUnavailable, JournalBusy, JournalUnavailable.
        """
        status = await self._index.status()
        following = status.next
        if following is None:
            self.progress = None
            if not status.wants or status.wants == self._left_alone:
                return False
            _log.warning("%s: the index is made anew beside the present one", status.wants)
            await self.begin()
            return True
        if self._refused == following.token:
            return False
        if await self._fill(following):
            return True
        async with self._is_switching:
            if (await self._index.status()).next is None:
                return True  # an operator was quicker
            problem = await self._objection(following)
            if problem:
                self._refuse(following, problem)
            else:
                await self._switch(following)
        return False

    async def switch(self, *, force: bool) -> None:
        """Search the next generation from now on; ``force`` even where something speaks against it.

        Raises: NotFound (there is none), Refused (it says why), IndexUnavailable, JournalBusy, JournalUnavailable.
        """
        following = _require_next(await self._index.status())
        async with self._is_switching:
            problem = "" if force else await self._objection(following)
            if problem:
                self._refuse(following, problem)
                msg = f"generation {following.generation} is not searched yet: {problem}"
                raise Refused(msg, hint="`memmcp index switch --force` does it all the same")
            if force:
                _log.warning("generation %d is searched from now on by force", following.generation)
            await self._switch(following)

    async def _fill(self, following: NextGeneration) -> bool:
        """Carry one page over; return whether there may be more."""
        name = f"index-fill:{following.token}"
        after = await self._journal.cursor(name) or Seq(0)
        changes = await self._journal.changes(after, limit=1 if after < self._careful_until else PAGE_LEN)
        total = await self._journal.horizon()
        problem = following.detail
        self.progress = Progress(following.generation, "filling", min(after, total), total, problem)
        if not changes:
            return False
        began_s = self._clock.monotonic_s()
        if await self._carried(changes):
            await self._journal.save_cursor(name, changes[-1].seq)
            self.progress = Progress(following.generation, "filling", changes[-1].seq, total, problem)
        await anyio.sleep(PAUSE_SHARE * (self._clock.monotonic_s() - began_s))
        await self._give_way()
        return True

    async def _carried(self, changes: Sequence[Change]) -> bool:
        """Write the memories that begin in the page into the next generation; return whether it is done with.

        A page that fails again and again is taken apart, and a memory that fails alone is passed over: the check before
        the switch tries it once more, and tells.
        """
        first = [change.memory.id for change in changes if change.memory is not None and change.memory.version == 1]
        try:
            await self._write(first)
        except (IndexUnavailable, InvalidInput) as problem:
            self._failures += 1
            if self._failures < ATTEMPTS_MAX and not isinstance(problem, InvalidInput):
                raise IndexUnavailable(problem.message) from problem
            self._failures = 0
            if len(changes) > 1:
                self._careful_until = changes[-1].seq
                return False
            _log.warning("memory %s is passed over: %s", first[0], problem.message)
        self._failures = 0
        return True

    async def _write(self, memory_ids: Sequence[MemoryId]) -> None:
        wanted = await self._health.project(memory_ids) if memory_ids else {}
        points = [point for each in wanted.values() for point in each]
        if not points:
            return
        await self._index.beside().upsert(points)
        # What was forgotten since it was read may have been removed before it was written here.
        there = await self._journal.all_versions(memory_ids)
        gone = [memory_id for memory_id in memory_ids if memory_id not in there]
        if gone:
            await self._index.remove(gone)

    async def _give_way(self) -> None:
        """Let live deliveries go first."""
        with anyio.move_on_after(GIVE_WAY_S):
            while True:
                stats = (await self._journal.outbox_stats()).get(SINK_QDRANT)
                if stats is None or not stats.pending:
                    return
                await anyio.sleep(GIVE_WAY_POLL_S)

    async def _objection(self, following: NextGeneration) -> str:
        """Return what speaks against the switch, empty for nothing."""
        while await self._fill(following):
            pass
        total = await self._journal.horizon()
        self.progress = Progress(following.generation, "checking", total, total)
        differing = await self._verified()
        if differing:
            return f"{differing} memories are not there as the journal has them"
        try:
            return await self._evaluation.objection()
        except IndexUnavailable:
            raise
        except (Unavailable, InvalidInput) as problem:
            return f"the golden queries cannot be asked: {problem.message}"

    async def _verified(self) -> int:
        """Compare the next generation with the journal and mend what differs; return how many memories still do.

        What the searched generation does not have either is no reason to go on searching it.
        """
        beside = self._index.beside()
        drifts = await self._compared(beside)
        for _ in range(VERIFY_ROUNDS_MAX):
            if not drifts.kinds:
                return 0
            surplus = [memory_id for memory_id, kind in drifts.kinds.items() if kind is DriftKind.SURPLUS]
            if surplus:
                await self._index.remove(surplus)
                await self._journal.outbox_queue(SINK_QDRANT, surplus)
            ids = list(drifts.kinds)
            for start in range(0, len(ids), PAGE_LEN):
                await self._mend(ids[start : start + PAGE_LEN])
            drifts = await self._compared(beside)
        if not drifts.is_complete:
            return drifts.counts.total()
        # Asked at the same time of both, so that what is just being written counts for neither.
        as_bad = await self._health.differing(self._index, list(drifts.kinds))
        return len(await self._health.differing(beside, [each for each in drifts.kinds if each not in as_bad]))

    async def _compared(self, index: VectorIndex) -> Drifts:
        drifts = Drifts()
        async for page, checked in self._health.compared(index):
            drifts.add(page, checked)
        return drifts

    async def _mend(self, memory_ids: Sequence[MemoryId]) -> None:
        """Write the memories anew; where that fails, one by one, so that each that can be written is."""
        try:
            await self._write(memory_ids)
        except (IndexUnavailable, InvalidInput) as problem:
            if len(memory_ids) == 1:
                _log.warning("memory %s cannot be carried over: %s", memory_ids[0], problem.message)
                return
            for memory_id in memory_ids:
                await self._mend([memory_id])

    async def _switch(self, following: NextGeneration) -> None:
        await self._index.switch()
        self.progress = None
        self._refused = ""
        _log.warning("generation %d of the index is searched from now on (%s)", following.generation, following.model)

    def _refuse(self, following: NextGeneration, problem: str) -> None:
        total = self.progress.total if self.progress is not None else 0
        self.progress = Progress(following.generation, "refused", total, total, problem)
        self._refused = following.token
        _log.warning("generation %d of the index is not searched: %s", following.generation, problem)


def _require_next(status: IndexStatus) -> NextGeneration:
    if status.next is None:
        msg = "no other generation of the index is being filled"
        raise NotFound(msg, hint="`memmcp index rebuild` begins one")
    return status.next
