"""A batch of units inside of one transaction: look up once, plan in memory, insert in bulk.

A unit that may not be applied (a conflict, an unknown trajectory) leaves no row and fails alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection

from memmcp_server.domain.identifiers import MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import MarkKind
from memmcp_server.domain.memory import Acknowledgement
from memmcp_server.domain.outbox import SinkSpec
from memmcp_server.domain.trajectory import credit_of
from memmcp_server.errors import IdempotencyConflict, InvalidInput, JournalUnavailable, MemoryServerError, NotFound

from .nodes import REGISTERED, spec_of
from .plan import Follower, Head, Key, Last, Plan
from .prepare import (
    Prepared,
    PreparedAct,
    PreparedClose,
    PreparedMemory,
    PreparedOpen,
    PreparedSnapshot,
    PreparedUpdate,
    closing_text,
    decode_object,
)
from .revise import add_mark, named_ids, plan_act, plan_relations, plan_update
from .statements import Statements, execute_rows, fetch, look_up, run_for
from .writer import Outcome, Work

KEYS_BY_DIGEST = "SELECT digest, fingerprint, memory_id, version, seq, known_at_ns FROM keys WHERE digest"
TRAJECTORIES_BY_ID = (
    "SELECT t.id, t.namespace, t.tags, t.metadata, t.closed_at_ns IS NOT NULL, t.outcome, m.version "
    "FROM trajectories t JOIN memories m ON m.id = t.id AND m.superseded_at_ns IS NULL WHERE t.id"
)
CONTENTS_BY_ID = "SELECT version, content FROM memories WHERE id"
MEMORIES_BY_ID = "SELECT id FROM memories WHERE version = 1 AND id"
LASTS_BY_ID = (
    "SELECT m.* FROM memories m WHERE NOT EXISTS "
    "(SELECT 1 FROM memories n WHERE n.id = m.id AND n.version > m.version) AND m.id"
)
FORGOTTEN_BY_ID = "SELECT memory_id, seq, at_ns FROM audit WHERE action = 'forget' AND memory_id"
CITED_BY_TRAJECTORY = (
    "SELECT trajectory_id, to_id FROM links WHERE kind = 'cites' AND ended_at_ns IS NULL AND trajectory_id"
)
FOLLOWERS_BY_ID = (
    "SELECT m.id, f.id, f.version, f.seq FROM memories m JOIN memories f ON f.thread = m.thread "
    "AND f.superseded_at_ns IS NULL AND f.position = (SELECT min(n.position) FROM memories n WHERE "
    "n.thread = m.thread AND n.position > m.position AND n.superseded_at_ns IS NULL) "
    "WHERE m.version = 1 AND m.id"
)


Keyed = PreparedMemory | PreparedOpen | PreparedClose | PreparedSnapshot | PreparedUpdate


@dataclass(frozen=True, slots=True)
class Applier:
    """Applies batches. On a server the sinks are those that all its daemons have registered.

    ``now_ns`` is read once per batch: what is committed together was known together.
    """

    statements: Statements
    sinks: tuple[SinkSpec, ...]
    now_ns: Callable[[], int]

    def apply(self, connection: Connection, batch: Sequence[Work]) -> list[Outcome]:
        """Write what the batch asks for; return an outcome per unit: acknowledgements, a job's result, or an error."""
        outcomes: list[Outcome] = []
        if self.statements.is_shared and len(batch) > 1:
            # Before any other row, whatever the jobs change: two daemons that locked in different orders would wait for
            # each other until the server ended one of them.
            fetch(connection, self.statements.read_head, ())
        for run in _runs(batch):
            if isinstance(run[0].payload, list):
                outcomes.extend(self._apply_commands(connection, [work.payload for work in run]))
            else:
                outcomes.extend(work.payload(connection) for work in run)
        return outcomes

    def _apply_commands(self, connection: Connection, units: Sequence[list[Prepared]]) -> list[Outcome]:
        plan = self._planned(connection, [command for unit in units for command in unit])
        outcomes: list[Outcome] = [_plan_unit(plan, unit) for unit in units]
        self._write(connection, plan)
        return outcomes

    def _planned(self, connection: Connection, commands: Sequence[Prepared]) -> Plan:
        """Look up what the commands depend on. The head is read first: on PostgreSQL that is the lock."""
        rows = fetch(connection, self.statements.read_head, ())
        if not rows:
            msg = "the journal has no head row; it was not opened by this program"
            raise JournalUnavailable(msg)
        seq, outbox_id, known_at_ns, count, instance_id, *server_ns = rows[0]
        # Never backwards: what has a larger seq was not known earlier, whatever the machine's clock does. And never
        # ahead of the server's: all that is written afterwards, by whomever, would have to follow into the future.
        known_at_ns = max(min(self.now_ns(), *server_ns) if server_ns else self.now_ns(), known_at_ns)
        ms = known_at_ns // 1_000_000

        def content_in(memory_id: MemoryId, version: int) -> str:
            rows = look_up(connection, self.statements, CONTENTS_BY_ID, [memory_id])
            return next((str(row[1]) for row in rows if row[0] == version), "")

        sinks = self.sinks
        if self.statements.is_shared:
            sinks = tuple(spec_of(*row) for row in fetch(connection, REGISTERED, ()))
        id_head = f"{ms >> 16 & 0xFFFFFFFF:08x}-{ms & 0xFFFF:04x}-7"
        plan = Plan(seq, outbox_id, known_at_ns, count, id_head, instance_id[-13:], sinks, content_in)
        if commands:
            self._look_up(connection, plan, commands)
        return plan

    def _look_up(self, connection: Connection, plan: Plan, commands: Sequence[Prepared]) -> None:
        statements = self.statements
        digests = [command.digest for command in commands if command.digest is not None]
        for digest, fingerprint, memory_id, version, seq, known_at_ns in look_up(
            connection, statements, KEYS_BY_DIGEST, digests
        ):
            plan.keys[bytes(digest)] = Key(bytes(fingerprint), memory_id, version, seq, known_at_ns)
        self._look_up_named(connection, plan, commands)
        wanted = [found for command in commands if (found := _trajectory_of(command)) is not None]
        if not wanted:
            return
        for trajectory_id, *rest in look_up(connection, statements, TRAJECTORIES_BY_ID, wanted):
            plan.heads[trajectory_id] = Head(*rest)
        unknown = [trajectory_id for trajectory_id in wanted if trajectory_id not in plan.heads]
        if unknown:
            plan.taken_ids = frozenset(row[0] for row in look_up(connection, statements, MEMORIES_BY_ID, unknown))

    def _look_up_named(self, connection: Connection, plan: Plan, commands: Sequence[Prepared]) -> None:
        """Look up what the commands name: memories to change or to rest on, and what a closing trajectory cited."""
        statements = self.statements
        closing = [command.id for command in commands if isinstance(command, PreparedClose)]
        if closing:
            for trajectory_id, memory_id in look_up(connection, statements, CITED_BY_TRAJECTORY, closing):
                plan.cited[trajectory_id] = (*plan.cited.get(trajectory_id, ()), memory_id)
        named = list(dict.fromkeys(memory_id for command in commands for memory_id in _named_ids(command)))
        if not named:
            return
        for row in look_up(connection, statements, LASTS_BY_ID, named):
            plan.lasts[MemoryId(row[1])] = Last(*row)
        missing = [memory_id for memory_id in named if memory_id not in plan.lasts]
        for memory_id, seq, at_ns in look_up(connection, statements, FORGOTTEN_BY_ID, missing):
            plan.forgotten[memory_id] = Acknowledgement(memory_id, Seq(seq), 0, at_ns, duplicate=True)
        threaded = [last.id for last in plan.lasts.values() if last.thread is not None]
        for memory_id, *follower in look_up(connection, statements, FOLLOWERS_BY_ID, threaded):
            plan.followers[memory_id] = Follower(*follower)

    def _write(self, connection: Connection, plan: Plan) -> None:
        if plan.is_empty:
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
        execute_rows(connection, statements.insert_audit, plan.audit)
        for name, effects in groupby(plan.effects, key=lambda effect: effect[0]):
            execute_rows(connection, getattr(statements, name), [row for _, row in effects])
        for sql in statements.deletes if plan.deleted else ():
            run_for(connection, statements, sql, plan.deleted)
        now = (plan.seq, plan.outbox_id, plan.known_at_ns, plan.memories_count)
        execute_rows(connection, statements.write_head, [now])


