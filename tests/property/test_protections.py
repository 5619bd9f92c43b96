"""Whatever market and strategies do: nothing is bought while a protection makes it wait, and a restart knows it.

The checker works out the waits anew, from the journal's facts and from what the rules say in words."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import KernelBench, catch_up, cycles_of, fingerprint, profile, stored
from tests.doubles.scripted_market import MINT, ScriptedFeed, merged, script

from trading.engine import checkpoint
from trading.errors import DataError
from trading.model import commands, events
from trading.model.event_codec import KINDS, decode
from trading.model.market_data import Bar, MarketEvent
from trading.model.order import Side
from trading.model.profile import Profile
from trading.model.protection import Protection, ProtectionKind
from trading.risk.protections import ProtectionBook

SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
OTHER = "sim:BBB"
RULES = (
    Protection(kind=ProtectionKind.COOLDOWN_PERIOD, is_per_token=True, stop_s=900),
    Protection(kind=ProtectionKind.STOPLOSS_GUARD, is_per_token=False, stop_s=2_400, lookback_s=4_000, trades_min=2),
    Protection(kind=ProtectionKind.LOW_PROFIT_PAIRS, is_per_token=True, stop_s=3_000, lookback_s=6_000, bps=-200),
)


def rules() -> Profile:
    wanted = profile(
        drawdown_reducing_bps=10_000,
        drawdown_halted_bps=10_000,
        day_loss_bps_max=10_000,
        edge_over_cost_bps_min=0,
        cooldown_s=0,
        reentry_s=0,
        protections=RULES,
    )
    exits = wanted.exits.model_copy(update={"stop_loss_bps": 200, "trailing_stop_bps": 150, "take_profit_bps": 300})
    return wanted.model_copy(update={"exits": exits})


def markets() -> st.SearchStrategy[list[MarketEvent]]:
    moves = st.lists(st.integers(-400, 400), min_size=20, max_size=45)

    def walk(jumps: list[int], gone_at: int | None) -> list[Decimal | None]:
        price, found = Decimal(1), list[Decimal | None]()
        for number, jump in enumerate(jumps):
            price = (price * (10_000 + jump) / 10_000).quantize(Decimal("0.000001"))
            found.append(price)
            if number == gone_at:
                return [*found, None]
        return found

    return st.builds(
        lambda one, two, gone: merged(script(walk(one, None)), script(walk(two, gone), mint=OTHER)),
        moves,
        moves,
        st.none() | st.integers(5, 30),
    )


def talkative(bar: Bar) -> float | None:
    return 1.0 if int(bar.close * 10**6) % 3 else None


def breaches(bench: KernelBench) -> list[str]:
    """Fold the rows by hand: (when, token, return in bps, is stopped) of every finished trade; look at every buy."""
    closed: list[tuple[int, str, int, bool]] = []
    waits: list[tuple[int, str | None, str]] = []
    found: list[str] = []
    for now_ns, event in rows(bench):
        if isinstance(event, events.PositionClosed) and not event.reason.startswith("not filled"):
            stopped = event.reason.startswith(("stop_loss:", "trailing_stop:", "written off:"))
            closed.append((now_ns, event.mint, event.return_bps, stopped))
            waits += _waits(now_ns, closed)
        elif isinstance(event, events.OrderApproved) and event.order.side is Side.BUY:
            order = event.order
            found += [
                f"{order.id} bought while {kind} makes it wait"
                for until_ns, mint, kind in waits
                if now_ns < until_ns and mint in (None, order.mint)
            ]
    return found


def _waits(now_ns: int, closed: list[tuple[int, str, int, bool]]) -> list[tuple[int, str | None, str]]:
    _, mint, return_bps, stopped = closed[-1]
    found: list[tuple[int, str | None, str]] = [(now_ns + 900 * 10**9, mint, "cooldown_period")]
    stops = [each for each in closed if each[0] >= now_ns - 4_000 * 10**9 and each[3] and each[2] < 0]
    if stopped and return_bps < 0 and len(stops) >= 2:
        found.append((now_ns + 2_400 * 10**9, None, "stoploss_guard"))
    returns = sum(each[2] for each in closed if each[0] >= now_ns - 6_000 * 10**9 and each[1] == mint)
    if return_bps < 0 and returns < -200:
        found.append((now_ns + 3_000 * 10**9, mint, "low_profit_pairs"))
    return found


def rows(bench: KernelBench) -> list[tuple[int, Any]]:
    return [(row.ts_ns, decode(row.kind, row.body)) for row in stored(bench.journal) if row.kind in KINDS]


@pytest.mark.requirement("T7")
@SETTINGS
@given(markets())
def test_nothing_is_bought_while_a_protection_makes_it_wait(market: list[MarketEvent]) -> None:
    assert breaches(KernelBench(talkative, rules=rules()).feed(market)) == []


def falling() -> list[MarketEvent]:
    prices = [str(Decimal(1000 - 30 * (number % 4) + number) / 1000) for number in range(60)]
    return merged(script(prices), script(prices[::-1], mint=OTHER))


def test_the_checker_catches_a_desk_without_protections(monkeypatch: pytest.MonkeyPatch) -> None:
    assert breaches(KernelBench(talkative, rules=rules()).feed(falling())) == []
    monkeypatch.setattr(ProtectionBook, "locks", lambda *_: iter(()))
    found = breaches(KernelBench(talkative, rules=rules()).feed(falling()))
    assert {each.partition(" while ")[2].partition(" ")[0] for each in found} == {rule.kind.value for rule in RULES}


def mute(bench: KernelBench) -> KernelBench:
    """A script is no state of a strategy, so nothing of it is in a checkpoint."""
    bench.kernel.strategies = []
    return bench


@SETTINGS
@given(markets(), st.data())
def test_a_desk_killed_at_any_cycle_knows_who_waits(market: list[MarketEvent], data: st.DataObject) -> None:
    whole = KernelBench(talkative, rules=rules()).feed(market)
    cycles = cycles_of(market)
    stop = data.draw(st.integers(1, len(cycles)))
    first = KernelBench(talkative, rules=rules()).feed([event for cycle in cycles[:stop] for event in cycle])
    rest = [event for cycle in cycles[stop:] for event in cycle]
    folded = KernelBench(talkative, rules=rules(), journal=first.journal, begin=False)
    folded.kernel.restore(stored(first.journal), ScriptedFeed(market).events())
    catch_up(folded.kernel, ScriptedFeed(market), stop)
    assert fingerprint(folded.kernel) == fingerprint(first.kernel)
    taken_up = mute(KernelBench(talkative, rules=rules(), begin=False))
    checkpoint.put_back(taken_up.kernel, checkpoint.taken(mute(first).kernel))
    assert list(taken_up.kernel.state.protections.locks(0)) == list(first.kernel.state.protections.locks(0))
    folded.feed(rest)
    assert folded.journal.sha256() == whole.journal.sha256()


def test_a_checkpoint_of_other_protections_is_refused() -> None:
    taken = checkpoint.taken(mute(KernelBench(talkative, rules=rules()).feed(falling())).kernel)
    other = rules().model_copy(update={"limits": rules().limits.model_copy(update={"protections": RULES[:1]})})
    with pytest.raises(DataError, match="other rules"):
        checkpoint.put_back(mute(KernelBench(talkative, rules=other, begin=False)).kernel, taken)


def test_a_switch_of_the_profile_looks_at_the_past_with_the_new_rules() -> None:
    bench = KernelBench(talkative, rules=rules()).feed(falling())
    bench.control.take(commands.SwitchProfile("k", "o", "calmer", "cautious"))
    kinds = {lock.kind for lock in bench.kernel.state.protections.locks(bench.kernel.state.now_ns)}
    assert ProtectionKind.LOW_PROFIT_PAIRS in kinds
    stops = {lock.stop_s for lock in bench.kernel.state.protections.locks(0)}
    assert 900 not in stops
    assert MINT in {lock.mint for lock in bench.kernel.state.protections.locks(0)}
