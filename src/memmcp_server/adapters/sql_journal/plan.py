"""What a batch will write: built in memory, unit by unit, from what was looked up before; a unit can be taken back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import LinkKind
from memmcp_server.domain.memory import Acknowledgement, Provenance
from memmcp_server.domain.outbox import SinkSpec

from .prepare import Text
from .statements import Row

DUE_AT_ONCE = 0
"""Not the commit time, which never goes back: after the clock was set back it would be an hour ahead."""

EffectName = Literal["insert_links", "end_links", "insert_marks", "write_policy", "delete_policy"]
"""Statements whose order among each other matters."""

ID_PLACE, VERSION_PLACE, CONTENT_PLACE = 1, 2, 5
KIND_COLUMN = 1
"""Of ``Text.columns``."""


class Key(NamedTuple):
    """A row of ``keys`` without its digest."""

    fingerprint: bytes
    memory_id: MemoryId
    version: int
    seq: Seq
    known_at_ns: int

    def repeated(self) -> Acknowledgement:
        return Acknowledgement(self.memory_id, self.seq, self.version, self.known_at_ns, duplicate=True)


class Head(NamedTuple):
    """``version`` is that of the trajectory's own memory."""

    namespace: str
    tags: str
    metadata: str
    is_closed: bool
    outcome: str | None
    version: int


class Last(NamedTuple):
    """The last version of a memory, a row of ``memories`` in the table's order."""

    seq: Seq
    id: MemoryId
    version: int
    namespace: str
    kind: str
    content: str
    tags: str
    metadata: str
    agent: str
    session: str
    tool: str
    source: str
    trust: str
    ts_event_ns: int
    known_at_ns: int
    superseded_at_ns: int | None
    expires_at_ns: int | None
    trajectory_id: TrajectoryId | None
    embed: bool
    importance: int
    pinned: bool
    valid_from_ns: int | None
    valid_to_ns: int | None
    thread: str | None
    position: Seq

    @property
    def is_current(self) -> bool:
        return self.superseded_at_ns is None

    def repeated(self) -> Acknowledgement:
        return Acknowledgement(self.id, self.seq, self.version, self.known_at_ns, duplicate=True)


class Follower(NamedTuple):
    """The memory after another one in their thread; its words hold those of the one before."""

    id: MemoryId
    version: int
    seq: Seq


