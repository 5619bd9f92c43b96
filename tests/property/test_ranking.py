"""Whatever the hits are: scores in range, order stable, and nothing irrelevant moves what is relevant."""

import math
import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.doubles.memories import T0_NS, a_memory

from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory
from memmcp_server.ports import IndexHit
from memmcp_server.services.ranking import (
    AFTER_SHARE,
    BEFORE_SHARE,
    SCALE,
    STEPS_MAX,
    Facts,
    neighbour_shares,
    previous_of,
    rank,
    shortlist,
)

NAMES = [MemoryId(name) for name in "abcdefghij"]
QUERIES = st.sampled_from(["where is it", "what failed last time", "the latest that worked for Ada on 3 May 2023"])
RELEVANCE = st.floats(0, 1, allow_subnormal=False)


@st.composite
def hits(draw: st.DrawFn) -> list[IndexHit]:
    scores = draw(st.dictionaries(st.sampled_from(NAMES), RELEVANCE, min_size=1))
    order = draw(st.permutations(NAMES))
    before = {after: earlier for earlier, after in pairwise(order) if draw(st.booleans())}
    return [IndexHit(name, 1, score, None, None, score, None, before.get(name)) for name, score in scores.items()]


def memory(name: MemoryId) -> Memory:
    outcome = {"outcome": "lost"} if name in "aeg" else {"outcome": "won"} if name in "bf" else {}
    return a_memory(name, f"Ada: {name}" if name in "ac" else name, seq=ord(name), metadata=outcome)


MEMORIES = {name: memory(name) for name in NAMES}
FACTS = st.dictionaries(st.sampled_from(NAMES), st.builds(Facts, st.integers(-500, 500), st.integers(-(10**9), 10**9)))


@given(hits(), QUERIES, FACTS)
def test_scores_are_finite_in_range_and_the_sum_of_their_parts(
    found: list[IndexHit], query: str, facts: dict[MemoryId, Facts]
) -> None:
    ranked = rank(query, shortlist(found, previous_of(found)), MEMORIES, facts, now_ns=T0_NS)

    assert {each.memory.id for each in ranked} >= {hit.memory_id for hit in found}
    for each in ranked:
        total = sum(part.value for part in each.parts)
        assert math.isfinite(total)
        assert each.score == min(1.0, max(0.0, total))
        assert all(part.value for part in each.parts)


@given(hits(), QUERIES, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_the_hits(
    found: list[IndexHit], query: str, chance: random.Random
) -> None:
    again = list(found)
    chance.shuffle(again)

    first = rank(query, shortlist(found, previous_of(found)), MEMORIES, now_ns=T0_NS)

    assert first == rank(query, shortlist(again, previous_of(again)), MEMORIES, now_ns=T0_NS)


@given(hits(), st.sampled_from(["where is it", "what failed", "what worked for Ada"]))
def test_an_irrelevant_memory_removes_no_hit_that_scores_higher(found: list[IndexHit], query: str) -> None:
    stranger = IndexHit(MemoryId("stranger"), 1, 0.0, None, None, 0.0, None)
    known = {**MEMORIES, stranger.memory_id: a_memory("stranger", "nothing", seq=0)}
    size = len(found)

    before = rank(query, shortlist(found, previous_of(found), size=size), known, now_ns=T0_NS)
    more = [*found, stranger]
    after = rank(query, shortlist(more, previous_of(more), size=size), known, now_ns=T0_NS)

    kept = {each.memory.id: each.score for each in after}
    for each in before:
        if each.score > kept.get(stranger.memory_id, 0.0):
            assert kept[each.memory.id] == each.score


@given(hits())
def test_a_relevant_neighbour_never_lowers_a_memory_and_gives_no_more_than_its_weights(found: list[IndexHit]) -> None:
    relevance = {hit.memory_id: hit.score for hit in found}
    previous = previous_of(found)

    shares = neighbour_shares(relevance, previous)

    assert all(0 < share <= SCALE - 1 + 1e-9 for share in shares.values())
    assert sum(shares.values()) <= sum(relevance.values()) * STEPS_MAX * (BEFORE_SHARE + AFTER_SHARE)
    assert neighbour_shares(relevance, {}) == {}
