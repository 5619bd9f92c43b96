"""``check-curve``: recorded bonding-curve trades against the function that the venue calls."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from trading.cli.console import EXIT_FAILED, figures, listing, out, print_json, reporting
from trading.cli.options import JsonFlag
from trading.errors import InvalidInput

SHOWN_MAX = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check-curve")(check_curve)


def check_curve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or gzip CSV of recorded curve trades.")],
    as_json: JsonFlag = False,
) -> None:
    """Replay recorded curve trades against the fill model; every lamport must agree. Exit code 1 if one does not."""
    from trading.execution.curve_check import check_curve as check

    with reporting(as_json=as_json):
        if not file.is_file():
            msg = f"there is no file {file}"
            raise InvalidInput(msg, field="file")
        report = check(file)
    document = report.document()
    if as_json:
        print_json(document)
    else:
        console = out()
        rows = [
            ("trades", f"{document['trades']:,}"),
            ("amounts exact", f"{document['exact']:,} of {document['continuous']:,} continuous trades"),
            ("fees exact", f"{document['fees_exact']:,} of {document['trades']:,} trades"),
        ]
        console.print(figures(f"The fill model against {file.name}", rows))
        if document["mismatches"]:
            shown = [
                (str(found["row"]), str(found["expected"]), str(found["got"]))
                for found in document["mismatches"][:SHOWN_MAX]
            ]
            console.print(listing(f"{report.mismatches_total} mismatches", ("row", "expected", "got"), shown))
        else:
            console.print(Text("every lamport agrees", style="green"))
    if not report.is_exact:
        raise typer.Exit(EXIT_FAILED)
