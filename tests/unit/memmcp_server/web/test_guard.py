"""The guard before every route: Host, Origin, token, body, headers. Each rule with the case that must pass."""

import base64
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send
from tests.support.stage import error_of

from memmcp_server.config import HttpSection
from memmcp_server.errors import DataDirectoryError, InvalidInput
from memmcp_server.web.guard import Guard, guard_policy, is_loopback

pytestmark = pytest.mark.anyio
OPERATOR = "operator-token"
ACCESS = "access-token"


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 200 with how many bytes of body came through."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(size).encode()})


def guarded(**section: Any) -> httpx2.AsyncClient:
    policy = guard_policy(HttpSection(**section), OPERATOR)
    transport = httpx2.ASGITransport(app=Guard(inner, policy))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765")


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:1", "LOCALHOST", "[::1]:8765", "desk.local:80"])
async def test_our_own_hosts_are_served(host: str) -> None:
    async with guarded(allowed_hosts=("desk.local",)) as client:
        assert (await client.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "[::2]"])
async def test_a_rebound_host_is_misdirected(host: str) -> None:
    async with guarded() as client:
        for path in ("/", "/mcp", "/sse", "/static/app.js", "/health"):
            response = await client.get(path, headers={"Host": host})
            assert response.status_code == 421
            assert error_of(response)["field"] == "Host"


async def test_two_hosts_are_malformed() -> None:
    async with guarded() as client:
        response = await client.get("/", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])
        assert response.status_code == 400


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "file://127.0.0.1:8765"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_another_sites_post_is_refused(headers: dict[str, str]) -> None:
    async with guarded() as client:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            response = await client.request(method, "/memory/write", headers=headers, json={})
            assert response.status_code == 403
            assert error_of(response)["code"] == "refused"


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://127.0.0.1:8765"}, {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}],
)
async def test_a_program_and_our_own_page_may_post(headers: dict[str, str]) -> None:
    async with guarded() as client:
        assert (await client.post("/memory/write", headers=headers, json={})).status_code == 200


async def test_a_link_from_another_site_opens_the_page_and_its_script_reads_nothing() -> None:
    async with guarded() as client:
        assert (await client.get("/", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200
        assert (await client.get("/events", headers={"Origin": "http://evil.example"})).status_code == 403
        response = await client.get("/memory/search")
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", ["/actions/resume", "/admin/backup"])
async def test_operator_paths_open_to_the_operators_bearer_alone(path: str) -> None:
    async with guarded() as client:
        for headers in ({}, bearer("no"), bearer(""), basic(OPERATOR), {"Authorization": OPERATOR}):
            response = await client.post(path, headers=headers, json={})
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Bearer realm="memMCP"'
        assert (await client.post(path, headers=bearer(OPERATOR), json={})).status_code == 200


async def test_with_a_token_everything_but_health_and_the_empty_page_needs_it() -> None:
    async with guarded(token=SecretStr(ACCESS)) as client:
        for path in ("/health", "/", "/static/app.js", "/session"):
            assert (await client.get(path)).status_code == 200
        for path in ("/mcp", "/events", "/memory/search", "/telemetry/trading", "/memory/an-id"):
            assert (await client.get(path)).status_code == 401
            for headers in (bearer(ACCESS), bearer(OPERATOR)):
                assert (await client.get(path, headers=headers)).status_code == 200
            for headers in (bearer("wrong"), basic(ACCESS), {"Authorization": "Basic !"}):
                assert (await client.get(path, headers=headers)).status_code == 401
            page = await client.get(path, headers={"Accept": "text/html"})
            assert page.headers["www-authenticate"] == 'Bearer realm="memMCP"'


def test_a_door_to_other_machines_needs_a_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.4", "desk.example"):
        with pytest.raises(InvalidInput, match=r"http\.token") as raised:
            guard_policy(HttpSection(host=host), OPERATOR)
        assert raised.value.field == "http.token"
        assert guard_policy(HttpSection(host=host, token=SecretStr(ACCESS)), OPERATOR)
    with pytest.raises(DataDirectoryError):
        guard_policy(HttpSection(), "")


def test_loopback_is_an_address_and_not_a_prefix() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "127.0.0.1.evil.example", "10.0.0.1", "::"))


async def test_a_body_beyond_the_limit_is_cut_off_also_when_it_says_nothing_of_its_size() -> None:
    async def chunks() -> Any:
        for _ in range(5):
            yield b"x" * 500

    async with guarded(body_bytes_max=2_000) as client:
        assert (await client.post("/x", content=b"x" * 2_000)).text == "2000"
        for content in (b"x" * 2_001, chunks()):
            response = await client.post("/x", content=content)
            assert response.status_code == 413
            assert response.headers["connection"] == "close"
        response = await client.post("/x", headers={"Content-Length": "-5"}, content=b"")
        assert response.status_code == 400


async def test_every_answer_carries_the_security_headers_and_keeps_its_own() -> None:
    async with guarded() as client:
        for response in (await client.get("/"), await client.get("/", headers={"Host": "evil.example"})):
            assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert response.headers["cache-control"] == "no-store"


async def test_a_websocket_is_closed_before_the_handshake() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await Guard(inner, guard_policy(HttpSection(), OPERATOR))({"type": "websocket", "path": "/"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{token}".encode()).decode()}


async def test_an_origin_that_is_no_address_is_refused() -> None:
    async with guarded() as client:
        response = await client.post("/memory/write", headers={"Origin": "http://["})
        assert response.status_code == 403
        assert error_of(response)["field"] == "Origin"


async def test_a_basic_token_that_is_not_ascii_is_no_token() -> None:
    async with guarded(token=SecretStr(ACCESS)) as client:
        response = await client.get("/memory/search", headers={"Authorization": "Basic é".encode("latin-1")})
        assert response.status_code == 401
