"""Recorded swaps as an order-flow feed: every swap is told, and the bars are made from them.

Rules (docs/feeds.md): a swap is known with the bar that it lies in. What it says about the price depends on its size:
from ``LARGE_LAMPORTS`` on it is believed; a smaller one, of which fees, rounding and legs through other pools may be a
large part, only within ``CHART_FACTOR`` of the price at which most of the bar's money was swapped.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, NamedTuple

from trading.errors import DataError
from trading.feeds.bar_files import BarFile, read_rows
from trading.feeds.bar_rows import VOLUME_MAX, RowProblem, parse_decimal, parse_mint, parse_ts
from trading.feeds.instruments import LAUNCH_DECIMALS
from trading.model.market_data import Bar, Swap
from trading.model.order import Side
from trading.model.units import BASE_UNITS_MAX, LAMPORTS_MAX, LAMPORTS_PER_SOL, NS_PER_S, token_scale

INTERVAL_S_DEFAULT: Final = 5
"""The length of the bars where the file's name says none."""
DUST_LAMPORTS: Final = LAMPORTS_PER_SOL // 1_000
LARGE_LAMPORTS: Final = LAMPORTS_PER_SOL // 2
ENOUGH_LAMPORTS: Final = LAMPORTS_PER_SOL // 20
"""With less money in a bar its price is held against what was told before."""
CHART_FACTOR: Final = 4
_QUOTIENT: Final = Context(prec=18, rounding=ROUND_HALF_EVEN)
_SOL_PER_UNIT_SCALE: Final = LAUNCH_DECIMALS - 9


class SwapRow(NamedTuple):
    """One row of a swap file. ``venue`` and ``trader`` are "" where the file has no such column."""

    mint: str
    ts_s: int
    side: Side
    lamports: int
    base_units: int
    venue: str
    trader: str


@dataclass(slots=True)
class SwapSeries:
    """One token's swaps in time order. ``numbers`` are their rows."""

    mint: str
    rows: list[SwapRow] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class SwapGroup(NamedTuple):
    """The swaps of one bar length, and the bar that they make: None where no swap says a price."""

    bar: Bar | None
    swaps: tuple[Swap, ...]


def parse_swap(columns: Sequence[str], values: Sequence[object]) -> SwapRow:
    """Return a row's meaning; ``columns`` are the names of its values. Raises RowProblem (mint, ts, side, number, nan,
    negative)."""
    row = dict(zip(columns, values, strict=True))
    side = str(row["side"] or "").strip().lower()
    if side not in ("buy", "sell"):
        raise RowProblem("side", f"side is {side[:20]!r}; expected buy or sell")
    return SwapRow(
        mint=parse_mint(row["mint"]),
        ts_s=parse_ts(row["ts"]),
        side=Side(side),
        lamports=_amount("sol", row["sol"], LAMPORTS_PER_SOL, LAMPORTS_MAX),
        base_units=_amount("tokens", row["tokens"], token_scale(LAUNCH_DECIMALS), BASE_UNITS_MAX),
        venue=str(row.get("venue") or "").strip(),
        trader=str(row.get("trader_id") or "").strip(),
    )


def check_swap_order(previous_s: int | None, ts_s: int) -> None:
    """Raises RowProblem (disorder) for a swap of before the one before it; many may share a second."""
    if previous_s is not None and ts_s < previous_s:
        raise RowProblem("disorder", f"ts {ts_s} comes after {previous_s}: swaps of a token must be in time order")


def load_swaps(file: BarFile) -> list[SwapSeries]:
    """Return the swaps of each token. Raises DataError naming file and row."""
    by_mint: dict[str, SwapSeries] = {}
    for number, values in read_rows(file):
        try:
            row = parse_swap(file.names, values)
            series = by_mint.setdefault(row.mint, SwapSeries(row.mint))
            check_swap_order(series.rows[-1].ts_s if series.rows else None, row.ts_s)
        except RowProblem as problem:
            msg = f"{file.name}: row {number}: {problem}"
            raise DataError(msg, field="data") from problem
        series.rows.append(row)
        series.numbers.append(number)
    if not by_mint:
        msg = f"{file.name}: no rows below the header"
        raise DataError(msg, field="data")
    return [by_mint[mint] for mint in sorted(by_mint)]


