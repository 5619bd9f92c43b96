"""The sizes between which a move pays for its round trip, against the fill model that fills paper orders."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trading.execution import fill_model
from trading.execution.capacity import Capacity, capacity
from trading.execution.fill_model import Reserves
from trading.model.units import BPS_ONE

SOL = 10**9
UNITS = 10**24
"""So many that a unit is worth far less than a lamport: rounding is left to the fees."""


def net(pool_lamports: int, fee_bps: int, fixed_lamports: int, edge_bps: int, lamports: int) -> int:
    """Return what buying for so much and selling after the move leaves, in exact integers."""
    bought = fill_model.buy(Reserves(pool_lamports, UNITS), lamports, fee_bps)
    later = Reserves(pool_lamports, UNITS * BPS_ONE // (BPS_ONE + edge_bps))
    return fill_model.sell(later, bought.base_units, fee_bps).lamports - bought.lamports - fixed_lamports


@pytest.mark.requirement("T9")
def test_what_pays_is_the_middle_of_two_roots() -> None:
    """S = 1000, f = 0.25 %, F = 50,000 lamports, e = 3 %: x* = S ((1-f) m / (1+f) - 1) / (1 + m) = 12.2477 SOL into
    the pool, 12.2783 with the fee, F left out."""
    found = capacity(1_000 * SOL, 25, 50_000, 300)
    assert found is not None
    assert found.most_lamports / SOL == pytest.approx(12.2783 - 0.002, abs=0.0005)
    assert found.least_lamports / SOL == pytest.approx(0.002, abs=0.0002)
    assert found.best_lamports / SOL == pytest.approx(6.1, abs=0.1)


@pytest.mark.parametrize(
    ("pool", "fee", "fixed", "edge"),
    [(1_000 * SOL, 100, 50_000, 190), (1_000 * SOL, 25, 50_000, 0), (SOL // 100, 25, 50_000, 300), (SOL, 25, 0, -10)],
)
def test_a_move_that_is_smaller_than_its_costs_pays_for_no_size(pool: int, fee: int, fixed: int, edge: int) -> None:
    assert capacity(pool, fee, fixed, edge) is None
    assert all(net(pool, fee, fixed, edge, size) < 0 for size in (10**4, 10**6, pool // 100, pool // 10))


def test_ten_times_the_pool_carries_ten_times_the_size_and_dearer_transactions_ask_for_more() -> None:
    small, large = capacity(1_000 * SOL, 25, 0, 300), capacity(10_000 * SOL, 25, 0, 300)
    dear = capacity(1_000 * SOL, 25, 5_000_000, 300)
    assert small is not None
    assert large is not None
    assert dear is not None
    assert large.most_lamports == pytest.approx(10 * small.most_lamports, rel=1e-9)
    assert small.least_lamports == 0 < dear.least_lamports < dear.best_lamports < dear.most_lamports
    assert dear.most_lamports < small.most_lamports


@settings(max_examples=300, deadline=None)
@given(st.integers(SOL, 10**6 * SOL), st.integers(0, 200), st.integers(10_000, 10_000_000), st.integers(1, 5_000))
def test_the_fill_model_earns_between_the_roots_and_loses_outside(pool: int, fee: int, fixed: int, edge: int) -> None:
    found = capacity(pool, fee, fixed, edge)
    assume(found is not None)
    assert isinstance(found, Capacity)
    terms = (pool, fee, fixed, edge)
    slack = 8  # lamports: each of two fees and two swaps rounds against us
    assert abs(net(*terms, found.least_lamports)) <= slack
    assert abs(net(*terms, found.most_lamports)) <= slack
    assert net(*terms, found.best_lamports) >= -slack
    assert net(*terms, found.best_lamports) >= net(*terms, found.best_lamports * 101 // 100) - slack
    assert net(*terms, found.best_lamports) >= net(*terms, found.best_lamports * 99 // 100) - slack
    assert net(*terms, found.most_lamports * 11 // 10) < 0
    assert net(*terms, found.least_lamports // 2) < 0
