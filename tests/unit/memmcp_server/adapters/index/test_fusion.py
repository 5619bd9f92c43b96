"""Relevance: both sides of a search on one scale, whatever else the answer holds."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from memmcp_server.adapters.index import fusion
from memmcp_server.adapters.index.fusion import COSINE_HIGH, COSINE_LOW, SHARE_LOW, Fused, Side, alike, relevance
from memmcp_server.adapters.index.store import Match
from memmcp_server.domain.identifiers import Json

SHARES = st.one_of(st.none(), st.floats(0, 1))


def point(point_id: str, score: float) -> Match:
    return Match(point_id, score)


def side(*points: Match, is_cut: bool = False) -> Side:
    return Side(points, is_cut)


def fuse(dense: Side | None, words: Side | None, *, ideal: float, count: int = 99, bare: str = "") -> list[Fused]:
    """As the engine does it; the points named in ``bare`` have no vector."""

    def payloads(point_ids: Sequence[str]) -> dict[str, dict[str, Json]]:
        return {each: {"dense": "no" if each == bare else "yes"} for each in point_ids}

    return fusion.fuse(dense, words, ideal=ideal, count=count, payloads=payloads)


def test_a_point_that_says_every_word_and_means_the_same_has_one() -> None:
    [best] = fuse(side(point("a", COSINE_HIGH)), side(point("a", 6.0)), ideal=6.0)

    assert (best.score, best.share, best.meaning) == (1.0, 1.0, 1.0)
    assert (best.dense, best.words) == (COSINE_HIGH, 6.0)


def test_a_share_of_words_that_a_name_alone_makes_says_nothing() -> None:
    found = fuse(side(point("meant", 0.6), point("named", 0.2)), side(point("named", SHARE_LOW)), ideal=1.0)

    assert [each.id for each in found] == ["meant", "named"]
    assert found[1].score == relevance(0.0, alike(0.2))


def test_a_point_without_a_vector_is_judged_by_its_words_alone() -> None:
    found = fuse(side(point("both", 0.3)), side(point("step", 4.0), point("both", 4.0)), ideal=5.0, bare="step")

    assert [(each.id, each.meaning is None) for each in found] == [("step", True), ("both", False)]
    assert found[0].score == 0.8


def test_what_a_list_that_was_cut_does_not_hold_has_at_most_its_last_score() -> None:
    near = [point("a", 0.7), point("b", 0.5)]
    cut = fuse(side(*near, is_cut=True), side(point("c", 3.0)), ideal=3.0)
    whole = fuse(side(*near), side(point("c", 3.0)), ideal=3.0)

    by_cut, by_whole = ({each.id: each for each in found} for found in (cut, whole))
    assert by_cut["c"].meaning == alike(0.5)
    assert by_whole["c"].meaning == 0.0
    assert by_cut["a"].share == by_whole["a"].share == 0.0
    assert by_cut["c"].dense is None


@given(st.integers(1, 6), st.sampled_from(["a", "c", "e"]))
def test_the_payloads_of_the_best_alone_are_read_and_they_are_the_best(count: int, bare: str) -> None:
    near = side(point("a", 0.7), point("b", 0.5), is_cut=True)
    said = side(*(point(each, 6.0 - place) for place, each in enumerate("cdeb")))

    best = fuse(near, said, ideal=6.0, count=count, bare=bare)

    assert best[0] == fuse(near, said, ideal=6.0, bare=bare)[0]
    assert len(best) == min(count, 5)


def test_one_side_alone_decides_where_the_other_was_not_asked() -> None:
    assert [each.score for each in fuse(None, side(point("a", 2.0)), ideal=4.0)] == [0.5]
    assert [each.score for each in fuse(side(point("a", 0.8)), None, ideal=0.0)] == [1.0]
    assert fuse(None, side(), ideal=4.0) == []


@given(SHARES, SHARES)
def test_relevance_is_a_finite_number_from_zero_to_one(share: float | None, meaning: float | None) -> None:
    assert 0 <= relevance(share, meaning) <= 1


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_nearer_point_is_never_less_alike(left: float, right: float) -> None:
    low, high = sorted((left, right))
    assert 0 <= alike(low) <= alike(high) <= 1
    assert alike(COSINE_LOW) == 0


SCORED = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 20), max_size=8)


@given(SCORED, SCORED, st.floats(0, 50))
def test_fusion_is_stable_bounded_and_complete(near: dict[str, float], said: dict[str, float], ideal: float) -> None:
    def ordered(scores: dict[str, float]) -> Side:
        return side(*(point(key, score) for key, score in sorted(scores.items(), key=lambda each: -each[1])))

    found = fuse(ordered(near), ordered(said), ideal=ideal)

    assert {each.id for each in found} == {*near, *said}
    assert all(math.isfinite(each.score) and 0 <= each.score <= 1 for each in found)
    assert found == fuse(ordered(near), ordered(said), ideal=ideal)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
