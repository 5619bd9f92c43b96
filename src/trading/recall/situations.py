"""A market situation as a vector: declared features, each made of what was known at that moment and of nothing later.

A vector is whole numbers: every feature is divided by its declared scale and stated in ``UNITS`` steps a scale, at most
``LEVEL_MAX`` either way. So it is written down exactly, a row gives it back exactly, and a squared distance between two
is a whole number that no rounding of floats can move.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading.model.market_data import Bar
from trading.model.units import BPS_ONE, NS_PER_S

VERSION: Final = 1
"""Of the list below: vectors of two versions are not compared."""
DIMENSIONS_MAX: Final = 32
UNITS: Final = 32
LEVEL_MAX: Final = 256
"""Eight scales. With 32 dimensions a squared distance stays below 2^23, which a float32 holds exactly."""
BARS_MAX: Final = 169
"""Bars that are looked back: returns over 168 need one more."""
BARS_MIN: Final = 25
"""With fewer bars of a token nothing is said about it: neither its volatility nor a trend is known."""
HOURS_MAX: Final = 169
_HOUR_NS: Final = 3_600 * NS_PER_S
_DAY_NS: Final = 24 * _HOUR_NS
_EPOCH_WEEKDAY: Final = 3
"""1970-01-01 was a Thursday; days of the week count from Monday."""
_DUST: Final = 1e-9

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Feature:
    """``unit`` is that of the raw value, ``scale`` how much of it counts as one deviation."""

    name: str
    unit: str
    scale: float
    made: str


_D: Final = "deviations"
FEATURES: Final[tuple[Feature, ...]] = (
    Feature("return_1", _D, 1.0, "log return of the newest bar over the deviation of a bar's log return (168 bars)"),
    Feature("return_4", _D, 1.0, "log return over 4 bars over that deviation times the root of 4"),
    Feature("return_12", _D, 1.0, "the same over 12 bars"),
    Feature("return_24", _D, 1.0, "the same over 24 bars"),
    Feature("return_72", _D, 1.0, "the same over 72 bars"),
    Feature("return_168", _D, 1.0, "the same over 168 bars"),
    Feature("volatility", "log", 0.7, "log of the deviation a day against 500 bps"),
    Feature("volatility_change", "log", 0.5, "log of the deviation of 24 bars over that of 168"),
    Feature("volatility_rank", "-1, 0, 1", 0.8, "where the deviation of the newest 24 bars lies among those before"),
    Feature("below_high_24", _D, 1.0, "log distance from the high of 24 bars, as a return over 24 bars"),
    Feature("below_high_168", _D, 1.0, "log distance from the high of 168 bars, as a return over 168 bars"),
    Feature("above_low_24", _D, 1.0, "log distance from the low of 24 bars, as a return over 24 bars"),
    Feature("above_low_168", _D, 1.0, "log distance from the low of 168 bars, as a return over 168 bars"),
    Feature("from_mean_72", _D, 1.5, "log price minus its mean over 72 bars, over their deviation"),
    Feature("volume", _D, 1.0, "log volume of the newest bar, in deviations of 168 bars"),
    Feature("volume_24", "log", 0.7, "log of the mean volume of 24 bars over that of 168"),
    Feature("up_share_14", "share", 0.3, "rises minus falls of 14 bars over all their moves"),
    Feature("range", _D, 1.0, "log high over low of the newest bar over the deviation of a bar"),
    Feature("in_range", "share", 0.35, "where in the range of the newest bar its close lies, from -1 to 1"),
    Feature("memory", "correlation", 0.2, "of each bar's log return with the one before, over 168 bars"),
    Feature("hour_sine", "sine", 1.4, "of the hour of day (UTC)"),
    Feature("hour_cosine", "cosine", 1.4, "of the hour of day (UTC)"),
    Feature("weekend", "0, 1", 1.0, "Saturday or Sunday (UTC)"),
    Feature("sol_24", _D, 1.0, "log return of SOL in USD over 24 hours, in deviations of its hours; 0 where unknown"),
    Feature("sol_168", _D, 1.0, "the same over 168 hours"),
    Feature(
        "btc_24", _D, 1.0, "return of BTC in SOL over 24 hours, in deviations of its hours; 0 where it is no token"
    ),
    Feature("market_24", _D, 1.0, "mean return of all tokens over 24 hours, in deviations of its hours"),
    Feature("breadth_24", "share", 0.5, "tokens that rose over 24 hours minus those that fell, over all"),
    Feature("strength", "share", 0.3, "strength of the signal, from -1 to 1"),
    Feature("edge", _D, 0.5, "stated edge over the deviation of the token until it is due"),
    Feature("cost_share", "share", 0.5, "cost of the round trip over the stated edge, at most 4"),
)
DIMENSIONS: Final = len(FEATURES)


@dataclass(frozen=True, slots=True)
class Market:
    """All tokens together over 24 hours: their mean return in deviations of its hours, and the share that rose minus
    the share that fell."""

    moved: float = 0.0
    breadth: float = 0.0

    @classmethod
    def of(cls, returns: Iterable[Sequence[int]]) -> "Market":
        """Return what the hourly returns of each token, in millionths and oldest first, come to; those of tokens with
        fewer than 24 are left out."""
        rows = [row for row in returns if len(row) >= 24]
        if not rows:
            return cls()
        day = [sum(row[-24:]) for row in rows]
        length = min(map(len, rows))
        together: Floats = np.array([row[-length:] for row in rows], np.float64).mean(axis=0)
        return cls(_span(together, 24), (sum(each > 0 for each in day) - sum(each < 0 for each in day)) / len(day))


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds the token at that moment. Hourly series, oldest first: ``sol_usd`` in millionths of a dollar,
    ``btc`` as returns in millionths."""

    now_ns: int
    sol_usd: Sequence[int]
    btc: Sequence[int]
    market: Market


