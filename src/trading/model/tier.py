"""Tiers by equity: what a desk of that size may trade, and how it pays for it."""

from dataclasses import dataclass
from typing import Final

from trading.errors import InvalidInput

from .units import BPS_ONE, LAMPORTS_PER_SOL, ceil_div


@dataclass(frozen=True, slots=True)
class Tier:
    """Reached at ``from_lamports``, left for the one below at ``keep_bps`` of that (hysteresis).

    Small tiers are bound by fixed costs, large ones by pool depth: ``pool_lamports_min`` is the least SOL-side depth
    of an admissible pool, ``fee_position_bps_max`` the largest share of a position that fixed fees of the round trip
    may take, ``kelly_scale_bps`` scales the profile's Kelly fraction. ``wallets_max``: over how many wallets its
    orders may be spread. ``barred_modules`` are kinds of strategies that do not enter at that size.
    """

    name: str
    from_lamports: int
    keep_bps: int
    pool_lamports_min: int
    fee_position_bps_max: int
    kelly_scale_bps: int
    wallets_max: int
    barred_modules: tuple[str, ...] = ()

    def admits(self, module: str) -> bool:
        """Tell whether strategies of this kind may enter."""
        return module not in self.barred_modules


TIERS: Final[tuple[Tier, ...]] = (
    Tier("foundation", 0, BPS_ONE, 20 * LAMPORTS_PER_SOL, 100, BPS_ONE, 1, ("lead-lag", "arbitrage")),
    Tier("acceleration", 20 * LAMPORTS_PER_SOL, 9_000, 200 * LAMPORTS_PER_SOL, 50, BPS_ONE, 4),
    Tier("institutional", 2_000 * LAMPORTS_PER_SOL, 9_000, 2_000 * LAMPORTS_PER_SOL, 10, 8_000, 16, ("launches",)),
)
"""Foundation is meant for 2-20 SOL; a desk below 2 SOL stays in it, where minimum sizes hold it back.

What lives on small moves (lead and lag, arbitrage) does not earn the fixed costs of small orders, and new launches have
no pool for large ones.
"""


PATH_LAMPORTS: Final = (2 * LAMPORTS_PER_SOL, 20_000 * LAMPORTS_PER_SOL)
"""Where the path through the tiers is meant to begin, and where it ends."""


def tier_named(name: str) -> Tier:
    """Return the tier of that name. Raises: InvalidInput."""
    for tier in TIERS:
        if tier.name == name:
            return tier
    known = ", ".join(tier.name for tier in TIERS)
    msg = f"tier: {name!r} is unknown; known are {known}"
    raise InvalidInput(msg, field="tier")


def tier_of(equity_lamports: int) -> Tier:
    """Return the tier of a desk that starts with this equity."""
    return max((tier for tier in TIERS if equity_lamports >= tier.from_lamports), default=TIERS[0], key=_floor)


def next_tier(tier: Tier) -> Tier | None:
    """Return the tier above, None at the top."""
    above = [other for other in TIERS if other.from_lamports > tier.from_lamports]
    return min(above, key=_floor) if above else None


def moved_tier(current: Tier, equity_lamports: int) -> Tier:
    """Return the tier after equity moved: up at the next threshold, down only below ``keep_bps`` of the own one.

    Give it equity without deposits and withdrawals, so that money which moves by itself jumps no tier.
    """
    reached = tier_of(equity_lamports)
    if reached.from_lamports > current.from_lamports:
        return reached
    if equity_lamports * BPS_ONE < current.from_lamports * current.keep_bps:
        return reached
    return current


def tier_bounds(current: Tier) -> tuple[int, int | None]:
    """Return the lowest equity at which ``moved_tier`` stays, and the lowest at which it moves up (None at the top)."""
    above = next_tier(current)
    lowest = ceil_div(current.from_lamports * current.keep_bps, BPS_ONE)
    return lowest, None if above is None else above.from_lamports


def admitted_by(pool_lamports: int) -> Tier | None:
    """Return the largest tier for which a pool of this depth is deep enough, None where it is for none."""
    return max((tier for tier in TIERS if pool_lamports >= tier.pool_lamports_min), default=None, key=_floor)


def _floor(tier: Tier) -> int:
    return tier.from_lamports
