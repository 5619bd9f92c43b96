"""The drift meter finds each kind of difference where one was planted, names it, and counts what it cost."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.trading import STEP, T0, make_exit, make_fill, make_order, make_signal

from trading.model import events
from trading.model.order import Denied, Rejected, Side
from trading.runtime import drift
from trading.runtime.drift import DriftMeter, Report

BUY = 100_000_000
UNITS = 1_000_000
WINDOW = 12 * STEP
Told = list[tuple[int, Any]]


def a_trade(name: str = "trj_1", at: int = T0, *, sold: int = 110_000_000, rule: str = "take_profit: +10 %") -> Told:
    """Return a whole trade: the opinion, an entry decided at ``at``, and a sale of all ten bars later."""
    entry = make_order(id=f"{name}-in", trajectory_id=name, ts_ns=at, amount_in=BUY)
    leaving = make_exit(id=f"{name}-out", trajectory_id=name, ts_ns=at + 10 * STEP, amount_in=UNITS, reason=rule)
    bought = make_fill(f"{name}-in", ts_ns=at + STEP, lamports=BUY, base_units=UNITS)
    gone = make_fill(f"{name}-out", ts_ns=at + 11 * STEP, side=Side.SELL, lamports=sold, base_units=UNITS)
    who = (name, entry.strategy, entry.bucket)
    return [
        (at, events.SignalRaised(name, make_signal(ts_ns=at))),
        (at, events.OrderApproved(entry, ())),
        (at + STEP, events.OrderFilled(*who, bought)),
        (at + 10 * STEP, events.OrderApproved(leaving, ())),
        (at + 11 * STEP, events.OrderFilled(*who, gone)),
        (at + 11 * STEP, events.PositionClosed(*who, entry.mint, at + 11 * STEP, 0, 0, 10 * STEP, rule)),
    ]


def measured(run: Iterable[tuple[int, Any]], replay: Iterable[tuple[int, Any]]) -> Report:
    """Tell both sides in the order of time, settling at each."""
    meter = DriftMeter(WINDOW, STEP)
    ours, theirs = list(run), list(replay)
    for at in sorted({at for at, _ in (*ours, *theirs)}):
        meter.settle(at)
        for teller, told in ((meter.run, ours), (meter.replay, theirs)):
            for when, event in told:
                if when == at:
                    teller.tell(when, event)
    meter.settle(2 * T0)
    assert not meter.run.trades, "what is over is let go"
    assert not meter.replay.trades
    return meter.finish()


def kinds(report: Report) -> dict[str, int]:
    return {kind: report.lamports[kind] for kind in report.counts}


def changed(told: Told, position: int, change: Callable[[Any], Any]) -> Told:
    at, event = told[position]
    return [*told[:position], (at, change(event)), *told[position + 1 :]]


def with_fill(**changes: Any) -> Callable[[events.OrderFilled], events.OrderFilled]:
    return lambda filled: replace(filled, fill=replace(filled.fill, **changes))


def rejected(told: Told, reason: str, charged: int = 0) -> Told:
    """Return the trade as one whose entry came to nothing."""
    (_, _), (_, approved), *_ = told
    order = approved.order
    who = (order.trajectory_id, order.strategy, order.bucket)
    at = order.ts_ns + STEP
    return [
        *told[:2],
        (at, events.OrderRejected(*who, Rejected(order.id, at, reason, "test", charged))),
        (at, events.PositionClosed(*who, order.mint, at, -charged, 0, 0, f"not filled: {reason}")),
    ]


def denied(told: Told, reason: str) -> Told:
    at, raised = told[0]
    signal = raised.signal
    passed = events.SignalPassed(raised.trajectory_id, signal.strategy, signal.mint, at, Denied(reason, "test"))
    return [told[0], (at, passed)]


def test_the_same_trades_on_both_sides_are_no_drift() -> None:
    told = [*a_trade(), *a_trade("trj_2", T0 + 40 * STEP)]
    report = measured(told, told)
    assert report.total == 0
    assert (report.run_trades, report.replay_trades, report.matched, report.identical) == (2, 2, 2, 2)


def test_another_price_is_found_and_costs_what_it_cost() -> None:
    at_a_loss = changed(a_trade(), 4, with_fill(lamports=109_000_000))
    assert kinds(measured(at_a_loss, a_trade())) == {"price": -1_000_000}


def test_fewer_units_for_the_same_money_are_a_price_and_cost_what_they_would_have_brought() -> None:
    fewer = changed(a_trade(), 2, with_fill(base_units=990_000))
    fewer = changed(fewer, 4, with_fill(base_units=990_000, lamports=108_900_000))
    fewer = changed(fewer, 3, lambda approved: replace(approved, order=replace(approved.order, amount_in=990_000)))
    assert kinds(measured(fewer, a_trade())) == {"price": -1_100_000}


def test_other_fees_are_found() -> None:
    dearer = changed(a_trade(), 4, with_fill(priority_fee_lamports=70_000))
    assert kinds(measured(dearer, a_trade())) == {"fee": -50_000}


def test_the_charge_of_a_failed_transaction_is_a_fee() -> None:
    failed = (T0 + STEP, events.OrderRejected("trj_1", "s", "b", Rejected("other", T0, "failed", "test", 25_000)))
    told = a_trade()
    assert kinds(measured([*told[:2], failed, *told[2:]], told)) == {"fee": -25_000}
    both = measured(rejected(told, "failed", 25_000), rejected(told, "failed", 5_000))
    assert kinds(both) == {"fee": -20_000}
    assert both.matched == 0, "nothing was traded"


def test_a_fill_a_bar_later_is_timing() -> None:
    late = a_trade()
    at, filled = late[4]
    late[4] = (at + STEP, with_fill(ts_ns=at + STEP, lamports=108_000_000)(filled))
    late[5] = (at + STEP, late[5][1])
    assert kinds(measured(late, a_trade())) == {"timing": -2_000_000}


def test_a_fill_seconds_later_at_the_same_price_is_no_difference() -> None:
    at = T0 + STEP + 2_000_000_000
    assert measured(changed(a_trade(), 2, with_fill(ts_ns=at)), a_trade()).total == 0


def test_an_entry_some_bars_later_is_the_same_trade_at_another_time() -> None:
    report = measured(a_trade("trj_late", T0 + 3 * STEP, sold=107_000_000), a_trade())
    assert kinds(report) == {"timing": -3_000_000}
    assert (report.matched, report.identical) == (1, 0)
    [difference] = report.kept
    assert (difference.run_trajectory, difference.replay_trajectory) == ("trj_late", "trj_1")


def test_an_entry_after_the_window_is_another_trade() -> None:
    report = measured(a_trade("trj_later", T0 + 13 * STEP), a_trade())
    assert report.counts == {"signal": 2}
    assert report.matched == 0


def test_another_amount_is_size() -> None:
    larger = changed(a_trade(), 1, lambda approved: replace(approved, order=replace(approved.order, amount_in=2 * BUY)))
    larger = changed(larger, 2, with_fill(lamports=2 * BUY, base_units=2 * UNITS))
    larger = changed(larger, 4, with_fill(lamports=220_000_000, base_units=2 * UNITS))
    assert kinds(measured(larger, a_trade())) == {"size": 10_000_000}


def test_another_opinion_is_a_signal() -> None:
    stronger = changed(a_trade(), 0, lambda raised: replace(raised, signal=replace(raised.signal, edge_bps=301)))
    assert kinds(measured(stronger, a_trade())) == {"signal": 0}


def test_a_sale_for_another_reason_is_a_signal_and_its_price_too() -> None:
    stopped = a_trade(sold=90_000_000, rule="stop_loss: -10 %")
    assert kinds(measured(stopped, a_trade())) == {"signal": -20_000_000}


def test_a_trade_that_only_one_side_had_an_opinion_for_is_a_signal() -> None:
    fees = 2 * 25_000
    assert kinds(measured(a_trade(), [])) == {"signal": 10_000_000 - fees}
    assert kinds(measured([], a_trade())) == {"signal": -10_000_000 + fees}


@pytest.mark.parametrize("come_to_nothing", [rejected, denied])
def test_an_opinion_that_only_the_replay_traded_on_is_missed(come_to_nothing: Callable[[Told, str], Told]) -> None:
    report = measured(come_to_nothing(a_trade(), "expired"), a_trade())
    assert kinds(report) == {"missed": -10_000_000 + 50_000}
    assert "expired" in report.kept[0].run
    assert (report.run_trades, report.replay_trades) == (0, 1)


@pytest.mark.parametrize("come_to_nothing", [rejected, denied])
def test_an_opinion_that_only_the_run_traded_on_is_extra(come_to_nothing: Callable[[Told, str], Told]) -> None:
    report = measured(a_trade(), come_to_nothing(a_trade(), "expired"))
    assert kinds(report) == {"extra": 10_000_000 - 50_000}
    assert "expired" in report.kept[0].replay


def test_what_expired_and_was_tried_again_is_timing_not_missed() -> None:
    again = [*rejected(a_trade(), "expired"), *a_trade("trj_again", T0 + 2 * STEP, sold=108_000_000)]
    report = measured(again, a_trade())
    assert kinds(report) == {"timing": -2_000_000}


def test_a_position_that_one_side_still_holds_counts_as_what_the_other_got_for_it() -> None:
    meter = DriftMeter(WINDOW, STEP)
    for at, event in a_trade():
        meter.run.tell(at, event)
    for at, event in a_trade()[:3]:
        meter.replay.tell(at, event)
    meter.settle(T0 + 20 * STEP)
    report = meter.finish()
    assert kinds(report) == {"extra": 110_000_000 - 25_000}
    assert report.kept[0].replay == "still held"


def test_differences_beyond_the_bound_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "DIFFERENCES_KEPT", 3)
    told: Told = []
    for number in range(5):
        told += a_trade(f"trj_{number}", T0 + number * 40 * STEP)
    report = measured(told, [])
    assert (report.total, len(report.kept)) == (5, 3)
    assert report.lamports["signal"] == 5 * (10_000_000 - 50_000)
