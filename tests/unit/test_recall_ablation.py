"""The ablation compares what it says: the same situations with true outcomes and with those of others."""

from collections import Counter

import pytest
from scripts import recall_ablation
from scripts.recall_ablation import (
    ALWAYS,
    OFF,
    Found,
    ShuffledMemory,
    Variant,
    difference,
    error_ratio,
    run,
    section_of,
)
from tests.support import yardstick

from trading.model.recall import Situation
from trading.recall.memory import SituationMemory
from trading.recall.situations import DIMENSIONS, VERSION

pytestmark = pytest.mark.requirement("T13")


def filled(memory: SituationMemory) -> SituationMemory:
    for number in range(60):
        vector = ",".join(str(number % 50) for _ in range(DIMENSIONS))
        memory.meet(Situation(f"f{number:02}", f"t{number}", "s", "m", number, 100, 60, VERSION, vector))
        memory.settle(number, f"f{number:02}", 10 * number)
    return memory


def test_a_shuffled_memory_finds_the_same_situations_with_outcomes_of_others() -> None:
    asked = (100, "s", tuple(0 for _ in range(DIMENSIONS)), 60)
    true, dealt = filled(SituationMemory()).nearest(*asked), filled(ShuffledMemory(1)).nearest(*asked)
    assert [(each.id, each.squared, each.ts_ns) for each in true] == [
        (each.id, each.squared, each.ts_ns) for each in dealt
    ]
    moves = [Counter(each.move_bps for each in found) for found in (true, dealt)]
    assert moves[0] == moves[1]
    assert sum(one.move_bps == other.move_bps for one, other in zip(true, dealt, strict=True)) < 10
    assert dealt == filled(ShuffledMemory(1)).nearest(*asked)
    assert dealt != filled(ShuffledMemory(2)).nearest(*asked)
    assert ShuffledMemory(1).nearest(*asked) == []


def test_runs_differ_in_their_memory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = yardstick.feed_of(yardstick.walk(6_000))
    found = {}
    for variant in (Variant("without", OFF), Variant("always", ALWAYS), Variant("shuffled 1", ALWAYS, 1)):
        found[variant.name], trial = run(feed, "sma_cross", variant, warm_up_days=1)
        assert trial.parameters == {"recall": variant.name}
    days = {len(each.returns) for each in found.values()}
    assert days == {3}
    assert found["without"].answers == 0 < found["always"].answers
    assert [each[:2] for each in found["always"].errors] == [each[:2] for each in found["shuffled 1"].errors]
    assert found["always"].errors != found["shuffled 1"].errors


def found_of(returns: float, recalled: int) -> Found:
    errors = tuple((day, 100, recalled) for day in range(40))
    return Found(tuple(returns + 0.0001 * (day % 3) for day in range(40)), errors, 10, 40, 20, 5)


def test_the_section_says_what_the_intervals_say() -> None:
    def told(always: float, shuffled: float) -> str:
        found = {"without": found_of(0.0, 100), "proven": found_of(always, 50), "always": found_of(always, 50)}
        found |= {each.name: found_of(shuffled, 90) for each in recall_ablation.VARIANTS if each.shuffle is not None}
        return section_of("a feed", {"s": found}, 1)

    assert "for s. Over all strategies together it does help by both intervals" in told(0.01, 0.005)
    assert "but not above shuffled outcomes, for s, all together" in told(0.01, 0.01)
    none = told(0.0, 0.0)
    assert "For no strategy" in none
    assert "| 0.500 (0.500 to 0.500) |" in none


def test_differences_are_paired_and_ratios_have_intervals() -> None:
    mean, low, high = difference([0.0101, 0.0201], [0.01, 0.02], 1)
    assert (round(mean, 6), round(low, 6), round(high, 6)) == (1.0, 1.0, 1.0)
    assert error_ratio((), 1) is None
    ratio = error_ratio(tuple((day, 100, 100 + day) for day in range(50)), 1)
    assert ratio is not None
    assert ratio[1] < ratio[0] < ratio[2]
