"""Check bar files without running anything: what replay would refuse, what it would report, and what looks odd."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from trading.errors import DataError, InvalidInput
from trading.feeds.bar_files import BarFile, list_bar_files, open_bar_file, read_rows
from trading.feeds.bar_rows import RowProblem, check_order, detect_interval, parse_row
from trading.feeds.swaps import INTERVAL_S_DEFAULT, check_swap_order, parse_swap

FINDINGS_MAX: Final = 200
OUTLIER_Z: Final = 25.0
OUTLIER_RETURN_MIN: Final = 0.25
MAD_TO_SIGMA: Final = 1.4826
"""The standard deviation of a normal sample is so many median absolute deviations."""
LISTING_BARS: Final = 12
"""The first bars of a token move as they like: what stands out there is named and is no outlier."""
RETURNS_MIN: Final = 30
HALF_HOUR_S: Final = 1_800
ZONE_S_MAX: Final = 26 * 3_600
"""Time zones lie on half hours (a few on quarters) and at most so far apart."""
DAY_S: Final = 86_400
REVERTED_SHARE: Final = 0.2
"""A jump of which the next bar leaves no more than this is taken for a bad print."""
WRONG: Final = ("error", "gap", "suspect")


@dataclass(frozen=True, slots=True)
class Finding:
    """``severity``: error (replay refuses the file), gap (replay reports it), suspect (the data is likely wrong), odd
    (a wild market, or wrong), note (as it has to be)."""

    row: int
    severity: str
    kind: str
    message: str


@dataclass(slots=True)
class FileReport:
    """What was found in one file. ``findings`` holds the first ``FINDINGS_MAX``; ``counts`` counts them all."""

    name: str
    sha256: str = ""
    rows: int = 0
    tokens: int = 0
    interval_s: int | None = None
    first_s: int | None = None
    last_s: int | None = None
    bars_missing: int = 0
    zero_volume: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    wrongs: int = 0
    odd: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """True when replay takes the file."""
        return self.errors == 0

    @property
    def is_clean(self) -> bool:
        """True when nothing is wrong, gaps included; what is odd may be the market."""
        return self.wrongs == 0

    def add(self, finding: Finding) -> None:
        self.counts[finding.kind] += 1
        self.errors += finding.severity == "error"
        self.wrongs += finding.severity in WRONG
        self.odd += finding.severity == "odd"
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "file": self.name,
            "sha256": self.sha256,
            "usable": self.is_usable,
            "clean": self.is_clean,
            "rows": self.rows,
            "tokens": self.tokens,
            "interval_s": self.interval_s,
            "first_s": self.first_s,
            "last_s": self.last_s,
            "bars_missing": self.bars_missing,
            "zero_volume": self.zero_volume,
            "counts": dict(sorted(self.counts.items())),
            "findings": [
                {"row": found.row, "severity": found.severity, "kind": found.kind, "message": found.message}
                for found in self.findings
            ],
        }


@dataclass(slots=True)
class _Column:
    """One token's times and closes with their rows."""

    rows: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    closes: list[Decimal] = field(default_factory=list)
    quiet: list[int] = field(default_factory=list)
    """The rows without volume."""
    back: list[tuple[int, int]] = field(default_factory=list)
    """Rows before which time goes back, and by how many seconds."""


def check_files(paths: Sequence[Path]) -> list[FileReport]:
    """Return a report per file, folders expanded. Raises InvalidInput only for paths that name no bar file."""
    return [check_file(path) for path in list_bar_files(paths)]


def check_file(path: Path) -> FileReport:
    """Return what is wrong with a file, all of it and not only the first problem."""
    report = FileReport(path.name)
    columns: dict[str, _Column] = {}
    try:
        file = open_bar_file(path)
        report.sha256 = file.sha256
        if file.shape == "swaps":
            _read_swaps(file, report)
            return report
        _read(file, report, columns)
        _check_spacing(file, report, columns)
        _check_grid(report, columns)
    except (DataError, InvalidInput) as exc:
        report.add(Finding(0, "error", "file", exc.message))
    for column in columns.values():
        _find_outliers(report, column, is_deep=report.tokens == 1)
        _find_quiet(report, column)
    report.findings.sort(key=lambda found: found.row)
    return report


def _read_swaps(file: BarFile, report: FileReport) -> None:
    """Check the rows of swaps; of bars that are made from them nothing is missing."""
    last_s: dict[str, int] = {}
    for number, values in read_rows(file):
        report.rows += 1
        try:
            row = parse_swap(file.names, values)
            check_swap_order(last_s.get(row.mint), row.ts_s)
        except RowProblem as problem:
            report.add(Finding(number, "error", problem.kind, str(problem)))
            continue
        last_s[row.mint] = row.ts_s
        report.tokens = len(last_s)
        report.first_s = row.ts_s if report.first_s is None else min(report.first_s, row.ts_s)
        report.last_s = row.ts_s if report.last_s is None else max(report.last_s, row.ts_s)
    report.interval_s = file.interval_s or INTERVAL_S_DEFAULT
    if not report.rows:
        report.add(Finding(1, "error", "empty", "no rows below the header"))


