from decimal import Decimal

import pytest

from trading.model.units import (
    ceil_div,
    lamports_to_sol,
    ratio_bps,
    share_lamports,
    smallest_units,
    sol_price_ratio,
    sol_text,
    sol_to_lamports,
    token_scale,
)


@pytest.mark.parametrize(
    ("text", "lamports"), [("2", 2_000_000_000), ("0.000000001", 1), (Decimal("1.5"), 1_500_000_000)]
)
def test_a_sol_amount_becomes_exact_lamports(text: str | Decimal, lamports: int) -> None:
    assert sol_to_lamports(text) == lamports
    assert lamports_to_sol(lamports) == Decimal(text)


@pytest.mark.parametrize("text", ["1e999999", "1e9", "1_0", "٢", "", "two", "1,5", "0x10", "1 000", ".", "1e-400"])
def test_what_a_person_may_not_have_meant_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="expected a plain decimal number"):
        sol_to_lamports(text)


def test_an_amount_is_exact_whatever_the_decimal_context_holds() -> None:
    assert sol_to_lamports(" 123456789012345678901234567890.000000001 ") == 123456789012345678901234567890000000001
    assert sol_to_lamports(Decimal("2E+1")) == 20_000_000_000
    with pytest.raises(ValueError, match="at most 9 decimals"):
        sol_to_lamports("1." + "0" * 40 + "1")
    with pytest.raises(ValueError, match="plain decimal"):
        sol_to_lamports(Decimal("1e999999"))
    assert smallest_units("-0.5", 6) == -500_000


@pytest.mark.parametrize("text", ["NaN", "Infinity", "0.0000000001"])
def test_an_amount_that_is_no_whole_number_of_lamports_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        sol_to_lamports(text)


@pytest.mark.parametrize(
    ("lamports", "text"), [(1_500_000_000, "1.5"), (-1, "-0.000000001"), (0, "0"), (2 * 10**9, "2")]
)
def test_sol_is_written_without_trailing_zeros(lamports: int, text: str) -> None:
    assert sol_text(lamports) == text


def test_ratios_round_towards_zero_and_divisions_up() -> None:
    assert (ratio_bps(1, 3), ratio_bps(-1, 3), ratio_bps(1, 0), ratio_bps(1, -5)) == (3_333, -3_333, 0, 0)
    assert (ceil_div(10, 5), ceil_div(11, 5), ceil_div(-11, 5)) == (2, 3, -2)
    assert share_lamports(999, 5_000) == 499


def test_a_price_becomes_an_exact_ratio_of_lamports_to_base_units() -> None:
    lamports, base_units = sol_price_ratio(Decimal("0.0000001234"), 5)
    assert lamports * token_scale(9) * 10**10 == 1_234 * 10**9 * 10**9 * (base_units // 10**5)
    assert token_scale(0) == 1
