"""Writes that were taken in on this machine while the journal's server was away, and are still to be carried to it."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import NamedTuple

from .caller import Caller
from .identifiers import JsonObject, MemoryId
from .memory import MemoryDraft
from .threads import thread_of

SINK_JOURNAL = "journal"
"""How the way from the spool to the journal is called among the queues."""

SPOOL_ID_BASE = 10**12
"""Ids of spooled writes begin beyond this, so that they are told from those of the journal's outbox."""

TEXT_SHOWN_MAX = 2_000


class Scope(NamedTuple):
    """Where an idempotency key holds."""

    namespace: str
    agent: str
    key: str


def scope_of(draft: MemoryDraft) -> Scope:
    return Scope(draft.namespace, draft.provenance.agent, draft.key)


def fingerprint_of(draft: MemoryDraft) -> bytes:
    """Return a digest of what a repeat under the same key has to say again."""
    said = [draft.kind, draft.content, draft.tags, dict(draft.metadata), draft.trajectory_id or ""]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()


def thread_name(draft: MemoryDraft) -> str | None:
    return thread_of(draft.trajectory_id, draft.namespace, draft.provenance, draft.metadata)


def new_memory_id(now_ns: int, chance: int) -> MemoryId:
    """Return a UUID of version 7 out of 74 random bits: neighbours in time are neighbours in the index by id."""
    ms, low = now_ns // 1_000_000 & 0xFFFF_FFFF_FFFF, 1 << 63 | chance & (1 << 62) - 1
    digits = f"{ms:012x}7{chance >> 62 & 0xFFF:03x}{low:016x}"
    return MemoryId(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")


@dataclass(frozen=True, slots=True)
class SpooledWrite:
    """One call's memories, which are committed together or not at all. Every draft has its id.

    ``is_tried``: it was sent to the server, which may hold it already. ``dead``: the journal refused it in a way that
    no repeat mends (``last_error``); it waits for the operator. ``id`` 0: not kept yet.
    """

    drafts: tuple[MemoryDraft, ...]
    caller: Caller
    at_ns: int
    is_tried: bool = False
    id: int = 0
    last_error: str = ""
    dead: bool = False

    @property
    def memory_ids(self) -> tuple[MemoryId, ...]:
        return tuple(draft.id for draft in self.drafts if draft.id is not None)

    def document(self) -> JsonObject:
        """Return it as an entry of the outbox, with what it says: it can be read nowhere else."""
        first = self.drafts[0]
        return {
            "id": self.id,
            "sink": SINK_JOURNAL,
            "memory_id": self.memory_ids[0],
            "memories": len(self.drafts),
            "version": 1,
            "seq": 0,
            "attempts": int(self.is_tried or self.dead),
            "last_error": self.last_error,
            "dead": self.dead,
            "namespace": first.namespace,
            "agent": first.provenance.agent,
            "key": first.key,
            "content": first.content[:TEXT_SHOWN_MAX],
        }


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """``pending`` and ``dead`` count calls, ``memories`` what they hold together, ``size_bytes`` what it takes.

    ``oldest_ns``: when the oldest that is still to be carried was taken in. ``delivered``: calls carried so far.
    """

    pending: int = 0
    dead: int = 0
    memories: int = 0
    size_bytes: int = 0
    oldest_ns: int | None = None
    delivered: int = 0


@dataclass(slots=True)
class SpoolContents:
    """What is on its way, by what a later write may have to stand behind: key, thread, memory."""

    _by_scope: dict[Scope, tuple[int, bytes, MemoryId]] = field(default_factory=dict)
    _threads: dict[str, set[int]] = field(default_factory=dict)
    _memories: dict[MemoryId, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._memories)

    def add(self, write: SpooledWrite) -> None:
        for draft in write.drafts:
            if draft.id is None:
                continue
            self._by_scope[scope_of(draft)] = (write.id, fingerprint_of(draft), draft.id)
            self._memories[draft.id] = write.id
            if (thread := thread_name(draft)) is not None:
                self._threads.setdefault(thread, set()).add(write.id)

    def remove(self, write: SpooledWrite) -> None:
        for draft in write.drafts:
            scope, thread = scope_of(draft), thread_name(draft)
            if scope in self._by_scope and self._by_scope[scope][0] == write.id:
                del self._by_scope[scope]
            if draft.id is not None and self._memories.get(draft.id) == write.id:
                del self._memories[draft.id]
            if thread is not None and thread in self._threads:
                self._threads[thread].discard(write.id)
                if not self._threads[thread]:
                    del self._threads[thread]

    def known(self, draft: MemoryDraft) -> tuple[bytes, MemoryId] | None:
        """Return fingerprint and id of what stands under the draft's key."""
        found = self._by_scope.get(scope_of(draft))
        return None if found is None else found[1:]

    def holds(self, memory_id: str) -> bool:
        return MemoryId(memory_id) in self._memories

    def holds_thread(self, thread: str) -> bool:
        return thread in self._threads

    def is_before(self, draft: MemoryDraft) -> bool:
        """Say whether something is on its way that the journal must have before the draft.

        That is what has its key, what stands before it in its thread, and what it cites or supersedes. All else has no
        order that a reader could miss.
        """
        thread = thread_name(draft)
        return (
            scope_of(draft) in self._by_scope
            or (thread is not None and thread in self._threads)
            or any(self.holds(each) for each in (*draft.cites, *draft.supersedes))
        )
