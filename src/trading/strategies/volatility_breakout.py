"""Volatility breakout: after a quiet stretch, own a token whose range widens upwards, as long as such moves last."""

import math
from collections.abc import Mapping
from typing import ClassVar, Final

from trading.indicators.oscillators import AverageTrueRange
from trading.indicators.rolling import RollingMoments
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.model.units import BPS_ONE

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s, strength_of


class _State:
    __slots__ = ("held_bars", "is_long", "last_ns", "previous", "range", "returns", "usual")

    def __init__(self, range_bars: int, usual_bars: int) -> None:
        self.range = AverageTrueRange(range_bars)
        self.usual = RollingMoments(usual_bars)
        """Of the average ranges so far: what is usual for the token."""
        self.returns = RollingMoments(usual_bars)
        self.previous: float | None = None
        self.is_long = False
        self.held_bars = 0
        self.last_ns = 0


class VolatilityBreakout(Declared):
    """Body of ``ports.Strategy``. A stretch is quiet when its average true range is below ``quiet_share`` of its own
    mean; a bar breaks out when its true range is ``widening`` times that average and it closes near its high. The
    opinion ends after ``hold_bars`` or when a bar falls by more than two average ranges."""

    NAME: ClassVar[str] = "volatility_breakout"
    KIND: ClassVar[str] = "volatility"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("range_bars", 24, 2, 1_000, "bars", "span of the average true range"),
        Parameter("usual_bars", 288, 10, 5_000, "bars", "what is usual is taken over this many bars"),
        Parameter("quiet_share", 0.9, 0.1, 5.0, "x", "a range below this share of the usual one is quiet"),
        Parameter("widening", 2.5, 1.0, 20.0, "x", "range of the breakout bar against the average before it"),
        Parameter("close_share", 0.7, 0.0, 1.0, "x", "where in its own range the breakout bar must close at least"),
        Parameter("hold_bars", 48, 1, 5_000, "bars", "how long the move is expected to go on"),
        Parameter("edge_share", 0.5, 0.0, 5.0, "x", "expected move as a share of the volatility over that time"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._range_bars: Final = int(self._values["range_bars"])
        self._usual_bars: Final = int(self._values["usual_bars"])
        self._quiet_share: Final = self._values["quiet_share"]
        self._widening: Final = self._values["widening"]
        self._close_share: Final = self._values["close_share"]
        self._hold_bars: Final = int(self._values["hold_bars"])
        self._edge_share: Final = self._values["edge_share"]
        self._tokens: Final = PerToken(self._new_state, self.warmup_bars)

    @property
    def warmup_bars(self) -> int:
        return self._range_bars + self._usual_bars + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion when it changed."""
        state = self._tokens.of(bar)
        close, high, low = float(bar.close), float(bar.high), float(bar.low)
        before = state.range.value
        is_ready = state.range.is_full and state.usual.is_full and state.returns.is_full
        state.range.update(high, low, close)
        signal = None
        if state.is_long:
            signal = self._ends(bar, state, close)
        elif is_ready and self._breaks_out(state, before, high, low, close):
            state.is_long, state.held_bars = True, 0
            signal = self._up(bar, state, before)
        if state.previous is not None:
            state.returns.update(math.log(close / state.previous))
        if state.range.is_full:
            state.usual.update(state.range.value)
        state.previous = close
        return signal

    def _new_state(self) -> _State:
        return _State(self._range_bars, self._usual_bars)

    def _breaks_out(self, state: _State, before: float, high: float, low: float, close: float) -> bool:
        if before <= 0.0 or before > self._quiet_share * state.usual.mean:
            return False
        if state.range.newest < self._widening * before or state.previous is None or close <= state.previous:
            return False
        top, bottom = max(high, state.previous), min(low, state.previous)
        return top > bottom and (close - bottom) / (top - bottom) >= self._close_share

    def _ends(self, bar: Bar, state: _State, close: float) -> Signal | None:
        state.held_bars += 1
        assert state.previous is not None  # a token that is owned has closed before
        widened = math.log(close / state.previous) < -2.0 * state.range.value
        if state.held_bars < self._hold_bars and not widened:
            return None
        state.is_long = False
        why = (
            "fell by more than two average ranges in a bar" if widened else f"has been owned for {state.held_bars} bars"
        )
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=-1.0,
            edge_bps=0,
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=why,
            evidence={"close_sol": figure(bar.close), "range_share": figure(state.range.value, 4)},
        )

    def _up(self, bar: Bar, state: _State, before: float) -> Signal:
        volatility = state.returns.deviation
        move = self._edge_share * volatility * math.sqrt(self._hold_bars)
        times = state.range.newest / before
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=strength_of(0.4 + times / (10.0 * self._widening)),
            edge_bps=int(move * BPS_ONE),
            horizon_s=horizon_s(bar, self._hold_bars),
            reason=f"a bar {times:.1f} times as wide as the quiet {self._range_bars} before it closed near its high",
            evidence={
                "close_sol": figure(bar.close),
                "range_share": figure(state.range.newest, 4),
                "quiet_range_share": figure(before, 4),
                "usual_range_share": figure(state.usual.mean, 4),
                VOLATILITY_KEY: day_bps(volatility, bar),
            },
        )
