import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trading.errors import DataError
from trading.execution import fill_model
from trading.execution.curve_check import COLUMNS, check_curve
from trading.execution.fill_model import Reserves

Row = dict[str, str]


def _recorded(market_dir: Path) -> tuple[Path, list[Row]]:
    path = market_dir / "dex" / "pumpfun_curve_trades.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return path, list(csv.DictReader(file))


def _written(path: Path, rows: list[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def _made(count: int = 8) -> list[Row]:
    """Return trades that the curve itself would have recorded: buys exact in, buys exact out, sales."""
    reserves, real, rows = Reserves(30 * 10**9, 1_073 * 10**12), Reserves(0, 793 * 10**12), []
    for n in range(count):
        if n % 3 == 0:
            side, lamports = "buy", 10**9 + n
            units = fill_model.base_units_for_exact_lamports(reserves, lamports)
        elif n % 3 == 1:
            side, units = "buy", 10**12 + n
            lamports = fill_model.lamports_for_exact_base_units(reserves, units)
        else:
            side, units = "sell", 10**12 + n
            lamports = fill_model.lamports_from_sale(reserves, units)
        sign = 1 if side == "buy" else -1
        reserves = Reserves(reserves.lamports + sign * lamports, reserves.base_units - sign * units)
        real = Reserves(real.lamports + sign * lamports, real.base_units - sign * units)
        figures = (lamports, units, reserves.lamports, reserves.base_units, real.lamports, real.base_units)
        fees = (95, fill_model.fee_lamports(lamports, 95), 30, fill_model.fee_lamports(lamports, 30))
        rows.append(dict(zip(COLUMNS, ("mint", side, *map(str, figures + fees)), strict=True)))
    return rows


def _plus_one(rows: list[Row], index: int, column: str) -> None:
    rows[index][column] = str(int(rows[index][column]) + 1)


@pytest.mark.market
@pytest.mark.requirement("T9")
def test_every_recorded_trade_and_fee_is_reproduced_exactly(market_dir: Path) -> None:
    path, _ = _recorded(market_dir)
    report = check_curve(path)
    document = {"trades": 1_499, "continuous": 1_496, "exact": 1_496, "fees_exact": 1_499, "mismatches": []}
    assert report.document() == document
    assert report.is_exact


@pytest.mark.market
@pytest.mark.parametrize("column", ["lamports", "virtual_sol_reserves", "real_token_reserves", "fee_amount"])
def test_a_recorded_value_altered_by_one_is_reported_with_its_row(
    market_dir: Path, tmp_path: Path, column: str
) -> None:
    _, rows = _recorded(market_dir)
    _plus_one(rows, 700, column)
    report = check_curve(_written(tmp_path / "altered.csv", rows))
    assert not report.is_exact
    assert report.mismatches[0].row == 701
    assert column in report.mismatches[0].expected or column in ("lamports", "token_raw")


@pytest.mark.parametrize("column", COLUMNS[2:])
@pytest.mark.parametrize("index", range(8))
def test_any_value_altered_by_one_is_reported(tmp_path: Path, column: str, index: int) -> None:
    rows = _made()
    _plus_one(rows, index, column)
    report = check_curve(_written(tmp_path / "altered.csv", rows))
    # A fee rate may be altered by so little that the fee, rounded up, is the same: then nothing is wrong.
    is_seen = not report.is_exact
    assert is_seen or column.endswith("basis_points") or (index == 0 and column in ("lamports", "token_raw"))


def test_a_curve_that_kept_to_the_formulas_is_exact(tmp_path: Path) -> None:
    report = check_curve(_written(tmp_path / "made.csv", _made()))
    assert (report.trades, report.continuous, report.exact, report.fees_exact) == (8, 7, 7, 8)
    assert report.is_exact


def test_missing_trades_make_the_next_one_not_continuous_and_are_no_mismatch(tmp_path: Path) -> None:
    rows = _made(9)
    del rows[3:6]
    report = check_curve(_written(tmp_path / "gap.csv", rows))
    assert (report.trades, report.continuous, report.is_exact) == (6, 4, True)


def _cheaper_sale(rows: list[Row]) -> None:
    """Row 3 (a sale) brings one lamport less than the curve gives; all reserves follow from that."""
    rows[2]["lamports"] = str(int(rows[2]["lamports"]) - 1)
    for row in rows[2:]:
        for column in ("virtual_sol_reserves", "real_sol_reserves"):
            row[column] = str(int(row[column]) + 1)


def _odd_buy(rows: list[Row]) -> None:
    """Row 4 (a buy exact in) gives one unit too few and is not exact out either."""
    rows[3]["token_raw"] = str(int(rows[3]["token_raw"]) - 100_000)
    for row in rows[3:]:
        for column in ("virtual_token_reserves", "real_token_reserves"):
            row[column] = str(int(row[column]) + 100_000)


@pytest.mark.parametrize(("alter", "row", "named"), [(_cheaper_sale, 3, "lamports"), (_odd_buy, 4, "token_raw")])
def test_an_amount_that_the_curve_would_not_give_is_a_mismatch(
    tmp_path: Path, alter: Callable[[list[Row]], None], row: int, named: str
) -> None:
    rows = _made(5)
    alter(rows)
    report = check_curve(_written(tmp_path / "odd.csv", rows))
    assert report.exact < report.continuous
    assert (report.mismatches[0].row, named in report.mismatches[0].expected) == (row, True)


def test_a_buy_of_more_than_the_pool_holds_is_a_mismatch_and_no_crash(tmp_path: Path) -> None:
    rows = _made(2)
    rows[0].update(virtual_token_reserves="5", real_token_reserves="5")
    rows[1].update(token_raw="5", virtual_token_reserves="0", real_token_reserves="0")
    report = check_curve(_written(tmp_path / "empty.csv", rows))
    assert report.mismatches[0].expected["or lamports"] is None


def test_more_mismatches_than_can_be_listed_are_counted(tmp_path: Path) -> None:
    rows = _made()
    for index in range(8):
        _plus_one(rows, index, "fee_amount")
    report = check_curve(_written(tmp_path / "many.csv", rows), mismatches_max=3)
    assert (len(report.mismatches), report.mismatches_total, report.fees_exact) == (3, 8, 0)


def test_the_report_is_json(tmp_path: Path) -> None:
    rows = _made()
    _plus_one(rows, 4, "fee_amount")
    document = json.loads(json.dumps(check_curve(_written(tmp_path / "x.csv", rows)).document()))
    assert [mismatch["row"] for mismatch in document["mismatches"]] == [5]
    assert document["mismatches"][0]["got"] == {"fee_amount": int(rows[4]["fee_amount"])}


def test_an_empty_recording_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    assert not check_curve(path).is_exact


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"mint,side\n", "columns missing: lamports"),
        (b"", "columns missing"),
        (",".join(COLUMNS).encode() + b"\nm,hold,1,1,1,1,1,1,1,1,1,1\n", "row 1: side"),
        (",".join(COLUMNS).encode() + b"\nm,buy,1.5,1,1,1,1,1,1,1,1,1\n", "row 1: lamports"),
        (",".join(COLUMNS).encode() + b"\nm,buy,-1,1,1,1,1,1,1,1,1,1\n", "row 1: lamports"),
        (",".join(COLUMNS).encode() + b"\nm,buy,1\n", "row 1: token_raw"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_an_unusable_recording_is_refused_with_file_and_row(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "trades.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=named) as caught:
        check_curve(path)
    assert "trades.csv" in caught.value.message


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"x" * 1_000)[:40]], ids=["not gzip", "cut off"])
def test_a_damaged_or_missing_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trades.csv.gz"
    with pytest.raises(DataError, match=r"trades\.csv\.gz"):
        check_curve(path)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"trades\.csv\.gz"):
        check_curve(path)


def test_a_recording_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 7 trades"):
        check_curve(_written(tmp_path / "long.csv", _made()), trades_max=7)
