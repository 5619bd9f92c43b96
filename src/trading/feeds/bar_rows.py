"""What makes a row of a bar file a bar: numbers, ranges, order, spacing. Shared by replay and by the quality check."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Final, NamedTuple

from trading.feeds.bar_files import Shape

TS_MIN_S: Final = 946_684_800  # 2000-01-01: anything earlier is not a time of this market
TS_MAX_S: Final = 7_258_118_400  # 2200-01-01: anything later is milliseconds, not seconds
PRICE_MIN: Final = Decimal("1e-24")
PRICE_MAX: Final = Decimal("1e12")
VOLUME_MAX: Final = Decimal("1e30")
_ZERO: Final = Decimal(0)


class RowProblem(Exception):
    """A row that is not a bar: ``kind`` for counting, the message for people."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ParsedRow(NamedTuple):
    """``ts_s`` is the bar's open. ``mint`` is "" in a file of one token; ``closes`` files have equal prices."""

    mint: str
    ts_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def parse_row(shape: Shape, values: Sequence[object]) -> ParsedRow:
    """Return the row's meaning. Raises RowProblem (nan, negative, zero, high_low, number, ts, mint)."""
    if shape == "closes":
        close = _price("close", values[1])
        return ParsedRow("", parse_ts(values[0]), close, close, close, close, _ZERO)
    mint = ""
    if shape == "tokens":
        mint = parse_mint(values[0])
        values = values[1:]
    ts_s = parse_ts(values[0])
    return _sound(mint, ts_s, values) or _explained(mint, ts_s, values)


def parse_mint(value: object) -> str:
    """Return the mint. Raises RowProblem (mint)."""
    mint = str(value or "").strip()
    if not 2 <= len(mint) <= 64:
        raise RowProblem("mint", f"mint is {mint[:80]!r}; expected 2 to 64 characters")
    return mint


def _sound(mint: str, ts_s: int, values: Sequence[object]) -> ParsedRow | None:
    """Return the row when nothing is wrong with it, in one go; None sends it to ``_explained``."""
    try:
        text = "".join(values[1:6])  # type: ignore[arg-type]  # what is no text is a TypeError and explained below
        opened, high, low, close, volume = map(Decimal, values[1:6])  # type: ignore[arg-type]
        if (
            PRICE_MIN <= low <= opened <= high <= PRICE_MAX
            and low <= close <= high
            and _ZERO <= volume <= VOLUME_MAX
            and text.isascii()
            and "_" not in text
        ):
            return ParsedRow(mint, ts_s, opened, high, low, close, volume)
    except (InvalidOperation, TypeError, ValueError):  # ordering a NaN is an InvalidOperation too
        pass
    return None


def _explained(mint: str, ts_s: int, values: Sequence[object]) -> ParsedRow:
    opened, high = _price("open", values[1]), _price("high", values[2])
    low, close = _price("low", values[3]), _price("close", values[4])
    if high < low:
        raise RowProblem("high_low", f"high {high} is below low {low}")
    if high < opened or high < close:
        raise RowProblem("high_low", f"high {high} is below open {opened} or close {close}")
    if low > opened or low > close:
        raise RowProblem("high_low", f"low {low} is above open {opened} or close {close}")
    volume = parse_decimal("volume", values[5])
    if volume < _ZERO:
        raise RowProblem("negative", f"volume is {volume}; it cannot be negative")
    if volume > VOLUME_MAX:
        raise RowProblem("number", f"volume is {volume}; at most {VOLUME_MAX}")
    return ParsedRow(mint, ts_s, opened, high, low, close, volume)


def check_order(previous_s: int | None, ts_s: int) -> None:
    """Raises RowProblem (duplicate, disorder) unless the row follows the one before it."""
    if previous_s is None or ts_s > previous_s:
        return
    if ts_s == previous_s:
        raise RowProblem("duplicate", f"ts {ts_s} stands there twice")
    raise RowProblem("disorder", f"ts {ts_s} comes after {previous_s}: rows must be in time order")


def detect_interval(times: Sequence[Sequence[int]]) -> int | None:
    """Return the most frequent distance between neighbours in seconds, the smaller of equals; None without any."""
    counts: Counter[int] = Counter()
    for series in times:
        counts.update(later - earlier for earlier, later in pairwise(series))
    if not counts:
        return None
    return min(counts, key=lambda distance: (-counts[distance], distance))


def parse_ts(value: object) -> int:
    """Return Unix seconds. Raises RowProblem (ts)."""
    plain = type(value) is str and len(value) == 10 and value.isascii() and value.isdecimal()
    number = int(str(value)) if plain else _odd_ts(value)
    if number > TS_MAX_S:
        raise RowProblem("ts", f"ts is {value}; expected Unix seconds, this looks like milliseconds or finer")
    if number < TS_MIN_S:
        raise RowProblem("ts", f"ts is {value}; expected Unix seconds after 2000-01-01")
    return number


def _odd_ts(value: object) -> int:
    try:
        number = _decimal(value) if isinstance(value, str) else Decimal(repr(value))
    except (InvalidOperation, ValueError) as exc:
        raise RowProblem("ts", f"ts is {str(value)[:60]!r}; expected Unix seconds") from exc
    if not number.is_finite():
        raise RowProblem("ts", f"ts is {number}; expected Unix seconds")
    # Before int(), and not by abs(), which would round: 1e999999999 is finite and would take all memory.
    if number.adjusted() > 18:
        return TS_MAX_S + 1
    if number != int(number):
        raise RowProblem("ts", f"ts is {number}; expected whole Unix seconds")
    return int(number)


def _price(column: str, value: object) -> Decimal:
    price = parse_decimal(column, value)
    if price <= _ZERO:
        kind, word = ("zero", "zero") if price == _ZERO else ("negative", "negative")
        raise RowProblem(kind, f"{column} is {price}; a price cannot be {word}")
    if not PRICE_MIN <= price <= PRICE_MAX:
        raise RowProblem("number", f"{column} is {price}; a price lies between {PRICE_MIN} and {PRICE_MAX}")
    return price


def parse_decimal(column: str, value: object) -> Decimal:
    """Return a finite number. Raises RowProblem (number, nan)."""
    try:
        number = value if isinstance(value, Decimal) else _decimal(value if isinstance(value, str) else repr(value))
    except (InvalidOperation, ValueError) as exc:
        raise RowProblem("number", f"{column} is {str(value)[:60]!r}; expected a number") from exc
    if not number.is_finite():
        raise RowProblem("nan", f"{column} is {number}; expected a finite number")
    return number


def _decimal(text: str) -> Decimal:
    """Return the number. Raises: InvalidOperation, ValueError; also for what Python alone takes for one (1_0, １)."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return Decimal(text)
