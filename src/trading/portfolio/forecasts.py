"""The forecasts that are open, and how the earlier ones of each strategy came out: a fold of the journal's rows.

Everything is counted in ints, so that a replay states the same confidence to the last bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from trading.model.forecast import Direction, Forecast, ForecastScore
from trading.model.units import BPS_ONE

PRIOR_COUNT: Final = 20
"""A record is shrunken as if so many more forecasts had come out as the prior says."""
BINS: Final = 10
NEVER_NS: Final = 2**63 - 1


@dataclass(slots=True)
class Bin:
    """Forecasts of about one strength, or of about one stated confidence."""

    count: int = 0
    hits: int = 0
    confidence_bps_sum: int = 0

    def add(self, score: ForecastScore) -> None:
        self.count += 1
        self.hits += score.is_hit
        self.confidence_bps_sum += score.confidence_bps


def _bins() -> list[Bin]:
    return [Bin() for _ in range(BINS)]


@dataclass(slots=True)
class Calibration:
    """How the scored forecasts of one strategy in one direction came out. Moves are counted in their direction."""

    count: int = 0
    hits: int = 0
    move_bps_sum: int = 0
    realised_bps_sum: int = 0
    squared_error_sum: int = 0
    brier_ppm_sum: int = 0
    by_strength: list[Bin] = field(default_factory=_bins)
    by_confidence: list[Bin] = field(default_factory=_bins)

    def add(self, score: ForecastScore) -> None:
        self.count += 1
        self.hits += score.is_hit
        self.move_bps_sum += score.move_bps
        self.realised_bps_sum += score.realised_bps
        self.squared_error_sum += score.squared_error
        self.brier_ppm_sum += score.brier_ppm
        self.by_strength[bin_of(score.strength_percent * 100)].add(score)
        self.by_confidence[bin_of(score.confidence_bps)].add(score)

    def confidence_bps(self, strength_percent: int) -> int:
        """Return the share of hits among forecasts of this strength, shrunken towards the strategy's share, which is
        itself shrunken towards one half."""
        overall = (self.hits * BPS_ONE + PRIOR_COUNT * BPS_ONE // 2) // (self.count + PRIOR_COUNT)
        alike = self.by_strength[bin_of(strength_percent * 100)]
        return (alike.hits * BPS_ONE + PRIOR_COUNT * overall) // (alike.count + PRIOR_COUNT)

    def expected_bps(self, move_bps: int) -> int:
        """Return the mean realised move, shrunken towards what is stated now."""
        return (self.realised_bps_sum + PRIOR_COUNT * move_bps) // (self.count + PRIOR_COUNT)

    @property
    def hit_rate_bps(self) -> int | None:
        return self.hits * BPS_ONE // self.count if self.count else None

    @property
    def mean_move_bps(self) -> int | None:
        return self.move_bps_sum // self.count if self.count else None

    @property
    def mean_realised_bps(self) -> int | None:
        return self.realised_bps_sum // self.count if self.count else None

    @property
    def mean_error_bps(self) -> int | None:
        """How much less than stated came true, on average; below 0 where more did."""
        return (self.move_bps_sum - self.realised_bps_sum) // self.count if self.count else None

    @property
    def brier_ppm(self) -> int | None:
        """The mean Brier score in millionths; 250,000 is what always saying one half brings."""
        return self.brier_ppm_sum // self.count if self.count else None


def bin_of(share_bps: int) -> int:
    """Return the place of a share between 0 and 10,000 bps among the bins."""
    return min(BINS - 1, max(0, share_bps * BINS // BPS_ONE))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The move in its forecast's direction, at ``ts_ns``; ``reason`` says why where it is no traded price."""

    ts_ns: int
    realised_bps: int
    reason: str


class ForecastBook:
    """``add`` and ``settle`` take what was journalled; nothing else changes it.

    A strategy has at most one open forecast of a token in each direction: an opinion repeated before the first is due
    is no second forecast, else one move would be counted many times.
    """

    def __init__(self) -> None:
        self.calibrations: dict[tuple[str, str], Calibration] = {}
        self._open: dict[tuple[str, str, str], tuple[str, Forecast]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self.next_due_ns = NEVER_NS
        """When the first of those is due whose outcome is not known yet."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Forecast]:
        """Yield the open forecasts, the oldest first."""
        return (forecast for _, forecast in self._open.values())

    def open_of(self, strategy: str, mint: str, direction: Direction) -> Forecast | None:
        found = self._open.get((strategy, mint, direction.value))
        return None if found is None else found[1]

    def due(self, now_ns: int) -> list[Forecast]:
        """Return those that are due and whose outcome is not known yet, the oldest first."""
        return [each for each in self if each.due_ns <= now_ns and each.id not in self._outcomes]

    def came_out(self, forecast: Forecast, outcome: Outcome) -> None:
        """Keep what came of a forecast until its row is written. It follows from the market alone, so that it needs no
        row to be known again."""
        self._outcomes[forecast.id] = outcome
        self._look_ahead()

    def decided(self) -> list[tuple[str, Forecast, Outcome]]:
        """Return (trajectory, forecast, outcome) of those whose row is not written yet, in the order they came out."""
        if not self._outcomes:
            return []
        by_id = {forecast.id: (trajectory, forecast) for trajectory, forecast in self._open.values()}
        return [(*by_id[name], outcome) for name, outcome in self._outcomes.items()]

    def calibration(self, strategy: str, direction: Direction) -> Calibration:
        """Return the record, an empty one where nothing was scored yet."""
        return self.calibrations.get((strategy, direction.value)) or Calibration()

    def add(self, trajectory_id: str, forecast: Forecast) -> None:
        # Evidence is for readers of the row; decoded from it, its floats are text.
        forecast = replace(forecast, evidence={})
        self._open[forecast.strategy, forecast.mint, forecast.direction.value] = (trajectory_id, forecast)
        self.next_due_ns = min(self.next_due_ns, forecast.due_ns)

    def settle(self, score: ForecastScore) -> None:
        self._open.pop((score.strategy, score.mint, score.direction.value), None)
        self._outcomes.pop(score.forecast_id, None)
        self._look_ahead()
        key = (score.strategy, score.direction.value)
        if key not in self.calibrations:
            self.calibrations[key] = Calibration()
        self.calibrations[key].add(score)

    def _look_ahead(self) -> None:
        outcomes = self._outcomes
        self.next_due_ns = min((each.due_ns for each in self if each.id not in outcomes), default=NEVER_NS)
