"""Money that moves by itself: it trips no limit, jumps no tier and leaves the time-weighted return as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, cycles_of, profile
from tests.doubles.scripted_market import MINT, merged, script

from trading.engine.state import DeskState
from trading.model import commands, events
from trading.model.market_data import MarketEvent
from trading.model.network import SIGNATURE_FEE_LAMPORTS
from trading.model.order import Side
from trading.model.profile import Profile
from trading.model.units import BPS_ONE, ceil_div
from trading.portfolio.performance import EquityCurve
from trading.risk.drawdown import DrawdownGuard

OTHER = "sim:BBB"
SOL = 10**9
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rules() -> Profile:
    """Return a profile that holds what it bought by hand, but for its limits on drawdown."""
    wanted = profile(
        order_bps_max=9_000,
        token_exposure_bps_max=9_000,
        total_exposure_bps_max=9_000,
        gap_token_bps_max=10_000,
        gap_joint_bps_max=10_000,
        slippage_bps_max=10_000,
        cvar_bps_max=10_000,
        turnover_bps_day_max=1_000_000,
    )
    off = {"stop_loss_bps": 0, "trailing_stop_bps": 0, "take_profit_bps": 0}
    return wanted.model_copy(update={"exits": wanted.exits.model_copy(update=off)})


def market(one: Sequence[int], two: Sequence[int]) -> list[MarketEvent]:
    """Return two tokens of which every price is there for three cycles: an order of the first fills in the second."""

    def prices(jumps: Sequence[int]) -> list[Decimal]:
        price, found = Decimal(1), [Decimal(1)] * 3
        for jump in jumps:
            price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            found += [price] * 3
        return found

    return merged(script(prices(one)), script(prices(two), mint=OTHER))


jumps = st.lists(st.integers(-60, 60), min_size=6, max_size=12)
deposits = st.builds(commands.Deposit, st.uuids().map(str), st.just("o"), st.just("in"), st.integers(1, 10**13))
withdrawals = st.builds(commands.Withdraw, st.uuids().map(str), st.just("o"), st.just("out"), st.integers(1, 10**11))
moves = st.builds(
    commands.MoveCapital,
    st.uuids().map(str), st.just("o"), st.just("over"),
    st.just("momentum_breakout"), st.just("manual"), st.integers(1, 10**10),
)  # fmt: skip
sales = st.builds(
    commands.ClosePosition,
    st.uuids().map(str), st.just("o"), st.just("sell"), st.sampled_from([MINT, OTHER]), st.just(100),
)  # fmt: skip
happenings = st.dictionaries(st.integers(1, 12), st.one_of(deposits, withdrawals, moves, sales), min_size=1)


@dataclass(frozen=True)
class Standing:
    """What money that moves by itself must leave as it is."""

    return_bps: int
    drawdown_bps: int
    total_drawdown_bps: int
    day_loss_bps: int
    tier: str
    states: tuple[object, ...]

    @classmethod
    def of(cls, state: DeskState) -> "Standing":
        guard = state.guard
        figures = (guard.drawdown_bps, guard.total_drawdown_bps, guard.day_loss_bps)
        states = (state.trading_state, state.entries_allowed, state.levels.held("manual", "manual"))
        return cls(state.curve.time_weighted_return_bps, *figures, state.tier.name, states)


def breaches(bench: KernelBench, events_: list[MarketEvent], hand: dict[int, commands.Command]) -> list[str]:
    """Buy both tokens by hand, let these commands happen at still prices, and say what they changed."""
    found: list[str] = []
    state = bench.kernel.state
    cycles = cycles_of(events_)
    bench.feed(cycles[0])
    for mint in (MINT, OTHER):
        order = commands.PlaceOrder(mint, "o", "by hand", Side.BUY, mint, "manual", "manual", 2 * SOL, 1)
        assert bench.control.take(order).denied is None
    for cycle in cycles[1:3]:
        bench.feed(cycle)
    for number in range(1, len(cycles) // 3):
        bench.feed(cycles[3 * number])
        command = hand.get(number)
        before, told = Standing.of(state), len(bench.events(events.TradingStateChanged, events.TierChanged))
        outcome = None if command is None else bench.control.take(command)
        for cycle in cycles[3 * number + 1 : 3 * number + 3]:
            bench.feed(cycle)
        if outcome is None or outcome.denied is not None:
            continue
        fees = len(outcome.orders) * (SIGNATURE_FEE_LAMPORTS + state.profile.priority_fee_lamports)
        slack = 1 + ceil_div(fees * BPS_ONE, max(1, state.equity_lamports))
        after = Standing.of(state)
        if len(bench.events(events.TradingStateChanged, events.TierChanged)) != told:
            found.append(f"{command} changed a state or the tier")
        if (before.tier, before.states) != (after.tier, after.states):
            found.append(f"{command}: {before} became {after}")
        if abs(after.return_bps - before.return_bps) > slack:
            found.append(f"{command}: the return went from {before.return_bps} to {after.return_bps} bps")
        found += [
            f"{command}: {name} went from {getattr(before, name)} to {getattr(after, name)}"
            for name in ("drawdown_bps", "total_drawdown_bps", "day_loss_bps")
            if getattr(after, name) > getattr(before, name) + slack
        ]
    return found


@pytest.mark.requirement("T20")
@SETTINGS
@given(jumps, jumps, happenings)
def test_deposits_withdrawals_moves_and_sales_by_hand_change_no_limit_no_tier_and_no_return(
    one: list[int], two: list[int], hand: dict[int, commands.Command]
) -> None:
    assert breaches(KernelBench(rules=rules(), equity=19 * SOL), market(one, two), hand) == []


HAND: dict[int, commands.Command] = {
    2: commands.Deposit("d", "o", "in", 50 * SOL),
    4: commands.Withdraw("w", "o", "out", 60 * SOL),
}


def test_the_checker_catches_a_desk_that_takes_a_deposit_for_a_profit_and_a_withdrawal_for_a_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    still = market([0] * 6, [0] * 6)
    assert breaches(KernelBench(rules=rules(), equity=19 * SOL), still, HAND) == []
    bench = KernelBench(rules=rules(), equity=19 * SOL)
    for each in (EquityCurve, DrawdownGuard):
        monkeypatch.setattr(each, "flow", lambda _self, _amount: None)
    told = " ".join(breaches(bench, still, HAND))
    for word in ("changed a state or the tier", "the return went from", "total_drawdown_bps went from"):
        assert word in told
