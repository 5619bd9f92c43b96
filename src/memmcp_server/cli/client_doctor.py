"""What is wrong between a client and memMCP: its file, our entry in it, what the entry starts, and the rule file."""

import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from memmcp_server import __version__
from memmcp_server.daemon.places import Places, resolve_data_dir
from memmcp_server.errors import InvalidInput

from . import rule_files
from .careful_file import read
from .client import is_served
from .client_files import KINDS, SERVER_NAME, TOKEN_VARIABLE, ClientKind, default_path, servers_in
from .finding import Finding

HANDSHAKE_TIMEOUT_S = 20.0
HTTP_TIMEOUT_S = 10.0
END_TIMEOUT_S = 2.0
ANSWER_BYTES_MAX = 1 << 20
SAID_CHARS_MAX = 200
PROTOCOL_VERSION = "2025-11-25"
_VARIABLE = re.compile(r"\$\{(?:env:)?(\w+)(?::-[^}]*)?\}")


@dataclass(frozen=True)
class Surroundings:
    """What the doctor looks at. ``may_start``: a daemon that does not run may be started by a handshake."""

    places: Places
    environ: Mapping[str, str]
    project: Path
    may_start: bool = False


def examine_clients(around: Surroundings) -> Iterator[Finding]:
    """Yield what there is to say of each client that has our entry, and once which have not."""
    without = []
    for kind in KINDS.values():
        files = dict.fromkeys([default_path(kind, around.environ, around.project), *_of_project(kind, around.project)])
        entries = []
        for path in files:
            try:
                servers = servers_in(kind, path)
            except InvalidInput as error:
                yield Finding(kind.name, "problem", error.message, error.hint or "mend the file")
                continue
            ours = {name: entry for name, entry in servers.items() if is_ours(name, entry)}
            entries += [(path, name, entry) for name, entry in ours.items()]
        if not entries:
            without.append(kind.name)
            continue
        yield from _one_client(kind, entries, around)
    if without:
        hint = "`memmcp connect NAME` adds it; `--dry-run` shows how"
        yield Finding("clients", "ok", f"without memMCP: {', '.join(without)}", hint)


def is_ours(name: str, entry: Any) -> bool:
    """Return whether the entry starts memMCP, under whatever name."""
    if not isinstance(entry, dict):
        return False
    words = [str(entry.get("command", "")), *map(str, entry.get("args") or [])]
    starts = any(Path(word).stem in ("memmcp", "memmcp-server", "memmcp_server") for word in words)
    return name == SERVER_NAME or starts


def _of_project(kind: ClientKind, project: Path) -> list[Path]:
    name = {"cursor": ".cursor/mcp.json", "vscode": ".vscode/mcp.json", "claude-code": ".mcp.json"}.get(kind.name)
    return [project / name] if name else []


def _one_client(
    kind: ClientKind, entries: list[tuple[Path, str, dict[str, Any]]], around: Surroundings
) -> Iterator[Finding]:
    if len(entries) > 1:
        named = ", ".join(f"{name!r} in {path}" for path, name, _ in entries)
        hint = f"every tool is offered twice: keep one, `memmcp connect {kind.name} --remove --config FILE` the other"
        yield Finding(kind.name, "problem", f"{len(entries)} entries start memMCP: {named}", hint)
    for path, _, entry in entries:
        if "command" in entry:
            yield from _stdio(kind, path, entry, around)
        else:
            yield _url(kind, path, entry, around.environ)
    yield from _rules(kind, around.project)


def _stdio(kind: ClientKind, path: Path, entry: Mapping[str, Any], around: Surroundings) -> Iterator[Finding]:
    again = f"`memmcp connect {kind.name}` writes it anew"
    command, arguments = str(entry["command"]), [str(each) for each in entry.get("args") or []]
    if shutil.which(command, path=around.environ.get("PATH")) is None:
        yield Finding(kind.name, "problem", f"{path} starts {command}, which is not there or cannot be run", again)
        return
    if not Path(command).is_absolute():
        hint = f"a desktop client may have another PATH than this shell: {again}"
        yield Finding(kind.name, "note", f"{path} starts {command!r} without its folder", hint)
    directory = entry_data_dir(entry, around.environ)
    if directory.resolve() != around.places.data_dir.resolve():
        hint = f"two memories: `memmcp connect {kind.name} --data-dir {around.places.data_dir}` joins them"
        text = f"{path} uses the data directory {directory}, this one is {around.places.data_dir}"
        yield Finding(kind.name, "problem", text, hint)
    if not is_served(Places(directory)) and not around.may_start:
        hint = "`memmcp doctor --start` tries the entry, which starts the daemon"
        yield Finding(kind.name, "ok", f"{path} has the entry; no daemon runs, so it was not tried", hint)
        return
    yield _handshake(kind, path, [command, *arguments], _own_environment(entry, around.environ))


