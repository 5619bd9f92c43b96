"""Fee caps are shares of a position: a small account pays what it can bear or does not trade, as the report says."""

import pytest
from scripts import fee_levels
from tests.support.trading import SOL, make_account, make_bounds, make_order, make_token

from trading.adapters.canonical import parse_json
from trading.model import events
from trading.model.event_codec import decode
from trading.model.order import Side
from trading.model.tier import TIERS, tier_of
from trading.risk.limits import fixed_fees
from trading.runtime.backtest import BacktestSpec, run_backtest

CALM, CAP_OF_ONE, CAP_OF_ANOTHER = fee_levels.SWAP_FEES_LAMPORTS


@pytest.mark.parametrize(
    ("bankroll_sol", "swap_fee_lamports", "share_bps"),
    [
        (2, CALM, 25), (20, CALM, 3), (200, CALM, 1),
        (2, CAP_OF_ONE, 1_000), (20, CAP_OF_ONE, 100), (200, CAP_OF_ONE, 10), (2_000, CAP_OF_ONE, 1),
        (2, CAP_OF_ANOTHER, 10_000), (20, CAP_OF_ANOTHER, 1_000), (200, CAP_OF_ANOTHER, 100),
        (20_000, CAP_OF_ANOTHER, 1),
    ],
)  # fmt: skip
def test_the_round_trip_of_a_hundredth_costs_the_share_that_is_said(
    bankroll_sol: int, swap_fee_lamports: int, share_bps: int
) -> None:
    tier = tier_of(bankroll_sol * SOL)
    order = make_order(amount_in=bankroll_sol * SOL // 100, priority_fee_lamports=swap_fee_lamports - 5_000)
    measure = fixed_fees(order, make_account(), make_token(), make_bounds(tier=TIERS.index(tier)))
    assert measure.used == share_bps
    assert measure.is_broken == (share_bps > min(50, tier.fee_position_bps_max))


@pytest.mark.requirement("T3")
def test_two_sol_trade_at_the_fees_of_a_calm_chain_and_not_at_caps_that_are_sums() -> None:
    calm, dear = fee_levels.level(2, CALM, cycles=1_600), fee_levels.level(2, CAP_OF_ONE, cycles=1_600)
    assert calm.report["trades"] > 0
    shares = calm.report["costs"]["share_bps"]
    assert 0 < shares["priority"] < shares["fee"]
    assert dear.report["trades"] == 0
    assert dear.report["denials"].keys() == {"fee_position_bps", "no_position"}
    assert dear.report["costs"]["share_bps"] == dict.fromkeys(shares)
    assert dear.order_lamports_min >= dear.order_lamports_max, "no allowed order is large enough"
    assert " 0 | " in fee_levels.row(dear)


def test_every_entry_keeps_its_fees_within_the_share_however_dear_the_chain() -> None:
    profile = fee_levels.paying(CAP_OF_ONE)
    feed = fee_levels.SyntheticFeed(fee_levels.SyntheticMarket(seed=7, cycles=1_600))
    journal = run_backtest(BacktestSpec(feed, equity_lamports=20 * SOL, rules=profile)).journal
    told = [decode(row.kind, parse_json(row.body)) for row in journal.rows(kinds=("order_filled",))]
    fills = [each.fill for each in told if isinstance(each, events.OrderFilled)]
    spent = [fill.lamports for fill in fills if fill.side is Side.BUY]
    assert spent
    # The order stands at the cap; its fill may be a little less.
    assert all(2 * CAP_OF_ONE * 10_000 / each <= profile.limits.fee_position_bps_max * 1.02 for each in spent)


def test_the_section_shows_a_row_for_each_account_and_fee() -> None:
    found = fee_levels.level(20, CALM, cycles=300)
    text = fee_levels.section([found, found])
    assert text.count("| 20 | 0.000025 | 0.02 % | 0.01 | 4 |") == 2
    assert "rent is a deposit" in text
