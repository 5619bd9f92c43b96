"""One POST to a sidecar: bounded in time, size and tries, never following a redirect, and never telling a secret.

Every way in which it fails ends as SidecarFault under a word to count by. The other side's texts stay out of messages:
they may hold anything, the key that was sent included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import anyio
import httpx2

from trading.config import SidecarSection
from trading.errors import SidecarFault
from trading.ports import Clock

_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_REDIRECT: Final = range(300, 400)
RETRIED: Final = frozenset({"connect", "http_429", "http_5xx"})
"""Faults of which a second try may have another end; a slow server is not asked twice."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A status that is neither success nor worth another try; ``body`` is what came with it, cut."""

    status: int
    body: bytes


class SidecarHttp:
    """Open it as a context manager. ``post`` returns the bytes of a 200, or how it was turned down."""

    def __init__(self, section: SidecarSection, clock: Clock) -> None:
        self._section = section
        self._clock = clock
        # Not compressed: what a small body can unfold to has no bound.
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        if section.key is not None:
            headers["authorization"] = f"Bearer {section.key.get_secret_value()}"
        self._http = httpx2.AsyncClient(
            headers=headers, follow_redirects=False, timeout=section.timeout_s, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def post(self, path: str, document: Mapping[str, Any]) -> bytes | Turned:
        """Ask, again after faults that may pass, all within ``timeout_s``. Raises: SidecarFault."""
        try:
            with anyio.fail_after(self._section.timeout_s):
                return await self._tried(path, document)
        except TimeoutError as error:
            msg = f"no answer within {self._section.timeout_s:g} s"
            raise SidecarFault(msg, reason="timeout") from error

    async def _tried(self, path: str, document: Mapping[str, Any]) -> bytes | Turned:
        section = self._section
        for number in range(1, section.attempts_max + 1):
            try:
                return await self._once(path, document)
            except SidecarFault as fault:
                wait_s = max(fault.away_s, min(section.backoff_cap_s, section.backoff_base_s * 2.0 ** (number - 1)))
                if fault.reason not in RETRIED or number == section.attempts_max or wait_s >= section.timeout_s:
                    raise
                await anyio.sleep(wait_s)
        raise AssertionError

    async def _once(self, path: str, document: Mapping[str, Any]) -> bytes | Turned:
        try:
            async with self._http.stream(
                "POST", f"{self._section.url.get_secret_value()}{path}", json=dict(document)
            ) as answer:
                self._refuse_by_status(answer)
                body = await self._read(answer)
        except httpx2.TimeoutException as error:
            msg = "no answer in time"
            raise SidecarFault(msg, reason="timeout") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            msg = f"the sidecar cannot be reached ({type(error).__name__})"
            raise SidecarFault(msg, reason="connect") from None
        return body if answer.status_code == httpx2.codes.OK else Turned(answer.status_code, body[:2_000])

    def _refuse_by_status(self, answer: httpx2.Response) -> None:
        status = answer.status_code
        if status in _REDIRECT:
            msg = f"the server answered {status}: a redirect is not followed, nobody knows where the key would go"
            raise SidecarFault(msg, reason="redirect")
        if status == _TOO_MANY:
            msg = "the server answered 429: too many requests"
            raise SidecarFault(msg, reason="http_429", away_s=self._retry_after(answer))
        if status >= _SERVER_ERROR:
            msg = f"the server answered {status}"
            raise SidecarFault(msg, reason="http_5xx", away_s=self._retry_after(answer))

    async def _read(self, answer: httpx2.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_raw(16_384):
            body += chunk
            if len(body) > self._section.response_bytes_max:
                msg = f"the answer is longer than {self._section.response_bytes_max} bytes"
                raise SidecarFault(msg, reason="too_large")
        return bytes(body)

    def _retry_after(self, answer: httpx2.Response) -> float:
        """Return what the server asks for, in seconds and capped; 0 where it asks for nothing."""
        text = answer.headers.get("retry-after", "").strip()
        cap_s = self._section.retry_after_cap_s
        if text.isascii() and text.isdecimal():
            return min(float(text[:9]), cap_s)
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        return min(max(at.timestamp() - self._clock.now_ns() / 1e9, 0.0), cap_s)
