"""``data``: recorded bars."""

from pathlib import Path
from typing import Annotated

import typer

from trading.cli.console import EXIT_FAILED, listing, out, print_json, reporting
from trading.cli.options import JsonFlag

SHOWN_MAX = 15


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(help="Recorded bars: check them before a run rests on them.", no_args_is_help=True)
    commands.command("check")(check)
    commands.callback()(_group)
    app.add_typer(commands, name="data")


def _group() -> None:
    """Recorded bars: check them before a run rests on them."""


def check(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Bar files or folders of them.")],
    as_json: JsonFlag = False,
) -> None:
    """Check bar files for gaps, duplicates, disorder and outliers. Exit code 1 when one is unusable."""
    from trading.feeds.quality import check_files

    with reporting(as_json=as_json):
        reports = check_files(paths)
    if as_json:
        print_json({"files": [report.document() for report in reports]})
    else:
        console = out()
        rows = [
            (
                report.name,
                "yes" if report.is_usable else "NO",
                f"{report.rows:,}",
                "-" if report.interval_s is None else f"{report.interval_s} s",
                f"{report.bars_missing:,}",
                ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts.items())) or "none",
            )
            for report in reports
        ]
        console.print(listing("Bar files", ("file", "usable", "rows", "interval", "missing", "findings"), rows))
        for report in reports:
            if report.findings:
                shown = [(str(found.row), found.severity, found.message[:120]) for found in report.findings[:SHOWN_MAX]]
                console.print(listing(report.name, ("row", "severity", "what"), shown))
    if not all(report.is_usable for report in reports):
        raise typer.Exit(EXIT_FAILED)
