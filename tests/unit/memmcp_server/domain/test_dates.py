"""Dates as people write and say them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memmcp_server.domain.dates import DATES_MAX, Date, date_of, dates_as_words, spoken_dates, written_dates

MONDAY_NS = int(datetime(2023, 5, 8, 18, tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("I saw it yesterday, or last night", ["7 May 2023"]),
        ("the day before yesterday", ["6 May 2023"]),
        ("Tomorrow it is", ["9 May 2023"]),
        ("two weeks ago and 3 days ago", ["24 April 2023", "5 May 2023"]),
        ("a couple of months ago", ["March 2023"]),
        ("six months back", ["November 2022"]),
        ("ten years ago", ["2013"]),
        ("last Friday", ["5 May 2023"]),
        ("on Monday", ["1 May 2023"]),
        ("next Monday", ["15 May 2023"]),
        ("this Sunday", ["14 May 2023"]),
        ("last week", ["May 2023"]),
        ("last month, next year", ["April 2023", "2024"]),
        ("last time", []),
        ("400 years ago", ["1623"]),
        ("900 years ago", []),
        ("on week two", []),
        ("5000 days ago", []),
        ("on 8 May 2023", []),
    ],
)
def test_what_is_said_is_counted_from_when_it_was_said(text: str, dates: list[str]) -> None:
    assert [date.written() for date in spoken_dates(text, MONDAY_NS)] == dates


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("what happened on 8 May 2023?", [Date(2023, 5, 8)]),
        ("on May 8th, 2023", [Date(2023, 5, 8)]),
        ("the 3rd of June", [Date(None, 6, 3)]),
        ("July 6", [Date(None, 7, 6)]),
        ("in October 2022", [Date(2022, 10)]),
        ("during August", [Date(None, 8)]),
        ("2023-05-07 and 2023-13-40", [Date(2023, 5, 7)]),
        ("it may rain in March", [Date(None, 3)]),
        ("she may go", []),
        ("nothing here", []),
    ],
)
def test_what_is_written_is_taken_as_far_as_it_goes(text: str, dates: list[Date]) -> None:
    assert list(written_dates(text)) == dates


def test_two_dates_meet_as_far_as_both_are_known() -> None:
    day = Date(2023, 5, 8)

    assert day.meets(Date(2023, 5))
    assert Date(None, 5, 8).meets(day)
    assert Date(2023).meets(day)
    assert not day.meets(Date(2023, 6))
    assert not Date(2022, 5).meets(day)


def test_times_beyond_the_calendar_have_no_dates() -> None:
    assert date_of(2**62 * 100) is None
    assert spoken_dates("yesterday", 2**62 * 100) == ()
    first = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
    assert spoken_dates("yesterday, last week, a year ago, a month ago", first) == ()


def test_a_calendar_is_not_taken_apart() -> None:
    text = " ".join(f"{day} May 2023" for day in range(1, 28))

    assert len(written_dates(text)) == DATES_MAX


@given(st.text(max_size=200), st.integers(-(2**62), 2**62))
def test_no_text_and_no_time_breaks_it(text: str, at_ns: int) -> None:
    for date in (*spoken_dates(text, at_ns), *written_dates(text)):
        assert date.written()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("on 8 May 2023, at 8", "on day8 May year2023, at 8"),
        ("May 8th and the 3rd of june", "day8 May and the day3 June"),
        ("2023-05-08 or 2023-13-40", "day8 May year2023 or 2023-13-40"),
        ("by October 2022", "by October year2022"),
        ("In 2023, order 2023", "In year2023, order 2023"),
        ("note number 26", "note number 26"),
        ("in May", "in May"),
        ("2023-05-08T10:00:00Z", "2023-05-08T10:00:00Z"),
    ],
)
def test_the_numbers_of_a_date_become_words_of_their_own(text: str, words: str) -> None:
    assert dates_as_words(text) == words
    assert dates_as_words(words) == words
