"""A token's volatility from its hourly returns: of whole numbers, of the hours that are kept, and None for too few."""

import math
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.scripted_market import MINT

from trading.model.market_data import Bar
from trading.risk.returns import PERIOD_NS, RETURNS_MAX, VOLATILITY_HOURS_MIN, ReturnBook

pytestmark = pytest.mark.requirement("T18")


def hourly(number: int, price: Decimal) -> Bar:
    ends_ns = (number + 1) * PERIOD_NS
    prices = (price, price, price, price)
    return Bar(MINT, ends_ns - PERIOD_NS, ends_ns, *prices, Decimal(1), None, None, f"script:{number}")


def sampled(prices: Sequence[int]) -> ReturnBook:
    book = ReturnBook()
    for number, price in enumerate(prices):
        bar = hourly(number, Decimal(price))
        book.sample(bar.ts_close_ns, [bar])
    return book


def expected_bps(prices: Sequence[int]) -> int | None:
    moves = [round(after / before * 1_000_000) - 1_000_000 for before, after in pairwise(prices)]
    kept = moves[-RETURNS_MAX:]
    if len(kept) < VOLATILITY_HOURS_MIN:
        return None
    return -(-math.isqrt(24 * sum(each * each for each in kept) // len(kept)) // 100)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_volatility_is_that_of_the_returns_that_are_kept(prices: list[int]) -> None:
    assert sampled(prices).volatility_day_bps(MINT) == expected_bps(prices)


def test_returns_that_are_kept_no_more_count_no_more() -> None:
    prices = [1_000, 2_000] + [1_000 + number % 3 for number in range(RETURNS_MAX + 5)]
    assert sampled(prices).volatility_day_bps(MINT) == expected_bps(prices)
    assert expected_bps(prices) != expected_bps(prices[: RETURNS_MAX // 2])


def test_a_token_that_begins_anew_or_is_learned_from_its_past_has_the_volatility_of_that() -> None:
    prices = [100 + 7 * (number % 4) for number in range(20)]
    book = sampled(prices)
    silent = 22
    book.sample(silent * PERIOD_NS, [None])
    assert book.volatility_day_bps(MINT) is None
    learned = ReturnBook()
    learned.learn(20 * PERIOD_NS, [hourly(number, Decimal(price)) for number, price in enumerate(prices)])
    assert learned.volatility_day_bps(MINT) == expected_bps(prices)
