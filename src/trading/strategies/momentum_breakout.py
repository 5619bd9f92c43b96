"""Momentum breakout: own a token that leaves its channel upwards with volume behind it, until it falls out below."""

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.indicators.regime import Regime, RegimeTracker
from trading.indicators.rolling import RollingMax, RollingMin, RollingMoments
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.model.units import BPS_ONE

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s, strength_of


class _State:
    __slots__ = ("exit_low", "high", "is_long", "last_ns", "regimes", "volume")

    def __init__(self, channel_bars: int, exit_bars: int, volume_bars: int) -> None:
        self.high = RollingMax(channel_bars)
        self.exit_low = RollingMin(exit_bars)
        self.volume = RollingMoments(volume_bars)
        self.regimes = RegimeTracker(channel_bars, channel_bars)
        self.is_long = False
        self.last_ns = 0


class MomentumBreakout(Declared):
    """Body of ``ports.Strategy``. It speaks when its opinion changes: once up, once down."""

    NAME: ClassVar[str] = "momentum_breakout"
    KIND: ClassVar[str] = "momentum"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("channel_bars", 288, 12, 5_000, "bars", "the high of this many bars must be exceeded"),
        Parameter("exit_bars", 72, 3, 5_000, "bars", "a close below the low of this many bars ends the opinion"),
        Parameter("volume_ratio", 2.0, 0.0, 20.0, "x", "volume of the breakout bar against its mean"),
        Parameter("horizon_bars", 96, 1, 5_000, "bars", "how long the move is expected to go on"),
        Parameter("edge_share", 0.6, 0.0, 5.0, "x", "expected move as a share of the volatility over the horizon"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._channel_bars: Final = int(self._values["channel_bars"])
        self._exit_bars: Final = int(self._values["exit_bars"])
        self._horizon_bars: Final = int(self._values["horizon_bars"])
        self._volume_ratio: Final = self._values["volume_ratio"]
        self._edge_share: Final = self._values["edge_share"]
        self._tokens: Final = PerToken(self._new_state, self.warmup_bars)

    @property
    def warmup_bars(self) -> int:
        return max(self._channel_bars, self._exit_bars) + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when it changed."""
        state = self._tokens.of(bar)
        close, high, low, volume = float(bar.close), float(bar.high), float(bar.low), float(bar.volume)
        state.regimes.update(math.log(close))
        signal = None
        if state.high.is_full and state.exit_low.is_full and state.regimes.is_full:
            if state.is_long:
                if close < state.exit_low.value:
                    state.is_long = False
                    signal = self._down(bar, state)
            elif close > state.high.value and (regime := self._breaks_out(state, volume)):
                state.is_long = True
                signal = self._up(bar, state, regime, volume)
        state.high.update(high)
        state.exit_low.update(low)
        state.volume.update(volume)
        return signal

    def _new_state(self) -> _State:
        return _State(self._channel_bars, self._exit_bars, self._channel_bars)

    def _breaks_out(self, state: _State, volume: float) -> Regime | None:
        """Return the regime in which a close above the channel is a breakout, None where it is none."""
        if volume < self._volume_ratio * state.volume.mean:
            return None
        regime = state.regimes.regime
        return regime if regime is not None and regime.trend == "up" else None

    def _up(self, bar: Bar, state: _State, regime: Regime, volume: float) -> Signal:
        volatility = state.regimes.volatility_per_bar
        move = self._edge_share * volatility * math.sqrt(self._horizon_bars)
        above = math.log(float(bar.close) / state.high.value)
        mean_volume = state.volume.mean
        times = volume / mean_volume if mean_volume > 0.0 else 0.0
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=strength_of(0.5 + above / (4.0 * volatility) if volatility > 0.0 else 0.5),
            edge_bps=int(move * BPS_ONE),
            horizon_s=horizon_s(bar, self._horizon_bars),
            reason=(
                f"closed above the high of {self._channel_bars} bars with {times:.1f} times the usual volume, "
                f"regime {regime.text}"
            ),
            evidence={
                "close_sol": figure(bar.close),
                "channel_high_sol": figure(state.high.value),
                "volume_times_mean": f"{times:.3f}",
                "regime": regime.text,
                VOLATILITY_KEY: day_bps(volatility, bar),
            },
        )

    def _down(self, bar: Bar, state: _State) -> Signal:
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=-1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._horizon_bars),
            reason=f"closed below the low of {self._exit_bars} bars",
            evidence={"close_sol": figure(bar.close), "exit_low_sol": figure(state.exit_low.value)},
        )
