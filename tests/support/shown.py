"""Figures as people read them, written by the rules of the page and not by its code: exact decimals, half away from 0.

What the page shows is compared with what these make of the API's answer.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

NARROW = "\u202f"
MINUS = "\u2212"
NOTHING = "\u2013"
JOIN = " \u00b7 "
SOL = Decimal(10) ** 9

Document = dict[str, Any]


def fixed(value: Decimal, places: int) -> str:
    """Return the number with thousands grouped by narrow spaces; what rounds to nothing has no sign."""
    rounded = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    text = f"{abs(rounded):,.{places}f}".replace(",", NARROW)
    return f"{MINUS}{text}" if rounded < 0 else text


def sol(lamports: int, places: int = 4) -> str:
    """Return SOL; a sum that would round to nothing keeps all nine decimals."""
    value = Decimal(lamports) / SOL
    is_lost = lamports != 0 and value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) == 0
    return fixed(value, 9 if is_lost else places)


def signed_sol(lamports: int) -> str:
    return f"+{sol(lamports)}" if lamports > 0 else sol(lamports)


def moved(amount: Document) -> str:
    """Return a gain or a loss with its arrow."""
    lamports = amount["lamports"]
    arrow = "" if lamports == 0 else "\u25b2 " if lamports > 0 else "\u25bc "
    return f"{arrow}{signed_sol(lamports)} SOL"


def usd(text: str) -> str:
    value = Decimal(text)
    return fixed(value, 4 if 0 < abs(value) < Decimal("0.01") else 2)


def dollars(amount: Document, sol_usd: str | None = None) -> str:
    """Return what a sum is worth: as the API says, else at that price of SOL."""
    if amount.get("usd") is not None:
        return f"{usd(amount['usd'])} USD"
    if sol_usd is None:
        return "USD price unknown"
    value = (amount["lamports"] / SOL * Decimal(sol_usd)).quantize(Decimal("1e-6"), ROUND_DOWN)
    return f"{usd(str(value))} USD"


def percent(bps: float, places: int = 2) -> str:
    return f"{fixed(Decimal(bps) / 100, places)}{NARROW}%"


def signed_percent(bps: float, places: int = 2) -> str:
    return f"+{percent(bps, places)}" if bps > 0 else percent(bps, places)


def count(number: int) -> str:
    return fixed(Decimal(number), 0)


def counted(number: int, one: str, more: str | None = None) -> str:
    return f"{count(number)} {one if number == 1 else more or one + 's'}"


def decimal(text: str, digits: int = 6) -> str:
    """Return so many digits that count, the rest cut off: an amount is never said to be more than it is."""
    value = Decimal(text)
    places = digits - 1 - value.adjusted() if value else 0
    cut = value.quantize(Decimal(1).scaleb(-max(0, places)), ROUND_DOWN)
    text = fixed(cut, max(0, places))
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """Return "0.4 s", "12 s", "3 min 5 s", "2 h 10 min" or "4 d 3 h"."""
    if seconds < 9.95:
        return "0 s" if seconds < 0.05 else f"{fixed(Decimal(seconds), 1)} s"
    whole = int(Decimal(seconds).quantize(Decimal(1), ROUND_HALF_UP))
    for big, name, small, rest in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= big:
            left = whole % big // small
            return f"{whole // big} {name} {left} {rest}" if left else f"{whole // big} {name}"
    return f"{whole} s"


def precise(seconds: float) -> str:
    """Return a short time with three digits that count."""
    if seconds >= 10:
        return duration(seconds)
    if seconds >= 1:
        return f"{fixed(Decimal(seconds), 2)} s"
    ms = Decimal(seconds * 1_000)
    return "0 ms" if ms < Decimal("0.005") else f"{fixed(ms, 0 if ms >= 100 else 1 if ms >= 10 else 2)} ms"


def words(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def limit_name(name: str) -> str:
    return words(name.removesuffix("_max").removesuffix("_bps").removesuffix("_lamports").removesuffix("_s"))


def in_unit(value: int, unit: str) -> str:
    named = {"bps": percent, "lamports": lambda each: f"{sol(each)} SOL", "s": duration}
    return named[unit](value) if unit in named else f"{count(value)} {unit}"


def cut(text: str, length_max: int) -> str:
    """Return a text as long as it is shown."""
    flat = re.sub(r"[\n\t]+", " ", text).strip()
    return flat if len(flat) <= length_max else f"{flat[: length_max - 1]}\u2026"


def address(mint: str) -> str:
    return mint if len(mint) <= 12 else f"{mint[:4]}\u2026{mint[-4:]}"


def at(ts: str) -> datetime:
    return datetime.fromisoformat(ts).astimezone(UTC)


INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})")


def timed(text: str) -> list[str]:
    """Return a sentence of the server in the pieces that are shown: each instant is one of its own."""
    pieces = re.split(f"({INSTANT.pattern})", text)
    return [short(each) if INSTANT.fullmatch(each) else each.strip() for each in pieces if each.strip()]


def full(ts: str) -> str:
    return f"{at(ts):%Y-%m-%d %H:%M:%S} UTC"


def short(ts: str) -> str:
    return f"{at(ts):%m-%d %H:%M} UTC"


def clock(ts: str) -> str:
    return f"{at(ts):%H:%M:%S} UTC"


def between(since: str, until: str) -> float:
    """Return the seconds from one instant to another."""
    return (at(until) - at(since)) / timedelta(seconds=1)
