"""What the marks of each minute and hour came to, kept beside the rows so that no spike is lost in a coarse series.

The rows stay the truth: a bucket is folded from them behind a cursor that is kept in the same transaction, so whatever
is cut off is folded once all the same. Folding never asks in which order the marks came: a mark that is late goes to
its own bucket, and the first and last of a bucket are told by their times.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from .canonical import parse_json
from .journal_archive import END_OF_TIME_NS, Range
from .journal_schema import cursors, mark_buckets
from .sql_journal import JournalStore

MINUTE_NS: Final = 60 * 10**9
HOUR_NS: Final = 60 * MINUTE_NS
SINK: Final = "mark_buckets"
STEP_ROWS_MAX: Final = 1_000
"""Marks folded at once: what the database's only writer may have to wait for is a transaction of some 20 rows."""

TAIL_ROWS_MAX: Final = 20_000
"""Marks read one by one that no bucket holds yet; while more wait (after an upgrade), extremes are not told."""

ODD_PARTS_MIN: Final = 24
"""A resolution that is no whole number of hours is put together from hours all the same when it has so many."""

# The index is named, or SQLite may read the run from its first row.
_UNFOLDED = sa.text(
    "SELECT seq, ts_ns, body FROM rows INDEXED BY rows_by_kind "
    "WHERE run = :run AND kind = 'cycle_marked' AND kind <> 'input' AND seq > :after ORDER BY seq LIMIT :limit"
)
_BETWEEN = sa.text(
    "SELECT seq, ts_ns, body FROM rows INDEXED BY rows_marked WHERE run = :run AND kind = 'cycle_marked' "
    "AND ts_ns >= :since AND ts_ns < :before ORDER BY ts_ns, seq"
)
# Taken together where they lie: a year has half a million minutes.
_TOGETHER = sa.text(
    """
    WITH taken AS (
        SELECT min(start_ns) AS first_start, max(start_ns) AS last_start, min(low_lamports) AS low_lamports,
            max(high_lamports) AS high_lamports, max(drawdown_bps_max) AS drawdown_bps_max, sum(marks) AS marks
        FROM mark_buckets
        WHERE run = :run AND width_ns = :width AND start_ns >= :inner AND start_ns < :outer
        GROUP BY first_ns / :bucket
    )
    SELECT first.first_ns, first.first_seq, first.first_lamports, last.last_ns, last.last_seq, last.last_lamports,
        taken.low_lamports, taken.high_lamports, taken.drawdown_bps_max, last.sol_usd, taken.marks
    FROM taken
    CROSS JOIN mark_buckets AS first ON first.run = :run AND first.width_ns = :width AND first.start_ns = first_start
    CROSS JOIN mark_buckets AS last ON last.run = :run AND last.width_ns = :width AND last.start_ns = last_start
    """
)
_CURSOR = sa.text("SELECT seq FROM cursors WHERE run = :run AND sink = :sink")


@dataclass(slots=True)
class Span:
    """Marks of a stretch of time taken together. ``first`` and ``last`` are (time, seq) of marks; the newest SOL price
    is that of the last mark."""

    first: tuple[int, int]
    first_lamports: int
    last: tuple[int, int]
    last_lamports: int
    low_lamports: int
    high_lamports: int
    drawdown_bps_max: int
    sol_usd: str | None
    marks: int

    @classmethod
    def of(cls, ts_ns: int, seq: int, body: bytes) -> "Span":
        read = parse_json(body)
        equity, at = read["equity_lamports"], (ts_ns, seq)
        return cls(at, equity, at, equity, equity, equity, read["drawdown_bps"], read["sol_usd"], 1)

    def add(self, other: "Span") -> None:
        """Take marks in that are not in it yet; in whatever order, it comes to the same."""
        if other.first < self.first:
            self.first, self.first_lamports = other.first, other.first_lamports
        if other.last > self.last:
            self.last, self.last_lamports, self.sol_usd = other.last, other.last_lamports, other.sol_usd
        self.low_lamports = min(self.low_lamports, other.low_lamports)
        self.high_lamports = max(self.high_lamports, other.high_lamports)
        self.drawdown_bps_max = max(self.drawdown_bps_max, other.drawdown_bps_max)
        self.marks += other.marks


Spans = dict[int, Span]


