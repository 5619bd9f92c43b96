"""Additions to winners: whatever the prices, the whole position never risks more than its first purchase did."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.trading import SOL, T0, deposit, filled, make_fill

from trading.model.order import Side
from trading.model.position import Position
from trading.model.profile import AGGRESSIVE, BASELINE, CAUTIOUS, FOUNDATION, ExitRules, Profile
from trading.model.units import BPS_ONE, ceil_div
from trading.portfolio.ledger import Ledger
from trading.risk.exits import ExitView, decide_exit, watch

DECIMALS = 6
bps = st.integers(1, 3_000)
prices = st.integers(1, 10**6).map(lambda each: Decimal(each) / 10**4)


def stop_only(stop_loss_bps: int) -> ExitRules:
    return ExitRules(
        stop_loss_bps=stop_loss_bps, trailing_stop_bps=0, trailing_arm_bps=0, take_profit_bps=0, holding_s_max=86_400
    )


def traded(ledger: Ledger, number: int, side: Side, lamports: int, base_units: int) -> Position:
    fill = make_fill(f"o{number}", ts_ns=T0, side=side, lamports=lamports, base_units=base_units)
    position = ledger.apply(filled(fill)).position
    assert position is not None
    ledger.verify()
    return position


def begun(lamports: int, base_units: int) -> tuple[Ledger, Position]:
    ledger = Ledger()
    ledger.apply(deposit(10**9 * SOL))
    return ledger, traded(ledger, 0, Side.BUY, lamports, base_units)


@pytest.mark.requirement("T5")
@settings(max_examples=200, deadline=None)
@given(bps, st.integers(10**7, 10**12), prices, st.lists(st.tuples(bps, st.integers(1, 9_999)), max_size=6), prices)
def test_additions_never_raise_what_the_stop_loses_and_always_raise_the_stop(
    stop: int, first: int, price: Decimal, steps: list[tuple[int, int]], seen: Decimal
) -> None:
    rules = stop_only(stop)
    ledger, position = begun(first, int(Decimal(first) / price) + 1)
    most = ceil_div(position.cost_lamports * stop, BPS_ONE)
    for number, (rise, share) in enumerate(steps, 1):
        before = position
        price = price * (BPS_ONE + rise + 50) / BPS_ONE
        lamports = max(1, before.last_buy_lamports * share // BPS_ONE)
        units = int(Decimal(lamports) / price)
        if units < 1:
            return
        position = traded(ledger, number, Side.BUY, lamports, units)
        assert position.last_buy_lamports == lamports <= before.last_buy_lamports
        assert ceil_div(position.risked_lamports * stop, BPS_ONE) == most
        if position.cost_lamports * before.base_units > before.cost_lamports * position.base_units:  # dearer on average
            stops = [Decimal(each.cost_lamports - most) / each.base_units for each in (before, position)]
            assert stops[1] >= stops[0] or most >= before.cost_lamports
    view = ExitView(T0, seen, seen, DECIMALS)
    is_lost = position.cost_lamports - position.value_lamports(seen, DECIMALS) >= most
    assert (decide_exit(rules, position, view) is not None) is is_lost
    found = watch(rules, position, max(seen, price), DECIMALS)
    if found.low_sol < seen <= found.high_sol:
        assert not is_lost


@settings(max_examples=100, deadline=None)
@given(bps, st.integers(10**7, 10**12), st.integers(1, 9_999), st.integers(1, 9_999))
def test_a_part_that_is_sold_takes_its_share_of_the_risk_along(stop: int, first: int, added: int, sold: int) -> None:
    ledger, _ = begun(first, first)
    before = traded(ledger, 1, Side.BUY, max(1, first * added // BPS_ONE), max(1, first * added // BPS_ONE) // 2 + 1)
    units = max(1, before.base_units * sold // BPS_ONE)
    after = traded(ledger, 2, Side.SELL, units, units)
    assert 0 <= after.added_lamports <= after.cost_lamports
    share = Decimal(after.base_units) / before.base_units
    assert after.risked_lamports <= before.risked_lamports * share + 2


@pytest.mark.requirement("T5")
def test_a_profile_adds_only_where_it_has_a_stop_to_raise() -> None:
    document = FOUNDATION.model_dump()
    document["exits"]["stop_loss_bps"] = 0
    with pytest.raises(ValidationError, match="adds_max must be 0 without"):
        Profile.model_validate(document)
    document["limits"]["adds_max"] = 0
    assert Profile.model_validate(document).limits.adds_max == 0
    assert [each.limits.adds_max for each in (CAUTIOUS, FOUNDATION, AGGRESSIVE, BASELINE)] == [0, 2, 3, 0]
