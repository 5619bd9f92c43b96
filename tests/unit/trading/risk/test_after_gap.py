"""What a profile's policy does about each position after a gap, and until when it holds."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from trading.model.gap import GapAction, GapRules, GapStep
from trading.model.profile import BASELINE, PROFILES
from trading.model.units import NS_PER_S
from trading.risk.after_gap import GapBook, GapPosition, after_gap

pytestmark = pytest.mark.requirement("O8")
RULES = GapRules(
    gap_s=100, entries_wait_cycles=3, tighten_s=100, tighten_bps=200, exit_losing_s=1_000, exit_all_s=10_000
)
WINS = GapPosition("b", "UP", 100, 120, Decimal("1.2"), 0)
LOSES = GapPosition("b", "DOWN", 100, 80, Decimal("0.8"), 0)
BLIND = GapPosition("b", "BLIND", 100, 0, None, 0)
STALE = GapPosition("b", "STALE", 100, 80, Decimal("0.8"), 101 * NS_PER_S)


def done(gap_s: int, *positions: GapPosition, rules: GapRules = RULES) -> list[GapAction] | None:
    decision = after_gap(gap_s * NS_PER_S, positions, rules)
    return None if decision is None else [step.action for step in decision.steps]


def test_a_short_pause_and_a_policy_that_is_off_do_nothing() -> None:
    assert done(100, WINS) is None
    assert done(10**6, WINS, rules=GapRules()) is None


@pytest.mark.parametrize(
    ("gap_s", "actions"),
    [
        (101, [GapAction.TIGHTEN, GapAction.TIGHTEN, GapAction.HOLD, GapAction.TIGHTEN]),
        (1_000, [GapAction.TIGHTEN, GapAction.EXIT, GapAction.HOLD, GapAction.TIGHTEN]),
        (10_000, [GapAction.EXIT] * 4),
    ],
)
def test_the_longer_the_gap_the_more_is_sold(gap_s: int, actions: list[GapAction]) -> None:
    assert done(gap_s, WINS, LOSES, BLIND, STALE) == actions


def test_a_tightened_stop_lies_below_the_newest_price() -> None:
    decision = after_gap(500 * NS_PER_S, [WINS], RULES)
    assert decision is not None
    assert decision.entries_wait_cycles == 3
    assert decision.steps[0].floor_sol == Decimal("1.176")


def test_a_clock_that_was_set_back_sells_nothing_and_lets_entries_wait() -> None:
    decision = after_gap(-NS_PER_S, [WINS, LOSES], RULES)
    assert decision is not None
    assert [step.action for step in decision.steps] == [GapAction.HOLD, GapAction.HOLD]
    assert (decision.entries_wait_cycles, decision.reason) == (3, "the clock was set back by 1 s")


def step(action: GapAction, floor: str | None = None) -> GapStep:
    return GapStep("b", "UP", action, None if floor is None else Decimal(floor), "why")


def test_of_two_decisions_about_a_position_the_harder_one_holds_until_it_is_closed() -> None:
    book = GapBook(RULES)
    book.take([step(GapAction.HOLD)], 0)
    assert book.reason("b", "UP", Decimal("0.1")) is None
    book.take([step(GapAction.TIGHTEN, "1.0")], 0)
    book.take([step(GapAction.TIGHTEN, "0.9")], 0)
    assert book.floor_sol("b", "UP") == Decimal("1.0")
    assert book.reason("b", "UP", Decimal("1.0")) == "after_gap: why"
    assert book.reason("b", "UP", Decimal("1.1")) is None
    book.take([step(GapAction.EXIT)], 0)
    book.take([step(GapAction.TIGHTEN, "0.1")], 0)
    assert book.reason("b", "UP", Decimal(9)) == "after_gap: why"
    assert book.floor_sol("b", "UP") == 0
    book.forget("b", "UP")
    assert book.reason("b", "UP", Decimal("0.1")) is None


def test_entries_wait_until_the_later_of_two_cycles() -> None:
    book = GapBook(RULES)
    book.take([], 10)
    book.take([], 7)
    assert [book.cycles_to_wait(cycle) for cycle in (8, 9, 10, 11)] == [2, 1, 0, 0]


@pytest.mark.parametrize("wrong", [{"tighten_s": 5}, {"gap_s": 10, "exit_all_s": 9}, {"gap_s": -1}])
def test_a_policy_that_contradicts_itself_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        GapRules.model_validate(wrong)


def test_every_profile_that_a_desk_may_trade_under_states_a_policy_and_a_baseline_has_none() -> None:
    for profile in PROFILES:
        assert 0 < profile.after_gap.gap_s <= profile.after_gap.tighten_s
        assert profile.after_gap.entries_wait_cycles >= 2
    assert BASELINE.after_gap == GapRules()
