"""What a token's facts say against buying it: each check is one pure function with a reason of its own.

What is not known is held against a token that must be known: a check that cannot be made has not been passed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trading.model.order import Denied, Measure
from trading.model.rug_rules import MintPower, RugRules
from trading.model.token_facts import Facts, LiquidityHold
from trading.model.units import BPS_ONE, ceil_div, sol_text


class RugReason(StrEnum):
    """Why a token is not bought."""

    FACTS_UNKNOWN = "rug_facts_unknown"
    UNSELLABLE = "rug_unsellable"
    SELL_LOSS = "rug_sell_loss"
    MINT_AUTHORITY = "rug_mint_authority"
    FREEZE_AUTHORITY = "rug_freeze_authority"
    PERMANENT_DELEGATE = "rug_permanent_delegate"
    TRANSFER_HOOK = "rug_transfer_hook"
    TRANSFER_FEE = "rug_transfer_fee"
    LIQUIDITY_FREE = "rug_liquidity_free"
    LIQUIDITY_THIN = "rug_liquidity_thin"
    CONCENTRATED = "rug_concentrated"
    FEW_HOLDERS = "rug_few_holders"
    TOO_YOUNG = "rug_too_young"


@dataclass(frozen=True, slots=True)
class RugFinding:
    """``measure`` tells the distance, where there is one."""

    reason: RugReason
    message: str
    measure: Measure | None = None


Check = Callable[[Facts, RugRules], RugFinding | None]


def sale(facts: Facts, rules: RugRules) -> RugFinding | None:
    """A sale that was tried must go through and bring about what the tokens are worth."""
    tried = facts.sale
    if tried is None:
        return _unknown("whether it can be sold")
    if tried.lamports_out is None:
        return RugFinding(RugReason.UNSELLABLE, f"a simulated sale fails: {tried.problem or 'no reason was given'}")
    lost_bps = ceil_div((tried.worth_lamports - tried.lamports_out) * BPS_ONE, max(1, tried.worth_lamports))
    if tried.worth_lamports <= 0 or lost_bps > rules.sell_loss_bps_max:
        message = f"a simulated sale brings {lost_bps} bps less than the tokens are worth"
        return _measured(RugReason.SELL_LOSS, message, lost_bps, rules.sell_loss_bps_max, "bps")
    return None


def mint_authority(facts: Facts, rules: RugRules) -> RugFinding | None:
    """Nobody may be able to make more of it."""
    if rules.allows(MintPower.MINT):
        return None
    return _nobody(RugReason.MINT_AUTHORITY, facts.mint_authority, "can mint more of it")


def freeze_authority(facts: Facts, rules: RugRules) -> RugFinding | None:
    """Nobody may be able to freeze our account."""
    if rules.allows(MintPower.FREEZE):
        return None
    return _nobody(RugReason.FREEZE_AUTHORITY, facts.freeze_authority, "can freeze accounts of it")


def permanent_delegate(facts: Facts, rules: RugRules) -> RugFinding | None:
    """Nobody may be able to move our tokens (Token-2022)."""
    if rules.allows(MintPower.MOVE):
        return None
    return _nobody(RugReason.PERMANENT_DELEGATE, facts.permanent_delegate, "can move anybody's tokens")


def transfer_hook(facts: Facts, rules: RugRules) -> RugFinding | None:
    """No program may have a say in every transfer (Token-2022)."""
    if rules.allows(MintPower.HOOK):
        return None
    return _nobody(RugReason.TRANSFER_HOOK, facts.transfer_hook, "is asked at every transfer and can refuse it")


def transfer_fee(facts: Facts, rules: RugRules) -> RugFinding | None:
    """Transfers may not be taxed (Token-2022)."""
    fee, most = facts.transfer_fee_bps, rules.transfer_fee_bps_max
    if fee is None:
        return _unknown("its transfer fee")
    if fee <= most:
        return None
    return _measured(RugReason.TRANSFER_FEE, f"every transfer costs {fee} bps of it", fee, most, "bps")


def liquidity_hold(facts: Facts, rules: RugRules) -> RugFinding | None:
    """The owner of the liquidity may not be able to take it."""
    if facts.liquidity_hold is None:
        return _unknown("who can take its liquidity")
    if facts.liquidity_hold is LiquidityHold.FREE:
        return RugFinding(RugReason.LIQUIDITY_FREE, "its liquidity is neither locked nor burned")
    return None


def liquidity(facts: Facts, rules: RugRules) -> RugFinding | None:
    """There must be enough to sell into."""
    depth, least = facts.liquidity_lamports, rules.liquidity_lamports_min
    if depth is None:
        return _unknown("its liquidity")
    if depth >= least:
        return None
    message = f"{sol_text(depth)} SOL are in its pool"
    return _measured(RugReason.LIQUIDITY_THIN, message, depth, least, "lamports", is_floor=True)


def concentration(facts: Facts, rules: RugRules) -> RugFinding | None:
    """Few may not hold most of it."""
    share, most = facts.top_ten_bps, rules.top_ten_bps_max
    if share is None:
        return _unknown("what its largest holders have")
    if share <= most:
        return None
    return _measured(RugReason.CONCENTRATED, f"ten holders have {share} bps of it", share, most, "bps")


def holders(facts: Facts, rules: RugRules) -> RugFinding | None:
    """Somebody else must hold it too."""
    count, least = facts.holders, rules.holders_min
    if count is None:
        return _unknown("how many hold it")
    if count >= least:
        return None
    return _measured(RugReason.FEW_HOLDERS, f"{count} hold it", count, least, "holders", is_floor=True)


def age(facts: Facts, rules: RugRules) -> RugFinding | None:
    """It must have been there for a while."""
    old, least = facts.age_s, rules.age_s_min
    if old is None:
        return _unknown("its age")
    if old >= least:
        return None
    return _measured(RugReason.TOO_YOUNG, f"it is {old} s old", old, least, "s", is_floor=True)


CHECKS: Final[tuple[Check, ...]] = (
    sale,
    mint_authority,
    freeze_authority,
    permanent_delegate,
    transfer_hook,
    transfer_fee,
    liquidity_hold,
    liquidity,
    concentration,
    holders,
    age,
)
"""The worst first: a token is refused for the first that it fails."""


def findings(facts: Facts, rules: RugRules) -> list[RugFinding]:
    """Return all that speaks against the token, the worst first."""
    return [found for check in CHECKS if (found := check(facts, rules)) is not None]


def refusal(facts: Facts | None, rules: RugRules, *, are_needed: bool) -> Denied | None:
    """Return why the token may not be bought, None where nothing speaks against it.

    ``are_needed``: without facts, or without one of them, it is not bought. Otherwise only what is known counts.
    """
    if facts is None:
        message = "nothing but its market is known about it"
        return Denied(RugReason.FACTS_UNKNOWN.value, message) if are_needed else None
    found = findings(facts, rules)
    if not are_needed:
        found = [each for each in found if each.reason is not RugReason.FACTS_UNKNOWN]
    if not found:
        return None
    # What is known to be wrong says more than what is not known.
    first = min(found, key=lambda each: each.reason is RugReason.FACTS_UNKNOWN)
    message = "; ".join([first.message, *(each.message for each in found if each is not first)])
    broken = tuple(each.measure for each in found if each.measure is not None)
    limit, used = (None, None) if first.measure is None else (first.measure.limit, first.measure.used)
    return Denied(first.reason.value, message, limit, used, broken)


def ban(mint: str, rules: RugRules) -> Denied | None:
    """Return why nobody buys the token, None where it is not on the list."""
    if mint not in rules.banned:
        return None
    return Denied("banned", f"{mint} is on the ban list: nobody buys it here")


def _nobody(reason: RugReason, who: str | None, does: str) -> RugFinding | None:
    if who is None:
        return _unknown(f"who {does}")
    return RugFinding(reason, f"{who} {does}") if who else None


def _unknown(what: str) -> RugFinding:
    return RugFinding(RugReason.FACTS_UNKNOWN, f"not known: {what}")


def _measured(
    reason: RugReason, message: str, used: int, limit: int, unit: str, *, is_floor: bool = False
) -> RugFinding:
    return RugFinding(reason, message, Measure(reason.value, used, limit, unit, is_floor=is_floor))
