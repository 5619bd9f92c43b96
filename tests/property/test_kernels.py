"""Kernels say what their strategies say: at the same bars, in the same direction, whatever the prices."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.trading import STEP, T0, make_bar

from trading.errors import InvalidInput
from trading.evolution.kernels import Market, Terms, opinions, screenable
from trading.model.market_data import Bar
from trading.strategies.lead_lag import BTC_LEADS, SOL_LEADS
from trading.strategies.parameters import Value
from trading.strategies.registry import create

TERMS = Terms(fee_bps=30)
BTC = "sim:BTC"
SOL_USD = [Decimal(round(15_000 + 4_000 * math.sin(place / 6))) / 100 for place in range(509)]
"""By time, the same for every token. It goes on as it went, so that what follows it can be told from what does not."""
MOVES: Mapping[str, Sequence[int]] = {
    "a walk": range(-50, 51),
    "mostly flat, so that averages meet": (0, 0, 0, 0, 0, 1, -1),
    "wild": range(-4_000, 6_000, 7),
    "quiet, then a jump": (0, 1, -1, 2, -2, 1, -1, 0, 600, -500),
}
CALM = [name for name in sorted(MOVES) if name != "wild"]
"""Of BTC, so that in USD it moves as SOL does, and can be followed."""
Genes = dict[str, st.SearchStrategy[Value]]
GENES: Mapping[str, Genes] = {
    "lead_lag": {
        "leader": st.sampled_from([SOL_LEADS, BTC_LEADS]),
        "window_bars": st.integers(20, 40),
        "move_bars": st.integers(1, 4),
        "hold_bars": st.integers(1, 6),
        "entry_deviations": st.floats(0.1, 1.5),
        "t_min": st.floats(0.0, 1.0),
    },
    "mean_reversion": {
        "mean_bars": st.integers(10, 25),
        "trend_bars": st.integers(10, 40),
        "strength_bars": st.integers(2, 40),
        "entry_z": st.floats(0.5, 2.0),
        "exit_z": st.floats(-1.0, 1.0),
        "strength_max": st.floats(25.0, 90.0),
    },
    "momentum_breakout": {
        "channel_bars": st.integers(12, 25),
        "exit_bars": st.integers(3, 30),
        "volume_ratio": st.floats(0.0, 2.0),
    },
    "sma_cross": {"fast_bars": st.integers(1, 8), "slow_bars": st.integers(9, 30)},
    "trend_following": {
        "fast_bars": st.integers(2, 8),
        "slow_bars": st.integers(9, 20),
        "range_bars": st.integers(2, 30),
        "entry_ranges": st.floats(0.0, 1.0),
        "stop_ranges": st.floats(0.5, 4.0),
    },
    "volatility_breakout": {
        "range_bars": st.integers(2, 12),
        "usual_bars": st.integers(10, 25),
        "quiet_share": st.floats(0.5, 3.0),
        "widening": st.floats(1.0, 3.0),
        "close_share": st.floats(0.0, 0.9),
        "hold_bars": st.integers(1, 12),
    },
}


@st.composite
def a_token(draw: st.DrawFn, mint: str) -> list[Bar]:
    """Bars made from a drawn seed: a list of drawn moves is seldom long enough for a strategy to warm up."""
    chance = Random(draw(st.integers(0, 2**32)))
    moves = MOVES[draw(st.sampled_from(CALM if mint == BTC else sorted(MOVES)))]
    gaps = draw(st.dictionaries(st.integers(0, 159), st.integers(1, 80), max_size=3))
    digits = draw(st.sampled_from([2, 12]))
    """With twelve the prices have more digits than 64 bits hold beside a sum."""
    unknown = draw(st.sampled_from([0.0, 0.0, 0.02]))
    """How often nobody knows what SOL is worth."""
    price, now_ns, found = Decimal(100), T0 + STEP * draw(st.integers(0, 5)), []
    for number in range(draw(st.integers(1, 240))):
        now_ns += STEP * (1 + gaps.get(number, 0))
        opened, price = price, max(Decimal("0.5"), price + price * chance.choice(moves) / 10_000)
        price = round(min(price, Decimal(1_000_000)), digits)
        high = round(max(opened, price) * (1 + Decimal(chance.choice([0, 0, 3, 40])) / 10_000), digits)
        low = round(min(opened, price) * (1 - Decimal(chance.choice([0, 0, 3, 40])) / 10_000), digits)
        bar = make_bar(number, str(price), ts_open_ns=now_ns - STEP, ts_close_ns=now_ns, mint=mint)
        volume = Decimal(chance.choice([0, 1, 10, 1_000]))
        sol_usd = None if chance.random() < unknown else SOL_USD[now_ns // STEP % len(SOL_USD)]
        found.append(replace(bar, open=opened, high=high, low=low, volume=volume, sol_usd=sol_usd))
    return found


@st.composite
def a_market(draw: st.DrawFn) -> dict[str, list[Bar]]:
    return {
        mint: draw(a_token(mint))
        for mint in draw(st.sampled_from([("a", "b"), (BTC, "a"), (BTC, "t"), ("a", BTC, "t")]))
    }


Said = list[tuple[str, int, bool, float, int]]


def strategys(name: str, market: Mapping[str, list[Bar]], values: Mapping[str, Value]) -> Said:
    """Return what the strategy itself says, asked as the engine asks it: by time, then by mint."""
    strategy, found = create(name, values), []
    for bar in sorted((bar for bars in market.values() for bar in bars), key=lambda bar: (bar.ts_close_ns, bar.mint)):
        signal = strategy.on_bar(bar)
        if signal is not None:
            found.append((signal.mint, signal.ts_ns, signal.strength > 0.0, signal.strength, signal.edge_bps))
    return sorted(found)


def kernels(name: str, market: Market, values: Mapping[str, Value]) -> Said:
    return sorted(
        (each.mint, each.ts_ns, each.strength > 0.0, each.strength, each.edge_bps)
        for each in opinions(name, market, values)
    )


def assert_same(theirs: Said, ours: Said) -> None:
    assert [each[:3] for each in ours] == [each[:3] for each in theirs]
    for mine, their in zip(ours, theirs, strict=True):
        # Rounded by other rules and from other logarithms: no bar and no direction rests on them.
        assert mine[3] == pytest.approx(their[3], abs=1.01e-4)
        assert mine[4] == pytest.approx(their[4], abs=1)


@pytest.mark.requirement("T11")
@pytest.mark.parametrize("name", sorted(GENES))
def test_a_kernel_says_what_its_strategy_says(name: str) -> None:
    spoken = 0

    @settings(max_examples=60, deadline=None, database=None)
    @given(a_market(), st.fixed_dictionaries(GENES[name]))
    def check(market: dict[str, list[Bar]], values: dict[str, Value]) -> None:
        nonlocal spoken
        theirs = strategys(name, market, values)
        assert_same(theirs, kernels(name, Market.of(market, TERMS), values))
        spoken += len(theirs)

    check()
    assert spoken > 20  # what never speaks is right about everything


def test_every_strategy_with_a_kernel_is_held_to_it() -> None:
    assert frozenset(GENES) == screenable()
    with pytest.raises(InvalidInput, match="has no kernel"):
        opinions("order_flow", Market.of({"a": [make_bar()]}, TERMS), {})
