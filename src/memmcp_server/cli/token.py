"""token: named tokens for agents that come over HTTP, each with what it may do."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from memmcp_server.adapters.token_file import NamedToken, TokenFile
from memmcp_server.domain.times import NS_PER_S
from memmcp_server.errors import InvalidInput

from .client import places_of
from .console import exit_codes, note, out, print_json, say, table
from .options import DataDir, Json

app = typer.Typer(
    help="Tokens for agents over HTTP, each with its scopes.", no_args_is_help=True, rich_markup_mode=None
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
OutFile = Annotated[
    Path | None, typer.Option("--out", help="Write the token to this new file (0600) in the place of showing it.")
]


@app.command()
def add(
    name: NameArgument,
    scope: Annotated[
        list[str], typer.Option("--scope", help="memory:read, memory:write, trade:paper, trade:live or admin.")
    ],
    agent: Annotated[str, typer.Option(help="Whoever shows it is this agent, whatever name it gives.")] = "",
    days: Annotated[int, typer.Option(min=0, help="0: it does not expire.")] = 0,
    out_file: OutFile = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make a token; it is shown this once, and the daemon knows it at once."""
    with exit_codes(), _destination(out_file) as keep:
        token = _file(data_dir).add(name, scope, agent, days)
        keep(token)
    _tell(name, token, out_file, as_json=json)


@app.command("list")
def list_(data_dir: DataDir = None, json: Json = False) -> None:
    """List tokens: names, scopes and times, never the tokens themselves."""
    with exit_codes():
        found = [_shown(each) for each in _file(data_dir).listed()]
    if json:
        print_json({"tokens": found})
        return
    if not found:
        say("no tokens: over loopback everybody on this machine is let in as an agent")
        return
    rows = table("name", "scopes", "agent", "made", "expires")
    for each in found:
        until = each["expires_at"] or "never"
        rows.add_row(each["name"], " ".join(each["scopes"]), each["agent"], each["created_at"], until)
    out().print(rows)


@app.command()
def rotate(
    name: NameArgument,
    grace_s: Annotated[int, typer.Option("--grace", min=0, help="Seconds that the old one still works.")] = 0,
    out_file: OutFile = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Replace a token by a new one with the same scopes."""
    with exit_codes(), _destination(out_file) as keep:
        token = _file(data_dir).rotate(name, grace_s)
        keep(token)
    _tell(name, token, out_file, as_json=json)


@app.command()
def remove(name: NameArgument, data_dir: DataDir = None, json: Json = False) -> None:
    """Take a token away; it opens nothing from now on."""
    with exit_codes():
        _file(data_dir).remove(name)
    print_json({"removed": name}) if json else say(f"token {name} is removed")


def _file(data_dir: Path | None) -> TokenFile:
    return TokenFile(places_of(data_dir).data_dir, time.time_ns)


@contextmanager
def _destination(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Make room for a token before there is one: a token that cannot be kept would be lost. Raises: InvalidInput."""
    if path is None:
        yield lambda _token: None
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        msg = f"{path} cannot be made: {error.strerror or error}"
        raise InvalidInput(msg, field="--out", hint="name a file that does not exist yet") from error
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            yield lambda token: (file.write(token + "\n"), None)[1]
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _tell(name: str, token: str, path: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "file": str(path)} if path is not None else {"name": name, "token": token})
    elif path is not None:
        say(f"token {name} is in {path}")
    else:
        note("Shown this once. Send it as: Authorization: Bearer TOKEN")
        say(token)


def _shown(token: NamedToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": list(token.scopes),
        "agent": token.agent,
        "created_at": _moment(token.created_ns),
        "expires_at": _moment(token.expires_ns) if token.expires_ns else None,
    }


def _moment(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).isoformat()
