"""Concentrated liquidity (Orca Whirlpools, Raydium CLMM, Uniswap v3): one swap through as many ticks as it takes.

Between two initialised ticks the pool is a constant product of virtual reserves; at each of them liquidity comes or
goes. The fee is taken from what goes in, rounded up. All amounts are the chain's integers, every rounding is against
the trader, and each swap gives what Orca's published implementation gives (``scripts/concentrated_vectors.py``).
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Final

from trading.model.units import ceil_div

from .tick_math import (
    SQRT_PRICE_MAX,
    SQRT_PRICE_MIN,
    TICK_MAX,
    TICK_MIN,
    amount_a,
    amount_b,
    price_after_a,
    price_after_b,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)

FEE_ONE: Final = 1_000_000
"""Fees of such pools are in parts of a million."""


@dataclass(frozen=True, slots=True)
class TickPool:
    """A pool at one moment. ``liquidity`` is what is active at ``tick``, the one that holds the price; ``ticks`` are
    the initialised ones, rising, as (tick, liquidity that comes in when the price rises through it)."""

    sqrt_price: int
    tick: int
    liquidity: int
    fee_ppm: int
    ticks: tuple[tuple[int, int], ...]


def tick_pool(sqrt_price: int, fee_ppm: int, ticks: tuple[tuple[int, int], ...]) -> TickPool:
    """Return a pool at a price, its active liquidity summed from its ticks.

    Raises: ValueError for a price or a tick outside of the range, a fee that is none, or liquidity below zero.
    """
    tick = tick_at_sqrt_price(sqrt_price)
    if not 0 <= fee_ppm < FEE_ONE:
        msg = f"fee_ppm: 0 to {FEE_ONE - 1}, not {fee_ppm}"
        raise ValueError(msg)
    net_at: dict[int, int] = {}
    for at, net in ticks:
        net_at[at] = net_at.get(at, 0) + net
    ordered = tuple(sorted(net_at.items()))
    active, running = 0, 0
    for at, net in ordered:
        if not TICK_MIN <= at <= TICK_MAX:
            msg = f"ticks: {TICK_MIN} to {TICK_MAX}, not {at}"
            raise ValueError(msg)
        running += net
        if running < 0:
            msg = f"ticks: the liquidity above tick {at} would be {running}"
            raise ValueError(msg)
        if at <= tick:
            active = running
    return TickPool(sqrt_price, tick, active, fee_ppm, ordered)


@dataclass(frozen=True, slots=True)
class TickSwap:
    """``amount_in`` includes ``fee``. ``is_complete``: the whole wanted amount was swapped; otherwise the price limit
    or the end of all liquidity came first."""

    amount_in: int
    amount_out: int
    fee: int
    is_complete: bool
    ticks_crossed: int
    after: TickPool


@dataclass(frozen=True, slots=True)
class Step:
    """What happens between two ticks; ``amount_in`` is without ``fee``."""

    amount_in: int
    amount_out: int
    fee: int
    sqrt_price: int


def swap(
    pool: TickPool, amount: int, *, is_input: bool, gives_a: bool, sqrt_price_limit: int | None = None
) -> TickSwap:
    """Swap exactly ``amount`` in (fee included) or out, as far as price limit and liquidity reach.

    ``gives_a``: the trader gives token A and takes token B, so the price falls. Raises: ValueError for an amount below
    zero or a limit on the wrong side of the price.
    """
    limit = _limit(pool, amount, sqrt_price_limit, gives_a=gives_a)
    price, tick, liquidity = pool.sqrt_price, pool.tick, pool.liquidity
    left, paid, received, fees, crossed = amount, 0, 0, 0, 0
    while left > 0 and price != limit:
        at = _next_tick(pool, tick, gives_a=gives_a)
        bound = None if at is None else sqrt_price_at_tick(pool.ticks[at][0])
        if bound is None and liquidity == 0:
            break
        nearest = limit if bound is None else bound
        target = max(nearest, limit) if gives_a else min(nearest, limit)
        step = swap_step(price, target, liquidity, left, pool.fee_ppm, is_input=is_input, gives_a=gives_a)
        paid += step.amount_in + step.fee
        received += step.amount_out
        fees += step.fee
        left -= step.amount_in + step.fee if is_input else step.amount_out
        has_moved = step.sqrt_price != price
        price = step.sqrt_price
        if at is not None and price == bound:
            crossed += 1
            passed, net = pool.ticks[at]
            liquidity += -net if gives_a else net
            tick = passed - 1 if gives_a else passed
        elif has_moved:  # else the tick below an edge that was just passed would be forgotten
            tick = tick_at_sqrt_price(price)
    return TickSwap(
        paid, received, fees, left == 0, crossed, TickPool(price, tick, liquidity, pool.fee_ppm, pool.ticks)
    )


def swap_step(
    price: int, target: int, liquidity: int, left: int, fee_ppm: int, *, is_input: bool, gives_a: bool
) -> Step:
    """Swap at constant liquidity until ``left`` is used up or the price is at ``target``."""
    counts_a = gives_a is is_input
    to_target = _amount(price, target, liquidity, of_a=counts_a, round_up=is_input)
    usable = left * (FEE_ONE - fee_ppm) // FEE_ONE if is_input else left
    if to_target <= usable:
        after = target
    else:
        move = price_after_a if counts_a else price_after_b
        after = move(price, liquidity, usable, is_input=is_input)
    reaches_target = after == target
    counted = to_target if reaches_target else _amount(price, after, liquidity, of_a=counts_a, round_up=is_input)
    other = _amount(price, after, liquidity, of_a=not counts_a, round_up=not is_input)
    amount_in, amount_out = (counted, other) if is_input else (other, min(counted, left))
    # Where the input is used up on the way, what the price could not use of it is fee.
    is_used_up = is_input and not reaches_target
    fee = left - amount_in if is_used_up else ceil_div(amount_in * fee_ppm, FEE_ONE - fee_ppm)
    return Step(amount_in, amount_out, fee, after)


def _amount(one: int, other: int, liquidity: int, *, of_a: bool, round_up: bool) -> int:
    return (amount_a if of_a else amount_b)(one, other, liquidity, round_up=round_up)


def _next_tick(pool: TickPool, tick: int, *, gives_a: bool) -> int | None:
    """Return the index of the next initialised tick in the direction of the swap."""
    if gives_a:
        found = bisect_right(pool.ticks, (tick, 1 << 200)) - 1
        return found if found >= 0 else None
    found = bisect_left(pool.ticks, (tick + 1, -(1 << 200)))
    return found if found < len(pool.ticks) else None


def _limit(pool: TickPool, amount: int, given: int | None, *, gives_a: bool) -> int:
    if amount < 0:
        msg = f"amount: at least 0, not {amount}"
        raise ValueError(msg)
    if given is None:
        return SQRT_PRICE_MIN if gives_a else SQRT_PRICE_MAX
    low, high = (SQRT_PRICE_MIN, pool.sqrt_price) if gives_a else (pool.sqrt_price, SQRT_PRICE_MAX)
    if not low <= given <= high:
        msg = f"sqrt_price_limit: {low} to {high} in this direction, not {given}"
        raise ValueError(msg)
    return given
