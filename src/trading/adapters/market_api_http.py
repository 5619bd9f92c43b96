"""One public JSON API behind a budget: token bucket, Retry-After, capped back-off, bounded time and size, counters.

Every way in which such an API fails ends as FeedUnavailable and as a count under its kind.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn, Protocol

import anyio
import httpx2

from trading.adapters.call_meter import current_meter
from trading.errors import FeedUnavailable
from trading.model.meters import CallFigures, Spread
from trading.ports import Clock

BURST_CALLS: Final = 4
_OK: Final = 200
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


class CallBounds(Protocol):
    """What bounds a call: a section of the settings has these."""

    @property
    def timeout_s(self) -> float: ...

    @property
    def response_bytes_max(self) -> int: ...

    @property
    def backoff_base_s(self) -> float: ...

    @property
    def backoff_cap_s(self) -> float: ...

    @property
    def retry_after_cap_s(self) -> float: ...


class CallBudget:
    """A token bucket over monotonic time: at most ``per_minute`` calls, ``burst`` of them at once."""

    def __init__(self, per_minute: int, burst: int = BURST_CALLS) -> None:
        self._per_s = per_minute / 60
        self._burst = float(min(burst, per_minute))
        self._tokens = self._burst
        self._at_s: float | None = None

    @property
    def left(self) -> float:
        """How many calls could be made at once now; below 0 where some wait."""
        self._fill()
        return self._tokens

    async def take(self, wait_s_max: float) -> bool:
        """Take one call, waiting for it at most this long; False when it would take longer."""
        self._fill()
        wait_s = (1 - self._tokens) / self._per_s
        if wait_s > wait_s_max:
            return False
        # Taken before the wait: a second caller queues behind this one.
        self._tokens -= 1
        if wait_s > 0:
            await anyio.sleep(wait_s)
        return True

    def _fill(self) -> None:
        now_s = anyio.current_time()
        if self._at_s is not None:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s


@dataclass(slots=True)
class EndpointHealth:
    """Counts since start. ``errors`` by kind: connect, timeout, http_429, http_4xx, http_5xx, too_large, not_json,
    schema, budget, backing_off. ``skew_s`` is the server's clock minus ours, as its last answer showed it."""

    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    last_ok_s: float | None = None
    skew_s: float = 0.0
    answered_s: Spread = field(default_factory=Spread)
    """How long calls took that were answered."""


