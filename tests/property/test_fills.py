"""The constant product under any amounts: nothing is created, every cost part adds up, no round trip profits."""

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trading.execution import fill_model
from trading.execution.fill_model import Reserves, Swap

EXAMPLES = settings(max_examples=300, deadline=None)
SIDES = st.integers(1, 10**17)
RESERVES = st.builds(Reserves, lamports=SIDES, base_units=SIDES)
AMOUNTS = st.integers(0, 10**17)
FEES = st.integers(0, 1_000)

Buy = Callable[[Reserves, int, int], Swap]


def _product(reserves: Reserves) -> int:
    return reserves.lamports * reserves.base_units


@EXAMPLES
@given(RESERVES, AMOUNTS, FEES)
def test_a_buy_never_spends_more_than_asked_and_takes_nothing_from_the_pool(
    reserves: Reserves, lamports: int, fee_bps: int
) -> None:
    swap = fill_model.buy(reserves, lamports, fee_bps)
    assert lamports - 1 <= swap.lamports <= lamports
    assert swap.lamports == swap.mid_lamports + swap.impact_lamports + swap.pool_fee_lamports
    assert min(swap.base_units, swap.impact_lamports, swap.pool_fee_lamports) >= 0
    assert swap.base_units < reserves.base_units or lamports == 0
    assert _product(swap.after) >= _product(reserves)
    assert swap.after.lamports - reserves.lamports == swap.lamports - swap.pool_fee_lamports
    assert reserves.base_units - swap.after.base_units == swap.base_units


@EXAMPLES
@given(RESERVES, AMOUNTS, FEES)
def test_a_sale_takes_less_than_the_pool_has_and_leaves_it_no_poorer(
    reserves: Reserves, base_units: int, fee_bps: int
) -> None:
    swap = fill_model.sell(reserves, base_units, fee_bps)
    assert swap.lamports == swap.mid_lamports - swap.impact_lamports - swap.pool_fee_lamports
    assert min(swap.lamports, swap.impact_lamports, swap.pool_fee_lamports) >= 0
    assert swap.after.lamports > 0
    assert _product(swap.after) >= _product(reserves)


@EXAMPLES
@given(RESERVES, st.integers(1, 10**17), st.integers(0, 10**17))
def test_buying_exact_units_pays_for_at_least_those_units(reserves: Reserves, part: int, base_units: int) -> None:
    wanted = base_units % reserves.base_units
    lamports = fill_model.lamports_for_exact_base_units(reserves, wanted)
    assert fill_model.base_units_for_exact_lamports(reserves, lamports) >= wanted


@EXAMPLES
@given(RESERVES, AMOUNTS, AMOUNTS)
def test_more_in_never_gives_less_out(reserves: Reserves, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert fill_model.buy(reserves, low, 25).base_units <= fill_model.buy(reserves, high, 25).base_units
    assert fill_model.sell(reserves, low, 25).lamports <= fill_model.sell(reserves, high, 25).lamports


def _round_trip_gain(buy: Buy, reserves: Reserves, lamports: int, fee_bps: int) -> int:
    bought = buy(reserves, lamports, fee_bps)
    return fill_model.sell(bought.after, bought.base_units, fee_bps).lamports - bought.lamports


def _buy_rounded_up(reserves: Reserves, lamports: int, fee_bps: int) -> Swap:
    """A control: rounds the units up, for the trader and against the pool."""
    swap = fill_model.buy(reserves, lamports, fee_bps)
    extra = 1 if swap.after.base_units > 1 else 0
    after = Reserves(swap.after.lamports, swap.after.base_units - extra)
    return Swap(swap.lamports, swap.base_units + extra, swap.pool_fee_lamports, 0, 0, 0, after)


def _never_profits(buy: Buy) -> None:
    # Small reserves too, where one unit is worth much: that is where rounding could pay.
    small = st.builds(Reserves, lamports=st.integers(1, 10**4), base_units=st.integers(2, 10**3))

    @settings(max_examples=300, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(st.one_of(RESERVES, small), st.integers(0, 10**6), FEES)
    def attempt(reserves: Reserves, lamports: int, fee_bps: int) -> None:
        assert _round_trip_gain(buy, reserves, lamports, fee_bps) <= 0

    attempt()


def test_no_round_trip_profits() -> None:
    _never_profits(fill_model.buy)


def test_control_a_fill_model_that_rounds_for_us_is_caught() -> None:
    with pytest.raises(AssertionError):
        _never_profits(_buy_rounded_up)
