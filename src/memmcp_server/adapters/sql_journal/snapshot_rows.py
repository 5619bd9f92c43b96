"""Snapshots that have grown old: read in the journal's order, dropped with their keys."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.telemetry import OldSnapshots, StoredSnapshot

from .prepare import snapshot_digest
from .reads import IN_LEN_MAX, to_snapshot
from .schema import keys, snapshots


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
