"""task: put work before the connected agents, and see what came of it."""

from typing import Annotated, Any

import typer

from .client import find, found_or_started, places_of
from .console import exit_codes, out, plain, print_json, say, table
from .options import DataDir, Json

app = typer.Typer(help="Work that is asked of the connected agents.", no_args_is_help=True, rich_markup_mode=None)


@app.command("file")
def file_(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What is to be done, on one line.")],
    text: Annotated[str, typer.Option("--text", help="What to look at, and what answer is wanted.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="review_loss, propose_rebalance, judge_launch ...")] = "task",
    context: Annotated[list[str] | None, typer.Option("--context", help="Id of a memory it is about.")] = None,
    priority: Annotated[int, typer.Option(min=0, max=100, help="The highest is offered first.")] = 50,
    lease_s: Annotated[int, typer.Option("--lease", min=1, help="Seconds that a claim holds.")] = 900,
    claim_within_s: Annotated[
        int, typer.Option("--claim-within", min=1, help="Seconds; unclaimed after that, you are told.")
    ] = 3_600,
    key: Annotated[str | None, typer.Option("--key", help="Idempotency key: a repeat files nothing new.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """File a task; any connected agent may claim and answer it."""
    body: dict[str, Any] = {
        "title": title,
        "text": text,
        "kind": kind,
        "context": context or [],
        "priority": priority,
        "lease_s": lease_s,
        "claim_within_s": claim_within_s,
        **({"idempotency_key": key} if key else {}),
    }
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        told = daemon.post("/tasks", body)
    print_json(told) if json else say(
        f"task {told['task']['id']} {'is there already' if told['duplicate'] else 'waits'}"
    )


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="open, claimed, done, failed, expired or cancelled.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 50,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List tasks: those of a state, else all, newest change first."""
    with exit_codes():
        told = find(places_of(data_dir)).get("/tasks", {"state": state, "kind": kind, "limit": limit})
    if json:
        print_json(told)
        return
    if not told["tasks"]:
        say("no tasks")
        return
    rows = table("id", "kind", "state", "held by", "title")
    for task in told["tasks"]:
        state_shown = "open, overdue" if task["overdue"] else task["state"]
        rows.add_row(task["id"], task["kind"], state_shown, plain(task["claimed_by"] or ""), plain(task["title"]))
    out().print(rows)


@app.command()
def show(
    task_id: Annotated[str, typer.Argument(metavar="ID")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show a task with the memories it is about and its answer."""
    with exit_codes():
        task = find(places_of(data_dir)).get(f"/tasks/{task_id}")
    if json:
        print_json(task)
        return
    rows = table("", "")
    for name in ("kind", "state", "title", "text", "filed_by", "claimed_by", "lease_until", "note"):
        if task.get(name):
            rows.add_row(name, plain(str(task[name])))
    for memory in task["context"]:
        rows.add_row("about", f"{memory['id']} {plain(memory['text'])}")
    if task["result"]:
        rows.add_row("answer", plain(task["result"]["text"]))
    out().print(rows)


@app.command()
def cancel(
    task_id: Annotated[str, typer.Argument(metavar="ID")],
    reason: Annotated[str, typer.Option(help="Why; kept with the task.")] = "not needed any more",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Take a task back."""
    with exit_codes():
        told = find(places_of(data_dir)).post(f"/tasks/{task_id}/cancel", {"reason": reason})
    print_json(told) if json else say(f"task {task_id} is cancelled")
