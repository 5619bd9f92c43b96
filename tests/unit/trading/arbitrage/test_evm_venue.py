"""Pools of an EVM chain behind the desk's own contract of a venue."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from trading.arbitrage.evm_orders import EvmTerms, intent_of, report_of
from trading.arbitrage.evm_ports import PoolSeen
from trading.arbitrage.evm_venue import OPEN_ORDERS_MAX, Cash, EvmVenue, PaperEvmVenue, VenueTerms
from trading.arbitrage.pools import ConstantProduct, Pool, Ticks, swap
from trading.arbitrage.ticks import sqrt_price_at_tick
from trading.errors import InvalidInput
from trading.model.evm import BlockSeen, EvmRecord, EvmSettlement, EvmState, PoolKind, PoolRef
from trading.model.market_data import Bar, VenueReported
from trading.model.order import Fill, Order, Purpose, Rejected, Side
from trading.model.units import NS_PER_S
from trading.ports import Venue

MINT, NOW_S = "WIF", 1_700_000_000
REF = PoolRef("0x" + "bb" * 20, PoolKind.CONSTANT_PRODUCT, "0x" + "01" * 20, "0x" + "02" * 20, 3_000)
PAIR = ConstantProduct(10**13, 4 * 10**12, 3_000)
TERMS = VenueTerms(gas_lamports=70_000)
CHAIN = EvmTerms("0x" + "cc" * 20, 10**15, 3, 60 * NS_PER_S, NOW_S * NS_PER_S, Fraction(1, 20_000_000))


def seen(pool: Pool = PAIR, number: int = 100, time_s: int = NOW_S) -> PoolSeen:
    return PoolSeen(REF, BlockSeen(number, f"0x{number:064x}", "0x" + "0" * 64, time_s, 10**6), pool)


def order(name: str = "o1", side: Side = Side.BUY, amount_in: int = 10**9, min_out: int = 1) -> Order:
    return Order(name, "t", NOW_S, side, Purpose.ENTRY, MINT, "arb", "arb", amount_in, min_out, 0, "two venues")


def bar(ts_s: int = NOW_S) -> Bar:
    one = Decimal(1)
    return Bar(MINT, (ts_s - 60) * NS_PER_S, ts_s * NS_PER_S, one, one, one, one, one, None, None, "x:1")


def told(kind: type[EvmVenue] = EvmVenue, cash: Cash = Cash(is_0=True)) -> EvmVenue:  # noqa: B008 - frozen
    venue = kind({MINT: cash}, TERMS)
    venue.see(MINT, seen())
    return venue


@pytest.mark.requirement("T15")
def test_both_bodies_are_venues_of_the_desk() -> None:
    for kind in (EvmVenue, PaperEvmVenue):
        venue: Venue = told(kind)
        assert venue.is_tradable(MINT)


@pytest.mark.parametrize("is_0", [True, False])
def test_a_quote_is_what_the_pool_gives_and_its_parts_add_up(is_0: bool) -> None:
    venue = told(cash=Cash(is_0=is_0))
    buy, sell = venue.quote(MINT, Side.BUY, 10**9), venue.quote(MINT, Side.SELL, 10**9)
    there, back = swap(PAIR, 10**9, gives_0=is_0), swap(PAIR, 10**9, gives_0=not is_0)
    assert buy is not None
    assert sell is not None
    assert there is not None
    assert back is not None
    assert (buy.amount_out, sell.amount_out) == (there.amount_out, back.amount_out)
    assert abs(buy.pool_fee_lamports - 3_000_000) <= 1
    assert 0 < buy.impact_lamports < 10**7
    assert buy.network_fee_lamports == 70_000
    assert venue.quote_exact(MINT, 5) is None
    assert venue.liquidation_lamports(MINT, 10**9) == sell.amount_out
    assert (venue.liquidation_lamports(MINT, 0), venue.pool_lamports(MINT)) == (0, 10**13 if is_0 else 4 * 10**12)


def test_money_that_is_not_sol_is_counted_at_its_rate_and_rounded_against_us() -> None:
    rate = Fraction(7, 3)
    venue, plain = told(cash=Cash(True, rate)), swap(PAIR, 3 * 10**9, gives_0=True)
    assert plain is not None
    quote = venue.quote(MINT, Side.BUY, 7 * 10**9 + 2)
    assert quote is not None
    assert quote.amount_out == plain.amount_out
    sold, back = venue.quote(MINT, Side.SELL, 10**9 + 1), swap(PAIR, 10**9 + 1, gives_0=False)
    assert sold is not None
    assert back is not None
    assert sold.amount_out == back.amount_out * 7 // 3
    venue.reprice(MINT, Fraction(1))
    assert venue.pool_lamports(MINT) == 10**13
    with pytest.raises(InvalidInput, match="lamports_per_unit: above 0"):
        venue.reprice(MINT, Fraction(0))


def test_a_pool_that_was_not_seen_lately_is_not_traded_in() -> None:
    venue = told()
    venue.on_market(bar(NOW_S + 21))
    assert not venue.is_tradable(MINT)
    assert (venue.quote(MINT, Side.BUY, 10**9), venue.pool_lamports(MINT)) == (None, 0)
    venue.see(MINT, seen(number=101, time_s=NOW_S + 20))
    assert venue.is_tradable(MINT)
    assert venue.mark(MINT) == bar(NOW_S + 21)
    assert not told().is_tradable("OTHER")


def test_a_swap_beyond_what_was_read_has_no_quote() -> None:
    venue = told()
    venue.see(MINT, seen(Ticks(sqrt_price_at_tick(0), 0, 10**12, 500, 10, ((-10, 10**12),), 0, 0), 101))
    assert venue.quote(MINT, Side.SELL, 10**15) is None


def test_an_order_stays_open_until_its_report_comes() -> None:
    venue = told()
    venue.submit(order())
    assert venue.open_orders() == (order(),)
    report = Rejected("o1", NOW_S, "slippage", "moved", 70_000)
    assert venue.on_market(VenueReported(NOW_S, report, "0x1")) == (report,)
    assert venue.on_market(VenueReported(NOW_S, report, "0x1")) == ()
    assert venue.open_orders() == ()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (replace(order(), mint="OTHER"), "mint"),
        (replace(order(), amount_out=5), "amount_in"),
        (replace(order(), amount_in=0), "amount_in"),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_its_field_named(wrong: Order, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        told().submit(wrong)
    assert caught.value.field == field


def test_no_more_orders_are_open_than_the_bound() -> None:
    venue = told()
    for number in range(OPEN_ORDERS_MAX):
        venue.submit(order(f"o{number}"))
    with pytest.raises(InvalidInput, match="64 orders are open here already"):
        venue.submit(order("one-more"))


def test_on_paper_an_order_fills_in_the_next_block_and_the_next_one_finds_the_pool_as_it_left_it() -> None:
    venue = told(PaperEvmVenue)
    for name in ("o1", "o2"):
        venue.submit(order(name))
    assert venue.see(MINT, seen()) == []
    first, second = venue.see(MINT, seen(number=101, time_s=NOW_S + 2))
    assert isinstance(first, Fill)
    assert isinstance(second, Fill)
    one = swap(PAIR, 10**9, gives_0=True)
    assert one is not None
    two = swap(one.after, 10**9, gives_0=True)
    assert two is not None
    assert (first.base_units, second.base_units) == (one.amount_out, two.amount_out)
    assert (first.lamports, first.network_fee_lamports) == (10**9, 70_000)
    assert venue.open_orders() == ()


def test_on_paper_a_price_that_moved_costs_the_gas_and_fills_nothing() -> None:
    venue = told(PaperEvmVenue)
    quote = venue.quote(MINT, Side.BUY, 10**9)
    assert quote is not None
    venue.submit(order(min_out=quote.amount_out))
    (report,) = venue.see(MINT, seen(ConstantProduct(2 * 10**13, 2 * 10**12, 3_000), 101))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("slippage", 70_000)


@pytest.mark.parametrize("side", list(Side))
def test_an_order_becomes_one_intent_with_the_right_sides(side: Side) -> None:
    cash = Cash(True, Fraction(1, 3))
    wanted = intent_of(order(side=side, amount_in=100, min_out=100), REF, cash, "run", CHAIN)
    money, token = REF.token_0, REF.token_1
    expected = (money, token, 300, 100) if side is Side.BUY else (token, money, 100, 300)
    assert (wanted.in_token, wanted.out_token, wanted.amount_in, wanted.min_out) == expected
    assert wanted == intent_of(order(side=side, amount_in=100, min_out=100), REF, cash, "run", CHAIN)
    assert wanted.key == "run/o1"
    assert wanted.deadline_ns - wanted.created_ns == 60 * NS_PER_S


def settled(state: EvmState, got: int, wei: int = 10**13) -> EvmRecord:
    intent = intent_of(order(), REF, Cash(True), "run", CHAIN)
    amount = intent.amount_in if got else 0
    done = EvmSettlement(intent.id, "0x1", 5, "0x2", amount, got, wei, 0)
    return EvmRecord(intent, state, (), done, "" if got else "refused")


def test_a_told_swap_is_a_fill_to_the_unit_with_the_gas_of_its_allowance() -> None:
    quote = told().quote(MINT, Side.BUY, 10**9)
    assert quote is not None
    swap_, allowing = settled(EvmState.CONFIRMED, quote.amount_out - 400_000), settled(EvmState.CONFIRMED, 1)
    fill = report_of(order(), quote, (swap_, allowing), Cash(True), CHAIN)
    assert isinstance(fill, Fill)
    assert (fill.lamports, fill.base_units) == (10**9, quote.amount_out - 400_000)
    assert fill.network_fee_lamports == 2 * 10**13 // 20_000_000
    assert fill.slippage_bps == 10


@pytest.mark.parametrize(
    ("state", "reason"),
    [(EvmState.REVERTED, "slippage"), (EvmState.CANCELLED, "cancelled"), (EvmState.REPLACED, "replaced")],
)
def test_an_intent_without_a_swap_is_a_rejection_with_its_gas(state: EvmState, reason: str) -> None:
    report = report_of(order(), None, (settled(state, 0), None), Cash(True), CHAIN)
    assert report == Rejected("o1", CHAIN.now_ns, reason, "refused", 500_000)


def test_terms_that_cannot_be_name_themselves() -> None:
    with pytest.raises(InvalidInput, match="gas_lamports: 0 to"):
        VenueTerms(-1)
