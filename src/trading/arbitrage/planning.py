"""From a pair of venues as they were seen to a trip with its floors, deadlines and ways back. Pure."""

from dataclasses import dataclass

from trading.model.units import BPS_ONE, NS_PER_S, ceil_div

from .leg_venue import LegLook
from .opportunities import Opportunity
from .trips import LegPlan, TripPlan


@dataclass(frozen=True, slots=True)
class TripPace:
    """``first_slip_bps`` and ``second_slip_bps``: so much less than was quoted each leg may bring; ``unwind_loss_bps``:
    so much of the size an unwinding may lose. The second leg is tried for ``hedge_s``, then it is unwound until
    ``flat_s``; an attempt is asked about after ``attempt_s``."""

    first_slip_bps: int = 10
    second_slip_bps: int = 100
    unwind_loss_bps: int = 500
    attempt_s: float = 3.0
    hedge_s: float = 30.0
    flat_s: float = 120.0
    retry_s: float = 0.25

    def __post_init__(self) -> None:
        for name in ("first_slip_bps", "second_slip_bps", "unwind_loss_bps"):
            if not 0 <= getattr(self, name) < BPS_ONE:
                msg = f"{name} is {getattr(self, name)}; allowed is 0 to {BPS_ONE - 1}"
                raise ValueError(msg)
        if not 0 < self.hedge_s < self.flat_s:
            msg = f"hedge_s {self.hedge_s} and flat_s {self.flat_s} must rise"
            raise ValueError(msg)


def planned(
    trip_id: str, first: LegLook, second: LegLook, found: Opportunity, pace: TripPace, now_ns: int
) -> tuple[TripPlan, int]:
    """Return the trip and the most that it may lose by its own floors, attempts aside.

    It is unwound at whichever venue is asked in turn, the second first: what it is to be hedged with is likelier there.
    """
    least_middle = max(1, found.middle * (BPS_ONE - pace.first_slip_bps) // BPS_ONE)
    least_back = found.back * (BPS_ONE - pace.second_slip_bps) // BPS_ONE
    floor = min(least_back, found.amount * (BPS_ONE - pace.unwind_loss_bps) // BPS_ONE)
    ways = [LegPlan(each.venue, found.middle, floor, each.least_back) for each in (second, first)]
    plan = TripPlan(
        id=trip_id,
        first=LegPlan(first.venue, found.amount, least_middle),
        second=LegPlan(second.venue, found.middle, least_back, second.least_back),
        unwinds=tuple(ways),
        began_ns=now_ns,
        hedge_by_ns=now_ns + int(pace.hedge_s * NS_PER_S),
        flat_by_ns=now_ns + int(pace.flat_s * NS_PER_S),
        attempt_ns=int(pace.attempt_s * NS_PER_S),
        dust=min(_left_over(each, found) for each in (first, second)),
        retry_ns=int(pace.retry_s * NS_PER_S),
    )
    # What the first leg may bring less comes off what is sold back for the floor.
    worst_back = floor * least_middle // found.middle
    costs = 2 * max(first.there.attempt_cost, second.back.attempt_cost, first.back.attempt_cost)
    return plan, max(0, found.amount - worst_back) + ceil_div(costs, 1)


def planned_whole(
    trip_id: str, venue: str, found: Opportunity, net_min: int, attempt_cost: int, pace: TripPace, now_ns: int
) -> tuple[TripPlan, int]:
    """Return a trip of one attempt, and the most that it may lose, which is what the attempt costs. It brings more than
    ``net_min`` after the highest ``attempt_cost``, or does not happen."""
    leg = LegPlan(venue, found.amount, found.amount + attempt_cost + net_min + 1)
    plan = TripPlan(
        id=trip_id,
        first=leg,
        second=leg,
        unwinds=(leg,),
        began_ns=now_ns,
        hedge_by_ns=now_ns + int(pace.hedge_s * NS_PER_S),
        flat_by_ns=now_ns + int(pace.flat_s * NS_PER_S),
        attempt_ns=int(pace.attempt_s * NS_PER_S),
        is_whole=True,
    )
    return plan, attempt_cost


def _left_over(venue: LegLook, found: Opportunity) -> int:
    """Return how much of the middle token a venue does not take, or takes for less than the selling costs."""
    not_worth_it = venue.back.attempt_cost * found.middle // found.back if found.back else 0
    return max(venue.least_back - 1, not_worth_it)
