"""What strategies say, as compiled loops over a token's bars: where opinions go, and windows that round as theirs do.

The loops repeat the arithmetic of ``trading.indicators`` operation by operation, in the same order: what a strategy
says rests on comparisons of floats, and the same operations give the same floats. Tests hold them to it bar by bar.
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numba
import numpy as np

from .arrays import Floats, Ints
from .market import GAP, Columns, Span

PARTIALS: Final = 64
"""As many parts as an exact sum of floats can have that do not overlap (there are at most 40)."""
_HALF_ULP: Final = 2.0**-53
Run = Callable[..., int]


class Said(NamedTuple):
    """Opinions, those of a token from the row of its first bar on: ``counts`` says how many. A row of ``rows`` is the
    bar, the strength as a signal has it (in (0, 1] up, -1 down) and the expected move in bps."""

    rows: Floats
    counts: Ints


def nothing_said(bars: int, tokens: int) -> Said:
    """Return room for what is said of so many bars and tokens; it is written over by each parameter set."""
    return Said(np.empty((bars, 3), np.float64), np.zeros(tokens, np.int64))


@numba.njit(nogil=True)
def say_up(rows: Floats, place: int, bar: int, strength: float, move: float) -> int:
    """Note an opinion that the token will rise by ``move``, and return the place of the next one. Strength and edge
    are rounded as in a signal."""
    rows[place, 0] = bar
    rows[place, 1] = math.floor(min(1.0, max(-1.0, strength)) * 1e4 + 0.5) / 1e4
    rows[place, 2] = math.floor(move * 10_000.0)
    return place + 1


@numba.njit(nogil=True)
def say_down(rows: Floats, place: int, bar: int) -> int:
    """Note an opinion that ended, and return the place of the next one."""
    rows[place, 0] = bar
    rows[place, 1] = -1.0
    rows[place, 2] = 0.0
    return place + 1


def speaker(run: Run) -> Callable[[Columns, Span, Ints, int, Any, Said], None]:
    """Return a compiled function that has ``run`` say what it thinks of each token.

    ``run(columns, first, stop, parameters, rows, place)`` begins without memory at bar ``first`` and returns the place
    behind what it said. After a gap longer than ``lookback_ns`` it begins anew, as ``strategies.tokens.PerToken`` has
    it.
    """

    @numba.njit(nogil=True)
    def speak(columns: Columns, span: Span, breaks: Ints, lookback_ns: int, parameters: Any, said: Said) -> None:
        for token in range(span.starts.size):
            first, stop = span.starts[token], span.stops[token]
            place = first
            for number in range(breaks.size):
                at = breaks[number]
                if first < at < stop and columns.tape[at, GAP] > lookback_ns:
                    place = run(columns, first, at, parameters, said.rows, place)
                    first = at
            said.counts[token] = run(columns, first, stop, parameters, said.rows, place) - span.starts[token]

    return speak


@numba.njit(nogil=True)
def _add_exactly(parts: Floats, count: int, value: float) -> int:
    """Add to a sum without rounding: ``parts[:count]`` are floats that do not overlap and add up to it (Shewchuk 1997,
    as ``math.fsum`` has it). Returns the new count."""
    kept = 0
    for place in range(count):
        part = parts[place]
        if abs(value) < abs(part):
            value, part = part, value
        total = value + part
        rest = part - (total - value)
        if rest != 0.0:
            parts[kept] = rest
            kept += 1
        value = total
    parts[kept] = value
    return kept + 1


@numba.njit(nogil=True)
def _rounded(parts: Floats, count: int) -> float:
    """Return the float that is nearest to an exact sum, ties to even, as ``math.fsum`` does."""
    place = count - 1
    if place < 0:
        return 0.0
    high, low = parts[place], 0.0
    while place > 0:
        place -= 1
        before, part = high, parts[place]
        high = before + part
        low = part - (high - before)
        if low != 0.0:
            break
    if place > 0 and ((low < 0.0 and parts[place - 1] < 0.0) or (low > 0.0 and parts[place - 1] > 0.0)):
        twice = low * 2.0
        more = high + twice
        if twice == more - high:
            high = more
    return float(high)


@numba.njit(nogil=True)
def exact_sum(values: Floats, first: int, stop: int) -> float:
    """Return the float nearest to the sum of ``values[first:stop]``, as ``math.fsum`` does.

    The sum is made of two floats (Ogita, Rump & Oishi 2005, Sum2), which is off by at most (n u)^2 of the sum of
    absolute values. Where that cannot change how it is rounded (Ziv's test) it is the answer; else, which happens on
    ties, the sum is made without any rounding.
    """
    high = low = size = 0.0
    for place in range(first, stop):
        value = values[place]
        total = high + value
        part = total - high
        low += (high - (total - part)) + (value - part)
        high = total
        size += abs(value)
    nearest = high + low
    part = nearest - high
    rest = (high - (nearest - part)) + (low - part)
    off = 2.0 * ((stop - first) * _HALF_ULP) ** 2 * size
    if nearest + (rest + off) == nearest and nearest + (rest - off) == nearest:
        return float(nearest)
    parts, count = np.empty(PARTIALS), 0
    for place in range(first, stop):
        count = _add_exactly(parts, count, values[place])
    return float(_rounded(parts, count))


@numba.njit(nogil=True)
def exact_squares(values: Floats, first: int, mean: float, room: Floats, two: float) -> float:
    """Return the sum of squared differences from the mean of as many values as there is ``room`` for.

    ``two`` is 2, but not when this is compiled: then the power is the library's, as in ``indicators.rolling``, whose
    last bit may not be that of a product.
    """
    for place in range(room.size):
        room[place] = (values[first + place] - mean) ** two
    return float(exact_sum(room, 0, room.size))


@numba.njit(nogil=True)
def queue_for(bars: int) -> Ints:
    """Return a ring for so many bars and one more: its length is a power of two."""
    length = 2
    while length < bars + 2:
        length *= 2
    return np.empty(length, np.int64)


@numba.njit(nogil=True)
def pushed(queue: Ints, head: int, tail: int, values: Floats, at: int, sign: float) -> int:
    """Take bar ``at`` into a queue of the bars that can still be the highest (the lowest at a ``sign`` of -1) and
    return its new end: values fall from ``head`` to ``tail``."""
    mask = queue.size - 1
    while tail > head and values[queue[(tail - 1) & mask]] * sign <= values[at] * sign:
        tail -= 1
    queue[tail & mask] = at
    return tail + 1
