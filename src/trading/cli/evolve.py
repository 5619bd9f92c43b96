"""``evolve``: a search over a strategy's declared parameters, in this process or in several."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trading.cli.client import data_dir_of
from trading.cli.console import bps_text, err, figures, listing, number_text, out, print_json, reporting
from trading.cli.files import require_folder, write_whole
from trading.cli.options import (
    EQUITY_DEFAULT,
    PROFILE_DEFAULT,
    EquitySol,
    Profile,
    instant_ns,
    lamports_of,
    profiles_dir,
)
from trading.cli.trials import ledger_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from trading.evolution.found import Finalist, Found

EVOLUTION_DIR: Final = "evolution"
HOLDOUT_SHARE: Final = 5
"""A fifth of the days is kept from the search where nobody says how many."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evolve")(evolve)


def evolve(
    data: Annotated[
        list[Path],
        typer.Option("--data", help="A file of bars or swaps, or a folder of them; repeat it for each."),
    ],
    strategy: Annotated[str, typer.Option("--strategy", help="Whose parameters are searched.")],
    trials: Annotated[int, typer.Option("--trials", help="How many different candidates are tried.")] = 500,
    workers: Annotated[int, typer.Option("--workers", help="In how many processes; 1 is repeatable.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Where the chance of the search begins.")] = 0,
    sampler: Annotated[
        str, typer.Option("--sampler", help="nsga2 (genetic) or tpe (a model of what is good).")
    ] = "nsga2",
    holdout_days: Annotated[
        int | None, typer.Option("--holdout-days", help="Days at the end that no search sees; default: a fifth.")
    ] = None,
    profile: Profile = PROFILE_DEFAULT,
    equity_sol: EquitySol = EQUITY_DEFAULT,
    from_: Annotated[str | None, typer.Option("--from", help="Take bars from here: ISO date or time, UTC.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Take bars up to here: ISO date or time, UTC.")] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", help="postgresql://..., for workers on several machines; default: a file."),
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", help="Where the search lives; the same command goes on there.")
    ] = None,
    json_to: Annotated[
        str | None,
        typer.Option("--json", metavar="OUT", help="Write the result as JSON to this file; - for standard output."),
    ] = None,
) -> None:
    """Search for better parameters of a strategy, and say what the best are worth: judged by cross-validation and
    walk-forward, confirmed in the full engine and on days that no search saw, with every trial counted.

    A search that was stopped or killed goes on when the same command is given again.
    """
    to_stdout = json_to == "-"
    with reporting(as_json=to_stdout):
        from trading.evolution.conduct import SearchOrder, conduct
        from trading.evolution.course import Course, SearchSpec, days_of, sampler_of
        from trading.evolution.found import document_of
        from trading.feeds.replay import open_replay
        from trading.runtime.assembly import chosen_profile

        require_folder(None if to_stdout or json_to is None else Path(json_to), "json")
        span = (instant_ns("from", from_), instant_ns("to", to))
        with err().status("reading the data"):
            feed = open_replay(data, from_ns=span[0], to_ns=span[1])
        spec = SearchSpec(
            strategy=strategy,
            rules=chosen_profile(profile, folder=profiles_dir(None)),
            equity_lamports=lamports_of("equity_sol", equity_sol),
            trials=trials,
            seed=seed,
            sampler=sampler_of(sampler),
            holdout_days=days_of(feed) // HOLDOUT_SHARE if holdout_days is None else holdout_days,
        )
        course = Course(spec, feed)
        place = run_dir or data_dir_of(None) / EVOLUTION_DIR / course.search_id
        order = SearchOrder(spec, tuple(data), place, ledger_path(), *span, storage=storage, workers=workers)
        with _progress() as report:
            found = conduct(order, course, report)
        document = document_of(found) | {"run_dir": str(order.run_dir)}
        if json_to is not None and not to_stdout:
            write_whole(Path(json_to), json.dumps(document, indent=2, ensure_ascii=False) + "\n", "json")
    if to_stdout:
        print_json(document)
    else:
        _show(found, order.run_dir)


@contextmanager
def _progress() -> "Iterator[Callable[[str, int, int], None]]":
    """Show a bar on a terminal; say nothing elsewhere."""
    console = err()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("searching", total=None)
        yield lambda phase, done, total: progress.update(task, description=phase, completed=done, total=total)


def _show(found: "Found", run_dir: Path) -> None:
    console = out()
    paths = ", ".join(f"{each:.2f}" for each in found.path_sharpes)
    rows = [
        ("search", found.search_id),
        ("feed", found.feed),
        ("days", f"{found.days} searched, {found.holdout_days} kept from it"),
        ("candidates", f"{found.trials:,} tried by the {found.screened_by}, by {found.sampler} with seed {found.seed}"),
        ("trials of the family", f"{found.family_trials:,} in the lifetime ledger"),
        ("out of sample", f"Sharpe a year along the paths of cross-validation: {paths}"),
        ("probability of overfitting", number_text(found.pbo)),
        ("run directory", str(run_dir)),
    ]
    console.print(figures(f"Search over {found.strategy}", rows))
    names = (
        "Sharpe, median",
        "low",
        "drawdown",
        "engine return",
        "Sharpe",
        "fills",
        "DSR",
        "hold-out return",
        "Sharpe",
    )
    console.print(listing("The front", ("", *names), [_row(n, each) for n, each in enumerate(found.finalists, 1)]))
    for number, each in enumerate(found.finalists, 1):
        parameters = ", ".join(f"{name} {value}" for name, value in each.parameters.items())
        console.print(f"{number}: {parameters}", markup=False, highlight=False)
    if not found.finalists:
        console.print("no candidate traded enough to be judged", markup=False)


def _row(number: int, each: "Finalist") -> tuple[str, ...]:
    held = each.holdout_document
    return (
        str(number),
        f"{each.objectives.median_sharpe:.2f}",
        f"{each.objectives.low_sharpe:.2f}",
        f"{each.objectives.max_drawdown:.1%}",
        bps_text(each.document["return_bps"]),
        number_text(each.document["sharpe"]),
        str(each.document["trades"]),
        number_text(each.deflated_sharpe),
        "-" if held is None else bps_text(held["return_bps"]),
        "-" if held is None else number_text(held["sharpe"]),
    )
