"""What of a memory is searched, and how its words are weighed."""

import pytest
from tests.doubles.memories import a_memory

from memmcp_server.adapters.index.texts import CONTEXT_CHARS_MAX, CONTEXT_MAX, DENSE_CHARS_MAX, point_of
from memmcp_server.adapters.index.word_vectors import CONTEXT_WEIGHTS, LENGTH_AVERAGE, Bm25Words


def weights(text: str, *context: str) -> dict[int, float]:
    vector = Bm25Words().of_document(text, context)
    return dict(zip(vector.indices, vector.values, strict=True))


def term(word: str) -> int:
    [index] = Bm25Words().of_query(word).indices
    return index


def test_words_are_those_of_the_memory_its_day_the_dates_it_speaks_of_its_kind_and_tags() -> None:
    point = point_of(a_memory("m", "Bo: I was there yesterday", kind="decision", tags=("pool", "rug")))

    assert point.text_lexical == (
        "day14 November year2023: Bo: I was there yesterday\ndecision pool rug\nday13 November year2023"
    )
    assert point.text_dense == "Bo: I was there yesterday"
    assert (point.context, point.previous_id) == ((), None)


def test_dates_that_are_written_out_are_the_same_words_whatever_their_form() -> None:
    before = [a_memory("p", "Ada: and on 2023-05-08?")]

    point = point_of(a_memory("m", "not before May 9th, 2023", tags=()), before)

    assert point.text_lexical.startswith("day14 November year2023: not before day9 May year2023\n")
    assert point.context == ("and on day8 May year2023?",)


def test_a_time_beyond_the_calendar_has_no_date() -> None:
    point = point_of(a_memory("m", "see you yesterday", ts_event_ns=2**62 * 100))

    assert point.text_lexical == ": see you yesterday\nnote\n"


def test_context_is_what_was_said_before_without_who_said_it_and_bounded() -> None:
    before = [a_memory("p", "Ada: Who joined you?"), a_memory("q", "x" * 9_999), a_memory("r", "too far")]

    point = point_of(a_memory("m", "My sister."), before)

    assert point.context == ("Who joined you?", "x" * CONTEXT_CHARS_MAX)
    assert len(point.context) == CONTEXT_MAX
    assert point.previous_id == "p"


def test_a_long_text_is_embedded_as_far_as_the_model_reads_and_an_unwanted_vector_is_not_made() -> None:
    assert point_of(a_memory("m", "y" * 9_999)).text_dense == "y" * DENSE_CHARS_MAX
    assert point_of(a_memory("m", "step", embed=False)).text_dense is None


def test_a_word_that_stands_once_in_a_text_of_average_length_weighs_one() -> None:
    text = " ".join(["pool", *(f"filler{number}" for number in range(LENGTH_AVERAGE - 1))])

    assert weights(text)[term("pool")] == pytest.approx(1.0)


def test_context_fills_in_only_what_the_text_does_not_say_itself() -> None:
    own = weights("BONK was sold")
    filled = weights("BONK was sold", "BONK in Lisbon", "a Lisbon wallet")

    assert filled[term("BONK")] == own[term("BONK")]
    nearest = weights("BONK in Lisbon")[term("Lisbon")]
    assert filled[term("Lisbon")] == pytest.approx(CONTEXT_WEIGHTS[0] * nearest)
    assert 0 < filled[term("wallet")] < filled[term("Lisbon")]


def test_weights_are_the_same_in_every_run_and_their_indices_ascend() -> None:
    vector = Bm25Words().of_document("one two three four", ["five six"])

    assert list(vector.indices) == sorted(vector.indices)
    assert vector == Bm25Words().of_document("one two three four", ["five six"])
