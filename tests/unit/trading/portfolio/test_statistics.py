import math

import pytest

from trading.portfolio import statistics
from trading.portfolio.statistics import Moments


@pytest.mark.requirement("T11")
def test_the_deflated_sharpe_matches_the_published_example() -> None:
    """Bailey & Lopez de Prado 2014: SR 2.5 a year, V 0.5 a year, N 100, T 1250, skew -3, kurtosis 10."""
    of = Moments(1_250, 0.0, 1.0, -3.0, 10.0)
    assert statistics.expected_maximum_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert statistics.deflated_sharpe(2.5 / math.sqrt(250), of, 100, 0.5 / 250) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.requirement("T11")
def test_the_probabilistic_sharpe_matches_the_published_example() -> None:
    """Bailey & Lopez de Prado 2012, section 4: 24 months, ratio 0.458 a month, skew -2.448, kurtosis 10.164."""
    ratio = 0.458
    normal, skewed = Moments(24, 0.0, 1.0, 0.0, 3.0), Moments(24, 0.0, 1.0, -2.448, 10.164)
    assert statistics.probabilistic_sharpe(ratio, 0.0, normal) == pytest.approx(0.9817, abs=5e-5)
    assert statistics.probabilistic_sharpe(ratio, 0.0, skewed) == pytest.approx(0.9134, abs=5e-5)


@pytest.mark.parametrize(
    ("periods_a_year", "skewness", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.7312), (52, 0.0, 3.0, 2.8263), (12, 0.0, 3.0, 3.2401), (12, -0.72, 5.78, 4.9908)],
)
def test_the_minimum_track_record_matches_the_published_table(
    periods_a_year: int, skewness: float, kurtosis: float, years: float
) -> None:
    """Bailey & Lopez de Prado 2012, section 5: a ratio of 2 a year against 1 at 95 %: 2.73, 2.83, 3.24 and 4.99
    years."""
    root = math.sqrt(periods_a_year)
    of = Moments(1, 0.0, 1.0, skewness, kurtosis)
    found = statistics.minimum_track_record(2.0 / root, 1.0 / root, of, 0.95)
    assert found is not None
    assert found / periods_a_year == pytest.approx(years, abs=5e-3)


def test_a_track_record_of_that_length_is_just_enough() -> None:
    of = Moments(1, 0.0, 1.0, -0.5, 6.0)
    length = statistics.minimum_track_record(0.1, 0.02, of, 0.9)
    assert length is not None
    enough = Moments(round(length), 0.0, 1.0, -0.5, 6.0)
    assert statistics.probabilistic_sharpe(0.1, 0.02, enough) == pytest.approx(0.9, abs=1e-3)
    assert statistics.minimum_track_record(0.02, 0.02, of, 0.9) is None


def test_correlated_trials_count_for_fewer() -> None:
    """Bailey & Lopez de Prado 2014, appendix 3."""
    assert statistics.effective_trials(500, 0.0) == 500.0
    assert statistics.effective_trials(500, 1.0) == 1.0
    assert statistics.effective_trials(500, 0.6) == pytest.approx(200.6)
    assert statistics.effective_trials(500, -0.2) == 500.0


def test_with_one_trial_the_deflated_sharpe_is_the_probabilistic_one_against_zero() -> None:
    of = statistics.moments([0.01, -0.02, 0.03, 0.01, 0.0])
    ratio = statistics.sharpe(of)
    assert ratio is not None
    assert statistics.deflated_sharpe(ratio, of, 1) == statistics.probabilistic_sharpe(ratio, 0.0, of)


def test_more_trials_make_the_same_sharpe_less_convincing() -> None:
    of = Moments(500, 0.0, 1.0, 0.0, 3.0)
    values = [statistics.deflated_sharpe(0.1, of, trials) for trials in (1, 2, 10, 1_000)]
    assert values == sorted(values, key=lambda value: -(value or 0.0))
    assert values[0] == pytest.approx(0.987, abs=1e-3)


def test_moments_of_a_known_series() -> None:
    of = statistics.moments([1.0, 2.0, 3.0, 4.0])
    assert (of.count, of.mean) == (4, 2.5)
    assert of.deviation == pytest.approx(math.sqrt(5 / 3))
    assert of.skewness == pytest.approx(0.0)
    assert of.kurtosis == pytest.approx(1.64)


@pytest.mark.parametrize("returns", [[], [0.1], [0.0, 0.0], [0.1] * 7])
def test_a_series_that_does_not_vary_has_no_sharpe(returns: list[float]) -> None:
    of = statistics.moments(returns)
    assert statistics.sharpe(of) is None
    assert (of.skewness, of.kurtosis) == (0.0, 3.0)


def test_what_cannot_be_said_is_none() -> None:
    assert statistics.deflated_sharpe(1.0, Moments(1, 0.0, 1.0, 0.0, 3.0), 5) is None
    assert statistics.probabilistic_sharpe(1.0, 0.0, Moments(1, 0.0, 1.0, 0.0, 3.0)) is None
    assert statistics.probabilistic_sharpe(1.0, 0.0, Moments(9, 0.0, 1.0, 5.0, 3.0)) is None
    assert statistics.expected_maximum_sharpe(50, 0.0) == 0.0


def test_a_year_has_365_days() -> None:
    assert statistics.annualised(0.1, 86_400) == pytest.approx(0.1 * math.sqrt(365))
