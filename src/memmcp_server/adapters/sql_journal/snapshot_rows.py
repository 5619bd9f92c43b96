"""Snapshots of desks: found by seeks however many there are, read in the journal's order as they grow old, dropped."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, text

from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.telemetry import OldSnapshots, Snapshot, StoredSnapshot
from memmcp_server.domain.times import NS_MAX, NS_PER_S

from .prepare import decode_object, snapshot_digest
from .reads import IN_LEN_MAX
from .schema import keys, snapshots

_COLUMNS = "found.desk_id, found.ts_event_ns, found.recorded_at_ns, found.body"
# The first desk, then again and again the next one: a seek each, where GROUP BY reads every entry of the index. Then
# the newest of each, by a range of one desk in the order of that index: by ``=`` and ``max`` PostgreSQL may go back
# through all that others have written since. The bound keeps it from making a condition of it that every row is held
# against.
_DESKS = text(
    f"""
    WITH RECURSIVE desks(desk_id) AS (
        SELECT min(desk_id) FROM snapshots
        UNION ALL
        SELECT (SELECT min(desk_id) FROM snapshots WHERE desk_id > desks.desk_id) FROM desks
        WHERE desks.desk_id IS NOT NULL
    ), newest(desk_id, seq) AS (
        SELECT desks.desk_id, (
            SELECT seq FROM snapshots WHERE desk_id >= desks.desk_id AND desk_id <= desks.desk_id
            ORDER BY desk_id DESC, seq DESC LIMIT 1
        )
        FROM desks WHERE desks.desk_id IS NOT NULL LIMIT 1000000
    )
    SELECT {_COLUMNS} FROM newest JOIN snapshots AS found ON found.desk_id = newest.desk_id AND found.seq = newest.seq
    ORDER BY found.desk_id
    """  # noqa: S608 - names of columns
)
# The newest, then again and again the newest one of an earlier bucket: as many seeks as there are answers.
_LAST_OF_EACH_BUCKET = text(
    f"""
    WITH RECURSIVE points(ts, number) AS (
        SELECT max(ts_event_ns), 1 FROM snapshots
        WHERE desk_id = :desk AND ts_event_ns >= :since AND ts_event_ns < :until
        UNION ALL
        SELECT (
            SELECT max(ts_event_ns) FROM snapshots
            WHERE desk_id = :desk AND ts_event_ns >= :since AND ts_event_ns < points.ts / :bucket * :bucket
        ), points.number + 1
        FROM points WHERE points.ts IS NOT NULL AND points.number < :limit
    )
    SELECT {_COLUMNS} FROM points CROSS JOIN snapshots AS found
    WHERE found.desk_id = :desk AND found.ts_event_ns = points.ts AND found.seq = (
        SELECT max(seq) FROM snapshots WHERE desk_id = :desk AND ts_event_ns = points.ts
    )
    ORDER BY found.ts_event_ns
    """  # noqa: S608 - names of columns
)


def latest(connection: Connection, desk_id: str) -> Snapshot | None:
    query = select(snapshots).where(snapshots.c.desk_id == desk_id).order_by(snapshots.c.seq.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else to_snapshot(row)


def desks(connection: Connection) -> list[Snapshot]:
    return [to_snapshot(row) for row in connection.execute(_DESKS)]


def listed(
    connection: Connection,
    desk_id: str,
    *,
    since_ns: int | None,
    until_ns: int | None,
    resolution_s: int | None,
    limit: int,
) -> list[Snapshot]:
    if resolution_s is not None:
        given = {
            "desk": desk_id,
            "since": 0 if since_ns is None else since_ns,
            "until": NS_MAX if until_ns is None else until_ns,
            "bucket": resolution_s * NS_PER_S,
            "limit": limit,
        }
        return [to_snapshot(row) for row in connection.execute(_LAST_OF_EACH_BUCKET, given)]
    columns = snapshots.c
    wanted: list[ColumnElement[bool]] = [columns.desk_id == desk_id]
    if since_ns is not None:
        wanted.append(columns.ts_event_ns >= since_ns)
    if until_ns is not None:
        wanted.append(columns.ts_event_ns < until_ns)
    newest = (columns.ts_event_ns.desc(), columns.seq.desc())
    rows = connection.execute(select(snapshots).where(*wanted).order_by(*newest).limit(limit)).all()
    return [to_snapshot(row) for row in reversed(rows)]


def to_snapshot(row: Row[Any]) -> Snapshot:
    return Snapshot(row.desk_id, row.ts_event_ns, row.recorded_at_ns, decode_object(row.body))


def old(connection: Connection, *, after: Seq, recorded_before_ns: int, bucket_ns: int, limit: int) -> OldSnapshots:
    columns = snapshots.c
    narrow = select(columns.seq, columns.desk_id, columns.ts_event_ns, columns.recorded_at_ns)
    page = connection.execute(narrow.where(columns.seq > after).order_by(columns.seq).limit(limit)).all()
    # Recorded times never go back in the journal's order, so behind the first that is too young there is none.
    page = [row for row in page if row.recorded_at_ns < recorded_before_ns]
    if not page:
        return OldSnapshots([], None)
    reached = page[-1].seq
    buckets = dict.fromkeys((row.desk_id, row.ts_event_ns // bucket_ns * bucket_ns) for row in page)
    found: list[StoredSnapshot] = []
    for desk_id, start_ns in buckets:
        query = select(snapshots).where(
            columns.desk_id == desk_id,
            columns.ts_event_ns >= start_ns,
            columns.ts_event_ns < start_ns + bucket_ns,
            columns.seq <= reached,
        )
        rows = connection.execute(query.order_by(columns.ts_event_ns, columns.seq))
        found += [StoredSnapshot(Seq(row.seq), row.key, to_snapshot(row)) for row in rows]
    return OldSnapshots(found, Seq(reached))


def drop(connection: Connection, rows: Sequence[StoredSnapshot]) -> None:
    """Delete by seq, and the keys, so that neither grows: a report that comes again this late is a new one."""
    for first in range(0, len(rows), IN_LEN_MAX):
        chunk = rows[first : first + IN_LEN_MAX]
        connection.execute(delete(snapshots).where(snapshots.c.seq.in_([row.seq for row in chunk])))
        digests = [snapshot_digest(row.snapshot.desk_id, row.key) for row in chunk]
        connection.execute(delete(keys).where(keys.c.digest.in_(digests)))
