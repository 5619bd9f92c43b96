"""The array kernel: one compiled pass over a token's bars for each of many parameter sets.

It trades one token with a fixed amount, long or flat, under the conventions of the full engine: decided at a bar's
close, filled at the next bar's open, the pool's fee on the quote side of each swap, marked at what a sale at the close
would bring, not sold at the end. It knows no impact, no network fee, no gate and no other token; candidates that look
good here are run in the full engine, which is the judge.

Prices are whole ticks (int64), so that averages are compared exactly, as ``strategies.sma_cross`` compares Decimals.
Money is float64 in units of the quote; ``benchmarks.engine`` and the tests hold it against the full engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numba
import numpy as np

from trading.errors import InvalidInput
from trading.model.market_data import Bar
from trading.model.units import BPS_ONE

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

TICKS_MAX: Final = 2**62 // 10_000
"""So that a sum of ``SLOW_BARS_MAX`` closes, times a window, stays within 64 bits."""
SLOW_BARS_MAX: Final = 5_000
SETS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Series:
    """One token's bars in time order: opens and closes in ticks; ``tick`` is one tick in the quote."""

    opens: Ints
    closes: Ints
    tick: float

    @classmethod
    def of(cls, bars: Sequence[Bar]) -> "Series":
        """Return the bars' opens and closes, exact, in the smallest unit that any of them needs.

        Raises: InvalidInput for no bars, or prices with too many digits for 64 bits.
        """
        exponents = [price.as_tuple().exponent for bar in bars for price in (bar.open, bar.close)]
        digits = -min((int(exponent) for exponent in exponents), default=0)
        scale = Decimal(10) ** max(0, digits)
        opens = [int(bar.open * scale) for bar in bars]
        closes = [int(bar.close * scale) for bar in bars]
        most = max(map(abs, (*opens, *closes)), default=0)
        if not bars or most * SLOW_BARS_MAX**2 > TICKS_MAX * BPS_ONE:
            msg = f"{len(bars)} bars with prices of up to {most} ticks cannot be screened in 64 bits"
            raise InvalidInput(msg, field="bars", hint="quote the token with fewer digits")
        return cls(np.array(opens, np.int64), np.array(closes, np.int64), float(1 / scale))


@dataclass(frozen=True, slots=True)
class Screened:
    """One entry for each parameter set: profit in the quote for one whole token, orders, and the largest drop of the
    running profit from its peak, in the quote."""

    profit: Floats
    orders: Ints
    drawdown: Floats


def screen_sma_cross(series: Series, fast_bars: Sequence[int], slow_bars: Sequence[int], fee_bps: int) -> Screened:
    """Screen pairs of window lengths, pair by pair (``fast_bars[i]`` with ``slow_bars[i]``).

    Raises: InvalidInput for lengths that do not pair, or are out of order or range.
    """
    fast, slow = np.asarray(fast_bars, np.int64), np.asarray(slow_bars, np.int64)
    if fast.shape != slow.shape or fast.ndim != 1 or not 1 <= fast.size <= SETS_MAX:
        msg = f"fast_bars and slow_bars: from 1 to {SETS_MAX} pairs, not {fast.size} and {slow.size}"
        raise InvalidInput(msg, field="slow_bars")
    if fast.min() < 1 or slow.max() > SLOW_BARS_MAX or bool((fast >= slow).any()):
        msg = f"fast_bars must be at least 1 and below slow_bars, and those at most {SLOW_BARS_MAX}"
        raise InvalidInput(msg, field="fast_bars")
    profit = np.empty(fast.size, np.float64)
    orders = np.empty(fast.size, np.int64)
    drawdown = np.empty(fast.size, np.float64)
    _sma_cross(series.opens, series.closes, fast, slow, fee_bps / BPS_ONE, profit, orders, drawdown)
    return Screened(profit * series.tick, orders, drawdown * series.tick)


def sma_cross_fills(series: Series, fast_bars: int, slow_bars: int) -> Ints:
    """Return the bars at whose open one parameter set fills: buy, sell, buy ... in turns."""
    fills = np.empty(series.closes.size, np.int64)
    _, _, count = _sma_cross_one(series.opens, series.closes, fast_bars, slow_bars, 0.0, fills)
    return fills[:count].copy()


def equity_of_fills(series: Series, fills: Sequence[tuple[int, int, float]], cash: float, fee_bps: int) -> Floats:
    """Return the equity at each close, given fills as (bar, units bought or minus units sold, paid or minus received).

    Units are whole tokens. This is the kernel's marking alone: given the engine's fills it agrees with the engine's
    marks (without deposits for accounts) to rounding.
    """
    keep = 1.0 - fee_bps / BPS_ONE
    units, spent = np.zeros(series.closes.size), np.zeros(series.closes.size)
    for bar, bought, paid in fills:
        units[bar] += bought
        spent[bar] += paid
    equity: Floats = cash - np.cumsum(spent) + np.cumsum(units) * series.closes * series.tick * keep
    return equity


@numba.njit(nogil=True)
def _sma_cross(
    opens: Ints, closes: Ints, fast: Ints, slow: Ints, fee: float, profit: Floats, orders: Ints, drawdown: Floats
) -> None:
    none = np.empty(0, np.int64)
    for k in range(fast.size):
        profit[k], drawdown[k], orders[k] = _sma_cross_one(opens, closes, fast[k], slow[k], fee, none)


@numba.njit(nogil=True)
def _sma_cross_one(opens: Ints, closes: Ints, f: int, s: int, fee: float, fills: Ints) -> tuple[float, float, int]:
    """Everything of one parameter set in one pass, no array between: about ten operations a bar.

    Returns profit, drawdown and the number of orders; ``fills`` takes their bars as far as it has room.
    """
    buys, sells = 1.0 + fee, 1.0 - fee
    bars = closes.size
    fast_sum, slow_sum = 0, 0
    for i in range(min(s, bars)):
        slow_sum += closes[i]
    for i in range(max(0, min(s, bars) - f), min(s, bars)):
        fast_sum += closes[i]
    was_above = fast_sum * s > slow_sum * f
    is_long, wish = False, 0
    cash, peak, deepest = 0.0, 0.0, 0.0
    count = 0
    for i in range(s, bars):
        if wish != 0:
            is_long = wish > 0
            cash += -opens[i] * buys if is_long else opens[i] * sells
            if count < fills.size:
                fills[count] = i
            count += 1
            wish = 0
        worth = cash + closes[i] * sells if is_long else cash
        if worth > peak:
            peak = worth
        elif peak - worth > deepest:
            deepest = peak - worth
        slow_sum += closes[i] - closes[i - s]
        fast_sum += closes[i] - closes[i - f]
        is_above = fast_sum * s > slow_sum * f
        if is_above != was_above:
            was_above = is_above
            if is_above:
                wish = 1
            elif is_long:
                wish = -1
    return (cash + closes[bars - 1] * sells if is_long else cash), deepest, count
