"""Snapshots of a desk: one row per trading cycle, or per post of an outside engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from .identifiers import JsonObject, Seq

LOCAL_DESK = "local"


@dataclass(frozen=True, slots=True)
class RecordSnapshot:
    """Command: keep a desk's snapshot. (desk_id, key) is unique: repeating it changes nothing.

    ``body`` is a ``wire.TradingSnapshot`` (own desk) or ``wire.ForeignTelemetry`` (outside engine) as JSON.
    An outside desk's equity is never added to ours.
    """

    desk_id: str
    key: str
    ts_event_ns: int
    body: JsonObject


@dataclass(frozen=True, slots=True)
class Snapshot:
    desk_id: str
    ts_event_ns: int
    recorded_at_ns: int
    body: JsonObject


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot with its place in the journal's order and the key that it was sent under."""

    seq: Seq
    key: str
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class OldSnapshots:
    """A page of the journal's order, with all that lies in the same stretches of time up to its end.

    ``reached`` is the seq of the page's last row, None when no row was old enough.
    """

    rows: list[StoredSnapshot]
    reached: Seq | None


def dispensable(rows: Sequence[StoredSnapshot], bucket_ns: int) -> list[StoredSnapshot]:
    """Return the snapshots that a coarser history can do without.

    Of each desk and bucket of event time these stay: the first and the last, those with the lowest and the highest
    equity and with the deepest drawdown, so that no spike is lost, and the one that was recorded last. What stays is
    what would stay of itself, so thinning again, or what was cut off in the middle, comes to the same.
    """
    found: dict[tuple[str, int], list[StoredSnapshot]] = {}
    for row in rows:
        found.setdefault((row.snapshot.desk_id, row.snapshot.ts_event_ns // bucket_ns), []).append(row)
    kept = {row.seq for bucket in found.values() for row in _telling(bucket)}
    return [row for row in rows if row.seq not in kept]


def _telling(bucket: Sequence[StoredSnapshot]) -> list[StoredSnapshot]:
    def place(row: StoredSnapshot) -> tuple[int, int]:
        return row.snapshot.ts_event_ns, row.seq

    told = [min(bucket, key=place), max(bucket, key=place), max(bucket, key=lambda row: row.seq)]
    with_equity = [(equity, place(row), row) for row in bucket if (equity := equity_of(row.snapshot)) is not None]
    if with_equity:
        told += [min(with_equity)[2], max(with_equity, key=lambda each: each[0])[2]]
    with_drawdown = [(drop, row) for row in bucket if (drop := drawdown_of(row.snapshot)) is not None]
    if with_drawdown:
        told.append(max(with_drawdown, key=lambda each: each[0])[1])
    return told


def equity_of(snapshot: Snapshot) -> int | None:
    """Return the equity in lamports of our own snapshot or of an outside engine's, None where it says none."""
    ours = snapshot.body.get("equity")
    found = ours.get("lamports") if isinstance(ours, dict) else snapshot.body.get("equity_lamports")
    return found if isinstance(found, int) else None


def drawdown_of(snapshot: Snapshot) -> int | None:
    found = snapshot.body.get("drawdown_bps")
    return found if isinstance(found, int) else None
