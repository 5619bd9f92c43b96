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
