"""Shares that rotate in the desk: one row a day, cash that follows, and nothing of it while a profile says off."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from tests.doubles.kernel_bench import KernelBench, fingerprint
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, ScriptedFeed, ScriptedStrategy, merged, script

from trading.adapters.canonical import parse_json
from trading.engine import checkpoint
from trading.engine.treasury import DAY_POLICY, shares_of
from trading.model import commands, events
from trading.model.bucket_rules import BucketRules
from trading.model.market_data import Bar, MarketEvent
from trading.model.order import Side
from trading.model.profile import FOUNDATION, Profile, StrategyChoice
from trading.model.profile_content import content_of
from trading.model.promotion import GateReading, PromotionTerms, Stage
from trading.model.rotation import RotationVerdict
from trading.ports import Strategy

pytestmark = pytest.mark.requirement("T12")
SOL = 10**9
DAY = 288
OTHER = "sim:BBB"
NAMES = ("momentum_breakout", "mean_reversion", "trend_following")
RULES = BucketRules(rotation="fixed_share", rotation_warmup_days=3, rotation_step_bps=300)
OFF = BucketRules()


def thirds(buckets: BucketRules, names: Sequence[str] = NAMES) -> Profile:
    weights = [10_000 // len(names)] * len(names)
    weights[0] += 10_000 - sum(weights)
    choices = tuple(StrategyChoice(name=name, weight_bps=weight) for name, weight in zip(names, weights, strict=True))
    limits = FOUNDATION.limits.model_copy(
        update={"edge_over_cost_bps_min": -10_000, "slippage_bps_max": 10_000, "protections": (), "reentry_s": 0}
        | {"cooldown_s": 0, "cvar_bps_max": 10_000, "turnover_bps_day_max": 10_000_000}
    )
    return FOUNDATION.model_copy(update={"strategies": choices, "limits": limits, "buckets": buckets})


class TwoMarkets(KernelBench):
    """``momentum_breakout`` trades one token every day, ``mean_reversion`` the other, ``trend_following`` none."""

    def _made(self, **given: Any) -> KernelBench:
        return TwoMarkets(**given)

    def _strategies(self, profile: Profile) -> list[Strategy]:
        owned = {"momentum_breakout": MINT, "mean_reversion": OTHER}

        def opinion_of(name: str) -> Any:
            def opinion(seen: Bar) -> float | None:
                place = (seen.ts_close_ns - START_NS) // INTERVAL_NS % DAY
                if seen.mint != owned.get(name):
                    return None
                return {20: 1.0, 120: -1.0}.get(place)

            return opinion

        return [ScriptedStrategy(opinion_of(choice.name), choice.name) for choice in profile.strategies]


def market(days: int, *, rises: str = MINT, turns: int | None = None) -> list[MarketEvent]:
    """Return two tokens: every day one rises by 2 % while it is held and the other falls as much, then back."""

    def prices(mint: str) -> list[Decimal]:
        found = []
        for number in range(1, days * DAY + 1):
            is_up = (mint == rises) is (turns is None or number < turns * DAY)
            found.append(Decimal("1.02" if is_up else "0.98") if 60 <= number % DAY < 200 else Decimal(1))
        return found

    return merged(script(prices(MINT)), script(prices(OTHER), mint=OTHER))


def run(buckets: BucketRules, feed: list[MarketEvent]) -> TwoMarkets:
    bench = TwoMarkets(rules=thirds(buckets))
    bench.feed(feed)
    return bench


@pytest.fixture(scope="module")
def rotated() -> TwoMarkets:
    return run(RULES, market(10))


def rows(bench: KernelBench) -> list[tuple[int, str, Any]]:
    bench.journal.commit()
    return [(row.ts_ns, row.kind, parse_json(row.body)) for row in bench.journal.rows()]


def shares(event: events.SharesRotated) -> dict[str, int]:
    return {each.strategy: each.after_bps for each in event.shares}


def test_each_day_has_a_row_that_says_old_and_new_shares_and_what_they_rest_on(rotated: TwoMarkets) -> None:
    told = rotated.events(events.SharesRotated)
    assert len(told) == 10  # the first is of the day in which the run began
    assert [each.verdict for each in told[:4]] == [RotationVerdict.WARMING_UP] * 3 + [RotationVerdict.MOVED]
    assert all(sum(shares(each).values()) == 10_000 for each in told)
    for before, after in pairwise(told):
        assert shares(before) == {each.strategy: each.before_bps for each in after.shares}
        assert max(abs(each.after_bps - each.before_bps) for each in after.shares) <= 300
    winner, loser, idle = (told[3].shares[place] for place in range(3))
    assert winner.return_ppm is not None
    assert loser.return_ppm is not None
    assert winner.return_ppm > 0 > loser.return_ppm
    assert (idle.return_ppm, winner.windows) == (0, 3)
    assert told[3].gain_ppm > told[3].cost_ppm > 0
    assert shares(told[-1])["momentum_breakout"] > 4_500 > 2_900 > shares(told[-1])["mean_reversion"]


def test_cash_follows_the_shares_and_no_position_is_sold_for_it(rotated: TwoMarkets) -> None:
    moves = [each for each in rotated.events(events.CapitalMoved) if each.reason == DAY_POLICY]
    assert {each.to_bucket for each in moves} <= {"momentum_breakout", "trend_following"}
    buckets = rotated.kernel.state.ledger.buckets
    capital = sum(each.book_lamports for each in buckets.values())
    for name, share in shares_of(rotated.kernel.state).items():
        assert buckets[name].book_lamports * 10_000 / capital == pytest.approx(share, abs=60)
    exits = {each.fill.ts_ns for each in rotated.events(events.OrderFilled) if each.fill.side is Side.SELL}
    assert not exits & {each.ts_ns for each in moves}


def test_while_it_is_off_there_is_no_row_of_it_and_the_journal_is_that_of_a_profile_without_a_word_about_it() -> None:
    feed = market(5)
    off = run(OFF, feed)
    assert off.events(events.SharesRotated) == []
    assert "rotation" not in content_of(thirds(OFF))
    silent = run(BucketRules.model_validate({"band_bps": 10_000}), feed)
    assert silent.journal.sha256() == off.journal.sha256()
    # The control: on, it is another journal.
    assert run(RULES, feed).journal.sha256() != off.journal.sha256()


def test_what_comes_later_changes_no_decision_before_it() -> None:
    turned = run(RULES, market(10, turns=6))
    straight = run(RULES, market(10))
    until_ns = START_NS + (6 * DAY + 20) * INTERVAL_NS
    early = [
        [row for row in rows(bench) if row[0] < until_ns and row[1] == "shares_rotated"] for bench in (turned, straight)
    ]
    assert early[0] == early[1] != []
    # The control: after the turn it does.
    assert turned.events(events.SharesRotated)[-1] != straight.events(events.SharesRotated)[-1]


def test_a_move_by_hand_stands_for_as_long_as_the_profile_says_and_rotation_goes_on_from_there() -> None:
    held = RULES.model_copy(update={"rotation_hold_days": 2})
    feed = market(10)
    cut = next(
        place for place, each in enumerate(feed) if getattr(each, "ts_ns", 0) > START_NS + (5 * DAY + 30) * INTERVAL_NS
    )
    bench = TwoMarkets(rules=thirds(held)).feed(feed[: cut + 1])
    given = commands.MoveCapital("m", "o", "I know better", "momentum_breakout", "mean_reversion", SOL)
    assert bench.control.take(given).denied is None
    refused = commands.MoveCapital("r", "o", "too much", "momentum_breakout", "mean_reversion", 10**15)
    assert bench.control.take(refused).denied is not None
    bench.feed(feed[cut + 1 :])
    verdicts = [each.verdict for each in bench.events(events.SharesRotated)][6:]
    assert verdicts[:2] == [RotationVerdict.BY_HAND] * 2
    assert RotationVerdict.BY_HAND not in verdicts[2:]
    before, by_hand = bench.events(events.SharesRotated)[5:7]
    # A tenth of the capital was given; less what it lost on that day.
    assert 700 < shares(by_hand)["mean_reversion"] - shares(before)["mean_reversion"] <= 1_000
    moves = [each for each in bench.events(events.CapitalMoved) if each.reason == DAY_POLICY]
    assert not [each for each in moves if given.key < each.key and by_hand.ts_ns <= each.ts_ns < by_hand.ts_ns + DAY]
    assert fingerprint(bench.restored(ScriptedFeed(feed)).kernel) == fingerprint(bench.kernel)


def test_who_may_buy_nothing_gets_nothing_new_and_its_row_says_why() -> None:
    feed = market(8)
    bench = TwoMarkets(rules=thirds(RULES))
    bench.feed(feed[:10])
    stop = commands.ReduceOnly("r", "o", "too many losses", "strategy:momentum_breakout")
    bench.control.take(stop)
    bench.feed(feed[10:])
    told = bench.events(events.SharesRotated)
    barred = [each for event in told for each in event.shares if each.barred]
    assert {each.strategy for each in barred} == {"momentum_breakout"}
    assert "too many losses" in barred[0].barred
    assert all(each.after_bps <= each.before_bps for each in barred)
    moves = bench.events(events.CapitalMoved)
    assert "momentum_breakout" not in {each.to_bucket for each in moves}


def test_a_module_that_the_tier_bars_gets_nothing_new() -> None:
    names = ("momentum_breakout", "mean_reversion", "lead_lag")
    bench = TwoMarkets(rules=thirds(RULES, names))
    bench.feed(market(6))
    standing = bench.kernel.state.rotation.standings["lead_lag"]
    assert standing.barred == "lead-lag does not enter in tier foundation"
    assert standing.after_bps <= 3_333


def test_a_strategy_that_joins_gets_the_floor_and_a_deposit_is_split_by_the_shares(rotated: TwoMarkets) -> None:
    bench = run(RULES, market(6))
    after = thirds(RULES, (*NAMES, "volatility_breakout")).model_copy(update={"name": "other"})
    switch = commands.SwitchProfile("s", "o", "why", "other", content_of(after))
    assert bench.control.take(switch).denied is None
    wanted = shares_of(bench.kernel.state)
    assert wanted["volatility_breakout"] == RULES.rotation_floor_bps
    assert wanted["momentum_breakout"] > wanted["mean_reversion"]
    assert sum(wanted.values()) == 10_000
    bench.control.take(commands.Deposit("d", "o", "more", 10 * SOL))
    given = {each.bucket: each.lamports for each in bench.events(events.CapitalDeposited) if each.reason == "more"}
    assert given["volatility_breakout"] == SOL
    assert given["momentum_breakout"] > given["mean_reversion"]


def test_a_strategy_with_other_parameters_is_a_new_one_and_goes_to_the_floor_by_steps() -> None:
    feed = market(9)
    at = next(n for n, each in enumerate(feed) if getattr(each, "ts_ns", 0) > START_NS + (6 * DAY + 30) * INTERVAL_NS)
    bench = TwoMarkets(rules=thirds(RULES)).feed(feed[: at + 1])
    rules = thirds(RULES)
    first, *others = rules.strategies
    changed = rules.model_copy(
        update={"name": "other", "strategies": (first.model_copy(update={"parameters": {"channel_bars": 70}}), *others)}
    )
    before = shares_of(bench.kernel.state)
    bench.control.take(commands.SwitchProfile("s", "o", "why", "other", content_of(changed)))
    assert shares_of(bench.kernel.state) == before
    bench.feed(feed[at + 1 :])
    told = bench.events(events.SharesRotated)
    # At the end of the day in which it was switched it has one closed day, not seven.
    assert told[6].shares[0].windows == 6
    assert told[7].shares[0].windows == 1
    assert told[7].shares[0].target_bps == RULES.rotation_floor_bps
    assert fingerprint(bench.restored(ScriptedFeed(feed)).kernel) == fingerprint(bench.kernel)


def test_a_demoted_strategy_gets_nothing_new() -> None:
    bench = TwoMarkets(rules=thirds(RULES))
    bench.feed(market(1))
    state = bench.kernel.state
    terms = PromotionTerms(2_000, 10, 5_000, 5_000, 30)
    gates = (GateReading("drawdown", 2_500, 2_000, "bps", False, False, 3),)
    whose = (state.now_ns, "trend_following", "cand")
    state.promotions.promote(
        events.StrategyPromoted(*whose, Stage.CANDIDATE, Stage.PAPER, terms, gates, 10**9, 0, "o: why")
    )
    state.promotions.demote(events.StrategyDemoted(*whose, Stage.PAPER, gates, "it fell too far"))
    bench.feed(market(5)[len(market(1)) :])
    # What it lacks of its share after a withdrawal is not made good by the others.
    assert bench.control.take(commands.Withdraw("w", "o", "why", 6 * SOL)).denied is None
    assert "trend_following" in {each.bucket for each in bench.events(events.CapitalWithdrawn)}
    bench.feed(market(7)[len(market(5)) :])
    standing = state.rotation.standings["trend_following"]
    assert standing.barred == "cand was demoted: it fell too far"
    assert standing.after_bps <= 3_334
    assert state.rotation.is_warm
    assert "trend_following" not in {each.to_bucket for each in bench.events(events.CapitalMoved)}


def test_what_a_person_trades_in_the_bucket_of_a_strategy_says_nothing_about_it() -> None:
    feed = market(5)
    plain = run(RULES, feed)
    bench = TwoMarkets(rules=thirds(RULES))
    at = next(n for n, each in enumerate(feed) if getattr(each, "ts_ns", 0) > START_NS + (DAY + 200) * INTERVAL_NS)
    bench.feed(feed[: at + 1])
    bought = commands.PlaceOrder("b", "o", "by hand", Side.BUY, MINT, "trend_following", "manual", SOL, 0)
    assert bench.control.take(bought).denied is None
    bench.feed(feed[at + 1 :])
    assert bench.events(events.OrderFilled) != plain.events(events.OrderFilled)
    idle = [each.return_ppm for event in bench.events(events.SharesRotated) for each in event.shares][2::3]
    assert set(idle) == {None, 0}


@pytest.mark.requirement("T1")
def test_a_restart_and_a_checkpoint_give_the_same_rows(rotated: TwoMarkets) -> None:
    feed = market(10)
    restored = rotated.restored(ScriptedFeed(feed))
    assert fingerprint(restored.kernel) == fingerprint(rotated.kernel)
    assert vars(restored.kernel.state.rotation) == vars(rotated.kernel.state.rotation)

    half = next(n for n, each in enumerate(feed) if getattr(each, "ts_ns", 0) > START_NS + 5 * DAY * INTERVAL_NS)
    while type(feed[half]).__name__ != "CycleEnd":
        half += 1
    first = TwoMarkets(rules=thirds(RULES)).feed(feed[: half + 1])
    second = TwoMarkets(rules=thirds(RULES), begin=False)
    for kernel in (first.kernel, second.kernel):
        kernel.strategies = []  # a test's strategies have no state, and no place in a checkpoint
    checkpoint.put_back(second.kernel, checkpoint.taken(first.kernel))
    for kernel in (first.kernel, second.kernel):
        kernel.strategies = first._strategies(thirds(RULES))
    for bench in (first, second):
        bench.feed(feed[half + 1 :])
    assert rows(second) == rows(first)[-len(rows(second)) :]
    assert [row for row in rows(second) if row[1] == "shares_rotated"]
    assert rows(first) == rows(rotated)
