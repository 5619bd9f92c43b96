"""The row that is spelled out by hand is the bytes that the canonical writer would write."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trading.adapters.canonical import canonical_json
from trading.engine.rows import mark_row
from trading.engine.state import DeskState
from trading.model import events
from trading.model.account import TradingState
from trading.model.event_codec import encode
from trading.model.profile import FOUNDATION

prices = st.none() | st.decimals(allow_nan=False, allow_infinity=False)
sums = st.integers(-(2**70), 2**70)


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
