"""A node as it is run: its own signer on a socket, armed by a person or not, and the database that all share."""

import os
import signal
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from pydantic import SecretStr
from tests.support.live_desk import a_world
from tests.support.node_stage import node_stage
from tests.support.postgres import PostgresServer
from tests.support.signing import PASSPHRASE

from memmcp_server import __version__
from trading.adapters.node_store.opening import StoreRules
from trading.adapters.node_store.seen import nodes_seen
from trading.config import NodesSection
from trading.model.node import NodeState
from trading.model.rug_rules import RugRules
from trading.runtime.node_orders import HandOrder, planned
from trading.runtime.node_run import run_node

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T16")]


async def test_a_node_trades_with_its_signers_wallets_once_it_is_armed_and_never_with_the_desks(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    with node_stage(postgres, StoreRules()) as store:
        store.empty()
        async with a_world(tmp_path, wallets=2) as world:
            nodes = NodesSection(url=SecretStr(store.url), claim_s=0.05, lease_s=4, answer_s=2, stuck_s=1, drain_s=5)
            sections = world.sections.model_copy(update={"nodes": nodes})
            own = str(world.others[0].pubkey())
            opened: list[str] = []

            async def ends_as(lamports: int) -> tuple[str, str]:
                wish = HandOrder(True, world.stage.frog, lamports, 1, (own,), 1, 0, lamports, 30, 100_000)
                made = await anyio.to_thread.run_sync(planned, store.orders, wish, sections.live)
                with anyio.fail_after(20):
                    while True:
                        [child] = await anyio.to_thread.run_sync(store.orders.children, made.id)
                        if child.state not in {"planned", "open", "signed", "landed"}:
                            return child.state, child.problem
                        await anyio.sleep(0.02)

            async with anyio.create_task_group() as tasks:
                await world.socket.ask("unlock", {"passphrase": PASSPHRASE})
                tasks.start_soon(run_node, "a", tmp_path, sections, RugRules(), lambda door: opened.append(door.shown))
                state, problem = await ends_as(10**7)
                assert (state, problem.partition(":")[0]) == ("failed", "signing_refused"), problem
                await world.arm()
                assert await ends_as(10**7) == ("settled", "")
                [seen] = nodes_seen(store.door)
                assert [each.wallet for each in seen.leases] == [own], "the desk's own wallet is not leased"
                assert (seen.told["wallets"], seen.version) == ([own], __version__)
                assert world.stage.units(world.others[0], world.stage.frog) == store.orders.held(world.stage.frog)[0]
                os.kill(os.getpid(), signal.SIGTERM)
            assert nodes_seen(store.door)[0].state is NodeState.GONE
            assert opened
