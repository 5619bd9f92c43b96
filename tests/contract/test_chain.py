"""What every chain promises, whoever asks it and through however many endpoints."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from solders.keypair import Keypair
from tests.doubles.clocks import SystemClock
from tests.doubles.scripted_chain import Fate, ScriptedChain, Take
from tests.support.scripted_rpc import ScriptedRpc
from tests.support.transfers import signed_transfer

from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection
from trading.errors import ChainUnavailable, SendRefused, WrongChain
from trading.model.chain import BlockhashSeen, Commitment
from trading.ports import Chain
from trading.rehearsal.cluster import Cluster
from trading.rehearsal.faults import FOREVER, Fault, Kind
from trading.rehearsal.server import Endpoint, Rehearsal, rehearsing

pytestmark = [pytest.mark.requirement("T10"), pytest.mark.anyio]

FUNDS = 10_000_000_000
SIGNATURE_LAMPORTS = 5_000
FINALITY_SLOTS = 32


@dataclass
class Trial(ABC):
    """A chain of two endpoints, a funded payer, and what a test may do to the world behind the chain."""

    chain: Chain
    payer: Keypair = field(default_factory=Keypair)

    async def transfer(self, lamports: int, to: str = "") -> tuple[str, bytes, BlockhashSeen]:
        seen = await self.chain.latest_blockhash()
        signature, raw = signed_transfer(
            self.payer, to or str(Keypair().pubkey()), lamports, seen.blockhash, price_micro_lamports=1_000_000
        )
        return signature, raw, seen

    async def finalize(self) -> None:
        self.tick(FINALITY_SLOTS + 1)

    async def expire(self) -> None:
        """Let the window of every blockhash handed out so far pass, finalized."""
        self.tick(150 + FINALITY_SLOTS + 2)

    @abstractmethod
    def tick(self, slots: int = 1) -> None: ...

    @abstractmethod
    def drop_next(self) -> None:
        """Let the next sending come to nothing, at whichever endpoints."""

    @abstractmethod
    def lag(self, endpoint: int, slots: int) -> None: ...

    @abstractmethod
    def deny(self, endpoint: int, signature: str) -> None:
        """Let the endpoint say that it does not know the signature."""

    @abstractmethod
    def pretend_ahead(self, endpoint: int, blocks: int) -> None: ...

    @abstractmethod
    def shut(self, endpoint: int) -> None: ...

    @abstractmethod
    def disguise(self, endpoint: int) -> None:
        """Let the endpoint be of another cluster."""


@dataclass
class ScriptedTrial(Trial):
    world: ScriptedChain = field(default_factory=ScriptedChain)

    def tick(self, slots: int = 1) -> None:
        self.world.tick(slots)

    def drop_next(self) -> None:
        self.world.fates.append(Fate(Take.DROPPED))

    def lag(self, endpoint: int, slots: int) -> None:
        self.world.endpoints[endpoint].lag_slots = slots

    def deny(self, endpoint: int, signature: str) -> None:
        self.world.endpoints[endpoint].denies.add(signature)

    def pretend_ahead(self, endpoint: int, blocks: int) -> None:
        self.world.endpoints[endpoint].ahead_blocks = blocks

    def shut(self, endpoint: int) -> None:
        self.world.endpoints[endpoint].is_down = True

    def disguise(self, endpoint: int) -> None:
        self.world.endpoints[endpoint].genesis = "OtherGenesis111111111111111111111111111111"


@dataclass
class RehearsalTrial(Trial):
    world: Rehearsal = field(default_factory=lambda: Rehearsal(Cluster()))

    def tick(self, slots: int = 1) -> None:
        self.world.cluster.tick(slots)

    def drop_next(self) -> None:
        for endpoint in self.world.endpoints.values():
            endpoint.faults.add(Fault(Kind.DROP, ("sendTransaction",)))

    def lag(self, endpoint: int, slots: int) -> None:
        self._endpoint(endpoint).node.lag_slots = slots

    def deny(self, endpoint: int, signature: str) -> None:
        self._endpoint(endpoint).faults.add(Fault(Kind.DENY, calls=FOREVER))

    def pretend_ahead(self, endpoint: int, blocks: int) -> None:
        self._endpoint(endpoint).faults.add(Fault(Kind.AHEAD, slots=blocks, calls=FOREVER))

    def shut(self, endpoint: int) -> None:
        self._endpoint(endpoint).faults.add(Fault(Kind.BROKEN, calls=FOREVER))

    def disguise(self, endpoint: int) -> None:
        self._endpoint(endpoint).faults.add(Fault(Kind.WRONG_CHAIN, calls=FOREVER))

    def _endpoint(self, number: int) -> Endpoint:
        return list(self.world.endpoints.values())[number]


@asynccontextmanager
async def scripted() -> AsyncIterator[Trial]:
    chain = ScriptedChain()
    trial = ScriptedTrial(chain, world=chain)
    chain.bank.give(str(trial.payer.pubkey()), FUNDS)
    chain.tick(40)
    yield trial


@asynccontextmanager
async def solana() -> AsyncIterator[Trial]:
    """The real client; the endpoints that it asks are scripted."""
    world = ScriptedChain()
    async with ScriptedRpc.serving(world) as server, SolanaChain.connect(server.section(), SystemClock()) as chain:
        trial = ScriptedTrial(chain, world=world)
        world.bank.give(str(trial.payer.pubkey()), FUNDS)
        world.tick(40)
        yield trial


@asynccontextmanager
async def rehearsal() -> AsyncIterator[Trial]:
    """The real client on the rehearsal chain, which executes in a real virtual machine."""
    world = Rehearsal(Cluster(finality_slots=FINALITY_SLOTS))
    async with rehearsing(world, slots_run=False):
        section = ChainSection.model_validate(
            {
                "endpoints": [
                    {"url": world.url(name), "websocket_url": world.websocket_url(name), "calls_per_second": 100_000}
                    for name in world.endpoints
                ],
                "genesis_hash": world.cluster.genesis_hash,
                "health_age_s": 0.0,
            }
        )
        async with SolanaChain.connect(section, SystemClock()) as chain:
            trial = RehearsalTrial(chain, world=world)
            world.cluster.airdrop(trial.payer.pubkey(), FUNDS)
            world.cluster.tick(40)
            yield trial


BODIES = {"scripted": scripted, "solana": solana, "rehearsal": rehearsal}


def opened(body: str) -> AbstractAsyncContextManager[Trial]:
    return BODIES[body]()


over_all = pytest.mark.parametrize("body", BODIES)


@over_all
async def test_a_transfer_that_lands_is_seen_at_each_level_and_its_balances_add_up(body: str) -> None:
    async with opened(body) as trial:
        to = str(Keypair().pubkey())
        signature, raw, _ = await trial.transfer(1_000_000, to)
        assert await trial.chain.status(signature) is None
        assert await trial.chain.send(raw, is_first=True) == signature
        trial.tick(2)
        early = await trial.chain.status(signature)
        assert early is not None
        assert early.commitment is Commitment.CONFIRMED
        assert early.error == ""
        assert await trial.chain.transaction(signature) is None
        await trial.finalize()
        late = await trial.chain.status(signature)
        assert late is not None
        assert late.commitment is Commitment.FINALIZED
        seen = await trial.chain.transaction(signature)
        assert seen is not None
        payer = str(trial.payer.pubkey())
        assert (seen.signature, seen.slot, seen.error, seen.payer) == (signature, late.slot, "", payer)
        assert seen.lamports[to] == (0, 1_000_000)
        before, after = seen.lamports[payer]
        assert before - after == 1_000_000 + SIGNATURE_LAMPORTS + 2_000
        assert seen.raw == raw
        wallet = (await trial.chain.accounts([payer]))[payer]
        assert wallet is not None
        assert wallet.lamports == after


@over_all
async def test_the_same_bytes_sent_again_and_again_land_once(body: str) -> None:
    async with opened(body) as trial:
        to = str(Keypair().pubkey())
        signature, raw, _ = await trial.transfer(2_000_000, to)
        for _ in range(3):
            await trial.chain.send(raw, is_first=False)
        trial.tick(2)
        # Taken before: the first sending of a process that does not remember it.
        assert await trial.chain.send(raw, is_first=True) == signature
        trial.tick(2)
        account = (await trial.chain.accounts([to]))[to]
        assert account is not None
        assert account.lamports == 2_000_000


@over_all
async def test_levels_are_told_in_their_order_and_the_blockhash_is_young(body: str) -> None:
    async with opened(body) as trial:
        heights = [(await trial.chain.height(each)).block_height for each in reversed(Commitment)]
        assert heights == sorted(heights)
        seen = await trial.chain.latest_blockhash()
        assert 0 < seen.last_valid_block_height - heights[-1] <= 150


@over_all
async def test_an_account_that_does_not_exist_is_none(body: str) -> None:
    async with opened(body) as trial:
        nobody, payer = str(Keypair().pubkey()), str(trial.payer.pubkey())
        found = await trial.chain.accounts([nobody, payer])
        assert found[nobody] is None
        wallet = found[payer]
        assert wallet is not None
        assert (wallet.lamports, wallet.data, wallet.is_executable) == (FUNDS, b"", False)


@over_all
async def test_a_simulation_shows_what_would_be_and_leaves_nothing(body: str) -> None:
    async with opened(body) as trial:
        to, payer = str(Keypair().pubkey()), str(trial.payer.pubkey())
        _, raw, _ = await trial.transfer(3_000_000, to)
        seen = await trial.chain.simulate(raw, [to, payer])
        assert seen.error == ""
        assert seen.compute_units > 0
        would_be = seen.accounts[to]
        assert would_be is not None
        assert would_be.lamports == 3_000_000
        assert (await trial.chain.accounts([to]))[to] is None
        _, too_much, _ = await trial.transfer(2 * FUNDS, to)
        failed = await trial.chain.simulate(too_much, [])
        assert failed.error == '{"InstructionError":[2,{"Custom":1}]}'


@over_all
async def test_a_transaction_that_would_fail_is_refused_first_and_lands_failed_when_forced(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, _ = await trial.transfer(2 * FUNDS)
        with pytest.raises(SendRefused) as refused:
            await trial.chain.send(raw, is_first=True)
        assert refused.value.error == '{"InstructionError":[2,{"Custom":1}]}'
        trial.tick(2)
        assert await trial.chain.status(signature) is None
        await trial.chain.send(raw, is_first=False)
        trial.tick(2)
        await trial.finalize()
        status = await trial.chain.status(signature)
        assert status is not None
        assert status.error == refused.value.error
        seen = await trial.chain.transaction(signature)
        assert seen is not None
        assert seen.error == refused.value.error
        before, after = seen.lamports[str(trial.payer.pubkey())]
        assert before - after == SIGNATURE_LAMPORTS + 2_000


@over_all
async def test_absence_is_proven_by_two_endpoints_and_only_after_the_window(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, seen = await trial.transfer(1_000_000)
        trial.drop_next()
        await trial.chain.send(raw, is_first=True)
        trial.tick(3)
        assert await trial.chain.proof_of_absence(signature, seen.last_valid_block_height) is None
        await trial.expire()
        proof = await trial.chain.proof_of_absence(signature, seen.last_valid_block_height)
        assert proof is not None
        assert proof.signature == signature
        assert len({each.endpoint for each in proof.heights}) == 2
        assert all(each.block_height > seen.last_valid_block_height for each in proof.heights)
        # What is proven is true: the bytes can do nothing any more.
        await trial.chain.send(raw, is_first=False)
        trial.tick(3)
        assert await trial.chain.status(signature) is None


@over_all
async def test_a_landed_transaction_is_never_proven_absent(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, seen = await trial.transfer(1_000_000)
        await trial.chain.send(raw, is_first=True)
        trial.tick(2)
        await trial.expire()
        assert await trial.chain.proof_of_absence(signature, seen.last_valid_block_height) is None


@over_all
async def test_every_endpoint_testifies_for_itself_once_a_transaction_is_final(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, _ = await trial.transfer(1_000_000)
        await trial.chain.send(raw, is_first=True)
        trial.tick(2)
        told = await trial.chain.testimonies(signature)
        assert [(each.seen, each.problem) for each in told] == [(None, "")] * 2
        trial.tick(40)
        told = await trial.chain.testimonies(signature)
        assert len({each.endpoint for each in told}) == 2
        assert [each.seen.endpoint for each in told if each.seen is not None] == [each.endpoint for each in told]
        trial.shut(1)
        one, other = await trial.chain.testimonies(signature)
        assert one.seen is not None
        assert other.seen is None
        assert other.problem


@over_all
async def test_one_lying_endpoint_makes_no_proof(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, seen = await trial.transfer(1_000_000)
        await trial.chain.send(raw, is_first=True)
        trial.tick(2)
        trial.deny(0, signature)
        await trial.expire()
        assert await trial.chain.proof_of_absence(signature, seen.last_valid_block_height) is None
        status = await trial.chain.status(signature)
        assert status is not None
        assert status.commitment is Commitment.FINALIZED


@over_all
async def test_an_endpoint_that_pretends_to_be_ahead_makes_no_proof(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, seen = await trial.transfer(1_000_000)
        trial.pretend_ahead(1, 400)
        assert await trial.chain.proof_of_absence(signature, seen.last_valid_block_height) is None
        await trial.chain.send(raw, is_first=False)
        trial.tick(2)
        assert await trial.chain.status(signature) is not None


@over_all
async def test_a_lagging_endpoint_makes_no_proof_and_gives_no_blockhash(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, seen = await trial.transfer(1_000_000)
        trial.drop_next()
        await trial.chain.send(raw, is_first=True)
        await trial.expire()
        trial.lag(0, 220)
        assert await trial.chain.proof_of_absence(signature, seen.last_valid_block_height) is None
        fresh = await trial.chain.latest_blockhash()
        assert fresh.last_valid_block_height > seen.last_valid_block_height + 150
        height = await trial.chain.height(Commitment.CONFIRMED)
        assert fresh.last_valid_block_height - height.block_height <= 150
        trial.lag(0, 0)
        assert await trial.chain.proof_of_absence(signature, seen.last_valid_block_height) is not None


@over_all
async def test_one_endpoint_left_answers_but_proves_nothing(body: str) -> None:
    async with opened(body) as trial:
        signature, _, seen = await trial.transfer(1_000_000)
        await trial.expire()
        trial.shut(1)
        assert await trial.chain.proof_of_absence(signature, seen.last_valid_block_height) is None
        assert (await trial.chain.height(Commitment.FINALIZED)).block_height > seen.last_valid_block_height


@over_all
async def test_no_endpoint_left_is_unavailable_and_not_an_answer(body: str) -> None:
    async with opened(body) as trial:
        signature, raw, seen = await trial.transfer(1_000_000)
        trial.shut(0)
        trial.shut(1)
        for asked in (
            trial.chain.status(signature),
            trial.chain.send(raw, is_first=True),
            trial.chain.accounts([str(trial.payer.pubkey())]),
            trial.chain.latest_blockhash(),
            trial.chain.height(Commitment.CONFIRMED),
            trial.chain.proof_of_absence(signature, seen.last_valid_block_height),
            trial.chain.transaction(signature),
            trial.chain.simulate(raw, []),
            trial.chain.signatures(str(trial.payer.pubkey()), until=None, limit=1),
            trial.chain.priority_fee([str(trial.payer.pubkey())]),
        ):
            with pytest.raises(ChainUnavailable):
                await asked


@over_all
async def test_endpoints_of_different_clusters_are_told(body: str) -> None:
    async with opened(body) as trial:
        assert await trial.chain.genesis_hash()
        trial.disguise(1)
        with pytest.raises(WrongChain):
            await trial.chain.genesis_hash()


@over_all
async def test_a_history_is_finalized_newest_first_and_ends_before_its_cursor(body: str) -> None:
    async with opened(body) as trial:
        made = []
        for lamports in (1_000_000, 1_000_001, 1_000_002, 1_000_003):
            signature, raw, _ = await trial.transfer(lamports)
            await trial.chain.send(raw, is_first=True)
            trial.tick(2)
            made.append(signature)
        wallet = str(trial.payer.pubkey())
        await trial.finalize()
        entries = await trial.chain.signatures(wallet, until=made[0], limit=100)
        assert [each.signature for each in entries] == made[:0:-1]
        assert [each.slot for each in entries] == sorted((each.slot for each in entries), reverse=True)
        assert {each.error for each in entries} == {""}
        newest = await trial.chain.signatures(wallet, until=None, limit=2)
        assert [each.signature for each in newest] == [made[3], made[2]]


@over_all
async def test_waiting_ends_and_a_fee_is_a_whole_number(body: str) -> None:
    async with opened(body) as trial:
        signature, _, _ = await trial.transfer(1_000_000)
        await trial.chain.wait(signature, 0.05)
        assert await trial.chain.priority_fee([str(trial.payer.pubkey())]) >= 0
