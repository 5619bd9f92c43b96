"""Gap risk: what is lost before anybody can act, and how much must be sold so that it stays within its limits.

A token that goes to zero and cannot be sold costs what is held of it; a joint fall costs that share of everything. Both
are kept at the end of every decision, for what is held and not on sale already; what grows beyond is cut back.
"""

from collections.abc import Mapping
from decimal import Decimal

from trading.model.profile import GAP_JOINT_MOVE_BPS, Limits
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL, share_lamports, token_scale

from .views import AccountView


def excess_lamports(limits: Limits, equity_lamports: int, exposures: Mapping[str, int]) -> dict[str, int]:
    """Return how much of each token must go, in lamports of its value, so that both limits hold; empty where they do.

    ``exposures`` are values of what is held and not on sale, by mint. First each token is cut to its own limit, then
    all in proportion to the joint one.
    """
    most = share_lamports(equity_lamports, limits.gap_token_bps_max)
    excess = {mint: value - most for mint, value in exposures.items() if value > most}
    left = sum(exposures.values()) - sum(excess.values())
    joint = share_lamports(equity_lamports, limits.gap_joint_bps_max) * BPS_ONE // GAP_JOINT_MOVE_BPS
    if left > joint:
        for mint, value in exposures.items():
            rest = value - excess.get(mint, 0)
            excess[mint] = excess.get(mint, 0) + rest - rest * joint // left
    return {mint: value for mint, value in excess.items() if value > 0}


def highest_price_sol(limits: Limits, cash_lamports: int, base_units: int, decimals: int) -> Decimal | None:
    """Return a price up to which a token keeps its own limit whatever the other tokens do; None: at any price.

    With nothing but cash beside it a value v keeps v <= limit (cash + v), so v <= limit cash / (1 - limit).
    """
    limit = limits.gap_token_bps_max
    if limit >= BPS_ONE:
        return None
    value = max(0, cash_lamports) * limit // (BPS_ONE - limit)
    return Decimal(value * token_scale(decimals)) / (base_units * LAMPORTS_PER_SOL)


def highest_exposure_lamports(limits: Limits, cash_lamports: int) -> int | None:
    """Return the exposure up to which the joint limit holds; None: any."""
    limit = limits.gap_joint_bps_max
    if limit >= GAP_JOINT_MOVE_BPS:
        return None
    return max(0, cash_lamports) * limit // (GAP_JOINT_MOVE_BPS - limit)


def joint_loss_lamports(exposure_lamports: int) -> int:
    """Return what a joint fall of everything would cost."""
    return exposure_lamports * GAP_JOINT_MOVE_BPS // BPS_ONE


def limits_of(account: AccountView, limits: Limits) -> tuple[int, int]:
    """Return what one token, and a joint fall, may cost now, in lamports."""
    equity = account.equity_lamports
    return share_lamports(equity, limits.gap_token_bps_max), share_lamports(equity, limits.gap_joint_bps_max)
