"""Writes while the journal's server is away: durable here, answered at once, carried to it when it is back.

A write that the server did not take, or may have taken without an answer, is kept in the spool under its own key and
with the id that its answer named. One task carries what is there, oldest first; a repeat finds its key and changes
nothing. What the journal refuses for good becomes a dead letter for the operator.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.memory import Acknowledgement, MemoryDraft
from memmcp_server.domain.outbox import RelayState, RelayStats, RetryPolicy, SinkStats
from memmcp_server.domain.spooled import (
    SPOOL_ID_BASE,
    Scope,
    SpoolContents,
    SpooledWrite,
    SpoolStats,
    fingerprint_of,
    new_memory_id,
    scope_of,
)
from memmcp_server.errors import (
    IdempotencyConflict,
    JournalUnavailable,
    MemoryServerError,
    OutcomeUnknown,
    StorageFull,
    Unavailable,
)
from memmcp_server.ports import Clock, Journal, WriteSpool

LOOK_S = 2.0
"""Pause between two looks at a server that answers: its policies are kept for the time in which it does not."""

LOOK_TIMEOUT_S = 10.0
SHIP_TIMEOUT_S = 60.0
PAGE_LEN = 256
BATCH_DRAFTS_MAX = 256
"""So many memories are carried by one commit."""

POLICIES_NOTE = "policies"
JOURNAL_NOTE = "journal"
STUCK_TRIES_MAX = 50
"""So often in a row the oldest write may fail at a server that takes others; then it stands aside for those behind."""

BACK_OFF = RetryPolicy(base_s=0.25, cap_s=1.0)
"""Of the looks at a server that is away: one is cheap, and until one succeeds nobody can search."""

AWAY = (JournalUnavailable, OutcomeUnknown, TimeoutError)
"""What a write comes to when the server cannot be reached, or did not say what became of it."""

logger = logging.getLogger(__name__)

Commit = Callable[[Sequence[MemoryDraft], Caller], Awaitable[list[Acknowledgement]]]
CommitEach = Callable[[Sequence[tuple[Sequence[MemoryDraft], Caller]]], Awaitable[list[list[Acknowledgement]]]]
"""All of the writes in one transaction, or none."""


class Spooling:
    """``wait_s``: so long a write waits for the server before it is kept here instead."""

    def __init__(self, spool: WriteSpool, journal: Journal, clock: Clock, wait_s: float) -> None:
        self._spool = spool
        self._journal = journal
        self._clock = clock
        self._wait_s = wait_s
        self._contents = SpoolContents()
        self._flying: dict[Scope, list[tuple[bytes, MemoryId]]] = {}
        self._keeping: dict[Scope, asyncio.Event] = {}
        """Keys of writes that are on their way into the spool: a repeat waits until they are durable."""
        self._woken = asyncio.Event()
        self._problem: str | None = None
        self._failures = 0
        self._policies: Mapping[str, Any] | None = None
        self._is_recognised = False
        self._foreign: str | None = None
        self._stuck: tuple[int, int] = (0, 0)  # the oldest write, and how often it failed in a row

    @property
    def problem(self) -> str | None:
        """Why the server cannot be written to now, None when it can."""
        return self._problem

    async def open(self) -> Mapping[str, Any]:
        """Learn what is in the spool; return the policies that held when the server was last heard of."""
        after = 0
        while page := await self._spool.live(after, PAGE_LEN):
            for write in page:
                self._contents.add(write)
            after = page[-1].id
        self._policies = await self._spool.note(POLICIES_NOTE)
        return self._policies or {}

    async def write(
        self, drafts: Sequence[MemoryDraft], caller: Caller, commit: Commit, admit: Callable[[], None]
    ) -> list[Acknowledgement]:
        """Commit the drafts, or keep them here while the server is away.

        Behind what is kept goes what shares a key or a thread with it, or rests on it. ``commit`` asks the journal for
        all it needs; ``admit`` refuses by what was last known.

        Raises: what ``commit`` and ``admit`` raise; IdempotencyConflict, StorageFull (the spool), JournalUnavailable
        (what is kept already is for another journal).
        """
        given = [self._with_id(draft) for draft in drafts]
        if (known := self._known(given)) is not None:
            return known
        is_tried = False
        if self._problem is None and not any(self._contents.is_before(draft) for draft in given):
            is_tried = True
            try:
                with self._in_flight(given):
                    async with asyncio.timeout(self._wait_s):
                        return await commit(given, caller)
            except AWAY as error:
                self._note_away(error)
        admit()
        return await self._keep(given, caller, is_tried=is_tried)

    def holds(self, memory_id: str) -> bool:
        """Say whether the memory is on its way from here to the journal."""
        return self._contents.holds(memory_id)

    def holds_steps(self, trajectory_id: str) -> bool:
        """Say whether steps of the trajectory are on their way from here to the journal."""
        return self._contents.holds_thread(trajectory_id)

    def is_empty(self) -> bool:
        return len(self._contents) == 0

    async def final_ids(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, MemoryId]:
        """Return under which id the journal holds what was answered under another one."""
        return await self._spool.final_ids(memory_ids) if memory_ids else {}

    async def run(self, commit: CommitEach) -> None:
        """Watch the server, and carry to it what is kept, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_S):
                    await self._look()
                if self._foreign is None:
                    await self._carry(commit)
            except (Unavailable, TimeoutError) as error:
                if isinstance(error, AWAY):
                    self._note_away(error)
                self._failures += 1
                pause_s = BACK_OFF.delay_s(self._failures)
            else:
                self._failures, pause_s = 0, LOOK_S
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()

    async def retry(self, entry_ids: Sequence[int] | None) -> int:
        """Carry dead letters again (None: all of them); return how many."""
        revived = await self._spool.retry(entry_ids)
        for write in revived:
            self._contents.add(write)
        self._woken.set()
        return len(revived)

    async def drop(self, entry_id: int) -> bool:
        """Give up what was kept: it will not be carried to the journal."""
        dropped = await self._spool.drop(entry_id)
        if dropped is not None:
            self._contents.remove(dropped)
        return dropped is not None

    async def entries(self, *, dead: bool | None, limit: int) -> list[SpooledWrite]:
        return await self._spool.entries(dead=dead, limit=limit)

    async def stats(self) -> SpoolStats:
        return await self._spool.stats()

    async def queue(self) -> tuple[SinkStats, RelayStats]:
        """Return how it stands, as of any other queue."""
        stats = await self._spool.stats()
        problem = self._problem or self._foreign
        waiting: RelayState = "backing_off" if problem else "delivering"
        pause_s = BACK_OFF.delay_s(self._failures) if self._failures else 0.0
        relay = RelayStats(
            state=waiting if stats.pending else "idle",
            delivered=stats.delivered,
            dead=stats.dead,
            outages=self._failures,
            retry_in_s=pause_s,
            last_error=problem or "",
        )
        return SinkStats(stats.pending, stats.dead, stats.oldest_ns, stats.delivered), relay

    def _with_id(self, draft: MemoryDraft) -> MemoryDraft:
        """Fix the id now: the answer may have to name it before the journal can be asked.

        Two calls under one key at the same time share it, whichever of them is taken.
        """
        if draft.id is not None:
            return draft
        scope, fingerprint = scope_of(draft), fingerprint_of(draft)
        known = self._contents.known(draft)
        if known is not None and known[0] == fingerprint:
            return replace(draft, id=known[1])
        for held, memory_id in self._flying.get(scope, ()):
            if held == fingerprint:
                return replace(draft, id=memory_id, is_new_id=True)
        return replace(draft, id=new_memory_id(self._clock.now_ns(), secrets.randbits(74)), is_new_id=True)

    @contextlib.contextmanager
    def _in_flight(self, drafts: Sequence[MemoryDraft]) -> Iterator[None]:
        flying = [(scope_of(draft), (fingerprint_of(draft), draft.id)) for draft in drafts if draft.id is not None]
        for scope, entry in flying:
            self._flying.setdefault(scope, []).append(entry)
        try:
            yield
        finally:
            for scope, entry in flying:
                self._flying[scope].remove(entry)
                if not self._flying[scope]:
                    del self._flying[scope]

    def _known(self, drafts: Sequence[MemoryDraft]) -> list[Acknowledgement] | None:
        """Return the answer where all of it is kept already, None where something is new.

        Raises: IdempotencyConflict.
        """
        now_ns, answers = self._clock.now_ns(), []
        for draft in drafts:
            known = self._contents.known(draft)
            if known is None:
                continue
            if known[0] != fingerprint_of(draft):
                msg = (
                    f"idempotency_key {draft.key!r} already stands for memory {known[1]} with other content, which "
                    "waits on this machine for the journal"
                )
                raise IdempotencyConflict(msg, field="idempotency_key", hint="send the new one under another key")
            answers.append(Acknowledgement(known[1], Seq(0), 1, now_ns, duplicate=True, is_local=True))
        return answers if len(answers) == len(drafts) else None

    async def _keep(self, drafts: Sequence[MemoryDraft], caller: Caller, *, is_tried: bool) -> list[Acknowledgement]:
        if self._foreign is not None:
            raise JournalUnavailable(self._foreign, hint="memmcp outbox list --sink journal shows what is kept")
        scopes = [scope_of(draft) for draft in drafts]
        while (busy := next((self._keeping[each] for each in scopes if each in self._keeping), None)) is not None:
            await busy.wait()
        if (known := self._known(drafts)) is not None:  # a repeat came first
            return known
        now_ns, kept = self._clock.now_ns(), asyncio.Event()
        self._keeping |= dict.fromkeys(scopes, kept)
        try:
            write = await self._spool.put(SpooledWrite(tuple(drafts), caller, now_ns, is_tried))
            self._contents.add(write)
        finally:
            for each in scopes:
                self._keeping.pop(each, None)
            kept.set()
        if self._problem is None:
            self._woken.set()
        return [Acknowledgement(each, Seq(0), 1, now_ns, is_local=True) for each in write.memory_ids]

    async def _look(self) -> None:
        """Ask the server for something small. Raises: Unavailable."""
        if not self._is_recognised or self._problem is not None or self._foreign is not None:
            await self._recognise()
            self._is_recognised = True
        policies: Mapping[str, Any] = await self._journal.policies()
        if policies != self._policies:
            try:
                await self._spool.write_note(POLICIES_NOTE, dict(policies))
                self._policies = policies
            except Unavailable as error:  # a full disk is no reason not to use the server
                logger.warning("the policies of the journal were not written down: %s", error.message)
        if self._problem is not None:
            logger.info("the journal's server is back; %d memories are carried to it", len(self._contents))
        self._problem = None

    async def _recognise(self) -> None:
        """Find out whether what is kept was meant for this journal; what was meant for another is not carried to it."""
        found = await self._journal.instance_id()
        noted = await self._spool.note(JOURNAL_NOTE)
        if noted is None or noted["instance_id"] == found or self.is_empty():
            await self._spool.write_note(JOURNAL_NOTE, {"instance_id": found})
            self._foreign = None
            return
        kept = f"{len(self._contents)} memories are kept for journal {noted['instance_id']}"
        if self._foreign is None:
            logger.error("%s, and the server has %s", kept, found)
        self._foreign = f"{kept}, and the server has {found}: bring that journal back, or drop them"

    async def _carry(self, commit: CommitEach) -> None:
        while page := await self._spool.live(0, PAGE_LEN):
            present = [write for write in page if await self._is_present(write)]
            for batch in _batches(present):
                if len(batch) == 1 or not await self._carry_together(batch, commit):
                    for write in batch:
                        await self._carry_one(write, commit)

    async def _is_present(self, write: SpooledWrite) -> bool:
        if not self.holds(write.memory_ids[0]):
            if await self._spool.find(write.memory_ids[0]) is None:
                return False  # the operator has dropped it meanwhile
            self._contents.add(write)  # its caller went away before it was told
        return True

    async def _carry_together(self, batch: Sequence[SpooledWrite], commit: CommitEach) -> bool:
        """Carry all of them by one commit; return False where it fails: one of them may be to blame, or the server."""
        try:
            acknowledged = await _shipped(batch, commit)
        except (MemoryServerError, TimeoutError):
            return False
        await self._settle(batch, acknowledged)
        return True

    async def _settle(self, batch: Sequence[SpooledWrite], acknowledged: Sequence[Acknowledgement]) -> None:
        given = [memory_id for write in batch for memory_id in write.memory_ids]
        other = {ours: each.id for ours, each in zip(given, acknowledged, strict=True) if each.id != ours}
        await self._spool.done([write.id for write in batch], other)
        for write in batch:
            self._contents.remove(write)

    async def _carry_one(self, write: SpooledWrite, commit: CommitEach) -> None:
        """Raises: Unavailable, TimeoutError: nothing is settled then, and it is carried again."""
        try:
            acknowledged = await _shipped([write], commit)
        except MemoryServerError as error:
            tries = self._stuck[1] + 1 if self._stuck[0] == write.id else 1
            self._stuck = (write.id, tries)
            if error.retryable and (tries < STUCK_TRIES_MAX or not await self._is_to_blame(error)):
                raise
            await self._spool.bury(write.id, error.message)
            self._contents.remove(write)
            logger.warning("memory %s was refused by the journal: %s", write.memory_ids[0], error.message)
            return
        await self._settle([write], acknowledged)

    async def _is_to_blame(self, error: MemoryServerError) -> bool:
        """Say whether a write fails at a server that takes others: one that only follows another, or whose disk is
        full, answers whoever reads, and no write must be given up for it."""
        if isinstance(error, StorageFull):
            return False
        node = self._journal.node
        try:
            await self._journal.take_lease(f"spool-{node}", node, LOOK_TIMEOUT_S)
        except MemoryServerError:
            return False
        return True

    def _note_away(self, error: Exception) -> None:
        said = error.message if isinstance(error, MemoryServerError) else "the journal's server gave no answer in time"
        if self._problem is None:
            logger.warning("writes are kept on this machine: %s", said)
            self._woken.set()
        self._problem = said


async def _shipped(batch: Sequence[SpooledWrite], commit: CommitEach) -> list[Acknowledgement]:
    writes = [([replace(draft, is_new_id=False) for draft in write.drafts], write.caller) for write in batch]
    async with asyncio.timeout(SHIP_TIMEOUT_S):
        return [acknowledged for some in await commit(writes) for acknowledged in some]


def _batches(writes: Sequence[SpooledWrite]) -> Iterator[list[SpooledWrite]]:
    """Yield the writes in order, as many together as one commit takes."""
    batch: list[SpooledWrite] = []
    size = 0
    for write in writes:
        if batch and size + len(write.drafts) > BATCH_DRAFTS_MAX:
            yield batch
            batch, size = [], 0
        batch.append(write)
        size += len(write.drafts)
    if batch:
        yield batch


def still_on_its_way(memory_id: str) -> JournalUnavailable:
    msg = f"memory {memory_id} is kept on this machine and is on its way to the journal"
    return JournalUnavailable(msg, hint="repeat in a moment; memmcp outbox list shows it")


def is_spooled(entry_id: int) -> bool:
    """Say whether an entry of the outbox is the spool's."""
    return entry_id > SPOOL_ID_BASE
