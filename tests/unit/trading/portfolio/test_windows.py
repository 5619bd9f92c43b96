"""A strategy's trades by window, regime and tier: counts, means and the intervals of the means."""

import math
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.model.account import RoundTrip
from trading.model.order import Signal
from trading.portfolio.entry_facts import UNKNOWN, EntryBook
from trading.portfolio.performance import TrackRecords
from trading.portfolio.windows import (
    CELL_EVIDENCE_MAX,
    CELLS_MAX,
    DAY_NS,
    cells_of,
    t_interval,
    t_thousandths,
    window_cells,
)

pytestmark = pytest.mark.requirement("M7")
SOL = 10**9
NOW_NS = 100 * DAY_NS


def trip(
    days_ago: float, return_bps: int, regime: str = "calm/up", tier: str = "foundation", name: str = ""
) -> RoundTrip:
    closed_ns = NOW_NS - round(days_ago * DAY_NS)
    realised = SOL * return_bps // 10_000
    trajectory = name or f"t{days_ago}/{return_bps}/{regime}"
    books = (trajectory, "s", "s", "m", closed_ns - DAY_NS // 24, closed_ns, SOL, SOL + realised, realised, 10, 2)
    return RoundTrip(*books, regime, tier, "foundation")


def records_of(trips: Sequence[RoundTrip]) -> TrackRecords:
    records = TrackRecords()
    for each in sorted(trips, key=lambda each: each.closed_ns):
        records.add(each)
    return records


def test_each_window_counts_its_own_days_and_is_split_by_the_regime_and_the_tier_of_the_entry() -> None:
    trips = [trip(0.5, 100), trip(3, -50), trip(5, 30, "wild/down"), trip(20, 10, tier="acceleration"), trip(31, 999)]

    cells = window_cells(records_of(trips), "s", NOW_NS)

    assert [(each.days, each.regime, each.tier, each.trades, each.wins, each.mean_return_bps) for each in cells] == [
        (1, "", "", 1, 1, 100),
        (1, "calm/up", "foundation", 1, 1, 100),
        (7, "", "", 3, 2, 26),
        (7, "calm/up", "foundation", 2, 1, 25),
        (7, "wild/down", "foundation", 1, 1, 30),
        (30, "", "", 4, 3, 22),
        (30, "calm/up", "foundation", 2, 1, 25),
        (30, "calm/up", "acceleration", 1, 1, 10),
        (30, "wild/down", "foundation", 1, 1, 30),
    ]
    for cell in cells:
        if not cell.regime:
            parts = [each for each in cells if each.days == cell.days and each.regime]
            assert sum(each.trades for each in parts) == cell.trades == len(cell.evidence)
            assert sum(each.realised_lamports for each in parts) == cell.realised_lamports


def test_what_closed_at_the_end_of_a_window_or_later_is_not_in_it() -> None:
    records = records_of([trip(0, 500), trip(-1, 700), trip(1, 100)])
    assert [each.trades for each in window_cells(records, "s", NOW_NS)] == [1] * 6


def test_a_strategy_without_a_trade_has_no_cell() -> None:
    assert window_cells(TrackRecords(), "s", NOW_NS) == ()


def test_cells_and_what_they_name_are_bounded() -> None:
    trips = [trip(0.1, n, f"regime {n % 40}", name=f"t{n}") for n in range(400)]
    whole, *parts = cells_of(trips, 1)
    assert len(parts) == CELLS_MAX
    assert whole.trades == 400
    assert whole.evidence == tuple(f"t{n}" for n in range(390, 400))
    assert all(len(each.evidence) == CELL_EVIDENCE_MAX for each in parts)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12_706), (30, 2_042), (31, 2_042), (39, 2_042), (40, 2_021), (119, 2_000), (9_999, 1_980)],
)
def test_the_quantile_is_never_smaller_than_students(freedom: int, quantile: int) -> None:
    assert t_thousandths(freedom) == quantile


def test_an_interval_is_students_for_a_known_sample() -> None:
    # Mean 5, deviation 3.1623 (n - 1), t(4) = 2.776: 5 -+ 3.926, rounded outwards.
    assert t_interval([1, 3, 5, 7, 9]) == (1, 9)
    # In hundredths: 500 -+ 392.6.
    assert t_interval([100, 300, 500, 700, 900]) == (107, 893)
    assert t_interval([7]) is None
    assert t_interval([7, 7, 7]) == (7, 7)


@given(st.lists(st.integers(-20_000, 20_000), min_size=2, max_size=80))
def test_an_interval_holds_what_floats_say_and_is_at_most_two_units_wider(values: list[int]) -> None:
    found = t_interval(values)
    assert found is not None
    half = t_thousandths(len(values) - 1) / 1_000 * statistics.stdev(values) / math.sqrt(len(values))
    low, high = statistics.fmean(values) - half, statistics.fmean(values) + half
    assert low - 2 <= found[0] <= low + 1e-6
    assert high - 1e-6 <= found[1] <= high + 2


def signal(regime: str | None, strength: float = 1.0) -> Signal:
    return Signal("s", "m", 1, strength, 0, 0, "why", {} if regime is None else {"regime": regime})


def test_a_closed_trade_knows_what_it_was_entered_in_and_what_is_added_later_changes_nothing() -> None:
    book = EntryBook()
    book.hear(5, "t", signal("calm/up"))
    book.enter(5, "t", "foundation", "cautious")
    book.hear(9, "t", signal("wild/up"))
    book.enter(9, "t", "acceleration", "aggressive")
    closed = book.closed(trip(0, 1, "", "", name="t"))
    assert (closed.regime, closed.tier, closed.profile) == ("calm/up", "foundation", "cautious")
    assert book.open() == {}


def test_a_regime_is_that_of_the_signal_of_this_moment_and_unknown_without_one() -> None:
    book = EntryBook()
    book.hear(5, "stale", signal("calm/up"))
    book.hear(6, "exit", signal("calm/up", -1.0))
    book.hear(6, "silent", signal(None))
    for name in ("stale", "exit", "silent"):
        book.enter(6, name, "foundation", "cautious")
        assert book.closed(trip(0, 1, name=name)).regime == UNKNOWN


def test_an_entry_that_came_to_nothing_is_forgotten() -> None:
    book = EntryBook()
    book.enter(5, "t", "foundation", "cautious")
    book.forget("t")
    book.forget("t")
    assert book.open() == {}
    assert book.closed(trip(0, 1, "kept", name="t")).regime == "kept"
