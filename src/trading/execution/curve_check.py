"""Recorded bonding-curve trades against the fill model: the functions that the venue calls must give every lamport."""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from trading.errors import DataError

from . import fill_model
from .fill_model import Reserves

COLUMNS: Final = (
    "mint",
    "side",
    "lamports",
    "token_raw",
    "virtual_sol_reserves",
    "virtual_token_reserves",
    "real_sol_reserves",
    "real_token_reserves",
    "fee_basis_points",
    "fee_amount",
    "creator_fee_basis_points",
    "creator_fee_amount",
)
TRADES_MAX: Final = 50_000_000
MISMATCHES_MAX: Final = 1_000
"""More are counted, not listed."""
_CURVE_TOLERANCE: Final = 10**9
"""The product of the reserves grows by rounding alone: less than one part in this many from trade to trade."""


@dataclass(frozen=True, slots=True)
class CurveTrade:
    """One recorded trade; ``reserves`` and ``real`` are those AFTER it. ``row`` counts data rows from 1."""

    row: int
    mint: str
    is_buy: bool
    lamports: int
    base_units: int
    reserves: Reserves
    real: Reserves
    fees: tuple[tuple[str, int, int], ...]
    """(column, bps, lamports) of each fee."""

    @property
    def before(self) -> Reserves:
        """The reserves that this trade must have met."""
        sign = 1 if self.is_buy else -1
        return Reserves(
            self.reserves.lamports - sign * self.lamports, self.reserves.base_units + sign * self.base_units
        )


@dataclass(frozen=True, slots=True)
class Mismatch:
    row: int
    expected: dict[str, Any]
    got: dict[str, Any]


@dataclass(slots=True)
class CurveReport:
    """``continuous`` trades follow on a recorded trade of the same token with none missing between; ``exact`` ones of
    them have the amounts that the fill model gives. ``fees_exact`` counts trades all of whose fees are exact.

    Trades missing from the recording make a trade not continuous. Reserves that do not follow and are not explained by
    missing trades (which stay on the curve) are mismatches.
    """

    trades: int = 0
    continuous: int = 0
    exact: int = 0
    fees_exact: int = 0
    mismatches_total: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    mismatches_max: int = MISMATCHES_MAX

    @property
    def is_exact(self) -> bool:
        """Whether everything that can be checked is exact, and there was something to check."""
        return self.trades > 0 and self.mismatches_total == 0

    def document(self) -> dict[str, Any]:
        """Return the JSON of ``memmcp-trade check-curve --json``."""
        return {
            "trades": self.trades,
            "continuous": self.continuous,
            "exact": self.exact,
            "fees_exact": self.fees_exact,
            "mismatches": [asdict(mismatch) for mismatch in self.mismatches],
        }

    def add_mismatch(self, row: int, expected: dict[str, Any], got: dict[str, Any]) -> None:
        self.mismatches_total += 1
        if len(self.mismatches) < self.mismatches_max:
            self.mismatches.append(Mismatch(row, expected, got))


def check_curve(path: Path | str, *, trades_max: int = TRADES_MAX, mismatches_max: int = MISMATCHES_MAX) -> CurveReport:
    """Replay a recording (CSV or gzip CSV) against the fill model. Raises: DataError naming file and row."""
    report = CurveReport(mismatches_max=mismatches_max)
    last: dict[str, CurveTrade] = {}
    for trade in read_trades(Path(path), trades_max):
        report.trades += 1
        _check_fees(trade, report)
        before = last.get(trade.mint)
        if before is not None:
            _check_trade(before, trade, report)
        last[trade.mint] = trade
    return report