class Endpoint:
    """Asks one API for JSON. After a failure it stays away for a while and says so instead of calling."""

    def __init__(self, name: str, base_url: str, budget: CallBudget, section: CallBounds, clock: Clock) -> None:
        self.name = name
        self.health = EndpointHealth()
        self._base_url = base_url.rstrip("/")
        self._budget = budget
        self._section = section
        self._clock = clock
        self._turn_wait_s = section.timeout_s * 3
        self._failures = 0
        self._away_until_s = 0.0
        self._meter = current_meter()

    @property
    def away_s(self) -> float:
        """Seconds for which this API is left alone, 0 when it may be called."""
        return max(0.0, self._away_until_s - anyio.current_time())

    @property
    def budget_left(self) -> float:
        """How many calls the budget would let through at once now."""
        return self._budget.left

    def calls(self) -> CallFigures:
        """Return what there is to count."""
        health = self.health
        return CallFigures(health.ok, dict(health.errors), health.answered_s, self.budget_left, self.away_s)

    async def get(
        self,
        http: httpx2.AsyncClient,
        path: str,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the parsed body (numbers with a point as Decimal). Raises FeedUnavailable, always counted."""
        return await self._ask(http, "GET", path, {"params": dict(params or {}), "headers": dict(headers or {})})

    async def _ask(self, http: httpx2.AsyncClient, method: str, path: str, content: Mapping[str, Any]) -> Any:
        if self.away_s > 0:
            self._refuse("backing_off", f"left alone for another {self.away_s:.0f} s after: {self.health.last_error}")
        if not await self._budget.take(self._turn_wait_s):
            self._refuse("budget", "the call budget of this minute is used up")
        began_s = anyio.current_time()
        try:
            with anyio.fail_after(self._section.timeout_s):
                body = await self._fetch(http, method, path, content)
        except TimeoutError as exc:
            self._fail("timeout", f"no answer within {self._section.timeout_s:g} s", cause=exc)
        except httpx2.TimeoutException as exc:
            self._fail("timeout", f"no answer in time ({type(exc).__name__})", cause=exc)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as exc:
            self._fail("connect", f"{type(exc).__name__}: {exc}"[:300], cause=exc)
        document = self._parse(body)
        self._failures = 0
        self.health.ok += 1
        self.health.answered_s.observe(anyio.current_time() - began_s)
        self.health.last_ok_s = anyio.current_time()
        return document

    def reject(self, message: str) -> NoReturn:
        """Count an answer whose meaning is not what the schema promises. Raises FeedUnavailable."""
        self._fail("schema", message)

    async def _fetch(
        self,
        http: httpx2.AsyncClient,
        method: str,
        path: str,
        content: Mapping[str, Any],
    ) -> bytes:
        if self._meter is not None:
            self._meter.sent(self.name, path)
        async with http.stream(method, self._base_url + path, **content) as answer:
            self._note_answer(answer)
            if answer.status_code == _TOO_MANY:
                self._fail("http_429", "429: too many requests", away_s=self._retry_after(answer))
            if answer.status_code >= _SERVER_ERROR:
                away_s = self._retry_after(answer)
                self._fail("http_5xx", f"the server answered {answer.status_code}", away_s=away_s)
            if answer.status_code != _OK:
                await self._turned_down(answer, path)
            return await self._read(answer)

    async def _turned_down(self, answer: httpx2.Response, path: str) -> NoReturn:
        """Deal with a status that is neither success, 429 nor a server error."""
        self._fail("http_4xx", f"the server answered {answer.status_code} to {path}")

    async def _read(self, answer: httpx2.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > self._section.response_bytes_max:
                self._fail("too_large", f"the answer is longer than {self._section.response_bytes_max} bytes")
        return bytes(body)

    def _parse(self, body: bytes) -> Any:
        try:
            return json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
        except (ValueError, RecursionError) as exc:
            start = body[:60].decode("utf-8", "replace")
            self._fail("not_json", f"the answer is not JSON; it begins {start!r}", cause=exc)

    def _note_answer(self, answer: httpx2.Response) -> None:
        date = answer.headers.get("date")
        if date is None:
            return
        try:
            served = parsedate_to_datetime(date)
        except ValueError:
            return
        ours = datetime.fromtimestamp(self._clock.now_ns() / 1e9, tz=UTC)
        self.health.skew_s = (served - ours).total_seconds() if served.tzinfo else 0.0

    def _retry_after(self, answer: httpx2.Response) -> float | None:
        """Return what the server asks for, in seconds and capped; None when it asks for nothing."""
        text = answer.headers.get("retry-after", "").strip()
        cap_s = self._section.retry_after_cap_s
        if text.isascii() and text.isdecimal():
            return min(float(text[:9]), cap_s)
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        return min(max(at.timestamp() - self._clock.now_ns() / 1e9, 0.0), cap_s)

    def _fail(
        self, kind: str, message: str, *, away_s: float | None = None, cause: BaseException | None = None
    ) -> NoReturn:
        """Count, and stay away: as long as asked, else twice as long as last time up to the cap."""
        section = self._section
        backoff_s = min(section.backoff_base_s * 2 ** min(self._failures, 30), section.backoff_cap_s)
        self._failures += 1
        # A page with a wrong schema or a pool that is not there says nothing about the next call.
        if kind not in ("schema", "http_4xx"):
            self._away_until_s = anyio.current_time() + (backoff_s if away_s is None else away_s)
        self._refuse(kind, message, cause)

    def _count(self, kind: str, message: str) -> None:
        self.health.errors[kind] += 1
        if self._meter is not None:
            self._meter.failed(self.name, kind)
        if kind not in ("backing_off", "budget"):
            self.health.last_error = message

    def _refuse(self, kind: str, message: str, cause: BaseException | None = None) -> NoReturn:
        self._count(kind, message)
        text = f"{self.name}: {message}"
        raise FeedUnavailable(text, hint="the feed goes on by itself when the API answers again") from cause


def _no_constant(text: str) -> NoReturn:
    msg = f"{text} is not JSON"
    raise ValueError(msg)
