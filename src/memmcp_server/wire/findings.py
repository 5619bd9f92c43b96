"""What the desk's figures say, each with its sample, what data that chose nothing says of it, and what it rests on."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import JsonValue, Moment, Request, Wire
from .money import TradingContext
from .summary import MemoryBrief
from .telemetry import WindowName


class OutOfSample(Wire):
    """A probability that was read on days or trades which did not choose the parameters: the newest of its kind.

    ``gate``: trade_psr (trades since its promotion earn anything), paper_psr (its days on paper) or holdout_psr (days
    that no search saw). ``bound_bps`` is asked for; ``passed`` also while there is too little to read it of.
    """

    gate: str
    confidence_bps: int
    bound_bps: int
    sample: int
    sample_of: Literal["trades", "days"]
    passed: bool
    note: str = ""


class Finding(Wire):
    """``about``: result (finished trades), gates (a promoted candidate) or forecasts (what came of them).

    ``says``: of a result gains or loses where the whole 95 % interval of the mean of ten trades or more lies on one
    side of zero, else open; of gates holds or fails; of forecasts (thirty or more) better or worse than always saying
    one half, by more than chance would, or open. ``sample`` counts what it was read of, ``confidence`` says what
    that allows to be said. ``regime`` None: all regimes. ``evidence``: trajectories, at /trajectories/{id}.
    """

    about: Literal["result", "gates", "forecasts"]
    strategy: str
    regime: str | None = None
    tier: str | None = None
    says: Literal["gains", "loses", "open", "holds", "fails", "better", "worse"]
    text: str
    sample: int
    confidence: str
    out_of_sample: OutOfSample | None = None
    evidence: list[str] = []


class CellQuery(Request):
    """A cell of the heatmap. Without ``regime`` all of them; a window ends now, ``since`` and ``until`` stand in its
    place."""

    strategy: str = Field(min_length=1, max_length=64)
    regime: str | None = Field(default=None, min_length=1, max_length=64)
    tier: str | None = Field(default=None, min_length=1, max_length=64)
    window: WindowName = "all"
    since: Moment | None = Field(default=None, description="In place of a window: closed at or after.")
    until: Moment | None = Field(default=None, description="In place of a window: closed before.")


class CellTrade(Wire):
    """A finished trade of the cell; what memory does not know (yet) is left out."""

    id: str
    url: str
    title: str | None = None
    outcome: str | None = None
    reward_lamports: int | None = None
    closed_at: datetime | None = None


class CellAnswer(TradingContext):
    """What stands behind a cell. ``figures`` None: no trade was finished in it. ``trades``: the newest of it.

    ``digests`` are those of the strategy that were written within the time, newest first; ``memories``: what was
    written of its candidates, promotions, gates and lessons, whenever. ``memories_total`` counts the strategy's
    namespace.
    """

    strategy: str
    regime: str | None
    tier: str | None
    since: datetime
    until: datetime
    figures: dict[str, JsonValue] | None
    findings: list[Finding]
    trades: list[CellTrade]
    digests: list[MemoryBrief]
    memories: list[MemoryBrief]
    namespace: str
    memories_total: int
