"""Pools of an EVM chain under any state and amount: nothing is created, more in is never less out, no round trip
profits, what was not read is not guessed."""

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trading.arbitrage.pools import BeyondRead, ConstantProduct, Pool, Ticks, depth, mid_out, swap
from trading.arbitrage.ticks import (
    SQRT_PRICE_MAX,
    SQRT_PRICE_MIN,
    TICK_MAX,
    TICK_MIN,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)

EXAMPLES = settings(max_examples=60, deadline=None)
AMOUNTS = st.integers(1, 10**24)
SIDES = st.booleans()
PRODUCTS = st.builds(
    ConstantProduct, st.integers(1, 10**26), st.integers(1, 10**26), st.sampled_from([0, 100, 3_000, 10_000])
)


@st.composite
def concentrated(draw: st.DrawFn) -> Ticks:
    """A pool whose positions lie around its price; its active liquidity is the sum of those that hold the price."""
    spacing = draw(st.sampled_from([1, 10, 60, 200]))
    tick = draw(st.integers(-60_000, 60_000))
    net: dict[int, int] = {}
    active = 0
    for _ in range(draw(st.integers(1, 6))):
        low = (tick // spacing + draw(st.integers(-120, 20))) * spacing
        high = low + draw(st.integers(1, 160)) * spacing
        amount = draw(st.integers(1, 10**24))
        net[low] = net.get(low, 0) + amount
        net[high] = net.get(high, 0) - amount
        active += amount if low <= tick < high else 0
    at, after = sqrt_price_at_tick(tick), sqrt_price_at_tick(tick + 1)
    word = tick // spacing // 256
    return Ticks(
        draw(st.integers(at, after - 1)),
        tick,
        active,
        draw(st.sampled_from([100, 500, 3_000, 10_000])),
        spacing,
        tuple(sorted((where, each) for where, each in net.items() if each)),
        word - 2,
        word + 2,
    )


POOLS = st.one_of(PRODUCTS, concentrated())


def told(pool: Pool, amount: int, *, gives_0: bool) -> int:
    """Return what comes out, 0 where nothing is said."""
    try:
        found = swap(pool, amount, gives_0=gives_0)
    except BeyondRead:
        return 0
    return 0 if found is None else found.amount_out


@EXAMPLES
@given(st.integers(TICK_MIN, TICK_MAX - 1))
def test_a_tick_is_found_again_at_its_price_and_not_one_unit_below(tick: int) -> None:
    price = sqrt_price_at_tick(tick)
    assert tick_at_sqrt_price(price) == tick
    if tick > TICK_MIN:
        assert tick_at_sqrt_price(price - 1) == tick - 1


def test_the_ends_of_the_range_are_those_of_the_contract() -> None:
    assert (SQRT_PRICE_MIN, SQRT_PRICE_MAX) == (4295128739, 1461446703485210103287273052203988822378723970342)
    for outside in (TICK_MIN - 1, TICK_MAX + 1):
        with pytest.raises(ValueError, match="tick: -887272 to 887272"):
            sqrt_price_at_tick(outside)
    for price in (SQRT_PRICE_MIN - 1, SQRT_PRICE_MAX):
        with pytest.raises(ValueError, match="sqrt_price"):
            tick_at_sqrt_price(price)


@EXAMPLES
@given(POOLS, AMOUNTS, SIDES)
def test_no_swap_gives_more_than_the_price_before_it(pool: Pool, amount: int, gives_0: bool) -> None:
    assert told(pool, amount, gives_0=gives_0) <= mid_out(pool, amount, gives_0=gives_0) + 1


@EXAMPLES
@given(POOLS, AMOUNTS, SIDES)
def test_there_and_back_never_profits(pool: Pool, amount: int, gives_0: bool) -> None:
    try:
        there = swap(pool, amount, gives_0=gives_0)
        assume(there is not None)
        assert there is not None
        back = swap(there.after, there.amount_out, gives_0=not gives_0)
    except BeyondRead:
        assume(False)
    else:
        assert back is None or back.amount_out <= amount


@EXAMPLES
@given(POOLS, st.lists(AMOUNTS, min_size=2, max_size=5), SIDES)
def test_more_in_is_never_less_out(pool: Pool, amounts: list[int], gives_0: bool) -> None:
    outs = [out for each in sorted(amounts) if (out := told(pool, each, gives_0=gives_0))]
    assert all(one <= other for one, other in pairwise(outs))


@EXAMPLES
@given(POOLS, AMOUNTS, AMOUNTS, SIDES)
def test_a_swap_in_two_parts_never_gives_more(pool: Pool, first: int, second: int, gives_0: bool) -> None:
    try:
        one = swap(pool, first, gives_0=gives_0)
        two = None if one is None else swap(one.after, second, gives_0=gives_0)
        whole = swap(pool, first + second, gives_0=gives_0)
    except BeyondRead:
        assume(False)
    else:
        assume(one is not None and two is not None and whole is not None)
        assert one is not None
        assert two is not None
        assert whole is not None
        # Each step of a concentrated pool rounds its fee up by itself, which is worth a unit of what goes in.
        slack = 2 + mid_out(pool, 2, gives_0=gives_0) * (2 + whole.ticks_crossed) if isinstance(pool, Ticks) else 1
        assert one.amount_out + two.amount_out <= whole.amount_out + slack


@EXAMPLES
@given(POOLS, AMOUNTS, SIDES)
def test_the_pool_after_a_swap_holds_what_went_in_and_its_price_moved_the_right_way(
    pool: Pool, amount: int, gives_0: bool
) -> None:
    try:
        found = swap(pool, amount, gives_0=gives_0)
    except BeyondRead:
        return
    if found is None:
        return
    assert (found.amount_in, found.fee_in <= found.amount_in) == (amount, True)
    after = found.after
    if isinstance(pool, ConstantProduct):
        assert isinstance(after, ConstantProduct)
        assert after.reserve_0 * after.reserve_1 >= pool.reserve_0 * pool.reserve_1
        into = after.reserve_0 - pool.reserve_0 if gives_0 else after.reserve_1 - pool.reserve_1
        assert into == amount
    else:
        assert isinstance(after, Ticks)
        assert after.sqrt_price <= pool.sqrt_price if gives_0 else after.sqrt_price >= pool.sqrt_price
        assert tick_at_sqrt_price(after.sqrt_price) - after.tick in (0, 1)


def test_a_swap_beyond_what_was_read_is_refused_and_not_guessed() -> None:
    pool = Ticks(sqrt_price_at_tick(100), 100, 10**20, 3_000, 60, ((-600, 10**20), (60_000, -(10**20))), 0, 0)
    assert swap(pool, 10**15, gives_0=False) is not None
    with pytest.raises(BeyondRead, match="needs word 1 of the bitmap, and 0 to 0 were read"):
        swap(pool, 10**24, gives_0=False)


def test_a_pool_that_runs_dry_gives_no_quote() -> None:
    pool = Ticks(sqrt_price_at_tick(100), 100, 10**10, 3_000, 60, ((-600, 10**10), (600, -(10**10))), -60, 60)
    assert swap(pool, 10**8, gives_0=True) is not None
    assert swap(pool, 10**30, gives_0=True) is None
    assert swap(ConstantProduct(0, 0, 3_000), 10, gives_0=True) is None
    assert swap(ConstantProduct(10**6, 5, 3_000), 10, gives_0=True) is None


@pytest.mark.parametrize("amount", [0, -1, 1 << 128])
def test_an_amount_that_is_none_names_itself(amount: int) -> None:
    with pytest.raises(ValueError, match="amount_in: an integer of 1 to"):
        swap(ConstantProduct(10**6, 10**6, 3_000), amount, gives_0=True)


def test_depth_is_the_constant_product_that_moves_alike() -> None:
    pool = Ticks(sqrt_price_at_tick(0), 0, 10**18, 3_000, 60, ((-60_000, 10**18), (60_000, -(10**18))), -4, 4)
    assert depth(pool) == (10**18, 10**18)
    assert depth(ConstantProduct(5, 7, 0)) == (5, 7)
    exact = told(ConstantProduct(*depth(pool), 3_000), 10**15, gives_0=True)
    assert abs(told(pool, 10**15, gives_0=True) - exact) <= 1


@pytest.mark.parametrize(
    ("ticks", "message"),
    [(((60, 1), (0, 1)), "ticks: each once, rising"), (((-900_000, 1),), "ticks: an integer of -887272 to 887272")],
)
def test_a_pool_that_cannot_be_says_what_is_wrong(ticks: tuple[tuple[int, int], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ticks(sqrt_price_at_tick(0), 0, 1, 3_000, 60, ticks, 0, 0)
