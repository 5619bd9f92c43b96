"""A desk with several wallets: which one buys, which ones sell, what each keeps, and what stops one alone."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from tests.doubles.kernel_bench import KernelBench, cycles_of, fingerprint, profile
from tests.doubles.scripted_market import MINT, ScriptedFeed, merged, script

from trading.engine import checkpoint
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.account import Level
from trading.model.market_data import MarketEvent
from trading.model.order import Denied, Order, Side
from trading.model.wallet import MAIN, WalletTerms

pytestmark = [pytest.mark.requirement("T10"), pytest.mark.requirement("T16")]
OTHER = "sim:BBB"
SOL = 10**9
RENT = 2_039_280
TWO = (WalletTerms(MAIN), WalletTerms("second", 30 * SOL))
UP = [Decimal(20 + number) / 20 for number in range(12)]
"""Always dearer: what is held may be added to."""
RISING = merged(script(UP), script(UP, mint=OTHER))
FALL = [*UP[:4], *[Decimal(1)] * 8]


class Desk(KernelBench):
    """A kernel with several wallets on a market of two tokens, cycle by cycle."""

    def __init__(
        self, wallets: Sequence[WalletTerms] = TWO, market: Sequence[MarketEvent] = RISING, **limits: Any
    ) -> None:
        loose = {"order_bps_max": 9_000, "token_exposure_bps_max": 9_000, "total_exposure_bps_max": 9_500}
        loose |= {"slippage_bps_max": 10_000, "gap_token_bps_max": 10_000, "gap_joint_bps_max": 10_000}
        loose |= {"turnover_bps_day_max": 10**6, "entries_day_max": 1_000, "drawdown_halted_bps": 9_000}
        loose |= {"drawdown_reducing_bps": 9_000, "day_loss_bps_max": 9_000, "cvar_bps_max": 10_000}
        super().__init__(rules=profile(**(loose | limits)), equity=30 * SOL)
        self.ahead = cycles_of(market)
        self.market = market
        self.step()
        self.control.take(commands.UseWallets("w", "operator", "two of them", tuple(wallets)))
        self.count = 0

    def step(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            self.feed(self.ahead.pop(0))

    def order(self, side: Side, mint: str, amount: int) -> tuple[Order, ...] | str:
        """Return the orders that were sent, or the reason why none was."""
        self.count += 1
        wish = commands.PlaceOrder(f"k{self.count}", "o", "by hand", side, mint, "manual", "manual", amount, 1)
        outcome = self.control.take(wish)
        return outcome.denied.reason if outcome.denied is not None else outcome.orders

    def buy(self, mint: str, lamports: int) -> str:
        """Buy and wait for the fill; return the wallet, or the reason why nothing was bought."""
        sent = self.order(Side.BUY, mint, lamports)
        if isinstance(sent, str):
            return sent
        self.step()
        return sent[0].wallet

    def hold(self, wallet: str, problem: str) -> None:
        self.control.take(commands.HoldWallet(f"h{self.count}/{problem}", "chain", "r", wallet, problem))

    def lamports(self, wallet: str) -> int:
        assert self.kernel.state.wallets is not None
        return self.kernel.state.wallets.wallets[wallet].lamports

    def units(self, wallet: str, mint: str = MINT) -> int:
        assert self.kernel.state.wallets is not None
        return self.kernel.state.wallets.units(wallet, mint)


def test_what_a_wallet_holds_that_joins_is_a_deposit_and_no_profit() -> None:
    desk = Desk()
    ledger = desk.kernel.state.ledger
    assert (desk.lamports(MAIN), desk.lamports("second")) == (30 * SOL, 30 * SOL)
    assert (ledger.cash_lamports, ledger.net_deposits_lamports, ledger.realised_lamports) == (60 * SOL, 60 * SOL, 0)
    assert desk.kernel.state.curve.time_weighted_return_bps == 0


def test_a_token_is_bought_where_it_is_held_and_else_where_most_is_to_spare() -> None:
    desk = Desk((WalletTerms(MAIN), WalletTerms("second", 40 * SOL)))
    assert desk.buy(MINT, 20 * SOL) == "second"
    assert desk.buy(OTHER, 5 * SOL) == MAIN
    assert desk.buy(MINT, 2 * SOL) == "second", "it holds some already, although less is to spare there"
    assert desk.units(MAIN) == 0


def test_each_wallet_pays_the_deposit_of_its_own_account_and_gets_it_back() -> None:
    desk = Desk()
    first = desk.buy(MINT, 20 * SOL)
    second = desk.buy(MINT, 25 * SOL)
    assert {first, second} == {MAIN, "second"}, "the one that holds it has too little left"
    assert desk.kernel.state.ledger.rent_lamports == 2 * RENT
    units = desk.kernel.state.ledger.holdings[MINT].base_units
    sent = desk.order(Side.SELL, MINT, units)
    assert not isinstance(sent, str)
    assert [each.wallet for each in sent] == [second, first], "the fullest first"
    assert sum(each.amount_in for each in sent) == units
    desk.step()
    ledger = desk.kernel.state.ledger
    assert (ledger.holdings, ledger.rent_lamports) == ({}, 0)
    assert desk.lamports(MAIN) + desk.lamports("second") == ledger.cash_lamports


def test_an_entry_is_made_as_large_as_one_wallet_can_pay_and_no_promise_is_given_twice() -> None:
    desk = Desk()
    assert desk.order(Side.BUY, MINT, 40 * SOL) == "wallet_cash_lamports"
    sent = desk.order(Side.BUY, MINT, 25 * SOL)
    assert not isinstance(sent, str)
    other = desk.order(Side.BUY, OTHER, 25 * SOL)
    assert not isinstance(other, str)
    assert {sent[0].wallet, other[0].wallet} == {MAIN, "second"}
    assert desk.kernel.valuer.routing.reserved_lamports(MAIN) > 25 * SOL
    desk.step()
    assert desk.kernel.valuer.routing.reserved_lamports(MAIN) == 0, "a promise ends with its order"


def test_what_is_kept_for_exits_no_entry_spends() -> None:
    desk = Desk((WalletTerms(MAIN, is_exit_only=True), WalletTerms("second", 10 * SOL, reserve_lamports=4 * SOL)))
    assert desk.order(Side.BUY, MINT, 6 * SOL) == "wallet_cash_lamports"
    assert desk.buy(MINT, 5 * SOL) == "second"
    assert desk.order(Side.BUY, OTHER, SOL) == "wallet_cash_lamports"


def test_a_wallet_buys_for_its_buckets_only_and_one_for_exits_buys_nothing() -> None:
    desk = Desk((WalletTerms(MAIN, buckets=("momentum_breakout",)), WalletTerms("second", 5 * SOL)))
    assert desk.buy(MINT, 4 * SOL) == "second"
    alone = Desk((WalletTerms(MAIN, buckets=("momentum_breakout",)), WalletTerms("second", SOL, is_exit_only=True)))
    assert alone.buy(MINT, SOL) == "wallet_none"


def test_what_one_bucket_has_on_sale_in_a_wallet_another_bucket_sells_elsewhere() -> None:
    desk = Desk()
    first, second = desk.buy(MINT, 20 * SOL), desk.buy(MINT, 25 * SOL)
    there = desk.units(second)
    part = desk.order(Side.SELL, MINT, there)
    rest = desk.order(Side.SELL, MINT, desk.units(first))
    assert not isinstance(part, str)
    assert not isinstance(rest, str)
    assert [(each.wallet, each.amount_in) for each in part] == [(second, there)]
    assert [(each.wallet, each.amount_in) for each in rest] == [(first, desk.units(first))]
    assert desk.order(Side.SELL, MINT, 1) == "nothing_to_sell"


def test_a_tier_bounds_over_how_many_wallets_purchases_are_spread() -> None:
    desk = Desk((WalletTerms(MAIN), WalletTerms("second", 50 * SOL)))
    desk.kernel.state.tier = desk.kernel.state.tier.__class__("small", 0, 10_000, 0, 10_000, 10_000, 1)
    assert desk.buy(MINT, SOL) == MAIN
    desk.hold(MAIN, "chain and books differ")
    assert desk.buy(OTHER, SOL) == "second"


def test_a_wallet_with_a_problem_is_left_alone_and_the_other_goes_on() -> None:
    desk = Desk((WalletTerms(MAIN), WalletTerms("second", 50 * SOL)))
    assert desk.buy(MINT, 10 * SOL) == "second"
    desk.hold("second", "chain and books differ")
    units = desk.units("second")
    assert desk.order(Side.SELL, MINT, units) == "nothing_to_sell"
    assert desk.buy(MINT, 5 * SOL) == MAIN
    closed = desk.control.take(commands.ClosePosition("c", "o", "enough", MINT, 100))
    assert [(each.wallet, each.amount_in) for each in closed.orders] == [(MAIN, desk.units(MAIN))]
    desk.step()
    assert (desk.units(MAIN), desk.units("second")) == (0, units)
    desk.hold(MAIN, "this one too")
    assert desk.order(Side.BUY, OTHER, SOL) == "wallet_halted"
    desk.hold("second", "")
    assert [each.wallet for each in desk.control.take(commands.ClosePosition("d", "o", "x", MINT, 100)).orders] == [
        "second"
    ]
    desk.step()
    assert desk.kernel.state.ledger.holdings == {}


def test_a_purchase_against_an_own_sale_in_another_wallet_is_denied_and_names_it() -> None:
    desk = Desk()
    first = desk.buy(MINT, 20 * SOL)
    sent = desk.order(Side.SELL, MINT, desk.units(first))
    assert not isinstance(sent, str)
    [sale] = sent
    wish = commands.PlaceOrder("x", "o", "by hand", Side.BUY, MINT, "momentum_breakout", "manual", SOL, 1)
    denied = desk.control.take(wish).denied
    assert isinstance(denied, Denied)
    assert denied.reason == "own_order_crosses"
    assert sale.id in denied.message
    assert first in denied.message
    desk.step()
    assert desk.control.take(wish).denied is None


def test_the_drawdown_of_one_wallet_sells_what_lies_there_and_nothing_else() -> None:
    limits = {"wallet_drawdown_reducing_bps": 200, "wallet_drawdown_halted_bps": 250}
    market = merged(script(FALL), script(UP, mint=OTHER))
    desk = Desk((WalletTerms(MAIN), WalletTerms("second", 70 * SOL)), market, **limits)
    assert desk.buy(MINT, 30 * SOL) == "second"
    assert desk.buy(OTHER, 5 * SOL) == "second"
    desk.hold("second", "so that the other one buys")
    assert desk.buy(OTHER, 5 * SOL) == MAIN
    desk.hold("second", "")
    assert desk.kernel.state.ledger.holdings[MINT].base_units == desk.units("second")
    desk.step()
    assert [(each.name, each.after.value) for each in desk.events(events.LevelStateChanged)] == [("second", "HALTED")]
    sold = [each.order for each in desk.events(events.OrderApproved) if each.order.side is Side.SELL]
    assert {(each.wallet, each.mint) for each in sold} == {("second", MINT), ("second", OTHER)}
    desk.step()
    assert (desk.units("second"), desk.units("second", OTHER)) == (0, 0)
    assert desk.units(MAIN, OTHER) > 0
    assert desk.kernel.state.trading_state.value == "ACTIVE"
    with pytest.raises(InvalidInput, match="wallet:third"):
        desk.control.take(commands.ReduceOnly("r", "o", "r", level="wallet:third"))


def test_halting_one_wallet_by_hand_flattens_that_one() -> None:
    desk = Desk()
    first, second = desk.buy(MINT, 20 * SOL), desk.buy(MINT, 25 * SOL)
    outcome = desk.control.take(commands.FlattenAndHalt("f", "o", "enough", level=f"wallet:{first}"))
    assert [each.wallet for each in outcome.orders] == [first]
    desk.step()
    assert desk.units(first) == 0
    assert desk.units(second) > 0
    assert desk.kernel.state.levels.held_wallet(first) is not None


def test_exposure_limits_count_what_lies_in_the_orders_own_wallet() -> None:
    desk = Desk(wallet_exposure_bps_max=3_400)
    first = desk.buy(MINT, 20 * SOL)
    second = desk.buy(OTHER, 15 * SOL)
    assert {first, second} == {MAIN, "second"}
    assert desk.order(Side.BUY, OTHER, 6 * SOL) == "wallet_exposure_lamports"
    worth = [desk.kernel.levels.worth(desk.kernel.valuer.value())[Level.WALLET, name] for name in (first, second)]
    assert abs(sum(worth) - desk.kernel.valuer.value().equity_lamports) <= 2


def test_a_withdrawal_is_gathered_from_all_wallets_and_never_takes_what_exits_need() -> None:
    desk = Desk()
    assert desk.control.take(commands.Withdraw("out", "o", "rent", 50 * SOL)).denied is None
    assert desk.lamports(MAIN) + desk.lamports("second") == 10 * SOL == desk.kernel.state.ledger.cash_lamports
    assert min(desk.lamports(MAIN), desk.lamports("second")) >= 0


def test_a_token_that_is_gone_is_gone_in_every_wallet() -> None:
    desk = Desk(market=merged(script([*UP[:4], None]), script(UP[:6], mint=OTHER)))
    first, second = desk.buy(MINT, 20 * SOL), desk.buy(MINT, 25 * SOL)
    assert first != second
    desk.step(2)
    assert (desk.units(MAIN), desk.units("second"), desk.kernel.state.ledger.holdings) == (0, 0, {})


def test_wallets_are_left_out_only_when_nothing_of_the_desk_lies_in_them() -> None:
    desk = Desk()
    desk.hold(MAIN, "so that the other one buys")
    assert desk.buy(MINT, 5 * SOL) == "second"
    desk.hold(MAIN, "")
    keep = commands.UseWallets("one", "operator", "one is enough", (WalletTerms(MAIN),))
    with pytest.raises(InvalidInput, match="second"):
        desk.control.take(keep)
    desk.control.take(commands.ClosePosition("c", "o", "enough", MINT, 100))
    desk.step()
    desk.control.take(keep)
    assert desk.kernel.state.wallets is not None
    assert list(desk.kernel.state.wallets.wallets) == [MAIN]
    assert desk.lamports(MAIN) == desk.kernel.state.ledger.cash_lamports


@pytest.mark.parametrize(
    "wallets",
    [
        (WalletTerms("second"),),
        (WalletTerms(MAIN), WalletTerms(MAIN)),
        (WalletTerms(MAIN), WalletTerms("a/b")),
        (WalletTerms(MAIN), WalletTerms("b", -1)),
    ],
)
def test_wallets_that_are_none_are_refused(wallets: tuple[WalletTerms, ...]) -> None:
    with pytest.raises(InvalidInput):
        Desk(wallets)


def test_a_wallet_that_nobody_named_cannot_be_held() -> None:
    with pytest.raises(InvalidInput, match="third"):
        Desk().hold("third", "x")


def test_rows_and_a_checkpoint_bring_every_wallet_back() -> None:
    desk = Desk()
    desk.buy(MINT, 20 * SOL)
    desk.buy(OTHER, 25 * SOL)
    desk.hold("second", "chain and books differ")
    desk.order(Side.BUY, MINT, SOL)
    again = desk.restored(ScriptedFeed(desk.market))
    assert again.kernel.state.wallets == desk.kernel.state.wallets
    assert fingerprint(again.kernel) == fingerprint(desk.kernel)
    other = KernelBench(rules=desk.setup.profile, equity=30 * SOL, begin=False)
    for each in (desk, other):
        each.kernel.strategies = []  # a scripted one is no data
    checkpoint.put_back(other.kernel, checkpoint.taken(desk.kernel))
    assert other.kernel.state.wallets == desk.kernel.state.wallets
