"""Trend following: own a token in an upward trend until it falls a few average ranges below its best close."""

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.errors import InvalidInput
from trading.indicators.oscillators import AverageTrueRange, EwmaVolatility, ExponentialMean
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.model.units import BPS_ONE

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s, strength_of


class _State:
    __slots__ = ("best", "fast", "is_long", "last_ns", "range", "slow", "volatility")

    def __init__(self, fast_bars: int, slow_bars: int, range_bars: int) -> None:
        self.fast = ExponentialMean(fast_bars)
        self.slow = ExponentialMean(slow_bars)
        self.range = AverageTrueRange(range_bars)
        self.volatility = EwmaVolatility(slow_bars)
        self.is_long = False
        self.best = 0.0
        self.last_ns = 0


class TrendFollowing(Declared):
    """Body of ``ports.Strategy``. Enters when the fast mean of log closes is above the slow one by a share of the
    range and the close above both; leaves on a trailing stop of ``stop_ranges`` average true ranges (Le Beau's
    chandelier exit)."""

    NAME: ClassVar[str] = "trend_following"
    KIND: ClassVar[str] = "trend"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("fast_bars", 48, 2, 2_000, "bars", "span of the fast exponential mean"),
        Parameter("slow_bars", 288, 5, 5_000, "bars", "span of the slow one; must be above the fast one's"),
        Parameter("range_bars", 48, 2, 2_000, "bars", "span of the average true range"),
        Parameter("entry_ranges", 1.0, 0.0, 20.0, "ranges", "how far the fast mean must be above the slow one"),
        Parameter("stop_ranges", 6.0, 0.5, 50.0, "ranges", "how far below its best close the token is left"),
        Parameter("horizon_bars", 144, 1, 5_000, "bars", "how long the move is expected to go on"),
        Parameter("edge_share", 0.4, 0.0, 5.0, "x", "expected move as a share of the volatility over the horizon"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._fast_bars: Final = int(self._values["fast_bars"])
        self._slow_bars: Final = int(self._values["slow_bars"])
        self._range_bars: Final = int(self._values["range_bars"])
        self._entry_ranges: Final = self._values["entry_ranges"]
        self._stop_ranges: Final = self._values["stop_ranges"]
        self._horizon_bars: Final = int(self._values["horizon_bars"])
        self._edge_share: Final = self._values["edge_share"]
        if self._fast_bars >= self._slow_bars:
            msg = f"parameters of {self.NAME}: fast_bars {self._fast_bars} must be below slow_bars {self._slow_bars}"
            raise InvalidInput(msg, field=f"strategies.{self.NAME}.parameters")
        self._tokens: Final = PerToken(self._new_state, self.warmup_bars)

    @property
    def warmup_bars(self) -> int:
        return max(self._slow_bars, self._range_bars) + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when it changed."""
        state = self._tokens.of(bar)
        close = float(bar.close)
        log_close = math.log(close)
        state.fast.update(log_close)
        state.slow.update(log_close)
        state.range.update(float(bar.high), float(bar.low), close)
        state.volatility.update(log_close)
        if not (state.slow.is_full and state.range.is_full and state.volatility.is_full):
            return None
        average = state.range.value
        if state.is_long:
            state.best = max(state.best, close)
            if close < state.best / (1.0 + self._stop_ranges * average):
                state.is_long = False
                return self._down(bar, state, average)
            return None
        gap = state.fast.value - state.slow.value
        if average > 0.0 and gap > self._entry_ranges * average and log_close > state.fast.value:
            state.is_long, state.best = True, close
            return self._up(bar, state, gap / average)
        return None

    def _new_state(self) -> _State:
        return _State(self._fast_bars, self._slow_bars, self._range_bars)

    def _up(self, bar: Bar, state: _State, ranges: float) -> Signal:
        volatility = state.volatility.per_bar
        move = self._edge_share * volatility * math.sqrt(self._horizon_bars)
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=strength_of(0.5 + ranges / (8.0 * max(1.0, self._entry_ranges))),
            edge_bps=int(move * BPS_ONE),
            horizon_s=horizon_s(bar, self._horizon_bars),
            reason=(
                f"the mean of {self._fast_bars} bars is {ranges:.1f} average ranges above that of {self._slow_bars}"
            ),
            evidence={
                "close_sol": figure(bar.close),
                "fast_sol": figure(math.exp(state.fast.value), 6),
                "slow_sol": figure(math.exp(state.slow.value), 6),
                "range_share": figure(state.range.value, 4),
                VOLATILITY_KEY: day_bps(volatility, bar),
            },
        )

    def _down(self, bar: Bar, state: _State, average: float) -> Signal:
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=-1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._horizon_bars),
            reason=f"closed more than {self._stop_ranges:.1f} average ranges below its best close",
            evidence={
                "close_sol": figure(bar.close),
                "best_sol": figure(state.best),
                "range_share": figure(average, 4),
            },
        )
