"""update, pin, confirm, restore, history and namespace: what becomes of memories, for the operator at a terminal."""

import json as jsonlib
from typing import Annotated, Any
from urllib.parse import quote

import typer

from memmcp_server.errors import InvalidInput

from .client import found_or_started, places_of
from .console import exit_codes, out, plain, print_json, say, table
from .options import DataDir, Json

MemoryId = Annotated[str, typer.Argument(metavar="ID")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit.")]

namespaces = typer.Typer(no_args_is_help=True, help="Policies of namespaces: who reads and writes, retention, holds.")


def update(
    memory_id: MemoryId,
    content: Annotated[str | None, typer.Option("--content", help="The new text; - reads it from stdin.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All tags from now on; may be repeated.")] = None,
    importance: Annotated[
        int | None, typer.Option("--importance", min=0, max=100, help="0 fades first, 100 matters.")
    ] = None,
    supersedes: Annotated[list[str] | None, typer.Option("--supersedes", help="Ids that are no longer right.")] = None,
    valid_to: Annotated[str | None, typer.Option("--valid-to", help="Until when it held, ISO 8601 with zone.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Change a memory: a new version is added, the ones before stay in its history."""
    text = typer.get_text_stream("stdin").read() if content == "-" else content
    fields = {
        "content": text,
        "tags": tag or None,
        "importance": importance,
        "supersedes": supersedes or None,
        "valid_to": valid_to,
    }
    body = {name: value for name, value in fields.items() if value is not None}
    _changed(memory_id, "update", body, data_dir, json=json)


def pin(
    memory_id: MemoryId,
    off: Annotated[bool, typer.Option("--off", help="Take the pin out.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Pin a memory: it neither expires nor fades nor is merged, and leads every summary."""
    _changed(memory_id, "update", {"pinned": not off}, data_dir, json=json)


def confirm(memory_id: MemoryId, data_dir: DataDir = None, json: Json = False) -> None:
    """Note that a memory was checked and still holds."""
    _changed(memory_id, "update", {"confirm": True}, data_dir, json=json)


def restore(
    memory_id: MemoryId, reason: Reason = "restored by the operator", data_dir: DataDir = None, json: Json = False
) -> None:
    """Make a superseded or merged memory current again."""
    _changed(memory_id, "restore", {"reason": reason}, data_dir, json=json)


def history(memory_id: MemoryId, data_dir: DataDir = None, json: Json = False) -> None:
    """Show every version of a memory."""
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.get(f"/memory/{quote(memory_id, safe='')}/history")
    if json:
        print_json(answer)
        return
    rows = table("version", "known from (UTC)", "until", "by", "content")
    for version in answer["versions"]:
        until = "" if version["superseded_at"] is None else _moment(version["superseded_at"])
        who = plain(version["agent"])
        rows.add_row(str(version["version"]), _moment(version["known_at"]), until, who, plain(version["content"]))
    out().print(rows)


@namespaces.command("list")
def list_namespaces(
    namespace: Annotated[str | None, typer.Argument(help="Also show what holds in this one.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List the policies, and what holds in a namespace."""
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.get("/admin/namespaces", {"namespace": namespace})
    _print_policies(answer, namespace, json=json)


@namespaces.command("set")
def set_namespace(
    namespace: Annotated[str, typer.Argument(help="A namespace, or a subtree such as team/.")],
    reader: Annotated[list[str] | None, typer.Option("--reader", help="Agent that may read; may be repeated.")] = None,
    writer: Annotated[list[str] | None, typer.Option("--writer", help="Agent that may write; may be repeated.")] = None,
    trust: Annotated[str | None, typer.Option("--trust", help="agent or untrusted: given to what is written.")] = None,
    retention_days: Annotated[int | None, typer.Option("--retention-days", help="Forget after so many days.")] = None,
    half_life_days: Annotated[int | None, typer.Option("--half-life-days", help="Fade by half in that time.")] = None,
    merge_cosine: Annotated[float | None, typer.Option("--merge-cosine", help="0 never, else 0.8 to 1.")] = None,
    legal_hold: Annotated[
        bool | None, typer.Option("--legal-hold/--no-legal-hold", help="Nothing is forgotten or changed.")
    ] = None,
    policy: Annotated[str | None, typer.Option("--policy", help="The whole policy as JSON instead.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Set the policy of a namespace or a subtree; it replaces the one before."""
    fields = {
        "readers": reader or None,
        "writers": writer or None,
        "trust": trust,
        "retention_days": retention_days,
        "half_life_days": half_life_days,
        "merge_cosine": merge_cosine,
        "legal_hold": legal_hold,
    }
    said = {name: value for name, value in fields.items() if value is not None}
    with exit_codes():
        wanted = said if policy is None else {**_object(policy), **said}
        with found_or_started(places_of(data_dir)) as daemon:
            answer = daemon.post("/admin/namespaces", {"namespace": namespace, "policy": wanted})
    _print_policies(answer, namespace, json=json)


@namespaces.command("clear")
def clear_namespace(namespace: str, data_dir: DataDir = None, json: Json = False) -> None:
    """Take back the policy of a namespace or a subtree."""
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.post("/admin/namespaces", {"namespace": namespace, "policy": None})
    _print_policies(answer, namespace, json=json)


def _changed(memory_id: str, what: str, body: dict[str, Any], data_dir: Any, *, json: bool) -> None:
    with exit_codes(), found_or_started(places_of(data_dir)) as daemon:
        answer = daemon.post(f"/memory/{quote(memory_id, safe='')}/{what}", body)
    if json:
        print_json(answer)
    else:
        same = " (it was so already)" if answer["duplicate"] else ""
        say(f"{answer['id']}  version {answer['version']}, seq {answer['seq']}{same}")


def _print_policies(answer: dict[str, Any], namespace: str | None, *, json: bool) -> None:
    if json:
        print_json(answer)
        return
    if not answer["policies"]:
        say("no policy is set: everyone reads and writes everywhere but in the runtime's namespaces")
    rows = table("namespace", "policy")
    for name, policy in answer["policies"].items():
        rows.add_row(name, jsonlib.dumps(policy))
    if answer["policies"]:
        out().print(rows)
    if answer["effective"] is not None:
        say(f"in {namespace} holds: {jsonlib.dumps(answer['effective'])}")


def _object(text: str) -> dict[str, Any]:
    try:
        value = jsonlib.loads(text)
    except ValueError as error:
        msg = f"--policy is not JSON: {error}"
        raise InvalidInput(msg, field="policy") from error
    if not isinstance(value, dict):
        msg = "--policy is not a JSON object"
        raise InvalidInput(msg, field="policy")
    return value


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")


def register(app: typer.Typer) -> None:
    for command in (update, pin, confirm, restore, history):
        app.command()(command)
    app.add_typer(namespaces, name="namespace")
