"""How long the prices that the desk was told are kept, and how finely."""

from pydantic import Field, model_validator

from .base import Section


class BarsSection(Section):
    """How the bars that charts are drawn from (``GET /candles``) are thinned as they grow old. Every one stays as it
    was told for ``every_days``; older ones are taken together by the hour, those older than ``hours_days`` by the day.
    Age counts in the desk's own time. Nothing is decided from them, and no row of a run changes."""

    every_days: int = Field(default=14, ge=2, le=3_650)
    hours_days: int = Field(default=365, ge=7, le=36_500)

    @model_validator(mode="after")
    def _hours_come_before_days(self) -> "BarsSection":
        if self.hours_days <= self.every_days:
            msg = f"hours_days: more than every_days, {self.every_days}, not {self.hours_days}"
            raise ValueError(msg)
        return self
