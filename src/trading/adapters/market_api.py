"""The public market APIs as the live feed asks them: pools, bars, second prices, the SOL price.

GeckoTerminal is the source of pools and bars, DexScreener the independent second price and the SOL-side depth,
Jupiter (with a key) the SOL price. Everything goes through ``Endpoint``: budgets, back-off and counts.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from trading.adapters.market_api_http import CallBudget, Endpoint
from trading.adapters.market_api_models import (
    DexPair,
    GeckoOhlcv,
    GeckoPool,
    GeckoToken,
    JupiterPrice,
)
from trading.config import MarketSection
from trading.errors import FeedUnavailable
from trading.feeds.instruments import WRAPPED_SOL_MINT
from trading.model.instrument import token_name
from trading.ports import Clock

_Item = TypeVar("_Item", bound=BaseModel)
_TIMEFRAMES: Final[Mapping[int, tuple[str, int]]] = {
    60: ("minute", 1),
    300: ("minute", 5),
    900: ("minute", 15),
    3_600: ("hour", 1),
    14_400: ("hour", 4),
    43_200: ("hour", 12),
    86_400: ("day", 1),
}
_USER_AGENT: Final = "memmcp"
_ADDRESSES_MAX: Final = 30


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """A pool of a token against SOL. ``liquidity_usd`` and prices None where the source has none that makes sense."""

    address: str
    mint: str
    symbol: str
    decimals: int | None
    liquidity_usd: Decimal | None
    volume_usd_day: Decimal
    created_s: float | None
    price_sol: Decimal | None
    sol_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class SecondPrice:
    """DexScreener's view of a pool: price in SOL, SOL-side depth."""

    price_sol: Decimal | None
    pool_lamports: int | None
    liquidity_usd: Decimal | None