class MarkBuckets:
    """The buckets of one run. Every method may be called from any thread. Raises: JournalUnavailable."""

    def __init__(self, store: JournalStore, run: int) -> None:
        self._store = store
        self._run = run

    def fold(self, rows_max: int = STEP_ROWS_MAX) -> int:
        """Fold the oldest marks that are in no bucket yet, at most so many; return how many there were."""
        with self._store.reading() as connection:
            after = _reached(connection, self._run)
            given = {"run": self._run, "after": after, "limit": rows_max}
            found = connection.execute(_UNFOLDED, given).all()
        if not found:
            return 0
        minutes = spans_of((Span.of(row.ts_ns, row.seq, row.body) for row in found), MINUTE_NS)
        hours = spans_of(minutes.values(), HOUR_NS)
        # A lost commit only means folding the same marks again, so it need not wait for the disk.
        with self._store.writing(syncs_later=True) as connection:
            if _reached(connection, self._run) != after:
                return len(found)  # another one was at it
            self._merge(connection, MINUTE_NS, minutes)
            self._merge(connection, HOUR_NS, hours)
            self._move(connection, found[-1].seq)
        return len(found)

    def spans(self, within: Range, bucket_ns: int) -> Spans | None:
        """Return what the marks within the range came to, by the beginning of each bucket in which there are any.

        They are put together from hours, minutes or single marks, whichever are the coarsest that fit; the ends of the
        range are exact. In buckets that are no whole number of minutes (beyond a day: of hours) each minute (hour)
        counts for the bucket in which its first mark lies. None while too much waits to be folded. Below a minute
        every mark is read: the caller bounds the range.
        """
        bounds = within.bounds(self._run)
        since, before = bounds["since"], min(bounds["until"], END_OF_TIME_NS - 1) + 1
        width_ns = _width(bucket_ns)
        with self._store.reading() as connection:
            reached = _reached(connection, self._run)
            given = {"run": self._run, "after": reached, "limit": TAIL_ROWS_MAX + 1}
            tail = connection.execute(_UNFOLDED, given).all()
            if len(tail) > TAIL_ROWS_MAX:
                return None
            parts = [Span.of(row.ts_ns, row.seq, row.body) for row in tail if since <= row.ts_ns < before]
            if width_ns is None:
                parts += self._singly(connection, since, before, reached)
            else:
                inner, outer = -(-since // width_ns) * width_ns, before // width_ns * width_ns
                if inner >= outer:
                    parts += self._singly(connection, since, before, reached)
                else:
                    parts += self._singly(connection, since, inner, reached)
                    parts += self._kept(connection, width_ns, (inner, outer), bucket_ns)
                    parts += self._singly(connection, outer, before, reached)
        return spans_of(parts, bucket_ns)

    def _singly(self, connection: sa.Connection, since: int, before: int, reached: int) -> Iterator[Span]:
        if since >= before:
            return
        for row in connection.execute(_BETWEEN, {"run": self._run, "since": since, "before": before}):
            if row.seq <= reached:
                yield Span.of(row.ts_ns, row.seq, row.body)

    def _kept(
        self, connection: sa.Connection, width_ns: int, bounds: tuple[int, int], bucket_ns: int
    ) -> Iterator[Span]:
        given = {"run": self._run, "width": width_ns, "inner": bounds[0], "outer": bounds[1], "bucket": bucket_ns}
        for row in connection.execute(_TOGETHER, given):
            yield _span(row)

    def _merge(self, connection: sa.Connection, width_ns: int, found: Spans) -> None:
        columns = mark_buckets.c
        known = sa.select(mark_buckets).where(
            columns.run == self._run, columns.width_ns == width_ns, columns.start_ns.in_(list(found))
        )
        for row in connection.execute(known):
            found[row.start_ns].add(_span(row))
        rows = [
            {
                "run": self._run,
                "width_ns": width_ns,
                "start_ns": start_ns,
                "first_ns": span.first[0],
                "first_seq": span.first[1],
                "first_lamports": span.first_lamports,
                "last_ns": span.last[0],
                "last_seq": span.last[1],
                "last_lamports": span.last_lamports,
                "low_lamports": span.low_lamports,
                "high_lamports": span.high_lamports,
                "drawdown_bps_max": span.drawdown_bps_max,
                "sol_usd": span.sol_usd,
                "marks": span.marks,
            }
            for start_ns, span in found.items()
        ]
        connection.execute(sa.insert(mark_buckets).prefix_with("OR REPLACE"), rows)

    def _move(self, connection: sa.Connection, seq: int) -> None:
        row = {"run": self._run, "sink": SINK, "seq": seq}
        connection.execute(sa.insert(cursors).prefix_with("OR REPLACE"), row)


def spans_of(parts: Iterable[Span], bucket_ns: int) -> Spans:
    """Return the parts taken together by bucket: each belongs to the one in which it begins."""
    found: Spans = {}
    for part in parts:
        start_ns = part.first[0] // bucket_ns * bucket_ns
        if start_ns in found:
            found[start_ns].add(part)
        else:
            found[start_ns] = replace(part)
    return found


def _width(bucket_ns: int) -> int | None:
    """Return how wide the kept buckets are of which such a bucket is made, None for single marks."""
    if bucket_ns % HOUR_NS == 0 or bucket_ns >= ODD_PARTS_MIN * HOUR_NS:
        return HOUR_NS
    return MINUTE_NS if bucket_ns >= MINUTE_NS else None


def _reached(connection: sa.Connection, run: int) -> int:
    return int(connection.execute(_CURSOR, {"run": run, "sink": SINK}).scalar_one_or_none() or 0)


def _span(row: sa.Row[tuple[object, ...]]) -> Span:
    return Span(
        first=(row.first_ns, row.first_seq),
        first_lamports=row.first_lamports,
        last=(row.last_ns, row.last_seq),
        last_lamports=row.last_lamports,
        low_lamports=row.low_lamports,
        high_lamports=row.high_lamports,
        drawdown_bps_max=row.drawdown_bps_max,
        sol_usd=row.sol_usd,
        marks=row.marks,
    )
