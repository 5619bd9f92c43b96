"""The kernel of ``strategies.mean_reversion``."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np

from trading.indicators.regime import TREND_DEVIATIONS
from trading.indicators.rolling import DUST
from trading.strategies.parameters import Value

from .arrays import Floats
from .market import Columns
from .speaking import exact_squares, exact_sum, say_down, say_up, speaker


class Parameters(NamedTuple):
    mean_bars: int
    trend_bars: int
    strength_bars: int
    entry_z: float
    exit_z: float
    strength_max: float
    edge_share: float
    trend_root: float
    """The square root of the trend's length, by Python's power as ``indicators.regime`` has it."""
    two: float = 2.0


def parameters_of(values: Mapping[str, Value]) -> Parameters:
    """Return declared values as the kernel takes them."""
    return Parameters(
        mean_bars=int(values["mean_bars"]),
        trend_bars=int(values["trend_bars"]),
        strength_bars=int(values["strength_bars"]),
        entry_z=float(values["entry_z"]),
        exit_z=float(values["exit_z"]),
        strength_max=float(values["strength_max"]),
        edge_share=float(values["edge_share"]),
        trend_root=float(values["trend_bars"]) ** 0.5,
    )


@numba.njit(nogil=True)
def _run(columns: Columns, first: int, stop: int, p: Parameters, rows: Floats, place: int) -> int:
    logs, squares, size = columns.logs, columns.squares, p.mean_bars
    weight, ready, room = 2.0 / (size + 1.0), max(size, p.trend_bars, p.strength_bars), np.empty(size)
    mean = m2 = variance = up = down = z_before = 0.0
    is_long = False
    for i in range(first, stop):
        age, value = i - first, logs[i]
        if age < size:
            delta = value - mean
            mean += delta / (age + 1)
            m2 += delta * (value - mean)
        elif (age + 1) % size == 0:
            mean = exact_sum(logs, i + 1 - size, i + 1) / size
            m2 = exact_squares(logs, i + 1 - size, mean, room, p.two)
        else:
            before, old = mean, logs[i - size]
            mean += (value - old) / size
            m2 += (value - old) * (value - mean + old - before)
        if age > 0:
            change = value - logs[i - 1]
            share = 1.0 / min(age, p.strength_bars)
            up += share * (max(0.0, change) - up)
            down += share * (max(0.0, -change) - down)
            variance += max(weight, 1.0 / age) * (squares[i] - variance)
        if age + 1 < ready:
            continue
        deviation = math.sqrt(max(0.0, m2) / min(age + 1, size))
        z = (value - mean) / deviation if deviation > DUST * abs(mean) else 0.0
        if age >= ready:
            if is_long:
                if z >= p.exit_z:
                    is_long = False
                    place = say_down(rows, place, i)
            elif z_before <= -p.entry_z and value > logs[i - 1] and z < p.exit_z:
                moved = up + down
                strength = 100.0 * up / moved if moved > 0.0 else 50.0
                threshold = TREND_DEVIATIONS * math.sqrt(variance) * p.trend_root
                if strength <= p.strength_max and value - logs[i - p.trend_bars] >= -threshold:
                    is_long = True
                    move = p.edge_share * math.expm1(max(0.0, mean - value))
                    place = say_up(rows, place, i, -z / (2.0 * p.entry_z), move)
        z_before = z
    return place


speak = speaker(_run)
