"""Old bars become hours and days: no candle changes, wherever the work is cut off, and the file stops growing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading.adapters.bar_thinning import TAKEN_ROWS_MAX, BarThinning
from trading.adapters.journal_archive import Range, RunArchive
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.adapters.stored_bars import StoredBar, apart
from trading.config import BarsSection
from trading.model.market_data import Bar
from trading.model.rug_rules import RugRules
from trading.runtime.history import RunView
from trading.runtime.price_history import _candles, candles

S = 10**9
DAY, HOUR = 86_400, 3_600
SHORT = BarsSection(every_days=2, hours_days=7)
pytestmark = pytest.mark.requirement("D4")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def tell(journal: SqlJournal, mint: str, starts_s: range | list[int], width_s: int = 300, seed: int = 1) -> None:
    """Keep bars with prices by chance, always the same ones of a seed."""
    chance = Random(f"{mint}/{seed}")
    for start_s in starts_s:
        low, opened, close, high = (Decimal(each).scaleb(-9) for each in sorted(chance.choices(range(1, 10**7), k=4)))
        volume = Decimal(chance.randrange(10**12)).scaleb(-6)
        journal.remember_bar(
            Bar(mint, start_s * S, (start_s + width_s) * S, opened, high, low, close, volume, None, None, "x")
        )
    journal.commit()


def thin(store: JournalStore, run: int, section: BarsSection = SHORT) -> list[int]:
    return list(BarThinning(store, run, section).round())


def all_bars(journal: SqlJournal, mint: str = "A") -> list[StoredBar]:
    return RunArchive(journal.store, journal.run).bars(mint, Range(), limit=10**6)


def shown(journal: SqlJournal, width_s: int, mint: str = "A") -> list[dict[str, Any]]:
    return _candles(apart(all_bars(journal, mint)), width_s * S)


def test_old_bars_become_hours_and_older_ones_days_and_every_candle_stays_what_it_was(store: JournalStore) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", range(0, 10 * DAY, 300))
    tell(journal, "B", range(6 * DAY, 10 * DAY, 900), 900)
    journal.append(1, "cycle_marked", {"cycle": 1})
    journal.commit()
    rows_before = journal.sha256()
    hours, days, others = shown(journal, HOUR), shown(journal, DAY), shown(journal, HOUR, "B")
    assert max(thin(store, journal.run)) < TAKEN_ROWS_MAX
    assert shown(journal, DAY) == days
    assert shown(journal, HOUR)[-7 * 24 :] == hours[-7 * 24 :]
    assert shown(journal, HOUR, "B") == others
    grains = [each.grain_s for each in all_bars(journal)]
    assert grains == [DAY] * 3 + [HOUR] * 24 * 5 + [0] * 2 * 288
    assert journal.sha256() == rows_before  # a run is replayed from its rows, which nothing of this touches
    assert thin(store, journal.run) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.lists(st.tuples(st.integers(0, 480), st.sampled_from([60, 300, 420, 900, 5_400])), max_size=90),
    every=st.sampled_from([TAKEN_ROWS_MAX, 3]),
)
def test_bars_of_any_widths_and_gaps_come_to_the_same_candles(
    store: JournalStore, told: list[tuple[int, int]], every: int
) -> None:
    journal = store.start_run(f"r{id(told)}-{len(store.all_runs())}", "r", 0)
    for start, width_s in told:
        tell(journal, "A", [start * 180], width_s, seed=start)
    tell(journal, "A", [9 * DAY])
    hours = shown(journal, HOUR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trading.adapters.bar_thinning.TAKEN_ROWS_MAX", every)
        patch.setattr("trading.adapters.bar_thinning.LOOKED_ROWS_MAX", every)
        thin(store, journal.run, BarsSection(every_days=2, hours_days=30))
    assert shown(journal, HOUR) == hours
    opened = [each.open_ns // (HOUR * S) for each in all_bars(journal)]
    assert len(opened) == len(set(opened))


def test_what_lies_within_a_bar_of_the_hour_before_is_left_out_as_it_was_in_charts(
    store: JournalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading.adapters.bar_thinning.TAKEN_ROWS_MAX", 2)
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", [HOUR // 2], 2 * HOUR)
    tell(journal, "A", [HOUR, HOUR + 900, 2 * HOUR + 900], 900)
    tell(journal, "A", [2 * HOUR + 1_800, 7 * HOUR, 3 * DAY], 900)
    tell(journal, "A", [6 * HOUR], 2 * HOUR)
    hours = shown(journal, HOUR)
    assert [each["bars"] for each in hours] == [1, 1, 1, 1]
    thin(store, journal.run)
    assert shown(journal, HOUR) == hours
    assert len(all_bars(journal)) == 4


def test_a_bar_that_reaches_into_a_thinned_hour_holds_nothing_up(
    store: JournalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trading.adapters.bar_thinning.TAKEN_ROWS_MAX", 2)
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", [*range(HOUR, 2 * HOUR, 300), 3 * DAY])
    thin(store, journal.run)
    tell(journal, "A", [HOUR - 900], 1_800)
    tell(journal, "A", [*range(5 * HOUR, 6 * HOUR, 300), 4 * DAY])
    thin(store, journal.run)
    assert [each.parts for each in all_bars(journal)] == [1, 12, 12, 1, 1]


def test_an_hour_of_many_bars_is_taken_together_in_pieces(store: JournalStore) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", range(HOUR), 1)
    tell(journal, "A", [3 * DAY])
    [hour, _] = shown(journal, HOUR)
    pieces = thin(store, journal.run)
    assert len(pieces) >= HOUR // TAKEN_ROWS_MAX
    assert max(pieces) < TAKEN_ROWS_MAX
    assert shown(journal, HOUR)[0] == hour
    assert [each.parts for each in all_bars(journal)] == [HOUR, 1]


class Cut(Exception):
    """The process ended here."""


def test_wherever_it_is_cut_off_no_bar_is_lost_or_there_twice(store: JournalStore) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", range(0, 4 * DAY, 900), 900)
    hours = shown(journal, HOUR)
    left: list[int] = []

    def count_down(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Cut

    cuts = 0
    sa.event.listen(store._engine, "after_cursor_execute", count_down)
    try:
        for statements in range(200):
            left[:] = [statements]
            try:
                thin(store, journal.run)
            except Cut:
                cuts += 1
                left[:] = [10**9]
                assert shown(journal, HOUR) == hours
                continue
            break
    finally:
        sa.event.remove(store._engine, "after_cursor_execute", count_down)
    assert cuts > 10
    assert len(all_bars(journal)) == 2 * 24 + 2 * 96
    assert thin(store, journal.run) == []


def test_what_is_told_of_a_thinned_time_once_more_changes_nothing(store: JournalStore) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", range(0, 4 * DAY, 300))
    hours = shown(journal, HOUR)
    thin(store, journal.run)
    tell(journal, "A", range(DAY, 3 * DAY, 300), seed=2)
    assert shown(journal, HOUR)[: 2 * 24] == hours[: 2 * 24]
    thin(store, journal.run)
    assert shown(journal, HOUR)[: 2 * 24] == hours[: 2 * 24]
    assert len(all_bars(journal)) == 2 * 24 + 2 * 288


def test_what_is_told_while_it_is_taken_together_is_not_lost(
    store: JournalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", [*range(0, HOUR, 600), 3 * DAY])
    writing = store.writing

    def told_before(**given: bool) -> Any:
        monkeypatch.setattr(store, "writing", writing)
        tell(journal, "A", [300])
        return writing(**given)

    monkeypatch.setattr(store, "writing", told_before)
    thin(store, journal.run)
    assert [each.parts for each in all_bars(journal)] == [7, 1]


def test_an_earlier_run_grows_old_with_the_one_that_goes_on(store: JournalStore) -> None:
    earlier, other = store.start_run("a", "a", 0), store.start_run("b", "b", 0)
    tell(earlier, "A", range(0, DAY, 300))
    tell(other, "A", range(20 * DAY, 24 * DAY, 300))
    now = store.start_run("c", "c", 0)
    thin(store, now.run)
    assert (len(all_bars(earlier)), len(all_bars(other))) == (288, 2 * 24 + 2 * 288)
    tell(now, "B", [22 * DAY])
    thin(store, now.run)
    assert (len(all_bars(earlier)), len(all_bars(other))) == (1, 2 * 24 + 2 * 288)


def test_a_range_that_begins_within_a_thinned_hour_holds_that_hour(store: JournalStore) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", range(0, 4 * DAY, 300))
    thin(store, journal.run)
    archive = RunArchive(store, journal.run)
    [hour] = archive.bars("A", Range(5 * HOUR * S + 1, 6 * HOUR * S - 1), limit=9)
    assert (hour.open_ns, hour.parts) == (5 * HOUR * S, 12)
    assert [each.open_ns for each in archive.bars("A", Range(5 * HOUR * S, 6 * HOUR * S), limit=1)] == [6 * HOUR * S]
    assert archive.bars("A", Range(3 * DAY * S + 1, 3 * DAY * S + 2), limit=9) == []


def test_the_file_stops_growing(store: JournalStore) -> None:
    journal = store.start_run("r", "r", 0)
    sizes = []
    for day in range(16):
        for mint in ("A", "B"):
            tell(journal, mint, range(day * DAY, (day + 1) * DAY, 300))
        thin(store, journal.run)
        with closing(sqlite3.connect(store.path)) as db:
            sizes.append(db.execute("PRAGMA page_count").fetchone()[0])
    assert sizes[-1] <= sizes[8] * 1.05
    assert sizes[-1] < 2 * sizes[2]


def test_bars_that_an_earlier_version_wrote_as_text_are_thinned_like_others(store: JournalStore) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", range(0, 4 * DAY, 900), 900)
    hours = shown(journal, HOUR)
    with store.writing() as connection:
        for each in all_bars(journal):
            text = f"{each.open} {each.high} {each.low} {each.close} {each.volume}"
            given = {"ohlcv": text, "open_ns": each.open_ns}
            connection.execute(sa.text("UPDATE kept_bars SET ohlcv = :ohlcv WHERE open_ns = :open_ns"), given)
    assert shown(journal, HOUR) == hours
    thin(store, journal.run)
    assert shown(journal, HOUR) == hours
    assert len(all_bars(journal)) == 2 * 24 + 2 * 96


def asked(journal: SqlJournal, interval_s: int | None, since_s: int = 0) -> dict[str, Any]:
    archive = RunArchive(journal.store, journal.run)
    run = RunView("r", journal, archive, {}, 10 * DAY * S, {}, {}, RugRules())
    return candles(run, "A", Range(since_s * S, None), interval_s)


def test_a_question_for_what_is_finer_than_what_is_kept_is_answered_with_what_is_kept_and_told_so(
    store: JournalStore,
) -> None:
    journal = store.start_run("r", "r", 0)
    tell(journal, "A", range(0, 10 * DAY, 300))
    before = asked(journal, 300, 3 * DAY)
    assert (before["interval_s"], before["thinned_until"], before["is_cut"]) == (300, None, True)
    hours = asked(journal, HOUR, 3 * DAY)["candles"]
    thin(store, journal.run)
    fine = asked(journal, 300, 8 * DAY)
    assert (fine["interval_s"], fine["thinned_until"], len(fine["candles"])) == (300, None, 2 * 288)
    assert fine["candles"] == before["candles"][-2 * 288 :]
    for wished, width_s in ((60, HOUR), (300, HOUR), (HOUR, HOUR), (HOUR + 1, 2 * HOUR), (None, HOUR)):
        old = asked(journal, wished, 3 * DAY)
        assert (old["interval_s"], old["thinned_until"]) == (width_s, "1970-01-09T00:00:00+00:00")
        assert width_s != HOUR or old["candles"] == hours
    assert {asked(journal, wished)["interval_s"] for wished in (300, HOUR, None)} == {DAY}
    assert asked(journal, 300)["candles"][0]["bars"] == 288
