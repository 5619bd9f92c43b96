"""What is kept of scored forecasts: exact, shrunken, and the same from the same rows."""

from dataclasses import replace

import pytest
from tests.support.trading import T0
from tests.unit.trading.model.test_event_codec import FORECAST, SCORE

from trading.model.forecast import Direction, ForecastScore
from trading.portfolio.forecasts import NEVER_NS, PRIOR_COUNT, Calibration, ForecastBook, Outcome, bin_of

pytestmark = pytest.mark.requirement("T18")


def score(realised: int, *, move: int = 300, confidence: int = 5_000, strength: int = 70) -> ForecastScore:
    return replace(
        SCORE,
        direction=Direction.UP,
        realised_bps=realised,
        is_hit=realised > 0,
        move_bps=move,
        confidence_bps=confidence,
        strength_percent=strength,
        error_bps=move - realised,
        squared_error=(move - realised) ** 2,
        brier_ppm=(10_000 - confidence if realised > 0 else confidence) ** 2 // 100,
    )


def test_a_strategy_without_record_is_believed_as_far_as_a_coin() -> None:
    empty = Calibration()
    assert empty.confidence_bps(70) == 5_000
    assert empty.expected_bps(300) == 300
    assert (empty.hit_rate_bps, empty.brier_ppm, empty.mean_error_bps) == (None, None, None)


def test_confidence_and_expectation_move_towards_what_came_true() -> None:
    record = Calibration()
    for _ in range(80):
        record.add(score(-100))
    assert record.hit_rate_bps == 0
    # 10 of 100 by the prior, and then again within the bin of this strength
    assert record.confidence_bps(70) == PRIOR_COUNT * 1_000 // 100
    assert record.confidence_bps(20) == 1_000  # nothing is known of so weak signals: the strategy's share stands
    assert record.expected_bps(300) == (-8_000 + PRIOR_COUNT * 300) // 100 == -20
    assert (record.mean_error_bps, record.mean_realised_bps) == (400, -100)


def test_the_brier_score_of_always_one_half_is_a_quarter() -> None:
    record = Calibration()
    for realised in (5, -5, 7):
        record.add(score(realised))
    assert record.brier_ppm == 250_000


def test_bins_count_what_was_said_and_what_came_true() -> None:
    record = Calibration()
    for realised, confidence in ((5, 6_100), (-5, 6_900), (5, 10_000), (5, 0)):
        record.add(score(realised, confidence=confidence))
    found = {place: (each.count, each.hits) for place, each in enumerate(record.by_confidence) if each.count}
    assert found == {0: (1, 1), 6: (2, 1), 9: (1, 1)}
    assert record.by_confidence[6].confidence_bps_sum == 13_000
    assert [bin_of(share) for share in (-5, 0, 999, 1_000, 9_999, 10_000, 10_500)] == [0, 0, 0, 1, 9, 9, 9]


def test_a_forecast_is_due_once_and_gone_when_its_score_is_written() -> None:
    book = ForecastBook()
    assert (book.next_due_ns, len(book)) == (NEVER_NS, 0)
    book.add("trj", replace(FORECAST, evidence={"x": 1.5}))
    other = replace(FORECAST, id="fct2", mint="n", due_ns=T0 + 9)
    book.add("trj2", other)
    assert book.next_due_ns == T0 + 5
    (due,) = book.due(T0 + 5)
    assert (due.id, due.evidence) == ("fct", {})
    book.came_out(due, Outcome(T0 + 5, 12, ""))
    assert (book.next_due_ns, book.due(T0 + 5)) == (T0 + 9, [])
    assert [(name, forecast.id, outcome.realised_bps) for name, forecast, outcome in book.decided()] == [
        ("trj", "fct", 12)
    ]
    book.settle(replace(score(12), forecast_id="fct"))
    assert (book.decided(), len(book)) == ([], 1)
    assert book.calibration("s", Direction.UP).count == 1
    assert book.calibration("s", Direction.DOWN).count == 0
