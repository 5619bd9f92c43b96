"""``export-tax``: every fill of a run as CSV, with cost basis and gain by lots."""

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from trading.cli.console import figures, lamports_text, out, print_json, reporting
from trading.cli.files import require_folder, write_with
from trading.cli.options import DataDir, JsonFlag, desks_of
from trading.errors import InvalidInput
from trading.model.units import NS_PER_S, sol_text

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from trading.runtime.tax import Currency, TaxOptions, TaxRow

COLUMNS: Final = (
    "time_utc", "time_local", "zone", "money", "kind", "run", "order_id", "signature", "trajectory", "strategy",
    "bucket", "symbol", "mint", "amount", "amount_base_units", "value_sol", "pool_fee_sol", "impact_sol",
    "network_fee_sol", "priority_fee_sol", "failed_charge_sol", "rent_sol", "method", "proceeds_sol", "cost_sol",
    "gain_sol", "currency", "sol_price", "sol_price_time_utc", "sol_price_source", "value_fiat", "fees_fiat",
    "proceeds_fiat", "cost_fiat", "gain_fiat", "acquired_first_utc", "acquired_last_utc", "lots",
)  # fmt: skip
RATES_MAX: Final = 100_000
# A spreadsheet takes what begins with one of these for a formula; wide forms are read as the narrow ones by some.
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_CURRENCY: Final = re.compile(r"^[A-Z]{3,5}$")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export-tax")(export_tax)


def export_tax(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="The --run-dir of a session or backtest, DIR:RUN_ID, or the id of one of the desk's."
        ),
    ],
    target: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.csv", help="Where the file goes.")],
    method: Annotated[
        str, typer.Option("--method", help="Which lot is sold first: fifo (the oldest) or hifo (the dearest).")
    ] = "fifo",
    zone: Annotated[
        str | None,
        typer.Option("--zone", help="Local time, such as Europe/Berlin. Default: TRADING_ACCOUNT__ZONE, else UTC."),
    ] = None,
    year: Annotated[
        int | None, typer.Option("--year", min=2009, max=9999, help="Only rows of this year, in local time.")
    ] = None,
    currency: Annotated[
        str, typer.Option("--currency", help="What gains are counted in; others than USD need --rates.")
    ] = "USD",
    rates: Annotated[
        Path | None,
        typer.Option("--rates", metavar="RATES.csv", help="Lines of day,rate: units of the currency for one dollar."),
    ] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Write every fill, failed transaction and loss of a run as CSV: amounts, fees, rent, value, cost basis and gain.

    Lots are those of the whole run, also with --year. Gains are those of tokens; that SOL was spent shows in its value.
    """
    with reporting(as_json=as_json):
        from trading.runtime.recorded_runs import recorded_run
        from trading.runtime.tax import TaxOptions, tax_rows

        require_folder(target, "output")
        options = TaxOptions(_method(method), _zone(zone), _currency(currency, rates))
        totals = Totals()
        with recorded_run(run, desks_of(data_dir)) as recorded:
            rows = tax_rows(recorded.journal, options)
            written = Written(recorded.run_id, options)
            chosen = (row for row in rows if year is None or written.local(row.ts_ns).year == year)
            write_with(target, lambda file: write(file, totals.watching(chosen), written), "output")
        document = totals.document(target, options, written.run_id)
    if as_json:
        print_json(document)
    else:
        out().print(figures("Tax export", _shown(document)))
        out().print(Text("Paper money: nothing here was earned or is owed.", style="dim"))


@dataclass(frozen=True)
class Written:
    """What every line of a file has in common."""

    run_id: str
    options: "TaxOptions"

    def local(self, ts_ns: int) -> datetime:
        return _utc(ts_ns).astimezone(self.options.zone)


def write(file: IO[str], rows: "Iterator[TaxRow]", written: Written) -> None:
    """Write the table; nothing of it is held."""
    lines = csv.writer(file, lineterminator="\r\n")
    lines.writerow(COLUMNS)
    for row in rows:
        cells = _cells(row, written)
        lines.writerow([cells[name] for name in COLUMNS])


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: a token may be called anything.

    One that begins like a formula, also behind spaces, gets an apostrophe in front; control characters become a space.
    """
    plain = _CONTROL.sub(" ", text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) or plain.startswith("'") else plain


