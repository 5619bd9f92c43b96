"""Ten hits in two kilobytes: short ones whole, of long ones the passage that was asked for."""

import pytest

from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.memory import Memory, Namespace, Provenance, Trust
from memmcp_server.domain.search import Found, SearchResult
from memmcp_server.tools.text import render
from memmcp_server.wire.brief import BEST, brief_answer, passage

pytestmark = pytest.mark.requirement("A1")
BYTES_MAX = 2_048
LONG = (
    "The bucket of meme coins was full after the third entry, so the momentum signal of 0.7 was sized to nothing. "
    "BONK fell nine percent in the minute after that, which the cap on exposure spared us. "
    "Lesson: leave the cap where it is, and look at the funding rate before the next entry. "
) * 4


def found(number: int, content: str, **more: object) -> Found:
    memory = Memory(
        id=MemoryId(f"01a21aaa-f9c6-7000-80{number:02d}-0ba33d1431f3"),
        seq=Seq(number),
        version=1,
        namespace=Namespace("team/alpha"),
        kind="decision",
        content=content,
        tags=("bonk",),
        metadata={},
        provenance=Provenance(agent="claude-desktop", trust=more.get("trust", Trust.AGENT)),  # type: ignore[arg-type]
        ts_event_ns=1_767_225_600_123_456_789,
        known_at_ns=1_767_225_600_123_456_789,
        superseded_at_ns=None,
        expires_at_ns=None,
        trajectory_id=None,
        embed=True,
    )
    return Found(
        memory,
        0.6146,
        "meaning 0.71, words 2 of 3",
        {},
        stale=("cites a forgotten memory",) if more.get("stale") else (),
    )


def result(*each: Found) -> SearchResult:
    return SearchResult(each, "ready", 0, None, None, ())


@pytest.mark.parametrize(
    "content", [LONG, "BONK was denied by the cap of the meme bucket. " * 4, "é€😀 BONK " * 60, "\n\n" + "x" * 5_000]
)
@pytest.mark.parametrize("count", [1, 10, 30])
def test_the_answer_stays_within_its_bytes_as_json_and_as_lines(content: str, count: int) -> None:
    answer = brief_answer(result(*(found(n, f"{n} {content}") for n in range(count))), "why was BONK denied")
    document = answer.model_dump(mode="json", exclude_none=True)
    bytes_max = BYTES_MAX * max(count, 10) // 10
    assert len(answer.model_dump_json(exclude_none=True).encode()) <= bytes_max
    assert len(render(document).encode()) <= bytes_max
    assert len(answer.hits) == count
    assert all(hit.content for hit in answer.hits)


def test_short_memories_are_told_whole_with_their_receipts() -> None:
    answer = brief_answer(result(*(found(n, f"{n}: exits first") for n in range(8))), "exits")
    assert [hit.content for hit in answer.hits] == [f"{n}: exits first" for n in range(8)]
    assert {(hit.agent, hit.kind, hit.why) for hit in answer.hits} == {
        ("claude-desktop", "decision", "meaning 0.71, words 2 of 3")
    }


def test_of_long_ones_the_best_keep_their_receipt_and_more_text() -> None:
    answer = brief_answer(result(*(found(n, LONG) for n in range(10))), "funding rate")
    lengths = [len(hit.content) for hit in answer.hits]
    assert min(lengths[:BEST]) > max(lengths[BEST:])
    assert all(hit.agent for hit in answer.hits[:BEST])
    assert not any(hit.agent for hit in answer.hits[BEST:])
    assert all("funding rate" in hit.content for hit in answer.hits[:BEST])


def test_what_speaks_against_a_hit_is_never_left_out() -> None:
    answer = brief_answer(result(*(found(n, LONG, stale=True, trust=Trust.UNTRUSTED) for n in range(10))), "BONK")
    assert all(hit.stale and hit.trust == "untrusted" for hit in answer.hits)


@pytest.mark.parametrize("chars_max", [40, 60, 100, 333])
@pytest.mark.parametrize("words", [[], ["funding"], ["nowhere"], ["lesson"]])
def test_a_passage_is_no_longer_than_asked_and_holds_a_word_that_is_there(chars_max: int, words: list[str]) -> None:
    text = passage(LONG, words, chars_max)
    assert len(text) <= chars_max
    assert text.endswith("...")
    if words and words[0] in LONG.casefold():
        assert words[0] in text.casefold()


def test_a_text_that_fits_is_left_as_it_is() -> None:
    assert passage("line one\n  line two", ["two"], 100) == "line one\n  line two"
