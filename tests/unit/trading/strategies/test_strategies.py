"""What every strategy must do, and what each of the two is for."""

import json
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.trading import MINT, SOL, STEP, T0, make_bar, recorded_bars

from trading.errors import InvalidInput
from trading.model.instrument import Instrument
from trading.model.market_data import Bar, Swap, TokenListed
from trading.model.order import Side, Signal
from trading.model.profile import FOUNDATION
from trading.ports import LaunchListener, Strategy, SwapListener
from trading.strategies import registry, tokens
from trading.strategies.mean_reversion import MeanReversion
from trading.strategies.momentum_breakout import MomentumBreakout
from trading.strategies.order_flow import OrderFlow

NAMES = list(registry.STRATEGIES)
TRADED = [choice.name for choice in FOUNDATION.strategies]
FAST = {
    "momentum_breakout": {"channel_bars": 24, "exit_bars": 8, "volume_ratio": 1.0, "horizon_bars": 12},
    "mean_reversion": {"mean_bars": 24, "trend_bars": 48, "entry_z": 1.5, "strength_max": 45.0},
    "sma_cross": {"fast_bars": 5, "slow_bars": 20},
    "trend_following": {
        "fast_bars": 6,
        "slow_bars": 24,
        "range_bars": 12,
        "entry_ranges": 0.5,
        "stop_ranges": 2.0,
        "horizon_bars": 12,
    },
    "volatility_breakout": {
        "range_bars": 4,
        "usual_bars": 30,
        "quiet_share": 1.1,
        "widening": 1.6,
        "close_share": 0.5,
        "hold_bars": 6,
    },
    "lead_lag": {"window_bars": 60, "move_bars": 2, "hold_bars": 3, "entry_deviations": 0.7, "t_min": 0.5},
    "order_flow": {"flow_bars": 3, "entry_share": 0.02, "entry_imbalance": 0.2, "hold_bars": 6, "volatility_bars": 24},
    "launch_scanner": {"entry_rise": 0.001, "entry_flow": -1.0, "hold_bars": 6, "window_bars": 24},
    "buy_and_hold": {"wait_bars": 10},
    "random_entry": {"wait_bars": 12, "hold_bars": 8},
}


@cache
def _market(count: int, seed: int = 7, mint: str = MINT) -> list[Bar]:
    """Return a random market with bursts of trend and volume, made the same way each time and changed by nobody."""
    chance, price, drift, bars = random.Random(seed), 0.001, 0.0, []
    for n in range(count):
        if n % 60 == 0:
            drift = chance.choice((-0.0012, 0.0, 0.0, 0.0012))
        opened = price
        price *= math.exp(chance.gauss(drift, 0.004))
        text = {"open": opened, "high": max(opened, price) * 1.001, "low": min(opened, price) * 0.999, "close": price}
        prices = {name: Decimal(f"{value:.12f}") for name, value in text.items()}
        volume = Decimal(int(1_000 * chance.uniform(0.2, 3.0)))
        bars.append(replace(make_bar(n, mint=mint, volume=volume), **prices))
    return bars


@cache
def _led(count: int, seed: int = 7, mint: str = MINT) -> list[Bar]:
    """Return the same market with a SOL price whose moves the token repeats in part two bars later."""
    chance, sol, bars = random.Random(seed + 1_000), 150.0, []
    moves: list[float] = []
    lifted = 0.0
    for bar in _market(count, seed, mint):
        moves.append(chance.gauss(0.0, 0.004))
        sol *= math.exp(moves[-1])
        lifted += 0.9 * (moves[-3] if len(moves) > 2 else 0.0)
        prices = {name: Decimal(f"{float(getattr(bar, name)) * math.exp(lifted):.12f}") for name in PRICES}
        bars.append(replace(bar, sol_usd=Decimal(f"{sol:.6f}"), **prices))
    return bars


PRICES = ("open", "high", "low", "close")
MARKETS = {"lead_lag": _led}
ONCE = {"buy_and_hold", "launch_scanner"}
"""Speak once a token, and remember it."""


def _market_of(name: str, count: int, seed: int = 7, mint: str = MINT) -> list[Bar]:
    return MARKETS.get(name, _market)(count, seed, mint)


