"""Which tokens the ``market`` feed follows: the deepest SOL pools among those in motion, one pool per token."""

from collections.abc import Collection, Iterable
from decimal import Decimal

from trading.adapters.market_api import PoolInfo
from trading.config import MarketSection
from trading.feeds.instruments import USDC_MINT, WRAPPED_SOL_MINT


def select_universe(
    pools: Iterable[PoolInfo], section: MarketSection, now_s: float, taken: Collection[str] = ()
) -> list[PoolInfo]:
    """Return the pools worth following, best first, at most ``tokens_max`` less those already ``taken``.

    A pool counts when liquidity, daily volume and age reach the section's limits and its token's decimals are known
    (amounts would be guesses otherwise). Deeper is better; ties are broken by address, so the choice is repeatable.
    """
    deepest: dict[str, PoolInfo] = {}
    for pool in pools:
        if pool.mint in taken or not _is_admissible(pool, section, now_s):
            continue
        other = deepest.get(pool.mint)
        if other is None or _rank(pool) < _rank(other):
            deepest[pool.mint] = pool
    room = max(section.tokens_max - len(taken), 0)
    return sorted(deepest.values(), key=_rank)[:room]


def _is_admissible(pool: PoolInfo, section: MarketSection, now_s: float) -> bool:
    return (
        pool.mint not in (WRAPPED_SOL_MINT, USDC_MINT)
        and pool.decimals is not None
        and pool.price_sol is not None
        and pool.liquidity_usd is not None
        and pool.liquidity_usd >= section.liquidity_usd_min
        and pool.volume_usd_day >= section.volume_usd_day_min
        and pool.created_s is not None
        and now_s - pool.created_s >= section.pool_age_min_s
    )


def _rank(pool: PoolInfo) -> tuple[Decimal, str]:
    return (-(pool.liquidity_usd or Decimal(0)), pool.address)
