"""Money that an order under way will take is nobody else's: no bucket pays what another one owns."""

from decimal import Decimal

import pytest
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import MINT, merged, script

from trading.model import commands, events
from trading.model.order import Side

OTHER = "sim:BBB"
SOL = 10**9


def bench() -> KernelBench:
    """Return a desk that has seen one price of two tokens."""
    made = KernelBench(
        rules=profile(
            order_bps_max=4_000, token_exposure_bps_max=4_000, total_exposure_bps_max=9_000, slippage_bps_max=10_000
        )
    )
    made.feed(merged(script([Decimal(1)]), script([Decimal(1)], mint=OTHER)))
    return made


def buy(bench: KernelBench, mint: str, lamports: int) -> None:
    order = commands.PlaceOrder(mint, "o", "by hand", Side.BUY, mint, "manual", "manual", lamports, 1)
    assert bench.control.take(order).denied is None


def settle(bench: KernelBench) -> None:
    market = merged(script([Decimal(1)] * 2), script([Decimal(1)] * 2, mint=OTHER))
    bench.feed(market[5:])


def cash(bench: KernelBench) -> dict[str, int]:
    ledger = bench.kernel.state.ledger
    return {name: bucket.cash_lamports for name, bucket in ledger.buckets.items()}


@pytest.mark.requirement("T8")
def test_two_orders_by_hand_at_once_are_both_paid_for() -> None:
    desk = bench()
    buy(desk, MINT, 2 * SOL)
    buy(desk, OTHER, 2 * SOL)
    settle(desk)
    assert len(desk.events(events.OrderFilled)) == 2
    assert min(cash(desk).values()) >= 0


@pytest.mark.requirement("T20")
def test_neither_a_withdrawal_nor_a_move_takes_what_an_order_under_way_will_spend() -> None:
    desk = bench()
    buy(desk, MINT, 2 * SOL)
    moved = desk.control.take(commands.MoveCapital("m", "o", "elsewhere", "manual", "momentum_breakout", SOL))
    assert moved.denied is not None
    assert desk.control.take(commands.Withdraw("all", "o", "out", 10 * SOL)).denied is not None
    assert desk.control.take(commands.Withdraw("most", "o", "out", 7 * SOL)).denied is None
    settle(desk)
    assert len(desk.events(events.OrderFilled)) == 1
    assert min(cash(desk).values()) >= 0


@pytest.mark.requirement("T20")
def test_deposits_and_withdrawals_while_a_position_is_open_change_neither_return_nor_drawdown() -> None:
    desk = bench()
    buy(desk, MINT, 2 * SOL)
    settle(desk)
    state = desk.kernel.state
    before = (state.curve.time_weighted_return_bps, state.guard.drawdown_bps, state.guard.day_loss_bps, state.tier)
    assert desk.control.take(commands.Deposit("d", "o", "in", 500 * SOL)).denied is None
    assert desk.control.take(commands.Withdraw("w", "o", "out", 507 * SOL)).denied is None
    market = merged(script([Decimal(1)] * 3), script([Decimal(1)] * 3, mint=OTHER))
    desk.feed(market[8:])
    after = (state.curve.time_weighted_return_bps, state.guard.drawdown_bps, state.guard.day_loss_bps, state.tier)
    assert after == before
