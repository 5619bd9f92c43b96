"""What a long run is asked must be answered through an index: the same answers as by reading it all, in no time."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trading.adapters import journal_schema
from trading.adapters.canonical import parse_json
from trading.adapters.journal_archive import Range, RunArchive, TradeFilter, TradeTotals
from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.model.market_data import Bar
from trading.runtime.history import EQUITY_POINTS_MAX, equity_series

S = 10**9
LONG = 30_000
MIDDLE = LONG // 2
TRAJECTORY = f"trj_{MIDDLE // 100}"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path_factory.mktemp("archive") / "journal.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def long_run(store: JournalStore) -> SqlJournal:
    """A run of many cycles of five minutes, two inputs each, with a trade now and then."""
    journal = store.start_run("long", "long", 0)
    for cycle in range(1, LONG + 1):
        ts_ns = cycle * 300 * S
        for _ in range(2):
            journal.append(ts_ns, "input", {"end": "1"})
        if cycle % 50 == 0:
            order = {"id": f"ord_{cycle}", "trajectory_id": f"trj_{cycle // 100}"}
            journal.append(ts_ns, "order_approved", {"order": order, "measures": []})
        journal.append(ts_ns, "cycle_marked", mark(cycle))
    journal.commit()
    return journal


def mark(cycle: int) -> dict[str, object]:
    return {"cycle": cycle, "equity_lamports": 2 * S + cycle, "drawdown_bps": cycle % 7, "sol_usd": "150"}


@pytest.fixture(scope="module")
def reading_all_s(long_run: SqlJournal) -> float:
    """What it takes to read and decode every mark of the run."""
    return quickest_s(lambda: [parse_json(row.body) for row in long_run.rows(kinds=("cycle_marked",))])


def quickest_s(ask: Callable[[], object]) -> float:
    """Return the best of three: other programs on this machine can only make it slower."""
    found = []
    for _ in range(3):
        began = time.perf_counter()
        ask()
        found.append(time.perf_counter() - began)
    return min(found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.integers(1, 5_000), min_size=1, max_size=60),
    bucket_s=st.integers(1, 4_000),
    since=st.none() | st.integers(-10, 100_000),
    until=st.none() | st.integers(0, 100_000),
    limit=st.integers(1, 40),
)
def test_the_last_mark_of_each_bucket_is_what_reading_every_mark_gives(
    store: JournalStore, gaps: list[int], bucket_s: int, since: int | None, until: int | None, limit: int
) -> None:
    name = f"run-{time.perf_counter_ns()}"
    journal = store.start_run(name, name, 0)
    at_s, marks = 0, []
    for cycle, gap in enumerate(gaps, 1):
        at_s += gap
        journal.append(at_s * S, "input", {"end": None})
        journal.append(at_s * S, "cycle_marked", mark(cycle))
        marks.append((at_s * S, mark(cycle)))
    journal.commit()
    within = Range(None if since is None else since * S, None if until is None else until * S)
    inside = [each for each in marks if (since or 0) * S <= each[0] and (until is None or each[0] <= until * S)]
    last = {each[0] // (bucket_s * S): each for each in inside}
    archive = RunArchive(store, journal.run)
    assert archive.marks(within, bucket_ns=bucket_s * S, limit=limit) == list(last.values())[-limit:]
    assert archive.count(within, 1_000) == len(inside)
    assert archive.span(within) == ((inside[0][0], inside[-1][0]) if inside else None)


@pytest.mark.requirement("O2")
@pytest.mark.parametrize("resolution_s", [None, 1, 300, 3_600, 86_400, 10**7])
@pytest.mark.parametrize("share", [(0, 1), (0.3, 0.34), (0.9, 1)])
def test_any_range_and_resolution_of_a_long_run_is_answered_without_reading_it(
    store: JournalStore,
    long_run: SqlJournal,
    reading_all_s: float,
    resolution_s: int | None,
    share: tuple[float, float],
) -> None:
    end_ns = LONG * 300 * S
    within = Range(int(end_ns * share[0]), int(end_ns * share[1]))
    archive = RunArchive(store, long_run.run)
    found = equity_series(archive, within, resolution_s)
    points = found["points"]
    assert 1 <= len(points) <= EQUITY_POINTS_MAX
    newest = int(end_ns * share[1]) // (300 * S)
    assert points[-1]["equity_lamports"] == 2 * S + newest
    if resolution_s is None:
        assert len(points) > EQUITY_POINTS_MAX / 3
    # Beside reading everything in the same run: an absolute time would only measure the machine.
    assert quickest_s(lambda: equity_series(archive, within, resolution_s)) < 0.6 * reading_all_s


@pytest.mark.requirement("T19")
def test_the_rows_of_an_order_and_of_a_trajectory_are_found_by_name(
    store: JournalStore, long_run: SqlJournal, reading_all_s: float
) -> None:
    archive = RunArchive(store, long_run.run)
    [row] = archive.mentioning((f"ord_{MIDDLE}",))
    assert parse_json(row.body)["order"]["trajectory_id"] == TRAJECTORY
    assert len(archive.mentioning((TRAJECTORY,))) == 2
    assert len(archive.mentioning((TRAJECTORY, f"ord_{MIDDLE}"))) == 2
    assert archive.mentioning((TRAJECTORY,), ("order_filled",)) == []
    assert archive.mentioning(("trj_none",)) == []
    assert quickest_s(lambda: archive.mentioning((TRAJECTORY,))) < 0.2 * reading_all_s


def test_what_came_since_a_time_lies_behind_the_mark_before_it(store: JournalStore, long_run: SqlJournal) -> None:
    archive = RunArchive(store, long_run.run)
    since_ns = MIDDLE * 300 * S
    seq = archive.seq_before(since_ns)
    [before] = long_run.newest(("cycle_marked",), before=seq + 1)
    assert before.ts_ns == since_ns - 300 * S
    assert archive.seq_before(0) == 0


def test_trades_are_paged_by_number_and_strategy(store: JournalStore) -> None:
    journal = store.start_run("trades", "trades", 0)
    for number in range(1, 31):
        journal.remember_trade(number, "a" if number % 3 else "b", {"number": number})
    assert journal.trades_known() == 0  # not before the commit
    journal.commit()
    archive = RunArchive(store, journal.run)
    assert journal.trades_known() == 30
    assert [each.number for each in archive.trades(before=None, limit=4)] == [30, 29, 28, 27]
    assert [each.number for each in archive.trades(wanted=TradeFilter("b"), before=27, limit=3)] == [24, 21, 18]
    assert archive.trades(wanted=TradeFilter("c"), before=None, limit=3) == []


def fill_of(number: int, realised_lamports: int | None) -> dict[str, Any]:
    side = "buy" if realised_lamports is None else "sell"
    fees = {"pool_fee_lamports": 3, "network_fee_lamports": 2, "priority_fee_lamports": 1}
    fill = {"ts_ns": number * S, "mint": "A" if number % 2 else "B", "side": side, **fees}
    return {
        "filled": {"bucket": "manual" if number < 3 else "own", "fill": fill},
        "realised_lamports": realised_lamports,
    }


@pytest.mark.requirement("D4")
def test_trades_are_filtered_and_added_up_without_reading_them(store: JournalStore) -> None:
    journal = store.start_run("filtered", "filtered", 0)
    for number, realised in enumerate((None, None, 50, -20, 0, None), start=1):
        journal.remember_trade(number, "s", fill_of(number, realised))
    journal.commit()
    archive = RunArchive(store, journal.run)

    def numbers(**wanted: Any) -> list[int]:
        found = TradeFilter(**wanted)
        listed = [each.number for each in archive.trades(wanted=found, before=None, limit=10)]
        assert archive.trade_totals(found).trades == len(listed)
        return listed

    assert archive.trade_totals(TradeFilter()) == TradeTotals(
        trades=6, won=1, lost=2, realised_lamports=30, fee_lamports=36
    )
    assert archive.trade_totals(TradeFilter("nobody")) == TradeTotals(0, 0, 0, 0, 0)
    assert (numbers(mint="A"), numbers(side="sell")) == ([5, 3, 1], [5, 4, 3])
    assert (numbers(is_won=True), numbers(is_won=False)) == ([3], [5, 4])
    assert (numbers(is_in="manual"), numbers(is_not_in="manual")) == ([2, 1], [6, 5, 4, 3])
    assert numbers(since_ns=2 * S, until_ns=4 * S) == [3, 2]
    assert archive.traded(10) == [("B", 3), ("A", 3)]
    with sqlite3.connect(store.path) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT count(*), sum(realised_lamports), sum(fee_lamports) FROM trades WHERE run = 1"
        ).fetchall()
    assert "COVERING INDEX trades_shown" in plan[0][3]


def bar_of(number: int, close: str = "2") -> Bar:
    prices = (Decimal(1), Decimal("2.5"), Decimal("1E-7"), Decimal(close), Decimal(10))
    return Bar("A", number * 300 * S, (number + 1) * 300 * S, *prices, None, None, "x")


@pytest.mark.requirement("D4")
def test_bars_are_kept_with_the_commit_and_the_last_word_on_one_stands(store: JournalStore) -> None:
    journal = store.start_run("bars", "bars", 0)
    archive = RunArchive(store, journal.run)
    for number in (1, 2, 4):
        journal.remember_bar(bar_of(number))
    assert archive.bars("A", Range(), limit=9) == []
    journal.commit()
    journal.remember_bar(bar_of(2, "2.25"))
    journal.commit()
    found = archive.bars("A", Range(), limit=9)
    closes = [(each.open_ns // (300 * S), each.close) for each in found]
    assert closes == [(1, Decimal(2)), (2, Decimal("2.25")), (4, Decimal(2))]
    assert {(each.close_ns - each.open_ns, each.grain_s, each.parts) for each in found} == {(300 * S, 0, 1)}
    assert found[0].low == Decimal("1E-7")
    assert [each.open_ns for each in archive.bars("A", Range(), limit=1)] == [4 * 300 * S]
    assert [each.open_ns for each in archive.bars("A", Range(301 * S, 1199 * S), limit=9)] == [600 * S]
    assert archive.bars("B", Range(), limit=9) == []


def test_a_database_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as old:
        journal_schema_first(old)
        old.execute("INSERT INTO runs VALUES (1, 'r', 'i', 0)")
        bodies = [
            ("order_approved", '{"measures":[],"order":{"id":"ord_1","trajectory_id":"trj_1"}}'),
            ("order_filled", '{"fill":{"order_id":"ord_1"},"trajectory_id":"trj_1"}'),
            ("input", '{"end":null}'),
            ("cycle_marked", '{"cycle":1,"equity_lamports":5}'),
        ]
        for seq, (kind, body) in enumerate(bodies, 1):
            old.execute("INSERT INTO rows VALUES (1, ?, 7, ?, ?)", (seq, kind, body.encode()))
    old.close()
    opened = JournalStore.at(path)
    archive = RunArchive(opened, 1)
    assert [row.seq for row in archive.mentioning(("trj_1",))] == [1, 2]
    assert [row.seq for row in archive.mentioning(("ord_1",))] == [1, 2]
    assert archive.marks(Range(), bucket_ns=1, limit=5) == [(7, {"cycle": 1, "equity_lamports": 5})]
    fresh = JournalStore.at(tmp_path / "fresh.db")
    assert tables(path) == tables(tmp_path / "fresh.db")
    opened.close()
    fresh.close()


def journal_schema_first(connection: sqlite3.Connection) -> None:
    for statement in journal_schema.FIRST:
        connection.execute(statement)
    connection.execute("CREATE TABLE schema_version (number INTEGER NOT NULL PRIMARY KEY)")
    connection.execute("INSERT INTO schema_version VALUES (1)")


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    return names
