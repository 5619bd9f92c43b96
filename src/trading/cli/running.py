"""``costs``: what running the desk takes, beside what trading brings."""

from typing import Annotated, Any

import typer
from rich.text import Text

from trading.cli.client import Daemon
from trading.cli.console import amount_text, figures, listing, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("costs")(costs)


def costs(
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="So many of the newest days.")] = 14,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Show calls, credits, 429s, plans and the model by day, what they cost, and the result net of all of it."""
    with reporting(as_json=as_json):
        answer = Daemon.find(data_dir).get("/costs", {"days": days})
    if as_json:
        print_json(answer)
        return
    console, running = out(), answer["running"]
    if running is None:
        console.print(Text("nobody counts running costs in this daemon"))
        return
    console.print(net_table(running))
    endpoints = [
        (
            each["name"],
            *(f"{each[name]:,}" for name in ("calls", "credits", "limited", "failed", "withheld")),
            "unknown" if each["usd"] is None else each["usd"],
        )
        for each in running["endpoints"]
    ]
    columns = ("endpoint", "calls", "credits", "429", "failed", "withheld", "USD")
    console.print(listing(f"Endpoints since {running['since']}", columns, endpoints))
    plans = [(each["name"], each["usd_a_month"], each["usd"]) for each in running["plans"]]
    if plans:
        console.print(listing("Plans", ("plan", "USD a month", "USD so far"), plans))
    rows = [
        (
            each["day"],
            *(f"{each[name]:,}" for name in ("calls", "credits", "limited", "model_calls", "model_tokens")),
            each["model_usd"],
            sum_text(each),
        )
        for each in answer["days"]
    ]
    heads = ("day (UTC)", "calls", "credits", "429", "model calls", "tokens", "model USD", "all, USD")
    console.print(listing("Days", heads, rows))


def net_table(running: dict[str, Any]) -> Any:
    """Return a wire.RunningCosts as a table: the result of trading, what running took, and what is left."""
    net = running["net"]
    rows = [
        ("trading", f"{amount_text(net['trading'])}, costs on chain of {amount_text(net['on_chain'])} taken off"),
        ("running", f"{sum_text(running['total'])} USD since {running['since']}, {sum_text(running['today'])} today"),
        ("net", "not known" if net["net"] is None else amount_text(net["net"])),
    ]
    if net["unknown"]:
        rows.append(("without a price", f"{', '.join(net['unknown'])}: the true net is lower (TRADING_COSTS__...)"))
    return figures("Result, net of running costs", rows)


def sum_text(priced: dict[str, Any]) -> str:
    """Return a sum in USD; one with something unknown in it is the least that it was."""
    return priced["usd"] if priced["is_complete"] else f"at least {priced['usd']}"
