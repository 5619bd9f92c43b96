"""``drift``: a run replayed on its recorded feed, trade by trade."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from trading.cli.console import EXIT_FAILED, err, figures, lamports_text, listing, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag, desks_of, instant_ns

if TYPE_CHECKING:
    from trading.ports import Feed

SHOWN_MAX = 40


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("drift")(drift)


def drift(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="The --run-dir of a session or backtest (its newest run), DIR:RUN_ID, or the id of one of the desk's.",
        ),
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="The run's bars, where they are not where they were. Repeat it for each."),
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="The cut of those bars: ISO date or time, UTC.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="The end of that cut.")] = None,
    conditions: Annotated[
        str | None,
        typer.Option("--conditions", help="Replay it in another state of the chain: ideal, calm, congested or a file."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Replay it with another chance.")] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Replay a run on its recorded feed, match each trade and say what differs and what it cost. Exit code 1: drift.

    Without --conditions and --seed the replay is the run made once more by this version: any difference is news.
    """
    with reporting(as_json=as_json):
        from trading.execution.conditions import conditions_of
        from trading.runtime.recorded_runs import recorded_run
        from trading.runtime.replaying import ReplaySpec, measure

        chain = None if conditions is None else conditions_of(conditions)
        spec = ReplaySpec(_opened(data, instant_ns("from", from_), instant_ns("to", to)), chain, seed)
        with recorded_run(run, desks_of(data_dir)) as recorded, _progress() as advance:
            document = measure(recorded, spec, advance).document()
    if as_json:
        print_json(document)
    else:
        _show(document)
    if document["drift"]:
        raise typer.Exit(EXIT_FAILED)


def _opened(data: list[Path] | None, from_ns: int | None, to_ns: int | None) -> "Feed | None":
    from trading.errors import InvalidInput

    if data:
        from trading.feeds.replay import open_replay

        return open_replay(data, from_ns=from_ns, to_ns=to_ns)
    if (from_ns, to_ns) != (None, None):
        msg = "from and to cut the bars of --data; the run's own cut is known"
        raise InvalidInput(msg, field="from")
    return None


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; say nothing elsewhere."""
    console = err()
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replay", total=None)
        yield lambda row, of: progress.update(task, completed=row, total=of)


def _show(document: dict[str, Any]) -> None:
    console = out()
    trades = document["trades"]
    same = "the same bytes" if document["rows_identical"] else f"the first other one is {document['first_other_row']}"
    rows = [
        ("run", f"{document['run_id']} ({document['mode']})"),
        ("feed", document["feed"]),
        ("conditions", f"{document['conditions']['run']}, replayed in {document['conditions']['replay']}"),
        ("engine", f"version {document['engine']['run']}, replayed by {document['engine']['replay']}"),
        ("trades", f"{trades['run']:,} of the run, {trades['replay']:,} of the replay, {trades['matched']:,} matched"),
        ("identical", f"{trades['identical']:,}"),
        ("rows", f"{document['rows']:,}: {same}"),
        ("the run has more", lamports_text(document["cash_difference_lamports"])),
    ]
    console.print(figures("Drift", rows))
    if not document["drift"]:
        console.print(Text("no difference: each trade is the replay's"))
        return
    kinds = [
        (kind, f"{each['count']:,}", lamports_text(each["lamports"]))
        for kind, each in document["by_kind"].items()
        if each["count"]
    ]
    console.print(listing("By kind", ("kind", "trades", "the run has more, SOL"), kinds))
    shown = [
        (
            *(str(each[name]) for name in ("ts", "kind", "strategy", "mint")),
            lamports_text(each["lamports"]),
            each["run"],
            each["replay"],
        )
        for each in document["differences"][:SHOWN_MAX]
    ]
    columns = ("time", "kind", "strategy", "mint", "more, SOL", "the run", "the replay")
    total = sum(each["count"] for each in document["by_kind"].values())
    console.print(listing(f"The first {len(shown)} of {total:,} differences", columns, shown))
