"""connect: write memMCP into a client's configuration."""

import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from memmcp_server.daemon.finding import read_record

from .client import places_of
from .client_files import KINDS, apply, default_path, http_entry, plan, stdio_entry
from .console import exit_codes, note, print_json, say
from .options import DataDir, Json

DEFAULT_HTTP = "http://127.0.0.1:8765"


class Known(StrEnum):
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    WINDSURF = "windsurf"
    TRAE = "trae"
    VSCODE = "vscode"
    CLAUDE_CODE = "claude-code"


def connect(
    client: Annotated[Known, typer.Argument(help="Whose configuration.", show_choices=True)],
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP instead of stdio.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the file as it would be; change nothing.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="The file. [default: the client's own]")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Add memMCP to a client's configuration: everything else in it stays, and the old file is kept beside it."""
    kind = KINDS[client.value]
    with exit_codes():
        path = (config or default_path(kind, os.environ, Path.cwd())).expanduser().absolute()
        if http:
            record = read_record(places_of(data_dir)) or {}
            entry = http_entry(kind, f"{record.get('http', DEFAULT_HTTP)}/mcp")
        else:
            arguments = ["stdio", *(["--data-dir", str(data_dir.absolute())] if data_dir else [])]
            entry = stdio_entry(kind, own_command(), arguments)
        change = plan(kind, path, entry)
        backup = apply(change) if change.is_needed and not dry_run else None
    if json:
        names = {"client": kind.name, "path": str(path), "changed": change.is_needed and not dry_run}
        print_json({**names, "backup": str(backup) if backup else None, "document": change.document})
    elif dry_run:
        typer.echo(change.text(), nl=False)
        note(f"this is {path} as it would be; nothing was changed")
    elif not change.is_needed:
        say(f"{path} has it already")
    else:
        say(f"{path} now starts memMCP; in {kind.title}: {kind.reload}")
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
