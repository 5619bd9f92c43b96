"""Make ``docs/reference.md`` from the code: commands, tools, routes, metrics, settings. ``--check`` only compares."""

import asyncio
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import typer
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "reference.md"
HEAD = "# Reference\n\nMade from the code by `scripts/reference.py`; a test compares. Change the code, not this page."

HINTS = {
    "read_only_hint": "read only",
    "destructive_hint": "destructive",
    "idempotent_hint": "idempotent",
    "open_world_hint": "open world",
}


def cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in rows)])


def commands(app: typer.Typer, name: str) -> Iterator[str]:
    yield from _command(typer.main.get_command(app), name)


def _command(command: Any, path: str) -> Iterator[str]:
    """``command`` is one of Typer's own kind of click commands, told apart by what they have."""
    if hasattr(command, "commands"):
        for name, child in sorted(command.commands.items()):
            yield from _command(child, f"{path} {name}")
        return
    arguments = [_metavar(each) for each in command.params if each.param_type_name == "argument"]
    yield f"### `{' '.join([path, *arguments])}`\n\n{cell(command.help or '')}"
    options = [
        (
            f"`{' '.join(each.opts)}`",
            each.help or "",
            "" if each.default in (None, False, (), []) else f"`{each.default}`",
        )
        for each in command.params
        if each.param_type_name == "option" and each.name != "help"
    ]
    if options:
        yield table(("option", "meaning", "default"), cast("list[tuple[object, ...]]", options))


def _metavar(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required else f"[{name}]"


def tools() -> Iterator[str]:
    from memmcp_server.tools.schemas import arguments_schema
    from memmcp_server.tools.server import tool_specs

    for spec in tool_specs():
        schema = arguments_schema(spec.arguments)
        hints = [words for hint, words in HINTS.items() if getattr(spec.annotations, hint)]
        yield f"### `{spec.name}`\n\n{spec.description}\n\nHints: {', '.join(hints) or 'none'}."
        needed = schema.get("required", [])
        rows = [
            (f"`{name}`" + (" *" if name in needed else ""), _kind(field), field.get("description", ""))
            for name, field in schema.get("properties", {}).items()
        ]
        if rows:
            yield table(("argument (* required)", "type", "meaning"), cast("list[tuple[object, ...]]", rows))


def resources() -> str:
    from mcp.server import MCPServer

    from memmcp_server.services.container import Services
    from memmcp_server.tools.resources import SUBSCRIBABLE, add_resources

    # Described only: nothing is read.
    server = MCPServer[Any]("memmcp")
    add_resources(server, cast("Services", inspect.Signature()))
    listed = asyncio.run(server.list_resources())
    templates = asyncio.run(server.list_resource_templates())
    named = [(str(each.uri), each.description) for each in listed]
    named += [(str(each.uri_template), each.description) for each in templates]
    rows = [(f"`{uri}`", said or "", "yes" if uri in SUBSCRIBABLE else "") for uri, said in named]
    return table(("resource", "what", "subscribable"), cast("list[tuple[object, ...]]", rows))


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{v}`" for v in field["enum"])
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"] if each.get("type") != "null")
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    return str(field.get("format") or field.get("type") or "any")


def routes() -> str:
    from memmcp_server.services.container import Services
    from memmcp_server.web.app import api_routes

    # The table is built from the services but only described here: nothing is called.
    nothing = cast("Services", inspect.Signature())
    rows = [
        (f"`{row.method} {row.path}`", row.summary, "operator's token" if row.operator else "")
        for row in api_routes(nothing, cast("Any", None), cast("Any", None))
    ]
    doors = [("`/mcp`", "MCP over Streamable HTTP", ""), ("`/sse`", "MCP over SSE, for older clients", "")]
    return table(("route", "what", "needs"), cast("list[tuple[object, ...]]", [*rows, *doors, ("`/`", "the page", "")]))


def settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Yield what each section says of itself and a table of its variables."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            continue
        said = inspect.cleandoc(section.__doc__) if section.__doc__ and section.__doc__ != BaseModel.__doc__ else ""
        yield f"### {name}" + (f"\n\n{said}" if said else "")
        rows: list[tuple[object, ...]] = [
            (f"`{prefix}{name}__{key}`".upper(), "" if default is None else f"`{default}`")
            for key, each in section.model_fields.items()
            for default in (each.get_default(call_default_factory=True, validated_data={}),)
        ]
        yield table(("variable", "default"), rows)


def denials() -> str:
    from trading.risk.denials import DENIALS

    rows = [(f"`{reason}`", denial.meaning, denial.ends) for reason, denial in DENIALS.items()]
    return table(("reason", "denied, because", "until"), cast("list[tuple[object, ...]]", rows))


def figures() -> str:
    from memmcp_server.services.scrape import families
    from trading.runtime.families import FAMILIES

    rows = [
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.help)
        for each in (*families(), *FAMILIES)
    ]
    return table(("metric", "kind", "labels", "what"), cast("list[tuple[object, ...]]", rows))


def document() -> str:
    from memmcp_server.cli import app as server
    from memmcp_server.config import Sections
    from trading.cli import app as desk
    from trading.config import Sections as Desk

    parts = [
        HEAD,
        "## Commands: `memmcp`",
        *commands(server, "memmcp"),
        "## Commands: `memmcp-trade`",
        *commands(desk, "memmcp-trade"),
        "## MCP tools",
        *tools(),
        "## MCP resources",
        resources(),
        "## HTTP",
        routes(),
        "## Metrics",
        "`GET /metrics` tells these, beside `process_*` and `python_info` of its library; see docs/observability.md.",
        figures(),
        "## Why an order is denied",
        "Kept with every signal that was not acted on and every order that was not sent; `why-not` counts them.",
        denials(),
        "## Settings of the server",
        *settings(Sections, "MEMMCP_"),
        "## Settings of the desk",
        *settings(Desk, "TRADING_"),
    ]
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    made = document()
    if "--check" in arguments:
        if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == made:
            return 0
        print("docs/reference.md is not what the code says: run `make docs`", file=sys.stderr)
        return 1
    DOCUMENT.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
