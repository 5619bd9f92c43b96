"""The tax export of a run: exact, in the zone that was asked for, safe in a spreadsheet, whole or not there."""

import csv
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.support.trading import MINT, RENT, SOL, STEP, make_fill, make_order
from typer.testing import CliRunner

from trading.adapters.canonical import parse_json
from trading.adapters.sql_journal import JournalStore
from trading.cli import app
from trading.cli.export_tax import COLUMNS, guarded
from trading.cli.files import write_with
from trading.engine.inputs import encode_input
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.model import events
from trading.model.account import TradingState
from trading.model.event_codec import decode, encode
from trading.model.instrument import Instrument
from trading.model.market_data import TokenListed
from trading.model.order import Rejected, Side
from trading.portfolio.ledger import Ledger
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.runtime.recorded_runs import recorded_run

YEAR_END = 1_798_759_800 * 10**9
"""2026-12-31T23:30:00Z: in Berlin it is the next year already."""
EVIL = '=HYPERLINK("http://x","y")'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("run")
    feed = SyntheticFeed(SyntheticMarket(seed=7, cycles=3_200, launch_ppm=60_000))
    result = run_backtest(BacktestSpec(feed, profile="aggressive", conditions="congested", run_dir=home)).as_json()
    assert result["trades"] > 5
    return home


def export(run: Path, target: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["export-tax", str(run), "-o", str(target), *more])


def exported(run: Path, target: Path, *more: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
    done = export(run, target, "--json", *more)
    assert done.exit_code == 0, done.output
    with target.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)), json.loads(done.stdout)


def lamports(cell: str) -> int:
    return int(Decimal(cell) * SOL)


@pytest.mark.requirement("T21")
@pytest.mark.parametrize("method", ["fifo", "hifo"])
def test_every_fill_is_there_and_gains_are_those_of_the_books(folder: Path, tmp_path: Path, method: str) -> None:
    rows, summary = exported(folder, tmp_path / "tax.csv", "--method", method)
    ledger, fills = Ledger(), []
    with recorded_run(str(folder)) as run:
        kinds = ("capital_deposited", "order_filled", "order_rejected", "position_written_off")
        for row in run.journal.rows(kinds=kinds):
            event = decode(row.kind, parse_json(row.body))
            ledger.apply(event)  # type: ignore[arg-type]
            if isinstance(event, events.OrderFilled):
                fills.append(event.fill)
    told = [each for each in rows if each["kind"] in ("buy", "sell")]
    assert len(told) == len(fills)
    assert [int(each["amount_base_units"]) for each in told] == [fill.base_units for fill in fills]
    assert [lamports(each["rent_sol"]) for each in told] == [fill.rent_lamports for fill in fills]
    charged = sum(lamports(each["failed_charge_sol"]) for each in rows)
    assert charged == summary["failed_charges_lamports"] == ledger.costs.failed_lamports > 0
    gains = sum(lamports(each["gain_sol"]) for each in rows if each["gain_sol"])
    assert gains == summary["gain_lamports"]
    if not ledger.has_positions:
        assert gains == ledger.realised_lamports
    assert sum(Decimal(each["gain_fiat"]) for each in rows if each["gain_fiat"]) == Decimal(summary["gain_fiat"])
    assert {each["sol_price_source"][:22] for each in rows} == {"SOL in USD by the feed"}


