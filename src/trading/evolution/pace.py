"""How a background process stays in the background: the lowest priority, and rests that keep it to its budget."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

NICE: Final = 19
REST_S_MAX: Final = 600.0
"""Of one rest: a batch that took an hour of computing is not answered by a day of silence."""

Clock = Callable[[], float]


class Pace:
    """Keeps what a process computes to a share of one core, from one rest to the next: time that it idled away is not
    saved up for later."""

    def __init__(
        self,
        budget_percent: int,
        cpu_s: Clock = time.process_time,
        wall_s: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share = budget_percent / 100.0
        self._cpu_s, self._wall_s, self._sleep = cpu_s, wall_s, sleep
        self._since = (cpu_s(), wall_s())

    def rest(self) -> None:
        """Sleep until what was computed since the last rest is within the budget."""
        cpu_s, wall_s = self._since
        due_s = (self._cpu_s() - cpu_s) / self._share - (self._wall_s() - wall_s)
        if due_s > 0.0:
            self._sleep(min(due_s, REST_S_MAX))
        self._since = (self._cpu_s(), self._wall_s())


def step_back() -> None:
    """Give this process the lowest priority that the system has: it runs when nobody else wants to."""
    with suppress(OSError, AttributeError):  # not everywhere, and not everybody may
        os.nice(NICE)
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
