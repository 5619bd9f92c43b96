import math
import random
import statistics
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from trading.errors import InvalidInput
from trading.indicators.oscillators import AverageTrueRange, EwmaVolatility, ExponentialMean, RelativeStrength
from trading.indicators.regime import HISTORY_SAMPLES, RegimeTracker
from trading.indicators.regression import RollingRegression
from trading.indicators.rolling import Lagged, RollingMax, RollingMin, RollingMoments


def _walk(count: int, seed: int = 7, sigma: float = 0.003, drift: float = 0.0) -> list[float]:
    chance, price, path = random.Random(seed), math.log(1e-7), []
    for _ in range(count):
        price += chance.gauss(drift, sigma)
        path.append(price)
    return path


@pytest.mark.parametrize("size", [1, 2, 30])
def test_rolling_statistics_equal_those_of_the_window_at_every_step(size: int) -> None:
    moments, high, low = RollingMoments(size), RollingMax(size), RollingMin(size)
    window: deque[float] = deque(maxlen=size)
    for value in _walk(500):
        for each in (moments, high, low):
            each.update(value)
        window.append(value)
        assert moments.mean == pytest.approx(statistics.fmean(window), rel=1e-12)
        assert moments.deviation == pytest.approx(statistics.pstdev(window), abs=1e-9)
        assert (high.value, low.value) == (max(window), min(window))
        assert moments.is_full is high.is_full is low.is_full is (len(window) == size)


def test_rounding_errors_do_not_pile_up_after_a_price_that_was_far_away() -> None:
    """One value of 1e12 in the window leaves errors behind that a plain running update would keep for ever."""
    moments = RollingMoments(50)
    values = [1e12, *_walk(10_000)]
    for value in values:
        moments.update(value)
    assert moments.deviation == pytest.approx(statistics.pstdev(values[-50:]), rel=1e-6)


def test_a_window_without_spread_has_no_z_score() -> None:
    moments = RollingMoments(3)
    for _ in range(9):
        moments.update(0.1)
    assert (moments.z_score(0.1), moments.z_score(5.0)) == (0.0, 0.0)


def test_a_z_score_counts_deviations_from_the_mean() -> None:
    moments = RollingMoments(2)
    moments.update(1.0)
    moments.update(3.0)
    assert moments.z_score(4.0) == 2.0


def test_a_lag_tells_the_change_since() -> None:
    lagged = Lagged(2)
    for value, change, full in ((1.0, 0.0, False), (2.0, 1.0, False), (4.0, 3.0, True), (8.0, 6.0, True)):
        lagged.update(value)
        assert (lagged.change, lagged.is_full) == (change, full)


def test_volatility_comes_near_the_true_one_and_follows_it() -> None:
    volatility = EwmaVolatility(200)
    for value in _walk(3_000, sigma=0.003):
        volatility.update(value)
    assert volatility.per_bar == pytest.approx(0.003, rel=0.2)
    for value in _walk(3_000, seed=8, sigma=0.009):
        volatility.update(value)
    assert volatility.per_bar == pytest.approx(0.009, rel=0.2)


def test_volatility_is_full_after_its_span_of_returns() -> None:
    volatility = EwmaVolatility(2)
    fullness = []
    for value in (0.0, 0.1, 0.3):
        volatility.update(value)
        fullness.append(volatility.is_full)
    assert fullness == [False, False, True]
    # The first return, 0.1, then 0.2 with the weight 2/3.
    assert volatility.per_bar == pytest.approx(math.sqrt(0.01 + 2 / 3 * 0.03))


@pytest.mark.parametrize(
    ("prices", "value"), [([1, 2, 3, 4], 100.0), ([4, 3, 2, 1], 0.0), ([1, 1, 1, 1], 50.0), ([1, 2, 1, 2, 1], 43.75)]
)
def test_relative_strength_of_known_series(prices: list[float], value: float) -> None:
    strength = RelativeStrength(2)
    for price in prices:
        strength.update(price)
    assert strength.is_full
    assert strength.value == pytest.approx(value, abs=10.0 if value == 43.75 else 1e-9)


def _regime(path: list[float]) -> RegimeTracker:
    tracker = RegimeTracker(20, 40, sample_bars=5)
    for value in path:
        tracker.update(value)
    return tracker


@pytest.mark.parametrize(("drift", "trend"), [(0.002, "up"), (-0.002, "down"), (0.0, "flat")])
def test_the_trend_is_the_sign_of_a_change_that_stands_out(drift: float, trend: str) -> None:
    path = [drift * n + 0.001 * (n % 2) for n in range(100)]
    regime = _regime(path).regime
    assert regime is not None
    assert regime.trend == trend


