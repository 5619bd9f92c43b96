"""From the memory that an agent cites in an order, through the desk's own journal, to the credit it gets at the end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp_types import CallToolResult, Implementation
from tests.doubles.clocks import SystemClock
from tests.doubles.scripted_market import ManualFeed
from tests.doubles.trading_desk import MINT as DESK_MINT
from tests.support.journals import a_draft
from tests.support.migrated import migrated
from tests.support.stage import staged
from tests.unit.trading.desk.test_paper_desk import MINT, Market, market

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import SqlJournal, open_journal
from memmcp_server.adapters.trading_desk import JournalMemory
from memmcp_server.config import JournalSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.episodes import outcome_of
from memmcp_server.domain.identifiers import MemoryId, TrajectoryId
from memmcp_server.domain.lifecycle import ForgetMemory, LinkKind, Standing
from memmcp_server.domain.memory import Provenance
from memmcp_server.domain.trajectory import Trajectory

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M13")]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqlJournal]:
    async with open_journal(JournalSection(), migrated(tmp_path / "memory"), SystemClock()) as opened:
        yield opened


async def closed(journal: SqlJournal, trajectory_id: str) -> Trajectory:
    with anyio.fail_after(30):
        while True:
            found = await journal.trajectory(TrajectoryId(trajectory_id))
            if found is not None and found.closed_at_ns is not None:
                return found
            await anyio.sleep(0.01)


async def traded(here: Market, price_after: str, key: str, cites: list[str]) -> str:
    """Buy, let the price move, sell all of it; return the trade's trajectory."""
    await here.buy(key=key, cites=cites)
    await here.move()
    held = (await here.move(price_after)).positions
    trajectory_id = held[0].trajectory_id
    request: dict[str, Any] = {"mint": MINT, "percent": 100, "reason": "the test is over"}
    shown = await here.desk.close_position(request, agent="a", key=f"{key}-p")
    request["preview_id"] = shown["preview_id"]
    await here.desk.close_position(request, agent="a", key=f"{key}-c")
    await here.move()
    return trajectory_id


async def standing(journal: SqlJournal, memory_id: MemoryId, as_of_ns: int | None = None) -> Standing:
    found = await journal.surroundings([memory_id], as_of_ns=as_of_ns)
    return found.standings.get(memory_id, Standing())


async def test_a_losing_trade_takes_credit_from_what_it_cited_and_a_winning_one_gives_it(
    journal: SqlJournal, tmp_path: Path
) -> None:
    [lesson, forgotten, other] = [
        each.id for each in await journal.commit([a_draft("Buy the dip."), a_draft("a rumour"), a_draft("unread")])
    ]
    await journal.commit([ForgetMemory(forgotten, "a test", Provenance())])
    before_ns = SystemClock().now_ns()
    feed = ManualFeed(MINT, "AAA", "0.001")
    async with market(tmp_path / "desk", JournalMemory(journal, RuleScanner()), feed) as here:
        won = await closed(journal, await traded(here, "0.0013", "one", [lesson]))
        assert won.outcome == "won"
        assert await standing(journal, lesson) == Standing(credit=1_000, wins=1)
        lost = await closed(journal, await traded(here, "0.00128", "two", [lesson, forgotten]))
        assert (lost.outcome, outcome_of((await journal.memories([MemoryId(lost.id)]))[0])) == ("lost", -1)
    assert await standing(journal, lesson) == Standing(credit=0, wins=1, losses=1)
    assert await standing(journal, lesson, before_ns) == Standing()
    assert await standing(journal, other) == Standing()
    steps = await journal.steps(lost.id, after=None, limit=20)
    [signal] = [step for step in steps if step.kind == "signal"]
    links = [link for link in await journal.links([signal.id]) if link.kind is LinkKind.CITES]
    assert [(link.to_id, link.trajectory_id) for link in links] == [(lesson, lost.id)]
    assert signal.metadata["evidence"] == {"cites": f"{lesson}\n{forgotten}"}
    head = (await journal.memories([MemoryId(lost.id)]))[0]
    assert "a losing trade, it failed" in head.content
    assert "because: a: a test buys" in head.content
    assert "the test is over" in head.content


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if block.type == "text")


async def test_an_order_cites_only_what_its_agent_may_read(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        commit = stage.services.journal.commit
        [open_note] = await commit([a_draft("open")])
        [secret] = await commit([a_draft("secret", namespace="private")])
        operator = Caller("operator", "", "test", "operator", "internal")
        await stage.services.policies.set("private", {"readers": ["trae"]}, operator)
        async with Client(stage.mcp, client_info=Implementation(name="cursor", version="1")) as client:
            wish = {"side": "buy", "mint": DESK_MINT, "amount_sol": "0.1", "reason": "it says so"}
            for cites in (["nobody"], [open_note.id, secret.id]):
                refused = await client.call_tool("place_trade", {**wish, "cites": cites})
                assert refused.is_error
                assert "[field: cites]" in text_of(refused)
            assert stage.trading.calls == []
            shown = await client.call_tool("place_trade", {**wish, "cites": [open_note.id]})
            assert not shown.is_error
            assert "preview_id" in text_of(shown)
