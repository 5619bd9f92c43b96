"""The kernel of ``strategies.lead_lag``."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np

from trading.strategies.lead_lag import BTC_LEADS
from trading.strategies.parameters import Value

from .arrays import Floats
from .market import GAP, INTERVAL, Columns
from .speaking import exact_sum, say_down, say_up, speaker


class Parameters(NamedTuple):
    leads_btc: bool
    window_bars: int
    move_bars: int
    hold_bars: int
    entry_deviations: float
    t_min: float
    two: float = 2.0


def parameters_of(values: Mapping[str, Value]) -> Parameters:
    """Return declared values as the kernel takes them."""
    return Parameters(
        leads_btc=values["leader"] == BTC_LEADS,
        window_bars=int(values["window_bars"]),
        move_bars=int(values["move_bars"]),
        hold_bars=int(values["hold_bars"]),
        entry_deviations=float(values["entry_deviations"]),
        t_min=float(values["t_min"]),
    )


@numba.njit(nogil=True)
def _product(left: Floats, right: Floats, first: int, room: Floats) -> float:
    """Return the exact sum of products of as many pairs as there is room for."""
    for place in range(room.size):
        room[place] = left[first + place] * right[first + place]
    return float(exact_sum(room, 0, room.size))


@numba.njit(nogil=True)
def _relate(led: Floats, follows: Floats, pair: int, sums: Floats, room: Floats) -> None:
    """Take the newest pair into the sums of xx, xy and yy, as ``indicators.regression.RollingRegression`` does."""
    x, y, size = led[pair], follows[pair], room.size
    sums[0] += x * x
    sums[1] += x * y
    sums[2] += y * y
    if pair >= size:
        old_x, old_y = led[pair - size], follows[pair - size]
        sums[0] -= old_x * old_x
        sums[1] -= old_x * old_y
        sums[2] -= old_y * old_y
    if (pair + 1) % size == 0:
        first = pair + 1 - size
        sums[0] = _product(led, led, first, room)
        sums[1] = _product(led, follows, first, room)
        sums[2] = _product(follows, follows, first, room)


@numba.njit(nogil=True)
def _slope(sums: Floats, p: Parameters) -> tuple[float, float]:
    """Return the slope, and the slope in its standard errors."""
    xx, xy, yy = sums[0], sums[1], sums[2]
    freedom = p.window_bars / max(1, p.move_bars, p.hold_bars) - 1.0
    if xx <= 0.0:
        return 0.0, 0.0
    slope = xy / xx
    if freedom < 1.0:
        return slope, 0.0
    error = math.sqrt(max(0.0, yy - slope * xy) / freedom / xx)
    return slope, slope / error if error > 0.0 else 0.0


@numba.njit(nogil=True)
def _run(columns: Columns, first: int, stop: int, p: Parameters, rows: Floats, place: int) -> int:
    knows = columns.btc_logs if p.leads_btc else columns.sol_logs
    move, hold = p.move_bars, p.hold_bars
    leaders, tokens = np.empty(stop - first), np.empty(stop - first)
    led, follows = np.empty(stop - first), np.empty(stop - first)
    room, sums, weight = np.empty(p.window_bars), np.zeros(3), 2.0 / (p.window_bars + 1.0)
    lookback_ns = (p.window_bars + move + hold + 1) * columns.tape[first, INTERVAL]
    variance, since_ns, root = 0.0, 0.0, math.sqrt(move)
    age, held, is_long = -1, 0, False
    for i in range(first, stop):
        since_ns += columns.tape[i, GAP]
        if math.isnan(knows[i]):
            since_ns += columns.tape[i, INTERVAL]
            continue
        if since_ns > lookback_ns:  # bars were passed over for so long that all is forgotten
            variance, age, is_long = 0.0, -1, False
            sums[:] = 0.0
        since_ns = 0.0
        age += 1
        leaders[age], tokens[age] = knows[i], columns.logs[i] + columns.sol_logs[i]
        if age > 0:
            variance += max(weight, 1.0 / age) * ((leaders[age] - leaders[age - 1]) ** p.two - variance)
        pair = age - move - hold
        if pair < 0:
            continue
        led[pair] = leaders[age - hold] - leaders[pair]
        follows[pair] = tokens[age] - tokens[age - hold]
        _relate(led, follows, pair, sums, room)
        if pair + 1 < p.window_bars:
            continue
        if is_long:
            held += 1
            if held >= hold:
                is_long = False
                place = say_down(rows, place, i)
            continue
        newest, usual = leaders[age] - leaders[age - move], math.sqrt(variance) * root
        if newest < p.entry_deviations * usual or usual <= 0.0:
            continue
        slope, t_value = _slope(sums, p)
        squared = t_value**p.two
        gain = slope * squared / (1.0 + squared) * newest - max(0.0, tokens[age] - tokens[age - move] - newest)
        if t_value >= p.t_min and gain > 0.0:
            is_long, held = True, 0
            place = say_up(rows, place, i, newest / usual / (2.0 * p.entry_deviations), gain)
    return place


speak = speaker(_run)
