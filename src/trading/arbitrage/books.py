"""What an exact amount into the order book of an exchange gives, and which order asks for no less than that.

Amounts are ints of the smallest units in which the desk counts a token, which can be finer than the exchange's. The
taker's fee is taken off what is received. Everything is rounded against the desk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from enum import StrEnum
from itertools import pairwise
from typing import Final

PPM_ONE: Final = 1_000_000
LEVELS_MAX: Final = 5_000
_FILLS: Final = 16
"""So many fills of one order may each round their fee up to the exchange's last decimal."""
_EXCHANGE_DECIMALS: Final = 8
_EXACT: Final = Context(prec=60)


class BookSide(StrEnum):
    """SELL gives base for quote, BUY quote for base."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True, slots=True)
class PairTerms:
    """``base_decimals`` and ``quote_decimals`` are those of the desk's units. ``step`` and ``tick`` are what amounts
    and prices are multiples of, ``least_base`` and ``least_quote`` what an order is at least."""

    symbol: str
    base_decimals: int
    quote_decimals: int
    step: Decimal
    tick: Decimal
    least_base: Decimal
    least_quote: Decimal
    taker_ppm: int

    def __post_init__(self) -> None:
        if not 0 <= self.taker_ppm < PPM_ONE:
            msg = f"taker_ppm is {self.taker_ppm}; allowed is 0 to {PPM_ONE - 1}"
            raise ValueError(msg)
        for name in ("step", "tick"):
            if not 0 < getattr(self, name) < 10**12:
                msg = f"{name} is {getattr(self, name)}; it has to be above 0"
                raise ValueError(msg)

    @property
    def keeps(self) -> Decimal:
        """The share of what is received that is left after the fee."""
        return 1 - Decimal(self.taker_ppm) / PPM_ONE


Levels = tuple[tuple[Decimal, Decimal], ...]
"""(price, base amount), the best first."""


@dataclass(frozen=True, slots=True)
class Book:
    """An order book as it was at ``at_ns`` by our clock."""

    bids: Levels
    asks: Levels
    at_ns: int

    def __post_init__(self) -> None:
        for name, levels, sign in (("bids", self.bids, -1), ("asks", self.asks, 1)):
            if len(levels) > LEVELS_MAX or any(price <= 0 or amount <= 0 for price, amount in levels):
                msg = f"{name}: up to {LEVELS_MAX} levels, each with a price and an amount above 0"
                raise ValueError(msg)
            if any((after[0] - before[0]) * sign <= 0 for before, after in pairwise(levels)):
                msg = f"{name}: the best first, each price once"
                raise ValueError(msg)
        if self.bids and self.asks and self.bids[0][0] >= self.asks[0][0]:
            msg = f"a book whose best bid {self.bids[0][0]} is not below its best ask {self.asks[0][0]}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class OrderWanted:
    """An immediate-or-cancel limit order: ``base`` at ``price`` or better, in whole tokens as the exchange counts."""

    side: BookSide
    base: Decimal
    price: Decimal


def to_tokens(units: int, decimals: int) -> Decimal:
    return Decimal(units).scaleb(-decimals, _EXACT)


def units_down(tokens: Decimal, decimals: int) -> int:
    return int(tokens.scaleb(decimals, _EXACT).to_integral_value(ROUND_FLOOR))


def units_up(tokens: Decimal, decimals: int) -> int:
    return int(tokens.scaleb(decimals, _EXACT).to_integral_value(ROUND_CEILING))


def given_for(terms: PairTerms, book: Book, side: BookSide, amount_in: int) -> int | None:
    """Return what exactly ``amount_in`` gives after the fee, None beyond the depth or below the least order.

    What does not fill a whole step is not traded, and what is bought is so little that it costs no more than
    ``amount_in`` at the worst price that is needed: both stay with the desk and are counted as spent here.
    """
    with localcontext(_EXACT):
        if side is BookSide.SELL:
            base = multiple_down(to_tokens(amount_in, terms.base_decimals), terms.step)
            got = _sold(book.bids, base)
            if got is None or not _is_enough(terms, base, got):
                return None
            return units_down(got * terms.keeps, terms.quote_decimals) or None
        budget = to_tokens(amount_in, terms.quote_decimals)
        base, price = _bought(terms, book.asks, budget)
        if price is None or not _is_enough(terms, base, base * book.asks[0][0]):
            return None
        return units_down(base * terms.keeps, terms.base_decimals) or None


def order_for(
    terms: PairTerms, book: Book | None, side: BookSide, amount_in: int, amount_out_min: int
) -> OrderWanted | None:
    """Return the order that spends at most ``amount_in`` and, filled in whole or in part, gives no less per unit than
    ``amount_out_min`` for all of it; None where the exchange takes no such order, or the book shows that it is in vain.

    A book is needed to buy, as only it tells how much the amount buys. Raises: ValueError for a purchase without one.
    """
    with localcontext(_EXACT):
        if side is BookSide.SELL:
            base = multiple_down(to_tokens(amount_in, terms.base_decimals), terms.step)
            if base <= 0:
                return None
            share = -(-amount_out_min * units_down(base, terms.base_decimals) // amount_in)
            least = to_tokens(share + _slack(terms.quote_decimals), terms.quote_decimals)
            price = max(terms.tick, _multiple_up(least / (base * terms.keeps), terms.tick))
            return OrderWanted(side, base, price) if _is_enough(terms, base, base * price) else None
        if book is None:
            msg = "book: a purchase needs one"
            raise ValueError(msg)
        budget = to_tokens(amount_in, terms.quote_decimals)
        # Beyond the depth of the book what is there is still bought.
        base, worst = _bought(terms, book.asks, budget, is_partly_fine=True)
        least = to_tokens(amount_out_min + _slack(terms.base_decimals), terms.base_decimals)
        if worst is None or base <= 0:
            return None
        price = multiple_down(min(budget * terms.keeps / least, budget / base), terms.tick)
        if price < book.asks[0][0] or not _is_enough(terms, base, base * book.asks[0][0]):
            return None
        return OrderWanted(side, base, price)


def least_in(terms: PairTerms, book: Book, side: BookSide) -> int | None:
    """Return about the least amount that the exchange takes, a tenth above it; None while there is no price."""
    levels = book.bids if side is BookSide.SELL else book.asks
    if not levels:
        return None
    with localcontext(_EXACT):
        # A limit lies below the best bid, and the least worth is counted at the limit.
        base = max(terms.least_base, terms.step, terms.least_quote / levels[0][0]) * Decimal("1.1") + terms.step
        if side is BookSide.SELL:
            return units_up(base, terms.base_decimals)
        return units_up(base * levels[0][0], terms.quote_decimals)


def multiple_down(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def _multiple_up(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).to_integral_value(ROUND_CEILING) * step


def _is_enough(terms: PairTerms, base: Decimal, quote: Decimal) -> bool:
    return base > 0 and base >= terms.least_base and quote >= terms.least_quote


def _sold(bids: Sequence[tuple[Decimal, Decimal]], base: Decimal) -> Decimal | None:
    """Return what so much base brings before the fee, None beyond the depth."""
    left, got = base, Decimal(0)
    for price, amount in bids:
        taken = min(left, amount)
        got += taken * price
        left -= taken
        if not left:
            return got
    return None


def _bought(
    terms: PairTerms, asks: Sequence[tuple[Decimal, Decimal]], budget: Decimal, *, is_partly_fine: bool = False
) -> tuple[Decimal, Decimal | None]:
    """Return the most base that costs no more than ``budget`` even if all of it is bought at the worst price that is
    needed for it, and that price; (0, None) where the book does not reach so far or nothing can be bought."""
    depth, most, worst = Decimal(0), Decimal(0), None
    for price, amount in asks:
        depth += amount
        base = multiple_down(min(depth, budget / price), terms.step)
        if base > most:
            most, worst = base, price
        if depth >= budget / price:
            return most, worst
    return (most, worst) if is_partly_fine else (Decimal(0), None)


def _slack(decimals: int) -> int:
    """Return what rounding of fees and of coarser units may take off, in the desk's smallest units."""
    coarse: int = 10 ** max(0, decimals - _EXCHANGE_DECIMALS)
    return _FILLS * coarse + 1