def _swaps_in(bar: Bar) -> list[Swap]:
    """Return swaps that a bar may have been made of: larger on the side to which it closed, and small ones besides."""
    move = float(bar.close / bar.open) - 1.0
    sides = (Side.BUY, Side.SELL) if move > 0 else (Side.SELL, Side.BUY)
    lamports = (int(4e11 * abs(move)) + 10**8, 10**8)
    return [
        Swap(bar.ts_close_ns, bar.ts_open_ns + n, bar.mint, side, 10**6, paid, f"{bar.source}/{n}")
        for n, (side, paid) in enumerate(zip(sides, lamports, strict=True))
    ]


def _signals(strategy: Strategy, bars: Sequence[Bar]) -> list[Signal]:
    """Return what a strategy says to bars, told their tokens' listing and the swaps in them where it listens."""
    said = []
    # Looked up once, as the engine does: a protocol looks at every name of the object each time.
    listed = strategy.on_listed if isinstance(strategy, LaunchListener) else None
    swapped = strategy.on_swap if isinstance(strategy, SwapListener) else None
    for bar in bars:
        if listed is not None:
            listed(TokenListed(bar.ts_close_ns, Instrument(bar.mint, "T", 6), "s"))
        if swapped is not None:
            for swap in _swaps_in(bar):
                swapped(swap)
        said.append(strategy.on_bar(bar))
    return [signal for signal in said if signal is not None]


Opinions = list[tuple[int, object]]


def _assert_blind(opinions_over: Callable[[list[Bar]], Opinions], name: str = "") -> None:
    """Whatever comes later, what was said before must stay word for word the same."""
    bars = _market_of(name, 1_200)
    whole = opinions_over(bars)
    assert len(whole) > 10 or name in ONCE
    for cut in (100, 333, 334, 335, 700, 1_199):
        before = [opinion for opinion in whole if opinion[0] <= bars[cut - 1].ts_close_ns]
        assert opinions_over(bars[:cut]) == before
        assert opinions_over(bars[:cut] + _market_of(name, 1_500, seed=99)[cut:])[: len(before)] == before


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_sees_nothing_of_the_future(name: str) -> None:
    _assert_blind(lambda bars: [(s.ts_ns, s) for s in _signals(registry.create(name, FAST[name]), bars)], name)


def _peeking(bars: list[Bar]) -> Opinions:
    """A control: would own a token exactly when the next bar is higher, which it reads from the future."""
    return [(bar.ts_close_ns, after.close > bar.close) for bar, after in pairwise([*bars, bars[-1]])]


def test_control_a_strategy_that_reads_the_next_bar_is_caught() -> None:
    with pytest.raises(AssertionError):
        _assert_blind(_peeking)


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_speaks_only_when_its_opinion_changes(name: str) -> None:
    signals = _signals(registry.create(name, FAST[name]), _market_of(name, 3_000))
    assert [signal.strength > 0 for signal in signals] == [n % 2 == 0 for n in range(len(signals))]


@pytest.mark.parametrize("name", NAMES)
def test_every_signal_states_what_it_rests_on(name: str) -> None:
    for signal in _signals(registry.create(name, FAST[name]), _market_of(name, 2_000)):
        assert (signal.strategy, signal.mint) == (name, MINT)
        assert -1.0 <= signal.strength <= 1.0
        assert signal.strength == round(signal.strength, 4)
        assert signal.reason
        assert signal.horizon_s > 0
        assert "close_sol" in signal.evidence
        assert not any(isinstance(value, float) for value in signal.evidence.values())
        if signal.strength > 0:
            volatility = signal.evidence[tokens.VOLATILITY_KEY]
            assert isinstance(volatility, int)
            assert 300 < volatility < 2_000  # 0.4 % a bar is about 680 bps a day
            assert signal.edge_bps >= 0


@pytest.mark.parametrize("name", NAMES)
def test_tokens_do_not_disturb_each_other(name: str) -> None:
    one, other = _market_of(name, 800, seed=1), _market_of(name, 800, seed=2, mint="other")
    mixed = [bar for pair in zip(one, other, strict=True) for bar in pair]
    signals = _signals(registry.create(name, FAST[name]), mixed)
    assert [s for s in signals if s.mint == MINT] == _signals(registry.create(name, FAST[name]), one)
    assert [s for s in signals if s.mint == "other"] == _signals(registry.create(name, FAST[name]), other)


