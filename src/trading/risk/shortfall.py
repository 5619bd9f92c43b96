"""The risk budget: what the worst hours of the recent past would cost, over all that is held and an order's token.

Expected shortfall (CVaR) at a level is the mean loss in the worst ``1 - level`` of cases (Rockafellar & Uryasev 2000,
J. Risk 2(3)), here of the joint returns that were seen (historical simulation). All of it is whole numbers, rounded
against us, so that the last bits of a float decide nothing.

Of a token of which too little is known a shortfall is assumed (``cvar_unknown_bps``) and added to that of the others:
the shortfall of a sum is at most the sum of shortfalls (Artzner et al. 1999, Math. Finance 9(3)), so this is a bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trading.model.profile import Limits
from trading.model.units import BPS_ONE, ceil_div

from .returns import MILLION, ReturnBook

_STEPS: Final = 1_024
"""The largest order within the budget is found to this share of the one that was wanted."""


@dataclass(frozen=True, slots=True)
class TailView:
    """``held``: what is held would lose so much in each of the cases, in millionths of a lamport (below 0: gain).
    ``token``: what a lamport of the order's token would lose in the same cases, in millionths of it; None where too
    little is known of it. ``unknown_lamports``: what is held of such tokens."""

    held: tuple[int, ...]
    token: tuple[int, ...] | None
    unknown_lamports: int


def tail_of(book: ReturnBook, exposures: Mapping[str, int], mint: str | None, limits: Limits) -> TailView:
    """Return the cases for what is held (values by token) and for an order of ``mint``, where one is asked about.

    The cases are the newest ones that every token among them has seen.
    """
    known = {
        each: book.over(each, limits.cvar_horizon_h)
        for each in dict.fromkeys((*exposures, *(() if mint is None else (mint,))))
        if book.hours(each) >= limits.cvar_history_h_min
    }
    count = min((len(returns) for returns in known.values()), default=0)
    held = [0] * count
    for each, value in exposures.items():
        if each in known:
            held = [loss - value * move for loss, move in zip(held, known[each][-count:], strict=True)]
    token = None if mint not in known else tuple(-move for move in known[mint][-count:])
    return TailView(tuple(held), token, sum(value for each, value in exposures.items() if each not in known))


def expected_shortfall(losses: Sequence[int], level_bps: int) -> int:
    """Return the mean of the worst ``10000 - level_bps`` of every 10000 losses, rounded up; 0 of none.

    min over z of z + E[(L - z)+] / (1 - a) is reached at the quantile; written out for equally likely cases it is the
    mean over the tail, of whose last case only the part counts that is still within it.
    """
    if not losses:
        return 0
    tail = len(losses) * (BPS_ONE - level_bps)
    whole, part = divmod(tail, BPS_ONE)
    worst = sorted(losses, reverse=True)
    total = sum(worst[:whole]) * BPS_ONE + (worst[whole] * part if part else 0)
    return ceil_div(total, tail)


def shortfall_lamports(tail: TailView, limits: Limits, added_lamports: int = 0) -> int:
    """Return the expected shortfall of what is held and of so much more of the order's token; gains offset nothing of
    what is assumed."""
    unknown, losses = tail.unknown_lamports, tail.held
    if tail.token is None:
        unknown += added_lamports
    elif added_lamports:
        losses = tuple([loss + added_lamports * move for loss, move in zip(losses, tail.token, strict=True)])
    seen = max(0, expected_shortfall(losses, limits.cvar_level_bps))
    return ceil_div(seen, MILLION) + ceil_div(unknown * limits.cvar_unknown_bps, BPS_ONE)


def shortfall_bps(tail: TailView, limits: Limits, equity_lamports: int, added_lamports: int = 0) -> int:
    """Return it as a share of equity, rounded up."""
    return ceil_div(shortfall_lamports(tail, limits, added_lamports) * BPS_ONE, max(1, equity_lamports))


def headroom_lamports(tail: TailView, limits: Limits, equity_lamports: int, wanted_lamports: int) -> int:
    """Return how much of the wanted amount the budget allows, to a thousandth of it; at least 0.

    The shortfall is a convex function of the amount, so the amounts within the budget are one range.
    """

    def is_within(added_lamports: int) -> bool:
        return shortfall_bps(tail, limits, equity_lamports, added_lamports) <= limits.cvar_bps_max

    if wanted_lamports <= 0 or is_within(wanted_lamports):
        return max(0, wanted_lamports)
    low, high = 0, wanted_lamports
    if not is_within(low):
        return 0
    while high - low > max(1, wanted_lamports // _STEPS):
        middle = (low + high) // 2
        if is_within(middle):
            low = middle
        else:
            high = middle
    return low
