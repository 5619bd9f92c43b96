"""``calibrate``: the figures of the chain from a recorded run."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from trading.cli.console import listing, out, print_json, reporting
from trading.cli.options import JsonFlag


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate")(calibrate)


def calibrate(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The --run-dir of a backtest or paper session.")],
    conditions: Annotated[
        str, typer.Option("--conditions", help="Where figures come from that no journal shows: a name or a file.")
    ] = "calm",
    name: Annotated[str, typer.Option("--name", help="What the estimated conditions are called.")] = "calibrated",
    as_json: JsonFlag = False,
) -> None:
    """Estimate landing, latency, failures, adverse selection and depth from a run, each with its standard error.

    The JSON is a file that --conditions of a backtest takes. A figure with too few observations is taken over.
    """
    from trading.execution.conditions import conditions_of
    from trading.runtime.calibrating import calibrate_run

    with reporting(as_json=as_json):
        found = calibrate_run(run_dir, conditions_of(conditions), name)
    document = found.document()
    if as_json:
        print_json(document)
        return
    rows = [
        (
            figure,
            f"{each['value']:g}",
            "" if each["standard_error"] is None else f"{each['standard_error']:.3g}",
            str(each["observations"]),
            each["note"],
        )
        for figure, each in document["estimates"].items()
    ]
    console = out()
    console.print(listing(f"Calibrated from {found.run_id}", ("figure", "value", "error", "of", "note"), rows))
    taken_over = [figure for figure in document["conditions"] if figure not in document["estimates"]]
    console.print(Text(f"taken over from {conditions}: {', '.join(taken_over)}", style="dim"))
