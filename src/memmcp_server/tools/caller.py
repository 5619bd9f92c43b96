"""Who is calling, as far as a client says it. Names are provenance, never authority."""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from mcp.server.mcpserver import Context

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.grants import Grant

GRANT: Final = "memmcp.grant"
"""Where the guard of the HTTP doors puts the grant of a request."""

AGENT_HEADER: Final = "x-memmcp-agent"
REQUEST_STAMP: Final = "memmcp/request"
"""``_meta`` key in which a bridge puts ``<its uuid>:<request id>``."""

STAMP_PATTERN: Final = re.compile(r"[A-Za-z0-9-]{8,64}:[\x21-\x7e]{1,100}\Z")
NAME_CHARS_MAX: Final = 128
UNNAMED: Final = "unnamed"


def clean_name(name: str) -> str:
    """Return a name that is safe in a log line and a page: printable, no line breaks, bounded."""
    return "".join(char for char in name if char.isprintable()).strip()[:NAME_CHARS_MAX]


def caller_of(context: Context[Any], tool: str) -> Caller:
    """Return the caller of this request: its own header, else the client's name from the handshake or the request."""
    headers = context.headers
    grant = _grant(context)
    named = grant.agent if grant is not None else ""
    named = named or (clean_name(headers.get(AGENT_HEADER, "")) if headers else "")
    params = context.session.client_params
    client = clean_name(params.client_info.name) if params else ""
    stamp = request_stamp(context)
    return Caller(
        agent=named or client or UNNAMED,
        session=stamp.partition(":")[0] if stamp else _session(headers),
        tool=tool,
        role="agent",
        transport=_transport(context),
        grant=grant,
    )


def request_stamp(context: Context[Any]) -> str | None:
    """Return the bridge's stamp of this call; anything that does not look like one is ignored."""
    meta = context.request_context.meta
    stamp = dict(meta).get(REQUEST_STAMP) if meta else None
    return stamp if isinstance(stamp, str) and STAMP_PATTERN.match(stamp) else None


def effect_key(given: str | None, context: Context[Any]) -> str:
    """Return the key under which an order or a control has its one effect.

    The given key, else the bridge's stamp (a replay of the same call after a daemon's death carries it again), else a
    fresh one: two calls without a key are two wishes.
    """
    return given or request_stamp(context) or uuid4().hex


def _session(headers: Mapping[str, str] | None) -> str:
    return clean_name(headers.get("mcp-session-id", "")) if headers else ""


def _grant(context: Context[Any]) -> Grant | None:
    """Return what the token of this request allows, as the guard found; a bridge's socket is private and asks none."""
    found = getattr(context.request_context.request, "scope", {}).get(GRANT)
    return found if isinstance(found, Grant) else None


def _transport(context: Context[Any]) -> str:
    request = context.request_context.request
    if request is None:
        return "stdio"
    path = str(getattr(request, "scope", {}).get("path", ""))
    return "http" if path.startswith("/mcp") else "sse"
