"""Units of money and size. Everything that is owned or owed is an int; SOL appears only at the edges."""

import re
from decimal import Decimal
from typing import Final, NewType

Lamports = NewType("Lamports", int)
BaseUnits = NewType("BaseUnits", int)
"""Smallest units of a token: 10**decimals of them are one token."""
Bps = NewType("Bps", int)

LAMPORTS_PER_SOL = 1_000_000_000
LAMPORTS_MAX = 10**18
"""A billion SOL, more than there are. Sums of a few such fit into 64 bits, which is what JSON readers hold."""
BASE_UNITS_MAX = 2**64 - 1
"""A token account on Solana holds its amount in 64 bits."""
BPS_ONE = 10_000
NS_PER_S = 1_000_000_000
SOL_DECIMALS: Final = 9
# No exponent, no underscore, no digit of another script: what a person did not mean must not become money.
_PLAIN_DECIMAL: Final = re.compile(r"(?P<sign>[+-]?)(?P<whole>\d{1,30})(\.(?P<rest>\d{0,60}))?", re.ASCII)


def smallest_units(text: str | Decimal, decimals: int) -> int:
    """Return how many smallest units a decimal amount is, exactly: ("1.5", 9) -> 1500000000.

    Raises: ValueError when it is not finite, no plain decimal number, or has more than ``decimals`` decimals.
    """
    if isinstance(text, Decimal) and text.is_finite() and abs(text.adjusted()) < 60:
        text = f"{text:f}"
    given = str(text)[:60]
    if given.strip().lower().lstrip("+-") in ("nan", "snan", "inf", "infinity"):
        msg = f"must be finite, not {given}"
        raise ValueError(msg)
    found = _PLAIN_DECIMAL.fullmatch(str(text).strip())
    if found is None:
        msg = f"expected a plain decimal number such as 2 or 0.5, not {given!r}"
        raise ValueError(msg)
    rest = (found["rest"] or "").rstrip("0")
    if len(rest) > decimals:
        msg = f"has at most {decimals} decimals, not {given}"
        raise ValueError(msg)
    units = int(found["whole"] + rest.ljust(decimals, "0"))
    return -units if found["sign"] == "-" else units


def sol_to_lamports(text: str | Decimal) -> Lamports:
    """Return exact lamports of a decimal SOL amount.

    Raises: ValueError when it is not finite, no plain decimal number, or has more than nine decimals.
    """
    try:
        return Lamports(smallest_units(text, SOL_DECIMALS))
    except ValueError as error:
        msg = f"a SOL amount {error}" if str(error).startswith(("must", "has")) else str(error)
        raise ValueError(msg) from error


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
