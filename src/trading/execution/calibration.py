"""The figures of ``conditions`` from what a journal records: each with its standard error and what it rests on.

Rests on approved orders and what became of them; rows that a simulation and a live desk write alike. What no row shows
(slot length, compute units, the way of a price within a bar) is taken over from given conditions.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trading.model import events
from trading.model.market_data import Bar
from trading.model.order import Fill, Order, Purpose, Rejected, Side
from trading.model.units import BPS_ONE, LAMPORTS_PER_SOL

from .conditions import EXPIRY_SLOTS, PPM_ONE, Conditions
from .landing import UNLANDED

TRIALS_MIN: Final = 30
"""Fewer observations give no estimate."""
IMPACT_LAMPORTS_MIN: Final = 1_000
"""Of a smaller impact the rounding is too large a part."""
TOLERANCE_MIN: Final = 10_000
"""Of a smaller tolerance a share in bps is no whole number."""
ITERATIONS_MAX: Final = 100
_CONVERGED: Final = 1e-10
_ROUNDING_VARIANCE: Final = 1.0 / 12.0
"""Of a figure that was rounded to a whole number."""
_LANDED_REASONS: Final = frozenset({"slippage", "failed", "overflow", "insufficient_funds", "below_average_cost"})
"""Rejections that a block holds; the others came from the market, or from no block."""

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """``standard_error`` is None where nothing varied, and the value then a bound or taken over, as ``note`` says."""

    value: float
    standard_error: float | None
    observations: int
    note: str = ""

    def document(self) -> dict[str, Any]:
        error = self.standard_error
        return {
            "value": round(self.value, 6),
            "standard_error": None if error is None else round(error, 6),
            "observations": self.observations,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """``estimates`` by the name of the figure; ``conditions`` are the given ones with the estimated in their place."""

    estimates: Mapping[str, Estimate]
    conditions: Conditions

    def document(self) -> dict[str, Any]:
        """Return the JSON of ``memmcp-trade calibrate --json``; ``--conditions`` of a run takes it as a file."""
        return {
            "estimates": {name: each.document() for name, each in self.estimates.items()},
            "conditions": self.conditions.model_dump(mode="json"),
        }


@dataclass(slots=True)
class Observations:
    """What a journal shows, order by order. ``take`` events and ``see`` bars in the journal's order."""

    base: Conditions
    landed: list[tuple[int, bool]] = field(default_factory=list)
    """(price of a compute unit in micro-lamports, whether the first sending landed)."""
    latencies: list[int] = field(default_factory=list)
    """Slots from the decision to the block, of first sendings."""
    failed: list[bool] = field(default_factory=list)
    adverse: list[tuple[bool, float]] = field(default_factory=list)
    """(whether others traded around a fill, which share of its tolerance they took, in bps)."""
    depths: list[float] = field(default_factory=list)
    """Depth that a fill's impact implies over the mean SOL volume of the bars before, in bps."""
    _orders: dict[str, Order] = field(default_factory=dict)
    _volumes: dict[str, "deque[int]"] = field(default_factory=dict)
    _newest: dict[str, int] = field(default_factory=dict)

    def see(self, bar: Bar) -> None:
        """Take a bar. The newest one is that in which a fill happens; it was not known before."""
        past = self._volumes.setdefault(bar.mint, deque(maxlen=self.base.depth_bars))
        if bar.mint in self._newest:
            past.append(self._newest[bar.mint])
        self._newest[bar.mint] = int(bar.volume * bar.close * LAMPORTS_PER_SOL)

    def take(self, event: object) -> None:
        """Take an order, a fill or a rejection; anything else says nothing."""
        if isinstance(event, events.OrderApproved):
            self._orders[event.order.id] = event.order
        elif isinstance(event, events.OrderFilled):
            order = self._orders.pop(event.fill.order_id, None)
            if order is not None:
                self._landed(order, event.fill.ts_ns, has_failed=False)
                self._filled(order, event.fill)
        elif isinstance(event, events.OrderRejected):
            order = self._orders.pop(event.rejected.order_id, None)
            if order is not None:
                self._rejected(order, event.rejected)

    def _price(self, order: Order) -> int:
        return order.priority_fee_lamports * PPM_ONE // self.base.compute_units

    def _landed(self, order: Order, ts_ns: int, *, has_failed: bool) -> None:
        slots = (ts_ns - order.ts_ns) // self.base.slot_ns
        is_first = slots < EXPIRY_SLOTS
        self.failed.append(has_failed)
        if is_first or order.purpose is Purpose.EXIT:
            self.landed.append((self._price(order), is_first))
        if is_first:
            self.latencies.append(slots)

    def _rejected(self, order: Order, rejected: Rejected) -> None:
        if rejected.reason in _LANDED_REASONS:
            self._landed(order, rejected.ts_ns, has_failed=rejected.reason == "failed")
        elif rejected.reason == "expired" and rejected.message == UNLANDED:
            self.landed.append((self._price(order), False))

    def _filled(self, order: Order, fill: Fill) -> None:
        taken, out = _taken(fill)
        tolerance = out + taken - order.min_out
        if order.amount_out == 0 and order.min_out > 0 and tolerance >= TOLERANCE_MIN:
            self.adverse.append((fill.adverse_lamports > 0, taken * BPS_ONE / tolerance))
        past = self._volumes.get(fill.mint)
        volume = sum(past) / len(past) if past else 0.0
        if volume > 0 and fill.adverse_lamports == 0 and fill.impact_lamports >= IMPACT_LAMPORTS_MIN:
            self.depths.append(_implied_depth_lamports(fill) * BPS_ONE / volume)


