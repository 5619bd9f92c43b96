"""The configuration files of MCP clients: where each lies, what it wants to read, and how to change it with care."""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memmcp_server.errors import InvalidInput

SERVER_NAME = "memmcp"
FILE_BYTES_MAX = 8 * 1024 * 1024
NO_HTTP_HINT = "leave --http out: over stdio every client shares the same daemon"


@dataclass(frozen=True)
class ClientKind:
    """One client. ``section`` is the object that holds its servers; ``url_key`` None: no HTTP in the file."""

    name: str
    title: str
    section: str
    url_key: str | None
    typed: bool
    reload: str


KINDS = {
    kind.name: kind
    for kind in (
        ClientKind("claude-desktop", "Claude Desktop", "mcpServers", None, False, "quit it fully and open it again"),
        ClientKind("cursor", "Cursor", "mcpServers", "url", False, "it reloads by itself"),
        ClientKind("windsurf", "Windsurf", "mcpServers", "serverUrl", False, "press refresh in its MCP settings"),
        ClientKind("trae", "Trae", "mcpServers", "url", False, "open its MCP settings and check that it is listed"),
        ClientKind("vscode", "VS Code", "servers", "url", True, "it offers to start the server"),
        ClientKind("claude-code", "Claude Code", "mcpServers", "url", True, "start a new session"),
    )
}


def default_path(kind: ClientKind, environ: Mapping[str, str], cwd: Path, platform: str = sys.platform) -> Path:
    """Return the file that the client reads for all projects (Trae documents a project's file only)."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    if platform == "darwin":
        applications = home / "Library" / "Application Support"
    elif platform == "win32":
        applications = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
    else:
        applications = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return {
        "claude-desktop": applications / "Claude" / "claude_desktop_config.json",
        "cursor": home / ".cursor" / "mcp.json",
        "windsurf": home / ".codeium" / "windsurf" / "mcp_config.json",
        "trae": cwd / ".trae" / "mcp.json",
        "vscode": applications / "Code" / "User" / "mcp.json",
        "claude-code": home / ".claude.json",
    }[kind.name]


def stdio_entry(kind: ClientKind, command: str, arguments: list[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "stdio"} if kind.typed else {}
    return {**entry, "command": command, "args": arguments}


def http_entry(kind: ClientKind, url: str) -> dict[str, Any]:
    """Return the entry for Streamable HTTP. Raises: InvalidInput when the client's file cannot say that."""
    if kind.url_key is None:
        msg = f"{kind.title} takes stdio servers only in its file"
        raise InvalidInput(msg, field="--http", hint=NO_HTTP_HINT)
    entry: dict[str, Any] = {"type": "http"} if kind.typed else {}
    return {**entry, kind.url_key: url}


@dataclass(frozen=True)
class Change:
    """What would be written. ``is_needed`` False: the file says it already."""

    path: Path
    document: dict[str, Any]
    is_needed: bool
    existed: bool

    def text(self) -> str:
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"


def plan(kind: ClientKind, path: Path, entry: Mapping[str, Any]) -> Change:
    """Return the file with our entry and everything else as it is.

    Raises: InvalidInput when the file is not JSON, so that nothing of it would be lost.
    """
    document = _read(kind, path)
    existed = document is not None
    document = document or {}
    servers = document.get(kind.section, {})
    if not isinstance(servers, dict):
        msg = f"{path}: {kind.section!r} is not an object"
        raise InvalidInput(msg, field="--config", hint="mend it by hand, or name another file")
    before = servers.get(SERVER_NAME)
    # Settings that the person added to our entry, such as env or disabled tools, stay.
    kept = {name: value for name, value in before.items() if name not in _OURS} if isinstance(before, dict) else {}
    after = {**entry, **kept}
    changed = {**document, kind.section: {**servers, SERVER_NAME: after}}
    return Change(path, changed, is_needed=before != after, existed=existed)


_OURS = frozenset({"type", "command", "args", "url", "serverUrl"})


def _read(kind: ClientKind, path: Path) -> dict[str, Any] | None:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise InvalidInput(msg, field="--config") from error
    if len(raw) > FILE_BYTES_MAX:
        msg = f"{path} is larger than {FILE_BYTES_MAX} bytes"
        raise InvalidInput(msg, field="--config")
    if not raw.strip():
        return {}
    try:
        document = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        msg = f"{path} is not plain JSON ({error}), so it is left alone"
        hint = f"mend it (comments are not JSON), or add by hand what --dry-run prints under {kind.section!r}"
        raise InvalidInput(msg, field="--config", hint=hint) from error
    if not isinstance(document, dict):
        msg = f"{path} is not a JSON object, so it is left alone"
        raise InvalidInput(msg, field="--config")
    return document


def apply(change: Change) -> Path | None:
    """Write the file in one step, keeping its mode; return the back-up of what was there. Raises: InvalidInput."""
    # A file that is a link into somebody's dotfiles stays one.
    path = change.path.resolve()
    draft = path.with_name(f"{path.name}.memmcp-{os.getpid()}")
    backup: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600
        if change.existed:
            mode = path.stat().st_mode & 0o777
            backup = _free_name(path)
            _write(backup, path.read_bytes(), mode)
        _write(draft, change.text().encode(), mode)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise InvalidInput(msg, field="--config", hint="nothing was changed") from error
    return backup


def _free_name(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    candidate = path.with_name(f"{path.name}.{stamp}.bak")
    number = 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{stamp}-{number}.bak")
    return candidate


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)
