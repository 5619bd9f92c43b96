"""insights://current: what was learned and what is wrong now, bounded, for the one who asks."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.client import Client
from mcp_types import Implementation
from tests.doubles.trading_desk import SOL, InMemoryDesk
from tests.support.stage import Stage, staged

from memmcp_server.domain.caller import Caller

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A2")]
BYTES_MAX = 16_384


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


def client_of(stage: Stage, era: Any = "legacy", name: str = "cursor") -> Client:
    return Client(stage.mcp, client_info=Implementation(name=name, version="1"), mode=era)


async def insights(client: Client, query: str = "") -> dict[str, Any]:
    text = (await client.read_resource(f"insights://current{query}")).contents[0].text
    assert len(text.encode()) <= BYTES_MAX
    body: dict[str, Any] = json.loads(text)
    return body


async def written(client: Client, content: str, **more: Any) -> str:
    answer = await client.call_tool("memory_write", {"content": content, **more})
    assert not answer.is_error, answer.content[0].text
    return str(answer.structured_content["id"])


def about(found: dict[str, Any], what: str) -> list[str]:
    return [each["text"] for each in found["warnings"] if each["about"] == what]


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_the_lessons_that_weigh_most_come_first_with_the_newest_digest_of_each_namespace(
    stage: Stage, era: str
) -> None:
    async with client_of(stage, era) as client:
        await written(client, "A light lesson.", kind="lesson", importance=10)
        heavy = await written(client, "A heavy lesson.", kind="lesson", importance=90)
        await written(client, "No lesson at all.", kind="note", importance=100)
        await written(client, "An old digest.", kind="digest", namespace="team/a")
        newest = await written(client, "The new digest.", kind="digest", namespace="team/a")
        other = await written(client, "Another digest.", kind="digest", namespace="team/b")
        found = await insights(client)
        below = await insights(client, "?namespace=team%2Fb")
    assert [each["text"] for each in found["lessons"]] == ["A heavy lesson.", "A light lesson."]
    assert found["lessons"][0]["id"] == heavy
    assert found["lessons_total"] == 2
    assert [each["id"] for each in found["digests"]] == [other, newest]
    assert (below["lessons"], [each["id"] for each in below["digests"]]) == ([], [other])
    assert [each["name"] for each in found["strategies"]] == ["manual"]
    assert all(not isinstance(value, list | dict) for each in found["strategies"] for value in each.values())
    assert found["confidence"]
    assert (found["money"], found["feed"]["age_s"]) == ("paper", 1.5)


async def test_a_lesson_whose_ground_has_gone_is_a_warning_that_says_where_to_look(stage: Stage) -> None:
    async with client_of(stage) as client:
        ground = await written(client, "Fees are 5 bps.")
        lesson = await written(client, "Trade often, fees are low.", kind="lesson", cites=[ground])
        assert about(await insights(client), "memory") == []
        await client.call_tool("memory_update", {"id": ground, "content": "Fees are 50 bps."})
        found = await insights(client)
    [warning] = [each for each in found["warnings"] if each["about"] == "memory"]
    assert lesson in warning["text"]
    assert f"memory://default/{lesson}" in warning["next"]


class TroubledDesk(InMemoryDesk):
    """Half of its limit used, its feed behind."""

    async def snapshot(self) -> Any:
        found: Any = await super().snapshot()
        return found | {"feed": {**found["feed"], "stale": True, "age_s": 900.0}}


async def test_what_is_wrong_at_the_desk_is_said_with_what_to_do(tmp_path: Path) -> None:
    desk = TroubledDesk()
    async with staged(tmp_path, desk=desk) as stage, client_of(stage) as client:
        calm = await insights(client)
        assert [(each["after"], each["by"]) for each in calm["profiles"]] == [("foundation", "operator")]
        assert about(calm, "limit") == about(calm, "trading") == []
        desk.base_units, desk.lamports_per_token = 1_800 * 10**5, SOL // 1_000
        await client.call_tool("trading_control", {"action": "reduce_only", "reason": "too hot"})
        found = await insights(client)
    assert about(found, "feed") == ["the feed is stale (900 s old)"]
    [limit] = about(found, "limit")
    assert limit.startswith("exposure_bps_max of desk is nearly used up: 4736 of 5000 bps")
    [trading] = about(found, "trading")
    assert trading.startswith("the desk is REDUCING")
    assert all(each["next"] for each in found["warnings"])


async def test_without_a_desk_the_memory_side_is_there_and_the_money_is_not_guessed(tmp_path: Path) -> None:
    async with staged(tmp_path / "off", without_desk=True) as stage, client_of(stage) as client:
        await written(client, "A lesson.", kind="lesson")
        found = await insights(client)
        assert len(found["lessons"]) == 1
        assert (found["money"], found["strategies"], about(found, "trading")) == (None, None, [])
        assert found.get("profiles") is None
    away = InMemoryDesk(away="the desk is starting")
    async with staged(tmp_path / "away", desk=away) as stage, client_of(stage) as client:
        found = await insights(client)
    assert found["money"] is None
    assert about(found, "trading") == ["the desk is starting"]


async def test_however_much_was_learned_the_answer_stays_short(stage: Stage) -> None:
    async with client_of(stage) as client:
        for number in range(30):
            lesson = f"Lesson {number}: " + "slippage grows with size in shallow pools. " * 40
            await written(client, lesson, kind="lesson")
            await written(client, lesson, kind="digest", namespace=f"team/number-{number}")
        found = await insights(client)
    assert (len(found["lessons"]), found["lessons_total"], len(found["digests"])) == (12, 30, 12)


async def test_what_is_hidden_from_an_agent_is_in_no_insight_of_it(stage: Stage) -> None:
    operator = Caller(agent="operator", session="", tool="test", role="operator", transport="http")
    await stage.services.policies.set("secret/", {"readers": ["cursor"]}, operator)
    told = {}
    for name in ("cursor", "stranger"):
        async with client_of(stage, name=name) as client:
            if name == "cursor":
                await written(client, "The hidden plan.", kind="lesson", namespace="secret/plans")
                await written(client, "The hidden digest.", kind="digest", namespace="secret/plans")
            told[name] = json.dumps(await insights(client))
    assert "hidden plan" in told["cursor"]
    assert "hidden digest" in told["cursor"]
    assert "hidden" not in told["stranger"]


async def test_a_namespace_that_is_none_is_refused_by_name(stage: Stage) -> None:
    async with client_of(stage) as client:
        with pytest.raises(MCPError, match="namespace"):
            await insights(client, "?namespace=..%2Fetc")
