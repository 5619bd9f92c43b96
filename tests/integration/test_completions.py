"""Completions: what is there and may be read, by what was typed so far; never more than a hundred."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import Implementation, PromptReference, ResourceTemplateReference
from tests.support.stage import OPERATOR_TOKEN, Stage, staged

from memmcp_server.domain.caller import Caller

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A1")]
ERAS = ["legacy", "2026-07-28"]
OPERATOR = Caller("operator", "", "test", "operator", "cli")
MEMORY = ResourceTemplateReference(uri="memory://{namespace}/{id}")
TRAJECTORY = ResourceTemplateReference(uri="trajectory://{id}{?cursor,limit}")
TRADES = ResourceTemplateReference(uri="history://trades{?cursor,limit,strategy}")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def offered(stage: Stage, ref: Any, name: str, value: str, era: Any = "legacy", **known: str) -> Any:
    info = Implementation(name="cursor", version="1")
    async with Client(stage.mcp, client_info=info, mode=era) as client:
        told = await client.complete(ref, {"name": name, "value": value}, context_arguments=known or None)
    return told.completion


async def write(stage: Stage, content: str, **fields: Any) -> str:
    answer = await stage.http.post("/memory/write", json={"content": content, "agent": "claude", **fields})
    return str(answer.json()["id"])


@pytest.mark.parametrize("era", ERAS)
async def test_namespaces_are_offered_by_their_beginning(stage: Stage, era: str) -> None:
    for namespace in ("team/alpha", "team/beta", "other"):
        await write(stage, f"in {namespace}", namespace=namespace)
    assert sorted((await offered(stage, MEMORY, "namespace", "TEAM/", era)).values) == ["team/alpha", "team/beta"]
    told = await offered(stage, PromptReference(name="session_start"), "namespace", "", era)
    assert sorted(told.values) == ["other", "team/alpha", "team/beta"]


async def test_what_an_agent_may_not_read_is_not_offered(stage: Stage) -> None:
    secret = await write(stage, "theirs", namespace="private")
    await write(stage, "ours", namespace="public")
    await stage.services.policies.set("private", {"readers": ["claude"]}, OPERATOR)
    assert (await offered(stage, MEMORY, "namespace", "")).values == ["public"]
    assert (await offered(stage, MEMORY, "id", secret[:8], namespace="private")).values == []


async def test_ids_of_memories_trajectories_and_orders_and_names_of_strategies(stage: Stage) -> None:
    mine = await write(stage, "step", trajectory_id="session-7", namespace="team")
    other = await write(stage, "elsewhere")
    ids = (await offered(stage, MEMORY, "id", "", namespace="team")).values
    assert mine in ids
    assert other not in ids
    assert (await offered(stage, TRAJECTORY, "id", "sess")).values == ["session-7"]
    names = (await offered(stage, TRADES, "strategy", "")).values
    assert names
    assert (await offered(stage, TRADES, "strategy", names[0][:3])).values[0].startswith(names[0][:3])
    assert (await offered(stage, PromptReference(name="trade_review"), "order_id", "")).values == []
    assert (await offered(stage, TRADES, "cursor", "1")).values == []


async def test_an_answer_has_at_most_a_hundred_values_and_says_that_there_are_more(stage: Stage) -> None:
    headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    for batch in range(3):
        memories = [
            {"content": f"n{number}", "namespace": f"team/n{number}"} for number in range(batch * 50, batch * 50 + 50)
        ]
        for memory in memories:
            assert (await stage.http.post("/memory/write", json=memory, headers=headers)).status_code == 201
    told = await offered(stage, MEMORY, "namespace", "team/")
    assert (len(told.values), told.total, told.has_more) == (100, 150, True)


async def test_a_desk_that_is_away_offers_nothing(stage: Stage) -> None:
    stage.trading.away = "the desk is starting"
    assert (await offered(stage, PromptReference(name="post_mortem"), "order_id", "x")).values == []
