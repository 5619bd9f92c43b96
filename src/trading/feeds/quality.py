"""Check bar files without running anything: what replay would refuse, what it would report, and what looks odd."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from trading.errors import DataError, InvalidInput
from trading.feeds.bar_files import BarFile, list_bar_files, open_bar_file, read_rows
from trading.feeds.bar_rows import RowProblem, check_order, detect_interval, parse_row

FINDINGS_MAX: Final = 200
OUTLIER_MADS: Final = 25.0
OUTLIER_RETURN_MIN: Final = 0.25


@dataclass(frozen=True, slots=True)
class Finding:
    """``severity``: error (replay refuses the file), gap (replay reports it), odd (a person should look)."""

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
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_usable(self) -> bool:
        """True when replay takes the file."""
        return self.errors == 0

    def add(self, finding: Finding) -> None:
        self.counts[finding.kind] += 1
        self.errors += finding.severity == "error"
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "file": self.name,
            "sha256": self.sha256,
            "usable": self.is_usable,
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
        _read(file, report, columns)
        _check_spacing(file, report, columns)
    except (DataError, InvalidInput) as exc:
        report.add(Finding(0, "error", "file", exc.message))
    for column in columns.values():
        _find_outliers(report, column)
    report.findings.sort(key=lambda found: found.row)
    return report


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
            continue
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
                report.add(Finding(column.rows[place], "gap", "gap", f"{missing} bars are missing before this row"))


def _find_outliers(report: FileReport, column: _Column) -> None:
    """Report closes that jump by over 25 % and over 25 median absolute deviations: an error or a wild hour."""
    if len(column.closes) < 30:
        return
    returns = [float(later / earlier) - 1.0 for earlier, later in zip(column.closes, column.closes[1:], strict=False)]
    middle = statistics.median(returns)
    spread = statistics.median(abs(value - middle) for value in returns)
    limit = max(OUTLIER_MADS * spread, OUTLIER_RETURN_MIN)
    for place, value in enumerate(returns, 1):
        if abs(value - middle) > limit:
            message = f"the close moves by {value:+.1%} from one row to the next"
            report.add(Finding(column.rows[place], "odd", "outlier", message))
