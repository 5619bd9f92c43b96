"""What came of a situation can be read from when it was known on, and never before."""

import json
import random

import pytest

from trading.model.recall import Outcome, PastSituation, Situation
from trading.recall import memory as module
from trading.recall.memory import SCORES_MAX, Neighbour, SituationMemory
from trading.recall.situations import DIMENSIONS, LEVEL_MAX, VERSION, text_of

pytestmark = pytest.mark.requirement("T13")

S = "momentum_breakout"


def vector(seed: int) -> tuple[int, ...]:
    chance = random.Random(seed)
    return tuple(chance.randint(-40, 40) for _ in range(DIMENSIONS))


def situation(name: str, seed: int = 0, ts_ns: int = 0, strategy: str = S, cost_bps: int = 60) -> Situation:
    levels = text_of(vector(seed))
    return Situation(name, f"trj_{name}", strategy, "m", ts_ns, 100, cost_bps, VERSION, levels)


def asked(memory: SituationMemory, now_ns: int, seed: int = 0, count: int = 50) -> list[Neighbour]:
    return memory.nearest(now_ns, S, vector(seed), count)


def test_a_situation_is_recalled_only_when_its_outcome_is_known() -> None:
    memory = SituationMemory()
    memory.meet(situation("a", ts_ns=5))
    assert (asked(memory, 10**20), memory.waiting) == ([], 1)
    memory.settle(20, "a", 150)
    assert asked(memory, 20) == [Neighbour("a", 0, 5, 150, 90)]
    assert (memory.waiting, memory.known(S)) == (0, 1)


def test_outcomes_from_the_future_cannot_be_read() -> None:
    chance = random.Random(1)
    memory = SituationMemory()
    planted = [
        PastSituation(situation(f"p{number}", seed=number), Outcome(chance.randint(1, 1_000), 10_000, 10_000))
        for number in range(300)
    ]
    memory.give(0, planted)
    for now_ns in range(0, 1_001, 50):
        found = {each.id for each in asked(memory, now_ns, seed=7, count=400)}
        assert found == {each.situation.id for each in planted if each.outcome.known_ns <= now_ns}


def test_the_test_above_sees_a_memory_that_reads_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = SituationMemory.advance
    monkeypatch.setattr(SituationMemory, "advance", lambda self, now_ns: advance(self, now_ns + 1))
    with pytest.raises(AssertionError):
        test_outcomes_from_the_future_cannot_be_read()


