"""``trials``: what was ever tried, by family of hypotheses."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from trading.cli.client import data_dir_of
from trading.cli.console import EXIT_FAILED, listing, out, print_json, reporting
from trading.cli.options import JsonFlag

LEDGER_NAME = "trials.db"
SHOWN_MAX = 40


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trials")(trials)


def ledger_path(data_dir: Path | None = None) -> Path:
    """Return where a person's trials are written down."""
    return data_dir_of(data_dir) / LEDGER_NAME


def trials(
    family: Annotated[str | None, typer.Option("--family", help="Only these strategies, comma separated.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List every backtest and sweep that was counted; exit code 1 if the ledger was altered."""
    from trading.adapters.trial_ledger import TrialLedger, family_of

    with reporting(as_json=as_json):
        ledger = TrialLedger.at(ledger_path())
        try:
            wanted = None if family is None else family_of([name.strip() for name in family.split(",")])
            entries, altered = ledger.entries(wanted), ledger.verify()
        finally:
            ledger.close()
    counts = Counter(str(entry.body["family"]) for entry in entries)
    if as_json:
        print_json(
            {
                "ledger": str(ledger.path),
                "is_intact": altered is None,
                "first_altered": altered,
                "families": dict(sorted(counts.items())),
                "trials": [{"number": entry.number, "hash": entry.hash, **entry.body} for entry in entries],
            }
        )
    else:
        console = out()
        console.print(listing("Families", ("strategies", "trials"), [(n, str(c)) for n, c in sorted(counts.items())]))
        shown = [
            (
                str(entry.number),
                str(entry.body["family"]),
                str(entry.body["who"]),
                "-" if entry.body["sharpe"] is None else f"{float(entry.body['sharpe']):.4f}",
                str(entry.body["trades"]),
                str(entry.body["return_bps"]),
            )
            for entry in entries[-SHOWN_MAX:]
        ]
        columns = ("trial", "strategies", "who", "Sharpe a day", "fills", "return, bps")
        console.print(listing(f"The newest of {len(entries)} trials", columns, shown))
        if altered is not None:
            console.print(Text(f"the ledger was altered: trial {altered} is not what was written down", style="red"))
    if altered is not None:
        raise typer.Exit(EXIT_FAILED)