def _cells(row: "TaxRow", written: Written) -> dict[str, str]:
    from trading.runtime.naming import public_id

    options, run_id = written.options, written.run_id
    texts = {
        "zone": options.zone.key,
        "money": "paper",
        "kind": row.kind,
        "run": run_id,
        "order_id": public_id(run_id, row.order_id) if row.order_id else "",
        "signature": "",
        "trajectory": public_id(run_id, row.trajectory_id),
        "strategy": row.strategy,
        "bucket": row.bucket,
        "symbol": row.symbol,
        "mint": row.mint,
        "method": options.method.value,
        "currency": options.currency.name,
        "sol_price_source": "" if row.quote is None else row.quote.source,
        "lots": " ".join(f"{public_id(run_id, lot.order_id)}:{lot.base_units}" for lot in row.lots),
    }
    return {**{name: guarded(text) for name, text in texts.items()}, **_times(row, written), **_figures(row)}


def _times(row: "TaxRow", written: Written) -> dict[str, str]:
    acquired = [lot.acquired_ns for lot in row.lots]
    return {
        "time_utc": _utc(row.ts_ns).isoformat(),
        "time_local": written.local(row.ts_ns).isoformat(),
        "sol_price_time_utc": "" if row.quote is None else _utc(row.quote.ts_ns).isoformat(),
        "acquired_first_utc": _utc(min(acquired)).isoformat() if acquired else "",
        "acquired_last_utc": _utc(max(acquired)).isoformat() if acquired else "",
    }


def _figures(row: "TaxRow") -> dict[str, str]:
    from trading.runtime.documents import tokens

    return {
        "amount": tokens(row.base_units, row.decimals),
        "amount_base_units": str(row.base_units),
        "value_sol": sol_text(row.value_lamports),
        "pool_fee_sol": sol_text(row.pool_fee_lamports),
        "impact_sol": sol_text(row.impact_lamports),
        "network_fee_sol": sol_text(row.network_fee_lamports),
        "priority_fee_sol": sol_text(row.priority_fee_lamports),
        "failed_charge_sol": sol_text(row.charged_lamports),
        "rent_sol": sol_text(row.rent_lamports),
        "proceeds_sol": "" if row.proceeds_lamports is None else sol_text(row.proceeds_lamports),
        "cost_sol": "" if row.cost_lamports is None else sol_text(row.cost_lamports),
        "gain_sol": "" if row.gain_lamports is None else sol_text(row.gain_lamports),
        "sol_price": "" if row.quote is None else f"{row.quote.price:f}",
        "value_fiat": _money(row.value_micro),
        "fees_fiat": _money(row.fees_micro),
        "proceeds_fiat": _money(row.proceeds_micro),
        "cost_fiat": _money(row.cost_micro),
        "gain_fiat": _money(row.gain_micro),
    }


def _money(micro: int | None) -> str:
    """Return millionths of a currency with two decimals or as many as there are."""
    if micro is None:
        return ""
    text = f"{Decimal(micro).scaleb(-6):.6f}"
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def _utc(ts_ns: int) -> datetime:
    seconds, nanoseconds = divmod(ts_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1_000)


