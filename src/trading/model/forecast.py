"""Forecast: what will move, how far, by when, and how sure of it the desk may be; and what came of it."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from .order import LATER


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Forecast:
    """``move_bps`` is the size of the move that the strategy states; 0 says the direction alone. ``expected_bps`` is
    what remains of it, in its direction, after what became of the strategy's earlier forecasts; it may be below 0.
    ``confidence_bps`` is the share of such forecasts that came true so far, shrunken. ``strength_percent`` is the
    signal's. ``mark_sol`` is the price from which the move is measured. ``cost_bps``: all costs of a round trip at the
    smallest order when a rise was forecast, 0 for a fall, which nobody pays for. ``volatility_day_bps`` is None where
    the opinion states none.
    """

    id: str
    strategy: str
    mint: str
    direction: Direction
    move_bps: int
    expected_bps: int
    confidence_bps: int
    strength_percent: int
    cost_bps: int
    volatility_day_bps: int | None
    ts_ns: int
    due_ns: int
    mark_sol: Decimal
    reason: str
    evidence: dict[str, str | int | float] = field(default_factory=dict)

    @property
    def edge_bps(self) -> int:
        """What is expected to be left after costs."""
        return self.expected_bps - self.cost_bps


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """``realised_bps`` is the move until the first cycle at which the forecast was due, counted in its direction: above
    0 it was right. ``brier_ppm`` is the squared distance of the confidence from the outcome, in millionths."""

    forecast_id: str
    strategy: str
    mint: str
    direction: Direction
    ts_ns: int
    move_bps: int
    confidence_bps: int
    strength_percent: int
    realised_bps: int
    is_hit: bool
    error_bps: int
    squared_error: int
    brier_ppm: int
    reason: str


@dataclass(frozen=True, slots=True)
class OrderImpact:
    """What an order is expected to bring. ``cost_lamports``: all of the round trip for an entry, the sale's for an
    exit. ``forecast_id`` is "" for an order that rests on no forecast: it is expected to cost what it costs."""

    forecast_id: str
    expected_bps: int
    cost_lamports: int
    expected_lamports: int


@dataclass(frozen=True, slots=True)
class RankedToken:
    """A place in the ranking. ``edge_bps`` is that of the best open forecast of a rise, None without one.
    ``volatility_day_bps`` is what that forecast states, else what the token's own ``volatility_hours`` hourly returns
    say; None while there are too few of them."""

    mint: str
    edge_bps: int | None
    pool_lamports: int
    volatility_day_bps: int | None
    volatility_hours: int = field(default=0, metadata=LATER)
