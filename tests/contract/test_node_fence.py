"""A node that is stopped with signed bytes in its hand, and wakes after its wallet went to another."""

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from tests.support.node_fleet import Fleet, Zygote, a_zygote, gates, time_moves
from tests.support.node_stage import node_stage
from tests.support.postgres import PostgresServer
from tests.support.rehearsal import jupiter_stage

from trading.adapters.node_store.opening import StoreRules
from trading.adapters.node_store.seen import nodes_seen
from trading.execution.splitting import SplitRules
from trading.model.node import NodeSeen, NodeState

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T16")]
SLOT_S = 0.06
ONE = SplitRules(1, 0, 1, 10**18, 10_000)
NODES = {"lease_s": 1.2, "answer_s": 0.6, "stuck_s": 0.4, "claim_s": 0.05, "drain_s": 5.0}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with a_zygote() as made:
        yield made


@pytest.fixture
async def fleet(postgres: PostgresServer, zygote: Zygote, tmp_path: Path) -> AsyncIterator[Fleet]:
    with node_stage(postgres, StoreRules()) as store:
        store.empty()
        async with (
            jupiter_stage() as chain,
            gates(postgres.socket_dir, ("one", "two")) as ways,
            time_moves(chain, SLOT_S),
        ):
            made = Fleet(store, chain, zygote, ways, tmp_path, NODES)
            made.new_wallets(1)
            yield made


async def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    with anyio.fail_after(within_s):
        while True:
            if await anyio.to_thread.run_sync(holds):
                return
            await anyio.sleep(0.02)


async def woken_after_another_took_over(fleet: Fleet, kind: str) -> None:
    """Let node one stop with signed bytes, node two carry the child out, and node one wake again."""
    await fleet.begin("one", kind)
    assert fleet.store.orders.plan(fleet.buying(10**8, fleet.addresses, 60, ONE))
    await until(lambda: fleet.is_stopped("one"))
    await fleet.begin("two")
    counts = await fleet.until_over(30)
    assert counts == {"settled": 1}
    fleet.signal("one", signal.SIGCONT)


def seen(fleet: Fleet, name: str) -> NodeSeen:
    return {each.name: each for each in nodes_seen(fleet.store.door)}[name]


async def test_a_node_that_wakes_after_its_lease_went_sends_nothing(fleet: Fleet) -> None:
    await woken_after_another_took_over(fleet, "stops")
    await until(lambda: "another holder's" in (fleet.folder / "one.log").read_text())
    assert fleet.audit() == []
    assert seen(fleet, "one").leases == ()
    told = seen(fleet, "two")
    assert (told.counts["settled"], told.took["confirm"].count) == (1, 1)
    # A busy machine may let a lease run out: it comes again with the next beat.
    await until(lambda: [each.wallet for each in seen(fleet, "two").leases] == fleet.addresses)
    fleet.signal("two", signal.SIGTERM)
    await until(lambda: seen(fleet, "two").state is NodeState.GONE)


async def test_the_audit_catches_a_node_that_does_not_listen_to_the_refusal(fleet: Fleet) -> None:
    await woken_after_another_took_over(fleet, "deaf")
    wallet = fleet.addresses[0]
    await until(lambda: len(fleet.chain.cluster.history(wallet)) > 1)
    problems = fleet.audit()
    assert any("2 swaps on chain, 1 in the books" in each for each in problems), problems
