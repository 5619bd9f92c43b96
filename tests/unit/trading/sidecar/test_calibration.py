"""A model's record against the base rate, and the weight that it earns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.advice import make_exchange, scored

from trading.model.advice import AdviceRules, score_of
from trading.sidecar.calibration import Calibration

pytestmark = pytest.mark.requirement("T14")

RULES = AdviceRules(weight_bps_max=8_000, unproven_bps=500, scores_needed=20)


def record(*said: tuple[bool, int]) -> Calibration:
    """Return the record of these (rose, probability that was said)."""
    calibration = Calibration()
    for number, (is_up, probability_bps) in enumerate(said):
        calibration.add(scored(is_up=is_up, probability_bps=probability_bps, number=number))
    return calibration


def test_the_brier_score_is_the_squared_distance_of_the_probability_from_the_outcome() -> None:
    assert scored(is_up=True, probability_bps=7_000).brier_ppm == 90_000  # 0.3 squared
    assert scored(is_up=False, probability_bps=7_000).brier_ppm == 490_000
    found = record((True, 7_000), (False, 7_000), (False, 2_000), (True, 9_000))
    assert found.brier_ppm == (90_000 + 490_000 + 40_000 + 10_000) // 4
    assert found.base_brier_ppm == 250_000
    assert (found.hit_rate_bps, found.base_hit_rate_bps) == (7_500, 5_000)
    assert found.skill_bps == (250_000 - 157_500) * 10_000 // 250_000


def test_a_price_that_stood_still_is_no_rise_and_an_interval_holds_what_lies_in_it() -> None:
    score = score_of(make_exchange(), 0, 5, "")
    assert (score.is_up, score.is_hit, score.is_within) == (False, True, True)
    assert not score_of(make_exchange(), 201, 5, "").is_within


def test_a_model_without_a_record_gets_little_and_never_more_than_the_rules_give() -> None:
    assert Calibration().weight_bps(RULES) == 500
    assert Calibration().weight_bps(RULES.model_copy(update={"weight_bps_max": 300})) == 300
    assert Calibration().weight_bps(AdviceRules()) == 0


def test_a_model_that_is_no_better_than_the_base_rate_gets_nothing() -> None:
    always_half = record(*[(number % 2 == 0, 5_000) for number in range(40)])
    assert always_half.skill_bps == 0
    assert always_half.weight_bps(RULES) == 0
    wrong = record(*[(number % 2 == 0, 1_000 if number % 2 == 0 else 9_000) for number in range(40)])
    assert wrong.skill_bps < 0
    assert wrong.weight_bps(RULES) == 0


def test_a_model_that_says_the_only_outcome_there_was_has_shown_nothing() -> None:
    assert record(*[(True, 10_000)] * 40).weight_bps(RULES) == 0


def test_a_model_that_beats_the_base_rate_is_heard_more_the_longer_its_record_is() -> None:
    def knows(count: int) -> Calibration:
        return record(*[(number % 2 == 0, 8_000 if number % 2 == 0 else 2_000) for number in range(count)])

    assert 0 < knows(20).weight_bps(RULES) < knows(100).weight_bps(RULES) < 8_000
    assert knows(20).weight_bps(RULES) == 8_000 * 20 // 40


@given(
    said=st.lists(st.tuples(st.booleans(), st.integers(0, 10_000)), max_size=60),
    most=st.integers(0, 10_000),
)
def test_a_weight_lies_between_nothing_and_what_the_rules_give(said: list[tuple[bool, int]], most: int) -> None:
    rules = AdviceRules(weight_bps_max=most, scores_needed=10)
    assert 0 <= record(*said).weight_bps(rules) <= most
