"""Questions to a run's past that must not read the run: every answer comes through an index, however long it is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from trading.ports import JournalRow

from .canonical import parse_json
from .journal_schema import mentions, rows, trades
from .sql_journal import JournalStore
from .stored_bars import StoredBar, stored

# The index is named, because SQLite, which keeps no statistics here, may else read the run from its first row.
# The newest mark, then again and again the newest one of an earlier bucket: as many seeks as points, however many
# marks lie between them.
_LAST_OF_EACH_BUCKET = sa.text(
    """
    WITH RECURSIVE points(ts_ns) AS (
        SELECT max(ts_ns) FROM rows INDEXED BY rows_marked
        WHERE run = :run AND kind = 'cycle_marked' AND ts_ns BETWEEN :since AND :until
        UNION ALL
        SELECT (
            SELECT max(ts_ns) FROM rows INDEXED BY rows_marked
            WHERE run = :run AND kind = 'cycle_marked' AND ts_ns >= :since AND ts_ns < points.ts_ns / :bucket * :bucket
        )
        FROM points WHERE points.ts_ns IS NOT NULL LIMIT :limit
    )
    SELECT marked.ts_ns, marked.body
    FROM points CROSS JOIN rows AS marked INDEXED BY rows_marked
    WHERE marked.run = :run AND marked.kind = 'cycle_marked' AND marked.ts_ns = points.ts_ns
    ORDER BY marked.ts_ns, marked.seq
    """
)
_MARKED = (
    "FROM rows INDEXED BY rows_marked WHERE run = :run AND kind = 'cycle_marked' AND ts_ns BETWEEN :since AND :until"
)
# In two questions: asked for both ends at once, SQLite reads all that lies between.
_SPAN = sa.text(f"SELECT (SELECT min(ts_ns) {_MARKED}), (SELECT max(ts_ns) {_MARKED})")
_COUNT = sa.text(f"SELECT count(*) FROM (SELECT 1 {_MARKED} LIMIT :limit)")  # noqa: S608
_SEQ_BEFORE = sa.text(
    "SELECT seq FROM rows INDEXED BY rows_marked WHERE run = :run AND kind = 'cycle_marked' AND ts_ns < :ts "
    "ORDER BY ts_ns DESC, seq DESC LIMIT 1"
)
# Inputs are in no index of kinds: said in so many words, or SQLite does not use it.
_OF_KIND = sa.text("SELECT count(*) FROM rows WHERE run = :run AND kind = :kind AND kind <> 'input'")
_REJECTED = sa.text(
    "SELECT json_extract(CAST(body AS TEXT), '$.rejected.reason') AS reason, count(*) FROM rows "
    "WHERE run = :run AND kind = 'order_rejected' AND kind <> 'input' GROUP BY reason"
)
_SEQ_FROM = sa.text(
    "SELECT seq FROM rows INDEXED BY rows_marked WHERE run = :run AND kind = 'cycle_marked' AND ts_ns >= :ts "
    "ORDER BY ts_ns, seq LIMIT 1"
)
# The seq of the n-th newest row of a kind: out of the index alone, without reading a body.
_NTH_NEWEST = sa.text(
    "SELECT seq FROM rows WHERE run = :run AND kind = :kind AND kind <> 'input' AND seq < :before "
    "ORDER BY seq DESC LIMIT 1 OFFSET :skipped"
)
_FOLDED = sa.text(
    """
    SELECT kind,
        CASE kind
            WHEN 'signal_raised'
                THEN CASE WHEN CAST(json_extract(told, '$.signal.strength') AS REAL) > 0 THEN 'buy' ELSE 'sell' END
            WHEN 'order_filled' THEN json_extract(told, '$.fill.side')
            ELSE json_extract(told, '$.order.purpose')
        END AS what,
        json_extract(told, '$.denied.reason') AS reason,
        count(*) AS number
    FROM (
        SELECT kind, CAST(body AS TEXT) AS told FROM rows
        WHERE run = :run AND kind IN :kinds AND kind <> 'input' AND seq > :after AND seq < :before
            AND ts_ns BETWEEN :since AND :until
    )
    WHERE :mint IS NULL OR :mint = coalesce(
        json_extract(told, '$.mint'), json_extract(told, '$.forecast.mint'), json_extract(told, '$.signal.mint'),
        json_extract(told, '$.order.mint'), json_extract(told, '$.fill.mint')
    )
    GROUP BY kind, what, reason
    """
).bindparams(sa.bindparam("kinds", expanding=True))
_TIME_OF = sa.text("SELECT ts_ns FROM rows WHERE run = :run AND seq = :seq")
_OF_MINT = (
    "SELECT open_ns, width_ns, grain_s, parts, ohlcv FROM kept_bars "
    "WHERE run = :run AND mint = (SELECT number FROM mints WHERE mint = :mint) AND open_ns "
)
_BARS = sa.text(f"{_OF_MINT} BETWEEN :since AND :until ORDER BY open_ns DESC LIMIT :limit")
_BAR_BEFORE = sa.text(f"{_OF_MINT} < :since ORDER BY open_ns DESC LIMIT 1")
END_OF_TIME_NS = 2**63 - 1
_CHUNK = 500


def within_time(ts_ns: int) -> int:
    """Return the nearest time that the database can hold."""
    return min(max(0, ts_ns), END_OF_TIME_NS)


@dataclass(frozen=True, slots=True)
class StoredTrade:
    """A fill as it is shown; ``number`` counts from 1 over the whole run."""

    number: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TradeFilter:
    """Which fills are wanted; None: any. ``is_won`` of sales: whether they realised more than nothing. ``is_in`` a
    bucket of this name, or (``is_not_in``) in any other. From ``since_ns`` on, before ``until_ns``."""

    strategy: str | None = None
    mint: str | None = None
    side: str | None = None
    is_won: bool | None = None
    is_in: str | None = None
    is_not_in: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        columns = trades.c
        realised, bucket = columns.realised_lamports, columns.bucket
        given: list[tuple[object, sa.ColumnElement[bool]]] = [
            (self.strategy, columns.strategy == self.strategy),
            (self.mint, columns.mint == self.mint),
            (self.side, columns.side == self.side),
            (self.is_won, realised > 0 if self.is_won else realised <= 0),
            (self.is_in, bucket == self.is_in),
            (self.is_not_in, bucket != self.is_not_in),
            (self.since_ns, columns.ts_ns >= within_time(self.since_ns or 0)),
            (self.until_ns, columns.ts_ns < within_time(self.until_ns or 0)),
        ]
        return [condition for wish, condition in given if wish is not None]


ANY_TRADE = TradeFilter()


@dataclass(frozen=True, slots=True)
class TradeTotals:
    """All fills that a filter lets through, added up. ``won`` and ``lost`` count sales."""

    trades: int
    won: int
    lost: int
    realised_lamports: int
    fee_lamports: int


@dataclass(frozen=True, slots=True)
class Tallied:
    """So many rows of a kind: ``what`` is the purpose of an order, the side of a fill, or what a signal asks for."""

    kind: str
    what: str
    reason: str
    number: int


@dataclass(frozen=True, slots=True)
class Tally:
    """``since_ns``: from when on rows were counted, later than was asked for where there were too many."""

    since_ns: int
    found: tuple[Tallied, ...]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Range:
    """Times in nanoseconds, both ends included; None is without a bound."""

    since_ns: int | None = None
    until_ns: int | None = None

    def bounds(self, run: int) -> dict[str, int]:
        until_ns = END_OF_TIME_NS if self.until_ns is None else self.until_ns
        return {"run": run, "since": within_time(self.since_ns or 0), "until": within_time(until_ns)}


class RunArchive:
    """Reads one run of a store; every method may be called from any thread. Raises: JournalUnavailable."""

    def __init__(self, store: JournalStore, run: int) -> None:
        self._store = store
        self._run = run

    def marks(self, within: Range, *, bucket_ns: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
        """Return (time, body) of the last mark of each bucket in which there is one: the newest ``limit``, oldest
        first."""
        given = within.bounds(self._run) | {"bucket": bucket_ns, "limit": limit}
        with self._store.reading() as connection:
            found = connection.execute(_LAST_OF_EACH_BUCKET, given).all()
        return [(row.ts_ns, parse_json(row.body)) for row in found]

    def count(self, within: Range, limit: int) -> int:
        """Return how many marks there are, counting to ``limit`` at most."""
        with self._store.reading() as connection:
            return int(connection.execute(_COUNT, within.bounds(self._run) | {"limit": limit}).scalar_one())

    def span(self, within: Range) -> tuple[int, int] | None:
        """Return the times of the first and the last mark, None where there is none."""
        with self._store.reading() as connection:
            first, last = connection.execute(_SPAN, within.bounds(self._run)).one()
        return None if first is None else (first, last)

    def seq_before(self, ts_ns: int) -> int:
        """Return the seq of the newest mark before that time, 0 where there is none: what came later lies behind it."""
        with self._store.reading() as connection:
            return int(connection.execute(_SEQ_BEFORE, {"run": self._run, "ts": ts_ns}).scalar_one_or_none() or 0)

    def count_of(self, kind: str) -> int:
        """Return how many rows of a kind there are."""
        with self._store.reading() as connection:
            return int(connection.execute(_OF_KIND, {"run": self._run, "kind": kind}).scalar_one())

    def rejections(self) -> dict[str, int]:
        """Return how many orders were turned down by the venue, by reason."""
        with self._store.reading() as connection:
            found = connection.execute(_REJECTED, {"run": self._run}).all()
        return {str(reason): int(count) for reason, count in found}

    def seq_from(self, ts_ns: int) -> int | None:
        """Return the seq of the first mark at that time or later, None where there is none."""
        with self._store.reading() as connection:
            given = {"run": self._run, "ts": within_time(ts_ns)}
            return connection.execute(_SEQ_FROM, given).scalar_one_or_none()

    def tally(self, kinds: Sequence[str], within: Range, *, mint: str | None, limit: int) -> Tally:
        """Count rows of these kinds within the range, of one token or of all, by what is in them.

        Of no kind more than the newest ``limit`` rows are read: where one has more, all are counted from there on.
        """
        given = within.bounds(self._run)
        after = 0 if within.since_ns is None else self.seq_before(given["since"])
        before = END_OF_TIME_NS
        if within.until_ns is not None and given["until"] < END_OF_TIME_NS:
            before = self.seq_from(given["until"] + 1) or END_OF_TIME_NS
        with self._store.reading() as connection:
            asked = {"run": self._run, "before": before, "skipped": limit}
            floors = [connection.execute(_NTH_NEWEST, asked | {"kind": kind}).scalar_one_or_none() for kind in kinds]
            floor = max((seq for seq in floors if seq is not None), default=0)
            is_cut = floor > after
            if is_cut:
                cut_ns = connection.execute(_TIME_OF, {"run": self._run, "seq": floor}).scalar_one()
                is_cut, given["since"] = cut_ns >= given["since"], max(cut_ns, given["since"])
            bounds = given | {"after": max(after, floor), "before": before, "kinds": list(kinds), "mint": mint}
            rows_of = connection.execute(_FOLDED, bounds).all()
        found = (Tallied(row.kind, str(row.what or ""), str(row.reason or ""), row.number) for row in rows_of)
        return Tally(given["since"], tuple(found), is_cut)

    def mentioning(self, names: Collection[str], kinds: Collection[str] = ()) -> list[JournalRow]:
        """Return the rows that speak of one of these orders or trajectories, in order."""
        spoken = sa.select(mentions.c.seq).where(mentions.c.run == self._run, mentions.c.name.in_(names))
        query = sa.select(rows.c.seq, rows.c.ts_ns, rows.c.kind, rows.c.body).where(rows.c.run == self._run)
        with self._store.reading() as connection:
            # In two steps, or the database may read the run and look each row up among the names.
            seqs = sorted(set(connection.execute(spoken).scalars()))
            found = [
                row
                for first in range(0, len(seqs), _CHUNK)
                for row in connection.execute(query.where(rows.c.seq.in_(seqs[first : first + _CHUNK])))
            ]
        wanted = [row for row in found if not kinds or row.kind in kinds]
        return sorted((JournalRow(row.seq, row.ts_ns, row.kind, row.body) for row in wanted), key=_seq_of)

    def trades(self, *, before: int | None, limit: int, wanted: TradeFilter = ANY_TRADE) -> list[StoredTrade]:
        """Return the wanted fills with a number below ``before``, newest first."""
        query = sa.select(trades.c.number, trades.c.body).where(trades.c.run == self._run, *wanted.conditions())
        if before is not None:
            query = query.where(trades.c.number < before)
        with self._store.reading() as connection:
            found = connection.execute(query.order_by(trades.c.number.desc()).limit(limit)).all()
        return [StoredTrade(row.number, parse_json(row.body)) for row in found]

    def trade_totals(self, wanted: TradeFilter) -> TradeTotals:
        """Return what the wanted fills come to, all of them."""
        realised = trades.c.realised_lamports
        query = sa.select(
            sa.func.count(),
            sa.func.count().filter(realised > 0),
            sa.func.count().filter(realised <= 0),
            sa.func.coalesce(sa.func.sum(realised), 0),
            sa.func.coalesce(sa.func.sum(trades.c.fee_lamports), 0),
        ).where(trades.c.run == self._run, *wanted.conditions())
        with self._store.reading() as connection:
            return TradeTotals(*map(int, connection.execute(query).one()))

    def traded(self, limit: int) -> list[tuple[str, int]]:
        """Return the tokens that were traded and how often, the one that was traded last first."""
        query = sa.select(trades.c.mint, sa.func.count()).where(trades.c.run == self._run, trades.c.mint.is_not(None))
        query = query.group_by(trades.c.mint).order_by(sa.func.max(trades.c.number).desc()).limit(limit)
        with self._store.reading() as connection:
            return [(str(mint), int(count)) for mint, count in connection.execute(query)]

    def bars(self, mint: str, within: Range, *, limit: int) -> list[StoredBar]:
        """Return the newest ``limit`` bars of a token that opened within the range, oldest first, and before them the
        one that was taken together over an hour or a day in which the range begins."""
        given = within.bounds(self._run)
        with self._store.reading() as connection:
            found = [stored(row) for row in connection.execute(_BARS, given | {"mint": mint, "limit": limit})]
            if len(found) < limit:
                before = [stored(row) for row in connection.execute(_BAR_BEFORE, given | {"mint": mint})]
                found += [bar for bar in before if bar.grain_s and bar.close_ns > given["since"]]
        return found[::-1]


def _seq_of(row: JournalRow) -> int:
    return row.seq
