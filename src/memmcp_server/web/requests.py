"""From bytes and query strings to wire models, with a bound on everything and an error that names the field."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Never, TypeVar, get_args, get_origin

import anyio
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.grants import Grant
from memmcp_server.errors import InvalidInput
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.invalid import invalid_input

from .errors import MalformedRequest, RequestTimedOut, UnsupportedMediaType
from .guard import GRANT, OPERATOR_SCOPE

BODY_TIMEOUT_S: Final = 30.0
AGENT_HEADER: Final = "x-memmcp-agent"
IDEMPOTENCY_HEADER: Final = "idempotency-key"
NAME_CHARS_MAX: Final = 128

ModelT = TypeVar("ModelT", bound=BaseModel)


class NoQuery(WireRequest):
    """A route without parameters: any is an error."""


async def body_as(request: Request, model: type[ModelT]) -> ModelT:
    """Return the JSON body as the model.

    Raises: UnsupportedMediaType, MalformedRequest, RequestTimedOut, PayloadTooLarge, InvalidInput.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        msg = f"Content-Type must be application/json, not {media_type[:80] or 'absent'}"
        raise UnsupportedMediaType(msg, field="Content-Type")
    try:
        with anyio.fail_after(BODY_TIMEOUT_S):
            raw = await request.body()
    except TimeoutError as error:
        msg = f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s"
        raise RequestTimedOut(msg, field="body") from error
    except ClientDisconnect as error:
        msg = "the client left before its body had arrived"
        raise MalformedRequest(msg, field="body") from error
    return validated(model, parse_json(raw))


def parse_json(raw: bytes) -> Any:
    """Return strict JSON: UTF-8, no NaN, no infinity, no repeated field, bounded depth.

    Raises: MalformedRequest.
    """
    if not raw.strip():
        msg = "the body is empty; expected a JSON object"
        raise MalformedRequest(msg, field="body")
    try:
        return json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except UnicodeDecodeError as error:
        msg = f"the body is not UTF-8 (byte {error.start})"
        raise MalformedRequest(msg, field="body") from error
    except json.JSONDecodeError as error:
        msg = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise MalformedRequest(msg, field="body") from error
    except RecursionError as error:
        msg = "the body is nested too deeply"
        raise MalformedRequest(msg, field="body") from error
    except ValueError as error:
        # What is left is json's own refusal of an integer with thousands of digits.
        msg = f"the body holds a number that is too long: {error}"
        raise MalformedRequest(msg, field="body") from error


def query_as(request: Request, model: type[ModelT]) -> ModelT:
    """Return the query parameters as the model; a list field may be repeated or comma-separated.

    Raises: InvalidInput for unknown, repeated and wrong parameters.
    """
    values: dict[str, Any] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        field = model.model_fields.get(name)
        if field is not None and _is_list(field.annotation):
            values[name] = [part for text in given for part in text.split(",") if part]
        elif len(given) > 1:
            msg = f"{name}: given {len(given)} times, allowed once"
            raise InvalidInput(msg, field=name)
        else:
            values[name] = given[0]
    return validated(model, values)


def validated(model: type[ModelT], values: Any) -> ModelT:
    """Return the model, or raise InvalidInput that names every wrong field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid_input(error, model) from error


def caller_of(request: Request, tool: str, *, agent: str | None = None, role: str = "agent") -> Caller:
    """Return who calls: the name in the body, else the header, else the door itself."""
    grant: Grant | None = request.scope.get(GRANT)
    named = (grant.agent if grant is not None else "") or agent or request.headers.get(AGENT_HEADER, "")
    clean = "".join(char for char in named if char.isprintable()).strip()[:NAME_CHARS_MAX]
    is_operator = role == "operator"
    return Caller(
        agent=clean or ("operator" if is_operator else "http"),
        session="",
        tool=tool,
        role="operator" if is_operator else "agent",
        transport="http",
        grant=grant,
    )


def steward_of(request: Request, tool: str, *, agent: str | None = None) -> Caller:
    """Return who calls a route that is open to agents and on which the operator may do more."""
    is_operator = bool(request.scope.get(OPERATOR_SCOPE))
    return caller_of(request, tool, agent=agent, role="operator" if is_operator else "agent")


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the ``Idempotency-Key`` header.

    Raises: InvalidInput when it is longer than 200 characters.
    """
    key = headers.get(IDEMPOTENCY_HEADER, "").strip()
    if len(key) > 200:
        msg = f"Idempotency-Key has {len(key)} characters, at most 200 are allowed"
        raise InvalidInput(msg, field="Idempotency-Key")
    return key or None


def answer(model: BaseModel, status: int = 200, *, is_lean: bool = False) -> JSONResponse:
    """Return the model as JSON, nulls included: a reader of ours sees every field. Lean: without nulls, for a model."""
    return JSONResponse(model.model_dump(mode="json", exclude_none=is_lean), status_code=status)


def _is_list(annotation: object) -> bool:
    return get_origin(annotation) is list or any(get_origin(arg) is list for arg in get_args(annotation))


def _no_constant(name: str) -> Never:
    msg = f"the body holds {name}, which is not JSON; send a number or null"
    raise MalformedRequest(msg, field="body")


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        # One pass: a body may hold a hundred thousand names, and the event loop waits for this.
        repeated = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        msg = f"the body holds the field {repeated[:80]!r} twice in one object"
        raise MalformedRequest(msg, field=repeated[:80])
    return document
