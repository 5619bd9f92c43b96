"""How a strategy did in a window of days, in one regime and tier: a cell of its record, and its calibration."""

from dataclasses import dataclass
from typing import Final

WINDOW_DAYS: Final = (1, 7, 30)
"""The windows that are reported, in days back from their end."""


@dataclass(frozen=True, slots=True)
class WindowCell:
    """Finished trades of the last ``days`` days whose entry was made in this ``regime`` and ``tier``; both are "" in
    the cell of all of them. A trade whose signal named no regime has the regime ``unknown``.

    ``mean_return_bps`` is over trades; ``low_bps`` and ``high_bps`` are the 95 % interval of that mean by Student's t,
    None for fewer than two trades. ``evidence``: the trajectories of the newest of them.
    """

    days: int
    regime: str
    tier: str
    trades: int
    wins: int
    realised_lamports: int
    mean_return_bps: int
    low_bps: int | None
    high_bps: int | None
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Scored forecasts of a strategy in one direction whose stated confidence lay in one tenth of the scale, over the
    whole run: ``confidence_bps`` is the mean of what was stated, ``hits`` of ``count`` came true. ``brier_ppm`` is the
    mean Brier score of the whole direction, in millionths."""

    direction: str
    count: int
    hits: int
    confidence_bps: int
    brier_ppm: int
