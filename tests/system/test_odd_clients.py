"""Clients that get the protocol wrong, over the bridge and over HTTP: each is told what was wrong, and goes on."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.agents import Agent, agents, data_directory, http_client

pytestmark = [pytest.mark.system, pytest.mark.requirement("A3")]
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    with data_directory() as data_dir, agents(data_dir, 1) as [first]:
        first.initialize()
        yield data_dir


@pytest.fixture
def agent(shared: Path) -> Iterator[Agent]:
    with agents(shared, 1) as [one]:
        yield one


def refusal(answer: dict[str, Any]) -> tuple[int, str]:
    return answer["error"]["code"], answer["error"]["message"]


def test_a_client_that_lists_resources_before_the_handshake_is_told_so_and_may_shake_hands_then(agent: Agent) -> None:
    code, message = refusal(agent.request("resources/list"))
    assert code == -32602
    assert message.startswith("resources/list came before the handshake. Next: send initialize")
    agent.initialize()
    listed = agent.request("resources/list")["result"]["resources"]
    assert "telemetry://latest" in [resource["uri"] for resource in listed]


def test_a_client_that_lists_resources_first_after_the_handshake_gets_them(agent: Agent) -> None:
    agent.initialize()
    assert agent.request("resources/list")["result"]["resources"]
    assert agent.request("resources/templates/list")["result"]["resourceTemplates"]
    assert agent.request("tools/list")["result"]["tools"]


@pytest.mark.parametrize(
    ("method", "params", "told"),
    [
        ("tools/call", {"arguments": {}}, "params.name: Field required"),
        ("tools/call", {"name": "memory_search", "arguments": [1]}, "params.arguments: Input should be a valid dict"),
        ("resources/read", {}, "params.uri: Field required"),
        ("prompts/get", {"name": 5}, "params.name: Input should be a valid string"),
        ("prompts/get", {"name": "sesion_start"}, "Next: use one of session_start, trade_review"),
    ],
)
def test_a_malformed_request_is_answered_with_the_field(
    agent: Agent, method: str, params: dict[str, Any], told: str
) -> None:
    agent.initialize()
    code, message = refusal(agent.request(method, params))
    assert code == -32602
    assert told in message
    assert "Next: " in message


def test_a_tool_that_does_not_exist_is_answered_with_those_that_do(agent: Agent) -> None:
    agent.initialize()
    result = agent.request("tools/call", {"name": "memory_serch", "arguments": {"query": "x"}})["result"]
    assert result["isError"]
    assert result["content"][0]["text"].startswith("Unknown tool: memory_serch [field: name]\nNext: use one of memory_")
    assert "memory_search" in result["content"][0]["text"]


def test_an_unknown_method_has_the_protocols_code_and_its_name(agent: Agent) -> None:
    agent.initialize()
    error = agent.request("memory/searchh")["error"]
    assert (error["code"], error["data"]) == (-32601, "memory/searchh")


def test_unknown_notifications_and_cancels_of_nothing_are_passed_over_in_silence(agent: Agent) -> None:
    agent.initialize()
    for method, params in (
        ("notifications/unheard_of", {"a": 1}),
        ("notifications/cancelled", {"requestId": 9_999}),
        ("notifications/cancelled", {"requestId": "never"}),
        ("notifications/cancelled", {}),
        ("notifications/progress", {"progressToken": "none", "progress": 1}),
    ):
        agent.send({"jsonrpc": "2.0", "method": method, "params": params})
    assert agent.request("ping")["result"] == {}
    assert agent.strays.empty()
    assert agent.call("memory_search", query="anything")["hits"] == []


def post(data_dir: Path, body: bytes, **headers: str) -> tuple[int, str]:
    address = urlsplit(str(http_client(data_dir).get("/admin/status")["http"]))
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    try:
        connection.request(
            "POST", "/mcp", body, JSON | {name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
LONG = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x" * 2_000_000}}).encode()


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b"{broken", {}, 400, "Parse error"),
        (b"[" + PING + b"]", {}, 400, "list"),
        (LONG, {}, 413, "larger than 1048576 bytes"),
        (LONG * 6, {}, 413, "larger than 1048576 bytes"),
        (PING, {}, 400, "Missing session ID"),
        (PING, {"Mcp_Session_Id": "nobody"}, 404, "Session not found"),
        (PING, {"Accept": "text/html"}, 406, "must accept both application/json and text/event-stream"),
        (PING, {"Origin": "http://evil.example"}, 403, "Origin http://evil.example is not this daemon's page"),
    ],
    ids=["not JSON", "a batch", "2 MB", "12 MB", "no session", "a lost session", "a browser", "a foreign page"],
)
def test_what_http_cannot_take_is_answered_with_its_reason(
    shared: Path, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    got, text = post(shared, body, **headers)
    assert got == status
    assert told in text