def observe(rows: Iterable[object], base: Conditions) -> Observations:
    """Return what events and bars show, in the order of their journal."""
    found = Observations(base)
    for row in rows:
        if isinstance(row, Bar):
            found.see(row)
        else:
            found.take(row)
    return found


def calibrate(found: Observations, name: str = "calibrated") -> Calibration:
    """Return every figure that the observations allow, and the conditions that they make."""
    base = found.base
    estimates: dict[str, Estimate] = {}
    estimates |= _landing(found)
    estimates |= _latency(found.latencies)
    if len(found.failed) >= TRIALS_MIN:
        estimates["failure_ppm"] = _share_ppm(found.failed)
    if len(found.adverse) >= TRIALS_MIN:
        estimates["adverse_ppm"] = _share_ppm([was for was, _ in found.adverse])
        shares = [share for was, share in found.adverse if was]
        if len(shares) >= 2:
            estimates["adverse_bps"] = _mean(shares)
    if len(found.depths) >= TRIALS_MIN:
        estimates["depth_volume_bps"] = _mean(found.depths)
    values = base.model_dump() | {"name": name}
    for figure, estimate in estimates.items():
        values[figure] = _within(figure, estimate.value)
    if "depth_volume_bps" in estimates:
        values["liquidity"] = "volume"
    return Calibration(estimates, Conditions.model_validate(values))


def _within(figure: str, value: float) -> int:
    """Return the whole number nearest to a value that the figure's bounds allow."""
    metadata = Conditions.model_fields[figure].metadata
    low = max((each.ge for each in metadata if hasattr(each, "ge")), default=0)
    high = min((each.le for each in metadata if hasattr(each, "le")), default=EXPIRY_SLOTS - 1)
    return int(min(high, max(low, round(value))))


def _landing(found: Observations) -> dict[str, Estimate]:
    """Return the congestion level and its steepness: a logistic regression of landing on the logarithm of the price."""
    trials = [(math.log(price), landed) for price, landed in found.landed if price > 0]
    landings = sum(landed for _, landed in trials)
    if len(trials) < TRIALS_MIN:
        return {}
    if landings == len(trials):
        return {"level_micro_lamports": Estimate(0.0, None, len(trials), "every transaction landed")}
    if landings == 0:
        return {}
    x = np.array([each for each, _ in trials], dtype=np.float64)
    y = np.array([landed for _, landed in trials], dtype=np.float64)
    steepness = found.base.steepness_milli / 1_000
    fitted = logistic_regression(x, y) if np.ptp(x) > 0 else None
    if fitted is None or fitted.slope <= 0:
        share = landings / len(trials)
        level = math.exp(float(x.mean()) - math.log(share / (1 - share)) / steepness)
        error = level / (steepness * math.sqrt(len(trials) * share * (1 - share)))
        note = f"steepness_milli taken over: {found.base.steepness_milli}; the prices do not tell it"
        return {"level_micro_lamports": Estimate(level, error, len(trials), note)}
    level = math.exp(fitted.midpoint)
    return {
        "level_micro_lamports": Estimate(level, level * fitted.midpoint_error, len(trials)),
        "steepness_milli": Estimate(fitted.slope * 1_000, fitted.slope_error * 1_000, len(trials)),
    }


