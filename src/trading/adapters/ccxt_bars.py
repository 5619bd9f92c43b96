"""Past bars of an exchange through ccxt: a body of ``ports.BarSource``. Public data only: no key is ever given.

Numbers are taken as the text in which the exchange sent them. Every way in which ccxt or an exchange fails ends as
FeedUnavailable, or as InvalidInput where asking again would not help.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import anyio
import anyio.to_thread
import ccxt

from trading.config import FetchSection
from trading.errors import FeedUnavailable, InvalidInput
from trading.feeds.bar_files import interval_text
from trading.model.bar_market import BarMarket
from trading.ports import Clock

MarketKind = Literal["spot", "swap"]
KINDS: Final = ("spot", "swap")
PAGE_BARS: Final = 1_000
QUOTES: Final = ("USDT", "USDC", "USD", "SOL")
AGAIN: Final = "fetch again later: it goes on where it stopped"
_NAME: Final = re.compile(r"[A-Z0-9]{2,20}")


@dataclass(frozen=True, slots=True)
class CcxtWish:
    """Which bars of which exchange. ``base_url``: another host that speaks the exchange's API, such as a mirror."""

    exchange: str
    symbol: str
    interval_s: int
    kind: MarketKind = "spot"
    base_url: str | None = None


class CcxtBars:
    """Bars of one pair. ccxt blocks, so it works in a thread; it keeps to the exchange's rate limit by itself."""

    def __init__(self, exchange: Any, clock: Clock, market: BarMarket) -> None:
        self._exchange = exchange
        self._clock = clock
        self._market = market
        self._away_until_s = 0.0
        self._skew_s = 0.0

    @classmethod
    @asynccontextmanager
    async def connect(cls, wish: CcxtWish, section: FetchSection, clock: Clock) -> AsyncIterator[Self]:
        """Open the exchange and find the pair in its list of markets.

        Raises: InvalidInput (exchange, pair, interval), FeedUnavailable.
        """
        exchange = _opened(wish, section)
        try:
            await anyio.to_thread.run_sync(lambda: _called(exchange.load_markets))
            yield cls(exchange, clock, _market(exchange, wish))
        finally:
            exchange.session.close()

    @property
    def market(self) -> BarMarket:
        return self._market

    @property
    def page_bars(self) -> int:
        return PAGE_BARS

    @property
    def away_s(self) -> float:
        return max(0.0, self._away_until_s - anyio.current_time())

    def now_s(self) -> float:
        return self._clock.now_ns() / 1e9 + self._skew_s

    async def page(self, from_s: int) -> Sequence[Sequence[str | int]]:
        market, exchange = self._market, self._exchange
        timeframe = interval_text(market.interval_s)
        exchange.last_response_headers = None
        try:
            rows = await anyio.to_thread.run_sync(
                lambda: _called(lambda: exchange.fetch_ohlcv(market.symbol, timeframe, from_s * 1_000, PAGE_BARS))
            )
        except FeedUnavailable:
            self._away_until_s = anyio.current_time() + self._asked_away_s()
            raise
        self._note_clock()
        if exchange.last_json_response is None:  # ccxt takes an error page, or half an answer, for no bars
            msg = f"{exchange.id}: the answer is not JSON"
            raise FeedUnavailable(msg, hint=AGAIN)
        return _rows(exchange.id, rows)

    def _note_clock(self) -> None:
        served = _http_time(self._header("date"))
        if served is not None:
            ours = datetime.fromtimestamp(self._clock.now_ns() / 1e9, tz=UTC)
            self._skew_s = (served - ours).total_seconds()

    def _asked_away_s(self) -> float:
        """Return the seconds of the last answer's Retry-After, 0 where it had none."""
        text = self._header("retry-after").strip()
        if text.isascii() and text.isdecimal():
            return float(text[:9])
        at = _http_time(text)
        return 0.0 if at is None else max(0.0, at.timestamp() - self.now_s())

    def _header(self, name: str) -> str:
        headers = self._exchange.last_response_headers or {}
        return str(headers.get(name) or headers.get(name.title()) or "")


