"""What the official MCP conformance suite expects to find on a server, registered on ours: nothing of it ships.

The names, texts and shapes are the suite's own (each scenario describes what it calls). Everything else that it
exercises, transports, guard, sessions, eras, subscriptions and errors, is the daemon's.
"""

import base64
import json
import secrets
import warnings
from typing import Any, Final

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    CallToolResult,
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    JSONRPCMessage,
    ListRootsRequest,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from memmcp_server.tools.server import MemoryServer

Ctx = Context[Any, Any]
PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV: Final = base64.b64encode(
    b"RIFF" + (38).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little") + b"\x01\x00\x01\x00"
    b"\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data" + (2).to_bytes(4, "little") + b"\x00\x00"
).decode()
WATCHED: Final = "test://watched-resource"
SCHEMA_2020_12: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
DEFAULTS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
_ORDINALS: Final = ((1, "First"), (2, "Second"), (3, "Third"))
ENUMS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": f"value{n}", "title": f"{word} Option"} for n, word in _ORDINALS],
        },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": f"value{n}", "title": f"{word} Choice"} for n, word in _ORDINALS]},
        },
    },
}


def add_fixtures(server: MemoryServer) -> None:
    """Register every fixture on a server that is built and not yet served."""
    _add_contents(server)
    _add_behaviours(server)
    _add_legacy_requests(server)
    _add_input_required(server)
    _add_rounds(server)
    _add_resources(server)
    _add_prompts(server)
    _add_handlers(server)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _add_contents(server: MemoryServer) -> None:
    image = ImageContent(type="image", data=PNG, mime_type="image/png")

    @server.tool(structured_output=False)
    async def test_simple_text() -> str:
        """Returns a text."""
        return "This is a simple text response for testing."

    @server.tool(structured_output=False)
    async def test_image_content() -> ImageContent:
        """Returns an image."""
        return image

    @server.tool(structured_output=False)
    async def test_audio_content() -> AudioContent:
        """Returns a sound."""
        return AudioContent(type="audio", data=WAV, mime_type="audio/wav")

    @server.tool(structured_output=False)
    async def test_embedded_resource() -> EmbeddedResource:
        """Returns a resource."""
        return _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")

    @server.tool(structured_output=False)
    async def test_multiple_content_types() -> list[Any]:
        """Returns a text, an image and a resource."""
        told = json.dumps({"test": "data", "value": 123})
        return [
            _text("Multiple content types test:"),
            image,
            _embedded("test://mixed-content-resource", "application/json", told),
        ]


def _embedded(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


def _add_behaviours(server: MemoryServer) -> None:
    @server.tool(structured_output=False)
    async def test_tool_with_logging(ctx: Ctx) -> str:
        """Logs three times."""
        for text in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MCPDeprecationWarning)
                await ctx.info(text)
            await anyio.sleep(0.05)
        return "logged"

    @server.tool(structured_output=False)
    async def test_error_handling() -> str:
        """Always fails."""
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool(structured_output=False)
    async def test_tool_with_progress(ctx: Ctx) -> str:
        """Reports progress three times."""
        for done in (0, 50, 100):
            await ctx.report_progress(done, 100)
            await anyio.sleep(0.05)
        return "done"

    @server.tool(structured_output=False)
    async def test_reconnection(ctx: Ctx) -> str:
        """Closes its stream before it answers, so that the client has to come back for the answer."""
        await ctx.close_sse_stream()
        await anyio.sleep(0.1)
        return "Reconnection test completed"

    @server.tool(structured_output=False)
    async def test_trigger_tool_change(ctx: Ctx) -> str:
        """Says that the list of tools changed."""
        await ctx.notify_tools_changed()
        return "told"

    @server.tool(structured_output=False)
    async def test_trigger_prompt_change(ctx: Ctx) -> str:
        """Says that the list of prompts changed."""
        await ctx.notify_prompts_changed()
        return "told"

    async def described(arguments: dict[str, Any]) -> str:
        return json.dumps(arguments)

    server._tool_manager._tools["json_schema_2020_12_tool"] = _raw_tool(
        "json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", SCHEMA_2020_12, described
    )
    region = {"type": "string", "description": "Goes into a header too.", "x-mcp-header": "Region"}
    schema = {"type": "object", "properties": {"region": region}, "required": ["region"]}
    server._tool_manager._tools["test_x_mcp_header"] = _raw_tool(
        "test_x_mcp_header", "A parameter that clients repeat in a header", schema, described
    )


class _Raw(FuncMetadata):
    """Hands the arguments on as they came."""

    def validate_arguments(self, arguments_to_validate: dict[str, Any]) -> dict[str, Any]:
        return {"arguments": arguments_to_validate}