@dataclass(frozen=True, slots=True)
class Stated:
    """What the signal says of itself. ``cost_bps``: of the round trip at the smallest order."""

    strength: float
    edge_bps: int
    horizon_s: int
    cost_bps: int


def vector_of(bars: Sequence[Bar], context: Context, stated: Stated) -> tuple[int, ...] | None:
    """Return the levels of all ``FEATURES``, in their order; None with fewer than ``BARS_MIN`` bars.

    ``bars`` are the newest closed ones of the token, oldest first, of which at most ``BARS_MAX`` are looked at.
    """
    if len(bars) < BARS_MIN:
        return None
    newest = list(bars)[-BARS_MAX:]
    of_bars, deviation = _of_bars(newest)
    of_signal = _of_signal(_interval_ns(newest), deviation, stated)
    values = [*of_bars, *_of_time(context.now_ns), *_of_market(context), *of_signal]
    return tuple(_level(value, feature.scale) for value, feature in zip(values, FEATURES, strict=True))


def text_of(vector: Sequence[int]) -> str:
    """Return the vector as a journal row holds it."""
    return ",".join(map(str, vector))


def levels_of(text: str) -> tuple[int, ...]:
    """Return the vector of such a text. Raises: ValueError where it is none, or beyond its bounds."""
    vector = tuple(map(int, text.split(",")))
    if len(vector) > DIMENSIONS_MAX or max(map(abs, vector)) > LEVEL_MAX:
        msg = f"a vector has at most {DIMENSIONS_MAX} levels of at most {LEVEL_MAX}, not {text!r}"
        raise ValueError(msg)
    return vector


def _level(value: float, scale: float) -> int:
    if not math.isfinite(value):
        return 0
    return max(-LEVEL_MAX, min(LEVEL_MAX, round(value / scale * UNITS)))


