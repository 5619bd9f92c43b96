import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.trading import SOL, T0, make_bounds

from trading.model.account import TradingState
from trading.model.profile import CAUTIOUS, FOUNDATION
from trading.model.trading_day import TradingDay
from trading.model.units import NS_PER_S
from trading.portfolio.performance import EquityCurve
from trading.risk.drawdown import DrawdownGuard

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
DAY = 86_400 * 10**9
# foundation: reduces beyond 15 %, halts beyond 25 %, rests for a day


def _guard(*marks: tuple[int, int]) -> DrawdownGuard:
    guard = DrawdownGuard(make_bounds().limits.drawdown, TradingDay())
    guard.flow(10_000)
    for ts_ns, equity in marks:
        guard.mark(T0 + ts_ns, equity)
    return guard


@pytest.mark.parametrize(
    ("equity", "state"),
    [(12_000, ACTIVE), (8_500, ACTIVE), (8_499, REDUCING), (7_500, REDUCING), (7_499, HALTED), (0, HALTED)],
)
def test_the_state_follows_the_drop_from_the_peak(equity: int, state: TradingState) -> None:
    guard = _guard((0, 10_000))
    assert guard.mark(T0 + 1, equity) is state
    assert guard.state is state


def test_reducing_holds_although_equity_recovers_until_it_has_rested() -> None:
    guard = _guard((0, 10_000), (1, 8_000))
    assert guard.mark(T0 + 2, 9_900) is REDUCING
    assert guard.mark(T0 + DAY, 9_000) is REDUCING
    assert guard.mark(T0 + DAY + 1, 9_000) is ACTIVE
    assert (guard.drawdown_bps, guard.total_drawdown_bps) == (0, 1_000)


def test_losses_after_each_rest_still_add_up_to_a_halt() -> None:
    guard = _guard((0, 10_000), (1, 8_000), (DAY + 1, 8_000))
    assert guard.state is ACTIVE
    assert guard.mark(T0 + DAY + 2, 7_499) is HALTED


def test_a_halt_stays_whatever_equity_does_until_a_person_resumes() -> None:
    guard = _guard((0, 10_000), (1, 5_000), (9 * DAY, 50_000))
    assert guard.state is HALTED
    assert "drawdown of more than 2500 bps" in guard.reason
    assert guard.resume(T0 + 9 * DAY, 5_000) is ACTIVE
    assert (guard.peak_lamports, guard.total_drawdown_bps) == (5_000, 0)
    assert guard.reason == "no limit is crossed"


def test_deposits_and_withdrawals_trip_nothing() -> None:
    guard = _guard((0, 10_000), (1, 9_000))
    before = (guard.drawdown_bps, guard.total_drawdown_bps, guard.day_loss_bps)
    guard.flow(-8_000)
    assert guard.mark(T0 + 2, 1_000) is ACTIVE
    guard.flow(SOL)
    assert guard.mark(T0 + 3, SOL + 1_000) is ACTIVE
    assert (guard.drawdown_bps, guard.total_drawdown_bps, guard.day_loss_bps) == pytest.approx(before, abs=1)


def test_the_days_loss_starts_anew_with_the_utc_day() -> None:
    guard = _guard((0, 10_000), (1, 12_000), (2, 9_500))
    assert guard.day_loss_bps == 500  # against the start of the day, not its high
    guard.mark(T0 + DAY, 9_500)
    assert guard.day_loss_bps == 0


def test_an_operators_demand_holds_until_resume_and_is_never_softened() -> None:
    guard = _guard((0, 10_000))
    assert guard.demand(REDUCING, "night") is REDUCING
    assert guard.reason == "night"
    assert guard.demand(HALTED, "bad news") is HALTED
    assert guard.demand(REDUCING, "less bad") is HALTED
    assert guard.reason == "bad news"
    assert guard.mark(T0 + 5 * DAY, 20_000) is HALTED
    assert guard.resume(T0 + 5 * DAY, 20_000) is ACTIVE


def test_the_more_severe_of_demand_and_drawdown_counts() -> None:
    guard = _guard((0, 10_000))
    guard.demand(REDUCING, "night")
    assert guard.mark(T0 + 1, 5_000) is HALTED
    assert "drawdown" in guard.reason


def test_reducing_by_drawdown_says_so_and_an_operators_word_is_told_apart() -> None:
    guard = _guard((0, 10_000), (1, 8_000))
    assert "1500 bps" in guard.reason
    assert guard.is_reducing_by_drawdown
    asked = _guard((0, 10_000))
    asked.demand(REDUCING, "night")
    assert not asked.is_reducing_by_drawdown


def test_another_profiles_limits_apply_from_the_next_mark() -> None:
    guard = _guard((0, 10_000), (1, 9_000))
    guard.use(CAUTIOUS.limits.drawdown, TradingDay())
    assert guard.mark(T0 + 2, 9_000) is REDUCING


def test_the_limits_of_another_profile_bind_at_the_next_mark_also_where_equity_did_not_move() -> None:
    guard = DrawdownGuard(FOUNDATION.limits.drawdown, TradingDay())
    guard.mark(T0, 1_000_000)
    guard.mark(T0 + 1, 870_000)  # 13 %: within this profile
    assert guard.mark(T0 + 2, 870_000) is TradingState.ACTIVE
    guard.use(CAUTIOUS.limits.drawdown, TradingDay())
    assert guard.mark(T0 + 3, 870_000) is TradingState.HALTED


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["mark", "same", "flow", "resume", "use", "reduce"]), st.integers(-400_000, 2_000_000)
        ),
        max_size=60,
    )
)
def test_a_mark_that_says_nothing_new_changes_nothing_and_hides_nothing(
    steps: list[tuple[str, int]],
) -> None:
    """One guard takes each mark as it is, the other one is made to look anew each time."""
    quick, slow = (DrawdownGuard(FOUNDATION.limits.drawdown, TradingDay()) for _ in range(2))
    curve, plain = EquityCurve(10), EquityCurve(10)
    equity = 1_000_000
    for number, (step, value) in enumerate(steps):
        ts_ns = T0 + number * 3_600 * NS_PER_S
        for guard in (quick, slow):
            match step:
                case "flow":
                    guard.flow(value)
                case "resume":
                    guard.resume(ts_ns, equity)
                case "use":
                    guard.use((FOUNDATION if value % 2 else CAUTIOUS).limits.drawdown, TradingDay())
                case "reduce":
                    guard.demand(TradingState.REDUCING, "o")
        if step == "flow":
            equity += value
            curve.flow(value)
            plain.flow(value)
        elif step == "mark":
            equity = abs(value)
        slow._is_settled = plain._is_settled = False
        assert quick.mark(ts_ns, equity) is slow.mark(ts_ns, equity)
        assert curve.mark(ts_ns, equity) == plain.mark(ts_ns, equity)
        seen = [
            (each.state, each.reason, each.drawdown_bps, each.total_drawdown_bps, each.day_loss_bps, each.peak_lamports)
            for each in (quick, slow)
        ]
        assert seen[0] == seen[1]
        assert (curve.peak_lamports, curve.max_drawdown_bps, curve.returns()) == (
            plain.peak_lamports,
            plain.max_drawdown_bps,
            plain.returns(),
        )
