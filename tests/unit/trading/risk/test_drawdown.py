import pytest
from tests.support.trading import SOL, T0, make_bounds

from trading.model.account import TradingState
from trading.model.profile import CAUTIOUS
from trading.risk.drawdown import DrawdownGuard

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
DAY = 86_400 * 10**9
# foundation: reduces beyond 15 %, halts beyond 25 %, rests for a day


def _guard(*marks: tuple[int, int]) -> DrawdownGuard:
    guard = DrawdownGuard(make_bounds().limits)
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
    guard.use(CAUTIOUS.limits)
    assert guard.mark(T0 + 2, 9_000) is REDUCING
