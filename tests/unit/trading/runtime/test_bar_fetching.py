"""Fetching bars: closed ones only, on from where it stopped, and never another past than the one first told."""

import json
from dataclasses import replace
from pathlib import Path

import anyio
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.doubles.scripted_bars import INTERVAL_S, ScriptedBars
from tests.support.market_server import SteppedClock
from tests.unit.trading.feeds.bar_writers import HEADER

from trading.config import FetchSection
from trading.errors import DataError, InvalidInput
from trading.feeds.bar_store import META_KEY, bars_path, held, list_stored, load_bars
from trading.feeds.quality import check_file
from trading.runtime.bar_fetching import FetchReport, FetchWish, fetch

pytestmark = pytest.mark.requirement("T1")

NOW_S = 1_790_000_100
FIRST_S = NOW_S // INTERVAL_S * INTERVAL_S - 400 * INTERVAL_S
SECTION = FetchSection(settle_s=0, overlap_bars=5)


def a_source(**changes: object) -> ScriptedBars:
    source = ScriptedBars(SteppedClock(NOW_S), FIRST_S)
    for name, value in changes.items():
        setattr(source, name, value)
    return source


def fetched(source: ScriptedBars, data_dir: Path, section: FetchSection = SECTION, **wish: int) -> FetchReport:
    return anyio.run(lambda: fetch(source, FetchWish(data_dir, **wish), section, source.clock.sleep))


def stored(source: ScriptedBars, data_dir: Path) -> dict[int, tuple[str, ...]]:
    return dict(load_bars(bars_path(data_dir, source.market), source.market).bars)


def test_every_closed_bar_is_stored_and_the_running_one_is_not(tmp_path: Path) -> None:
    source = a_source()
    report = fetched(source, tmp_path, since_s=FIRST_S)
    bars = stored(source, tmp_path)
    assert sorted(bars) == list(range(FIRST_S, FIRST_S + 400 * INTERVAL_S, INTERVAL_S))
    assert bars[FIRST_S] == tuple(ScriptedBars.bar(FIRST_S)[1:])
    assert (report.rows_new, report.pages, report.is_clean) == (400, 4, True)
    assert report.document()["refused"] == {}  # the running bar was not asked for
    report = check_file(report.path)  # type: ignore[assignment]
    assert report.is_clean


def test_a_bar_counts_as_closed_only_when_it_has_settled_by_the_source_s_clock(tmp_path: Path) -> None:
    source = a_source()
    source.clock.advance(-(NOW_S % INTERVAL_S) + 10)
    report = fetched(source, tmp_path, FetchSection(settle_s=20), since_s=FIRST_S)
    assert report.last_s == source.now_s() - 10 - 2 * INTERVAL_S
    assert report.refused["unsettled"] == 1  # the one that has just ended


def test_a_second_fetch_adds_what_is_new_and_compares_the_newest_of_the_old(tmp_path: Path) -> None:
    source = a_source()
    first = fetched(source, tmp_path, since_s=FIRST_S)
    source.clock.advance(3 * INTERVAL_S)
    source.pages.clear()
    second = fetched(source, tmp_path)
    assert (second.rows_before, second.rows_new, second.rows_compared) == (400, 3, 5)
    assert source.pages == [FIRST_S + 395 * INTERVAL_S]
    whole = fetched(a_source(clock=source.clock), tmp_path / "other", since_s=FIRST_S)
    assert whole.rows_sha256 == second.rows_sha256 != first.rows_sha256


def test_a_changed_past_is_reported_and_the_file_keeps_what_it_had(tmp_path: Path) -> None:
    source = a_source()
    fetched(source, tmp_path, since_s=FIRST_S)
    before = stored(source, tmp_path)
    at = FIRST_S + 398 * INTERVAL_S
    source.rows[at] = [at, "9", "9", "9", "9", "10"]
    report = fetched(source, tmp_path)
    assert [(each.ts_s, each.received[0]) for each in report.changed] == [(at, "9")]
    assert not report.is_clean
    assert stored(source, tmp_path) == before
    source.rows[at] = [at, *(f"{float(text)}00" for text in before[at][:4]), "10.0"]  # other zeros, the same figures
    assert fetched(source, tmp_path).is_clean


def test_an_earlier_beginning_fills_in_the_front_and_holes(tmp_path: Path) -> None:
    hole = FIRST_S + 300 * INTERVAL_S
    source = a_source(holes_s={hole})
    fetched(source, tmp_path, since_s=FIRST_S + 200 * INTERVAL_S)
    ((listed,), _) = list_stored(tmp_path)
    assert (listed.rows, listed.gaps, listed.bars_missing) == (199, 1, 1)
    source.holes_s.clear()
    report = fetched(source, tmp_path, since_s=FIRST_S)
    assert report.rows_new == 201
    assert (report.gaps, list_stored(tmp_path)[0][0].gaps) == (0, 0)


