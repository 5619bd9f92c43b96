"""Promotion and demotion as JSON: what is asked, and what each gate read."""

from typing import Literal, Self

from pydantic import Field, model_validator

from .base import IdempotencyKey, JsonValue, Request, TradingState
from .money import TradingContext


class PromotionRequest(Request):
    """``promote`` needs a candidate, ``demote`` a strategy. ``dry_run`` reads the gates and does nothing."""

    action: Literal["promote", "demote"]
    reason: str = Field(min_length=3, max_length=1_000, description="Why; kept in the journal.")
    candidate: str | None = Field(default=None, pattern=r"^cand_[0-9a-f]{12}$")
    strategy: str | None = Field(default=None, min_length=1, max_length=64)
    stage: Literal["paper", "live"] | None = Field(default=None, description="Where to; paper where left out.")
    dry_run: bool = False
    expected_state: TradingState | None = Field(default=None, description="Done only while the desk is in it.")
    idempotency_key: IdempotencyKey | None = Field(default=None, description="Or the Idempotency-Key header.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        wanted, other = ("candidate", "strategy") if self.action == "promote" else ("strategy", "candidate")
        if getattr(self, wanted) is None:
            msg = f"{wanted} is required for {self.action}"
            raise ValueError(msg)
        if getattr(self, other) is not None:
            msg = f"{other} does not belong to {self.action}"
            raise ValueError(msg)
        if self.action == "demote" and (self.stage is not None or self.dry_run):
            msg = "stage and dry_run belong to promote"
            raise ValueError(msg)
        return self


class PromotionAnswer(TradingContext):
    """``status``: done, denied, or checked (a dry run). ``gates``: name, value, bound, unit, is_floor, passed, sample,
    note of each; ``terms``: by what it is held from then on. A repeat with the same key says only what was done."""

    status: Literal["done", "denied", "checked"]
    state: TradingState
    entries_allowed: bool
    effect: str
    order_ids: list[str] = []
    candidate: str = ""
    strategy: str = ""
    before: str = ""
    stage: str = ""
    family_trials: int | None = None
    gates: list[dict[str, JsonValue]] = []
    terms: dict[str, JsonValue] | None = None
