"""The order of an answer and the parts that it is made of."""

from itertools import pairwise
from typing import Any

import pytest
from tests.doubles.memories import T0_NS, a_memory

from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.policy import Policy
from memmcp_server.domain.times import NS_PER_DAY
from memmcp_server.ports import IndexHit
from memmcp_server.services.ranking import (
    AFTER_SHARE,
    BEFORE_SHARE,
    BLOCK_LEN,
    DATE,
    EVIDENCE_MIN,
    EVIDENCE_WORDS_MIN,
    HITS_WANTED,
    MEANING_ENOUGH,
    OUTCOME,
    RECENCY,
    SCALE,
    SPEAKER,
    STEP_DECAY,
    Cues,
    Facts,
    blocks,
    cues_of,
    facts_of,
    hit_of_words,
    is_called_for,
    is_nothing_relevant,
    neighbour_shares,
    previous_of,
    rank,
    shortlist,
)


def a_hit(memory_id: str, score: float = 0.5, **fields: Any) -> IndexHit:
    defaults: dict[str, Any] = {"dense": 0.4, "lexical": 3.0, "share": score, "meaning": score}
    return IndexHit(MemoryId(memory_id), 1, score, **{**defaults, **fields})


def chain(*memory_ids: str) -> dict[MemoryId, MemoryId]:
    """The memories in the order of a thread: each maps to the one before it."""
    return {MemoryId(after): MemoryId(before) for before, after in pairwise(memory_ids)}


def order(query: str, *memories: Memory, facts: dict[MemoryId, Facts] | None = None) -> list[str]:
    standings = shortlist([a_hit(memory.id) for memory in memories], {})
    ranked = rank(query, standings, {memory.id: memory for memory in memories}, facts, now_ns=T0_NS)
    return [each.memory.id for each in ranked]


def parts(query: str, memory: Memory, facts: Facts | None = None) -> dict[str, float]:
    known = {memory.id: facts} if facts else None
    [ranked] = rank(query, shortlist([a_hit(memory.id)], {}), {memory.id: memory}, known, now_ns=T0_NS)
    assert ranked.score == pytest.approx(sum(part.value for part in ranked.parts))
    return {part.name: part.value * SCALE for part in ranked.parts}


def test_nothing_is_relevant_when_neither_words_nor_meaning_are() -> None:
    assert is_nothing_relevant([])
    many = [a_hit(f"m{number}", share=0.0, meaning=0.1) for number in range(HITS_WANTED - 1)]
    assert is_nothing_relevant([*many, a_hit("a", share=0.1, meaning=MEANING_ENOUGH - 0.01)])
    assert not is_nothing_relevant([*many, a_hit("a", share=0.2, meaning=0.3)])
    assert not is_nothing_relevant([*many, a_hit("a", share=0.0, meaning=MEANING_ENOUGH)])


def test_among_few_memories_less_meaning_is_enough() -> None:
    assert is_nothing_relevant([a_hit("a", share=0.0, meaning=0.03), a_hit("b", share=0.0, meaning=0.03)])
    assert not is_nothing_relevant([a_hit("a", share=0.0, meaning=0.15), a_hit("b", share=0.0, meaning=0.05)])
    assert not is_nothing_relevant([a_hit("a", share=0.0, meaning=1.0), a_hit("b", share=0.2, meaning=0.0)])


def test_one_side_alone_says_whether_anything_is_relevant() -> None:
    assert is_nothing_relevant([a_hit("a", share=EVIDENCE_WORDS_MIN / 2, meaning=None)])
    assert not is_nothing_relevant([a_hit("a", share=EVIDENCE_WORDS_MIN, meaning=None)])
    assert not is_nothing_relevant([a_hit("a", share=None, meaning=EVIDENCE_MIN)])


def test_what_stands_around_a_hit_gets_a_share_of_it_both_ways() -> None:
    shares = neighbour_shares({MemoryId("c"): 1.0}, chain("a", "b", "c", "d", "e"))

    assert shares["d"] == pytest.approx(BEFORE_SHARE)
    assert shares["e"] == pytest.approx(BEFORE_SHARE * STEP_DECAY)
    assert shares["b"] == pytest.approx(AFTER_SHARE)
    assert shares["a"] == pytest.approx(AFTER_SHARE * STEP_DECAY)
    assert "c" not in shares