def test_disorder_and_doubles_are_put_right_and_what_is_no_bar_is_counted(tmp_path: Path) -> None:
    source = a_source()
    good = ScriptedBars.bar(FIRST_S)
    late = FIRST_S + 7 * INTERVAL_S
    source.extra = [
        good,
        [late, "8", "8", "8", "8", "8"],
        [FIRST_S + 1, *good[1:]],
        [FIRST_S, "nan", *good[2:]],
        ["x"],
    ]
    report = fetched(source, tmp_path, FetchSection(settle_s=0, pages_max=1), since_s=FIRST_S)
    assert dict(report.refused) == {"conflicting": 1, "off_grid": 1, "nan": 1, "ts": 1}
    assert late not in stored(source, tmp_path)
    assert report.rows_new == 99


def test_a_source_that_fails_is_asked_again_after_the_time_it_asks_for(tmp_path: Path) -> None:
    source = a_source()
    source.failures.extend([40.0, 0.0, 9_000.0])
    report = fetched(source, tmp_path, FetchSection(settle_s=0, retry_after_cap_s=100), since_s=FIRST_S)
    assert (report.retries, report.trouble) == (3, None)
    assert source.now_s() == NOW_S + 40 + 2 + 100


def test_what_had_come_is_stored_when_the_source_gives_up_and_the_next_fetch_goes_on(tmp_path: Path) -> None:
    source = a_source()
    source.page_bars = 50
    page, count = source.page, 0

    async def page_and_fail(from_s: int) -> object:
        nonlocal count
        count += 1
        if count == 3:
            source.failures.extend([0.0] * 5)
        return await page(from_s)

    source.page = page_and_fail  # type: ignore[method-assign,assignment]
    report = fetched(source, tmp_path, since_s=FIRST_S)
    assert report.trouble is not None
    assert (report.rows_new, len(stored(source, tmp_path))) == (100, 100)
    again = fetched(source, tmp_path)
    assert (again.rows_before, again.rows_new, again.trouble) == (100, 300, None)


def test_pages_are_bounded_and_said_to_be(tmp_path: Path) -> None:
    report = fetched(a_source(), tmp_path, FetchSection(settle_s=0, pages_max=2), since_s=FIRST_S)
    assert report.trouble is not None
    assert "2 pages were fetched" in report.trouble.message
    assert report.rows_new == 200


def test_a_time_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must be before until"):
        fetched(a_source(), tmp_path, since_s=FIRST_S, until_s=FIRST_S)
    report = fetched(a_source(), tmp_path, since_s=FIRST_S, until_s=FIRST_S + 600)
    assert report.rows_new == 2


def test_two_fetches_of_one_file_do_not_run_at_once(tmp_path: Path) -> None:
    source = a_source()
    with (
        held(bars_path(tmp_path, source.market)),
        pytest.raises(InvalidInput, match="another fetch"),
    ):
        fetched(source, tmp_path, since_s=FIRST_S)


def test_a_file_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    source = a_source()
    path = fetched(source, tmp_path, since_s=FIRST_S).path
    table = pq.read_table(path)
    prices = table.column("close").to_pylist()
    changed = table.set_column(table.column_names.index("close"), "close", pa.array(["7", *prices[1:]]))
    pq.write_table(changed.replace_schema_metadata(pq.read_schema(path).metadata), path)
    with pytest.raises(DataError, match="its rows have the hash"):
        fetched(source, tmp_path)
    pq.write_table(table.replace_schema_metadata({b"other": b"1"}), path)
    other = a_source()
    other.market = replace(other.market, name="BIRDUSDT")
    fetched(other, tmp_path, since_s=FIRST_S)
    stored_files, damaged = list_stored(tmp_path)
    assert [each.market.name for each in stored_files] == ["BIRDUSDT"]
    assert ["was not fetched by this program" in error.message for error in damaged] == [True]


def test_a_file_of_another_market_is_not_added_to(tmp_path: Path) -> None:
    source = a_source()
    fetched(source, tmp_path, since_s=FIRST_S)
    source.market = replace(source.market, symbol="FROG2/USDT")
    with pytest.raises(InvalidInput, match="belongs into another file"):
        fetched(source, tmp_path)


def test_the_metadata_say_where_rows_are_from_and_leave_their_hash_alone(tmp_path: Path) -> None:
    source = a_source()
    report = fetched(source, tmp_path, since_s=FIRST_S)
    meta = json.loads(pq.read_schema(report.path).metadata[META_KEY])
    assert meta["market"] == {
        "source": "scripted",
        "kind": "spot",
        "symbol": "FROG/USDT",
        "name": "FROGUSDT",
        "interval_s": INTERVAL_S,
        "mint": "",
    }
    assert (meta["fetched_s"], meta["rows"], meta["rows_sha256"]) == (NOW_S, 400, report.rows_sha256)
    rows = "".join(f"{at},{','.join(values)}\n" for at, values in sorted(stored(source, tmp_path).items()))
    as_csv = tmp_path / "FROGUSDT_5m.csv"
    as_csv.write_text(f"{HEADER}\n{rows}", encoding="utf-8")
    assert check_file(as_csv).sha256 == report.rows_sha256
