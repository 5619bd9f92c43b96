"""A batch of units inside of one transaction: look up once, plan in memory, insert in bulk.

A unit that may not be applied (a conflict, an unknown trajectory) leaves no row and fails alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection

from memmcp_server.domain.identifiers import MemoryId, Seq, TrajectoryId
from memmcp_server.domain.memory import Acknowledgement
from memmcp_server.errors import IdempotencyConflict, InvalidInput, JournalUnavailable, MemoryServerError, NotFound

from .prepare import (
    Prepared,
    PreparedClose,
    PreparedMemory,
    PreparedOpen,
    PreparedSnapshot,
    Text,
    closing_text,
    decode_object,
)
from .statements import Row, Statements, execute_rows, look_up
from .writer import Outcome, Work

KEYS_BY_DIGEST = "SELECT digest, fingerprint, memory_id, version, seq, known_at_ns FROM keys WHERE digest"
TRAJECTORIES_BY_ID = (
    "SELECT t.id, t.namespace, t.tags, t.metadata, t.closed_at_ns IS NOT NULL, t.outcome, m.version "
    "FROM trajectories t JOIN memories m ON m.id = t.id AND m.superseded_at_ns IS NULL WHERE t.id"
)
DUE_AT_ONCE = 0
"""Not the commit time, which never goes back: after the clock was set back it would be an hour ahead."""

CONTENTS_BY_ID = "SELECT version, content FROM memories WHERE id"
MEMORIES_BY_ID = "SELECT id FROM memories WHERE version = 1 AND id"


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


@dataclass(slots=True)
class Plan:
    """What the batch will write, and what the units before have changed. Lists hold rows in column order."""

    seq: int
    outbox_id: int
    known_at_ns: int
    memories_count: int
    id_head: str
    id_tail: str
    sinks: tuple[str, ...]
    content_in: Callable[[MemoryId, int], str]
    keys: dict[bytes, Key] = field(default_factory=dict)
    heads: dict[TrajectoryId, Head] = field(default_factory=dict)
    taken_ids: frozenset[str] = frozenset()
    memories: list[Row] = field(default_factory=list)
    key_rows: list[Row] = field(default_factory=list)
    trajectories: list[Row] = field(default_factory=list)
    snapshots: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    superseded: list[Row] = field(default_factory=list)
    closed: list[Row] = field(default_factory=list)
    undo: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)

    def content_of(self, memory_id: MemoryId, version: int) -> str:
        """Return the text of a version that is planned or stored."""
        planned = (str(row[5]) for row in self.memories if row[1] == memory_id and row[2] == version)
        return next(planned, None) or self.content_in(memory_id, version)

    def next_id(self) -> MemoryId:
        """Return the id of the row that gets the next seq: a UUID of version 7, so that ids sort by commit time.

        Neighbours in time are then neighbours in the index by id, which random ids would scatter over all its pages.
        The last part is the instance's: journals that are united by an import keep their ids apart.
        """
        seq = self.seq + 1
        return MemoryId(f"{self.id_head}{seq >> 12 & 0xFFF:03x}-{0x8000 | seq & 0xFFF:04x}{self.id_tail}")

    def set(self, mapping: dict[Any, Any], name: Any, value: Any) -> None:
        """Change a mapping so that ``take_back`` can undo it."""
        self.undo.append((mapping, name, mapping.get(name)))
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
                del mapping[name]
            else:
                mapping[name] = before

    def _lists(self) -> tuple[list[Row], ...]:
        return (
            self.memories,
            self.key_rows,
            self.trajectories,
            self.snapshots,
            self.outbox,
            self.superseded,
            self.closed,
        )


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies batches. ``now_ns`` is read once per batch: what is committed together was known together."""

    statements: Statements
    sinks: tuple[str, ...]
    now_ns: Callable[[], int]

    def apply(self, connection: Connection, batch: Sequence[Work]) -> list[Outcome]:
        """Write what the batch asks for; return an outcome per unit: acknowledgements, a job's result, or an error."""
        commands = [command for work in batch if isinstance(work.payload, list) for command in work.payload]
        plan = self._planned(connection, commands)
        outcomes: list[Outcome] = [
            _plan_unit(plan, work.payload) if isinstance(work.payload, list) else None for work in batch
        ]
        self._write(connection, plan)
        for position, work in enumerate(batch):
            if not isinstance(work.payload, list):
                outcomes[position] = work.payload(connection)
        return outcomes

    def _planned(self, connection: Connection, commands: Sequence[Prepared]) -> Plan:
        """Look up what the commands depend on. The head is read first: on PostgreSQL that is the lock."""
        row = connection.exec_driver_sql(self.statements.read_head).first()
        if row is None:
            msg = "the journal has no head row; it was not opened by this program"
            raise JournalUnavailable(msg)
        seq, outbox_id, known_at_ns, count, instance_id = row
        # Never backwards: what has a larger seq was not known earlier, whatever the machine's clock does.
        known_at_ns = max(self.now_ns(), known_at_ns)
        ms = known_at_ns // 1_000_000

        def content_in(memory_id: MemoryId, version: int) -> str:
            rows = look_up(connection, self.statements, CONTENTS_BY_ID, [memory_id])
            return next((str(row[1]) for row in rows if row[0] == version), "")

        id_head = f"{ms >> 16 & 0xFFFFFFFF:08x}-{ms & 0xFFFF:04x}-7"
        plan = Plan(seq, outbox_id, known_at_ns, count, id_head, instance_id[-13:], self.sinks, content_in)
        if commands:
            self._look_up(connection, plan, commands)
        return plan

    def _look_up(self, connection: Connection, plan: Plan, commands: Sequence[Prepared]) -> None:
        statements = self.statements
        digests = [command.digest for command in commands]
        for digest, fingerprint, memory_id, version, seq, known_at_ns in look_up(
            connection, statements, KEYS_BY_DIGEST, digests
        ):
            plan.keys[bytes(digest)] = Key(bytes(fingerprint), memory_id, version, seq, known_at_ns)
        wanted = [found for command in commands if (found := _trajectory_of(command)) is not None]
        if not wanted:
            return
        for trajectory_id, *rest in look_up(connection, statements, TRAJECTORIES_BY_ID, wanted):
            plan.heads[trajectory_id] = Head(*rest)
        unknown = [trajectory_id for trajectory_id in wanted if trajectory_id not in plan.heads]
        if unknown:
            plan.taken_ids = frozenset(row[0] for row in look_up(connection, statements, MEMORIES_BY_ID, unknown))

    def _write(self, connection: Connection, plan: Plan) -> None:
        if not (plan.memories or plan.snapshots):
            return
        statements = self.statements
        execute_rows(connection, statements.insert_memories, plan.memories)
        execute_rows(connection, statements.insert_keys, plan.key_rows)
        execute_rows(connection, statements.insert_outbox, plan.outbox)
        execute_rows(connection, statements.insert_trajectories, plan.trajectories)
        execute_rows(connection, statements.insert_snapshots, plan.snapshots)
        # After the inserts: a trajectory may be opened and closed by one batch.
        execute_rows(connection, statements.supersede, plan.superseded)
        execute_rows(connection, statements.close_trajectory, plan.closed)
        now = (plan.seq, plan.outbox_id, plan.known_at_ns, plan.memories_count)
        connection.exec_driver_sql(statements.write_head, now)


