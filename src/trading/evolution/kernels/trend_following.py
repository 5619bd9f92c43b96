"""The kernel of ``strategies.trend_following``."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numba

from trading.strategies.parameters import Value

from .arrays import Floats
from .market import Columns
from .speaking import say_down, say_up, speaker


class Parameters(NamedTuple):
    fast_bars: int
    slow_bars: int
    range_bars: int
    entry_ranges: float
    stop_ranges: float
    move: float
    """Expected move in units of the volatility of a bar."""


def parameters_of(values: Mapping[str, Value]) -> Parameters:
    """Return declared values as the kernel takes them."""
    return Parameters(
        fast_bars=int(values["fast_bars"]),
        slow_bars=int(values["slow_bars"]),
        range_bars=int(values["range_bars"]),
        entry_ranges=float(values["entry_ranges"]),
        stop_ranges=float(values["stop_ranges"]),
        move=float(values["edge_share"]) * math.sqrt(values["horizon_bars"]),
    )


@numba.njit(nogil=True)
def _run(columns: Columns, first: int, stop: int, p: Parameters, rows: Floats, place: int) -> int:
    logs, closes, ranges, squares = columns.logs, columns.closes, columns.ranges, columns.squares
    fast_weight, slow_weight = 2.0 / (p.fast_bars + 1.0), 2.0 / (p.slow_bars + 1.0)
    ready = max(p.slow_bars, p.range_bars - 1)
    fast = slow = average = variance = best = 0.0
    is_long = False
    for i in range(first, stop):
        age = i - first
        log_close, close = logs[i], closes[i]
        count = float(age + 1)
        fast += max(fast_weight, 1.0 / count) * (log_close - fast)
        slow += max(slow_weight, 1.0 / count) * (log_close - slow)
        newest = ranges[i]
        if age == 0:
            newest = max(columns.highs[i], close) / min(columns.lows[i], close) - 1.0
        else:
            variance += max(slow_weight, 1.0 / age) * (squares[i] - variance)
        average += (newest - average) / min(count, float(p.range_bars))
        if age < ready:
            continue
        if is_long:
            best = max(best, close)
            if close < best / (1.0 + p.stop_ranges * average):
                is_long = False
                place = say_down(rows, place, i)
            continue
        gap = fast - slow
        if average > 0.0 and gap > p.entry_ranges * average and log_close > fast:
            is_long, best = True, close
            strength = 0.5 + gap / average / (8.0 * max(1.0, p.entry_ranges))
            place = say_up(rows, place, i, strength, p.move * math.sqrt(variance))
    return place


speak = speaker(_run)