def _raw_tool(name: str, description: str, schema: dict[str, Any], call: Any) -> Tool:
    return Tool(
        fn=call,
        name=name,
        title=None,
        description=description,
        parameters=schema,
        fn_metadata=_Raw(arg_model=ArgModelBase),
        is_async=True,
        context_kwarg=None,
        annotations=None,
        icons=None,
        meta=None,
    )


def _add_legacy_requests(server: MemoryServer) -> None:
    """Requests that a server pushes to its client in the middle of a call, up to 2025-11-25."""

    @server.tool(structured_output=False)
    async def test_sampling(prompt: str, ctx: Ctx) -> str:
        """Asks the client's model."""
        asked = SamplingMessage(role="user", content=_text(prompt))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            told = await ctx.session.create_message(messages=[asked], max_tokens=100)
        content = told.content
        return f"LLM response: {content.text if isinstance(content, TextContent) else content}"

    async def asked_of_user(ctx: Ctx, message: str, schema: dict[str, Any]) -> str:
        told = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
        return f"action={told.action}, content={json.dumps(told.content)}"

    @server.tool(structured_output=False)
    async def test_elicitation(message: str, ctx: Ctx) -> str:
        """Asks the user for a name and an address."""
        fields = {"username": "User's response", "email": "User's email address"}
        properties = {name: {"type": "string", "description": text} for name, text in fields.items()}
        schema = {"type": "object", "properties": properties, "required": list(fields)}
        return f"User response: {await asked_of_user(ctx, message, schema)}"

    @server.tool(structured_output=False)
    async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
        """Asks with default values."""
        return f"Elicitation completed: {await asked_of_user(ctx, 'Check these values', DEFAULTS)}"

    @server.tool(structured_output=False)
    async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
        """Asks with every form of a choice."""
        return f"Elicitation completed: {await asked_of_user(ctx, 'Choose', ENUMS)}"