def entry_data_dir(entry: Mapping[str, Any], environ: Mapping[str, str]) -> Path:
    """Return the data directory of what the entry starts. A desktop client has no variables of this shell."""
    arguments = [str(each) for each in entry.get("args") or []]
    given = None
    for at, word in enumerate(arguments):
        if word == "--data-dir" and at + 1 < len(arguments):
            given = arguments[at + 1]
        elif word.startswith("--data-dir="):
            given = word.partition("=")[2]
    own = entry.get("env") or {}
    base = {name: value for name, value in environ.items() if name != "MEMMCP_DATA_DIR"}
    return resolve_data_dir(given, {**base, **{name: str(value) for name, value in own.items()}})


def _own_environment(entry: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    base = {name: value for name, value in environ.items() if name != "MEMMCP_DATA_DIR"}
    return {**base, **{name: _resolved(str(value), environ) for name, value in (entry.get("env") or {}).items()}}


def _handshake(kind: ClientKind, path: Path, command: list[str], environ: Mapping[str, str]) -> Finding:
    where = f"{path}: `{' '.join(command)}`"
    try:
        said, complaint = _first_answers(command, environ)
    except OSError as error:
        hint = f"`memmcp connect {kind.name}` writes it anew"
        return Finding(kind.name, "problem", f"{where} cannot be started: {error.strerror or error}", hint)
    if not said:
        text = f"{where} gave no answer within {HANDSHAKE_TIMEOUT_S:g} s"
        return Finding(kind.name, "problem", text, complaint or "`memmcp logs` says what the daemon does")
    server, refused = _understood(said)
    if server is None:
        text = f"{where} does not speak MCP: {said[0][:SAID_CHARS_MAX]!r}"
        return Finding(kind.name, "problem", text, complaint or "`memmcp logs` says why")
    if refused:
        return Finding(kind.name, "problem", f"{where} starts, and its daemon does not answer", refused)
    version = str(server.get("version"))
    if version != __version__:
        hint = f"`memmcp connect {kind.name}` names this installation; `memmcp stop` ends the other's daemon"
        return Finding(kind.name, "note", f"{where} answers as version {version}, this one is {__version__}", hint)
    return Finding(kind.name, "ok", f"{where} answers")


def _understood(said: list[str]) -> tuple[dict[str, Any] | None, str]:
    """Return what the server calls itself, None when it is none, and why its daemon did not answer the ping."""
    try:
        server = json.loads(said[0])["result"]["serverInfo"]
        pong = json.loads(said[1]) if len(said) > 1 else {"error": {"message": "it ended before it answered"}}
        refused = str(pong["error"]["message"]) if "error" in pong else ""
    except (ValueError, KeyError, TypeError):
        return None, ""
    return (server, refused) if isinstance(server, dict) else (None, "")


def _first_answers(command: list[str], environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the lines with which the command answers ``initialize`` and ``ping``, and the last that it complained."""
    with tempfile.TemporaryFile() as complaints:  # not a pipe, which a daemon that was started would keep open
        lines = _asked_over_pipes(command, environ, complaints)
        complaints.seek(0)
        said = complaints.read(ANSWER_BYTES_MAX).decode(errors="replace").strip().splitlines()
    answers = [line.decode(errors="replace").strip() for line in lines]
    return [answer for answer in answers if answer], said[-1][:SAID_CHARS_MAX] if said else ""


def _asked_over_pipes(command: list[str], environ: Mapping[str, str], complaints: IO[bytes]) -> list[bytes]:
    pipe, lines = subprocess.PIPE, []
    # Without buffers: what is left in one would break the pipe once more when it is closed.
    with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=complaints, env=dict(environ)) as process:
        assert process.stdin
        assert process.stdout
        timer = threading.Timer(HANDSHAKE_TIMEOUT_S, process.kill)
        timer.start()
        try:
            # The bridge may answer the first by itself, before there is a daemon; the second is the daemon's.
            initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            for messages in ([_initialize()], [initialized, {"jsonrpc": "2.0", "id": 2, "method": "ping"}]):
                with suppress(BrokenPipeError):  # it ended before it was asked: what it said by itself tells why
                    process.stdin.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
                lines.append(process.stdout.readline(ANSWER_BYTES_MAX))
            process.stdin.close()
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass  # it does not end by itself: what it answered says the rest
        finally:
            timer.cancel()
            process.kill()
    return lines


def _initialize() -> dict[str, Any]:
    who = {"name": "memmcp-doctor", "version": __version__}
    parameters = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": who}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}


def _resolved(text: str, environ: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: environ.get(match.group(1), ""), text)


def _url(kind: ClientKind, path: Path, entry: Mapping[str, Any], environ: Mapping[str, str]) -> Finding:
    url = str(entry.get("url") or entry.get("serverUrl") or "")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        hint = f"`memmcp connect {kind.name}` writes it anew"
        return Finding(kind.name, "problem", f"{path} has an entry with neither a command nor an http URL", hint)
    headers = {str(name): str(value) for name, value in (entry.get("headers") or {}).items()}
    written = headers.get("Authorization", "")
    if entry.get("bearer_token_env_var"):
        written = f"Bearer ${{{entry['bearer_token_env_var']}}}"
    missing = [name for name in _VARIABLE.findall(written) if not environ.get(name)]
    status = _asked(url, _resolved(written, environ))
    if isinstance(status, str):
        hint = "start it with `memmcp serve`, or take stdio, which starts it by itself: `memmcp connect` without --http"
        return Finding(kind.name, "problem", f"{path}: {url} cannot be reached ({status})", hint)
    if status in (401, 403):
        why = f"{', '.join(missing)} is not set here" if missing else "its token is missing, wrong or may not do this"
        hint = f"`memmcp token add` makes one; set {TOKEN_VARIABLE} to it where the client starts"
        return Finding(kind.name, "problem", f"{path}: {url} refuses ({status}): {why}", hint)
    if status != http.client.OK:
        hint = "is it memMCP's /mcp? `memmcp status` prints the address"
        return Finding(kind.name, "problem", f"{path}: {url} answers {status}", hint)
    if written and not _VARIABLE.search(written):
        hint = f"`memmcp connect {kind.name} --http --token` names {TOKEN_VARIABLE} in its place"
        return Finding(kind.name, "note", f"{path}: {url} answers, and a token stands in the file itself", hint)
    return Finding(kind.name, "ok", f"{path}: {url} answers")


def _asked(url: str, authorization: str) -> int | str:
    """Return the status of ``initialize`` sent to the URL, or what went wrong on the way."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=HTTP_TIMEOUT_S)
        try:
            connection.request("POST", parts.path or "/", json.dumps(_initialize()), headers)
            return connection.getresponse().status
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__


def _rules(kind: ClientKind, project: Path) -> Iterator[Finding]:
    if kind.name not in rule_files.FILES:
        return
    path = rule_files.rules_path(kind, project)
    write = f"`memmcp connect {kind.name} --rules --project {project}`"
    try:
        text = read(path)
    except InvalidInput as error:
        yield Finding(f"{kind.name} rules", "problem", error.message, error.hint or "")
        return
    if text is None or not rule_files.has_rules(text):
        said = f"{path} does not tell agents of this project to use the memory"
        yield Finding(f"{kind.name} rules", "ok", said, f"in a project where they should: {write}")
    elif not rule_files.is_current(text):
        yield Finding(f"{kind.name} rules", "note", f"{path} has rules of another version", write)
    else:
        yield Finding(f"{kind.name} rules", "ok", str(path))


def here(places: Places, *, may_start: bool) -> Surroundings:
    """Return the surroundings of this process."""
    return Surroundings(places, os.environ, Path.cwd(), may_start)
