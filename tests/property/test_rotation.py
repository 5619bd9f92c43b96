"""Whatever market and operator do, a desk whose shares rotate is a function of its inputs, and its books hold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.kernel_bench import catch_up, cycles_of, fingerprint, stored
from tests.doubles.scripted_market import ScriptedFeed, merged, script
from tests.unit.trading.engine.test_rotation import DAY, OTHER, TwoMarkets, thirds

from trading.model import commands, events
from trading.model.account import Level
from trading.model.bucket_rules import BucketRules
from trading.model.market_data import MarketEvent
from trading.model.rotation import RotationVerdict

DAYS = 5
SOL = 10**9
HAND = (
    commands.MoveCapital("", "o", "why", "momentum_breakout", "mean_reversion", SOL),
    commands.MoveCapital("", "o", "why", "mean_reversion", "manual", SOL // 2),
    commands.Deposit("", "o", "why", SOL),
    commands.Withdraw("", "o", "why", SOL),
    commands.ReduceOnly("", "o", "why", "bucket:momentum_breakout"),
    commands.Resume("", "o", "why"),
)

moves = st.lists(st.integers(-900, 900), min_size=DAYS + 1, max_size=DAYS + 1)
hands = st.dictionaries(st.integers(1, DAYS * DAY - 1), st.sampled_from(HAND), max_size=4)
rules = st.builds(
    BucketRules,
    rotation=st.just("fixed_share"),
    rotation_warmup_days=st.integers(2, 3),
    rotation_step_bps=st.integers(100, 2_000),
    rotation_cost_bps=st.integers(0, 20),
    rotation_hold_days=st.integers(0, 2),
    rotation_floor_bps=st.integers(0, 3_000),
)


def market_of(first: Sequence[int], second: Sequence[int]) -> list[MarketEvent]:
    """Return two tokens that are level but for the middle of each day, in which they are off by so many bps."""

    def prices(days: Sequence[int]) -> list[Decimal]:
        return [
            1 + Decimal(days[number // DAY]) / 10_000 if 60 <= number % DAY < 200 else Decimal(1)
            for number in range(1, DAYS * DAY + 1)
        ]

    return merged(script(prices(first)), script(prices(second), mint=OTHER))


def drive(
    bench: TwoMarkets, cycles: Sequence[Sequence[MarketEvent]], hand: Mapping[int, commands.Command], at: int
) -> None:
    for number, cycle in enumerate(cycles, at):
        bench.feed(cycle)
        if number in hand:
            bench.control.take(replace(hand[number], key=f"k{number}"))
    bench.journal.commit()


@pytest.mark.requirement("T12")
@pytest.mark.requirement("T1")
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves, moves, hands, rules, st.data())
def test_a_desk_whose_shares_rotate_comes_back_byte_for_byte_wherever_it_was_killed(
    first: list[int], second: list[int], hand: dict[int, Any], buckets: BucketRules, data: st.DataObject
) -> None:
    market = market_of(first, second)
    cycles = cycles_of(market)
    profile = thirds(buckets)
    whole = TwoMarkets(rules=profile)
    drive(whole, cycles, hand, 0)

    stop = data.draw(st.integers(1, len(cycles) - 1))
    killed = TwoMarkets(rules=profile)
    drive(killed, cycles[:stop], hand, 0)
    again = TwoMarkets(rules=profile, journal=killed.journal, begin=False)
    again.kernel.restore(stored(killed.journal), ScriptedFeed(market).events())
    catch_up(again.kernel, ScriptedFeed(market), stop)
    assert fingerprint(again.kernel) == fingerprint(killed.kernel)
    assert vars(again.kernel.state.rotation) == vars(killed.kernel.state.rotation)
    drive(again, cycles[stop:], hand, stop)
    assert again.journal.sha256() == whole.journal.sha256()

    state = whole.kernel.state
    assert sum(bucket.cash_lamports for bucket in state.ledger.buckets.values()) == state.ledger.cash_lamports >= 0
    rotated = whole.events(events.SharesRotated)
    assert rotated
    for event in rotated:
        before, after = ({each.strategy: side(each) for each in event.shares} for side in (_before, _after))
        assert sum(before.values()) == sum(after.values()) == 10_000
        assert event.verdict is RotationVerdict.MOVED or before == after
        for each in event.shares:
            assert abs(each.after_bps - each.before_bps) <= buckets.rotation_step_bps
            assert not each.barred or each.after_bps <= each.before_bps
    halted = {each.name for each in whole.events(events.LevelStateChanged) if each.level is not Level.WALLET}
    assert all(each.strategy in halted for event in rotated for each in event.shares if each.barred)


def _before(share: Any) -> int:
    return int(share.before_bps)


def _after(share: Any) -> int:
    return int(share.after_bps)
