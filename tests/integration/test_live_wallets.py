"""A desk with real money in two wallets: each has its own books, and one that waits for a person stops no other."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from solders.pubkey import Pubkey
from tests.doubles.scripted_market import ManualFeed
from tests.integration.test_live_desk import by_hand
from tests.support.live_desk import PRICE, SOL, Desk, World, a_desk, a_world
from tests.support.swap_messages import transfer

from trading.errors import InvalidInput
from trading.rehearsal.tokens import associated

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10"), pytest.mark.requirement("T16")]

RENT = 2_039_280


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


def opened(world: World) -> list[bool]:
    """Return of each wallet whether it has an account of the token."""
    frog = Pubkey.from_string(world.stage.frog)
    owners = [key.pubkey() for key in (world.key, world.others[0])]
    return [world.stage.cluster.account(associated(owner, frog)) is not None for owner in owners]


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
            wallets = (await here.desk.nodes())["nodes"][0]["wallets"]
            assert {each["name"]: each["address"] for each in wallets} == {"main": world.wallet, "second": second}
            assert {each["name"]: spent in each["problem"] for each in wallets} == told
            assert {each["leased_by"] for each in wallets} == {"local, opening 2"}
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
            swaps = (await here.desk.transactions(cursor=None, limit=10))["transactions"]
            assert [(each["side"], each["wallet"]) for each in swaps] == [
                ("sell", "main"),
                ("sell", "second"),
                ("buy", "second"),
                ("buy", "main"),
            ]
            assert flat["net_deposits"]["lamports"] == 30 * SOL + 2 - 5_000, "the fee of what was sent by hand went out"
        named, world.live["wallets"] = world.live["wallets"], []
        with pytest.raises(InvalidInput, match="second"):  # it has a deposit still
            async with a_desk(world, other):
                await anyio.sleep_forever()
        world.live |= {"wallets": named, "close_after_s": 0, "upkeep_poll_s": 0.05}
        third = ManualFeed(world.stage.frog, "FROG", "0.000000102")
        third._number = other._number
        async with a_desk(world, third) as here:  # each wallet gets the deposit of its own empty account back
            kept_up = await here.until(lambda each: not any(opened(world)) and books(each) == chain(world))
            assert {each["name"]: each["problem"] for each in kept_up["wallets"]} == {"main": "", "second": ""}
            before, after = books(flat), books(kept_up)
            assert all(after[name][0] > before[name][0] + RENT - 50_000 for name in after)
            await world.socket.ask("disarm", {"why": "a test"})
            off = await here.until(lambda each: not each["entries_allowed"])
            assert "disarmed" in off["state_reason"]
        assert len(world.stage.cluster.history(second)) == 5
