"""The ranges in which a cycle is quiet: within them no rule has anything to say, and marks change nothing else."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.engine.checkpoint import _memento
from trading.engine.state import DeskState
from trading.model import events
from trading.model.position import Position
from trading.model.profile import AGGRESSIVE, CAUTIOUS, FOUNDATION, ExitRules
from trading.risk.exits import ExitView, decide_exit, watch

HOUR_NS = 3_600 * 10**9
bps = st.integers(0, 9_999)
prices = st.decimals("0.000000001", "100000", places=12).filter(lambda price: price > 0)


@pytest.mark.requirement("T5")
@settings(max_examples=400, deadline=None)
@given(
    st.builds(ExitRules, stop_loss_bps=bps, trailing_stop_bps=bps, trailing_arm_bps=bps,
              take_profit_bps=st.integers(0, 50_000), holding_s_max=st.integers(60, 86_400)),
    st.integers(1, 10**15), st.integers(1, 10**15), prices, st.integers(0, 20_000), st.integers(0, 9), st.data(),
)  # fmt: skip
def test_no_rule_sells_within_the_watched_range(
    rules: ExitRules, units: int, cost: int, peak: Decimal, share: int, decimals: int, data: st.DataObject
) -> None:
    position = Position("b", "m", "s", "t", opened_ns=5, base_units=units, cost_lamports=cost)
    found = watch(rules, position, peak, decimals)
    bounds = [bound for bound in (found.low_sol, found.high_sol) if bound.is_finite()]
    at_bounds = st.sampled_from(bounds).map(lambda bound: bound * (1 + Decimal(share) / 10**12))
    closes = st.one_of(at_bounds, st.sampled_from([peak * share / 10_000, bounds[-1] * share / 20_000]))
    now_ns = data.draw(st.sampled_from([5, found.until_ns - 1, found.until_ns]))
    for close in data.draw(st.lists(closes, min_size=1, max_size=3)):
        if found.low_sol < close <= found.high_sol and now_ns < found.until_ns:
            peak = max(peak, close)  # and with the new peak the range is the same
            assert decide_exit(rules, position, ExitView(now_ns, close, peak, decimals)) is None


def test_the_watched_range_is_no_wider_than_a_billionth_needs() -> None:
    position = Position("b", "m", "s", "t", opened_ns=0, base_units=10**6, cost_lamports=10**9)
    found = watch(FOUNDATION.exits, position, Decimal("1.1"), 6)
    below, above = found.low_sol * Decimal("0.99999"), found.low_sol * Decimal("1.00001")
    asked = [decide_exit(FOUNDATION.exits, position, ExitView(1, close, Decimal("1.1"), 6)) for close in (below, above)]
    assert asked[0] is not None
    assert asked[0].rule == "trailing_stop"
    assert asked[1] is None


@pytest.mark.requirement("T7")
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([FOUNDATION, CAUTIOUS, AGGRESSIVE]),
    st.integers(10**8, 10**14),
    st.lists(st.tuples(st.integers(-400, 400), st.sampled_from([0, 0, 0, 0, 1, -1])), min_size=1, max_size=40),
    st.data(),
)
def test_a_mark_within_the_corridor_changes_nothing_but_the_equity(
    rules: object, start: int, steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    assert rules in (FOUNDATION, CAUTIOUS, AGGRESSIVE)
    states = [DeskState(rules, 10**15) for _ in range(2)]  # type: ignore[arg-type]
    equity = start
    for state in states:
        state.apply(0, events.CapitalDeposited("start", 0, "b", start, "start"))
    for number, (jump, flow) in enumerate(steps, 1):
        equity = max(1, equity * (10_000 + jump) // 10_000)
        for state in states:
            if flow and equity > start // 2:
                state.curve.flow(flow * start // 10)
                state.guard.flow(flow * start // 10)
            state.mark(number * HOUR_NS // 10, equity)
            state.marked(number * HOUR_NS // 10, number, equity, 0)
        quick, whole = states
        low, high = whole.corridor()
        if low > high or whole.guard.is_reducing_by_drawdown:
            continue
        inside = data.draw(st.integers(low, high))
        tier = whole.tier
        quick.drift(inside)
        whole.mark(number * HOUR_NS // 10, inside)
        assert _memento().encode(quick) == _memento().encode(whole)
        assert moved(whole) is tier
        equity = inside


def moved(state: DeskState) -> object:
    from trading.model.tier import moved_tier

    return moved_tier(state.tier, state.equity_without_flows_lamports)
