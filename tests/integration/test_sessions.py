"""The page's door as a browser meets it: log in, act, be refused, be logged out."""

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send
from tests.doubles.clocks import ManualClock
from tests.support.stage import OPERATOR_TOKEN, Stage, error_of, staged

from memmcp_server.adapters.token_file import TokenFile
from memmcp_server.config import HttpSection
from memmcp_server.services.logins import FAILURES_MAX, Logins
from memmcp_server.web.guard import Guard, guard_policy

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O5")]

OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
PAGE = {"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin", "X-Memmcp-Page": "1"}
CLOSED = HttpSection(token=SecretStr("the-agents-token"))


async def code_for(stage: Stage, role: str) -> str:
    made = await stage.http.post("/admin/logins/code", json={"role": role}, headers=OPERATOR)
    assert made.json()["url"] == f"http://127.0.0.1:8765/#login={made.json()['code']}"
    return str(made.json()["code"])


async def logged_in(stage: Stage, secret: str) -> httpx2.Response:
    return await stage.http.post("/login", json={"secret": secret}, headers=PAGE)


async def role_now(stage: Stage) -> Any:
    return (await stage.http.get("/session")).json()["role"]


async def test_a_code_opens_the_page_once_and_its_cookie_is_for_no_script_and_no_other_site(tmp_path: Path) -> None:
    async with staged(tmp_path, http=CLOSED) as stage:
        assert (await stage.http.get("/session")).json() == {"role": None, "name": "nobody", "is_open": False}
        assert (await stage.http.get("/telemetry/metrics")).status_code == 401
        code = await code_for(stage, "operator")
        entered = await logged_in(stage, code)
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("memmcp-login-8765=")
        assert all(each in cookie for each in ("HttpOnly", "SameSite=strict", "Path=/"))
        assert "Domain" not in cookie
        assert await role_now(stage) == "operator"
        assert (await stage.http.get("/telemetry/metrics")).status_code == 200
        assert (await stage.http.get("/admin/status")).status_code == 200
        stage.http.cookies.clear()
        again = await logged_in(stage, code)
        assert (again.status_code, error_of(again)["field"]) == (401, "secret")
        assert code not in again.text
        [entry, *_] = (await stage.http.get("/memory/audit", params={"action": "login"}, headers=OPERATOR)).json()[
            "entries"
        ]
        assert entry["detail"] == {"role": "operator", "by": "code"}


