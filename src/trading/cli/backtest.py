"""``backtest``: the kernel over recorded or generated bars, in this process."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from trading.cli.console import bps_text, err, figures, lamports_text, listing, number_text, out, print_json, reporting
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
from trading.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from trading.adapters.trial_ledger import TrialLedger
    from trading.ports import Feed
    from trading.runtime.backtest import BacktestResult


Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="A file of bars or swaps, or a folder of them; repeat it for each. Tokens in USD need SOL's too.",
    ),
]


Advice = Annotated[
    str | None, typer.Option("--advice", metavar="RUN", help="Hear what the sidecar said in that run; nobody is asked.")
]
Situations = Annotated[
    str, typer.Option("--situations", metavar="RUN", help="A recorded run (its --run-dir) to remember from.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backtest")(backtest)


def backtest(
    data: Data = None,
    feed: Annotated[
        str | None, typer.Option("--feed", help="Instead of --data: synthetic[:SEED] or replay:PATH[,PATH...].")
    ] = None,
    cycles: Annotated[int, typer.Option("--cycles", min=1, help="How many bars a synthetic feed has.")] = 2_016,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", help="Trade this one only; repeat it. Default: the profile's.")
    ] = None,
    profile: Profile = PROFILE_DEFAULT,
    equity_sol: EquitySol = EQUITY_DEFAULT,
    from_: Annotated[str | None, typer.Option("--from", help="Take bars from here: ISO date or time, UTC.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Take bars up to here: ISO date or time, UTC.")] = None,
    conditions: Annotated[
        str, typer.Option("--conditions", help="The state of the chain: ideal, calm, congested, or a file.")
    ] = "ideal",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Where the chance of those conditions begins.")] = 0,
    situations: Situations = "",
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="Keep the journal here.")] = None,
    advice: Advice = None,
    json_to: Annotated[
        str | None,
        typer.Option("--json", metavar="OUT", help="Write the result as JSON to this file; - for standard output."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", "--html", metavar="OUT.html", help="Write a page with plots about it, in one file."),
    ] = None,
) -> None:
    """Trade recorded bars with the engine that paper and live use, and say what it made, cost and risked.

    Decisions are made at a bar's close and filled at the next bar's open; tokens are quoted in SOL.
    """
    to_stdout = json_to == "-"
    with reporting(as_json=to_stdout):
        from trading.execution.conditions import conditions_of
        from trading.runtime.backtest import BacktestSpec, run_backtest

        cut = (instant_ns("from", from_), instant_ns("to", to))
        equity_lamports = lamports_of("equity_sol", equity_sol)
        chain = conditions_of(conditions)
        require_folder(None if to_stdout or json_to is None else Path(json_to), "json")
        require_folder(report, "report")
        with err().status("reading the data"):
            opened = _advised(_opened(data, feed, cycles, cut), advice)
        with _ledger() as ledger, _progress(getattr(opened, "cycles_total", cycles)) as advance:
            spec = BacktestSpec(
                feed=opened,
                profile=profile,
                strategies=tuple(strategy or ()),
                equity_lamports=equity_lamports,
                run_dir=run_dir,
                ledger=ledger,
                who="cli",
                seed=seed,
                conditions=chain,
                profiles_dir=profiles_dir(None),
                situations=situations,
            )
            result = run_backtest(spec, advance)
        document = result.as_json()
        if report is not None:
            write_whole(report, _page(result, opened, run_dir), "report")
        _write_json(document, json_to)
    if to_stdout:
        print_json(document)
    else:
        _show(document, getattr(opened, "summary", None))


def _write_json(document: dict[str, Any], target: str | None) -> None:
    if target is not None and target != "-":
        write_whole(Path(target), json.dumps(document, indent=2, ensure_ascii=False) + "\n", "json")


def _page(result: "BacktestResult", bars: "Feed", run_dir: Path | None) -> str:
    """Return the page about a run, read from where its journal is."""
    from trading.cli.html_report import render
    from trading.runtime.recorded_runs import recorded_run
    from trading.runtime.report import ReportSource, report_of

    if run_dir is None:
        source = ReportSource(result.document["run_id"], result.journal, result.plan, result.kept(), bars)
        return render(report_of(source))
    with recorded_run(str(run_dir)) as run:
        return render(report_of(replace(ReportSource.of(run), bars=bars)))


def _advised(feed: "Feed", advice: str | None) -> "Feed":
    """Return the feed with the advice of a recorded run in it, where one is named."""
    if advice is None:
        return feed
    from trading.feeds.advised import AdvisedFeed
    from trading.runtime.recorded_runs import recorded_advice

    return AdvisedFeed(feed, recorded_advice(advice))


def _opened(data: list[Path] | None, feed: str | None, cycles: int, cut: tuple[int | None, int | None]) -> "Feed":
    from trading.feeds.select import open_feed, parse_feed
    from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket

    if (data is None or not data) == (feed is None):
        msg = "give either --data (bar files) or --feed (synthetic or replay:PATH)"
        raise InvalidInput(msg, field="data")
    if feed is None:
        from trading.feeds.replay import open_replay

        return open_replay(data or (), from_ns=cut[0], to_ns=cut[1])
    spec = parse_feed(feed)
    if spec.kind == "synthetic":
        if cut != (None, None):
            msg = "from and to cut recorded bars; a synthetic feed is cut with --cycles"
            raise InvalidInput(msg, field="from")
        return SyntheticFeed(SyntheticMarket(seed=spec.seed, cycles=cycles))
    if spec.kind == "replay":
        return open_feed(spec, from_ns=cut[0], to_ns=cut[1])
    msg = f"a backtest runs over recorded or generated data, not over {spec.kind!r}"
    raise InvalidInput(msg, field="feed")


@contextmanager
def _ledger() -> "Iterator[TrialLedger]":
    """Open the ledger of trials before the run: one that cannot be counted must not be made."""
    from trading.adapters.trial_ledger import TrialLedger

    ledger = TrialLedger.at(ledger_path())
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def _progress(total: int) -> "Iterator[Callable[[int, int], None]]":
    """Show a bar on a terminal; say nothing elsewhere."""
    console = err()
    columns = (TextColumn("backtest"), BarColumn(), MofNCompleteColumn(), TextColumn("cycles"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("backtest", total=total)
        yield lambda cycles, _bars: progress.update(task, completed=cycles)


def _show(document: dict[str, Any], summary: Any) -> None:
    from trading.strategies.registry import ON_SWAPS

    console = out()
    start, end = document["equity_start_lamports"], document["equity_end_lamports"]
    rows = [
        ("run", document["run_id"]),
        ("feed", str(document["feed"])),
        ("profile, tier", f"{document['profile']}, {document['tier']}"),
        ("conditions, liquidity", f"{document['conditions']['name']}, {document['liquidity']}"),
        ("equity", f"{lamports_text(start)} -> {lamports_text(end)} ({bps_text(document['return_bps'])})"),
        ("holding tokens instead", bps_text(document["benchmarks"]["hold_tokens"]["return_bps"])),
        ("largest drawdown", bps_text(document["max_drawdown_bps"])),
        ("trades, signals", f"{document['trades']:,}, {document['signals']:,}"),
        ("Sharpe a year", number_text(document["sharpe"])),
        ("deflated Sharpe", f"{number_text(document['deflated_sharpe'])} (trials: {document['trials']})"),
        (
            "costs",
            ", ".join(
                f"{name.removesuffix('_lamports')} {lamports_text(value)}" for name, value in document["costs"].items()
            ),
        ),
        (
            "bars",
            f"{document['bars']:,} in {document['engine_seconds']:.2f} s: {document['bars_per_second']:,} a second",
        ),
        ("journal", document["journal_sha256"]),
    ]
    console.print(figures("Backtest", rows))
    strategies = [
        (name, str(each["round_trips"]), bps_text(each["win_rate_bps"]), lamports_text(each["realised_lamports"]))
        for name, each in document["strategies"].items()
    ]
    console.print(listing("Strategies", ("name", "trades", "wins %", "realised"), strategies))
    if summary is not None and (summary.gaps or summary.bars_unquoted):
        text = f"{summary.gaps} gaps with {summary.bars_missing} bars missing (not filled in)"
        console.print(Text(f"data: {text}, {summary.bars_unquoted} bars without a SOL price left out"))
    if summary is not None and summary.swaps:
        text = f"{summary.swaps:,} swaps told, {summary.swaps_left_out:,} left out (dust, legs of routes)"
        console.print(Text(f"data: {text}; no reserves are recorded, so the depth is declared"))
    deaf = [name for name in document["strategies"] if name in ON_SWAPS and not (summary and summary.swaps)]
    if deaf:
        console.print(Text(f"{', '.join(deaf)}: no opinion without swaps, and this feed tells none"))
    console.print(Text(document["conventions"], style="dim"))
