"""Recall: past market situations, what came of them, and by which rules an estimate may be shifted by them."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from .units import BPS_ONE


class RecallRules(BaseModel):
    """Whether and how far what is recalled moves what a strategy states.

    ``neighbours`` is k: how many of the nearest situations are asked; with fewer than ``neighbours_min`` known ones
    nothing is shifted. ``version`` is that of the features. An edge may be lowered to nothing and raised by at most
    ``raise_bps_max`` of what was stated, and so may the size. With fewer than ``scores_min`` answers scored nothing is
    shifted, and later only while their error is smaller than that of what was stated (0: it is always shifted).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_on: bool = False
    version: int = Field(default=1, ge=1, le=1)
    neighbours: int = Field(default=50, ge=5, le=1_000)
    neighbours_min: int = Field(default=20, ge=5, le=1_000)
    raise_bps_max: int = Field(default=2_500, ge=0, le=BPS_ONE)
    scores_min: int = Field(default=20, ge=0, le=200)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the market was like when a strategy spoke of a rise. ``id`` is that of its forecast; ``vector`` holds the
    levels of ``recall.situations.FEATURES`` of that ``version``, with commas. ``cost_bps``: of the round trip."""

    id: str
    trajectory_id: str
    strategy: str
    mint: str
    ts_ns: int
    edge_bps: int
    cost_bps: int
    version: int
    vector: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """``move_bps``: the move until the forecast was due; ``net_bps``: the return of the closed trade, where there was
    one by then, else the move less the costs. Nobody knew it before ``known_ns``."""

    known_ns: int
    move_bps: int
    net_bps: int


@dataclass(frozen=True, slots=True)
class PastSituation:
    """A situation of an earlier run with what came of it."""

    situation: Situation
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Recollection:
    """What the nearest situations say. ``effective_x100``: how many independent ones they count for, in hundredths.

    ``mean_bps``, ``low_bps`` (a tenth lies below), ``median_bps`` and ``high_bps`` are of their weighted moves,
    ``error_bps`` is the mean's standard error; ``shift_bps`` is what the stated edge is moved by, ``trust_bps`` the
    share of the distance that is. Of their net outcomes ``wins_bps`` is the share above zero; means are losses as
    positive bps. ``nearest``: the ids of the first of them.
    """

    neighbours: int
    effective_x100: int
    mean_bps: int
    error_bps: int
    low_bps: int
    median_bps: int
    high_bps: int
    trust_bps: int
    shift_bps: int
    wins_bps: int
    mean_win_bps: int
    mean_loss_bps: int
    nearest: tuple[str, ...]
