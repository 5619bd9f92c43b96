"""Figures of the chain from recorded orders: planted ones come back within their stated errors."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

import numpy as np
import pytest
from tests.support.trading import MINT, SOL, T0, make_bar, make_order

from trading.execution.calibration import TRIALS_MIN, Calibration, calibrate, logistic_regression, observe
from trading.execution.conditions import CALM, Conditions, parse_conditions
from trading.execution.simulated_venue import SimulatedVenue
from trading.model import events
from trading.model.instrument import Instrument
from trading.model.market_data import CycleEnd, TokenListed
from trading.model.order import Approved, Fill, Order, Purpose, Side

PLANTED = Conditions(
    name="planted",
    slot_ms=400,
    latency_slots=3,
    jitter_slots=20,
    level_micro_lamports=60_000,
    steepness_milli=1_800,
    failure_ppm=80_000,
    adverse_ppm=150_000,
    adverse_bps=4_000,
    liquidity="volume",
    depth_volume_bps=30_000,
    depth_bars=6,
    depth_lamports_min=1,
    depth_lamports_max=10**17,
)
FEES = (4_000, 8_000, 12_000, 20_000, 60_000)
PLANTED_FIGURES = (
    "latency_slots",
    "jitter_slots",
    "level_micro_lamports",
    "steepness_milli",
    "failure_ppm",
    "adverse_ppm",
    "adverse_bps",
    "depth_volume_bps",
)


def _approved(order: Order) -> events.OrderApproved:
    return events.OrderApproved(order, Approved())


def _recorded(conditions: Conditions, cycles: int, fees: tuple[int, ...] = FEES, seed: int = 1) -> Iterator[object]:
    """Yield what a journal of that many entries and exits holds."""
    venue = SimulatedVenue({MINT: 10**15}, conditions, seed)
    venue.on_market(TokenListed(T0, Instrument(MINT, "BONK", 5), "test"))
    for n in range(cycles):
        bar = make_bar(n, volume=Decimal(200_000 + 7_919 * n % 100_000))
        yield bar
        reports = [*venue.on_market(bar), *venue.on_market(CycleEnd(bar.ts_close_ns, None))]
        for report in reports:
            if isinstance(report, Fill):
                yield events.OrderFilled("trj", "s", "b", report)
            else:
                yield events.OrderRejected("trj", "s", "b", report)
        for side in Side:
            amount = SOL if side is Side.BUY else 10**8
            quote = venue.quote(MINT, side, amount)
            assert quote is not None
            order = make_order(
                id=f"{side}{n}",
                ts_ns=bar.ts_close_ns,
                side=side,
                purpose=Purpose.ENTRY if side is Side.BUY else Purpose.EXIT,
                amount_in=amount,
                min_out=quote.amount_out // 2,
                priority_fee_lamports=fees[n % len(fees)],
            )
            venue.submit(order)
            yield _approved(order)


def _asking(level: int) -> Conditions:
    return Conditions(slot_ms=400, level_micro_lamports=level, steepness_milli=50_000)


@lru_cache(maxsize=1)
def _found() -> Calibration:
    return calibrate(observe(_recorded(PLANTED, 900), PLANTED.model_copy(update={"name": "base"})))


@pytest.mark.requirement("T9")
@pytest.mark.parametrize("figure", PLANTED_FIGURES)
def test_a_planted_figure_comes_back_within_its_stated_error(figure: str) -> None:
    estimate = _found().estimates[figure]
    planted = getattr(PLANTED, figure)
    assert estimate.standard_error is not None
    assert abs(estimate.value - planted) <= 3 * estimate.standard_error
    assert estimate.standard_error < 0.2 * planted
    assert estimate.observations > 100


def test_control_another_chain_is_told_from_the_planted_one() -> None:
    other = PLANTED.model_copy(update={"level_micro_lamports": 90_000, "failure_ppm": 160_000, "latency_slots": 9})
    found = calibrate(observe(_recorded(other, 500), PLANTED))
    for figure in ("level_micro_lamports", "failure_ppm", "latency_slots"):
        estimate = found.estimates[figure]
        assert estimate.standard_error is not None
        assert abs(estimate.value - getattr(PLANTED, figure)) > 3 * estimate.standard_error


def test_a_calibration_is_a_file_of_conditions() -> None:
    document = _found().document()
    conditions = parse_conditions(json.dumps(document), "c.json")
    assert conditions == _found().conditions
    assert (conditions.name, conditions.slot_ms, conditions.liquidity) == ("calibrated", 400, "volume")
    assert set(document["estimates"]) == set(PLANTED_FIGURES)


def test_prices_that_do_not_vary_tell_the_level_under_a_steepness_taken_over() -> None:
    found = calibrate(observe(_recorded(PLANTED, 500, fees=(12_000,)), PLANTED))
    level = found.estimates["level_micro_lamports"]
    assert level.standard_error is not None
    assert abs(level.value - 60_000) <= 3 * level.standard_error
    assert "taken over: 1800" in level.note
    assert "steepness_milli" not in found.estimates


def test_a_chain_on_which_everything_lands_has_no_level() -> None:
    found = calibrate(observe(_recorded(Conditions(slot_ms=400), 40), CALM))
    assert found.estimates["level_micro_lamports"].note == "every transaction landed"
    assert found.conditions.level_micro_lamports == 0
    assert found.estimates["failure_ppm"].value == 0
    assert (found.estimates["failure_ppm"].standard_error or 0) > 0  # not certain after a few
    assert "adverse_bps" not in found.estimates
    assert found.conditions.adverse_bps == CALM.adverse_bps


def test_too_few_orders_say_nothing_and_everything_is_taken_over() -> None:
    found = calibrate(observe(_recorded(PLANTED, TRIALS_MIN // 4), CALM), name="mine")
    assert found.estimates == {}
    assert found.conditions == CALM.model_copy(update={"name": "mine"})


def test_where_nothing_lands_there_is_no_level_to_tell() -> None:
    found = calibrate(observe(_recorded(_asking(10**12), 40), CALM))
    assert "level_micro_lamports" not in found.estimates


def test_outcomes_of_unknown_orders_are_left_aside() -> None:
    rows = list(_recorded(PLANTED, 60))
    known = observe(rows, CALM)
    strangers = [
        replace(row, order=replace(row.order, id="x" + row.order.id))
        for row in rows
        if isinstance(row, events.OrderApproved)
    ]
    others = observe([*strangers, *[row for row in rows if not isinstance(row, events.OrderApproved)]], CALM)
    assert len(known.failed) > 0
    assert others.failed == []


def test_a_logistic_curve_is_found_and_one_that_is_none_is_not() -> None:
    x = np.repeat(np.linspace(-3, 3, 13), 400)
    p = 1 / (1 + np.exp(-1.7 * (x - 0.4)))
    y = (np.tile(np.arange(400) + 0.5, 13) / 400 < p).astype(np.float64)
    fitted = logistic_regression(x, y)
    assert fitted is not None
    assert fitted.slope == pytest.approx(1.7, abs=0.02)
    assert fitted.midpoint == pytest.approx(0.4, abs=0.02)
    assert 0 < fitted.midpoint_error < 0.05
    assert logistic_regression(np.array([0.0, 1.0] * 30), np.array([0.0, 1.0] * 30)) is None
