"""Several wallets: what is promised to orders, which wallet trades, what is kept for exits, what is swept."""

from dataclasses import replace

import pytest

from trading.errors import InvalidInput
from trading.model.intent import SOL_MINT
from trading.model.order import Denied
from trading.portfolio.wallets import DAY_NS, Reservation, SweepPolicy, WalletBook, WalletRules, Wish

SOL = 10**9
RULES = WalletRules(exit_fee_lamports=1_000_000, rent_lamports=3_000_000, reservations_len_max=4)
BUY = Wish("i1", "momentum", SOL_MINT, "AAA", SOL, 10_000, is_exit=False)
SELL = Wish("i2", "momentum", "AAA", SOL_MINT, 500, 10_000, is_exit=True)


def book(**wallets: dict[str, int]) -> WalletBook:
    found = WalletBook(RULES)
    for name, units in wallets.items():
        found.observe(name, units)
    return found


def reason(answer: object) -> str:
    assert isinstance(answer, Denied), answer
    return answer.reason


@pytest.mark.requirement("T10")
def test_an_order_is_promised_what_it_takes_and_its_fee_until_it_ends() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL})
    assert wallets.reserve(BUY, "w1") == Reservation(BUY, "w1")
    assert wallets.free("w1", SOL_MINT) == 2 * SOL - 10_000
    assert wallets.reserve(BUY, "w1") == Reservation(BUY, "w1")
    assert wallets.reserved("w1", SOL_MINT) == SOL + 10_000
    assert wallets.release("i1")
    assert not wallets.release("i1")
    assert wallets.free("w1", SOL_MINT) == 3 * SOL


@pytest.mark.requirement("T10")
def test_a_settled_order_is_booked_once_and_promised_nothing_again() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL})
    wallets.reserve(BUY, "w1")
    assert wallets.settle("i1", {SOL_MINT: -SOL - 5_000, "AAA": 700})
    assert not wallets.settle("i1", {SOL_MINT: -SOL - 5_000, "AAA": 700})
    assert not wallets.release("i1")
    assert wallets.reserve(BUY, "w1") == Reservation(BUY, "w1")
    assert (wallets.units("w1", SOL_MINT), wallets.units("w1", "AAA")) == (2 * SOL - 5_000, 700)
    assert wallets.reserved("w1", SOL_MINT) == 0


def test_an_id_stands_for_one_order() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL}, w2={SOL_MINT: 3 * SOL})
    wallets.reserve(BUY, "w1")
    with pytest.raises(InvalidInput, match="stands for"):
        wallets.reserve(replace(BUY, amount_in=5), "w1")
    with pytest.raises(InvalidInput, match="stands for"):
        wallets.reserve(BUY, "w2")


@pytest.mark.requirement("T16")
@pytest.mark.requirement("T10")
def test_a_buy_and_a_sale_of_one_token_are_never_open_at_once_in_whatever_wallets() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL}, w2={SOL_MINT: 3 * SOL, "AAA": 500})
    wallets.reserve(BUY, "w1")
    sell = replace(SELL, strategy="another")
    assert reason(wallets.reserve(sell, "w2")) == "own_order_crosses"
    assert reason(wallets.choose(sell)) == "own_order_crosses"
    assert [each.wish.id for each in wallets.crossing(sell)] == ["i1"]
    wallets.release("i1")
    assert wallets.choose(sell) == "w2"
    wallets.reserve(sell, "w2")
    assert reason(wallets.reserve(replace(BUY, id="i3"), "w1")) == "own_order_crosses"


def test_two_buys_of_one_token_and_trades_of_others_do_not_cross() -> None:
    wallets = book(w1={SOL_MINT: 9 * SOL}, w2={SOL_MINT: 9 * SOL, "BBB": 5})
    wallets.reserve(BUY, "w1")
    assert isinstance(wallets.reserve(replace(BUY, id="i3"), "w2"), Reservation)
    assert isinstance(wallets.reserve(replace(SELL, id="i4", in_mint="BBB", amount_in=5), "w2"), Reservation)


def test_an_entry_leaves_the_sol_for_the_exits_of_all_that_the_wallet_holds_or_buys() -> None:
    # It holds BBB and buys AAA: two exits of 0.001, and 0.003 of deposits.
    wallets = book(w1={SOL_MINT: SOL + 10_000 + 5_000_000 - 1, "BBB": 1})
    assert reason(wallets.reserve(BUY, "w1")) == "wallet_exit_reserve"
    wallets.observe("w1", {SOL_MINT: SOL + 10_000 + 5_000_000, "BBB": 1})
    assert isinstance(wallets.reserve(BUY, "w1"), Reservation)
    assert wallets.exit_reserve_lamports("w1") == 5_000_000


def test_an_exit_may_use_what_is_kept_for_exits() -> None:
    wallets = book(w1={SOL_MINT: 10_000, "AAA": 500})
    assert isinstance(wallets.reserve(SELL, "w1"), Reservation)
    assert reason(book(w1={SOL_MINT: 9_999, "AAA": 500}).reserve(SELL, "w1")) == "wallet_balance"


