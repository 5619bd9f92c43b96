"""One pair at one exchange: its terms, its book, our balances, and orders that are made exactly once.

An order carries a name of ours. Where its answer is lost it is looked up by that name and never sent again: the
exchange refuses a request that is older than the window stamped into it, so an order that it does not know after that
never comes. What was filled and what it cost is told from the fills, to the exchange's last decimal.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Self

import ccxt

from trading.arbitrage.books import Book, OrderWanted, PairTerms
from trading.config import ExchangeSection
from trading.errors import ExchangeRefused, ExchangeUnavailable, InvalidInput
from trading.model.units import NS_PER_S
from trading.ports import Clock

from .client import ExchangeClient

_OVER: Final = frozenset({"closed", "canceled", "cancelled", "expired", "rejected"})
_FILLS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """What became of an order so far: ``base`` was traded for ``quote``, and ``fees`` were taken off, by currency.
    ``is_over``: nothing more of it can be traded."""

    is_over: bool
    base: Decimal
    quote: Decimal
    fees: tuple[tuple[str, Decimal], ...]


class ExchangePair:
    """Open with ``connect``. Every method raises ExchangeUnavailable where the exchange gave no usable answer."""

    def __init__(
        self, section: ExchangeSection, clients: Sequence[ExchangeClient], clock: Clock, terms: PairTerms
    ) -> None:
        self._section = section
        self._public, self._private = clients
        self._clock = clock
        self.terms = terms
        market = self._public.exchange.market(terms.symbol)
        self.base, self.quote = str(market["base"]), str(market["quote"])

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, section: ExchangeSection, symbol: str, decimals: tuple[int, int], clock: Clock
    ) -> AsyncIterator[Self]:
        """Open the exchange and find the pair. ``decimals`` are the desk's, of base and quote.

        Raises: InvalidInput (exchange, pair); ExchangeUnavailable; ExchangeRefused.
        """
        clients = [ExchangeClient(section, clock, is_private=each) for each in (False, True)]
        try:
            for each in clients:  # each reads the list itself: ccxt keeps it inside
                await each.call("load_markets")
            pair = cls(section, clients, clock, _terms(clients[0].exchange, section, symbol, decimals))
            if section.has_key:
                await pair.set_clock()
            yield pair
        finally:
            for each in clients:
                each.close()

    @property
    def private(self) -> ExchangeClient:
        """What signs with the key."""
        return self._private

    async def set_clock(self) -> None:
        """Ask for the exchange's time, so that a clock of ours that is off gets no order refused."""
        if self._private.exchange.has.get("fetchTime"):
            await self._private.call("load_time_difference")
            self._private.exchange.options["adjustForTimeDifference"] = True

    async def book(self) -> Book:
        asked_ns = self._clock.now_ns()  # the book is at least this new
        found = await self._public.call("fetch_order_book", self.terms.symbol, self._section.book_levels)
        try:
            return Book(_levels(found["bids"]), _levels(found["asks"]), asked_ns)
        except (ValueError, KeyError, TypeError, IndexError, InvalidOperation) as exc:
            msg = f"{self._section.id}: the book of {self.terms.symbol} cannot be read: {exc}"
            raise ExchangeUnavailable(msg) from exc

    async def free(self) -> Mapping[str, Decimal]:
        """Return what is free of the pair's two currencies. Raises: ExchangeRefused for a key that may not look."""
        found = await self._private.call("fetch_balance")
        return {name: _number((found.get("free") or {}).get(name) or "0", name) for name in (self.base, self.quote)}

    async def place(self, wanted: OrderWanted, name: str, by_ns: int) -> OrderSeen:
        """Send an order once, signed by ``by_ns``. ``name`` is from ``order_name``.

        Raises: ExchangeRefused: it was not taken, for certain. ExchangeUnavailable: that is not known, so ask with
        ``look_up`` and do not send it again.
        """
        params = {"timeInForce": "IOC", "clientOrderId": name}
        try:
            found = await self._private.call(
                "create_order",
                self.terms.symbol,
                "limit",
                wanted.side.value,
                str(wanted.base),
                f"{wanted.price:f}",
                params=params,
                sign_by_ns=by_ns,
            )
        except ExchangeRefused as error:
            if error.reason == "clock":
                await self.set_clock()
            raise
        return await self._seen(found, name)

    async def look_up(self, name: str, sent_by_ns: int) -> OrderSeen | None:
        """Return what became of an order that was sent no later than ``sent_by_ns``; None where it never came and, as
        its window is over, never will. One that still waits is cancelled.

        Raises: ExchangeUnavailable, also where it is not known there but may still come; ExchangeRefused.
        """
        asked_ns = self._clock.now_ns()
        try:
            found = await self._private.call("fetch_order", None, self.terms.symbol, params=_named(name))
        except ExchangeRefused as error:
            if not isinstance(error.__cause__, ccxt.OrderNotFound):
                raise
            if asked_ns - sent_by_ns >= self._section.lost_after_s * NS_PER_S:
                return None
            msg = f"{self._section.id} does not know order {name} yet"
            raise ExchangeUnavailable(msg) from error
        if found.get("status") not in _OVER:
            await self._private.call("cancel_order", found["id"], self.terms.symbol, params=_named(name))
            msg = f"order {name} still waited and is being cancelled"
            raise ExchangeUnavailable(msg)
        return await self._seen(found, name)

    async def _seen(self, found: Mapping[str, Any], name: str) -> OrderSeen:
        """Read an order. Raises: ExchangeUnavailable where its fills do not add up to it yet, or it is another."""
        told = found.get("clientOrderId")
        if told != name:
            msg = f"{self._section.id} answered with order {str(told)[:40]!r} instead of {name}"
            raise ExchangeUnavailable(msg)
        if found.get("status") not in _OVER:
            msg = f"order {name} is not over yet"
            raise ExchangeUnavailable(msg)
        base, quote = _number(found.get("filled"), "filled"), _number(found.get("cost") or "0", "cost")
        if not base:
            return OrderSeen(is_over=True, base=base, quote=Decimal(0), fees=())
        fills = found.get("trades") or ()
        if _sum(fills, "amount") != base:
            fills = await self._private.call(
                "fetch_my_trades", self.terms.symbol, None, _FILLS_MAX, params={"orderId": found["id"]}
            )
            fills = [each for each in fills if each.get("order") == found["id"]]
        if _sum(fills, "amount") != base or _sum(fills, "cost") != quote:
            msg = f"the fills of order {name} do not add up to it: {_sum(fills, 'amount')} of {base}"
            raise ExchangeUnavailable(msg)
        fees: dict[str, Decimal] = {}
        for each in fills:
            for fee in each.get("fees") or ([each["fee"]] if each.get("fee") else ()):
                currency = str(fee.get("currency") or "")
                fees[currency] = fees.get(currency, Decimal(0)) + _number(fee.get("cost") or "0", "fee")
        return OrderSeen(is_over=True, base=base, quote=quote, fees=tuple(sorted(fees.items())))