@pytest.mark.parametrize("name", NAMES)
def test_no_opinion_before_the_warm_up_is_over(name: str) -> None:
    strategy = registry.create(name)
    bars = _market_of(name, strategy.warmup_bars - 1)
    spiked = [replace(bar, volume=Decimal(10**9)) for bar in bars]
    assert _signals(strategy, spiked) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONCE])
def test_after_a_gap_longer_than_its_memory_a_token_starts_anew(name: str) -> None:
    strategy = registry.create(name, FAST[name])
    bars = _market_of(name, 400)
    lag = (strategy.warmup_bars + 2) * STEP
    later = [
        replace(bar, ts_open_ns=bar.ts_open_ns + 400 * STEP + lag, ts_close_ns=bar.ts_close_ns + 400 * STEP + lag)
        for bar in bars
    ]
    _signals(strategy, bars)
    assert _signals(strategy, later) == _signals(registry.create(name, FAST[name]), later)


SIGNALS_OF_ALL = """
import json
from tests.unit.trading.strategies.test_strategies import FAST, NAMES, _market_of, _signals
from trading.model.event_codec import encode_record
from trading.strategies import registry
found = {name: _signals(registry.create(name, FAST[name]), _market_of(name, 600)) for name in NAMES}
print(json.dumps({name: [encode_record(signal) for signal in signals] for name, signals in found.items()}))
"""


@pytest.fixture(scope="module")
def signals_elsewhere() -> list[dict[str, list[object]]]:
    """The signals of all strategies, by name, as processes with two hash seeds find them."""
    command = [sys.executable, "-c", SIGNALS_OF_ALL]
    seeded = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    runs = [subprocess.run(command, capture_output=True, env=environ, timeout=60, check=True) for environ in seeded]
    return [json.loads(run.stdout) for run in runs]


@pytest.mark.parametrize("name", NAMES)
def test_signals_are_the_same_in_every_process_whatever_the_hash_seed(
    name: str, signals_elsewhere: list[dict[str, list[object]]]
) -> None:
    one, other = (json.dumps(signals[name]) for signals in signals_elsewhere)
    assert one == other
    assert len(json.loads(one)) > (0 if name in ONCE else 3)


@pytest.mark.market
@pytest.mark.parametrize("name", TRADED)
@pytest.mark.parametrize("symbol", ["BONK", "WIF"])
@pytest.mark.requirement("T4")
def test_recorded_markets_are_traded_some_times_a_week(market_dir: Path, symbol: str, name: str) -> None:
    bars = recorded_bars(market_dir, symbol, 6 * 288 * 7)
    entries = [signal for signal in _signals(registry.create(name), bars) if signal.strength > 0]
    assert 0.5 <= len(entries) / 6 <= 10
    worthwhile = [signal for signal in entries if signal.edge_bps >= FOUNDATION.limits.edge_over_cost_bps_min + 60]
    assert len(worthwhile) >= len(entries) // 2


def _flat_then(closes: Sequence[float], volume: int = 1_000, quiet: int = 60, wobble: float = 0.001) -> list[Bar]:
    """Return a quiet market that wobbles around 0.001, then the given closes with the given volume."""
    bars = []
    for n, close in enumerate([0.001 * (1 + wobble * (n % 3)) for n in range(quiet)] + list(closes)):
        price = Decimal(f"{close:.9f}")
        bars.append(make_bar(n, close=str(price), volume=Decimal(1_000 if n < quiet else volume)))
    return bars


def test_momentum_buys_a_breakout_with_volume_and_ends_below_the_exit_channel() -> None:
    strategy = MomentumBreakout({**FAST["momentum_breakout"], "volume_ratio": 2.0})
    climb = [0.001 + 0.00001 * n for n in range(1, 30)]
    fall = [climb[-1] - 0.00003 * n for n in range(1, 20)]
    up, down = _signals(strategy, _flat_then(climb + fall, volume=3_000))
    assert (up.strength > 0, down.strength) == (True, -1.0)
    assert "times the usual volume" in up.reason
    assert "below the low of 8 bars" in down.reason
    assert up.edge_bps > 0


def test_momentum_ignores_a_breakout_without_volume_or_against_the_trend() -> None:
    parameters = {**FAST["momentum_breakout"], "volume_ratio": 2.0}
    climb = [0.001 + 0.00001 * n for n in range(1, 30)]
    assert _signals(MomentumBreakout(parameters), _flat_then(climb, volume=1_000)) == []
    sinking = [0.0012 - 0.000008 * n for n in range(24)] + [0.00121]  # a new high in a falling channel
    assert [s.strength for s in _signals(MomentumBreakout(parameters), _flat_then(sinking, 9_000, quiet=10))] == []


