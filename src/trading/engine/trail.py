"""Where equity was: enough of the past for a sparkline and for the change since a day and a week, and no more."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

from trading.model.units import NS_PER_S

POINTS_MAX = 120
SPACING_NS = 600 * NS_PER_S
SPAN_NS = 8 * 86_400 * NS_PER_S


class Trail:
    """The sparkline covers the whole run: when it is full every second point goes and the next ones are twice as far
    apart. The samples cover the last eight days, one in ten minutes at most."""

    def __init__(self) -> None:
        self._points: list[int] = []
        self._stride = 1
        self._count = 0
        self._newest = 0
        self.newest_ns = 0
        """When the last cycle ended."""
        self._samples: deque[tuple[int, int]] = deque(maxlen=SPAN_NS // SPACING_NS)

    def add(self, ts_ns: int, equity_lamports: int) -> None:
        self._newest = equity_lamports
        self.newest_ns = ts_ns
        if self._count % self._stride == 0:
            self._points.append(equity_lamports)
            if len(self._points) > POINTS_MAX - 1:
                self._points = self._points[::2]
                self._stride *= 2
        self._count += 1
        if not self._samples or ts_ns - self._samples[-1][0] >= SPACING_NS:
            self._samples.append((ts_ns, equity_lamports))

    def add_all(self, times_ns: Sequence[int], equities: Sequence[int]) -> None:
        """Do as ``add`` does with each in turn."""
        count = self._count
        self._count += len(equities)
        self._newest, self.newest_ns = equities[-1], times_ns[-1]
        at = -count % self._stride
        while at < len(equities):
            self._points.append(equities[at])
            if len(self._points) > POINTS_MAX - 1:
                self._points = self._points[::2]
                self._stride *= 2
            at += 1 + -(count + at + 1) % self._stride
        at = bisect_left(times_ns, self._samples[-1][0] + SPACING_NS) if self._samples else 0
        while at < len(times_ns):
            self._samples.append((times_ns[at], equities[at]))
            at = bisect_left(times_ns, times_ns[at] + SPACING_NS, at)

    def sparkline(self) -> list[int]:
        """Return at most ``POINTS_MAX`` equities, oldest first, the newest at the end."""
        return [*self._points, self._newest] if self._count else []

    def equity_at(self, ts_ns: int) -> int | None:
        """Return the newest sample at or before a time, None when there is none or it is too long ago."""
        samples = list(self._samples)
        position = bisect_right(samples, ts_ns, key=lambda sample: sample[0])
        return samples[position - 1][1] if position else None
