"""One decision at a time: what the kernel does with a market that a test wrote."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint, profile
from tests.doubles.scripted_market import (
    INTERVAL_NS,
    MINT,
    START_NS,
    ScriptedFeed,
    ScriptedStrategy,
    bar,
    instrument,
    merged,
    script,
)

from trading.adapters.canonical import parse_json
from trading.engine.inputs import HISTORY, decode_input
from trading.errors import DataError
from trading.execution.simulated_venue import SimulatedVenue
from trading.model import commands, events
from trading.model.account import TradingState
from trading.model.market_data import Bar, CycleEnd, History, MarketEvent, TokenListed
from trading.model.order import Side, Signal
from trading.model.profile import FOUNDATION
from trading.strategies.momentum_breakout import MomentumBreakout


def at(*numbers: int, strength: float = 1.0):
    """Return an opinion that speaks about the bars of these cycles only."""
    closes = {START_NS + number * INTERVAL_NS for number in numbers}
    return lambda seen: strength if seen.ts_close_ns in closes else None


def test_an_order_decided_at_a_close_fills_at_the_next_open() -> None:
    feed = script(["1", "2", "3"])
    bench = KernelBench(at(2)).feed(feed)
    approved = bench.events(events.OrderApproved)[0]
    [filled] = bench.events(events.OrderFilled)
    assert approved.order.ts_ns == START_NS + 2 * INTERVAL_NS
    assert filled.fill.ts_ns == START_NS + 2 * INTERVAL_NS  # the open of bar 3, which is the close of bar 2
    price = Decimal(filled.fill.lamports) / filled.fill.base_units / 1_000
    assert Decimal(2) < price < Decimal("2.02")


def test_every_input_is_journalled_before_anything_that_rests_on_it() -> None:
    bench = KernelBench(at(1)).feed(script(["1", "1"]))
    kinds = bench.kinds()
    # header, capital, listing, the bar and the end of cycle 1, then what was decided
    assert kinds[:4] == ["run_started", "capital_deposited", "token_listed", "input"]
    assert kinds[4:7] == ["forecast_made", "universe_ranked", "signal_raised"]
    assert kinds[7:9] == ["order_approved", "cycle_marked"]
    # the bar of cycle 2 comes before the fill that it caused
    assert kinds[9:11] == ["input", "order_filled"]


def test_a_recorded_bar_is_kept_by_reference_and_a_received_one_by_value() -> None:
    recorded = KernelBench().feed(script(["1"]))
    received = KernelBench(by_reference=False).feed(script(["1"]))
    rows = [row.body for row in recorded.journal.rows(kinds=("input",))]
    assert rows == [b'{"events":2,"from":"script:sim:AAA:1","to":%d}' % (START_NS + INTERVAL_NS)]
    value = next(row.body for row in received.journal.rows(kinds=("input",)))
    assert b'"ohlcv":["1","1","1","1","1000"]' in value


def test_a_signal_that_cannot_be_acted_on_ends_in_a_row_with_its_reason() -> None:
    bench = KernelBench(at(2, strength=-1.0)).feed(script(["1", "1"]))
    [passed] = bench.events(events.SignalPassed)
    assert passed.denied.reason == "no_position"
    assert bench.kernel.state.denials == {"no_position": 1}


def test_every_signal_has_exactly_one_consequence() -> None:
    prices = [str(Decimal(100 + (number * 7) % 13) / 100) for number in range(60)]
    bench = KernelBench(lambda seen: 1.0 if seen.ts_close_ns // INTERVAL_NS % 3 else -1.0).feed(script(prices))
    raised = bench.events(events.SignalRaised)
    consequences = bench.events(events.SignalPassed, events.OrderDenied, events.OrderApproved)
    by_rule = [
        each
        for each in bench.events(events.OrderApproved)
        if each.order.side is Side.SELL and not each.order.reason.startswith("signal")
    ]
    assert len(raised) == 60
    overlapping = sum(
        any(one.signal.ts_ns == each.order.ts_ns and one.signal.strength < 0 for one in raised) for each in by_rule
    )
    assert len(consequences) == len(raised) + len(by_rule) - overlapping


def test_exits_come_before_entries_in_a_cycle() -> None:
    one, other = script(["1"] * 4), script(["1"] * 4, mint="sim:BBB")

    def opinion(seen: Bar) -> float | None:
        number = (seen.ts_close_ns - START_NS) // INTERVAL_NS
        if number == 1 and seen.mint == MINT:
            return 1.0
        if number == 3:
            return -1.0 if seen.mint == MINT else 1.0
        return None

    bench = KernelBench(opinion).feed(merged(one, other))
    at_three = [
        each.order.side for each in bench.events(events.OrderApproved) if each.order.ts_ns == START_NS + 3 * INTERVAL_NS
    ]
    assert at_three == [Side.SELL, Side.BUY]


def test_the_better_opinion_is_acted_on_first() -> None:
    feed = merged(script(["1"] * 3), script(["1"] * 3, mint="sim:BBB"))
    rules = profile(positions_max=1)
    bench = KernelBench(lambda seen: 0.5 if seen.mint == MINT else 0.9, rules=rules).feed(feed)
    assert next(each.order.mint for each in bench.events(events.OrderApproved)) == "sim:BBB"
    assert bench.kernel.state.denials["positions"] >= 1


@pytest.mark.requirement("T7")
def test_crossing_the_drawdown_limit_sells_everything_in_that_event_and_buys_nothing_more() -> None:
    rules = profile(
        drawdown_reducing_bps=300,
        drawdown_halted_bps=600,
        order_bps_max=9_000,
        token_exposure_bps_max=9_000,
        total_exposure_bps_max=9_000,
        day_loss_bps_max=10_000,
        gap_token_bps_max=10_000,
        gap_joint_bps_max=10_000,
    )
    rules = rules.model_copy(
        update={
            "sizing": rules.sizing.model_copy(update={"probe_bps": 8_000, "volatility_target_bps": 10_000}),
            "exits": rules.exits.model_copy(update={"stop_loss_bps": 0}),
        }
    )
    bench = KernelBench(lambda _: 1.0, rules=rules).feed(script(["1", "1", "0.80", "0.80", "0.80"]))
    [changed] = bench.events(events.TradingStateChanged)
    assert (changed.before, changed.after) == (TradingState.ACTIVE, TradingState.HALTED)
    crossed_ns = changed.ts_ns
    assert crossed_ns == START_NS + 3 * INTERVAL_NS
    later = [each.order for each in bench.events(events.OrderApproved) if each.order.ts_ns >= crossed_ns]
    assert [order.side for order in later] == [Side.SELL]
    assert later[0].ts_ns == crossed_ns
    assert bench.kernel.state.ledger.positions() == []
    assert bench.kernel.state.denials["state_halted"] == 3


def test_a_token_that_is_gone_is_written_off_and_its_trajectory_closed() -> None:
    bench = KernelBench(at(1)).feed(script(["1", "1", None]))
    [off] = bench.events(events.PositionWrittenOff)
    [closed] = bench.events(events.PositionClosed)
    assert closed.trajectory_id == off.trajectory_id
    assert closed.realised_lamports < 0
    assert closed.return_bps == -10_000
    assert bench.kernel.state.ledger.positions() == []
    [marked] = bench.events(events.CycleMarked)[-1:]
    assert marked.exposure_lamports == 0


def test_an_entry_that_never_fills_closes_its_trajectory_with_what_it_cost() -> None:
    feed = script(["1", "1"])
    # the next bar opens far above the bound of the order
    feed[-2] = bar(2, "2", opens="2")
    bench = KernelBench(at(1)).feed(feed)
    [rejected] = bench.events(events.OrderRejected)
    [closed] = bench.events(events.PositionClosed)
    assert rejected.rejected.reason == "slippage"
    assert closed.reason.startswith("not filled")
    assert closed.realised_lamports == -rejected.rejected.charged_lamports < 0


def test_a_position_is_sold_when_its_time_is_over() -> None:
    rules = profile()
    rules = rules.model_copy(update={"exits": rules.exits.model_copy(update={"holding_s_max": 900})})
    bench = KernelBench(at(1), rules=rules).feed(script(["1"] * 8))
    [closed] = bench.events(events.PositionClosed)
    assert closed.reason.startswith("holding_time")
    assert closed.holding_ns == 3 * INTERVAL_NS


def test_a_winner_is_sold_by_its_trailing_stop_not_by_the_price_before_the_entry() -> None:
    prices = ["3", "1", "1", "1.10", "1.13", "1.07", "1.07"]
    bench = KernelBench(at(2)).feed(script(prices))
    [closed] = bench.events(events.PositionClosed)
    assert closed.reason.startswith("trailing_stop")
    assert closed.realised_lamports > 0


@pytest.mark.requirement("T20")
def test_deposits_and_withdrawals_are_no_return_trip_no_limit_and_jump_no_tier() -> None:
    bench = KernelBench().feed(script(["1"] * 2))
    bench.control.take(commands.Deposit("d", "o", "more money", 30 * 10**9))
    state = bench.kernel.state
    assert state.equity_lamports == 40 * 10**9
    bench.feed(script(["1"] * 4)[3:])
    assert state.curve.time_weighted_return_bps == 0
    assert state.tier.name == "foundation"
    bench.control.take(commands.Withdraw("w", "o", "rent is due", 35 * 10**9))
    bench.feed([bar(5, "1"), CycleEnd(START_NS + 5 * INTERVAL_NS, None)])
    assert state.equity_lamports == 5 * 10**9
    assert state.trading_state is TradingState.ACTIVE
    assert state.curve.drawdown_bps == 0
    assert state.ledger.net_deposits_lamports == 5 * 10**9


def test_a_restored_kernel_knows_what_the_first_one_knew() -> None:
    prices = [str(Decimal(1000 + (number * 37) % 97 - (number * 11) % 53) / 1000) for number in range(80)]
    feed = ScriptedFeed(script(prices))
    bench = KernelBench(lambda seen: 1.0 if int(seen.close * 1000) % 5 == 0 else None).feed(list(feed.events()))
    assert bench.kernel.state.fills_total >= 4
    assert fingerprint(bench.restored(feed).kernel) == fingerprint(bench.kernel)


def test_a_run_of_received_bars_is_restored_from_its_rows_alone() -> None:
    feed = script([str(Decimal(100 + number % 9) / 100) for number in range(40)])
    bench = KernelBench(at(3, 9, 20), by_reference=False).feed(feed)
    assert fingerprint(bench.restored(None).kernel) == fingerprint(bench.kernel)


def test_a_recorded_feed_that_changed_is_refused() -> None:
    bench = KernelBench().feed(script(["1", "1"]))
    other = [event for event in script(["1", "1"]) if not isinstance(event, TokenListed)]
    with pytest.raises(DataError, match="no longer gives"):
        bench.restored(ScriptedFeed([TokenListed(START_NS, instrument("sim:CCC"), "x"), *other]))


def test_a_strategy_sees_each_closed_bar_once_and_never_a_later_one() -> None:
    strategy = ScriptedStrategy(lambda _: None)
    feed = script(["1", "2", "3"])
    bench = KernelBench()
    bench.kernel.strategies = [strategy]
    for event in feed:
        bench.kernel.on_event(event)
        newest = max((seen.ts_close_ns for seen in strategy.seen), default=0)
        assert newest <= bench.kernel.state.now_ns
    assert [str(seen.close) for seen in strategy.seen] == ["1", "2", "3"]
    assert isinstance(bench.kernel.venue, SimulatedVenue)


def past(numbers: range, *, at: int, price: str = "1") -> History:
    """Return the bars of those cycles as history that arrives at the end of cycle ``at``."""
    bars = [replace(bar(number, price), sol_usd=None, pool_lamports=None, source="script:past") for number in numbers]
    return History(START_NS + at * INTERVAL_NS, MINT, tuple(bars), "script:past")


def joined_late(*more: MarketEvent) -> list[MarketEvent]:
    """Return a market of four cycles whose token comes with a past of ten."""
    events = script(["1"] * 4)
    return [events[0], past(range(-9, 1), at=1), *more, *events[1:]]


@pytest.mark.parametrize("by_reference", [True, False])
def test_a_past_warms_the_strategies_up_and_nothing_is_decided_on_it(by_reference: bool) -> None:
    bench = KernelBench(lambda seen: 1.0 if seen.source == "script:past" else None, by_reference=by_reference)
    bench.feed(joined_late())
    [strategy] = bench.kernel.strategies
    assert isinstance(strategy, ScriptedStrategy)
    closes = [(seen.ts_close_ns - START_NS) // INTERVAL_NS for seen in strategy.seen]
    assert closes == list(range(-9, 5))
    assert bench.events(events.SignalRaised, events.OrderApproved) == []
    assert bench.kernel.bars == 4
    [row] = bench.journal.rows(kinds=(HISTORY,))
    assert decode_input(row.kind, row.ts_ns, parse_json(row.body)) == past(range(-9, 1), at=1)


def test_bars_that_the_strategies_know_or_that_lie_ahead_are_no_history() -> None:
    feed = script(["1"] * 4)
    again = [past(range(-3, 4), at=3), past(range(-3, 3), at=3), past(range(3, 9), at=3)]
    bench = KernelBench().feed([*feed[:5], *again, *feed[5:]])  # two cycles had passed: of the first only bar 3 is new
    [strategy] = bench.kernel.strategies
    assert isinstance(strategy, ScriptedStrategy)
    assert [(seen.ts_close_ns - START_NS) // INTERVAL_NS for seen in strategy.seen] == [1, 2, 3, 3, 4]
    assert len(list(bench.journal.rows(kinds=(HISTORY,)))) == 1


def test_history_is_restored_from_the_rows_and_from_a_recorded_feed_alike() -> None:
    feed = joined_late(past(range(-9, 1), at=1))  # told twice: the second time it is no news
    for by_reference in (True, False):
        bench = KernelBench(at(2), by_reference=by_reference).feed(feed)
        other = bench.restored(ScriptedFeed(feed) if by_reference else None)
        assert fingerprint(other.kernel) == fingerprint(bench.kernel)
        seen = [[each.ts_close_ns for each in one.kernel.strategies[0].seen] for one in (bench, other)]  # type: ignore[attr-defined]
        assert seen[0] == seen[1]


@pytest.mark.requirement("T7")
def test_a_past_counts_for_the_risk_budget_at_once_and_after_a_restart() -> None:
    market = script(["1"] * 4)
    feed = [market[0], past(range(-999, 1), at=1, price="2"), *market[1:]]
    bench = KernelBench().feed(feed)
    other = bench.restored(ScriptedFeed(feed))
    for each in (bench, other):
        assert each.kernel.state.returns.hours(MINT) >= FOUNDATION.limits.cvar_history_h_min
        tail = each.kernel.valuer.tail(each.kernel.valuer.value(), MINT)
        assert tail is not None
        assert tail.token is not None
    assert fingerprint(other.kernel) == fingerprint(bench.kernel)


def test_real_strategies_may_speak_at_once_after_a_past_as_long_as_their_warm_up() -> None:
    prices = [str(Decimal(1000 + number + (number * 37) % 23) / 1000) for number in range(700)]
    events_all = script([*prices, *["2.3"] * 3])
    events_all[-6] = replace(events_all[-6], volume=Decimal(9_000))  # the breakout has volume behind it
    warm = [seen for seen in events_all if isinstance(seen, Bar)][:700]
    late = [events_all[0], History(warm[-1].ts_close_ns, MINT, tuple(warm), "x"), *events_all[1 + 1_400 :]]
    said: list[list[Signal | None]] = []
    for feed in (events_all, late):
        strategy = MomentumBreakout()
        bench = KernelBench()
        bench.kernel.strategies = [strategy]
        bench.feed([replace(feed[0], ts_ns=0), *feed[1:]])
        said.append([each.signal for each in bench.events(events.SignalRaised)])
    assert said[0] == said[1] != []
