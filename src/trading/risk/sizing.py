"""How much: fractional Kelly shrunk by estimation error, volatility target, less in a drawdown, impact cap, less of
what moves like the rest, minimum viable size.

Statistics are floats; what comes out is lamports, cut down to whole millionths of equity first, so that the last bits
of a float decide nothing.
"""

import math
from dataclasses import dataclass
from typing import Final

from trading.model.account import TrackRecord
from trading.model.order import Denied, Signal
from trading.model.profile import SizingRules
from trading.model.tier import Tier
from trading.model.units import BPS_ONE, ceil_div, share_lamports

from .correlation import diversified_lamports

VOLATILITY_KEY: Final = "volatility_day_bps"
"""Where a signal's evidence states the token's volatility per day."""
VOLATILITY_UNKNOWN_BPS: Final = 2_000
_LOSS_BPS_MIN: Final = 50
"""A record without real losses says little about the next loss; this one is assumed at least."""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class SizingView:
    """``headroom_lamports`` is what the gate leaves (``Gate.headroom_lamports``); ``fixed_lamports`` what entry and
    exit pay whatever their size; ``pool_lamports`` the SOL side of the pool. ``drawdown_bps`` is the drop from the
    highest peak of equity, ``drawdown_halted_bps`` the one at which the desk halts. ``alike_lamports``: as much of this
    token would move like what is held (``correlation.alike_lamports``)."""

    equity_lamports: int
    headroom_lamports: int
    pool_lamports: int
    pool_fee_bps: int
    fixed_lamports: int
    impact_bps_max: int
    fee_position_bps_max: int
    drawdown_bps: int = 0
    drawdown_halted_bps: int = BPS_ONE
    alike_lamports: int = 0


@dataclass(frozen=True, slots=True)
class Sized:
    """``bound_by`` names what set the size: kelly, probe, volatility, drawdown, advice, impact, headroom or
    correlation."""

    lamports: int
    bound_by: str


def kelly_fraction(wins_share: float, payoff: float) -> float:
    """f* = ((b+1)p - 1)/b, the stake as a share of the bankroll when a loss takes all of the stake (Kelly 1956)."""
    return ((payoff + 1.0) * wins_share - 1.0) / payoff


def shrunken_kelly_fraction(wins_share: float, payoff: float, trades: int) -> float:
    """f = k f*, k = f*^2 / (f*^2 + ((b+1)/b)^2 s_p^2) with s_p^2 = p(1-p)/n (Baker & McHale 2013); 0 without edge."""
    best = kelly_fraction(wins_share, payoff)
    if best <= 0.0 or trades < 1:
        return 0.0
    variance = wins_share * (1.0 - wins_share) / trades
    shrink = best**2 / (best**2 + ((payoff + 1.0) / payoff) ** 2 * variance)
    return shrink * best


def position_fraction(record: TrackRecord) -> float:
    """Return the share of equity to hold by shrunken Kelly: the stake's share divided by what a loss takes of it."""
    if record.wins == 0:
        return 0.0
    loss = max(record.mean_loss_bps, _LOSS_BPS_MIN) / BPS_ONE
    payoff = record.mean_win_bps / BPS_ONE / loss
    if payoff <= 0.0:
        return 0.0
    # One win and one loss more than seen (Laplace), so that no short record is certain.
    wins_share = (record.wins + 1) / (record.trades + 2)
    return shrunken_kelly_fraction(wins_share, payoff, record.trades) / loss


def impact_cap_lamports(pool_lamports: int, impact_bps_max: int, pool_fee_bps: int) -> int:
    """Return the largest ``amount_in`` that moves the price by at most ``impact_bps_max``.

    dx = x i / (1 - i) for the amount after the pool fee; one bps is kept for the integer rounding of the swap.
    """
    impact_bps = max(0, impact_bps_max - 1)
    if impact_bps >= BPS_ONE:
        return pool_lamports * BPS_ONE
    into_pool = pool_lamports * impact_bps // (BPS_ONE - impact_bps)
    return into_pool * (BPS_ONE + pool_fee_bps) // BPS_ONE


def minimum_viable_lamports(rules: SizingRules, fixed_lamports: int, fee_position_bps_max: int) -> int:
    """Return the smallest order worth its fixed costs."""
    by_fees = ceil_div(fixed_lamports * BPS_ONE, fee_position_bps_max) if fee_position_bps_max else 0
    return max(rules.order_lamports_min, by_fees)


