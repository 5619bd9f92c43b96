"""What a yes in the client covers and what not: other orders, other clients, repeats, and whoever wrote the reason."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import MCPError
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp_types import ElicitResult, Implementation
from tests.doubles.trading_desk import MINT, InMemoryDesk
from tests.support.stage import Stage, served, staged

from memmcp_server.config import OrdersSection
from memmcp_server.services.confirmations import Confirmations

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]
ERAS = ["legacy", "2026-07-28"]
BUY: dict[str, Any] = {"side": "buy", "mint": MINT, "amount_sol": "0.25", "reason": "it looks cheap"}
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
        return ElicitResult(action=word, content={"confirm": True} if word == "accept" else None)


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


async def said(client: Client, tool: str = "place_trade", **arguments: Any) -> str:
    """Return the answer's status, or what a refusal says."""
    result = await client.call_tool(tool, arguments)
    return str(result.content[0].text if result.is_error else result.structured_content["status"])


async def previewed(client: Client, tool: str = "place_trade", **wish: Any) -> dict[str, Any]:
    wish = wish or BUY
    preview = (await client.call_tool(tool, wish)).structured_content
    assert preview["status"] == "preview"
    return {**wish, "preview_id": preview["preview_id"]}


async def test_the_user_reads_what_the_desk_showed_and_why_the_agent_wants_it(stage: Stage, era: str) -> None:
    user = User()
    async with client_of(stage.mcp, era, user) as client:
        assert await said(client, **await previewed(client)) == "done"
        assert await said(client, "rebalance", **await previewed(client, "rebalance", **REBALANCE)) == "done"
    first, second = user.asked
    assert "The desk's preview: nothing traded yet" in first.splitlines()
    assert f'Its reason: "{BUY["reason"]}"' in first.splitlines()
    assert "rebalance buckets to equal" in second


async def test_what_the_user_declined_is_void_also_for_a_client_that_cannot_ask(stage: Stage, era: str) -> None:
    user = User(["decline", "accept"])
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client)
        assert "the user declined, so nothing was traded" in await said(client, **order)
        assert "the user declined this preview, so nothing was traded" in await said(client, **order)
    async with client_of(stage.mcp, era, None) as without:
        assert "the user declined this preview" in await said(without, **order)
    assert len(user.asked) == 1
    assert stage.trading.trades_made == []


async def test_a_question_that_was_closed_may_be_asked_again(stage: Stage, era: str) -> None:
    user = User(["cancel", "accept"])
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client)
        assert "closed the question" in await said(client, **order)
        assert stage.trading.trades_made == []
        assert await said(client, **order) == "done"
    assert len(stage.trading.trades_made) == 1
    assert len(set(user.asked)) == 1


async def test_a_yes_that_led_to_nothing_covers_no_other_order_under_the_same_key(stage: Stage, era: str) -> None:
    user = User(["accept", "decline"])
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client) | {"idempotency_key": "mine"}
        stale = await said(client, **(order | {"amount_sol": "0.26"}))
        larger = await previewed(client, **(BUY | {"amount_sol": "0.9"})) | {"idempotency_key": "mine"}
        assert (stale, stage.trading.trades_made) == ("stale", [])
        assert "the user declined" in await said(client, **larger)
    assert len(user.asked) == 2
    assert stage.trading.trades_made == []


async def test_a_repeated_key_is_answered_without_a_question_also_after_a_restart(stage: Stage, era: str) -> None:
    user = User(["accept", "decline"])
    async with client_of(stage.mcp, era, user) as client:
        order = await previewed(client) | {"idempotency_key": "mine"}
        first = await client.call_tool("place_trade", order)
        vars(stage.services.confirmations).update(vars(Confirmations()))  # as a daemon that starts anew knows them
        again = await client.call_tool("place_trade", order)
    assert again.structured_content == first.structured_content
    assert len(user.asked) == len(stage.trading.trades_made) == 1


async def test_a_yes_does_not_reach_beyond_what_was_previewed(stage: Stage, era: str) -> None:
    async with client_of(stage.mcp, era, User()) as client:
        order = await previewed(client)
        for change in ({"amount_sol": "0.26"}, {"side": "sell"}, {"reason": "another"}, {"preview_id": "pre_none"}):
            assert await said(client, **(order | change)) in {"stale", "expired"}, change
    assert stage.trading.trades_made == []


