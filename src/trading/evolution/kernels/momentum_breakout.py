"""The kernel of ``strategies.momentum_breakout``."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numba

from trading.indicators.regime import TREND_DEVIATIONS
from trading.strategies.parameters import Value

from .arrays import Floats
from .market import Columns
from .speaking import exact_sum, pushed, queue_for, say_down, say_up, speaker


class Parameters(NamedTuple):
    channel_bars: int
    exit_bars: int
    volume_ratio: float
    channel_root: float
    """The square root of the channel's length, by Python's power as ``indicators.regime`` has it."""
    move: float
    """Expected move in units of the volatility of a bar."""


def parameters_of(values: Mapping[str, Value]) -> Parameters:
    """Return declared values as the kernel takes them."""
    return Parameters(
        channel_bars=int(values["channel_bars"]),
        exit_bars=int(values["exit_bars"]),
        volume_ratio=float(values["volume_ratio"]),
        channel_root=float(values["channel_bars"]) ** 0.5,
        move=float(values["edge_share"]) * math.sqrt(values["horizon_bars"]),
    )


@numba.njit(nogil=True)
def _run(columns: Columns, first: int, stop: int, p: Parameters, rows: Floats, place: int) -> int:
    highs, lows, closes, logs = columns.highs, columns.lows, columns.closes, columns.logs
    volumes, squares = columns.volumes, columns.squares
    channel, weight, ready = p.channel_bars, 2.0 / (p.channel_bars + 1.0), max(p.channel_bars, p.exit_bars)
    tops, bottoms = queue_for(channel), queue_for(p.exit_bars)
    top, top_end, bottom, bottom_end = 0, 0, 0, 0
    variance = volume_mean = 0.0
    is_long = False
    for i in range(first, stop):
        age = i - first
        if age > 0:
            variance += max(weight, 1.0 / age) * (squares[i] - variance)
        close, volume = closes[i], volumes[i]
        if age >= ready:
            if is_long:
                if close < lows[bottoms[bottom & (bottoms.size - 1)]]:
                    is_long = False
                    place = say_down(rows, place, i)
            else:
                high = highs[tops[top & (tops.size - 1)]]
                if close > high and volume >= p.volume_ratio * volume_mean:
                    volatility = math.sqrt(variance)
                    if logs[i] - logs[i - channel] > TREND_DEVIATIONS * volatility * p.channel_root:
                        is_long = True
                        strength = 0.5 + math.log(close / high) / (4.0 * volatility) if volatility > 0.0 else 0.5
                        place = say_up(rows, place, i, strength, p.move * volatility)
        top_end = pushed(tops, top, top_end, highs, i, 1.0)
        if tops[top & (tops.size - 1)] <= i - channel:
            top += 1
        bottom_end = pushed(bottoms, bottom, bottom_end, lows, i, -1.0)
        if bottoms[bottom & (bottoms.size - 1)] <= i - p.exit_bars:
            bottom += 1
        if age < channel:
            volume_mean += (volume - volume_mean) / (age + 1)
        elif (age + 1) % channel == 0:
            volume_mean = exact_sum(volumes, i + 1 - channel, i + 1) / channel
        else:
            volume_mean += (volume - volumes[i - channel]) / channel
    return place


speak = speaker(_run)
