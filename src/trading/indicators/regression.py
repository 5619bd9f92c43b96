"""How one series follows another: least squares over a rolling window."""

import math
from collections import deque

from trading.errors import InvalidInput


class RollingRegression:
    """y = slope * x without intercept over the last ``size`` pairs, and how sure the slope is.

    ``overlap``: so many neighbouring pairs share most of their span, and count as one (Hansen & Hodrick 1980).
    Sums are updated in place and computed anew once per ``size`` updates, so that rounding errors cannot pile up.
    """

    __slots__ = ("_overlap", "_pairs", "_size", "_until_exact", "_xx", "_xy", "_yy")

    def __init__(self, size: int, overlap: int = 1) -> None:
        if size < 3:
            msg = f"size: a regression needs at least 3 pairs, not {size}"
            raise InvalidInput(msg, field="size")
        self._size = size
        self._overlap = max(1, overlap)
        self._pairs: deque[tuple[float, float]] = deque()
        self._xx = self._xy = self._yy = 0.0
        self._until_exact = size

    def update(self, x: float, y: float) -> None:
        pairs = self._pairs
        pairs.append((x, y))
        self._xx += x * x
        self._xy += x * y
        self._yy += y * y
        if len(pairs) > self._size:
            old_x, old_y = pairs.popleft()
            self._xx -= old_x * old_x
            self._xy -= old_x * old_y
            self._yy -= old_y * old_y
        self._until_exact -= 1
        if self._until_exact <= 0:
            self._until_exact = self._size
            self._xx = math.fsum(x * x for x, _ in pairs)
            self._xy = math.fsum(x * y for x, y in pairs)
            self._yy = math.fsum(y * y for _, y in pairs)

    @property
    def is_full(self) -> bool:
        return len(self._pairs) == self._size

    @property
    def slope(self) -> float:
        return self._xy / self._xx if self._xx > 0.0 else 0.0

    @property
    def t_value(self) -> float:
        """The slope in its standard errors; 0 where the window says nothing."""
        freedom = len(self._pairs) / self._overlap - 1.0
        if freedom < 1.0 or self._xx <= 0.0:
            return 0.0
        residual = max(0.0, self._yy - self.slope * self._xy)
        error = math.sqrt(residual / freedom / self._xx)
        return self.slope / error if error > 0.0 else 0.0

    @property
    def shrunken_slope(self) -> float:
        """The slope times t^2 / (1 + t^2): a slope that is not sure of its sign counts for little (James-Stein)."""
        squared = self.t_value**2
        return self.slope * squared / (1.0 + squared)
