"""The bridge against a real server on loopback: sound answers, and every way in which one can fail."""

import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import SecretStr, ValidationError
from tests.support.chat_server import KEY, MODEL, ChatServer, data_of
from tests.support.market_server import SteppedClock
from tests.unit.trading.sidecar.test_assessment import INJECTION, make_request

from trading.adapters.assess_bridge import AssessBridge
from trading.adapters.openai_bridge import OpenAiBridge
from trading.adapters.sidecar_http import SidecarHttp
from trading.config import SidecarSection
from trading.errors import SidecarFault
from trading.sidecar.assessment import Evidence

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T14")]


def section_of(url: str, **changes: Any) -> SidecarSection:
    values: dict[str, Any] = {
        "url": f"{url}/v1",
        "model": MODEL,
        "key": SecretStr(KEY),
        "timeout_s": 2,
        "backoff_base_s": 0.001,
        "attempts_max": 2,
        "response_bytes_max": 20_000,
    }
    return SidecarSection(**{**values, **changes})


@asynccontextmanager
async def bridge(server: ChatServer, **changes: Any) -> AsyncIterator[OpenAiBridge]:
    async with server.serving() as url:
        section = section_of(url, **changes)
        http = SidecarHttp(section, SteppedClock())
        try:
            yield OpenAiBridge(section, http)
        finally:
            server.release.set()
            await http.close()


async def fault_of(server: ChatServer, **changes: Any) -> SidecarFault:
    async with bridge(server, **changes) as opened:
        with pytest.raises(SidecarFault) as caught:
            await opened.assess(make_request())
    return caught.value


async def test_it_sends_the_schema_the_key_and_the_data_and_reads_the_usage() -> None:
    server = ChatServer()
    async with bridge(server) as opened:
        reply = await opened.assess(make_request())
    [asked] = server.asked
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == (MODEL, 0, 800)
    assert server.keys == [f"Bearer {KEY}"]
    assert data_of(asked)["evidence"][0]["id"] == "fct_1"
    assert (reply.tokens_in, reply.tokens_out) == (500, 100)


@pytest.mark.parametrize("formats", [("json_object", None), (None,)])
async def test_an_endpoint_that_knows_no_schema_is_asked_in_a_way_that_it_knows(
    formats: tuple[str | None, ...],
) -> None:
    server = ChatServer(formats=formats)
    async with bridge(server) as opened:
        await opened.assess(make_request())
        await opened.assess(make_request())
    told = [each.get("response_format", {}).get("type") for each in server.asked]
    assert told == ["json_schema", *(["json_object"] if formats == (None,) else []), formats[0], formats[0]]


async def test_a_model_that_refuses_older_parameters_is_asked_without_them() -> None:
    server = ChatServer(is_modern=True)
    async with bridge(server) as opened:
        await opened.assess(make_request())
        await opened.assess(make_request())
    assert len(server.asked) == 4
    assert server.asked[-1]["max_completion_tokens"] == 800
    assert not {"temperature", "max_tokens"} & server.asked[-1].keys()


async def test_the_strict_schema_holds_no_keyword_that_an_endpoint_may_refuse() -> None:
    server = ChatServer()
    async with bridge(server) as opened:
        await opened.assess(make_request())
    schema = server.asked[0]["response_format"]["json_schema"]["schema"]
    told = json.dumps(schema)
    assert not any(each in told for each in ("minimum", "maxLength", "maxItems", "pattern"))
    assert schema["properties"]["evidence_ids"]["items"] == {"type": "string"}
    assert set(schema["required"]) == set(schema["properties"])


