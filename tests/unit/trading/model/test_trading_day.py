"""The days of a zone: none is missing, none is counted twice, however the clocks are changed."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.model.trading_day import TradingDay

HOUR_NS = 3_600 * 10**9
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Havana", "America/Sao_Paulo",
         "Asia/Kolkata", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo")  # fmt: skip
pytestmark = pytest.mark.requirement("T21")


def ns(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


def test_in_utc_a_day_is_24_hours_from_midnight() -> None:
    day, at = TradingDay(), ns("2026-03-29 13:05")
    assert (day.zone, day.number(at)) == ("UTC", at // (24 * HOUR_NS))
    assert (day.since_ns(at), day.until_ns(at)) == (ns("2026-03-29"), ns("2026-03-30"))


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-06-01", 24), ("2026-10-25", 25)])
def test_a_day_is_as_long_as_its_clocks_make_it(date: str, hours: int) -> None:
    day, since = TradingDay("Europe/Berlin"), ns(date, "Europe/Berlin")
    at = since + 5 * HOUR_NS
    assert (day.since_ns(at), day.until_ns(at)) == (since, since + hours * HOUR_NS)
    assert day.number(since) == day.number(since + hours * HOUR_NS - 1) == day.number(since + hours * HOUR_NS) - 1
    assert day.number(since) == datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() // 86_400


def test_clocks_that_skip_midnight_begin_the_day_then_and_those_that_repeat_it_begin_it_once() -> None:
    skipped = TradingDay("America/Sao_Paulo").since_ns(ns("2018-11-04 12:00"))
    assert skipped == ns("2018-11-04 03:00")  # 00:00 was 01:00 already
    repeated = TradingDay("America/Havana")
    assert repeated.until_ns(ns("2024-11-03 12:00")) - repeated.since_ns(ns("2024-11-03 12:00")) == 25 * HOUR_NS
    # 00:01 became 23:01 of the day before: the last hour is not that day's any more.
    newfoundland, midnight = TradingDay("America/St_Johns"), ns("2010-11-07 02:30")
    numbers = [newfoundland.number(midnight + minutes * 60 * 10**9) for minutes in (-1, 0, 1, 30, 59, 61)]
    assert [number - numbers[0] for number in numbers] == [0, 1, 1, 1, 1, 1]


@given(st.sampled_from(ZONES), st.lists(st.integers(0, 2**31 * 10**9), min_size=1, max_size=8))
def test_every_moment_is_in_one_day_and_days_follow_each_other(zone: str, moments: list[int]) -> None:
    day = TradingDay(zone)
    for at in moments:
        since, until = day.since_ns(at), day.until_ns(at)
        assert since <= at < until
        number = day.number(at)
        assert number == day.number(since) == day.number(until - 1) == TradingDay(zone).number(at)
        assert day.number(since - 1) < number < day.number(until)
        assert (day.until_ns(since - 1), day.since_ns(until)) == (since, until)
    numbers = [day.number(at) for at in sorted(moments)]
    assert numbers == sorted(numbers)


def test_a_zone_of_no_name_is_refused() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        TradingDay("Europe/Atlantis")
