"""What agents and the operator had the desk do, or were refused, is in the audit: ids and figures, nobody's words."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import Implementation
from tests.doubles.trading_desk import MINT
from tests.support.stage import OPERATOR_TOKEN, Stage, staged

from memmcp_server.errors import StorageFull

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O5")]
BUY = {"side": "buy", "mint": MINT, "amount_sol": "0.1", "reason": "told in confidence"}
OPERATOR = {"authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def client_of(stage: Stage) -> Client:
    return Client(stage.mcp, client_info=Implementation(name="cursor", version="1"))


async def entries(stage: Stage) -> list[dict[str, Any]]:
    shown = await stage.http.get("/memory/audit", params={"action": "desk"}, headers=OPERATOR)
    assert shown.status_code == 200, shown.text
    found: list[dict[str, Any]] = shown.json()["entries"]
    assert "told in confidence" not in shown.text
    return list(reversed(found))


async def test_an_order_is_noted_with_its_ids_and_its_preview_is_not(stage: Stage) -> None:
    async with client_of(stage) as client:
        shown = (await client.call_tool("place_trade", BUY)).structured_content
        assert await entries(stage) == []
        wish = {**BUY, "preview_id": shown["preview_id"]}
        done = (await client.call_tool("place_trade", wish)).structured_content
    [entry] = await entries(stage)
    assert (entry["agent"], entry["reason"]) == ("cursor", "")
    wanted = {
        "call": "place_trade",
        "side": "buy",
        "mint": MINT,
        "amount_sol": "0.1",
        "status": "done",
        "money": "paper",
        "order_id": done["order_id"],
    }
    assert wanted.items() <= entry["detail"].items()


async def test_a_refused_call_is_noted_by_its_code_alone(stage: Stage) -> None:
    async with client_of(stage) as client:
        answer = await client.call_tool("trading_control", {"action": "resume", "reason": "told in confidence"})
        assert answer.is_error
    [entry] = await entries(stage)
    assert entry["detail"] == {"call": "trading_control", "status": "refused", "code": "refused"}


async def test_what_makes_the_desk_safer_is_noted_from_either_door(stage: Stage) -> None:
    async with client_of(stage) as client:
        await client.call_tool("trading_control", {"action": "stop_entries", "reason": "told in confidence"})
    acted = await stage.http.post("/actions/resume", json={"reason": "told in confidence"}, headers=OPERATOR)
    assert acted.status_code == 200, acted.text
    theirs, ours = await entries(stage)
    assert (theirs["agent"], theirs["detail"]["call"]) == ("cursor", "trading_control")
    assert theirs["detail"]["action"] == "stop_entries"
    assert (ours["detail"]["call"], ours["detail"]["action"]) == ("POST /actions/resume", "resume")


async def test_a_journal_that_takes_no_entry_costs_nobody_the_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(_commands: Any) -> Any:
        raise StorageFull("the disk is full")

    async with client_of(stage) as client:
        shown = (await client.call_tool("place_trade", BUY)).structured_content
        monkeypatch.setattr(stage.services.journal, "commit", full)
        done = await client.call_tool("place_trade", {**BUY, "preview_id": shown["preview_id"]})
    assert done.structured_content["status"] == "done"
    assert "the audit has no entry for place_trade of cursor" in caplog.text
