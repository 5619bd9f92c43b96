"""Ticks and prices of concentrated liquidity, in the integers of the chain.

A price is token B per token A in smallest units; what is kept is its square root in Q64.64. Tick ``i`` stands at
1.0001**i, so its root is 1.0001**(i/2). The root of a tick is built from the roots of the powers of two: upwards in 96
bits after the point, downwards in 64, each product cut off, as Orca's Whirlpools do. Amounts between two prices are
rounded up where they are paid in and down where they are paid out.
"""

from math import isqrt
from typing import Final

from trading.model.units import ceil_div

TICK_MIN: Final = -443_636
TICK_MAX: Final = 443_636
ONE: Final = 1 << 64
"""The square root of price 1."""
_UP_BITS: Final = 96
_POWERS: Final = TICK_MAX.bit_length()
_EXACT_BITS: Final = 256


def _roots() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return 1.0001**(2**k / 2) with 96 bits after the point and its inverse with 64, both cut off, for each k."""
    up: list[int] = []
    down: list[int] = []
    one = 1 << _EXACT_BITS
    root = isqrt(10_001 * one * one // 10_000)
    for _ in range(_POWERS):
        up.append(root >> (_EXACT_BITS - _UP_BITS))
        down.append((one << 64) // root)
        root = root * root >> _EXACT_BITS
    return tuple(up), tuple(down)


_UP, _DOWN = _roots()


def sqrt_price_at_tick(tick: int) -> int:
    """Return the square root of the price at a tick. Raises: ValueError outside of ``TICK_MIN`` to ``TICK_MAX``."""
    if not TICK_MIN <= tick <= TICK_MAX:
        msg = f"tick: {TICK_MIN} to {TICK_MAX}, not {tick}"
        raise ValueError(msg)
    if tick >= 0:
        ratio = 1 << _UP_BITS
        for power in range(_POWERS):
            if tick >> power & 1:
                ratio = ratio * _UP[power] >> _UP_BITS
        return ratio >> (_UP_BITS - 64)
    ratio = ONE
    for power in range(_POWERS):
        if -tick >> power & 1:
            ratio = ratio * _DOWN[power] >> 64
    return ratio


SQRT_PRICE_MIN: Final = sqrt_price_at_tick(TICK_MIN)
SQRT_PRICE_MAX: Final = sqrt_price_at_tick(TICK_MAX)


def tick_at_sqrt_price(sqrt_price: int) -> int:
    """Return the highest tick at or below a price. Raises: ValueError for a price outside of the range."""
    if not SQRT_PRICE_MIN <= sqrt_price <= SQRT_PRICE_MAX:
        msg = f"sqrt_price: {SQRT_PRICE_MIN} to {SQRT_PRICE_MAX}, not {sqrt_price}"
        raise ValueError(msg)
    low, high = TICK_MIN, TICK_MAX
    while low < high:
        middle = (low + high + 1) >> 1
        if sqrt_price_at_tick(middle) <= sqrt_price:
            low = middle
        else:
            high = middle - 1
    return low


def amount_a(one: int, other: int, liquidity: int, *, round_up: bool) -> int:
    """Return how much of token A lies between two prices: L (1/low - 1/high)."""
    low, high = sorted((one, other))
    numerator, denominator = liquidity * (high - low) << 64, low * high
    return ceil_div(numerator, denominator) if round_up else numerator // denominator


def amount_b(one: int, other: int, liquidity: int, *, round_up: bool) -> int:
    """Return how much of token B lies between two prices: L (high - low)."""
    product = liquidity * abs(one - other)
    return ceil_div(product, ONE) if round_up else product >> 64


def price_after_a(sqrt_price: int, liquidity: int, amount: int, *, is_input: bool) -> int:
    """Return the price after that much of token A went in (or came out), rounded up: towards where less is given.

    Raises: ValueError when the pool has not that much.
    """
    if amount == 0:
        return sqrt_price
    product = sqrt_price * amount
    denominator = (liquidity << 64) + (product if is_input else -product)
    if denominator <= 0:
        msg = f"the pool has less than {amount} of token A"
        raise ValueError(msg)
    return ceil_div(liquidity * sqrt_price << 64, denominator)


def price_after_b(sqrt_price: int, liquidity: int, amount: int, *, is_input: bool) -> int:
    """Return the price after that much of token B went in (or came out), rounded down.

    Raises: ValueError when the pool has not that much.
    """
    if is_input:
        return sqrt_price + (amount << 64) // liquidity
    after = sqrt_price - ceil_div(amount << 64, liquidity)
    if after <= 0:
        msg = f"the pool has less than {amount} of token B"
        raise ValueError(msg)
    return after
