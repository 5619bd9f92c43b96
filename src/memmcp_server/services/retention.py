"""Forget what a policy keeps for so many days only; a background part.

Counted from when the last version became known. Pinned memories and whatever is under legal hold stay, and so does
everything without a retention, expired or not. The head of a trajectory goes when none of its steps has to stay.
"""

import contextlib
from typing import Final

import anyio

from memmcp_server.domain.identifiers import MemoryId, Seq, TrajectoryId
from memmcp_server.domain.memory import Memory, MemoryFilter, Provenance, Trust
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.times import NS_PER_DAY
from memmcp_server.errors import Unavailable
from memmcp_server.ports import Clock, Journal

from .forgetting import KIND_TRAJECTORY, Forgetting
from .policies import Policies

REASON: Final = "retention"
ROUND_S: Final = 300.0
NEXT_ROUND_S: Final = 1.0
"""Pause after a round that had to leave something for the next one."""

ROUND_FORGOTTEN_MAX: Final = 200
ROUND_SCANNED_MAX: Final = 2_000
PAGE_LEN: Final = 200
RETENTION: Final = Provenance(agent="memmcp", tool="retention", trust=Trust.SYSTEM)


class Retention:
    """``round`` does a bounded piece of work; ``run`` repeats it until cancelled."""

    def __init__(self, journal: Journal, policies: Policies, forgetting: Forgetting, clock: Clock) -> None:
        self._journal = journal
        self._policies = policies
        self._forgetting = forgetting
        self._clock = clock
        self._reached: dict[str, Seq] = {}

    async def run(self) -> None:
        while True:
            is_done = True
            with contextlib.suppress(Unavailable):  # the journal is busy or going down: the next round does it
                is_done = await self.round()
            await anyio.sleep(ROUND_S if is_done else NEXT_ROUND_S)

    async def round(self) -> bool:
        """Forget what is due, as far as a round goes; return whether everything was looked at.

        Raises: JournalBusy, JournalUnavailable, StorageFull.
        """
        book = await self._policies.book()
        scanned = forgotten = 0
        for pattern, policy in sorted(book.set_by_operator.items()):
            if policy.retention_days is None:
                continue
            before_ns = self._clock.now_ns() - policy.retention_days * NS_PER_DAY
            where = MemoryFilter(namespace=pattern)
            while page := await self._journal.kept(
                where, known_before_ns=before_ns, after=self._reached.get(pattern), limit=PAGE_LEN
            ):
                due: dict[MemoryId, Memory] = {}
                for memory in page:
                    due |= {each.id: each for each in await self._with_steps(memory, book)}
                forgotten += await self._forgetting.expel(list(due.values()), REASON, RETENTION)
                scanned += len(page)
                self._reached[pattern] = page[-1].seq
                if scanned >= ROUND_SCANNED_MAX or forgotten >= ROUND_FORGOTTEN_MAX:
                    return False
            self._reached.pop(pattern, None)
        return True

    async def _with_steps(self, memory: Memory, book: PolicyBook) -> list[Memory]:
        """Return what goes with the memory, itself included; nothing when it stays."""
        if not self._is_due(memory, book):
            return []
        if memory.kind != KIND_TRAJECTORY:
            return [memory]
        steps = await self._journal.steps(TrajectoryId(memory.id), after=None, limit=PAGE_LEN + 1)
        is_whole = len(steps) <= PAGE_LEN and all(self._is_due(step, book) for step in steps)
        return [memory, *steps] if is_whole else []

    def _is_due(self, memory: Memory, book: PolicyBook) -> bool:
        policy = book.of(memory.namespace)
        if policy.retention_days is None or policy.holds or memory.pinned:
            return False
        return memory.known_at_ns < self._clock.now_ns() - policy.retention_days * NS_PER_DAY
