"""Figures of candidates: each is what a plain loop makes of the same returns."""

import math

import numpy as np
import pytest

from trading.errors import InvalidInput
from trading.evolution import fitness
from trading.evolution.fitness import NONE, Objectives
from trading.evolution.splits import Scheme
from trading.evolution.walk_forward import annual_sharpe, max_drawdown

SCHEME = Scheme(120, 6, 2, 3)


def noise(rows: int, seed: int = 4) -> fitness.Floats:
    return np.random.default_rng(seed).normal(0.001, 0.02, (rows, SCHEME.days))


@pytest.mark.requirement("T11")
def test_figures_are_those_of_the_days_they_speak_of() -> None:
    returns = noise(7)
    found = fitness.objectives(returns, np.full(7, 50), SCHEME)
    for row, each in zip(returns, found, strict=True):
        on_tests = sorted(annual_sharpe(row[mask].tolist()) or 0.0 for mask in SCHEME.test_masks)
        ahead = [annual_sharpe(row[mask].tolist()) or 0.0 for mask in SCHEME.walk_masks]
        assert each.median_sharpe == pytest.approx(on_tests[7], abs=1e-4)
        assert each.low_sharpe == pytest.approx(float(np.quantile(ahead, 0.25)), abs=1e-4)
        assert each.max_drawdown == pytest.approx(max_drawdown(row.tolist()), abs=1e-4)


def test_a_candidate_that_hardly_traded_is_the_worst_there_is_and_on_no_front() -> None:
    returns = noise(2)
    found = fitness.objectives(returns, np.array([fitness.TRADES_MIN - 1, fitness.TRADES_MIN]), SCHEME)
    assert found[0] == NONE
    assert found[1].is_proper
    assert fitness.front(found) == [1]
    assert fitness.front([NONE, NONE]) == []


def test_returns_that_do_not_vary_have_no_ratio_and_few_days_no_endless_one() -> None:
    flat = np.zeros((1, SCHEME.days))
    assert fitness.sharpes(flat, SCHEME.test_masks).tolist() == [[0.0] * 15]
    assert fitness.sharpes(flat + 0.01, SCHEME.test_masks).tolist() == [[0.0] * 15]
    steady = 0.01 + np.tile([0.0, 1e-6], SCHEME.days // 2)[None, :]
    assert fitness.sharpes(steady, SCHEME.test_masks).max() == fitness.SHARPE_MAX


def test_the_front_holds_what_nothing_beats_and_each_figure_once() -> None:
    found = [
        Objectives(1.0, 0.5, 0.2),
        Objectives(2.0, 0.1, 0.3),
        Objectives(1.0, 0.5, 0.2),  # the same again
        Objectives(0.9, 0.5, 0.2),  # beaten by the first
        Objectives(0.1, 0.0, 0.1),
    ]
    assert fitness.front(found) == [1, 0, 4]


@pytest.mark.requirement("T11")
def test_paths_of_noise_lose_what_the_best_of_noise_seems_to_have() -> None:
    """The best of many worthless candidates looks good where it was chosen and is worth nothing where it was not."""
    paths, best = [], []
    for seed in range(20):
        returns = np.random.default_rng(seed).normal(0.0, 0.02, (100, SCHEME.days))
        paths.append(float(np.mean(fitness.path_sharpes(returns, SCHEME))))
        best.append(max(annual_sharpe(row.tolist()) or 0.0 for row in returns))
    assert len(fitness.path_sharpes(noise(3), SCHEME)) == 5
    assert abs(np.mean(paths)) < 4 * np.std(paths) / math.sqrt(20)
    assert min(best) > 2.0
    assert float(np.mean(best)) > float(np.mean(paths)) + 2.0


def test_paths_take_each_day_from_a_split_that_did_not_train_on_it() -> None:
    """A candidate that is good on one block alone is chosen by the splits that train on it and by no path there."""
    returns = np.full((2, SCHEME.days), 0.0)
    returns[0] = np.tile([0.011, -0.009], SCHEME.days // 2)
    returns[1] = np.tile([0.009, -0.011], SCHEME.days // 2)
    days = SCHEME.block_days(2)
    returns[1, days] = np.tile([0.12, 0.10], (days.stop - days.start) // 2)
    chosen = np.argmax(fitness.sharpes(returns, SCHEME.train_masks), axis=0)
    for split, tested in enumerate(SCHEME.splits):
        assert chosen[split] == (0 if 2 in tested else 1)
    whole = fitness.sharpes(returns, np.ones((1, SCHEME.days), dtype=bool))[:, 0]
    assert max(fitness.path_sharpes(returns, SCHEME)) <= round(float(whole[0]), fitness.DIGITS) < whole[1]


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InvalidInput, match="candidates"):
        fitness.objectives(noise(3), np.array([1, 2]), SCHEME)
    assert fitness.path_sharpes(noise(0), SCHEME) == ()
