import pytest

from trading.model.account import RoundTrip, TrackRecord
from trading.portfolio import statistics
from trading.portfolio.performance import (
    RECORD_TRADES_MAX,
    ROUND_TRIPS_MAX,
    EquityCurve,
    Skill,
    TrackRecords,
    skill,
    track_record,
)

HOUR = 3_600 * 10**9
SOL = 10**9


def _curve(*marks: tuple[int, int]) -> EquityCurve:
    curve = EquityCurve(HOUR)
    curve.flow(2 * SOL)
    for ts_ns, equity in marks:
        curve.mark(ts_ns, equity)
    return curve


def test_return_and_drawdown_follow_equity() -> None:
    curve = _curve((0, 2 * SOL), (1, 3 * SOL), (2, 24 * SOL // 10))
    assert (curve.time_weighted_return_bps, curve.drawdown_bps, curve.peak_lamports) == (2_000, 2_000, 3 * SOL)
    curve.mark(3, 3 * SOL)
    assert (curve.drawdown_bps, curve.max_drawdown_bps) == (0, 2_000)
    assert curve.equity_lamports == 3 * SOL


@pytest.mark.requirement("T20")
def test_a_deposit_changes_neither_return_nor_drawdown() -> None:
    curve = _curve((0, 2 * SOL), (1, 22 * SOL // 10), (2, 198 * SOL // 100))
    before = (curve.time_weighted_return_bps, curve.drawdown_bps)
    curve.flow(18 * SOL + 2 * SOL // 100)
    assert (curve.time_weighted_return_bps, curve.mark(3, 20 * SOL)) == before
    curve.mark(4, 22 * SOL)
    assert curve.time_weighted_return_bps == 890  # 0.99 * 1.1 - 1
    assert curve.net_flows_lamports == 20 * SOL + 2 * SOL // 100
    assert curve.grown_lamports(2 * SOL) == 2 * SOL * 99 * 11 // 1_000


def test_a_withdrawal_of_everything_keeps_the_return_that_was_made() -> None:
    curve = _curve((0, 2 * SOL), (1, 3 * SOL))
    curve.flow(-3 * SOL)
    curve.mark(2, 0)
    assert curve.time_weighted_return_bps == 5_000
    curve.flow(SOL)
    curve.mark(3, SOL // 2)
    assert curve.time_weighted_return_bps == -2_500


def test_returns_are_taken_from_the_last_mark_of_each_period() -> None:
    curve = _curve((0, 2 * SOL), (5, 4 * SOL), (HOUR, 3 * SOL), (HOUR + 1, 2 * SOL), (5 * HOUR, SOL))
    assert curve.returns() == [1.0, -0.5]
    assert curve.moments().count == 2


def test_returns_after_total_loss_are_not_infinite() -> None:
    curve = _curve((0, 0), (HOUR, 0), (2 * HOUR, 0))
    assert curve.returns() == [-1.0]


def _trip(n: int, realised: int, strategy: str = "s") -> RoundTrip:
    return RoundTrip(f"t{n}", "b", strategy, "m", n * HOUR, (n + 1) * HOUR, SOL, SOL + realised, realised, 10 + n, 2)


def test_a_record_counts_wins_and_means_for_sizing() -> None:
    trips = [_trip(0, SOL // 10), _trip(1, SOL // 5), _trip(2, -SOL // 20), _trip(3, 0)]
    assert track_record(trips) == TrackRecord(4, 2, 1_500, 250)
    assert track_record([]) == TrackRecord()


def test_a_window_holds_the_trades_that_closed_in_it() -> None:
    records = TrackRecords()
    for n in range(4):
        records.add(_trip(n, SOL // 10 if n % 2 else -SOL // 10))
    window = records.window("s", since_ns=2 * HOUR, until_ns=4 * HOUR)
    assert (window.trades, window.wins, window.realised_lamports) == (2, 1, 0)
    assert (window.evidence, window.win_rate_bps) == (("t1", "t2"), 5_000)
    assert (window.mean_return_bps, window.mean_slippage_bps, window.mean_holding_s) == (0, 12, 3_600)
    assert records.window("s").trades == 4
    assert records.of("s") == records.window("s").record
    assert (records.trades("s"), records.wins("s"), records.realised_lamports("s")) == (4, 2, 0)
    assert records.names() == ["s"]


def test_a_strategy_that_never_traded_has_an_empty_record() -> None:
    records = TrackRecords()
    window = records.window("nobody")
    assert (window.trades, window.win_rate_bps, window.mean_return_bps) == (0, None, None)
    assert records.of("nobody") == TrackRecord()
    assert (records.trades("nobody"), records.wins("nobody"), records.realised_lamports("nobody")) == (0, 0, 0)


def test_the_record_for_sizing_is_that_of_the_newest_trades() -> None:
    records = TrackRecords()
    trips = [_trip(n, (n * 7919 % 401 - 200) * SOL // 1_000) for n in range(3 * RECORD_TRADES_MAX)]
    for n, trip in enumerate(trips, 1):
        records.add(trip)
        assert records.of("s") == track_record(trips[max(0, n - RECORD_TRADES_MAX) : n])


def test_totals_outlive_the_trades_that_are_kept() -> None:
    records = TrackRecords()
    for n in range(ROUND_TRIPS_MAX + 5):
        records.add(_trip(n, 1))
    assert (records.trades("s"), records.window("s").trades) == (ROUND_TRIPS_MAX + 5, ROUND_TRIPS_MAX)


def test_skill_is_a_sharpe_a_year_and_the_chance_that_it_is_no_luck() -> None:
    of = statistics.moments([0.01, -0.005, 0.012, 0.003, -0.002, 0.008] * 10)
    alone, among_many = skill(of, 1, None, 86_400), skill(of, 1_000, None, 86_400)
    per_day = statistics.sharpe(of)
    assert per_day is not None
    assert alone.sharpe == among_many.sharpe == statistics.annualised(per_day, 86_400)
    assert alone.deflated_sharpe == statistics.deflated_sharpe(per_day, of, 1)
    assert among_many.deflated_sharpe is not None
    assert alone.deflated_sharpe is not None
    assert among_many.deflated_sharpe < alone.deflated_sharpe
    assert (among_many.trials, among_many.periods) == (1_000, 60)


def test_returns_that_never_vary_show_no_skill() -> None:
    assert skill(statistics.moments([0.0, 0.0]), 3, None, 86_400) == Skill(None, None, 3, 2)
