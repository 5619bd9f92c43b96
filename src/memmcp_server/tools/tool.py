"""A tool whose arguments and answer are wire models: strict on the way in, the same facts twice on the way out."""

import time
from typing import Any, Final

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp_types import CallToolResult, InputRequiredResult, TextContent
from pydantic import BaseModel, ValidationError

from memmcp_server.errors import MemoryServerError
from memmcp_server.services import acts
from memmcp_server.services.container import Services
from memmcp_server.wire.invalid import invalid_input

from .caller import caller_of, effect_key
from .confirming import before_the_order, note_preview
from .errors import tool_failure
from .news import with_news
from .progress import reporting
from .schemas import answer_schema, arguments_schema
from .scopes import QUOTA_OF, require_scope
from .spec import Call, ToolSpec
from .text import render
from .tracing import told, traced

OK: Final = "ok"
ASKED_BACK: Final = "asked_back"
UNFORESEEN: Final = "internal_error"


class RawArguments(FuncMetadata):
    """Hands the arguments on as they came: the SDK's own check would drop unknown ones in silence."""

    def validate_arguments(self, arguments_to_validate: dict[str, Any]) -> dict[str, Any]:
        return {"arguments": arguments_to_validate}


def make_tool(spec: ToolSpec[Any], services: Services) -> Tool:
    """Return the tool as the SDK's server takes it.

    Errors of our tree become results that the model can act on. What nobody foresaw is left to the SDK, which logs it
    and tells the model no more than that the tool failed.
    """

    for outcome in (OK, UNFORESEEN):  # there from the start: what appears with 1 has not grown, for Prometheus
        services.meters.tool_calls.add(spec.name, outcome, by=0)

    async def run(arguments: dict[str, Any], context: Context[Any, Any]) -> CallToolResult | InputRequiredResult:
        outcome, began_s = UNFORESEEN, time.perf_counter()
        try:
            with traced(spec.name, services, arguments, context):
                async with reporting(context, spec.under_way):
                    answer = await _answer(spec, services, arguments, context)
            outcome = ASKED_BACK if isinstance(answer, InputRequiredResult) else OK
            return answer
        except MemoryServerError as error:
            outcome = error.code
            return tool_failure(error)
        finally:
            services.meters.tool_calls.add(spec.name, outcome)
            services.meters.tool_seconds.observe(time.perf_counter() - began_s, spec.name)

    return Tool(
        fn=run,
        name=spec.name,
        title=spec.title,
        description=spec.description,
        parameters=arguments_schema(spec.arguments),
        fn_metadata=RawArguments(arg_model=ArgModelBase, output_schema=answer_schema(spec.answer)),
        is_async=True,
        context_kwarg="context",
        annotations=spec.annotations,
        icons=None,
        meta=None,
    )


async def _answer(
    spec: ToolSpec[Any], services: Services, arguments: dict[str, Any], context: Context[Any, Any]
) -> CallToolResult | InputRequiredResult:
    try:
        request = spec.arguments.model_validate(arguments)
    except ValidationError as error:
        raise invalid_input(error, spec.arguments) from error
    key = effect_key(getattr(request, "idempotency_key", None), context)
    caller = caller_of(context, spec.name)
    services.quotas.take(caller, QUOTA_OF.get(spec.name, "reads"))
    services.clients.note_call(caller.agent, caller.transport, spec.name)
    try:
        answer = await _work(spec, Call(services, caller, key), request, context)
    except MemoryServerError as error:
        if QUOTA_OF.get(spec.name) == "orders":
            await acts.note_refused(services.journal, caller, error)
        raise
    if isinstance(answer, InputRequiredResult):
        return answer
    told(request, answer)
    document = await with_news(services, caller, request, answer)
    return CallToolResult(content=[TextContent(type="text", text=render(document))], structured_content=document)


async def _work(
    spec: ToolSpec[Any], call: Call, request: Any, context: Context[Any, Any]
) -> BaseModel | InputRequiredResult:
    await require_scope(call.services, call.caller.grant, spec.name)
    known = await before_the_order(spec, call, request, context)
    if known is not None:
        return known
    answer = await spec.body(call, request)
    note_preview(call.services.confirmations, answer)
    if QUOTA_OF.get(spec.name) == "orders":
        asked, told = request.model_dump(mode="json"), answer.model_dump(mode="json")
        await acts.note_done(call.services.journal, call.caller, asked, told)
    return answer
