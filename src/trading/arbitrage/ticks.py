"""Ticks and prices of Uniswap v3 pools, in the integers of the contracts.

A price is token 1 per token 0 in smallest units; what is kept is its square root in Q64.96. Tick ``i`` stands at
1.0001**i. Source: ``TickMath``, ``SqrtPriceMath`` of @uniswap/v3-core 1.0.1; the tests hold every function here against
the deployed contracts. (``trading.execution.tick_math`` is the same idea in the integers of Orca's programs.)
"""

from functools import lru_cache
from math import isqrt
from typing import Final

from trading.model.units import ceil_div

TICK_MIN: Final = -887_272
TICK_MAX: Final = 887_272
PRICE_BITS: Final = 96
ONE: Final = 1 << PRICE_BITS
"""The square root of price 1."""
_RATIO_BITS: Final = 128
_POWERS: Final = TICK_MAX.bit_length()
_EXACT_BITS: Final = 512
_WORD_MAX: Final = (1 << 256) - 1


def _inverse_roots() -> tuple[int, ...]:
    """Return 1 / 1.0001**(2**k / 2) with 128 bits after the point, rounded to the nearest, for each k."""
    found: list[int] = []
    one = 1 << _EXACT_BITS
    root = isqrt(10_001 * one * one // 10_000)
    for _ in range(_POWERS):
        found.append(((one << (_RATIO_BITS + 1)) // root + 1) >> 1)
        root = root * root >> _EXACT_BITS
    return tuple(found)


_DOWN: Final = _inverse_roots()


@lru_cache(maxsize=8_192)
def sqrt_price_at_tick(tick: int) -> int:
    """Return the square root of the price at a tick, rounded up. Raises: ValueError outside of the range."""
    if not TICK_MIN <= tick <= TICK_MAX:
        msg = f"tick: {TICK_MIN} to {TICK_MAX}, not {tick}"
        raise ValueError(msg)
    ratio = 1 << _RATIO_BITS
    for power in range(_POWERS):
        if abs(tick) >> power & 1:
            ratio = ratio * _DOWN[power] >> _RATIO_BITS
    if tick > 0:
        ratio = _WORD_MAX // ratio
    return ceil_div(ratio, 1 << (_RATIO_BITS - PRICE_BITS))


SQRT_PRICE_MIN: Final = sqrt_price_at_tick(TICK_MIN)
SQRT_PRICE_MAX: Final = sqrt_price_at_tick(TICK_MAX)


def tick_at_sqrt_price(sqrt_price: int) -> int:
    """Return the highest tick at or below a price. Raises: ValueError for a price that no pool can have."""
    if not SQRT_PRICE_MIN <= sqrt_price < SQRT_PRICE_MAX:
        msg = f"sqrt_price: {SQRT_PRICE_MIN} to {SQRT_PRICE_MAX - 1}, not {sqrt_price}"
        raise ValueError(msg)
    low, high = TICK_MIN, TICK_MAX - 1
    while low < high:
        middle = (low + high + 1) >> 1
        if sqrt_price_at_tick(middle) <= sqrt_price:
            low = middle
        else:
            high = middle - 1
    return low


def amount_0(one: int, other: int, liquidity: int, *, round_up: bool) -> int:
    """Return how much of token 0 lies between two prices, L (1/low - 1/high), cut off twice as the contract does."""
    low, high = sorted((one, other))
    numerator = (liquidity << PRICE_BITS) * (high - low)
    return ceil_div(ceil_div(numerator, high), low) if round_up else numerator // high // low


def amount_1(one: int, other: int, liquidity: int, *, round_up: bool) -> int:
    """Return how much of token 1 lies between two prices, L (high - low)."""
    product = liquidity * abs(one - other)
    return ceil_div(product, ONE) if round_up else product >> PRICE_BITS


def price_after_0(sqrt_price: int, liquidity: int, amount: int) -> int:
    """Return the price after that much of token 0 went in, rounded up; liquidity is above 0."""
    if amount == 0:
        return sqrt_price
    numerator, product = liquidity << PRICE_BITS, amount * sqrt_price
    if product <= _WORD_MAX and numerator + product <= _WORD_MAX:
        return ceil_div(numerator * sqrt_price, numerator + product)
    return ceil_div(numerator, numerator // sqrt_price + amount)  # where the product leaves the contract's 256 bits


def price_after_1(sqrt_price: int, liquidity: int, amount: int) -> int:
    """Return the price after that much of token 1 went in, rounded down; liquidity is above 0."""
    return sqrt_price + (amount << PRICE_BITS) // liquidity
