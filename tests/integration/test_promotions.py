"""Promotions at their doors: HTTP for the operator alone, the command line, and searches and hands that propose."""

import json
import sqlite3
from pathlib import Path

import pytest
from tests.integration.test_http_routes import OPERATOR
from tests.integration.test_trade_cli import a_desk
from tests.support.searching import write_bars
from tests.support.stage import error_of, staged
from tests.unit.trading.adapters.test_candidate_store import PROPOSAL
from typer.testing import CliRunner

from memmcp_server.web.guard import TokenScope, scope_of
from memmcp_server.web.routing import ApiRoute
from memmcp_server.web.trading_routes import TradingRoutes
from trading.adapters.candidate_store import STORE_NAME, CandidateStore
from trading.adapters.trial_ledger import TrialLedger
from trading.cli import app

GOOD, POOR = "cand_00000000000a", "cand_000000000000"


@pytest.mark.anyio
@pytest.mark.requirement("T11")
@pytest.mark.requirement("Q2")
async def test_only_the_operators_token_promotes_and_once_per_key(tmp_path: Path) -> None:
    body = {"action": "promote", "candidate": GOOD, "reason": "it is good", "idempotency_key": "k"}
    async with staged(tmp_path) as stage:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            response = await stage.http.post("/promotions", json=body, headers=headers)
            assert response.status_code == 401
        assert stage.trading.calls == []
        response = await stage.http.post("/promotions", json=body, headers=OPERATOR)
        assert (response.status_code, response.json()["status"]) == (200, "done")
        assert stage.trading.calls == [("control:promote", "operator:operator", "k")]
        for wrong, field in (
            (body | {"candidate": "mine"}, "candidate"),
            ({"action": "promote", "reason": "why not"}, "candidate"),
            ({"action": "demote", "reason": "why not"}, "strategy"),
            (body | {"stage": "moon"}, "stage"),
        ):
            response = await stage.http.post("/promotions", json=wrong, headers=OPERATOR)
            assert response.status_code == 422, response.text
            assert field in json.dumps(error_of(response))


@pytest.mark.anyio
@pytest.mark.requirement("O5")
async def test_every_route_that_says_that_it_is_the_operators_asks_for_his_token(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        routes: list[ApiRoute] = TradingRoutes(stage.services).routes()
        own = [each for each in routes if each.operator]
        assert {"/review", "/promotions", "/actions/{name}"} == {each.path for each in own}
        assert {scope_of(each.method, each.path) for each in own} == {TokenScope.ADMIN}
        response = await stage.http.post("/review", json={"item": "wallet/x", "answer": "release", "reason": "mine"})
        assert response.status_code == 401


@pytest.mark.anyio
@pytest.mark.requirement("T11")
async def test_the_command_line_promotes_demotes_and_says_which_gate_failed(tmp_path: Path) -> None:
    async with a_desk(tmp_path) as desk:
        done = await desk.run("promote", GOOD)
        assert done.exit_code == 0, done.output
        assert f"{GOOD}: done" in done.stdout
        assert "70 trades" in done.stdout
        denied = await desk.run("promote", POOR, "--to", "live")
        assert denied.exit_code == 1
        assert "FAILED" in denied.stdout
        checked = await desk.json("promote", GOOD, "--dry-run")
        assert (checked["status"], checked["gates"][0]["passed"]) == ("checked", True)
        demoted = await desk.json("demote", "momentum_breakout")
        assert (demoted["status"], demoted["strategy"]) == ("done", "momentum_breakout")
        assert (await desk.run("promote")).exit_code == 2
        assert (await desk.run("promote", GOOD, "--to", "moon")).exit_code == 2


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout


@pytest.mark.parametrize("command", [("promote", GOOD), ("demote", "sma_cross")])
def test_without_a_daemon_the_exit_code_is_3(tmp_path: Path, command: tuple[str, str]) -> None:
    assert run(*command, "--data-dir", str(tmp_path))[0] == 3


@pytest.mark.requirement("T11")
def test_a_set_by_hand_is_run_counted_and_written_down_with_its_lineage(tmp_path: Path) -> None:
    data = write_bars(tmp_path / "bars", days=50, symbols=("AAA",))
    home = str(tmp_path / "home")
    asked = ("--data", str(data), "--profile", "baseline", "--holdout-days", "12", "--data-dir", home, "--json")
    code, said = run("propose", "sma_cross", "--parameters", "fast_bars=3", "--parameters", "slow_bars=12", *asked)
    assert code == 0, said
    made = json.loads(said)
    assert (made["parameters"], made["stage"], made["who"]) == (
        {"fast_bars": 3, "slow_bars": 12},
        "candidate",
        "operator",
    )
    evidence = made["evidence"]
    assert (evidence["trials"], evidence["pbo_bps"], evidence["holdout"]["days"]) == (1, None, 12)
    assert 30 < evidence["selection"]["days"] < 39
    assert evidence["selection"]["trades"] > 5
    assert len(made["data"]) == 1
    ledger = TrialLedger.at(tmp_path / "home" / "trials.db")
    assert ledger.standing("sma_cross").trials == 2
    ledger.close()
    child = (
        "--parameters",
        "fast_bars=4",
        "--parameters",
        "slow_bars=12",
        "--parent",
        made["id"],
        "--who",
        "agent:ada",
    )
    code, said = run("propose", "sma_cross", *child, *asked)
    assert code == 0, said
    code, said = run("lineage", made["id"], "--data-dir", home)
    assert code == 0
    assert said.index(made["id"]) < said.index("by agent:ada")
    code, said = run("lineage", "sma_cross", "--data-dir", home, "--json")
    assert [each["parent"] for each in json.loads(said)["candidates"]] == ["", made["id"]]
    assert run("lineage", "nobody", "--data-dir", home)[0] == 2
    assert run("propose", "sma_cross", "--parameters", "fast_bars", *asked)[0] == 2
    assert run("propose", "sma_cross", "--parameters", "fast_bars=99", *asked)[0] == 2


@pytest.mark.parametrize("kept_as", ["TEXT", "BLOB"])
def test_an_altered_store_is_told_and_the_exit_code_is_1(tmp_path: Path, kept_as: str) -> None:
    store = CandidateStore.at(tmp_path / STORE_NAME)
    store.propose(PROPOSAL)
    store.close()
    forged = "replace(CAST(body AS TEXT), '150000', '950000')"
    with sqlite3.connect(tmp_path / STORE_NAME) as connection:
        connection.execute("DROP TRIGGER candidates_no_update")
        connection.execute(f"UPDATE candidates SET body = CAST({forged} AS {kept_as})")
    connection.close()
    result = CliRunner().invoke(app, ["lineage", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "row 1 is not what was written down" in result.output
