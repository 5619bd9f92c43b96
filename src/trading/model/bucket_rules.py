"""Whose cash it is: how far shares may drift, and whether they rotate towards the strategies that do better."""

from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .units import BPS_ONE

RotationRule = Literal["off", "fixed_share"]
ROTATION_PREFIX: Final = "rotation"
"""How the fields begin that say how shares rotate."""


class BucketRules(BaseModel):
    """``band_bps``: once a day cash moves between the buckets of strategies when the share of one is further from
    its weight than so much of their capital; 10000: profit stays where it was made.

    ``rotation``: ``fixed_share`` moves the shares themselves, once a day, by what each strategy's closed days brought
    (``portfolio.rotation``); the weights of the profile are where they begin. No share goes below
    ``rotation_floor_bps`` or above ``rotation_cap_bps``, or by more than ``rotation_step_bps`` a day. A strategy with
    fewer than ``rotation_warmup_days`` closed days gets the floor; while fewer than two have them, nothing moves. A
    move is made only where what is expected of it over ``rotation_horizon_days`` is more than ``rotation_cost_bps`` of
    what moves: positions are not sold for it, but the next ones are of other sizes. After a move by hand nothing moves
    for ``rotation_hold_days``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    band_bps: int = Field(default=BPS_ONE, ge=0, le=BPS_ONE)
    rotation: RotationRule = "off"
    rotation_floor_bps: int = Field(default=1_000, ge=0, le=BPS_ONE)
    rotation_cap_bps: int = Field(default=7_000, ge=1, le=BPS_ONE)
    rotation_step_bps: int = Field(default=500, ge=1, le=BPS_ONE)
    rotation_warmup_days: int = Field(default=30, ge=2, le=365)
    rotation_horizon_days: int = Field(default=20, ge=1, le=365)
    rotation_cost_bps: int = Field(default=10, ge=0, le=1_000)
    rotation_hold_days: int = Field(default=7, ge=0, le=365)

    @property
    def rotates(self) -> bool:
        return self.rotation != "off"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.rotation_floor_bps > self.rotation_cap_bps:
            msg = f"rotation_floor_bps must be at most rotation_cap_bps ({self.rotation_cap_bps})"
            raise ValueError(msg)
        return self


STILL: Final = BucketRules()
"""Shares stay as they are."""
