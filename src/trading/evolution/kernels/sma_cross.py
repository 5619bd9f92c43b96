"""The kernel of ``strategies.sma_cross``."""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numba

from trading.strategies.parameters import Value
from trading.strategies.sma_cross import VARIANCE_WEIGHT

from .arrays import Floats
from .market import VARIANCE, Columns
from .speaking import say_down, say_up, speaker

_KEPT: Final = 1.0 - VARIANCE_WEIGHT
_LOW_BITS: Final = 32
_LOW_MASK: Final = 2**32 - 1
_PRODUCT_MAX: Final = 2**62


class Parameters(NamedTuple):
    fast_bars: int
    slow_bars: int
    move: float
    """Expected move in units of the volatility of a bar."""


def parameters_of(values: Mapping[str, Value]) -> Parameters:
    """Return declared values as the kernel takes them."""
    move = values["edge_share"] * values["horizon_bars"] ** 0.5
    return Parameters(int(values["fast_bars"]), int(values["slow_bars"]), float(move))


@numba.njit(nogil=True)
def _is_above(fast_sum: int, slow_sum: int, f: int, s: int) -> bool:
    """Say whether fast_sum / f > slow_sum / s, exactly: the products have more than 64 bits, so they are compared in
    two parts."""
    fast_low, slow_low = (fast_sum & _LOW_MASK) * s, (slow_sum & _LOW_MASK) * f
    fast_high = (fast_sum >> _LOW_BITS) * s + (fast_low >> _LOW_BITS)
    slow_high = (slow_sum >> _LOW_BITS) * f + (slow_low >> _LOW_BITS)
    if fast_high != slow_high:
        return fast_high > slow_high
    return (fast_low & _LOW_MASK) > (slow_low & _LOW_MASK)


@numba.njit(nogil=True)
def _run(columns: Columns, first: int, stop: int, p: Parameters, rows: Floats, place: int) -> int:
    """Everything of one parameter set in one pass, no array between."""
    f, s, ticks = p.fast_bars, p.slow_bars, columns.ticks
    if stop - first <= s:
        return place
    fast_sum, slow_sum = 0, 0
    for i in range(first, first + s):
        slow_sum += ticks[i]
    for i in range(first + s - f, first + s):
        fast_sum += ticks[i]
    was_above = _is_above(fast_sum, slow_sum, f, s)
    # The tape's average began with the token: what it brought along decays from here on.
    brought = columns.tape[first, VARIANCE]
    is_long = False
    fits = columns.ticks_max <= _PRODUCT_MAX // (f * s)
    for i in range(first + s, stop):
        slow_sum += ticks[i] - ticks[i - s]
        fast_sum += ticks[i] - ticks[i - f]
        is_above = fast_sum * s > slow_sum * f if fits else _is_above(fast_sum, slow_sum, f, s)
        if is_above == was_above:
            continue
        was_above = is_above
        if is_above:
            is_long = True
            variance = columns.tape[i, VARIANCE]
            if brought > 0.0:
                variance = max(0.0, variance - brought * _KEPT ** float(i - first))
            place = say_up(rows, place, i, 1.0, p.move * math.sqrt(variance))
        elif is_long:
            is_long = False
            place = say_down(rows, place, i)
    return place


speak = speaker(_run)
