"""How far a choice among many trials was overfitted: PBO by combinatorially symmetric cross-validation. Floats only."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np

from trading.errors import InvalidInput

Floats = np.ndarray[Any, np.dtype[np.float64]]
BLOCKS_DEFAULT: Final = 10
"""252 splits: enough that one more or less moves the figure by less than half a percent."""
BLOCKS_MAX: Final = 16
TRIALS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Overfitting:
    """``pbo``: the share of splits whose in-sample best is at or below the out-of-sample median; ``logits`` are those
    of its relative rank, one for each split; ``loss``: the share of splits whose best lost money out of sample."""

    pbo: float
    splits: int
    logits: tuple[float, ...]
    loss: float


def overfitting(returns: Floats, blocks: int = BLOCKS_DEFAULT) -> Overfitting:
    """Return the probability of backtest overfitting of a matrix of (trials, periods).

    The periods are cut into an even number of equal ``blocks`` (what is left over at the beginning is left out). For
    each half of them the trial with the best Sharpe ratio is chosen and ranked among all on the other half: relative
    rank w = rank / (trials + 1), logit ln(w / (1 - w)), PBO = share of logits at or below 0 (Bailey, Borwein, Lopez de
    Prado & Zhu 2017, J. Comp. Finance 20(4)). Equal ratios share the mean of their ranks.

    Raises: InvalidInput for fewer than two trials, an odd number of blocks, or blocks shorter than two periods.
    """
    trials, periods = returns.shape
    if blocks % 2 or not 2 <= blocks <= BLOCKS_MAX or not 2 <= trials <= TRIALS_MAX or periods < 2 * blocks:
        msg = f"returns: at least 2 trials and {2 * blocks} periods in an even number of blocks, not {returns.shape}"
        raise InvalidInput(msg, field="returns")
    length = periods // blocks
    cut = returns[:, periods - length * blocks :].reshape(trials, blocks, length)
    sums, squares = cut.sum(axis=2), np.square(cut).sum(axis=2)
    logits: list[float] = []
    losses = 0
    for chosen in _halves(blocks):
        inside, outside = _ratios(sums, squares, chosen, length), _ratios(sums, squares, ~chosen, length)
        best = int(np.argmax(inside))
        below = float((outside < outside[best]).sum())
        equal = float((outside == outside[best]).sum())
        rank = (below + (equal + 1.0) / 2.0) / (trials + 1)
        logits.append(float(np.log(rank / (1.0 - rank))))
        losses += bool(outside[best] < 0.0)
    pbo = sum(each <= 0.0 for each in logits) / len(logits)
    return Overfitting(pbo, len(logits), tuple(logits), losses / len(logits))


def mean_correlation(returns: Floats) -> float:
    """Return the mean of all correlations between different rows; rows without spread count as uncorrelated.

    The sum over all pairs of unit rows is the square of the length of their sum, so no matrix of pairs is made.
    """
    trials = returns.shape[0]
    if trials < 2:
        return 0.0
    centred = returns - returns.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.square(centred).sum(axis=1))
    varies = lengths > 1e-15
    units = centred[varies] / lengths[varies, None]
    total: float = float(np.square(units.sum(axis=0)).sum()) - float(varies.sum())
    return float(total / (trials * (trials - 1)))


def _halves(blocks: int) -> Iterator["np.ndarray[Any, np.dtype[np.bool_]]"]:
    for chosen in combinations(range(blocks), blocks // 2):
        mask = np.zeros(blocks, np.bool_)
        mask[list(chosen)] = True
        yield mask


def _ratios(sums: Floats, squares: Floats, chosen: "np.ndarray[Any, np.dtype[np.bool_]]", length: int) -> Floats:
    """Return each trial's Sharpe ratio over these blocks; one that does not vary has 0, as one that did not trade."""
    count = int(chosen.sum()) * length
    means = sums[:, chosen].sum(axis=1) / count
    variances = squares[:, chosen].sum(axis=1) / count - np.square(means)
    spread = np.sqrt(np.maximum(variances, 0.0))
    floor = 1e-12 * np.maximum(np.abs(means), 1e-300)
    ratios: Floats = np.where(spread > floor, means / np.where(spread > floor, spread, 1.0), 0.0)
    return ratios
