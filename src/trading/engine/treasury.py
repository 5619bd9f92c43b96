"""Whose cash it is, by the policy of the profile: a new one's strategies get their shares, and shares may be kept.

What a person's own bucket (``manual``) holds is nobody else's. A bucket that may buy nothing now gets nothing, so that
its losses are not made good by the others.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from trading.model import events
from trading.model.profile import Profile
from trading.portfolio.rotation import MOVE_BPS_MIN
from trading.portfolio.transfers import is_beyond, transfers, wanted_lamports

from .state import DeskState
from .trader import MANUAL
from .valuation import Valuation, Valuer

Emit = Callable[[events.CapitalMoved], Any]
Shares = tuple[Mapping[str, int], Mapping[str, int]]
"""What the buckets are worth, and what is wanted of them."""
DAY_POLICY: Final = "policy: shares of the profile"
SWITCH_POLICY: Final = "policy: shares of another profile"


def weights_of(profile: Profile) -> dict[str, int]:
    """Return which share of the capital each strategy of a profile is to have."""
    return {choice.name: choice.weight_bps for choice in profile.strategies}


def shares_of(state: DeskState) -> dict[str, int]:
    """Return which share of the capital each strategy is to have now: its weight, or what that has rotated to."""
    weights, rules = weights_of(state.profile), state.profile.buckets
    return state.rotation.shares_bps(weights, rules.rotation_floor_bps) if rules.rotates else weights


def keep_shares(state: DeskState, valuer: Valuer, valuation: Valuation, emit: Emit) -> None:
    """Move cash once a day: what no strategy of the profile owns goes to them, and where a share is further off than
    the profile's band, all shares are made as they should be, as far as cash goes. Shares that rotate are kept by
    little, and who may buy nothing new gets nothing."""
    capital = _of_strategies(state, valuer, valuation)
    rules, band_bps = state.profile.buckets, state.profile.buckets.band_bps
    wanted = wanted_lamports(sum(capital.values()), shares_of(state))
    if rules.rotates and state.rotation.is_warm:
        band_bps = min(band_bps, MOVE_BPS_MIN)
        for name, standing in state.rotation.standings.items():
            if standing.barred:
                wanted[name] = min(wanted[name], capital.get(name, 0))
    if not is_beyond(capital, wanted, band_bps):
        # Those of the profile give nothing then.
        capital = {name: min(worth, wanted.get(name, worth)) for name, worth in capital.items()}
    _move(state, valuer, (capital, wanted), (f"policy/{state.now_ns}", DAY_POLICY), emit)


def fund_strategies(state: DeskState, valuer: Valuer, before: Mapping[str, int], key: str, emit: Emit) -> None:
    """Move cash when the profile was switched from one with these weights, unless its strategies share as before."""
    weights = weights_of(state.profile)
    if weights != before:
        capital = _of_strategies(state, valuer, valuer.value())
        wanted = wanted_lamports(sum(capital.values()), shares_of(state))
        _move(state, valuer, (capital, wanted), (key, SWITCH_POLICY), emit)


def capital_of(state: DeskState, valuer: Valuer, valuation: Valuation) -> dict[str, int]:
    """Return what each bucket is worth: cash, rent deposits, and positions at liquidation value."""
    return {
        name: bucket.cash_lamports
        + bucket.rent_lamports
        + sum(valuer.position_lamports(each, valuation) for each in bucket.positions.values())
        for name, bucket in state.ledger.buckets.items()
    }


def _of_strategies(state: DeskState, valuer: Valuer, valuation: Valuation) -> dict[str, int]:
    return {name: worth for name, worth in capital_of(state, valuer, valuation).items() if name != MANUAL}


def _move(state: DeskState, valuer: Valuer, shares: Shares, why: tuple[str, str], emit: Emit) -> None:
    capital, wanted = shares
    held = {
        name
        for name in wanted
        if state.levels.held(name, name, valuer.routing.scope) is not None or state.promotions.demoted(name) is not None
    }
    capital = {name: worth for name, worth in capital.items() if name not in held}
    wanted = {name: share for name, share in wanted.items() if name not in held}
    free = {name: valuer.free_lamports(name) for name in capital}
    for number, each in enumerate(transfers(capital, free, wanted)):
        names = (each.from_bucket, each.to_bucket)
        emit(events.CapitalMoved(f"{why[0]}/{number}", state.now_ns, *names, each.lamports, why[1]))
