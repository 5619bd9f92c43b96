"""One receiver of traces over HTTP: bounded in time and size, never following a redirect, never telling a key.

What it answers is turned into our errors once, here: Unavailable where the same may be taken later, InvalidInput where
it never will, so that whoever sends looks for the part that is refused.
"""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import anyio
import httpx2
import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from memmcp_server.config import LangfuseSection, OtlpSection
from memmcp_server.domain.outbox import SINK_LANGFUSE, SINK_OTLP
from memmcp_server.errors import InvalidInput, ReceiverUnavailable

ANSWER_BYTES_MAX: Final = 65_536
REASON_CHARS_MAX: Final = 200

_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_CLOSED: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_INVALID: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_TRACES: Final = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}


class Receiver:
    """``post_spans`` hands over what ``encoding.encoded`` returns. Open until ``close``; reconnects by itself."""

    def __init__(self, name: str, traces_url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self.name = name
        self._traces_url = traces_url
        self._timeout_s = timeout_s
        # Not compressed: what a small body can unfold to has no bound.
        self._headers = {"accept-encoding": "identity", **headers}
        self._http: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def post_spans(self, body: bytes) -> None:
        """Deliver the spans. Raises: ReceiverUnavailable, InvalidInput (some of them are refused)."""
        answer = await self._asked("POST", self._traces_url, body, _TRACES)
        with suppress(DecodeError):  # a receiver that says 200 and sends no message has taken them
            told = ExportTraceServiceResponse.FromString(answer).partial_success
            if told.rejected_spans > 0:
                # OTLP forbids to repeat the whole; what was taken is known there by its ids, so that a repeat of parts
                # changes nothing, and only so it is found out which of them were refused.
                msg = f"{self.name} refused {told.rejected_spans} spans: {told.error_message[:REASON_CHARS_MAX]}"
                raise InvalidInput(msg, field="spans")

    async def _asked(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Send one request and return what a 2xx answers, in time. Raises: ReceiverUnavailable, InvalidInput."""
        http = self._http
        if http is None:
            http = self._http = httpx2.AsyncClient(
                headers=self._headers, follow_redirects=False, timeout=self._timeout_s, trust_env=False
            )
        try:
            with anyio.fail_after(self._timeout_s):
                async with http.stream(method, url, content=body, headers=dict(headers)) as answer:
                    found = await _read(answer)
                    self._refuse_by_status(answer, found)
                    return found
        except (TimeoutError, httpx2.TimeoutException) as error:
            msg = f"{self.name} gave no answer within {self._timeout_s:g} s"
            raise ReceiverUnavailable(msg) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            msg = f"{self.name} cannot be reached: {type(error).__name__}"
            raise ReceiverUnavailable(msg, is_closed=isinstance(error, httpx2.ConnectError)) from error

    def _refuse_by_status(self, answer: httpx2.Response, body: bytes) -> None:
        status = answer.status_code
        if answer.is_success:
            return
        said = body[:REASON_CHARS_MAX].decode("utf-8", "replace") if status in _INVALID else ""
        msg = f"{self.name} answered {status}{f': {said}' if said.isprintable() and said else ''}"
        if status in _INVALID:
            raise InvalidInput(msg, field="spans")
        if status in _REFUSED:
            hint = f"check the keys: {self.name} in memmcp.toml, or MEMMCP_{self.name.upper()}__*"
            raise ReceiverUnavailable(f"{msg}: it does not know the keys", is_closed=True, hint=hint)
        asked_s = _retry_after_s(answer.headers.get("retry-after", ""))
        raise ReceiverUnavailable(msg, retry_after_s=asked_s, is_closed=status in _CLOSED)


class LangfuseReceiver(Receiver):
    """Langfuse takes scores beside the spans, and takes traces back."""

    def __init__(self, name: str, base_url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        super().__init__(name, f"{base_url}/api/public/otel/v1/traces", headers, timeout_s)
        self._scores_url = f"{base_url}/api/public/scores"
        self._deletion_url = f"{base_url}/api/public/traces"

    async def post_scores(self, body: bytes) -> None:
        """Deliver one of ``encoding.encoded_scores``. Raises: ReceiverUnavailable, InvalidInput (some are refused)."""
        answer = await self._asked("POST", self._scores_url, body, {"content-type": "application/json"})
        with suppress(orjson.JSONDecodeError):
            told = orjson.loads(answer)
            if isinstance(told, dict) and (rejected := told.get("rejected")):
                msg = f"{self.name} refused {rejected} scores: {str(told.get('errors', ''))[:REASON_CHARS_MAX]}"
                raise InvalidInput(msg, field="scores")

    async def delete_traces(self, trace_ids: Sequence[bytes]) -> None:
        """Have traces taken back; unknown ones are none there. Raises: ReceiverUnavailable, InvalidInput."""
        body = orjson.dumps({"traceIds": [each.hex() for each in trace_ids]})
        await self._asked("DELETE", self._deletion_url, body, {"content-type": "application/json"})


def langfuse_receiver(section: LangfuseSection) -> LangfuseReceiver:
    """Return the client of a section that is on."""
    assert section.public_key is not None
    assert section.secret_key is not None
    pair = f"{section.public_key}:{section.secret_key.get_secret_value()}"
    headers = {
        "authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
        "x-langfuse-public-key": section.public_key,
        "x-langfuse-ingestion-version": "4",
    }
    return LangfuseReceiver(SINK_LANGFUSE, section.base_url.rstrip("/"), headers, section.timeout_s)


def otlp_receiver(section: OtlpSection) -> Receiver:
    """Return the client of a section that is on."""
    assert section.endpoint is not None
    address = section.endpoint.rstrip("/")
    if not address.partition("?")[0].endswith("/v1/traces"):
        address = f"{address}/v1/traces"
    headers = {name.lower(): value.get_secret_value() for name, value in section.headers.items()}
    return Receiver(SINK_OTLP, address, headers, section.timeout_s)


async def _read(answer: httpx2.Response) -> bytes:
    """Return the first bytes of an answer; what is beyond the bound is not read."""
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) >= ANSWER_BYTES_MAX:
            break
    return bytes(found[:ANSWER_BYTES_MAX])


def _retry_after_s(header: str) -> float | None:
    """Return the seconds of a Retry-After header, as a number or a date; None for one that is neither."""
    if header.strip().isdecimal():
        return float(header[:9])
    with suppress(ValueError, TypeError):
        until = parsedate_to_datetime(header)
        if until.tzinfo is not None:
            return max(0.0, (until - datetime.now(UTC)).total_seconds())
    return None
