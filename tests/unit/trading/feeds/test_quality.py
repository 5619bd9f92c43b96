"""The quality check finds everything at once, and agrees with replay on what is usable."""

from pathlib import Path

import pytest
from tests.unit.trading.feeds.bar_writers import START_S, bar_rows, write_csv

from trading.errors import DataError, InvalidInput
from trading.feeds.quality import FINDINGS_MAX, check_file, check_files
from trading.feeds.replay import open_replay


def test_every_problem_is_reported_with_its_row(tmp_path: Path) -> None:
    rows = bar_rows(12)
    rows[3] = f"{START_S + 900},nan,1,1,1,1"
    rows[4] = rows[2]
    rows[5] = f"{START_S + 1_500},1,1,2,1,1"
    rows[6] = f"{START_S + 1_800},1,1,1,0,1"
    rows[7] = f"{START_S},1,1,1,1,1"
    rows[8] = f"{START_S + 2_401},1,1,1,1,0"
    report = check_file(write_csv(tmp_path / "BONKUSDT_5m.csv", rows))
    errors = {(found.row, found.kind) for found in report.findings if found.severity == "error"}
    assert errors == {
        (5, "nan"),
        (6, "duplicate"),
        (7, "high_low"),
        (8, "zero"),
        (9, "disorder"),
        (10, "spacing"),
        (11, "spacing"),
    }
    assert not report.is_usable
    assert report.zero_volume == 1
    assert report.document()["usable"] is False


def test_a_gap_is_no_error_and_is_counted_in_bars(tmp_path: Path) -> None:
    rows = bar_rows(10)
    report = check_file(write_csv(tmp_path / "BONKUSDT_5m.csv.gz", [*rows[:3], *rows[7:]]))
    assert report.is_usable
    assert report.bars_missing == 4
    (gap,) = report.findings
    assert (gap.severity, gap.row, gap.message) == ("gap", 5, "4 bars are missing before this row")
    assert (report.rows, report.interval_s, report.first_s, report.last_s) == (6, 300, START_S, START_S + 2_700)


def test_a_jump_is_odd_but_usable(tmp_path: Path) -> None:
    rows = [f"{START_S + n * 300},{p},{p},{p},{p},1" for n, p in enumerate([1, 1.01] * 20 + [9, 1] + [1.01, 1] * 10)]
    report = check_file(write_csv(tmp_path / "BONKUSDT_5m.csv", rows))
    assert report.is_usable
    assert [(found.row, found.kind) for found in report.findings] == [(42, "outlier"), (43, "outlier")]


def closes_file(path: Path, prices: list[float], *, start_s: int = START_S, step_s: int = 300) -> Path:
    rows = [f"{start_s + n * step_s},{p},{p},{p},{p},1" for n, p in enumerate(prices)]
    return write_csv(path, rows)


def test_a_jump_that_is_gone_with_the_next_bar_is_suspect_and_one_that_stays_is_odd(tmp_path: Path) -> None:
    calm = [1, 1.01] * 30
    spike = check_file(closes_file(tmp_path / "AAUSDT_5m.csv", [*calm, 4, *calm]))
    assert [(found.severity, found.row) for found in spike.findings] == [("suspect", 62), ("odd", 63)]
    assert not spike.is_clean
    level = check_file(closes_file(tmp_path / "BBUSDT_5m.csv", [*calm, *(4 * each for each in calm)]))
    assert [(found.severity, found.kind) for found in level.findings] == [("odd", "outlier")]
    assert (level.is_clean, level.odd) == (True, 1)


def test_a_jump_after_the_listing_is_named_and_is_no_outlier(tmp_path: Path) -> None:
    report = check_file(closes_file(tmp_path / "AAUSDT_5m.csv", [9, 1, *([1, 1.01] * 30)]))
    assert [(found.severity, found.kind) for found in report.findings] == [("note", "listing")]
    assert (report.is_clean, report.odd) == (True, 0)


def test_time_zone_slips_are_named(tmp_path: Path) -> None:
    back = [*bar_rows(30), *bar_rows(30, start_s=START_S + 30 * 300 - 3_600)]
    report = check_file(write_csv(tmp_path / "AAUSDT_5m.csv", back))
    slips = [found for found in report.findings if found.kind == "time_zone"]
    assert [(found.row, "slips back by 3600 s" in found.message) for found in slips][:1] == [(32, True)]
    half = check_file(write_csv(tmp_path / "BBUSDT_1h.csv", bar_rows(5, start_s=1_700_001_000, step_s=3_600)))
    assert [found.kind for found in half.findings] == ["time_zone"]
    assert "1800 s off the UTC grid" in half.findings[0].message
    assert half.is_usable
    assert not half.is_clean
    spring_s = 1_711_846_800  # Sunday 2024-03-31 01:00 UTC, when Europe's clocks go forward
    rows = [*bar_rows(12, start_s=spring_s - 3_600), *bar_rows(12, start_s=spring_s + 3_600)]
    spring = check_file(write_csv(tmp_path / "CCUSDT_5m.csv", rows))
    assert spring.counts == {"gap": 1, "time_zone": 1}


def test_bars_without_volume_are_odd_and_counted_once(tmp_path: Path) -> None:
    rows = [row.removesuffix(",10") + ",0" if n in (4, 7) else row for n, row in enumerate(bar_rows(10))]
    report = check_file(write_csv(tmp_path / "AAUSDT_5m.csv", rows))
    assert [(found.severity, found.kind, found.row) for found in report.findings] == [("odd", "zero_volume", 6)]
    assert report.zero_volume == 2


def test_findings_are_bounded_and_still_counted(tmp_path: Path) -> None:
    rows = [f"{START_S + n * 300},nan,1,1,1,1" for n in range(FINDINGS_MAX + 50)]
    report = check_file(write_csv(tmp_path / "BONKUSDT_5m.csv", rows))
    assert len(report.findings) == FINDINGS_MAX
    assert report.counts["nan"] == FINDINGS_MAX + 50


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x1f\x8b broken"])
def test_a_file_that_cannot_be_read_is_a_finding_not_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "BONKUSDT_5m.csv.gz"
    path.write_bytes(content)
    report = check_file(path)
    assert [found.kind for found in report.findings] == ["file"]
    with pytest.raises((DataError, InvalidInput)):
        open_replay([path])


@pytest.mark.market
def test_the_recorded_bars_are_usable(market_dir: Path) -> None:
    reports = check_files([market_dir / "ohlcv_1m", market_dir / "dex" / "pumpfun_tokens_1h_usd.csv.gz"])
    assert [report.is_usable for report in reports] == [True, True, True]
    assert reports[2].counts["gap"] == 5_202
