"""Queries of the journal. Each is bounded by a limit and runs in one short read transaction."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    text,
    union_all,
)

from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.memory import Memory, MemoryFilter, Provenance, Trust
from memmcp_server.domain.trajectory import Trajectory

from .prepare import TAG_SEPARATOR, decode_object, decode_tags
from .schema import head, memories, outbox, trajectories

IN_LEN_MAX = 400
ENTRIES = (text("NOT dead"), text("dead"))
"""All entries of the outbox, as its two indexes divide them."""
LEXICAL_RANKED_MAX = 20_000
"""Of this many newest matches the best are found: a bound on what one search costs without an index."""


def horizon(connection: Connection) -> Seq:
    return Seq(connection.execute(select(head.c.seq)).scalar_one())


def instance_id(connection: Connection) -> str:
    return str(connection.execute(select(head.c.instance_id)).scalar_one())


def memory(connection: Connection, memory_id: MemoryId, version: int | None) -> Memory | None:
    wanted = memories.c.superseded_at_ns.is_(None) if version is None else memories.c.version == version
    row = connection.execute(select(memories).where(memories.c.id == memory_id, wanted)).first()
    return None if row is None else to_memory(row)


def current_memories(connection: Connection, memory_ids: Sequence[MemoryId]) -> list[Memory]:
    found: dict[str, Memory] = {}
    for start in range(0, len(memory_ids), IN_LEN_MAX):
        chunk = memory_ids[start : start + IN_LEN_MAX]
        query = select(memories).where(memories.c.id.in_(chunk), memories.c.superseded_at_ns.is_(None))
        found |= {row.id: to_memory(row) for row in connection.execute(query)}
    return [found[memory_id] for memory_id in memory_ids if memory_id in found]


def versions(connection: Connection, memory_id: MemoryId) -> list[Memory]:
    query = select(memories).where(memories.c.id == memory_id).order_by(memories.c.version)
    return [to_memory(row) for row in connection.execute(query)]


def page(
    connection: Connection, where: MemoryFilter, *, after: Seq | None, limit: int, newest_first: bool
) -> list[Memory]:
    query = select(memories).where(*conditions(where)).limit(limit)
    if after is not None:
        query = query.where(memories.c.seq < after if newest_first else memories.c.seq > after)
    query = query.order_by(memories.c.seq.desc() if newest_first else memories.c.seq)
    return [to_memory(row) for row in connection.execute(query)]


def lexical(
    connection: Connection, words: Sequence[str], where: MemoryFilter, *, sink: str | None, limit: int
) -> list[Memory]:
    """Return what holds any of the words; with a sink only rows whose entry for it waits."""
    if not words:
        return []
    matching = select(memories.c.seq).where(*conditions(where), or_(*(_contains(word) for word in words)))
    if sink is not None:
        waiting = [select(outbox.c.seq).where(outbox.c.sink == sink, each) for each in ENTRIES]
        matching = matching.where(memories.c.seq.in_(union_all(*waiting)))
    # Ranked here and not by the caller: a few hundred new rows with a common word must not hide the one with all words.
    newest = matching.order_by(memories.c.seq.desc()).limit(LEXICAL_RANKED_MAX).subquery()
    letters = sum((case((_contains(word), len(word)), else_=0) for word in words), literal(0))
    # And of those with as many letters the one with the words themselves: 26 is in 126, 260 and 926 too.
    own = sum((case((_contains_own(word), 1), else_=0) for word in words), literal(0))
    query = select(memories).join(newest, newest.c.seq == memories.c.seq)
    query = query.order_by(letters.desc(), own.desc(), memories.c.seq.desc()).limit(limit)
    return [to_memory(row) for row in connection.execute(query)]


def unindexed(
    connection: Connection, words: Sequence[str], where: MemoryFilter, *, sink: str, limit: int
) -> tuple[list[Memory], int]:
    waiting = backlog(connection, sink)
    # Usually nothing waits, and then nothing has to be looked through.
    rows = lexical(connection, words, where, sink=sink, limit=limit) if waiting else []
    return rows, waiting


def backlog(connection: Connection, sink: str) -> int:
    return int(connection.execute(backlog_query(sink)).scalar_one())


def backlog_query(sink: str) -> Select[Any]:
    """Every search asks this: it must not look at what waits for the indexes of other daemons."""
    live, dead = (select(func.count()).select_from(outbox).where(outbox.c.sink == sink, each) for each in ENTRIES)
    return select(live.scalar_subquery() + dead.scalar_subquery())


def count(connection: Connection, where: MemoryFilter) -> int:
    if where == MemoryFilter():
        return int(connection.execute(select(head.c.memories)).scalar_one())
    return int(connection.execute(select(func.count()).select_from(memories).where(*conditions(where))).scalar_one())


def trajectory(connection: Connection, trajectory_id: TrajectoryId) -> Trajectory | None:
    row = connection.execute(_trajectories().where(trajectories.c.id == trajectory_id)).first()
    return None if row is None else to_trajectory(row)


def list_trajectories(
    connection: Connection,
    *,
    namespace: str | None,
    kind: str | None,
    is_open: bool | None,
    before: tuple[int | None, TrajectoryId | None],
    limit: int,
    hidden: Sequence[str],
) -> list[Trajectory]:
    columns = trajectories.c
    query = _trajectories().where(*(not_(in_namespace(columns.namespace, pattern)) for pattern in hidden))
    if namespace is not None:
        query = query.where(in_namespace(columns.namespace, namespace))
    if kind is not None:
        query = query.where(columns.kind == kind)
    if is_open is not None:
        query = query.where(columns.closed_at_ns.is_(None) if is_open else columns.closed_at_ns.is_not(None))
    before_ns, before_id = before
    if before_ns is not None:
        earlier = columns.opened_at_ns < before_ns
        if before_id is not None:
            earlier = or_(earlier, (columns.opened_at_ns == before_ns) & (columns.id < before_id))
        query = query.where(earlier)
    query = query.order_by(columns.opened_at_ns.desc(), columns.id.desc()).limit(limit)
    return [to_trajectory(row) for row in connection.execute(query)]


def steps(connection: Connection, trajectory_id: TrajectoryId, *, after: Seq | None, limit: int) -> list[Memory]:
    query = select(memories).where(*_is_step_of(trajectory_id))
    if after is not None:
        query = query.where(memories.c.position > after)
    return [to_memory(row) for row in connection.execute(query.order_by(memories.c.position).limit(limit))]


def conditions(where: MemoryFilter) -> list[ColumnElement[bool]]:
    """Return the filter as SQL; the same as ``MemoryFilter.admits``."""
    return [known(memories.c, where.as_of_ns), *matching(where)]


def matching(where: MemoryFilter) -> list[ColumnElement[bool]]:
    """Return the filter as SQL, whichever version is current."""
    columns = memories.c
    found: list[ColumnElement[bool]] = []
    if where.namespace is not None:
        found.append(in_namespace(columns.namespace, where.namespace))
    if where.kinds:
        found.append(columns.kind.in_(where.kinds))
    # "replace changes it" says "contains" with regard to case, the same on every database; LIKE does not.
    found.extend(
        func.replace(columns.tags, f"{TAG_SEPARATOR}{tag}{TAG_SEPARATOR}", "") != columns.tags for tag in where.tags
    )
    if where.agent is not None:
        found.append(columns.agent == where.agent)
    if where.since_ns is not None:
        found.append(columns.ts_event_ns >= where.since_ns)
    if where.until_ns is not None:
        found.append(columns.ts_event_ns < where.until_ns)
    if where.trajectory_id is not None:
        found += [columns.thread == where.trajectory_id, columns.trajectory_id == where.trajectory_id]
    if where.valid_at_ns is not None:
        found.append(or_(columns.valid_from_ns.is_(None), columns.valid_from_ns <= where.valid_at_ns))
        found.append(or_(columns.valid_to_ns.is_(None), columns.valid_to_ns > where.valid_at_ns))
    found.extend(not_(in_namespace(columns.namespace, pattern)) for pattern in where.hidden)
    return found


def known(columns: Any, as_of_ns: int | None) -> ColumnElement[bool]:
    """Say "known and not superseded at that time" (None: now), as ``domain.memory.was_current``."""
    is_last: ColumnElement[bool] = columns.superseded_at_ns.is_(None)
    if as_of_ns is None:
        return is_last
    return and_(columns.known_at_ns <= as_of_ns, or_(is_last, columns.superseded_at_ns > as_of_ns))


def in_namespace(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    if not pattern.endswith("/"):
        return column == pattern
    return or_(column == pattern[:-1], column.startswith(pattern, autoescape=True))


def _contains(word: str) -> ColumnElement[bool]:
    """Say "content or tags contain the word" whatever its case.

    SQLite folds the case of ASCII letters only, hence the usual spellings of a word with other letters.
    """
    spellings = {word} if word.isascii() else {word, word.lower(), word.upper(), word.title()}
    patterns = [f"%{escape_like(spelling)}%" for spelling in sorted(spellings)]
    return or_(*(column.ilike(p, escape="\\") for p in patterns for column in (memories.c.content, memories.c.tags)))


def _contains_own(word: str) -> ColumnElement[bool]:
    """Say "the word stands in the content by itself, not within a longer one" whatever its case."""
    return memories.c.content.regexp_match(rf"(?i)(^|\W){re.escape(word)}(\W|$)")


def escape_like(text: str) -> str:
    """Return the text so that a LIKE pattern takes it literally, with backslash as the escape."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _trajectories() -> Select[Any]:
    own = _is_step_of(trajectories.c.id)
    counted = select(func.count()).select_from(memories).where(*own).correlate(trajectories).scalar_subquery()
    return select(trajectories, counted.label("steps"))


