"""A router that cheats, from its HTTP answer to the signer's door: nothing that it twisted is ever signed.

Every part is the real one: client, chain, second price, simulation, reading. The signer signs whatever reaches it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from solders.keypair import Keypair
from tests.doubles.plain_signer import PlainSigner
from tests.support.rehearsal import JupiterStage, WallClock, jupiter_stage

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.second_prices import PoolPrices
from trading.adapters.solana.chain import SolanaChain
from trading.config import ChainSection, RouterSection
from trading.errors import RouteRefused, SigningRefused
from trading.execution.preparing import PreparingParts, PreparingRules, SwapPreparer
from trading.execution.price_check import PriceRules
from trading.model.intent import SOL_MINT, Attempt, Intent, IntentRecord, IntentState
from trading.rehearsal.jupiter_faults import Fault
from trading.rehearsal.jupiter_parts import MALICE

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]
FEE_LAMPORTS_MAX = 100_000
HARMLESS = {"oversized_fee"}
"""The router's compute price is advice: what is signed has our own, within our own bound."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Team:
    """The desk's side: ``wallet`` holds SOL and frogs."""

    stage: JupiterStage
    chain: SolanaChain
    api: JupiterApi
    prices: PoolPrices
    wallet: Keypair

    def intent(self, *, is_buy: bool) -> Intent:
        mints = (SOL_MINT, self.stage.frog) if is_buy else (self.stage.frog, SOL_MINT)
        return Intent(
            id="int_red",
            key="red/1",
            wallet=str(self.wallet.pubkey()),
            in_mint=mints[0],
            out_mint=mints[1],
            amount_in=10**9 if is_buy else 10**12,
            min_out=980 * 10**9 if is_buy else 980_000_000,
            slippage_bps_max=100,
            fee_lamports_max=FEE_LAMPORTS_MAX,
            attempts_max=1,
            created_ns=WallClock().now_ns(),
            deadline_ns=WallClock().now_ns() + 600 * 10**9,
            is_exit=not is_buy,
        )

    async def prepare(self, signer: PlainSigner, intent: Intent) -> Attempt:
        parts = PreparingParts(
            self.chain, JupiterBuild(self.api), self.prices, signer, lambda _account: (), WallClock().now_ns
        )
        return await SwapPreparer(parts, PreparingRules(PriceRules())).prepare(IntentRecord(intent, IntentState.OPEN))


@pytest.fixture(scope="module")
async def team() -> AsyncIterator[Team]:
    async with jupiter_stage() as stage:
        section = ChainSection.model_validate(
            {
                "endpoints": [
                    {"url": stage.rehearsal.url(name), "calls_per_second": 10_000} for name in ("one", "two")
                ],
                "genesis_hash": stage.cluster.genesis_hash,
            }
        )
        router = RouterSection(backoff_base_s=0.001, backoff_cap_s=0.001)
        async with (
            SolanaChain.connect(section, WallClock()) as chain,
            JupiterApi.connect(stage.market(), router, WallClock()) as api,
        ):
            sol, frog = (str(stage.pool.vault(mint)) for mint in stage.pool.mints)
            prices = PoolPrices(chain, {stage.frog: (frog, sol)}, 10**9, WallClock())
            made = Team(stage, chain, api, prices, stage.wallet(50 * 10**9))
            bought = await JupiterBuild(api).offer(stage.buying(made.wallet, 3 * 10**9))
            assert stage.carry_out(made.wallet, bought) is None
            yield made


@pytest.fixture
def signer(team: Team) -> PlainSigner:
    team.stage.server.faults.clear()
    return PlainSigner(team.wallet)


@pytest.mark.parametrize("is_buy", [True, False], ids=["buy", "sell"])
async def test_an_honest_offer_is_signed_and_lands(team: Team, signer: PlainSigner, is_buy: bool) -> None:
    attempt = await team.prepare(signer, team.intent(is_buy=is_buy))
    assert len(signer.asked) == 1
    assert team.stage.cluster.submit(attempt.raw) == attempt.signature
    team.stage.cluster.tick(2)
    assert team.stage.cluster.executed[attempt.signature].error is None


@pytest.mark.parametrize("is_buy", [True, False], ids=["buy", "sell"])
@pytest.mark.parametrize("kind", sorted(set(MALICE) - HARMLESS))
async def test_a_twisted_offer_is_never_signed(team: Team, signer: PlainSigner, kind: str, is_buy: bool) -> None:
    team.stage.server.faults.put("build", Fault(kind), count=5)
    with pytest.raises((RouteRefused, SigningRefused)):
        await team.prepare(signer, team.intent(is_buy=is_buy))
    assert signer.asked == []
    assert team.stage.server.faults.left()["build"][0]["count"] < 5  # the twisted offer was the one that came


@pytest.mark.parametrize("kind", sorted(HARMLESS))
async def test_a_price_that_is_only_advised_is_signed_within_our_own_bound(
    team: Team, signer: PlainSigner, kind: str
) -> None:
    team.stage.server.faults.put("build", Fault(kind))
    attempt = await team.prepare(signer, team.intent(is_buy=True))
    assert attempt.fee_lamports <= FEE_LAMPORTS_MAX
    before = team.stage.lamports(team.wallet)
    team.stage.cluster.submit(attempt.raw)
    team.stage.cluster.tick(2)
    assert team.stage.cluster.executed[attempt.signature].error is None
    assert before - team.stage.lamports(team.wallet) == 10**9 + attempt.fee_lamports


async def test_an_offer_far_from_the_second_price_is_not_signed(team: Team, signer: PlainSigner) -> None:
    class Dearer:
        name = "dearer"

        async def price(self, mint: str) -> object:
            found = await team.prices.price(mint)
            assert found is not None
            return replace(found, lamports_numerator=found.lamports_numerator * 2)

    bent = replace(team, prices=Dearer())  # type: ignore[arg-type]
    with pytest.raises(RouteRefused):
        await bent.prepare(signer, team.intent(is_buy=True))
    assert signer.asked == []
