"""Lots conserve what was bought and what it cost, to the smallest unit, whatever is sold in whatever parts."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import IllegalTransition, LedgerMismatch
from trading.portfolio.lots import Lot, LotBook, Method

PURCHASE = st.tuples(st.integers(1, 10**12), st.integers(0, 10**15), st.one_of(st.none(), st.integers(0, 10**15)))
STEPS = st.lists(st.one_of(PURCHASE, st.floats(0, 1)), max_size=40)
METHODS = st.sampled_from(list(Method))


def played(steps: list[Any], method: Method) -> tuple[LotBook, list[Lot], list[list[Lot]]]:
    """Buy, and sell shares of what is held; return the book, what was bought, and what each sale took."""
    book, bought, sales = LotBook(method), [], []
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            lot = Lot(f"o{number}", number, *step)
            bought.append(Lot(f"o{number}", number, *step))
            book.add("m", lot)
        elif (held := book.held_base_units("m")) and (units := round(held * step)):
            sales.append(book.take("m", min(held, units)))
    return book, bought, sales


@given(STEPS, METHODS)
def test_units_and_cost_of_every_lot_are_conserved(steps: list[Any], method: Method) -> None:
    book, bought, sales = played(steps, method)
    parts = [part for sale in sales for part in sale] + book.left().get("m", [])
    for lot in bought:
        ours = [part for part in parts if part.order_id == lot.order_id]
        assert sum(part.base_units for part in ours) == lot.base_units
        assert sum(part.cost_lamports for part in ours) == lot.cost_lamports
        assert all(part.cost_lamports >= 0 for part in ours)
        if lot.cost_micro is None:
            assert all(part.cost_micro is None for part in ours)
        else:
            assert sum(part.cost_micro or 0 for part in ours) == lot.cost_micro
    assert sum(part.base_units for part in parts) == sum(lot.base_units for lot in bought)


@given(STEPS)
def test_fifo_sells_the_oldest_first(steps: list[Any]) -> None:
    _, _, sales = played(steps, Method.FIFO)
    acquired = [part.acquired_ns for sale in sales for part in sale]
    assert acquired == sorted(acquired)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**12)), min_size=1, max_size=20), st.floats(0, 1))
def test_hifo_sells_what_cost_most_a_unit_first(purchases: list[tuple[int, int]], share: float) -> None:
    book = LotBook(Method.HIFO)
    for number, (units, cost) in enumerate(purchases):
        book.add("m", Lot(f"o{number}", number, units, cost, None))
    taken = book.take("m", max(1, round(book.held_base_units("m") * share)))
    price = {f"o{n}": Fraction(cost, units) for n, (units, cost) in enumerate(purchases)}
    order = [price[part.order_id] for part in taken]
    assert order == sorted(order, reverse=True)
    left = {lot.order_id for lot in book.left().get("m", [])} - {taken[-1].order_id}
    assert all(price[name] <= order[-1] for name in left)


@given(STEPS)
def test_once_all_is_sold_both_methods_have_the_same_cost(steps: list[Any]) -> None:
    costs = []
    for method in Method:
        book, _, sales = played(steps, method)
        if held := book.held_base_units("m"):
            sales.append(book.take("m", held))
        assert book.left() == {}
        costs.append(sum(part.cost_lamports for sale in sales for part in sale))
    assert costs[0] == costs[1]


@pytest.mark.parametrize("units", [0, -1, 11])
def test_more_than_there_is_cannot_be_sold(units: int) -> None:
    book = LotBook(Method.FIFO)
    book.add("m", Lot("o", 0, 10, 5, 5))
    with pytest.raises(LedgerMismatch, match="lots that hold 10"):
        book.take("m", units)
    assert book.held_base_units("m") == 10


def test_a_lot_of_nothing_is_none() -> None:
    with pytest.raises(IllegalTransition, match="0 base units is none"):
        LotBook(Method.FIFO).add("m", Lot("o", 0, 0, 5, None))


def test_the_cost_in_the_currency_decides_where_it_is_known_of_every_lot() -> None:
    for known, first in ((3, "dear in fiat"), (None, "dear in SOL")):
        book = LotBook(Method.HIFO)
        book.add("m", Lot("dear in SOL", 0, 10, 90, 10))
        book.add("m", Lot("dear in fiat", 1, 10, 10, 90))
        book.add("m", Lot("last", 2, 10, 1, known))
        assert book.take("m", 10)[0].order_id == first