def test_a_breakout_of_a_token_without_volume_figures_is_no_division_by_zero() -> None:
    strategy = MomentumBreakout(FAST["momentum_breakout"])
    bars = [replace(bar, volume=Decimal(0)) for bar in _flat_then([0.001 + 0.00001 * n for n in range(1, 30)])]
    (signal,) = _signals(strategy, bars)
    assert signal.evidence["volume_times_mean"] == "0.000"


def test_mean_reversion_buys_after_the_fall_has_turned_and_ends_at_the_mean() -> None:
    strategy = MeanReversion(FAST["mean_reversion"])
    fall_and_rise = [0.000998, 0.000994, 0.00099, 0.000992, 0.000995, 0.001005, 0.00101]
    bars = _flat_then(fall_and_rise, wobble=0.005)
    up, down = _signals(strategy, bars)
    assert up.ts_ns == bars[63].ts_close_ns  # the first close above the lowest one
    assert "turned up" in up.reason
    assert up.edge_bps == pytest.approx(0.7 * 120, abs=20)  # the mean lies about 1.2 % above
    assert (down.strength, "back at" in down.reason) == (-1.0, True)


def test_mean_reversion_catches_no_falling_knife() -> None:
    strategy = MeanReversion(FAST["mean_reversion"])
    assert _signals(strategy, _flat_then([0.001 * 0.99**n for n in range(1, 25)])) == []
    sinking = [0.001 * 0.995**n for n in range(1, 60)]
    assert _signals(strategy, _flat_then([*sinking, sinking[-1] * 0.97, sinking[-1] * 0.975])) == []


def test_a_wild_token_needs_a_relative_strength_that_is_low() -> None:
    strict = MeanReversion({**FAST["mean_reversion"], "strength_max": 1.0})
    assert _signals(strict, _flat_then([0.000995, 0.00098, 0.000965, 0.000967, 0.00097])) == []


def test_a_trend_is_followed_until_the_trailing_stop() -> None:
    climb = [0.001 * 1.004**n for n in range(1, 60)]
    fall = [climb[-1] * 0.985**n for n in range(1, 12)]
    up, down = _signals(registry.create("trend_following", FAST["trend_following"]), _flat_then(climb + fall))
    assert (up.strength > 0, down.strength) == (True, -1.0)
    assert "average ranges above" in up.reason
    assert "below its best close" in down.reason
    best, end = float(str(down.evidence["best_sol"])), float(str(down.evidence["close_sol"]))
    assert best == pytest.approx(climb[-1], rel=1e-6)
    assert end < best / (1 + 2.0 * float(str(down.evidence["range_share"])))


def test_a_falling_market_has_no_trend_to_follow() -> None:
    sinking = [0.001 * 0.996**n for n in range(1, 200)]
    assert _signals(registry.create("trend_following", FAST["trend_following"]), _flat_then(sinking)) == []


def test_a_wide_bar_after_a_quiet_stretch_is_a_breakout_and_upwards_only() -> None:
    strategy = registry.create("volatility_breakout", FAST["volatility_breakout"])
    up, down = _signals(strategy, _flat_then([0.00103] + [0.00103] * 10))
    assert "times as wide as the quiet" in up.reason
    assert "owned for 6 bars" in down.reason
    other = registry.create("volatility_breakout", FAST["volatility_breakout"])
    assert _signals(other, _flat_then([0.00097] + [0.00097] * 10)) == []


def test_lead_lag_speaks_of_a_token_that_follows_and_not_of_one_that_does_not() -> None:
    follows = _signals(registry.create("lead_lag", FAST["lead_lag"]), _led(1_500))
    strict = {**FAST["lead_lag"], "t_min": 3.0}
    ups = [signal for signal in follows if signal.strength > 0]
    assert len(ups) > 10
    assert all("SOL rose by" in signal.reason and signal.edge_bps > 0 for signal in ups)
    alone = [replace(bar, sol_usd=led.sol_usd) for bar, led in zip(_market(1_500), _led(1_500), strict=True)]
    told = [len(_signals(registry.create("lead_lag", strict), bars)) for bars in (_led(1_500), alone)]
    assert told[0] > 4 * max(1, told[1])


