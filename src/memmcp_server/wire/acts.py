"""What the page does beside the controls: rebalancing, candidates for promotion, and what became of a key."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import IdempotencyKey, JsonValue, Request, TradingState, Wire
from .money import TradingContext
from .orders import RebalanceRequest

CandidateStage = Literal["candidate", "paper", "live", "demoted"]


class RebalanceAct(RebalanceRequest):
    """Without ``preview_id`` a preview; with it the legs that were shown, once per key."""

    expected_state: TradingState | None = Field(default=None, description="Done only while the desk is in it.")
    idempotency_key: IdempotencyKey | None = Field(default=None, description="Or the Idempotency-Key header.")


class AnswerQuery(Request):
    key: IdempotencyKey = Field(description="The idempotency key that something was asked under.")


class KeyAnswer(Wire):
    """What was done under a key, as it stands now. ``is_known`` false: nothing was, so far; asking did nothing.

    ``status``: sent (an act without orders), done, denied, rejected, working (its fills are not known yet),
    awaiting_operator. ``legs`` are those of a rebalance.
    """

    is_known: bool
    status: str = ""
    message: str = ""
    order_id: str | None = None
    trajectory_id: str | None = None
    fill: dict[str, JsonValue] | None = None
    legs: list[dict[str, JsonValue]] = []
    orders_open: int = 0


class CandidateView(Wire):
    """Parameters that somebody proposed. ``who``: search, operator, agent:NAME; ``gates``: as they were read last, to
    ``gates_stage``; ``released``: a desk on paper has released it for real money."""

    id: str
    strategy: str
    stage: CandidateStage
    proposed_at: datetime
    who: str
    parent: str
    parameters: dict[str, JsonValue]
    released: bool
    gates: list[dict[str, JsonValue]]
    gates_stage: str
    gates_at: datetime | None


class CandidatesQuery(Request):
    limit: int = Field(default=50, ge=1, le=200, description="So many of the newest.")


class CandidateList(TradingContext):
    candidates: list[CandidateView]
    total: int
