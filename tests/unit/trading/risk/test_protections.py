"""The four protections: what trips each, whom it makes wait and for how long, and how the gate says so."""

from typing import Any

import pytest
from tests.doubles.kernel_bench import KernelBench, profile
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, ScriptedFeed, script
from tests.support.trading import T0, make_account, make_bounds, make_order, make_token

from trading.model import events
from trading.model.account import RoundTrip
from trading.model.order import Denied
from trading.model.profile import AGGRESSIVE, BASELINE, CAUTIOUS, FOUNDATION, PROFILES
from trading.model.protection import DAYS_30_S, Protection, ProtectionKind
from trading.risk.gate import Gate
from trading.risk.protections import ClosedTrade, Lock, ProtectionBook, tripped, window
from trading.runtime.funnel import passed_over
from trading.runtime.views import limits

pytestmark = pytest.mark.requirement("T7")

S = 10**9
SOL = 10**9
HOUR = 3_600
COOLDOWN = Protection(kind=ProtectionKind.COOLDOWN_PERIOD, is_per_token=True, stop_s=600)


def rule(kind: ProtectionKind, **changes: Any) -> Protection:
    given = {"is_per_token": False, "stop_s": HOUR, "lookback_s": 24 * HOUR, "trades_min": 2, **changes}
    return Protection(kind=kind, **given)


def trade(
    number: int = 0, *, mint: str = "A", bps: int = -100, share: int = -1_000, stopped: bool = True
) -> ClosedTrade:
    return ClosedTrade(mint, T0 + number * HOUR * S, bps, share, stopped)


def trip(mint: str, realised: int, bought: int = SOL) -> RoundTrip:
    return RoundTrip("t", "b", "s", mint, 0, 1, bought, bought + realised, realised, 0, 2)


def book(*rules: Protection) -> ProtectionBook:
    return ProtectionBook(rules)


def locked(found: ProtectionBook, now_ns: int, mint: str | None = None) -> list[tuple[str, str | None]]:
    return [(lock.kind.value, lock.mint) for lock in found.locks(now_ns, mint)]


def test_stops_are_counted_by_what_they_lost_and_not_by_their_name() -> None:
    """Users of freqtrade saw it fire on winners: a trailing stop that sold above cost is none here."""
    guard = rule(ProtectionKind.STOPLOSS_GUARD, trades_min=2)
    won, lost = trade(bps=150, share=900), trade(1)
    assert tripped(guard, [won, won, lost]) is None
    found = tripped(guard, [won, lost, lost])
    assert found is not None
    assert (found.used, found.limit) == (2, 1)
    assert tripped(guard, [lost, trade(2, stopped=False)]) is None
    assert tripped(rule(ProtectionKind.STOPLOSS_GUARD, bps=200), [won, won]) is not None


def test_the_drawdown_of_closed_trades_is_from_their_best_in_shares_of_equity() -> None:
    guard = rule(ProtectionKind.MAX_DRAWDOWN, bps=100)
    rise = trade(share=5_000, bps=50)
    assert tripped(guard, [rise, trade(share=-10_000)]) is None  # exactly 100 bps below the best
    found = tripped(guard, [rise, trade(share=-10_001)])
    assert found is not None
    assert (found.used, found.limit) == (101, 100)
    assert tripped(guard, [trade(share=-10_001)]) is None  # fewer trades than asked for


def test_low_profit_sums_the_returns_of_the_trades() -> None:
    guard = rule(ProtectionKind.LOW_PROFIT_PAIRS, bps=-150, trades_min=3)
    assert tripped(guard, [trade(bps=-50)] * 3) is None
    assert tripped(guard, [trade(bps=-50), trade(bps=-50), trade(bps=-51)]) is not None


def test_the_window_begins_where_it_says_and_holds_one_token_or_all() -> None:
    trades = [trade(0), trade(1, mint="B"), trade(2)]
    now_ns = trades[-1].known_ns
    assert window(rule(ProtectionKind.STOPLOSS_GUARD, lookback_s=2 * HOUR), trades, "A", now_ns) == trades
    assert window(rule(ProtectionKind.STOPLOSS_GUARD, lookback_s=2 * HOUR - 1), trades, "A", now_ns) == trades[1:]
    per_token = rule(ProtectionKind.STOPLOSS_GUARD, lookback_s=2 * HOUR, is_per_token=True)
    assert window(per_token, trades, "A", now_ns) == [trades[0], trades[2]]


def test_a_lock_ends_when_its_time_is_over_and_binds_its_token_only() -> None:
    found = book(COOLDOWN)
    found.close(T0, trip("A", 5), "signal: out", SOL)
    assert locked(found, T0 + 600 * S - 1, "A") == [("cooldown_period", "A")]
    assert locked(found, T0 + 600 * S, "A") == []
    assert locked(found, T0, "B") == []


