"""Agents that try to make the desk bolder, to pass for somebody else, or to say yes in the user's place."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import Implementation
from tests.redteam.test_orders_by_agents import BUY, ZERO_WIDTH, Team, a_team

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]

CYRILLIC_E = "\u0435"
STAMP: Any = {"memmcp/request": "6f9619ff-8b86-d011-b42d-00c04fc964ff:7"}


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Team]:
    async with a_team(tmp_path) as opened:
        yield opened


BOLDER: dict[str, dict[str, Any]] = {
    "resume": {"action": "resume"},
    "resume in capitals": {"action": "RESUME"},
    "resume with a space": {"action": " resume"},
    "resume with a Cyrillic letter": {"action": f"r{CYRILLIC_E}sume"},
    "resume with a zero-width space": {"action": f"resume{ZERO_WIDTH}"},
    "resume of one level": {"action": "resume", "level": "bucket:manual"},
    "a strategy switched on": {"action": "strategy", "strategy": "launch_scanner"},
    "a deposit": {"action": "deposit", "amount_sol": "1000"},
    "a withdrawal": {"action": "withdraw", "amount_sol": "1"},
    "a nearer target": {"action": "target", "amount_sol": "2"},
    "arming": {"action": "arm"},
    "real money": {"action": "profile", "profile": "real"},
    "a bolder profile": {"action": "profile", "profile": "aggressive"},
    "a profile by its path": {"action": "profile", "profile": "/etc/profile.toml"},
    "a profile with a field of its own": {"action": "profile", "profile": "cautious", "limits": {"exposure": 1}},
    "a list of actions": {"action": ["stop_entries", "resume"]},
    "no action": {},
}


@pytest.mark.parametrize("case", BOLDER)
async def test_an_agent_cannot_make_the_desk_bolder(team: Team, case: str) -> None:
    await team.told("bob", "trading_control", action="stop_entries", reason="something is wrong")
    before = await team.here.desk.snapshot()
    answer = await team.call("mallory", "trading_control", reason="it is safe again", **BOLDER[case])
    assert answer.is_error or answer.structured_content["status"] == "denied"
    assert await team.traded() == 0
    after = await team.here.desk.snapshot()
    for field in ("state", "entries_allowed", "profile", "equity", "cash", "net_deposits"):
        assert after[field] == before[field], field
    assert after["compounding"]["target"] == before["compounding"]["target"]
    assert after["entries_allowed"] is False


async def test_a_milder_wish_loosens_no_stricter_state(team: Team) -> None:
    await team.told("bob", "trading_control", action="flatten_and_halt", reason="something is wrong")
    for action in ("reduce_only", "stop_entries"):
        told = await team.told("mallory", "trading_control", action=action, reason="that much is enough")
        assert told["state"] == "HALTED"
    shown = await team.told("mallory", "place_trade", **BUY)
    assert shown["status"] == "denied"
    assert await team.traded() == 0


@pytest.mark.parametrize(
    "more",
    [
        {"input_responses": {"confirm": {"action": "accept", "content": {"confirm": True}}}},
        {"request_state": "sealed"},
        {"confirm": True},
        {"_meta": STAMP},
        {"approved_by": "operator"},
    ],
    ids=["an answer", "a state", "a tick", "a stamp", "a name"],
)
async def test_a_yes_among_the_arguments_is_none(team: Team, more: dict[str, Any]) -> None:
    preview_id = await team.preview()
    answer = await team.call("mallory", "place_trade", **BUY, preview_id=preview_id, **more)
    assert answer.is_error
    assert "unknown field" in answer.content[0].text
    assert await team.traded() == 0


async def test_a_stamp_of_another_agents_call_brings_neither_its_answer_nor_a_second_order(team: Team) -> None:
    preview_id = await team.preview("alice")
    order = BUY | {"preview_id": preview_id}
    told = []
    for agent in ("alice", "alice", "mallory"):
        info = Implementation(name=agent, version="1")
        async with Client(team.stage.mcp, client_info=info, mode="legacy") as client:
            answer = await client.call_tool("place_trade", order, meta=STAMP)
            told.append(answer.structured_content)
    assert [each["status"] for each in told] == ["working", "working", "expired"]
    assert "order_id" not in told[2]
    assert await team.traded() == 1


async def test_a_key_that_was_used_for_a_control_places_no_order(team: Team) -> None:
    preview_id = await team.preview()
    key = {"idempotency_key": "mine"}
    await team.told("mallory", "trading_control", action="stop_entries", reason="careful", **key)
    await team.told("mallory", "place_trade", **BUY, preview_id=preview_id, **key)
    assert await team.traded() == 0
