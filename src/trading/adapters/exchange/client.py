"""Opens ccxt for one exchange, with bounds on time and size, and translates all that it raises, once.

ccxt blocks, so each client works in a thread, one call at a time; it keeps to the exchange's rate limit by itself.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import ccxt
from ccxt.base.exchange import Session

from trading.adapters.ccxt_bars import moved
from trading.config import ExchangeSection
from trading.errors import ExchangeRefused, ExchangeUnavailable, InvalidInput
from trading.ports import Clock

T = TypeVar("T")
_NS_PER_MS: Final = 1_000_000
_CHUNK_BYTES: Final = 65_536
_RETRY_AFTER_S_MAX: Final = 3_600.0
REFUSED: Final[Mapping[type[Exception], str]] = {
    ccxt.InsufficientFunds: "funds",
    ccxt.InvalidOrder: "order",
    ccxt.BadSymbol: "symbol",
    ccxt.PermissionDenied: "permission",
    ccxt.AccountSuspended: "account",
    ccxt.AuthenticationError: "key",
    ccxt.ArgumentsRequired: "request",
    ccxt.InvalidNonce: "clock",
    ccxt.BadRequest: "request",
    ccxt.RateLimitExceeded: "rate",
    ccxt.DDoSProtection: "rate",
    ccxt.NotSupported: "not_supported",
}
"""What proves that the exchange looked at a request and did not do it. DuplicateOrderId is not among them: an order of
that name was taken; nor is a bare ExchangeError, which is whatever ccxt has no name for."""


class ExchangeClient:
    """One ccxt object, whose methods are called by name."""

    def __init__(self, section: ExchangeSection, clock: Clock, *, is_private: bool) -> None:
        self.section = section
        self._clock = clock
        self._sign_by_ns = 0
        self.exchange = _made(section, is_private=is_private)
        self.exchange.milliseconds = lambda: clock.now_ns() // _NS_PER_MS
        self._sign = self.exchange.sign
        self.exchange.sign = self._signed_in_time
        self._one = anyio.CapacityLimiter(1)
        self._away_until_s = 0.0

    def close(self) -> None:
        self.exchange.session.close()

    @property
    def away_s(self) -> float:
        """How long the exchange asked to be left alone from now on."""
        return max(0.0, self._away_until_s - anyio.current_time())

    async def call(self, method: str, *args: Any, sign_by_ns: int = 0, **params: Any) -> Any:
        """Return what ccxt's method returns. A request that is not signed by ``sign_by_ns`` is not made.

        Raises: ExchangeRefused where nothing was done for certain; ExchangeUnavailable where that is not known.
        """
        if self.away_s > 0:
            msg = f"{self.section.id} asked to be left alone for {self.away_s:.1f} s more"
            raise ExchangeRefused(msg, reason="rate")

        def work() -> Any:
            self._sign_by_ns = sign_by_ns
            return translated(lambda: getattr(self.exchange, method)(*args, **params))

        try:
            # Not abandoned when it is cancelled: whoever sends an order hears of it, or asks for it later.
            return await anyio.to_thread.run_sync(work, limiter=self._one)
        except (ExchangeRefused, ExchangeUnavailable) as error:
            asked_s = self._asked_away_s()
            if asked_s and (not isinstance(error, ExchangeRefused) or error.reason == "rate"):
                self._away_until_s = anyio.current_time() + asked_s
            raise

    def _signed_in_time(self, *args: Any, **kwargs: Any) -> Any:
        """Between the asking and the signing lies a wait for the rate limit, and what is stamped too late would break
        the rule by which a lost order is known to be dead."""
        if self._sign_by_ns and self._clock.now_ns() > self._sign_by_ns:
            msg = "the order's time was over before it was signed"
            raise ExchangeRefused(msg, reason="late")
        return self._sign(*args, **kwargs)

    def _asked_away_s(self) -> float:
        headers = self.exchange.last_response_headers or {}
        self.exchange.last_response_headers = None
        text = str(headers.get("Retry-After") or headers.get("retry-after") or "").strip()
        return min(_RETRY_AFTER_S_MAX, float(text[:9])) if text.isascii() and text.isdecimal() else 0.0


def translated(call: Callable[[], T]) -> T:
    """Return what the call returns. Raises ExchangeRefused and ExchangeUnavailable for all that ccxt raises."""
    try:
        return call()
    except ccxt.DuplicateOrderId as exc:
        msg = f"an order of that name was taken before: {_said(exc)}"
        raise ExchangeUnavailable(msg) from exc
    except (ccxt.BaseError, TooLong) as exc:
        reason = next((word for kind, word in REFUSED.items() if isinstance(exc, kind)), "")
        if reason:
            msg = f"{type(exc).__name__}: {_said(exc)}"
            raise ExchangeRefused(msg, reason=reason) from exc
        msg = f"{type(exc).__name__}: {_said(exc)}"
        raise ExchangeUnavailable(msg) from exc
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
        # ccxt reads an answer that is not as the exchange documents it without looking.
        msg = f"the exchange's answer is not as documented ({type(exc).__name__})"
        raise ExchangeUnavailable(msg) from exc


class TooLong(Exception):
    """An answer is longer, or took longer, than the section allows."""


class _BoundedSession(Session):  # type: ignore[misc]
    """A session of requests whose answers are read up to a size and a time, both of the whole answer."""

    bytes_max = 0
    timeout_s = 0.0

    def request(self, *args: Any, **kwargs: Any) -> Any:
        until_s = time.monotonic() + self.timeout_s
        response = super().request(*args, **(kwargs | {"stream": True, "allow_redirects": False}))
        body = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > self.bytes_max or time.monotonic() > until_s:
                response.close()
                msg = f"an answer of more than {self.bytes_max} bytes or {self.timeout_s} s"
                raise TooLong(msg)
        response._content = bytes(body)
        return response


def _made(section: ExchangeSection, *, is_private: bool) -> Any:
    if section.id not in ccxt.exchanges:
        msg = f"exchange.id: ccxt knows no exchange {section.id[:40]!r}"
        raise InvalidInput(msg, field="exchange.id", hint="an exchange id of ccxt such as binance or kraken")
    given: dict[str, Any] = {"enableRateLimit": True, "timeout": int(section.timeout_s * 1_000)}
    if section.calls_per_second is not None:
        given["rateLimit"] = 1_000 / section.calls_per_second
    if is_private:
        keys = {"apiKey": section.api_key, "secret": section.secret, "password": section.password}
        given |= {name: each.get_secret_value() for name, each in keys.items() if each is not None}
    exchange = getattr(ccxt, section.id)(given)
    exchange.session.close()
    session = _BoundedSession()
    session.bytes_max, session.timeout_s = section.response_bytes_max, 2 * section.timeout_s
    exchange.session = session
    exchange.number = str
    exchange.enableLastResponseHeaders = True
    # Lists of coins and of margin pairs need keys of their own at some exchanges, and nothing here reads them.
    exchange.options |= {"fetchCurrencies": False, "fetchMargins": False, "recvWindow": section.recv_window_ms}
    exchange.has["fetchCurrencies"] = False
    types = exchange.options.get("fetchMarkets")
    if isinstance(types, dict) and "types" in types:
        types["types"] = ["spot"]
    if section.base_url:
        exchange.urls["api"] = moved(exchange.urls["api"], section.base_url)
        session.trust_env = False
    else:
        exchange.requests_trust_env = True
        session.trust_env = True
    return exchange


def _said(exc: Exception) -> str:
    """Return the message without what an address may carry: ccxt names the whole URL, signature included."""
    return " ".join(word.partition("?")[0] for word in str(exc).split())[:300]
