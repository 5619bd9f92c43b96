"""A desk that trades beside execution nodes: its swaps and theirs never meet, and count together."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr
from tests.contract.test_node_store import settle, settlement_of
from tests.doubles.plain_chain import TOKEN, PlainChain, buying
from tests.support.execution import RULES
from tests.support.live_desk import World, a_world
from tests.support.live_desk import a_desk as live_desk
from tests.support.node_stage import WIDE, NodeStage, node_stage
from tests.support.postgres import PostgresServer

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.adapters.node_store.desks import OVER, Desks
from trading.adapters.node_store.opening import StoreRules
from trading.adapters.solana.mints import TOKEN_PROGRAM
from trading.config import NodesSection
from trading.errors import InvalidInput
from trading.execution.executor import Executor, Outlook
from trading.model.intent import SOL_MINT, Intent, IntentKind, IntentRecord, IntentState, OwnAccount
from trading.runtime.desk_share import DeskShare

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T16")]
WALLET = "6ASf5EcmmEHTgDJ4X4ZT5vT6iHVJBXPg5AN5YoTCpGWt"


@pytest.fixture(scope="module")
def opened(postgres: PostgresServer) -> Iterator[NodeStage]:
    with node_stage(postgres, StoreRules()) as made:
        yield made


@pytest.fixture
def stage(opened: NodeStage) -> NodeStage:
    opened.empty()
    return opened


class Desk:
    """An executor over the plain chain, with one wallet, whose swaps are shared."""

    def __init__(self, chain: PlainChain, journal: SqlExecutionJournal, share: DeskShare, executor: Executor) -> None:
        self.chain, self.journal, self.share, self.executor = chain, journal, share, executor

    def buy(self, name: str, lamports: int = 10**9) -> Intent:
        return replace(buying(self.chain, WALLET, lamports), id=name, key=f"run/{name}")

    def sell(self, name: str) -> Intent:
        bought = self.buy(name)
        units = self.chain.wallets[WALLET][1]
        return replace(bought, in_mint=TOKEN, out_mint=SOL_MINT, amount_in=units, min_out=1, is_exit=True)

    async def until(self, intent: Intent, *states: IntentState) -> IntentRecord:
        await self.executor.take(intent)
        with anyio.fail_after(20):
            while True:
                known = self.journal.record(intent.id)
                if known.state in states:
                    return known
                await anyio.sleep(0.005)


@asynccontextmanager
async def a_desk(stage: NodeStage, path: Path, arbitrage: str = "") -> AsyncIterator[Desk]:
    chain = PlainChain()
    chain.wallets[WALLET] = [20 * 10**9, 0]
    journal = SqlExecutionJournal.at(path / "execution.db", chain.now_ns)
    share = DeskShare("desk", NodesSection(url=SecretStr(stage.url)), journal, chain.now_ns, arbitrage)
    executor = Executor(journal, chain, share.guarding(chain.preparer()), RULES, Outlook(chain.now_ns))

    async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await executor.run([WALLET], task_status=task_status)

    async with anyio.create_task_group() as tasks:
        await tasks.start(run)
        yield Desk(chain, journal, share, executor)
        tasks.cancel_scope.cancel()
    if share._open is not None:
        share._open.door.close()
    journal.close()


async def test_what_arbitrage_buys_is_reserved_and_held_by_nobody_once_it_is_there(
    stage: NodeStage, tmp_path: Path
) -> None:
    """Its other half is sold at another venue: counted here, it would fill the limits trip by trip."""
    stage.orders.share(replace(WIDE, exposure_lamports_max=15 * 10**8), "test")
    async with a_desk(stage, tmp_path, arbitrage=WALLET) as desk:
        for name in ("one", "two"):
            bought = await desk.until(desk.buy(name), IntentState.SETTLED, IntentState.FAILED)
            assert bought.state is IntentState.SETTLED, bought.problem
            assert stage.orders.exposure().lamports == 10**9, "reserved until it is told"
            desk.share.tell()
            assert stage.orders.exposure().lamports == 0
        assert stage.orders.counts() == {"settled": 2}


def shut(stage: NodeStage, share: DeskShare, *, is_shut: bool) -> None:
    """Take the database away from everybody but its owner, or give it back."""
    url = "postgresql://postgres@/nowhere" if is_shut else stage.url
    if share._open is not None:
        share._open.door.close()
        share._open = None
    share._section = NodesSection(url=SecretStr(url + ("?host=/nowhere" if is_shut else "")))
    share._asks_after_s = 0.0


async def test_what_the_desk_buys_and_sells_counts_among_the_nodes(stage: NodeStage, tmp_path: Path) -> None:
    stage.orders.share(replace(WIDE, exposure_lamports_max=15 * 10**8), "test")
    async with a_desk(stage, tmp_path) as desk:
        first = await desk.until(desk.buy("one"), IntentState.SETTLED, IntentState.FAILED)
        assert first.state is IntentState.SETTLED, first.problem
        assert stage.orders.exposure().entries_open == 1, "reserved until it is told"
        desk.share.tell()
        used = stage.orders.exposure()
        assert (used.lamports, used.entries_open, used.by_token) == (10**9, 0, {TOKEN: 10**9})
        refused = await desk.until(desk.buy("two"), IntentState.SETTLED, IntentState.FAILED)
        assert "is above 1500000000" in refused.problem
        await desk.until(desk.sell("three"), IntentState.SETTLED)
        assert desk.share.tell() > 0
        assert desk.share.tell() == 0
        assert stage.orders.exposure().lamports == 0
        assert stage.orders.counts() == {"settled": 2, "failed": 1}


def test_a_reservation_that_is_written_after_the_end_was_told_is_none(stage: NodeStage) -> None:
    stage.orders.share(WIDE, "test")
    desks, chain = Desks(stage.door, time.time_ns), PlainChain()
    intent = replace(buying(chain, WALLET, 10**9), id="late", key="run/late")
    desks.begin("desk", 0)
    ended = IntentRecord(intent, IntentState.FAILED, problem="the nodes' database did not answer")
    desks.over("desk", 1, ended)
    assert desks.take("desk", intent) == OVER, "the question lay in a thread that was given up"
    assert stage.orders.exposure().entries_open == 0
    assert stage.orders.counts() == {"failed": 1}


def test_a_round_trip_is_never_on_the_other_side_of_an_order_and_leaves_nothing_held(stage: NodeStage) -> None:
    stage.orders.share(WIDE, "test")
    desks, chain = Desks(stage.door, time.time_ns), PlainChain()
    account = OwnAccount("account", TOKEN, TOKEN_PROGRAM)
    trip = replace(
        buying(chain, WALLET, 10**9),
        id="there_and_back",
        key="run/there_and_back",
        kind=IntentKind.ROUND_TRIP,
        out_mint=SOL_MINT,
        accounts=(account,),
    )
    sale = replace(
        buying(chain, WALLET, 10**9), id="sale", key="run/sale", in_mint=TOKEN, out_mint=SOL_MINT, is_exit=True
    )
    desks.begin("desk", 0)
    assert desks.take("desk", sale) == ""
    assert "the other way" in desks.take("desk", trip)
    desks.over("desk", 1, IntentRecord(sale, IntentState.FAILED, problem="late"))
    assert desks.take("desk", trip) == ""
    assert stage.orders.exposure().by_token == {TOKEN: 10**9}
    assert "the other way" in desks.take("desk", replace(sale, id="again", key="run/again"))
    desks.over("desk", 2, IntentRecord(trip, IntentState.SETTLED, settlement=settlement_of(trip, 3)))
    used = stage.orders.exposure()
    assert (used.lamports, used.entries_open, dict(used.by_token)) == (0, 0, {})


def test_what_a_desk_that_is_gone_for_good_reserved_is_freed_by_a_person(stage: NodeStage) -> None:
    stage.orders.share(WIDE, "test")
    desks, chain = Desks(stage.door, time.time_ns), PlainChain()
    intent = replace(buying(chain, WALLET, 10**9), id="last", key="run/last")
    desks.begin("desk", 0)
    assert desks.take("desk", intent) == ""
    with pytest.raises(InvalidInput, match="'other' is not known; known are desk"):
        desks.give_up("other", "gone")
    assert desks.give_up("desk", "the machine burnt") == 1
    assert desks.give_up("desk", "the machine burnt") == 0
    assert (stage.orders.exposure().entries_open, stage.orders.counts()) == (0, {"failed": 1})
    desks.over("desk", 1, IntentRecord(intent, IntentState.SETTLED, settlement=settlement_of(intent, 3)))
    assert stage.orders.exposure().lamports == 10**9, "it came back after all, and what it bought counts"


def test_a_sale_that_a_desk_waits_with_is_carried_out_by_no_node_that_has_its_wallet_too(stage: NodeStage) -> None:
    """Where a node's signer was given the desk's key by mistake: the sale would be claimed, and is the desk's alone."""
    stage.orders.share(WIDE, "test")
    holder, held = stage.all_leases("a", "n", WALLET)
    desks, chain = Desks(stage.door, time.time_ns), PlainChain()
    stage.planned("node_buys", "n", token=TOKEN)
    [theirs] = stage.orders.claim(holder, ["n"], 1)
    sale = replace(
        buying(chain, WALLET, 10**9),
        id="sale",
        key="run/sale",
        in_mint=TOKEN,
        out_mint=SOL_MINT,
        is_exit=True,
        deadline_ns=time.time_ns() + 60 * 10**9,
        created_ns=time.time_ns() - 10**9,
    )
    desks.begin("desk", 0)
    assert "the other way" in desks.take("desk", sale)
    settle(stage, held["n"], theirs, units=5)
    stage.planned("another", "n", token="toad")
    assert [each.id for each in stage.orders.claim(holder, ["n", WALLET], 5)] == ["another_0"]
    assert desks.take("desk", sale) == ""


