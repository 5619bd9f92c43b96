"""One Solana endpoint: JSON-RPC over HTTP behind a budget, with bounds on time, size and repeats.

Every way in which an endpoint fails ends as EndpointFailed, and as a count under its kind; an error that it answers as
JSON-RPC wants it is RpcRefused. Both are ChainUnavailable, so nobody above concludes anything from one that he did not
expect. Addresses hold keys: what is shown of one is its host.
"""

import base64
import ssl
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Final, NoReturn
from urllib.parse import unquote, urlsplit

import anyio
import httpx2
import orjson

from trading.adapters.call_meter import current_meter
from trading.adapters.solana.budget import CallBudget
from trading.config import ChainSection, EndpointSection
from trading.errors import ChainUnavailable
from trading.model.meters import Spread
from trading.ports import Clock

_USER_AGENT: Final = "memmcp"
_OK: Final = 200
_BAD_REQUEST: Final = 400
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_BUSY_CODES: Final = frozenset({429, -32429})
_SECRET_CHARS_MIN: Final = 6
_UNIX_S_MIN: Final = 1_000_000_000
_TEXT_CHARS_MAX: Final = 300
_STAY_AWAY: Final = frozenset({"connect", "timeout", "http_429", "http_4xx", "http_5xx", "too_large", "not_json"})
"""Kinds of failure after which an endpoint is left alone for a while."""


class EndpointFailed(ChainUnavailable):
    """``kind``: connect, timeout, http_429, http_4xx, http_5xx, too_large, not_json, not_rpc, schema, budget,
    backing_off, slow."""

    def __init__(self, endpoint: str, method: str, kind: str, message: str) -> None:
        super().__init__(f"{endpoint}, {method}: {message}", hint="nothing is known about the chain because of this")
        self.endpoint = endpoint
        self.method = method
        self.kind = kind


class RpcRefused(ChainUnavailable):
    """The endpoint answered with an error. ``rpc_code`` is 0 where it gave none that is a number; ``data`` is what
    came with it, None for nothing."""

    def __init__(self, endpoint: str, method: str, rpc_code: int, message: str, data: Any) -> None:
        super().__init__(f"{endpoint}, {method}: error {rpc_code}: {message}")
        self.endpoint = endpoint
        self.method = method
        self.rpc_code = rpc_code
        self.said = message
        self.data = data


@dataclass(slots=True)
class EndpointHealth:
    """Counts since start; ``errors`` by kind, answered errors by ``rpc_CODE``."""

    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    answered_s: Spread = field(default_factory=Spread)
    """How long calls took that were answered."""


