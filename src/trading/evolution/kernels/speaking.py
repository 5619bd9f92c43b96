"""What strategies say, as compiled loops over a token's bars: where opinions go, and windows that round as theirs do.

The loops repeat the arithmetic of ``trading.indicators`` operation by operation, in the same order: what a strategy
says rests on comparisons of floats, and the same operations give the same floats. Tests hold them to it bar by bar.
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numba
import numpy as np

from .market import Columns, Floats, Ints, Span

PARTIALS: Final = 64
"""As many parts as an exact sum of floats can have that do not overlap (there are at most 40)."""
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
                if first < at < stop and columns.gaps_ns[at] > lookback_ns:
                    place = run(columns, first, at, parameters, said.rows, place)
                    first = at
            said.counts[token] = run(columns, first, stop, parameters, said.rows, place) - span.starts[token]

    return speak


@numba.njit(nogil=True)
def add_exactly(parts: Floats, count: int, value: float) -> int:
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
def rounded(parts: Floats, count: int) -> float:
    """Return the float that is nearest to an exact sum, ties to even, as ``math.fsum`` does."""
    place = count - 1
    if place < 0:
        return 0.0
    high, low = parts[place], 0.0
    while place > 0:
        place -= 1
        before = high
        part = parts[place]
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
def exact_mean(values: Floats, first: int, stop: int, parts: Floats) -> float:
    """Return the mean of ``values[first:stop]`` by an exact sum."""
    count = 0
    for place in range(first, stop):
        count = add_exactly(parts, count, values[place])
    mean: float = rounded(parts, count) / float(stop - first)
    return mean


@numba.njit(nogil=True)
def push(queue: Ints, head: int, tail: int, values: Floats, at: int) -> int:
    """Take bar ``at`` into a queue of the bars that can still be the highest, and return its new end.

    ``queue`` is a ring of bars whose values fall from ``head`` to ``tail``; the highest of the window is the one at
    ``head``, once bars that left the window are passed over by the caller.
    """
    size = queue.size
    while tail > head and values[queue[(tail - 1) % size]] <= values[at]:
        tail -= 1
    queue[tail % size] = at
    return tail + 1
