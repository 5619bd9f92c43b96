"""The desk says what it expects before it acts, and keeps account of it."""

from decimal import Decimal

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, ScriptedFeed, merged, script

from trading.engine.forecasting import GONE_BPS, RANKED_DAY_MAX, RANKED_MAX, move_bps
from trading.model import commands, events
from trading.model.forecast import Direction
from trading.model.market_data import Bar
from trading.model.order import Side
from trading.model.units import BPS_ONE
from trading.runtime.strategy_digest import digest

pytestmark = pytest.mark.requirement("T18")

HORIZON = 12
"""Bars until a scripted opinion is due."""


def speaks(*said: tuple[int, str, float]) -> object:
    """Return an opinion: (cycle, mint, strength)."""
    words = {(START_NS + number * INTERVAL_NS, mint): strength for number, mint, strength in said}
    return lambda bar: words.get((bar.ts_close_ns, bar.mint))


def bench_of(*said: tuple[int, str, float], by_reference: bool = True) -> KernelBench:
    return KernelBench(speaks(*said), by_reference=by_reference)  # type: ignore[arg-type]


def test_a_forecast_is_written_before_the_order_and_the_order_states_its_impact() -> None:
    bench = bench_of((2, MINT, 1.0)).feed(script(["1"] * 4))
    rows = [type(event).__name__ for event in bench.events()]
    assert rows.index("ForecastMade") < rows.index("SignalRaised") < rows.index("OrderApproved")
    (made,), (approved,) = bench.events(events.ForecastMade), bench.events(events.OrderApproved)
    forecast, impact = made.forecast, approved.impact
    assert (forecast.direction, forecast.mark_sol, forecast.confidence_bps) == (Direction.UP, Decimal(1), 5_000)
    assert forecast.due_ns == forecast.ts_ns + HORIZON * INTERVAL_NS
    assert made.trajectory_id == approved.order.trajectory_id
    assert impact is not None
    assert impact.forecast_id == forecast.id
    (filled,) = bench.events(events.OrderFilled)
    one_way = (
        filled.fill.pool_fee_lamports
        + filled.fill.impact_lamports
        + filled.fill.network_fee_lamports
        + filled.fill.priority_fee_lamports
    )
    assert abs(impact.cost_lamports - 2 * one_way) <= 2
    gain = approved.order.amount_in * forecast.expected_bps // BPS_ONE
    assert impact.expected_lamports == gain - impact.cost_lamports


def test_a_forecast_is_scored_by_the_price_when_it_is_due() -> None:
    prices = ["1"] * 14 + ["1.05"] + ["2"] * 20
    bench = bench_of((3, MINT, 1.0)).feed(script(prices))
    (scored,) = bench.events(events.ForecastScored)
    # Said at the close of cycle 3 and due twelve bars later, at the close of cycle 15.
    assert scored.score.ts_ns == START_NS + 15 * INTERVAL_NS
    assert (scored.score.realised_bps, scored.score.is_hit) == (500, True)
    assert scored.score.error_bps == scored.score.move_bps - 500
    assert scored.score.brier_ppm == 250_000
    calibration = bench.kernel.state.forecasts.calibration(scored.score.strategy, Direction.UP)
    assert (calibration.count, calibration.hits) == (1, 1)


def test_a_token_that_is_gone_is_a_miss_of_everything_and_a_fall_foreseen_a_hit() -> None:
    prices: list[str | None] = ["1", "1", "1", None, *([None] * 20)]
    quiet = script(["1"] * 24, mint="sim:ZZZ")
    bench = bench_of((2, MINT, 1.0), (3, MINT, -1.0)).feed(merged(script(prices), quiet))
    scores = [event.score for event in bench.events(events.ForecastScored)]
    assert [(each.direction, each.realised_bps, each.is_hit) for each in scores] == [
        (Direction.UP, GONE_BPS, False),
        (Direction.DOWN, -GONE_BPS, True),
    ]
    assert "no longer be sold" in scores[0].reason


