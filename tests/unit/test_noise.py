"""The measurement of the gates, small: noise is not promoted, a planted edge is, and the count of trials is why."""

import pytest
from scripts import noise
from scripts.noise import Edge, Settings

from trading.config import PromotionSection
from trading.model.market_data import Bar

RULES = PromotionSection()
SMALL = Settings(Edge(), trials=30, days=560, holdout_days=80)
LUCKIEST = 5
"""Among the seeds of the twelve: what it found looks best on the days that chose it."""
REPEATS = 12


def tally(wish: Settings, repeats: int, seed: int = 1) -> noise.Tally:
    return noise.Tally("", tuple(noise.repeat(number, wish, RULES) for number in range(seed, seed + repeats)))


@pytest.mark.requirement("T11")
def test_of_twelve_searches_on_noise_none_has_a_finalist_that_passes_every_gate() -> None:
    found = tally(SMALL, REPEATS)
    assert min(each.trials for each in found.repeats) == SMALL.trials
    assert sum(len(each.passed) for each in found.repeats) > REPEATS
    assert found.hits == 0


@pytest.mark.requirement("T11")
def test_noise_is_promoted_where_the_number_of_trials_is_ignored() -> None:
    """The control: one of the same searches, each finalist judged as the only one ever tried, by what chose it."""
    blind = Settings(Edge(), SMALL.trials, SMALL.days, SMALL.holdout_days, counts_trials=False)
    assert noise.repeat(LUCKIEST, blind, RULES).is_promoted


def test_a_planted_edge_is_found_and_promoted() -> None:
    planted = Settings(Edge(0.03, 40.0), SMALL.trials, 800, 200)
    assert tally(planted, 2).hits == 2


def test_the_market_is_the_seeds_and_a_fair_game_without_an_edge() -> None:
    def closes(seed: int, edge: Edge) -> list[float]:
        return [float(event.close) for event in noise.market(seed, edge, 100).events() if isinstance(event, Bar)]

    assert closes(3, Edge()) == closes(3, Edge())
    assert closes(3, Edge()) != closes(6, Edge())
    grown = [closes(seed, Edge())[-1] / 0.01 for seed in range(60)]
    assert 0.7 < sum(grown) / len(grown) < 1.4
    assert Edge(0.02, 40.0).sharpe == pytest.approx(6.38, abs=0.05)
    assert Edge().sharpe == 0.0


def test_an_interval_is_wilsons() -> None:
    """Against the figures of Newcombe 1998 for 81 of 263 and 0 of 20."""
    assert noise.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert noise.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
