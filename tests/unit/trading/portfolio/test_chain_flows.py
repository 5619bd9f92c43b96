"""Deposits, withdrawals and trades by hand as the books take them, and what a person is told."""

import pytest
from tests.support.hand_chain import BASE_FEE_PAYER, FEE, RENT, HandChain

from trading.model.chain import TransactionSeen
from trading.model.events import CapitalDeposited, CapitalWithdrawn, OrderFilled
from trading.model.intent import SOL_MINT
from trading.model.order import Fill, Side
from trading.portfolio.chain_flows import AlarmKind, ChainFlows, FlowRules, Foreign, Told, unexplained
from trading.portfolio.flow_booking import Books
from trading.portfolio.ledger import Ledger

pytestmark = pytest.mark.requirement("T20")
SOL = 10**9


class Desk:
    """A chain and the books that follow it."""

    def __init__(self, rules: FlowRules | None = None, *, held_units: int = 0) -> None:
        self.chain = HandChain({"w1": 10 * SOL})
        self.ledger = Ledger()
        self.ledger.apply(CapitalDeposited("start", 0, "trend", 10 * SOL, "start"))
        self.flows = ChainFlows(frozenset({"w1"}), rules or FlowRules())
        if held_units:
            self.chain.swap("w1", "AAA", held_units, SOL)
            fill = Fill("o1", 1, Side.BUY, "AAA", SOL, held_units, 0, 0, FEE, 0, RENT, 0)
            self.ledger.apply(OrderFilled("t1", "trend", "trend", fill))

    def take(self, seen: TransactionSeen, price: int | None = None) -> Told:
        told = self.flows.take(seen, Books.of(self.ledger), lambda _m, units: price and price * units, 5)
        for event in told.events:
            self.ledger.apply(event)
        return told

    @staticmethod
    def kinds(told: Told) -> list[AlarmKind]:
        return [alarm.kind for alarm in told.alarms]


def test_sol_that_comes_in_is_split_by_the_weights_and_alarms_nobody() -> None:
    desk = Desk(FlowRules(weights_bps=(("trend", 6_000), ("reversion", 3_000))))
    told = desk.take(desk.chain.send_sol("w1", SOL))
    assert [(event.bucket, event.lamports) for event in told.events if isinstance(event, CapitalDeposited)] == [
        ("trend", 600_000_000),
        ("reversion", 300_000_000),
        ("manual", 100_000_000),
    ]
    assert told.alarms == ()


def test_a_withdrawal_by_hand_is_booked_with_its_fee_and_halts_the_wallet() -> None:
    desk = Desk()
    told = desk.take(desk.chain.send_sol("w1", -SOL))
    [event] = told.events
    assert isinstance(event, CapitalWithdrawn)
    assert (event.bucket, event.lamports) == ("trend", SOL + FEE)
    assert [(alarm.kind, alarm.halts) for alarm in told.alarms] == [(AlarmKind.SIGNED_WITHOUT_INTENT, True)]


def test_a_trade_by_hand_is_a_position_of_the_hand_paid_with_cash_of_the_desk() -> None:
    desk = Desk(FlowRules(expects_hand=True))
    told = desk.take(desk.chain.swap("w1", "AAA", 500, SOL))
    position = desk.ledger.position("manual", "AAA")
    assert position is not None
    assert (position.base_units, position.cost_lamports) == (500, SOL + FEE)
    assert desk.ledger.rent_lamports == RENT
    assert desk.ledger.bucket_cash_lamports("manual") == 0
    assert [(alarm.kind, alarm.halts) for alarm in told.alarms] == [(AlarmKind.SIGNED_WITHOUT_INTENT, False)]
    # Net deposits of the account do not change: a trade is no flow.
    assert desk.ledger.net_deposits_lamports == 10 * SOL


def test_a_sale_by_hand_of_what_a_strategy_bought_closes_its_position_and_returns_the_deposit() -> None:
    desk = Desk(held_units=500)
    told = desk.take(desk.chain.swap("w1", "AAA", -500, 2 * SOL, closes=True))
    assert desk.ledger.position("trend", "AAA") is None
    assert desk.ledger.rent_lamports == 0
    assert desk.ledger.realised_lamports == 2 * SOL - SOL - 2 * FEE
    assert desk.kinds(told) == [AlarmKind.SIGNED_WITHOUT_INTENT]


def test_the_deposit_of_an_account_that_is_closed_without_a_sale_comes_back_to_who_paid_it() -> None:
    desk = Desk(held_units=500)
    desk.take(desk.chain.swap("w1", "AAA", -500, 2 * SOL))
    told = desk.take(desk.chain.send_token("w1", "AAA", 0, "w1"))
    assert desk.ledger.rent_lamports == RENT
    told = desk.take(desk.chain.close("w1", "AAA"))
    assert desk.kinds(told) == [AlarmKind.SIGNED_WITHOUT_INTENT]
    assert desk.ledger.rent_lamports == 0
    assert desk.ledger.cash_lamports == desk.chain.cash
    # What was a deposit of ours is no new money; the fee of a transaction by hand left the desk.
    assert desk.ledger.net_deposits_lamports == 10 * SOL - 2 * FEE


def test_what_somebody_sent_to_an_account_comes_in_when_it_is_closed() -> None:
    desk = Desk(held_units=500)
    desk.take(desk.chain.swap("w1", "AAA", -500, 2 * SOL))
    before = desk.ledger.net_deposits_lamports
    desk.take(desk.chain.close("w1", "AAA", gift=1_000_000))
    assert desk.ledger.rent_lamports == 0
    assert desk.ledger.cash_lamports == desk.chain.cash
    assert desk.ledger.net_deposits_lamports == before + 1_000_000 - FEE


