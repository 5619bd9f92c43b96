"""Smoothed measures of speed and range: volatility, relative strength, averages, true range."""

import math

from trading.errors import InvalidInput


class EwmaVolatility:
    """Exponentially weighted standard deviation of log returns per bar, mean taken as 0 (RiskMetrics).

    ``span_bars`` sets the weight of the newest return to 2 / (span + 1); the first return starts the average.
    """

    __slots__ = ("_count", "_last", "_span", "_variance", "_weight")

    def __init__(self, span_bars: int) -> None:
        if span_bars < 2:
            msg = f"span_bars: at least 2, not {span_bars}"
            raise InvalidInput(msg, field="span_bars")
        self._span = span_bars
        self._weight = 2.0 / (span_bars + 1.0)
        self._variance = 0.0
        self._last: float | None = None
        self._count = 0

    def update(self, log_price: float) -> None:
        if self._last is not None:
            squared = (log_price - self._last) ** 2
            self._count += 1
            # Until the span is reached every return weighs the same, so that the first one does not rule.
            weight = max(self._weight, 1.0 / self._count)
            self._variance += weight * (squared - self._variance)
        self._last = log_price

    @property
    def is_full(self) -> bool:
        return self._count >= self._span

    @property
    def per_bar(self) -> float:
        return math.sqrt(self._variance)


class RelativeStrength:
    """Wilder's relative strength index, 0 to 100; 50 where nothing moved."""

    __slots__ = ("_count", "_down", "_last", "_size", "_up")

    def __init__(self, size: int) -> None:
        if size < 2:
            msg = f"size: at least 2, not {size}"
            raise InvalidInput(msg, field="size")
        self._size = size
        self._up = 0.0
        self._down = 0.0
        self._last: float | None = None
        self._count = 0

    def update(self, price: float) -> None:
        if self._last is not None:
            change = price - self._last
            self._count += 1
            weight = 1.0 / min(self._count, self._size)
            self._up += weight * (max(0.0, change) - self._up)
            self._down += weight * (max(0.0, -change) - self._down)
        self._last = price

    @property
    def is_full(self) -> bool:
        return self._count >= self._size

    @property
    def value(self) -> float:
        moved = self._up + self._down
        return 100.0 * self._up / moved if moved > 0.0 else 50.0


class ExponentialMean:
    """Exponentially weighted mean; ``span_bars`` sets the weight of the newest value to 2 / (span + 1)."""

    __slots__ = ("_count", "_span", "_weight", "value")

    def __init__(self, span_bars: int) -> None:
        if span_bars < 1:
            msg = f"span_bars: at least 1, not {span_bars}"
            raise InvalidInput(msg, field="span_bars")
        self._span = span_bars
        self._weight = 2.0 / (span_bars + 1.0)
        self._count = 0
        self.value = 0.0

    def update(self, value: float) -> None:
        self._count += 1
        # Until the span is reached every value weighs the same, so that the first one does not rule.
        self.value += max(self._weight, 1.0 / self._count) * (value - self.value)

    @property
    def is_full(self) -> bool:
        return self._count >= self._span


class AverageTrueRange:
    """Wilder's average true range as a share of the price: the mean, smoothed with 1 / ``size``, of
    max(high, close before) / min(low, close before) - 1 (Wilder 1978, as a ratio because tokens move by multiples)."""

    __slots__ = ("_before", "_count", "_size", "newest", "value")

    def __init__(self, size: int) -> None:
        if size < 2:
            msg = f"size: at least 2, not {size}"
            raise InvalidInput(msg, field="size")
        self._size = size
        self._before: float | None = None
        self._count = 0
        self.newest = 0.0
        """The true range of the newest bar."""
        self.value = 0.0

    def update(self, high: float, low: float, close: float) -> None:
        before = close if self._before is None else self._before
        self.newest = max(high, before) / min(low, before) - 1.0
        self._count += 1
        self.value += (self.newest - self.value) / min(self._count, self._size)
        self._before = close

    @property
    def is_full(self) -> bool:
        return self._count >= self._size
