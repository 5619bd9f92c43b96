"""Limits per day: whatever strategies say, no day sees more entries or turnover than allowed, also over a restart."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, catch_up, cycles_of, fingerprint, profile, stored
from tests.doubles.scripted_market import ScriptedFeed, merged, script

from trading.model import events
from trading.model.account import drawdown_bps
from trading.model.event_codec import KINDS, decode
from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.model.order import Purpose
from trading.model.profile import Profile
from trading.risk.day import DayTally

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
OTHER = "sim:BBB"
HOUR_NS = 3_600 * 10**9
ZONES = ("UTC", "Etc/GMT+1")
"""In each a day ends within the script: at 0:00 or 1:00 UTC."""


def day_of(ts_ns: int, zone: str) -> int:
    return datetime.fromtimestamp(ts_ns // 10**9, ZoneInfo(zone)).toordinal()


def rules(entries: int, turnover_bps: int) -> Profile:
    wanted = profile(
        entries_day_max=entries,
        turnover_bps_day_max=turnover_bps,
        edge_over_cost_bps_min=0,
        cooldown_s=0,
        reentry_s=0,
        drawdown_reducing_bps=10_000,
        drawdown_halted_bps=10_000,
        day_loss_bps_max=10_000,
        protections=(),
    )
    exits = wanted.exits.model_copy(update={"stop_loss_bps": 100, "take_profit_bps": 100, "trailing_stop_bps": 0})
    return wanted.model_copy(update={"exits": exits})


def markets() -> st.SearchStrategy[list[MarketEvent]]:
    """Two tokens over a midnight (UTC): the script begins 21 cycles of five minutes before one."""
    moves = st.lists(st.sampled_from([-150, -40, 0, 40, 150]), min_size=50, max_size=70)

    def walk(jumps: list[int]) -> list[str]:
        price, found = Decimal(1), []
        for jump in jumps:
            price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            found.append(str(price))
        return found

    return st.builds(lambda one, two: merged(script(walk(one)), script(walk(two), mint=OTHER)), moves, moves)


def talkative(bar: Bar) -> float | None:
    return 1.0 if int(bar.close * 10**6) % 2 else None


def breaches(bench: KernelBench, entries_max: int, zone: str = "UTC") -> list[str]:
    """Add up by hand: entries of each day, and what was traded or is on order when one is approved."""
    entries: dict[int, int] = {}
    traded: dict[int, int] = {}
    open_lamports: dict[str, int] = {}
    found: list[str] = []
    for row in stored(bench.journal):
        if row.kind not in KINDS:
            continue
        event, day = decode(row.kind, row.body), day_of(row.ts_ns, zone)
        if isinstance(event, events.OrderApproved) and event.order.purpose is Purpose.ENTRY:
            entries[day] = entries.get(day, 0) + 1
            open_lamports[event.order.id] = event.order.amount_in
            limit = next(each for each in event.measures if each.name == "turnover_day_lamports").limit
            used = traded.get(day, 0) + sum(open_lamports.values())
            if used > limit or entries[day] > entries_max:
                found.append(f"{event.order.id}: {used} of {limit} lamports, {entries[day]} entries")
        elif isinstance(event, events.OrderFilled):
            open_lamports.pop(event.fill.order_id, None)
            traded[day] = traded.get(day, 0) + event.fill.lamports
        elif isinstance(event, events.OrderRejected):
            open_lamports.pop(event.rejected.order_id, None)
    return found


@pytest.mark.requirement("T7")
@SETTINGS
@given(markets(), st.integers(1, 6), st.integers(1_500, 20_000), st.integers(10, 45), st.sampled_from(ZONES))
def test_no_day_sees_more_than_it_may_and_a_restart_does_not_forget_the_day(
    market: list[MarketEvent], entries: int, turnover_bps: int, stop: int, zone: str
) -> None:
    given_rules = rules(entries, turnover_bps)
    cycles = cycles_of(market)
    first = KernelBench(talkative, rules=given_rules, zone=zone)
    first.feed([event for cycle in cycles[:stop] for event in cycle])
    again = KernelBench(talkative, rules=given_rules, journal=first.journal, begin=False)
    again.kernel.restore(stored(first.journal), ScriptedFeed(market).events())
    catch_up(again.kernel, ScriptedFeed(market), stop)
    assert fingerprint(again.kernel) == fingerprint(first.kernel)
    again.feed([event for cycle in cycles[stop:] for event in cycle])
    assert breaches(again, entries, zone) == []


def busy(limit: int, zone: str = "UTC") -> KernelBench:
    """Return a desk that turns over all day, past a midnight."""
    return KernelBench(lambda bar: 1.0, rules=rules(limit, 10_000_000), zone=zone).feed(busy_market())


def busy_market() -> list[MarketEvent]:
    return list(script([str(Decimal(1) + Decimal(number // 2 % 2 * 5) / 100) for number in range(60)]))


@pytest.mark.requirement("T21")
@pytest.mark.parametrize("zone", ZONES)
def test_a_new_day_begins_at_nothing_and_the_denial_says_which_limit_it_was(zone: str) -> None:
    bench = busy(3, zone)
    orders = [each.order for each in bench.events(events.OrderApproved)]
    days = [day_of(order.ts_ns, zone) for order in orders if order.purpose is Purpose.ENTRY]
    assert sorted(days.count(day) for day in set(days)) == [3, 3]
    assert bench.kernel.state.denials["entries_day"] > 0
    messages = {each.denied.message for each in bench.events(events.OrderDenied, events.SignalPassed)}
    assert any(f"entries would be sent today ({zone})" in each for each in messages)


def windows(bench: KernelBench) -> list[int]:
    return sorted({each.until_ns for each in bench.events(events.WindowReported) if each.occasion == "day"})


@pytest.mark.requirement("T21")
def test_digests_and_the_ranking_are_of_the_days_of_the_zone_and_the_run_keeps_it() -> None:
    plain, moved = busy(3), busy(3, ZONES[1])
    [midnight], [later] = windows(plain), windows(moved)
    assert later == midnight + HOUR_NS
    [one], [other] = plain.events(events.RunStarted), moved.events(events.RunStarted)
    assert (one.zone, other.zone) == ("", ZONES[1])
    ranked = [each.ts_ns for each in moved.events(events.UniverseRanked) if each.occasion == "day"]
    assert [ts_ns >= later for ts_ns in ranked] == [False, True]
    again = KernelBench(lambda bar: 1.0, rules=rules(3, 10_000_000), journal=moved.journal, begin=False)
    again.kernel.restore(stored(moved.journal), ScriptedFeed(busy_market()).events())
    assert (again.setup.zone, again.kernel.state.zone) == ("UTC", ZONES[1])  # what it was begun in, not what is set now
    assert fingerprint(again.kernel) == fingerprint(moved.kernel)


@pytest.mark.requirement("T21")
def test_the_loss_of_a_day_is_against_its_first_mark_in_the_zone() -> None:
    for zone in ZONES:
        bench = KernelBench(lambda bar: 1.0, rules=rules(50, 10_000_000), zone=zone)
        firsts: dict[int, int] = {}
        for event in busy_market():
            bench.kernel.on_event(event)
            if isinstance(event, CycleEnd):
                equity = bench.kernel.state.equity_lamports
                first = firsts.setdefault(day_of(event.ts_ns, zone), equity)
                assert bench.kernel.state.guard.day_loss_bps == drawdown_bps(first, equity)
        assert len(firsts) == 2


def test_the_checker_catches_a_desk_that_forgets_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    assert breaches(busy(3), 3) == []
    monkeypatch.setattr(DayTally, "entries", lambda *_: 0)
    assert breaches(busy(3), 3) != []
