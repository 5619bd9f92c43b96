"""The figures of a report are a fold of facts: each counts once, in the run, its strategy and its token."""

from decimal import Decimal

from tests.support.trading import (
    MINT,
    RENT,
    SOL,
    STEP,
    T0,
    deposit,
    filled,
    make_fill,
    make_order,
    make_signal,
    rejected,
)

from trading.model import events
from trading.model.account import TradingState
from trading.model.order import Denied, Side
from trading.portfolio.account_fold import AccountFold, Costs, Tally

DAY_NS = 86_400 * 10**9


def folded(*told: object) -> AccountFold:
    fold = AccountFold(DAY_NS)
    for event in told:
        fold.take(event)
    return fold


def mark(number: int, equity: int, exposure: int = 0) -> events.CycleMarked:
    at = T0 + number * STEP
    return events.CycleMarked(at, number, equity, equity - exposure, exposure, 0, TradingState.ACTIVE, Decimal(100))


def bought(order: str = "b", **changes: int) -> events.OrderFilled:
    return filled(make_fill(order, rent_lamports=RENT, **changes))


def sold(order: str = "s", lamports: int = 120_000_000) -> events.OrderFilled:
    return filled(make_fill(order, side=Side.SELL, lamports=lamports, rent_lamports=-RENT, ts_ns=T0 + 60 * 10**9))


def test_a_round_trip_counts_in_the_run_its_strategy_and_its_token() -> None:
    fold = folded(deposit(2 * SOL), bought(), sold())
    for tally in (fold.total, fold.strategies["s"], fold.tokens[MINT]):
        assert (tally.fills, tally.round_trips, tally.wins) == (2, 1, 1)
        assert tally.realised_lamports == 20_000_000 - 2 * 25_000
        assert tally.turnover_lamports == 220_000_000
        assert tally.win_rate_bps == 10_000
        assert tally.mean_holding_s == 60
        assert tally.mean_slippage_bps == 30
        costs = tally.costs
        assert (costs.fee, costs.network, costs.impact, costs.priority, costs.rent) == (
            510_000,
            10_000,
            100_000,
            40_000,
            0,
        )
        assert tally.cost_of_turnover_bps == costs.total * 10_000 // 220_000_000


def test_a_fact_that_is_told_twice_counts_once() -> None:
    order = make_order(id="x")
    told = (deposit(2 * SOL), bought(), events.OrderApproved(order, ()), rejected("x", 25_000))
    once, twice = folded(*told), folded(*told, bought(), rejected("x", 25_000), deposit(2 * SOL))
    assert (twice.total, twice.rejections, twice.start_lamports) == (once.total, 1, once.start_lamports)
    assert twice.tokens[MINT].costs.failed == 25_000
    assert twice.curve.net_flows_lamports == 2 * SOL


def test_a_charge_whose_order_is_unknown_is_of_no_token() -> None:
    fold = folded(deposit(SOL), rejected("x", 5_000))
    assert fold.tokens == {}
    assert fold.strategies["s"].costs.failed == fold.total.costs.failed == 5_000


def test_what_comes_in_before_the_first_mark_is_the_start_and_later_flows_are_no_return() -> None:
    out = events.CapitalWithdrawn("w", T0, "a", SOL, "")
    fold = folded(deposit(2 * SOL), mark(0, 2 * SOL), out, mark(1, SOL), mark(2, SOL * 11 // 10))
    assert fold.start_lamports == 2 * SOL
    assert fold.curve.net_flows_lamports == SOL
    assert fold.curve.time_weighted_return_bps == 1_000
    assert (fold.first, fold.last) == (mark(0, 2 * SOL), mark(2, SOL * 11 // 10))


def test_exposure_is_a_share_of_equity_and_nothing_of_nothing() -> None:
    fold = folded(deposit(SOL), mark(0, SOL, SOL // 2), mark(1, 0), mark(2, SOL, SOL // 4))
    assert (fold.exposure_bps_mean, fold.exposure_bps_max, fold.marks) == (2_500, 5_000, 3)
    assert folded().exposure_bps_mean is None


def test_refusals_are_counted_by_reason_and_moves_between_buckets_change_nothing() -> None:
    denied = Denied("impact_bps", "")
    fold = folded(
        deposit(SOL),
        events.OrderDenied(make_order(), denied),
        events.SignalPassed("t", "s", MINT, T0, denied),
        events.CapitalMoved("m", T0, "a", "b", SOL // 2, ""),
        events.TierChanged(T0, "a", "b", 1),
        events.SignalRaised("t", make_signal()),
    )
    assert fold.signals == 1
    assert fold.denials == {"impact_bps": 2}
    assert fold.curve.net_flows_lamports == SOL
    assert fold.ledger.bucket_cash_lamports("b") == SOL // 2


def test_a_write_off_is_a_lost_round_trip() -> None:
    gone = events.PositionWrittenOff("trj_1", "s", "a", MINT, T0, "drained")
    fold = folded(deposit(SOL), bought(), gone)
    assert (fold.total.round_trips, fold.total.wins) == (1, 0)
    assert fold.total.return_bps == -10_000


def test_shares_of_nothing_are_none() -> None:
    tally = Tally("x")
    assert [tally.win_rate_bps, tally.return_bps, tally.mean_holding_s, tally.mean_slippage_bps] == [None] * 4
    assert tally.cost_of_turnover_bps is None
    assert Costs().share_bps("fee") is None
    assert Costs(fee=1, failed=3).share_bps("failed") == 7_500
