"""The whole table of routes against who may not use it: foreign pages, rebound names, viewers, dead sessions.

Every route is asked, whatever it is for, so that one that is added later is asked too. Nothing is done by any of them,
and each is refused with a reason. One rule at a time is in ``tests/unit/memmcp_server/web/test_guard.py``.
"""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from pydantic import SecretStr
from starlette.routing import Mount, Route
from tests.doubles.clocks import ManualClock
from tests.support.stage import HOST, OPERATOR_TOKEN, Stage, error_of, staged

from memmcp_server.adapters.token_file import TokenFile
from memmcp_server.config import HttpSection
from memmcp_server.services.logins import AGE_S, IDLE_S
from memmcp_server.web.app import api_routes
from memmcp_server.web.guard import SAFE_METHODS, _is_operators, guard_policy

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O5")]

CLOSED = HttpSection(token=SecretStr("the-agents-token"))
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
PAGE = {"Origin": f"http://{HOST}", "Sec-Fetch-Site": "same-origin", "X-Memmcp-Page": "1"}
COOKIE = "memmcp-login-8765"
AGENTS_DOORS = ("/mcp", "/sse", "/messages")
"""Each tool behind these asks for its own right; ``tests/integration/test_tokens.py`` holds them to it."""

ANYBODYS = {("POST", "/login"), ("POST", "/logout")}
PUBLIC = ("/", "/health", "/session", "/static", "/login", "/logout")
EXACT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Door(NamedTuple):
    method: str
    path: str


def doors(stage: Stage) -> Iterator[Door]:
    """Every method of every route that the application serves, its parameters filled in."""
    for route in stage.app.routes:
        if isinstance(route, Mount):
            yield Door("GET", f"{route.path}/app.js")
            continue
        assert isinstance(route, Route)
        path = re.sub(r"{\w+(:\w+)?}", "x", route.path)
        # None: an application behind the route, which answers more than one.
        for method in sorted((route.methods or {"GET", "POST", "DELETE"}) - {"HEAD"}):
            yield Door(method, path)


def changing(stage: Stage) -> list[Door]:
    found = [each for each in doors(stage) if each.method not in SAFE_METHODS and each not in ANYBODYS]
    return [each for each in found if not each.path.startswith(AGENTS_DOORS)]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, http=CLOSED) as opened:
        yield opened


async def nothing_happened(stage: Stage) -> None:
    assert stage.trading.calls == []
    assert stage.trading.state == "ACTIVE"
    assert await stage.services.journal.horizon() == 0


def session_of(stage: Stage, role: Any) -> dict[str, str]:
    secret = stage.services.logins.begin(role, "code", is_steward=role == "operator")
    return {"Cookie": f"{COOKIE}={secret}"}


async def test_the_table_is_asked_whole(stage: Stage) -> None:
    found = set(doors(stage))
    assert len(found) > 60
    for each in (
        Door("POST", "/actions/x"),
        Door("POST", "/admin/stop"),
        Door("GET", "/events"),
        Door("GET", "/"),
        Door("GET", "/static/app.js"),
        Door("POST", "/mcp"),
        Door("POST", "/memory/x/update"),
    ):
        assert each in found
    assert len(changing(stage)) > 25


async def test_a_route_that_says_it_is_the_operators_is_guarded_as_one_and_no_other_is(stage: Stage) -> None:
    policy = guard_policy(stage.sections.http, OPERATOR_TOKEN)
    table = api_routes(stage.services, stage.app.state.live, policy)
    assert sum(row.operator for row in table) > 5
    for row in table:
        assert row.operator == _is_operators(row.path.replace("{", "").replace("}", "")), row.path


async def test_a_viewer_changes_nothing_by_any_route(stage: Stage) -> None:
    headers = {**PAGE, **session_of(stage, "viewer")}
    for method, path in changing(stage):
        refused = await stage.http.request(method, path, json={"reason": "because"}, headers=headers)
        assert (refused.status_code, error_of(refused)["code"]) == (403, "insufficient_scope"), (method, path)
    for method, path in doors(stage):
        if method == "GET" and _is_operators(path):
            refused = await stage.http.get(path, headers=headers)
            assert (refused.status_code, error_of(refused)["code"]) == (403, "insufficient_scope"), path
    await nothing_happened(stage)