@pytest.fixture
def a_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of runs from events, with one token of any name."""

    def make(told: Iterator[tuple[int, Any]], symbol: str = "BONK") -> Path:
        store = JournalStore.at(tmp_path / "journal.db")
        journal = store.start_run("run_1", "i", 0)
        listed = TokenListed(0, Instrument(MINT, symbol, 5, 25, 10**12), "x")
        journal.append(0, *encode(events.RunStarted("run_1", "paper", "foundation", "a market", "{}", 0)))
        journal.append(0, *encode_input(listed, by_reference=False))
        for ts_ns, event in told:
            journal.append(ts_ns, *encode(event))
        journal.commit()
        store.close()
        return tmp_path

    return make


def fill(name: str, at: int, side: Side, units: int, value: int, rent: int = 0) -> tuple[int, Any]:
    made = make_fill(name, ts_ns=at, side=side, base_units=units, lamports=value, rent_lamports=rent)
    return at, events.OrderFilled("trj_1", "momentum_breakout", "momentum_breakout", made)


def mark(at: int, usd: str | None) -> tuple[int, Any]:
    price = None if usd is None else Decimal(usd)
    return at, events.CycleMarked(at, 1, SOL, SOL, 0, 0, TradingState.ACTIVE, price)


def two_lots_and_a_sale(usd: str | None = "100") -> Iterator[tuple[int, Any]]:
    """Yield 100 tokens at 0.1 SOL, 100 at 0.3 SOL, and the sale of 150 for 0.45 SOL."""
    yield fill("one", YEAR_END, Side.BUY, 10_000_000, SOL // 10, RENT)
    yield mark(YEAR_END + STEP, usd)
    yield fill("two", YEAR_END + 2 * STEP, Side.BUY, 10_000_000, 3 * SOL // 10)
    yield mark(YEAR_END + 3 * STEP, None if usd is None else "200")
    yield fill("three", YEAR_END + 4 * STEP, Side.SELL, 15_000_000, 45 * SOL // 100)
    yield mark(YEAR_END + 5 * STEP, usd)


@pytest.mark.requirement("T21")
def test_basis_and_gain_follow_the_method(a_run: Callable[..., Path], tmp_path: Path) -> None:
    run = a_run(two_lots_and_a_sale())
    fees = 25_000
    got = 45 * SOL // 100 - fees
    one, two = SOL // 10 + fees, 3 * SOL // 10 + fees
    for method, cost in (("fifo", one + two // 2), ("hifo", two + one // 2)):
        rows, _ = exported(run, tmp_path / "tax.csv", "--method", method)
        sale = rows[2]
        assert lamports(sale["proceeds_sol"]) == got
        assert lamports(sale["cost_sol"]) == cost
        assert lamports(sale["gain_sol"]) == got - cost
        assert (sale["method"], sale["amount"], sale["symbol"]) == (method, "150", "BONK")
    assert sale["lots"] == "run_1.two:10000000 run_1.one:5000000"
    assert (sale["acquired_first_utc"], sale["acquired_last_utc"]) == (rows[0]["time_utc"], rows[1]["time_utc"])
    assert sale["cost_fiat"] == "65.00625", "0.300025 SOL at 200 and half of 0.100025 at 100"
    assert sale["gain_fiat"] == "-20.00875"
    assert rows[0]["rent_sol"] == "0.00203928"
    assert rows[0]["gain_sol"] == rows[0]["gain_fiat"] == ""


def test_times_are_in_utc_and_in_the_zone_and_a_year_is_a_local_one(a_run: Callable[..., Path], tmp_path: Path) -> None:
    run, target = a_run(two_lots_and_a_sale()), tmp_path / "tax.csv"
    rows, _ = exported(run, target, "--zone", "Europe/Berlin")
    assert rows[0]["time_utc"] == "2026-12-31T23:30:00+00:00"
    assert rows[0]["time_local"] == "2027-01-01T00:30:00+01:00"
    assert rows[0]["zone"] == "Europe/Berlin"
    berlin, _ = exported(run, target, "--zone", "Europe/Berlin", "--year", "2026")
    assert berlin == []
    utc, summary = exported(run, target, "--zone", "UTC", "--year", "2026")
    assert [each["kind"] for each in utc] == ["buy", "buy", "sell"]
    assert summary["rows"] == {"buy": 2, "sell": 1}


def test_a_sale_keeps_its_basis_from_years_that_are_left_out(a_run: Callable[..., Path], tmp_path: Path) -> None:
    def told() -> Iterator[tuple[int, Any]]:
        yield fill("one", YEAR_END, Side.BUY, 100, SOL)
        yield fill("two", YEAR_END + 20 * STEP, Side.SELL, 100, SOL)

    rows, _ = exported(a_run(told()), tmp_path / "tax.csv", "--zone", "UTC", "--year", "2027")
    assert [each["cost_sol"] for each in rows] == ["1.000025"]


def test_without_a_price_of_sol_there_is_no_fiat_and_it_is_said(a_run: Callable[..., Path], tmp_path: Path) -> None:
    rows, summary = exported(a_run(two_lots_and_a_sale(None)), tmp_path / "tax.csv")
    assert {each["value_fiat"] + each["gain_fiat"] + each["sol_price"] for each in rows} == {""}
    assert summary["rows_without_fiat"] == 3
    assert summary["gain_lamports"] != 0


def test_other_currencies_go_by_the_rate_of_the_day(a_run: Callable[..., Path], tmp_path: Path) -> None:
    rates = tmp_path / "ecb.csv"
    rates.write_text("date,rate\n2026-12-30,0.5\n2026-12-01,0.9\n")
    given = ("--currency", "EUR", "--rates", str(rates))
    run, target = a_run(two_lots_and_a_sale()), tmp_path / "tax.csv"
    rows, summary = exported(run, target, *given)
    assert (rows[0]["currency"], rows[0]["value_fiat"]) == ("EUR", "5.00")
    assert rows[0]["sol_price_source"].endswith("EUR of 2026-12-30 by ecb.csv")
    assert summary["currency"] == "EUR"
    target.unlink()
    rates.write_text("2026-12-01,0.9\n")
    late = export(run, target, *given)
    assert late.exit_code == 1
    assert "has no rate of EUR for 2026-12-31" in late.stderr
    assert not target.exists()


def test_a_failed_transaction_and_a_write_off_are_rows(a_run: Callable[..., Path], tmp_path: Path) -> None:
    def told() -> Iterator[tuple[int, Any]]:
        order = make_order(id="o")
        who = ("trj_1", "momentum_breakout", "momentum_breakout")
        yield YEAR_END, events.OrderApproved(order, ())
        yield YEAR_END, events.OrderRejected(*who, Rejected("o", YEAR_END, "failed", "", 25_000))
        yield YEAR_END, events.OrderRejected(*who, Rejected("free", YEAR_END, "expired", "", 0))
        yield fill("one", YEAR_END, Side.BUY, 100, SOL)
        yield YEAR_END, events.PositionWrittenOff(*who, MINT, YEAR_END, "drained")
        yield mark(YEAR_END, "100")

    rows, summary = exported(a_run(told()), tmp_path / "tax.csv")
    assert [each["kind"] for each in rows] == ["failed", "buy", "write_off"]
    failed, _, lost = rows
    assert (failed["symbol"], failed["failed_charge_sol"], failed["fees_fiat"]) == ("BONK", "0.000025", "0.0025")
    assert (lost["gain_sol"], lost["gain_fiat"], lost["proceeds_sol"]) == ("-1.000025", "-100.0025", "0")
    assert summary["gain_lamports"] == -SOL - 25_000


def test_fees_without_a_trade_and_deposits_that_come_back_are_rows_without_a_gain(
    a_run: Callable[..., Path], tmp_path: Path
) -> None:
    def told() -> Iterator[tuple[int, Any]]:
        yield YEAR_END, events.OrderApproved(make_order(id="o"), ())
        yield YEAR_END, events.FeePaid("f", YEAR_END, "manual", 5_000, "of a sweep")
        yield YEAR_END, events.AccountClosed("c", YEAR_END, MINT, 2_039_280, "empty")
        yield mark(YEAR_END, "100")

    rows, summary = exported(a_run(told()), tmp_path / "tax.csv")
    assert [(each["kind"], each["bucket"], each["symbol"]) for each in rows] == [
        ("fee", "manual", ""),
        ("deposit_back", "", "BONK"),
    ]
    fee, back = rows
    assert (fee["fees_fiat"], fee["rent_sol"], fee["gain_sol"]) == ("0.0005", "0", "")
    assert (back["rent_sol"], back["fees_fiat"], back["gain_sol"]) == ("-0.00203928", "0.00", "")
    assert summary["gain_lamports"] == 0


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (EVIL, f"'{EVIL}"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "' =1"),
        ("  =1", "'  =1"), ("＝1", "'＝1"), ("a\r\nb", "a b"), ("'quoted", "''quoted"), ("BONK", "BONK"), ("", ""),
    ],
)  # fmt: skip
def test_no_text_can_be_a_formula(text: str, safe: str) -> None:
    assert guarded(text) == safe


def test_a_token_called_like_a_formula_stays_a_text(a_run: Callable[..., Path], tmp_path: Path) -> None:
    rows, _ = exported(a_run(two_lots_and_a_sale(), symbol=EVIL), tmp_path / "tax.csv")
    assert rows[0]["symbol"] == f"'{EVIL}"
    numbers = {name for name in COLUMNS if name.endswith(("_sol", "_fiat", "amount", "units"))}
    for row in rows:
        for name, cell in row.items():
            assert not cell.startswith(("=", "+", "@", "\t", "\r"))
            if cell.startswith("-"):
                assert name in numbers
                Decimal(cell)


def test_a_file_is_there_as_a_whole_or_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "tax.csv"
    target.write_text("before")

    def broken(file: Any) -> None:
        file.write("half of")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_with(target, broken, "output")
    assert target.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["tax.csv"]


def test_a_file_is_readable_as_its_owner_wants_new_files_to_be(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_with(tmp_path / "made", lambda file: file.write("x"), "output")
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_rows_that_do_not_fit_leave_no_file(a_run: Callable[..., Path], tmp_path: Path) -> None:
    run = a_run(iter([fill("one", YEAR_END, Side.SELL, 100, SOL)]))
    target = tmp_path / "tax.csv"
    result = export(run, target)
    assert result.exit_code == 1
    assert "lots that hold 0" in result.stderr
    assert sorted(each.suffix for each in tmp_path.iterdir() if "tax" in each.name) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--method", "lifo"), "known are fifo, hifo"),
        (("--zone", "Mars/Olympus"), "is not a time zone name"),
        (("--currency", "EUR"), "EUR needs --rates"),
        (("--currency", "euro?"), "is no code such as USD"),
        (("--rates", "{bad}"), "dollars need none"),
        (("--currency", "EUR", "--rates", "{bad}"), "line 2: expected day,rate"),
        (("--currency", "EUR", "--rates", "{gone}"), "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_wrong_use(folder: Path, tmp_path: Path, given: tuple[str, ...], said: str) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("date,rate\n2026-01-01,much\n")
    result = export(folder, tmp_path / "tax.csv", *(each.format(bad=bad, gone=tmp_path / "gone") for each in given))
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert not (tmp_path / "tax.csv").exists()


def test_the_terminal_says_what_was_written(folder: Path, tmp_path: Path) -> None:
    shown = export(folder, tmp_path / "tax.csv", "--zone", "Europe/Berlin")
    assert shown.exit_code == 0, shown.output
    assert "fifo, Europe/Berlin" in shown.stdout
    assert "Paper money" in shown.stdout
