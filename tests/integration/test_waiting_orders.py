"""An order of real money above what agents may do alone waits for the operator, and everybody is told how it ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.scripted_market import ManualFeed
from tests.support.live_desk import PRICE, SOL, Desk, World, a_desk, a_world

from memmcp_server.wire.night import NightReport
from memmcp_server.wire.orders import TradeAnswer
from memmcp_server.wire.trading import TradingSnapshot
from trading.rehearsal.tokens import NATIVE_MINT, token_account

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]
AMOUNT = "0.05"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def a_careful_world(folder: Path, **live: Any) -> AsyncIterator[World]:
    """Whatever is above a hundredth of a SOL waits for the operator; an answer waits long enough to say so."""
    async with a_world(folder) as world:
        world.fill_wait_s, world.live = 15.0, live
        await world.arm(approval_above_lamports=SOL // 100)
        yield world


async def asked(here: Desk, world: World) -> dict[str, Any]:
    """Send the order; return what the agent is told, which is what the wire says."""
    await here.until(lambda each: each["cycle"] > 2 and each["entries_allowed"])
    sent = await here.buy(world.stage.frog, AMOUNT, "one")
    assert sent["status"] == "awaiting_operator", sent
    assert TradeAnswer.model_validate(sent).approval is not None
    world.fill_wait_s = 0.0
    return sent


def told(here: Desk, word: str) -> list[str]:
    """Return the texts that memory has of a word."""
    return [each.text for each in here.memory.records if word in each.text]


async def test_the_agent_is_told_that_it_waits_and_the_operators_yes_makes_it_a_swap(tmp_path: Path) -> None:
    async with a_careful_world(tmp_path) as world:
        passkey = await world.passkey()
        async with a_desk(world) as here:
            sent = await asked(here, world)
            approval = sent["approval"]
            question = await world.question(approval["approval_id"])
            assert question["state"] == "awaiting_operator"
            assert "a test buys" in question["order"]["reason"]
            assert "0.05 SOL" in approval["sees"]
            assert "a test buys" in approval["sees"]
            snapshot = await here.until(lambda each: each["waiting_orders"])
            assert TradingSnapshot.model_validate(snapshot).waiting_orders[0].order_id == sent["order_id"]
            why = await here.desk.why(order_id=sent["order_id"], trajectory_id=None, mint=None, since_ns=None)
            assert why["chain"][-1]["step"] == "approval"
            item = NightReport.model_validate(await here.desk.night(since_ns=None)).waiting[0]
            assert item.id == f"order/{sent['order_id']}"
            assert approval["sees"] in item.evidence
            # Cycles pass, and it still waits; its money stays promised to it.
            waits = await here.until(lambda each: each["cycle"] > snapshot["cycle"] + 5)
            assert waits["waiting_orders"] == snapshot["waiting_orders"]
            second = await here.desk.place_trade(here.wish(world.stage.frog, AMOUNT), agent="b", key="two")
            assert second["verdict"]["reason"] == "own_order_open"
            await world.approve(approval["approval_id"], passkey)
            done = await here.again(world.stage.frog, AMOUNT, "one", "done")
            assert done["order_id"] == sent["order_id"]
            after = await here.until(lambda each: each["positions"])
            assert after["waiting_orders"] == []
            assert (await world.question(approval["approval_id"]))["state"] == "done"
        assert len(world.stage.cluster.history(world.wallet)) == 1


async def test_a_no_ends_it_and_page_agent_and_memory_say_so(tmp_path: Path) -> None:
    async with a_careful_world(tmp_path) as world, a_desk(world) as here:
        sent = await asked(here, world)
        await world.socket.ask("approval_refuse", {"id": sent["approval"]["approval_id"]})
        ended = await here.again(world.stage.frog, AMOUNT, "one", "rejected")
        assert "approval_refused" in ended["message"]
        after = await here.until(lambda _each: bool(told(here, "approval_refused")))
        assert after["waiting_orders"] == []
        # Nothing is promised to it any more: the same wish may be previewed again.
        again = await here.desk.place_trade(here.wish(world.stage.frog, AMOUNT), agent="a", key="anew")
        assert again["status"] == "preview"
    assert world.stage.cluster.history(world.wallet) == ()


async def test_no_answer_in_time_ends_it(tmp_path: Path) -> None:
    async with a_careful_world(tmp_path, approval_wait_s=2.0) as world, a_desk(world) as here:
        await asked(here, world)
        ended = await here.again(world.stage.frog, AMOUNT, "one", "rejected")
        assert "approval_expired" in ended["message"]
    assert world.stage.cluster.history(world.wallet) == ()


async def test_a_price_that_moved_until_the_yes_voids_it(tmp_path: Path) -> None:
    async with a_careful_world(tmp_path) as world:
        passkey = await world.passkey()
        async with a_desk(world) as here:
            sent = await asked(here, world)
            pool, cluster = world.stage.pool, world.stage.cluster
            lamports, _ = pool.reserves(cluster, NATIVE_MINT)
            dearer = token_account(NATIVE_MINT, pool.authority, lamports * 11 // 10, pool.program(NATIVE_MINT))
            cluster.set_account(pool.vault(NATIVE_MINT), dearer)
            await world.approve(sent["approval"]["approval_id"], passkey)
            ended = await here.again(world.stage.frog, AMOUNT, "one", "rejected")
            assert "is the least that was wished" in ended["message"]
        assert world.stage.cluster.history(world.wallet) == ()


async def test_a_desk_that_is_stopped_meanwhile_takes_the_question_back(tmp_path: Path) -> None:
    async with a_careful_world(tmp_path) as world, a_desk(world) as here:
        sent = await asked(here, world)
        stop = {"action": "stop_entries", "reason": "changed my mind"}
        await here.desk.control(stop, actor="operator", key="stop")
        ended = await here.again(world.stage.frog, AMOUNT, "one", "rejected")
        assert "entries_stopped" in ended["message"]
        assert (await world.question(sent["approval"]["approval_id"]))["state"] == "refused"
    assert world.stage.cluster.history(world.wallet) == ()


async def test_a_restart_waits_for_the_same_question(tmp_path: Path) -> None:
    async with a_careful_world(tmp_path) as world:
        passkey = await world.passkey()
        feed, other = (ManualFeed(world.stage.frog, "FROG", PRICE) for _ in range(2))
        async with a_desk(world, feed) as here:
            sent = await asked(here, world)
        other._number = feed._number
        async with a_desk(world, other) as here:
            snapshot = await here.until(lambda each: each["waiting_orders"])
            assert snapshot["waiting_orders"] == [sent["approval"]]
            await world.approve(sent["approval"]["approval_id"], passkey)
            done = await here.again(world.stage.frog, AMOUNT, "one", "done")
            assert done["order_id"] == sent["order_id"]
        assert len(world.core.book().approvals) == 1
        assert len(world.stage.cluster.history(world.wallet)) == 1
