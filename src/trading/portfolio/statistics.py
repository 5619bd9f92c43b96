"""What can be said about a series of returns: Sharpe ratio and how far it may be luck. Floats, no money."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

EULER_GAMMA = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Moments:
    """``deviation`` is the sample's (n - 1); ``kurtosis`` is not in excess (3 for a normal distribution)."""

    count: int
    mean: float
    deviation: float
    skewness: float
    kurtosis: float


def moments(returns: Sequence[float]) -> Moments:
    """Return the moments of a series; a series without spread has skewness 0 and kurtosis 3."""
    count = len(returns)
    mean = math.fsum(returns) / count if count else 0.0
    squares = math.fsum((each - mean) ** 2 for each in returns)
    # Deviations below the rounding error of the mean are no spread.
    if count < 2 or squares <= count * (1e-12 * max(abs(mean), 1e-300)) ** 2:
        return Moments(count, mean, 0.0, 0.0, 3.0)
    variance = squares / count
    third = math.fsum((each - mean) ** 3 for each in returns) / count
    fourth = math.fsum((each - mean) ** 4 for each in returns) / count
    return Moments(count, mean, math.sqrt(squares / (count - 1)), third / variance**1.5, fourth / variance**2)


def sharpe(of: Moments) -> float | None:
    """Return the Sharpe ratio per period (no risk-free rate), None where nothing varies."""
    return of.mean / of.deviation if of.deviation > 0.0 else None


def annualised(sharpe_per_period: float, period_s: float) -> float:
    """Return the ratio per year of 365 days, by the square root of time."""
    return sharpe_per_period * math.sqrt(365 * 86_400 / period_s)


def probabilistic_sharpe(sharpe_per_period: float, benchmark: float, of: Moments) -> float | None:
    """Return P(true Sharpe > benchmark), both per period.

    PSR(SR*) = Phi[(SR - SR*) sqrt(T-1) / sqrt(1 - g3 SR + (g4-1)/4 SR^2)] (Bailey & Lopez de Prado 2012, J. Risk
    15(2)). None for fewer than two observations or where the error has no positive variance.
    """
    variance = 1.0 - of.skewness * sharpe_per_period + (of.kurtosis - 1.0) / 4.0 * sharpe_per_period**2
    if of.count < 2 or variance <= 0.0:
        return None
    return NormalDist().cdf((sharpe_per_period - benchmark) * math.sqrt(of.count - 1) / math.sqrt(variance))


def expected_maximum_sharpe(trials: int, variance_of_sharpes: float) -> float:
    """Return the Sharpe that the best of ``trials`` worthless strategies is expected to show, per period.

    SR0 = sqrt(V) [(1-gamma) Phi^-1(1-1/N) + gamma Phi^-1(1-1/(N e))] (Bailey & Lopez de Prado 2014, JPM 40(5)); 0 for
    one trial, which selected nothing.
    """
    if trials < 2 or variance_of_sharpes <= 0.0:
        return 0.0
    normal = NormalDist()
    low = normal.inv_cdf(1.0 - 1.0 / trials)
    high = normal.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance_of_sharpes) * ((1.0 - EULER_GAMMA) * low + EULER_GAMMA * high)


def deflated_sharpe(
    sharpe_per_period: float, of: Moments, trials: int, variance_of_sharpes: float | None = None
) -> float | None:
    """Return PSR(SR0): the probability that the strategy is better than the best of as many worthless ones.

    Where the variance over the trials is unknown it is taken to be 1/(T-1), that of the estimate of a Sharpe of 0.
    """
    if of.count < 2:
        return None
    variance = 1.0 / (of.count - 1) if variance_of_sharpes is None else variance_of_sharpes
    return probabilistic_sharpe(sharpe_per_period, expected_maximum_sharpe(trials, variance), of)


def minimum_track_record(sharpe_per_period: float, benchmark: float, of: Moments, confidence: float) -> float | None:
    """Return how many observations it takes until PSR(benchmark) is ``confidence``, for a ratio and shape as these.

    MinTRL = 1 + [1 - g3 SR + (g4-1)/4 SR^2] (Z_a / (SR - SR*))^2 (Bailey & Lopez de Prado 2012, J. Risk 15(2)). None
    where the ratio is not above the benchmark: no length is enough then.
    """
    variance = 1.0 - of.skewness * sharpe_per_period + (of.kurtosis - 1.0) / 4.0 * sharpe_per_period**2
    if sharpe_per_period <= benchmark or variance <= 0.0:
        return None
    return 1.0 + variance * (NormalDist().inv_cdf(confidence) / (sharpe_per_period - benchmark)) ** 2


def effective_trials(trials: int, mean_correlation: float) -> float:
    """Return as how many independent trials so many correlated ones count: N_eff = rho + (1 - rho) N.

    ``mean_correlation`` is the average of the correlations between the trials' returns, taken as 0 where it is below 0
    (Bailey & Lopez de Prado 2014, appendix 3: the implied number of independent trials).
    """
    rho = min(1.0, max(0.0, mean_correlation))
    return rho + (1.0 - rho) * trials
