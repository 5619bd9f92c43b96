"""A background process computes no more than its share, and does not save idle time up."""

import os
import subprocess
import sys

import pytest

from trading.evolution.pace import REST_S_MAX, Pace

PROBE = """
import os
from trading.evolution.pace import step_back
step_back()
print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE)
"""


class Machine:
    """Clocks that a test turns."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0
        self.rests: list[float] = []

    def compute(self, seconds: float, beside: float = 0.0) -> None:
        self.cpu += seconds
        self.wall += seconds + beside

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.wall += seconds

    def pace(self, percent: int) -> Pace:
        return Pace(percent, lambda: self.cpu, lambda: self.wall, self.sleep)


def test_rests_keep_what_is_computed_to_the_budget() -> None:
    machine = Machine()
    pace = machine.pace(20)
    for seconds in (1.0, 3.0, 0.1, 7.0):
        machine.compute(seconds)
        pace.rest()
    assert machine.rests == pytest.approx([4.0, 12.0, 0.4, 28.0])
    assert machine.cpu / machine.wall == pytest.approx(0.2)


def test_time_that_was_waited_counts_and_is_not_saved_up() -> None:
    machine = Machine()
    pace = machine.pace(50)
    machine.compute(1.0, beside=0.5)
    pace.rest()
    machine.compute(0.0, beside=100.0)  # waited for a lock, say
    pace.rest()
    machine.compute(1.0)
    pace.rest()
    assert machine.rests == pytest.approx([0.5, 1.0])


def test_a_rest_is_bounded_and_the_whole_core_asks_for_none() -> None:
    machine = Machine()
    pace = machine.pace(1)
    machine.compute(3_600.0)
    pace.rest()
    assert machine.rests == [REST_S_MAX]
    whole = machine.pace(100)
    machine.compute(5.0)
    whole.rest()
    assert machine.rests == [REST_S_MAX]


@pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="this system has no such priorities")
def test_a_process_that_steps_back_runs_when_nobody_else_wants_to() -> None:
    said = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.split() == ["19", "True"]
