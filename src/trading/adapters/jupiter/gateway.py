"""Jupiter's gateway: one key, one limit, and every way in which it fails as one of two errors.

``RouteRefused`` is its answer: asking again changes nothing. ``RouterUnavailable`` is no answer. Nothing is retried
here: an offer that comes late is another offer, and whoever needs one asks for it.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn, Self
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from trading.adapters.market_api_http import CallBudget, Endpoint
from trading.config import MarketSection, RouterSection
from trading.errors import RouteRefused, RouterUnavailable
from trading.model.meters import CallFigures
from trading.ports import Clock

_log = logging.getLogger(__name__)
_REQUEST_ID: Final = "x-api-gateway-request-id"
_RESET: Final = "x-ratelimit-reset"
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_CLIENT_ERRORS: Final = range(400, 500)
_REQUEST_TIMEOUT: Final = 408
_SHOWN_CHARS: Final = 200
_request_id: ContextVar[str] = ContextVar("jupiter_request_id", default="")  # of this task's last answer

REASONS: Final[Mapping[str, str]] = {
    "NO_ROUTES_FOUND": "no_route",
    "COULD_NOT_FIND_ANY_ROUTE": "no_route",
    "MARKET_NOT_FOUND": "no_route",
    "TOKEN_NOT_TRADABLE": "not_tradable",
    "ROUTE_PLAN_DOES_NOT_CONSUME_ALL_THE_AMOUNT": "amount_too_small",
    "CANNOT_COMPUTE_OTHER_AMOUNT_THRESHOLD": "amount_too_small",
    "CIRCULAR_ARBITRAGE_IS_DISABLED": "circular",
}
"""Jupiter's error codes by the word that we count them under."""
_TEXTS: Final = (
    ("no routes found", "no_route"),
    ("could not find any route", "no_route"),
    ("not tradable", "not_tradable"),
    ("consume all the amount", "amount_too_small"),
    ("not allowed to be equal", "circular"),
)
"""``/build`` tells some errors as text alone."""


