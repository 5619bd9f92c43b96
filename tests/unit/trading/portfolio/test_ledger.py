from dataclasses import replace
from typing import Any

import pytest
from tests.support.trading import MINT, RENT, SOL, T0, deposit, filled, make_fill, rejected

from trading.errors import IllegalTransition, InvalidInput, LedgerMismatch
from trading.model.account import CostTotals
from trading.model.events import (
    AccountClosed,
    CapitalMoved,
    CapitalWithdrawn,
    FeePaid,
    LedgerEvent,
    PositionWrittenOff,
)
from trading.model.order import Side
from trading.model.position import Holding
from trading.portfolio.buckets import split_lamports
from trading.portfolio.ledger import Ledger

COST = 100_025_000  # of the default fill: lamports and both fees


def _sale(order_id: str, base_units: int, lamports: int, **changes: Any) -> LedgerEvent:
    return filled(make_fill(order_id, side=Side.SELL, base_units=base_units, lamports=lamports, **changes))


def _ledger(*events: LedgerEvent) -> Ledger:
    return Ledger.folded([deposit(SOL), *events])


def test_a_deposit_is_cash_of_its_bucket_and_of_the_wallet() -> None:
    ledger = _ledger(deposit(5, "b", "d2"))
    assert (ledger.cash_lamports, ledger.net_deposits_lamports) == (SOL + 5, SOL + 5)
    assert (ledger.bucket_cash_lamports("a"), ledger.bucket_cash_lamports("b")) == (SOL, 5)
    assert ledger.bucket_cash_lamports("nobody") == 0


def test_a_withdrawal_leaves_wallet_and_bucket() -> None:
    ledger = _ledger(CapitalWithdrawn("w1", T0, "a", SOL, "test"))
    assert (ledger.cash_lamports, ledger.net_deposits_lamports) == (0, 0)


def test_capital_moves_between_buckets_without_touching_the_wallet() -> None:
    ledger = _ledger(CapitalMoved("m1", T0, "a", "b", 400, "test"))
    assert (ledger.cash_lamports, ledger.bucket_cash_lamports("b")) == (SOL, 400)
    assert ledger.net_deposits_lamports == SOL


@pytest.mark.parametrize(
    "event",
    [
        CapitalWithdrawn("w", T0, "a", SOL + 1, "test"),
        CapitalMoved("m", T0, "b", "a", 1, "test"),
        CapitalMoved("m", T0, "a", "b", 0, "test"),
        deposit(0, key="x"),
        deposit(-5, key="x"),
    ],
)
def test_money_that_is_not_there_cannot_be_moved_and_nothing_changes(event: LedgerEvent) -> None:
    ledger = _ledger()
    with pytest.raises(InvalidInput) as caught:
        ledger.apply(event)
    assert caught.value.field == "lamports"
    assert (ledger.cash_lamports, ledger.bucket_cash_lamports("b")) == (SOL, 0)


def test_a_buy_costs_its_lamports_and_fees_while_rent_stays_ours() -> None:
    ledger = _ledger(filled(make_fill(rent_lamports=RENT)))
    position = ledger.position("a", MINT)
    assert position is not None
    assert (position.base_units, position.cost_lamports, position.buys) == (1_000_000, COST, 1)
    assert (ledger.cash_lamports, ledger.rent_lamports) == (SOL - COST - RENT, RENT)
    assert ledger.costs == CostTotals(255_000, 50_000, 20_000, 0, RENT)
    assert ledger.buckets["a"].book_lamports == SOL


def test_average_cost_is_the_ratio_of_exact_sums() -> None:
    ledger = _ledger(filled(make_fill("1", base_units=3)), filled(make_fill("2", base_units=4, lamports=1)))
    position = ledger.position("a", MINT)
    assert position is not None
    assert (position.base_units, position.cost_lamports, position.buys) == (7, COST + 25_001, 2)
    assert ledger.holding(MINT) == Holding(MINT, 7, COST + 25_001)


def test_a_partial_sale_takes_its_share_of_the_cost_and_the_last_one_all_that_is_left() -> None:
    ledger = _ledger(filled(make_fill(base_units=3)))
    first = ledger.apply(_sale("s1", 1, 50_025_000))
    assert first.realised_lamports == 50_000_000 - COST // 3
    assert first.closed is None
    last = ledger.apply(_sale("s2", 2, 50_025_000, slippage_bps=40))
    assert last.closed is not None
    assert first.realised_lamports + last.closed.realised_lamports - first.realised_lamports == 100_000_000 - COST
    assert ledger.realised_lamports == 100_000_000 - COST
    assert ledger.positions() == []
    assert ledger.held_mints() == []
    assert ledger.holding(MINT) is None
    assert ledger.position("nobody", MINT) is None


