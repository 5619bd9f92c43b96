"""A price curve from few questions: what any amount gives at least, where only some amounts were asked for. Pure.

What a venue gives is concave in what is put in: each unit more brings no more than the one before. So the straight
line between two answers lies below the curve, and so does the line from nothing to the first answer.
"""

from collections.abc import Sequence
from itertools import pairwise

from .opportunities import Quote


def sizes_between(least: int, most: int, count: int) -> tuple[int, ...]:
    """Return so many amounts from least to most, each the same multiple of the one before, the same one once."""
    if most <= least or count < 2:
        return (most,)
    ratio = (most / least) ** (1 / (count - 1))
    inner = (int(least * ratio**n) for n in range(1, count - 1))
    return tuple(sorted({least, *inner, most}))


def lower_bound(answers: Sequence[tuple[int, int]]) -> Quote:
    """Return the quote that is never better than the venue, from (amount in, amount out), both rising; None beyond the
    largest amount that was asked for."""
    points = [(0, 0), *sorted(answers)]

    def quote(amount: int) -> int | None:
        for (low, gave_low), (high, gave_high) in pairwise(points):
            if low < amount <= high:
                return gave_low + (gave_high - gave_low) * (amount - low) // (high - low)
        return None

    return quote
