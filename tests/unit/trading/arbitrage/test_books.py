"""An order book as a quote: never better than what the order then brings, whatever the book and the amount."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.arbitrage.books import Book, BookSide, PairTerms, given_for, least_in, order_for

pytestmark = pytest.mark.requirement("T15")
D = Decimal
TERMS = PairTerms("SOL/USDC", 9, 6, D("0.001"), D("0.01"), D("0.001"), D(5), 1_000)
BOOK = Book(((D("149.9"), D(50)), (D("149.5"), D(200))), ((D("150.1"), D(50)), (D("150.5"), D(200))), 0)
SOL, USDC = 10**9, 10**6


def test_a_sale_walks_the_bids_and_pays_the_takers_fee() -> None:
    assert given_for(TERMS, BOOK, BookSide.SELL, 10 * SOL) == 1_499 * USDC * 999 // 1_000
    across = 50 * D("149.9") + 10 * D("149.5")
    assert given_for(TERMS, BOOK, BookSide.SELL, 60 * SOL) == int(across * D("0.999") * USDC)


def test_what_is_less_than_a_step_is_not_traded_and_counted_as_spent() -> None:
    whole = given_for(TERMS, BOOK, BookSide.SELL, 10 * SOL)
    assert given_for(TERMS, BOOK, BookSide.SELL, 10 * SOL + SOL // 1_000 - 1) == whole


def test_a_purchase_never_costs_more_than_its_amount_at_the_worst_price() -> None:
    got = given_for(TERMS, BOOK, BookSide.BUY, 1_501 * USDC)
    assert got == int(D(10) * D("0.999") * SOL)
    wanted = order_for(TERMS, BOOK, BookSide.BUY, 1_501 * USDC, 9 * SOL)
    assert wanted is not None
    assert (wanted.base, wanted.price) == (D(10), D("150.1"))


@pytest.mark.parametrize("side", list(BookSide))
def test_beyond_the_depth_and_below_the_least_order_nothing_is_said(side: BookSide) -> None:
    assert given_for(TERMS, BOOK, side, 10**15) is None
    assert given_for(TERMS, BOOK, side, 10**3) is None
    assert order_for(TERMS, BOOK, side, 10**3, 1) is None


def test_an_order_that_the_book_cannot_meet_is_not_made() -> None:
    assert order_for(TERMS, BOOK, BookSide.BUY, 1_501 * USDC, 11 * SOL) is None
    with pytest.raises(ValueError, match="book"):
        order_for(TERMS, None, BookSide.BUY, 1_501 * USDC, 9 * SOL)


@pytest.mark.parametrize(
    ("bids", "asks", "said"),
    [
        (((D(2), D(1)),), ((D(2), D(1)),), "not below"),
        (((D(1), D(1)), (D(2), D(1))), (), "best first"),
        (((D(1), D(0)),), (), "above 0"),
    ],
)
def test_a_book_that_cannot_be_is_refused(
    bids: tuple[tuple[Decimal, Decimal], ...], asks: tuple[tuple[Decimal, Decimal], ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Book(bids, asks, 0)


@pytest.mark.parametrize(
    ("change", "said"), [({"taker_ppm": 1_000_000}, "taker_ppm"), ({"step": D(0)}, "step"), ({"tick": D(-1)}, "tick")]
)
def test_terms_that_cannot_be_are_refused(change: dict[str, Decimal], said: str) -> None:
    given_terms = {name: getattr(TERMS, name) for name in PairTerms.__slots__} | change
    with pytest.raises(ValueError, match=said):
        PairTerms(**given_terms)


def test_the_least_order_is_one_that_is_taken() -> None:
    for side in BookSide:
        least = least_in(TERMS, BOOK, side)
        assert least is not None
        assert given_for(TERMS, BOOK, side, least) is not None
    assert least_in(TERMS, Book((), BOOK.asks, 0), BookSide.SELL) is None


levels = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50_000)), min_size=1, max_size=6)


def book_of(steps: list[tuple[int, int]], other: list[tuple[int, int]]) -> Book:
    asks, bids, up, down = [], [], D(150), D(150)
    for tick, amount in steps:
        up += D(tick) / 100
        asks.append((up, D(amount) / 1_000))
    for tick, amount in other:
        down -= D(tick) / 100
        bids.append((down, D(amount) / 1_000))
    return Book(tuple(bids), tuple(asks), 0)


@settings(max_examples=150, deadline=None)
@given(levels, levels, st.sampled_from(BookSide), st.integers(1, 10**11), st.integers(0, 300))
def test_the_order_for_a_quote_spends_no_more_and_gives_no_less(
    asks: list[tuple[int, int]], bids: list[tuple[int, int]], side: BookSide, amount_in: int, slack_bps: int
) -> None:
    book = book_of(asks, bids)
    quoted = given_for(TERMS, book, side, amount_in)
    if quoted is None or quoted < 10**6:
        return
    least = quoted * (10_000 - slack_bps) // 10_000 - 1_000
    wanted = order_for(TERMS, book, side, amount_in, least)
    if wanted is None:
        assert slack_bps < 10  # what a tick and the rounding of fees may cost
        return
    got, left = D(0), wanted.base
    for price, amount in book.bids if side is BookSide.SELL else book.asks:
        if (price < wanted.price) if side is BookSide.SELL else (price > wanted.price):
            break
        got += min(left, amount) * price
        left -= min(left, amount)
    base = wanted.base - left
    if side is BookSide.SELL:
        assert base * SOL <= amount_in
        assert got * USDC * D("0.999") >= D(least) * base * SOL / amount_in
    else:
        assert wanted.base * wanted.price * USDC <= amount_in
        assert base * SOL * D("0.999") * amount_in >= least * got * USDC
