"""trajectories and summary: what there is, for a person at a terminal."""

from typing import Annotated, Any

import typer

from .client import found_or_started, places_of
from .console import exit_codes, note, out, plain, print_json, say, table
from .options import DataDir, Json

TITLE_CHARS_MAX = 80

Namespace = Annotated[str | None, typer.Option("--namespace", help="Exact, or all below a/ when it ends in '/'.")]
Kind = Annotated[str | None, typer.Option("--kind", help="Only this kind.")]


def trajectories(
    namespace: Namespace = None,
    kind: Kind = None,
    is_open: Annotated[
        bool | None, typer.Option("--open/--closed", help="Only open ones, or only closed ones. [default: both]")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200)] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="next_cursor of the page before.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List trajectories, newest first: sessions, tasks and trades with what came of them."""
    wanted = {
        "namespace": namespace,
        "kind": kind,
        "open": is_open,
        "limit": limit,
        "cursor": cursor,
    }
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        page = daemon.get("/trajectories", wanted)
    if json:
        print_json(page)
        return
    if not page["trajectories"]:
        say("no trajectories")
        return
    for each in page["trajectories"]:
        _print_trajectory(each)
    if page["next_cursor"]:
        note(f"there are more: --cursor {page['next_cursor']}")


def summary(
    namespace: Namespace = None,
    kind: Kind = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only what this agent wrote.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="ISO 8601 with zone.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="ISO 8601 with zone.")] = None,
    by: Annotated[str, typer.Option("--by", help="kind, agent, namespace or strategy.")] = "kind",
    limit: Annotated[int, typer.Option("--limit", min=1, max=50)] = 5,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say what the memory holds: counts, what weighs most, the newest, and digests that went stale."""
    wanted = {
        "namespace": namespace,
        "kind": kind,
        "agent": agent,
        "since": since,
        "until": until,
        "by": by,
        "limit": limit,
    }
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.get("/memory/summary", wanted)
    if json:
        print_json(answer)
        return
    say(f"{answer['total']} memories")
    counts = table(answer["by"], "count", "newest (UTC)")
    for count in answer["counts"]:
        counts.add_row(plain(count["name"] or "(not said)"), str(count["count"]), _when(count["newest"]))
    out().print(counts)
    if answer["groups_left_out"]:
        note("there are more groups; narrow it by namespace, kind or agent")
    for name in ("highlights", "newest", "digests"):
        _print_briefs(name, answer[name])


def _print_trajectory(each: dict[str, Any]) -> None:
    """Print it as lines: a table would fold the id, which is there to be copied."""
    title = each["title"] if len(each["title"]) <= TITLE_CHARS_MAX else f"{each['title'][:TITLE_CHARS_MAX]}..."
    steps = f"{each['steps_total']} step{'' if each['steps_total'] == 1 else 's'}"
    where = f"{each['namespace']}/{each['kind']}"
    out().print(f"{_when(each['opened_at'])}  {where}  [bold]{plain(title)}[/]  {steps}  {plain(_outcome(each))}")
    out().print(f"       [dim]{plain(each['id'])}[/]")


def _print_briefs(name: str, briefs: list[dict[str, Any]]) -> None:
    if not briefs:
        return
    console = out()
    console.print(f"\n[bold]{name}[/]")
    for brief in briefs:
        where = f"{brief['namespace']}/{brief['kind']}"
        console.print(f"  {_when(brief['ts'])}  {where}  {plain(brief['text'])}  [dim]{plain(brief['id'])}[/]")
        for reason in brief["stale"] or ():
            console.print(f"    [yellow]stale:[/] {plain(reason)}")


def _outcome(document: dict[str, Any]) -> str:
    if document["outcome"] is None:
        return "open"
    reward = "" if document["reward"] is None else f", {document['reward']} {document['reward_unit']}".rstrip()
    return f"{document['outcome']}{reward}"


def _when(moment: str) -> str:
    return str(moment)[:19].replace("T", " ")


def register(app: typer.Typer) -> None:
    for command in (trajectories, summary):
        app.command()(command)