def _trajectory_of(command: Prepared) -> TrajectoryId | None:
    match command:
        case PreparedMemory():
            return command.draft.trajectory_id
        case PreparedOpen() | PreparedClose():
            return command.id
        case PreparedSnapshot():
            return None


def _plan_unit(plan: Plan, commands: Sequence[Prepared]) -> list[Acknowledgement] | MemoryServerError:
    mark = plan.mark()
    try:
        return [_plan_command(plan, command) for command in commands]
    except (IdempotencyConflict, NotFound, InvalidInput) as error:
        plan.take_back(mark)
        return error


def _plan_command(plan: Plan, command: Prepared) -> Acknowledgement:
    known = plan.keys.get(command.digest)
    if known is None:
        acknowledgement = _plan_new(plan, command)
        _remember(plan, command.digest, command.fingerprint, acknowledgement)
        return acknowledgement
    if known.fingerprint != command.fingerprint:
        raise _conflict(command, known, plan)
    return known.repeated()


def _plan_new(plan: Plan, command: Prepared) -> Acknowledgement:
    match command:
        case PreparedMemory():
            return _plan_memory(plan, command)
        case PreparedOpen():
            return _plan_open(plan, command)
        case PreparedClose():
            return _plan_close(plan, command)
        case PreparedSnapshot():
            return _plan_snapshot(plan, command)


def _plan_memory(plan: Plan, command: PreparedMemory) -> Acknowledgement:
    trajectory_id = command.draft.trajectory_id
    if trajectory_id is not None and trajectory_id not in plan.heads:
        opening = command.opening(trajectory_id)
        _remember(plan, opening.digest, opening.fingerprint, _plan_open(plan, opening))
    return _append(plan, plan.next_id(), 1, command.text, trajectory_id)


