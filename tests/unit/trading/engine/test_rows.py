"""The rows that are spelled out by hand are the bytes that the canonical writer would write."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.trading import make_bar

from trading.adapters.canonical import canonical_json
from trading.engine.inputs import INPUT, encode_input
from trading.engine.rows import bar_row, end_row, mark_row
from trading.engine.state import DeskState
from trading.model import events
from trading.model.account import TradingState
from trading.model.event_codec import encode
from trading.model.market_data import CycleEnd
from trading.model.profile import FOUNDATION

prices = st.none() | st.decimals(allow_nan=False, allow_infinity=False)
sums = st.integers(-(2**70), 2**70)


@given(st.text())
def test_a_bar_by_reference(source: str) -> None:
    bar = make_bar(source=source)
    row = bar_row(bar)
    kind, body = encode_input(bar, by_reference=True)
    assert kind == INPUT
    if row is not None:
        assert row == canonical_json(body)


@pytest.mark.parametrize("source", ['a"b', "a\\b", "a\nb", "\x7f", "ü", "\u2028"])
def test_a_source_that_needs_care_is_left_to_the_canonical_writer(source: str) -> None:
    assert bar_row(make_bar(source=source)) is None
    assert bar_row(make_bar(source="03f1e2d4c5b6a798:72027")) is not None


@given(prices)
def test_the_end_of_a_cycle(sol_usd: Decimal | None) -> None:
    end = CycleEnd(5, sol_usd)
    assert end_row(end) == canonical_json(encode_input(end, by_reference=True)[1])


@given(st.sampled_from(TradingState), st.integers(0, 2**63), st.integers(0, 10**9), sums, sums, sums, prices)
def test_the_mark_of_a_cycle(
    trading_state: TradingState, ts_ns: int, cycle: int, equity: int, cash: int, exposure: int, sol_usd: Decimal | None
) -> None:
    state = DeskState(FOUNDATION, 1)
    state.now_ns, state.trading_state, state.sol_usd = ts_ns, trading_state, sol_usd
    state.curve.mark(1, 1_000)
    state.curve.mark(2, 777)
    drawdown = state.curve.drawdown_bps
    assert drawdown > 0
    event = events.CycleMarked(ts_ns, cycle, equity, cash, exposure, drawdown, trading_state, sol_usd)
    assert mark_row(state, cycle, equity, cash, exposure) == canonical_json(encode(event)[1])
