"""An offer against a second price: exact at every bound, and a price that is none counts as none."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.execution.price_check import Offered, PriceRules, deviation_bps, price_problem
from trading.model.chain import PricePoint

NOW_NS = 1_800_000_000 * 10**9
RULES = PriceRules(deviation_bps_max=300, exit_deviation_bps_max=2_000, age_s_max=60)
AMOUNTS = st.integers(min_value=1, max_value=2**64 - 1)


def point(numerator: int = 1, denominator: int = 1, age_ns: int = 0) -> PricePoint:
    return PricePoint("mint", "other", numerator, denominator, NOW_NS - age_ns)


def problem(lamports: int, units: int, at: PricePoint | None, *, is_buy: bool = True, is_exit: bool = False) -> str:
    return price_problem(Offered(is_buy, is_exit, lamports, units), at, NOW_NS, RULES)


@given(lamports=AMOUNTS, units=AMOUNTS, numerator=AMOUNTS, denominator=AMOUNTS)
def test_a_deviation_is_the_exact_one_rounded_away_from_zero(
    lamports: int, units: int, numerator: int, denominator: int
) -> None:
    exact = (Fraction(lamports * denominator, units * numerator) - 1) * 10_000
    found = deviation_bps(lamports, units, point(numerator, denominator))
    assert abs(exact) <= abs(found) < abs(exact) + 1
    assert found * exact >= 0


@given(lamports=AMOUNTS, units=AMOUNTS, numerator=AMOUNTS, denominator=AMOUNTS, is_buy=st.booleans())
def test_an_entry_is_taken_exactly_within_its_bounds(
    lamports: int, units: int, numerator: int, denominator: int, is_buy: bool
) -> None:
    ratio = Fraction(lamports * denominator, units * numerator)
    is_near = Fraction(9_700, 10_000) <= ratio <= Fraction(10_300, 10_000)
    assert (problem(lamports, units, point(numerator, denominator), is_buy=is_buy) == "") is is_near


@pytest.mark.parametrize(("lamports", "found"), [(10_300, ""), (9_700, ""), (10_301, "price_deviates")])
def test_the_bounds_themselves_are_taken(lamports: int, found: str) -> None:
    assert problem(lamports, 10_000, point()) == found


@pytest.mark.parametrize(
    ("is_buy", "lamports", "found"),
    [
        (False, 8_000, ""),
        (False, 7_999, "price_deviates"),
        (False, 50_000, ""),  # a sale that brings more is no loss
        (True, 12_000, ""),
        (True, 12_001, "price_deviates"),
        (True, 1, ""),
    ],
)
def test_an_exit_is_only_kept_back_by_a_loss(is_buy: bool, lamports: int, found: str) -> None:
    assert problem(lamports, 10_000, point(), is_buy=is_buy, is_exit=True) == found


@pytest.mark.parametrize(
    "at",
    [
        None,
        point(age_ns=60 * 10**9 + 1),
        point(age_ns=-60 * 10**9 - 1),
        point(numerator=0),
        point(denominator=0),
        point(numerator=-1, denominator=-1),
    ],
    ids=["missing", "old", "of the future", "zero", "of nothing", "negative"],
)
def test_without_a_price_nothing_is_entered_and_everything_left(at: PricePoint | None) -> None:
    assert problem(10_000, 10_000, at) == "no_second_price"
    assert problem(10_000, 10_000, at, is_buy=False, is_exit=True) == ""


@pytest.mark.parametrize("age_ns", [60 * 10**9, -60 * 10**9])
def test_a_price_at_the_edge_of_its_age_still_counts(age_ns: int) -> None:
    assert problem(20_000, 10_000, point(age_ns=age_ns)) == "price_deviates"


@pytest.mark.parametrize(("lamports", "units"), [(0, 1), (1, 0), (-1, 1)])
def test_an_offer_of_nothing_is_not_taken(lamports: int, units: int) -> None:
    assert problem(lamports, units, point(), is_exit=True) == "no_amount"
    with pytest.raises(ValueError, match="above 0"):
        deviation_bps(lamports, units, point())
