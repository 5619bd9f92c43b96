"""Less of what moves like the rest: how much of an entry is the same bet as what is held already.

Covariances of hourly returns are shrunk towards those of one common correlation (Ledoit & Wolf 2004, "Honey, I shrunk
the sample covariance matrix", J. Portfolio Management 30(4)): with s the sample covariances of T returns y about their
means, r their correlations and r0 the mean of those,

  f_ij  = r0 sqrt(s_ii s_jj)
  pi_ij = mean_t (y_it y_jt - s_ij)^2
  rho   = sum_i pi_ii + sum_{i<>j} r0 sqrt(s_jj / s_ii) mean_t (y_it^2 - s_ii) (y_it y_jt - s_ij)
  delta = (sum pi - rho) / (T sum (f - s)^2), cut to [0, 1]

Variances stay, so the shrunken correlations are delta r0 + (1 - delta) r.

An entry of x lamports in a token c beside exposures e_i adds x^2 v_c^2 + 2 x v_c sum_i e_i v_i r_ic to the variance of
the account, v being volatilities. It may add no more than the size x0 would that stands alone, so

  x = sqrt(x0^2 + A^2) - A   with A = sum_i e_i r_ic v_i / v_c

where A is what is held as lamports of the token that move alike. It is x0 where nothing moves alike, and falls as any
correlation rises. A hedge that was seen is not relied upon: a correlation below 0 counts as 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isqrt, sqrt

from trading.model.profile import SizingRules
from trading.model.units import BPS_ONE

from .returns import ReturnBook

TOKENS_MAX = 12
"""So many tokens go into an estimate: the entry's and the largest ones held; others count as unknown."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of several tokens: ``volatilities`` an hour, and ``correlations`` of the first token with each (itself: 1)."""

    volatilities: tuple[float, ...]
    correlations: tuple[float, ...]
    shrinkage: float


def diversified_lamports(lamports: int, alike_lamports: int) -> int:
    """Return the size that adds as much variance beside what moves alike as ``lamports`` would alone."""
    return isqrt(lamports**2 + alike_lamports**2) - alike_lamports


@dataclass(frozen=True, slots=True)
class Likeness:
    """How a token that is held moves beside the one of an entry: their correlation, and its volatility over that of the
    other."""

    correlation: float
    ratio: float


def alike_lamports(book: ReturnBook, exposures: Mapping[str, int], mint: str, rules: SizingRules) -> int:
    """Return A for an entry into ``mint``: as many lamports of it would move like all other tokens that are held.

    What is held of the token itself is bounded by the limits on one token and on additions.
    """
    if not rules.correlation_bps:
        return 0
    held = {other: value for other, value in exposures.items() if value > 0 and other != mint}
    return summed_lamports(held, likenesses(book, held, mint, rules), rules.correlation_bps)


def summed_lamports(held: Mapping[str, int], alike: Mapping[str, Likeness], share_bps: int) -> int:
    """Return the sum over what is held of value, correlation and ratio, and that share of it."""
    found = sum([held[other] * max(0.0, alike[other].correlation) * alike[other].ratio for other in sorted(held)])
    return int(found * share_bps / BPS_ONE)


def likenesses(book: ReturnBook, held: Mapping[str, int], mint: str, rules: SizingRules) -> dict[str, Likeness]:
    """Return how each token that is held moves beside ``mint``: as was seen, as declared where too little was."""
    assumed = Likeness(rules.correlation_unknown_bps / BPS_ONE, 1.0)
    found = dict.fromkeys(held, assumed)
    enough = [each for each in held if book.hours(each) >= rules.correlation_hours_min]
    if not enough or book.hours(mint) < rules.correlation_hours_min:
        return found
    tokens = [mint, *sorted(enough, key=lambda each: (-held[each], each))[: TOKENS_MAX - 1]]
    rows = [book.over(token, 1) for token in tokens]
    hours = min(map(len, rows))
    moving = [(token, row[-hours:]) for token, row in zip(tokens, rows, strict=True) if len(set(row[-hours:])) > 1]
    if len(moving) < 2 or moving[0][0] != mint:  # what never moved says nothing about what it would do
        return found
    estimate = shrunken([row for _, row in moving])
    for place, (token, _) in enumerate(moving[1:], 1):
        ratio = estimate.volatilities[place] / estimate.volatilities[0]
        found[token] = Likeness(estimate.correlations[place], ratio)
    return found


def shrunken(rows: Sequence[Sequence[int]]) -> Estimate:
    """Return volatilities and shrunken correlations of rows of joint returns, none of which is constant."""
    hours, count = len(rows[0]), len(rows)
    means = [sum(row) / hours for row in rows]
    moves = [[each - mean for each in row] for row, mean in zip(rows, means, strict=True)]
    squares = [[each * each for each in row] for row in moves]
    variances = [sum(row) / hours for row in squares]
    spreads = [[each - variance for each in row] for row, variance in zip(squares, variances, strict=True)]
    # Of the diagonal f is s, so it adds to pi and to rho alike and to nothing else.
    pairs = {pair: _Pair.of(moves, spreads, *pair) for pair in combinations(range(count), 2)}
    scales = {(i, j): sqrt(variances[i] * variances[j]) for i, j in pairs}
    correlations = {pair: each.covariance / scales[pair] for pair, each in pairs.items()}
    common = sum(correlations.values()) / len(correlations)
    noise = distance = 0.0
    for (i, j), each in pairs.items():
        ratio = sqrt(variances[j] / variances[i])
        noise += each.noise - common / 2 * (ratio * each.with_first + each.with_second / ratio)
        distance += (common * scales[i, j] - each.covariance) ** 2
    shrinkage = min(1.0, max(0.0, noise / distance / hours)) if distance > 0.0 else 0.0
    firsts = [shrinkage * common + (1.0 - shrinkage) * correlations[0, j] for j in range(1, count)]
    return Estimate(tuple(map(sqrt, variances)), (1.0, *firsts), shrinkage)


@dataclass(frozen=True, slots=True)
class _Pair:
    """Of two rows: their covariance, how noisy it is, and how it moves with the variance of either."""

    covariance: float
    noise: float
    with_first: float
    with_second: float

    @classmethod
    def of(cls, moves: Sequence[Sequence[float]], spreads: Sequence[Sequence[float]], i: int, j: int) -> "_Pair":
        hours = len(moves[i])
        products = [one * other for one, other in zip(moves[i], moves[j], strict=True)]
        covariance = sum(products) / hours
        rest = [each - covariance for each in products]
        return cls(
            covariance,
            sum([each * each for each in rest]) / hours,
            sum([one * other for one, other in zip(spreads[i], rest, strict=True)]) / hours,
            sum([one * other for one, other in zip(spreads[j], rest, strict=True)]) / hours,
        )
