"""Drawdown defence of wallets, buckets and strategies: each for itself, in the event in which a limit is crossed."""

from decimal import Decimal

import pytest
from tests.doubles.kernel_bench import KernelBench, cycles_of, levels_of, profile
from tests.doubles.scripted_market import MINT, ScriptedFeed, merged, script

from trading.adapters.canonical import parse_json
from trading.errors import InvalidInput
from trading.model import commands, events
from trading.model.account import Level, TradingState
from trading.model.event_codec import KINDS, decode
from trading.model.order import Denied, Side
from trading.model.profile import PROFILES, Limits, Profile
from trading.model.trading_day import TradingDay
from trading.risk.levels import WALLET

pytestmark = pytest.mark.requirement("T7")
OTHER = "sim:BBB"
OWN = "momentum_breakout"
BUCKET, STRATEGY = (Level.BUCKET, OWN), (Level.STRATEGY, OWN)
UP = [Decimal(price) for price in ("1", "1", "1", "1.01")]
FALL = [*UP, Decimal("0.9"), Decimal("0.9"), Decimal("0.9")]


def rules(**limits: int) -> Profile:
    loose = {
        "drawdown_reducing_bps": 9_000,
        "drawdown_halted_bps": 9_000,
        "day_loss_bps_max": 9_000,
        "edge_over_cost_bps_min": 0,
        "order_bps_max": 4_000,
        "token_exposure_bps_max": 4_500,
        "total_exposure_bps_max": 9_500,
        "gap_token_bps_max": 10_000,
        "gap_joint_bps_max": 10_000,
        "slippage_bps_max": 10_000,
        **{f"{level}_drawdown_{state}_bps": 10_000 for level in Level for state in ("reducing", "halted")},
    }
    wanted = profile(**{**loose, **limits})
    sizing = wanted.sizing.model_copy(update={"probe_bps": 3_000, "volatility_target_bps": 10_000})
    exits = wanted.exits.model_copy(update={"stop_loss_bps": 9_000, "trailing_stop_bps": 9_000})
    return wanted.model_copy(update={"sizing": sizing, "exits": exits})


def bench_of(prices: list[Decimal], **limits: int) -> KernelBench:
    bench = KernelBench(lambda bar: 1.0 if bar.close == 1 else None, rules=rules(**limits))
    return bench.feed(script(prices))


def changes(bench: KernelBench) -> list[tuple[str, str, str]]:
    return [(e.level.value, e.name, e.after.value) for e in bench.events(events.LevelStateChanged)]


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("state", ["reducing", "halted"])
def test_a_level_that_crosses_its_limit_sells_in_the_same_event_and_buys_nothing(level: Level, state: str) -> None:
    # A third of the money fell by a tenth: about 330 bps of bucket, strategy and wallet alike.
    limits = {f"{level.value}_drawdown_reducing_bps": 200}
    limits[f"{level.value}_drawdown_halted_bps"] = 250 if state == "halted" else 9_000
    bench = bench_of(FALL[:5], **limits)
    [changed] = bench.events(events.LevelStateChanged)
    assert (changed.level, changed.after.value) == (level, state.upper())
    sold = [each.order for each in bench.events(events.OrderApproved) if each.order.side is Side.SELL]
    assert [order.ts_ns for order in sold] == [changed.ts_ns]
    assert sold[0].reason.startswith(f"{level.value} {state}")
    bench.feed(cycles_of(script([*FALL, Decimal(1)]))[-1])
    assert bench.kernel.state.ledger.holdings == {}
    assert bench.kernel.state.trading_state is TradingState.ACTIVE
    assert bench.kernel.state.denials[f"{level.value}_{state}"] == 1
    verdict = by_hand(bench, OWN, OWN)
    assert isinstance(verdict, Denied)
    assert verdict.reason == f"{level.value}_{state}"


def by_hand(bench: KernelBench, bucket: str, strategy: str, mint: str = MINT) -> object:
    order = commands.PlaceOrder("k", "o", "by hand", Side.BUY, mint, bucket, strategy, 10**9, 0)
    return bench.control.plan(order).verdict


