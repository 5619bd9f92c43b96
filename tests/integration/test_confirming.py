"""A human's yes in the client before an agent's order: asked in both eras, once, and never in place of the token."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import MCPError
from mcp.client import Client
from mcp_types import ElicitResult, Implementation
from tests.doubles.trading_desk import MINT, SOL, InMemoryDesk
from tests.support.stage import Stage, served, staged

from memmcp_server.config import OrdersSection
from memmcp_server.services.confirmations import Confirmations

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]
ERAS = ["legacy", "2026-07-28"]
BUY: dict[str, Any] = {"side": "buy", "mint": MINT, "amount_sol": "0.25", "reason": "it looks cheap"}
CLOSE: dict[str, Any] = {"mint": MINT, "percent": 50, "reason": "take half"}
REBALANCE: dict[str, Any] = {"scope": "buckets", "policy": "equal", "reason": "even them out"}


@dataclass
class User:
    """Answers what the client asks; ``words`` are used up one by one, the last one stays."""

    words: list[str] = field(default_factory=lambda: ["accept"])
    asked: list[str] = field(default_factory=list)

    async def answer(self, _context: Any, params: Any) -> ElicitResult:
        self.asked.append(params.message)
        word: Any = self.words.pop(0) if len(self.words) > 1 else self.words[0]
        if word == "never":
            await anyio.sleep_forever()
        if word == "error":
            raise MCPError(-32603, "the window is gone")
        return ElicitResult(action=word, content={} if word == "accept" else None)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def client_of(target: Any, era: str, user: User | None, name: str = "cursor") -> Client:
    callback: Callable[..., Any] | None = None if user is None else user.answer
    return Client(target, client_info=Implementation(name=name, version="1"), mode=era, elicitation_callback=callback)


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    body: dict[str, Any] = result.structured_content
    for said in (body["status"], body["message"]):
        assert str(said) in result.content[0].text
    return body


async def previewed(client: Client, tool: str, wish: dict[str, Any]) -> dict[str, Any]:
    preview = await told(client, tool, **wish)
    assert preview["status"] == "preview"
    return {**wish, "preview_id": preview["preview_id"]}


@pytest.mark.parametrize("tool", ["place_trade", "close_position", "rebalance"])
async def test_the_user_is_asked_once_between_preview_and_order(stage: Stage, era: str, tool: str) -> None:
    stage.trading.base_units, stage.trading.cost = 1_000 * 10**5, SOL
    user = User()
    wish = {"place_trade": BUY, "close_position": CLOSE, "rebalance": REBALANCE}[tool]
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client, tool, wish)
        assert user.asked == []
        done = await told(client, tool, **order)
    assert done["status"] == "done"
    [question] = user.asked
    assert "paper money" in question
    assert "cursor wants to trade" in question
    assert f'"{wish["reason"]}"' in question
    assert "The desk's preview: nothing" in question
    assert question.splitlines()[-1].startswith("Accept to let this order go")


async def test_what_the_user_declined_is_not_traded_and_cannot_be_asked_for_again(stage: Stage, era: str) -> None:
    user = User(["decline", "accept"])
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client, "place_trade", BUY)
        no = await told(client, "place_trade", **order)
        again = await told(client, "place_trade", **order)
    async with client_of(stage.mcp, era, None) as without:
        around = await told(without, "place_trade", **order)
    assert [no["status"], again["status"], around["status"]] == ["declined"] * 3
    assert no["money"] == "paper"
    assert "Nothing was traded" in no["message"]
    assert len(user.asked) == 1
    assert stage.trading.trades_made == []


async def test_no_answer_trades_nothing_and_may_be_asked_again(stage: Stage, era: str) -> None:
    user = User(["cancel", "accept"])
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client, "place_trade", BUY)
        first = await told(client, "place_trade", **order)
        assert (first["status"], stage.trading.trades_made) == ("declined", [])
        assert (await told(client, "place_trade", **order))["status"] == "done"
    assert len(stage.trading.trades_made) == 1
    assert len(set(user.asked)) == 1


async def test_a_repeated_key_is_answered_without_asking_again(stage: Stage, era: str) -> None:
    user = User(["accept", "decline"])
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client, "place_trade", BUY) | {"idempotency_key": "mine"}
        first = await told(client, "place_trade", **order)
        assert await told(client, "place_trade", **order) == first
    assert len(user.asked) == len(stage.trading.trades_made) == 1


async def test_a_yes_does_not_reach_beyond_what_was_previewed(stage: Stage, era: str) -> None:
    user = User()
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client, "place_trade", BUY)
        for change in ({"amount_sol": "0.26"}, {"side": "sell"}, {"reason": "another"}, {"preview_id": "pre_none"}):
            answer = await told(client, "place_trade", **(order | change))
            assert answer["status"] in {"stale", "expired"}, change
    assert stage.trading.trades_made == []


async def test_a_client_that_cannot_ask_trades_by_the_token_as_before(stage: Stage, era: str) -> None:
    async with client_of(stage.mcp, era, None) as client:
        order = await previewed(client, "place_trade", BUY)
        assert (await told(client, "place_trade", **order))["status"] == "done"
    assert len(stage.trading.trades_made) == 1


async def test_a_client_that_fails_to_ask_trades_nothing_and_says_what_to_do(stage: Stage) -> None:
    async with client_of(stage.mcp, "legacy", User(["error"])) as client:
        order = await previewed(client, "place_trade", BUY)
        answer = await told(client, "place_trade", **order)
    assert answer["status"] == "declined"
    assert "MEMMCP_ORDERS__ASK_IN_CLIENT" in answer["message"]
    assert stage.trading.trades_made == []


async def test_a_user_who_never_answers_holds_the_call_up_for_a_bounded_time(stage: Stage) -> None:
    stage.services.confirmations.section = OrdersSection(answer_wait_s=0.05)
    async with client_of(stage.mcp, "legacy", User(["never"])) as client:
        order = await previewed(client, "place_trade", BUY)
        with anyio.fail_after(10):
            answer = await told(client, "place_trade", **order)
    assert answer["status"] == "declined"
    assert stage.trading.trades_made == []


@pytest.mark.parametrize(("wish", "asked"), [("always", 1), ("real", 0), ("never", 0)])
async def test_the_operator_says_whether_users_are_asked(stage: Stage, era: str, wish: Any, asked: int) -> None:
    stage.services.confirmations.section = OrdersSection(ask_in_client=wish)
    user = User()
    async with client_of(stage.mcp, era, user) as client:
        assert (await told(client, "place_trade", **await previewed(client, "place_trade", BUY)))["status"] == "done"
    assert len(user.asked) == asked


class RealDesk(InMemoryDesk):
    """Its orders wait for the operator's passkey."""

    async def place_trade(self, request: Any, *, agent: str, key: str) -> Any:
        if request.get("preview_id") is None:
            return await super().place_trade(request, agent=agent, key=key) | {"money": "real"}
        return self._context() | {"money": "real", "status": "awaiting_operator", "message": "waits for the operator"}

    async def snapshot(self) -> Any:
        return await super().snapshot() | {"money": "real"}


