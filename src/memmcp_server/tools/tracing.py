"""A tool's call as a span: who called what, about which ids, and how it ended; never what was said."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mcp.server.mcpserver import Context
from pydantic import BaseModel

from memmcp_server.domain.tracing.calls import ID_CHARS_MAX, begun, under_way
from memmcp_server.services.container import Services

from .caller import caller_of, request_stamp

TRACE_PARENT: Final = "traceparent"
"""``_meta`` key in which a client names the span that its call belongs to (W3C Trace Context)."""
NAMED: Final = ("namespace", "kind", "id", "trajectory_id", "action", "side", "mint", "order_id", "strategy", "scope")
"""Arguments and answers that are names, and may be told; everything else may hold anything."""


@contextmanager
def traced(tool: str, services: Services, arguments: Mapping[str, Any], context: Context[Any, Any]) -> Iterator[None]:
    """Tell of the call where somebody is told of calls."""
    if services.calls is None:
        yield
        return
    caller = caller_of(context, tool)
    meta = context.request_context.meta
    parent = dict(meta).get(TRACE_PARENT) if meta else None
    given = parent if isinstance(parent, str) else ""
    with begun(services.calls, tool, "tool", user=caller.agent, session=caller.session, parent=given) as call:
        call.tell(transport=caller.transport, arguments=[*sorted(map(str, arguments))[:32]])
        if (stamp := request_stamp(context)) is not None:
            call.tell(request=stamp)
        yield


def told(request: BaseModel, answer: BaseModel) -> None:
    """Tell which things a call named and was answered, and link it to the decision that it touched."""
    call = under_way()
    if call is None:
        return
    for model in (request, answer):
        for name in NAMED:
            value = getattr(model, name, None)
            if isinstance(value, str) and value:
                call.tell(**{name: value[:ID_CHARS_MAX]})
        call.touch(_name(model, "trajectory_id"))
    if "outcome" in type(answer).model_fields or "steps" in type(answer).model_fields:
        call.touch(_name(answer, "id"))


def _name(model: BaseModel, field: str) -> str | None:
    value = getattr(model, field, None)
    return value if isinstance(value, str) else None
