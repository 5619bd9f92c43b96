"""A strategy that takes many bars at once says and remembers what it would have said and remembered bar by bar."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.trading import STEP, T0, make_bar

from trading.engine.checkpoint import _memento
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.strategies.sma_cross import SmaCross

STEPS = {
    "a walk": st.integers(-50, 50),
    "mostly flat, so that averages meet": st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
    "wild": st.integers(-4_000, 9_000),
}


@st.composite
def bars(draw: st.DrawFn) -> list[Bar]:
    moves = draw(st.lists(draw(st.sampled_from(list(STEPS.values()))), min_size=1, max_size=400))
    digits = draw(st.sampled_from(["0.01", "0.0000001", ""]))
    """Without any the price is a quotient of 28 digits, whose sums are rounded."""
    gaps = draw(st.dictionaries(st.integers(0, 399), st.sampled_from([1, 30]), max_size=3))
    price, now_ns, found = Decimal(100), T0, []
    for number, move in enumerate(moves):
        price = max(Decimal("0.5"), price + price * move / Decimal(30_011 if not digits else 10_000))
        price = price if not digits else price.quantize(Decimal(digits))
        now_ns += STEP * (1 + gaps.get(number, 0))
        shown = price.normalize() if number % 5 == 0 else price
        found.append(make_bar(number, str(shown), ts_open_ns=now_ns - STEP, ts_close_ns=now_ns))
    return found


@pytest.mark.requirement("T5")
@settings(max_examples=150, deadline=None)
@given(bars(), st.sampled_from([(1, 2), (3, 8), (10, 50)]), st.integers(1, 400))
def test_many_bars_at_once_are_as_good_as_each(market: list[Bar], lengths: tuple[int, int], at_once: int) -> None:
    one, many = (SmaCross({"fast_bars": lengths[0], "slow_bars": lengths[1]}) for _ in range(2))
    for first in range(0, len(market), at_once):
        part = market[first : first + at_once]
        said: list[tuple[int, Signal]] = []
        for place, bar in enumerate(part):
            signal = one.on_bar(bar)
            if signal is not None:
                said.append((place, signal))
        assert many.on_bars(part) == said
        assert remembered(many) == remembered(one)


def test_most_bars_of_a_walk_are_not_looked_at_one_by_one() -> None:
    market = [make_bar(number, str(100 + number % 97 / 10)) for number in range(3_000)]
    looked_at: list[Bar] = []

    class Counting(SmaCross):
        def on_bar(self, bar: Bar) -> Signal | None:
            looked_at.append(bar)
            return super().on_bar(bar)

    assert len(Counting().on_bars(market)) > 30
    assert len(looked_at) < 300


def remembered(strategy: SmaCross) -> object:
    """Return all of its state; equal prices count as equal however many zeros they end in."""

    def plain(data: object) -> object:
        if isinstance(data, list):
            if len(data) == 2 and data[0] == "d":
                return Decimal(data[1])
            return [plain(each) for each in data]
        return {name: plain(each) for name, each in data.items()} if isinstance(data, dict) else data

    return plain(_memento().encode(strategy))
