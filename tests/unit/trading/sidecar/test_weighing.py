"""What advice may change about an entry: less of it, or later; whatever it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.scripted_market import START_NS
from tests.support.advice import make_advice, make_exchange, scored

from trading.model.advice import AdviceRules
from trading.model.units import BPS_ONE, NS_PER_S
from trading.sidecar.calibration import Calibration
from trading.sidecar.weighing import weigh

pytestmark = pytest.mark.requirement("T14")

RULES = AdviceRules(weight_bps_max=10_000, unproven_bps=2_000, age_s_max=600, wait_s_max=300)
NOW = START_NS + 60 * NS_PER_S


def test_of_the_cut_that_is_asked_for_the_earned_share_is_made() -> None:
    found = weigh(make_exchange(make_advice(size_scale_bps=0)), Calibration(), RULES, NOW)
    assert (found.weight_bps, found.scale_bps, found.wait_until_ns) == (2_000, 8_000, 0)
    half = weigh(make_exchange(make_advice(size_scale_bps=5_000)), Calibration(), RULES, NOW)
    assert half.scale_bps == 9_000


def test_a_wait_counts_from_the_question_and_is_cut_like_the_size() -> None:
    asked = make_exchange(make_advice(wait_s=10_000), asked_ns=NOW)
    found = weigh(asked, Calibration(), RULES, NOW)
    assert found.wait_until_ns == NOW + 300 * 2_000 // BPS_ONE * NS_PER_S
    assert weigh(asked, Calibration(), RULES, found.wait_until_ns).wait_until_ns == 0


@pytest.mark.parametrize(
    ("exchange", "now_ns", "word"),
    [
        (make_exchange(outcome="timeout"), NOW, "no advice"),
        (make_exchange(make_advice(expires_ns=NOW)), NOW, "expired"),
        (make_exchange(), START_NS + 601 * NS_PER_S, "600 s ago"),
    ],
)
def test_advice_that_is_late_or_failed_changes_nothing(exchange: object, now_ns: int, word: str) -> None:
    found = weigh(exchange, Calibration(), RULES, now_ns)  # type: ignore[arg-type]
    assert (found.scale_bps, found.wait_until_ns) == (BPS_ONE, 0)
    assert word in found.reason


def test_a_model_that_is_worse_than_the_base_rate_changes_nothing() -> None:
    record = Calibration()
    for number in range(40):
        record.add(scored(is_up=number % 2 == 0, probability_bps=1_000 if number % 2 == 0 else 9_000, number=number))
    found = weigh(make_exchange(make_advice(size_scale_bps=0, wait_s=300)), record, RULES, NOW)
    assert (found.scale_bps, found.wait_until_ns) == (BPS_ONE, 0)


ANY = st.integers(-(10**12), 10**12)


@given(scale=ANY, wait_s=ANY, stance=ANY, expected=ANY, confidence=ANY, late_s=st.integers(0, 10_000))
def test_no_advice_enlarges_an_entry_or_delays_it_beyond_the_rules(
    scale: int, wait_s: int, stance: int, expected: int, confidence: int, late_s: int
) -> None:
    advice = make_advice(
        size_scale_bps=scale, wait_s=wait_s, stance_bps=stance, expected_bps=expected, confidence_bps=confidence
    )
    now_ns = START_NS + late_s * NS_PER_S
    found = weigh(make_exchange(advice), Calibration(), RULES, now_ns)
    assert BPS_ONE - RULES.unproven_bps <= found.scale_bps <= BPS_ONE
    assert found.wait_until_ns <= START_NS + RULES.wait_s_max * NS_PER_S
