"""Carry a forgetting through to the last file, and write down what was found there.

A forgetting is done when its commit is; what stood in free pages, logs and the index's files is another matter. The
audit keeps how far that has come: each entry ``purge`` names a part (the journal's files, the index's) and the seq up
to which forgettings are out of it. Whatever is newer is still to be done, also after a crash: then nobody remembers the
texts any more, and the files are written anew without looking for them.

Where several daemons share a journal, each sees to the index inside of it, a part of its own, also after forgettings
that others committed; the journal's part is left for a while to the daemon that knows what to look for.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from memmcp_server.domain.forgetting import LANGFUSE_NOT_CONFIGURED, LANGFUSE_TOLD, LANGFUSE_WAITS, Proof
from memmcp_server.domain.identifiers import JsonObject, MemoryId, Seq
from memmcp_server.domain.lifecycle import AUDIT_FORGET, AUDIT_PURGE, AuditEntry, RecordAudit
from memmcp_server.domain.memory import Provenance, Trust
from memmcp_server.domain.outbox import SINK_LANGFUSE, SINK_QDRANT
from memmcp_server.errors import Unavailable
from memmcp_server.ports import Journal, Purge, VectorIndex

from .copies import Copies

JOURNAL: Final = "journal"
INDEX: Final = "index"
RETRY_S: Final = 2.0
"""Pause of the background between two attempts at what is still to be done."""

ANSWER_WAIT_S: Final = 15.0
"""So long a caller waits for the proof; after that it comes to the audit."""

FIRST_PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 0.5
AUDIT_PAGE: Final = 1_000
PURGES_READ: Final = 200
OTHERS_S: Final = 30.0
"""So often a daemon looks for forgettings of others, and so long their daemon has to see to the journal's part."""
MEMMCP: Final = Provenance(agent="memmcp", tool="purge", trust=Trust.SYSTEM)

logger = logging.getLogger(__name__)


