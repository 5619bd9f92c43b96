"""The one table of the MCP door: what a caller reads when something is wrong, and what to do next.

A tool's failure is a result with ``isError`` that the model can act on; a resource's failure is a protocol error,
since resources have no such result.
"""

from typing import Final

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import CallToolResult, TextContent

from memmcp_server import errors

NEXT_STEP: Final[dict[type[errors.MemoryServerError], str]] = {
    errors.IdempotencyConflict: "use a new idempotency_key for other content, or repeat the first content",
    errors.PayloadTooLarge: "shorten it, or split it into several memories with one trajectory_id",
    errors.SecretRefused: "take the secret out of the named field and send the rest; never repeat it",
    errors.InvalidInput: "correct the named field and call again; nothing was written",
    errors.NotFound: "search for it first; ids are case-sensitive",
    errors.Unauthorized: "ask the operator for access",
    errors.Refused: "do not repeat the call; ask the operator",
    errors.JournalBusy: "wait a second and repeat with the same idempotency_key",
    errors.StorageFull: "tell the operator that the disk is full; nothing was written",
    errors.TradingUnavailable: "memory works on; ask again later, or ask the operator to start trading",
    errors.OutcomeUnknown: "repeat with the same idempotency_key: it has one effect however often it is sent",
    errors.TooManyCalls: "wait, then go on more slowly; nothing was done",
    errors.Unavailable: "wait a few seconds and repeat; nothing was written",
    errors.MemoryServerError: "tell the operator",
}
"""Most specific class wins: the lookup walks the class's own order of ancestors."""


def next_step(error: errors.MemoryServerError) -> str:
    """Return what the caller should do, the error's own hint first."""
    if error.hint:
        return error.hint
    return next(NEXT_STEP[kind] for kind in type(error).__mro__ if kind in NEXT_STEP)


def error_text(error: errors.MemoryServerError) -> str:
    """Return ``code: message (field) Next: ...``, and whether the same call may be repeated."""
    where = f" [field: {error.field}]" if error.field else ""
    again = "retryable" if error.retryable else "not retryable as it is"
    return f"{error.code}: {error.message}{where}\nNext: {next_step(error)} ({again})"


def tool_failure(error: errors.MemoryServerError) -> CallToolResult:
    """Return the failed result. It has no structured content: that would have to meet the answer's schema."""
    return CallToolResult(content=[TextContent(type="text", text=error_text(error))], is_error=True)


def resource_failure(error: errors.MemoryServerError) -> ResourceError:
    """Return the protocol error: unknown and malformed addresses are the caller's (-32602), the rest ours."""
    if isinstance(error, errors.NotFound | errors.InvalidInput):
        return ResourceNotFoundError(error_text(error))
    return ResourceError(error_text(error))