async def test_without_a_token_no_route_of_the_operator_opens_and_on_a_closed_daemon_none_at_all(
    stage: Stage, tmp_path: Path
) -> None:
    for method, path in doors(stage):
        if _is_operators(path):
            assert (await stage.http.request(method, path, json={})).status_code == 401, (method, path)
    async with staged(tmp_path / "closed", http=CLOSED) as closed:
        for method, path in doors(closed):
            if path in PUBLIC or path.startswith("/static/"):
                continue
            refused = await closed.http.request(method, path, json={})
            assert refused.status_code == 401, (method, path)
            assert error_of(refused)["hint"]
        await nothing_happened(closed)
    await nothing_happened(stage)


FOREIGN_PAGES: dict[str, dict[str, str]] = {
    "another site": {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    "another port": {"Origin": "http://127.0.0.1:9999", "Sec-Fetch-Site": "same-site"},
    "another port, an old browser": {"Origin": "http://127.0.0.1:9999"},
    "a sandboxed frame": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "the same name over TLS": {"Origin": "https://127.0.0.1:8765", "Sec-Fetch-Site": "same-site"},
    "no origin said": {"Sec-Fetch-Site": "cross-site"},
    "typed or from a bookmark": {"Sec-Fetch-Site": "none"},
}


@pytest.mark.parametrize("page", FOREIGN_PAGES)
async def test_a_foreign_page_changes_nothing_by_any_route_with_the_operators_own_cookie(
    stage: Stage, page: str
) -> None:
    headers = {**FOREIGN_PAGES[page], **session_of(stage, "operator"), "Content-Type": "text/plain"}
    for method, path in [*changing(stage), *(Door(*each) for each in ANYBODYS), Door("POST", "/mcp")]:
        refused = await stage.http.request(method, path, content=b'{"reason": "because"}', headers=headers)
        assert refused.status_code == 403, (method, path)
        assert error_of(refused)["field"] in {"Origin", "Sec-Fetch-Site"}
        assert "access-control-allow-origin" not in refused.headers
    assert len(stage.services.logins._sessions) == 1, "nobody was logged out"
    await nothing_happened(stage)


async def test_a_foreign_page_cannot_have_its_reads_answered_and_a_link_can(stage: Stage) -> None:
    for method, path in doors(stage):
        if method != "GET":
            continue
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
            refused = await stage.http.get(path, headers=headers)
            assert (refused.status_code, error_of(refused)["field"]) == (403, "Sec-Fetch-Site"), path
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for path in ("/", "/telemetry/trading", "/health"):
        assert (await stage.http.get(path, headers=link)).status_code in (200, 503)
    framed = {**link, "Sec-Fetch-Dest": "iframe"}
    assert (await stage.http.get("/", headers=framed)).status_code == 403
    ours = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    assert (await stage.http.get("/telemetry/trading", headers=ours)).status_code == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_forms_body_is_no_request_on_any_route(stage: Stage, media_type: str) -> None:
    headers = {**PAGE, **session_of(stage, "operator"), "Content-Type": media_type}
    policy = guard_policy(stage.sections.http, OPERATOR_TOKEN)
    rows = [row for row in api_routes(stage.services, stage.app.state.live, policy) if row.body is not None]
    assert len(rows) > 20
    for row in rows:
        path = row.path.replace("{name}", "stop-entries").replace("{id}", "x")
        refused = await stage.http.request(row.method, path, content=b'{"reason": "because"}', headers=headers)
        assert (refused.status_code, error_of(refused)["field"]) == (415, "Content-Type"), path
    await nothing_happened(stage)


async def test_the_operators_cookie_alone_is_not_enough_for_any_route(stage: Stage) -> None:
    cookie = session_of(stage, "operator")
    from_ours = {"Origin": PAGE["Origin"], "Sec-Fetch-Site": "same-origin"}
    for method, path in changing(stage):
        for headers, field in ((cookie, "Origin"), ({**cookie, **from_ours}, "x-memmcp-page")):
            refused = await stage.http.request(method, path, json={"reason": "because"}, headers=headers)
            assert (refused.status_code, error_of(refused)["field"]) == (403, field), (method, path)
    await nothing_happened(stage)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example:8765", "0.0.0.0:8765"])
async def test_a_rebound_name_is_served_nothing_at_all(stage: Stage, host: str) -> None:
    headers = {**session_of(stage, "operator"), "Host": host, "Origin": f"http://{host}", "X-Memmcp-Page": "1"}
    for method, path in doors(stage):
        refused = await stage.http.request(method, path, headers=headers)
        assert (refused.status_code, error_of(refused)["field"]) == (421, "Host"), (method, path)
        assert host in error_of(refused)["message"]
    await nothing_happened(stage)


async def test_a_session_that_is_over_or_forged_opens_no_route(closed: Stage) -> None:
    logins, clock = closed.services.logins, ManualClock()
    logins.clock = clock
    idle, old, ended = (session_of(closed, "operator") for _ in range(3))
    known = ended["Cookie"].partition("=")[2]
    logins.end(known)
    forged = [
        {"Cookie": f"{COOKIE}={value}"}
        for value in ("x", "A" * 43, known, known[:-1], f"{known}=", f'"{known}"', "../" + known, "a" * 100_000)
    ]
    logins.find(old["Cookie"].partition("=")[2])
    clock.advance(IDLE_S)
    with_age = [idle, {"Cookie": f"memmcp-login={known}"}, *forged]
    for headers in with_age:
        for method, path in (
            Door("POST", "/actions/stop-entries"),
            Door("GET", "/events"),
            Door("GET", "/admin/status"),
        ):
            refused = await closed.http.request(method, path, json={"reason": "because"}, headers={**PAGE, **headers})
            assert (refused.status_code, error_of(refused)["code"]) == (401, "unauthorized")
            assert error_of(refused)["hint"]
    dead = session_of(closed, "operator")
    for _ in range(int(AGE_S / IDLE_S) * 2):
        logins.find(dead["Cookie"].partition("=")[2])
        clock.advance(IDLE_S / 2)
    for method, path in changing(closed):
        refused = await closed.http.request(method, path, json={"reason": "because"}, headers={**PAGE, **dead})
        assert refused.status_code == 401, (method, path)
    await nothing_happened(closed)


async def test_a_repeated_action_is_done_once_and_another_one_under_its_key_is_refused(stage: Stage) -> None:
    headers = {**PAGE, **session_of(stage, "operator")}

    async def act(name: str, **body: Any) -> httpx2.Response:
        wish = {"reason": "taken again", "idempotency_key": "page-1", **body}
        return await stage.http.post(f"/actions/{name}", json=wish, headers=headers)

    first, again = await act("deposit", amount_sol="1.5"), await act("deposit", amount_sol="1.5")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["effect"] == again.json()["effect"]
    assert stage.trading.deposits == 1_500_000_000
    other = await act("deposit", amount_sol="2.5")
    assert (other.status_code, error_of(other)["code"]) == (409, "idempotency_conflict")
    another = await act("stop-entries")
    assert (another.status_code, error_of(another)["code"]) == (409, "idempotency_conflict")
    assert stage.trading.deposits == 1_500_000_000
    assert stage.trading.entries_allowed


async def test_every_answer_is_under_the_same_policy_whatever_it_says(stage: Stage, tmp_path: Path) -> None:
    def is_covered(response: httpx2.Response) -> None:
        headers = response.headers
        assert headers.get_list("content-security-policy") == [EXACT_POLICY], response.url
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers

    asked = [
        *[await stage.http.request(*each) for each in doors(stage) if each.path not in ("/events", "/sse")],
        *[await stage.http.options(path) for path in ("/", "/memory/write")],
        await stage.http.head("/events"),
        await stage.http.get("/no/such/route"),
        await stage.http.post("/memory/write", content=b"x" * 2_000_000),
        await stage.http.get("/", headers={"Host": "evil.example"}),
    ]
    assert {200, 400, 401, 404, 405, 413, 415, 421, 422} <= {each.status_code for each in asked}
    for response in asked:
        is_covered(response)
    TokenFile(tmp_path, stage.services.clock.now_ns).add("desk-tv", ["memory:read"], "", 0)
    is_covered(await stage.http.get("/strategies", headers={"Authorization": "Bearer taken-away"}))
