"""Dates as people write and say them: "8 May 2023", "in July", 2023-05-07, "yesterday", "two weeks ago", "last Friday".

Words are matched as words: a question about 7 May finds the turn of 8 May that says "yesterday" only where somebody has
said the 7th of May to the index. The numbers of a date are words of their own there (``day7 May year2023``): each
memory has a date, and on a 26th "note number 26" would otherwise be a note like all others of that day. English only,
like the index's stop words and stems.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from .times import NS_PER_S

DATES_MAX = 8
"""Dates taken from one text; a text with more is a calendar and is found by its own words."""
COUNT_MAX = 400
"""Units that "N days ago" may go back."""

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_COUNTS = {word: number for number, word in enumerate(_NUMBERS)} | {"a": 1, "an": 1, "a couple of": 2, "a few": 3}
_STEPS = {"last": -1, "past": -1, "this": 0, "next": 1, "coming": 1}
_COUNT = "|".join(sorted((re.escape(word) for word in _COUNTS), key=len, reverse=True))
_MONTH = f"({'|'.join(_MONTHS)})"
_AGO = re.compile(rf"\b({_COUNT}|\d{{1,3}})\s+(day|week|month|year)s?\s+(?:ago|back|earlier)\b")
_NEAR = re.compile(rf"\b(last|past|this|next|coming|on)\s+(week|weekend|month|year|{'|'.join(_WEEKDAYS)})\b")
_DAYS = {"day before yesterday": -2, "yesterday": -1, "last night": -1, "tomorrow": 1}
_DAY = re.compile(rf"\b({'|'.join(_DAYS)})\b")
_DIGIT = re.compile(r"\d")
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_DAY_MONTH = re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}\b(?:,? (\d{{4}})\b)?", re.IGNORECASE)
_MONTH_DAY = re.compile(rf"\b{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (\d{{4}})\b)?", re.IGNORECASE)
_MONTH_YEAR = re.compile(rf"\b{_MONTH},? (\d{{4}})\b", re.IGNORECASE)
_IN_YEAR = re.compile(r"\b(in|during|since|until|before|after|early|late|of) ((?:19|20)\d{2})\b", re.IGNORECASE)
_IN_MONTH = re.compile(rf"\b(?:in|during|since|until|early|late|of) {_MONTH}\b(?! \d)")


@dataclass(frozen=True, slots=True)
class Date:
    """A day, a month or a year: what was not said is None. ``year`` is None in "on 8 May"."""

    year: int | None
    month: int | None = None
    day: int | None = None

    def written(self) -> str:
        """``8 May 2023``, as people write it."""
        return self._joined("", "")

    def words(self) -> str:
        """``day8 May year2023``: what the index keeps of it, and is asked for. A month is a word already."""
        return self._joined("day", "year")

    def _joined(self, before_day: str, before_year: str) -> str:
        day = None if self.day is None else f"{before_day}{self.day}"
        month = None if self.month is None else _MONTHS[self.month - 1].capitalize()
        year = None if self.year is None else f"{before_year}{self.year}"
        return " ".join(part for part in (day, month, year) if part is not None)

    def meets(self, other: "Date") -> bool:
        """Say whether the two may be the same time, as far as both are known."""
        return all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in ((self.year, other.year), (self.month, other.month), (self.day, other.day))
        )


def date_of(ts_ns: int) -> Date | None:
    """Return the day in UTC, None where the time lies outside of what a calendar knows."""
    at = _moment(ts_ns)
    return None if at is None else _date(at)


def spoken_dates(text: str, at_ns: int) -> tuple[Date, ...]:
    """Return the dates that the text speaks of from where it was said: each once, in the order found.

    "last month" and "two weeks ago" are as precise as they are meant. A date that is written out is not among them.
    """
    at = _moment(at_ns)
    return () if at is None else _first(_spoken(text.lower(), at))


def written_dates(text: str) -> tuple[Date, ...]:
    """Return the dates that are written out in the text, each once."""
    return _first(_written(text.lower()))


def dates_as_words(text: str) -> str:
    """Return the text with the dates that are written out in it as ``Date.words``, and "in 2023" as "in year2023".

    What is asked and what is searched go through this alike, so that 2023-05-08 finds "May 8th" too.
    """
    if not _DIGIT.search(text):
        return text
    for pattern, date_in in _FORMS:
        text = pattern.sub(partial(_as_words, date_in), text)
    return _IN_YEAR.sub(r"\1 year\2", text)


def _as_words(date_in: Callable[[re.Match[str]], Date | None], found: re.Match[str]) -> str:
    date = date_in(found)
    return found[0] if date is None else date.words()


def _moment(ts_ns: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(ts_ns // NS_PER_S, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _date(at: datetime) -> Date:
    return Date(at.year, at.month, at.day)


def _first(dates: Iterator[Date]) -> tuple[Date, ...]:
    found: dict[Date, None] = {}
    for date in dates:
        found.setdefault(date)
        if len(found) == DATES_MAX:
            break
    return tuple(found)


def _iso(found: re.Match[str]) -> Date | None:
    year, month, day = (int(part) for part in found.groups())
    return Date(year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None


def _day_month(found: re.Match[str]) -> Date:
    day, month, year = found.groups()
    return Date(int(year) if year else None, _month_number(month), int(day))


def _month_day(found: re.Match[str]) -> Date:
    month, day, year = found.groups()
    return Date(int(year) if year else None, _month_number(month), int(day))


def _month_year(found: re.Match[str]) -> Date:
    return Date(int(found[2]), _month_number(found[1]))


def _month_number(name: str) -> int:
    return _MONTHS.index(name.lower()) + 1


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Date | None]], ...] = (
    (_ISO, _iso), (_DAY_MONTH, _day_month), (_MONTH_DAY, _month_day), (_MONTH_YEAR, _month_year),
)  # fmt: skip


def _written(text: str) -> Iterator[Date]:
    *whole, (month_year, _) = _FORMS
    for pattern, date_in in whole:
        yield from (date for found in pattern.finditer(text) if (date := date_in(found)) is not None)
    if _DAY_MONTH.search(text) or _MONTH_DAY.search(text):
        return
    years = list(month_year.finditer(text))
    yield from map(_month_year, years)
    for month in [] if years else _IN_MONTH.findall(text):
        yield Date(None, _month_number(month))


def _spoken(text: str, at: datetime) -> Iterator[Date]:
    for phrase in _DAY.findall(text):
        yield from _shifted(at, _DAYS[phrase])
    for count, unit in _AGO.findall(text):
        number = int(count) if count.isdigit() else _COUNTS[count]
        if number <= COUNT_MAX:
            yield from _back(at, unit, number)
    for step, unit in _NEAR.findall(text):
        if unit in _WEEKDAYS:
            yield from _weekday(at, step, _WEEKDAYS.index(unit))
        elif step != "on":
            yield from _around(at, unit, _STEPS[step])


def _shifted(at: datetime, days: int) -> Iterator[Date]:
    try:
        yield _date(at + timedelta(days=days))
    except OverflowError:
        return


def _back(at: datetime, unit: str, number: int) -> Iterator[Date]:
    if unit in {"day", "week"}:
        return _shifted(at, -number * (7 if unit == "week" else 1))
    return _month(at, -number) if unit == "month" else _year(at, -number)


def _weekday(at: datetime, step: str, weekday: int) -> Iterator[Date]:
    """The nearest such day before, or after where it is said to come; never the day itself."""
    if step in {"this", "next", "coming"}:
        return _shifted(at, (weekday - at.weekday()) % 7 or 7)
    return _shifted(at, -((at.weekday() - weekday) % 7 or 7))


def _around(at: datetime, unit: str, step: int) -> Iterator[Date]:
    if unit == "month":
        yield from _month(at, step)
    elif unit == "year":
        yield from _year(at, step)
    else:  # a week has seven days: the month is what can be said
        yield from (Date(day.year, day.month) for day in _shifted(at, 7 * step))


def _month(at: datetime, step: int) -> Iterator[Date]:
    months = at.year * 12 + at.month - 1 + step
    if 12 <= months < 12 * 10_000:
        yield Date(months // 12, months % 12 + 1)


def _year(at: datetime, step: int) -> Iterator[Date]:
    if 1 <= at.year + step <= 9_999:
        yield Date(at.year + step)
