"""Counters that only grow, as growth within the last hour."""

from collections import deque
from typing import Final

HOUR_S: Final = 3_600.0
BUCKET_S: Final = 60.0


class HourCount:
    """How much a counter has grown within the last hour, kept in minutes. A counter that fell has begun anew."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque(maxlen=int(HOUR_S / BUCKET_S) + 2)
        self._last: float | None = None
        self._total = 0.0

    def grown(self, count: float, now_s: float) -> float:
        """Take the counter's value of now and return its growth."""
        if self._last is not None:
            self._total += count - self._last if count >= self._last else count
        self._last = count
        if not self._marks or now_s - self._marks[-1][0] >= BUCKET_S:
            self._marks.append((now_s, self._total))
        while len(self._marks) > 1 and now_s - self._marks[1][0] >= HOUR_S:
            self._marks.popleft()
        return self._total - self._marks[0][1]
