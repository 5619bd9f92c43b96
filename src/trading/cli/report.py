"""``report``: the running desk in a few tables, or everything about one run, in the terminal and as a page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.text import Text

from trading.cli.client import Daemon
from trading.cli.console import (
    amount_text,
    bps_text,
    figures,
    lamports_text,
    listing,
    number_text,
    out,
    print_json,
    reporting,
)
from trading.cli.files import require_folder, write_whole
from trading.cli.options import DataDir, JsonFlag, desks_of
from trading.cli.plots import curve, is_plain
from trading.cli.running import net_table
from trading.cli.trials import ledger_path
from trading.cli.views import desk_table, positions_table

if TYPE_CHECKING:
    from trading.adapters.trial_ledger import Standing


PLOT_WIDTH: Final = 72
PLOT_HEIGHT: Final = 6


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="The --run-dir of a session or backtest, DIR:RUN_ID, or the id of one of the desk's. None: the desk.",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT.html", help="Write a page with plots, whole in one file."),
    ] = None,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the running desk, or a run: equity, drawdown, costs by kind, strategies, tokens, trades.

    A run may be finished or still going on; it is read as far as it is recorded. With -o and without RUN it is the
    newest of the daemon's desk.
    """
    with reporting(as_json=as_json):
        if run is None and page is None:
            _show_desk(data_dir, as_json=as_json)
            return
        from trading.runtime.recorded_runs import recorded_run
        from trading.runtime.report import ReportSource, report_of

        require_folder(page, "output")
        desks = desks_of(data_dir)
        with recorded_run(str(desks[0]) if run is None else run, desks) as recorded:
            document = report_of(ReportSource.of(recorded, _standing(data_dir)))
        if page is not None:
            from trading.cli.html_report import render

            write_whole(page, render(document), "output")
    if as_json:
        print_json(document)
        return
    show_report(document)
    if page is not None:
        out().print(Text(f"the page is in {page}"))


def _standing(data_dir: Path | None) -> "Callable[[str], Standing]":
    """Return how often strategies were tried, by the ledger where there is one."""

    def of(family: str) -> "Standing":
        from trading.adapters.trial_ledger import Standing, TrialLedger

        path = ledger_path(data_dir)
        if not path.is_file():
            return Standing(1, None)
        ledger = TrialLedger.at(path)
        try:
            return ledger.standing(family)
        finally:
            ledger.close()

    return of


def show_report(document: dict[str, Any]) -> None:
    """Print the figures of a report."""
    console = out()
    benchmarks, total = document["benchmarks"], document["total"]
    rows = [
        ("run", f"{document['run_id']} ({document['mode']}, {'finished' if document['is_finished'] else 'going on'})"),
        ("feed", document["feed"]["detail"]),
        ("time (UTC)", f"{document['first'] or '-'} to {document['last'] or '-'}, {document['cycles']:,} cycles"),
        ("profile, tier", f"{document['profile']}, {document['tier']}"),
        ("conditions, liquidity", f"{document['rests_on']['conditions']}, {document['rests_on']['liquidity']}"),
        ("equity", f"{amount_text(document['equity_start'])} -> {amount_text(document['equity_end'])}"),
        ("return, time-weighted", bps_text(document["return_bps"])),
        ("holding SOL instead", f"0.00 % in SOL, {bps_text(benchmarks['hold_sol']['usd_return_bps'])} in USD"),
        ("holding tokens instead", bps_text(benchmarks["hold_tokens"]["return_bps"])),
        ("largest drawdown", bps_text(document["max_drawdown_bps"])),
        (
            "exposure, mean and most",
            f"{bps_text(document['exposure_bps_mean'])}, {bps_text(document['exposure_bps_max'])}",
        ),
        ("Sharpe a year", number_text(document["sharpe"])),
        ("deflated Sharpe", f"{number_text(document['deflated_sharpe'])} (trials: {document['trials']})"),
        ("fills, signals", f"{document['trades']:,}, {document['signals']:,}"),
        ("round trips", f"{total['round_trips']:,}, {bps_text(total['win_rate_bps'])} won"),
        ("time to flat, median and p95", flat_text(document["time_to_flat"])),
    ]
    console.print(figures("Report", rows))
    _plot(document["series"])
    console.print(listing("Costs", ("kind", "SOL", "share %"), costs_rows(document["costs"])))
    console.print(listing("Strategies", *_tallies(document["strategies"], "strategy")))
    if document["tokens"]:
        console.print(listing("Tokens", *_tallies(document["tokens"], "token")))
    console.print(Text(document["rests_on"]["conventions"], style="dim"))


