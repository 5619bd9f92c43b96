"""Second prices from every source: what counts as a price, and what is worse than none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import pytest
from tests.doubles.scripted_accounts import ScriptedAccounts
from tests.support.jupiter_pages import FROG, JupiterPages
from tests.support.market_server import NS, FakePool, MarketServer, SteppedClock, address, document, html, status

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.prices import JupiterPrices
from trading.adapters.market_api import MarketApi
from trading.adapters.pyth_prices import PythPrices
from trading.adapters.second_price_choice import second_price
from trading.adapters.second_prices import ChainDecimals, DexScreenerPrices, PoolPrices
from trading.config import MarketSection, RouterSection
from trading.errors import FeedUnavailable, InvalidInput
from trading.model.intent import SOL_MINT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[JupiterPages]:
    async with JupiterPages.serving(SteppedClock()) as pages:
        yield pages


@pytest.fixture
def chain() -> ScriptedAccounts:
    made = ScriptedAccounts()
    made.put_mint(FROG, 6)
    return made


# -- decimals


async def test_decimals_are_read_once_from_the_mint_itself(chain: ScriptedAccounts) -> None:
    decimals = ChainDecimals(chain)
    assert [await decimals.of(FROG), await decimals.of(FROG), await decimals.of(SOL_MINT)] == [6, 6, 9]
    assert chain.reads == 1


async def test_what_is_no_mint_has_no_decimals(chain: ScriptedAccounts) -> None:
    chain.put("short", bytes(81))
    chain.put("strange", bytes(44) + b"\x06\x01" + bytes(36), owner="11111111111111111111111111111111")
    chain.put("unborn", bytes(44) + b"\x06\x00" + bytes(36))
    assert [await ChainDecimals(chain).of(name) for name in ("nobody", "short", "strange", "unborn")] == [None] * 4


async def test_without_a_chain_decimals_are_not_guessed(chain: ScriptedAccounts) -> None:
    chain.is_away = True
    with pytest.raises(FeedUnavailable):
        await ChainDecimals(chain).of(FROG)


# -- DexScreener


def a_pool(name: str, price: str, lamports: int) -> FakePool:
    return FakePool(address(name), FROG, "FROG", second_price=price, liquidity_quote=lamports / 10**9)


@asynccontextmanager
async def dexscreener(chain: ScriptedAccounts, *pools: FakePool) -> AsyncIterator[DexScreenerPrices]:
    clock = SteppedClock()
    async with (
        MarketServer.serving(clock, list(pools)) as server,
        MarketApi.connect(server.section(), clock) as api,
    ):
        yield DexScreenerPrices(api, ChainDecimals(chain), 10 * 10**9, clock)


async def test_the_deepest_pool_makes_the_price_and_a_shallow_one_makes_none(chain: ScriptedAccounts) -> None:
    pools = [a_pool("PooA", "0.5", 20 * 10**9), a_pool("PooB", "0.004", 30 * 10**9), a_pool("PooC", "9", 10**9)]
    async with dexscreener(chain, *pools) as prices:
        found = await prices.price(FROG)
        assert found is not None
        assert Fraction(found.lamports_numerator, found.base_units_denominator) == Fraction(4)  # 0.004 SOL / 10^6
    async with dexscreener(chain, a_pool("PooC", "9", 10 * 10**9 - 1)) as prices:
        assert await prices.price(FROG) is None


# -- the reserves of a pool


def of_pool(chain: ScriptedAccounts, lamports_min: int = 10**9) -> PoolPrices:
    return PoolPrices(chain, {FROG: ("vault", "sol-vault")}, lamports_min, SteppedClock())


async def test_accounts_that_hold_something_else_are_no_pool(chain: ScriptedAccounts) -> None:
    chain.put_account("vault", FROG, 10**12)
    chain.put_account("sol-vault", FROG, 10**12)
    with pytest.raises(FeedUnavailable, match="something else"):
        await of_pool(chain).price(FROG)
    chain.put("sol-vault", bytes(165))
    with pytest.raises(FeedUnavailable, match="something else"):
        await of_pool(chain).price(FROG)
    chain.put_account("sol-vault", SOL_MINT, 10**12, state=0)
    with pytest.raises(FeedUnavailable, match="something else"):
        await of_pool(chain).price(FROG)
    del chain.held["sol-vault"]
    with pytest.raises(FeedUnavailable, match="something else"):
        await of_pool(chain).price(FROG)


async def test_a_pool_that_is_empty_or_shallow_has_no_price(chain: ScriptedAccounts) -> None:
    chain.put_account("sol-vault", SOL_MINT, 10**9)
    chain.put_account("vault", FROG, 10**12)
    assert await of_pool(chain, 10**9).price(FROG) is not None
    assert await of_pool(chain, 10**9 + 1).price(FROG) is None
    chain.put_account("vault", FROG, 0)
    assert await of_pool(chain).price(FROG) is None


# -- Pyth


@asynccontextmanager
async def pyth(
    served: JupiterPages, chain: ScriptedAccounts, age_s: int = 1, **changes: Any
) -> AsyncIterator[PythPrices]:
    served.reset()
    when = served.clock.now_ns() // NS
    frog = {"price": "100000000", "conf": "90000", "expo": -8, "publish_time": when - age_s}
    sol = {"price": "15000", "conf": "1", "expo": -2, "publish_time": when}
    served.pyth = {"aa": frog | changes, "bb": sol}
    section = served.router(pyth_key="hermes-key", pyth_feeds={FROG: "0xAA", SOL_MINT: "bb"})
    async with PythPrices.connect(section, ChainDecimals(chain), served.clock) as prices:
        yield prices


async def test_a_price_by_pyth_is_as_old_as_its_oldest_part_and_as_sure_as_both(
    served: JupiterPages, chain: ScriptedAccounts
) -> None:
    async with pyth(served, chain, age_s=20) as prices:
        found = await prices.price(FROG)
        assert found is not None
        assert Fraction(found.lamports_numerator, found.base_units_denominator) == Fraction(1_000, 150)
        assert found.ts_ns == (served.clock.now_ns() // NS - 20) * NS
        assert found.confidence_bps == 9 + 1
        assert served.headers_seen[0]["authorization"] == "Bearer hermes-key"


@pytest.mark.parametrize(
    ("age_s", "changes", "message"),
    [
        (31, {}, "31 s old"),
        (-60, {}, "s old"),
        (1, {"conf": "1000001"}, "sure to 101 basis points"),
        (1, {"price": "0"}, "not as documented"),
        (1, {"price": "-5"}, "not as documented"),
        (1, {"expo": 99}, "not as documented"),
        (1, {"publish_time": None}, "not as documented"),
    ],
)
async def test_a_price_by_pyth_that_is_old_or_unsure_is_not_used(
    served: JupiterPages, chain: ScriptedAccounts, age_s: int, changes: dict[str, Any], message: str
) -> None:
    async with pyth(served, chain, age_s, **changes) as prices:
        with pytest.raises(FeedUnavailable, match=message):
            await prices.price(FROG)


async def test_a_price_that_pyths_answer_leaves_out_is_not_made_up(
    served: JupiterPages, chain: ScriptedAccounts
) -> None:
    async with pyth(served, chain) as prices:
        del served.pyth["bb"]
        with pytest.raises(FeedUnavailable, match="no price"):
            await prices.price(FROG)
        served.faults["pyth"].extend([status(401), html()])
        for _ in range(2):
            with pytest.raises(FeedUnavailable):
                await prices.price(FROG)


# -- Jupiter's own


async def test_jupiters_prices_leave_out_what_it_does_not_trust(served: JupiterPages, chain: ScriptedAccounts) -> None:
    served.reset()
    async with JupiterApi.connect(served.market(), served.router(), served.clock) as api:
        prices = JupiterPrices(api, ChainDecimals(chain))
        assert set(await prices.usd([SOL_MINT, FROG, address("Bird")])) == {SOL_MINT, FROG}
        served.changes["price"] = {FROG: {"usdPrice": 0, "decimals": 6}}
        assert await prices.price(FROG) is None
        served.changes["price"] = {SOL_MINT: {"usdPrice": "NaN", "decimals": 9}}
        with pytest.raises(FeedUnavailable, match="no SOL price"):
            await prices.price(FROG)
        served.faults["price"].extend([status(401), document([1])])
        for _ in range(2):
            with pytest.raises(FeedUnavailable):
                await prices.price(FROG)
        with pytest.raises(InvalidInput):
            await prices.usd([FROG] * 51)


# -- the choice


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "dexscreener"),
        ({"second_price": "pool", "pools": {FROG: ("a", "b")}}, "pool-reserves"),
        ({"second_price": "pyth", "pyth_key": "k", "pyth_feeds": {SOL_MINT: "bb"}}, "pyth"),
    ],
)
async def test_the_source_is_the_one_that_is_set_and_never_jupiter_itself(
    chain: ScriptedAccounts, changes: dict[str, Any], name: str
) -> None:
    section = RouterSection.model_validate(changes)
    async with second_price(MarketSection(), section, chain, SteppedClock()) as prices:
        assert prices.name == name
        own = await prices.price(SOL_MINT)
        assert own is not None
        assert own.lamports_numerator == own.base_units_denominator


@pytest.mark.parametrize(
    "changes",
    [
        {"second_price": "pool"},
        {"second_price": "pyth", "pyth_feeds": {SOL_MINT: "bb"}},
        {"second_price": "pyth", "pyth_key": "k"},
    ],
)
async def test_a_source_that_is_not_set_up_is_said_to_be(chain: ScriptedAccounts, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        async with second_price(MarketSection(), RouterSection.model_validate(changes), chain, SteppedClock()):
            pass
