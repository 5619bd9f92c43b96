"""The market's regime, defined once: tercile of volatility among its own past x sign of the trend."""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import Literal

from .oscillators import EwmaVolatility
from .rolling import Lagged

HISTORY_SAMPLES = 240
"""How many past volatilities the present one is compared with."""
TREND_DEVIATIONS = 0.5
"""A change over the trend window smaller than this many of its standard deviations is no trend."""


@dataclass(frozen=True, slots=True)
class Regime:
    volatility: Literal["calm", "normal", "wild"]
    trend: Literal["down", "flat", "up"]

    @property
    def text(self) -> str:
        return f"{self.volatility}/{self.trend}"


class RegimeTracker:
    """Classifies each bar with what was known before it.

    Volatility is compared with samples taken every ``sample_bars`` bars earlier, the present one not among them; the
    trend is the change of the log price over ``trend_bars``, measured in deviations of that window.
    """

    __slots__ = ("_bars", "_ordered", "_sample_bars", "_samples", "_trend", "_trend_bars", "_volatility")

    def __init__(self, volatility_bars: int, trend_bars: int, sample_bars: int = 12) -> None:
        self._volatility = EwmaVolatility(volatility_bars)
        self._trend = Lagged(trend_bars)
        self._trend_bars = trend_bars
        self._sample_bars = sample_bars
        self._samples: deque[float] = deque()
        self._ordered: list[float] = []
        self._bars = 0

    def update(self, log_price: float) -> None:
        if self._volatility.is_full and self._bars % self._sample_bars == 0:
            self._take_sample(self._volatility.per_bar)
        self._volatility.update(log_price)
        self._trend.update(log_price)
        self._bars += 1

    @property
    def volatility_per_bar(self) -> float:
        return self._volatility.per_bar

    @property
    def is_full(self) -> bool:
        return self._volatility.is_full and self._trend.is_full

    @property
    def regime(self) -> Regime | None:
        """The regime at the newest bar, None until both windows are full."""
        if not self.is_full:
            return None
        return Regime(self._tercile(), self._direction())

    def _take_sample(self, volatility: float) -> None:
        self._samples.append(volatility)
        insort(self._ordered, volatility)
        if len(self._samples) > HISTORY_SAMPLES:
            del self._ordered[bisect_left(self._ordered, self._samples.popleft())]

    def _tercile(self) -> Literal["calm", "normal", "wild"]:
        if len(self._ordered) < 3:
            return "normal"
        rank = bisect_left(self._ordered, self._volatility.per_bar) * 3
        if rank < len(self._ordered):
            return "calm"
        return "normal" if rank < 2 * len(self._ordered) else "wild"

    def _direction(self) -> Literal["down", "flat", "up"]:
        threshold = TREND_DEVIATIONS * self._volatility.per_bar * float(self._trend_bars) ** 0.5
        if self._trend.change > threshold:
            return "up"
        return "down" if self._trend.change < -threshold else "flat"