def test_a_level_that_rested_begins_anew_and_a_halted_one_waits_for_a_person() -> None:
    calm = [*FALL, *[Decimal("0.9")] * 20]
    limits = {"bucket_drawdown_reducing_bps": 200, "strategy_drawdown_reducing_bps": 200}
    limits |= {"bucket_drawdown_halted_bps": 250, "strategy_drawdown_halted_bps": 9_000}
    bench = bench_of(calm, **limits, reducing_s=1_800)
    assert changes(bench) == [
        ("bucket", OWN, "HALTED"),
        ("strategy", OWN, "REDUCING"),
        ("strategy", OWN, "ACTIVE"),
    ]
    bench.control.take(commands.Resume("g", "o", "seen", level=f"bucket:{OWN}"))
    assert changes(bench)[-1] == ("bucket", OWN, "ACTIVE")
    assert levels_of(bench.kernel)[BUCKET][3] == 0
    assert bench.kernel.state.levels.held(OWN, OWN) is None


def test_the_loss_of_one_bucket_stops_that_bucket_and_no_other() -> None:
    market = merged(script(FALL), script([Decimal(1)] * 7, mint=OTHER))
    limits = rules(bucket_drawdown_reducing_bps=200, bucket_drawdown_halted_bps=250)
    bench = KernelBench(lambda bar: 1.0 if bar.close == 1 and bar.mint == MINT else None, rules=limits)
    first, *rest = cycles_of(market)
    bench.feed(first)
    bench.control.take(commands.MoveCapital("m", "o", "for hands", OWN, "manual", 2 * 10**9))
    assert changes(bench) == []
    for cycle in rest:
        bench.feed(cycle)
    assert changes(bench) == [("bucket", OWN, "HALTED")]
    assert not isinstance(by_hand(bench, "manual", "manual", OTHER), Denied)
    assert isinstance(by_hand(bench, OWN, "manual", OTHER), Denied)


def test_a_persons_loss_in_a_strategys_bucket_is_the_buckets_and_not_the_strategys() -> None:
    bench = KernelBench(rules=rules(bucket_drawdown_reducing_bps=200, strategy_drawdown_reducing_bps=200))
    cycles = cycles_of(script(FALL))
    bench.feed(cycles[0])
    bench.control.take(commands.PlaceOrder("k", "o", "a try", Side.BUY, MINT, OWN, "manual", 3 * 10**9, 0))
    for cycle in cycles[1:]:
        bench.feed(cycle)
    assert changes(bench) == [("bucket", OWN, "REDUCING")]
    assert bench.kernel.state.ledger.holdings == {}
    found = levels_of(bench.kernel)
    assert found[STRATEGY][1] == 10 * 10**9  # as if the person had not traded
    assert found[BUCKET][1] < 9_750_000_000


def test_deposits_withdrawals_and_transfers_trip_no_level() -> None:
    tight = {f"{level}_drawdown_{state}_bps": 50 for level in Level for state in ("reducing", "halted")}
    bench = bench_of([Decimal(1)] * 3, **tight)
    for number in range(6):
        command = (
            commands.Withdraw(f"w{number}", "o", "out", 10**9),
            commands.MoveCapital(f"m{number}", "o", "over", OWN, "manual", 10**9),
            commands.Deposit(f"d{number}", "o", "in", 10**9),
        )[number % 3]
        bench.control.take(command)
        bench.feed(cycles_of(script([Decimal(1)] * (4 + number)))[-1])
    assert changes(bench) == []
    assert {key: drop for key, (_, _, _, drop) in levels_of(bench.kernel).items() if drop > 25} == {}


def test_what_levels_are_worth_adds_up_to_the_wallet() -> None:
    bench = bench_of(FALL, strategy_drawdown_reducing_bps=9_000)
    found = levels_of(bench.kernel)
    assert (
        sum(worth for (level, _), (_, worth, _, _) in found.items() if level is Level.BUCKET)
        == found[Level.WALLET, WALLET][1]
    )


