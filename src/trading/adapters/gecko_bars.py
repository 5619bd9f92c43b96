"""Past bars of a Solana pool from GeckoTerminal, in SOL: a body of ``ports.BarSource``."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

from trading.adapters.market_api import MarketApi, PoolInfo
from trading.config import MarketSection
from trading.errors import InvalidInput
from trading.model.bar_market import BarMarket
from trading.ports import Clock

SOURCE: Final = "geckoterminal"
PAGE_BARS: Final = 1_000
_NAME_CHARS_MAX: Final = 12


class GeckoBars:
    """Bars of one pool. The pool's token is looked up once, so that the rows are stored under its mint."""

    def __init__(self, api: MarketApi, clock: Clock, pool: PoolInfo, interval_s: int) -> None:
        self._api = api
        self._clock = clock
        self._pool = pool
        symbol = re.sub(r"[^A-Za-z0-9]", "", pool.symbol)[:_NAME_CHARS_MAX]
        name = f"{symbol or 'TOKEN'}-{pool.address[:8]}"
        self._market = BarMarket(SOURCE, "pool", pool.address, name, interval_s, pool.mint)

    @classmethod
    @asynccontextmanager
    async def connect(cls, section: MarketSection, clock: Clock, address: str, interval_s: int) -> AsyncIterator[Self]:
        """Open the client and look the pool up.

        Raises: InvalidInput (no such pool against SOL, an interval it has not), FeedUnavailable.
        """
        if interval_s not in MarketApi.INTERVALS_S:
            allowed = ", ".join(f"{each} s" for each in MarketApi.INTERVALS_S)
            msg = f"interval: GeckoTerminal has no bars of {interval_s} s; it has {allowed}"
            raise InvalidInput(msg, field="interval")
        async with MarketApi.connect(section, clock) as api:
            found = [pool for pool in await api.pools([address]) if pool.address == address]
            if not found:
                msg = f"symbol: GeckoTerminal knows no Solana pool {address[:64]!r} against SOL"
                raise InvalidInput(msg, field="symbol", hint="give the address of the pool, not of the token")
            yield cls(api, clock, found[0], interval_s)

    @property
    def market(self) -> BarMarket:
        return self._market

    @property
    def page_bars(self) -> int:
        return PAGE_BARS

    @property
    def away_s(self) -> float:
        return self._api.gecko.away_s

    def now_s(self) -> float:
        return self._clock.now_ns() / 1e9 + self._api.gecko.health.skew_s

    async def page(self, from_s: int) -> Sequence[Sequence[str | int]]:
        """The API gives the bars before a time. Before the pool was made there are none: those pages are not asked."""
        interval_s = self._market.interval_s
        created_s = int(self._pool.created_s or 0) // interval_s * interval_s
        begin_s = max(from_s, created_s)
        before_s = begin_s + PAGE_BARS * interval_s
        rows = await self._api.past_bars(self._pool.address, interval_s, before_s, PAGE_BARS)
        return [_texts(row) for row in rows]


def _texts(row: Sequence[object]) -> list[str | int]:
    return [each if type(each) is int and place == 0 else str(each) for place, each in enumerate(row)]