def test_shares_end_after_three_steps_and_a_circle_gives_nothing_twice() -> None:
    far = neighbour_shares({MemoryId("e"): 1.0}, chain("a", "b", "c", "d", "e"))
    circle = neighbour_shares({MemoryId("a"): 1.0}, chain("a", "a"))

    assert set(far) == {"b", "c", "d"}
    assert circle == {}


def test_a_memory_beside_a_hit_is_in_the_list_without_being_one() -> None:
    hits = [a_hit("b", 0.9, previous_id=MemoryId("a")), a_hit("z", 0.1)]

    standings = shortlist(hits, previous_of(hits))

    assert [(each.memory_id, each.hit is None) for each in standings] == [("b", False), ("a", True), ("z", False)]
    assert standings[1].relevance == 0.0
    assert shortlist(hits, previous_of(hits), size=1) == standings[:1]


def test_of_two_versions_of_a_memory_the_more_relevant_one_stands() -> None:
    [standing] = shortlist([a_hit("a", 0.2), a_hit("a", 0.6), a_hit("a", 0.4)], {})

    assert standing.relevance == 0.6


@pytest.mark.parametrize(
    ("query", "cues"),
    [
        ("What failed last time with momentum?", Cues(True, -1, lesson=True)),
        ("our latest mistake", Cues(True, -1, lesson=True, has_subject=False)),
        ("which trades lost?", Cues(True, -1, lesson=True, has_subject=False)),
        ("what worked recently", Cues(True, 1, lesson=True, has_subject=False)),
        ("did it win or lose", Cues(outcome=0)),
        ("how did it turn out", Cues(outcome=0)),
        ("what did we do last week", Cues()),
        ("last night's party", Cues()),
        ("where is the pool", Cues()),
        ("what did not work", Cues(True, -1, lesson=True, has_subject=False)),
        ("which mistakes with BONK should not be repeated", Cues(False, -1, lesson=True)),
        ("what to avoid doing again", Cues(True, -1, lesson=True, has_subject=False)),
        ("what have we learned about BONK", Cues(lesson=True)),
    ],
)
def test_what_a_query_asks_for_beside_its_subject(query: str, cues: Cues) -> None:
    assert cues_of(query) == cues


def test_what_failed_last_time_is_the_newest_that_failed() -> None:
    lost = {"outcome": "lost"}
    old = a_memory("old", "BONK lost", metadata=lost, ts_event_ns=T0_NS - 9 * NS_PER_DAY)
    new = a_memory("new", "BONK lost", metadata=lost, ts_event_ns=T0_NS - 2 * NS_PER_DAY)
    won = a_memory("won", "BONK won", metadata={"outcome": "won"}, ts_event_ns=T0_NS)

    assert order("what failed last time with BONK", old, won, new) == ["new", "old", "won"]
    assert order("what worked last time with BONK", old, won, new)[0] == "won"


def test_who_asks_for_lessons_gets_those_of_the_outcome_asked_for_before_the_story() -> None:
    story = a_memory("story", "BONK lost", kind="trajectory", metadata={"outcome": "lost"})
    bad = a_memory("bad", "keep the stop", kind="lesson", metadata={"outcome": "lost"})
    good = a_memory("good", "wait for it", kind="lesson", metadata={"outcome": "won"})

    assert order("which mistake with BONK should not be repeated", good, story, bad) == ["bad", "story", "good"]
    assert "lesson" in parts("what did we learn about BONK", good)
    assert "lesson" not in parts("where is BONK", good)
    called = a_memory("called", "BONK fades", tags=("lesson",))  # by whoever wrote it
    assert "lesson" in parts("what did we learn about BONK", called)
    assert "lesson" not in parts("what did we learn about BONK", a_memory("note", "BONK fades"))


def test_a_question_without_a_subject_is_answered_by_the_newest_that_is_called_for() -> None:
    lost = {"outcome": "lost"}
    old = a_memory("old", "what failed last time was BONK", metadata=lost, ts_event_ns=T0_NS - 9 * NS_PER_DAY)
    new = a_memory("new", "WIF", metadata=lost, ts_event_ns=T0_NS - 2 * NS_PER_DAY)
    hits = [a_hit("old", 0.3), a_hit("new", 0.1, share=0.0, meaning=0.1)]

    ranked = rank("what failed last time", shortlist(hits, {}), {old.id: old, new.id: new}, now_ns=T0_NS)

    assert [each.memory.id for each in ranked] == ["new", "old"]
    assert is_called_for("what failed last time", ranked)
    assert not is_called_for("where is it", ranked)
    assert not is_called_for("what failed last time", [])


