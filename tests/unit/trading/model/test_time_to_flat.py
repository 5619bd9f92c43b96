"""How long exits take counts from the first decision to leave to the fill that did, failures between them included."""

import pytest

from trading.model.time_to_flat import TimeToFlat

SECOND = 10**9

pytestmark = pytest.mark.requirement("T10")


def of(*seconds: int) -> TimeToFlat:
    found = TimeToFlat()
    for number, each in enumerate(seconds):
        found.decided(number, 0)
        found.filled(number, each * SECOND)
    return found


def test_median_and_p95_are_exits_that_happened() -> None:
    told = of(*range(1, 21)).document("wall")
    assert told == {"clock": "wall", "exits": 20, "waiting": 0, "median_s": 10.0, "p95_s": 19.0, "longest_s": 20.0}
    assert of(7).document("wall")["p95_s"] == 7.0


def test_without_exits_there_are_no_figures() -> None:
    told = TimeToFlat().document("market")
    assert (told["exits"], told["median_s"], told["p95_s"], told["longest_s"]) == (0, None, None, None)


def test_an_exit_that_came_to_nothing_goes_on_with_the_next_order() -> None:
    found = TimeToFlat()
    found.decided("frog", 10 * SECOND)
    found.decided("frog", 70 * SECOND)
    found.decided("dog", 71 * SECOND)
    found.filled("frog", 75 * SECOND)
    told = found.document("wall")
    assert (told["exits"], told["median_s"], told["waiting"]) == (1, 65.0, 1)


def test_a_fill_that_nobody_decided_to_leave_by_is_no_exit_and_what_is_written_off_waits_no_longer() -> None:
    found = TimeToFlat()
    found.filled("frog", SECOND)
    found.decided("dog", SECOND)
    found.given_up("dog")
    assert found.document("wall")["exits"] == found.document("wall")["waiting"] == 0
