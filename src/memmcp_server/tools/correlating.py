"""Every message gets the name that its logs, spans and failures tell: the bridge's stamp, else that of the HTTP request
which carried it, else a fresh one."""

from typing import Any, Final
from uuid import uuid4

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from memmcp_server.domain.correlation import Correlation, correlated, current

from .caller import AGENT_HEADER, REQUEST_STAMP, STAMP_PATTERN, clean_name

HTTP_NAME: Final = "memmcp.request"
"""Where the HTTP door puts a request's name on its scope."""

TOOL_CALL: Final = "tools/call"


async def correlating(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: bind the correlation for as long as the message is worked on."""
    with correlated(correlation_of(ctx)):
        return await call_next(ctx)


def correlation_of(ctx: ServerRequestContext[Any, Any]) -> Correlation:
    """Return what a message belongs to; a tool's name only where the message calls one."""
    scope: dict[str, Any] = getattr(ctx.request, "scope", None) or {}
    stamp = dict(ctx.meta).get(REQUEST_STAMP) if ctx.meta else None
    is_stamp = isinstance(stamp, str) and STAMP_PATTERN.match(stamp)
    name = stamp if is_stamp else scope.get(HTTP_NAME) or uuid4().hex
    given = ctx.params.get("name") if ctx.method == TOOL_CALL and ctx.params else None
    return Correlation(
        str(name), agent=_agent(ctx, scope), tool=clean_name(given) if isinstance(given, str) else ctx.method
    )


def request_name() -> str:
    """Return the name of the request under way, empty outside of any."""
    found = current()
    return "" if found is None else found.request


def _agent(ctx: ServerRequestContext[Any, Any], scope: dict[str, Any]) -> str:
    """Return the name that the caller says, its header's before its client's."""
    header = AGENT_HEADER.encode()
    said = next((value for name, value in scope.get("headers", ()) if name == header), b"")
    params = ctx.session.client_params
    return clean_name(said.decode("latin-1")) or (clean_name(params.client_info.name) if params else "")