def _form(message: str, name: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _sampling(text: str, tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=_text(text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=tokens))


def _answered(ctx: Ctx, key: str) -> Any:
    """Return the client's answer to one of our questions, None where there is none that fits."""
    return (ctx.input_responses or {}).get(key)


def _filled(ctx: Ctx, key: str, name: str) -> Any:
    content = getattr(_answered(ctx, key), "content", None)
    return content.get(name) if isinstance(content, dict) else None


def _add_input_required(server: MemoryServer) -> None:
    """Questions that are part of an unfinished result, from 2026-07-28 on."""
    done = CallToolResult

    @server.tool(structured_output=False)
    async def test_missing_capability(ctx: Ctx) -> CallToolResult:
        """Needs a client that declares sampling."""
        capabilities = ctx.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            data = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "the client does not declare sampling", data)
        return done(content=[_text("the client declares sampling")])

    @server.tool(structured_output=False)
    async def test_input_required_result_elicitation(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """Asks the user for a name."""
        name = _filled(ctx, "user_name", "name")
        if not isinstance(name, str):
            return InputRequiredResult(input_requests={"user_name": _form("What is your name?", "name")})
        return done(content=[_text(f"Hello, {name}!")])

    @server.tool(structured_output=False)
    async def test_input_required_result_sampling(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """Asks the client's model for a capital."""
        told = _answered(ctx, "capital_question")
        if told is None:
            question = _sampling("What is the capital of France?", 100)
            return InputRequiredResult(input_requests={"capital_question": question})
        content = getattr(told, "content", None)
        return done(content=[_text(content.text if isinstance(content, TextContent) else str(content))])

    @server.tool(structured_output=False)
    async def test_input_required_result_list_roots(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """Asks the client for its folders."""
        told = _answered(ctx, "client_roots")
        if told is None:
            return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})
        return done(content=[_text(", ".join(str(root.uri) for root in told.roots))])

    @server.tool(structured_output=False)
    async def test_input_required_result_capabilities(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """Asks only what the client says that it can answer."""
        capabilities = ctx.client_capabilities
        questions: dict[str, Any] = {}
        if capabilities is not None and capabilities.elicitation is not None:
            questions["user_name"] = _form("What is your name?", "name")
        if capabilities is not None and capabilities.sampling is not None:
            questions["greeting"] = _sampling("Generate a greeting", 50)
        if not questions or ctx.input_responses:
            return done(content=[_text("nothing to ask")])
        return InputRequiredResult(input_requests=questions)


def _add_rounds(server: MemoryServer) -> None:
    """Results that take several rounds and carry a state."""
    done = CallToolResult

    @server.tool(structured_output=False)
    async def test_input_required_result_request_state(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """Asks for a confirmation and keeps a state meanwhile."""
        if ctx.request_state is None:
            asked = {"confirm": _form("Please confirm", "ok", "boolean")}
            return InputRequiredResult(input_requests=asked, request_state="waiting for ok")
        assert ctx.request_state == "waiting for ok"
        return done(content=[_text("state-ok")])

    @server.tool(structured_output=False)
    async def test_input_required_result_tampered_state(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """As above; the server's own seal finds out who changes the state."""
        if ctx.request_state is None:
            asked = {"confirm": _form("Please confirm", "ok", "boolean")}
            return InputRequiredResult(input_requests=asked, request_state="sealed")
        return done(content=[_text("state-ok")])

    @server.tool(structured_output=False)
    async def test_input_required_result_multiple_inputs(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """Asks user, model and client at once."""
        keys = ("user_name", "greeting", "client_roots")
        if any(_answered(ctx, key) is None for key in keys):
            asked = {
                "user_name": _form("What is your name?", "name"),
                "greeting": _sampling("Generate a greeting", 50),
                "client_roots": ListRootsRequest(),
            }
            return InputRequiredResult(input_requests=asked, request_state="all three")
        return done(content=[_text("all answered")])

    @server.tool(structured_output=False)
    async def test_input_required_result_multi_round(ctx: Ctx) -> CallToolResult | InputRequiredResult:
        """Asks twice, the second time knowing the first answer."""
        state = json.loads(ctx.request_state) if ctx.request_state else {}
        name = state.get("name") or _filled(ctx, "step1", "name")
        if not isinstance(name, str):
            first = {"step1": _form("Step 1: What is your name?", "name")}
            return InputRequiredResult(input_requests=first, request_state=json.dumps({"round": 1}))
        color = _filled(ctx, "step2", "color")
        if not isinstance(color, str):
            second = {"step2": _form("Step 2: What is your favorite color?", "color")}
            return InputRequiredResult(input_requests=second, request_state=json.dumps({"round": 2, "name": name}))
        return done(content=[_text(f"{name} likes {color}")])


def _add_resources(server: MemoryServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain", description="A text.")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png", description="An image.")
    def static_binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource(WATCHED, mime_type="text/plain", description="Can be subscribed to.")
    def watched_resource() -> str:
        return "watched"

    @server.resource("test://template/{id}/data", mime_type="application/json", description="By id.")
    def template_data(id: str) -> str:  # noqa: A002 - the template's name
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _add_prompts(server: MemoryServer) -> None:
    @server.prompt(description="Without arguments.")
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @server.prompt(description="With two arguments.")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(description="With a resource in it.")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803 - the suite's name
        embedded = _embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(embedded), UserMessage("Please process the embedded resource above.")]

    @server.prompt(description="With an image in it.")
    def test_prompt_with_image() -> list[UserMessage]:
        image = ImageContent(type="image", data=PNG, mime_type="image/png")
        return [UserMessage(image), UserMessage("Please analyze the image above.")]

    @server.prompt(description="Asks the user first.")
    def test_input_required_result_prompt(ctx: Ctx) -> Any:
        wanted = _filled(ctx, "user_context", "context")
        if not isinstance(wanted, str):
            question = _form("What context should the prompt use?", "context")
            return InputRequiredResult(input_requests={"user_context": question})
        return f"The context is: {wanted}"


def _add_handlers(server: MemoryServer) -> None:
    lowlevel = server._lowlevel_server
    if "completion/complete" not in lowlevel._request_handlers:

        @server.completion()
        async def complete(_ref: Any, argument: Any, _context: Any) -> Completion:
            return Completion(values=[word for word in ("paris", "park", "party") if word.startswith(argument.value)])

    subscribers = server.updates.subscribers

    async def subscribe(ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        return EmptyResult() if str(params.uri) == WATCHED else await subscribers.subscribe(ctx, params)

    async def unsubscribe(ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        return EmptyResult() if str(params.uri) == WATCHED else await subscribers.unsubscribe(ctx, params)

    async def set_level(_ctx: ServerRequestContext[Any, Any], _params: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
    lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)


class Events(EventStore):
    """Every event of a test's streams. One client at a time: the SDK names streams by request id, so that two sessions
    would read each other's, and the daemon therefore keeps none."""

    def __init__(self) -> None:
        self._events: list[tuple[str, str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        event_id = secrets.token_hex(8)
        self._events.append((event_id, stream_id, message))
        return event_id

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        at = next((number for number, each in enumerate(self._events) if each[0] == last_event_id), None)
        if at is None:
            return None
        stream_id = self._events[at][1]
        for event_id, stream, message in self._events[at + 1 :]:
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, event_id))
        return stream_id


class Resumable:
    """The server as ``create_app`` takes it, with a store of events."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    def streamable_http_app(self, **options: Any) -> Any:
        return self._server.streamable_http_app(event_store=Events(), retry_interval=200, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)
