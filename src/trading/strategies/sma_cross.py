"""Moving-average crossover: own a token while its fast average is above its slow one. A baseline, and the yardstick of
the engine's benchmark: its crossings are computed exactly, so that every engine finds the same ones."""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, Final

from trading.errors import InvalidInput
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.model.units import BPS_ONE

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s

VARIANCE_WEIGHT: Final = 0.02
"""Of the newest squared return in the exponential average that the expected move rests on."""


class _State:
    __slots__ = ("closes", "fast_sum", "gap_sign", "is_long", "last_ns", "previous", "slow_sum", "variance")

    def __init__(self) -> None:
        self.closes: deque[Decimal] = deque()
        self.fast_sum = Decimal(0)
        self.slow_sum = Decimal(0)
        self.gap_sign = 0
        """Which average was above at the bar before: 1 the fast, -1 the slow, 0 until both are known."""
        self.is_long = False
        self.previous = 0.0
        self.variance = 0.0
        self.last_ns = 0


class SmaCross(Declared):
    """Body of ``ports.Strategy``. It speaks at a crossing: the fast mean of closes was at or below the slow one at the
    bar before and is above it now (up), or the other way round (down). Averages that begin apart are no crossing."""

    NAME: ClassVar[str] = "sma_cross"
    KIND: ClassVar[str] = "trend"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("fast_bars", 10, 1, 2_000, "bars", "length of the fast average"),
        Parameter("slow_bars", 50, 2, 5_000, "bars", "length of the slow average; must be above the fast one's"),
        Parameter("horizon_bars", 50, 1, 5_000, "bars", "how long the move is expected to go on"),
        Parameter("edge_share", 0.3, 0.0, 10.0, "x", "expected move as a share of the volatility over the horizon"),
    )

    def __init__(self, parameters: Mapping[str, Value] | None = None) -> None:
        super().__init__(parameters)
        self._fast_bars: Final = int(self._values["fast_bars"])
        self._slow_bars: Final = int(self._values["slow_bars"])
        self._horizon_bars: Final = int(self._values["horizon_bars"])
        self._edge_share: Final = self._values["edge_share"]
        if self._fast_bars >= self._slow_bars:
            msg = f"parameters of {self.NAME}: fast_bars {self._fast_bars} must be below slow_bars {self._slow_bars}"
            raise InvalidInput(msg, field=f"strategies.{self.NAME}.parameters")
        self._tokens: Final = PerToken(_State, self.warmup_bars)

    @property
    def warmup_bars(self) -> int:
        return self._slow_bars + 1

    def on_bar(self, bar: Bar) -> Signal | None:
        """Take one closed bar of one token; return an opinion at a crossing."""
        state = self._tokens.of(bar)
        close, closes = bar.close, state.closes
        price = float(close)
        if state.previous:
            change = price / state.previous - 1.0
            state.variance += VARIANCE_WEIGHT * (change * change - state.variance)
        state.previous = price
        closes.append(close)
        # Decimals add exactly: two averages that are equal are seen as equal, however long the run.
        state.fast_sum += close
        state.slow_sum += close
        if len(closes) > self._fast_bars:
            state.fast_sum -= closes[-self._fast_bars - 1]
        if len(closes) <= self._slow_bars:
            if len(closes) == self._slow_bars:
                state.gap_sign = self._gap_sign(state)
            return None
        state.slow_sum -= closes.popleft()
        before, now = state.gap_sign, self._gap_sign(state)
        if now == before:
            return None
        state.gap_sign = now
        if now < 0 and not state.is_long:
            return None
        state.is_long = now > 0
        return self._crossed(bar, state, is_up=state.is_long)

    def _gap_sign(self, state: _State) -> int:
        return 1 if state.fast_sum * self._slow_bars > state.slow_sum * self._fast_bars else -1

    def _crossed(self, bar: Bar, state: _State, *, is_up: bool) -> Signal:
        volatility = state.variance**0.5
        move = self._edge_share * volatility * self._horizon_bars**0.5 if is_up else 0.0
        fast, slow = state.fast_sum / self._fast_bars, state.slow_sum / self._slow_bars
        return Signal(
            strategy=self.NAME,
            mint=bar.mint,
            ts_ns=bar.ts_close_ns,
            strength=1.0 if is_up else -1.0,
            edge_bps=int(move * BPS_ONE),
            horizon_s=horizon_s(bar, self._horizon_bars),
            reason=(
                f"the mean of {self._fast_bars} closes went {'above' if is_up else 'below'} that of {self._slow_bars}"
            ),
            evidence={
                "close_sol": figure(bar.close),
                "fast_sol": figure(fast),
                "slow_sol": figure(slow),
                VOLATILITY_KEY: day_bps(volatility, bar),
            },
        )
