"""JSON Schemas as small as a model's context deserves.

A tool's catalogue is paid for in every conversation. What goes out keeps names, types, ranges of numbers and
descriptions. It drops what pydantic adds for code generators (titles, nulls of optional fields, nested definitions of
answers) and the lengths and patterns of texts: a model does not count letters, and whoever sends a wrong text is told
what is allowed.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
NUMBER_SHOWN_MAX = 1_000_000
"""A larger bound is the database's, and no caller comes near it."""

NEWS = "news"
"""The field of an answer that tells what others did meanwhile (``wire.news.NewsBlock``)."""


def arguments_schema(model: type[BaseModel]) -> Schema:
    """Return the input schema of a tool: closed, every parameter described, no ``$ref``."""
    return deepcopy(_arguments_schema(model))


@cache  # a process that builds many servers, as tests do, spends more on these than on all the rest of a server
def _arguments_schema(model: type[BaseModel]) -> Schema:
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    slim = _slim(schema, definitions)
    slim.pop("description", None)  # the tool's own description says it
    slim["additionalProperties"] = False
    return slim


def answer_schema(_model: type[BaseModel]) -> Schema:
    """Return the output schema of a tool: an object.

    What is in it is described where it costs no conversation anything: the reference and ``/openapi.json`` have the
    same models, and every answer is checked against its model before it leaves.
    """
    return {"type": "object"}


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return dict(schema)
    target = definitions[str(reference).rsplit("/", 1)[-1]]
    siblings = {key: value for key, value in schema.items() if key != "$ref"}
    return {**_resolve(target, definitions), **siblings}


def _slim(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    resolved = _resolve(schema, definitions)
    branches = resolved.get("anyOf")
    if branches is not None:
        meant = [branch for branch in branches if branch.get("type") != "null"]
        if len(meant) == 1:
            rest = {key: value for key, value in resolved.items() if key not in ("anyOf", "default")}
            resolved = {**_resolve(meant[0], definitions), **rest}
    slim: Schema = {}
    for key, value in resolved.items():
        match key, value:
            case ("title", str()):
                continue
            case ("pattern" | "format" | "minLength" | "maxLength" | "minItems" | "maxItems", _):
                continue
            case ("maximum", int() | float()) if value > NUMBER_SHOWN_MAX:
                continue
            case ("minimum", 0):
                continue
            case ("default", None) | ("default", []) | ("default", {}):
                continue
            case ("properties", dict()):
                slim[key] = {name: _slim(field, definitions) for name, field in value.items()}
            case ("additionalProperties", False):
                continue  # of a nested object; the root says it
            case ("items", dict()) | ("additionalProperties", dict()):
                if inner := _slim(value, definitions):
                    slim[key] = inner
            case ("additionalProperties", True):
                continue
            case _:
                slim[key] = value
    return slim