def test_a_round_trip_tells_its_whole_story() -> None:
    ledger = _ledger(filled(make_fill("1", slippage_bps=10)), filled(make_fill("2", slippage_bps=20)))
    closed = ledger.apply(_sale("3", 2_000_000, 300_000_000, ts_ns=T0 + 9, slippage_bps=31)).closed
    assert closed is not None
    assert (closed.bought_lamports, closed.sold_lamports) == (2 * COST, 299_975_000)
    assert closed.realised_lamports == 299_975_000 - 2 * COST
    assert (closed.opened_ns, closed.closed_ns, closed.fills, closed.slippage_bps) == (T0, T0 + 9, 3, 21)
    assert (closed.trajectory_id, closed.strategy, closed.bucket) == ("trj_1", "s", "a")


def test_rent_returns_to_the_bucket_that_paid_it() -> None:
    ledger = _ledger(deposit(SOL, "b", "d2"), filled(make_fill("1", rent_lamports=RENT)))
    ledger.apply(filled(make_fill("2"), bucket="b"))
    ledger.apply(_sale("3", 1_000_000, COST))
    before = ledger.bucket_cash_lamports("a")
    last = make_fill("4", side=Side.SELL, rent_lamports=-RENT)
    ledger.apply(filled(last, bucket="b"))
    assert ledger.bucket_cash_lamports("a") == before + RENT
    assert ledger.rent_lamports == 0


def test_a_closed_account_returns_its_deposit_once_to_the_bucket_that_paid_it() -> None:
    ledger = _ledger(deposit(SOL, "b", "d2"), filled(make_fill("1", rent_lamports=RENT)), _sale("2", 1_000_000, COST))
    before = ledger.bucket_cash_lamports("a")
    closed = AccountClosed("c", T0, MINT, RENT, "test")
    assert not ledger.apply(closed).duplicate
    assert ledger.apply(closed).duplicate
    assert ledger.bucket_cash_lamports("a") == before + RENT
    assert (ledger.rent_lamports, ledger.rent_deposits(), ledger.costs.rent_lamports) == (0, {}, 0)
    assert ledger.net_deposits_lamports == 2 * SOL


@pytest.mark.parametrize("lamports", [RENT - 1, RENT + 1, 0])
def test_a_deposit_that_was_not_paid_does_not_come_back(lamports: int) -> None:
    ledger = _ledger(filled(make_fill("1", rent_lamports=RENT)))
    before = ledger.cash_lamports
    with pytest.raises(InvalidInput, match="cannot come back"):
        ledger.apply(AccountClosed("c", T0, MINT, lamports, "test"))
    with pytest.raises(InvalidInput, match="cannot come back"):
        ledger.apply(AccountClosed("c", T0, "another", RENT, "test"))
    assert (ledger.cash_lamports, ledger.rent_lamports) == (before, RENT)


def test_a_fee_without_a_trade_is_a_loss_of_its_bucket_and_no_withdrawal() -> None:
    ledger = _ledger(FeePaid("f", T0, "a", 5_000, "test"))
    assert (ledger.cash_lamports, ledger.realised_lamports) == (SOL - 5_000, -5_000)
    assert (ledger.net_deposits_lamports, ledger.costs.fee_lamports) == (SOL, 5_000)
    with pytest.raises(InvalidInput):
        ledger.apply(FeePaid("g", T0, "a", SOL, "test"))


def test_one_token_in_two_buckets_is_one_holding_and_two_positions() -> None:
    ledger = _ledger(deposit(SOL, "b", "d2"), filled(make_fill("1")), filled(make_fill("2"), bucket="b"))
    assert ledger.holding(MINT) == Holding(MINT, 2_000_000, 2 * COST)
    assert [position.bucket for position in ledger.positions()] == ["a", "b"]
    assert ledger.held_mints() == [MINT]


def test_a_failed_transaction_costs_its_charge() -> None:
    ledger = _ledger(rejected("r1", 25_000))
    assert (ledger.cash_lamports, ledger.costs.failed_lamports) == (SOL - 25_000, 25_000)


def test_a_losing_exit_is_remembered_over_all_buckets_and_a_winning_one_is_not() -> None:
    ledger = _ledger(filled(make_fill("1")))
    ledger.apply(_sale("2", 500_000, 90_000_000))
    assert ledger.losing_exit(MINT) is None
    ledger.apply(_sale("3", 500_000, 10_000_000, ts_ns=T0 + 5))
    found = ledger.losing_exit(MINT)
    assert found is not None
    assert (found.ts_ns, found.lamports, found.base_units) == (T0 + 5, 10_000_000, 500_000)


