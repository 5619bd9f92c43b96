"""What a memory is: text with provenance, known from the moment its commit is durable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .identifiers import Json, MemoryId, Namespace, Seq, TrajectoryId

DEFAULT_NAMESPACE = Namespace("default")
NAMESPACE_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}(/[a-z0-9][a-z0-9_.-]{0,63}){0,3}$"
"""Lower-case segments joined by '/': ``team``, ``strategies/momentum``. No dots-only segment, no leading slash."""

RESERVED_NAMESPACES = ("trading", "memory_bank", "strategies/", "tasks", "alerts")
"""Written by the runtime only; an agent's write there is Refused. A trailing slash reserves the whole subtree."""


IMPORTANCE_DEFAULT = 50
IMPORTANCE_MAX = 100


class Trust(StrEnum):
    """Who vouches for the text. It is data for a model at every level, never an instruction."""

    SYSTEM = "system"  # written by this server's own runtime
    AGENT = "agent"  # written by a connected agent or a person through one
    UNTRUSTED = "untrusted"  # market text, model output, web


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a memory came from. Empty strings mean "not said"."""

    agent: str = ""
    session: str = ""
    tool: str = ""
    source: str = ""
    trust: Trust = Trust.AGENT


@dataclass(frozen=True, slots=True)
class MemoryDraft:
    """A memory before the journal has it: already validated, not yet durable.

    ``key`` is the idempotency key, given by the caller or derived from the content, scoped by agent and namespace.
    ``embed`` false keeps a text out of the dense index (single steps, snapshots); it is still found by its words.
    ``id`` is given by an import, which keeps the ids of what it brings, and where the answer may have to be given
    before the commit: where there is, or was, such a memory already, it stays as it is. ``is_new_id``: the id was made
    for this draft a moment ago, so that nobody has to look whether it is there.
    """

    content: str
    key: str
    ts_event_ns: int
    namespace: Namespace = DEFAULT_NAMESPACE
    kind: str = "note"
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    trajectory_id: TrajectoryId | None = None
    expires_at_ns: int | None = None
    provenance: Provenance = field(default_factory=Provenance)
    embed: bool = True
    importance: int = IMPORTANCE_DEFAULT
    pinned: bool = False
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None
    cites: tuple[MemoryId, ...] = ()
    supersedes: tuple[MemoryId, ...] = ()
    id: MemoryId | None = None
    is_new_id: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """One version of a memory as the journal holds it.

    ``known_at_ns`` is the commit time (what ``as_of`` compares), ``ts_event_ns`` when it happened.
    ``superseded_at_ns`` is the commit time of what took its place: the next version, or another memory. None: current.
    ``valid_from_ns`` and ``valid_to_ns`` bound when it holds in the world (from inclusive, to exclusive; None: open).
    ``thread`` names the order of reading it belongs to, see ``threads``; ``position``, the seq of its first version,
    is its place there. A pinned memory neither expires, fades nor is
    merged.
    """

    id: MemoryId
    seq: Seq
    version: int
    namespace: Namespace
    kind: str
    content: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Json]
    provenance: Provenance
    ts_event_ns: int
    known_at_ns: int
    superseded_at_ns: int | None
    expires_at_ns: int | None
    trajectory_id: TrajectoryId | None
    embed: bool
    importance: int = IMPORTANCE_DEFAULT
    pinned: bool = False
    valid_from_ns: int | None = None
    valid_to_ns: int | None = None
    thread: str | None = None
    position: int = 0

    def holds_at(self, moment_ns: int) -> bool:
        """Say whether it is valid in the world at that time."""
        return (self.valid_from_ns is None or self.valid_from_ns <= moment_ns) and (
            self.valid_to_ns is None or self.valid_to_ns > moment_ns
        )

    def is_expired_at(self, moment_ns: int) -> bool:
        return self.expires_at_ns is not None and self.expires_at_ns <= moment_ns and not self.pinned


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Conditions that a memory must meet, all of them; None or empty means "any".

    A namespace ending in '/' covers its subtree, the root included; ``hidden`` are such patterns that nothing may come
    from. Times bound ``ts_event_ns`` (since inclusive, until exclusive); ``as_of_ns`` keeps only versions known at that
    time and not superseded by then (None: now); ``valid_at_ns`` keeps what holds in the world at that time.
    """

    namespace: str | None = None
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    agent: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    as_of_ns: int | None = None
    trajectory_id: TrajectoryId | None = None
    valid_at_ns: int | None = None
    hidden: tuple[str, ...] = ()

    def admits(self, memory: Memory) -> bool:
        """Say whether this version meets every condition."""
        return (
            (self.namespace is None or namespace_covers(self.namespace, memory.namespace))
            and (not self.kinds or memory.kind in self.kinds)
            and all(tag in memory.tags for tag in self.tags)
            and (self.agent is None or memory.provenance.agent == self.agent)
            and (self.since_ns is None or memory.ts_event_ns >= self.since_ns)
            and (self.until_ns is None or memory.ts_event_ns < self.until_ns)
            and (self.trajectory_id is None or memory.trajectory_id == self.trajectory_id)
            and (self.valid_at_ns is None or memory.holds_at(self.valid_at_ns))
            and not any(namespace_covers(pattern, memory.namespace) for pattern in self.hidden)
            and was_current(memory, self.as_of_ns)
        )


def namespace_covers(pattern: str, namespace: str) -> bool:
    """Say whether the namespace is the pattern, or lies at or under it where the pattern ends in '/'."""
    if not pattern.endswith("/"):
        return namespace == pattern
    return namespace == pattern[:-1] or namespace.startswith(pattern)


def is_reserved(namespace: str) -> bool:
    """Say whether only the runtime (and an operator's import) writes there."""
    return any(namespace_covers(reserved, namespace) for reserved in RESERVED_NAMESPACES)


def was_current(memory: Memory, as_of_ns: int | None) -> bool:
    """Say whether this version was known and not yet superseded at that time (None: now)."""
    if as_of_ns is None:
        return memory.superseded_at_ns is None
    if memory.known_at_ns > as_of_ns:
        return False
    return memory.superseded_at_ns is None or memory.superseded_at_ns > as_of_ns


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The word that a memory is durable. ``duplicate``: the key had been seen, nothing was written now.

    ``is_local``: it is durable on this machine alone and goes to the journal as soon as that can be reached; until then
    it has no place in the journal's order (``seq`` 0), and ``known_at_ns`` is the time at which it was taken in.
    """

    id: MemoryId
    seq: Seq
    version: int
    known_at_ns: int
    duplicate: bool = False
    is_local: bool = False