def test_a_lock_of_all_tokens_binds_every_token() -> None:
    found = book(rule(ProtectionKind.STOPLOSS_GUARD))
    for mint in "AB":
        found.close(T0, trip(mint, -5 * SOL // 100), "stop_loss: 500 bps below cost", SOL)
    assert locked(found, T0, "C") == locked(found, T0) == [("stoploss_guard", None)]


def test_a_winner_trips_nothing_but_the_cooldown_however_bad_the_window() -> None:
    rules = (
        rule(ProtectionKind.STOPLOSS_GUARD, stop_s=1),
        rule(ProtectionKind.MAX_DRAWDOWN, bps=1, stop_s=1),
        rule(ProtectionKind.LOW_PROFIT_PAIRS, stop_s=1),
    )
    found = book(*rules, COOLDOWN)
    for _ in range(3):
        found.close(T0, trip("A", -SOL // 10), "stop_loss: x", SOL)
    assert len(locked(found, T0)) == 4
    found.close(T0 + 2 * S, trip("A", SOL // 100), "take_profit: x", SOL)
    assert locked(found, T0 + 2 * S) == [("cooldown_period", "A")]


def test_a_token_that_nobody_buys_any_more_counts_as_stopped_out() -> None:
    found = book(rule(ProtectionKind.STOPLOSS_GUARD, trades_min=1))
    found.close(T0, trip("A", -SOL), "", 10 * SOL)
    assert locked(found, T0) == [("stoploss_guard", None)]


def test_of_two_locks_of_a_kind_the_one_that_ends_last_stays() -> None:
    long, short = (rule(ProtectionKind.STOPLOSS_GUARD, trades_min=1, stop_s=stop_s) for stop_s in (7_200, 60))
    found = book(long, short)
    found.close(T0, trip("A", -5 * SOL // 100), "stop_loss: x", SOL)
    [lock] = found.locks(T0)
    assert (lock.stop_s, lock.since_ns) == (7_200, T0)


def test_other_rules_look_at_the_same_past() -> None:
    found = book(rule(ProtectionKind.STOPLOSS_GUARD, trades_min=3))
    for _ in range(2):
        found.close(T0, trip("A", -5 * SOL // 100), "trailing_stop: x", SOL)
    assert locked(found, T0) == []
    stricter = (rule(ProtectionKind.STOPLOSS_GUARD, trades_min=2),)
    found.use(stricter)
    assert locked(found, T0) == [("stoploss_guard", None)]
    found.use(())
    assert locked(found, T0) == []


def test_trades_beyond_the_longest_window_are_let_go() -> None:
    found = book(rule(ProtectionKind.STOPLOSS_GUARD, lookback_s=DAYS_30_S))
    found.close(T0, trip("A", -5 * SOL // 100), "stop_loss: x", SOL)
    found.close(T0 + DAYS_30_S * S + 1, trip("A", -5 * SOL // 100), "stop_loss: x", SOL)
    assert locked(found, T0 + DAYS_30_S * S + 1) == []


@pytest.mark.parametrize("kind", list(ProtectionKind))
def test_the_gate_denies_by_the_name_of_the_protection_and_says_whom_why_and_how_long(kind: ProtectionKind) -> None:
    for mint, whom in (("sim:BONK", "sim:BONK"), (None, "every entry")):
        lock = Lock(kind, mint, T0 - 599 * S, T0 + S, "3 of something in 60 s (limit 2)")
        order = make_order(min_out=990_000)
        verdict = Gate(make_bounds()).check(order, make_account(), make_token(locks=(lock,)))
        assert isinstance(verdict, Denied)
        assert (verdict.reason, verdict.used, verdict.limit) == (kind.value, 599, 600)
        assert verdict.message.startswith(f"{whom} waits since 599 s for 3 of something in 60 s (limit 2) (")


def test_exits_wait_for_nothing_and_the_desk_shows_the_lock_where_people_look() -> None:
    rules = profile(protections=(COOLDOWN, rule(ProtectionKind.STOPLOSS_GUARD, trades_min=1)))
    said = {1: 1.0, 4: 1.0}
    bench = KernelBench(lambda bar: said.get((bar.ts_close_ns - START_NS) // INTERVAL_NS), rules=rules)
    market = script(["1", "1", "0.9", "0.9"])
    bench.feed(market)
    [denied] = bench.events(events.SignalPassed, events.OrderDenied)
    assert denied.denied.reason == "cooldown_s"  # the token's own, and the protections are broken too
    assert {"cooldown_period", "stoploss_guard"} <= {measure.name for measure in denied.denied.broken}
    shown = {each["name"]: each for each in limits(bench.kernel, bench.kernel.valuer.value())}
    assert (shown["cooldown_period"]["scope"], shown["stoploss_guard"]["scope"]) == (MINT, "account")
    assert shown["stoploss_guard"]["distance_bps"] < 0
    assert passed_over(bench.kernel) == {MINT: "cooldown_period"}
    again = bench.restored(ScriptedFeed(market))
    locks = list(bench.kernel.state.protections.locks(0))
    assert len(locks) == 2
    assert list(again.kernel.state.protections.locks(0)) == locks


def test_the_shipped_profiles_are_protected_and_the_careful_one_waits_longer() -> None:
    for each in PROFILES:
        assert {found.kind for found in each.limits.protections} >= set(ProtectionKind) - {COOLDOWN.kind}
    assert COOLDOWN.kind in {found.kind for found in CAUTIOUS.limits.protections}
    assert BASELINE.limits.protections == ()
    stops = [
        next(p.stop_s for p in each.limits.protections if p.kind is ProtectionKind.STOPLOSS_GUARD)
        for each in (AGGRESSIVE, FOUNDATION, CAUTIOUS)
    ]
    assert stops == sorted(set(stops))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (ProtectionKind.COOLDOWN_PERIOD, {}, "cooldown_period: has stop_s only"),
        (ProtectionKind.STOPLOSS_GUARD, {"lookback_s": 0}, "lookback_s: stoploss_guard looks back"),
        (ProtectionKind.MAX_DRAWDOWN, {}, "bps: max_drawdown stops at a drop of more than 1 to 10000 bps, not 0"),
        (ProtectionKind.LOW_PROFIT_PAIRS, {"stop_s": 0}, "greater than or equal to 1"),
        (ProtectionKind.LOW_PROFIT_PAIRS, {"unlock_at": 5}, "Extra inputs are not permitted"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_its_field(
    kind: ProtectionKind, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rule(kind, **changes)
