"""A client that can ask its user asks before an order: on both eras, once for each effect; others are not asked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp_types import ElicitRequestParams, ElicitResult, Implementation
from tests.doubles.trading_desk import MINT
from tests.support.stage import Stage, staged

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]
ERAS = ["legacy", "2026-07-28"]
BUY = {"side": "buy", "mint": MINT, "amount_sol": "0.1", "reason": "a breakout"}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


class Person:
    """The user at a client: what they are asked, and what they say."""

    def __init__(self, action: str = "accept", content: dict[str, Any] | None = None) -> None:
        self.asked: list[str] = []
        self._action = action
        self._content = {"confirm": True} if content is None and action == "accept" else content

    async def __call__(self, _context: Any, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        return ElicitResult(action=self._action, content=self._content)  # type: ignore[arg-type]


def client_of(stage: Stage, era: Any, person: Person | None) -> Client:
    info = Implementation(name="cursor", version="1")
    return Client(stage.mcp, client_info=info, mode=era, elicitation_callback=person)


async def preview(client: Client, tool: str = "place_trade", **arguments: Any) -> str:
    shown = (await client.call_tool(tool, arguments or BUY)).structured_content
    assert shown["status"] == "preview"
    return str(shown["preview_id"])


@pytest.mark.parametrize("era", ERAS)
async def test_a_yes_places_the_order_that_was_shown(stage: Stage, era: str) -> None:
    person = Person()
    async with client_of(stage, era, person) as client:
        preview_id = await preview(client)
        assert person.asked == []
        done = await client.call_tool("place_trade", {**BUY, "preview_id": preview_id})
    assert done.structured_content["status"] == "done"
    [question] = person.asked
    assert "PAPER money: cursor wants to buy 0.1 SOL of" in question
    assert preview_id in question
    assert len(stage.trading.trades_made) == 1


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("person", "said"),
    [
        (Person("decline"), "the user declined"),
        (Person("cancel"), "closed the question"),
        (Person("accept", {"confirm": False}), "did not say yes"),
    ],
    ids=["declined", "closed", "not ticked"],
)
async def test_anything_but_a_yes_trades_nothing_and_says_so(stage: Stage, era: str, person: Person, said: str) -> None:
    async with client_of(stage, era, person) as client:
        wish = {**BUY, "preview_id": await preview(client)}
        answer = await client.call_tool("place_trade", wish)
    assert answer.is_error
    assert said in answer.content[0].text
    assert "nothing was traded" in answer.content[0].text
    assert stage.trading.trades_made == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_repeat_with_the_same_key_brings_the_answer_and_asks_nobody(stage: Stage, era: str) -> None:
    person = Person()
    async with client_of(stage, era, person) as client:
        wish = {**BUY, "preview_id": await preview(client), "idempotency_key": "once"}
        first = await client.call_tool("place_trade", wish)
        again = await client.call_tool("place_trade", wish)
    assert first.structured_content["order_id"] == again.structured_content["order_id"]
    assert len(person.asked) == 1
    assert len(stage.trading.trades_made) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cannot_ask_orders_by_its_preview_as_before(stage: Stage, era: str) -> None:
    async with client_of(stage, era, None) as client:
        done = await client.call_tool("place_trade", {**BUY, "preview_id": await preview(client)})
    assert done.structured_content["status"] == "done"


@pytest.mark.parametrize("era", ERAS)
async def test_an_exit_and_what_makes_safer_wait_for_nobody(stage: Stage, era: str) -> None:
    person = Person()
    async with client_of(stage, era, person) as client:
        await client.call_tool("place_trade", {**BUY, "preview_id": await preview(client)})
        close = {"mint": MINT, "percent": 50, "reason": "half out"}
        preview_id = await preview(client, "close_position", **close)
        closed = await client.call_tool("close_position", {**close, "preview_id": preview_id})
        stopped = await client.call_tool("trading_control", {"action": "stop_entries", "reason": "careful"})
    assert closed.structured_content["status"] == "done"
    assert not stopped.is_error
    assert len(person.asked) == 1
