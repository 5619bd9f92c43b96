"""forget and audit: take memories out for good, and see what was done."""

import json as jsonlib
import sys
from typing import Annotated, Any

import typer

from memmcp_server.errors import InvalidInput

from .client import LONG_TIMEOUT_S, Client, Failed, found_or_started, places_of
from .console import EXIT_FAILED, exit_codes, note, out, plain, print_json, say, table
from .options import DataDir, Json

REASON = "asked for by the operator"
IDS_MAX = 256


def forget(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Memories; or give a filter.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="All of one; a/ means all below a.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="May be repeated: any of them.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="May be repeated: all of them.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Last written by this agent.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Happened at or after, ISO 8601 with zone.")] = None,
    before: Annotated[str | None, typer.Option("--before", help="Happened before, ISO 8601 with zone.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the audit for ever.")] = REASON,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Forget memories for good: every version, in journal, index and their files. It cannot be undone."""
    fields = {
        "namespace": namespace,
        "kinds": kind or None,
        "tags": tag or None,
        "agent": agent,
        "since": since,
        "until": before,
    }
    where = {name: value for name, value in fields.items() if value is not None}
    with exit_codes():
        _check_subject(ids or [], where)
        with found_or_started(places_of(data_dir)) as daemon:
            answer = _by_filter(daemon, where, reason, yes=yes, json=json) if where else None
            if ids:
                _confirm(f"forget {len(ids)} memories for good?", yes=yes)
                answer = daemon.post("/memory/forget", {"ids": ids, "reason": reason}, LONG_TIMEOUT_S)
    if answer is None:
        return
    if json:
        print_json(answer)
    else:
        _print_forgotten(answer)
    if answer["proof"]["state"] == "residues":
        raise typer.Exit(EXIT_FAILED)


def _check_subject(ids: list[str], where: dict[str, Any]) -> None:
    if bool(ids) == bool(where):
        msg = "give the ids of memories, or a filter such as --namespace, not " + ("both" if ids else "nothing")
        raise InvalidInput(msg, field="ID", hint="memmcp forget ID..., or memmcp forget --namespace team --kind note")
    if len(ids) > IDS_MAX:
        msg = f"{len(ids)} ids at once; at most {IDS_MAX} are allowed"
        raise InvalidInput(msg, field="ID", hint="use a filter, or several rounds")


def _by_filter(daemon: Client, where: dict[str, Any], reason: str, *, yes: bool, json: bool) -> dict[str, Any] | None:
    """Preview and, when the person agrees, order; None when there is nothing to forget."""
    preview = daemon.post("/memory/forget", {"filter": where, "reason": reason}, LONG_TIMEOUT_S)
    if not json:
        _print_preview(preview)
    if not preview["count"]:
        if json:
            print_json(preview)
        return None
    _confirm(f"forget these {preview['count']} memories for good?", yes=yes)
    order = {"filter": where, "preview_id": preview["preview"]["preview_id"], "reason": reason}
    answer: dict[str, Any] = daemon.post("/memory/forget", order, LONG_TIMEOUT_S)
    return answer


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        msg = "nothing was forgotten: there is nobody to ask"
        raise Failed(msg, hint="--yes forgets without asking")
    if not typer.confirm(question, err=True):
        msg = "nothing was forgotten"
        raise Failed(msg)


def _print_preview(answer: dict[str, Any]) -> None:
    preview = answer["preview"]
    rows = table("what", "how many")
    rows.add_row("would be forgotten", str(answer["count"]))
    for name, label in (("steps", "steps of trajectories among them"), ("pinned", "pinned ones among them")):
        if preview[name]:
            rows.add_row(label, str(preview[name]))
    for title in ("namespaces", "kinds"):
        for name, count in preview[title].items():
            rows.add_row(f"  {title[:-1]} {name}", str(count))
    if preview["held"]:
        rows.add_row("stay under legal hold", str(preview["held"]))
    if preview["oldest"] is not None:
        rows.add_row("from", str(preview["oldest"])[:19].replace("T", " "))
        rows.add_row("to", str(preview["newest"])[:19].replace("T", " "))
    out().print(rows)
    if not preview["complete"]:
        note("more meet the filter than one order takes: run the command again after this one")


def _print_forgotten(answer: dict[str, Any]) -> None:
    already = f", {answer['already']} had been before" if answer["already"] else ""
    proof = answer["proof"]
    say(f"{answer['count']} forgotten{already}; files: {proof['state']}")
    for part in ("journal", "index"):
        figures = proof[part]
        if figures is not None:
            say(
                f"  {part}: {', '.join(figures['steps'])}; {figures['files']} files, {figures['bytes_read']:,} bytes "
                f"searched for {figures['windows']} pieces, {figures['residues']} found"
            )
            if figures.get("note"):
                say(f"    {figures['note']}")
    if proof["waits_for"]:
        note(f"still to come: {proof['waits_for']}; memmcp audit --action purge shows when it is done")
    for path in proof["copies"]:
        note(f"a copy that may hold it, to be deleted by you: {path}")
    note(f"Langfuse: {proof['langfuse']}")


def audit(
    action: Annotated[
        str | None, typer.Option("--action", help="forget, purge, merge, policy, backup, desk ...")
    ] = None,
    memory_id: Annotated[str | None, typer.Option("--id", help="Of one memory, with what proves it gone.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 50,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what was done to memories and asked of the desk, newest first. It never holds what they said."""
    wanted = {"action": action, "id": memory_id, "limit": limit}
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.get("/memory/audit", wanted)
    if json:
        print_json(answer)
        return
    if not answer["entries"]:
        say("nothing was done")
        return
    rows = table("seq", "when (UTC)", "action", "memory", "namespace", "by", "reason", "detail")
    for entry in answer["entries"]:
        when = str(entry["at"])[:19].replace("T", " ")
        about = (entry["id"] or "", entry["namespace"] or "")
        said = (entry["agent"], entry["reason"], jsonlib.dumps(entry["detail"], ensure_ascii=False))
        rows.add_row(str(entry["seq"]), when, entry["action"], *map(plain, (*about, *said)))
    out().print(rows)


def register(app: typer.Typer) -> None:
    app.command()(forget)
    app.command()(audit)
