"""A desk with real money in two wallets: each has its own books, and one that waits for a person stops no other."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.scripted_market import ManualFeed
from tests.integration.test_live_desk import by_hand
from tests.support.live_desk import PRICE, SOL, Desk, World, a_desk, a_world
from tests.support.swap_messages import transfer

from trading.errors import InvalidInput

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10"), pytest.mark.requirement("T16")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def books(snapshot: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Return lamports and base units by wallet, as the desk has them."""
    return {
        each["name"]: (each["cash"]["lamports"], sum(map(int, each["base_units"].values())))
        for each in snapshot["wallets"]
    }


def chain(world: World) -> dict[str, tuple[int, int]]:
    keys = {"main": world.key, "second": world.others[0]}
    return {name: (world.stage.lamports(key), world.stage.units(key, world.stage.frog)) for name, key in keys.items()}


async def close(here: Desk, world: World, key: str) -> None:
    wish = {"mint": world.stage.frog, "percent": 100, "reason": "enough"}
    shown = await here.desk.close_position(wish, agent="a", key=f"{key}-preview")
    await here.desk.close_position(wish | {"preview_id": shown["preview_id"]}, agent="a", key=key)


async def test_two_wallets_trade_each_for_itself_over_a_death_and_a_review(tmp_path: Path) -> None:
    async with a_world(tmp_path, wallets=2, lamports=15 * SOL) as world:
        second = str(world.others[0].pubkey())
        world.live["wallets"] = [{"name": "second", "address": second}]
        friend = world.stage.wallet()
        for key in (world.key, *world.others):  # a history begins
            by_hand(world, transfer(key.pubkey(), 1, friend.pubkey()), signer=friend)
        await world.arm()
        feed = ManualFeed(world.stage.frog, "FROG", PRICE)
        async with a_desk(world, feed) as here:
            await here.until(lambda each: each["cycle"] > 2 and each["entries_allowed"])
            await here.buy(world.stage.frog, "0.05", "one")
            held = await here.until(lambda each: each["positions"])
            assert books(held) == chain(world)
            assert books(held)["main"][1] > 0
            assert books(held)["second"] == (world.stage.lamports(world.others[0]), 0)
        spent = by_hand(world, transfer(world.others[0].pubkey(), SOL // 4, world.key.pubkey()))
        other = ManualFeed(world.stage.frog, "FROG", "0.000000102")  # dearer, so that it may be added to
        other._number = feed._number
        async with a_desk(world, other) as here:
            halted = await here.until(lambda each: any(one["problem"] for one in each["wallets"]))
            told = {one["name"]: spent in one["problem"] for one in halted["wallets"]}
            assert told == {"main": True, "second": False}
            await here.until(lambda each: books(each) == chain(world))
            await here.until(lambda each: each["entries_allowed"])
            await here.buy(world.stage.frog, "0.05", "two")
            both = await here.until(lambda each: books(each)["second"][1])
            assert books(both) == chain(world)
            await close(here, world, "three")
            half = await here.until(lambda each: not books(each)["second"][1])
            assert books(half) == chain(world)
            assert books(half)["main"][1] == books(held)["main"][1], "the wallet that waits sells nothing"
            answer = {"item": f"wallet/{world.wallet}", "answer": "release", "reason": "that was me"}
            await here.desk.answer_review(answer, actor="operator:maria")
            await here.until(lambda each: not any(one["problem"] for one in each["wallets"]))
            await close(here, world, "four")
            flat = await here.until(lambda each: not each["positions"])
            assert books(flat) == chain(world)
            assert flat["net_deposits"]["lamports"] == 30 * SOL + 2 - 5_000, "the fee of what was sent by hand went out"
            await world.socket.ask("disarm", {"why": "a test"})
            off = await here.until(lambda each: not each["entries_allowed"])
            assert "disarmed" in off["state_reason"]
        assert len(world.stage.cluster.history(second)) == 4
        world.live["wallets"] = []
        with pytest.raises(InvalidInput, match="second"):
            async with a_desk(world, other):
                await anyio.sleep_forever()
