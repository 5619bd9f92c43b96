"""GET /openapi.json: OpenAPI 3.1, built from the table of routes and the wire models."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from memmcp_server import __version__
from memmcp_server.wire.base import ErrorAnswer

from .routing import ApiRoute

Document = dict[str, Any]
REF: Final = "#/components/schemas/{model}"
PARAMETER: Final = re.compile(r"{(\w+)}")
COMMON_ERRORS: Final = (403, 421)


def openapi_document(table: Sequence[ApiRoute]) -> Document:
    """Return the document. Answers are described as they are sent, requests as they are checked."""
    requests = {row.body for row in table if row.body}
    answers = {row.answer for row in table if row.answer} | {ErrorAnswer}
    queries = {row.query for row in table if row.query}
    modes = [(model, "validation") for model in requests | queries] + [(model, "serialization") for model in answers]
    modes.sort(key=lambda pair: (pair[0].__name__, pair[1]))
    references, definitions = models_json_schema(modes, ref_template=REF)  # type: ignore[arg-type]
    schemas: dict[str, Any] = definitions.get("$defs", {})
    named = {key: schemas[str(reference["$ref"]).rsplit("/", 1)[-1]] for key, reference in references.items()}
    paths: dict[str, Any] = {}
    for row in table:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, references, named)
    hidden = {str(references[(model, "validation")]["$ref"]).rsplit("/", 1)[-1] for model in queries}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "memMCP",
            "version": __version__,
            "summary": "One shared memory and one Solana trading desk for all of a person's AI agents.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in hidden},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(row: ApiRoute, references: Any, named: Any) -> Document:
    operation: Document = {
        "operationId": _operation_id(row),
        "summary": row.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in PARAMETER.findall(row.path)
        ],
        "responses": _responses(row, references),
    }
    if row.query is not None:
        operation["parameters"] += _query_parameters(named[(row.query, "validation")])
    if row.body is not None:
        schema = references[(row.body, "validation")]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if row.operator:
        operation["security"] = [{"token": []}]
    return operation


def _query_parameters(schema: Document) -> list[Document]:
    required = schema.get("required", [])
    parameters = []
    for name, field in schema.get("properties", {}).items():
        described = {key: value for key, value in field.items() if key not in ("description", "title")}
        parameter = {"name": name, "in": "query", "required": name in required, "schema": described}
        if "description" in field:
            parameter["description"] = field["description"]
        parameters.append(parameter)
    return parameters


def _responses(row: ApiRoute, references: Any) -> Document:
    error = {"application/json": {"schema": references[(ErrorAnswer, "serialization")]}}
    body = {"schema": references[(row.answer, "serialization")]} if row.answer else {"schema": {"type": "string"}}
    responses: Document = {str(row.status): {"description": "Done.", "content": {row.media_type: body}}}
    if row.status == 201:
        responses["200"] = {"description": "Seen before; nothing was written.", "content": {row.media_type: body}}
    for status, meaning in row.also.items():
        responses[str(status)] = {"description": meaning, "content": {row.media_type: body}}
    errors = [*COMMON_ERRORS, 401, 422, 503]
    errors += [404] if PARAMETER.search(row.path) else []
    errors += [400, 408, 409, 413, 415] if row.body else []
    for status in sorted(errors):
        responses.setdefault(str(status), {"description": HTTPStatus(status).phrase, "content": error})
    return responses


def _operation_id(row: ApiRoute) -> str:
    words = re.findall(r"[A-Za-z0-9]+", row.path)
    return "_".join([row.method.lower(), *words])
