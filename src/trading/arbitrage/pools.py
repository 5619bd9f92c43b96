"""What an exact amount into a pool of an EVM chain gives, to the smallest unit: constant product, or ticks.

Sources: ``UniswapV2Library.getAmountOut`` (@uniswap/v2-periphery 1.1.0), ``UniswapV3Pool.swap`` with ``SwapMath`` and
``TickBitmap`` (@uniswap/v3-core 1.0.1). The tests swap in the deployed contracts and compare. A pool is what was read
of it at one block; where a swap would leave what was read, nothing is said instead of guessed.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from trading.model.units import ceil_div

from .ticks import (
    PRICE_BITS,
    SQRT_PRICE_MAX,
    SQRT_PRICE_MIN,
    TICK_MAX,
    TICK_MIN,
    amount_0,
    amount_1,
    price_after_0,
    price_after_1,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)

FEE_ONE: Final = 1_000_000
"""Fees are parts of a million."""
WORD_TICKS: Final = 256
"""A word of a pool's bitmap tells of so many usable ticks; a swap takes a step of its own to each of its ends."""
STEPS_MAX: Final = 4_096
_RESERVE_MAX: Final = (1 << 112) - 1
_AMOUNT_MAX: Final = (1 << 128) - 1


class BeyondRead(ValueError):
    """The swap would go through ticks that were not read."""


@dataclass(frozen=True, slots=True)
class ConstantProduct:
    """``reserve_0`` and ``reserve_1`` are what the pair has written down, not its balances."""

    reserve_0: int
    reserve_1: int
    fee_ppm: int

    def __post_init__(self) -> None:
        _require("reserve_0", self.reserve_0, 0, _RESERVE_MAX)
        _require("reserve_1", self.reserve_1, 0, _RESERVE_MAX)
        _require("fee_ppm", self.fee_ppm, 0, FEE_ONE - 1)


@dataclass(frozen=True, slots=True)
class Ticks:
    """A concentrated pool. ``liquidity`` is active at ``tick``; ``ticks`` are the initialised ones that were read,
    rising, as (tick, liquidity that comes in when the price rises through it); ``word_low`` to ``word_high`` are the
    words of the bitmap that were read."""

    sqrt_price: int
    tick: int
    liquidity: int
    fee_ppm: int
    spacing: int
    ticks: tuple[tuple[int, int], ...]
    word_low: int
    word_high: int
    places: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require("sqrt_price", self.sqrt_price, SQRT_PRICE_MIN, SQRT_PRICE_MAX - 1)
        _require("fee_ppm", self.fee_ppm, 0, FEE_ONE - 1)
        _require("spacing", self.spacing, 1, TICK_MAX)
        _require("liquidity", self.liquidity, 0, _AMOUNT_MAX)
        places = tuple(each for each, _ in self.ticks)
        if any(one >= other for one, other in pairwise(places)):
            msg = "ticks: each once, rising"
            raise ValueError(msg)
        for each in places:
            _require("ticks", each, TICK_MIN, TICK_MAX)
        object.__setattr__(self, "places", places)


Pool = ConstantProduct | Ticks


@dataclass(frozen=True, slots=True)
class PoolSwap:
    """``amount_in`` is all that is paid, ``fee_in`` of it the pool's fee; ``after`` is the pool after the swap."""

    amount_in: int
    amount_out: int
    fee_in: int
    ticks_crossed: int
    after: Pool


def swap(pool: Pool, amount_in: int, *, gives_0: bool) -> PoolSwap | None:
    """Return what exactly ``amount_in`` gives, None where the pool gives nothing for it or does not take all of it.

    ``gives_0``: token 0 goes in and token 1 comes out. Raises: ValueError for an amount that is none; BeyondRead.
    """
    _require("amount_in", amount_in, 1, _AMOUNT_MAX)
    if isinstance(pool, ConstantProduct):
        return _swap_product(pool, amount_in, gives_0=gives_0)
    return _swap_ticks(pool, amount_in, gives_0=gives_0)


def mid_out(pool: Pool, amount_in: int, *, gives_0: bool) -> int:
    """Return what the amount is worth of the other token at the price of now, without fee and impact, rounded down."""
    if isinstance(pool, ConstantProduct):
        into, out = (pool.reserve_0, pool.reserve_1) if gives_0 else (pool.reserve_1, pool.reserve_0)
        return amount_in * out // into if into else 0
    square = pool.sqrt_price * pool.sqrt_price
    return amount_in * square >> 2 * PRICE_BITS if gives_0 else (amount_in << 2 * PRICE_BITS) // square


def depth(pool: Pool) -> tuple[int, int]:
    """Return the two sides of the constant product that moves as this pool does at its present price."""
    if isinstance(pool, ConstantProduct):
        return pool.reserve_0, pool.reserve_1
    return (pool.liquidity << PRICE_BITS) // pool.sqrt_price, pool.liquidity * pool.sqrt_price >> PRICE_BITS