def _read(file: BarFile, report: FileReport, columns: dict[str, _Column]) -> None:
    for number, values in read_rows(file):
        report.rows += 1
        try:
            row = parse_row(file.shape, values)
        except RowProblem as problem:
            report.add(Finding(number, "error", problem.kind, str(problem)))
            continue
        column = columns.setdefault(row.mint, _Column())
        report.tokens = len(columns)
        try:
            check_order(column.times[-1] if column.times else None, row.ts_s)
        except RowProblem as problem:
            report.add(Finding(number, "error", problem.kind, str(problem)))
            column.back.append((number, column.times[-1] - row.ts_s))
            continue
        if file.shape != "closes" and not row.volume:
            column.quiet.append(number)
        report.zero_volume += file.shape != "closes" and not row.volume
        report.first_s = row.ts_s if report.first_s is None else min(report.first_s, row.ts_s)
        report.last_s = row.ts_s if report.last_s is None else max(report.last_s, row.ts_s)
        column.rows.append(number)
        column.times.append(row.ts_s)
        column.closes.append(row.close)
    if not report.rows:
        report.add(Finding(1, "error", "empty", "no rows below the header"))


def _check_spacing(file: BarFile, report: FileReport, columns: dict[str, _Column]) -> None:
    detected = detect_interval([column.times for column in columns.values()])
    interval_s = report.interval_s = file.interval_s or detected
    if interval_s is None:
        return
    odd_name = file.interval_s is not None and detected is not None and detected != file.interval_s
    if odd_name and file.shape != "tokens" and report.rows > 2:
        message = f"the name says bars of {file.interval_s} s, most rows are {detected} s apart"
        report.add(Finding(0, "error", "interval", message))
    for column in columns.values():
        for place in range(1, len(column.times)):
            distance_s = column.times[place] - column.times[place - 1]
            if distance_s % interval_s:
                message = f"{distance_s} s after the row before it; expected a multiple of {interval_s} s"
                report.add(Finding(column.rows[place], "error", "spacing", message))
            elif distance_s > interval_s:
                missing = distance_s // interval_s - 1
                report.bars_missing += missing
                # A launched token has a bar only where it was traded: an hour without one is no hole.
                severity = "note" if file.shape == "tokens" else "gap"
                report.add(Finding(column.rows[place], severity, "gap", f"{missing} bars are missing before this row"))
                _check_spring(report, column.rows[place], column.times[place], distance_s - interval_s)


def _check_spring(report: FileReport, row: int, ts_s: int, missing_s: int) -> None:
    """Report a missing hour on a Sunday in March: local times leave it out when clocks are set forward."""
    at = datetime.fromtimestamp(ts_s, UTC)
    if missing_s == 2 * HALF_HOUR_S and at.month == 3 and at.weekday() == 6:
        report.add(
            Finding(row, "suspect", "time_zone", f"the hour before {at.isoformat()} is missing: are times local?")
        )


def _check_grid(report: FileReport, columns: dict[str, _Column]) -> None:
    """Report bars that do not open on multiples of their length in UTC, and time that goes back by half hours: a clock
    that was set back, or two time zones in one file."""
    interval_s = report.interval_s
    if interval_s is None or DAY_S % interval_s:
        return
    for column in columns.values():
        for row, back_s in column.back:
            slip_s = back_s + interval_s
            if slip_s % HALF_HOUR_S == 0 and interval_s < slip_s <= ZONE_S_MAX:
                message = f"time slips back by {slip_s} s: daylight saving, or two time zones in one file"
                report.add(Finding(row, "suspect", "time_zone", message))
        if column.times and (off_s := column.times[0] % interval_s):
            message = f"bars of {interval_s} s open {off_s} s off the UTC grid: are times local, or those of closes?"
            report.add(Finding(column.rows[0], "suspect", "time_zone", message))


def _find_quiet(report: FileReport, column: _Column) -> None:
    """Report rows without volume, the first of them by its place."""
    if column.quiet:
        message = f"{len(column.quiet)} of {len(column.rows)} bars have no volume, this is the first"
        report.add(Finding(column.quiet[0], "odd", "zero_volume", message))


def _find_outliers(report: FileReport, column: _Column, *, is_deep: bool) -> None:
    """Report closes that jump by over 25 % and a robust z-score of over 25: an error or a wild hour.

    One that is gone with the next bar is suspect where the market ``is_deep``: a launched token does that.
    """
    if len(column.closes) <= RETURNS_MIN:
        return
    returns = [math.log(later / earlier) for earlier, later in pairwise(column.closes)]
    middle = statistics.median(returns)
    spread = MAD_TO_SIGMA * statistics.median(abs(value - middle) for value in returns)
    limit = max(OUTLIER_Z * spread, math.log1p(OUTLIER_RETURN_MIN))
    for place, value in enumerate(returns, 1):
        if abs(value - middle) > limit:
            moved = f"the close moves by {math.expm1(value):+.1%} from one row to the next"
            if place < LISTING_BARS:
                message = f"{moved}, {place} bars after the listing"
                report.add(Finding(column.rows[place], "note", "listing", message))
                continue
            after = returns[place] if place < len(returns) else value
            is_print = is_deep and abs(value + after) <= REVERTED_SHARE * abs(value)
            severity, told = ("suspect", f"{moved} and back with the next") if is_print else ("odd", moved)
            report.add(Finding(column.rows[place], severity, "outlier", told))
