"""A coarse series loses no spike: buckets come to what a plain fold over every mark comes to, in whatever order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading.adapters.journal_archive import Range, RunArchive
from trading.adapters.journal_schema import mark_buckets
from trading.adapters.mark_buckets import HOUR_NS, MINUTE_NS, TAIL_ROWS_MAX, MarkBuckets
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.runtime.history import equity_series

S = 10**9
DAY_S = 86_400
BEGAN_S = 20_000 * DAY_S
SPIKES = {30_011: 400, 60_017: -900}
"""Second of the day -> what equity differs by at that second only."""

Mark = tuple[int, int, int]
"""Second, equity, drawdown."""
MARKS = st.tuples(st.integers(0, 20_000), st.integers(-50, 50), st.integers(0, 99))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path_factory.mktemp("buckets") / "journal.db")
    yield opened
    opened.close()


def run_of(store: JournalStore, marks: list[Mark]) -> SqlJournal:
    name = f"run-{len(store.all_runs())}"
    journal = store.start_run(name, name, 0)
    for number, (at_s, equity, drawdown) in enumerate(marks):
        body = f'{{"drawdown_bps":{drawdown},"equity_lamports":{equity},"sol_usd":"{number % 977}.5"}}'.encode()
        journal.append_canonical(at_s * S, "cycle_marked", body)
    journal.commit()
    return journal


@pytest.fixture(scope="module")
def day_marks() -> list[Mark]:
    """A mark a second for a day."""
    return [
        (BEGAN_S + at, 2_000 + at % 97 + SPIKES.get(at, 0), at * 7 % 311 + (5_000 if at == 60_017 else 0))
        for at in range(DAY_S)
    ]


@pytest.fixture(scope="module")
def day(store: JournalStore, day_marks: list[Mark]) -> SqlJournal:
    journal = run_of(store, day_marks)
    buckets = MarkBuckets(store, journal.run)
    while buckets.fold(10_000):
        pass
    return journal


def plain_fold(marks: list[Mark], since_s: int, until_s: int, bucket_s: int) -> list[dict[str, Any]]:
    """Return the points by reading every mark, in order of time."""
    found: dict[int, dict[str, Any]] = {}
    for at_s, equity, drawdown in marks:
        if not since_s <= at_s <= until_s:
            continue
        fresh = {"first_lamports": equity, "low_lamports": equity, "high_lamports": equity}
        point = found.setdefault(at_s // bucket_s, {**fresh, "drawdown_bps_max": 0, "marks": 0})
        point["equity_lamports"] = equity
        point["low_lamports"] = min(point["low_lamports"], equity)
        point["high_lamports"] = max(point["high_lamports"], equity)
        point["drawdown_bps_max"] = max(point["drawdown_bps_max"], drawdown)
        point["marks"] += 1
    return [found[key] for key in sorted(found)]


def told(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    others = {"ts", "drawdown_bps", "sol_usd"}
    return [{name: value for name, value in point.items() if name not in others} for point in points]


@pytest.mark.requirement("O2")
@pytest.mark.parametrize("resolution_s", [7, 60, 300, 3_600, 7_200, 86_400])
@pytest.mark.parametrize("ends", [(0, DAY_S), (1_234, 80_001), (30_000, 30_020), (3_601, 3_650)])
def test_a_day_of_seconds_at_any_resolution_is_what_reading_every_mark_gives(
    store: JournalStore, day: SqlJournal, day_marks: list[Mark], resolution_s: int, ends: tuple[int, int]
) -> None:
    since_s, until_s = BEGAN_S + ends[0], BEGAN_S + ends[1]
    within = Range(since_s * S, until_s * S)
    found = equity_series(RunArchive(store, day.run), within, resolution_s, MarkBuckets(store, day.run))
    expected = plain_fold(day_marks, since_s, until_s, resolution_s)
    assert told(found["points"]) == expected[-2_000:]


@pytest.mark.requirement("O2")
def test_no_spike_of_a_second_is_lost_in_points_of_an_hour(store: JournalStore, day: SqlJournal) -> None:
    points = equity_series(RunArchive(store, day.run), Range(), 3_600, MarkBuckets(store, day.run))["points"]
    assert len(points) == 24
    assert max(point["high_lamports"] for point in points) > 2_000 + 96 + 300
    assert min(point["low_lamports"] for point in points) < 2_000 - 800
    assert max(point["drawdown_bps_max"] for point in points) >= 5_000


@pytest.mark.requirement("O2")
def test_hours_are_answered_from_hours_and_not_from_seconds(store: JournalStore, day: SqlJournal) -> None:
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(store._engine, "before_cursor_execute", note)
    try:
        spans = MarkBuckets(store, day.run).spans(Range(BEGAN_S * S, (BEGAN_S + DAY_S) * S - 1), HOUR_NS)
    finally:
        sa.event.remove(store._engine, "before_cursor_execute", note)
    assert spans is not None
    assert len(spans) == 24
    assert [("FROM rows" in each, "seq > ?" in each) for each in seen if "FROM rows" in each] == [(True, True)]
    with store.reading() as connection:
        counted = sa.select(mark_buckets.c.width_ns, sa.func.count()).where(mark_buckets.c.run == day.run)
        by_width = {row[0]: row[1] for row in connection.execute(counted.group_by(mark_buckets.c.width_ns))}
        plans = [
            str(step[3])
            for each in dict.fromkeys(seen)
            if each.lstrip().upper().startswith("SELECT")
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {each}", (0,) * each.count("?"))
        ]
    assert by_width == {MINUTE_NS: 1_440, HOUR_NS: 24}
    assert plans
    assert not [step for step in plans if step.startswith("SCAN")], plans


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    marks=st.lists(
        st.tuples(st.integers(0, 20_000), st.integers(-50, 50), st.integers(0, 99)), min_size=1, max_size=60
    ),
    step=st.integers(1, 17),
    unfolded=st.integers(0, 20),
    bucket_s=st.sampled_from([1, 13, 59, 60, 600, 3_600, 7_200]),
    since=st.integers(0, 21_000),
    length=st.integers(0, 21_000),
)
def test_late_repeated_and_jumping_marks_come_to_the_same_however_they_are_folded(
    store: JournalStore, marks: list[Mark], step: int, unfolded: int, bucket_s: int, since: int, length: int
) -> None:
    journal = run_of(store, marks)
    for _ in range(0, max(0, len(marks) - unfolded), step):
        MarkBuckets(store, journal.run).fold(step)  # a new one each time, as after a kill
    spans = MarkBuckets(store, journal.run).spans(Range(since * S, (since + length) * S), bucket_s * S)
    assert spans is not None
    found = [
        {
            "first_lamports": span.first_lamports,
            "equity_lamports": span.last_lamports,
            "low_lamports": span.low_lamports,
            "high_lamports": span.high_lamports,
            "drawdown_bps_max": span.drawdown_bps_max,
            "marks": span.marks,
        }
        for _, span in sorted(spans.items())
    ]
    by_time = sorted(marks, key=lambda mark: mark[0])  # stable: of one second the order of the rows
    assert found == plain_fold(by_time, since, since + length, bucket_s)


def test_what_was_cut_off_before_its_commit_is_folded_once(
    store: JournalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = run_of(store, [(at, 100 + at, 0) for at in range(200)])
    buckets = MarkBuckets(store, journal.run)
    move = buckets._move

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(buckets, "_move", cut)
    with pytest.raises(KeyboardInterrupt):
        buckets.fold()
    monkeypatch.setattr(buckets, "_move", move)
    assert buckets.fold() == 200
    assert buckets.fold() == 0
    spans = buckets.spans(Range(), HOUR_NS)
    assert spans is not None
    assert [(span.marks, span.low_lamports, span.high_lamports) for span in spans.values()] == [(200, 100, 299)]


def test_the_rows_and_their_hash_stay_as_they_were(tmp_path: Path) -> None:
    store = JournalStore.at(tmp_path / "journal.db")
    journal = run_of(store, [(at, at, 0) for at in range(300)])
    before = journal.sha256()
    assert MarkBuckets(store, journal.run).fold() == 300
    assert journal.sha256() == before
    assert len(list(journal.rows())) == 300
    store.close()


def test_while_too_much_waits_the_series_is_told_without_extremes(store: JournalStore) -> None:
    journal = run_of(store, [(at, 7, 0) for at in range(TAIL_ROWS_MAX + 1)])
    buckets, archive = MarkBuckets(store, journal.run), RunArchive(store, journal.run)
    points = equity_series(archive, Range(), 3_600, buckets)["points"]
    assert points[-1]["equity_lamports"] == 7
    assert not any("low_lamports" in point for point in points)
    buckets.fold()
    assert all("low_lamports" in point for point in equity_series(archive, Range(), 3_600, buckets)["points"])
