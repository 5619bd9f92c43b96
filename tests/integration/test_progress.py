"""A call that takes long says so to a client that listens, over every transport, and ends when it ends."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp_types import ElicitResult, Implementation
from tests.doubles.trading_desk import MINT, InMemoryDesk
from tests.support.stage import Stage, served, staged

from memmcp_server.errors import TradingUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A1")]
BUY = {"side": "buy", "mint": MINT, "amount_sol": "0.1", "reason": "a breakout"}
TIMEOUT_S = 20


class SlowDesk(InMemoryDesk):
    """Answers an order, or fails it, only once it is let."""

    may_answer: anyio.Event
    problem = ""

    async def place_trade(self, request: Any, *, agent: str, key: str) -> Any:
        await self.may_answer.wait()
        if self.problem:
            raise TradingUnavailable(self.problem)
        return await super().place_trade(request, agent=agent, key=key)


@pytest.fixture
async def desk() -> SlowDesk:
    slow = SlowDesk()
    slow.may_answer = anyio.Event()
    return slow


@pytest.fixture
async def stage(tmp_path: Path, desk: SlowDesk) -> AsyncIterator[Stage]:
    async with staged(tmp_path, desk=desk) as opened:
        yield opened


class Listener:
    """Lets the desk answer as soon as it has heard that the call still runs."""

    def __init__(self, desk: SlowDesk) -> None:
        self.heard: list[tuple[float, float | None, str | None]] = []
        self._desk = desk

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.heard.append((progress, total, message))
        self._desk.may_answer.set()


def connected(target: Any, era: Any) -> AbstractAsyncContextManager[Client]:
    return Client(target, client_info=Implementation(name="cursor", version="1"), mode=era)


@pytest.mark.parametrize(
    ("transport", "era"),
    [("memory", "2026-07-28"), ("http", "legacy"), ("http", "2026-07-28"), ("sse", "legacy")],
)
async def test_a_slow_call_tells_a_client_that_listens_how_long_it_has_taken(
    stage: Stage, desk: SlowDesk, transport: str, era: str
) -> None:
    listener = Listener(desk)
    async with served(stage.app) as url:
        target = {"memory": stage.mcp, "http": f"{url}/mcp", "sse": sse_client(f"{url}/sse")}[transport]
        with anyio.fail_after(TIMEOUT_S):
            async with connected(target, era) as client:
                answer = await client.call_tool("place_trade", BUY, progress_callback=listener)
    assert answer.structured_content["status"] == "preview"
    progress, total, message = listener.heard[0]
    assert progress >= 0.4
    assert total is None
    assert str(message).startswith("waiting for the desk")
    assert [each[0] for each in listener.heard] == sorted(each[0] for each in listener.heard)


async def test_a_quick_call_says_nothing_in_between(stage: Stage, desk: SlowDesk) -> None:
    desk.may_answer.set()
    listener = Listener(desk)
    async with connected(stage.mcp, "legacy") as client:
        await client.call_tool("place_trade", BUY, progress_callback=listener)
        await client.call_tool("memory_search", {"query": "anything"}, progress_callback=listener)
    assert listener.heard == []


async def test_an_error_after_a_while_is_still_that_error(stage: Stage, desk: SlowDesk) -> None:
    desk.problem = "the desk has stopped"
    async with connected(stage.mcp, "legacy") as client:
        with anyio.fail_after(TIMEOUT_S):
            answer = await client.call_tool("place_trade", BUY, progress_callback=Listener(desk))
    assert answer.is_error
    assert answer.content[0].text.startswith("trading_unavailable: the desk has stopped")


async def test_a_call_that_waits_for_its_user_goes_on_saying_so(stage: Stage, desk: SlowDesk) -> None:
    desk.may_answer.set()
    heard = anyio.Event()

    async def progress(_progress: float, _total: float | None, _message: str | None) -> None:
        heard.set()

    async def user(_context: Any, _params: Any) -> ElicitResult:
        await heard.wait()
        return ElicitResult(action="accept", content={"confirm": True})

    info = Implementation(name="cursor", version="1")
    with anyio.fail_after(TIMEOUT_S):
        async with Client(stage.mcp, client_info=info, mode="legacy", elicitation_callback=user) as client:
            preview = (await client.call_tool("place_trade", BUY)).structured_content
            order = {**BUY, "preview_id": preview["preview_id"]}
            done = await client.call_tool("place_trade", order, progress_callback=progress)
    assert done.structured_content["status"] == "done"