def flat_text(found: dict[str, Any]) -> str:
    """Return how long exits took, from the decision to the final fill, in words."""
    waiting = f"; {found['waiting']:,} still waiting" if found["waiting"] else ""
    if not found["exits"]:
        return f"no exits{waiting}"
    whose = "" if found["clock"] == "wall" else " of the market's time"
    return f"{found['median_s']:,.1f} s, {found['p95_s']:,.1f} s{whose}, {found['exits']:,} exits{waiting}"


def _plot(series: dict[str, Any]) -> None:
    """Draw the equity curve between its lowest and highest value, and the drawdown below it."""
    equity = series["equity_lamports"]
    if len(equity) < 2:
        return
    console = out()
    lines = curve(equity, PLOT_WIDTH, PLOT_HEIGHT, plain=is_plain(console))
    ends = {0: lamports_text(max(equity)), len(lines) - 1: lamports_text(min(equity))}
    console.print(Text("Equity", style="italic"))
    for number, line in enumerate(lines):
        console.print(Text.assemble((line, "cyan"), f"  {ends.get(number, '')}"))
    drawdown = series["drawdown_bps"]
    if any(drawdown):
        console.print(Text("Drawdown", style="italic"))
        for line in curve(drawdown, PLOT_WIDTH, 2, plain=is_plain(console)):
            console.print(Text(line, style="red"))
        console.print(Text(f"the largest: {bps_text(max(drawdown))}"))


def costs_rows(costs: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what was spent by kind, its sum, and the deposit that comes back."""
    rows = [
        (kind, lamports_text(costs[f"{kind}_lamports"]), bps_text(share)) for kind, share in costs["share_bps"].items()
    ]
    rows.append(
        ("spent", lamports_text(costs["total_lamports"]), bps_text(10_000 if costs["total_lamports"] else None))
    )
    rows.append(("rent (deposit)", lamports_text(costs["rent_lamports"]), "comes back"))
    return rows


def _tallies(each: list[dict[str, Any]], name: str) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    columns = (name, "fills", "round trips", "won %", "realised, SOL", "return %", "costs, SOL", "of turnover %")
    rows = [
        (
            str(one["name"]),
            f"{one['fills']:,}",
            f"{one['round_trips']:,}",
            bps_text(one["win_rate_bps"]),
            lamports_text(one["realised_lamports"]),
            bps_text(one["return_bps"]),
            lamports_text(one["costs"]["total_lamports"]),
            bps_text(one["cost_of_turnover_bps"]),
        )
        for one in each
    ]
    return columns, rows


def _show_desk(data_dir: Path | None, *, as_json: bool) -> None:
    daemon = Daemon.find(data_dir)
    snapshot = daemon.get("/telemetry/trading")
    strategies = daemon.get("/strategies")["strategies"]
    if as_json:
        print_json({"snapshot": snapshot, "strategies": strategies})
        return
    console = out()
    console.print(desk_table(snapshot))
    if snapshot.get("running_costs"):
        console.print(net_table(snapshot["running_costs"]))
    if snapshot["positions"]:
        console.print(positions_table(snapshot["positions"]))
    rows = [
        (
            each["name"],
            ("on" if each["in_tier"] else "not in this tier") if each["enabled"] else "off",
            str(each["trades"]),
            bps_text(each["win_rate_bps"]),
            amount_text(each["realised"]),
            share_text(each.get("allocation")),
            window_text(each.get("windows") or []),
        )
        for each in strategies
    ]
    columns = ("name", "is", "trades", "wins %", "realised", "share %", "30 days: trades, a trade %")
    console.print(listing("Strategies", columns, rows))


def share_text(allocation: dict[str, Any] | None) -> str:
    """Return a strategy's share of the capital, and where it is on its way to."""
    if allocation is None:
        return "-"
    share = bps_text(allocation["share_bps"])
    target = allocation.get("target_bps")
    return share if target in (None, allocation["share_bps"]) else f"{share}, to {bps_text(target)}"


def window_text(windows: list[dict[str, Any]]) -> str:
    """Return the longest window: how many trades, and what one brought with its 95 % interval."""
    longest = max(windows, key=lambda each: int(each["days"]), default={"trades": 0})
    if not longest["trades"]:
        return "0"
    interval = ""
    if longest["low_bps"] is not None:
        interval = f" ({bps_text(longest['low_bps'])} to {bps_text(longest['high_bps'])})"
    return f"{longest['trades']}, {bps_text(longest['mean_return_bps'])}{interval}"