def test_lead_lag_waits_for_its_leader() -> None:
    bars = _led(400)
    assert _signals(registry.create("lead_lag", FAST["lead_lag"]), [replace(bar, sol_usd=None) for bar in bars]) == []
    by_btc = {**FAST["lead_lag"], "leader": 1}
    assert _signals(registry.create("lead_lag", by_btc), bars) == []  # no BTC in the feed
    btc = [replace(bar, mint="sim:BTC", close=Decimal(400) + n % 7) for n, bar in enumerate(bars)]
    mixed = [each for pair in zip(btc, bars, strict=True) for each in pair]
    said = _signals(registry.create("lead_lag", {**by_btc, "t_min": 0.0, "entry_deviations": 0.1}), mixed)
    assert said
    assert {signal.mint for signal in said} == {MINT}  # the leader is never owned
    late = [
        replace(bar, ts_open_ns=bar.ts_open_ns + 10 * STEP, ts_close_ns=bar.ts_close_ns + 10 * STEP) for bar in bars
    ]
    stale = registry.create("lead_lag", {**by_btc, "t_min": 0.0, "entry_deviations": 0.1})
    assert _signals(stale, [*btc[:1], *late]) == []  # its price is too old


def _told(flows: Sequence[tuple[int, int]], strategy: Strategy, pool: int | None = None) -> list[Signal]:
    """Return what is said to bars with so many SOL bought and sold in them, after 30 bars without a swap."""
    said = []
    for n, flow in enumerate([(0, 0)] * 30 + list(flows)):
        bar = make_bar(n, close=str(Decimal("0.001") + Decimal("0.000001") * (n % 3)), pool_lamports=pool)
        for side, sol in zip((Side.BUY, Side.SELL), flow, strict=True):
            if sol:
                assert isinstance(strategy, SwapListener)
                strategy.on_swap(Swap(bar.ts_close_ns, bar.ts_open_ns, bar.mint, side, 10**6, sol * SOL, "s"))
        said.append(strategy.on_bar(bar))
    return [signal for signal in said if signal is not None]


FLOW: dict[str, int | float] = {"flow_bars": 2, "entry_share": 0.1, "volatility_bars": 12, "hold_bars": 3}


def test_order_flow_buys_an_inflow_that_is_large_for_the_depth_and_leaves_when_others_sell() -> None:
    up, down = _told([(10, 2), (9, 3), (1, 8), (0, 5)], registry.create("order_flow", FLOW))
    assert "14 SOL more were bought than sold in 2 bars, 16.5% of the pool's depth" in up.reason
    assert up.evidence["imbalance"] == "0.5833"
    assert up.edge_bps == int(0.5 * 2 * math.log1p(14 / 85) * 10_000)
    assert (down.strength, down.reason) == (-1.0, "others sell on balance")
    assert _told([(10, 2), (9, 3)], registry.create("order_flow", FLOW), pool=500 * SOL) == []  # 2.8 % of that depth
    assert _told([(30, 22), (30, 24)], registry.create("order_flow", FLOW)) == []  # as much, among much more
    assert _told([], registry.create("order_flow", {**FLOW, "entry_share": 0.0, "entry_imbalance": 0.0})) == []


def test_order_flow_leaves_some_bars_after_the_last_inflow() -> None:
    up, down = _told([(12, 0), (12, 0)] + [(1, 1)] * 8, registry.create("order_flow", FLOW))
    assert down.reason == "no inflow for 3 bars"
    assert (down.ts_ns - up.ts_ns) // STEP == 5  # two bars on which the inflow is still in the sum, then three


def test_swaps_of_many_tokens_without_bars_take_no_room_for_ever() -> None:
    strategy = OrderFlow(FLOW)
    for n in range(tokens.TOKENS_MAX + 10):
        strategy.on_swap(Swap(T0, T0, f"m{n}", Side.BUY, 1, SOL, "s"))
    assert len(strategy._since_bar) == tokens.TOKENS_MAX


