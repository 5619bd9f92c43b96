"""Which second price a desk holds offers against, as its settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trading.adapters.market_api import MarketApi
from trading.adapters.pyth_prices import PythPrices
from trading.adapters.second_prices import Accounts, ChainDecimals, DexScreenerPrices, PoolPrices
from trading.config import MarketSection, RouterSection
from trading.errors import InvalidInput
from trading.model.intent import SOL_MINT
from trading.ports import Clock, ReferencePrice


@asynccontextmanager
async def second_price(
    market: MarketSection, section: RouterSection, chain: Accounts, clock: Clock
) -> AsyncIterator[ReferencePrice]:
    """Open the source that ``section.second_price`` names. Nothing is sent yet.

    Raises: InvalidInput where it is not set up.
    """
    decimals = ChainDecimals(chain)
    if section.second_price == "pool":
        if not section.pools:
            msg = "prices from pools need the pools"
            raise InvalidInput(msg, field="router.pools", hint="name each token's two pool accounts")
        yield PoolPrices(chain, section.pools, section.pool_lamports_min, clock)
    elif section.second_price == "pyth":
        if section.pyth_key is None or SOL_MINT not in section.pyth_feeds:
            msg = "Pyth's prices need a key, and the feed of SOL"
            raise InvalidInput(msg, field="router.pyth_feeds", hint="set router.pyth_key and router.pyth_feeds")
        async with PythPrices.connect(section, decimals, clock) as pyth:
            yield pyth
    else:
        async with MarketApi.connect(market, clock) as api:
            yield DexScreenerPrices(api, decimals, section.pool_lamports_min, clock)