def _opened(wish: CcxtWish, section: FetchSection) -> Any:
    if wish.exchange not in ccxt.exchanges:
        msg = f"source: ccxt knows no exchange {wish.exchange[:40]!r}"
        raise InvalidInput(msg, field="source", hint="gecko, or an exchange id of ccxt such as binance or kraken")
    exchange = getattr(ccxt, wish.exchange)({"enableRateLimit": True, "timeout": int(section.timeout_s * 1_000)})
    exchange.number = str
    exchange.enableLastJsonResponse = exchange.enableLastResponseHeaders = True
    timeframe = interval_text(wish.interval_s)
    if not exchange.has.get("fetchOHLCV") or timeframe not in (exchange.timeframes or {}):
        allowed = ", ".join(exchange.timeframes or {}) or "none"
        msg = f"interval: {wish.exchange} has no bars of {timeframe}; it has {allowed}"
        raise InvalidInput(msg, field="interval")
    types = exchange.options.get("fetchMarkets")
    if isinstance(types, dict) and "types" in types:  # one list of markets instead of all of them
        types["types"] = ["spot"] if wish.kind == "spot" else ["linear"]
    if wish.base_url is not None:
        exchange.urls["api"] = moved(exchange.urls["api"], wish.base_url)
    else:
        exchange.requests_trust_env = True
        exchange.session.trust_env = True
    return exchange


def moved(urls: Any, base_url: str) -> Any:
    """Return the exchange's addresses on another host."""
    if isinstance(urls, dict):
        return {name: moved(each, base_url) for name, each in urls.items()}
    if not isinstance(urls, str):
        return urls
    there = urlsplit(base_url)
    if there.scheme not in ("http", "https") or not there.netloc:
        msg = f"base_url is {base_url[:100]!r}; expected http://HOST or https://HOST"
        raise InvalidInput(msg, field="base_url")
    return urlunsplit((there.scheme, there.netloc, urlsplit(urls).path, "", ""))


def _market(exchange: Any, wish: CcxtWish) -> BarMarket:
    found = exchange.markets.get(wish.symbol)
    if found is None or not found.get(wish.kind):
        near = sorted(each for each in exchange.markets if each.startswith(wish.symbol.partition("/")[0] + "/"))[:5]
        msg = f"symbol: {wish.exchange} has no {wish.kind} market {wish.symbol[:40]!r}"
        raise InvalidInput(msg, field="symbol", hint=f"near it: {', '.join(near) or 'none'}; write it as BONK/USDT")
    base, quote = str(found["base"]).upper(), str(found["quote"]).upper()
    if quote not in QUOTES or not _NAME.fullmatch(base):
        msg = f"symbol: {wish.symbol} is quoted in {quote}; bars are kept in {', '.join(QUOTES)}"
        raise InvalidInput(msg, field="symbol")
    return BarMarket(wish.exchange, wish.kind, wish.symbol, f"{base}{quote}", wish.interval_s)


def _called(call: Any) -> Any:
    """Return what the call returns. Raises FeedUnavailable and InvalidInput for all that ccxt raises."""
    try:
        return call()
    except ccxt.BadSymbol as exc:
        msg = f"symbol: {_said(exc)}"
        raise InvalidInput(msg, field="symbol") from exc
    except (ccxt.NotSupported, ccxt.BadRequest, ccxt.AuthenticationError) as exc:
        msg = f"source: {type(exc).__name__}: {_said(exc)}"
        raise InvalidInput(msg, field="source") from exc
    except ccxt.BaseError as exc:
        msg = f"{type(exc).__name__}: {_said(exc)}"
        raise FeedUnavailable(msg, hint=AGAIN) from exc
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
        # ccxt reads an answer that is not as the exchange documents it without looking.
        msg = f"the exchange's answer is not as documented ({type(exc).__name__})"
        raise FeedUnavailable(msg, hint=AGAIN) from exc


def _said(exc: Exception) -> str:
    return " ".join(str(exc).split())[:300]


def _rows(name: str, rows: Any) -> list[list[str | int]]:
    """Return the rows with seconds and texts. Raises FeedUnavailable where none of them is a row at all."""
    found: list[list[str | int]] = []
    bad = 0
    for row in rows if isinstance(rows, list) else [None]:
        if not isinstance(row, list) or len(row) < 6 or type(row[0]) is not int:
            bad += 1
        else:
            # A time between two seconds stays one, so that it is refused by name.
            opened: str | int = str(row[0] / 1_000) if row[0] % 1_000 else row[0] // 1_000
            found.append([opened, *(str(each) for each in row[1:6])])
    if bad and not found:
        msg = f"{name}: the answer holds no bar as documented"
        raise FeedUnavailable(msg, hint=AGAIN)
    return found + [[""] for _ in range(bad)]


def _http_time(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo else None
