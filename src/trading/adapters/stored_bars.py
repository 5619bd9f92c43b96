"""Bars as the desk keeps them for charts: what they are, how few bytes they take, how many become one.

A row's prices are whole numbers of one decimal place, three of them as their distance from the open; each number takes
a byte for its length and as few bytes as it has. What has no such form, and what earlier versions wrote, is text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Any, Final

_DIGITS_MAX: Final = 120
_PACKING: Final = Context(prec=_DIGITS_MAX, traps=[Inexact, InvalidOperation, Overflow])
_WIDE: Final = Context(prec=1_000)
"""More digits than a packed number or the sum of any real volumes has."""

Packed = bytes | str


@dataclass(frozen=True, slots=True)
class StoredBar:
    """SOL per whole token, volume in tokens. ``grain_s``: 0 for a bar as the market told it, else the length of the
    stretch of time (an hour, a day, UTC) whose ``parts`` bars this one was made of; it reaches from the opening of
    their first to the close of their last."""

    open_ns: int
    close_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    grain_s: int = 0
    parts: int = 1


def packed(opened: Decimal, high: Decimal, low: Decimal, close: Decimal, volume: Decimal) -> Packed:
    """Return the figures of a bar in few bytes; ``unpacked`` gives the same numbers back."""
    prices = (opened, high, low, close)
    try:
        places = max(_places(price) for price in prices)
        first, *others = (int(price.scaleb(places, _PACKING)) for price in prices)
        volume_places = _places(volume)
        numbers = (places, first, *(each - first for each in others))
        numbers += (volume_places, int(volume.scaleb(volume_places, _PACKING)))
        return b"".join(map(_spelt, numbers))
    except (Inexact, InvalidOperation, Overflow, ValueError, OverflowError):
        return f"{opened} {high} {low} {close} {volume}"


def unpacked(row: Packed) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal]:
    """Return open, high, low, close and volume. Raises: ValueError (not a row of bars)."""
    if isinstance(row, str):
        opened, high, low, close, volume = map(Decimal, row.split())
        return opened, high, low, close, volume
    places, first, to_high, to_low, to_close, volume_places, volume_units = _numbers(row)
    return (
        Decimal(first).scaleb(-places, _WIDE),
        Decimal(first + to_high).scaleb(-places, _WIDE),
        Decimal(first + to_low).scaleb(-places, _WIDE),
        Decimal(first + to_close).scaleb(-places, _WIDE),
        Decimal(volume_units).scaleb(-volume_places, _WIDE),
    )


def stored(row: Any) -> StoredBar:
    """Return the bar of a row of the database: ``open_ns``, ``width_ns``, ``grain_s``, ``parts``, ``ohlcv``."""
    close_ns = row.open_ns + row.width_ns
    return StoredBar(row.open_ns, close_ns, *unpacked(row.ohlcv), row.grain_s, row.parts)


def apart(bars: Iterable[StoredBar]) -> list[StoredBar]:
    """Leave out what lies within the bar before, of bars in order: feeds of another interval may have told of the same
    time. What was taken together stands against what is told of its time once more."""
    kept: list[StoredBar] = []
    for bar in bars:
        while kept and kept[-1].close_ns > bar.open_ns and kept[-1].grain_s < bar.grain_s:
            kept.pop()
        if not kept or bar.open_ns >= kept[-1].close_ns:
            kept.append(bar)
    return kept


def taken_together(bars: Sequence[StoredBar], grain_s: int) -> StoredBar:
    """Return the one bar that these come to, in order and apart; taking a part of them together first is the same."""
    first, last = bars[0], bars[-1]
    volume = first.volume
    for bar in bars[1:]:
        volume = _WIDE.add(volume, bar.volume)
    return StoredBar(
        first.open_ns,
        last.close_ns,
        first.open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        last.close,
        volume,
        max(grain_s, *(bar.grain_s for bar in bars)),
        sum(bar.parts for bar in bars),
    )


def _places(value: Decimal) -> int:
    """Return how many decimal places a number has, never fewer than none. Raises: ValueError (not a number)."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or not -_DIGITS_MAX <= exponent <= _DIGITS_MAX:
        msg = f"{value} has no place among prices"
        raise ValueError(msg)
    return max(0, -exponent)


def _spelt(number: int) -> bytes:
    length = (number.bit_length() + 8) // 8 if number else 0
    return bytes((length,)) + number.to_bytes(length, "big", signed=True)


def _numbers(row: bytes) -> list[int]:
    found, at = [], 0
    while at < len(row):
        end = at + 1 + row[at]
        found.append(int.from_bytes(row[at + 1 : end], "big", signed=True))
        at = end
    return found
