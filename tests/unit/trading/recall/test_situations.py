"""A situation's vector: declared, bounded, made of the past alone."""

import math
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from trading.model.market_data import Bar
from trading.recall.histories import TOKENS_MAX, Histories
from trading.recall.situations import (
    BARS_MAX,
    BARS_MIN,
    DIMENSIONS,
    DIMENSIONS_MAX,
    FEATURES,
    LEVEL_MAX,
    UNITS,
    Context,
    Market,
    Stated,
    _level,
    levels_of,
    text_of,
    vector_of,
)

pytestmark = pytest.mark.requirement("T13")

HOUR_NS = 3_600 * 10**9
STATED = Stated(strength=0.5, edge_bps=200, horizon_s=86_400, cost_bps=50)
NOWHERE = Context(0, (), (), Market())


def walk(bars: int, seed: int = 1, mint: str = "m", drift: float = 0.0, spread: float = 0.01) -> list[Bar]:
    chance = random.Random(seed)
    price, found = 1.0, []
    for number in range(bars):
        before, price = price, price * math.exp(chance.gauss(drift, spread))
        high, low = max(before, price) * 1.001, min(before, price) * 0.999
        quotes = (Decimal(f"{each:.9f}") for each in (before, high, low, price))
        volume = Decimal(f"{chance.uniform(50, 150):.3f}")
        found.append(Bar(mint, number * HOUR_NS, (number + 1) * HOUR_NS, *quotes, volume, None, None, "x"))
    return found


def named(vector: tuple[int, ...] | None) -> dict[str, int]:
    assert vector is not None
    return dict(zip((each.name for each in FEATURES), vector, strict=True))


def test_every_feature_is_declared_and_there_are_at_most_thirty_two() -> None:
    assert DIMENSIONS == len({each.name for each in FEATURES}) <= DIMENSIONS_MAX
    for each in FEATURES:
        assert each.unit
        assert each.made
        assert each.scale > 0


def test_too_short_a_past_says_nothing() -> None:
    bars = walk(BARS_MIN)
    assert vector_of(bars[1:], NOWHERE, STATED) is None
    assert vector_of(bars, NOWHERE, STATED) is not None


def test_only_so_many_bars_are_looked_back_at() -> None:
    bars = walk(400)
    assert vector_of(bars, NOWHERE, STATED) == vector_of(bars[-BARS_MAX:], NOWHERE, STATED)


def test_the_vector_of_a_moment_stays_what_it_was_whatever_comes_later() -> None:
    bars = walk(300)
    histories = Histories()
    seen = []
    for bar in bars:
        histories.add(bar)
        seen.append(vector_of(histories.bars("m"), Context(bar.ts_close_ns, (), (), Market()), STATED))
    other = Histories()
    for number, bar in enumerate(bars):
        other.add(replace(bar, close=bar.close * 3) if number > 200 else bar)
        if number <= 200:
            assert vector_of(other.bars("m"), Context(bar.ts_close_ns, (), (), Market()), STATED) == seen[number]


def test_the_unit_of_the_price_makes_no_difference() -> None:
    bars = walk(200)
    scaled = [
        replace(each, **{name: getattr(each, name) * 1_000 for name in ("open", "high", "low", "close")})
        for each in bars
    ]
    assert vector_of(bars, NOWHERE, STATED) == vector_of(scaled, NOWHERE, STATED)


def test_a_rise_and_a_fall_are_told_apart_in_deviations() -> None:
    up, down = (named(vector_of(walk(200, drift=drift), NOWHERE, STATED)) for drift in (0.004, -0.004))
    assert up["return_168"] > 2 * UNITS > -2 * UNITS > down["return_168"]
    assert up["below_high_168"] > down["below_high_168"]
    assert up["above_low_168"] > down["above_low_168"]


def test_time_and_what_surrounds_the_token_are_features() -> None:
    noon_saturday = (2 * 86_400 + 12 * 3_600) * 10**9
    rising = tuple(range(1_000_000, 1_000_000 + 169 * 5_000, 5_000))
    alternating = [3_000 if hour % 2 else -1_000 for hour in range(168)]
    market = Market.of((alternating, [-each for each in alternating], [5] * 10))
    context = Context(noon_saturday, rising, alternating, market)
    found = named(vector_of(walk(200), context, STATED))
    assert (found["hour_cosine"], found["weekend"]) == (-round(UNITS / 1.4), UNITS)
    assert found["sol_24"] == found["sol_168"] == LEVEL_MAX
    assert found["btc_24"] > UNITS
    assert (found["market_24"], found["breadth_24"]) == (0, 0)
    assert Market.of(()) == Market.of(([5] * 23,)) == Market()
    rising_all = Market.of((alternating, alternating[2:], [-5] * 30))
    assert rising_all.breadth == pytest.approx(1 / 3)
    assert rising_all.moved > 1


def test_a_price_that_never_moves_and_an_edge_of_nothing_give_a_vector() -> None:
    still = [replace(each, open=Decimal(1), high=Decimal(1), low=Decimal(1), close=Decimal(1)) for each in walk(200)]
    silent = [replace(each, volume=Decimal(0)) for each in still]
    found = named(vector_of(silent, NOWHERE, Stated(1.0, 0, 0, 50)))
    assert found["edge"] == 0
    assert found["cost_share"] == 8 * UNITS
    assert all(abs(each) <= LEVEL_MAX for each in found.values())


def test_a_figure_that_is_no_number_says_nothing() -> None:
    assert [_level(value, 1.0) for value in (math.nan, math.inf, -math.inf)] == [0, 0, 0]
    assert (_level(1e9, 1.0), _level(-1e9, 1.0)) == (LEVEL_MAX, -LEVEL_MAX)


def test_a_vector_comes_back_from_its_text() -> None:
    vector = vector_of(walk(200), NOWHERE, STATED)
    assert vector is not None
    assert levels_of(text_of(vector)) == vector


@pytest.mark.parametrize("text", ["", "1,x", f"1,{LEVEL_MAX + 1}", ",".join("1" * 33)])
def test_a_text_that_is_no_vector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|at most"):
        levels_of(text)


def test_histories_are_bounded_and_forget_the_token_seen_longest_ago() -> None:
    histories = Histories()
    first, second, later = walk(2)[0], walk(2)[1], walk(3)[2]
    histories.add(replace(first, mint="old"))
    for number in range(TOKENS_MAX - 1):
        histories.add(replace(second, mint=f"m{number}"))
    histories.add(replace(later, mint="new"))
    assert (len(histories.bars("old")), len(histories.bars("new")), len(histories.bars("m0"))) == (0, 1, 1)
    histories.add_all(walk(2 * BARS_MAX, mint="new"))
    assert len(histories.bars("new")) == BARS_MAX


def test_sol_is_sampled_once_an_hour() -> None:
    histories = Histories()
    for minute in range(0, 180, 20):
        histories.sample_sol(minute * 60 * 10**9, Decimal(100 + minute))
    histories.sample_sol(5 * HOUR_NS, None)
    assert list(histories.sol_usd) == [100_000_000, 160_000_000, 220_000_000]


def test_histories_come_back_from_their_document() -> None:
    histories, other = Histories(), Histories()
    bars = walk(200)
    histories.add_all(bars)
    histories.sample_sol(HOUR_NS, Decimal("150.25"))
    other.put_back(histories.document())
    assert other.document() == histories.document()
    assert vector_of(other.bars("m"), NOWHERE, STATED) == vector_of(bars, NOWHERE, STATED)