class MarketApi:
    """The clients of one feed; open it with ``connect``."""

    INTERVALS_S: Final = tuple(_TIMEFRAMES)

    def __init__(self, http: httpx2.AsyncClient, section: MarketSection, clock: Clock) -> None:
        self._http = http
        self._section = section
        self.gecko = Endpoint(
            "GeckoTerminal", section.gecko_url, CallBudget(section.gecko_calls_per_minute), section, clock
        )
        self.dexscreener = Endpoint(
            "DexScreener", section.dexscreener_url, CallBudget(section.dexscreener_calls_per_minute), section, clock
        )
        self.jupiter = Endpoint(
            "Jupiter", section.jupiter_url, CallBudget(section.jupiter_calls_per_minute), section, clock
        )
        self.items_skipped = 0
        self.negative_reserves = 0

    @classmethod
    @asynccontextmanager
    async def connect(cls, section: MarketSection, clock: Clock) -> AsyncIterator[Self]:
        """Open the HTTP client. Nothing is sent yet."""
        loopback = urlsplit(section.gecko_url).hostname in ("127.0.0.1", "localhost", "::1")
        async with httpx2.AsyncClient(
            timeout=section.timeout_s,
            headers={"user-agent": _USER_AGENT, "accept": "application/json"},
            limits=httpx2.Limits(max_connections=8, max_keepalive_connections=4),
            trust_env=not loopback,
        ) as http:
            yield cls(http, section, clock)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return (self.gecko, self.dexscreener, self.jupiter)

    @property
    def skew_s(self) -> float:
        """The servers' clock minus ours: the largest distance seen in their last answers."""
        return max((endpoint.health.skew_s for endpoint in self.endpoints), key=abs)

    async def trending_pools(self) -> list[PoolInfo]:
        return await self._pools("/networks/solana/trending_pools")

    async def new_pools(self) -> list[PoolInfo]:
        return await self._pools("/networks/solana/new_pools")

    async def pools(self, addresses: Sequence[str]) -> list[PoolInfo]:
        """Return up to 30 pools by address."""
        if not addresses:
            return []
        return await self._pools(f"/networks/solana/pools/multi/{','.join(addresses[:_ADDRESSES_MAX])}")

    async def token_pools(self, mint: str) -> list[PoolInfo]:
        """Return the SOL pools of one token."""
        return await self._pools(f"/networks/solana/tokens/{mint}/pools")

    async def bars(self, address: str, limit: int) -> list[list[Any]]:
        """Return [open_s, open, high, low, close, volume] in SOL per token, as sent, newest first."""
        return await self._bars(address, self._section.interval_s, {"limit": str(limit)})

    async def past_bars(self, address: str, interval_s: int, before_s: int, limit: int) -> list[list[Any]]:
        """Return at most ``limit`` bars that open before a time, as ``bars`` does; the volume is money (SOL)."""
        wish = {"limit": str(limit), "before_timestamp": str(before_s)}
        return await self._bars(address, interval_s, wish)

    async def _bars(self, address: str, interval_s: int, wish: Mapping[str, str]) -> list[list[Any]]:
        timeframe, aggregate = _TIMEFRAMES[interval_s]
        document = await self._gecko(
            f"/networks/solana/pools/{address}/ohlcv/{timeframe}",
            {"aggregate": str(aggregate), "currency": "token", "token": "base", **wish},
        )
        try:
            return GeckoOhlcv.model_validate(document).data.attributes.ohlcv_list
        except ValidationError as exc:
            self.gecko.reject(f"the bars are not as documented: {_first_problem(exc)}")

    async def second_prices(self, mints: Sequence[str]) -> dict[str, SecondPrice]:
        """Return DexScreener's prices by pool address, for up to 30 mints."""
        if not mints:
            return {}
        pairs = await self._dex_pairs(mints[:_ADDRESSES_MAX])
        return {
            pair.pair_address: SecondPrice(
                price_sol=_positive(pair.price_native),
                pool_lamports=_lamports(pair.liquidity.quote),
                liquidity_usd=_positive(pair.liquidity.usd),
            )
            for pair in pairs
            if pair.quote_token.address == WRAPPED_SOL_MINT
        }

    async def sol_usd(self) -> Decimal | None:
        """Return the SOL price in USD: Jupiter where a key is set, else DexScreener's deepest pair; None without."""
        if self._section.jupiter_key is not None:
            try:
                return await self._jupiter_sol_usd()
            except FeedUnavailable:
                pass  # counted in the endpoint's health; the second source answers
        try:
            pairs = await self._dex_pairs([WRAPPED_SOL_MINT])
        except FeedUnavailable:
            return None
        mine = [pair for pair in pairs if pair.base_token.address == WRAPPED_SOL_MINT and _positive(pair.price_usd)]
        deepest = max(mine, key=lambda pair: pair.liquidity.usd or Decimal(0), default=None)
        return deepest.price_usd if deepest else None

    async def _jupiter_sol_usd(self) -> Decimal:
        key = self._section.jupiter_key
        document = await self.jupiter.get(
            self._http,
            "/price/v3",
            params={"ids": WRAPPED_SOL_MINT},
            headers={"x-api-key": key.get_secret_value()} if key else None,
        )
        try:
            prices = TypeAdapter(dict[str, JupiterPrice | None]).validate_python(document)
        except ValidationError as exc:
            self.jupiter.reject(f"the price is not as documented: {_first_problem(exc)}")
        found = prices.get(WRAPPED_SOL_MINT)
        price = _positive(found.usd_price) if found else None
        if price is None:
            self.jupiter.reject("the answer holds no SOL price")
        return price

    async def _dex_pairs(self, mints: Sequence[str]) -> list[DexPair]:
        document = await self.dexscreener.get(self._http, f"/tokens/v1/solana/{','.join(mints)}")
        return [pair for pair in self._items(self.dexscreener, document, DexPair) if pair.chain_id == "solana"]

    async def _gecko(self, path: str, params: Mapping[str, str]) -> Any:
        key = self._section.gecko_key
        headers = {"x-cg-demo-api-key": key.get_secret_value()} if key else None
        return await self.gecko.get(self._http, path, params=params, headers=headers)

    async def _pools(self, path: str) -> list[PoolInfo]:
        document = await self._gecko(path, {"include": "base_token,quote_token"})
        if not isinstance(document, dict) or "data" not in document:
            self.gecko.reject(f"the page of {path} has no data")
        pools = self._items(self.gecko, document["data"], GeckoPool)
        tokens = {
            token.attributes.address: token
            for token in self._items(self.gecko, document.get("included") or [], GeckoToken)
        }
        return [
            self._pool_info(pool, tokens)
            for pool in pools
            if _address(pool.relationships.quote_token.data.id) == WRAPPED_SOL_MINT
        ]

    def _pool_info(self, pool: GeckoPool, tokens: Mapping[str, GeckoToken]) -> PoolInfo:
        attributes = pool.attributes
        mint = _address(pool.relationships.base_token.data.id)
        token = tokens.get(mint)
        if attributes.reserve_in_usd is not None and attributes.reserve_in_usd < 0:
            self.negative_reserves += 1
        symbol = token.attributes.symbol if token else ""
        named = f" {attributes.name}".partition(" / ")[0]
        created = attributes.pool_created_at
        return PoolInfo(
            address=attributes.address,
            mint=mint,
            symbol=token_name(symbol) or token_name(named) or mint[:6],
            decimals=token.attributes.decimals if token else None,
            liquidity_usd=_positive(attributes.reserve_in_usd),
            volume_usd_day=_positive(attributes.volume_usd.h24) or Decimal(0),
            created_s=created.timestamp() if created else None,
            price_sol=_positive(attributes.base_token_price_quote_token),
            sol_usd=_positive(attributes.quote_token_price_usd),
        )

    def _items(self, endpoint: Endpoint, items: Any, model: type[_Item]) -> list[_Item]:
        """Return the items that are as documented; a page on which none is has drifted away. Raises FeedUnavailable."""
        if not isinstance(items, list):
            endpoint.reject(f"expected a list of {model.__name__}, got {type(items).__name__}")
        good: list[_Item] = []
        problem = ""
        for item in items:
            try:
                good.append(model.model_validate(item))
            except ValidationError as exc:
                self.items_skipped += 1
                problem = _first_problem(exc)
        if items and not good:
            endpoint.reject(f"none of {len(items)} {model.__name__} is as documented: {problem}")
        return good


def _address(reference: str) -> str:
    """Return the address of "solana_<address>"."""
    return reference.partition("_")[2]


def _positive(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value.is_finite() and value > 0 else None


def _lamports(sol: Decimal | None) -> int | None:
    sol = _positive(sol)
    return int(sol.scaleb(9)) if sol is not None and sol < Decimal(10) ** 10 else None


def _first_problem(exc: ValidationError) -> str:
    found = exc.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"