def test_a_position_that_can_never_be_sold_is_written_off_at_its_whole_cost() -> None:
    ledger = _ledger(filled(make_fill(rent_lamports=RENT)))
    event = PositionWrittenOff("trj_1", "s", "a", MINT, T0 + 5, "rug")
    booking = ledger.apply(event)
    assert booking.realised_lamports == -COST
    assert booking.closed is not None
    assert booking.closed.realised_lamports == -COST
    assert ledger.losing_exit(MINT) is not None
    assert ledger.rent_lamports == RENT  # the account still exists
    assert ledger.apply(event).duplicate
    with pytest.raises(LedgerMismatch, match="to write off"):
        ledger.apply(replace(event, ts_ns=T0 + 6))


def test_the_same_fact_twice_changes_nothing() -> None:
    events = [filled(make_fill(rent_lamports=RENT)), rejected("r1", 5), _sale("s1", 1_000, 5_000_000)]
    ledger = _ledger(*events)
    before = (ledger.cash_lamports, ledger.realised_lamports, ledger.costs, ledger.positions())
    assert all(ledger.apply(event).duplicate for event in [*events, deposit(SOL)])
    assert (ledger.cash_lamports, ledger.realised_lamports, ledger.costs, ledger.positions()) == before


@pytest.mark.parametrize(
    "event", [filled(make_fill(lamports=1)), rejected("ord_1", 5), filled(make_fill(), bucket="b")]
)
def test_another_story_about_the_same_order_halts(event: LedgerEvent) -> None:
    ledger = _ledger(filled(make_fill()))
    with pytest.raises(LedgerMismatch, match="booked before with other content"):
        ledger.apply(event)


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (_sale("x", 1_000_001, 5), "sold 1000001"),
        (filled(make_fill("x", side=Side.SELL), bucket="b"), "'b' has 0"),
        (filled(make_fill("x", rent_lamports=RENT)), "rent of 2039280"),
        (_sale("x", 5, 5, rent_lamports=-5), "rent of -5"),
        (filled(make_fill("x", lamports=2 * SOL)), "out of a wallet"),
        (rejected("x", 2 * SOL), "out of a wallet"),
    ],
)
def test_a_report_that_cannot_be_true_halts_and_books_nothing(event: LedgerEvent, named: str) -> None:
    ledger = _ledger(filled(make_fill(rent_lamports=RENT)))
    before = (ledger.cash_lamports, ledger.positions(), ledger.rent_lamports)
    with pytest.raises(LedgerMismatch, match=named):
        ledger.apply(event)
    assert (ledger.cash_lamports, ledger.positions(), ledger.rent_lamports) == before


@pytest.mark.parametrize(
    "event",
    [
        filled(make_fill("x", base_units=0)),
        filled(make_fill("x", lamports=-1)),
        filled(make_fill("x", priority_fee_lamports=-1)),
        rejected("x", -1),
    ],
)
def test_an_impossible_report_is_a_programmers_error(event: LedgerEvent) -> None:
    with pytest.raises(IllegalTransition):
        _ledger().apply(event)


def test_books_that_were_tampered_with_are_noticed() -> None:
    for tamper in ("cash_lamports", "rent_lamports", "realised_lamports"):
        ledger = _ledger(filled(make_fill(rent_lamports=RENT)))
        bucket = ledger.buckets["a"]
        setattr(bucket, tamper, getattr(bucket, tamper) + 1)
        with pytest.raises(LedgerMismatch):
            ledger.verify()


def test_only_so_many_booked_events_are_remembered() -> None:
    ledger = Ledger(seen_max=3)
    ledger.apply(deposit(SOL))
    for n in range(3):
        ledger.apply(rejected(f"r{n}", 1))
    assert ledger.apply(rejected("r2", 1)).duplicate
    assert not ledger.apply(deposit(SOL)).duplicate  # the first one is forgotten


def test_capital_is_split_without_creating_any() -> None:
    assert split_lamports(1_001, {"a": 5_000, "b": 5_000}) == {"a": 500, "b": 500}
    assert split_lamports(1_000, {"a": 2_500}) == {"a": 250}


@pytest.mark.parametrize(("lamports", "weights"), [(-1, {"a": 1}), (5, {"a": -1}), (5, {"a": 6_000, "b": 4_001})])
def test_a_split_that_makes_no_sense_is_refused(lamports: int, weights: dict[str, int]) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_lamports(lamports, weights)
    assert caught.value.field == "weights_bps"
