"""Near-duplicates become one, contradictions are tied together: a reader of the journal's changes, behind the index.

A new memory is compared with what lies nearest to it in its namespace. Where vectors and words agree that both say the
same (``domain.likeness``), the newer one makes way for the older, which counts as confirmed; audit and link remain, and
``memmcp restore`` takes it back. Where they say contrary things about one matter, a link ties them, so that a search
that finds one shows the other. Steps of trajectories, pinned memories and records under a hold are left alone.
"""

import logging
from typing import Literal

import anyio

from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.lifecycle import (
    AUDIT_CONTRADICT,
    LinkKind,
    LinkMemories,
    MarkKind,
    MarkMemory,
    MergeMemory,
    RecordAudit,
)
from memmcp_server.domain.likeness import compare
from memmcp_server.domain.memory import Memory, MemoryFilter, Provenance
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.errors import IndexUnavailable, MemoryServerError, NotFound, Unavailable
from memmcp_server.ports import Clock, Journal, VectorIndex

from .policies import Policies

CURSOR = "merging"
ROWS_MAX = 64
NEAREST_MAX = 5
CONTRARY_COSINE_MIN = 0.8
POLL_S = 15.0
RETRY_S = 1.0
INDEX_PATIENCE_S = 60.0
"""So long a memory is waited for that the index has not got yet; then it is passed over."""

MERGER = Provenance(agent="memmcp", tool="merging")

_log = logging.getLogger(__name__)

Verdict = Literal["merged", "contrary", "alone", "waiting"]


class Merging:
    """One reader with a durable cursor; after a restart it goes on where it was."""

    def __init__(self, journal: Journal, index: VectorIndex, clock: Clock, policies: Policies) -> None:
        self._journal = journal
        self._index = index
        self._clock = clock
        self._policies = policies
        self._after: Seq | None = None
        self._known = Seq(0)
        """Up to where the journal was committed before it was read last."""

    async def run(self) -> None:
        """Follow the journal until cancelled."""
        while True:
            try:
                await self._round()
            except Unavailable as problem:
                _log.debug("merging pauses: %s", problem.message)
                await anyio.sleep(RETRY_S)

    async def _round(self) -> None:
        """Look at the changes since the last round, or wait for some."""
        if self._after is None:
            kept = await self._journal.cursor(CURSOR)
            # A journal that was filled before there was any merging is left as it is.
            self._after = await self._journal.horizon() if kept is None else kept
            await self._journal.save_cursor(CURSOR, self._after)
        changes = await self._journal.changes(self._after, limit=ROWS_MAX)
        if not changes:
            # Telemetry has places in the order too, and would end the wait at once again and again.
            self._after = max(self._after, self._known)
            self._known = await self._journal.wait_for_commit(self._after, POLL_S)
            return
        book = await self._policies.book()
        for change in changes:
            if change.memory is not None:
                await self._look(change.memory, book)
        self._after = changes[-1].seq
        await self._journal.save_cursor(CURSOR, self._after)

    async def _look(self, memory: Memory, book: PolicyBook) -> None:
        deadline_s = self._clock.monotonic_s() + INDEX_PATIENCE_S
        while await self.settle(memory, book) == "waiting":
            if self._clock.monotonic_s() >= deadline_s:
                _log.info("memory %s is not in the index yet; it is not compared with others", memory.id)
                return
            await anyio.sleep(RETRY_S)

    async def settle(self, memory: Memory, book: PolicyBook) -> Verdict:
        """Compare a memory with what lies nearest to it, and act on it.

        Raises: JournalBusy, JournalUnavailable.
        """
        threshold = book.of(memory.namespace).merge_cosine or 0.0
        if not _is_comparable(memory, book) or not threshold:
            return "alone"
        current = await self._journal.memory(memory.id)
        if current is None or current.version != memory.version:
            return "alone"
        where = MemoryFilter(namespace=memory.namespace, kinds=(memory.kind,))
        try:
            near = await self._index.similar(memory.id, memory.version, where, limit=NEAREST_MAX)
        except IndexUnavailable:
            return "waiting"
        if near is None:
            return "waiting" if await self._is_on_its_way() else "alone"
        others = {each.id: each for each in await self._journal.memories([hit.memory_id for hit in near])}
        for hit in near:
            other = others.get(hit.memory_id)
            if other is None or not _is_comparable(other, book) or other.position >= memory.position:
                continue
            likeness = compare(memory.content, other.content)
            cosine = hit.dense or 0.0
            if likeness == "same" and cosine >= threshold and _agree(memory, other):
                return await self._merge(memory, other, cosine)
            if likeness == "contrary" and cosine >= CONTRARY_COSINE_MIN:
                return await self._tie(memory, other)
        return "alone"

    async def _is_on_its_way(self) -> bool:
        stats = (await self._journal.outbox_stats()).get(SINK_QDRANT)
        return stats is not None and stats.pending > 0

    async def _merge(self, memory: Memory, other: Memory, cosine: float) -> Verdict:
        reason = f"says the same as {other.id} (cosine {cosine:.3f})"
        confirmed = MarkMemory(other.id, MarkKind.CONFIRMED, f"merged:{memory.id}")
        try:
            await self._journal.commit([MergeMemory(memory.id, other.id, reason, MERGER), confirmed])
        except NotFound:
            return "alone"  # one of them was forgotten meanwhile
        except MemoryServerError as problem:
            if problem.retryable:
                raise
            _log.info("memory %s is not merged: %s", memory.id, problem.message)
            return "alone"
        return "merged"

    async def _tie(self, memory: Memory, other: Memory) -> Verdict:
        links = await self._journal.links([memory.id])
        if any(link.kind is LinkKind.CONTRADICTS and other.id in (link.from_id, link.to_id) for link in links):
            return "contrary"
        # The entry gives the find a place in the journal's order: whoever wrote either of them is told.
        noted = RecordAudit(AUDIT_CONTRADICT, MERGER, detail={"with": other.id}, about=memory.id)
        try:
            await self._journal.commit([LinkMemories(LinkKind.CONTRADICTS, memory.id, other.id, MERGER), noted])
        except NotFound:
            return "alone"
        return "contrary"


def _is_comparable(memory: Memory, book: PolicyBook) -> bool:
    return (
        memory.embed
        and memory.trajectory_id is None
        and memory.kind != "trajectory"
        and memory.superseded_at_ns is None
        and not memory.pinned
        and not book.of(memory.namespace).holds
    )


def _agree(memory: Memory, other: Memory) -> bool:
    """Say whether nothing but the text would be lost: tags, facts and times of the newer are those of the older."""
    return (
        set(memory.tags) <= set(other.tags)
        and dict(memory.metadata) == dict(other.metadata)
        and memory.provenance.trust == other.provenance.trust
        and (memory.valid_from_ns, memory.valid_to_ns) == (other.valid_from_ns, other.valid_to_ns)
        and memory.expires_at_ns == other.expires_at_ns
        and memory.importance <= other.importance
    )
