"""What every router promises: an exact-in offer for what was asked, or a word that says why there is none."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from tests.doubles.plain_chain import TOKEN, PlainChain
from tests.doubles.scripted_router import PlainChainMarket, RehearsalMarket, ScriptedRouter
from tests.support.rehearsal import WallClock, a_stage, jupiter_stage

from trading.adapters.jupiter.build import JupiterBuild
from trading.adapters.jupiter.gateway import JupiterApi
from trading.config import RouterSection
from trading.errors import RouteRefused
from trading.model.chain import SwapWanted
from trading.model.intent import SOL_MINT
from trading.ports import SwapRouter

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]


@dataclass(frozen=True, slots=True)
class Stage:
    """A router over a market with a pool of ``token`` against SOL, and what a stranger's mint is called there."""

    router: SwapRouter
    wallet: str
    token: str
    stranger: str

    def buying(self, lamports: int, slippage_bps: int = 100) -> SwapWanted:
        return SwapWanted(self.wallet, SOL_MINT, self.token, lamports, slippage_bps)


@asynccontextmanager
async def scripted_on_plain_chain() -> AsyncIterator[Stage]:
    yield Stage(ScriptedRouter(PlainChainMarket(PlainChain())), "wallet", TOKEN, "Nobody")


@asynccontextmanager
async def scripted_on_rehearsal() -> AsyncIterator[Stage]:
    stage = a_stage()
    router = ScriptedRouter(RehearsalMarket(stage.cluster, stage.pool))
    yield Stage(router, str(stage.wallet().pubkey()), stage.frog, stage.stranger)


@asynccontextmanager
async def jupiter_build() -> AsyncIterator[Stage]:
    async with (
        jupiter_stage() as stage,
        JupiterApi.connect(stage.market(), RouterSection(), WallClock()) as api,
    ):
        wallet = str(stage.wallet().pubkey())
        yield Stage(JupiterBuild(api), wallet, stage.frog, stage.stranger)


BODIES: list[Callable[[], AbstractAsyncContextManager[Stage]]] = [
    scripted_on_plain_chain,
    scripted_on_rehearsal,
    jupiter_build,
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=BODIES, ids=lambda make: make.__name__)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with request.param() as made:
        yield made


async def test_an_offer_is_for_exactly_what_was_asked(stage: Stage) -> None:
    wanted = stage.buying(10**8)
    offer = await stage.router.offer(wanted)
    assert offer.wanted == wanted
    assert offer.out_units > 0
    assert offer.received_ns > 0
    assert offer.label


@pytest.mark.parametrize("slippage_bps", [0, 1, 100, 5_000])
async def test_the_minimum_lies_within_the_slippage_that_was_asked(stage: Stage, slippage_bps: int) -> None:
    offer = await stage.router.offer(stage.buying(10**8, slippage_bps))
    assert offer.out_units * (10_000 - slippage_bps) <= offer.min_out_units * 10_000 <= offer.out_units * 10_000


async def test_more_in_gives_more_out_at_a_larger_impact(stage: Stage) -> None:
    small, large = await stage.router.offer(stage.buying(10**7)), await stage.router.offer(stage.buying(10**10))
    assert large.out_units > small.out_units
    assert large.price_impact_bps > small.price_impact_bps >= 1


async def test_what_was_bought_can_be_sold_again_for_no_more_than_it_cost(stage: Stage) -> None:
    bought = await stage.router.offer(stage.buying(10**9))
    sale = SwapWanted(stage.wallet, stage.token, SOL_MINT, bought.out_units, 100)
    assert 0 < (await stage.router.offer(sale)).out_units <= 10**9 + 10**7  # the pool did not move in between


async def test_nobody_but_the_wallet_is_asked_to_sign(stage: Stage) -> None:
    offer = await stage.router.offer(stage.buying(10**8))
    every = (*offer.setup, offer.swap, *offer.cleanup, *offer.others)
    assert {who for each in every for who, is_signer, _ in each.accounts if is_signer} == {stage.wallet}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("no_route", lambda stage, wanted: replace(wanted, out_mint=stage.stranger)),
        ("circular", lambda stage, wanted: replace(wanted, out_mint=wanted.in_mint)),
        (
            "amount_too_small",
            lambda stage, wanted: replace(wanted, in_mint=stage.token, out_mint=SOL_MINT, amount_in=1),
        ),
    ],
)
async def test_a_refusal_says_why(stage: Stage, reason: str, change: Callable[[Stage, SwapWanted], SwapWanted]) -> None:
    with pytest.raises(RouteRefused) as refused:
        await stage.router.offer(change(stage, stage.buying(10**8)))
    assert refused.value.reason == reason
