from dataclasses import replace
from typing import Any

import pytest
from tests.support.trading import SOL, make_signal

from trading.execution import fill_model
from trading.execution.fill_model import Reserves
from trading.model.account import TrackRecord
from trading.model.order import Denied
from trading.model.profile import FOUNDATION
from trading.model.tier import TIERS
from trading.risk import sizing
from trading.risk.sizing import Sized, SizingView
from trading.strategies import tokens

RULES = FOUNDATION.sizing
VIEW = SizingView(2 * SOL, SOL, 2_000 * SOL, 25, 50_000, 100, 50)
NONE = TrackRecord()
GOOD = TrackRecord(400, 240, 400, 300)


def _size(record: TrackRecord = NONE, view: SizingView = VIEW, tier: int = 0, **signal: Any) -> Sized | Denied:
    return sizing.size(make_signal(**signal), record, view, RULES, TIERS[tier])


def test_kelly_is_the_textbook_one() -> None:
    assert sizing.kelly_fraction(0.55, 1.0) == pytest.approx(0.10)
    assert sizing.kelly_fraction(0.5, 2.0) == pytest.approx(0.25)
    assert sizing.kelly_fraction(0.4, 1.0) < 0


def test_estimation_error_shrinks_kelly_and_more_trades_less() -> None:
    """p = 0.55, b = 1: f* = 0.1, k = 0.01 / (0.01 + 4 * 0.2475 / n)."""
    assert sizing.shrunken_kelly_fraction(0.55, 1.0, 50) == pytest.approx(0.1 * 0.01 / (0.01 + 4 * 0.2475 / 50))
    values = [sizing.shrunken_kelly_fraction(0.55, 1.0, trades) for trades in (1, 50, 400, 10**9)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(0.1, rel=1e-6)


def test_no_edge_and_no_trades_give_no_kelly() -> None:
    assert sizing.shrunken_kelly_fraction(0.5, 1.0, 1_000) == 0.0
    assert sizing.shrunken_kelly_fraction(0.9, 1.0, 0) == 0.0


@pytest.mark.parametrize("record", [TrackRecord(), TrackRecord(50, 0, 0, 300), TrackRecord(50, 50, 0, 0)])
def test_a_record_without_real_wins_asks_for_nothing(record: TrackRecord) -> None:
    assert sizing.position_fraction(record) == 0.0


def test_a_record_without_losses_is_not_believed_to_have_none() -> None:
    assert sizing.position_fraction(TrackRecord(20, 20, 100, 0)) < sizing.position_fraction(
        TrackRecord(400, 400, 100, 0)
    )


def test_a_strategy_without_a_record_gets_the_probe_size() -> None:
    assert _size() == Sized(2 * SOL // 10, "probe")
    assert _size(TrackRecord(19, 19, 1_000, 10)) == Sized(2 * SOL // 10, "probe")


def test_a_strategy_whose_record_shows_no_edge_goes_on_at_the_probe_size() -> None:
    assert _size(TrackRecord(100, 20, 300, 300)) == Sized(2 * SOL // 10, "probe")


@pytest.mark.requirement("T6")
def test_a_good_record_earns_more_up_to_what_volatility_allows() -> None:
    calm = _size(GOOD, evidence={"volatility_day_bps": 150})
    wild = _size(GOOD, evidence={"volatility_day_bps": 1_000})
    assert calm == Sized(SOL, "headroom")
    assert wild == Sized(2 * SOL * 150 // 1_000, "volatility")


def test_kelly_is_scaled_by_profile_and_tier() -> None:
    modest = TrackRecord(60, 32, 320, 300)
    wide = replace(VIEW, equity_lamports=2_000 * SOL, headroom_lamports=2_000 * SOL, pool_lamports=10**17)
    low, high = (_size(modest, wide, tier, evidence={"volatility_day_bps": 1}) for tier in (2, 0))
    assert isinstance(low, Sized)
    assert isinstance(high, Sized)
    assert (low.bound_by, high.bound_by) == ("kelly", "kelly")
    assert low.lamports == pytest.approx(high.lamports * 0.8, rel=1e-5)


def test_strength_scales_the_size_and_a_negative_one_asks_for_nothing() -> None:
    assert _size(strength=0.5) == Sized(SOL // 10, "probe")
    assert isinstance(_size(strength=-1.0), Denied)


def test_a_signal_that_states_no_volatility_is_taken_to_be_wild() -> None:
    assert sizing.volatility_day_bps(make_signal(evidence={})) == sizing.VOLATILITY_UNKNOWN_BPS
    assert sizing.volatility_day_bps(make_signal(evidence={"volatility_day_bps": "9"})) == 2_000
    assert sizing.volatility_day_bps(make_signal(evidence={"volatility_day_bps": 0})) == 2_000
    assert _size(evidence={}) == Sized(2 * SOL * 75_000 // 1_000_000, "volatility")


def test_strategies_and_sizing_mean_the_same_evidence() -> None:
    assert tokens.VOLATILITY_KEY == sizing.VOLATILITY_KEY


@pytest.mark.parametrize("depth", [20 * SOL, 333 * SOL + 7, 10**16])
@pytest.mark.parametrize("impact_bps", [2, 50, 100, 2_000])
def test_the_impact_cap_keeps_the_swap_within_the_impact_limit(depth: int, impact_bps: int) -> None:
    lamports = sizing.impact_cap_lamports(depth, impact_bps, 25)
    swap = fill_model.buy(Reserves(depth, 10**15), lamports, 25)
    assert impact_bps - 2 <= swap.price_impact_bps <= impact_bps


def test_an_impact_limit_of_everything_caps_nothing_and_one_of_nothing_everything() -> None:
    assert sizing.impact_cap_lamports(SOL, 10_001, 25) == SOL * 10_000
    assert sizing.impact_cap_lamports(SOL, 0, 25) == 0


def test_a_shallow_pool_bounds_the_size() -> None:
    sized = _size(view=replace(VIEW, pool_lamports=10 * SOL))
    assert sized == Sized(sizing.impact_cap_lamports(10 * SOL, 100, 25), "impact")


def test_an_order_too_small_for_its_fixed_costs_is_not_made() -> None:
    denied = _size(view=replace(VIEW, headroom_lamports=19_999_999))
    assert isinstance(denied, Denied)
    assert (denied.reason, denied.limit, denied.used) == ("size_below_minimum", 20_000_000, 19_999_999)


def test_the_smallest_order_grows_with_the_fees() -> None:
    assert sizing.minimum_viable_lamports(RULES, 50_000, 50) == 20_000_000
    assert sizing.minimum_viable_lamports(RULES, 500_000, 50) == 100_000_000
    assert sizing.minimum_viable_lamports(RULES, 500_000, 0) == 20_000_000


def test_the_least_that_a_swap_may_give_is_rounded_in_our_favour() -> None:
    assert sizing.min_out(1_001, 100) == 991
    assert sizing.min_out(5, 10_000) == 0


def test_positions_shrink_towards_the_halt_as_grossman_and_zhou_have_it() -> None:
    limit = 2_500
    assert sizing.drawdown_scale(0, limit, 0) == 1.0
    # W = 0.9 M, a = 0.75: (1 - 0.75 / 0.9) / 0.25
    assert sizing.drawdown_scale(1_000, limit, 0) == pytest.approx((1 - 0.75 / 0.9) / 0.25)
    assert sizing.drawdown_scale(limit, limit, 0) == pytest.approx(0.0)
    values = [sizing.drawdown_scale(drop, limit, 2_500) for drop in range(0, 9_999, 100)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0.25
    assert {sizing.drawdown_scale(drop, limit, 10_000) for drop in range(0, 10_000, 500)} == {1.0}


@pytest.mark.requirement("T6")
def test_a_drawdown_makes_the_order_smaller_and_says_so() -> None:
    deep = _size(view=replace(VIEW, drawdown_bps=1_000, drawdown_halted_bps=2_500))
    assert isinstance(deep, Sized)
    share = sizing.drawdown_scale(1_000, 2_500, RULES.drawdown_floor_bps)
    assert deep == Sized(2 * SOL * int(0.1 * share * 1_000_000) // 1_000_000, "drawdown")