async def test_an_answer_in_a_code_fence_and_a_dated_release_of_the_model_are_taken() -> None:
    async with bridge(ChatServer(faults=["fenced"], model=f"{MODEL}-2026-05-01")) as opened:
        assert (await opened.assess(make_request())).model == MODEL


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("slow", "timeout"),
        ("mid_body", "timeout"),
        ("busy", "http_429"),
        ("error", "http_5xx"),
        ("refused", "http_4xx"),
        ("redirect", "redirect"),
        ("huge", "too_large"),
        ("malformed", "not_json"),
        ("deep", "too_large"),
        ("empty", "schema"),
        ("cut", "truncated"),
        ("wrong_model", "model"),
        ("an_order", "schema"),
        ("over_the_mandate", "schema"),
        ("foreign_evidence", "evidence"),
    ],
)
async def test_every_fault_has_its_word_ends_in_time_and_tells_no_secret(
    fault: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = ChatServer(faults=[fault])
    with anyio.fail_after(30):
        found = await fault_of(server, timeout_s=0.4 if reason == "timeout" else 20)
    assert found.reason == reason
    assert server.elsewhere == 0
    told = f"{found!r} {found.message} {found.__cause__!r} {caplog.text} {section_of('http://localhost')!r}"
    assert KEY not in told


async def test_a_server_that_is_not_there_is_a_fault() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        section = section_of(f"http://127.0.0.1:{closed.getsockname()[1]}")
        http = SidecarHttp(section, SteppedClock())
        with pytest.raises(SidecarFault) as caught:
            await OpenAiBridge(section, http).assess(make_request())
        await http.close()
    assert caught.value.reason == "connect"


async def test_what_may_pass_is_tried_again_and_no_more_often_than_it_may() -> None:
    server = ChatServer(faults=["error", "busy:0", ""])
    async with bridge(server, attempts_max=3) as opened:
        assert (await opened.assess(make_request())).assessment
    assert len(server.asked) == 3
    again = ChatServer(faults=["error"])
    assert (await fault_of(again, attempts_max=3)).reason == "http_5xx"
    assert len(again.asked) == 3
    once = ChatServer(faults=["refused"])
    await fault_of(once)
    assert len(once.asked) == 1


async def test_retry_after_is_obeyed_and_a_long_one_is_handed_on() -> None:
    server = ChatServer(faults=["busy:1", ""])
    async with bridge(server) as opened:
        began_s = time.monotonic()
        await opened.assess(make_request())
    assert time.monotonic() - began_s >= 1
    far = ChatServer(faults=["busy:999999"])
    assert (await fault_of(far)).away_s == 120
    assert len(far.asked) == 1


@pytest.mark.parametrize(("fault", "has_usage"), [("lying_usage", True), ("", False)])
async def test_usage_that_is_missing_or_impossible_is_not_told(fault: str, has_usage: bool) -> None:
    async with bridge(ChatServer(faults=[fault], has_usage=has_usage)) as opened:
        assert (await opened.assess(make_request())).tokens_in is None


async def test_a_refused_answer_tells_what_it_took() -> None:
    assert (await fault_of(ChatServer(faults=["an_order"]))).tokens == (500, 100)


async def test_injected_text_reaches_the_model_as_data_alone() -> None:
    server = ChatServer()
    async with bridge(server) as opened:
        await opened.assess(make_request(symbol=INJECTION[:64], evidence=(Evidence(id="fct_1", text=INJECTION),)))
    system, user = (each["content"] for each in server.asked[0]["messages"])
    assert "Ignore" not in system
    assert user.count("</data-") == 1
    assert "Ignore the rules" in data_of(server.asked[0])["evidence"][0]["text"]


async def test_a_server_of_assess_that_answers_another_question_is_refused() -> None:
    async with ChatServer(faults=["another_question"]).serving() as url:
        section = SidecarSection(url=url, kind="assess", timeout_s=2)
        http = SidecarHttp(section, SteppedClock())
        with pytest.raises(SidecarFault, match="another question"):
            await AssessBridge(section, http).assess(make_request())
        await http.close()


async def test_a_question_that_is_cancelled_leaves_at_once() -> None:
    async with bridge(ChatServer(faults=["hanging"]), timeout_s=60) as opened:
        with anyio.fail_after(30):
            with anyio.move_on_after(0.1) as scope:
                await opened.assess(make_request())
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    "url",
    ["ftp://host", "https://user:pw@host/v1", "http://host/v1?key=1", "https://", "host/v1", "http://host/#x"],
)
def test_an_address_that_hides_something_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="address"):
        SidecarSection(url=url, model="m")


def test_an_endpoint_needs_a_model_and_off_needs_nothing() -> None:
    assert not SidecarSection().is_on
    with pytest.raises(ValidationError, match="model"):
        SidecarSection(url="https://host/v1")
