"""A receiver's answers as our errors, over a real connection."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.support.market_server import loopback

from memmcp_server.adapters.tracing.receiver import (
    ANSWER_BYTES_MAX,
    LangfuseReceiver,
    Receiver,
    langfuse_receiver,
    otlp_receiver,
)
from memmcp_server.config import LangfuseSection, OtlpSection
from memmcp_server.errors import InvalidInput, ReceiverUnavailable

pytestmark = pytest.mark.anyio
KEY = "sk-lf-1d9a4e7c-3b2f-4a6d-9c8e-5f0b7a2d4c6e"


@asynccontextmanager
async def answering(answer: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[LangfuseReceiver]:
    """Open a client of a server that answers everything in this way."""
    async with loopback([Route("/{path:path}", answer, methods=["POST", "DELETE"])]) as url:
        receiver = langfuse_receiver(LangfuseSection(public_key="pk", secret_key=SecretStr(KEY), base_url=f"{url}/"))
        try:
            yield receiver
        finally:
            await receiver.close()


def always(response: Response) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        return response

    return answer


async def test_a_receiver_that_says_only_200_has_taken_everything() -> None:
    async with answering(always(Response(b"\xff\xff not a message"))) as receiver:
        await receiver.post_spans(b"")
        await receiver.post_scores(b"[]")
        await receiver.delete_traces([b"\x00" * 16])


@pytest.mark.parametrize("status", [404, 405, 408, 500, 502, 503])
async def test_what_may_pass_is_an_outage(status: int) -> None:
    async with answering(always(Response(status_code=status))) as receiver:
        with pytest.raises(ReceiverUnavailable, match=f"langfuse answered {status}"):
            await receiver.post_spans(b"")


@pytest.mark.parametrize("status", [401, 403])
async def test_keys_that_are_not_known_are_an_outage_that_says_what_to_do(status: int) -> None:
    async with answering(always(Response(f"who is {KEY}?", status_code=status))) as receiver:
        with pytest.raises(ReceiverUnavailable, match="does not know the keys") as caught:
            await receiver.post_spans(b"")
    assert caught.value.hint is not None
    assert "MEMMCP_LANGFUSE__" in caught.value.hint
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_refused_for_good_names_the_reason(status: int) -> None:
    async with answering(always(Response("a span is too long", status_code=status))) as receiver:
        with pytest.raises(InvalidInput, match="a span is too long"):
            await receiver.post_spans(b"")


async def test_a_redirect_is_not_followed_with_the_keys() -> None:
    seen: list[str] = []

    async def answer(request: Request) -> Response:
        seen.append(request.url.path)
        return RedirectResponse("/elsewhere", 307)

    async with answering(answer) as receiver:
        with pytest.raises(ReceiverUnavailable, match="307"):
            await receiver.post_spans(b"")
    assert seen == ["/api/public/otel/v1/traces"]


IN_FIVE_MINUTES = "in five minutes"


@pytest.mark.parametrize(
    ("header", "low_s", "high_s"),
    [
        ("7", 7, 7),
        (IN_FIVE_MINUTES, 200, 300),
        ("soon", None, None),
        ("Thu, 01 Jan 1970 00:00:00", None, None),
    ],
)
async def test_how_long_it_asks_to_be_left_alone_is_kept(header: str, low_s: Any, high_s: Any) -> None:
    if header == IN_FIVE_MINUTES:
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    async with answering(always(Response(status_code=429, headers={"retry-after": header}))) as receiver:
        with pytest.raises(ReceiverUnavailable) as caught:
            await receiver.post_spans(b"")
    asked_s = caught.value.retry_after_s
    assert (asked_s is None) is (low_s is None)
    assert asked_s is None or low_s <= asked_s <= high_s


async def test_scores_that_are_refused_are_told_with_the_reason() -> None:
    body = {"accepted": 1, "rejected": 1, "errors": [{"message": "no such trace"}]}
    async with answering(always(JSONResponse(body, 207))) as receiver:
        with pytest.raises(InvalidInput, match="no such trace"):
            await receiver.post_scores(b"[]")


async def test_an_endless_answer_is_read_to_its_bound_and_no_further() -> None:
    release = anyio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(2 * ANSWER_BYTES_MAX)
        await release.wait()

    async with answering(always(StreamingResponse(endless()))) as receiver:
        await receiver.post_spans(b"")
        release.set()


async def test_an_address_that_leads_nowhere_is_an_outage_without_a_key_in_it() -> None:
    receiver = Receiver("otlp", "http://127.0.0.1:9/v1/traces", {"x-key": KEY}, 1.0)
    with pytest.raises(ReceiverUnavailable, match="otlp cannot be reached") as caught:
        await receiver.post_spans(b"")
    assert KEY not in repr(caught.value)
    await receiver.close()


@pytest.mark.parametrize("given", ["/", "/v1/traces", "/v1/traces?tenant=a", ""])
async def test_an_endpoint_is_taken_with_and_without_its_path(given: str) -> None:
    seen: list[str] = []

    async def answer(request: Request) -> Response:
        seen.append(request.url.path)
        return Response()

    async with loopback([Route("/{path:path}", answer, methods=["POST"])]) as url:
        receiver = otlp_receiver(OtlpSection(endpoint=f"{url}{given}"))
        await receiver.post_spans(b"")
        await receiver.close()
    assert seen == ["/v1/traces"]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"public_key": "pk"}, "both or neither"),
        ({"environment": "langfuse-mine"}, "does not begin with langfuse"),
        ({"base_url": "ftp://there"}, "base_url"),
        ({"sample_rate": 1.5}, "sample_rate"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        LangfuseSection.model_validate(fields)
