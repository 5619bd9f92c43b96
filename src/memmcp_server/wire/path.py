"""The path that the equity takes: tiers, targets, a projected range, and what is marked on the curve."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import Wire
from .money import Amount, TradingContext


class PathTier(Wire):
    name: str
    from_equity: Amount


class TargetChange(Wire):
    """``before`` is absent where it is not known any more."""

    ts: datetime
    actor: str
    reason: str
    before: Amount | None
    after: Amount


class ProjectedRange(Wire):
    """Percentiles of the equity at a time ahead: half of the paths lie from p25 to p75, nine of ten from p5 to p95."""

    ts: datetime
    days: float
    lamports_p5: int
    lamports_p25: int
    lamports_p50: int
    lamports_p75: int
    lamports_p95: int


class ProjectedReach(Wire):
    """``chance_bps``: the share of the paths that come to ``at`` within the days looked ahead. ``days_p25``: a quarter
    of all paths is there by then; absent where fewer come there at all."""

    goal: str = Field(description="tier:NAME, or target.")
    at: Amount
    chance_bps: int
    days_p5: float | None
    days_p25: float | None
    days_p50: float | None
    days_p75: float | None
    days_p95: float | None


class Projection(TradingContext):
    """GET /projection. Returns are time-weighted, so deposits and withdrawals are none; days are those on which the
    desk ran. Below ``returns_needed`` of them ``too_little`` says so, and there is no range. ``targets``: newest first.
    """

    start: Amount
    equity: Amount
    target: Amount
    path: list[Amount] = Field(description="Where the path through the tiers begins and ends.")
    tiers: list[PathTier]
    targets: list[TargetChange]
    since: datetime | None
    until: datetime | None
    basis: Literal["day", "hour"]
    returns: int
    returns_needed: int
    too_little: str
    method: str
    paths: int
    days_ahead: int
    range: list[ProjectedRange]
    reaches: list[ProjectedReach]


class CurveMark(Wire):
    """A fill with its token and trajectory, or money that came in or went out; ``lamports`` is never below 0."""

    ts: datetime
    kind: Literal["buy", "sell", "deposit", "withdrawal"]
    lamports: int
    mint: str = ""
    symbol: str = ""
    trajectory_id: str | None = None


class CurveMarks(TradingContext):
    """Oldest first, thinned evenly where there are many. ``totals`` counts all of each kind; ``is_cut``: there are
    earlier ones that were not looked at."""

    marks: list[CurveMark]
    totals: dict[str, int]
    is_cut: bool