class Totals:
    """Sums of what was written."""

    def __init__(self) -> None:
        self._kinds: dict[str, int] = {}
        self._gain_lamports = self._charged_lamports = self._gain_micro = self._unpriced = 0

    def watching(self, rows: "Iterator[TaxRow]") -> "Iterator[TaxRow]":
        for row in rows:
            self._kinds[row.kind] = self._kinds.get(row.kind, 0) + 1
            self._gain_lamports += row.gain_lamports or 0
            self._charged_lamports += row.charged_lamports
            self._gain_micro += row.gain_micro or 0
            self._unpriced += row.quote is None or (row.gain_lamports is not None and row.gain_micro is None)
            yield row

    def document(self, target: Path, options: "TaxOptions", run_id: str) -> dict[str, Any]:
        return {
            "run_id": run_id,
            "file": str(target),
            "money": "paper",
            "method": options.method.value,
            "zone": options.zone.key,
            "rows": dict(sorted(self._kinds.items())),
            "gain_lamports": self._gain_lamports,
            "failed_charges_lamports": self._charged_lamports,
            "currency": options.currency.name,
            "gain_fiat": _money(self._gain_micro),
            "rows_without_fiat": self._unpriced,
        }


def _shown(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    unpriced = f" ({document['rows_without_fiat']} rows without a price)" if document["rows_without_fiat"] else ""
    return [
        ("run", document["run_id"]),
        ("file", document["file"]),
        ("method, zone", f"{document['method']}, {document['zone']}"),
        ("rows", ", ".join(f"{count:,} {kind}" for kind, count in document["rows"].items()) or "none"),
        ("gain", lamports_text(document["gain_lamports"])),
        ("gain in fiat", f"{document['gain_fiat']} {document['currency']}{unpriced}"),
        ("failed transactions", lamports_text(document["failed_charges_lamports"])),
    ]


def _method(text: str) -> Any:
    from trading.portfolio.lots import Method

    with suppress(ValueError):
        return Method(text.lower())
    msg = f"method: {text[:40]!r} is unknown; known are {', '.join(each.value for each in Method)}"
    raise InvalidInput(msg, field="method")


def _zone(text: str | None) -> "ZoneInfo":
    import os
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from trading.settings import load

    name = text if text is not None else load(os.environ).account.zone
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"zone: {name[:60]!r} is not a time zone name such as UTC or Europe/Berlin"
        raise InvalidInput(msg, field="zone") from error


def _currency(name: str, rates: Path | None) -> "Currency":
    from trading.runtime.tax import Currency

    if not _CURRENCY.match(name):
        msg = f"currency: {name[:20]!r} is no code such as USD or EUR"
        raise InvalidInput(msg, field="currency")
    if rates is None:
        if name != "USD":
            msg = f"currency: {name} needs --rates, since feeds give the SOL price in dollars"
            raise InvalidInput(msg, field="currency", hint="a file with lines such as 2026-01-31,0.9213")
        return Currency()
    if name == "USD":
        msg = "rates: dollars need none"
        raise InvalidInput(msg, field="rates", hint="name the currency of the rates with --currency")
    return Currency(name, _rates(rates), rates.name)


def _rates(path: Path) -> dict[date, Decimal]:
    """Return rates by day. Raises: InvalidInput naming file and line."""
    found: dict[date, Decimal] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(csv.reader(file), 1):
                if not line or (number == 1 and not line[0][:1].isdigit()):
                    continue
                try:
                    day, rate = date.fromisoformat(line[0].strip()), Decimal(line[1].strip())
                except (ValueError, InvalidOperation, IndexError) as error:
                    msg = f"rates: {path.name}, line {number}: expected day,rate such as 2026-01-31,0.9213"
                    raise InvalidInput(msg, field="rates") from error
                if not (rate.is_finite() and 0 < rate < 10**9) or day in found or len(found) >= RATES_MAX:
                    msg = f"rates: {path.name}, line {number}: a rate above 0, one a day, at most {RATES_MAX} days"
                    raise InvalidInput(msg, field="rates")
                found[day] = rate
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"rates: {path} cannot be read: {error}"
        raise InvalidInput(msg, field="rates") from error
    return found
