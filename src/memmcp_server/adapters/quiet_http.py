"""One HTTP request to an address that is itself a secret: bounded in time and size, and never shown to anybody.

The address of a bot or of a dead man's switch holds its key, so neither a log nor an error may hold the address. That
is why this is the transport alone: a client writes whole addresses to its log.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Self
from urllib.parse import urlsplit

import anyio
import httpx2

from memmcp_server.errors import InvalidInput, Unavailable

_USER_AGENT: Final = "memmcp"


@dataclass(frozen=True, slots=True)
class Answered:
    """``served_at_s``: the server's own clock, seconds since 1970, None where it told none."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    served_at_s: float | None = None


class QuietHttp:
    """Asks one server, which ``who`` names in errors; close it with ``aclose``. No redirect is followed."""

    def __init__(self, who: str, *, verify: bool, bytes_max: int) -> None:
        self._who = who
        self._bytes_max = bytes_max
        # Nobody is to be trusted where nothing is encrypted, and reading the list of all who may be takes long.
        trust = ssl.create_default_context() if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx2.AsyncHTTPTransport(
            verify=trust, limits=httpx2.Limits(max_connections=8, max_keepalive_connections=2, keepalive_expiry=60)
        )

    @classmethod
    def towards(cls, url: str, who: str, *, bytes_max: int) -> Self:
        return cls(who, verify=url.startswith("https"), bytes_max=bytes_max)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(
        self, method: str, url: str, *, body: bytes | None = None, content_type: str = "", timeout_s: float
    ) -> Answered:
        """Return what was answered, whatever its status. Raises: Unavailable."""
        headers = {"user-agent": _USER_AGENT, "accept-encoding": "identity"}
        if content_type:
            headers["content-type"] = content_type
        timeout = {"timeout": httpx2.Timeout(timeout_s).as_dict()}
        request = httpx2.Request(method, url, headers=headers, content=body, extensions=timeout)
        try:
            with anyio.fail_after(timeout_s):
                return await self._sent(request)
        except (TimeoutError, httpx2.TimeoutException):
            problem = f"no answer within {timeout_s:g} s"
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
            problem = f"cannot be reached ({type(error).__name__})"
        # Without its cause: what a client library says may hold the address.
        msg = f"{self._who}: {problem}"
        raise Unavailable(msg) from None

    async def _sent(self, request: httpx2.Request) -> Answered:
        answer = await self._http.handle_async_request(request)
        try:
            read = bytearray()
            async for chunk in answer.aiter_raw():
                read += chunk
                if len(read) > self._bytes_max:
                    msg = f"{self._who}: the answer is longer than {self._bytes_max} bytes"
                    raise Unavailable(msg)
        finally:
            with anyio.CancelScope(shield=True):
                await answer.aclose()
        return Answered(answer.status_code, answer.headers, bytes(read), _served_at_s(answer.headers.get("date")))


def _served_at_s(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError):
        return None


def retry_after_s(headers: Mapping[str, str], cap_s: float) -> float:
    """Return for how long the server asks to be left alone, 0 where it asks for nothing."""
    text = headers.get("retry-after", "").strip()
    return min(float(text[:9]), cap_s) if text.isascii() and text.isdecimal() else 0.0


def checked_url(url: str, field: str) -> str:
    """Return an address without a slash at its end. Raises: InvalidInput naming the setting, never the address."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        is_good = False
    if not is_good:
        msg = f"{field} is not an address that begins with https:// or http:// and names a host"
        raise InvalidInput(msg, field=field)
    return url.rstrip("/")