class Erasure:
    """``run`` finishes in the background what a caller did not wait for; one attempt runs at a time."""

    def __init__(
        self,
        journal: Journal,
        index: VectorIndex,
        copies: Copies,
        *,
        answer_wait_s: float = ANSWER_WAIT_S,
    ) -> None:
        self._journal = journal
        self._index_part = f"{INDEX}@{journal.node}" if journal.node else INDEX
        self._index = index
        self._copies = copies
        self._answer_wait_s = answer_wait_s
        self._windows: dict[MemoryId, tuple[frozenset[bytes], bool]] = {}
        self._latest: dict[str, AuditEntry] = {}
        self._is_known = False
        self._seen = Seq(0)
        self._waits_for = ""
        self._attempt: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()

    def remember(self, memory_id: MemoryId, windows: frozenset[bytes], *, is_whole: bool) -> None:
        """Keep what to look for when this memory is forgotten; call before the commit.

        ``is_whole``: the windows cover everything that it says.
        """
        self._windows[memory_id] = (windows, is_whole)

    def no_longer_knows(self, memory_id: MemoryId) -> None:
        """Take back ``remember``: the memory said something else by the time of the commit, or was not forgotten."""
        self._windows.pop(memory_id, None)

    def wake(self) -> None:
        """Tell the background that there is something to do."""
        self._woken.set()

    async def proof(self, seq: Seq) -> Proof:
        """Work on what is to be done until forgettings up to ``seq`` are out of every file, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._answer_wait_s):
                pause_s = FIRST_PAUSE_S
                while not self._has_reached(seq):
                    await self._attempted()
                    if self._has_reached(seq):
                        break
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, PAUSE_S_MAX)
        return await self._proof_of(seq)

    async def covering(self, entry: AuditEntry) -> list[AuditEntry]:
        """Return the purges that took the forgetting of this entry out of the files, oldest first."""
        found: list[AuditEntry] = []
        before: Seq | None = None
        while page := await self._journal.audit(action=AUDIT_PURGE, before=before, limit=AUDIT_PAGE):
            found += [each for each in page if each.seq > entry.seq and _covers(each, entry.seq)]
            before = page[-1].seq
            if before < entry.seq:
                break
        return list(reversed(found))

    async def run(self) -> None:
        """Finish what is to be done, now and whenever something is left to do; until cancelled."""
        try:
            while True:
                self._woken.clear()
                await self._attempted()
                if self._waits_for:
                    await asyncio.sleep(RETRY_S)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(OTHERS_S if self._journal.node else None):
                        await self._woken.wait()
        finally:
            if self._attempt is not None:
                self._attempt.cancel()

    async def _attempted(self) -> None:
        """Have one attempt made; whoever stops waiting for it does not stop it."""
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._try(), name="erasure")
        await asyncio.shield(self._attempt)

    async def _try(self) -> None:
        try:
            self._waits_for = await self._settle()
        except Unavailable as error:
            self._waits_for = error.message
        if self._waits_for:
            self._woken.set()

    async def _settle(self) -> str:
        """Do what can be done now; return what the rest waits for, empty when there is none. Raises: Unavailable."""
        await self._learn()
        fresh = await self._forgotten_after(self._through(JOURNAL))
        if fresh and not self._is_for_another(fresh):
            windows, is_whole = self._windows_of(fresh)
            await self._record(JOURNAL, fresh, await self._journal.purge(windows, is_whole=is_whole))
            for entry in fresh:
                if entry.memory_id is not None:
                    self._windows.pop(entry.memory_id, None)
        after = self._through(self._index_part)
        fresh = await self._forgotten_after(after)
        if not fresh:
            return ""
        waiting = await self._journal.outbox_of_forgotten(SINK_QDRANT, after=after)
        if waiting:
            return f"the index has still to take {waiting} entries of the outbox: memmcp outbox list"
        versions = {entry.memory_id: _versions(entry) for entry in fresh if entry.memory_id is not None}
        await self._record(self._index_part, fresh, await self._index.purge(versions))
        return ""

    async def _learn(self) -> None:
        """Read how far the parts have come: once, and again where other daemons see to them too."""
        if self._is_known and not self._journal.node:
            return
        for entry in reversed(await self._journal.audit(action=AUDIT_PURGE, limit=PURGES_READ)):
            self._latest[str(entry.detail.get("part"))] = entry
        self._is_known = True

    async def _forgotten_after(self, seq: Seq) -> list[AuditEntry]:
        """Return the forgettings after that seq, newest first."""
        found: list[AuditEntry] = []
        before: Seq | None = None
        limit = 1  # mostly there is nothing new
        while page := await self._journal.audit(action=AUDIT_FORGET, before=before, limit=limit):
            found += [entry for entry in page if entry.seq > seq]
            before, limit = page[-1].seq, AUDIT_PAGE
            if before <= seq:
                break
        return found

    def _is_for_another(self, fresh: Sequence[AuditEntry]) -> bool:
        """Tell whether all of it was committed by other daemons, and is seen here for the first time."""
        newest = fresh[0].seq
        if not self._journal.node or any(entry.memory_id in self._windows for entry in fresh):
            return False
        is_new, self._seen = newest > self._seen, newest
        return is_new

    def _windows_of(self, entries: Sequence[AuditEntry]) -> tuple[frozenset[bytes], bool]:
        """Return what to look for, and whether it is everything that the memories said."""
        known = [self._windows.get(entry.memory_id) for entry in entries if entry.memory_id is not None]
        remembered = [each for each in known if each is not None]
        is_whole = len(remembered) == len(known) and all(whole for _, whole in remembered)
        return frozenset().union(*(windows for windows, _ in remembered)), is_whole

    async def _record(self, part: str, entries: Sequence[AuditEntry], purge: Purge) -> None:
        if purge.residues:
            logger.error("%d pieces of forgotten memories are still in the files of the %s", purge.residues, part)
        detail: JsonObject = {
            "part": part,
            "from_seq": entries[-1].seq,
            "through_seq": entries[0].seq,
            "memories": len(entries),
            **{name: list(value) if isinstance(value, tuple) else value for name, value in asdict(purge).items()},
        }
        if part == JOURNAL:
            detail["copies"] = list(await self._copies.standing())
            detail["langfuse"] = await self._told_elsewhere(entries[-1].seq)
        [acknowledged] = await self._journal.commit([RecordAudit(AUDIT_PURGE, MEMMCP, detail=detail)])
        at_ns = acknowledged.known_at_ns
        entry = AuditEntry(acknowledged.seq, at_ns, AUDIT_PURGE, None, None, "", MEMMCP.agent, "", detail)
        self._latest[part] = entry

    def _through(self, part: str) -> Seq:
        entry = self._latest.get(part)
        return Seq(0) if entry is None else _seq(entry, "through_seq")

    def _has_reached(self, seq: Seq) -> bool:
        return self._is_known and all(self._through(part) >= seq for part in (JOURNAL, self._index_part))

    async def _proof_of(self, seq: Seq) -> Proof:
        found = {part: entry for part, entry in self._latest.items() if _seq(entry, "through_seq") >= seq}
        details = {part: entry.detail for part, entry in found.items()}
        named = await self._copies_named(details.get(JOURNAL))
        told = await self._told_elsewhere(seq)
        if any(detail.get("residues") for detail in details.values()):
            return Proof("residues", details.get(JOURNAL), details.get(self._index_part), named, told)
        waits_for = await self._waits_elsewhere(seq)
        if JOURNAL not in details or self._index_part not in details:
            waits_for = self._waits_for or "the work on the files goes on in the background"
        if waits_for:
            return Proof("pending", details.get(JOURNAL), details.get(self._index_part), named, told, waits_for)
        return Proof("proved", details[JOURNAL], details[self._index_part], named, told)

    async def _waits_elsewhere(self, seq: Seq) -> str:
        """Say what the indexes inside of other daemons have still to take of forgettings from that seq on."""
        if not self._journal.node:
            return ""
        waiting = {}
        for sink in await self._journal.outbox_stats():
            if sink.startswith(f"{SINK_QDRANT}@"):
                waiting[sink] = await self._journal.outbox_of_forgotten(sink, after=Seq(seq - 1))
        late = [f"{sink} has still to take {number} entries" for sink, number in waiting.items() if number]
        return f"the index of another daemon: {', '.join(late)}; it writes its purge into the audit" if late else ""

    async def _told_elsewhere(self, seq: Seq) -> str:
        """Return what becomes of the traces that told of what was forgotten from that seq on."""
        # The forgetting itself is done: that this cannot be looked up now must not turn it into an error.
        with contextlib.suppress(Unavailable):
            if SINK_LANGFUSE not in await self._journal.outbox_stats():
                return LANGFUSE_NOT_CONFIGURED
            if not await self._journal.outbox_of_forgotten(SINK_LANGFUSE, after=Seq(seq - 1)):
                return LANGFUSE_TOLD
        return LANGFUSE_WAITS

    async def _copies_named(self, detail: JsonObject | None) -> tuple[str, ...]:
        """Return the copies that stood when the journal was purged; while that is still to come, those that stand."""
        if detail is None:
            # The forgetting itself is done: that its copies cannot be looked up now must not turn it into an error.
            with contextlib.suppress(Unavailable):
                return await self._copies.standing()
            return ()
        copies = detail.get("copies")
        return tuple(map(str, copies)) if isinstance(copies, list) else ()


def _covers(purge: AuditEntry, seq: Seq) -> bool:
    return _seq(purge, "from_seq") <= seq <= _seq(purge, "through_seq")


def _seq(entry: AuditEntry, name: str) -> Seq:
    value = entry.detail.get(name)
    return Seq(value) if isinstance(value, int) else Seq(0)


def _versions(entry: AuditEntry) -> int:
    value = entry.detail.get("versions")
    return value if isinstance(value, int) else 1
