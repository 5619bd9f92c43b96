"""What happens to a memory after it was written: commands, links between memories, marks on them, and the audit.

A memory is current when its last version has no ``superseded_at_ns``. It stops being current when another memory
supersedes it or when it is merged into one; ``RestoreMemory`` makes it current again by a new version. Only
``ForgetMemory`` takes anything away, and leaves an audit entry without content.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from .identifiers import Json, JsonObject, MemoryId, Namespace, Seq, TrajectoryId
from .memory import Memory, Provenance

ClearableField = Literal["expires_at", "valid_from", "valid_to"]


class LinkKind(StrEnum):
    """From the first memory to the second."""

    SUPERSEDES = "supersedes"  # the newer fact to the one it replaces
    MERGED = "merged"  # the memory that was kept to its near-duplicate
    CITES = "cites"  # a digest, decision or step to what it rests on
    CONTRADICTS = "contradicts"  # either to the other: they cannot both hold


class MarkKind(StrEnum):
    CREDIT = "credit"  # value in thousandths: what came of a decision that cited the memory
    CONFIRMED = "confirmed"  # somebody checked that it still holds


@dataclass(frozen=True, slots=True)
class UpdateMemory:
    """Command: append the next version. None keeps what is there; ``cleared`` names what becomes empty.

    ``expected_version``: refuse when the current version is another one (somebody else was faster).
    """

    id: MemoryId
    key: str
    provenance: Provenance
    content: str | None = None
    kind: str | None = None
    tags: tuple[str, ...] | None = None
    metadata: Mapping[str, Json] | None = None
    ts_event_ns: int | None = None
    importance: int | None = None
    pinned: bool | None = None
    expires_at_ns: int | None = None
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None
    cleared: frozenset[ClearableField] = frozenset()
    supersedes: tuple[MemoryId, ...] = ()
    cites: tuple[MemoryId, ...] = ()
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class MergeMemory:
    """Command: a near-duplicate stops being current in favour of ``into``. Repeating it changes nothing."""

    id: MemoryId
    into: MemoryId
    reason: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class RestoreMemory:
    """Command: make a superseded or merged memory current again, as a new version with its last text."""

    id: MemoryId
    reason: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ForgetMemory:
    """Command: delete every version of a memory; of a trajectory its head too. Repeating it changes nothing."""

    id: MemoryId
    reason: str
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class LinkMemories:
    """Command: say that two memories belong together; one that is superseded by it stops being current.

    ``to_version`` None: what is the last version now. Repeating it changes nothing.
    """

    kind: LinkKind
    from_id: MemoryId
    to_id: MemoryId
    provenance: Provenance
    trajectory_id: TrajectoryId | None = None
    to_version: int | None = None


@dataclass(frozen=True, slots=True)
class MarkMemory:
    """Command: note something about a memory. (memory, kind, source) is unique: a repeat changes nothing."""

    id: MemoryId
    kind: MarkKind
    source: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Command: what holds in a namespace (or a subtree, ending in '/'); ``policy`` None takes it back."""

    namespace: str
    policy: JsonObject | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class RecordAudit:
    """Command: note what was done, without content. ``detail`` is JSON of ids, counts and places.

    ``about`` names the memory that it was done to, None: no single one.
    """

    action: str
    provenance: Provenance
    reason: str = ""
    detail: JsonObject = field(default_factory=dict)
    about: MemoryId | None = None


LifecycleCommand = (
    UpdateMemory | MergeMemory | RestoreMemory | ForgetMemory | LinkMemories | MarkMemory | SetPolicy | RecordAudit
)


@dataclass(frozen=True, slots=True)
class Link:
    """``to_version`` is what was current when the link was made; ``ended_at_ns`` None: it still holds."""

    kind: LinkKind
    from_id: MemoryId
    to_id: MemoryId
    to_version: int
    trajectory_id: TrajectoryId | None
    known_at_ns: int
    ended_at_ns: int | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark as it is kept; see ``MarkMemory``."""

    memory_id: MemoryId
    kind: MarkKind
    source: str
    value: int
    known_at_ns: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about a memory beside its text. ``credit`` is in thousandths; ``confirmed_at_ns`` the last time."""

    credit: int = 0
    wins: int = 0
    losses: int = 0
    confirmed_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Memories as they were known at a time, those before and after each in its thread, and how all of them stand.

    ``memories`` holds the neighbours too; ``before`` and ``after`` map an id to its neighbour's. ``links`` are those
    that hold now, from or to any of the memories, oldest first.
    """

    memories: Mapping[MemoryId, Memory]
    before: Mapping[MemoryId, MemoryId]
    after: Mapping[MemoryId, MemoryId]
    standings: Mapping[MemoryId, Standing]
    links: tuple[Link, ...] = ()

    def credit(self, memory_id: MemoryId) -> int:
        """Return the credit of a memory in thousandths, 0 where nobody gave it any."""
        standing = self.standings.get(memory_id)
        return standing.credit if standing is not None else 0


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done. ``memory_id`` None: it was about no single memory. Never holds content."""

    seq: Seq
    at_ns: int
    action: str
    memory_id: MemoryId | None
    namespace: Namespace | None
    kind: str
    agent: str
    reason: str
    detail: JsonObject


AUDIT_FORGET = "forget"
AUDIT_MERGE = "merge"
AUDIT_RESTORE = "restore"
AUDIT_POLICY = "policy"
AUDIT_PURGE = "purge"  # what was done, and found, so that nothing forgotten is in a file any more
AUDIT_BACKUP = "backup"  # a copy of the journal was made at a path
AUDIT_EXPORT = "export"  # a file of lines was written at a path
AUDIT_CONTRADICT = "contradict"
AUDIT_LOGIN = "login"  # somebody logged in on the page, or all were logged out
AUDIT_DESK = "desk"  # what an agent or the operator had the desk do, or was refused
AUDIT_MIGRATE = "migrate"  # the journal was moved here from a file that is still at its path


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the journal's order: a version that was written, or something that was done (exactly one is set)."""

    seq: Seq
    memory: Memory | None = None
    audit: AuditEntry | None = None
