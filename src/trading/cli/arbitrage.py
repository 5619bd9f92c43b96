"""``arbitrage``: how it stands, its trips, what was seen and why not taken, its transfers; what a person says."""

from typing import Annotated, Any, Final

import typer
from rich.text import Text

from trading.cli.client import Daemon
from trading.cli.console import amount_text, figures, listing, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag

app = typer.Typer(help="Trips between an exchange, Solana and an EVM chain (docs/arbitrage.md); paper unless armed.")

Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="How many, newest first.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on after a page; see next_cursor.")]
Reason = Annotated[str, typer.Option("--reason", help="What was looked at; kept in the record.")]
_SEEN: Final = ("from", "to", "why not", "times", "best net, SOL")


def register(parent: typer.Typer) -> None:
    """Add the group of commands."""
    for command in (status, trips, opportunities, transfers, resume, settle):
        app.command(command.__name__)(command)
    app.command("give-up")(give_up)
    parent.add_typer(app, name="arbitrage")


def status(data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Show whether it works, its limits, what lies at each venue, and what was seen in the last 24 hours."""
    with reporting(as_json=as_json):
        view = Daemon.find(data_dir).get("/arbitrage")
    _show_status(view, as_json)


def trips(limit: Limit = 20, cursor: Cursor = None, data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """List trips, newest first, with what the newest did step by step."""
    with reporting(as_json=as_json):
        page = Daemon.find(data_dir).get("/arbitrage/trips", {"limit": limit, "cursor": cursor})
    if as_json:
        print_json(page)
        return
    rows = [
        (
            each["began"],
            each["first"],
            each["second"],
            each["size"]["sol"],
            "hedge-pending" if each["is_hedge_pending"] else each["phase"],
            each["result"]["sol"],
            each["cost"]["sol"],
            str(each["attempts"]),
            each["id"],
        )
        for each in page["trips"]
    ]
    console = out()
    columns = ("began", "from", "to", "size, SOL", "phase", "result, SOL", "cost, SOL", "attempts", "trip")
    console.print(listing("Trips", columns, rows))
    if page["trips"]:
        newest = page["trips"][0]
        steps = [(each["ts"], each["text"]) for each in newest["steps"]]
        console.print(listing(f"The newest, {newest['id']}", ("time", "what happened"), steps))
    _more(page)


def opportunities(limit: Limit = 20, data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """List what was seen between venues, newest first, and why no trip was taken."""
    with reporting(as_json=as_json):
        found = Daemon.find(data_dir).get("/arbitrage/opportunities", {"limit": limit})
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each["ts"],
            each["first"],
            each["second"],
            each["size"]["sol"],
            each["gross"]["sol"],
            each["net"]["sol"],
            each["why_not"] or "taken",
        )
        for each in found["opportunities"]
    ]
    console = out()
    columns = ("time", "from", "to", "size, SOL", "gross, SOL", "net, SOL", "why not")
    console.print(listing("What was seen", columns, rows))
    console.print(listing("In the last 24 hours", _SEEN, _seen_rows(found["day"])))


def transfers(limit: Limit = 20, cursor: Cursor = None, data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """List transfers between venues, newest first, and where each stands."""
    with reporting(as_json=as_json):
        page = Daemon.find(data_dir).get("/arbitrage/transfers", {"limit": limit, "cursor": cursor})
    if as_json:
        print_json(page)
        return
    names = ("planned", "source", "target", "asset", "amount", "received", "state", "changed", "id")
    rows = [tuple(str(each[name]) for name in names) for each in page["transfers"]]
    out().print(listing("Transfers", ("planned", "from", "to", *names[3:]), rows))
    _more(page)


def resume(reason: Reason, data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Let trips be opened again after a halt. No trip may wait for a person still (see settle)."""
    _say({"act": "resume", "reason": reason}, data_dir, as_json)


def settle(
    trip: Annotated[str, typer.Argument(metavar="TRIP", help="A trip that is stuck (see trips).")],
    result_sol: Annotated[str, typer.Option("--result-sol", help="What it came to in SOL, a loss below 0.")],
    reason: Reason,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Close a trip that did not end flat, once what was left is sold by hand."""
    _say({"act": "settle", "id": trip, "result_sol": result_sol, "reason": reason}, data_dir, as_json)


def give_up(
    transfer: Annotated[str, typer.Argument(metavar="TRANSFER", help="A transfer that is late (see transfers).")],
    reason: Reason,
    data_dir: DataDir = None,
    as_json: JsonFlag = False,
) -> None:
    """Book a late transfer as lost. If it comes after all, it is booked again."""
    _say({"act": "give_up", "id": transfer, "reason": reason}, data_dir, as_json)


def _say(body: dict[str, Any], data_dir: DataDir, as_json: bool) -> None:
    with reporting(as_json=as_json):
        view = Daemon.find(data_dir).say("/arbitrage/answer", body)
    _show_status(view, as_json)


def _show_status(view: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    console = out()
    rows = [
        ("state", view["state"] + (f": {why}" if (why := view["problem"] or view["halted"]) else "")),
        ("money", view["arbitrage_money"]),
        ("trips that are not over", f"{view['trips_open']} of at most {view['open_max']}"),
        ("size of a trip", f"at most {amount_text(view['size_max'])}"),
        ("result of the day", f"{amount_text(view['day_result'])}; may lose {amount_text(view['day_loss_max'])}"),
    ]
    console.print(figures("Arbitrage", rows))
    if view["state"] == "off":
        console.print(Text("no pair is configured: TRADING_ARBITRAGE__PAIRS, see docs/arbitrage.md"))
        return
    lying = [
        (each["name"], each["money"]["sol"], each["middle"], str(each["going"]), each["problem"] or "-")
        for each in view["venues"]
    ]
    console.print(listing("What lies where", ("venue", "SOL", "tokens", "transfers coming", "problem"), lying))
    console.print(listing("Seen in the last 24 hours", _SEEN, _seen_rows(view["day"])))
    for each in view["by_hand"]:
        console.print(Text(f"to be moved by hand: {each}"))


def _seen_rows(seen: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (each["first"], each["second"], each["why_not"] or "taken", f"{each['count']:,}", each["net_best"]["sol"])
        for each in seen
    ]


def _more(page: dict[str, Any]) -> None:
    if page.get("next_cursor"):
        out().print(Text(f"more: --cursor {page['next_cursor']}"))
