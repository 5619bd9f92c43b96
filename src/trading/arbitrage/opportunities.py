"""What a round trip over two venues would bring after everything that it costs, and at which size it brings most.

Both legs are made from inventory at their venues, so nothing is carried over between them in time; what carrying it
back costs later is counted now. Money is in the smallest unit of the token that a trip starts and ends with (lamports
for SOL). Costs are rounded up and proceeds down, so that a trip is never better than it is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

from trading.model.units import BPS_ONE, ceil_div

Quote = Callable[[int], int | None]
"""What exactly so much in gives after the venue's own fee and impact; None beyond what is known of its depth."""

FAILS_BPS_MAX: Final = 9_000
"""A leg that fails more often is not to be planned with."""
_SPLITS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class LegTerms:
    """One leg as it is known before it is sent.

    ``attempt_cost``: what each attempt pays besides the venue's fee (base, priority and tip of a transaction), also one
    that fails. ``fails_bps``: how many of the attempts fail; they are repeated.
    """

    venue: str
    quote: Quote
    attempt_cost: int = 0
    fails_bps: int = 0

    def __post_init__(self) -> None:
        _require("attempt_cost", self.attempt_cost, 0, None)
        _require("fails_bps", self.fails_bps, 0, FAILS_BPS_MAX)

    @property
    def expected_cost(self) -> int:
        """What the attempts pay until one succeeds: their cost over the share that does (a geometric mean)."""
        return ceil_div(self.attempt_cost * BPS_ONE, BPS_ONE - self.fails_bps)


@dataclass(frozen=True, slots=True)
class TripTerms:
    """What a trip costs besides its legs.

    ``breaks_bps``: how often the second leg cannot be made after the first; then all is unwound for ``unwind_bps`` of
    the size. ``carry_bps``: bringing the inventory back to its venues, as a share of the size, with ``carry_fixed`` for
    each ``carry_batch`` that is carried at once. ``capital_bps_year`` and ``funding_bps_year`` are paid for
    ``turn_s``, the time until the inventory is back.
    """

    breaks_bps: int = 0
    unwind_bps: int = 0
    carry_bps: int = 0
    carry_fixed: int = 0
    carry_batch: int = 0
    capital_bps_year: int = 0
    funding_bps_year: int = 0
    turn_s: int = 0

    def __post_init__(self) -> None:
        for each in fields(self):
            most = BPS_ONE if each.name in ("breaks_bps", "unwind_bps", "carry_bps") else None
            _require(each.name, getattr(self, each.name), 0, most)
        if self.carry_fixed and not self.carry_batch:
            msg = "carry_batch is 0: say how much is carried at once for carry_fixed"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class FullCost:
    """Where the difference between two quotes goes. Each is expected, in the unit of the trip."""

    attempts: int
    unwinding: int
    carrying: int
    capital: int
    funding: int

    @property
    def total(self) -> int:
        return self.attempts + self.unwinding + self.carrying + self.capital + self.funding


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A trip of ``amount``: ``middle`` is what the first leg gives, ``back`` what the second gives for it."""

    amount: int
    middle: int
    back: int
    cost: FullCost

    @property
    def gross(self) -> int:
        return self.back - self.amount

    @property
    def net(self) -> int:
        """What is expected to be left; a loss is negative."""
        return self.gross - self.cost.total


YEAR_S: Final = 365 * 86_400


def evaluate(first: LegTerms, second: LegTerms, terms: TripTerms, amount: int) -> Opportunity | None:
    """Return the trip of that size with its full cost, None where a venue's depth does not reach so far.

    Raises: ValueError (an amount that is none).
    """
    _require("amount", amount, 1, None)
    middle = first.quote(amount)
    back = None if not middle else second.quote(middle)
    if not middle or back is None:
        return None
    return Opportunity(amount, middle, back, full_cost(first, second, terms, amount))


def full_cost(first: LegTerms, second: LegTerms, terms: TripTerms, amount: int) -> FullCost:
    """Return what a trip of that size is expected to cost besides what the quotes say."""
    # A break pays for the unwinding leg too, with attempts like those of the dearer one.
    unwinding = ceil_div(amount * terms.unwind_bps, BPS_ONE) + max(first.expected_cost, second.expected_cost)
    carrying = ceil_div(amount * terms.carry_bps, BPS_ONE)
    if terms.carry_batch:
        carrying += ceil_div(amount * terms.carry_fixed, terms.carry_batch)
    return FullCost(
        attempts=first.expected_cost + second.expected_cost,
        unwinding=ceil_div(unwinding * terms.breaks_bps, BPS_ONE),
        carrying=carrying,
        capital=ceil_div(amount * terms.capital_bps_year * terms.turn_s, BPS_ONE * YEAR_S),
        funding=ceil_div(amount * terms.funding_bps_year * terms.turn_s, BPS_ONE * YEAR_S),
    )


def best(
    first: LegTerms, second: LegTerms, terms: TripTerms, *, least: int, most: int, net_min: int = 0
) -> Opportunity | None:
    """Return the trip between the two sizes that leaves most, None where none leaves more than ``net_min``.

    The net of a trip has one hill over its size (each venue's price only worsens, the costs are a line), so the range
    is narrowed by thirds; sizes beyond the known depth count as worst. Raises: ValueError (no range).
    """
    _require("least", least, 1, None)
    _require("most", most, least, None)

    def trip(amount: int) -> Opportunity | None:
        return evaluate(first, second, terms, amount)

    low, high = least, most
    for _ in range(_SPLITS_MAX):
        if high - low < 3:
            break
        third = (high - low) // 3
        left, right = trip(low + third), trip(high - third)
        if right is None or (left is not None and left.net >= right.net):
            high -= third
        else:
            low += third
    found = [each for amount in {least, most, *range(low, high + 1)} if (each := trip(amount)) is not None]
    top = max(found, key=lambda each: (each.net, -each.amount), default=None)
    return top if top is not None and top.net > net_min else None


def _require(name: str, given: int, least: int, most: int | None) -> None:
    if given < least or (most is not None and given > most):
        allowed = f"{least} or more" if most is None else f"{least} to {most}"
        msg = f"{name} is {given}; allowed is {allowed}"
        raise ValueError(msg)
