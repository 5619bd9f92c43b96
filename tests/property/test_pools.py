"""Every kind of pool under any amounts and fees: nothing is created, the parts add up, no round trip profits."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trading.execution import bonding_curve, pools
from trading.execution.bonding_curve import Curve
from trading.execution.pools import Pool, PoolSwap, pool_at
from trading.model.instrument import CONSTANT_PRODUCT, Concentrated, Instrument, LaunchCurve
from trading.model.units import LAMPORTS_PER_SOL

EXAMPLES = settings(max_examples=150, deadline=None)
LAMPORTS = st.integers(0, 10**14)
PRICES = st.integers(10**6, 10**12).map(lambda n: Decimal(n).scaleb(-15))
KINDS = st.one_of(
    st.just(CONSTANT_PRODUCT),
    st.just(LaunchCurve()),
    st.builds(
        Concentrated,
        liquidity=st.integers(10**11, 10**17),
        tick_spacing=st.sampled_from([1, 8, 64]),
        range_spacings=st.integers(0, 50),
        liquidity_beyond=st.integers(1, 10**11),
    ),
)
INSTRUMENTS = st.builds(
    Instrument,
    mint=st.just("m"),
    symbol=st.just("M"),
    decimals=st.just(6),
    pool_fee_bps=st.integers(0, 300),
    pool=KINDS,
    creator_fee_bps=st.integers(0, 100),
    transfer_fee_bps=st.sampled_from([0, 0, 1, 300, 2_500]),
)


def _pool(instrument: Instrument, price: Decimal) -> Pool:
    found = pool_at(instrument, price, 100 * LAMPORTS_PER_SOL)
    assert found is not None
    return found


@EXAMPLES
@given(INSTRUMENTS, PRICES, LAMPORTS)
def test_a_buy_spends_no_more_than_asked_and_its_parts_are_costs(
    instrument: Instrument, price: Decimal, lamports: int
) -> None:
    swap = pools.buy(_pool(instrument, price), lamports, instrument)
    assert 0 <= swap.lamports <= lamports
    if swap.is_complete:
        assert swap.lamports >= lamports - 2
    assert min(swap.base_units, swap.pool_fee_lamports, swap.impact_lamports) >= 0
    assert swap.pool_fee_lamports + swap.impact_lamports <= swap.lamports


@EXAMPLES
@given(INSTRUMENTS, PRICES, st.integers(0, 10**15))
def test_a_sale_brings_no_less_than_nothing_and_its_parts_are_costs(
    instrument: Instrument, price: Decimal, units: int
) -> None:
    swap = pools.sell(_pool(instrument, price), units, instrument)
    assert swap.base_units <= units
    assert min(swap.lamports, swap.pool_fee_lamports, swap.impact_lamports) >= 0


def _never_profits(extra: int = 0) -> None:
    @settings(max_examples=200, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(INSTRUMENTS, PRICES, st.integers(1, 10**12))
    def attempt(instrument: Instrument, price: Decimal, lamports: int) -> None:
        bought: PoolSwap = pools.buy(_pool(instrument, price), lamports, instrument)
        back = pools.sell(bought.after, bought.base_units, instrument)
        assert back.lamports + extra * bought.lamports // 10 <= bought.lamports

    attempt()


def test_no_round_trip_profits_in_any_kind_of_pool() -> None:
    """Also not one that graduates a curve in between and sells into the pool that came of it."""
    _never_profits()


def test_control_a_pool_that_gives_back_a_tenth_too_much_is_caught() -> None:
    with pytest.raises(AssertionError):
        _never_profits(extra=1)


@EXAMPLES
@given(PRICES, st.integers(1, 2 * 10**11), st.integers(0, 300), st.integers(0, 100))
def test_a_curve_holds_what_came_in_less_what_went_out(
    price: Decimal, lamports: int, fee_bps: int, creator_fee_bps: int
) -> None:
    curve = bonding_curve.curve_at(LaunchCurve(), price, 6)
    if curve is None:
        return
    bought = bonding_curve.buy(curve, lamports, fee_bps, creator_fee_bps)
    into_pool = bought.swap.lamports - bought.swap.pool_fee_lamports
    if isinstance(bought.after, Curve):
        assert bought.after.real_lamports - curve.real_lamports == into_pool
        assert curve.real_base_units - bought.after.real_base_units == bought.swap.base_units
        product = curve.virtual.lamports * curve.virtual.base_units
        assert bought.after.virtual.lamports * bought.after.virtual.base_units >= product
    else:
        assert bought.swap.base_units == curve.real_base_units
    whole = replace(curve, real_base_units=curve.virtual.base_units)
    uncut = bonding_curve.buy(whole, lamports, fee_bps, creator_fee_bps)
    assert (bought.swap == uncut.swap) is bought.is_complete


@EXAMPLES
@given(INSTRUMENTS, PRICES, st.integers(1, 10**12))
def test_what_the_mint_keeps_is_a_cost_of_both_ways_and_an_exact_purchase_arrives_exactly(
    instrument: Instrument, price: Decimal, base_units: int
) -> None:
    pool = _pool(instrument, price)
    free = replace(instrument, transfer_fee_bps=0)
    exact, untaxed = (pools.buy_exact(pool, base_units, each) for each in (instrument, free))
    if exact is not None:
        assert untaxed is not None
        assert exact.base_units == base_units
        assert exact.lamports >= untaxed.lamports
    sale, whole = (pools.sell(pool, base_units, each) for each in (instrument, free))
    assert sale.lamports <= whole.lamports
    if sale.is_complete and whole.is_complete:
        assert sale.base_units == base_units
    kept = -(-base_units * instrument.transfer_fee_bps // 10_000)
    assert sale.lamports == pools.sell(pool, base_units - kept, free).lamports


def test_of_a_mint_that_keeps_everything_nothing_can_be_bought_exactly() -> None:
    instrument = Instrument("m", "M", 6, transfer_fee_bps=10_000)
    pool = _pool(instrument, Decimal("0.000001"))
    assert pools.buy_exact(pool, 1, instrument) is None
    assert pools.buy(pool, 10**9, instrument).base_units == 0
    assert pools.sell(pool, 10**9, instrument).lamports == 0
