"""PBO against matrices whose figure is known, and against a second way to compute it."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from trading.errors import InvalidInput
from trading.portfolio.overfitting import mean_correlation, overfitting

KNOWN = np.array(
    [
        [0, -1, 3, 0, 3, 1, -2, 1, 0, 1, 1, 1],
        [2, 4, 0, -2, 3, 3, 1, 4, 0, 3, 3, 1],
        [3, 4, -1, -3, 1, 3, -3, 1, 2, -3, 2, -1],
        [-2, 0, 1, -2, -1, 2, -3, 0, 3, 2, 4, -1],
        [4, -3, 0, 2, 3, 2, 2, -3, 0, 0, 3, 0],
    ],
    dtype=np.float64,
)


def by_hand(rows: list[list[int]], blocks: int) -> float:
    """Ratios as signed squares of exact fractions, ranks by counting: no array, no logarithm."""
    length = len(rows[0]) // blocks

    def ratio(row: list[int], chosen: tuple[int, ...]) -> Fraction:
        days = [Fraction(row[block * length + day]) for block in chosen for day in range(length)]
        mean = sum(days, Fraction(0)) / len(days)
        variance = sum(((each - mean) ** 2 for each in days), Fraction(0)) / len(days)
        return mean * abs(mean) / variance if variance else Fraction(0)

    bad = 0
    halves = list(combinations(range(blocks), blocks // 2))
    for chosen in halves:
        others = tuple(each for each in range(blocks) if each not in chosen)
        inside = [ratio(row, chosen) for row in rows]
        outside = [ratio(row, others) for row in rows]
        best = inside.index(max(inside))
        rank = Fraction(sum(each < outside[best] for each in outside)) + Fraction(outside.count(outside[best]) + 1, 2)
        bad += rank / (len(rows) + 1) <= Fraction(1, 2)
    return bad / len(halves)


@pytest.mark.requirement("T11")
def test_pbo_of_a_known_matrix_is_what_exact_fractions_say() -> None:
    rows = [[int(each) for each in row] for row in KNOWN]
    assert overfitting(KNOWN, 6).pbo == pytest.approx(by_hand(rows, 6), abs=5e-5)
    assert overfitting(KNOWN, 6).pbo == pytest.approx(0.3000, abs=5e-5)
    assert overfitting(KNOWN, 4).pbo == pytest.approx(by_hand(rows, 4), abs=5e-5)


def test_what_is_best_everywhere_is_not_overfitted_and_what_turns_round_is() -> None:
    chance = np.random.default_rng(3)
    rows = chance.normal(0.0, 1.0, (20, 200))
    rows[7] += 2.0
    sound = overfitting(rows)
    assert (sound.pbo, sound.splits, sound.loss) == (0.0, 252, 0.0)
    turning = np.array([[2.0, 1.0, -2.0, -1.0], [-2.0, -1.0, 2.0, 1.0]])
    assert (overfitting(turning, 2).pbo, overfitting(turning, 2).loss) == (1.0, 1.0)


def test_noise_is_overfitted_about_half_the_time() -> None:
    chance = np.random.default_rng(11)
    found = [overfitting(chance.normal(0.0, 1.0, (50, 400)), 8).pbo for _ in range(40)]
    assert 0.4 < sum(found) / len(found) < 0.6


def test_a_logit_is_of_the_relative_rank() -> None:
    """The worst of two has rank 1 of 3."""
    turning = np.array([[2.0, 1.0, -2.0, -1.0], [-2.0, -1.0, 2.0, 1.0]])
    assert overfitting(turning, 2).logits == pytest.approx([math.log((1 / 3) / (2 / 3))] * 2)


def test_trials_that_never_traded_do_no_harm() -> None:
    rows = np.zeros((4, 40))
    assert overfitting(rows, 4).pbo == 1.0  # all alike: the best is the median


@pytest.mark.parametrize(("shape", "blocks"), [((1, 40), 4), ((5, 40), 5), ((5, 7), 4), ((5, 400), 18)])
def test_what_cannot_be_split_is_refused(shape: tuple[int, int], blocks: int) -> None:
    with pytest.raises(InvalidInput, match="returns"):
        overfitting(np.ones(shape), blocks)


def test_the_mean_correlation_is_that_of_all_pairs() -> None:
    chance = np.random.default_rng(5)
    rows = chance.normal(0.0, 1.0, (6, 50)) + chance.normal(0.0, 1.0, 50)
    pairs = np.corrcoef(rows)[np.triu_indices(6, 1)]
    assert mean_correlation(rows) == pytest.approx(float(pairs.mean()), abs=1e-12)
    assert mean_correlation(rows[:1]) == 0.0
    with_idle = np.vstack([rows, np.zeros(50)])
    assert mean_correlation(with_idle) == pytest.approx(float(pairs.sum()) / 21, abs=1e-12)