def test_the_order_in_which_past_situations_are_given_makes_no_difference() -> None:
    past = [PastSituation(situation(f"p{n}", seed=n), Outcome(n // 3, n, n)) for n in range(60)]
    one, other = SituationMemory(), SituationMemory()
    one.give(5, past)
    other.give(0, reversed(past))
    other.advance(5)
    assert one.document() == other.document()
    assert asked(one, 12) == asked(other, 12)
    assert one.document() == other.document()


def test_of_equally_near_situations_the_ids_decide() -> None:
    memory = SituationMemory()
    for name in ("d", "b", "e", "a", "c"):
        memory.meet(situation(name))
        memory.settle(1, name, 0)
    assert [each.id for each in asked(memory, 1, count=3)] == ["a", "b", "c"]


def test_strategies_are_asked_for_themselves() -> None:
    memory = SituationMemory()
    memory.meet(situation("a", strategy="other"))
    memory.settle(1, "a", 0)
    assert asked(memory, 1) == []
    assert memory.known("other") == 1


@pytest.mark.parametrize("closed_first", [True, False])
def test_the_return_of_a_closed_trade_is_the_net_outcome(closed_first: bool) -> None:
    memory = SituationMemory()
    memory.meet(situation("a"))
    if closed_first:
        memory.close(1, "trj_a", -77)
        memory.settle(2, "a", 150)
    else:
        memory.settle(1, "a", 150)
        memory.close(2, "trj_a", -77)
    memory.close(3, "trj_a", 5)  # a trajectory closes once
    assert [(each.move_bps, each.net_bps) for each in asked(memory, 3)] == [(150, -77)]


def test_what_nobody_met_settles_nothing() -> None:
    memory = SituationMemory()
    memory.settle(1, "a", 5)
    memory.close(1, "trj_a", 5)
    memory.answer("a", 1, 2)
    assert memory.is_empty
    assert memory.scored == []


def test_another_version_of_the_features_is_passed_over() -> None:
    old = Situation("a", "trj_a", S, "m", 0, 100, 60, VERSION + 1, "1,2")
    memory = SituationMemory()
    memory.meet(old)
    memory.give(0, [PastSituation(old, Outcome(0, 1, 1))])
    assert memory.is_empty


def test_answers_are_scored_when_the_outcome_is_known_and_the_newest_count() -> None:
    memory = SituationMemory()
    for number in range(SCORES_MAX + 5):
        name = f"a{number}"
        memory.meet(situation(name))
        memory.answer(name, 100, 40)
        memory.settle(number, name, 0 if number < 5 else 50)
    assert memory.scores(S) == (SCORES_MAX, SCORES_MAX * 50**2, SCORES_MAX * 10**2)
    assert (memory.scored, memory.shifts(S)) == ([S], False)
    memory.judged(S, shifts=True)
    assert memory.shifts(S)


def test_beyond_its_bounds_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_MAX", 3)
    memory = SituationMemory()
    for number in range(5):
        memory.meet(situation(f"a{number}"))
        memory.answer(f"a{number}", 1, 2)
    assert memory.waiting == 3
    memory.settle(1, "a0", 5)
    assert memory.known(S) == 0
    monkeypatch.setattr("trading.recall.index.CHUNK_ROWS", 4)
    bounded = SituationMemory(rows_max=8)
    for number in range(11):
        bounded.meet(situation(f"b{number}", seed=number))
        bounded.settle(number, f"b{number}", number)
        bounded.close(number, f"trj_b{number}", number)
    found = {each.id: each.net_bps for each in asked(bounded, 100)}
    assert found == {f"b{number}": number for number in range(4, 11)}


def test_memory_comes_back_from_its_document() -> None:
    memory, other = SituationMemory(), SituationMemory()
    for number in range(40):
        name = f"a{number}"
        memory.meet(situation(name, seed=number, ts_ns=number))
        memory.answer(name, number, -number)
        if number % 3:
            memory.settle(number, name, 7 * number)
        if number % 5 == 0:
            memory.close(number, f"trj_{name}", -number)
    memory.judged(S, shifts=True)
    memory.give(40, [PastSituation(situation(f"p{n}", seed=n), Outcome(n, n, n)) for n in range(30, 60)])
    document = json.loads(json.dumps(memory.document()))
    other.put_back(document)
    assert other.document() == memory.document()
    for each in (memory, other):
        each.settle(50, "a0", 5)
    assert asked(other, 70) == asked(memory, 70)
    assert other.scores(S) == memory.scores(S)


def test_a_document_that_does_not_fit_is_refused() -> None:
    memory = SituationMemory()
    memory.meet(situation("a"))
    memory.settle(1, "a", 0)
    document = memory.document()
    with pytest.raises(ValueError, match="version"):
        SituationMemory().put_back(document | {"version": VERSION + 1})
    document["books"][S]["ids"] = []
    with pytest.raises(ValueError, match="do not fit"):
        SituationMemory().put_back(document)


def test_the_levels_of_a_situation_are_within_their_bound() -> None:
    memory = SituationMemory()
    bad = Situation("a", "trj_a", S, "m", 0, 100, 60, VERSION, text_of([LEVEL_MAX + 1] * DIMENSIONS))
    memory.meet(bad)
    with pytest.raises(ValueError, match="levels of at most"):
        memory.settle(1, "a", 0)
