"""Mean reversion: own a token that fell far below its mean in a market that is not falling, until it is back."""

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.indicators.oscillators import RelativeStrength
from trading.indicators.regime import Regime, RegimeTracker
from trading.indicators.rolling import RollingMoments
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.model.units import BPS_ONE

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s, strength_of


class _State:
    __slots__ = ("is_long", "last_ns", "mean", "previous_price", "previous_z", "regimes", "strength")

    def __init__(self, mean_bars: int, strength_bars: int, trend_bars: int) -> None:
        self.mean = RollingMoments(mean_bars)
        self.strength = RelativeStrength(strength_bars)
        self.regimes = RegimeTracker(mean_bars, trend_bars)
        self.previous_z = 0.0
        self.previous_price = 0.0
        self.is_long = False
        self.last_ns = 0


class MeanReversion(Declared):
    """Body of ``ports.Strategy``. It speaks when its opinion changes: once up, once down."""

    NAME: ClassVar[str] = "mean_reversion"
    KIND: ClassVar[str] = "mean reversion"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("mean_bars", 144, 10, 5_000, "bars", "the mean and deviation are taken over this many bars"),
        Parameter("trend_bars", 576, 10, 10_000, "bars", "no entry where the price fell over this many bars"),
        Parameter("strength_bars", 14, 2, 500, "bars", "window of the relative strength index"),
        Parameter("entry_z", 2.5, 0.5, 10.0, "deviations", "how far below the mean a token must have fallen"),
        Parameter("exit_z", 0.0, -3.0, 3.0, "deviations", "where the opinion ends on the way up"),
        Parameter("strength_max", 35.0, 1.0, 100.0, "RSI", "the index must have been at most this at the entry"),
        Parameter("edge_share", 0.7, 0.0, 2.0, "x", "expected move as a share of the way back to the mean"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._mean_bars: Final = int(self._values["mean_bars"])
        self._trend_bars: Final = int(self._values["trend_bars"])
        self._strength_bars: Final = int(self._values["strength_bars"])
        self._entry_z: Final = self._values["entry_z"]
        self._exit_z: Final = self._values["exit_z"]
        self._strength_max: Final = self._values["strength_max"]
        self._edge_share: Final = self._values["edge_share"]
        self._tokens: Final = PerToken(self._new_state, self.warmup_bars)

    @property
    def warmup_bars(self) -> int:
        return max(self._mean_bars, self._trend_bars, self._strength_bars) + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when it changed."""
        state = self._tokens.of(bar)
        price = math.log(float(bar.close))
        state.mean.update(price)
        state.strength.update(price)
        state.regimes.update(price)
        z = state.mean.z_score(price)
        signal = None
        if state.mean.is_full and state.strength.is_full and state.regimes.is_full:
            if state.is_long:
                if z >= self._exit_z:
                    state.is_long = False
                    signal = self._down(bar, z)
            elif state.previous_z <= -self._entry_z and (regime := self._turns_up(state, z, price)):
                state.is_long = True
                signal = self._up(bar, state, regime, z)
        state.previous_z, state.previous_price = z, price
        return signal

    def _new_state(self) -> _State:
        return _State(self._mean_bars, self._strength_bars, self._trend_bars)

    def _turns_up(self, state: _State, z: float, price: float) -> Regime | None:
        """Return the regime in which a token that fell far enough by the bar before turns up: it closed higher now (a
        higher z alone may be a mean that falls), and the market does not fall. None where it does not."""
        if price <= state.previous_price or z >= self._exit_z or state.strength.value > self._strength_max:
            return None
        regime = state.regimes.regime
        return regime if regime is not None and regime.trend != "down" else None

    def _up(self, bar: Bar, state: _State, regime: Regime, z: float) -> Signal:
        way_back = max(0.0, state.mean.mean - math.log(float(bar.close)))
        volatility = state.regimes.volatility_per_bar
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=strength_of(-z / (2.0 * self._entry_z)),
            edge_bps=int(self._edge_share * math.expm1(way_back) * BPS_ONE),
            horizon_s=horizon_s(bar, self._mean_bars),
            reason=(
                f"fell to {state.previous_z:.1f} deviations from the mean of {self._mean_bars} bars and turned up, "
                f"regime {regime.text}"
            ),
            evidence={
                "close_sol": figure(bar.close),
                "mean_sol": figure(math.exp(state.mean.mean), 6),
                "z": f"{z:.3f}",
                "rsi": f"{state.strength.value:.1f}",
                "regime": regime.text,
                VOLATILITY_KEY: day_bps(volatility, bar),
            },
        )

    def _down(self, bar: Bar, z: float) -> Signal:
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=-1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._mean_bars),
            reason=f"is back at {z:.1f} deviations from the mean of {self._mean_bars} bars",
            evidence={"close_sol": figure(bar.close), "z": f"{z:.3f}"},
        )
