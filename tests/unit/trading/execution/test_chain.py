"""The simulated venue under conditions: landing, expiry, failures, staleness, others around us, depth, parts."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from tests.support.trading import MINT, SOL, STEP, T0, make_bar, make_exit, make_order

from trading.execution.conditions import CONGESTED, IDEAL, Conditions
from trading.execution.landing import UNLANDED, Chance, landing_ns, price_at
from trading.execution.simulated_venue import SimulatedVenue
from trading.model.instrument import Concentrated, Instrument, LaunchCurve
from trading.model.market_data import CycleEnd, MarketEvent, TokenGone, TokenListed
from trading.model.order import Fill, Order, Rejected, Side, VenueReport

BONK = Instrument(MINT, "BONK", 5)
CHARGE = 25_000
DECIDED = T0 + STEP
SLOT_NS = 600_000_000


def _venue(instrument: Instrument = BONK, seed: int = 0, held: int = 0, **figures: Any) -> SimulatedVenue:
    venue = SimulatedVenue({MINT: held}, Conditions(**figures), seed)
    venue.on_market(TokenListed(T0, instrument, "test"))
    venue.on_market(make_bar(0))
    return venue


def _run(venue: SimulatedVenue, *events: MarketEvent) -> list[VenueReport]:
    return [report for event in events for report in venue.on_market(event)]


def _cycles(bars: int, **changes: Any) -> Sequence[MarketEvent]:
    return [
        event for n in range(1, bars + 1) for event in (make_bar(n, **changes), CycleEnd(T0 + (n + 1) * STEP, None))
    ]


def _ordered(wanted: bool, conditions: Conditions, make: Any = make_order) -> Order:
    """Return an order whose first sending lands, or does not."""
    for number in count():
        order: Order = make(id=f"ord_{number}", ts_ns=DECIDED)
        if (landing_ns(conditions, Chance(0), order, 0) is not None) is wanted:
            return order
    raise AssertionError


CROWDED = Conditions(level_micro_lamports=100_000, jitter_slots=60)


def test_under_ideal_conditions_the_seed_decides_nothing() -> None:
    reports = []
    for seed in (0, 99):
        venue = SimulatedVenue(conditions=IDEAL, seed=seed)
        venue.on_market(TokenListed(T0, BONK, "test"))
        venue.submit(make_order(ts_ns=T0))
        reports.append(_run(venue, make_bar(0, open=Decimal("0.0009"), low=Decimal("0.0009"))))
    assert reports[0] == reports[1]
    assert reports[0][0].ts_ns == T0


@pytest.mark.requirement("T9")
def test_an_entry_that_no_block_takes_expires_uncharged_when_its_blockhash_has_run_out() -> None:
    venue = _venue(**CROWDED.model_dump())
    venue.submit(_ordered(False, CROWDED))
    assert _run(venue, CycleEnd(DECIDED, None), CycleEnd(DECIDED + 150 * SLOT_NS - 1, None)) == []
    (report,) = _run(venue, CycleEnd(DECIDED + 150 * SLOT_NS, None))
    assert isinstance(report, Rejected)
    assert (report.reason, report.message, report.charged_lamports) == ("expired", UNLANDED, 0)
    assert venue.open_orders() == []


def test_the_bar_after_an_entry_that_does_not_land_does_not_fill_it() -> None:
    venue = _venue(**CROWDED.model_dump())
    venue.submit(_ordered(False, CROWDED))
    assert _run(venue, make_bar(1)) == []


@pytest.mark.requirement("T9")
def test_an_exit_is_sent_again_until_it_lands() -> None:
    order = _ordered(False, CROWDED, lambda **given: make_exit(amount_in=10**9, **given))
    venue = _venue(held=10**9, **CROWDED.model_dump())
    venue.submit(order)
    (report,) = _run(venue, *_cycles(40))
    assert isinstance(report, Fill)
    sending, slots = divmod((report.ts_ns - DECIDED) // SLOT_NS, 150)
    assert sending >= 1
    assert 0 <= slots <= 60
    first = next(n for n in range(1, 100) if landing_ns(CROWDED, Chance(0), order, n) is not None)
    assert sending == first


def test_an_exit_that_pays_nothing_never_lands_while_every_block_asks_for_something() -> None:
    venue = _venue(held=10**9, **CROWDED.model_dump())
    venue.submit(make_exit(amount_in=10**9, ts_ns=DECIDED, priority_fee_lamports=0))
    assert _run(venue, *_cycles(10)) == []
    assert len(venue.open_orders()) == 1


def test_what_no_block_has_taken_when_its_token_goes_costs_nothing() -> None:
    for lands, charge in ((True, CHARGE), (False, 0)):
        venue = _venue(**CROWDED.model_dump())
        venue.submit(_ordered(lands, CROWDED))
        (report,) = _run(venue, TokenGone(DECIDED + 100 * SLOT_NS, MINT, "rug", "test"))
        assert isinstance(report, Rejected)
        assert (report.reason, report.charged_lamports) == ("unsellable", charge)


def test_transactions_in_one_slot_meet_the_same_congestion() -> None:
    conditions = Conditions(level_micro_lamports=100_000)
    fees = range(1_000, 400_000, 7_000)
    for n in range(20):
        landed = [
            landing_ns(
                conditions, Chance(3), make_order(id=str(fee), ts_ns=T0 + n * STEP, priority_fee_lamports=fee), 0
            )
            is not None
            for fee in fees
        ]
        assert landed == sorted(landed)  # whoever pays more than one that lands, lands


def test_the_share_that_lands_is_the_declared_probability() -> None:
    conditions = Conditions(level_micro_lamports=100_000)
    landed = sum(
        landing_ns(conditions, Chance(1), make_order(id=str(n), ts_ns=T0 + n * SLOT_NS), 0) is not None
        for n in range(4_000)
    )
    assert abs(landed - 2_000) < 4 * 32  # four standard deviations


@pytest.mark.requirement("T9")
def test_a_transaction_that_fails_for_reasons_of_its_own_is_charged() -> None:
    venue = _venue(failure_ppm=1_000_000)
    venue.submit(make_order(ts_ns=DECIDED))
    (report,) = _run(venue, make_bar(1))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("failed", CHARGE)


def test_a_fill_is_stale_by_the_way_that_the_price_went_meanwhile() -> None:
    bar = make_bar(1, close="0.002", open=Decimal("0.001"), high=Decimal("0.003"), low=Decimal("0.0005"))
    venue = _venue(latency_slots=100)
    venue.submit(make_order(ts_ns=DECIDED))
    (report,) = _run(venue, bar)
    assert isinstance(report, Fill)
    assert report.ts_ns == DECIDED + 100 * SLOT_NS
    price = price_at(bar, report.ts_ns, venue.conditions, Chance(0))
    assert price in (Decimal("0.0022"), Decimal("0.0007"))  # a fifth of the bar: 3/5 of the way to an extreme
    moved_bps = (price / Decimal("0.001") - 1) * 10_000
    assert report.slippage_bps == pytest.approx(float(moved_bps + price / Decimal("0.001") * 26), abs=3)


def test_a_price_goes_through_both_extremes_to_the_close_and_path_bps_is_how_much_of_it() -> None:
    bar = make_bar(1, close="4", open=Decimal(2), high=Decimal(5), low=Decimal(1))
    whole, half = Conditions(), Conditions(path_bps=5_000)
    seen = set()
    for seed in range(12):
        chance = Chance(seed)
        path = [price_at(bar, bar.ts_open_ns + part * STEP // 3, whole, chance) for part in range(4)]
        assert (path[0], path[3]) == (2, 4)
        seen.add((path[1], path[2]))
        assert price_at(bar, bar.ts_close_ns, half, chance) == 3
        assert price_at(bar, bar.ts_close_ns, Conditions(path_bps=0), chance) == 2
    assert seen == {(5, 1), (1, 5)}


def test_an_order_that_lands_after_a_bar_fills_in_the_next_one() -> None:
    venue = _venue(latency_slots=149, slot_ms=3_000)
    venue.submit(make_order(ts_ns=DECIDED))
    assert _run(venue, *_cycles(1)) == []
    (report,) = _run(venue, make_bar(2))
    assert isinstance(report, Fill)
    assert report.ts_ns == DECIDED + 149 * 3_000_000_000


def test_what_lands_first_meets_the_pool_first_and_reports_come_as_submitted() -> None:
    conditions = Conditions(jitter_slots=100)
    orders = [make_order(id=f"o{n}", ts_ns=DECIDED, amount_in=100 * SOL) for n in range(6)]
    venue = _venue(**conditions.model_dump())
    for order in orders:
        venue.submit(order)
    reports = _run(venue, make_bar(1))
    assert [report.order_id for report in reports] == [order.id for order in orders]
    landings = [landing_ns(conditions, Chance(0), order, 0) for order in orders]
    assert [report.ts_ns for report in reports] == landings
    assert len(set(landings)) > 1


@pytest.mark.parametrize("side", list(Side))
def test_others_take_the_declared_share_of_the_tolerance_and_never_more_than_it(side: Side) -> None:
    outs: list[int] = []
    for share in (0, 5_000, 10_000):
        venue = _venue(held=10**9, adverse_ppm=1_000_000, adverse_bps=share)
        quote = venue.quote(MINT, side, 10**8)
        assert quote is not None
        least = quote.amount_out * 99 // 100
        make = make_order if side is Side.BUY else make_exit
        venue.submit(make(ts_ns=DECIDED, amount_in=10**8, min_out=least))
        (report,) = _run(venue, make_bar(1))
        assert isinstance(report, Fill)
        outs.append(report.base_units if side is Side.BUY else report.lamports)
        assert (report.adverse_lamports > 0) is (share > 0)
        assert report.adverse_lamports <= report.impact_lamports
    assert outs[2] == least
    assert outs[1] == outs[0] - (outs[0] - least) // 2


def test_an_exact_purchase_that_others_trade_around_costs_more_and_gives_as_much() -> None:
    venue = _venue(adverse_ppm=1_000_000, adverse_bps=5_000)
    quote = venue.quote_exact(MINT, 10**9)
    assert quote is not None
    cost = quote.amount_in
    venue.submit(make_order(ts_ns=DECIDED, amount_in=cost + 1_000, min_out=10**9, amount_out=10**9))
    (report,) = _run(venue, make_bar(1))
    assert isinstance(report, Fill)
    assert (report.base_units, report.lamports, report.adverse_lamports) == (10**9, cost + 500, 500)


def test_the_parts_of_a_fill_that_others_traded_around_still_add_up() -> None:
    plain, robbed = _venue(), _venue(adverse_ppm=1_000_000, adverse_bps=10_000)
    fills = []
    for venue in (plain, robbed):
        venue.submit(make_order(ts_ns=DECIDED, min_out=1))
        fills.extend(_run(venue, make_bar(1)))
    first, second = fills
    assert isinstance(first, Fill)
    assert isinstance(second, Fill)
    assert first.lamports == second.lamports
    assert second.impact_lamports == first.impact_lamports + second.adverse_lamports


def test_an_order_fills_whole_or_not_at_all() -> None:
    venue = _venue()
    quote = venue.quote(MINT, Side.BUY, 100 * SOL)
    assert quote is not None
    venue.submit(make_order(ts_ns=DECIDED, amount_in=1_000 * SOL, min_out=quote.amount_out * 10))
    (report,) = _run(venue, make_bar(1))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports) == ("slippage", CHARGE)


def test_depth_by_volume_knows_past_bars_only_and_keeps_to_floor_and_cap() -> None:
    venue = SimulatedVenue(
        conditions=Conditions(
            liquidity="volume",
            depth_volume_bps=20_000,
            depth_bars=2,
            depth_lamports_min=SOL,
            depth_lamports_max=9 * SOL,
        )
    )
    venue.on_market(TokenListed(T0, BONK, "test"))
    depths = []
    for n, volume in enumerate((0, 1_000, 3_000, 5_000, 10**6)):
        venue.on_market(make_bar(n, volume=Decimal(volume)))
        depths.append(venue.pool_lamports(MINT))
    assert depths == [SOL, SOL, 4 * SOL, 8 * SOL, 9 * SOL]
    venue.on_market(make_bar(5, pool_lamports=77 * SOL))
    assert venue.pool_lamports(MINT) == 77 * SOL


def test_the_depth_of_a_fill_does_not_know_the_volume_of_its_own_bar() -> None:
    impacts = []
    for volume in (1, 10**6):
        venue = _venue(liquidity="volume", depth_lamports_min=1)
        venue.submit(make_order(ts_ns=DECIDED))
        (report,) = _run(venue, make_bar(1, volume=Decimal(volume)))
        assert isinstance(report, Fill)
        impacts.append(report.impact_lamports)
    assert impacts[0] == impacts[1]


LAUNCHED = Instrument(MINT, "PUMP", 6, pool_fee_bps=95, pool=LaunchCurve(), creator_fee_bps=30)
ON_CURVE, PAST_CURVE = "0.0000001", "0.0000005"


def test_a_buy_of_the_last_unit_says_that_the_curve_graduates_and_the_next_order_meets_the_pool() -> None:
    venue = SimulatedVenue()
    venue.on_market(TokenListed(T0, LAUNCHED, "test"))
    venue.on_market(make_bar(0, close=ON_CURVE))
    for name in ("a", "b"):
        venue.submit(make_order(id=name, ts_ns=DECIDED, amount_in=200 * SOL))
    first, second = _run(venue, make_bar(1, close=ON_CURVE))
    assert isinstance(first, Fill)
    assert isinstance(second, Fill)
    assert (first.graduates, second.graduates) == (True, False)
    assert first.lamports < 90 * SOL  # the rest of the 200 was not spent
    assert 199 * SOL < second.lamports <= 200 * SOL
    assert not venue.has_graduated(MINT)  # the recorded market did not see our buy


def test_a_token_whose_bars_pass_the_last_price_of_its_curve_has_graduated_for_good() -> None:
    venue = SimulatedVenue()
    venue.on_market(TokenListed(T0, LAUNCHED, "test"))
    venue.on_market(make_bar(0, close=ON_CURVE))
    assert (venue.has_graduated(MINT), venue.has_graduated("other")) == (False, False)
    on_curve = venue.pool_lamports(MINT)
    venue.on_market(make_bar(1, close=ON_CURVE, high=Decimal(PAST_CURVE)))
    assert venue.has_graduated(MINT)
    assert venue.pool_lamports(MINT) < on_curve
    venue.on_market(TokenListed(DECIDED, LAUNCHED, "again"))
    assert venue.has_graduated(MINT)
    venue.on_market(make_bar(2, close=PAST_CURVE, pool_lamports=50 * SOL))
    assert venue.pool_lamports(MINT) == 50 * SOL


def test_a_concentrated_pool_quotes_and_fills_alike() -> None:
    pool = Concentrated(10**13, 64, 5, 10**11)
    venue = _venue(Instrument(MINT, "CL", 5, pool=pool), held=10**13)
    for side, amount in ((Side.BUY, 10 * SOL), (Side.SELL, 10**10)):
        quote = venue.quote(MINT, side, amount)
        assert quote is not None
        make = make_order if side is Side.BUY else make_exit
        venue.submit(make(id=side.value, ts_ns=DECIDED, amount_in=amount, min_out=quote.amount_out))
    bought, sold = _run(venue, make_bar(1))
    assert isinstance(bought, Fill)
    assert isinstance(sold, Fill)
    assert bought.pool_fee_lamports == -(-10 * SOL * 25 // 10_000)
    assert sold.impact_lamports >= 0
    assert venue.liquidation_lamports(MINT, 10**10) < 10**5 * SOL


@pytest.mark.parametrize(
    ("amount_in", "amount_out", "said"), [(SOL, 10**30, "has less than"), (1, 10**9, "at most 1 ")]
)
def test_an_exact_purchase_that_cannot_be_is_charged(amount_in: int, amount_out: int, said: str) -> None:
    venue = _venue()
    venue.submit(make_order(ts_ns=DECIDED, amount_in=amount_in, amount_out=amount_out))
    (report,) = _run(venue, make_bar(1))
    assert isinstance(report, Rejected)
    assert (report.reason, report.charged_lamports, said in report.message) == ("slippage", CHARGE, True)
    assert venue.quote_exact(MINT, 0) is None
    assert venue.quote_exact("nobody", 5) is None


def test_a_pool_that_runs_out_gives_no_quote_and_no_fill() -> None:
    venue = _venue(Instrument(MINT, "CL", 5, pool=Concentrated(10**6, 1)))
    assert venue.quote(MINT, Side.BUY, 10**30) is None
    venue.submit(make_order(ts_ns=DECIDED, amount_in=10**17))
    (report,) = _run(venue, make_bar(1))
    assert isinstance(report, Rejected)
    assert "cannot swap all" in report.message


def test_the_luck_of_an_order_does_not_rest_on_the_others() -> None:
    alone, crowd = (SimulatedVenue({MINT: 10**12}, CONGESTED, 5) for _ in range(2))
    watched = make_order(id="watched", ts_ns=DECIDED)
    for venue in (alone, crowd):
        venue.on_market(TokenListed(T0, BONK, "test"))
        venue.on_market(make_bar(0))
        if venue is crowd:
            for n in range(5):
                venue.submit(make_order(id=f"o{n}", ts_ns=DECIDED))
        venue.submit(watched)
    first = [report for report in _run(alone, *_cycles(3)) if report.order_id == "watched"]
    second = [report for report in _run(crowd, *_cycles(3)) if report.order_id == "watched"]
    assert [type(report) for report in first] == [type(report) for report in second]
    assert [report.ts_ns for report in first] == [report.ts_ns for report in second]
