"""connect: write memMCP into a client's configuration, and its rules into a project; take both out again."""

import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from memmcp_server.daemon.finding import read_record
from memmcp_server.errors import InvalidInput

from .careful_file import Change, apply
from .client import places_of
from .client_files import KINDS, ClientKind, cursor_link, default_path, http_entry, plan, stdio_entry
from .console import exit_codes, note, print_json, say
from .options import DataDir, Json
from .rule_files import plan_rules

DEFAULT_HTTP = "http://127.0.0.1:8765"


class Known(StrEnum):
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    WINDSURF = "windsurf"
    TRAE = "trae"
    VSCODE = "vscode"
    CLAUDE_CODE = "claude-code"
    CODEX = "codex"


Http = Annotated[bool, typer.Option("--http", help="Streamable HTTP instead of stdio.")]
Token = Annotated[
    bool, typer.Option("--token", help="With --http: send the token in MEMMCP_TOKEN; the file names the variable only.")
]
Rules = Annotated[
    bool, typer.Option("--rules", help="The project's rule file (how to use the memory), not the configuration.")
]
Project = Annotated[Path | None, typer.Option("--project", help="With --rules: the project. [default: here]")]
Remove = Annotated[bool, typer.Option("--remove", help="Take our entry, or with --rules our rules, out again.")]
Link = Annotated[bool, typer.Option("--link", help="Cursor only: print a link that installs it; change nothing.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]


def connect(
    client: Annotated[Known, typer.Argument(help="Whose configuration.", show_choices=True)],
    http: Http = False,
    token: Token = False,
    rules: Rules = False,
    project: Project = None,
    remove: Remove = False,
    link: Link = False,
    dry_run: DryRun = False,
    config: Annotated[Path | None, typer.Option("--config", help="The file. [default: the client's own]")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Add memMCP to a client's configuration: everything else in it stays, and the old file is kept beside it."""
    kind = KINDS[client.value]
    with exit_codes():
        _refuse_contradictions(kind, token=token and not http, project=project and not rules, link=link)
        entry = _entry(kind, data_dir, http=http, token=token)
        if link:
            _print_link(entry, json=json)
            return
        if rules:
            change = plan_rules(kind, (project or Path.cwd()).expanduser().absolute(), remove=remove)
        else:
            path = (config or default_path(kind, os.environ, Path.cwd())).expanduser().absolute()
            change = plan(kind, path, None if remove else entry)
        backup = apply(change) if change.is_needed and not dry_run else None
    if json:
        done = {"client": kind.name, "path": str(change.path), "changed": change.is_needed and not dry_run}
        shown = {"backup": str(backup) if backup else None, "diff": change.diff()}
        print_json({**done, **shown, "entry": None if remove or rules else entry})
    else:
        _tell(kind, change, backup, dry_run=dry_run, rules=rules, remove=remove)


def _refuse_contradictions(kind: ClientKind, *, token: bool, project: object, link: bool) -> None:
    if token:
        raise InvalidInput("--token is for HTTP", field="--token", hint="add --http, or leave --token out")
    if project:
        raise InvalidInput("--project is for rule files", field="--project", hint="add --rules")
    if link and kind.name != "cursor":
        msg = f"there is no link for {kind.title}"
        raise InvalidInput(msg, field="--link", hint=f"`memmcp connect {kind.name}` writes its configuration")


def _entry(kind: ClientKind, data_dir: Path | None, *, http: bool, token: bool) -> dict[str, Any]:
    if http:
        record = read_record(places_of(data_dir)) or {}
        return http_entry(kind, f"{record.get('http', DEFAULT_HTTP)}/mcp", with_token=token)
    arguments = ["stdio", *(["--data-dir", str(data_dir.absolute())] if data_dir else [])]
    return stdio_entry(kind, own_command(), arguments)


def _print_link(entry: dict[str, Any], *, json: bool) -> None:
    url = cursor_link(entry)
    if json:
        print_json({"link": url, "entry": entry})
    else:
        typer.echo(url)
        note("open it in a browser on this machine; Cursor then asks whether to install the server")


def _tell(kind: ClientKind, change: Change, backup: Path | None, *, dry_run: bool, rules: bool, remove: bool) -> None:
    if not change.is_needed:
        say(f"{change.path} has nothing of memMCP" if remove else f"{change.path} has it already")
        return
    typer.echo(change.diff())
    if dry_run:
        note(f"this would change {change.path}; nothing was changed")
        return
    if remove:
        text = "is gone, since nothing else was in it" if change.after is None else "is free of memMCP"
        say(f"{change.path} {text}; in {kind.title}: {kind.reload}")
    elif rules:
        say(f"{change.path} tells {kind.title} how to use the memory")
    else:
        say(f"{change.path} now starts memMCP; in {kind.title}: {kind.reload}")
    if backup:
        note(f"the file as it was: {backup}")


def own_command() -> str:
    """Return this installation's ``memmcp``: a desktop client knows no virtual environment and no PATH of a shell."""
    beside = Path(sys.executable).parent / ("memmcp.exe" if sys.platform == "win32" else "memmcp")
    if beside.exists():
        return str(beside)
    return shutil.which("memmcp") or "memmcp"


def register(app: typer.Typer) -> None:
    app.command()(connect)
