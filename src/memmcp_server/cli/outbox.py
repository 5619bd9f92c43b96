"""outbox: what is still on its way from the journal to a projection, and what is stuck."""

from typing import Annotated

import typer

from .client import find, places_of
from .console import exit_codes, note, out, plain, print_json, say, table
from .options import DataDir, Json

TEXT_SHOWN_MAX = 300

app = typer.Typer(
    help="What waits between the journal and its projections.", invoke_without_command=True, rich_markup_mode=None
)


@app.callback()
def overview(context: typer.Context, data_dir: DataDir = None, json: Json = False) -> None:
    """Show every sink: what waits, what was given up, and how its delivery goes."""
    if context.invoked_subcommand is not None:
        return
    with exit_codes():
        queues = find(places_of(data_dir)).get("/admin/status")["outbox"]
    if json:
        print_json({"outbox": queues})
        return
    rows = table("sink", "waits", "oldest", "dead", "delivered", "delivery")
    for name, queue in queues.items():
        relay = queue["relay"] or {"state": "not here", "last_error": ""}
        said = f"{relay['state']} {relay['last_error']}".rstrip()
        counts = (queue["pending"], f"{queue['oldest_s']:.0f} s", queue["dead"], queue["delivered"])
        rows.add_row(name, *(str(each) for each in counts), plain(said))
    out().print(rows)
    if any(queue["dead"] for queue in queues.values()):
        note("dead entries: memmcp outbox list --dead shows them, memmcp outbox retry tries them again")


@app.command("list")
def list_(
    data_dir: DataDir = None,
    sink: Annotated[str | None, typer.Option(help="Only this sink, such as qdrant.")] = None,
    dead: Annotated[bool | None, typer.Option("--dead/--live", help="Only dead or only live ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 100,
    json: Json = False,
) -> None:
    """List entries, oldest first."""
    with exit_codes():
        answer = find(places_of(data_dir)).get("/admin/outbox", {"sink": sink, "dead": dead, "limit": limit})
    if json:
        print_json(answer)
        return
    if not answer["entries"]:
        say("nothing waits")
        return
    rows = table("id", "sink", "memory", "version", "attempts", "state", "last error, or the text")
    for entry in answer["entries"]:
        state = "dead" if entry["dead"] else "live"
        cells = (entry["id"], entry["sink"], entry["memory_id"], entry["version"], entry["attempts"], state)
        said = entry["last_error"] or entry.get("content", "")
        rows.add_row(*(str(cell) for cell in cells), plain(said[:TEXT_SHOWN_MAX]))
    out().print(rows)


@app.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Default: all dead ones.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make dead entries live again."""
    with exit_codes():
        answer = find(places_of(data_dir)).post("/admin/outbox/retry", {"ids": ids or None})
    print_json(answer) if json else say(f"{answer['count']} entries are tried again")


@app.command()
def drop(entry_id: Annotated[int, typer.Argument(metavar="ID")], data_dir: DataDir = None, json: Json = False) -> None:
    """Give up one entry: the memory stays, this projection of it does not follow.

    What is on its way to the journal (ids beyond 1000000000000) is nowhere else: that memory is given up itself.
    """
    with exit_codes():
        answer = find(places_of(data_dir)).post("/admin/outbox/drop", {"id": entry_id})
    print_json(answer) if json else say(f"entry {entry_id} is dropped")


@app.command()
def refill(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="langfuse, otlp ...")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Queue every memory for a receiver once more: history for one that came later, or that lost what it had."""
    with exit_codes():
        answer = find(places_of(data_dir)).post("/admin/outbox/refill", {"sink": sink})
    print_json(answer) if json else say(f"{answer['count']} entries are on their way to {sink}")