def _swap_product(pool: ConstantProduct, amount_in: int, *, gives_0: bool) -> PoolSwap | None:
    into, out = (pool.reserve_0, pool.reserve_1) if gives_0 else (pool.reserve_1, pool.reserve_0)
    if not into or not out or into + amount_in > _RESERVE_MAX:
        return None
    # Times a million here, times a thousand there: the quotient is the same.
    counted = amount_in * (FEE_ONE - pool.fee_ppm)
    amount_out = counted * out // (into * FEE_ONE + counted)
    if not amount_out:
        return None
    into, out = into + amount_in, out - amount_out
    after = replace(pool, reserve_0=into if gives_0 else out, reserve_1=out if gives_0 else into)
    return PoolSwap(amount_in, amount_out, ceil_div(amount_in * pool.fee_ppm, FEE_ONE), 0, after)


def _swap_ticks(pool: Ticks, amount_in: int, *, gives_0: bool) -> PoolSwap | None:
    price, tick, liquidity = pool.sqrt_price, pool.tick, pool.liquidity
    limit = SQRT_PRICE_MIN + 1 if gives_0 else SQRT_PRICE_MAX - 1
    left, out, fees, crossed = amount_in, 0, 0, 0
    for _ in range(STEPS_MAX):
        if not left or price == limit:
            break
        next_tick, net = _next_tick(pool, tick, gives_0=gives_0)
        bound = sqrt_price_at_tick(next_tick)
        target = max(bound, limit) if gives_0 else min(bound, limit)
        step = _step(price, target, liquidity, left, pool.fee_ppm)
        left -= step.amount_in + step.fee
        out += step.amount_out
        fees += step.fee
        has_moved, price = step.sqrt_price != price, step.sqrt_price
        if price == bound:
            if net is not None:
                crossed += 1
                liquidity += -net if gives_0 else net
            tick = next_tick - 1 if gives_0 else next_tick
        elif has_moved:
            tick = tick_at_sqrt_price(price)
    if left or not out:
        return None
    after = replace(pool, sqrt_price=price, tick=tick, liquidity=liquidity)
    return PoolSwap(amount_in, out, fees, crossed, after)


@dataclass(frozen=True, slots=True)
class _Step:
    """What happens between two places of the bitmap; ``amount_in`` is without ``fee``."""

    amount_in: int
    amount_out: int
    fee: int
    sqrt_price: int


def _step(price: int, target: int, liquidity: int, left: int, fee_ppm: int) -> _Step:
    """Swap at constant liquidity until ``left`` is used up or the price is at ``target``."""
    gives_0 = price >= target
    amount_in_of, amount_out_of = (amount_0, amount_1) if gives_0 else (amount_1, amount_0)
    usable = left * (FEE_ONE - fee_ppm) // FEE_ONE
    amount_in = amount_in_of(price, target, liquidity, round_up=True)
    if usable >= amount_in:
        after = target
    else:
        after = (price_after_0 if gives_0 else price_after_1)(price, liquidity, usable)
        if after != target:
            amount_in = amount_in_of(price, after, liquidity, round_up=True)
    amount_out = amount_out_of(price, after, liquidity, round_up=False)
    # Where the input ends on the way, what the price could not use of it is fee.
    fee = left - amount_in if after != target else ceil_div(amount_in * fee_ppm, FEE_ONE - fee_ppm)
    return _Step(amount_in, amount_out, fee, after)


def _next_tick(pool: Ticks, tick: int, *, gives_0: bool) -> tuple[int, int | None]:
    """Return where the next step ends, the next initialised tick or the end of the bitmap's word, and the liquidity
    that comes in there when the price rises (None: it is no initialised tick). Raises: BeyondRead."""
    place = tick // pool.spacing if gives_0 else tick // pool.spacing + 1
    word = place // WORD_TICKS
    if not pool.word_low <= word <= pool.word_high:
        msg = f"the swap needs word {word} of the bitmap, and {pool.word_low} to {pool.word_high} were read"
        raise BeyondRead(msg)
    if gives_0:
        found = bisect_right(pool.places, place * pool.spacing) - 1
        end = word * WORD_TICKS * pool.spacing
        if found >= 0 and pool.places[found] >= end:
            return pool.ticks[found]
        return max(end, TICK_MIN), None
    found = bisect_left(pool.places, place * pool.spacing)
    end = (word * WORD_TICKS + WORD_TICKS - 1) * pool.spacing
    if found < len(pool.places) and pool.places[found] <= end:
        return pool.ticks[found]
    return min(end, TICK_MAX), None


def _require(name: str, value: int, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        msg = f"{name}: an integer of {low} to {high}, not {value!r}"
        raise ValueError(msg)