def _is_step_of(trajectory_id: TrajectoryId | ColumnElement[str]) -> list[ColumnElement[bool]]:
    """Say "the last version of a step", also of one that another memory has superseded: it was a step all the same.

    The thread of a step is its trajectory, which is what the index knows.
    """
    newer = memories.alias()
    is_last = ~exists().where(newer.c.id == memories.c.id, newer.c.version > memories.c.version)
    return [memories.c.thread == trajectory_id, memories.c.trajectory_id == trajectory_id, is_last]


TRUSTS = {trust.value: trust for trust in Trust}


def to_memory(row: Row[Any]) -> Memory:
    """Return the memory of a row of the whole table; by the columns' places, since pages have hundreds of rows."""
    values: tuple[Any, ...] = tuple(row)
    seq, memory_id, version, namespace, kind, content, tags, metadata = values[:8]
    agent, session, tool, source, trust, ts_event_ns, known_at_ns, superseded_at_ns, expires_at_ns = values[8:17]
    trajectory_id, embed, importance, pinned, valid_from_ns, valid_to_ns, thread, position = values[17:]
    return Memory(
        id=MemoryId(memory_id),
        seq=Seq(seq),
        version=version,
        namespace=Namespace(namespace),
        kind=kind,
        content=content,
        tags=decode_tags(tags),
        metadata=decode_object(metadata),
        provenance=Provenance(agent, session, tool, source, TRUSTS[trust]),
        ts_event_ns=ts_event_ns,
        known_at_ns=known_at_ns,
        superseded_at_ns=superseded_at_ns,
        expires_at_ns=expires_at_ns,
        trajectory_id=None if trajectory_id is None else TrajectoryId(trajectory_id),
        embed=bool(embed),
        importance=importance,
        pinned=bool(pinned),
        valid_from_ns=valid_from_ns,
        valid_to_ns=valid_to_ns,
        thread=thread,
        position=position,
    )


def to_trajectory(row: Row[Any]) -> Trajectory:
    return Trajectory(
        id=TrajectoryId(row.id),
        namespace=Namespace(row.namespace),
        kind=row.kind,
        title=row.title,
        tags=decode_tags(row.tags),
        metadata=decode_object(row.metadata),
        agent=row.agent,
        opened_at_ns=row.opened_at_ns,
        closed_at_ns=row.closed_at_ns,
        outcome=row.outcome,
        reward=row.reward,
        reward_unit=row.reward_unit,
        steps=row.steps,
    )
