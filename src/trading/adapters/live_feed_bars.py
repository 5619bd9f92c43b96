"""The bar-building rule of the ``market`` feed: closed bars only, nothing filled in, nothing from the future."""

from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final, NamedTuple

from trading.feeds.bar_rows import RowProblem, parse_row

_QUOTIENT: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)


class ClosedBar(NamedTuple):
    """A bar as received: open time in Unix seconds, prices in SOL per token, volume in tokens."""

    open_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def closed_bars(rows: Sequence[Sequence[Any]], interval_s: int, now_s: float, counts: Counter[str]) -> list[ClosedBar]:
    """Return the bars that are over at ``now_s``, oldest first, once each.

    Rows that are no bars, not on the grid, from the future or sent twice are left out and counted
    (``bar_invalid``, ``bar_off_grid``, ``bar_future``, ``bar_duplicate``). The newest, still running bar is left out
    without a count: every page has one.
    """
    found: dict[int, ClosedBar] = {}
    for row in rows:
        try:
            _, open_s, opened, high, low, close, volume = parse_row("bars", [_plain(value) for value in row])
        except (RowProblem, IndexError, ValueError):
            counts["bar_invalid"] += 1
            continue
        if open_s % interval_s:
            counts["bar_off_grid"] += 1
        elif open_s > now_s:
            counts["bar_future"] += 1
        elif open_s in found:
            counts["bar_duplicate"] += 1
        elif open_s + interval_s <= now_s:
            # The volume of a page asked for with currency=token is money; a bar counts tokens.
            tokens = _QUOTIENT.divide(volume, close)
            found[open_s] = ClosedBar(open_s, opened, high, low, close, tokens)
    return [found[open_s] for open_s in sorted(found)]


def deviation_bps(price: Decimal, reference: Decimal) -> int:
    """Return how far two prices lie apart, in bps of the reference."""
    return int(abs(price - reference) * 10_000 / reference)


def _plain(value: Any) -> Any:
    """Return a number as text, which is what ``parse_row`` reads fastest and exactly."""
    return value if isinstance(value, str) else str(value)
