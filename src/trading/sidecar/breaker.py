"""Whether the sidecar is asked at all just now: closed, open after failures in a row, half-open for one try.

The caller tells the time (monotonic seconds), so that nothing here waits or reads a clock.
"""

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """``failures_max`` failures in a row open it for ``open_s``, twice as long after each failed try, up to
    ``open_s_max``."""

    failures_max: int
    open_s: float
    open_s_max: float


class Breaker:
    """``allows`` before each question; ``succeeded`` or ``failed`` after it."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._failures = 0
        self._opened = 0
        self._until_s: float | None = None
        self._is_trying = False

    def state(self, now_s: float) -> BreakerState:
        if self._until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self._until_s else BreakerState.HALF_OPEN

    def allows(self, now_s: float) -> bool:
        """Say whether to ask now; of a half-open breaker the first asker is the try, the others wait for it."""
        state = self.state(now_s)
        if state is BreakerState.CLOSED:
            return True
        if state is BreakerState.OPEN or self._is_trying:
            return False
        self._is_trying = True
        return True

    def succeeded(self) -> None:
        self._failures = self._opened = 0
        self._until_s, self._is_trying = None, False

    def failed(self, now_s: float, away_s: float = 0.0) -> None:
        """``away_s``: how long the other side asked to be left alone."""
        self._failures += 1
        was_open, self._is_trying = self._until_s is not None, False
        if was_open or self._failures >= self._rules.failures_max:
            wait_s = min(self._rules.open_s_max, self._rules.open_s * 2.0 ** min(self._opened, 30))
            self._opened += 1
            self._until_s = now_s + max(wait_s, away_s)
        elif away_s > 0:
            self._until_s = now_s + away_s

    def gave_up(self) -> None:
        """The try was cancelled and says nothing."""
        self._is_trying = False