def test_random_entries_are_tosses_of_their_seed_and_know_no_price() -> None:
    bars = _market(4_000)
    one = _signals(registry.create("random_entry", FAST["random_entry"]), bars)
    flat = [replace(bar, open=Decimal(1), high=Decimal(1), low=Decimal(1), close=Decimal(1)) for bar in bars]
    same = _signals(registry.create("random_entry", FAST["random_entry"]), flat)
    assert [(s.ts_ns, s.strength) for s in one] == [(s.ts_ns, s.strength) for s in same]
    other = _signals(registry.create("random_entry", {**FAST["random_entry"], "seed": 2}), bars)
    assert [s.ts_ns for s in other] != [s.ts_ns for s in one]
    assert len(one) == pytest.approx(4_000 / (12 + 8) * 2, rel=0.2)


def test_the_token_seen_longest_ago_makes_room_for_a_new_one() -> None:
    made: list[object] = []

    class State:
        last_ns = 0

        def __init__(self) -> None:
            made.append(self)

    states = tokens.PerToken(State, 10)
    first = states.of(make_bar(0, mint="m0"))
    for n in range(1, tokens.TOKENS_MAX):
        states.of(make_bar(0, mint=f"m{n}", ts_close_ns=T0 + n * STEP))
    assert states.of(make_bar(1, mint="m0")) is first
    states.of(make_bar(5, mint="new"))  # m1 goes: it was seen longest ago
    assert states.of(make_bar(2, mint="m0")) is first
    assert len(made) == tokens.TOKENS_MAX + 1
    states.of(make_bar(6, mint="m1"))
    assert len(made) == tokens.TOKENS_MAX + 2


def test_every_strategy_of_every_profile_is_registered_with_its_parameters() -> None:
    for strategy in registry.create_all(FOUNDATION.strategies):
        declared = registry.declared(strategy.name)
        assert list(strategy.parameters()) == [parameter.name for parameter in declared]
        for parameter in declared:
            assert parameter.low <= parameter.default <= parameter.high
            assert parameter.meaning
            assert parameter.unit
        assert registry.strategy_class(strategy.name).KIND


def test_the_edges_of_every_declared_range_make_a_working_strategy() -> None:
    bars = _market(50)
    for name in NAMES:
        for edge in ("low", "high"):
            parameters = {parameter.name: getattr(parameter, edge) for parameter in registry.declared(name)}
            strategy = registry.create(name, parameters)
            assert strategy.parameters() == parameters
            _signals(strategy, bars)


def test_bad_parameters_are_refused_all_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        registry.create("mean_reversion", {"mean_bars": 9, "entry_z": float("nan"), "depth": 3, "trend_bars": 50.5})
    assert caught.value.field == "strategies.mean_reversion.parameters"
    for name in ("depth: unknown", "mean_bars: 9 is outside", "entry_z: nan is outside", "trend_bars: an int"):
        assert name in caught.value.message


@pytest.mark.parametrize("value", [True, "5", None])
def test_a_parameter_is_a_number(value: object) -> None:
    with pytest.raises(InvalidInput, match="a number is needed"):
        registry.create("mean_reversion", {"entry_z": value})  # type: ignore[dict-item]


def test_an_unknown_strategy_is_refused_with_the_known_names() -> None:
    with pytest.raises(InvalidInput, match="momentum_breakout, mean_reversion"):
        registry.create("martingale")


def test_an_int_is_taken_for_a_number_with_a_fraction() -> None:
    assert registry.create("mean_reversion", {"entry_z": 3}).parameters()["entry_z"] == 3.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.000000139"), "0.000000139"),
        (Decimal("1.39E-7"), "0.000000139"),
        (Decimal("0.00000013900000000000012345"), "0.000000139"),
        (1.5e-9, "0.0000000015"),
        (Decimal(123456789012345), "123456789012000"),
        (Decimal("2.500"), "2.5"),
        (0.0, "0"),
    ],
)
def test_evidence_states_figures_without_exponents(value: Decimal | float, text: str) -> None:
    assert tokens.figure(value) == text


def test_no_figure_of_a_cheap_tokens_evidence_has_an_exponent() -> None:
    said = []
    for name in NAMES:
        strategy = registry.create(name, FAST[name])
        cheap = [
            replace(bar, **{each: getattr(bar, each).scaleb(-5) for each in PRICES}) for bar in _market_of(name, 3_000)
        ]
        said += _signals(strategy, cheap)
    assert {signal.strategy for signal in said} == set(NAMES)
    for signal in said:
        assert not any(re.search(r"[0-9][eE][-+]?[0-9]", str(figure)) for figure in signal.evidence.values())
