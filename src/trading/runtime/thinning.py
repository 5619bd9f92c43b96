"""Long series for a page: of each stretch of time the lowest and the highest point stay, so no spike is lost, and the
newest point of all."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class _Stretch:
    low: tuple[int, int, tuple[int, ...]]
    high: tuple[int, int, tuple[int, ...]]


@dataclass(slots=True)
class Thinned:
    """Points (time, value, and what goes with it) within a span that is known, at most two of each of ``stretches``.

    Points are given in the order of time; those outside of the span are counted and left out.
    """

    first_ns: int
    last_ns: int
    stretches: int
    seen: int = 0
    _kept: dict[int, _Stretch] = field(default_factory=dict)
    _newest: tuple[int, int, tuple[int, ...]] | None = None

    def add(self, ts_ns: int, value: int, *others: int) -> None:
        self.seen += 1
        if not self.first_ns <= ts_ns <= self.last_ns:
            return
        place = (ts_ns - self.first_ns) * self.stretches // (self.last_ns - self.first_ns + 1)
        self._newest = point = (ts_ns, value, others)
        stretch = self._kept.get(place)
        if stretch is None:
            self._kept[place] = _Stretch(point, point)
        else:
            if value < stretch.low[1]:
                stretch.low = point
            if value >= stretch.high[1]:
                stretch.high = point

    def points(self) -> list[tuple[int, ...]]:
        """Return the kept points in the order of time: (time, value, what goes with it ...)."""
        found: list[tuple[int, ...]] = []
        for stretch in self._kept.values():
            for ts_ns, value, others in sorted({stretch.low, stretch.high}):
                found.append((ts_ns, value, *others))
        if self._newest is not None and found[-1][0] != self._newest[0]:
            found.append((*self._newest[:2], *self._newest[2]))
        return found