@dataclass(frozen=True, slots=True)
class Logistic:
    """P = 1 / (1 + exp(-slope (x - midpoint)))."""

    slope: float
    midpoint: float
    slope_error: float
    midpoint_error: float


def logistic_regression(x: Floats, y: Floats) -> Logistic | None:
    """Fit by Newton's method; None where no finite curve fits best (the landed and the others are fully apart).

    The standard errors are those of the information matrix; that of the midpoint by the delta method.
    """
    centre = float(x.mean())
    design = np.column_stack([np.ones_like(x), x - centre])
    weights = np.zeros(2)
    for _ in range(ITERATIONS_MAX):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -500, 500)))
        information = design.T @ (design * (p * (1 - p))[:, None])
        if np.linalg.det(information) <= 0 or np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, design.T @ (y - p))
        weights = weights + step
        if float(np.abs(step).max()) < _CONVERGED:
            break
    else:
        return None
    intercept, slope = float(weights[0]), float(weights[1])
    if slope == 0:
        return None
    covariance = np.linalg.inv(information)
    offset = -intercept / slope
    gradient = np.array([-1.0, -offset]) / slope
    variance = float(gradient @ covariance @ gradient)
    return Logistic(slope, centre + offset, math.sqrt(float(covariance[1, 1])), math.sqrt(variance))


def _latency(slots: Sequence[int]) -> dict[str, Estimate]:
    """Return the fixed part and the jitter: the ends of an even distribution, each off by a share of its width."""
    if len(slots) < TRIALS_MIN:
        return {}
    low, high = min(slots), max(slots)
    error = (high - low + 1) / (len(slots) + 1)
    note = f"the mean is {sum(slots) / len(slots):.3f} slots"
    return {
        "latency_slots": Estimate(float(low), error, len(slots), note),
        "jitter_slots": Estimate(float(high - low), math.sqrt(2) * error, len(slots)),
    }


def _share_ppm(hits: Sequence[bool]) -> Estimate:
    """Return a share with the error of a share that is not quite as certain as the sample (Laplace)."""
    total, hit = len(hits), sum(hits)
    careful = (hit + 1) / (total + 2)
    error = math.sqrt(careful * (1 - careful) / total)
    return Estimate(hit / total * PPM_ONE, error * PPM_ONE, total)


def _mean(values: Sequence[float]) -> Estimate:
    sample = np.array(values, dtype=np.float64)
    error = math.sqrt(float(sample.var(ddof=1)) / len(values) + _ROUNDING_VARIANCE)
    return Estimate(float(sample.mean()), error, len(values))


def _taken(fill: Fill) -> tuple[int, int]:
    """Return what others took of the fill's output, and what was left of it, in the output's units."""
    if fill.side is Side.SELL:
        return fill.adverse_lamports, fill.lamports
    value = fill.lamports - fill.impact_lamports - fill.pool_fee_lamports
    taken = fill.base_units * fill.adverse_lamports // value if value > 0 else 0
    return taken, fill.base_units


def _implied_depth_lamports(fill: Fill) -> float:
    """Return the SOL side of the constant product in which the fill's impact is what it was: x = a (a - i) / i with
    the amount ``a`` before the impact ``i``."""
    if fill.side is Side.BUY:
        amount = fill.lamports - fill.pool_fee_lamports
    else:
        amount = fill.lamports + fill.pool_fee_lamports + fill.impact_lamports
    return amount * (amount - fill.impact_lamports) / fill.impact_lamports
