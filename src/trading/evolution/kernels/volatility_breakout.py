"""The kernel of ``strategies.volatility_breakout``."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np

from trading.strategies.parameters import Value

from .arrays import Floats
from .market import Columns
from .speaking import exact_sum, say_down, say_up, speaker


class Parameters(NamedTuple):
    range_bars: int
    usual_bars: int
    quiet_share: float
    widening: float
    close_share: float
    hold_bars: int
    move: float
    """Expected move in units of the volatility of a bar."""


def parameters_of(values: Mapping[str, Value]) -> Parameters:
    """Return declared values as the kernel takes them."""
    return Parameters(
        range_bars=int(values["range_bars"]),
        usual_bars=int(values["usual_bars"]),
        quiet_share=float(values["quiet_share"]),
        widening=float(values["widening"]),
        close_share=float(values["close_share"]),
        hold_bars=int(values["hold_bars"]),
        move=float(values["edge_share"]) * math.sqrt(values["hold_bars"]),
    )


@numba.njit(nogil=True)
def _closes_high(columns: Columns, i: int, share: float) -> bool:
    """Say whether a bar that rose closes in the upper part of its true range."""
    close, previous = columns.closes[i], columns.closes[i - 1]
    if close <= previous:
        return False
    top, bottom = max(columns.highs[i], previous), min(columns.lows[i], previous)
    return bool(top > bottom and (close - bottom) / (top - bottom) >= share)


@numba.njit(nogil=True)
def _run(columns: Columns, first: int, stop: int, p: Parameters, rows: Floats, place: int) -> int:
    ranges, changes, size = columns.ranges, columns.changes, p.usual_bars
    averages = np.empty(stop - first)
    since = p.range_bars - 1
    average = usual = 0.0
    is_long, held = False, 0
    for i in range(first, stop):
        age, newest, before = i - first, ranges[i], average
        if age == 0:
            close = columns.closes[i]
            newest = max(columns.highs[i], close) / min(columns.lows[i], close) - 1.0
        average += (newest - average) / min(age + 1, p.range_bars)
        if is_long:
            held += 1
            if held >= p.hold_bars or changes[i] < -2.0 * average:
                is_long = False
                place = say_down(rows, place, i)
        elif (
            age >= since + size
            and 0.0 < before <= p.quiet_share * usual
            and newest >= p.widening * before
            and _closes_high(columns, i, p.close_share)
        ):
            is_long, held = True, 0
            strength = 0.4 + newest / before / (10.0 * p.widening)
            place = say_up(rows, place, i, strength, p.move * float(np.std(changes[i - size : i])))
        if age >= since:
            count = age - since
            averages[count] = average
            if count < size:
                usual += (average - usual) / (count + 1)
            elif (count + 1) % size == 0:
                usual = exact_sum(averages, count + 1 - size, count + 1) / size
            else:
                usual += (average - averages[count - size]) / size
    return place


speak = speaker(_run)
