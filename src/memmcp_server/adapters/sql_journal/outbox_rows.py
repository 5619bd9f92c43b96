"""The outbox's rows: what is due, what failed, what waits for an operator. Writes run on the writer thread."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import AUDIT_FORGET
from memmcp_server.domain.outbox import BACKOFF_NS_MAX, OutboxEntry, SinkStats
from memmcp_server.errors import InvalidInput

from .schema import audit, head, memories, outbox, sinks

T = TypeVar("T")

IN_LEN_MAX = 400
ERROR_LENGTH_MAX = 500
ENTRY = (
    *(outbox.c.id, outbox.c.sink, outbox.c.memory_id, outbox.c.version, outbox.c.seq),
    *(outbox.c.attempts, outbox.c.last_error, outbox.c.dead),
)
"""The columns of an ``OutboxEntry``, in its order."""
ALIVE, DEAD = text("NOT dead"), text("dead")
"""Written as in the partial indexes, so that they are used."""


def due(connection: Connection, sink: str, *, now_ns: int, limit: int) -> list[OutboxEntry]:
    is_due = or_(outbox.c.due_at_ns <= now_ns, outbox.c.due_at_ns > now_ns + BACKOFF_NS_MAX)
    query = select(*ENTRY).where(outbox.c.sink == sink, ALIVE, is_due)
    return [to_entry(row) for row in connection.execute(query.order_by(outbox.c.id).limit(limit))]


def entries(connection: Connection, sink: str | None, *, dead: bool | None, limit: int) -> list[OutboxEntry]:
    query = select(*ENTRY)
    if sink is not None:
        query = query.where(outbox.c.sink == sink)
    if dead is not None:
        query = query.where(DEAD if dead else ALIVE)
    return [to_entry(row) for row in connection.execute(query.order_by(outbox.c.id).limit(limit))]


def stats(connection: Connection) -> dict[str, SinkStats]:
    alive = select(outbox.c.sink, func.count(), func.min(outbox.c.committed_at_ns)).where(ALIVE)
    pending = {row[0]: (row[1], row[2]) for row in connection.execute(alive.group_by(outbox.c.sink))}
    lost = select(outbox.c.sink, func.count()).where(DEAD).group_by(outbox.c.sink)
    dead = {row[0]: row[1] for row in connection.execute(lost)}
    found: dict[str, SinkStats] = {}
    for name, delivered in connection.execute(select(sinks.c.name, sinks.c.delivered).order_by(sinks.c.name)):
        waiting, oldest_ns = pending.get(name, (0, None))
        found[name] = SinkStats(waiting, dead.get(name, 0), oldest_ns, delivered)
    return found


def delivered(connection: Connection, entry_ids: Sequence[int]) -> None:
    for chunk in _chunks(entry_ids):
        gone = connection.execute(delete(outbox).where(outbox.c.id.in_(chunk)).returning(outbox.c.sink)).scalars()
        for sink, number in Counter(gone).items():
            counted = update(sinks).where(sinks.c.name == sink).values(delivered=sinks.c.delivered + number)
            connection.execute(counted)


def failed(connection: Connection, entry_ids: Sequence[int], *, error: str, retry_at_ns: int | None) -> None:
    changed: dict[str, Any] = {
        "attempts": outbox.c.attempts + 1,
        "last_error": error.replace("\x00", "")[:ERROR_LENGTH_MAX],
        "dead": retry_at_ns is None,
    }
    if retry_at_ns is not None:
        changed["due_at_ns"] = retry_at_ns
    for chunk in _chunks(entry_ids):
        connection.execute(update(outbox).where(outbox.c.id.in_(chunk)).values(changed))


def retry(connection: Connection, entry_ids: Sequence[int] | None) -> int:
    """Make dead entries live, due at once, with their attempts counted anew."""
    revived = update(outbox).where(DEAD).values(dead=False, attempts=0, due_at_ns=0)
    if entry_ids is None:
        return int(connection.execute(revived).rowcount)
    return sum(int(connection.execute(revived.where(outbox.c.id.in_(chunk))).rowcount) for chunk in _chunks(entry_ids))


def drop(connection: Connection, entry_id: int) -> bool:
    return bool(connection.execute(delete(outbox).where(outbox.c.id == entry_id)).rowcount)


def queue(connection: Connection, sink: str, memory_ids: Sequence[MemoryId], now_ns: int) -> int:
    """Add an entry for the last version of each memory that has none with the sink; they wait from now on.

    Raises: InvalidInput (an unknown sink).
    """
    _require_sink(connection, sink)
    newer = memories.alias()
    is_last = ~exists().where(newer.c.id == memories.c.id, newer.c.version > memories.c.version)
    waits = exists().where(outbox.c.sink == sink, outbox.c.memory_id == memories.c.id)
    queued = 0
    for chunk in _chunks(list(dict.fromkeys(memory_ids))):
        queued += _insert(connection, sink, now_ns, [memories.c.id.in_(chunk), is_last, ~waits])
    return queued


def of_forgotten(connection: Connection, sink: str, after: Seq) -> int:
    """Count what the forgettings queued: by the memory, and by the commit for what followed it in its thread."""
    those = (audit.c.action == AUDIT_FORGET, audit.c.seq > after)
    is_gone = outbox.c.memory_id.in_(select(audit.c.memory_id).where(*those))
    is_beside = outbox.c.committed_at_ns.in_(select(audit.c.at_ns).where(*those))
    query = select(func.count()).select_from(outbox).where(outbox.c.sink == sink, or_(is_gone, is_beside))
    return int(connection.execute(query).scalar_one())


def refill(connection: Connection, sink: str, now_ns: int) -> int:
    """Replace the sink's entries by one for every version of every memory; they count as waiting from now on.

    Raises: InvalidInput (an unknown sink).
    """
    _require_sink(connection, sink)
    connection.execute(delete(outbox).where(outbox.c.sink == sink))
    return _insert(connection, sink, now_ns, [])


def add(connection: Connection, sink: str, now_ns: int, *, after: int, until: int) -> int:
    """Add an entry for every version with a seq within ``(after, until]``; return how many."""
    return _insert(connection, sink, now_ns, [memories.c.seq > after, memories.c.seq <= until])


def _require_sink(connection: Connection, sink: str) -> None:
    if connection.execute(select(sinks.c.name).where(sinks.c.name == sink)).first() is None:
        known = ", ".join(connection.execute(select(sinks.c.name).order_by(sinks.c.name)).scalars())
        msg = f"sink is {sink!r}; known are: {known}"
        raise InvalidInput(msg, field="sink")


def _insert(connection: Connection, sink: str, now_ns: int, wanted: Sequence[ColumnElement[bool]]) -> int:
    """Add entries for the versions that meet the conditions, in the order of their commits; return how many."""
    last_id = connection.execute(select(head.c.outbox_id).with_for_update()).scalar_one()
    number = func.row_number().over(order_by=memories.c.seq) + last_id
    rows = select(
        cast(number, BigInteger),
        literal(sink),
        memories.c.id,
        memories.c.version,
        memories.c.seq,
        literal(now_ns, BigInteger),
        literal(0, BigInteger),
        literal(0),
        literal(""),
        literal(False),
    ).where(*wanted)
    connection.execute(insert(outbox).from_select([column.name for column in outbox.c], rows))
    added = select(func.count()).where(outbox.c.sink == sink, ALIVE, outbox.c.id > last_id)
    filled = int(connection.execute(added).scalar_one())
    connection.execute(update(head).values(outbox_id=head.c.outbox_id + filled))
    return filled


def to_entry(row: Any) -> OutboxEntry:
    # In the order of ENTRY: by name it takes twice as long, and a relay that catches up reads very many.
    entry_id, sink, memory_id, version, seq, attempts, last_error, dead = tuple(row)
    return OutboxEntry(entry_id, sink, memory_id, version, seq, attempts, last_error, bool(dead))


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), IN_LEN_MAX):
        yield values[start : start + IN_LEN_MAX]