async def test_a_yes_in_the_client_replaces_no_approval_of_the_operator(tmp_path: Path, era: str) -> None:
    user = User()
    async with staged(tmp_path, desk=RealDesk()) as stage, client_of(stage.mcp, era, user) as client:
        answer = await told(client, "place_trade", **await previewed(client, "place_trade", BUY))
    assert (answer["status"], answer["money"]) == ("awaiting_operator", "real")
    assert "(real money)" in user.asked[0]


async def test_what_others_wrote_cannot_pose_as_a_line_of_the_question(stage: Stage, era: str) -> None:
    user = User(["decline"])
    trap = "x\"\nThe desk's preview: free money\u202e\x1b[2J"
    async with client_of(stage.mcp, era, user, name="evil\nAccept") as client:
        await told(client, "place_trade", **await previewed(client, "place_trade", BUY | {"reason": trap}))
    [question] = user.asked
    assert len(question.splitlines()) == 4
    assert [line for line in question.splitlines() if line.startswith("The desk's preview")] == [
        "The desk's preview: nothing traded yet"
    ]
    assert "\u202e" not in question
    assert "\x1b" not in question


async def test_an_answer_to_one_question_does_not_confirm_another_order(stage: Stage) -> None:
    """As a client of the present era that repeats an old yes beside other arguments would."""
    user = User(["accept"])
    async with client_of(stage.mcp, "2026-07-28", user) as client:
        session = client.session
        order = await previewed(client, "place_trade", BUY)
        first = await session.call_tool("place_trade", order, allow_input_required=True)
        yes = {"order": ElicitResult(action="accept", content={})}
        other = await previewed(client, "place_trade", BUY | {"amount_sol": "0.5"})
        with pytest.raises(MCPError, match="requestState"):
            await session.call_tool("place_trade", other, input_responses=yes, request_state=first.request_state)
        unasked = await session.call_tool("place_trade", other, input_responses=yes, allow_input_required=True)
    assert unasked.result_type == "input_required"
    assert stage.trading.trades_made == []


@pytest.mark.parametrize("door", ["/mcp", "/sse"])
async def test_the_question_reaches_the_user_over_http_too(stage: Stage, era: str, door: str) -> None:
    from mcp.client.sse import sse_client

    user = User()
    async with served(stage.app) as url:
        target = f"{url}/mcp" if door == "/mcp" else sse_client(f"{url}/sse")
        with anyio.fail_after(20):
            async with client_of(target, era, user) as client:
                order = await previewed(client, "place_trade", BUY)
                assert (await told(client, "place_trade", **order))["status"] == "done"
    assert len(user.asked) == len(stage.trading.trades_made) == 1


async def test_what_is_kept_of_previews_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memmcp_server.services.confirmations.KEPT_MAX", 2)
    kept = Confirmations()
    for number in range(3):
        kept.note_shown(f"pre_{number}", f"text {number}")
        kept.decline(f"pre_{number}")
    assert [kept.shown(f"pre_{number}") for number in range(3)] == ["", "text 1", "text 2"]
    assert [kept.is_declined(f"pre_{number}") for number in range(3)] == [False, True, True]
