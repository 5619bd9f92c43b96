"""A bar is kept in few bytes without losing a digit, and many become one without losing a trade."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.adapters.stored_bars import StoredBar, apart, packed, taken_together, unpacked

S = 10**9
numbers = st.decimals(allow_nan=False, allow_infinity=False)
pytestmark = pytest.mark.requirement("D4")


def bar(start_s: int, prices: str, *, width_s: int = 300, grain_s: int = 0) -> StoredBar:
    opened, high, low, close = map(Decimal, prices.split())
    return StoredBar(start_s * S, (start_s + width_s) * S, opened, high, low, close, Decimal("1.5"), grain_s)


@given(st.tuples(numbers, numbers, numbers, numbers, numbers))
def test_every_number_comes_back_as_it_was(
    figures: tuple[Decimal, Decimal, Decimal, Decimal, Decimal],
) -> None:
    assert unpacked(packed(*figures)) == figures
    opened, high, low, close, volume = figures
    assert unpacked(f"{opened} {high} {low} {close} {volume}") == figures


def test_a_bar_of_the_market_takes_less_than_half_of_its_text() -> None:
    told = "0.0000123456789012 0.0000124456789012 0.0000122 0.00001231 12345.67890123456789012345"
    figures = unpacked(told)
    assert len(packed(*figures)) <= len(told) * 0.45
    assert len(packed(*unpacked("1 1 1 1 0"))) == 8


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "1E+5000", "1E-5000", "1." + "1" * 130])
def test_what_has_no_short_form_stays_text(odd: str) -> None:
    row = packed(Decimal(1), Decimal(odd), Decimal(1), Decimal(1), Decimal(1))
    assert isinstance(row, str)
    assert str(unpacked(row)[1]) == str(Decimal(odd))


def test_what_another_interval_told_of_the_same_time_is_left_out() -> None:
    hourly = bar(0, "1 2 1 2", width_s=3_600)
    later = bar(3_600, "2 2 2 2")
    assert apart([hourly, bar(300, "9 9 9 9"), later]) == [hourly, later]


def test_what_was_taken_together_stands_against_what_is_told_once_more() -> None:
    hour = bar(120, "1 2 1 2", width_s=3_480, grain_s=3_600)
    assert apart([bar(0, "9 9 9 9"), hour, bar(300, "9 9 9 9")]) == [hour]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(2, 12))
def test_taking_a_part_together_first_comes_to_the_same(data: st.DataObject, count: int) -> None:
    prices = st.decimals(Decimal("1E-12"), Decimal(10**9), allow_nan=False, places=12)
    told = [
        StoredBar(at * 60 * S, (at + 1) * 60 * S, *(data.draw(prices) for _ in range(4)), data.draw(prices))
        for at in range(count)
    ]
    cut = data.draw(st.integers(1, count))
    whole = taken_together(told, 3_600)
    assert taken_together([taken_together(told[:cut], 3_600), *told[cut:]], 3_600) == whole
    assert (whole.open, whole.close, whole.parts) == (told[0].open, told[-1].close, count)
    assert whole.volume == sum((each.volume for each in told), Decimal(0))