def test_a_halted_wallet_opens_nothing_and_may_still_sell() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL, "AAA": 500})
    wallets.halt("w1", "an unknown transaction")
    assert reason(wallets.reserve(BUY, "w1")) == "wallet_halted"
    assert isinstance(wallets.reserve(SELL, "w1"), Reservation)
    wallets.halt("w1", "")
    wallets.release("i2")
    assert isinstance(wallets.reserve(BUY, "w1"), Reservation)


def test_open_orders_of_a_wallet_are_bounded() -> None:
    wallets = book(w1={SOL_MINT: 90 * SOL})
    for number in range(RULES.reservations_len_max):
        assert isinstance(wallets.reserve(replace(BUY, id=f"n{number}"), "w1"), Reservation)
    assert reason(wallets.reserve(BUY, "w1")) == "wallet_orders"


def test_a_token_is_bought_where_it_is_held_else_where_most_is_to_spare() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL}, w2={SOL_MINT: 5 * SOL}, w3={SOL_MINT: 2 * SOL, "AAA": 1})
    assert wallets.choose(BUY) == "w3"
    assert wallets.choose(replace(BUY, out_mint="BBB")) == "w2"
    assert reason(wallets.choose(replace(BUY, amount_in=6 * SOL))) == "wallet_balance"
    assert reason(WalletBook(RULES).choose(BUY)) == "wallet_unknown"
    assert reason(wallets.reserve(BUY, "nobody's")) == "wallet_unknown"


def test_an_exit_of_more_than_one_wallet_holds_is_split_over_them() -> None:
    wallets = book(w1={SOL_MINT: SOL, "AAA": 30}, w2={SOL_MINT: SOL, "AAA": 500}, w3={SOL_MINT: SOL})
    assert wallets.parts_of_exit("AAA", 520) == (("w2", 500), ("w1", 20))
    assert wallets.parts_of_exit("AAA", 1_000) == (("w2", 500), ("w1", 30))


def test_what_was_taken_out_although_it_is_promised_is_told() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL})
    wallets.reserve(BUY, "w1")
    assert wallets.observe("w1", {SOL_MINT: SOL}) == {SOL_MINT: 10_000}
    assert wallets.observe("w1", {SOL_MINT: SOL + 10_000}) == {}
    with pytest.raises(InvalidInput, match="no balance"):
        wallets.observe("w1", {SOL_MINT: -1})


def test_a_settlement_that_the_balances_do_not_cover_changes_nothing() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL})
    wallets.reserve(BUY, "w1")
    with pytest.raises(InvalidInput, match="too much"):
        wallets.settle("i1", {SOL_MINT: -4 * SOL, "AAA": 5})
    assert wallets.reserved("w1", SOL_MINT) == SOL + 10_000
    assert wallets.units("w1", "AAA") == 0


@pytest.mark.parametrize("broken", [{"amount_in": 0}, {"fee_lamports": -1}, {"out_mint": SOL_MINT}])
def test_an_order_that_is_none_is_refused(broken: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        book(w1={SOL_MINT: 3 * SOL}).choose(replace(BUY, **broken))


SWEEP = SweepPolicy("cold", working_lamports=2 * SOL, step_lamports_min=SOL // 10)


@pytest.mark.requirement("T10")
def test_what_is_above_working_capital_goes_to_the_cold_address_once_a_day() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL})
    first = wallets.sweep("w1", SWEEP, DAY_NS, 5_000)
    assert first is not None
    assert (first.wallet, first.to_address, first.lamports) == ("w1", "cold", SOL - 5_000)
    again, next_day = (wallets.sweep("w1", SWEEP, time_ns, 5_000) for time_ns in (2 * DAY_NS - 1, 2 * DAY_NS))
    assert again is not None
    assert next_day is not None
    assert again.key == first.key != next_day.key


def test_what_orders_and_exits_need_is_not_swept() -> None:
    wallets = book(w1={SOL_MINT: 3 * SOL, "BBB": 1})
    wallets.reserve(replace(BUY, amount_in=SOL // 2), "w1")
    swept = wallets.sweep("w1", SWEEP, DAY_NS, 5_000)
    assert swept is not None
    assert swept.lamports == SOL // 2 - 10_000 - 5_000
    poor = replace(SWEEP, working_lamports=0)
    swept = wallets.sweep("w1", poor, DAY_NS, 5_000)
    assert swept is not None
    assert swept.lamports == 5 * SOL // 2 - 10_000 - 5_000 - 5_000_000
    wallets.release("i1")
    assert wallets.sweep("w1", replace(SWEEP, step_lamports_min=SOL), DAY_NS, 5_000) is None
    wallets.halt("w1", "under review")
    assert wallets.sweep("w1", SWEEP, DAY_NS, 5_000) is None


@pytest.mark.parametrize("address", ["", "w1"])
def test_profit_goes_nowhere_but_outside(address: str) -> None:
    with pytest.raises(InvalidInput, match="cold_address"):
        book(w1={SOL_MINT: 3 * SOL}).sweep("w1", replace(SWEEP, cold_address=address), 0, 5_000)
