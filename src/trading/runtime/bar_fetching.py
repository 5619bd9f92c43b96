"""Fetch the bars of one market: from where the file stops, page by page, closed bars only, never rewriting the past."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from trading.config import FetchSection
from trading.errors import FeedUnavailable, InvalidInput
from trading.feeds.bar_rows import RowProblem, parse_row
from trading.feeds.bar_store import (
    CHANGES_MAX,
    BarSeries,
    ChangedBar,
    Values,
    bars_path,
    held,
    load_bars,
    missing_bars,
    store_bars,
)
from trading.model.units import NS_PER_S
from trading.ports import BarSource

from .documents import iso

DAY_S: Final = 86_400
UNSETTLED: Final = "unsettled"
"""The count of bars that were not over yet."""

_Answer = TypeVar("_Answer")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class FetchReport:
    """What a fetch brought. ``refused`` counts rows that are no bars, by why; ``changed_total`` counts what ``changed``
    shows the first of. ``gaps`` are places in the file where bars are missing. ``trouble`` is why it stopped early;
    what had come until then is stored."""

    path: Path
    symbol: str
    rows_before: int = 0
    rows_new: int = 0
    rows_compared: int = 0
    pages: int = 0
    retries: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    changed: list[ChangedBar] = field(default_factory=list)
    changed_total: int = 0
    first_s: int | None = None
    last_s: int | None = None
    gaps: int = 0
    bars_missing: int = 0
    rows_sha256: str = ""
    trouble: FeedUnavailable | None = None

    @property
    def is_clean(self) -> bool:
        """True when the source told its past as before, and the fetch came to its end."""
        return self.changed_total == 0 and self.trouble is None

    def note_change(self, change: ChangedBar) -> None:
        self.changed_total += 1
        if len(self.changed) < CHANGES_MAX:
            self.changed.append(change)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "path": str(self.path),
            "symbol": self.symbol,
            "rows_before": self.rows_before,
            "rows_new": self.rows_new,
            "rows_compared": self.rows_compared,
            "pages": self.pages,
            "retries": self.retries,
            "refused": dict(sorted(self.refused.items())),
            "changed_total": self.changed_total,
            "changed": [
                {"ts": iso(each.ts_s * NS_PER_S), "stored": list(each.stored), "received": list(each.received)}
                for each in self.changed
            ],
            "first": None if self.first_s is None else iso(self.first_s * NS_PER_S),
            "last": None if self.last_s is None else iso(self.last_s * NS_PER_S),
            "gaps": self.gaps,
            "bars_missing": self.bars_missing,
            "rows_sha256": self.rows_sha256,
            "trouble": None if self.trouble is None else self.trouble.message,
        }


@dataclass(frozen=True, slots=True)
class FetchWish:
    """``since_s`` unset: where the file stops, or ``FetchSection.since_days_default`` back where there is none.
    ``until_s`` unset: now."""

    data_dir: Path
    since_s: int | None = None
    until_s: int | None = None


async def fetch(source: BarSource, wish: FetchWish, section: FetchSection, sleep: Sleep = anyio.sleep) -> FetchReport:
    """Bring the file of the source's market up to date; whatever ends the fetch, what had come is stored first.

    Raises: InvalidInput (market, another fetch of it under way), DataError (the file is damaged, the disk is full).
    """
    path = bars_path(wish.data_dir, source.market)
    with held(path):
        series = load_bars(path, source.market)
        return await _Fetch(source, section, sleep, series, FetchReport(path, source.market.symbol)).run(wish)


async def again_and_again(
    call: Callable[[], Awaitable[_Answer]],
    section: FetchSection,
    sleep: Sleep = anyio.sleep,
    failed: Callable[[FeedUnavailable], float] = lambda _: 0.0,
) -> _Answer:
    """Return the answer to a question that is asked again while the source fails, as often as the section allows.

    ``failed`` is told of each failure and says how long the source asks to be left alone.
    """
    for attempt in range(1, section.attempts_max):
        try:
            return await call()
        except FeedUnavailable as error:
            backoff_s = min(section.backoff_cap_s, section.backoff_base_s * 2.0 ** (attempt - 1))
            await sleep(max(backoff_s, min(failed(error), section.retry_after_cap_s)))
    return await call()


class _Fetch:
    """One fetch under way."""

    def __init__(
        self, source: BarSource, section: FetchSection, sleep: Sleep, series: BarSeries, report: FetchReport
    ) -> None:
        self._source = source
        self._section = section
        self._sleep = sleep
        self._series = series
        self._report = report
        self._interval_s = source.market.interval_s
        self._unstored = 0

    async def run(self, wish: FetchWish) -> FetchReport:
        report, series = self._report, self._series
        report.rows_before = len(series.bars)
        try:
            await self._pages(self._begin_s(wish), wish.until_s)
        except FeedUnavailable as error:
            report.trouble = error
        finally:
            if self._unstored:
                self._store()
        report.first_s, report.last_s = series.first_s, series.last_s
        report.gaps, report.bars_missing = missing_bars(sorted(series.bars), self._interval_s)
        return report

    def _begin_s(self, wish: FetchWish) -> int:
        interval_s, last_s = self._interval_s, self._series.last_s
        if wish.since_s is not None:
            begin_s = wish.since_s
        elif last_s is not None:
            begin_s = max(self._series.first_s or 0, last_s - (self._section.overlap_bars - 1) * interval_s)
        else:
            begin_s = int(self._source.now_s()) - self._section.since_days_default * DAY_S
        if wish.until_s is not None and begin_s >= wish.until_s:
            msg = f"since ({iso(begin_s * NS_PER_S)}) must be before until ({iso(wish.until_s * NS_PER_S)})"
            raise InvalidInput(msg, field="since")
        return -(-begin_s // interval_s) * interval_s

    async def _pages(self, cursor_s: int, until_s: int | None) -> None:
        section, report = self._section, self._report
        while cursor_s + self._interval_s <= self._closed_s(until_s):
            if report.pages >= section.pages_max:
                msg = f"{report.symbol}: {section.pages_max} pages were fetched"
                raise FeedUnavailable(msg, hint="fetch again: it goes on where it stopped")
            rows = await self._asked(cursor_s)
            report.pages += 1
            found = self._bars_of(rows, self._closed_s(until_s))
            self._take(found, cursor_s)
            later = [ts_s for ts_s in found if ts_s >= cursor_s]
            # A short page may be the source's own bound, and a hole at its end too: only an empty one is passed over.
            cursor_s = max(later) + self._interval_s if later else cursor_s + self._source.page_bars * self._interval_s
            self._unstored += 1
            if self._unstored >= section.store_pages:
                self._store()

    def _closed_s(self, until_s: int | None) -> int:
        """Return the time until which bars are over, by the source's own clock."""
        closed_s = int(self._source.now_s() - self._section.settle_s)
        return closed_s if until_s is None else min(closed_s, until_s)

    async def _asked(self, from_s: int) -> Sequence[Sequence[str | int]]:
        def failed(_error: FeedUnavailable) -> float:
            self._report.retries += 1
            return self._source.away_s

        return await again_and_again(lambda: self._source.page(from_s), self._section, self._sleep, failed)

    def _bars_of(self, rows: Sequence[Sequence[str | int]], closed_s: int) -> dict[int, Values]:
        """Return the closed bars of a page by time; what is none is counted by why."""
        refused = self._report.refused
        found: dict[int, Values] = {}
        conflicting: set[int] = set()
        for row in rows:
            try:
                ts_s = parse_row("bars", row).ts_s
            except (RowProblem, IndexError) as problem:
                refused[problem.kind if isinstance(problem, RowProblem) else "short"] += 1
                continue
            values: Values = tuple(map(str, row[1:6]))  # type: ignore[assignment]
            if ts_s % self._interval_s:
                refused["off_grid"] += 1
            elif ts_s + self._interval_s > closed_s:
                refused[UNSETTLED] += 1
            elif found.setdefault(ts_s, values) != values:
                conflicting.add(ts_s)
        for ts_s in sorted(conflicting):  # told twice and differently: nobody knows which is true
            del found[ts_s]
            refused["conflicting"] += 1
        return found

    def _take(self, found: dict[int, Values], cursor_s: int) -> None:
        """Add what is new from the cursor on; bars before it are only compared."""
        report, series = self._report, self._series
        for ts_s in sorted(found):
            if ts_s in series.bars:
                report.rows_compared += 1
                change = series.take(ts_s, found[ts_s])
                if change is not None:
                    report.note_change(change)
            elif ts_s >= cursor_s:
                series.take(ts_s, found[ts_s])
                report.rows_new += 1

    def _store(self) -> None:
        self._unstored = 0
        if self._series.bars:
            self._series.fetched_s = int(self._source.now_s())
            self._report.rows_sha256 = store_bars(self._report.path, self._series)