def test_an_opinion_repeated_before_it_is_due_is_one_forecast() -> None:
    said = [(number, MINT, 1.0) for number in range(2, 20)]
    bench = bench_of(*said).feed(script(["1"] * 40))
    times = [event.forecast.ts_ns for event in bench.events(events.ForecastMade)]
    assert times == [START_NS + 2 * INTERVAL_NS, START_NS + 14 * INTERVAL_NS]
    assert len(bench.events(events.SignalRaised)) == 18


def test_an_exit_that_no_forecast_asks_for_states_what_it_costs() -> None:
    prices = ["1", "1", "1", "0.9", "0.9"]
    bench = bench_of((2, MINT, 1.0)).feed(script(prices))
    exits = [event for event in bench.events(events.OrderApproved) if event.order.side is Side.SELL]
    assert exits
    for event in exits:
        assert event.impact.forecast_id == ""
        assert event.impact.expected_lamports == -event.impact.cost_lamports < 0


def test_an_order_by_hand_rests_on_no_forecast_and_says_so() -> None:
    bench = bench_of().feed(script(["1", "1"]))
    quote = bench.kernel.venue.quote(MINT, Side.BUY, 10**9)
    assert quote is not None
    least = quote.amount_out
    bench.control.take(commands.PlaceOrder("k", "o", "test", Side.BUY, MINT, "manual", "manual", 10**9, least))
    (approved,) = bench.events(events.OrderApproved)
    assert (approved.impact.forecast_id, bench.events(events.ForecastMade)) == ("", [])


def test_the_ranking_is_written_once_a_day_and_when_a_token_changes_places() -> None:
    days = 400
    deep = script(["1"] * days, mint="sim:BBB", depth_sol=9_000)
    shallow = script(["1"] * days, mint="sim:AAA", depth_sol=500)
    bench = bench_of((5, "sim:AAA", 1.0)).feed(merged(deep, shallow))
    ranked = bench.events(events.UniverseRanked)
    told = [(event.occasion, [each.mint for each in event.ranked]) for event in ranked]
    by_depth, by_edge = ["sim:BBB", "sim:AAA"], ["sim:AAA", "sim:BBB"]
    assert told == [("day", by_depth), ("change", by_edge), ("change", by_depth), ("day", by_depth), ("day", by_depth)]
    assert {event.tokens for event in ranked} == {2}
    best = ranked[1].ranked[0]
    assert best.edge_bps is not None
    assert best.edge_bps > 0
    assert best.volatility_day_bps is None or best.volatility_day_bps > 0


def test_a_ranking_holds_the_first_and_counts_them_all() -> None:
    many = [script(["1"] * 8, mint=f"sim:T{number:03}") for number in range(RANKED_DAY_MAX + 15)]
    bench = bench_of((5, "sim:T210", 1.0)).feed(merged(*many))
    of_day, changed = bench.events(events.UniverseRanked)
    assert (of_day.occasion, of_day.tokens, len(of_day.ranked)) == ("day", RANKED_DAY_MAX + 15, RANKED_DAY_MAX)
    assert (changed.occasion, changed.tokens, len(changed.ranked)) == ("change", RANKED_DAY_MAX + 15, RANKED_MAX)
    assert changed.ranked[0].mint == "sim:T210"