def test_a_desk_whose_journal_was_put_back_tells_on_and_each_fill_counts_once(stage: NodeStage) -> None:
    stage.orders.share(WIDE, "test")
    desks, chain = Desks(stage.door, time.time_ns), PlainChain()
    one, two = [replace(buying(chain, WALLET, 10**9), id=name, key=f"run/{name}") for name in ("one", "two")]
    assert desks.begin("desk", 10) == 10
    assert desks.take("desk", one) == desks.take("desk", two) == ""
    settled = IntentRecord(one, IntentState.SETTLED, settlement=settlement_of(one, 3))
    desks.over("desk", 50, settled)
    assert desks.begin("desk", 20) == 20, "restored: its newest event is older than what was told"
    desks.over("desk", 21, settled)
    desks.over("desk", 22, IntentRecord(two, IntentState.FAILED, problem="late"))
    used = stage.orders.exposure()
    assert (used.lamports, used.entries_open) == (10**9, 0)


async def test_the_desk_and_a_node_are_never_on_both_sides_of_a_token(stage: NodeStage, tmp_path: Path) -> None:
    holder, held = stage.all_leases("a", "n")
    async with a_desk(stage, tmp_path) as desk:
        await desk.until(desk.buy("one"), IntentState.SETTLED)
        desk.share.tell()
        stage.planned("node_buys", "n", token=TOKEN)
        [theirs] = stage.orders.claim(holder, ["n"], 1)
        sale = desk.sell("sale")
        await desk.executor.take(sale)
        with anyio.fail_after(10):
            while True:
                if stage.orders.counts().get("planned") == 1:
                    break
                await anyio.sleep(0.01)
        assert desk.journal.record("sale").attempts == (), "a node buys it: the desk's sale waits, unsigned"
        stage.planned("node_buys_more", "n", token=TOKEN)
        settle(stage, held["n"], theirs, units=5)
        await desk.until(sale, IntentState.SETTLED)
        assert stage.orders.claim(holder, ["n"], 1) == [], "who wants out goes first, until it is told"
        desk.share.tell()
        stage.planned("node_sells", "n", token=TOKEN, buys=False)
        [theirs] = stage.orders.claim(holder, ["n"], 1)
        assert theirs.is_exit
        refused = await desk.until(desk.buy("late"), IntentState.FAILED)
        assert "the other way" in refused.problem


