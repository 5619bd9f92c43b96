"""What every second price promises: lamports a base unit as a fraction, the time it was made, None for a stranger."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction

import pytest
from tests.doubles.plain_chain import TOKEN, PlainChain
from tests.doubles.scripted_accounts import ScriptedAccounts
from tests.doubles.scripted_prices import ChainPoolPrices, ScriptedPrices
from tests.support.jupiter_pages import FROG, JupiterPages
from tests.support.market_server import NS, FakePool, MarketServer, SteppedClock, address, status

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.prices import JupiterPrices
from trading.adapters.market_api import MarketApi
from trading.adapters.pyth_prices import PythPrices
from trading.adapters.second_prices import ChainDecimals, DexScreenerPrices, PoolPrices
from trading.errors import FeedUnavailable
from trading.model.intent import SOL_MINT
from trading.ports import ReferencePrice

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]


@dataclass(frozen=True, slots=True)
class Stage:
    """A body that knows ``mint`` at ``lamports_a_unit`` at the time ``now_ns``; ``break_it`` takes its source away."""

    prices: ReferencePrice
    mint: str
    stranger: str
    lamports_a_unit: Fraction
    now_ns: int
    break_it: Callable[[], None] | None = None


@asynccontextmanager
async def scripted() -> AsyncIterator[Stage]:
    prices = ScriptedPrices(lambda: 5_000)
    prices.points["mint"] = (3, 7)
    yield Stage(
        prices,
        "mint",
        "other",
        Fraction(3, 7),
        5_000,
        lambda: prices.errors.append(FeedUnavailable("gone")),
    )


@asynccontextmanager
async def chain_pool() -> AsyncIterator[Stage]:
    chain = PlainChain()
    yield Stage(ChainPoolPrices(chain), TOKEN, "other", Fraction(*chain.pool), chain.now_ns())


FROG_UNITS = Fraction(7, 10_000)
"""Lamports a base unit: 0.0007 SOL a whole token of nine decimals is 0.0007 lamports a base unit."""


def accounts() -> ScriptedAccounts:
    chain = ScriptedAccounts()
    chain.put_mint(FROG, 9)
    return chain


@asynccontextmanager
async def dexscreener() -> AsyncIterator[Stage]:
    clock = SteppedClock()
    pool = FakePool(address("PooFrog"), FROG, "FROG", decimals=9, second_price="0.0007")
    async with (
        MarketServer.serving(clock, [pool]) as server,
        MarketApi.connect(server.section(), clock) as api,
    ):
        prices = DexScreenerPrices(api, ChainDecimals(accounts()), 10**9, clock)
        yield Stage(
            prices,
            FROG,
            address("Other"),
            FROG_UNITS,
            clock.now_ns(),
            lambda: server.faults["dexscreener"].append(status(500)),
        )


@asynccontextmanager
async def pool_reserves() -> AsyncIterator[Stage]:
    chain, clock = accounts(), SteppedClock()
    chain.put_account("vault", FROG, 10**13)
    chain.put_account("sol-vault", SOL_MINT, 7 * 10**9)
    prices = PoolPrices(chain, {FROG: ("vault", "sol-vault")}, 10**9, clock)
    yield Stage(prices, FROG, address("Other"), FROG_UNITS, clock.now_ns(), lambda: setattr(chain, "is_away", True))


@asynccontextmanager
async def pyth() -> AsyncIterator[Stage]:
    clock = SteppedClock()
    async with JupiterPages.serving(clock) as pages:
        when = clock.now_ns() // NS
        pages.pyth = {
            "aa": {"price": "10500000", "conf": "5", "expo": -8, "publish_time": when - 3},  # 0.105 USD
            "bb": {"price": "15000", "conf": "1", "expo": -2, "publish_time": when - 2},  # 150 USD
        }
        section = pages.router(pyth_key="key", pyth_feeds={FROG: "0xAA", SOL_MINT: "bb"})
        async with PythPrices.connect(section, ChainDecimals(accounts()), clock) as prices:
            yield Stage(
                prices,
                FROG,
                address("Other"),
                FROG_UNITS,
                clock.now_ns(),
                lambda: pages.faults["pyth"].append(status(503)),
            )


@asynccontextmanager
async def jupiter() -> AsyncIterator[Stage]:
    clock = SteppedClock()
    async with JupiterPages.serving(clock) as pages:
        pages.changes["price"] = {FROG: {"usdPrice": 0.105, "decimals": 9}}
        async with JupiterApi.connect(pages.market(), pages.router(), clock) as api:
            prices = JupiterPrices(api, ChainDecimals(accounts()))
            yield Stage(
                prices,
                FROG,
                address("Other"),
                FROG_UNITS,
                clock.now_ns(),
                lambda: pages.faults["price"].append(status(429)),
            )


BODIES: list[Callable[[], AbstractAsyncContextManager[Stage]]] = [
    scripted,
    chain_pool,
    dexscreener,
    pool_reserves,
    pyth,
    jupiter,
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=BODIES, ids=lambda make: make.__name__)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with request.param() as made:
        yield made


async def test_a_price_is_lamports_a_base_unit(stage: Stage) -> None:
    found = await stage.prices.price(stage.mint)
    assert found is not None
    assert found.mint == stage.mint
    assert found.source == stage.prices.name
    assert Fraction(found.lamports_numerator, found.base_units_denominator) == stage.lamports_a_unit


async def test_a_price_carries_the_time_it_was_made(stage: Stage) -> None:
    found = await stage.prices.price(stage.mint)
    assert found is not None
    assert stage.now_ns - 60 * 10**9 <= found.ts_ns <= stage.now_ns + 60 * 10**9


async def test_a_stranger_has_no_price(stage: Stage) -> None:
    assert await stage.prices.price(stage.stranger) is None


async def test_a_source_that_is_gone_is_said_to_be(stage: Stage) -> None:
    if stage.break_it is None:
        pytest.skip("this one has its source at hand")
    stage.break_it()
    with pytest.raises(FeedUnavailable):
        await stage.prices.price(stage.mint)
