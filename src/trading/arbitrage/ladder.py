"""A quote for any amount out of offers for a few: what lies between two of them is taken to be on the line between.

The price of a venue only worsens with the size, so that line lies below what it would give: a trip is never better than
it is shown. Beyond the largest offer nothing is known.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from .opportunities import Quote


def ladder(offers: Sequence[tuple[int, int]]) -> Quote:
    """Return the quote of offers (amount in, amount out). Raises: ValueError where the amounts in do not rise."""
    steps = [(0, 0), *offers]
    amounts = [amount for amount, _ in steps]
    if any(low >= high for low, high in pairwise(amounts)):
        msg = f"amounts in have to rise, from 1 on, not {amounts[1:]}"
        raise ValueError(msg)

    def quote(amount_in: int) -> int | None:
        at = bisect_left(amounts, amount_in)
        if amount_in < 1 or at == len(steps):
            return None
        (low_in, low_out), (high_in, high_out) = steps[at - 1], steps[at]
        return low_out + (high_out - low_out) * (amount_in - low_in) // (high_in - low_in)

    return quote


def sizes_between(least: int, most: int, count: int) -> tuple[int, ...]:
    """Return so many amounts from least to most, each the same multiple of the one before; fewer where they meet."""
    if most <= least or count < 2:
        return (most,)
    ratio = (most / least) ** (1 / (count - 1))
    inner = (int(least * ratio**n) for n in range(1, count - 1))
    return tuple(sorted({least, *inner, most}))
