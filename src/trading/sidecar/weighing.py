"""From advice to what it may change about an entry: a smaller size, or a later time. Nothing else exists here.

Advice comes from a model that may be wrong, lied to or somebody else's; so there is no value of it that enlarges an
order, moves a limit or makes an order that the desk did not want. Whatever is left of the size goes through sizing and
the gate like any other.
"""

from dataclasses import dataclass

from trading.model.advice import AdviceRules, Exchange
from trading.model.units import BPS_ONE, NS_PER_S

from .calibration import Calibration


@dataclass(frozen=True, slots=True)
class Weight:
    """What advice comes to: the share of the desk's own size that is left, and until when the entry waits (0: it need
    not). ``reason`` says why it changes nothing, "" where it does."""

    weight_bps: int
    scale_bps: int
    wait_until_ns: int
    reason: str


def weigh(exchange: Exchange, record: Calibration, rules: AdviceRules, now_ns: int) -> Weight:
    """Return what an answer about an entry changes now.

    Of the cut that it asks for, and of the wait, the share that its record has earned; both are counted from the time
    of the question, so that a late answer waits no longer.
    """
    advice = exchange.advice
    if advice is None:
        return _nothing("it brought no advice")
    if now_ns >= advice.expires_ns:
        return _nothing("it has expired")
    if now_ns - exchange.asked_ns > rules.age_s_max * NS_PER_S:
        return _nothing(f"it was asked for more than {rules.age_s_max} s ago")
    weight = record.weight_bps(rules)
    if weight <= 0:
        return _nothing("its model is no better than the base rate")
    cut = BPS_ONE - min(BPS_ONE, max(0, advice.size_scale_bps))
    scale = BPS_ONE - cut * weight // BPS_ONE
    wait_s = min(rules.wait_s_max, max(0, advice.wait_s)) * weight // BPS_ONE
    until_ns = min(exchange.asked_ns + wait_s * NS_PER_S, advice.expires_ns)
    if until_ns > now_ns:
        return Weight(weight, scale, until_ns, "")
    return Weight(weight, scale, 0, "" if scale < BPS_ONE else "it asks for nothing less")


def _nothing(reason: str) -> Weight:
    return Weight(0, BPS_ONE, 0, reason)
