"""An offer held against a second, independent price: exact integers, and a rule for when there is none.

An entry needs a second price that is young and near; one of the future or of nothing is none. An exit leaves without
one, because a price that is missing must not keep anybody in a position; one that is there and says that the offer
gives far too little keeps even an exit back, because then the route, not the market, is what went wrong.
"""

from dataclasses import dataclass

from trading.model.chain import PricePoint
from trading.model.units import BPS_ONE, NS_PER_S


@dataclass(frozen=True, slots=True)
class PriceRules:
    """An entry may deviate by ``deviation_bps_max`` to either side, an exit be worse by ``exit_deviation_bps_max``."""

    deviation_bps_max: int = 300
    exit_deviation_bps_max: int = 2_000
    age_s_max: int = 60


@dataclass(frozen=True, slots=True)
class Offered:
    """A swap of SOL and a token, as offered: ``lamports`` for ``base_units`` where ``is_buy``, else the reverse."""

    is_buy: bool
    is_exit: bool
    lamports: int
    base_units: int


def deviation_bps(lamports: int, base_units: int, point: PricePoint) -> int:
    """Return how far ``lamports`` for ``base_units`` lie from the second price, in bps of it, rounded up; below is
    negative. Raises: ValueError for amounts or a price that are none."""
    value = base_units * point.lamports_numerator
    if lamports <= 0 or value <= 0 or point.base_units_denominator <= 0:
        msg = "a deviation needs amounts and a price above 0"
        raise ValueError(msg)
    difference = lamports * point.base_units_denominator - value
    sign = 1 if difference >= 0 else -1
    return sign * -(-abs(difference) * BPS_ONE // value)


def _is_price(point: PricePoint, now_ns: int, rules: PriceRules) -> bool:
    # A source whose clock runs ahead would otherwise stay young for ever.
    is_young = abs(now_ns - point.ts_ns) <= rules.age_s_max * NS_PER_S
    return is_young and point.lamports_numerator > 0 and point.base_units_denominator > 0


def price_problem(offered: Offered, point: PricePoint | None, now_ns: int, rules: PriceRules) -> str:
    """Return why an offer is not taken, "" where it is."""
    if point is None or not _is_price(point, now_ns, rules):
        return "" if offered.is_exit else "no_second_price"
    if offered.lamports <= 0 or offered.base_units <= 0:
        return "no_amount"
    deviation = deviation_bps(offered.lamports, offered.base_units, point)
    if offered.is_exit:
        loss = deviation if offered.is_buy else -deviation
        return "price_deviates" if loss > rules.exit_deviation_bps_max else ""
    return "price_deviates" if abs(deviation) > rules.deviation_bps_max else ""