def test_each_part_has_its_name_and_its_size() -> None:
    memory = a_memory("m", "Marta: we were there yesterday", metadata={"outcome": "lost"})

    found = parts("what went wrong lately for Marta on 13 November 2023", memory)

    assert found["relevance"] == pytest.approx(0.5)
    assert found["speaker"] == pytest.approx(SPEAKER)
    assert found["date"] == pytest.approx(DATE)
    assert found["recency"] == pytest.approx(RECENCY)
    assert found["outcome"] == pytest.approx(OUTCOME)
    assert set(parts("something else", memory)) == {"relevance"}


def test_a_named_agent_is_a_speaker_too() -> None:
    mine = a_memory("mine", "the pool was thin", agent="claude-desktop")

    assert parts("what did claude-desktop note", mine)["speaker"] == pytest.approx(SPEAKER)
    assert "speaker" not in parts("what did claude note", mine)
    assert "speaker" not in parts("what did it note", a_memory("m", "x", agent=""))


def test_importance_and_credit_move_a_memory_both_ways_and_are_bounded() -> None:
    good, plain, bad = (a_memory(name, "the same") for name in ("good", "plain", "bad"))
    facts = {good.id: Facts(importance=90, credit=5_000), bad.id: Facts(importance=10, credit=-5_000)}

    assert order("same", bad, plain, good, facts=facts) == ["good", "plain", "bad"]
    assert parts("same", good, Facts(10**9, 10**9)) == parts("same", good, Facts(100, 10**6))


def test_among_equals_the_newer_comes_first_and_what_the_journal_does_not_hold_falls_away() -> None:
    older, newer = a_memory("older", "same", seq=3), a_memory("newer", "same", seq=7)
    standings = shortlist([a_hit("older"), a_hit("gone"), a_hit("newer")], {})

    ranked = rank("same", standings, {older.id: older, newer.id: newer}, now_ns=T0_NS)

    assert [each.memory.id for each in ranked] == ["newer", "older"]
    assert rank("latest", [], {}, now_ns=T0_NS) == []


def test_importance_fades_with_a_half_life_but_not_that_of_a_pinned_memory() -> None:
    memory = a_memory("m", "x", importance=80, known_at_ns=T0_NS)
    pinned = a_memory("p", "x", importance=80, known_at_ns=T0_NS, pinned=True)
    later_ns = T0_NS + 60 * NS_PER_DAY

    assert facts_of(memory, 7, Policy(), later_ns) == Facts(80, 7)
    assert facts_of(memory, 0, Policy(half_life_days=30), later_ns) == Facts(20.0)
    assert facts_of(memory, 0, Policy(half_life_days=30), T0_NS - NS_PER_DAY) == Facts(80.0)
    assert facts_of(pinned, 0, Policy(half_life_days=30), later_ns) == Facts(80)


def test_what_the_index_has_not_reached_stands_on_the_same_scale() -> None:
    late = hit_of_words(a_memory("late", "BONK"), 0.7)

    assert [each.memory_id for each in shortlist([a_hit("a", 0.6), late, a_hit("b", 0.8)], {})] == ["b", "late", "a"]
    assert not is_nothing_relevant([late])


def test_a_plain_question_is_ranked_block_by_block_and_one_that_asks_for_more_at_once() -> None:
    listed = shortlist([a_hit(f"m{number:03d}", 1 - number / 100) for number in range(BLOCK_LEN + 5)], {})

    assert [len(block) for block in blocks("where is the pool", listed, T0_NS)] == [BLOCK_LEN, 5]
    assert [each for block in blocks("where is the pool", listed, T0_NS) for each in block] == listed
    for query in ("the newest pool", "what failed with the pool", "lessons of the pool", "the pool on 8 May 2023"):
        assert [len(block) for block in blocks(query, listed, T0_NS)] == [BLOCK_LEN + 5]
    assert blocks("where is the pool", [], T0_NS) == blocks("the newest", [], T0_NS) == []


def test_of_two_that_say_every_word_the_one_that_says_them_more_comes_first() -> None:
    dated, meant = a_memory("dated", "note 7", seq=9), a_memory("meant", "note 25", seq=3)
    hits = [a_hit("dated", 1.0, lexical=4.0), a_hit("meant", 1.0, lexical=5.5)]

    ranked = rank("note 25", shortlist(hits, {}), {dated.id: dated, meant.id: meant}, now_ns=T0_NS)

    assert [each.memory.id for each in ranked] == ["meant", "dated"]
