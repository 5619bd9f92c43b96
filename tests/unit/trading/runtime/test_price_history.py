"""Candles are put together from bars, and nothing is put where there was none."""

from decimal import Decimal

import pytest

from trading.adapters.stored_bars import StoredBar
from trading.runtime.price_history import CANDLES_WANTED, _candles, _interval_s

S = 10**9

pytestmark = pytest.mark.requirement("D4")


def bar(start_s: int, prices: str, *, width_s: int = 300) -> StoredBar:
    opened, high, low, close = map(Decimal, prices.split())
    return StoredBar(start_s * S, (start_s + width_s) * S, opened, high, low, close, Decimal("1.5"))


def test_a_candle_holds_its_bars_and_a_gap_stays_a_gap() -> None:
    bars = [bar(0, "1 4 0.5 2"), bar(300, "2 3 1E-7 3"), bar(1_800, "3 3.5 2 2.50")]
    first, last = _candles(bars, 600 * S)
    assert first == {
        "ts": "1970-01-01T00:00:00+00:00",
        "open": "1",
        "high": "4",
        "low": "0.0000001",
        "close": "3",
        "volume": "3",
        "bars": 2,
    }
    assert (last["ts"], last["close"], last["bars"]) == ("1970-01-01T00:30:00+00:00", "2.5", 1)


def test_the_finest_interval_is_taken_that_shows_it_all() -> None:
    assert _interval_s([], 1) == 60
    assert _interval_s([bar(0, "1 1 1 1")], 1) == 300
    whole = [bar(each * 300, "1 1 1 1") for each in range(CANDLES_WANTED * 3)]
    assert _interval_s(whole[:CANDLES_WANTED], 1) == 300
    assert _interval_s(whole, 1) == 900
    assert len(_candles(whole, 900 * S)) == CANDLES_WANTED


def test_where_bars_are_kept_by_the_hour_the_interval_is_whole_hours() -> None:
    assert _interval_s([bar(0, "1 1 1 1")], 3_600) == 3_600
    whole = [bar(each * 300, "1 1 1 1") for each in range(CANDLES_WANTED * 3)]
    assert _interval_s(whole, 3_600) == 3_600
    assert _interval_s(whole, 86_400) == 86_400