class Gateway(Endpoint):
    """One host of Jupiter behind its budget."""

    def __init__(self, name: str, base_url: str, budget: CallBudget, section: RouterSection, clock: Clock) -> None:
        super().__init__(name, base_url, budget, section, clock)
        self._turn_wait_s = section.budget_wait_s

    async def post(
        self, http: httpx2.AsyncClient, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Any:
        """Return the parsed answer. Raises: RouteRefused, RouterUnavailable."""
        return await self._ask(http, "POST", path, {"json": dict(body), "headers": dict(headers)})

    async def _fetch(self, http: httpx2.AsyncClient, method: str, path: str, content: Mapping[str, Any]) -> bytes:
        _request_id.set("")
        return await super()._fetch(http, method, path, content)

    def _note_answer(self, answer: httpx2.Response) -> None:
        super()._note_answer(answer)
        # The one thing that Jupiter's support can look a call up by.
        _request_id.set(answer.headers.get(_REQUEST_ID, "")[:_SHOWN_CHARS])
        _log.debug("%s answered %s, request %s", self.name, answer.status_code, _request_id.get() or "unnamed")

    async def _turned_down(self, answer: httpx2.Response, path: str) -> NoReturn:
        code = answer.status_code
        if code not in _CLIENT_ERRORS or code == _REQUEST_TIMEOUT:
            self._fail("http_4xx", f"the server answered {code} to {path}")
        if code in (_UNAUTHORIZED, _FORBIDDEN):
            told = "the key is not accepted" if code == _UNAUTHORIZED else "this key, or this machine, may not do this"
            self._turn_away("unauthorized" if code == _UNAUTHORIZED else "forbidden", f"{code}: {told}")
        document = self._parse(await self._read(answer))
        error = document.get("error") if isinstance(document, dict) else None
        told = str(error or "")[:_SHOWN_CHARS]
        word = str(document.get("errorCode") or "") if isinstance(document, dict) else ""
        by_text = (reason for text, reason in _TEXTS if text in told.lower())
        self._turn_away(REASONS.get(word) or next(by_text, "bad_request"), f"{code}: {word or told or 'no word why'}")

    def _turn_away(self, reason: str, message: str) -> NoReturn:
        self.health.errors["http_4xx"] += 1
        text = f"{self.name}: {message}{_named()}"
        raise RouteRefused(text, reason=reason)

    def _retry_after(self, answer: httpx2.Response) -> float | None:
        asked = super()._retry_after(answer)
        reset = answer.headers.get(_RESET, "").strip()
        if asked is not None or not (reset.isascii() and reset.isdecimal()):
            return asked
        now_s = self._served_s(answer.headers.get("date"))
        return min(max(int(reset[:12]) - now_s, 0.0), self._section.retry_after_cap_s)

    def _served_s(self, date: str | None) -> float:
        """Return the time by the server's clock, which set the reset; ours where it tells none."""
        try:
            served: datetime | None = parsedate_to_datetime(date) if date else None
        except ValueError:
            served = None
        return served.timestamp() if served is not None else self._clock.now_ns() / 1e9

    def _refuse(self, kind: str, message: str, cause: BaseException | None = None) -> NoReturn:
        self._count(kind, message)
        text = f"{self.name}: {message}{_named()}"
        raise RouterUnavailable(text, retry_after_s=self.away_s) from cause


def _named() -> str:
    return f" (request {_request_id.get()})" if _request_id.get() else ""


class JupiterApi:
    """Jupiter's gateway with its key and budgets; open it with ``connect``."""

    def __init__(self, http: httpx2.AsyncClient, market: MarketSection, section: RouterSection, clock: Clock) -> None:
        self._http = http
        self._key: SecretStr | None = market.jupiter_key
        self.section = section
        self.clock = clock
        budget = CallBudget(market.jupiter_calls_per_minute)
        self.gateway = Gateway("Jupiter", market.jupiter_url, budget, section, clock)
        sending = section.model_copy(update={"timeout_s": section.execute_timeout_s})
        execute_budget = CallBudget(section.execute_calls_per_minute)
        self.executor = Gateway("Jupiter execute", market.jupiter_url, execute_budget, sending, clock)

    @classmethod
    @asynccontextmanager
    async def connect(cls, market: MarketSection, section: RouterSection, clock: Clock) -> AsyncIterator[Self]:
        """Open the HTTP client. Nothing is sent yet."""
        loopback = urlsplit(market.jupiter_url).hostname in ("127.0.0.1", "localhost", "::1")
        async with httpx2.AsyncClient(
            timeout=max(section.timeout_s, section.execute_timeout_s),
            headers={"user-agent": "memmcp", "accept": "application/json"},
            limits=httpx2.Limits(max_connections=8, max_keepalive_connections=4),
            trust_env=not loopback,
            # Reading the list of all who may be trusted takes long, and nobody is needed where nothing is encrypted.
            verify=not (loopback and market.jupiter_url.startswith("http:")),
        ) as http:
            yield cls(http, market, section, clock)

    async def get(self, path: str, params: Mapping[str, str]) -> Any:
        """Return the parsed body (numbers with a point as Decimal). Raises: RouteRefused, RouterUnavailable."""
        return await self.gateway.get(self._http, path, params=params, headers=self._headers())

    async def execute(self, body: Mapping[str, Any]) -> Any:
        """POST to ``/execute``, which waits for the chain. Raises: RouteRefused, RouterUnavailable."""
        return await self.executor.post(self._http, "/swap/v2/execute", body, self._headers())

    def calls(self) -> Mapping[str, CallFigures]:
        """Return what there is to count of each of its limits, by name."""
        return {each.name: each.calls() for each in (self.gateway, self.executor)}

    def _headers(self) -> dict[str, str]:
        return {"x-api-key": self._key.get_secret_value()} if self._key else {}