def grouped(file: BarFile, series: SwapSeries, interval_s: int) -> Iterator[SwapGroup]:
    """Yield the swaps bar by bar in time order, without dust and legs of routes."""
    own_venue = _own_venue(series)
    close_before: Decimal | None = None
    told_before: Decimal | None = None
    pending: list[tuple[int, SwapRow]] = []
    for number, row in [*zip(series.numbers, series.rows, strict=True), (0, None)]:
        if pending and (row is None or row.ts_s // interval_s != pending[0][1].ts_s // interval_s):
            group = _group(file, pending, interval_s, (close_before, told_before))
            close_before = close_before if group.bar is None else group.bar.close
            told_before = price_sol(group.swaps[-1])
            yield group
            pending = []
        if row is not None and row.venue == own_venue and row.lamports >= DUST_LAMPORTS and row.base_units:
            pending.append((number, row))


def _own_venue(series: SwapSeries) -> str:
    """Return the venue that most rows name, the first in the alphabet of equals: the others are routers, whose rows may
    be of other pools as well."""
    counts = Counter(row.venue for row in series.rows)
    return min(counts, key=lambda venue: (-counts[venue], venue))


def _group(
    file: BarFile,
    rows: Sequence[tuple[int, SwapRow]],
    interval_s: int,
    before: tuple[Decimal | None, Decimal | None],
) -> SwapGroup:
    first = rows[0][1]
    open_ns = first.ts_s // interval_s * interval_s * NS_PER_S
    close_ns = open_ns + interval_s * NS_PER_S
    swaps = tuple(
        Swap(
            ts_ns=close_ns,
            swapped_ns=row.ts_s * NS_PER_S,
            mint=row.mint,
            side=row.side,
            base_units=row.base_units,
            lamports=row.lamports,
            source=file.source(number),
            trader=row.trader,
        )
        for number, row in rows
    )
    charted = _charted(swaps, *before)
    if not charted:
        return SwapGroup(None, swaps)
    prices = [price_sol(swap) for swap in charted]
    volume = Decimal(sum(swap.base_units for swap in charted)).scaleb(-LAUNCH_DECIMALS)
    times = (open_ns, close_ns)
    ohlc = (prices[0], max(prices), min(prices), prices[-1])
    return SwapGroup(Bar(first.mint, *times, *ohlc, volume, None, None, charted[-1].source), swaps)


def _charted(swaps: Sequence[Swap], close_before: Decimal | None, told_before: Decimal | None) -> list[Swap]:
    """Return the swaps whose price is believed, in order. A token's first bar needs a large one."""
    large = [swap for swap in swaps if swap.lamports >= LARGE_LAMPORTS]
    if close_before is None and not large:
        return []
    if close_before is None:
        near = [_middle_price(large)]
    elif sum(swap.lamports for swap in swaps) >= ENOUGH_LAMPORTS:
        near = [_middle_price(swaps)]
    else:
        # The swap before counts too: a token that fell far and is hardly traded since must not keep its old price.
        near = [price for price in (close_before, told_before) if price is not None]
    return [
        swap
        for swap in swaps
        if swap.lamports >= LARGE_LAMPORTS
        or any(price / CHART_FACTOR <= price_sol(swap) <= price * CHART_FACTOR for price in near)
    ]


def _middle_price(swaps: Sequence[Swap]) -> Decimal:
    """Return the price at which half of the money was swapped at that or less."""
    by_price = sorted((price_sol(swap), swap.lamports) for swap in swaps)
    half = sum(lamports for _, lamports in by_price) // 2
    passed = 0
    for price, lamports in by_price:
        passed += lamports
        if passed > half:
            return price
    return by_price[-1][0]


def price_sol(swap: Swap) -> Decimal:
    """Return what its trader paid or got for a whole token."""
    return _QUOTIENT.divide(Decimal(swap.lamports), Decimal(swap.base_units)).scaleb(_SOL_PER_UNIT_SCALE)


def _amount(column: str, value: object, scale: int, most: int) -> int:
    number = parse_decimal(column, value)
    if number < 0:
        raise RowProblem("negative", f"{column} is {number}; an amount cannot be negative")
    if number > VOLUME_MAX or int(number * scale) > most:
        raise RowProblem("number", f"{column} is {number}; at most {most // scale}")
    return int(number * scale)