class RpcEndpoint:
    """``name`` is the host, with a number where several endpoints are there. Close it with ``aclose``."""

    def __init__(self, name: str, section: EndpointSection, chain: ChainSection, clock: Clock) -> None:
        self.name = name
        self.health = EndpointHealth()
        self.has_helius_fees = section.has_helius_fees
        self._chain = chain
        self._clock = clock
        self._budget = CallBudget(section.calls_per_second)
        self._url, self._headers, self._secrets = _opened(section.url.get_secret_value())
        # The transport itself, not a client: a client writes whole addresses to its log.
        self._http = httpx2.AsyncHTTPTransport(
            verify=_trust(self._url), limits=httpx2.Limits(max_connections=16, max_keepalive_connections=8)
        )
        self._numbers = count(1)
        self._meter = current_meter()
        self._failures = 0
        self._away_until_s = 0.0

    @property
    def away_s(self) -> float:
        """Seconds for which it is left alone, 0 when it may be asked."""
        return max(0.0, self._away_until_s - anyio.current_time())

    @property
    def budget_left(self) -> float:
        """How many calls the budget would let through at once now."""
        return self._budget.left

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, params: Sequence[Any] = (), *, is_send: bool = False) -> Any:
        """Return the ``result``, which may be null. Raises: EndpointFailed, RpcRefused."""
        if self.away_s > 0:
            self._refuse(method, "backing_off", f"left alone for {self.away_s:.1f} s after: {self.health.last_error}")
        if not await self._budget.take(is_send=is_send, wait_s_max=self._chain.timeout_s):
            self._refuse(method, "budget", "the budget of calls is used up")
        number, began_s = next(self._numbers), anyio.current_time()
        body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})
        answer = await self._answer(method, body)
        result = self._result(method, number, answer)
        self.health.answered_s.observe(anyio.current_time() - began_s)
        return result

    def reject(self, method: str, message: str) -> EndpointFailed:
        """Count an answer that does not say what it should; return the error to raise."""
        self.health.errors["schema"] += 1
        self.health.last_error = f"{method}: {message}"
        return EndpointFailed(self.name, method, "schema", message)

    def was_slow(self, method: str) -> None:
        """Take note that others answered and this one was not waited for any longer."""
        self._stay_away(None)
        self._note(method, "slow", "answered later than the others")

    async def _answer(self, method: str, body: bytes) -> bytes:
        for attempt in range(1, self._chain.attempts_max + 1):
            try:
                with anyio.fail_after(self._chain.timeout_s):
                    return await self._post(method, body)
            except (TimeoutError, httpx2.TimeoutException):
                self._fail(method, "timeout", f"no answer within {self._chain.timeout_s:g} s")
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
                # A connection that was kept open may have been closed meanwhile. Each request is harmless to repeat:
                # a sending is the same bytes again.
                if attempt == self._chain.attempts_max:
                    self._fail(method, "connect", f"cannot be reached ({type(error).__name__})")
        raise AssertionError("unreachable")

    async def _post(self, method: str, body: bytes) -> bytes:
        request = httpx2.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=body,
            extensions={"timeout": httpx2.Timeout(self._chain.timeout_s).as_dict()},
        )
        if self._meter is not None:
            self._meter.sent(self.name, method)
        answer = await self._http.handle_async_request(request)
        try:
            read = bytearray()
            async for chunk in answer.aiter_bytes():
                read += chunk
                if len(read) > self._chain.response_bytes_max:
                    most = self._chain.response_bytes_max
                    self._fail(method, "too_large", f"the answer is longer than {most} bytes")
        finally:
            await answer.aclose()
        self._check_status(method, answer, bytes(read))
        return bytes(read)

    def _check_status(self, method: str, answer: httpx2.Response, body: bytes) -> None:
        status = answer.status_code
        if status == _TOO_MANY:
            self._fail(method, "http_429", "429: too many requests", away_s=self._asked_away_s(answer.headers))
        if status >= _SERVER_ERROR:
            self._fail(method, "http_5xx", f"answered {status}", away_s=self._asked_away_s(answer.headers))
        if status != _OK and not (status >= _BAD_REQUEST and _is_error(body)):
            self._fail(method, "http_4xx", f"answered {status}: is the address right, and the key in it?")

    def _result(self, method: str, number: int, body: bytes) -> Any:
        try:
            answer = orjson.loads(body)
        except ValueError:
            self._fail(method, "not_json", f"the answer is not JSON; it begins {self._shown(body[:40])!r}")
        if not isinstance(answer, dict):
            self._fail(method, "not_rpc", "the answer is no JSON-RPC answer")
        error = answer.get("error")
        if error is not None and answer.get("id") in (number, None):
            self._refused(method, error)
        if answer.get("id") != number:
            self._fail(method, "not_rpc", "the answer is to another question")
        if "result" not in answer:
            self._fail(method, "not_rpc", "the answer has neither a result nor an error")
        self.health.ok += 1
        self._failures = 0
        return answer["result"]

    def _refused(self, method: str, error: Any) -> NoReturn:
        given = error if isinstance(error, dict) else {"message": error}
        code, data = given.get("code"), given.get("data")
        code = code if type(code) is int else 0
        message = self._shown(given.get("message", ""))
        if code in _BUSY_CODES:
            self._fail(method, "http_429", f"error {code}: {message}")
        self.health.errors[f"rpc_{code}"] += 1
        self.health.last_error = f"{method}: error {code}: {message}"
        raise RpcRefused(self.name, method, code, message, data)

    def _shown(self, text: Any) -> str:
        """Return a text of the endpoint without anything that stands in its address, and not too long."""
        plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        for secret in self._secrets:
            plain = plain.replace(secret, "***")
        return plain[:_TEXT_CHARS_MAX]

    def _asked_away_s(self, headers: Mapping[str, str]) -> float | None:
        """Return for how long the endpoint asks to be left alone, capped; None when it does not say."""
        now_s = self._clock.now_ns() / 1e9
        for name in ("retry-after", "x-ratelimit-reset"):
            text = headers.get(name, "").strip()
            seconds: float | None = None
            try:
                number = float(text)
                # Some give the second of the clock at which one may ask again, some the seconds until then.
                seconds = number - now_s if number >= _UNIX_S_MIN else number
            except ValueError:
                try:
                    seconds = parsedate_to_datetime(text).timestamp() - now_s
                except (ValueError, OverflowError):
                    continue
            if seconds == seconds:  # not NaN
                return min(max(seconds, 0.0), self._chain.retry_after_cap_s)
        return None

    def _fail(self, method: str, kind: str, message: str, *, away_s: float | None = None) -> NoReturn:
        if kind in _STAY_AWAY:
            self._stay_away(away_s)
        self._note(method, kind, message)
        # Without its cause: what a client library says may hold the address.
        raise EndpointFailed(self.name, method, kind, message) from None

    def _refuse(self, method: str, kind: str, message: str) -> NoReturn:
        self._count(kind)
        raise EndpointFailed(self.name, method, kind, message)

    def _count(self, kind: str) -> None:
        self.health.errors[kind] += 1
        if self._meter is not None:
            self._meter.failed(self.name, kind)

    def _note(self, method: str, kind: str, message: str) -> None:
        self._count(kind)
        self.health.last_error = f"{method}: {message}"

    def _stay_away(self, away_s: float | None) -> None:
        """As long as asked, else twice as long as last time up to the cap."""
        chain = self._chain
        backoff_s = min(chain.backoff_base_s * 2 ** min(self._failures, 30), chain.backoff_cap_s)
        self._failures += 1
        until_s = anyio.current_time() + (backoff_s if away_s is None else away_s)
        self._away_until_s = max(self._away_until_s, until_s)


def _trust(url: str) -> ssl.SSLContext:
    """Return whom to trust: nobody is needed where nothing is encrypted, and reading the list of all takes long."""
    return ssl.create_default_context() if url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _opened(url: str) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Return the address without its user part, the headers to send, and every part that must not be shown."""
    parts = urlsplit(url)
    headers = {"content-type": "application/json", "accept": "application/json", "user-agent": _USER_AGENT}
    pieces = [url, *parts.path.split("/"), *(each.partition("=")[2] for each in parts.query.split("&")), parts.query]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        pieces += [parts.username, parts.password or "", pair]
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    secrets = {each for piece in pieces for each in (piece, unquote(piece)) if len(each) >= _SECRET_CHARS_MIN}
    return parts.geturl(), headers, tuple(sorted(secrets, key=len, reverse=True))


def _is_error(body: bytes) -> bool:
    try:
        answer = orjson.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("error") is not None
