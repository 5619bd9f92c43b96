"""The kinds of pools through one door: what a swap gives, costs and leaves behind in each."""

from decimal import Decimal
from pathlib import Path

import pytest
from tests.support.trading import MINT, SOL

from trading.execution import bonding_curve, fill_model, pools
from trading.execution.bonding_curve import Curve, curve_at, graduated_reserves
from trading.execution.concentrated import TickPool
from trading.execution.curve_check import read_trades
from trading.execution.fill_model import Reserves
from trading.execution.pools import depth_lamports, pool_at
from trading.model.instrument import Concentrated, Instrument, LaunchCurve

TERMS = LaunchCurve()
LAUNCHED = Instrument(MINT, "PUMP", 6, pool_fee_bps=95, pool=TERMS, creator_fee_bps=30)
BEGIN = Decimal(30) / Decimal(1_073_000_000)


def _curve(price: Decimal = BEGIN) -> Curve:
    found = curve_at(TERMS, price, 6)
    assert found is not None
    return found


def test_a_curve_begins_where_it_is_declared_to_and_never_goes_below() -> None:
    for price in (BEGIN, BEGIN / 2):
        curve = _curve(price)
        assert curve.virtual == Reserves(30 * SOL, 1_073_000_000_000_000)
        assert (curve.real_lamports, curve.real_base_units) == (0, TERMS.real_base_units)


