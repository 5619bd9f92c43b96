"""Units of money and size. Everything that is owned or owed is an int; SOL appears only at the edges."""

from decimal import Decimal
from typing import NewType

Lamports = NewType("Lamports", int)
BaseUnits = NewType("BaseUnits", int)
"""Smallest units of a token: 10**decimals of them are one token."""
Bps = NewType("Bps", int)

LAMPORTS_PER_SOL = 1_000_000_000
BPS_ONE = 10_000
NS_PER_S = 1_000_000_000


def sol_to_lamports(text: str | Decimal) -> Lamports:
    """Return exact lamports of a decimal SOL amount.

    Raises: ValueError when it is not finite or has more than nine decimals.
    """
    amount = Decimal(text)
    if not amount.is_finite():
        msg = f"a SOL amount must be finite, not {text}"
        raise ValueError(msg)
    scaled = amount * LAMPORTS_PER_SOL
    if scaled != scaled.to_integral_value():
        msg = f"a SOL amount has at most 9 decimals, not {text}"
        raise ValueError(msg)
    return Lamports(int(scaled))


def lamports_to_sol(lamports: int) -> Decimal:
    """Return the exact SOL amount."""
    return Decimal(lamports) / LAMPORTS_PER_SOL


def sol_text(lamports: int) -> str:
    """Return SOL as a plain decimal string without trailing zeros: 1500000000 -> "1.5"."""
    sign = "-" if lamports < 0 else ""
    whole, rest = divmod(abs(lamports), LAMPORTS_PER_SOL)
    return f"{sign}{whole}" + (f".{rest:09d}".rstrip("0") if rest else "")


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded up; the denominator is positive."""
    return -(-numerator // denominator)


def share_lamports(lamports: int, bps: int) -> int:
    """Return that share of a sum, rounded down."""
    return lamports * bps // BPS_ONE


def ratio_bps(part: int, whole: int) -> int:
    """Return part / whole in bps, rounded towards zero; 0 where the whole is not positive."""
    if whole <= 0:
        return 0
    return part * BPS_ONE // whole if part >= 0 else -(-part * BPS_ONE // whole)


def token_scale(decimals: int) -> int:
    """Return how many base units one whole token has."""
    scale: int = 10**decimals
    return scale


def sol_price_ratio(price_sol: Decimal, decimals: int) -> tuple[int, int]:
    """Return (lamports, base units): the exact price of a token given in SOL per whole token."""
    numerator, denominator = price_sol.as_integer_ratio()
    return numerator * LAMPORTS_PER_SOL, denominator * token_scale(decimals)
