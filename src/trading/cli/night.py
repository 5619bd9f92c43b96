"""``night``: what happened since you looked last, and what waits for an answer."""

from typing import Annotated, Any

import typer

from trading.cli.client import Daemon
from trading.cli.console import amount_text, figures, listing, out, print_json, reporting
from trading.cli.options import DataDir, JsonFlag, instant_ns
from trading.cli.views import Since
from trading.runtime.documents import iso


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("night")(night)
    app.command("answer")(answer)


def night(since: Since = None, data_dir: DataDir = None, as_json: JsonFlag = False) -> None:
    """Show what happened since then (default: the last 12 hours), and what waits for an answer."""
    with reporting(as_json=as_json):
        since_ns = instant_ns("since", since)
        answer = Daemon.find(data_dir).get("/night", {} if since_ns is None else {"since": iso(since_ns)})
    if as_json:
        print_json(answer)
        return
    console = out()
    before = "unknown" if answer["equity_before"] is None else amount_text(answer["equity_before"])
    now = "unknown" if answer["equity"] is None else amount_text(answer["equity"])
    rows = [
        ("equity", f"{before} then, {now} now"),
        ("trades finished", f"{answer['closed']}, {answer['wins']} brought something"),
        ("realised", amount_text(answer["realised"])),
        ("denials", ", ".join(f"{name} {count}" for name, count in answer["denials"].items()) or "none"),
    ]
    console.print(figures(f"Since {answer['since']} (money: {answer['money']})", rows))
    happened = [(each["ts"], each["kind"], each["text"]) for each in answer["happenings"]]
    if happened:
        console.print(listing("What changed the desk", ("ts", "kind", "what"), happened))
    console.print(waiting_table(answer["waiting"]))
    if answer["is_cut"]:
        console.print("There is more than is told here: ask for a later --since.")


def answer(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="What waits, as `memmcp-trade night` names it.")],
    given: Annotated[str, typer.Argument(metavar="ANSWER", help="One of the answers that it allows.")],
    reason: Annotated[str, typer.Option("--reason", help="What you looked at; kept in the record.")],
    data_dir: DataDir = None,
) -> None:
    """Answer what waits at a desk with real money. On a terminal only."""
    with reporting():
        from trading.signing.terminal import require_terminal

        require_terminal()
        found = Daemon.find(data_dir).answer(item, given, reason)
    out().print(waiting_table(found["waiting"]))


def waiting_table(items: list[dict[str, Any]]) -> Any:
    """Return what waits for a person as a table."""
    rows = [
        (each["id"], each["what"], "\n".join(each["evidence"]), "\n".join(each["answers"]) or "it ends by itself")
        for each in items
    ]
    if not rows:
        return figures("Nothing waits for an answer", [])
    return listing("What waits for an answer", ("item", "what", "evidence", "answers"), rows)