def _runs(batch: Sequence[Work]) -> Iterator[list[Work]]:
    """Yield the batch in parts, each planned on what the parts before have written.

    Plain writes go together. A unit that changes what is there (an update, a forgetting) or a job goes alone, so that
    a plan never has to tell what is stored from what it will store.
    """
    plain: list[Work] = []
    for work in batch:
        if isinstance(work.payload, list) and not any(
            isinstance(command, PreparedUpdate | PreparedAct) for command in work.payload
        ):
            plain.append(work)
            continue
        if plain:
            yield plain
            plain = []
        yield [work]
    if plain:
        yield plain


def _trajectory_of(command: Prepared) -> TrajectoryId | None:
    match command:
        case PreparedMemory():
            return command.draft.trajectory_id
        case PreparedOpen() | PreparedClose():
            return command.id
        case _:
            return None


def _named_ids(command: Prepared) -> tuple[MemoryId, ...]:
    match command:
        case PreparedMemory():
            draft = command.draft
            is_looked_for = draft.id is not None and not draft.is_new_id
            return (*draft.cites, *draft.supersedes, *((draft.id,) if draft.id is not None and is_looked_for else ()))
        case PreparedUpdate() | PreparedAct():
            return named_ids(command)
        case _:
            return ()


def _plan_unit(plan: Plan, commands: Sequence[Prepared]) -> list[Acknowledgement] | MemoryServerError:
    mark = plan.mark()
    try:
        return [_plan_command(plan, command) for command in commands]
    except (IdempotencyConflict, NotFound, InvalidInput) as error:
        plan.take_back(mark)
        return error