@dataclass(slots=True)
class Plan:
    """What the batch will write, and what the units before have changed. Lists hold rows in column order.

    ``lasts`` has the last version of every memory that a command names and that exists; ``forgotten`` those that were.
    ``cited`` maps a trajectory to what it and its steps rest on.
    """

    seq: int
    outbox_id: int
    known_at_ns: int
    memories_count: int
    id_head: str
    id_tail: str
    sinks: tuple[SinkSpec, ...]
    content_in: Callable[[MemoryId, int], str]
    keys: dict[bytes, Key] = field(default_factory=dict)
    heads: dict[TrajectoryId, Head] = field(default_factory=dict)
    lasts: dict[MemoryId, Last] = field(default_factory=dict)
    followers: dict[MemoryId, Follower] = field(default_factory=dict)
    forgotten: dict[MemoryId, Acknowledgement] = field(default_factory=dict)
    cited: dict[TrajectoryId, tuple[MemoryId, ...]] = field(default_factory=dict)
    taken_ids: frozenset[str] = frozenset()
    memories: list[Row] = field(default_factory=list)
    key_rows: list[Row] = field(default_factory=list)
    trajectories: list[Row] = field(default_factory=list)
    snapshots: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    superseded: list[Row] = field(default_factory=list)
    closed: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    effects: list[tuple[EffectName, Row]] = field(default_factory=list)
    deleted: list[MemoryId] = field(default_factory=list)
    undo: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not any(self._lists())

    def content_of(self, memory_id: MemoryId, version: int) -> str:
        """Return the text of a version that is planned or stored."""
        planned = (
            str(row[CONTENT_PLACE])
            for row in self.memories
            if row[ID_PLACE] == memory_id and row[VERSION_PLACE] == version
        )
        return next(planned, None) or self.content_in(memory_id, version)

    def next_id(self) -> MemoryId:
        """Return the id of the row that gets the next seq: a UUID of version 7, so that ids sort by commit time.

        Neighbours in time are then neighbours in the index by id, which random ids would scatter over all its pages.
        The last part is the instance's: journals that are united by an import keep their ids apart.
        """
        seq = self.seq + 1
        return MemoryId(f"{self.id_head}{seq >> 12 & 0xFFF:03x}-{0x8000 | seq & 0xFFF:04x}{self.id_tail}")

    def append(self, memory_id: MemoryId, text: Text, trajectory_id: TrajectoryId | None) -> Acknowledgement:
        """Plan the first version of a memory with an outbox entry for every sink."""
        self.memories_count += 1
        return self._append(memory_id, 1, text, trajectory_id, self.seq + 1)

    def append_next(self, last: Last, text: Text) -> Acknowledgement:
        """Plan the version after ``last``; it keeps its place in its thread."""
        acknowledged = self._append(last.id, last.version + 1, text, last.trajectory_id, last.position)
        times = (acknowledged.known_at_ns, None, text.expires_at_ns, last.trajectory_id, text.embed)
        row = (acknowledged.seq, last.id, acknowledged.version, *text.columns, *times, *text.more, last.position)
        self.set(self.lasts, last.id, Last(*row))
        return acknowledged

    def append_close(self, memory_id: MemoryId, version: int, text: Text) -> Acknowledgement:
        """Plan the last version of a trajectory's own memory, which stands in no thread."""
        return self._append(memory_id, version, text, None, self.seq + 1)

    def _append(
        self, memory_id: MemoryId, version: int, text: Text, trajectory_id: TrajectoryId | None, position: int
    ) -> Acknowledgement:
        self.seq += 1
        seq, known_at_ns = self.seq, self.known_at_ns
        times = (known_at_ns, None, text.expires_at_ns, trajectory_id, text.embed)
        self.memories.append((seq, memory_id, version, *text.columns, *times, *text.more, position))
        self.queue(memory_id, version, seq, str(text.columns[KIND_COLUMN]))
        return Acknowledgement(memory_id, Seq(seq), version, known_at_ns)

    def queue(self, memory_id: MemoryId, version: int, seq: int, kind: str) -> None:
        """Plan an outbox entry for every sink that wants this kind."""
        for sink in self.sinks:
            if sink.wants(kind):
                self._queue(sink, memory_id, version, seq)

    def queue_in_thread(self, follower: Follower) -> None:
        """Plan an outbox entry for every sink that keeps words of what stands before a memory."""
        for sink in self.sinks:
            if sink.reads_threads:
                self._queue(sink, follower.id, follower.version, follower.seq)

    def _queue(self, sink: SinkSpec, memory_id: MemoryId, version: int, seq: int) -> None:
        self.outbox_id += 1
        entry = (self.outbox_id, sink.name, memory_id, version, seq, self.known_at_ns, DUE_AT_ONCE, 0, "", False)
        self.outbox.append(entry)

    def link(self, kind: LinkKind, from_id: str, to: Last, trajectory_id: TrajectoryId | None = None) -> None:
        row = (from_id, kind.value, to.id, to.version, trajectory_id, self.known_at_ns, None)
        self.effects.append(("insert_links", row))
        if kind is LinkKind.CITES and trajectory_id is not None:
            self.set(self.cited, trajectory_id, (*self.cited.get(trajectory_id, ()), to.id))

    def note(self, action: str, by: Provenance, reason: str, about: Last | None = None, detail: str = "{}") -> Seq:
        """Plan an audit entry, which takes a place in the journal's order; return its seq."""
        self.seq += 1
        whose = (None, None, "") if about is None else (about.id, Namespace(about.namespace), about.kind)
        self.audit.append((self.seq, self.known_at_ns, action, *whose, by.agent, reason, detail))
        return Seq(self.seq)

    def set(self, mapping: dict[Any, Any], name: Any, value: Any) -> None:
        """Change a mapping so that ``take_back`` can undo it. None removes the entry."""
        self.undo.append((mapping, name, mapping.get(name)))
        if value is None:
            mapping.pop(name, None)
        else:
            mapping[name] = value

    def mark(self) -> tuple[int, ...]:
        """Return where the plan stands before a unit, for ``take_back``."""
        self.undo.clear()
        return (self.seq, self.outbox_id, self.memories_count, *map(len, self._lists()))

    def take_back(self, mark: tuple[int, ...]) -> None:
        self.seq, self.outbox_id, self.memories_count, *lengths = mark
        for rows, length in zip(self._lists(), lengths, strict=True):
            del rows[length:]
        for mapping, name, before in reversed(self.undo):
            if before is None:
                mapping.pop(name, None)
            else:
                mapping[name] = before

    def _lists(self) -> tuple[list[Any], ...]:
        return (
            self.memories,
            self.key_rows,
            self.trajectories,
            self.snapshots,
            self.outbox,
            self.superseded,
            self.closed,
            self.audit,
            self.effects,
            self.deleted,
        )
