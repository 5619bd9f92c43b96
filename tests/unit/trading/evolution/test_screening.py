"""The array kernel against the full engine on the same bars, and against a plain loop."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import yardstick
from tests.support.yardstick import BARS_START_NS, EQUITY_LAMPORTS, FAST, FEE_BPS, MINUTE_NS, SLOW, Walk

from trading.adapters.canonical import parse_json
from trading.adapters.memory_journal import MemoryJournal
from trading.errors import InvalidInput
from trading.evolution.screening import SLOW_BARS_MAX, Series, equity_of_fills, screen_sma_cross, sma_cross_fills
from trading.model.event_codec import decode
from trading.model.events import CycleMarked, OrderFilled
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Side
from trading.runtime.assembly import RunPlan, begin, make_kernel

SOL = 10**9


def engine_run(prices: Walk) -> MemoryJournal:
    feed = yardstick.feed_of(prices)
    plan = RunPlan("backtest", feed.description, yardstick.profile(), EQUITY_LAMPORTS, 10**16)
    journal = MemoryJournal()
    kernel = make_kernel(plan, "run", journal)
    begin(kernel)
    for event in feed.events():
        kernel.on_event(event)
    kernel.end()
    journal.commit()
    return journal


def told(journal: MemoryJournal, kind: str) -> list[Any]:
    return [decode(row.kind, parse_json(row.body)) for row in journal.rows(kinds=(kind,))]


@pytest.fixture(scope="module")
def prices() -> Walk:
    return yardstick.walk(6_000)


@pytest.fixture(scope="module")
def journal(prices: Walk) -> MemoryJournal:
    return engine_run(prices)


def bar_of(ts_ns: int) -> int:
    return (ts_ns - BARS_START_NS) // MINUTE_NS


@pytest.mark.requirement("T1")
def test_the_kernel_alone_trades_what_the_engine_trades(prices: Walk, journal: MemoryJournal) -> None:
    filled: list[OrderFilled] = told(journal, "order_filled")
    series = Series.of(list(yardstick.bars_of(prices)))
    assert len(filled) > 100
    assert [bar_of(each.fill.ts_ns) for each in filled] == list(sma_cross_fills(series, FAST, SLOW))
    screened = screen_sma_cross(series, [FAST], [SLOW], FEE_BPS)
    assert screened.orders[0] == len(filled)
    end: CycleMarked = told(journal, "cycle_marked")[-1]
    # The kernel knows neither network fees nor impact.
    costs = sum(SIGNATURE_FEE_LAMPORTS + each.fill.impact_lamports for each in filled)
    profit = (end.equity_lamports - EQUITY_LAMPORTS + costs) / SOL
    assert screened.profit[0] == pytest.approx(profit, rel=1e-6)


@pytest.mark.requirement("T1")
def test_given_the_engines_fills_the_kernels_equity_is_the_engines(prices: Walk, journal: MemoryJournal) -> None:
    series = Series.of(list(yardstick.bars_of(prices)))
    fills = []
    for each in told(journal, "order_filled"):
        fill = each.fill
        sign = 1 if fill.side is Side.BUY else -1
        fees = fill.network_fee_lamports + fill.priority_fee_lamports
        paid = Decimal(sign * fill.lamports + fees) / SOL
        fills.append((bar_of(fill.ts_ns), sign * fill.base_units / yardstick.ONE_TOKEN, float(paid)))
    equity = equity_of_fills(series, fills, EQUITY_LAMPORTS / SOL, FEE_BPS)
    marks: list[CycleMarked] = told(journal, "cycle_marked")
    assert len(marks) > 200
    for mark in marks:
        assert equity[bar_of(mark.ts_ns) - 1] == pytest.approx(mark.equity_lamports / SOL, rel=1e-9)


def plain(opens: list[int], closes: list[int], fast: int, slow: int, fee: float) -> tuple[float, int]:
    """The same task as one would write it down first."""
    cash, long, wish, orders = 0.0, False, 0, 0
    above = None
    for i in range(len(closes)):
        if wish:
            long, orders = wish > 0, orders + 1
            cash += -opens[i] * (1 + fee) if long else opens[i] * (1 - fee)
            wish = 0
        if i + 1 < slow:
            continue
        now = sum(closes[i + 1 - fast : i + 1]) * slow > sum(closes[i + 1 - slow : i + 1]) * fast
        if above is not None and now != above and (now or long):
            wish = 1 if now else -1
        above = now
    return cash + (closes[-1] * (1 - fee) if long else 0.0), orders


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=80),
    st.integers(1, 8),
    st.integers(1, 20),
    st.sampled_from([0, 10, 300]),
)
def test_a_screened_set_is_what_a_plain_loop_gives(
    bars: list[tuple[int, int]], fast: int, more: int, fee_bps: int
) -> None:
    opens, closes = [each[0] for each in bars], [each[1] for each in bars]
    series = Series(np.array(opens, np.int64), np.array(closes, np.int64), 1.0)
    screened = screen_sma_cross(series, [fast, 1], [fast + more, 2], fee_bps)
    for place, pair in enumerate([(fast, fast + more), (1, 2)]):
        profit, orders = plain(opens, closes, *pair, fee_bps / 10_000)
        assert (screened.profit[place], screened.orders[place]) == (pytest.approx(profit, abs=1e-9), orders)
        assert screened.drawdown[place] >= 0


def test_what_cannot_be_screened_is_refused(prices: Walk) -> None:
    series = Series.of(list(yardstick.bars_of(prices.cut(100))))
    with pytest.raises(InvalidInput, match="below slow_bars"):
        screen_sma_cross(series, [50], [50], 10)
    with pytest.raises(InvalidInput, match="at most 5000"):
        screen_sma_cross(series, [50], [SLOW_BARS_MAX + 1], 10)
    with pytest.raises(InvalidInput, match="pairs"):
        screen_sma_cross(series, [5, 6], [50], 10)
    with pytest.raises(InvalidInput, match="64 bits"):
        Series.of([])