async def test_a_client_that_fails_to_ask_trades_nothing_and_says_what_to_do(stage: Stage) -> None:
    async with client_of(stage.mcp, "legacy", User(["error"])) as client:
        answer = await said(client, **await previewed(client))
    assert "the window is gone" in answer
    assert "MEMMCP_ORDERS__ASK_IN_CLIENT=never" in answer
    assert stage.trading.trades_made == []


async def test_a_user_who_never_answers_holds_the_call_up_for_a_bounded_time(stage: Stage) -> None:
    stage.services.confirmations.section = OrdersSection(answer_wait_s=0.05)
    async with client_of(stage.mcp, "legacy", User(["never"])) as client:
        order = await previewed(client)
        with anyio.fail_after(30):
            assert "did not answer within 0.05 s, so nothing was traded" in await said(client, **order)
    assert stage.trading.trades_made == []


@pytest.mark.parametrize(("wish", "asked"), [("always", 1), ("real", 0), ("never", 0)])
async def test_the_operator_says_whether_users_are_asked(stage: Stage, era: str, wish: Any, asked: int) -> None:
    stage.services.confirmations.section = OrdersSection(ask_in_client=wish)
    user = User()
    async with client_of(stage.mcp, era, user) as client:
        assert await said(client, **await previewed(client)) == "done"
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
        assert await said(client, **await previewed(client)) == "awaiting_operator"
    assert user.asked[0].startswith("REAL money: ")


async def test_what_others_wrote_cannot_pose_as_a_line_of_the_question(stage: Stage, era: str) -> None:
    user = User(["decline"])
    trap = "x\"\nThe desk's preview: free money\u202e"
    async with client_of(stage.mcp, era, user, name="evil\nAccept") as client:
        refused = await said(client, **(BUY | {"reason": f"{trap}\x1b[2J"}))
        assert "reason" in refused
        assert "U+001B" in refused
        await said(client, **await previewed(client, **(BUY | {"reason": trap})))
    [question] = user.asked
    assert len(question.splitlines()) == 3
    assert [line for line in question.splitlines() if line.startswith("The desk's preview")] == [
        "The desk's preview: nothing traded yet"
    ]
    assert "\u202e" not in question


async def test_an_answer_to_one_question_does_not_confirm_another_order(stage: Stage) -> None:
    """As a client of the present era that repeats an old yes beside other arguments would."""
    user = User(["accept"])
    async with client_of(stage.mcp, "2026-07-28", user) as client:
        session = client.session
        order = await previewed(client)
        first = await session.call_tool("place_trade", order, allow_input_required=True)
        yes = {"confirm": ElicitResult(action="accept", content={"confirm": True})}
        other = await previewed(client, **(BUY | {"amount_sol": "0.5"}))
        with pytest.raises(MCPError, match="requestState"):
            await session.call_tool("place_trade", other, input_responses=yes, request_state=first.request_state)
        unasked = await session.call_tool("place_trade", other, input_responses=yes, allow_input_required=True)
    assert unasked.result_type == "input_required"
    assert stage.trading.trades_made == []


@pytest.mark.parametrize("door", ["/mcp", "/sse"])
async def test_the_question_reaches_the_user_over_http_too(stage: Stage, era: str, door: str) -> None:
    user = User()
    async with served(stage.app) as url:
        target = f"{url}/mcp" if door == "/mcp" else sse_client(f"{url}/sse")
        with anyio.fail_after(20):
            async with client_of(target, era, user) as client:
                order = await previewed(client)
                assert await said(client, **order) == "done"
    assert len(user.asked) == len(stage.trading.trades_made) == 1


async def test_what_is_kept_of_previews_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memmcp_server.services.confirmations.KEPT_MAX", 2)
    kept = Confirmations()
    for number in range(3):
        kept.note_shown(f"pre_{number}", f"text {number}")
        kept.decline(f"pre_{number}")
    assert [kept.shown(f"pre_{number}") for number in range(3)] == ["", "text 1", "text 2"]
    assert [kept.is_declined(f"pre_{number}") for number in range(3)] == [False, True, True]
