"""The circuit breaker: closed, open, half-open, by a clock that the test turns."""

import pytest

from trading.sidecar.breaker import Breaker, BreakerRules, BreakerState

pytestmark = pytest.mark.requirement("T14")


def breaker() -> Breaker:
    return Breaker(BreakerRules(failures_max=2, open_s=10, open_s_max=30))


def test_it_opens_after_failures_in_a_row_and_closes_with_the_first_success() -> None:
    one = breaker()
    one.failed(0)
    one.succeeded()
    one.failed(1)
    assert one.state(1) is BreakerState.CLOSED
    one.failed(2)
    assert one.state(2) is BreakerState.OPEN
    assert not one.allows(11.9)
    assert one.state(12) is BreakerState.HALF_OPEN
    assert one.allows(12)
    one.succeeded()
    assert (one.state(12), one.allows(12)) == (BreakerState.CLOSED, True)


def test_half_open_lets_one_try_through_and_a_failed_one_waits_longer_up_to_a_bound() -> None:
    one = breaker()
    one.failed(0)
    one.failed(0)
    opened, waits = 0.0, []
    for _ in range(4):
        now = next(
            step / 10 for step in range(int(opened * 10), 10_000) if one.state(step / 10) is not BreakerState.OPEN
        )
        waits.append(now - opened)
        assert one.allows(now)
        assert not one.allows(now)
        one.failed(now)
        opened = now
    assert waits == [10, 20, 30, 30]


def test_a_try_that_was_given_up_leaves_room_for_the_next() -> None:
    one = breaker()
    one.failed(0)
    one.failed(0)
    assert one.allows(10)
    one.gave_up()
    assert one.allows(10)


def test_it_stays_away_for_as_long_as_it_is_asked_to() -> None:
    one = breaker()
    one.failed(0, away_s=60)
    assert one.state(59) is BreakerState.OPEN
    assert one.state(60) is BreakerState.HALF_OPEN