def order_name(key: str) -> str:
    """Return the name at the exchange of the order that stands for a key: 32 letters and digits, the same each time."""
    return "mm" + hashlib.sha256(key.encode()).hexdigest()[:30]


def _named(name: str) -> dict[str, str]:
    """Binance's word for the name of a former order, and ccxt's for that of all others."""
    return {"origClientOrderId": name, "clientOrderId": name}


def _terms(exchange: Any, section: ExchangeSection, symbol: str, decimals: tuple[int, int]) -> PairTerms:
    """Raises: InvalidInput."""
    found = exchange.markets.get(symbol)
    if found is None or not found.get("spot") or found.get("active") is False:
        msg = f"symbol: {section.id} trades no spot market {symbol[:40]!r} now"
        raise InvalidInput(msg, field="arbitrage.symbol", hint="write it as SOL/USDC")
    limits = found.get("limits") or {}
    precision = found.get("precision") or {}

    def size(value: Any) -> Decimal:
        # Some exchanges tell how many decimals there are, and others the step itself.
        number = _number(value if value is not None else "0.00000001", "precision")
        return Decimal(1).scaleb(-int(number)) if exchange.precisionMode == ccxt.DECIMAL_PLACES else number

    def least(name: str) -> Decimal:
        return _number((limits.get(name) or {}).get("min") or "0", name)

    try:
        return PairTerms(
            symbol=symbol,
            base_decimals=decimals[0],
            quote_decimals=decimals[1],
            step=size(precision.get("amount")),
            tick=size(precision.get("price")),
            least_base=least("amount"),
            least_quote=least("cost"),
            taker_ppm=section.taker_ppm,
        )
    except ValueError as error:
        msg = f"{section.id}, {symbol}: {error}"
        raise InvalidInput(msg, field="arbitrage.symbol") from error


def _levels(rows: Any) -> tuple[tuple[Decimal, Decimal], ...]:
    return tuple((Decimal(str(row[0])), Decimal(str(row[1]))) for row in rows if Decimal(str(row[1])))


def _sum(fills: Sequence[Mapping[str, Any]], name: str) -> Decimal:
    return sum((_number(each.get(name) or "0", name) for each in fills), Decimal(0))


def _number(value: Any, name: str) -> Decimal:
    """Raises: ExchangeUnavailable for what is no finite number of at least 0."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        msg = f"{name} is {str(value)[:40]!r} in the exchange's answer"
        raise ExchangeUnavailable(msg)
    return number