def _plan_command(plan: Plan, command: Prepared) -> Acknowledgement:
    if isinstance(command, PreparedAct):
        return plan_act(plan, command)
    known = plan.keys.get(command.digest)
    if known is None:
        acknowledgement = _plan_new(plan, command)
        if not acknowledgement.duplicate:
            _remember(plan, command.digest, command.fingerprint, acknowledgement)
        return acknowledgement
    if known.fingerprint != command.fingerprint:
        raise _conflict(command, known, plan)
    return known.repeated()


def _plan_new(plan: Plan, command: Keyed) -> Acknowledgement:
    match command:
        case PreparedUpdate():
            return plan_update(plan, command)
        case PreparedMemory():
            return _plan_memory(plan, command)
        case PreparedOpen():
            return _plan_open(plan, command)
        case PreparedClose():
            return _plan_close(plan, command)
        case PreparedSnapshot():
            return _plan_snapshot(plan, command)


def _plan_memory(plan: Plan, command: PreparedMemory) -> Acknowledgement:
    trajectory_id, given_id = command.draft.trajectory_id, command.draft.id
    if given_id is not None and (given_id in plan.lasts or given_id in plan.forgotten):
        return plan.lasts[given_id].repeated() if given_id in plan.lasts else plan.forgotten[given_id]
    if trajectory_id is not None and trajectory_id not in plan.heads:
        opening = command.opening(trajectory_id)
        _remember(plan, opening.digest, opening.fingerprint, _plan_open(plan, opening))
    acknowledged = plan.append(given_id or plan.next_id(), command.text, trajectory_id)
    if given_id is not None:
        plan.set(plan.lasts, given_id, Last(*plan.memories[-1]))  # as of a trajectory's, others may rest on it
    draft = command.draft
    if draft.cites or draft.supersedes:
        plan_relations(plan, acknowledged.id, draft.supersedes, draft.cites, trajectory_id)
    return acknowledged


def _plan_open(plan: Plan, command: PreparedOpen) -> Acknowledgement:
    if command.id in plan.taken_ids:
        msg = f"trajectory_id is {command.id}, which is the id of a memory"
        raise InvalidInput(msg, field="trajectory_id", hint="give the trajectory an id of its own")
    trajectory_id, namespace, kind, title, tags, metadata, agent, opened_at_ns = command.row
    plan.trajectories.append(
        (trajectory_id, namespace, kind, title, tags, metadata, agent, opened_at_ns, None, None, None, "")
    )
    plan.set(plan.heads, command.id, Head(namespace, tags, metadata, False, None, 1))
    acknowledged = plan.append(MemoryId(command.id), command.text, None)
    # Its id was given by whoever opens it, so that what follows in this commit may rest on it already.
    plan.set(plan.lasts, acknowledged.id, Last(*plan.memories[-1]))
    return acknowledged


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
    credit = credit_of(closing.outcome, closing.reward)
    for memory_id in dict.fromkeys(plan.cited.get(command.id, ())) if credit else ():
        add_mark(plan, memory_id, MarkKind.CREDIT, command.id, credit)
    acknowledged = plan.append_close(MemoryId(command.id), version, text)
    last = plan.lasts.get(acknowledged.id)
    if last is not None:
        # Whoever cites it in this commit, as its lesson does, means the episode and not what it was called before.
        plan.set(plan.lasts, last.id, last._replace(seq=acknowledged.seq, version=version))
    return acknowledged


def _plan_snapshot(plan: Plan, command: PreparedSnapshot) -> Acknowledgement:
    snapshot_id = plan.next_id()
    plan.seq += 1
    plan.snapshots.append((plan.seq, *command.row, plan.known_at_ns, command.body))
    return Acknowledgement(snapshot_id, Seq(plan.seq), 1, plan.known_at_ns)


def _remember(plan: Plan, digest: bytes, fingerprint: bytes, acknowledgement: Acknowledgement) -> None:
    first = acknowledgement
    key = Key(fingerprint, first.id, first.version, first.seq, first.known_at_ns)
    plan.key_rows.append((digest, *key))
    plan.set(plan.keys, digest, key)


def _conflict(command: Keyed, first: Key, plan: Plan) -> IdempotencyConflict:
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
