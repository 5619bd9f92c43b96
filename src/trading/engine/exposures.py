"""Where the desk's exposure is now, open entries counted as if they were filled."""

from collections.abc import Iterator
from typing import Final

from trading.model.tier import admitted_by
from trading.ports import Venue
from trading.risk.exposure import Exposed, ExposureMap, exposure_map, groups, split_exactly

from .state import DeskState
from .valuation import Valuation

NO_TIER: Final = "none"
"""The pool has become too shallow for any tier, or cannot be traded."""


def exposures(state: DeskState, venue: Venue, valuation: Valuation) -> ExposureMap:
    """Return the map; its total is the account's exposure as the gate sees it."""
    parts = list(_parts(state, venue, valuation))
    return exposure_map(parts, groups(state.returns, list(dict.fromkeys(part.mint for part in parts))))


def _parts(state: DeskState, venue: Venue, valuation: Valuation) -> Iterator[Exposed]:
    positions = state.ledger.positions()
    for mint, lamports in valuation.by_mint.items():
        held = [position for position in positions if position.mint == mint]
        shares = split_exactly(lamports, [position.base_units for position in held])
        for position, share in zip(held, shares, strict=True):
            yield Exposed(mint, position.strategy, position.bucket, _tier(venue, mint), share)
    for order in state.pending_entries():
        yield Exposed(order.mint, order.strategy, order.bucket, _tier(venue, order.mint), order.amount_in)


def _tier(venue: Venue, mint: str) -> str:
    tier = admitted_by(venue.pool_lamports(mint))
    return NO_TIER if tier is None else tier.name
