"""One state per token for strategies, bounded, and what their signals share."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from trading.model.market_data import Bar
from trading.model.units import BPS_ONE, NS_PER_S

TOKENS_MAX = 4_096
VOLATILITY_KEY = "volatility_day_bps"
"""Where evidence states the token's volatility per day; sizing reads it."""
_DAY_NS = 86_400 * NS_PER_S


class TokenState(Protocol):
    last_ns: int


StateT = TypeVar("StateT", bound=TokenState)


class PerToken(Generic[StateT]):
    """Makes the state of a token at its first bar, and anew after a gap longer than the strategy looks back.

    A new token takes the place of those that would begin anew anyway, and beyond ``TOKENS_MAX`` of the one that was
    seen longest ago.
    """

    def __init__(self, make: Callable[[], StateT], lookback_bars: int) -> None:
        self._make = make
        self._lookback_bars = lookback_bars
        self._states: dict[str, StateT] = {}

    def of(self, bar: Bar) -> StateT:
        state = self._states.get(bar.mint)
        if state is None:
            for mint in [mint for mint, known in self._states.items() if self._is_over(known, bar)]:
                del self._states[mint]
            if len(self._states) >= TOKENS_MAX:
                del self._states[min(self._states, key=lambda mint: self._states[mint].last_ns)]
            state = self._states[bar.mint] = self._make()
        elif bar.ts_open_ns - state.last_ns > self._lookback_bars * (bar.ts_close_ns - bar.ts_open_ns):  # _is_over
            state = self._states[bar.mint] = self._make()
        state.last_ns = bar.ts_close_ns
        return state

    def _is_over(self, state: StateT, bar: Bar) -> bool:
        """Tell whether what the strategy remembers lies further back than it looks."""
        return bar.ts_open_ns - state.last_ns > self._lookback_bars * (bar.ts_close_ns - bar.ts_open_ns)


def figure(value: Decimal | float, digits: int = 12) -> str:
    """Return a figure as evidence states it: plain, without an exponent, at most so many significant digits (fewer for
    what went through a logarithm, whose last bits differ between machines)."""
    text = f"{Decimal(f'{value:.{digits}g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def day_bps(volatility_per_bar: float, bar: Bar) -> int:
    """Return the volatility per day in bps of one per bar, by the square root of time."""
    bars_per_day = _DAY_NS / max(1, bar.ts_close_ns - bar.ts_open_ns)
    return math.ceil(volatility_per_bar * math.sqrt(bars_per_day) * BPS_ONE)


def horizon_s(bar: Bar, bars: int) -> int:
    """Return how long that many bars take."""
    return bars * (bar.ts_close_ns - bar.ts_open_ns) // NS_PER_S


def strength_of(value: float) -> float:
    """Return a strength in [-1, 1] with four digits, so that the last bits of a float decide nothing."""
    return round(min(1.0, max(-1.0, value)), 4)
