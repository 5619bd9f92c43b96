"""The client of Solana on the rehearsal chain: real programs, real WebSockets, and what goes wrong between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction
from tests.doubles.clocks import SystemClock
from tests.support.transfers import signed_transfer

from trading.adapters.solana.chain import SolanaChain
from trading.adapters.solana.mints import read_mint
from trading.config import ChainSection
from trading.errors import ChainUnavailable
from trading.model.chain import Commitment, TokenBalance
from trading.model.intent import SOL_MINT
from trading.rehearsal.cluster import Cluster
from trading.rehearsal.faults import FOREVER, Fault, Kind
from trading.rehearsal.pools import Pool, install, make_pool, make_token
from trading.rehearsal.server import Rehearsal, rehearsing
from trading.rehearsal.tokens import ATA_PROGRAM, NATIVE_MINT, TOKEN_PROGRAM, associated, token_account

pytestmark = [pytest.mark.requirement("T10"), pytest.mark.anyio]
LONG_S = 300.0


@dataclass
class Stage:
    world: Rehearsal
    chain: SolanaChain
    payer: Keypair

    async def transfer(self, lamports: int = 10**6) -> tuple[str, bytes, int]:
        seen = await self.chain.latest_blockhash()
        target = str(Keypair().pubkey())
        signature, raw = signed_transfer(self.payer, target, lamports, seen.blockhash, price_micro_lamports=50_000)
        return signature, raw, seen.last_valid_block_height

    def everywhere(self, *faults: Fault) -> None:
        for endpoint in self.world.endpoints.values():
            endpoint.faults.add(*(Fault(each.kind, each.methods, each.calls) for each in faults))


@asynccontextmanager
async def staged(**changes: Any) -> AsyncIterator[Stage]:
    world = Rehearsal(Cluster(finality_slots=8))
    async with rehearsing(world, slots_run=False):
        given: dict[str, Any] = {
            "endpoints": [
                {"url": world.url(name), "websocket_url": world.websocket_url(name), "calls_per_second": 10_000}
                for name in world.endpoints
            ],
            "genesis_hash": world.cluster.genesis_hash,
            "health_age_s": 0.0,
            "backoff_base_s": 0.02,
            "backoff_cap_s": 0.05,
        }
        async with SolanaChain.connect(ChainSection.model_validate(given | changes), SystemClock()) as chain:
            payer = Keypair()
            world.cluster.airdrop(payer.pubkey(), 10**10)
            world.cluster.tick(10)
            yield Stage(world, chain, payer)


async def ticking_until(cluster: Cluster, event: anyio.Event) -> None:
    """Make slots until the event, bounded."""
    with anyio.fail_after(30):
        while not event.is_set():
            cluster.tick()
            await anyio.sleep(0.02)


@asynccontextmanager
async def waiting(chain: SolanaChain, signature: str) -> AsyncIterator[anyio.Event]:
    over = anyio.Event()

    async def wait() -> None:
        await chain.wait(signature, LONG_S)
        over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        yield over
        tasks.cancel_scope.cancel()


async def test_a_landing_wakes_at_both_levels_and_then_nothing_does() -> None:
    async with staged() as stage:
        signature, raw, _ = await stage.transfer()
        await stage.chain.send(raw, is_first=True)
        for level in (Commitment.CONFIRMED, Commitment.FINALIZED):
            async with waiting(stage.chain, signature) as over:
                await ticking_until(stage.world.cluster, over)
            seen = await stage.chain.status(signature)
            assert seen is not None
            assert list(Commitment).index(seen.commitment) >= list(Commitment).index(level)
        with anyio.fail_after(30):
            await stage.chain.wait(signature, 0.05)
        assert stage.chain.health()["wake"]["notified"] == 2


async def test_missed_notifications_and_cut_connections_change_nothing_but_the_time() -> None:
    async with staged() as stage:
        for endpoint in stage.world.endpoints.values():
            endpoint.mutes_websocket = True
        signature, raw, _ = await stage.transfer()
        await stage.chain.send(raw, is_first=True)
        async with waiting(stage.chain, signature) as over:
            with anyio.fail_after(30):
                while not any(endpoint.listeners for endpoint in stage.world.endpoints.values()):  # noqa: ASYNC110
                    await anyio.sleep(0.005)
            stage.world.cluster.tick(12)
            await anyio.sleep(0.03)
            assert not over.is_set()
            for name in stage.world.endpoints:
                stage.world.control({"endpoint": name, "cut": True})
            with anyio.fail_after(30):
                await over.wait()
        seen = await stage.chain.status(signature)
        assert seen is not None
        assert seen.commitment is Commitment.FINALIZED


async def test_a_sending_whose_answers_are_all_lost_is_unavailable_and_lands() -> None:
    async with staged(attempts_max=1) as stage:
        signature, raw, last_valid = await stage.transfer()
        stage.everywhere(Fault(Kind.LOST, ("sendTransaction",)))
        with pytest.raises(ChainUnavailable):
            await stage.chain.send(raw, is_first=True)
        stage.world.cluster.tick(3)
        await anyio.sleep(0.06)
        seen = await stage.chain.status(signature)
        assert seen is not None
        assert await stage.chain.proof_of_absence(signature, last_valid) is None


async def test_a_block_on_a_dead_fork_takes_its_transaction_along_and_the_same_bytes_land_again() -> None:
    async with staged() as stage:
        cluster = stage.world.cluster
        signature, raw, last_valid = await stage.transfer()
        await stage.chain.send(raw, is_first=True)
        cluster.dies.add(cluster.slot + 1)
        cluster.tick(3)
        seen = await stage.chain.status(signature)
        assert seen is not None
        assert seen.commitment is Commitment.CONFIRMED
        cluster.tick(6)
        assert await stage.chain.status(signature) is None
        assert await stage.chain.proof_of_absence(signature, last_valid) is None
        await stage.chain.send(raw, is_first=False)
        cluster.tick(10)
        seen = await stage.chain.status(signature)
        assert seen is not None
        assert seen.commitment is Commitment.FINALIZED


async def test_a_storm_of_429_ends_in_no_conclusion_and_then_in_the_answer() -> None:
    async with staged() as stage:
        signature, raw, last_valid = await stage.transfer()
        await stage.chain.send(raw, is_first=True)
        stage.world.cluster.tick(200)
        stage.everywhere(Fault(Kind.TOO_MANY, calls=3))
        with pytest.raises(ChainUnavailable):
            await stage.chain.proof_of_absence(signature, last_valid)
        with anyio.fail_after(30):
            while True:
                try:
                    seen = await stage.chain.status(signature)
                    break
                except ChainUnavailable:
                    await anyio.sleep(0.02)
        assert seen is not None
        assert seen.commitment is Commitment.FINALIZED


async def test_one_endpoint_that_is_dead_is_done_without() -> None:
    async with staged() as stage:
        stage.world.endpoints["one"].faults.add(Fault(Kind.BROKEN, calls=FOREVER))
        signature, raw, _ = await stage.transfer()
        await stage.chain.send(raw, is_first=True)
        stage.world.cluster.tick(12)
        seen = await stage.chain.transaction(signature)
        assert seen is not None
        assert seen.endpoint.endswith("#2")


def swap(stage: Stage, pool: Pool, token: Any, blockhash: str, quoted: int) -> tuple[str, bytes]:
    """Return a swap of wrapped SOL for the token that also opens the account for it."""
    payer = stage.payer.pubkey()
    opened = associated(payer, token)
    opens = [
        AccountMeta(payer, True, True),
        AccountMeta(opened, False, True),
        AccountMeta(payer, False, False),
        AccountMeta(token, False, False),
        AccountMeta(type(payer).default(), False, False),
        AccountMeta(TOKEN_PROGRAM, False, False),
    ]
    calls = [Instruction(ATA_PROGRAM, b"\x01", opens), pool.instruction(payer, NATIVE_MINT, 10**8, quoted, 100)]
    message = MessageV0.try_compile(payer, calls, [], Hash.from_string(blockhash))
    made = VersionedTransaction(message, [stage.payer])
    return str(made.signatures[0]), bytes(made)


async def test_a_swap_by_a_real_program_shows_in_its_balances_to_the_unit() -> None:
    async with staged() as stage:
        cluster, payer = stage.world.cluster, stage.payer.pubkey()
        install(cluster)
        token = make_token(cluster, "FROG")
        pool = make_pool(cluster, token, 10**12, 5 * 10**12)
        cluster.set_account(associated(payer, NATIVE_MINT), token_account(NATIVE_MINT, payer, 10**9))
        cluster.tick(2)
        quoted = pool.quote(cluster, NATIVE_MINT, 10**8)
        blockhash = (await stage.chain.latest_blockhash()).blockhash
        signature, raw = swap(stage, pool, token, blockhash, quoted)
        simulated = await stage.chain.simulate(raw, [str(associated(payer, token))])
        assert simulated.error == ""
        would_be = simulated.accounts[str(associated(payer, token))]
        assert would_be is not None
        assert int.from_bytes(would_be.data[64:72], "little") == quoted
        await stage.chain.send(raw, is_first=True)
        cluster.tick(12)
        seen = await stage.chain.transaction(signature)
        assert seen is not None
        assert seen.error == ""
        ours = {each.mint: each for each in seen.tokens if each.owner == str(payer)}
        wrapped, frog = str(associated(payer, NATIVE_MINT)), str(associated(payer, token))
        assert ours[SOL_MINT] == TokenBalance(wrapped, str(payer), SOL_MINT, 10**9, 9 * 10**8)
        assert ours[str(token)] == TokenBalance(frog, str(payer), str(token), None, quoted)
        before, after = seen.lamports[str(payer)]
        assert before - after == 5_000 + 2_039_280, "the fee, and the deposit of the account that was opened"


async def test_mints_and_fees_are_read_from_the_chain() -> None:
    async with staged(fee_age_s=0.0) as stage:
        token = make_token(stage.world.cluster, "FROG", decimals=9, supply=7, freezer=stage.payer.pubkey())
        seen = (await stage.chain.accounts([str(token)]))[str(token)]
        assert seen is not None
        mint = read_mint(seen)
        assert (mint.decimals, mint.supply_units, mint.mint_authority) == (9, 7, "")
        assert mint.freeze_authority == str(stage.payer.pubkey())
        wallet = str(stage.payer.pubkey())
        calm = await stage.chain.priority_fee([wallet])
        for _ in range(3):
            _, raw, _ = await stage.transfer()
            await stage.chain.send(raw, is_first=True)
            stage.world.cluster.tick(2)
        assert calm == 1_000, "the floor"
        assert await stage.chain.priority_fee([wallet]) == 50_000
