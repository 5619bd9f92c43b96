"""Prices for paper: Jupiter's at a few sizes, never better than it says, and an EVM pool's at its newest block."""

from fractions import Fraction

import pytest
from starlette.requests import Request
from starlette.responses import Response
from tests.support.jupiter_pages import FROG, JupiterPages
from tests.support.market_server import SteppedClock, page

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.sight import JupiterSight, SightTerms
from trading.arbitrage.evm_ports import PoolSeen
from trading.arbitrage.evm_sight import EvmSight, EvmSightTerms
from trading.arbitrage.pools import ConstantProduct, swap
from trading.errors import RouteRefused, RouterUnavailable
from trading.model.evm import BlockSeen, PoolKind, PoolRef
from trading.model.intent import SOL_MINT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
SOL = 10**9
TERMS = SightTerms(SOL_MINT, FROG, SOL // 10, 2 * SOL, 3)


async def no_route(_request: Request) -> Response:
    return page({"error": "no route", "errorCode": "NO_ROUTES_FOUND"}, 400)


async def wrong_key(_request: Request) -> Response:
    return page({"error": "key"}, 401)


async def test_a_look_at_jupiter_asks_without_a_wallet_and_lies_below_its_quotes() -> None:
    clock = SteppedClock()
    async with JupiterPages.serving(clock) as pages:
        pages.rates = {SOL_MINT: Fraction(150, 1_000), FROG: Fraction(1_000, 151)}
        async with JupiterApi.connect(pages.market(), pages.router(dexes_excluded=("Whirlpool",)), clock) as api:
            sight = JupiterSight("usdc/solana", api, TERMS)
            look = await sight.look()
            asked = list(pages.asked)
            assert await sight.given(7_777, True) == 1_166
            pages.faults["order"].extend([no_route])
            assert await sight.given(7_777, True) is None
            pages.faults["order"].extend([no_route] * 3)
            with pytest.raises(RouterUnavailable, match="no price"):
                await sight.look()
            pages.faults["order"].extend([wrong_key] * 3)
            with pytest.raises(RouteRefused):
                await sight.look()
    assert len(asked) == 6
    assert all("taker" not in each and each["excludeRouters"] == "jupiterz" for each in asked)
    assert {each["excludeDexes"] for each in asked} == {"Whirlpool"}
    there, back = look.there.quote, look.back.quote
    assert (there(SOL), there(SOL // 100), there(2 * SOL + 1)) == (149_999_999, 1_500_000, None)
    assert (got := back(150_000_000)) is not None
    assert 0 <= 150_000_000 * 1_000 // 151 - got <= 1
    assert back(316_000_000) is None
    assert (look.venue, look.money_free, look.middle_free) == ("usdc/solana", 0, 0)


class Reader:
    async def read(self, ref: PoolRef) -> PoolSeen:
        return PoolSeen(ref, BlockSeen(7, "0x7", "0x6", 1, 0), ConstantProduct(10**12, 2 * 10**11, 3_000))


@pytest.mark.parametrize("is_0", [True, False])
async def test_a_pool_of_the_evm_chain_is_quoted_both_ways(is_0: bool) -> None:
    ref = PoolRef("0x" + "1" * 40, PoolKind.CONSTANT_PRODUCT, "0x" + "2" * 40, "0x" + "3" * 40, 3_000)
    look = await EvmSight("usdc/evm", Reader(), EvmSightTerms(ref, is_0), SteppedClock()).look()
    pool = ConstantProduct(10**12, 2 * 10**11, 3_000)
    for quote, gives_0 in ((look.there.quote, is_0), (look.back.quote, not is_0)):
        made = swap(pool, 10**9, gives_0=gives_0)
        assert made is not None
        assert quote(10**9) == made.amount_out
    assert look.there.quote(0) is None
