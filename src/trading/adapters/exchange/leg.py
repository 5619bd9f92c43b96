"""Legs at a centralised exchange: a body of ``LegVenue``."""

from decimal import Decimal
from typing import Final

from trading.arbitrage.books import (
    PPM_ONE,
    Book,
    BookSide,
    PairTerms,
    given_for,
    least_in,
    order_for,
    units_down,
    units_up,
)
from trading.arbitrage.leg_venue import LegLook, Outcome
from trading.arbitrage.opportunities import LegTerms, Quote
from trading.arbitrage.trips import Attempt, Dead, Settled
from trading.errors import ExchangeRefused, ExchangeUnavailable
from trading.model.units import ceil_div
from trading.ports import Clock

from .gateway import ExchangePair, OrderSeen, order_name

_NOTHING: Final = Decimal(0)


class ExchangeLeg:
    """``money_is_base``: what trips begin and end with is the base of the pair, as SOL of SOL/USDC."""

    def __init__(self, name: str, pair: ExchangePair, clock: Clock, *, money_is_base: bool, has_key: bool) -> None:
        self._name = name
        self._pair = pair
        self._clock = clock
        self._money_is_base = money_is_base
        self._has_key = has_key

    @property
    def name(self) -> str:
        return self._name

    async def look(self) -> LegLook:
        pair, terms = self._pair, self._pair.terms
        book = await pair.book()
        free = await pair.free() if self._has_key else {}
        base = units_down(free.get(pair.base, _NOTHING), terms.base_decimals)
        quote = units_down(free.get(pair.quote, _NOTHING), terms.quote_decimals)
        there, back = self._side(gives_money=True), self._side(gives_money=False)
        least_there, least_back = least_in(terms, book, there), least_in(terms, book, back)
        if least_there is None or least_back is None:
            msg = f"{self._name}: one side of the book is empty"
            raise ExchangeUnavailable(msg)
        return LegLook(
            venue=self._name,
            at_ns=book.at_ns,
            there=LegTerms(self._name, _quote(terms, book, there)),
            back=LegTerms(self._name, _quote(terms, book, back)),
            least_there=least_there,
            least_back=least_back,
            money_free=base if self._money_is_base else quote,
            middle_free=quote if self._money_is_base else base,
        )

    async def send(self, attempt: Attempt) -> Outcome:
        side, terms = self._side(gives_money=attempt.gives_money), self._pair.terms
        # Only to buy the book is needed again: it tells how much the amount buys.
        try:
            book = await self._pair.book() if side is BookSide.BUY else None
        except (ExchangeUnavailable, ExchangeRefused):
            return Dead(attempt.key, 0, self._clock.now_ns())
        wanted = order_for(terms, book, side, attempt.amount_in, attempt.amount_out_min)
        if wanted is None:
            return Dead(attempt.key, 0, self._clock.now_ns())
        try:
            seen = await self._pair.place(wanted, order_name(attempt.key), attempt.expires_ns)
        except ExchangeRefused:
            return Dead(attempt.key, 0, self._clock.now_ns())
        return self._outcome(attempt, seen)

    async def ask(self, attempt: Attempt) -> Outcome:
        seen = await self._pair.look_up(order_name(attempt.key), attempt.expires_ns)
        return Dead(attempt.key, 0, self._clock.now_ns()) if seen is None else self._outcome(attempt, seen)

    def _side(self, *, gives_money: bool) -> BookSide:
        return BookSide.SELL if gives_money == self._money_is_base else BookSide.BUY

    def _outcome(self, attempt: Attempt, seen: OrderSeen) -> Outcome:
        now_ns = self._clock.now_ns()
        if not seen.base:
            return Dead(attempt.key, 0, now_ns)
        terms, pair = self._pair.terms, self._pair
        is_sale = self._side(gives_money=attempt.gives_money) is BookSide.SELL
        paid_name, got_name = (pair.base, pair.quote) if is_sale else (pair.quote, pair.base)
        fees = dict(seen.fees)
        got = (seen.quote if is_sale else seen.base) - fees.pop(got_name, _NOTHING)
        paid_decimals, got_decimals = terms.base_decimals, terms.quote_decimals
        if not is_sale:
            paid_decimals, got_decimals = got_decimals, paid_decimals
        amount_in = units_up(seen.base if is_sale else seen.quote, paid_decimals)
        amount_out = max(0, units_down(got, got_decimals))
        money = amount_in if attempt.gives_money else amount_out
        cost = 0
        if paid_name in fees:  # taken on top of what was paid
            extra = units_up(fees.pop(paid_name), paid_decimals)
            cost += extra if attempt.gives_money else ceil_div(extra * amount_out, amount_in)
        if any(fees.values()):  # in the exchange's own coin, which is cheaper than the fee that it stands for
            cost += ceil_div(money * terms.taker_ppm, PPM_ONE)
        return Settled(attempt.key, amount_in, amount_out, cost, now_ns)


def _quote(terms: PairTerms, book: Book, side: BookSide) -> Quote:
    return lambda amount_in: given_for(terms, book, side, amount_in)