def read_trades(path: Path, trades_max: int = TRADES_MAX) -> Iterator[CurveTrade]:
    """Yield the trades of a recording. Raises: DataError naming file and row."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                msg = f"{path.name}: columns missing: {', '.join(missing)}"
                raise DataError(msg, field=missing[0])
            for row, values in enumerate(reader, start=1):
                if row > trades_max:
                    msg = f"{path.name}: more than {trades_max} trades"
                    raise DataError(msg)
                yield _parsed(path.name, row, values)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path}: cannot be read: {error}"
        raise DataError(msg, field="path") from error


def _parsed(name: str, row: int, values: Mapping[str, str | None]) -> CurveTrade:
    side = values["side"]
    if side not in ("buy", "sell"):
        msg = f"{name} row {row}: side is buy or sell, not {side!r}"
        raise DataError(msg, field="side")

    def number(column: str) -> int:
        text = values[column]
        if text is None or not text.isascii() or not text.isdigit():
            msg = f"{name} row {row}: {column} is a whole number of at least 0, not {text!r}"
            raise DataError(msg, field=column)
        return int(text)

    return CurveTrade(
        row=row,
        mint=values["mint"] or "",
        is_buy=side == "buy",
        lamports=number("lamports"),
        base_units=number("token_raw"),
        reserves=Reserves(number("virtual_sol_reserves"), number("virtual_token_reserves")),
        real=Reserves(number("real_sol_reserves"), number("real_token_reserves")),
        fees=(
            ("fee_amount", number("fee_basis_points"), number("fee_amount")),
            ("creator_fee_amount", number("creator_fee_basis_points"), number("creator_fee_amount")),
        ),
    )


def _check_fees(trade: CurveTrade, report: CurveReport) -> None:
    expected = {column: fill_model.fee_lamports(trade.lamports, bps) for column, bps, _ in trade.fees}
    got = {column: lamports for column, _, lamports in trade.fees}
    if expected == got:
        report.fees_exact += 1
    else:
        wrong = [column for column in expected if expected[column] != got[column]]
        report.add_mismatch(
            trade.row, {column: expected[column] for column in wrong}, {column: got[column] for column in wrong}
        )


def _check_trade(before: CurveTrade, trade: CurveTrade, report: CurveReport) -> None:
    expected, got = _reserves_after(before, trade), _recorded(trade)
    if expected == got:
        report.continuous += 1
        _check_amounts(before.reserves, trade, report)
    elif not _is_gap(before, trade):
        wrong = [column for column in expected if expected[column] != got[column]]
        report.add_mismatch(
            trade.row, {column: expected[column] for column in wrong}, {column: got[column] for column in wrong}
        )


def _reserves_after(before: CurveTrade, trade: CurveTrade) -> dict[str, int]:
    sol = trade.lamports if trade.is_buy else -trade.lamports
    tokens = -trade.base_units if trade.is_buy else trade.base_units
    return {
        "virtual_sol_reserves": before.reserves.lamports + sol,
        "virtual_token_reserves": before.reserves.base_units + tokens,
        "real_sol_reserves": before.real.lamports + sol,
        "real_token_reserves": before.real.base_units + tokens,
    }


def _recorded(trade: CurveTrade) -> dict[str, int]:
    return {
        "virtual_sol_reserves": trade.reserves.lamports,
        "virtual_token_reserves": trade.reserves.base_units,
        "real_sol_reserves": trade.real.lamports,
        "real_token_reserves": trade.real.base_units,
    }


def _is_gap(before: CurveTrade, trade: CurveTrade) -> bool:
    """Tell whether trades that were not recorded explain the step: both sides moved, in opposite directions, along the
    curve, and the virtual and the real reserves moved alike."""
    met = trade.before
    moved_lamports = met.lamports - before.reserves.lamports
    moved_units = met.base_units - before.reserves.base_units
    real_lamports = (trade.real.lamports - before.real.lamports) - (trade.reserves.lamports - before.reserves.lamports)
    real_units = trade.real.base_units - before.real.base_units
    real_units -= trade.reserves.base_units - before.reserves.base_units
    if real_lamports or real_units or moved_lamports * moved_units >= 0:
        return False
    was = before.reserves.lamports * before.reserves.base_units
    return abs(met.lamports * met.base_units - was) * _CURVE_TOLERANCE <= was


def _check_amounts(before: Reserves, trade: CurveTrade, report: CurveReport) -> None:
    expected: dict[str, Any]
    got: dict[str, Any]
    if not trade.is_buy:
        expected = {"lamports": fill_model.lamports_from_sale(before, trade.base_units)}
        got = {"lamports": trade.lamports}
        is_exact = expected == got
    else:
        # A buy names either what it spends or what it gets; the recording does not say which.
        units = fill_model.base_units_for_exact_lamports(before, trade.lamports)
        lamports = None
        if trade.base_units < before.base_units:
            lamports = fill_model.lamports_for_exact_base_units(before, trade.base_units)
        expected = {"token_raw": units, "or lamports": lamports}
        got = {"token_raw": trade.base_units, "or lamports": trade.lamports}
        is_exact = units == trade.base_units or lamports == trade.lamports
    if is_exact:
        report.exact += 1
    else:
        report.add_mismatch(trade.row, expected, got)
