"""Rolling statistics over the last N values, O(1) a value (amortised), deterministic to the last bit."""

import math
from collections import deque
from typing import Final

from trading.errors import InvalidInput

DUST: Final = 1e-12
"""A running sum of equal values is off by about this share of them."""


class RollingMoments:
    """Mean and standard deviation (population) of the last ``size`` values.

    The window is updated in place (Welford) and computed anew from its values once per ``size`` updates, so that
    rounding errors cannot pile up over a long run.
    """

    __slots__ = ("_m2", "_mean", "_size", "_until_exact", "_values")

    def __init__(self, size: int) -> None:
        self._size = _require_size(size)
        self._values: deque[float] = deque()
        self._mean = 0.0
        self._m2 = 0.0
        self._until_exact = self._size

    def update(self, value: float) -> None:
        values = self._values
        if len(values) < self._size:
            values.append(value)
            delta = value - self._mean
            self._mean += delta / len(values)
            self._m2 += delta * (value - self._mean)
            return
        old = values.popleft()
        values.append(value)
        self._until_exact -= 1
        if self._until_exact <= 0:
            self._until_exact = self._size
            self._mean = math.fsum(values) / self._size
            self._m2 = math.fsum((each - self._mean) ** 2 for each in values)
            return
        before = self._mean
        self._mean += (value - old) / self._size
        self._m2 += (value - old) * (value - self._mean + old - before)

    @property
    def is_full(self) -> bool:
        return len(self._values) == self._size

    @property
    def mean(self) -> float:
        return self._mean

    @property
    def deviation(self) -> float:
        """Standard deviation; 0 for fewer than two values, and where it would be rounding dust of the mean."""
        if len(self._values) < 2:
            return 0.0
        deviation = math.sqrt(max(0.0, self._m2) / len(self._values))
        return deviation if deviation > DUST * abs(self._mean) else 0.0

    def z_score(self, value: float) -> float:
        """Return how many standard deviations the value is from the mean; 0 where there is no deviation."""
        deviation = self.deviation
        return (value - self._mean) / deviation if deviation > 0.0 else 0.0


class _RollingExtreme:
    """The extreme of the last ``size`` values, by a queue of the values that can still become it."""

    __slots__ = ("_count", "_queue", "_sign", "_size")

    def __init__(self, size: int, sign: float) -> None:
        self._size = _require_size(size)
        self._sign = sign
        self._queue: deque[tuple[int, float]] = deque()
        self._count = 0

    def update(self, value: float) -> None:
        signed = value * self._sign
        queue = self._queue
        while queue and queue[-1][1] <= signed:
            queue.pop()
        queue.append((self._count, signed))
        self._count += 1
        if queue[0][0] <= self._count - 1 - self._size:
            queue.popleft()

    @property
    def is_full(self) -> bool:
        return self._count >= self._size

    @property
    def value(self) -> float:
        """The extreme so far. Raises: IndexError before the first value."""
        return self._queue[0][1] * self._sign


class RollingMax(_RollingExtreme):
    """The largest of the last ``size`` values."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(size, 1.0)


class RollingMin(_RollingExtreme):
    """The smallest of the last ``size`` values."""

    __slots__ = ()

    def __init__(self, size: int) -> None:
        super().__init__(size, -1.0)


class Lagged:
    """The value ``lag`` updates ago."""

    __slots__ = ("_values",)

    def __init__(self, lag: int) -> None:
        self._values: deque[float] = deque(maxlen=_require_size(lag) + 1)

    def update(self, value: float) -> None:
        self._values.append(value)

    @property
    def is_full(self) -> bool:
        return len(self._values) == self._values.maxlen

    @property
    def change(self) -> float:
        """The newest value minus the one ``lag`` updates ago (the oldest there is until then)."""
        return self._values[-1] - self._values[0]


def _require_size(size: int) -> int:
    if size < 1:
        msg = f"size: an indicator needs at least 1 value, not {size}"
        raise InvalidInput(msg, field="size")
    return size
