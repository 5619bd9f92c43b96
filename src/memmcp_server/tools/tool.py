"""A tool whose arguments and answer are wire models: strict on the way in, the same facts twice on the way out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field, ValidationError

from memmcp_server.domain.caller import Caller
from memmcp_server.errors import MemoryServerError
from memmcp_server.services.container import Services
from memmcp_server.wire.invalid import invalid_input

from .caller import caller_of, effect_key
from .errors import tool_failure
from .schemas import answer_schema, arguments_schema
from .text import render

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool. ``key`` is the idempotency key of its effect, ``given_key`` only what the caller gave."""

    services: Services
    caller: Caller
    key: str
    given_key: str | None


@dataclass(frozen=True, slots=True)
class ToolSpec(Generic[ArgumentsT]):
    """What a tool says of itself and the coroutine that does the work."""

    name: str
    title: str
    description: str
    arguments: type[ArgumentsT]
    answer: type[BaseModel]
    annotations: ToolAnnotations
    body: Callable[[Call, ArgumentsT], Awaitable[BaseModel]]


class WireTool(Tool):
    """The SDK's tool with our validation, error table and rendering in place of its own.

    Unknown arguments are errors here; the SDK would drop them in silence.
    """

    spec: Any = Field(exclude=True)
    services: Any = Field(exclude=True)

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        try:
            return await self._answer(arguments, context)
        except MemoryServerError as error:
            return tool_failure(error)
        except MCPError:
            raise
        except Exception as error:
            # The door's last line: what we did not foresee goes to the log, never to a model.
            msg = f"Error executing tool {self.name}: an internal error, its details are in the daemon's log"
            raise UnexpectedToolError(msg) from error

    async def _answer(self, arguments: dict[str, Any], context: Context[Any, Any]) -> CallToolResult:
        spec: ToolSpec[Any] = self.spec
        try:
            request = spec.arguments.model_validate(arguments)
        except ValidationError as error:
            raise invalid_input(error, spec.arguments) from error
        given_key = getattr(request, "idempotency_key", None)
        call = Call(
            services=self.services,
            caller=caller_of(context, self.name),
            key=effect_key(given_key, context),
            given_key=given_key,
        )
        answer = await spec.body(call, request)
        document = answer.model_dump(mode="json", exclude_none=True)
        return CallToolResult(content=[TextContent(type="text", text=render(document))], structured_content=document)


def make_tool(spec: ToolSpec[Any], services: Services) -> WireTool:
    """Return the tool as the SDK's server takes it."""
    return WireTool(
        fn=spec.body,
        name=spec.name,
        title=spec.title,
        description=spec.description,
        parameters=arguments_schema(spec.arguments),
        fn_metadata=FuncMetadata(arg_model=ArgModelBase, output_schema=answer_schema(spec.answer)),
        is_async=True,
        annotations=spec.annotations,
        icons=None,
        meta=None,
        spec=spec,
        services=services,
    )
