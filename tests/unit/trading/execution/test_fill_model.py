from decimal import Decimal

import pytest

from trading.execution import fill_model
from trading.execution.fill_model import Reserves
from trading.model.network import SIGNATURE_FEE_LAMPORTS, TOKEN_ACCOUNT_RENT_LAMPORTS, priority_fee_lamports

# The first trades of a recorded curve: 30 SOL and 1.073e15 units of virtual reserves at launch.
LAUNCH = Reserves(30_000_000_000, 1_073_000_000_000_000)


def test_a_recorded_first_buy_is_reproduced_to_the_unit() -> None:
    assert fill_model.base_units_for_exact_lamports(LAUNCH, 987_654_320) == 34_199_203_154_141
    assert fill_model.fee_lamports(987_654_320, 95) == 9_382_717
    assert fill_model.fee_lamports(987_654_320, 30) == 2_962_963


def test_a_recorded_buy_of_one_whole_sol_is_reproduced_from_what_was_to_be_spent() -> None:
    swap = fill_model.buy(LAUNCH, 1_000_000_000, 125)
    assert swap.base_units == 34_199_203_154_141
    assert swap.lamports == 999_999_999  # one fee of 125 bps; the chain rounds up two, of 95 and 30
    assert swap.after == Reserves(30_987_654_320, 1_038_800_796_845_859)


def test_buying_exact_units_costs_one_lamport_more_than_the_curve_so_that_the_pool_never_loses() -> None:
    units = 46_517_113_000_000
    reserves = Reserves(30_987_654_320, 1_038_800_796_845_859)
    assert fill_model.lamports_for_exact_base_units(reserves, units) == 1_452_665_444


def test_a_pool_cannot_sell_all_it_has() -> None:
    with pytest.raises(ValueError, match="cannot be bought"):
        fill_model.lamports_for_exact_base_units(Reserves(10, 10), 10)


def test_solana_charges_what_its_documents_say() -> None:
    assert SIGNATURE_FEE_LAMPORTS == 5_000
    assert TOKEN_ACCOUNT_RENT_LAMPORTS == 2_039_280
    assert priority_fee_lamports(1_000_000, 200_000) == 200_000
    assert priority_fee_lamports(1, 1) == 1


def test_cost_parts_of_a_buy_add_up_to_what_was_paid() -> None:
    swap = fill_model.buy(Reserves(10**12, 10**15), 5 * 10**9, 25)
    assert swap.lamports == swap.mid_lamports + swap.impact_lamports + swap.pool_fee_lamports
    assert swap.pool_fee_lamports == fill_model.fee_lamports(swap.lamports - swap.pool_fee_lamports, 25)
    assert swap.price_impact_bps == 50


def test_cost_parts_of_a_sale_add_up_to_what_arrived() -> None:
    swap = fill_model.sell(Reserves(10**12, 10**15), 5 * 10**12, 25)
    assert swap.lamports == swap.mid_lamports - swap.impact_lamports - swap.pool_fee_lamports
    assert swap.price_impact_bps == 50


def test_dust_buys_nothing_and_moves_nothing() -> None:
    nothing = fill_model.buy(Reserves(10**12, 10**6), 1, 25)
    assert (nothing.base_units, nothing.price_impact_bps) == (0, 0)
    assert fill_model.sell(Reserves(10, 10**15), 1, 25).price_impact_bps == 0


def test_reserves_follow_from_depth_and_price() -> None:
    # 1 SOL buys 1,000 tokens of 5 decimals = 1e8 base units, so a depth of 2 SOL stands against 2e8.
    assert fill_model.reserves_at(Decimal("0.001"), 5, 2 * 10**9) == Reserves(2 * 10**9, 2 * 10**8)


@pytest.mark.parametrize(("price", "depth"), [("0", 10**9), ("-1", 10**9), ("0.001", 0), ("0.001", -5), ("1e9", 5)])
def test_no_pool_is_made_of_nothing(price: str, depth: int) -> None:
    with pytest.raises(ValueError, match="no pool"):
        fill_model.reserves_at(Decimal(price), 5, depth)


def test_slippage_is_positive_when_worse_and_rounded_against_us() -> None:
    assert fill_model.slippage_bps(10_001, 10_000, is_buy=True) == 1
    assert fill_model.slippage_bps(9_000, 10_000, is_buy=True) == -1_000
    assert fill_model.slippage_bps(9_000, 10_000, is_buy=False) == 1_000
    assert fill_model.slippage_bps(9_000, 0, is_buy=False) == 0
