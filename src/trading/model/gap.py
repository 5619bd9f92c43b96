"""What becomes of what is held after the desk saw nothing for a while."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .units import BPS_ONE


class GapAction(StrEnum):
    """HOLD: the exit rules go on as before. TIGHTEN: it is sold at ``floor_sol`` or below as well. EXIT: it is sold."""

    HOLD = "hold"
    TIGHTEN = "tighten"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class GapStep:
    """What is done about one position. ``floor_sol`` is a price of a whole token, None but for TIGHTEN."""

    bucket: str
    mint: str
    action: GapAction
    floor_sol: Decimal | None
    reason: str


class GapRules(BaseModel):
    """What is done first after nothing was seen for more than ``gap_s`` (0: nothing is ever done).

    ``entries_wait_cycles``: so many cycles pass without an entry. From a gap of ``tighten_s`` on what is held is also
    sold ``tighten_bps`` below its newest price; from ``exit_losing_s`` on what is below its cost is sold, from
    ``exit_all_s`` on everything. 0 switches one off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gap_s: int = Field(default=0, ge=0, le=30 * 86_400)
    entries_wait_cycles: int = Field(default=0, ge=0, le=10_000)
    tighten_s: int = Field(default=0, ge=0, le=30 * 86_400)
    tighten_bps: int = Field(default=BPS_ONE, ge=1, le=BPS_ONE)
    exit_losing_s: int = Field(default=0, ge=0, le=30 * 86_400)
    exit_all_s: int = Field(default=0, ge=0, le=30 * 86_400)

    @classmethod
    def protecting(
        cls, gap_s: int, entries_wait_cycles: int, tighten_bps: int, *, exit_losing_h: int, exit_all_h: int
    ) -> Self:
        """Return rules that tighten from the shortest gap on, and sell after so many hours (0: never)."""
        return cls(
            gap_s=gap_s,
            entries_wait_cycles=entries_wait_cycles,
            tighten_s=gap_s,
            tighten_bps=tighten_bps,
            exit_losing_s=exit_losing_h * 3_600,
            exit_all_s=exit_all_h * 3_600,
        )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("tighten_s", "exit_losing_s", "exit_all_s"):
            after_s = getattr(self, name)
            if after_s and not 0 < self.gap_s <= after_s:
                msg = f"{name} must be 0 or at least gap_s ({self.gap_s}), which must be above 0 then, not {after_s}"
                raise ValueError(msg)
        return self