def test_an_account_whose_deposit_is_in_no_book_is_money_that_comes_in() -> None:
    desk = Desk()
    desk.chain.accounts["w1", "ZZZ"] = 0
    desk.take(desk.chain.close("w1", "ZZZ"))
    assert desk.ledger.net_deposits_lamports == 10 * SOL + RENT - FEE
    assert desk.ledger.cash_lamports == desk.chain.cash


def test_tokens_that_go_out_by_hand_are_withdrawn_at_their_value_and_bring_no_loss() -> None:
    desk = Desk(held_units=500)
    told = desk.take(desk.chain.send_token("w1", "AAA", -500, "w1"), price=2_000_000)
    assert desk.ledger.net_deposits_lamports == 10 * SOL - SOL - FEE
    assert desk.kinds(told) == [AlarmKind.SIGNED_WITHOUT_INTENT]
    assert desk.ledger.holdings == {}


def test_tokens_that_somebody_takes_without_our_signature_are_a_loss_and_halt_the_wallet() -> None:
    desk = Desk(held_units=500)
    told = desk.take(desk.chain.send_token("w1", "AAA", -500, BASE_FEE_PAYER), price=2_000_000)
    assert [(alarm.kind, alarm.halts) for alarm in told.alarms] == [(AlarmKind.TOKEN_TAKEN, True)]
    assert desk.ledger.realised_lamports == -SOL - FEE
    assert desk.ledger.net_deposits_lamports == 10 * SOL


@pytest.mark.parametrize(
    ("foreign", "price", "booked", "kinds"),
    [
        (Foreign.ADOPT, 1_000, 40, []),
        (Foreign.ADOPT, None, 0, [AlarmKind.FOREIGN_ARRIVED]),
        (Foreign.LEAVE, 1_000, 0, [AlarmKind.FOREIGN_ARRIVED]),
        (Foreign.IGNORE, 1_000, 0, []),
    ],
)
def test_tokens_that_nobody_bought_are_adopted_left_or_ignored_as_the_operator_says(
    foreign: Foreign, price: int | None, booked: int, kinds: list[AlarmKind]
) -> None:
    desk = Desk(FlowRules(foreign=foreign))
    told = desk.take(desk.chain.send_token("w1", "ZZZ", 40, BASE_FEE_PAYER), price)
    position = desk.ledger.position("manual", "ZZZ")
    assert (0 if position is None else position.base_units) == booked
    assert desk.flows.foreign == ({} if booked else {"ZZZ": 40})
    assert desk.kinds(told) == kinds
    assert desk.ledger.net_deposits_lamports == 10 * SOL + (40_000 if booked else 0)


def test_what_is_paid_for_a_banned_token_left_the_desk_and_what_it_brings_comes_in() -> None:
    desk = Desk(FlowRules(banned=frozenset({"BAD"})))
    desk.take(desk.chain.swap("w1", "BAD", 10, SOL))
    assert desk.ledger.holdings == {}
    assert desk.ledger.net_deposits_lamports == 9 * SOL - FEE - RENT
    desk.take(desk.chain.swap("w1", "BAD", -10, 3 * SOL))
    assert desk.ledger.net_deposits_lamports == 12 * SOL - 2 * FEE - RENT


def test_more_than_the_books_have_is_not_booked_and_halts() -> None:
    desk = Desk()
    desk.chain.native["w1"] = 30 * SOL  # nobody told the books
    told = desk.take(desk.chain.send_sol("w1", -20 * SOL))
    assert told.events == ()
    assert desk.kinds(told) == [AlarmKind.SIGNED_WITHOUT_INTENT, AlarmKind.BOOKS_SHORT]
    assert all(alarm.halts for alarm in told.alarms)


def test_a_transaction_that_moved_several_tokens_is_told_to_be_unclear() -> None:
    desk = Desk()
    with desk.chain.acting("w1") as made:
        for mint in ("AAA", "BBB"):
            desk.chain.accounts["w1", mint] = 5
    assert AlarmKind.UNCLEAR in desk.kinds(desk.take(made[0]))


def test_balances_that_neither_books_nor_foreign_tokens_explain_are_named() -> None:
    desk = Desk(held_units=500)
    books = Books.of(desk.ledger)
    units = {"AAA": 480, "ZZZ": 3, SOL_MINT: desk.chain.cash}
    assert unexplained(books, units, {}) == {"AAA": -20, "ZZZ": 3}
    assert unexplained(books, {**units, "AAA": 500}, {"ZZZ": 3}) == {}


def test_a_trade_that_is_paid_with_wrapped_sol_costs_what_was_paid() -> None:
    desk = Desk(FlowRules(expects_hand=True))
    desk.take(desk.chain.wrap("w1", 3 * SOL))
    assert desk.ledger.cash_lamports == desk.chain.cash == 10 * SOL - RENT - FEE
    with desk.chain.acting("w1") as made:
        desk.chain.accounts["w1", SOL_MINT] -= SOL
        desk.chain.accounts["w1", "AAA"] = 500
        desk.chain.native["w1"] -= RENT
    desk.take(made[0])
    position = desk.ledger.position("manual", "AAA")
    assert position is not None
    assert position.cost_lamports == SOL + FEE
    assert desk.ledger.cash_lamports == desk.chain.cash
