"""A desk with real money on the rehearsal chain: the signer arms it, an agent's order becomes a swap, books agree."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction
from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import ManualFeed
from tests.support.live_desk import PRICE, SOL, World, a_desk, a_world
from tests.support.swap_messages import transfer

from trading.adapters.live_feed_choice import Chosen
from trading.config import ChainSection, LiveSection
from trading.errors import InvalidInput
from trading.rehearsal.cluster import Level
from trading.runtime.paper_run import PaperOptions, paper_desk

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10"), pytest.mark.requirement("T1")]

DEPOSIT = 2_039_280
"""Of the token account that the first buy opens; cash counts it, because it comes back."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_an_agents_order_becomes_a_swap_and_the_books_are_the_chains(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.arm()
        async with a_desk(world) as here:
            ready = await here.until(lambda each: each["cycle"] > 2 and each["entries_allowed"])
            assert ready["money"] == "real"
            sent = await here.buy(world.stage.frog, "0.05", "one")
            assert sent["status"] == "working", sent
            held = await here.until(lambda each: each["positions"])
            [position] = held["positions"]
            assert int(position["amount_base_units"]) == world.stage.units(world.key, world.stage.frog)
            assert held["cash"]["lamports"] == world.stage.lamports(world.key) + DEPOSIT
            wish = {"side": "buy", "mint": world.stage.frog, "amount_sol": "0.05", "reason": "r", "bucket": "manual"}
            again = await here.desk.place_trade(wish, agent="a", key="one")
            assert again["status"] == "done"
            assert again["order_id"] == sent["order_id"]
            close = {"mint": world.stage.frog, "percent": 100, "reason": "enough"}
            shown = await here.desk.close_position(close, agent="a", key="c1")
            await here.desk.close_position(close | {"preview_id": shown["preview_id"]}, agent="a", key="c2")
            flat = await here.until(lambda each: not each["positions"])
            assert flat["cash"]["lamports"] == world.stage.lamports(world.key) + DEPOSIT
            assert world.stage.units(world.key, world.stage.frog) == 0
            await shows_how_it_was_carried(world, here, sent["order_id"])
        assert len(world.stage.cluster.history(world.wallet)) == 2


async def shows_how_it_was_carried(world: World, here: Any, order_id: str) -> None:
    [day] = (await here.desk.costs(days=3))["days"]
    assert day["realised"] is not None, "the market's days are those of the costs"
    [node] = (await here.desk.nodes())["nodes"]
    assert (node["mode"], node["is_reconciled"], node["not_armed"]) == ("live", True, "")
    assert (node["transactions"]["success"], node["transactions"]["failed"]) == (2, 0)
    assert [(each["name"], each["address"]) for each in node["wallets"]] == [("main", world.wallet)]
    assert {each["api"] for each in node["endpoints"]} == {"router", "rpc"}
    spread = {each["name"]: each["count"] for each in node["latency"]}
    assert set(spread) == {"decision", "commit", "send", "confirm"}
    found = (await here.desk.transactions(cursor=None, limit=10))["transactions"]
    sold, bought = found
    assert (bought["order_id"], bought["side"], sold["side"]) == (order_id, "buy", "sell")
    assert {each["state"] for each in found} <= {"landed", "settled"}
    assert {each["signature"] for each in found} == set(world.stage.cluster.history(world.wallet))
    assert all(each["fee_lamports"] > 0 for each in found if each["state"] == "settled")


async def test_a_desk_that_is_not_armed_reconciles_reports_and_opens_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        async with a_desk(world) as here:
            quiet = await here.until(lambda each: each["cycle"] > 3 and not each["entries_allowed"])
            assert "locked" in quiet["state_reason"]
            assert quiet["zone"] == "Europe/Berlin"
            await here.until(lambda _: any(each.kind == "reconciliation" for each in here.memory.records))
            wish = {"side": "buy", "mint": world.stage.frog, "amount_sol": "0.05", "reason": "r", "bucket": "manual"}
            denied = await here.desk.place_trade(wish, agent="a", key="p")
            assert denied["status"] == "denied", denied
            assert await figures(here, "live_armed") == {(): 0}
            await world.arm()
            await here.until(lambda each: each["entries_allowed"])
            assert await figures(here, "live_armed") == {(): 1}
            assert await figures(here, "info") == {("real", "foundation", "foundation", "market"): 1}
            calls = await figures(here, "endpoint_requests_total")
            assert {api for api, _, _ in calls} == {"rpc", "router"}
            assert any(count for (api, _, outcome), count in calls.items() if (api, outcome) == ("rpc", "ok"))
            names = {name for _, name, _ in calls}
            assert not [name for name in names if "/" in name or "key" in name]
            await world.socket.ask("disarm", {"why": "a test"})
            off = await here.until(lambda each: not each["entries_allowed"])
            assert "disarmed" in off["state_reason"]
        assert world.stage.cluster.history(world.wallet) == ()