async def test_a_desk_that_is_cut_off_buys_nothing_and_still_gets_out(stage: NodeStage, tmp_path: Path) -> None:
    async with a_desk(stage, tmp_path) as desk:
        await desk.until(desk.buy("one"), IntentState.SETTLED)
        desk.share.tell()
        shut(stage, desk.share, is_shut=True)
        refused = await desk.until(desk.buy("two"), IntentState.FAILED)
        assert "nothing is bought while the nodes' database does not answer" in refused.problem
        await desk.until(desk.sell("out"), IntentState.SETTLED)
        shut(stage, desk.share, is_shut=False)
        desk.share.tell()
        assert stage.orders.exposure().lamports == 0, "told of later, once"
        assert stage.orders.counts() == {"settled": 2, "failed": 1}


async def test_a_live_desk_counts_among_the_nodes_and_shows_them(
    stage: NodeStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = World.sections.fget  # type: ignore[attr-defined]
    shared = {"nodes": NodesSection(url=SecretStr(stage.url))}
    monkeypatch.setattr(World, "sections", property(lambda world: plain(world).model_copy(update=shared)))
    stage.all_leases("far", "n")
    async with a_world(tmp_path) as world:
        await world.arm()
        async with live_desk(world) as here:
            await here.until(lambda seen: seen["cycle"] > 2 and seen["entries_allowed"])
            await here.buy(world.stage.frog, "0.05", "one")
            await here.until(lambda seen: seen["positions"])
            await here.until(lambda _seen: stage.orders.counts() == {"settled": 1})
            assert stage.orders.exposure().by_token == {world.stage.frog: 5 * 10**7}
            shown = await here.desk.nodes()
            assert [each["id"] for each in shown["nodes"]] == ["local", "far"]
