"""Concentrated liquidity under any pool and any amount: no free money, nothing is created, more in gives more out."""

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from trading.execution.concentrated import TickPool, TickSwap, swap, tick_pool
from trading.execution.tick_math import SQRT_PRICE_MAX, SQRT_PRICE_MIN, sqrt_price_at_tick, tick_at_sqrt_price

EXAMPLES = settings(max_examples=120, deadline=None)
AMOUNTS = st.integers(1, 10**15)
FEES = st.sampled_from([0, 100, 2_500, 10_000, 125_000])


@st.composite
def pools(draw: st.DrawFn) -> TickPool:
    """Up to five positions around a price, of any size from one unit up."""
    centre = draw(st.integers(-300_000, 300_000))
    net: dict[int, int] = {}
    for _ in range(draw(st.integers(1, 5))):
        lower = centre + draw(st.integers(-800, 400))
        upper = lower + draw(st.integers(1, 1_500))
        size = draw(st.one_of(st.integers(1, 10**4), st.integers(10**9, 10**18)))
        net[lower] = net.get(lower, 0) + size
        net[upper] = net.get(upper, 0) - size
    price = sqrt_price_at_tick(centre) + draw(st.integers(0, 10**3))
    return tick_pool(price, draw(FEES), tuple(net.items()))


@EXAMPLES
@given(pools(), AMOUNTS, st.booleans())
def test_a_swap_takes_no_more_than_given_and_adds_up(pool: TickPool, amount: int, gives_a: bool) -> None:
    found = swap(pool, amount, is_input=True, gives_a=gives_a)
    assert 0 <= found.fee <= found.amount_in <= amount
    assert found.amount_out >= 0
    assert (found.amount_in == amount) is found.is_complete
    assert SQRT_PRICE_MIN <= found.after.sqrt_price <= SQRT_PRICE_MAX
    if gives_a:
        assert found.after.sqrt_price <= pool.sqrt_price
    else:
        assert found.after.sqrt_price >= pool.sqrt_price


@EXAMPLES
@given(pools(), AMOUNTS, st.booleans())
def test_the_active_liquidity_is_always_that_of_the_ticks_below(pool: TickPool, amount: int, gives_a: bool) -> None:
    after = swap(pool, amount, is_input=True, gives_a=gives_a).after
    assert after.liquidity == sum(net for tick, net in pool.ticks if tick <= after.tick)
    # At an initialised tick reached from above the price stands on it and the tick below is active.
    assert after.tick in (tick_at_sqrt_price(after.sqrt_price), tick_at_sqrt_price(after.sqrt_price) - 1)


@EXAMPLES
@given(pools(), AMOUNTS, AMOUNTS, st.booleans(), st.booleans())
def test_more_in_never_gives_less_out(pool: TickPool, one: int, other: int, gives_a: bool, is_input: bool) -> None:
    low, high = (swap(pool, amount, is_input=is_input, gives_a=gives_a) for amount in sorted((one, other)))
    assert low.amount_in <= high.amount_in
    assert low.amount_out <= high.amount_out


@EXAMPLES
@given(pools(), AMOUNTS, st.booleans())
def test_asking_for_what_an_exact_input_gave_costs_at_most_that_input(
    pool: TickPool, amount: int, gives_a: bool
) -> None:
    given_in = swap(pool, amount, is_input=True, gives_a=gives_a)
    asked_out = swap(pool, given_in.amount_out, is_input=False, gives_a=gives_a)
    assert asked_out.amount_out == given_in.amount_out
    at_most = given_in.amount_in
    end = asked_out.after.sqrt_price
    if end in [sqrt_price_at_tick(tick) for tick, _ in pool.ticks]:
        # The last unit before a tick takes the price all the way there, as it does on chain, and that way is paid for.
        way = swap(pool, 1 << 120, is_input=True, gives_a=gives_a, sqrt_price_limit=end)
        at_most = max(at_most, way.amount_in)
    assert asked_out.amount_in <= at_most
    assert swap(pool, asked_out.amount_in, is_input=True, gives_a=gives_a).amount_out >= asked_out.amount_out


def _gain(pool: TickPool, amount: int, gives_a: bool, first: TickSwap) -> int:
    """Return what is left over when everything that came out goes back in at once."""
    back = swap(first.after, first.amount_out, is_input=True, gives_a=not gives_a)
    return back.amount_out - first.amount_in if back.is_complete else -1


@EXAMPLES
@given(pools(), AMOUNTS, st.booleans())
def test_no_round_trip_profits(pool: TickPool, amount: int, gives_a: bool) -> None:
    assert _gain(pool, amount, gives_a, swap(pool, amount, is_input=True, gives_a=gives_a)) <= 0


def test_control_a_swap_that_rounds_for_the_trader_is_caught() -> None:
    @settings(max_examples=120, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(pools(), AMOUNTS, st.booleans())
    def attempt(pool: TickPool, amount: int, gives_a: bool) -> None:
        free = replace(pool, fee_ppm=0)
        found = swap(free, amount, is_input=True, gives_a=gives_a)
        kinder = replace(found, amount_out=found.amount_out + 2)
        assert _gain(free, amount, gives_a, kinder) <= 0

    with pytest.raises(AssertionError):
        attempt()
