"""The part of the journal in memory that says what becomes of memories: updates, links, marks, forgetting, audit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from memmcp_server.domain.identifiers import JsonObject, MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import (
    AuditEntry,
    Change,
    ForgetMemory,
    Link,
    LinkKind,
    LinkMemories,
    Mark,
    MarkKind,
    MarkMemory,
    MergeMemory,
    RecordAudit,
    RestoreMemory,
    SetPolicy,
    Standing,
    Surroundings,
    UpdateMemory,
)
from memmcp_server.domain.memory import Acknowledgement, Memory, MemoryFilter, Provenance, namespace_covers, was_current
from memmcp_server.domain.residues import said_in
from memmcp_server.domain.summary import Count, GroupBy
from memmcp_server.domain.tracing.decisions import trace_beside
from memmcp_server.errors import IdempotencyConflict, InvalidInput, NotFound
from memmcp_server.ports import Purge

Act = MergeMemory | RestoreMemory | ForgetMemory | LinkMemories | MarkMemory | SetPolicy | RecordAudit
RETIRING = (LinkKind.SUPERSEDES, LinkKind.MERGED)


@dataclass
class Past:
    """What is kept beside the memories. Links and marks by what makes them unique."""

    links: dict[tuple[str, str, str], Link] = field(default_factory=dict)
    marks: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    policies: dict[str, JsonObject] = field(default_factory=dict)
    cursors: dict[str, Seq] = field(default_factory=dict)

    def copied(self) -> "Past":
        return Past(dict(self.links), dict(self.marks), list(self.audit), dict(self.policies), dict(self.cursors))


class Lifecycle:
    """Mixed into ``MemoryJournal``, whose state it reads and writes."""

    _state: Any
    _is_touched = False

    async def all_versions(self, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, list[Memory]]:
        self._fail_if_told()
        found: dict[MemoryId, list[Memory]] = {}
        for memory in self._state.memories:
            if memory.id in memory_ids:
                found.setdefault(memory.id, []).append(memory)
        return found

    async def surroundings(
        self, memory_ids: Sequence[MemoryId], *, as_of_ns: int | None, with_neighbours: bool = True
    ) -> Surroundings:
        self._fail_if_told()
        current = [memory for memory in self._state.memories if was_current(memory, as_of_ns)]
        before: dict[MemoryId, MemoryId] = {}
        after: dict[MemoryId, MemoryId] = {}
        for memory in current:
            if memory.id not in memory_ids or memory.thread is None or not with_neighbours:
                continue
            beside = sorted((m for m in current if m.thread == memory.thread), key=lambda m: m.position)
            place = beside.index(memory)
            if place > 0:
                before[memory.id] = beside[place - 1].id
            if place + 1 < len(beside):
                after[memory.id] = beside[place + 1].id
        wanted = {*memory_ids, *before.values(), *after.values()}
        memories = {memory.id: memory for memory in current if memory.id in wanted}
        standings = {memory_id: self._standing(memory_id, as_of_ns) for memory_id in wanted}
        known = {memory_id: standing for memory_id, standing in standings.items() if standing != Standing()}
        return Surroundings(memories, before, after, known, tuple(await self.links(memory_ids)))

    def _standing(self, memory_id: MemoryId, as_of_ns: int | None) -> Standing:
        standing = Standing()
        for (marked, kind, _), (value, known_at_ns) in self._state.past.marks.items():
            if marked != memory_id or (as_of_ns is not None and known_at_ns > as_of_ns):
                continue
            if kind == MarkKind.CREDIT:
                standing = replace(
                    standing,
                    credit=standing.credit + value,
                    wins=standing.wins + (value > 0),
                    losses=standing.losses + (value < 0),
                )
            else:
                standing = replace(standing, confirmed_at_ns=max(known_at_ns, standing.confirmed_at_ns or 0))
        return standing

    async def links(self, memory_ids: Sequence[MemoryId]) -> list[Link]:
        self._fail_if_told()
        found = [
            link
            for link in self._state.past.links.values()
            if link.ended_at_ns is None and (link.from_id in memory_ids or link.to_id in memory_ids)
        ]
        return sorted(found, key=lambda link: (link.known_at_ns, link.from_id, link.kind, link.to_id))

    async def marks(self, memory_ids: Sequence[MemoryId]) -> list[Mark]:
        self._fail_if_told()
        found = sorted((key, kept) for key, kept in self._state.past.marks.items() if key[0] in memory_ids)
        return [
            Mark(MemoryId(memory_id), MarkKind(kind), source, value, known_at_ns)
            for (memory_id, kind, source), (value, known_at_ns) in found
        ]

    async def changes(
        self, after: Seq, *, limit: int, namespace: str | None = None, hidden: Sequence[str] = ()
    ) -> list[Change]:
        self._fail_if_told()
        everything = [Change(memory.seq, memory) for memory in self._state.memories]
        everything += [Change(entry.seq, audit=entry) for entry in self._state.past.audit]

        def is_wanted(change: Change) -> bool:
            where = (change.memory or change.audit).namespace  # type: ignore[union-attr]
            if namespace is not None and (where is None or not namespace_covers(namespace, where)):
                return False
            return change.seq > after and not (where and any(namespace_covers(pattern, where) for pattern in hidden))

        return sorted(filter(is_wanted, everything), key=lambda change: change.seq)[:limit]

    async def cursor(self, name: str) -> Seq | None:
        self._fail_if_told()
        found: Seq | None = self._state.past.cursors.get(name)
        return found

    async def save_cursor(self, name: str, seq: Seq) -> None:
        self._fail_if_told()
        self._state.past.cursors[name] = max(seq, self._state.past.cursors.get(name, seq))

    async def audit(
        self, *, action: str | None = None, memory_id: MemoryId | None = None, before: Seq | None = None, limit: int
    ) -> list[AuditEntry]:
        self._fail_if_told()
        found = [
            entry
            for entry in reversed(self._state.past.audit)
            if (action is None or entry.action == action)
            and (memory_id is None or entry.memory_id == memory_id)
            and (before is None or entry.seq < before)
        ]
        return found[:limit]

    async def forgotten(self, memory_ids: Sequence[MemoryId]) -> set[MemoryId]:
        self._fail_if_told()
        return {memory_id for memory_id in memory_ids if self._forgetting(memory_id) is not None}

    async def purge(self, windows: Collection[bytes], *, is_whole: bool = True) -> Purge:
        self._fail_if_told()
        told = "\n".join(text for memory in self._state.memories for text in said_in(memory)).encode()
        living = sum(window in told for window in windows)
        return Purge("memory", (), windows=len(windows), living=living)

    async def kept(
        self, where: MemoryFilter, *, known_before_ns: int | None, after: Seq | None, limit: int
    ) -> list[Memory]:
        self._fail_if_told()
        lasts = {memory.id: memory for memory in self._state.memories}.values()
        found = [
            memory
            for memory in sorted(lasts, key=lambda memory: memory.seq)
            if where.admits(replace(memory, superseded_at_ns=None))
            and (known_before_ns is None or memory.known_at_ns < known_before_ns)
            and (after is None or memory.seq > after)
        ]
        return found[:limit]

    async def policies(self) -> dict[str, JsonObject]:
        self._fail_if_told()
        return dict(sorted(self._state.past.policies.items()))

    async def counts(self, where: MemoryFilter, by: GroupBy, *, limit: int) -> list[Count]:
        names = {"kind": lambda m: m.kind, "agent": lambda m: m.provenance.agent, "namespace": lambda m: m.namespace}
        groups: dict[str, list[Memory]] = {}
        for memory in self._where(where):
            groups.setdefault(names[by](memory), []).append(memory)
        found = [Count(name, len(each), max(m.known_at_ns for m in each)) for name, each in groups.items()]
        return sorted(found, key=lambda count: (-count.number, count.name))[:limit]

    async def highlights(self, where: MemoryFilter, *, limit: int) -> list[Memory]:
        found = self._where(where)
        return sorted(found, key=lambda memory: (not memory.pinned, -memory.importance, -memory.seq))[:limit]

    async def expired(self, *, before_ns: int, limit: int) -> list[Memory]:
        found = [memory for memory in self._where(MemoryFilter()) if memory.is_expired_at(before_ns)]
        return sorted(found, key=lambda memory: (memory.expires_at_ns, memory.seq))[:limit]

    def _act(self, command: Act) -> Acknowledgement:
        match command:
            case MergeMemory():
                return self._merge(command)
            case RestoreMemory():
                return self._restore(command)
            case ForgetMemory():
                return self._forget(command)
            case LinkMemories():
                last, to = self._last(command.from_id), self._last(command.to_id)
                linked = to if command.to_version is None else replace(to, version=command.to_version)
                self._link(command.kind, last.id, linked, command.trajectory_id)
                is_retiring = command.kind is LinkKind.SUPERSEDES and to.id != last.id and to.kind != "trajectory"
                if is_retiring and to.superseded_at_ns is None:
                    self._retire(to)
                return self._acknowledged(last)
            case MarkMemory():
                last = self._last(command.id)
                self._mark(last.id, command.kind, command.source, command.value)
                return self._acknowledged(last)
            case SetPolicy():
                return self._set_policy(command)
            case RecordAudit():
                about = None if command.about is None else self._last(command.about)
                seq = self._note(command.action, command.provenance, command.reason, about, dict(command.detail))
                return Acknowledgement(MemoryId(command.action), seq, 1, self._state.known_at_ns)

    def _update(self, command: UpdateMemory) -> Acknowledgement:
        last = self._last(command.id)
        if last.kind == "trajectory" or last.superseded_at_ns is not None:
            raise InvalidInput(f"memory {command.id} cannot be updated", field="id")
        if command.expected_version not in (None, last.version):
            raise IdempotencyConflict(f"memory {command.id} is at version {last.version}", field="expected_version")
        changes = {
            name: getattr(command, name)
            for name in ("content", "kind", "tags", "metadata", "ts_event_ns", "importance", "pinned")
            if getattr(command, name) is not None
        }
        for name in ("expires_at", "valid_from", "valid_to"):
            given = getattr(command, f"{name}_ns")
            if name in command.cleared or given is not None:
                changes[f"{name}_ns"] = None if name in command.cleared else given
        follower = self._follower(last)
        acknowledged = self._next_version(last, command.provenance, changes)
        self._relate(last.id, command.supersedes, command.cites, last.trajectory_id)
        self._requeue(follower)
        return acknowledged

    def _next_version(self, last: Memory, by: Provenance, changes: dict[str, Any]) -> Acknowledgement:
        if last.superseded_at_ns is None:
            self._end(last)
        version = replace(
            last,
            seq=Seq(self._state.seq + 1),
            version=last.version + 1,
            provenance=by,
            known_at_ns=self._state.known_at_ns,
            superseded_at_ns=None,
        )
        acknowledged: Acknowledgement = self._store(replace(version, **changes))
        return acknowledged

    def _relate(
        self,
        memory_id: MemoryId,
        supersedes: Sequence[MemoryId],
        cites: Sequence[MemoryId],
        trajectory_id: TrajectoryId | None,
    ) -> None:
        for cited in cites:
            self._link(LinkKind.CITES, memory_id, self._last(cited), trajectory_id)
        for old_id in supersedes:
            old = self._last(old_id)
            if old.id == memory_id or old.kind == "trajectory":
                raise InvalidInput(f"memory {old_id} cannot be superseded by {memory_id}", field="supersedes")
            self._link(LinkKind.SUPERSEDES, memory_id, old)
            if old.superseded_at_ns is None:
                self._retire(old)

    def _merge(self, command: MergeMemory) -> Acknowledgement:
        last, kept = self._last(command.id), self._last(command.into)
        if last.id == kept.id or any(m.kind == "trajectory" or m.trajectory_id is not None for m in (last, kept)):
            raise InvalidInput(f"memory {command.id} cannot be merged into {command.into}")
        if last.superseded_at_ns is not None:
            return replace(self._acknowledged(last), duplicate=True, known_at_ns=last.known_at_ns)
        if kept.superseded_at_ns is not None:
            raise InvalidInput(f"memory {command.into} is not current", field="into")
        self._link(LinkKind.MERGED, kept.id, last)
        self._retire(last)
        self._note("merge", command.provenance, command.reason, last, {"into": kept.id})
        return self._acknowledged(last)

    def _restore(self, command: RestoreMemory) -> Acknowledgement:
        last = self._last(command.id)
        if last.superseded_at_ns is None:
            return replace(self._acknowledged(last), duplicate=True, known_at_ns=last.known_at_ns)
        by = replace(command.provenance, trust=last.provenance.trust)
        follower = self._follower(last)
        acknowledged = self._next_version(last, by, {})
        for key, link in self._state.past.links.items():
            if link.to_id == last.id and link.kind in RETIRING and link.ended_at_ns is None:
                self._state.past.links[key] = replace(link, ended_at_ns=self._state.known_at_ns)
        self._note("restore", command.provenance, command.reason, last, {})
        self._requeue(follower)
        return acknowledged

    def _forget(self, command: ForgetMemory) -> Acknowledgement:
        known = self._forgetting(command.id)
        if known is not None and not self._versions_of(command.id):
            return Acknowledgement(command.id, known.seq, 0, known.at_ns, duplicate=True)
        last = self._last(command.id)
        follower = self._follower(last)
        trace = trace_beside(last.id, last.namespace, last.kind, last.trajectory_id, last.metadata)
        seq = self._note("forget", command.provenance, command.reason, last, {"versions": last.version, **trace})
        state = self._state
        state.memories = [memory for memory in state.memories if memory.id != last.id]
        state.keys = {scope: kept for scope, kept in state.keys.items() if kept[1].id != last.id}
        state.trajectories = {each: kept for each, kept in state.trajectories.items() if each != last.id}
        state.past.marks = {key: mark for key, mark in state.past.marks.items() if key[0] != last.id}
        self._enqueue_for_all(last.id, last.version, seq, last.kind)
        self._requeue(follower)
        return Acknowledgement(last.id, seq, last.version, state.known_at_ns)

    def _set_policy(self, command: SetPolicy) -> Acknowledgement:
        if command.policy is None:
            self._state.past.policies.pop(command.namespace, None)
        else:
            self._state.past.policies[command.namespace] = dict(command.policy)
        detail: JsonObject = {"namespace": command.namespace, "policy": command.policy}
        seq = self._note("policy", command.provenance, "", None, detail)
        return Acknowledgement(MemoryId(command.namespace), seq, 1, self._state.known_at_ns)

    def _retire(self, last: Memory) -> None:
        follower = self._follower(last)
        self._end(last)
        self._enqueue_for_all(last.id, last.version, last.seq, last.kind)
        self._requeue(follower)

    def _end(self, memory: Memory) -> None:
        place = self._state.memories.index(memory)
        self._state.memories[place] = replace(memory, superseded_at_ns=self._state.known_at_ns)

    def _follower(self, last: Memory) -> Memory | None:
        beside = [
            memory
            for memory in self._state.memories
            if last.thread is not None
            and memory.thread == last.thread
            and memory.position > last.position
            and memory.superseded_at_ns is None
        ]
        return min(beside, key=lambda memory: memory.position, default=None)

    def _requeue(self, follower: Memory | None) -> None:
        if follower is not None:
            self._enqueue_in_thread(follower)

    def _link(self, kind: LinkKind, from_id: MemoryId, to: Memory, trajectory_id: TrajectoryId | None = None) -> None:
        self._is_touched = True
        key = (from_id, kind.value, to.id)
        made = Link(kind, from_id, to.id, to.version, trajectory_id, self._state.known_at_ns, None)
        held = self._state.past.links.get(key)
        self._state.past.links[key] = made if held is None else replace(held, to_version=to.version, ended_at_ns=None)

    def _mark(self, memory_id: MemoryId, kind: MarkKind, source: str, value: int) -> None:
        self._is_touched = True
        self._state.past.marks.setdefault((memory_id, kind.value, source), (value, self._state.known_at_ns))

    def _note(self, action: str, by: Provenance, reason: str, about: Memory | None, detail: JsonObject) -> Seq:
        self._is_touched = True
        self._state.seq += 1
        entry = AuditEntry(
            seq=Seq(self._state.seq),
            at_ns=self._state.known_at_ns,
            action=action,
            memory_id=None if about is None else about.id,
            namespace=None if about is None else Namespace(about.namespace),
            kind="" if about is None else about.kind,
            agent=by.agent,
            reason=reason,
            detail=detail,
        )
        self._state.past.audit.append(entry)
        return entry.seq

    def _forgetting(self, memory_id: MemoryId) -> AuditEntry | None:
        entries = (e for e in reversed(self._state.past.audit) if e.action == "forget" and e.memory_id == memory_id)
        return next(entries, None)

    def _last(self, memory_id: MemoryId) -> Memory:
        versions = self._versions_of(memory_id)
        if not versions:
            raise NotFound(f"memory {memory_id} does not exist or was forgotten", field="id")
        return versions[-1]

    def _versions_of(self, memory_id: MemoryId) -> list[Memory]:
        return [memory for memory in self._state.memories if memory.id == memory_id]

    def _acknowledged(self, last: Memory) -> Acknowledgement:
        return Acknowledgement(last.id, last.seq, last.version, self._state.known_at_ns)

    def _fail_if_told(self) -> None:
        raise NotImplementedError

    def _where(self, where: MemoryFilter) -> list[Memory]:
        raise NotImplementedError

    def _store(self, memory: Memory) -> Acknowledgement:
        raise NotImplementedError

    def _enqueue_for_all(self, memory_id: MemoryId, version: int, seq: Seq, kind: str) -> None:
        raise NotImplementedError

    def _enqueue_in_thread(self, follower: Memory) -> None:
        raise NotImplementedError
