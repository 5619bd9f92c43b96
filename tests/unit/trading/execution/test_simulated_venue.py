from decimal import Decimal

import pytest
from tests.support.trading import MINT, RENT, SOL, STEP, T0, make_bar, make_exit, make_order

from trading.errors import InvalidInput
from trading.execution import fill_model
from trading.execution.simulated_venue import SimulatedVenue
from trading.model.instrument import Instrument
from trading.model.market_data import CycleEnd, TokenGone, TokenListed
from trading.model.order import Fill, Rejected, Side, VenueReport

CHARGE = 25_000
BONK = Instrument(MINT, "BONK", 5)


def _venue(**given: object) -> SimulatedVenue:
    """Return a venue that has seen bar 0 (it closes at T0 + STEP)."""
    venue = SimulatedVenue(**given)  # type: ignore[arg-type]
    venue.on_market(TokenListed(T0, BONK, "test"))
    venue.on_market(make_bar(0))
    return venue


def _only(reports: object) -> VenueReport:
    assert isinstance(reports, list)
    assert len(reports) == 1
    report = reports[0]
    assert isinstance(report, Fill | Rejected)
    return report


def _decided(n: int = 0) -> int:
    return T0 + (n + 1) * STEP


def test_an_order_fills_at_the_open_of_the_next_bar_through_the_fill_model() -> None:
    venue = _venue()
    venue.submit(make_order(ts_ns=_decided()))
    assert venue.on_market(CycleEnd(_decided(), None)) == []
    bar = make_bar(1, open=Decimal("0.0011"), close="0.0012", high=Decimal("0.0012"))
    fill = _only(venue.on_market(bar))
    swap = fill_model.buy(fill_model.reserves_at(Decimal("0.0011"), 5, BONK.pool_lamports_default), SOL // 5, 25)
    assert isinstance(fill, Fill)
    assert (fill.lamports, fill.base_units) == (swap.lamports, swap.base_units)
    assert (fill.pool_fee_lamports, fill.impact_lamports) == (swap.pool_fee_lamports, swap.impact_lamports)
    assert (fill.ts_ns, fill.rent_lamports) == (bar.ts_open_ns, RENT)
    assert 1_000 <= fill.slippage_bps <= 1_030  # the open was 10 % above the close at which it was decided
    assert venue.open_orders() == []
    assert venue.held(MINT) == swap.base_units


def test_nothing_of_the_bar_that_fills_an_order_but_its_open_matters() -> None:
    fills = []
    for close, pool in (("0.002", 5), ("0.0005", None)):
        venue = _venue()
        venue.submit(make_order(ts_ns=_decided()))
        bar = make_bar(
            1, open=Decimal("0.001"), close=close, high=Decimal(1), low=Decimal("0.0001"), pool_lamports=pool
        )
        fills.append(_only(venue.on_market(bar)))
    assert fills[0] == fills[1]


def test_a_bar_that_opened_before_the_decision_does_not_fill() -> None:
    venue = _venue()
    venue.submit(make_order(ts_ns=_decided() + 1))
    assert venue.on_market(make_bar(1)) == []
    assert len(venue.open_orders()) == 1
    assert isinstance(_only(venue.on_market(make_bar(2, ts_open_ns=_decided() + 2))), Fill)


def test_recorded_depth_is_used_where_the_data_has_it() -> None:
    venue = _venue()
    venue.on_market(make_bar(1, pool_lamports=10 * SOL))
    assert venue.pool_lamports(MINT) == 10 * SOL
    venue.submit(make_order(ts_ns=_decided(1)))
    fill = _only(venue.on_market(make_bar(2)))
    assert isinstance(fill, Fill)
    assert fill.impact_lamports * 100 > fill.lamports  # 0.2 SOL into 10 SOL moves the price by about 2 %


def test_orders_at_the_same_open_pay_each_others_impact_and_the_next_bar_forgets_it() -> None:
    venue = _venue()
    for order_id in ("a", "b"):
        venue.submit(make_order(id=order_id, ts_ns=_decided(), amount_in=100 * SOL))
    first, second = venue.on_market(make_bar(1))
    assert isinstance(first, Fill)
    assert isinstance(second, Fill)
    assert second.base_units < first.base_units
    venue.submit(make_order(id="c", ts_ns=_decided(1), amount_in=100 * SOL))
    third = _only(venue.on_market(make_bar(2)))
    assert isinstance(third, Fill)
    assert third.base_units == first.base_units


def test_rent_is_paid_with_the_first_buy_and_returned_with_the_last_sale() -> None:
    venue = _venue()
    rents = []
    for n, order in enumerate(
        [
            make_order(id="1"),
            make_order(id="2"),
            make_exit(id="3", amount_in=1_000),
            make_exit(id="4", amount_in=0),
            make_order(id="5"),
        ]
    ):
        amount = order.amount_in or venue.held(MINT)
        venue.submit(
            make_order(id=order.id, ts_ns=_decided(n), side=order.side, purpose=order.purpose, amount_in=amount)
        )
        quote = venue.quote(MINT, order.side, amount)
        fill = _only(venue.on_market(make_bar(n + 1)))
        assert isinstance(fill, Fill)
        assert quote is not None
        assert quote.rent_lamports == fill.rent_lamports
        rents.append(fill.rent_lamports)
    assert rents == [RENT, 0, 0, -RENT, RENT]


def test_a_wallet_that_holds_the_token_already_pays_no_rent() -> None:
    venue = _venue(held={MINT: 5, "other": 0})
    venue.submit(make_order(ts_ns=_decided()))
    fill = _only(venue.on_market(make_bar(1)))
    assert isinstance(fill, Fill)
    assert fill.rent_lamports == 0
    assert venue.held("other") == 0


@pytest.mark.requirement("T9")
def test_a_swap_below_its_minimum_fails_and_still_pays_its_fees() -> None:
    venue = _venue()
    quote = venue.quote(MINT, Side.BUY, SOL // 5)
    assert quote is not None
    venue.submit(make_order(ts_ns=_decided(), min_out=quote.amount_out))
    report = _only(venue.on_market(make_bar(1, close="0.00101")))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("slippage", CHARGE)
    assert venue.held(MINT) == 0


def test_a_swap_of_dust_that_gives_nothing_is_no_fill() -> None:
    venue = _venue()
    venue.on_market(make_bar(1, close="1000"))
    venue.submit(make_order(ts_ns=_decided(1), amount_in=1))
    report = _only(venue.on_market(make_bar(2, close="1000")))
    assert isinstance(report, Rejected)
    assert report.reason == "slippage"


def test_more_than_the_wallet_holds_cannot_be_sold() -> None:
    venue = _venue(held={MINT: 10})
    venue.submit(make_exit(ts_ns=_decided(), amount_in=11))
    report = _only(venue.on_market(make_bar(1)))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("insufficient_funds", CHARGE)


def test_a_token_that_is_gone_cannot_be_sold_and_is_worth_nothing() -> None:
    venue = _venue(held={MINT: 10**9})
    assert venue.liquidation_lamports(MINT, 10**9) > 0
    venue.submit(make_exit(ts_ns=_decided(), amount_in=10**9))
    report = _only(venue.on_market(TokenGone(_decided(), MINT, "rug", "test")))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports, "rug" in report.message) == ("unsellable", CHARGE, True)
    assert venue.liquidation_lamports(MINT, 10**9) == 0
    assert not venue.is_tradable(MINT)
    assert venue.quote(MINT, Side.SELL, 5) is None
    assert venue.pool_lamports(MINT) == 0
    mark = venue.mark(MINT)
    assert mark is not None
    assert mark.close == Decimal("0.001")


def test_an_order_for_a_token_that_went_before_it_was_handed_in_is_rejected_at_the_next_event() -> None:
    venue = _venue()
    venue.on_market(TokenGone(_decided(), MINT, "rug", "test"))
    venue.submit(make_order(ts_ns=_decided()))
    report = _only(venue.on_market(CycleEnd(_decided(), None)))
    assert isinstance(report, Rejected)
    assert report.reason == "unsellable"


def test_a_token_listed_again_can_be_traded_again() -> None:
    venue = _venue()
    venue.on_market(TokenGone(_decided(), MINT, "moved", "test"))
    venue.on_market(TokenGone(_decided(), "unknown", "moved", "test"))
    venue.on_market(TokenListed(_decided(), Instrument(MINT, "BONK", 5, pool_fee_bps=100), "test"))
    assert venue.is_tradable(MINT)
    quote = venue.quote(MINT, Side.BUY, SOL)
    assert quote is not None
    assert quote.pool_fee_lamports == fill_model.fee_lamports(SOL * 10_000 // 10_100, 100)


def test_an_order_for_a_token_that_was_never_listed_is_rejected() -> None:
    venue = _venue()
    venue.submit(make_order(mint="nobody", ts_ns=_decided()))
    report = _only(venue.on_market(CycleEnd(_decided(), None)))
    assert isinstance(report, Rejected)
    assert "never listed" in report.message


def test_an_entry_expires_uncharged_when_its_next_bar_opens_too_late() -> None:
    venue = _venue()
    venue.submit(make_order(ts_ns=_decided()))
    report = _only(venue.on_market(make_bar(2)))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("expired", 0)


def test_an_entry_expires_at_the_first_cycle_at_which_no_bar_can_come_in_time() -> None:
    venue = _venue()
    venue.submit(make_order(ts_ns=_decided()))
    assert venue.on_market(CycleEnd(_decided(1), None)) == []
    report = _only(venue.on_market(CycleEnd(_decided(2), None)))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("expired", 0)


def test_an_exit_waits_for_its_market_however_long() -> None:
    venue = _venue(held={MINT: 10**9})
    venue.submit(make_exit(ts_ns=_decided(), amount_in=10**9))
    assert venue.on_market(CycleEnd(_decided(50), None)) == []
    assert isinstance(_only(venue.on_market(make_bar(60))), Fill)


def test_events_of_other_tokens_do_not_touch_an_order() -> None:
    venue = _venue()
    venue.on_market(TokenListed(T0, Instrument("other", "O", 6), "test"))
    venue.submit(make_order(ts_ns=_decided()))
    assert venue.on_market(make_bar(1, mint="other")) == []
    assert isinstance(_only(venue.on_market(make_bar(1))), Fill)


def test_an_order_before_the_first_bar_fills_at_its_open_without_a_slippage() -> None:
    venue = SimulatedVenue()
    venue.on_market(TokenListed(T0, BONK, "test"))
    assert venue.quote(MINT, Side.BUY, SOL) is None
    assert venue.instrument(MINT) == BONK
    venue.submit(make_order(ts_ns=T0))
    assert venue.on_market(CycleEnd(T0, None)) == []
    fill = _only(venue.on_market(make_bar(0)))
    assert isinstance(fill, Fill)
    assert fill.slippage_bps == 0


def test_an_empty_pool_sells_nothing_and_the_transaction_still_costs() -> None:
    venue = _venue()
    venue.on_market(make_bar(1, pool_lamports=0))
    assert not venue.is_tradable(MINT)
    venue.submit(make_order(ts_ns=_decided(1)))
    report = _only(venue.on_market(make_bar(2)))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("unsellable", CHARGE)


@pytest.mark.parametrize(("mint", "amount"), [("nobody", 5), (MINT, 0), (MINT, -5)])
def test_no_quote_for_what_cannot_be_swapped(mint: str, amount: int) -> None:
    venue = _venue()
    assert venue.quote(mint, Side.BUY, amount) is None
    assert venue.liquidation_lamports(mint, min(amount, 0)) == 0
    assert venue.mark("nobody") is None
    assert venue.instrument("nobody") is None


def test_a_quote_says_what_the_swap_would_give_at_the_newest_close() -> None:
    venue = _venue(held={MINT: 10**10})
    quote = venue.quote(MINT, Side.SELL, 10**10)
    assert quote is not None
    assert quote.amount_out == venue.liquidation_lamports(MINT, 10**10)
    assert (quote.network_fee_lamports, quote.rent_lamports, quote.ts_ns) == (5_000, -RENT, _decided())


@pytest.mark.parametrize("changes", [{"amount_in": 0}, {"min_out": -1}, {"priority_fee_lamports": -1}])
def test_an_order_without_a_sound_amount_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="ord_1"):
        _venue().submit(make_order(**changes))


def test_the_same_order_cannot_be_open_twice() -> None:
    venue = _venue()
    venue.submit(make_order())
    with pytest.raises(InvalidInput, match="open already"):
        venue.submit(make_order())


def test_a_bar_of_a_token_that_was_not_listed_is_refused() -> None:
    with pytest.raises(InvalidInput, match="before the token was listed"):
        SimulatedVenue().on_market(make_bar(0))


def test_nobody_buys_more_base_units_than_a_token_account_holds() -> None:
    """Such a fill could neither happen on chain nor be written as JSON that other programs read."""
    venue = SimulatedVenue()
    venue.on_market(TokenListed(T0, BONK, "test"))
    venue.on_market(make_bar(0, close="1E-10"))
    assert venue.quote(MINT, Side.BUY, SOL) is not None
    venue.submit(make_order(ts_ns=_decided(), amount_in=SOL))
    report = _only(venue.on_market(make_bar(1, close="1E-16")))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("overflow", CHARGE)
    assert venue.quote(MINT, Side.BUY, SOL) is None
    assert venue.quote(MINT, Side.SELL, 2**64 - 1) is not None  # whatever was bought before can be sold