async def test_what_changes_something_must_come_from_the_pages_own_script(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await logged_in(stage, await code_for(stage, "operator"))
        act = {"reason": "rebuilding the node", "idempotency_key": "stop-1"}
        without: list[tuple[dict[str, str], str]] = [
            ({}, "Origin"),
            ({"X-Memmcp-Page": "1"}, "Origin"),
            ({"Origin": PAGE["Origin"]}, "x-memmcp-page"),
            ({**PAGE, "Origin": "http://127.0.0.1:9999"}, "Origin"),
            ({**PAGE, "Sec-Fetch-Site": "same-site"}, "Sec-Fetch-Site"),
        ]
        for headers, field in without:
            refused = await stage.http.post("/actions/stop-entries", json=act, headers=headers)
            assert (refused.status_code, error_of(refused)["field"]) == (403, field)
        assert stage.trading.calls == []
        done = await stage.http.post("/actions/stop-entries", json=act, headers=PAGE)
        assert done.status_code == 200
        assert stage.trading.entries_allowed is False


async def test_a_viewer_reads_and_changes_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await logged_in(stage, await code_for(stage, "viewer"))
        assert await role_now(stage) == "viewer"
        for path in ("/telemetry/trading", "/memory/search?query=x", "/alerts", "/trajectories"):
            assert (await stage.http.get(path)).status_code == 200
        for name in ("trades", "equity", "candles", "strategies", "memories?query=x"):
            taken = await stage.http.get(f"/export/{name}")
            assert (taken.status_code, taken.headers["content-type"].partition(";")[0]) == (200, "text/csv"), name
        for method, path in (
            ("POST", "/memory/write"),
            ("POST", "/actions/resume"),
            ("POST", "/rebalance"),
            ("GET", "/actions/answer?key=k"),
            ("GET", "/admin/status"),
        ):
            refused = await stage.http.request(method, path, json={"content": "x"}, headers=PAGE)
            assert (refused.status_code, error_of(refused)["code"]) == (403, "insufficient_scope")
            assert "has memory:read" in error_of(refused)["message"]
        assert stage.trading.calls == []
        assert (await stage.http.post("/logout", json={}, headers=PAGE)).json() == {"ended": 1}
        assert await role_now(stage) is None


async def test_tokens_make_viewers_and_operators_and_only_this_machines_own_a_steward(tmp_path: Path) -> None:
    async with staged(tmp_path, http=CLOSED) as stage:
        file = TokenFile(tmp_path, stage.services.clock.now_ns)
        reader = file.add("desk-tv", ["memory:read", "memory:write"], "", 0)
        admin = file.add("second", ["admin"], "", 0)
        for secret, role in (
            (reader, "viewer"),
            (admin, "operator"),
            ("the-agents-token", "operator"),
            (OPERATOR_TOKEN, "operator"),
        ):
            assert (await logged_in(stage, secret)).json()["role"] == role
            assert await role_now(stage) == role
            [login] = stage.services.logins._sessions.values()  # each login ends the one before it
            assert login.is_steward == (secret == OPERATOR_TOKEN)


async def test_a_session_ends_with_the_token_that_began_it(tmp_path: Path) -> None:
    async with staged(tmp_path, http=CLOSED) as stage:
        file = TokenFile(tmp_path, stage.services.clock.now_ns)
        await logged_in(stage, file.add("desk-tv", ["memory:read"], "", 0))
        assert await role_now(stage) == "viewer"
        file.remove("desk-tv")
        assert await role_now(stage) is None
        assert (await stage.http.get("/telemetry/metrics")).status_code == 401
        assert not stage.services.logins._sessions


async def test_a_code_makes_no_more_of_somebody_than_its_maker_is(tmp_path: Path) -> None:
    async with staged(tmp_path, http=CLOSED) as stage:
        for token, is_steward in ((OPERATOR_TOKEN, True), ("the-agents-token", False)):
            bearer = {"Authorization": f"Bearer {token}"}
            made = await stage.http.post("/admin/logins/code", json={"role": "operator"}, headers=bearer)
            assert (await logged_in(stage, made.json()["code"])).json()["role"] == "operator"
            [login] = stage.services.logins._sessions.values()
            assert login.is_steward == is_steward


async def test_a_token_beside_a_cookie_counts_alone(tmp_path: Path) -> None:
    async with staged(tmp_path, http=CLOSED) as stage:
        await logged_in(stage, await code_for(stage, "operator"))
        wrong = await stage.http.get("/telemetry/metrics", headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401


async def test_guessing_is_slowed_down_and_all_can_be_logged_out(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await logged_in(stage, await code_for(stage, "operator"))
        for _ in range(FAILURES_MAX):
            assert (await logged_in(stage, "a guess")).status_code == 401
        late = await logged_in(stage, await code_for(stage, "operator"))
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) > 0
        assert await role_now(stage) == "operator"
        ended = await stage.http.post("/admin/logins/end", json={}, headers=OPERATOR)
        assert ended.json() == {"ended": 1}
        assert await role_now(stage) is None


async def test_two_daemons_on_one_host_keep_their_cookies_apart_and_two_of_one_name_count_as_none(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        secret = stage.services.logins.begin("operator", "code")
        for cookie, role in (
            (f"memmcp-login-8765={secret}", "operator"),
            (f"memmcp-login-9000={secret}", None),
            (f"memmcp-login-8765={secret}; memmcp-login-8765=x", None),
            ("memmcp-login-8765=", None),
        ):
            assert (await stage.http.get("/session", headers={"Cookie": cookie})).json()["role"] == role


async def test_a_stream_ends_with_the_session_that_opened_it() -> None:
    logins = Logins(ManualClock())
    secret = logins.begin("viewer", "code")
    said: list[Any] = []

    async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b": ping\n", "more_body": True})
            await anyio.lowlevel.checkpoint()

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.body":
            said.append(message)
            if len(said) == 3:
                logins.end_all()

    async def receive() -> Any:
        return {"type": "http.request"}

    headers = [(b"host", b"127.0.0.1:8765"), (b"cookie", f"memmcp-login-8765={secret}".encode())]
    scope = {"type": "http", "method": "GET", "path": "/events", "headers": headers}
    with anyio.fail_after(30):
        await Guard(stream, guard_policy(HttpSection(), "token"), logins)(scope, receive, sent)
    assert [each["more_body"] for each in said] == [True, True, True, False], "in order, not cut off"
