"""The routes behind the page's action pad: rebalancing, candidates, what became of a key, and arming."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.trading_desk import MINT, InMemoryDesk
from tests.integration.test_http_routes import OPERATOR
from tests.integration.test_trade_cli import a_desk
from tests.support.signer_stage import armed_signer
from tests.support.signing import PASSPHRASE
from tests.support.stage import Stage, error_of, staged

from memmcp_server.adapters.signer_approvals import SignerApprovals
from memmcp_server.web.act_routes import ActRoutes
from memmcp_server.web.guard import TokenScope, scope_of
from memmcp_server.web.routing import ApiRoute
from trading.signing.secrets import Passphrase

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("D10")]

HELD = 10**9
WISH: dict[str, Any] = {"scope": "tokens", "weights_bps": {MINT: 0}, "reason": "enough of it"}


async def posted(stage: Stage, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await stage.http.post(path, json=body, headers=OPERATOR)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def answer_of(stage: Stage, key: str) -> dict[str, Any]:
    found: dict[str, Any] = (await stage.http.get(f"/actions/answer?key={key}", headers=OPERATOR)).json()
    return found


async def test_a_rebalance_is_previewed_done_once_and_followed_to_its_end(tmp_path: Path) -> None:
    async with staged(tmp_path, desk=InMemoryDesk(base_units=HELD)) as stage:
        stage.trading.advance()
        shown = await posted(stage, "/rebalance", WISH | {"idempotency_key": "look"})
        assert (shown["status"], shown["legs"][0]["side"]) == ("preview", "sell")
        assert await answer_of(stage, "k") == {**await answer_of(stage, "other"), "is_known": False}
        wish = WISH | {"preview_id": shown["preview_id"], "idempotency_key": "k", "expected_state": "ACTIVE"}
        assert (await posted(stage, "/rebalance", wish))["status"] == "done"
        assert stage.trading.base_units == 0
        stage.trading.state = "HALTED"  # its repeat is answered, in whatever state
        again = await posted(stage, "/rebalance", wish)
        assert (again["status"], len(stage.trading.trades_made)) == ("done", 1)
        open_now = await answer_of(stage, "k")
        assert (open_now["is_known"], open_now["orders_open"], open_now["legs"][0]["outcome"]) == (True, 1, "working")
        stage.trading.advance()
        ended = await answer_of(stage, "k")
        assert (ended["orders_open"], ended["legs"][0]["outcome"]) == (0, "filled")


async def test_what_was_decided_in_another_state_is_not_done(tmp_path: Path) -> None:
    async with staged(tmp_path, desk=InMemoryDesk(base_units=HELD)) as stage:
        stage.trading.state = "REDUCING"
        promotion = {"action": "promote", "candidate": "cand_00000000000a", "reason": "it is good"}
        for path, body in (("/rebalance", WISH), ("/promotions", promotion)):
            refused = await stage.http.post(path, json=body | {"expected_state": "ACTIVE"}, headers=OPERATOR)
            assert (refused.status_code, error_of(refused)["field"]) == (403, "expected_state")
        assert stage.trading.calls == []


UNKEPT: list[tuple[str, dict[str, Any], str]] = [
    ("/actions/stop-entries", {"reason": "be\x00cause"}, "reason"),
    ("/actions/stop-entries", {"reason": "be\ud800cause"}, "reason"),
    ("/actions/close", {"reason": "because", "percent": 5, "mint": "BO\x07NK"}, "mint"),
    ("/rebalance", {"scope": "tokens", "weights_bps": {"BO\x1bNK": 5}, "reason": "because"}, "weights_bps"),
    ("/promotions", {"action": "demote", "strategy": "manual", "reason": "be\x00cause"}, "reason"),
]


@pytest.mark.requirement("O5")
@pytest.mark.parametrize(("path", "body", "field"), UNKEPT)
async def test_words_that_no_journal_keeps_are_refused_by_name_before_the_desk_acts(
    tmp_path: Path, path: str, body: dict[str, Any], field: str
) -> None:
    async with staged(tmp_path) as stage:
        refused = await stage.http.post(
            path, content=json.dumps(body), headers={**OPERATOR, "Content-Type": "application/json"}
        )
        assert (refused.status_code, error_of(refused)["field"]) == (422, field)
        assert stage.trading.calls == []


@pytest.mark.requirement("O5")
async def test_the_operators_routes_ask_for_his_token(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        routes: list[ApiRoute] = ActRoutes(stage.services).routes()
        own = [each for each in routes if each.operator]
        assert {each.path for each in own} == {"/rebalance", "/actions/answer", "/live/disarm"}
        assert {scope_of(each.method, each.path) for each in own} == {TokenScope.ADMIN}
        for each in own:
            response = await stage.http.request(each.method, each.path, json={})
            assert response.status_code == 401
        assert stage.trading.calls == []


async def test_a_strategy_is_switched_off_and_on_by_its_level(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        off = await desk.json("reduce-only", "--level", "strategy:manual", "--reason", "it loses")
        assert off["effect"] == "exposure of strategy:manual can only shrink"
        assert desk.stage.trading.levels == {"strategy:manual": "REDUCING"}
        assert desk.stage.trading.state == "ACTIVE"
        on = await desk.json("resume", "--level", "strategy:manual", "--reason", "mended")
        assert (on["status"], desk.stage.trading.levels) == ("done", {})


async def test_candidates_are_listed_for_whoever_may_read(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        found = (await stage.http.get("/candidates?limit=1")).json()
        assert [each["id"] for each in found["candidates"]] == ["cand_00000000000a"]
        assert found["total"] == 2
        assert (await stage.http.get("/candidates?limit=0")).status_code == 422


async def test_arming_is_shown_and_ended_and_no_route_begins_one(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "signing") as signer:
        data = tmp_path / "data"
        approvals = SignerApprovals(signer.environ, data)
        async with staged(data, approvals=approvals) as stage:
            seen = (await stage.http.get("/live")).json()
            assert (seen["is_unlocked"], seen["armed"]["name"], seen["why_not"]) == (True, "first", "")
            assert seen["mandate"] is None
            assert "mandate.toml" in seen["mandate_problem"]
            text = (tmp_path / "signing" / "mandate.toml").read_text(encoding="utf-8")
            (data / "mandate.toml").write_text(text, encoding="utf-8")
            seen = (await stage.http.get("/live")).json()
            assert seen["mandate"]["sha256"] == seen["armed"]["sha256"]
            assert seen["mandate"]["endpoints"] == len(signer.core.mandate().endpoints)
            for endpoint in signer.core.mandate().endpoints:  # an address of an endpoint can hold a key
                assert endpoint not in str(seen)
            assert seen["arm_commands"][-1] == (f"memmcp-trade live arm --data-dir {data} --socket {signer.socket}")
            ended = await posted(stage, "/live/disarm", {"reason": "the chain lies"})
            assert (ended["armed"], ended["why_not"]) == (None, "real money was disarmed")
            assert signer.core.status()["armed"] is None
            assert (await posted(stage, "/live/disarm", {"reason": "once more"}))["armed"] is None
            for path in ("/live", "/live/arm", "/actions/arm"):
                refused = await stage.http.post(path, json={"reason": "arm it"}, headers=OPERATOR)
                assert refused.status_code in (404, 405)
            assert signer.core.status()["armed"] is None


async def test_a_locked_signer_and_none_are_said_with_what_to_type(tmp_path: Path) -> None:
    async with armed_signer(tmp_path / "signing") as signer:
        await signer.core.lock()
        async with staged(tmp_path / "data", approvals=SignerApprovals(signer.environ, tmp_path)) as stage:
            seen = (await stage.http.get("/live")).json()
            assert (seen["is_available"], seen["is_unlocked"], seen["why_not"]) == (True, False, "the signer is locked")
            assert seen["arm_commands"][0] == f"memmcp-trade signer unlock --socket {signer.socket}"
            await signer.core.unlock(Passphrase(PASSPHRASE))
    async with staged(tmp_path / "alone", approvals=SignerApprovals({}, tmp_path)) as stage:
        seen = (await stage.http.get("/live")).json()
        assert (seen["is_available"], seen["armed"]) == (False, None)
        assert seen["arm_commands"][0] == f"memmcp-trade signer run --folder {tmp_path}/signer"
        refused = await stage.http.post("/live/disarm", json={"reason": "be safe"}, headers=OPERATOR)
        assert refused.status_code == 503
    async with staged(tmp_path / "off", without_desk=True) as stage:
        assert (await stage.http.get("/live")).status_code == 503