def test_the_ranking_of_a_day_tells_the_volatility_of_every_token_also_of_those_that_nobody_forecasts() -> None:
    cycles = 26 * 12
    wild = script([str(1 + Decimal(number // 12 % 2) / 20) for number in range(cycles)], mint="sim:WILD")
    calm = script(["1"] * cycles, mint="sim:CALM")
    bench = bench_of().feed(merged(wild, calm))
    early, _, late = bench.events(events.UniverseRanked)
    # After a few cycles nobody knows, and nobody guesses.
    assert {(each.volatility_day_bps, each.volatility_hours) for each in early.ranked} == {(None, 0)}
    first, second = late.ranked
    assert (late.occasion, first.mint, second.mint) == ("day", "sim:CALM", "sim:WILD")
    assert (first.edge_bps, first.volatility_day_bps, first.volatility_hours) == (None, 0, 26)
    # An hour up by 5 %, the next one down by 4.76 %: the root of 24 times the mean square is 23.9 % a day.
    assert second.volatility_day_bps == pytest.approx(2_390, abs=50)
    assert fingerprint(bench.restored(ScriptedFeed(merged(wild, calm))).kernel) == fingerprint(bench.kernel)


@pytest.mark.parametrize("stop", [10, 14, 15, 16, 22, 60])
def test_a_desk_stopped_around_the_due_time_scores_like_one_that_was_not(stop: int) -> None:
    prices = [str(Decimal(1) + Decimal(number % 7) / 1_000) for number in range(80)]
    events_all = script(prices)
    said = ((3, MINT, 1.0), (30, MINT, 1.0), (55, MINT, -1.0))
    whole = bench_of(*said).feed(events_all)
    upto = [event for event in events_all if _ts(event) <= START_NS + stop * INTERVAL_NS]
    first = bench_of(*said).feed(upto)
    resumed = first.restored(ScriptedFeed(events_all))
    kernel = resumed.kernel
    kernel._journal = first.journal
    for event in events_all[len(upto) :]:
        kernel.on_event(event)
    first.journal.commit()
    assert len(whole.events(events.ForecastScored)) == 3
    assert first.journal.sha256() == whole.journal.sha256()


def test_a_received_market_scores_in_the_cycle_in_which_it_is_due() -> None:
    bench = bench_of((3, MINT, 1.0), by_reference=False).feed(script(["1"] * 15))
    assert len(bench.events(events.ForecastScored)) == 1


def test_forecasts_decide_nothing() -> None:
    """The orders are those of a desk that keeps no account, whatever came of earlier forecasts."""
    prices = [str(Decimal(1) + Decimal(number % 11) / 100) for number in range(120)]
    said = [(number, MINT, 1.0 if number % 3 else -1.0) for number in range(2, 110)]
    usual, mute = bench_of(*said), bench_of(*said)
    mute.kernel.forecaster.observe = lambda *_, **__: None  # type: ignore[method-assign]
    for bench in (usual, mute):
        bench.feed(script(prices))
    orders = [[event.order for event in bench.events(events.OrderApproved)] for bench in (usual, mute)]
    assert orders[0] == orders[1] != []


@pytest.mark.parametrize(
    ("before", "after", "bps"),
    [("1", "1.05", 500), ("1", "0.95", -500), ("3", "3.0001", 0), ("3", "2.9999", 0), ("1", "1e9", 10_000_000)],
)
def test_moves_are_rounded_towards_nothing_and_bounded(before: str, after: str, bps: int) -> None:
    assert move_bps(Decimal(before), Decimal(after)) == bps


def _ts(event: object) -> int:
    return event.ts_close_ns if isinstance(event, Bar) else event.ts_ns  # type: ignore[attr-defined,no-any-return]


def test_the_digest_of_a_day_tells_how_forecasts_came_true_by_how_sure_of_them_it_was() -> None:
    cycles = 60
    prices = [str(Decimal(1) + Decimal(number % 9) / 1_000) for number in range(cycles)]
    said = tuple((number, MINT, 1.0 if number % 2 else -1.0) for number in range(1, 18))
    bench = bench_of(*said).feed(script(prices))
    # The report of the day comes at midnight, 21 cycles on; the forecasts are due twelve bars after they were made.
    [report] = bench.events(events.WindowReported)
    scored = [each.score for each in bench.events(events.ForecastScored) if each.score.ts_ns <= report.ts_ns]
    assert scored
    for direction in Direction:
        of_it = [each for each in scored if each.direction is direction]
        told = [each for each in report.calibration if each.direction == direction]
        assert sum(each.count for each in told) == len(of_it)
        assert sum(each.hits for each in told) == sum(each.is_hit for each in of_it)
        if of_it:
            assert {each.brier_ppm for each in told} == {sum(each.brier_ppm for each in of_it) // len(of_it)}

    [shown] = digest(bench.kernel, ["momentum_breakout"], "all", 0)["strategies"]
    records = {each["direction"]: each for each in shown["calibration"]}
    for direction, record in records.items():
        known = bench.kernel.state.forecasts.calibration("momentum_breakout", Direction(direction))
        assert (record["count"], record["brier_ppm"]) == (known.count, known.brier_ppm)
        assert sum(each["count"] for each in record["bins"]) == known.count > 0