def test_an_operator_steers_one_level_and_an_unknown_one_is_named() -> None:
    bench = bench_of(UP)
    taken = bench.control.take(commands.FlattenAndHalt("f", "o", "look", level=f"strategy:{OWN}"))
    assert [order.side for order in taken.orders] == [Side.SELL]
    assert changes(bench) == [("strategy", OWN, "HALTED")]
    assert bench.kernel.state.trading_state is TradingState.ACTIVE
    bench.control.take(commands.Resume("g", "o", "all of it"))
    assert changes(bench)[-1] == ("strategy", OWN, "ACTIVE")
    bench.control.take(commands.ReduceOnly("r", "o", "slow", level=f"bucket:{OWN}"))
    assert bench.kernel.state.levels.selling(OWN, OWN) is None
    for wrong in ("bucket:nobody", "desk:main", OWN):
        with pytest.raises(InvalidInput, match=f"level: .*known are bucket:{OWN}"):
            bench.control.take(commands.ReduceOnly("r", "o", "slow", level=wrong))


@pytest.mark.parametrize("upto", range(1, 60, 3))
def test_a_desk_restored_from_any_row_knows_its_levels(upto: int) -> None:
    feed = ScriptedFeed(script([*FALL, *[Decimal("0.9")] * 8]))
    bench = KernelBench(
        lambda bar: 1.0 if bar.close == 1 else None,
        rules=rules(bucket_drawdown_reducing_bps=200, strategy_drawdown_reducing_bps=100, reducing_s=1_200),
    )
    bench.feed(list(feed.events()))
    again = bench.restored(feed, upto=upto)
    rows = [event for event in bench_events(bench, upto) if isinstance(event, events.LevelStateChanged)]
    expected = {(event.level, event.name): event.after.value for event in rows}
    stopped = next((f"{level} {state}" for (level, _), state in expected.items() if state != "ACTIVE"), None)
    held = again.kernel.state.levels.held(OWN, OWN)
    assert stopped == (None if held is None else f"{held.level} {held.state}")


def bench_events(bench: KernelBench, upto: int) -> list[object]:
    rows = [row for row in bench.journal.rows(kinds=KINDS) if row.seq <= upto]
    return [decode(row.kind, parse_json(row.body)) for row in rows]


def test_a_profile_that_watches_begins_to_measure_when_it_is_switched_on() -> None:
    levels = bench_of(FALL).kernel.state.levels
    assert not levels.is_watching
    limits = rules(bucket_drawdown_reducing_bps=10, bucket_drawdown_halted_bps=10).limits
    levels.use(limits, TradingDay())
    levels.mark(0, dict.fromkeys(levels.known(), 10**9))
    assert levels.changes() == []
    levels.mark(0, dict.fromkeys(levels.known(), 9 * 10**8))
    assert [change.level for change in levels.changes()] == [Level.BUCKET]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_shipped_profiles_watch_every_level(profile: Profile) -> None:
    for level in Level:
        bounds = profile.limits.drawdown_of(level)
        assert profile.limits.drawdown.halted_bps < bounds.halted_bps < 10_000


def test_a_level_reduces_before_it_halts() -> None:
    broken = {**PROFILES[0].limits.model_dump(), "bucket_drawdown_reducing_bps": 9_999}
    with pytest.raises(ValueError, match="bucket_drawdown_reducing_bps must be above 0 and at most"):
        Limits.model_validate(broken)


@pytest.mark.parametrize("level", list(Level))
def test_what_a_level_holds_of_all_tokens_is_cut_to_its_limit(level: Level) -> None:
    market = merged(script(UP), script(UP, mint=OTHER))
    free, bound = (
        KernelBench(lambda _: 1.0, rules=rules(**limits)).feed(market)
        for limits in ({}, {f"{level.value}_exposure_bps_max": 4_000})
    )
    spent = [[fill.fill.lamports for fill in bench.events(events.OrderFilled)] for bench in (free, bound)]
    assert [len(each) for each in spent] == [2, 2]
    assert sum(spent[0]) > 4 * 10**9 >= sum(spent[1])
    denied = by_hand(bound, OWN, OWN, MINT)
    assert isinstance(denied, Denied)
    assert f"{level.value}_exposure_lamports" in {each.name for each in denied.broken}
    elsewhere = by_hand(bound, "manual", "manual", MINT)  # the wallet is the same one
    broken = {each.name for each in elsewhere.broken} if isinstance(elsewhere, Denied) else set()
    assert (f"{level.value}_exposure_lamports" in broken) is (level is Level.WALLET)
