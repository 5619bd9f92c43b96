"""Second prices: what a router's offer is held against, from sources that the router has no hand in.

``DexScreenerPrices`` is the default. It reads pools on its own, knows nearly every token that has one, needs no key,
and the market feed uses it already. ``PoolPrices`` asks nobody but the chain, but must be told each token's pool, and a
pool can be moved for a block by whoever has the money. ``PythPrices`` are the hardest to move, and there are few.
Jupiter's own prices are no second opinion on Jupiter.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol

from solders.pubkey import Pubkey

from trading.adapters.market_api import MarketApi
from trading.adapters.solana.mints import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, read_mint
from trading.errors import ChainUnavailable, DataError, FeedUnavailable
from trading.model.chain import AccountSeen, PricePoint
from trading.model.intent import SOL_MINT
from trading.ports import Clock

TOKEN_PROGRAMS: Final = frozenset({TOKEN_PROGRAM, TOKEN_2022_PROGRAM})
_SOL_DECIMALS: Final = 9
_ACCOUNT_BYTES: Final = 165
_AMOUNT: Final = slice(64, 72)
_STATE_AT: Final = 108


class Accounts(Protocol):
    """As much of a ``Chain`` as prices need."""

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]: ...


class Decimals(Protocol):
    """How many decimals a token has."""

    async def of(self, mint: str) -> int | None:
        """Return them, None for what is no mint. Raises: FeedUnavailable."""


class ChainDecimals:
    """Decimals as the mint's account says; they never change, so each is read once."""

    def __init__(self, chain: Accounts) -> None:
        self._chain = chain
        self._known: dict[str, int] = {SOL_MINT: _SOL_DECIMALS}

    async def of(self, mint: str) -> int | None:
        if mint not in self._known:
            seen = (await _accounts(self._chain, mint))[mint]
            if seen is None:
                return None
            try:
                self._known[mint] = read_mint(seen).decimals
            except DataError:
                return None
        return self._known[mint]


class DexScreenerPrices:
    """The price in SOL of a token's deepest SOL pool, as DexScreener tells it. Its answers carry no time: ``ts_ns`` is
    when the answer came. ``pool_lamports_min``: a shallower pool's price says nothing."""

    def __init__(self, api: MarketApi, decimals: Decimals, pool_lamports_min: int, clock: Clock) -> None:
        self._api = api
        self._decimals = decimals
        self._pool_lamports_min = pool_lamports_min
        self._clock = clock

    @property
    def name(self) -> str:
        return "dexscreener"

    async def price(self, mint: str) -> PricePoint | None:
        now_ns = self._clock.now_ns()
        if mint == SOL_MINT:
            return PricePoint(mint, self.name, 1, 1, now_ns)
        decimals = await self._decimals.of(mint)
        if decimals is None:
            return None
        pools = [
            (each.pool_lamports, each.price_sol)
            for each in (await self._api.second_prices([mint])).values()
            if each.price_sol is not None and (each.pool_lamports or 0) >= max(self._pool_lamports_min, 1)
        ]
        if not pools:
            return None
        _, price_sol = max(pools, key=lambda each: each[0] or 0)
        return point(mint, self.name, price_sol, Decimal(1), decimals, now_ns)


class PoolPrices:
    """The price at which a constant-product pool stands: the lamports it holds by the base units it holds.

    ``pools`` maps a mint to (the pool's token account, its wrapped SOL account); both are read in one slot.
    """

    def __init__(
        self, chain: Accounts, pools: Mapping[str, tuple[str, str]], pool_lamports_min: int, clock: Clock
    ) -> None:
        self._chain = chain
        self._pools = pools
        self._pool_lamports_min = pool_lamports_min
        self._clock = clock

    @property
    def name(self) -> str:
        return "pool-reserves"

    async def price(self, mint: str) -> PricePoint | None:
        now_ns = self._clock.now_ns()
        if mint == SOL_MINT:
            return PricePoint(mint, self.name, 1, 1, now_ns)
        pool = self._pools.get(mint)
        if pool is None:
            return None
        seen = await _accounts(self._chain, *pool)
        units, lamports = held(seen[pool[0]], mint), held(seen[pool[1]], SOL_MINT)
        if units is None or lamports is None:
            msg = f"the accounts of the pool of {mint} hold something else"
            raise FeedUnavailable(msg)
        if units == 0 or lamports < max(self._pool_lamports_min, 1):
            return None
        return PricePoint(mint, self.name, lamports, units, now_ns)


def held(seen: AccountSeen | None, mint: str) -> int | None:
    """Return the base units in a token account, None where it is none of this mint."""
    if seen is None or seen.owner not in TOKEN_PROGRAMS or len(seen.data) < _ACCOUNT_BYTES:
        return None
    if seen.data[_STATE_AT] == 0 or not _is_key(seen.data[:32], mint):
        return None
    return int.from_bytes(seen.data[_AMOUNT], "little")


def point(
    mint: str, source: str, price: Decimal, sol_price: Decimal, decimals: int, ts_ns: int, confidence_bps: int = 0
) -> PricePoint:
    """Return a price of a whole token, in what SOL costs ``sol_price`` of, as lamports a base unit; exact."""
    ratio = Fraction(price) / Fraction(sol_price) * 10**_SOL_DECIMALS / 10**decimals
    return PricePoint(mint, source, ratio.numerator, ratio.denominator, ts_ns, confidence_bps)


async def _accounts(chain: Accounts, *addresses: str) -> Mapping[str, AccountSeen | None]:
    try:
        return await chain.accounts(addresses)
    except ChainUnavailable as exc:
        raise FeedUnavailable(exc.message) from exc


def _is_key(data: bytes, address: str) -> bool:
    return str(Pubkey.from_bytes(data)) == address
