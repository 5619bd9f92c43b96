"""Concentrated liquidity against a published implementation, number by number, and its refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from trading.execution import tick_math
from trading.execution.concentrated import TickPool, swap, tick_pool
from trading.execution.tick_math import SQRT_PRICE_MAX, SQRT_PRICE_MIN, TICK_MAX, TICK_MIN, sqrt_price_at_tick

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "support" / "concentrated_vectors.json").read_text(encoding="utf-8")
)
WIDE = ((-1_000, 10**12), (1_000, -(10**12)))


@pytest.mark.requirement("T9")
def test_every_price_of_a_tick_is_the_published_one() -> None:
    rows = [(tick, int(price)) for tick, price in VECTORS["ticks"]]
    assert {tick for tick, _ in rows} >= {TICK_MIN, -1, 0, 1, TICK_MAX}
    assert [(tick, sqrt_price_at_tick(tick)) for tick, _ in rows] == rows


def test_every_tick_of_a_price_is_the_published_one() -> None:
    rows = [(int(price), tick) for price, tick in VECTORS["inverses"]]
    assert len(rows) == 300
    assert [(price, tick_math.tick_at_sqrt_price(price)) for price, _ in rows] == rows


def test_amounts_between_two_prices_are_the_published_ones() -> None:
    assert len(VECTORS["deltas"]) == 120
    for row in VECTORS["deltas"]:
        one, other, liquidity, *amounts = map(int, row)
        found = [
            compute(one, other, liquidity, round_up=round_up)
            for compute in (tick_math.amount_a, tick_math.amount_b)
            for round_up in (True, False)
        ]
        assert found == amounts


def test_prices_after_an_amount_are_the_published_ones() -> None:
    assert len(VECTORS["next_prices"]) == 160
    for price, liquidity, amount, of_a, is_input, after in VECTORS["next_prices"]:
        move = tick_math.price_after_a if of_a else tick_math.price_after_b
        assert move(int(price), int(liquidity), int(amount), is_input=is_input) == int(after)


@pytest.mark.requirement("T9")
def test_swaps_through_many_ticks_are_the_published_ones() -> None:
    crossed = []
    for row in VECTORS["swaps"]:
        ticks = tuple((int(tick), int(net)) for tick, net in row["ticks"])
        pool = tick_pool(int(row["sqrt_price"]), row["fee_ppm"], ticks)
        assert pool.liquidity == int(row["liquidity"])
        gives_a = row["is_amount_a"] is row["is_input"]
        found = swap(pool, int(row["amount"]), is_input=row["is_input"], gives_a=gives_a)
        expected = (int(row["amount_in"]), int(row["amount_out"]), int(row["fee"]))
        assert (found.amount_in, found.amount_out, found.fee) == expected
        assert found.is_complete
        crossed.append(found.ticks_crossed)
    assert len(crossed) == 200
    assert sum(count >= 2 for count in crossed) >= 20


def test_a_swap_stops_at_its_price_limit() -> None:
    pool = tick_pool(tick_math.ONE, 3_000, WIDE)
    limit = sqrt_price_at_tick(-100)
    found = swap(pool, 10**15, is_input=True, gives_a=True, sqrt_price_limit=limit)
    assert (found.after.sqrt_price, found.is_complete, found.ticks_crossed) == (limit, False, 0)
    assert found.amount_in < 10**15


def test_a_swap_stops_where_the_liquidity_ends_and_says_so() -> None:
    pool = tick_pool(tick_math.ONE, 3_000, WIDE)
    for gives_a, edge in ((True, -1_000), (False, 1_000)):
        found = swap(pool, 10**18, is_input=True, gives_a=gives_a)
        assert (found.is_complete, found.ticks_crossed, found.after.liquidity) == (False, 1, 0)
        assert found.after.sqrt_price == sqrt_price_at_tick(edge)
        back = swap(found.after, 10**6, is_input=True, gives_a=not gives_a)
        assert back.is_complete
        assert back.after.liquidity == 10**12


def test_liquidity_beyond_a_hole_is_found() -> None:
    ticks = ((-100, 10**12), (100, -(10**12)), (500, 10**12), (600, -(10**12)))
    found = swap(tick_pool(tick_math.ONE, 0, ticks), 7 * 10**9, is_input=True, gives_a=False)
    assert found.is_complete
    assert (found.ticks_crossed, 500 <= found.after.tick < 600) == (2, True)


def test_an_amount_that_the_fee_eats_does_not_put_the_price_back_over_an_edge() -> None:
    pool = tick_pool(tick_math.ONE, 100, ((-1, 1), (0, -1)))
    after = swap(pool, 1, is_input=True, gives_a=True).after
    assert (after.tick, after.liquidity, after.sqrt_price) == (-1, 1, tick_math.ONE)


def test_nothing_in_gives_nothing_out() -> None:
    pool = tick_pool(tick_math.ONE, 3_000, WIDE)
    found = swap(pool, 0, is_input=True, gives_a=True)
    assert (found.amount_in, found.amount_out, found.fee, found.after) == (0, 0, 0, pool)


@pytest.mark.parametrize("tick", [TICK_MIN - 1, TICK_MAX + 1])
def test_a_tick_outside_of_the_range_is_refused(tick: int) -> None:
    with pytest.raises(ValueError, match=f"not {tick}"):
        sqrt_price_at_tick(tick)
    with pytest.raises(ValueError, match=f"not {tick}"):
        tick_pool(tick_math.ONE, 0, ((tick, 1),))


@pytest.mark.parametrize("price", [SQRT_PRICE_MIN - 1, SQRT_PRICE_MAX + 1])
def test_a_price_outside_of_the_range_is_refused(price: int) -> None:
    with pytest.raises(ValueError, match="sqrt_price"):
        tick_math.tick_at_sqrt_price(price)


def test_what_is_no_pool_and_no_swap_is_refused() -> None:
    with pytest.raises(ValueError, match="fee_ppm"):
        tick_pool(tick_math.ONE, 1_000_000, ())
    with pytest.raises(ValueError, match="liquidity above tick 5"):
        tick_pool(tick_math.ONE, 0, ((5, -1),))
    pool: TickPool = tick_pool(tick_math.ONE, 0, WIDE)
    with pytest.raises(ValueError, match="amount"):
        swap(pool, -1, is_input=True, gives_a=True)
    with pytest.raises(ValueError, match="sqrt_price_limit"):
        swap(pool, 1, is_input=True, gives_a=True, sqrt_price_limit=tick_math.ONE + 1)
    for move in (tick_math.price_after_a, tick_math.price_after_b):
        with pytest.raises(ValueError, match="less than"):
            move(tick_math.ONE, 10, 11, is_input=False)
