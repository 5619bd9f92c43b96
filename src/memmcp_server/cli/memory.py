"""write, search and trajectory: what agents do over MCP, for a person at a terminal."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from .client import found_or_started, places_of
from .console import exit_codes, note, out, plain, print_json, say, table
from .options import DataDir, Json

CONTENT_CHARS_MAX = 500

Namespace = Annotated[str | None, typer.Option("--namespace", help="Namespace, such as default or team/desk.")]


def write(
    text: Annotated[str, typer.Argument(help="What to remember; - reads it from stdin.")],
    namespace: Namespace = None,
    kind: Annotated[str | None, typer.Option("--kind", help="note, decision, lesson ... [default: note]")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="May be repeated.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: repeating it changes nothing.")] = None,
    ts: Annotated[str | None, typer.Option("--ts", help="When it happened, ISO 8601 with zone. [default: now]")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Store a memory; it is durable when the command returns."""
    content = typer.get_text_stream("stdin").read() if text == "-" else text
    fields: dict[str, Any] = {
        "content": content,
        "namespace": namespace,
        "kind": kind,
        "tags": tag or None,
        "idempotency_key": key,
        "ts": ts,
        "source": "cli",
    }
    body = {name: value for name, value in fields.items() if value is not None}
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.post("/memory/write", body)
    if json:
        print_json(answer)
    else:
        known = " (known already, nothing was written)" if answer["duplicate"] else ""
        place = f"seq {answer['seq']}" if answer["seq"] is not None else "kept here until the journal's server is back"
        say(f"{answer['id']}  {place}{known}")


def search(
    query: Annotated[str, typer.Argument(help="What to look for, in your own words.")],
    namespace: Namespace = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="May be repeated.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="May be repeated; all must be there.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="ISO 8601 with zone.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="ISO 8601 with zone.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="What was known then, and nothing later.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100)] = 10,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Find memories by meaning and by words, best first."""
    wanted = {
        "query": query,
        "namespace": namespace,
        "kinds": kind,
        "tags": tag,
        "since": since,
        "until": until,
        "as_of": as_of,
        "limit": limit,
    }
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.get("/memory/search", wanted)
    if json:
        print_json(answer)
        return
    if answer.get("note"):
        note(answer["note"])
    if not answer["hits"]:
        say("nothing relevant")
        return
    for hit in answer["hits"]:
        _print_hit(hit)


def _print_hit(hit: dict[str, Any]) -> None:
    console = out()
    when = str(hit["ts"])[:19].replace("T", " ")
    content = hit["content"] if len(hit["content"]) <= CONTENT_CHARS_MAX else f"{hit['content'][:CONTENT_CHARS_MAX]}..."
    console.print(
        f"[bold]{hit['score']:.3f}[/]  {when} UTC  {plain(hit['agent'])}  {hit['namespace']}/{hit['kind']}  "
        f"[dim]{hit['id']}  {plain(hit['why'])}[/]"
    )
    console.print(f"       {plain(content)}")


def trajectory(
    trajectory_id: Annotated[str, typer.Argument(metavar="ID")], data_dir: DataDir = None, json: Json = False
) -> None:
    """Show a trajectory: the ordered steps of a session or a trade, and its outcome."""
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        document = daemon.get(f"/trajectories/{quote(trajectory_id, safe='')}")
        cursor = document.get("next_cursor")
        while cursor is not None:
            page = daemon.get(f"/trajectories/{quote(trajectory_id, safe='')}", {"cursor": cursor})
            document["steps"] += page["steps"]
            cursor = page.get("next_cursor")
        document["next_cursor"] = None
    if json:
        print_json(document)
        return
    outcome = document["outcome"] or "open"
    reward = "" if document["reward"] is None else f", {document['reward']} {document['reward_unit']}"
    say(f"{document['title']}  [{document['kind']}, {document['namespace']}]  {outcome}{reward}")
    rows = table("when (UTC)", "kind", "what")
    for step in document["steps"]:
        rows.add_row(str(step["ts"])[:19].replace("T", " "), step["kind"], plain(step["content"]))
    out().print(rows)


def register(app: typer.Typer) -> None:
    for command in (write, search, trajectory):
        app.command()(command)
