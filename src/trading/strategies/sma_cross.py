"""Moving-average crossover: own a token while its fast average is above its slow one. A baseline, and the yardstick of
the engine's benchmark: its crossings are computed exactly, so that every engine finds the same ones."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, Rounded, localcontext
from itertools import accumulate
from typing import ClassVar, Final

from trading.errors import InvalidInput
from trading.model.market_data import Bar
from trading.model.order import Signal
from trading.model.units import BPS_ONE

from .parameters import Declared, Parameter, Value
from .tokens import VOLATILITY_KEY, PerToken, day_bps, figure, horizon_s

VARIANCE_WEIGHT: Final = 0.02
"""Of the newest squared return in the exponential average that the expected move rests on."""
BARS_AT_ONCE_MIN: Final = 32
BARS_AT_ONCE: Final = 8_192


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


class _Ahead:
    """What bars ahead of a state hold. ``closes`` and ``prices`` begin with the window of the slow average before them,
    ``variances`` with the one before the first of them."""

    def __init__(self, closes: list[Decimal], window: int, variance: float) -> None:
        import numpy as np  # only runs over recorded bars need it

        self.closes = closes
        self.prices = [float(close) for close in closes]
        prices = np.array(self.prices[window - 1 :])
        changes = prices[1:] / prices[:-1] - 1.0
        squares = (changes * changes).tolist()
        self.variances = list(accumulate(squares, _variance_after, initial=variance))

    def asked(self, fast_bars: int, slow_bars: int, gap_sign: int) -> list[int]:
        """Return the places of bars at which the gap may not have the sign it had at the bar before."""
        import numpy as np

        prices = np.array(self.prices)
        low, span = prices.min(), np.ptp(prices)
        sums = np.concatenate(([0.0], np.cumsum(prices - low)))
        after = np.arange(slow_bars + 1, len(sums))
        slow = (sums[after] - sums[after - slow_bars]) / slow_bars
        gaps = (sums[after] - sums[after - fast_bars]) / fast_bars - slow
        # Far more than what floats are off in so many additions: within it the sign is not known.
        unsure = 1e-7 * span + 1e-12 * (low + span)
        signs = np.where(gaps > unsure, 1, np.where(gaps < -unsure, -1, 0))
        before = np.concatenate(([gap_sign], signs[:-1]))
        found: list[int] = np.flatnonzero((signs == 0) | (signs != before)).tolist()
        return found


def _unbroken(bars: Sequence[Bar]) -> Iterator[tuple[int, int]]:
    """Yield where bars begin and end of which each opens when the one before it closed."""
    ends_ns = [bar.ts_close_ns for bar in bars]
    breaks = [place for place, bar in enumerate(bars) if place and bar.ts_open_ns != ends_ns[place - 1]]
    return zip([0, *breaks], [*breaks, len(bars)], strict=True)


def _variance_after(variance: float, square: float) -> float:
    return variance + VARIANCE_WEIGHT * (square - variance)


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

    def on_bars(self, bars: Sequence[Bar]) -> list[tuple[int, Signal]]:
        """Take bars of one token as ``on_bar`` with each: which of them may be crossings is worked out for many at
        once, and only those are looked at."""
        said: list[tuple[int, Signal]] = []
        for first, stop in _unbroken(bars):
            at = first
            while at < stop:
                until, ahead = at + 1, None
                if at > first and len((state := self._tokens.of(bars[at - 1])).closes) == self._slow_bars:
                    until = min(stop, at + BARS_AT_ONCE)
                    ahead = self._ahead(state, bars[at:until])
                told = self._each(bars[at:until]) if ahead is None else self._crossings(state, bars[at:until], ahead)
                said += [(at + place, signal) for place, signal in told]
                at = until
        return said

    def _each(self, bars: Sequence[Bar]) -> Iterator[tuple[int, Signal]]:
        for place, bar in enumerate(bars):
            signal = self.on_bar(bar)
            if signal is not None:
                yield place, signal

    def _ahead(self, state: _State, bars: Sequence[Bar]) -> _Ahead | None:
        """Look at bars that follow the newest one; None where they are few, or where sums of their prices would be
        rounded, because then a sum depends on the order in which it was added up."""
        closes = [*state.closes, *(bar.close for bar in bars)]
        if len(bars) < BARS_AT_ONCE_MIN or min(closes) <= 0:
            return None
        with localcontext() as context:
            context.clear_flags()
            sum(closes, state.fast_sum + state.slow_sum)
            if context.flags[Rounded]:
                return None
        return _Ahead(closes, self._slow_bars, state.variance)

    def _crossings(self, state: _State, bars: Sequence[Bar], ahead: _Ahead) -> Iterator[tuple[int, Signal]]:
        """Yield the opinions on bars that were looked at, and leave the state of after the last of them."""
        for place in ahead.asked(self._fast_bars, self._slow_bars, state.gap_sign):
            self._go_to(place, state, bars, ahead)
            signal = self.on_bar(bars[place])
            if signal is not None:
                yield place, signal
        self._go_to(len(bars), state, bars, ahead)

    def _go_to(self, place: int, state: _State, bars: Sequence[Bar], ahead: _Ahead) -> None:
        """Bring the state to before the bar of that place."""
        if place and state.last_ns != bars[place - 1].ts_close_ns:
            window = ahead.closes[place : place + self._slow_bars]
            state.closes = deque(window)
            state.slow_sum = sum(window, Decimal(0))
            state.fast_sum = sum(window[-self._fast_bars :], Decimal(0))
            state.previous = ahead.prices[place + self._slow_bars - 1]
            state.variance = ahead.variances[place]
            state.last_ns = bars[place - 1].ts_close_ns

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
