"""The journal in memory: a whole body of ``ports.Journal`` in plain Python, also the model of the property tests."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from memmcp_server.adapters.sql_journal.prepare import prepare
from memmcp_server.domain.identifiers import JsonObject, MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import LinkKind, MarkKind, UpdateMemory
from memmcp_server.domain.memory import (
    Acknowledgement,
    Memory,
    MemoryDraft,
    MemoryFilter,
    Provenance,
    namespace_covers,
)
from memmcp_server.domain.outbox import BACKOFF_NS_MAX, QDRANT, SINK_QDRANT, OutboxEntry, SinkSpec, SinkStats
from memmcp_server.domain.telemetry import OldSnapshots, RecordSnapshot, Snapshot, StoredSnapshot
from memmcp_server.domain.threads import thread_of
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory, Trajectory, credit_of
from memmcp_server.errors import IdempotencyConflict, InvalidInput, MemoryServerError, NotFound
from memmcp_server.ports import Clock, JournalCommand, LexicalScope

from .memory_lifecycle import Lifecycle, Past


@dataclass
class _Entry:
    entry: OutboxEntry
    committed_at_ns: int
    due_at_ns: int


@dataclass
class _State:
    seq: int = 0
    entry_id: int = 0
    known_at_ns: int = 0
    memories: list[Memory] = field(default_factory=list)
    keys: dict[tuple[str, ...], tuple[object, Acknowledgement]] = field(default_factory=dict)
    trajectories: dict[TrajectoryId, Trajectory] = field(default_factory=dict)
    snapshots: list[tuple[int, Snapshot]] = field(default_factory=list)
    snapshot_keys: dict[int, str] = field(default_factory=dict)
    outbox: list[_Entry] = field(default_factory=list)
    delivered: dict[str, int] = field(default_factory=dict)
    past: Past = field(default_factory=Past)


class MemoryJournal(Lifecycle):
    """Keeps everything in lists. Each commit works on a copy of the state, so that a refusal leaves nothing."""

    def __init__(self, clock: Clock, sinks: Sequence[SinkSpec] = (QDRANT,)) -> None:
        self._clock = clock
        self._specs = tuple(sinks)
        self._leases: dict[str, tuple[str, int, int]] = {}
        self._sinks = tuple(sink.name for sink in sinks)
        self._instance_id = str(uuid4())
        self._state = _State(delivered=dict.fromkeys(self._sinks, 0))
        self._committed = asyncio.Event()
        self.failure: MemoryServerError | None = None
        """Raised by every call while it is set: a journal that is down."""

    async def commit(self, commands: Sequence[JournalCommand]) -> list[Acknowledgement]:
        self._fail_if_told()
        for command in commands:
            prepare(command)  # what no database can hold is refused here too
        before = self._state
        self._state = replace(
            before,
            known_at_ns=max(self._clock.now_ns(), before.known_at_ns),
            memories=list(before.memories),
            keys=dict(before.keys),
            trajectories=dict(before.trajectories),
            snapshots=list(before.snapshots),
            snapshot_keys=dict(before.snapshot_keys),
            outbox=list(before.outbox),
            past=before.past.copied(),
        )
        self._is_touched = False
        try:
            acknowledgements = [self._apply(command) for command in commands]
        except MemoryServerError:
            self._state = before
            raise
        if not self._is_touched:
            self._state = before  # nothing was written, not even the time
        self._committed.set()
        self._committed = asyncio.Event()
        return acknowledgements

    async def memory(self, memory_id: MemoryId, version: int | None = None) -> Memory | None:
        for memory in await self.versions(memory_id):
            if memory.version == version or (version is None and memory.superseded_at_ns is None):
                return memory
        return None

    async def memories(self, memory_ids: Sequence[MemoryId]) -> list[Memory]:
        found = [await self.memory(memory_id) for memory_id in memory_ids]
        return [memory for memory in found if memory is not None]

    async def versions(self, memory_id: MemoryId) -> list[Memory]:
        self._fail_if_told()
        return [memory for memory in self._state.memories if memory.id == memory_id]

    async def page(self, where: MemoryFilter, *, after: Seq | None, limit: int, newest_first: bool) -> list[Memory]:
        found = self._where(where)
        if newest_first:
            found = [memory for memory in reversed(found) if after is None or memory.seq < after]
        elif after is not None:
            found = [memory for memory in found if memory.seq > after]
        return found[:limit]

    async def lexical(
        self, words: Sequence[str], where: MemoryFilter, *, scope: LexicalScope, limit: int
    ) -> list[Memory]:
        waiting = {each.entry.seq for each in self._state.outbox if each.entry.sink == SINK_QDRANT}
        found = [
            memory
            for memory in reversed(self._where(where))
            if (scope == "all" or memory.seq in waiting) and _contains(memory, words)
        ]
        found.sort(key=lambda memory: (-_letters(memory, words), -_own(memory, words)))
        return found[:limit]

    async def unindexed(self, words: Sequence[str], where: MemoryFilter, *, limit: int) -> tuple[list[Memory], int]:
        return await self.lexical(words, where, scope="unindexed", limit=limit), await self.backlog()

    async def backlog(self) -> int:
        self._fail_if_told()
        return sum(each.entry.sink == SINK_QDRANT for each in self._state.outbox)

    async def count(self, where: MemoryFilter) -> int:
        return len(self._where(where))

    async def horizon(self) -> Seq:
        self._fail_if_told()
        return Seq(self._state.seq)

    async def instance_id(self) -> str:
        self._fail_if_told()
        return self._instance_id

    async def trajectory(self, trajectory_id: TrajectoryId) -> Trajectory | None:
        self._fail_if_told()
        found = self._state.trajectories.get(trajectory_id)
        return None if found is None else self._counted(found)

    async def trajectories(
        self,
        *,
        namespace: str | None,
        kind: str | None,
        is_open: bool | None,
        before_ns: int | None,
        limit: int,
        before_id: TrajectoryId | None = None,
        hidden: Sequence[str] = (),
    ) -> list[Trajectory]:
        def is_before(each: Trajectory) -> bool:
            if before_ns is None or each.opened_at_ns < before_ns:
                return True
            return before_id is not None and each.opened_at_ns == before_ns and each.id < before_id

        found = [
            self._counted(each)
            for each in self._state.trajectories.values()
            if (namespace is None or namespace_covers(namespace, each.namespace))
            and (kind is None or each.kind == kind)
            and (is_open is None or (each.closed_at_ns is None) == is_open)
            and not any(namespace_covers(pattern, each.namespace) for pattern in hidden)
            and is_before(each)
        ]
        return sorted(found, key=lambda each: (each.opened_at_ns, each.id), reverse=True)[:limit]

    async def steps(self, trajectory_id: TrajectoryId, *, after: Seq | None, limit: int) -> list[Memory]:
        self._fail_if_told()
        return [step for step in self._steps(trajectory_id) if after is None or step.position > after][:limit]

    async def latest_snapshot(self, desk_id: str) -> Snapshot | None:
        self._fail_if_told()
        found = [snapshot for _, snapshot in self._state.snapshots if snapshot.desk_id == desk_id]
        return found[-1] if found else None

    async def desks(self) -> list[Snapshot]:
        newest = {snapshot.desk_id: snapshot for _, snapshot in self._state.snapshots}
        return [newest[desk_id] for desk_id in sorted(newest)]

    async def snapshots(
        self, desk_id: str, *, since_ns: int | None, until_ns: int | None, resolution_s: int | None, limit: int
    ) -> list[Snapshot]:
        found = [
            (snapshot.ts_event_ns, seq, snapshot)
            for seq, snapshot in self._state.snapshots
            if snapshot.desk_id == desk_id
            and (since_ns is None or snapshot.ts_event_ns >= since_ns)
            and (until_ns is None or snapshot.ts_event_ns < until_ns)
        ]
        found.sort(key=lambda each: each[:2])
        if resolution_s is not None:
            found = list({each[0] // (resolution_s * NS_PER_S): each for each in found}.values())
        return [snapshot for _, _, snapshot in found[-limit:]]

    async def old_snapshots(self, after: Seq, *, recorded_before_ns: int, bucket_ns: int, limit: int) -> OldSnapshots:
        self._fail_if_told()
        page = [(seq, each) for seq, each in self._state.snapshots if seq > after][:limit]
        page = [(seq, each) for seq, each in page if each.recorded_at_ns < recorded_before_ns]
        if not page:
            return OldSnapshots([], None)
        buckets = {(each.desk_id, each.ts_event_ns // bucket_ns) for _, each in page}
        found = [
            StoredSnapshot(Seq(seq), self._state.snapshot_keys[seq], each)
            for seq, each in self._state.snapshots
            if seq <= page[-1][0] and (each.desk_id, each.ts_event_ns // bucket_ns) in buckets
        ]
        return OldSnapshots(found, Seq(page[-1][0]))

    async def keep_parts(self) -> None:
        """One list has no parts."""

    async def drop_snapshots(self, rows: Sequence[StoredSnapshot], *, cursor: str, reached: Seq) -> None:
        dropped = {row.seq for row in rows}
        self._state.snapshots = [each for each in self._state.snapshots if each[0] not in dropped]
        for row in rows:
            self._state.keys.pop(("snapshot", row.snapshot.desk_id, row.key), None)
        await self.save_cursor(cursor, reached)

    @property
    def node(self) -> str:
        return ""

    async def take_lease(self, name: str, holder: str, ttl_s: float) -> int | None:
        now_ns = self._clock.now_ns()
        held_by, token, until_ns = self._leases.get(name, ("", 0, -1))
        if held_by != holder and until_ns >= now_ns:
            return None
        token += held_by != holder or until_ns < now_ns
        self._leases[name] = (holder, token, now_ns + round(ttl_s * NS_PER_S))
        return token

    async def lease_holder(self, name: str) -> str | None:
        held_by, _, until_ns = self._leases.get(name, ("", 0, -1))
        return held_by if until_ns >= self._clock.now_ns() else None

    async def release_lease(self, name: str, holder: str) -> None:
        held_by, token, _ = self._leases.get(name, ("", 0, 0))
        if held_by == holder:
            self._leases[name] = (holder, token, 0)

    async def outbox_due(self, sink: str, *, now_ns: int, limit: int) -> list[OutboxEntry]:
        self._fail_if_told()
        put_off = range(now_ns + 1, now_ns + BACKOFF_NS_MAX + 1)
        found = [
            each.entry
            for each in self._state.outbox
            if each.entry.sink == sink and not each.entry.dead and each.due_at_ns not in put_off
        ]
        return found[:limit]

    async def outbox_delivered(self, entry_ids: Sequence[int]) -> None:
        self._fail_if_told()
        for each in [each for each in self._state.outbox if each.entry.id in entry_ids]:
            self._state.delivered[each.entry.sink] += 1
            self._state.outbox.remove(each)

    async def outbox_failed(self, entry_ids: Sequence[int], *, error: str, retry_at_ns: int | None) -> None:
        self._fail_if_told()
        for each in self._state.outbox:
            if each.entry.id in entry_ids:
                attempts = each.entry.attempts + 1
                each.entry = replace(each.entry, attempts=attempts, last_error=error, dead=retry_at_ns is None)
                each.due_at_ns = each.due_at_ns if retry_at_ns is None else retry_at_ns

    async def outbox_stats(self) -> dict[str, SinkStats]:
        self._fail_if_told()
        found: dict[str, SinkStats] = {}
        for sink in self._sinks:
            entries = [each for each in self._state.outbox if each.entry.sink == sink]
            alive = [each.committed_at_ns for each in entries if not each.entry.dead]
            dead = len(entries) - len(alive)
            found[sink] = SinkStats(len(alive), dead, min(alive, default=None), self._state.delivered[sink])
        return found

    async def outbox_entries(self, sink: str | None, *, dead: bool | None, limit: int) -> list[OutboxEntry]:
        found = [
            each.entry
            for each in self._state.outbox
            if (sink is None or each.entry.sink == sink) and (dead is None or each.entry.dead == dead)
        ]
        return found[:limit]

    async def outbox_retry(self, entry_ids: Sequence[int] | None) -> int:
        revived = [
            each for each in self._state.outbox if each.entry.dead and (entry_ids is None or each.entry.id in entry_ids)
        ]
        for each in revived:
            each.entry = replace(each.entry, dead=False, attempts=0)
            each.due_at_ns = 0
        return len(revived)

    async def outbox_of_forgotten(self, sink: str, *, after: Seq) -> int:
        self._fail_if_told()
        gone = [entry for entry in self._state.past.audit if entry.action == "forget" and entry.seq > after]
        ids, times = {entry.memory_id for entry in gone}, {entry.at_ns for entry in gone}
        return sum(
            each.entry.sink == sink and (each.entry.memory_id in ids or each.committed_at_ns in times)
            for each in self._state.outbox
        )

    async def outbox_drop(self, entry_id: int) -> bool:
        found = [each for each in self._state.outbox if each.entry.id == entry_id]
        for each in found:
            self._state.outbox.remove(each)
        return bool(found)

    async def outbox_queue(self, sink: str, memory_ids: Sequence[MemoryId]) -> int:
        self._require_sink(sink)
        waiting = {each.entry.memory_id for each in self._state.outbox if each.entry.sink == sink}
        lasts = {memory.id: memory for memory in self._state.memories if memory.id in memory_ids}
        queued = sorted((m for m in lasts.values() if m.id not in waiting), key=lambda memory: memory.seq)
        for memory in queued:
            self._enqueue(memory.id, memory.version, memory.seq, sink, self._clock.now_ns())
        return len(queued)

    async def outbox_refill(self, sink: str) -> int:
        self._require_sink(sink)
        self._state.outbox = [each for each in self._state.outbox if each.entry.sink != sink]
        for memory in self._state.memories:
            self._enqueue(memory.id, memory.version, memory.seq, sink, self._clock.now_ns())
        return len(self._state.memories)

    def _require_sink(self, sink: str) -> None:
        self._fail_if_told()
        if sink not in self._sinks:
            msg = f"sink is {sink!r}; known are: {', '.join(self._sinks)}"
            raise InvalidInput(msg, field="sink")

    def write_problem(self) -> str | None:
        return None if self.failure is None else self.failure.message

    async def backup(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / "journal-backup.json"
        ids = [memory.id for memory in self._state.memories]
        target.write_text(json.dumps({"seq": self._state.seq, "ids": ids}), encoding="utf-8")
        return target

    async def wait_for_commit(self, after: Seq, timeout_s: float) -> Seq:
        try:
            async with asyncio.timeout(timeout_s):
                while self._state.seq <= after:
                    await self._committed.wait()
        except TimeoutError:
            pass
        return Seq(self._state.seq)

    def _fail_if_told(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _where(self, where: MemoryFilter) -> list[Memory]:
        self._fail_if_told()
        return [memory for memory in self._state.memories if where.admits(memory)]

    def _counted(self, trajectory: Trajectory) -> Trajectory:
        return replace(trajectory, steps=len(self._steps(trajectory.id)))

    def _steps(self, trajectory_id: TrajectoryId) -> list[Memory]:
        lasts = {memory.id: memory for memory in self._state.memories if memory.trajectory_id == trajectory_id}
        return sorted(lasts.values(), key=lambda memory: memory.position)

    def _apply(self, command: JournalCommand) -> Acknowledgement:
        match command:
            case MemoryDraft():
                scope = ("memory", command.namespace, command.provenance.agent, command.key)
                body = _body(command)
                return self._once(scope, body, lambda: self._write(command))
            case OpenTrajectory():
                return self._once(("open", command.id), None, lambda: self._open(command))
            case CloseTrajectory():
                return self._once(("close", command.id), command.outcome, lambda: self._close(command))
            case RecordSnapshot():
                scope = ("snapshot", command.desk_id, command.key)
                return self._once(scope, None, lambda: self._record(command))
            case UpdateMemory():
                scope = ("update", command.id, command.provenance.agent, command.key)
                body = replace(command, provenance=Provenance(), key="", expected_version=None)
                return self._once(scope, body, lambda: self._update(command))
            case _:
                return self._act(command)

    def _once(self, scope: tuple[str, ...], body: object, effect: Callable[[], Acknowledgement]) -> Acknowledgement:
        known = self._state.keys.get(scope)
        if known is None:
            acknowledgement = effect()
            if not acknowledgement.duplicate:
                self._state.keys[scope] = (body, acknowledgement)
            return acknowledgement
        if known[0] != body:
            msg = f"{scope[-1]!r} already stands for {known[1].id} ({known[0]!r}), not for {body!r}"
            raise IdempotencyConflict(msg, field="idempotency_key")
        return replace(known[1], duplicate=True)

    def _write(self, draft: MemoryDraft) -> Acknowledgement:
        if draft.id is not None and (held := self._versions_of(draft.id)):
            last = held[-1]
            return Acknowledgement(last.id, last.seq, last.version, last.known_at_ns, duplicate=True)
        if draft.id is not None and (entry := self._forgetting(draft.id)) is not None:
            return Acknowledgement(draft.id, entry.seq, 0, entry.at_ns, duplicate=True)
        trajectory_id = draft.trajectory_id
        if trajectory_id is not None and trajectory_id not in self._state.trajectories:
            title = draft.content.strip().partition("\n")[0]
            opening = OpenTrajectory(
                id=trajectory_id,
                namespace=draft.namespace,
                kind="session",
                title=title[:80],
                text=f"Trajectory {trajectory_id}, begun with: {title[:400]}",
                ts_event_ns=draft.ts_event_ns,
                provenance=draft.provenance,
            )
            self._apply(opening)
        acknowledgement = self._append(draft.id or MemoryId(f"m{self._state.seq + 1}"), 1, draft)
        self._relate(acknowledgement.id, draft.supersedes, draft.cites, trajectory_id)
        return acknowledgement

    def _open(self, command: OpenTrajectory) -> Acknowledgement:
        if any(memory.id == command.id for memory in self._state.memories):
            msg = f"trajectory_id is {command.id}, which is the id of a memory"
            raise InvalidInput(msg, field="trajectory_id")
        self._state.trajectories[command.id] = Trajectory(
            id=command.id,
            namespace=command.namespace,
            kind=command.kind,
            title=command.title,
            tags=tuple(command.tags),
            metadata=_json(command.metadata),
            agent=command.provenance.agent,
            opened_at_ns=command.ts_event_ns,
            closed_at_ns=None,
            outcome=None,
            reward=None,
            reward_unit="",
            steps=0,
        )
        text = MemoryDraft(
            content=command.text,
            key="",
            ts_event_ns=command.ts_event_ns,
            namespace=command.namespace,
            kind="trajectory",
            tags=command.tags,
            metadata=command.metadata,
            provenance=command.provenance,
        )
        return self._append(MemoryId(command.id), 1, text)

    def _close(self, command: CloseTrajectory) -> Acknowledgement:
        held = self._state.trajectories.get(command.id)
        if held is None:
            msg = f"there is no trajectory {command.id} to close"
            raise NotFound(msg, field="trajectory_id")
        metadata: JsonObject = {**held.metadata, **command.metadata, "outcome": command.outcome}
        if command.reward is not None:
            metadata |= {"reward": command.reward, "reward_unit": command.reward_unit}
        self._state.trajectories[command.id] = replace(
            held,
            closed_at_ns=command.ts_event_ns,
            outcome=command.outcome,
            reward=command.reward,
            reward_unit=command.reward_unit,
            metadata=_json(metadata),
        )
        current = next(m for m in self._state.memories if m.id == command.id and m.superseded_at_ns is None)
        self._end(current)
        credit = credit_of(command.outcome, command.reward)
        for link in self._state.past.links.values() if credit else ():
            if link.kind is LinkKind.CITES and link.trajectory_id == command.id and link.ended_at_ns is None:
                self._mark(link.to_id, MarkKind.CREDIT, command.id, credit)
        text = MemoryDraft(
            content=command.text,
            key="",
            ts_event_ns=command.ts_event_ns,
            namespace=held.namespace,
            kind="trajectory",
            tags=held.tags,
            metadata=metadata,
            provenance=command.provenance,
        )
        return self._append(MemoryId(command.id), current.version + 1, text)

    def _record(self, command: RecordSnapshot) -> Acknowledgement:
        self._is_touched = True
        self._state.seq += 1
        now_ns = self._state.known_at_ns
        snapshot = Snapshot(command.desk_id, command.ts_event_ns, now_ns, _json(command.body))
        self._state.snapshots.append((self._state.seq, snapshot))
        self._state.snapshot_keys[self._state.seq] = command.key
        return Acknowledgement(MemoryId(f"s{self._state.seq}"), Seq(self._state.seq), 1, now_ns)

    def _append(self, memory_id: MemoryId, version: int, draft: MemoryDraft) -> Acknowledgement:
        seq = Seq(self._state.seq + 1)
        return self._store(
            Memory(
                id=memory_id,
                seq=seq,
                version=version,
                namespace=draft.namespace,
                kind=draft.kind,
                content=draft.content,
                tags=tuple(draft.tags),
                metadata=_json(draft.metadata),
                provenance=draft.provenance,
                ts_event_ns=draft.ts_event_ns,
                known_at_ns=self._state.known_at_ns,
                superseded_at_ns=None,
                expires_at_ns=draft.expires_at_ns,
                trajectory_id=draft.trajectory_id,
                embed=draft.embed,
                importance=draft.importance,
                pinned=draft.pinned,
                valid_from_ns=draft.valid_from_ns,
                valid_to_ns=draft.valid_to_ns,
                thread=None
                if draft.kind == "trajectory"
                else thread_of(draft.trajectory_id, draft.namespace, draft.provenance, draft.metadata),
                position=seq,
            )
        )

    def _store(self, memory: Memory) -> Acknowledgement:
        self._is_touched = True
        self._state.seq = memory.seq
        self._state.memories.append(memory)
        self._enqueue_for_all(memory.id, memory.version, memory.seq, memory.kind)
        return Acknowledgement(memory.id, memory.seq, memory.version, memory.known_at_ns)

    def _enqueue_for_all(self, memory_id: MemoryId, version: int, seq: Seq, kind: str) -> None:
        for sink in self._specs:
            if sink.wants(kind):
                self._enqueue(memory_id, version, seq, sink.name, self._state.known_at_ns)

    def _enqueue_in_thread(self, follower: Memory) -> None:
        for sink in self._specs:
            if sink.reads_threads:
                self._enqueue(follower.id, follower.version, follower.seq, sink.name, self._state.known_at_ns)

    def _enqueue(self, memory_id: MemoryId, version: int, seq: Seq, sink: str, now_ns: int) -> None:
        self._state.entry_id += 1
        entry = OutboxEntry(self._state.entry_id, sink, memory_id, version, seq, 0)
        self._state.outbox.append(_Entry(entry, now_ns, 0))


def _body(draft: MemoryDraft) -> object:
    return (draft.kind, draft.content, tuple(draft.tags), _json(draft.metadata), draft.trajectory_id)


def _json(value: object) -> JsonObject:
    """Return the value as it comes back from a text column."""
    decoded: JsonObject = json.loads(json.dumps(value))
    return decoded


def _letters(memory: Memory, words: Sequence[str]) -> int:
    return sum(len(word) for word in words if _contains(memory, [word]))


def _own(memory: Memory, words: Sequence[str]) -> int:
    standing = set(re.findall(r"\w+", memory.content.casefold()))
    return sum(word.casefold() in standing for word in words)


def _contains(memory: Memory, words: Sequence[str]) -> bool:
    text = "\n".join((memory.content, *memory.tags)).casefold()
    return any(word.casefold() in text for word in words)
