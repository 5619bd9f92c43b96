"""Old bars become hours and then days, a few rows at a time beside the desk's own writing.

What becomes one bar and what goes for it is one transaction, so wherever it is cut off no bar is lost or there twice,
and nothing needs to be remembered: what is left to do is seen in the rows themselves. A stretch with many bars is taken
together piece by piece, which comes to the same. The pages that become free are used for new bars.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from trading.config import BarsSection
from trading.model.units import NS_PER_S

from .sql_journal import JournalStore
from .stored_bars import StoredBar, apart, packed, stored, taken_together

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
LOOKED_ROWS_MAX: Final = 1_000
"""Rows that one piece of work looks at."""
TAKEN_ROWS_MAX: Final = 240
"""Rows that one transaction takes together: what the desk's own commit may have to wait for, a millisecond."""

_SPANS = sa.text(
    """
    WITH RECURSIVE found(mint) AS (
        SELECT min(mint) FROM kept_bars WHERE run = :run
        UNION ALL
        SELECT (SELECT min(mint) FROM kept_bars WHERE run = :run AND mint > found.mint)
        FROM found WHERE found.mint IS NOT NULL
    )
    SELECT mint,
        (SELECT min(open_ns) FROM kept_bars AS bar WHERE bar.run = :run AND bar.mint = found.mint) AS first_ns,
        (SELECT open_ns + width_ns FROM kept_bars AS bar WHERE bar.run = :run AND bar.mint = found.mint
            ORDER BY open_ns DESC LIMIT 1) AS until_ns
    FROM found WHERE mint IS NOT NULL
    """
)
_KEYS = sa.text(
    "SELECT open_ns, open_ns + width_ns AS close_ns FROM kept_bars "
    "WHERE run = :run AND mint = :mint AND open_ns >= :start AND open_ns < :before ORDER BY open_ns LIMIT :limit"
)
_COLUMNS = (
    "SELECT open_ns, width_ns, grain_s, parts, ohlcv FROM kept_bars WHERE run = :run AND mint = :mint AND open_ns "
)
_ROWS = sa.text(f"{_COLUMNS} >= :start AND open_ns < :before ORDER BY open_ns LIMIT :limit")
_ROW_BEFORE = sa.text(f"{_COLUMNS} < :start ORDER BY open_ns DESC LIMIT 1")
_DROP = sa.text("DELETE FROM kept_bars WHERE run = :run AND mint = :mint AND open_ns BETWEEN :first AND :last")
_PUT = sa.text(
    "INSERT INTO kept_bars (run, mint, open_ns, width_ns, grain_s, parts, ohlcv) "
    "VALUES (:run, :mint, :open_ns, :width_ns, :grain_s, :parts, :ohlcv)"
)


@dataclass(frozen=True, slots=True)
class _Series:
    """Bars of one token that opened before ``before_ns``, to be taken together by ``grain_s``."""

    run: int
    mint: int
    grain_s: int
    before_ns: int

    @property
    def key(self) -> dict[str, int]:
        return {"run": self.run, "mint": self.mint}

    @property
    def name(self) -> tuple[int, int, int]:
        return self.run, self.mint, self.grain_s

    def begins(self, ts_ns: int) -> int:
        """Return when the hour or day of that time begins."""
        grain_ns = self.grain_s * NS_PER_S
        return ts_ns // grain_ns * grain_ns