async def figures(here: Any, name: str) -> dict[tuple[str, ...], float]:
    families = {each["name"]: each["series"] for each in (await here.desk.metrics())["families"]}
    return {tuple(each["labels"]): each["value"] for each in families[f"memmcp_trading_{name}"]}


async def test_an_operators_stop_is_not_taken_back_by_arming(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.arm()
        async with a_desk(world) as here:
            await here.until(lambda each: each["cycle"] > 1 and each["entries_allowed"])
            stop = {"action": "stop_entries", "reason": "dinner"}
            await here.desk.control(stop, actor="operator", key="stop")
            await world.socket.ask("disarm", {"why": "a test"})
            await anyio.sleep(0.2)
            await world.arm()
            await anyio.sleep(0.3)
            still = await here.until(lambda each: each["cycle"] > 5)
            assert not still["entries_allowed"]


async def test_a_desk_that_died_with_an_order_on_its_way_books_it_at_the_next_start(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.arm()
        feed = ManualFeed(world.stage.frog, "FROG", PRICE)
        async with a_desk(world, feed) as here:
            await here.until(lambda each: each["cycle"] > 2 and each["entries_allowed"])
            await here.buy(world.stage.frog, "0.05", "one")
        # The desk went away at once; the swap lands, or not, while nobody watches.
        await anyio.sleep(0.5)
        other = ManualFeed(world.stage.frog, "FROG", PRICE)
        other._number = feed._number
        async with a_desk(world, other) as here:
            held = await here.until(lambda each: each["positions"])
            assert held["cash"]["lamports"] == world.stage.lamports(world.key) + DEPOSIT
        assert len(world.stage.cluster.history(world.wallet)) == 1


async def test_real_money_names_what_is_not_set_up(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        options = PaperOptions(tmp_path, "market", "foundation", is_real=True)
        feed = Chosen(ManualFeed(world.stage.frog, "FROG", PRICE), "by hand")
        for changes, field in (
            ({"live": LiveSection()}, "live.wallet"),
            ({"chain": ChainSection()}, "chain.endpoints"),
        ):
            sections = world.sections.model_copy(update=changes)
            with pytest.raises(InvalidInput) as raised:
                async with paper_desk(options, sections, ListMemory(), feed):
                    pass
            assert raised.value.field == field


def by_hand(world: World, *instructions: Any, signer: Keypair | None = None) -> str:
    """Land a transaction that the desk knows nothing of, until it is final."""
    payer = signer or world.key
    cluster = world.stage.cluster
    blockhash = Hash.from_string(cluster.newest(Level.CONFIRMED).blockhash)
    message = MessageV0.try_compile(payer.pubkey(), list(instructions), [], blockhash)
    signature = cluster.submit(bytes(VersionedTransaction(message, [payer])))
    cluster.tick(40)
    return signature


@pytest.mark.requirement("T20")
@pytest.mark.requirement("O8")
async def test_what_the_wallet_did_by_itself_is_booked_at_the_start_and_halts_it_until_a_person_answers(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        await world.arm()
        feed = ManualFeed(world.stage.frog, "FROG", PRICE)
        friend = world.stage.wallet()
        by_hand(world, transfer(world.key.pubkey(), 1, friend.pubkey()), signer=friend)  # a history begins
        async with a_desk(world, feed) as here:
            before = await here.until(lambda each: each["cycle"] > 2 and each["entries_allowed"])
        by_hand(world, transfer(world.key.pubkey(), SOL, friend.pubkey()), signer=friend)
        spent = by_hand(world, transfer(friend.pubkey(), SOL // 4, world.key.pubkey()))
        other = ManualFeed(world.stage.frog, "FROG", PRICE)
        other._number = feed._number
        async with a_desk(world, other) as here:
            now = world.stage.lamports(world.key)
            after = await here.until(lambda each: each["cash"]["lamports"] == now)
            assert after["time_weighted_return_bps"] == before["time_weighted_return_bps"]
            assert after["net_deposits"]["lamports"] > before["net_deposits"]["lamports"] + SOL // 2
            waiting = {each["id"]: each for each in (await here.desk.night(since_ns=None))["waiting"]}
            halted = waiting[f"wallet/{world.wallet}"]
            assert spent in halted["evidence"][0]
            assert halted["answers"] == ["release"]
            answer = {"item": halted["id"], "answer": "release", "reason": "that was me"}
            left = await here.desk.answer_review(answer, actor="operator:maria")
            assert halted["id"] not in {each["id"] for each in left["waiting"]}
            await here.until(lambda each: each["entries_allowed"])
            await here.buy(world.stage.frog, "0.05", "again")
            held = await here.until(lambda each: each["positions"])
            assert held["cash"]["lamports"] == world.stage.lamports(world.key) + DEPOSIT
