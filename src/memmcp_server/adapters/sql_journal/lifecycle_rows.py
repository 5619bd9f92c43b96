"""Queries about what became of memories: versions, links, marks, neighbours, changes, audit, policies, cursors."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, exists, func, not_, or_, select

from memmcp_server.domain.identifiers import JsonObject, MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import (
    AUDIT_FORGET,
    AuditEntry,
    Change,
    Link,
    LinkKind,
    Mark,
    MarkKind,
    Standing,
    Surroundings,
)
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.domain.summary import Count, GroupBy

from .prepare import decode_object
from .reads import conditions, horizon, in_namespace, known, matching, to_memory
from .schema import audit, cursors, links, marks, memories, policies

IN_LEN_MAX = 400


_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_AMONG = memories.c.id.in_(_IDS)
_CURRENT = select(memories).where(_AMONG, known(memories.c, None))
_MARKS = select(marks).where(marks.c.memory_id.in_(_IDS))
_LINKS = (
    select(links)
    .where(or_(links.c.from_id.in_(_IDS), links.c.to_id.in_(_IDS)), links.c.ended_at_ns.is_(None))
    .order_by(links.c.known_at_ns, links.c.from_id, links.c.kind, links.c.to_id)
)


def all_versions(connection: Connection, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, list[Memory]]:
    found: dict[MemoryId, list[Memory]] = {}
    for chunk in _chunks(memory_ids):
        query = select(memories).where(memories.c.id.in_(chunk)).order_by(memories.c.id, memories.c.version)
        for row in connection.execute(query):
            found.setdefault(MemoryId(row.id), []).append(to_memory(row))
    return found


def last_versions(connection: Connection, memory_ids: Sequence[MemoryId]) -> dict[MemoryId, Memory]:
    return {memory_id: each[-1] for memory_id, each in all_versions(connection, memory_ids).items()}


def surroundings(
    connection: Connection, memory_ids: Sequence[MemoryId], as_of_ns: int | None, *, with_neighbours: bool
) -> Surroundings:
    """Return the memories as they were known then, what stood around them, and how they stand."""
    before, after = _neighbour_ids(connection, memory_ids, as_of_ns) if with_neighbours else ({}, {})
    wanted = list(dict.fromkeys([*memory_ids, *before.values(), *after.values()]))
    found: dict[MemoryId, Memory] = {}
    for chunk in _chunks(wanted):
        # Every search comes by here: to put the statement together anew takes longer than to run it.
        query = _CURRENT if as_of_ns is None else select(memories).where(_AMONG, known(memories.c, as_of_ns))
        found |= {MemoryId(row.id): to_memory(row) for row in connection.execute(query, {"ids": chunk})}
    standing = standings(connection, wanted, as_of_ns)
    return Surroundings(found, before, after, standing, tuple(links_of(connection, memory_ids)))


def _neighbour_ids(
    connection: Connection, memory_ids: Sequence[MemoryId], as_of_ns: int | None
) -> tuple[dict[MemoryId, MemoryId], dict[MemoryId, MemoryId]]:
    each, other = memories.alias("each"), memories.alias("other")
    beside = select(other.c.id).where(other.c.thread == each.c.thread, known(other.c, as_of_ns)).limit(1)
    before = beside.where(other.c.position < each.c.position).order_by(other.c.position.desc())
    after = beside.where(other.c.position > each.c.position).order_by(other.c.position)
    columns = (each.c.id, before.scalar_subquery().label("before"), after.scalar_subquery().label("after"))
    found_before: dict[MemoryId, MemoryId] = {}
    found_after: dict[MemoryId, MemoryId] = {}
    for chunk in _chunks(memory_ids):
        query = select(*columns).where(each.c.id.in_(chunk), each.c.thread.is_not(None), known(each.c, as_of_ns))
        for row in connection.execute(query):
            if row.before is not None:
                found_before[MemoryId(row.id)] = MemoryId(row.before)
            if row.after is not None:
                found_after[MemoryId(row.id)] = MemoryId(row.after)
    return found_before, found_after


def standings(connection: Connection, memory_ids: Sequence[MemoryId], as_of_ns: int | None) -> dict[MemoryId, Standing]:
    found: dict[MemoryId, Standing] = {}
    for chunk in _chunks(memory_ids):
        query = _MARKS if as_of_ns is None else _MARKS.where(marks.c.known_at_ns <= as_of_ns)
        for row in connection.execute(query, {"ids": chunk}):
            memory_id = MemoryId(row.memory_id)
            found[memory_id] = _with_mark(found.get(memory_id, Standing()), row)
    return found


def _with_mark(standing: Standing, row: Row[Any]) -> Standing:
    if row.kind == MarkKind.CREDIT:
        return Standing(
            standing.credit + row.value,
            standing.wins + (row.value > 0),
            standing.losses + (row.value < 0),
            standing.confirmed_at_ns,
        )
    confirmed_at_ns = max(row.known_at_ns, standing.confirmed_at_ns or 0)
    return Standing(standing.credit, standing.wins, standing.losses, confirmed_at_ns)


def links_of(connection: Connection, memory_ids: Sequence[MemoryId]) -> list[Link]:
    """Return the links that hold now, from or to any of the memories."""
    found: dict[tuple[str, str, str], Link] = {}
    for chunk in _chunks(memory_ids):
        for row in connection.execute(_LINKS, {"ids": chunk}):
            found.setdefault((row.from_id, row.kind, row.to_id), _to_link(row))
    return list(found.values())


def marks_of(connection: Connection, memory_ids: Sequence[MemoryId]) -> list[Mark]:
    found: list[Mark] = []
    for chunk in _chunks(sorted(set(memory_ids))):
        query = select(marks).where(marks.c.memory_id.in_(chunk))
        rows = connection.execute(query.order_by(marks.c.memory_id, marks.c.kind, marks.c.source))
        found += [Mark(MemoryId(r.memory_id), MarkKind(r.kind), r.source, r.value, r.known_at_ns) for r in rows]
    return found


def changes(
    connection: Connection, *, after: Seq, limit: int, namespace: str | None, hidden: Sequence[str]
) -> list[Change]:
    found: list[Change] = []
    # Two queries of one transaction may see different moments (PostgreSQL): nothing beyond the first one's.
    upto = horizon(connection)
    for table in (memories, audit):
        query: Select[Any] = select(table).where(table.c.seq > after, table.c.seq <= upto)
        query = query.order_by(table.c.seq).limit(limit)
        if namespace is not None:
            query = query.where(in_namespace(table.c.namespace, namespace))
        for pattern in hidden:
            unseen = in_namespace(table.c.namespace, pattern)
            query = query.where(not_(func.coalesce(unseen, False)))
        for row in connection.execute(query):
            seq = Seq(row.seq)
            found.append(Change(seq, to_memory(row)) if table is memories else Change(seq, audit=_to_audit(row)))
    return sorted(found, key=lambda change: change.seq)[:limit]


def audit_page(
    connection: Connection, *, action: str | None, memory_id: MemoryId | None, before: Seq | None, limit: int
) -> list[AuditEntry]:
    query = select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if action is not None:
        query = query.where(audit.c.action == action)
    if memory_id is not None:
        query = query.where(audit.c.memory_id == memory_id)
    if before is not None:
        query = query.where(audit.c.seq < before)
    return [_to_audit(row) for row in connection.execute(query)]


def forgotten(connection: Connection, memory_ids: Sequence[MemoryId]) -> set[MemoryId]:
    found: set[MemoryId] = set()
    for chunk in _chunks(memory_ids):
        query = select(audit.c.memory_id).where(audit.c.action == AUDIT_FORGET, audit.c.memory_id.in_(chunk))
        found |= {MemoryId(memory_id) for memory_id in connection.execute(query).scalars()}
    return found


def read_policies(connection: Connection) -> dict[str, JsonObject]:
    query = select(policies).order_by(policies.c.namespace)
    return {row.namespace: decode_object(row.policy) for row in connection.execute(query)}


def read_cursor(connection: Connection, name: str) -> Seq | None:
    found = connection.execute(select(cursors.c.seq).where(cursors.c.name == name)).scalar()
    return None if found is None else Seq(found)


def counts(connection: Connection, where: MemoryFilter, by: GroupBy, limit: int) -> list[Count]:
    column = {"kind": memories.c.kind, "agent": memories.c.agent, "namespace": memories.c.namespace}[by]
    number, newest = func.count().label("number"), func.max(memories.c.known_at_ns).label("newest")
    query = select(column.label("name"), number, newest).where(*conditions(where)).group_by(column)
    rows = connection.execute(query.order_by(number.desc(), column).limit(limit))
    return [Count(row.name, row.number, row.newest) for row in rows]


def highlights(connection: Connection, where: MemoryFilter, limit: int) -> list[Memory]:
    """Return what weighs most: pinned first, then by importance, then the newest."""
    columns = memories.c
    query = select(memories).where(*conditions(where))
    query = query.order_by(columns.pinned.desc(), columns.importance.desc(), columns.seq.desc()).limit(limit)
    return [to_memory(row) for row in connection.execute(query)]


def expired(connection: Connection, *, before_ns: int, limit: int) -> list[Memory]:
    columns = memories.c
    ended = (columns.expires_at_ns <= before_ns, columns.pinned.is_(False), columns.superseded_at_ns.is_(None))
    query = select(memories).where(*ended).order_by(columns.expires_at_ns, columns.seq).limit(limit)
    return [to_memory(row) for row in connection.execute(query)]


def kept(
    connection: Connection, where: MemoryFilter, *, known_before_ns: int | None, after: Seq | None, limit: int
) -> list[Memory]:
    columns, newer = memories.c, memories.alias()
    is_last = ~exists().where(newer.c.id == columns.id, newer.c.version > columns.version)
    query = select(memories).where(is_last, *matching(where)).order_by(columns.seq).limit(limit)
    if known_before_ns is not None:
        query = query.where(columns.known_at_ns < known_before_ns)
    if after is not None:
        query = query.where(columns.seq > after)
    return [to_memory(row) for row in connection.execute(query)]


def _to_link(row: Row[Any]) -> Link:
    return Link(
        kind=LinkKind(row.kind),
        from_id=MemoryId(row.from_id),
        to_id=MemoryId(row.to_id),
        to_version=row.to_version,
        trajectory_id=None if row.trajectory_id is None else TrajectoryId(row.trajectory_id),
        known_at_ns=row.known_at_ns,
        ended_at_ns=row.ended_at_ns,
    )


def _to_audit(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        seq=Seq(row.seq),
        at_ns=row.at_ns,
        action=row.action,
        memory_id=None if row.memory_id is None else MemoryId(row.memory_id),
        namespace=None if row.namespace is None else Namespace(row.namespace),
        kind=row.kind,
        agent=row.agent,
        reason=row.reason,
        detail=decode_object(row.detail),
    )


def _chunks(values: Sequence[MemoryId]) -> Iterator[Sequence[MemoryId]]:
    for start in range(0, len(values), IN_LEN_MAX):
        yield values[start : start + IN_LEN_MAX]
