"""How large an order may be: the sizes between which an expected move pays for the whole round trip.

A constant product with x going in before the fee, then a move of the price by e, then the sale of what was bought, in a
pool that holds S lamports each time (Uniswap v2's formulas; the impact of the entry has been arbitraged away by the
exit). With the fee f on the SOL side of both swaps, m = 1 + e and fixed costs F of both transactions

  net(x) = (1 - f) x S m / (S + x (1 + m)) - x (1 + f) - F

is concave: it is zero at the roots of a x^2 + b x + c with a = (1 + f)(1 + m), b = (1 + f) S + F (1 + m) - (1 - f) S m
and c = F S, and largest where S + x (1 + m) = S sqrt((1 - f) m / (1 + f)). Below the first root fixed costs eat the
move, above the second one impact does.
"""

from dataclasses import dataclass
from math import isqrt

from trading.model.units import BPS_ONE


@dataclass(frozen=True, slots=True)
class Capacity:
    """Amounts in, fee included: the smallest and the largest that lose nothing, and the one that earns most."""

    least_lamports: int
    most_lamports: int
    best_lamports: int


def capacity(pool_lamports: int, fee_bps: int, fixed_lamports: int, edge_bps: int) -> Capacity | None:
    """Return the sizes at which a move of ``edge_bps`` pays for the round trip, None where it pays for no size."""
    after, over, under = BPS_ONE + edge_bps, BPS_ONE + fee_bps, BPS_ONE - fee_bps
    both = BPS_ONE + after
    # The three coefficients of the quadratic, each times 10^8, so that they are whole.
    a = over * both
    b = over * BPS_ONE * pool_lamports + fixed_lamports * both * BPS_ONE - under * after * pool_lamports
    c = fixed_lamports * pool_lamports * BPS_ONE * BPS_ONE
    discriminant = b * b - 4 * a * c
    if b >= 0 or discriminant < 0:
        return None
    root = isqrt(discriminant)
    best = (isqrt(pool_lamports**2 * BPS_ONE**2 * under * after // (over * BPS_ONE)) - pool_lamports * BPS_ONE) // both
    least, most = -((root + b) // (2 * a)), (root - b) // (2 * a)
    return Capacity(*(into * over // BPS_ONE for into in (least, most, best)))
