"""A parent order in children: spread over time, none larger than a cap or than its share of the market's depth."""

from dataclasses import dataclass
from typing import Final

from trading.errors import InvalidInput
from trading.model.units import BPS_ONE

CHILDREN_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class SplitRules:
    """``slices`` children are wished over ``duration_ns``: fewer where one would be below ``child_min`` units, more
    where one would be above ``child_max`` or ``depth_share_bps`` of what the market holds."""

    slices: int
    duration_ns: int
    child_min: int
    child_max: int
    depth_share_bps: int


@dataclass(frozen=True, slots=True)
class Child:
    """A part of a parent: ``amount`` base units, not to be begun before ``due_ns``. ``number`` counts from 0."""

    number: int
    amount: int
    due_ns: int


def split(amount: int, depth_units: int, begins_ns: int, rules: SplitRules) -> tuple[Child, ...]:
    """Return the children of a parent of ``amount`` base units, earliest first; together they are exactly the parent.

    ``depth_units`` is what the market holds of the same token. The caps bind before ``child_min`` does.

    Raises: InvalidInput for rules or amounts that are none, a market too shallow for any child, or too many children.
    """
    _check(amount, rules)
    cap = min(rules.child_max, depth_units * rules.depth_share_bps // BPS_ONE)
    if cap < 1:
        msg = f"depth_units: {depth_units} leaves nothing within {rules.depth_share_bps} bps of it"
        raise InvalidInput(msg, field="depth_units")
    wished = min(rules.slices, max(1, amount // rules.child_min))
    count = max(wished, -(-amount // cap))
    if count > CHILDREN_MAX:
        msg = f"amount: {amount} makes {count} children of {cap} at most; {CHILDREN_MAX} are allowed"
        raise InvalidInput(msg, field="amount", hint="order less, or allow larger children")
    each, rest = divmod(amount, count)
    return tuple(
        Child(number, each + (number < rest), begins_ns + rules.duration_ns * number // count)
        for number in range(count)
    )


def _check(amount: int, rules: SplitRules) -> None:
    given = {
        "amount": amount,
        "slices": rules.slices,
        "child_min": rules.child_min,
        "child_max": rules.child_max,
        "depth_share_bps": rules.depth_share_bps,
    }
    for name, value in given.items():
        if value < 1:
            msg = f"{name}: {value} is not above 0"
            raise InvalidInput(msg, field=name)
    if rules.depth_share_bps > BPS_ONE:
        msg = f"depth_share_bps: {rules.depth_share_bps} is above {BPS_ONE}"
        raise InvalidInput(msg, field="depth_share_bps")
    if rules.duration_ns < 0:
        msg = f"duration_ns: {rules.duration_ns} is below 0"
        raise InvalidInput(msg, field="duration_ns")