def _plan_open(plan: Plan, command: PreparedOpen) -> Acknowledgement:
    if command.id in plan.taken_ids:
        msg = f"trajectory_id is {command.id}, which is the id of a memory"
        raise InvalidInput(msg, field="trajectory_id", hint="give the trajectory an id of its own")
    trajectory_id, namespace, kind, title, tags, metadata, agent, opened_at_ns = command.row
    plan.trajectories.append(
        (trajectory_id, namespace, kind, title, tags, metadata, agent, opened_at_ns, None, None, None, "")
    )
    plan.set(plan.heads, command.id, Head(namespace, tags, metadata, False, None, 1))
    return _append(plan, MemoryId(command.id), 1, command.text, None)


def _plan_close(plan: Plan, command: PreparedClose) -> Acknowledgement:
    head = plan.heads.get(command.id)
    if head is None:
        msg = f"there is no trajectory {command.id} to close"
        raise NotFound(msg, field="trajectory_id", hint="open it first, or write a memory with that trajectory_id")
    closing = command.command
    text = closing_text(command, head.namespace, head.tags, decode_object(head.metadata))
    metadata = text.columns[4]
    plan.superseded.append((plan.known_at_ns, command.id, head.version))
    plan.closed.append(
        (metadata, closing.ts_event_ns, closing.outcome, closing.reward, closing.reward_unit, command.id)
    )
    version = head.version + 1
    plan.set(plan.heads, command.id, Head(head.namespace, head.tags, metadata, True, closing.outcome, version))
    return _append(plan, MemoryId(command.id), version, text, None)


def _plan_snapshot(plan: Plan, command: PreparedSnapshot) -> Acknowledgement:
    snapshot_id = plan.next_id()
    plan.seq += 1
    plan.snapshots.append((plan.seq, *command.row, plan.known_at_ns, command.body))
    return Acknowledgement(snapshot_id, Seq(plan.seq), 1, plan.known_at_ns)


def _append(
    plan: Plan, memory_id: MemoryId, version: int, text: Text, trajectory_id: TrajectoryId | None
) -> Acknowledgement:
    """Plan a version of a memory with an outbox entry for every sink."""
    plan.seq += 1
    seq, known_at_ns = plan.seq, plan.known_at_ns
    plan.memories.append(
        (seq, memory_id, version, *text.columns, known_at_ns, None, text.expires_at_ns, trajectory_id, text.embed)
    )
    for sink in plan.sinks:
        plan.outbox_id += 1
        plan.outbox.append((plan.outbox_id, sink, memory_id, version, seq, known_at_ns, DUE_AT_ONCE, 0, "", False))
    if version == 1:
        plan.memories_count += 1
    return Acknowledgement(memory_id, Seq(seq), version, known_at_ns)


def _remember(plan: Plan, digest: bytes, fingerprint: bytes, acknowledgement: Acknowledgement) -> None:
    first = acknowledgement
    key = Key(fingerprint, first.id, first.version, first.seq, first.known_at_ns)
    plan.key_rows.append((digest, *key))
    plan.set(plan.keys, digest, key)


def _conflict(command: Prepared, first: Key, plan: Plan) -> IdempotencyConflict:
    """Return an error that names both what is there and what was given."""
    if isinstance(command, PreparedClose):
        head = plan.heads.get(command.id)
        held = "another outcome" if head is None else f"the outcome {head.outcome!r}"
        msg = f"trajectory {command.id} is closed with {held}; it cannot be closed with {command.command.outcome!r}"
        return IdempotencyConflict(msg, field="outcome", hint="write a new memory about it instead")
    if not isinstance(command, PreparedMemory):
        msg = f"memory {first.memory_id} (seq {first.seq}) was stored by another command of the same key"
        return IdempotencyConflict(msg, field="idempotency_key")
    given, held = command.draft, plan.content_of(first.memory_id, first.version)
    # Equal texts differ in kind, tags, metadata or trajectory, which the address shows.
    msg = (
        f"idempotency_key {given.key!r} already stands for memory {first.memory_id}, {_shown(held)}; "
        f"what was sent now differs: {_shown(given.content)}"
    )
    hint = f"read GET /memory/{first.memory_id}; to keep both send the new one under another key"
    return IdempotencyConflict(msg, field="idempotency_key", hint=hint)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
