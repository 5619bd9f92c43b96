"""The simulated venue under any conditions, pools and orders: each order ends once, and as its terms allow."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.trading import MINT, RENT, SOL, T0, make_bar, make_order

from trading.execution.conditions import Conditions
from trading.execution.simulated_venue import SimulatedVenue
from trading.model.instrument import CONSTANT_PRODUCT, Concentrated, Instrument, LaunchCurve, PoolTerms
from trading.model.market_data import CycleEnd, TokenListed
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Fill, Order, Purpose, Rejected, Side, VenueReport

HELD = 10**12
CONDITIONS = st.builds(
    Conditions,
    slot_ms=st.sampled_from([100, 400, 2_000]),
    latency_slots=st.integers(0, 80),
    jitter_slots=st.integers(0, 69),
    level_micro_lamports=st.sampled_from([0, 10_000, 100_000]),
    failure_ppm=st.sampled_from([0, 200_000]),
    adverse_ppm=st.sampled_from([0, 500_000]),
    adverse_bps=st.integers(0, 10_000),
    path_bps=st.integers(0, 10_000),
    liquidity=st.sampled_from(["declared", "volume"]),
)
POOLS = st.sampled_from([CONSTANT_PRODUCT, LaunchCurve(), Concentrated(10**13, 64, 3, 10**11)])
PRICES = st.integers(50, 500).map(lambda n: Decimal(n).scaleb(-9))


@st.composite
def orders(draw: st.DrawFn) -> Order:
    side = draw(st.sampled_from(list(Side)))
    amount = draw(st.integers(1, 50 * SOL if side is Side.BUY else HELD // 8))
    is_exact = side is Side.BUY and draw(st.booleans())
    return make_order(
        side=side,
        purpose=Purpose.ENTRY if side is Side.BUY else Purpose.EXIT,
        amount_in=amount,
        min_out=draw(st.integers(0, amount * 20)),
        priority_fee_lamports=draw(st.integers(0, 100_000)),
        amount_out=draw(st.integers(1, 10**10)) if is_exact else 0,
    )


@settings(max_examples=80, deadline=None)
@given(CONDITIONS, POOLS, st.lists(st.tuples(orders(), PRICES), min_size=1, max_size=8), st.integers(0, 99))
def test_each_order_ends_at_most_once_and_within_its_terms(
    conditions: Conditions, pool: PoolTerms, script: list[tuple[Order, Decimal]], seed: int
) -> None:
    venue = SimulatedVenue({MINT: HELD}, conditions, seed)
    venue.on_market(TokenListed(T0, Instrument(MINT, "A", 6, 100, pool=pool, creator_fee_bps=30), "test"))
    sent: dict[str, Order] = {}
    reports: list[VenueReport] = []
    for n in range(len(script) + 12):
        order, price = script[min(n, len(script) - 1)]
        bar = make_bar(n, close=str(price), open=price * 2, high=price * 3, low=price / 2)
        reports += [*venue.on_market(bar), *venue.on_market(CycleEnd(bar.ts_close_ns, None))]
        if n < len(script):
            submitted = replace(order, id=f"o{n}", ts_ns=bar.ts_close_ns)
            sent[submitted.id] = submitted
            venue.submit(submitted)
    assert max(Counter(report.order_id for report in reports).values(), default=1) == 1
    open_ids = {order.id for order in venue.open_orders()}
    assert open_ids | {report.order_id for report in reports} == set(sent)
    assert all(sent[name].purpose is Purpose.EXIT for name in open_ids)
    held = HELD
    for report in reports:
        held += _checked(sent[report.order_id], report, conditions)
    assert venue.held(MINT) == held


def _checked(order: Order, report: VenueReport, conditions: Conditions) -> int:
    """Hold a report against its order; return what it did to the wallet's base units."""
    if isinstance(report, Rejected):
        charge = SIGNATURE_FEE_LAMPORTS + order.priority_fee_lamports
        assert report.charged_lamports == (0 if report.reason == "expired" else charge)
        return 0
    assert isinstance(report, Fill)
    assert report.ts_ns >= order.ts_ns + conditions.latency_slots * conditions.slot_ns
    if order.purpose is Purpose.ENTRY:
        assert report.ts_ns <= order.ts_ns + conditions.expiry_ns
    assert min(report.pool_fee_lamports, report.adverse_lamports) >= 0
    assert 0 <= report.adverse_lamports <= report.impact_lamports
    assert report.rent_lamports in (0, RENT, -RENT)
    paid, got = report.lamports, report.base_units
    if order.side is Side.SELL:
        paid, got = got, paid
    assert 0 < paid <= order.amount_in
    if order.amount_out:
        assert got == order.amount_out
    else:
        assert got >= order.min_out
    return report.base_units if order.side is Side.BUY else -report.base_units
