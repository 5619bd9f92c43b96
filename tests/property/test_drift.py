"""Whatever two runs did, the differences that the meter finds add up to the difference of their cash."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.trading import MINT, STEP, T0, make_fill, make_order, make_signal

from trading.model import events
from trading.model.order import Purpose, Rejected, Side
from trading.runtime.drift import DriftMeter

LEG = st.tuples(
    st.booleans(),  # a buy
    st.integers(1, 10**12),  # lamports
    st.integers(1, 10**15),  # base units
    st.integers(0, 10**7),  # fees on top
    st.integers(0, 40),  # decided so many bars after the entry
    st.sampled_from(["stop_loss: x", "signal: y", "gap: z"]),
    st.integers(1, 10**12),  # amount in
)
TRADE = st.tuples(
    st.integers(0, 5),  # name
    st.integers(0, 60),  # began at this bar
    st.sampled_from(["a", "b"]),  # bucket
    st.integers(1, 3),  # edge
    st.lists(LEG, max_size=5),
    st.lists(st.integers(0, 10**6), max_size=2),  # charges
    st.booleans(),  # closed
)


def told(trades: list[Any]) -> tuple[list[tuple[int, Any]], int]:
    """Return the events of one side and what they do to its cash."""
    found: list[tuple[int, Any]] = []
    cash, seen = 0, set()
    for name, bar, bucket, edge, legs, charges, is_closed in trades:
        if name in seen:
            continue
        seen.add(name)
        trajectory, at = f"trj_{name}", T0 + bar * STEP
        who = (trajectory, "s", bucket)
        entry = make_order(id=f"{name}-first", trajectory_id=trajectory, bucket=bucket, strategy="s", ts_ns=at)
        found.append((at, events.SignalRaised(trajectory, make_signal(strategy="s", edge_bps=edge))))
        found.append((at, events.OrderApproved(entry, ())))
        for number, (is_buy, lamports, units, paid, later, reason, amount) in enumerate(legs):
            side = Side.BUY if is_buy else Side.SELL
            purpose = Purpose.ENTRY if is_buy else Purpose.EXIT
            when = at + later * STEP
            order = make_order(
                id=f"{name}-{number}", trajectory_id=trajectory, side=side, purpose=purpose, reason=reason,
                amount_in=amount, bucket=bucket, strategy="s",
            )  # fmt: skip
            fill = make_fill(
                order.id, ts_ns=when, side=side, lamports=lamports, base_units=units, network_fee_lamports=paid,
                priority_fee_lamports=0,
            )  # fmt: skip
            found += [(when, events.OrderApproved(order, ())), (when, events.OrderFilled(*who, fill))]
            cash += (-lamports if is_buy else lamports) - paid
        for charged in charges:
            found.append((at + STEP, events.OrderRejected(*who, Rejected("none", at, "failed", "", charged))))
            cash -= charged
        if is_closed:
            when = at + 41 * STEP
            found.append((when, events.PositionClosed(*who, MINT, when, 0, 0, 0, "closed")))
    return sorted(found, key=lambda each: each[0]), cash


@given(st.lists(TRADE, max_size=6), st.lists(TRADE, max_size=6))
def test_the_differences_add_up_to_the_cash(run: list[Any], replay: list[Any]) -> None:
    (ours, our_cash), (theirs, their_cash) = told(run), told(replay)
    meter = DriftMeter(12 * STEP, STEP)
    for at in sorted({at for at, _ in (*ours, *theirs)}):
        meter.settle(at)
        for teller, side in ((meter.run, ours), (meter.replay, theirs)):
            for when, event in side:
                if when == at:
                    teller.tell(when, event)
    report = meter.finish()
    assert report.attributed_lamports == our_cash - their_cash
    assert sum(each.lamports for each in report.kept) == our_cash - their_cash


@given(st.lists(TRADE, max_size=6))
def test_a_run_beside_itself_has_no_difference(run: list[Any]) -> None:
    side, _ = told(run)
    meter = DriftMeter(12 * STEP, STEP)
    for at, event in side:
        meter.settle(at)
        meter.run.tell(at, event)
        meter.replay.tell(at, event)
    report = meter.finish()
    assert report.total == 0
    assert report.identical == report.matched
