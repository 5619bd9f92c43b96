"""How good the advice of each model has been, kind by kind, and what weight that earns it.

A model is held against the base rate of the very outcomes that it was asked about: whoever says that share every time
has the Brier score p (1 - p). Skill is what the model saves of it (Brier, 1950; the skill score of Murphy, 1973).
Everything is counted in ints, so that a replay gives the same weights.
"""

from dataclasses import dataclass
from typing import Final

from trading.model.advice import AdviceRules, AdviceScore
from trading.model.units import BPS_ONE

FULL_SKILL_BPS: Final = 1_000
"""A model that saves a tenth of the base rate's score gets the whole weight; forecasts of prices rarely save more."""
_PPM: Final = 1_000_000


@dataclass(slots=True)
class Calibration:
    """The scored answers of one model to one kind of question."""

    count: int = 0
    ups: int = 0
    hits: int = 0
    within: int = 0
    brier_ppm_sum: int = 0

    def add(self, score: AdviceScore) -> None:
        self.count += 1
        self.ups += score.is_up
        self.hits += score.is_hit
        self.within += score.is_within
        self.brier_ppm_sum += score.brier_ppm

    @property
    def brier_ppm(self) -> int | None:
        """The mean Brier score in millionths, None without a score."""
        return self.brier_ppm_sum // self.count if self.count else None

    @property
    def base_brier_ppm(self) -> int | None:
        """What always saying the share of rises would have scored."""
        return self.ups * (self.count - self.ups) * _PPM // self.count**2 if self.count else None

    @property
    def hit_rate_bps(self) -> int | None:
        return self.hits * BPS_ONE // self.count if self.count else None

    @property
    def base_hit_rate_bps(self) -> int | None:
        """The share of hits of always saying the commoner outcome."""
        return max(self.ups, self.count - self.ups) * BPS_ONE // self.count if self.count else None

    @property
    def skill_bps(self) -> int:
        """What the model saves of the base rate's score, below 0 where it is worse; 0 where every outcome was one."""
        base, own = self.base_brier_ppm, self.brier_ppm
        return (base - own) * BPS_ONE // base if base and own is not None else 0

    def weight_bps(self, rules: AdviceRules) -> int:
        """Return the share of what its advice asks for that is done.

        A model without a record gets the little that the rules give; one that is no better than the base rate gets
        nothing; else it grows with the skill, and with the number of scores it rests on.
        """
        if self.count < rules.scores_needed:
            return min(rules.unproven_bps, rules.weight_bps_max)
        skill = min(self.skill_bps, FULL_SKILL_BPS)
        if skill <= 0:
            return 0
        earned = rules.weight_bps_max * skill // FULL_SKILL_BPS
        return earned * self.count // (self.count + rules.scores_needed)
