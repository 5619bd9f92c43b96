"""What a client reads whose message was no proper request: which part of it was wrong, and what to send instead.

The SDK answers all of these with the same four words; the codes stay as the protocol has them.
"""

from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from pydantic import ValidationError

BARE: Final = "Invalid request parameters"
FIELDS_MAX: Final = 5
HANDSHAKE: Final = (
    "came before the handshake. Next: send initialize, then notifications/initialized, then this request again; or "
    "send it with the _meta of protocol version 2026-07-28, which needs no handshake"
)


async def plainly(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Middleware: let everything through, and say more where the SDK refuses a message.

    Raises: MCPError with the same code and a text that names the method, the fields and the next step.
    """
    try:
        return await call_next(ctx)
    except ValidationError as error:
        raise MCPError(
            INVALID_PARAMS, f"{ctx.method}: {fields_of(error)}. Next: correct it and send it again"
        ) from None
    except MCPError as error:
        # The one refusal of this shape on this side of the SDK's own translation is that of its handshake's gate.
        if error.error.code == INVALID_PARAMS and error.error.message == BARE:
            raise MCPError(INVALID_PARAMS, f"{ctx.method} {HANDSHAKE}") from None
        raise


def fields_of(error: ValidationError) -> str:
    """Return what is wrong, field by field; nothing that the client sent is repeated."""
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, each['loc'])) or 'params'}: {each['msg']}" for each in wrong[:FIELDS_MAX]]
    more = len(wrong) - FIELDS_MAX
    return "; ".join([*told, f"and {more} more"] if more > 0 else told)


def unknown(kind: str, name: str, names: list[str]) -> str:
    """Return what a caller of something that does not exist reads. ``names`` are what there is."""
    shown = name if len(name) <= 64 else f"{name[:64]}..."
    return f"Unknown {kind}: {shown} [field: name]\nNext: use one of {', '.join(names)}"
