"""The configuration files of MCP clients: where each lies, what it wants to read, and how our entry gets in and out."""

import base64
import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from memmcp_server.errors import InvalidInput

from . import jsonc, toml_table
from .careful_file import BOM, Change, read

SERVER_NAME = "memmcp"
TOKEN_VARIABLE = "MEMMCP_TOKEN"  # noqa: S105 - the name of a variable
NO_HTTP_HINT = "leave --http out: over stdio every client shares the same daemon"
SECRET_CHARS_MIN = 4


@dataclass(frozen=True)
class ClientKind:
    """One client. ``section`` is the object that holds its servers; ``url_key`` None: no HTTP in the file.

    ``token`` is how its file names an environment variable; None: it is not known to read one.
    """

    name: str
    title: str
    section: str
    url_key: str | None
    typed: bool
    reload: str
    token: str | None = None
    form: Literal["json", "toml"] = "json"


_ENV = f"${{env:{TOKEN_VARIABLE}}}"
KINDS = {
    kind.name: kind
    for kind in (
        ClientKind("claude-desktop", "Claude Desktop", "mcpServers", None, False, "quit it fully and open it again"),
        ClientKind("cursor", "Cursor", "mcpServers", "url", False, "it reloads by itself", _ENV),
        ClientKind("windsurf", "Windsurf", "mcpServers", "serverUrl", False, "press refresh in its MCP settings", _ENV),
        ClientKind("trae", "Trae", "mcpServers", "url", False, "open its MCP settings and check that it is listed"),
        ClientKind("vscode", "VS Code", "servers", "url", True, "it offers to start the server", _ENV),
        ClientKind(
            "claude-code", "Claude Code", "mcpServers", "url", True, "start a new session", f"${{{TOKEN_VARIABLE}}}"
        ),
        ClientKind("codex", "Codex", "mcp_servers", "url", False, "start a new session", TOKEN_VARIABLE, "toml"),
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
        "codex": Path(environ.get("CODEX_HOME") or home / ".codex") / "config.toml",
    }[kind.name]


def stdio_entry(kind: ClientKind, command: str, arguments: list[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "stdio"} if kind.typed else {}
    return {**entry, "command": command, "args": arguments}


def http_entry(kind: ClientKind, url: str, *, with_token: bool = False) -> dict[str, Any]:
    """Return the entry for Streamable HTTP; with a token it names the variable that holds it, never the token.

    Raises: InvalidInput when the client's file cannot say that.
    """
    if kind.url_key is None:
        msg = f"{kind.title} takes stdio servers only in its file"
        raise InvalidInput(msg, field="--http", hint=NO_HTTP_HINT)
    entry: dict[str, Any] = {"type": "http"} if kind.typed else {}
    entry[kind.url_key] = url
    if not with_token:
        return entry
    if kind.token is None:
        msg = f"{kind.title} is not known to read environment variables in its file"
        raise InvalidInput(msg, field="--token", hint="leave --http out: stdio needs no token in a file")
    if kind.form == "toml":
        return {**entry, "bearer_token_env_var": kind.token}
    return {**entry, "headers": {"Authorization": f"Bearer {kind.token}"}}


def cursor_link(entry: Mapping[str, Any]) -> str:
    """Return the link that makes Cursor offer to install the entry."""
    packed = base64.b64encode(json.dumps(dict(entry), separators=(",", ":")).encode()).decode()
    quoted = packed.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return f"cursor://anysphere.cursor-deeplink/mcp/install?name={SERVER_NAME}&config={quoted}"


_TRANSPORT = frozenset({"type", "command", "args", "url", "serverUrl"})
_ONLY_HTTP = frozenset({"headers", "bearer_token_env_var"})
_ORDER = ("type", "command", "args", "url", "serverUrl")


def merged(before: Any, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return our entry with what the person added to it, such as ``env`` or disabled tools."""
    dropped = _TRANSPORT | (_ONLY_HTTP if "command" in entry else frozenset())
    kept = {name: value for name, value in before.items() if name not in dropped} if isinstance(before, dict) else {}
    for name, value in entry.items():
        if isinstance(value, dict) and isinstance(kept.get(name), dict):
            kept[name] = {**kept[name], **value}
        else:
            kept[name] = value
    first = {name: kept[name] for name in _ORDER if name in kept}
    return {**first, **{name: value for name, value in kept.items() if name not in first}}


def entry_in(kind: ClientKind, path: Path) -> dict[str, Any] | None:
    """Return our entry as the file has it, None when there is no file or no entry. Raises: InvalidInput."""
    text = read(path)
    found = None if text is None else _servers(kind, path, _parsed(kind, path, text)).get(SERVER_NAME)
    return found if isinstance(found, dict) else None


def servers_in(kind: ClientKind, path: Path) -> dict[str, Any]:
    """Return all servers that the file names. Raises: InvalidInput."""
    text = read(path)
    return {} if text is None else _servers(kind, path, _parsed(kind, path, text))


def plan(kind: ClientKind, path: Path, entry: Mapping[str, Any] | None) -> Change:
    """Return the file with our entry, or without it for None, and everything else as it is, to the byte.

    Raises: InvalidInput when the file is broken, so that nothing of it would be lost.
    """
    text = read(path)
    document = {} if text is None else _parsed(kind, path, text)
    servers = _servers(kind, path, document)
    before = servers.get(SERVER_NAME)
    hidden = frozenset(_secrets(document))
    if entry is None:
        if SERVER_NAME not in servers or text is None:
            return Change(path, text, text)
        expected = {**document, kind.section: {key: each for key, each in servers.items() if key != SERVER_NAME}}
        return Change(path, text, _checked(kind, path, _without(kind, text), expected), hidden)
    after = merged(before, entry)
    if before == after:
        return Change(path, text, text)
    expected = {**document, kind.section: {**servers, SERVER_NAME: after}}
    return Change(path, text, _checked(kind, path, _with(kind, text or "", before, after), expected), hidden)


def _with(kind: ClientKind, text: str, before: Any, after: dict[str, Any]) -> str:
    mark = BOM if text.startswith(BOM) else ""
    body = text.removeprefix(BOM)
    if kind.form == "toml":
        return mark + toml_table.put(body, (kind.section, SERVER_NAME), after)
    if not body.strip():
        body = "{}\n"
    if not isinstance(before, dict):
        return mark + jsonc.put(body, (kind.section, SERVER_NAME), after)
    # Member by member, so that what the person wrote between ours stays where it is.
    for name in before:
        if name not in after:
            body = jsonc.take(body, (kind.section, SERVER_NAME, name))
    for name, value in after.items():
        if name not in before or before[name] != value:
            body = jsonc.put(body, (kind.section, SERVER_NAME, name), value)
    return mark + body


def _without(kind: ClientKind, text: str) -> str:
    mark = BOM if text.startswith(BOM) else ""
    path = (kind.section, SERVER_NAME)
    body = text.removeprefix(BOM)
    return mark + (toml_table.take(body, path) if kind.form == "toml" else jsonc.take(body, path))


def _parsed(kind: ClientKind, path: Path, text: str) -> dict[str, Any]:
    body = text.removeprefix(BOM)
    if not body.strip():
        return {}
    try:
        document = tomllib.loads(body) if kind.form == "toml" else jsonc.parse(body).value
    except (ValueError, RecursionError) as error:
        written = "TOML" if kind.form == "toml" else "JSON"
        msg = f"{path} is not {written} ({error}), so it is left alone"
        hint = f"mend it at that place, or add by hand under {kind.section!r} what --dry-run prints for an empty file"
        raise InvalidInput(msg, field="--config", hint=hint) from error
    if not isinstance(document, dict):
        msg = f"{path} is not a JSON object, so it is left alone"
        raise InvalidInput(msg, field="--config", hint="the file has to begin with { and end with }")
    return document


def _servers(kind: ClientKind, path: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    servers = document.get(kind.section, {})
    if not isinstance(servers, dict):
        msg = f"{path}: {kind.section!r} is not an object"
        raise InvalidInput(msg, field="--config", hint="mend it by hand, or name another file")
    return servers


def _checked(kind: ClientKind, path: Path, text: str, expected: Mapping[str, Any]) -> str:
    """Return the new text if it says what it must and nothing else differs: a person's file is not worth a guess."""
    try:
        same = _parsed(kind, path, text) == expected
    except InvalidInput:
        same = False
    if not same:
        msg = f"{path} is written in a way that this command cannot change safely, so it is left alone"
        hint = f"add the entry {SERVER_NAME!r} under {kind.section!r} by hand"
        raise InvalidInput(msg, field="--config", hint=hint)
    return text


def _secrets(node: Any, inside: bool = False) -> list[str]:
    """Return the values of all environments and headers, which no diff may show; references to variables may be."""
    if isinstance(node, dict):
        names = ("env", "headers", "http_headers")
        return [each for key, value in node.items() for each in _secrets(value, inside or key in names)]
    if isinstance(node, list):
        return [each for value in node for each in _secrets(value, inside)]
    if inside and isinstance(node, str) and len(node) >= SECRET_CHARS_MIN and "${" not in node:
        return [json.dumps(node, ensure_ascii=False)[1:-1]]
    return []