def volatility_day_bps(signal: Signal) -> int:
    """Return the token's daily volatility from the signal's evidence, or a high one where it states none."""
    value = signal.evidence.get(VOLATILITY_KEY)
    return value if isinstance(value, int) and value > 0 else VOLATILITY_UNKNOWN_BPS


def size(
    signal: Signal,
    record: TrackRecord,
    view: SizingView,
    rules: SizingRules,
    tier: Tier,
    advised_bps: int = BPS_ONE,
) -> Sized | Denied:
    """Return how many lamports to spend on this signal.

    The share of equity is the smaller of Kelly's and the volatility target's (w = sigma* / sigma, Harvey et al. 2018),
    less in a drawdown (``drawdown_scale``), times the signal's strength, and less of a token that moves like what is
    held (``diversified_lamports``). ``advised_bps`` (at most 10000) is the share of it that counsel leaves
    (``engine.counsel``). A strategy without record, or whose record shows no edge, gets the probe size: it must trade
    to be judged, at a price that is known.
    """
    wanted, bound_by = _wanted_share(signal, record, rules, tier)
    scale = drawdown_scale(view.drawdown_bps, view.drawdown_halted_bps, rules.drawdown_floor_bps)
    if scale < 1.0:
        wanted, bound_by = wanted * scale, "drawdown"
    if advised_bps < BPS_ONE:
        wanted, bound_by = wanted * max(0, advised_bps) / BPS_ONE, "advice"
    strength = min(1.0, max(0.0, signal.strength))
    candidates = (
        (view.equity_lamports * int(wanted * strength * _MILLION) // _MILLION, bound_by),
        (impact_cap_lamports(view.pool_lamports, view.impact_bps_max, view.pool_fee_bps), "impact"),
        (view.headroom_lamports, "headroom"),
    )
    lamports, bound_by = min(candidates)
    if view.alike_lamports > 0 and lamports > 0:
        lamports, bound_by = diversified_lamports(lamports, view.alike_lamports), "correlation"
    least = minimum_viable_lamports(rules, view.fixed_lamports, view.fee_position_bps_max)
    if lamports < least:
        message = f"{lamports} lamports (bound by {bound_by}) are less than the smallest order worth its fixed costs"
        return Denied("size_below_minimum", message, least, lamports)
    return Sized(lamports, bound_by)


def drawdown_scale(drawdown_bps: int, limit_bps: int, floor_bps: int) -> float:
    """Return the share of its full size that a position gets in a drawdown.

    Grossman & Zhou (1993, Math. Finance 3(3)) invest m (W - a M), where M is the running maximum of wealth and 1 - a
    the largest drawdown allowed; as a share of W, against its value at the peak, that is

      (1 - a M / W) / (1 - a)   with W = (1 - d) M and a = 1 - limit

    1 at the peak, 0 at the limit. Near the limit so small a position could not earn back its costs, and the desk would
    stay where it is: ``floor_bps`` is the least (Zhou & Shang 2015); 10000 switches the rule off.
    """
    if limit_bps <= 0 or drawdown_bps <= 0:
        return 1.0
    left = 1.0 - min(drawdown_bps, BPS_ONE - 1) / BPS_ONE
    allowed = limit_bps / BPS_ONE
    return max(floor_bps / BPS_ONE, min(1.0, (1.0 - (1.0 - allowed) / left) / allowed))


def _wanted_share(signal: Signal, record: TrackRecord, rules: SizingRules, tier: Tier) -> tuple[float, str]:
    probe = rules.probe_bps / BPS_ONE
    share, bound_by = probe, "probe"
    if record.trades >= rules.trades_min:
        kelly = min(1.0, position_fraction(record) * kelly_fraction_bps(rules, tier) / BPS_ONE)
        if kelly > probe:
            share, bound_by = kelly, "kelly"
    by_volatility = rules.volatility_target_bps / volatility_day_bps(signal)
    if not math.isfinite(share) or by_volatility < share:
        return by_volatility, "volatility"
    return share, bound_by


def kelly_fraction_bps(rules: SizingRules, tier: Tier) -> int:
    """Return the share of Kelly's fraction that is invested: the profile's, scaled by the tier."""
    return rules.kelly_fraction_bps * tier.kelly_scale_bps // BPS_ONE


def min_out(amount_out: int, slippage_bps_max: int) -> int:
    """Return the least that a swap may give, that share below its quote, rounded up (against the venue)."""
    return amount_out - share_lamports(amount_out, slippage_bps_max)
