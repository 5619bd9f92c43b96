"""Whose money it is: one book per bucket, and exact splits between buckets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trading.errors import InvalidInput
from trading.model.account import RoundTrip
from trading.model.position import Position
from trading.model.units import BPS_ONE


@dataclass(slots=True)
class Bucket:
    """One strategy's own money. ``rent_lamports`` is the deposit it paid for token accounts that are still open."""

    name: str
    cash_lamports: int = 0
    rent_lamports: int = 0
    realised_lamports: int = 0
    failed_lamports: int = 0
    net_deposits_lamports: int = 0
    positions: dict[str, Position] = field(default_factory=dict)

    @property
    def cost_lamports(self) -> int:
        """What the open positions cost."""
        return sum(position.cost_lamports for position in self.positions.values())

    @property
    def book_lamports(self) -> int:
        """Cash, rent deposits and positions at cost."""
        return self.cash_lamports + self.rent_lamports + self.cost_lamports


@dataclass(frozen=True, slots=True)
class Booking:
    """What one event changed. ``realised_lamports`` is None where nothing was sold; ``closed`` is set by the sale that
    ends a position. A repeat of a booked event is a ``duplicate`` and changes nothing."""

    position: Position | None = None
    realised_lamports: int | None = None
    closed: RoundTrip | None = None
    duplicate: bool = False


def split_lamports(lamports: int, weights_bps: Mapping[str, int]) -> dict[str, int]:
    """Split a sum by weights; what the weights (at most 10000 bps together) leave over goes to nobody.

    Shares are rounded down, so they never add up to more than the sum. Raises: InvalidInput.
    """
    if lamports < 0 or any(weight < 0 for weight in weights_bps.values()) or sum(weights_bps.values()) > BPS_ONE:
        msg = f"weights_bps: at least 0 each and at most {BPS_ONE} together, not {dict(weights_bps)} of {lamports}"
        raise InvalidInput(msg, field="weights_bps")
    return {name: lamports * weight // BPS_ONE for name, weight in weights_bps.items()}