@pytest.mark.requirement("T9")
def test_a_buy_past_the_real_reserve_is_cut_at_graduation_and_the_rest_is_not_spent() -> None:
    curve = _curve()
    found = bonding_curve.buy(curve, 500 * SOL, 95, 30)
    into_pool = TERMS.raised_lamports
    assert (found.is_complete, found.graduates, found.swap.base_units) == (False, True, TERMS.real_base_units)
    assert found.swap.lamports == into_pool + -(-into_pool * 95 // 10_000) + -(-into_pool * 30 // 10_000)
    assert found.after == graduated_reserves(TERMS) == Reserves(into_pool - 15_000_001, 206_900_000_000_000)


def test_the_last_unit_graduates_the_curve_and_one_less_does_not() -> None:
    curve = _curve()
    last = bonding_curve.buy_exact(curve, TERMS.real_base_units, 100)
    assert (last.graduates, last.is_complete) == (True, True)
    before = bonding_curve.buy_exact(curve, TERMS.real_base_units - 1, 100)
    assert isinstance(before.after, Curve)
    assert before.after.real_base_units == 1
    with pytest.raises(ValueError, match="cannot be bought"):
        bonding_curve.buy_exact(curve, TERMS.real_base_units + 1, 100)


def test_the_pool_of_a_graduated_curve_begins_near_its_last_price() -> None:
    pool = graduated_reserves(TERMS)
    last = curve_at(TERMS, Decimal("0.00000041"), 6)
    assert last is not None
    on_curve = last.virtual.lamports / last.virtual.base_units
    assert pool.lamports / pool.base_units == pytest.approx(on_curve, rel=0.01)
    assert curve_at(TERMS, Decimal("0.00000042"), 6) is None
    assert isinstance(pool_at(LAUNCHED, Decimal("0.00000042"), 85 * SOL), Reserves)
    assert isinstance(pool_at(LAUNCHED, Decimal("0.0000002"), 85 * SOL, has_graduated=True), Reserves)


def test_a_curve_pays_out_no_more_than_came_in() -> None:
    curve = _curve(BEGIN * 2)
    found = bonding_curve.sell(curve, 10**15, 0)
    assert found.swap.lamports == curve.real_lamports
    assert isinstance(found.after, Curve)
    assert found.after.real_lamports == 0


def test_the_declared_curve_is_the_recorded_one(market_dir: Path) -> None:
    """On every recorded trade virtual and real reserves differ by what the curve began with."""
    trades = list(read_trades(market_dir / "dex" / "pumpfun_curve_trades.csv.gz"))
    assert len(trades) > 1_000
    left = TERMS.virtual_base_units - TERMS.real_base_units
    for trade in trades:
        assert trade.reserves.lamports - trade.real.lamports == TERMS.virtual_lamports
        assert trade.reserves.base_units - trade.real.base_units == left


def test_both_fees_are_on_the_sol_side_each_rounded_up() -> None:
    instrument = Instrument(MINT, "A", 6, pool_fee_bps=20, creator_fee_bps=5)
    pool = Reserves(1_000 * SOL, 10**15)
    bought = pools.buy(pool, SOL, instrument)
    into_pool = bought.lamports - bought.pool_fee_lamports
    assert bought.pool_fee_lamports == -(-into_pool * 20 // 10_000) + -(-into_pool * 5 // 10_000)
    assert SOL - 2 <= bought.lamports <= SOL
    sold = pools.sell(pool, 10**9, instrument)
    out = fill_model.lamports_from_sale(pool, 10**9)
    assert sold.lamports == out - -(-out * 20 // 10_000) - -(-out * 5 // 10_000)


def test_two_fees_never_take_a_buy_over_its_amount() -> None:
    for lamports in range(1, 3_000):
        assert fill_model.buy(Reserves(SOL, 10**9), lamports, 33, 77).lamports <= lamports


def test_dust_sold_for_less_than_its_fees_brings_nothing_and_costs_nothing() -> None:
    assert fill_model.sell(Reserves(SOL, SOL), 2, 25, 25).lamports == 0


def _concentrated(**terms: int) -> Instrument:
    return Instrument(MINT, "CL", 6, pool_fee_bps=30, pool=Concentrated(**terms))


def test_a_concentrated_pool_stands_at_the_price_with_the_declared_liquidity() -> None:
    instrument = _concentrated(liquidity=10**15, tick_spacing=64, range_spacings=10, liquidity_beyond=10**13)
    pool = pool_at(instrument, Decimal("0.001"), 0)
    assert isinstance(pool, TickPool)
    assert (pool.liquidity, pool.fee_ppm, len(pool.ticks)) == (10**15, 3_000, 4)
    assert pool.sqrt_price**2 / 2**128 == pytest.approx(1.0)  # lamports a base unit
    assert depth_lamports(pool) == pytest.approx(10**15)


def test_more_is_lost_where_the_concentrated_liquidity_ends() -> None:
    wide = _concentrated(liquidity=10**12, tick_spacing=64)
    narrow = _concentrated(liquidity=10**12, tick_spacing=64, range_spacings=1, liquidity_beyond=10**9)
    swaps = []
    for instrument in (wide, narrow):
        pool = pool_at(instrument, Decimal("0.001"), 0)
        assert pool is not None
        swaps.append(pools.buy(pool, 100 * SOL, instrument))
    assert swaps[0].is_complete
    assert swaps[1].is_complete
    assert swaps[1].base_units * 3 < swaps[0].base_units


def test_an_exact_purchase_costs_what_gives_at_least_as_much() -> None:
    cases = [
        (LAUNCHED, _curve(BEGIN * 3), 10**12),
        (_concentrated(liquidity=10**15, tick_spacing=64), None, 10**9),
        (Instrument(MINT, "A", 6, 25, creator_fee_bps=5), Reserves(100 * SOL, 10**14), 10**10),
    ]
    for instrument, given, units in cases:
        pool = given if given is not None else pool_at(instrument, Decimal("0.001"), 0)
        assert pool is not None
        exact = pools.buy_exact(pool, units, instrument)
        assert exact is not None
        assert exact.base_units == units
        assert exact.lamports == pytest.approx(pools.buy(pool, exact.lamports, instrument).lamports, abs=2)
        assert pools.buy(pool, exact.lamports, instrument).base_units == pytest.approx(units, rel=1e-6)
        assert pools.buy_exact(pool, 10**40, instrument) is None


@pytest.mark.parametrize("price", ["0", "1E-30", "1E+30"])
def test_there_is_no_pool_at_a_price_that_none_can_have(price: str) -> None:
    wide = _concentrated(liquidity=10**15, tick_spacing=64)
    assert pool_at(wide, Decimal(price), SOL) is None
    if Decimal(price) == 0:
        assert pool_at(LAUNCHED, Decimal(price), SOL) is None
