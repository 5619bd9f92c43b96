"""The budget of an answer is hard: whatever is found, whatever is asked for."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.memories import T0_NS, a_memory

from memmcp_server.domain.cursors import SearchCursor, parse_search_cursor
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.search import Contradiction, Found, IndexState, SearchQuery, SearchResult
from memmcp_server.wire.budget import search_answer, tokens_of

QUERY = SearchQuery("what do we know")
STATES: list[IndexState] = ["ready", "starting", "down"]


def found(number: int, content: str, metadata: dict[str, Any]) -> Found:
    memory = a_memory(f"m{number}", content, metadata=metadata, tags=("a", "b"))
    stale, contrary = ("x was superseded",), (MemoryId("m0"),)
    return Found(memory, 0.5, "meaning 0.71, words 3.2", {"meaning": 0.71}, stale, contrary, 40)


CONTENTS = st.text(min_size=1, max_size=3_000).filter(lambda text: bool(text.strip()))
RESULTS = st.builds(
    lambda contents, state, more, pairs: SearchResult(
        tuple(found(number, content, {"n": number, "text": content[:50]}) for number, content in enumerate(contents)),
        state,
        7,
        "7 memories are not indexed yet; they were searched by their words.",
        SearchCursor(10, T0_NS).text(QUERY.text, QUERY.where) if more else None,
        tuple(Contradiction(one.memory, one.memory) for one in [found(1, "x" * 300, {})] * pairs),
        SearchCursor(0, T0_NS),
    ),
    st.lists(CONTENTS, max_size=12),
    st.sampled_from(STATES),
    st.booleans(),
    st.integers(0, 3),
)


@pytest.mark.requirement("M15")
@settings(max_examples=150, deadline=None)
@given(RESULTS, st.integers(50, 3_000), st.booleans())
def test_the_answer_never_costs_more_than_it_may(result: SearchResult, tokens_max: int, full: bool) -> None:
    answer = search_answer(result, QUERY, full=full, tokens_max=tokens_max)
    assert tokens_of(answer.model_dump(mode="json", exclude_none=True)) <= tokens_max
    assert answer.total == len(answer.hits)
    whole = [hit.id for hit in answer.hits if not hit.is_cut]
    assert whole == [each.memory.id for each in result.found][: len(whole)]
    if len(answer.hits) < len(result.found) and answer.hits:
        assert answer.next_cursor is not None
        cursor = parse_search_cursor(answer.next_cursor, QUERY.text, QUERY.where, 100)
        assert cursor == SearchCursor(len(answer.hits), T0_NS)


@pytest.mark.requirement("M15")
def test_the_best_hit_is_cut_rather_than_left_out() -> None:
    long: Memory = a_memory("long", "word " * 2_000)
    result = SearchResult((Found(long, 1.0, "words"),), "ready", 0, None, None, (), SearchCursor(0, T0_NS))
    answer = search_answer(result, QUERY, full=False, tokens_max=300)
    [hit] = answer.hits
    assert hit.is_cut
    assert hit.content.startswith("word word")
    assert hit.content.endswith("...")
    assert len(hit.content) > 200
    assert answer.note is not None


def test_without_a_budget_nothing_is_left_out() -> None:
    result = SearchResult(tuple(found(n, "x" * 500, {}) for n in range(5)), "ready", 0, None)
    answer = search_answer(result, QUERY, full=True, tokens_max=None)
    assert [hit.id for hit in answer.hits] == ["m0", "m1", "m2", "m3", "m4"]
    assert answer.hits[0].parts == {"meaning": 0.71}


def test_a_later_page_that_is_cut_goes_on_where_it_ended() -> None:
    result = SearchResult(tuple(found(n, "x" * 400, {}) for n in range(5)), "ready", 0, None)
    result = replace(result, start=SearchCursor(10, T0_NS))
    answer = search_answer(result, QUERY, full=False, tokens_max=600)
    assert 0 < len(answer.hits) < 5
    assert answer.next_cursor is not None
    cursor = parse_search_cursor(answer.next_cursor, QUERY.text, QUERY.where, 100)
    assert cursor.offset == 10 + len(answer.hits)