class BarThinning:
    """Thins the bars of every run. ``run`` is the one that goes on: an earlier one's bars grow old with it, or by their
    own newest bar, whichever is later. Every method may be called from any thread, by one at a time.

    Raises: JournalUnavailable.
    """

    def __init__(self, store: JournalStore, run: int, section: BarsSection) -> None:
        self._store = store
        self._run = run
        self._tiers = ((DAY_S, section.hours_days), (HOUR_S, section.every_days))
        self._reached: dict[tuple[int, int, int], int] = {}

    def round(self) -> Iterator[int]:
        """Look at every bar that became old enough since the last round, in the first one at all that are, and take
        together what is due. After each small piece of work it yields how many rows there are less."""
        looked = 0
        for series in self._all_series():
            start_ns = self._reached.get(series.name, 0)
            while True:
                due_ns, next_ns, rows = self._look(series, start_ns)
                looked += rows
                if due_ns is not None:
                    next_ns, taken = self._take(series, due_ns)
                    yield taken
                    looked = 0
                elif looked >= LOOKED_ROWS_MAX:
                    yield 0
                    looked = 0
                if next_ns is None:
                    break
                start_ns = next_ns
            self._reached[series.name] = series.before_ns

    def _all_series(self) -> Iterator[_Series]:
        newest_ns = max((row.until_ns for row in self._spans(self._run)), default=0)
        for run in self._store.all_runs():
            spans = self._spans(run.number)
            end_ns = max([newest_ns, *(row.until_ns for row in spans)]) if run.number != self._run else newest_ns
            for row in spans:
                for grain_s, days in self._tiers:
                    grain_ns = grain_s * NS_PER_S
                    before_ns = (end_ns - days * DAY_S * NS_PER_S) // grain_ns * grain_ns
                    series = _Series(run.number, row.mint, grain_s, before_ns)
                    if max(row.first_ns, self._reached.get(series.name, 0)) < before_ns:
                        yield series

    def _spans(self, run: int) -> Sequence[Any]:
        """Return each token of a run with the opening of its first bar and the close of its last."""
        with self._store.reading() as connection:
            return connection.execute(_SPANS, {"run": run}).all()

    def _look(self, series: _Series, start_ns: int) -> tuple[int | None, int | None, int]:
        """Return where the first stretch begins that is due, where to look on (None: all was looked at), and how many
        rows were looked at."""
        given = series.key | {"start": start_ns, "before": series.before_ns, "limit": LOOKED_ROWS_MAX}
        with self._store.reading() as connection:
            found = connection.execute(_KEYS, given).all()
        until_ns = begins_ns = -1
        for row in found:
            if series.begins(row.open_ns) == begins_ns or row.open_ns < until_ns:
                return series.begins(row.open_ns), None, len(found)
            until_ns, begins_ns = row.close_ns, series.begins(row.open_ns)
        # The last one again: what comes after it may belong to it.
        return None, begins_ns if len(found) == LOOKED_ROWS_MAX else None, len(found)

    def _take(self, series: _Series, start_ns: int) -> tuple[int, int]:
        """Take the stretches from there on together, as many as one transaction may; return where to look on and how
        many rows there are less."""
        given = series.key | {"start": start_ns, "before": series.before_ns, "limit": TAKEN_ROWS_MAX}
        with self._store.reading() as connection:
            found, before = connection.execute(_ROWS, given).all(), connection.execute(_ROW_BEFORE, given).all()
        drops, puts = _changes(series, [stored(row) for row in before], [stored(row) for row in found])
        if not drops:
            return start_ns + series.grain_s * NS_PER_S, 0
        # Its commit waits for no disk: one that is lost means only that the bars are there as they were.
        with self._store.writing(syncs_later=True) as connection:
            if connection.execute(_ROWS, given).all() != found:
                return start_ns, 0  # something was told of it in between
            taken = sum(connection.execute(_DROP, series.key | drop).rowcount for drop in drops)
            if puts:
                connection.execute(_PUT, [series.key | put for put in puts])
        return series.begins(found[-1].open_ns), taken - len(puts)


def _changes(
    series: _Series, before: list[StoredBar], found: list[StoredBar]
) -> tuple[list[dict[str, int]], list[dict[str, Any]]]:
    """Return which times are to be dropped and the rows that take their place; a stretch that is one bar stays."""
    kept = {bar.open_ns for bar in apart([*before, *found])}
    drops: list[dict[str, int]] = []
    puts: list[dict[str, Any]] = []
    for _, bars in groupby(found, key=lambda bar: series.begins(bar.open_ns)):
        told = list(bars)
        own = [bar for bar in told if bar.open_ns in kept]
        if len(told) == len(own) == 1:
            continue
        drops.append({"first": told[0].open_ns, "last": told[-1].open_ns})
        if own:
            puts.append(_row(own[0] if len(own) == 1 else taken_together(own, series.grain_s)))
    return drops, puts


def _row(bar: StoredBar) -> dict[str, Any]:
    return {
        "open_ns": bar.open_ns,
        "width_ns": bar.close_ns - bar.open_ns,
        "grain_s": bar.grain_s,
        "parts": bar.parts,
        "ohlcv": packed(bar.open, bar.high, bar.low, bar.close, bar.volume),
    }