def _of_bars(bars: Sequence[Bar]) -> tuple[list[float], float]:
    """Return the features, and the deviation of a bar's log return."""
    rows = [(float(each.close), float(each.high), float(each.low), float(each.volume)) for each in bars]
    table: Floats = np.array(rows, np.float64)
    prices, highs, lows = np.log(table[:, 0]), np.log(table[:, 1]), np.log(table[:, 2])
    moves: Floats = np.diff(prices)
    deviation = float(moves.std())
    close = float(prices[-1])

    def over(move: float, count: int) -> float:
        """A move in deviations of so many bars."""
        return move / (deviation * math.sqrt(count)) if deviation > _DUST else 0.0

    def back(count: int) -> float:
        reached = min(count, len(moves))
        return over(close - float(prices[-1 - reached]), reached)

    width = float(highs[-1] - lows[-1])
    volumes: Floats = np.log1p(table[:, 3])
    newest = moves[-24:]
    rises = moves[-14:]
    travelled = float(np.abs(rises).sum())
    near = prices[-72:]
    features = [
        *(back(count) for count in (1, 4, 12, 24, 72, 168)),
        _log_ratio(deviation * math.sqrt(_bars_a_day(bars)), 0.05),
        _log_ratio(float(newest.std()), deviation),
        _tercile(moves),
        over(close - float(highs[-24:].max()), 24),
        over(close - float(highs.max()), len(bars)),
        over(close - float(lows[-24:].min()), 24),
        over(close - float(lows.min()), len(bars)),
        _in_deviations(close, near),
        _in_deviations(float(volumes[-1]), volumes),
        _log_ratio(float(table[-24:, 3].mean()), float(table[:, 3].mean())),
        float(rises.sum()) / travelled if travelled > _DUST else 0.0,
        over(width, 1),
        2.0 * (close - float(lows[-1])) / width - 1.0 if width > _DUST else 0.0,
        _correlation(moves),
    ]
    return features, deviation


def _of_time(now_ns: int) -> list[float]:
    angle = 2.0 * math.pi * (now_ns % _DAY_NS) / _DAY_NS
    weekday = (now_ns // _DAY_NS + _EPOCH_WEEKDAY) % 7
    return [math.sin(angle), math.cos(angle), float(weekday >= 5)]


def _of_market(context: Context) -> list[float]:
    sol: Floats = np.diff(np.log(np.array(context.sol_usd or [1], np.float64)))
    btc: Floats = np.array(context.btc, np.float64)
    market = context.market
    return [_span(sol, 24), _span(sol, 168), _span(btc, 24), market.moved, market.breadth]


def _of_signal(interval_ns: int, deviation: float, stated: Stated) -> list[float]:
    """``deviation`` is that of a bar's log return."""
    bars_until_due = max(1.0, stated.horizon_s * NS_PER_S / interval_ns)
    reach = deviation * math.sqrt(bars_until_due)
    edge = math.log1p(max(0, stated.edge_bps) / BPS_ONE)
    share = stated.cost_bps / stated.edge_bps if stated.edge_bps > 0 else 4.0
    return [stated.strength, edge / reach if reach > _DUST else 0.0, min(4.0, share)]


def _span(moves: Floats, count: int) -> float:
    """Return the sum of the newest ``count`` moves in deviations of so many; 0 with fewer."""
    if len(moves) < count:
        return 0.0
    deviation = float(moves.std())
    return float(moves[-count:].sum()) / (deviation * math.sqrt(count)) if deviation > _DUST else 0.0


def _tercile(moves: Floats) -> float:
    """Compare the deviation of the newest 24 moves with those of every 24 before them: -1, 0 or 1; 0 with fewer than
    three to compare with."""
    newest = float(moves[-24:].std())
    before = sorted(float(moves[end - 24 : end].std()) for end in range(len(moves) - 24, 23, -24))
    if len(before) < 3:
        return 0.0
    rank = sum(each < newest for each in before) * 3
    return -1.0 if rank < len(before) else 0.0 if rank < 2 * len(before) else 1.0


def _in_deviations(value: float, values: Floats) -> float:
    deviation = float(values.std())
    return (value - float(values.mean())) / deviation if deviation > _DUST else 0.0


def _correlation(moves: Floats) -> float:
    one, other = moves[:-1] - moves[:-1].mean(), moves[1:] - moves[1:].mean()
    both = math.sqrt(float((one**2).sum()) * float((other**2).sum()))
    return float((one * other).sum()) / both if both > _DUST else 0.0


def _log_ratio(one: float, other: float) -> float:
    return math.log(one / other) if one > _DUST and other > _DUST else 0.0


def _interval_ns(bars: Sequence[Bar]) -> int:
    return max(1, bars[-1].ts_close_ns - bars[-1].ts_open_ns)


def _bars_a_day(bars: Sequence[Bar]) -> float:
    return _DAY_NS / _interval_ns(bars)