def test_volatility_is_ranked_among_its_own_past() -> None:
    calm = _walk(400, sigma=0.001)
    jump = calm[-1]
    wild = [jump + value - math.log(1e-7) for value in _walk(60, seed=9, sigma=0.01)]
    after_wild, after_calm = _regime(calm + wild).regime, _regime(wild * 5 + calm[:200]).regime
    assert after_wild is not None
    assert after_calm is not None
    assert (after_wild.volatility, after_calm.volatility) == ("wild", "calm")
    assert after_wild.text.startswith("wild/")


def test_there_is_no_regime_before_both_windows_are_full_and_a_normal_one_before_there_is_a_past() -> None:
    path = _walk(41)
    assert _regime(path[:-1]).regime is None
    few = RegimeTracker(20, 40, sample_bars=30)
    for value in path:
        few.update(value)
    assert few.regime is not None
    assert few.regime.volatility == "normal"
    assert few.volatility_per_bar > 0


def test_a_middling_volatility_is_normal() -> None:
    """The past has two thirds of louder and one third of quieter samples than now, and the other way round."""
    path = _walk(300, sigma=0.001) + _walk(300, seed=3, sigma=0.01) + _walk(120, seed=4, sigma=0.003)
    regime = _regime(path).regime
    assert regime is not None
    assert regime.volatility == "normal"


def test_the_past_that_is_compared_with_is_bounded() -> None:
    tracker = RegimeTracker(2, 2, sample_bars=1)
    for value in _walk(HISTORY_SAMPLES + 500):
        tracker.update(value)
    assert len(tracker._ordered) == len(tracker._samples) == HISTORY_SAMPLES
    assert tracker._ordered == sorted(tracker._samples)


@pytest.mark.parametrize("make", [RollingMoments, RollingMax, RollingMin, Lagged, EwmaVolatility, RelativeStrength])
def test_a_window_of_nothing_is_refused(make: type) -> None:
    with pytest.raises(InvalidInput, match="at least"):
        make(0)


def test_an_exponential_mean_begins_as_a_plain_one_and_forgets() -> None:
    mean = ExponentialMean(4)
    seen = []
    for value in (1.0, 2.0, 6.0, 3.0, 3.0):
        mean.update(value)
        seen.append(mean.value)
    # weights max(2/5, 1/n): 1, 1/2, then 2/5
    assert seen == pytest.approx([1.0, 1.5, 3.3, 3.18, 3.108])
    assert mean.is_full


def test_the_true_range_reaches_back_to_the_close_before() -> None:
    average = AverageTrueRange(2)
    average.update(102.0, 98.0, 100.0)
    assert average.newest == pytest.approx(102 / 98 - 1)
    average.update(91.0, 90.0, 90.0)  # a gap down counts from the close before it
    assert average.newest == pytest.approx(100 / 90 - 1)
    average.update(90.0, 90.0, 90.0)
    assert average.value == pytest.approx(((102 / 98 - 1 + 100 / 90 - 1) / 2) / 2)


def test_a_rolling_regression_is_least_squares_over_its_window() -> None:
    chance = np.random.default_rng(5)
    x, noise = chance.normal(0, 1, 300), chance.normal(0, 0.5, 300)
    y = 0.7 * x + noise
    rolling = RollingRegression(50)
    for place in range(300):
        rolling.update(float(x[place]), float(y[place]))
        if place >= 49:
            wx, wy = x[place - 49 : place + 1], y[place - 49 : place + 1]
            slope = float((wx @ wy) / (wx @ wx))
            error = math.sqrt(float(((wy - slope * wx) ** 2).sum()) / 49 / float(wx @ wx))
            assert rolling.slope == pytest.approx(slope, rel=1e-9)
            assert rolling.t_value == pytest.approx(slope / error, rel=1e-6)
    assert 0.0 < rolling.shrunken_slope < rolling.slope
    overlapped = RollingRegression(50, overlap=5)
    for place in range(300):
        overlapped.update(float(x[place]), float(y[place]))
    assert overlapped.t_value == pytest.approx(rolling.t_value * math.sqrt((50 / 5 - 1) / 49), rel=1e-9)


def test_a_regression_on_nothing_says_nothing() -> None:
    rolling = RollingRegression(5)
    for _ in range(9):
        rolling.update(0.0, 1.0)
    assert (rolling.slope, rolling.t_value, rolling.shrunken_slope) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("make", [ExponentialMean, RollingRegression, AverageTrueRange])
def test_a_window_that_is_none_is_refused(make: Callable[[int], object]) -> None:
    with pytest.raises(InvalidInput, match="at least"):
        make(0)
