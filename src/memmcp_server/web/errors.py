"""The one table of the HTTP door and its one shape: ``{"error": {"code", "message", "field"?, "hint"?}}``."""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from memmcp_server import errors
from memmcp_server.domain.correlation import Correlation, correlated
from memmcp_server.wire.base import ErrorAnswer, ErrorBody

from .access import REQUEST_HEADER, REQUEST_ID
from .headers import SECURITY_HEADERS

logger = logging.getLogger(__name__)

RETRY_AFTER_S: Final = "2"

STATUS: Final[dict[type[errors.MemoryServerError], int]] = {
    errors.IdempotencyConflict: 409,
    errors.PayloadTooLarge: 413,
    errors.SecretRefused: 422,
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.Unauthorized: 401,
    errors.Refused: 403,
    errors.StorageFull: 507,
    errors.InsufficientScope: 403,
    errors.TooManyCalls: 429,
    errors.Unavailable: 503,
    errors.MemoryServerError: 500,
}
"""Most specific class wins: the lookup walks the class's own order of ancestors."""

ROUTING_HINTS: Final = {
    404: "GET /openapi.json lists the routes",
    405: "the Allow header names the methods of this path",
}


class MalformedRequest(errors.InvalidInput):
    """The request cannot be read at all: not JSON, not UTF-8, no body."""

    code = "malformed_request"


class UnsupportedMediaType(errors.InvalidInput):
    code = "unsupported_media_type"


class RequestTimedOut(errors.InvalidInput):
    """The body did not arrive in time."""

    code = "request_timeout"


class Misdirected(errors.Refused):
    """The Host header names nobody we answer for (DNS rebinding)."""

    code = "misdirected_request"


class TooManyStreams(errors.Unavailable):
    code = "too_many_streams"


DOOR_STATUS: Final[dict[type[errors.MemoryServerError], int]] = {
    **STATUS,
    MalformedRequest: 400,
    UnsupportedMediaType: 415,
    RequestTimedOut: 408,
    Misdirected: 421,
}


def status_of(error: errors.MemoryServerError) -> int:
    """Return the HTTP status of an error."""
    return next(DOOR_STATUS[kind] for kind in type(error).__mro__ if kind in DOOR_STATUS)


def error_response(error: errors.MemoryServerError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the error in the one shape, with Retry-After where repeating helps."""
    status = status_of(error)
    extra = dict(headers or {})
    if isinstance(error, errors.TooManyCalls):
        extra["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.retryable:
        extra.setdefault("Retry-After", RETRY_AFTER_S)
    return _shaped(status, error.code, error.message, field=error.field, hint=error.hint, headers=extra)


def _shaped(
    status: int,
    code: str,
    message: str,
    *,
    field: str | None = None,
    hint: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    body = ErrorAnswer(error=ErrorBody(code=code, message=message, field=field, hint=hint))
    return JSONResponse(body.model_dump(exclude_none=True), status_code=status, headers=dict(headers or {}))


async def on_server_error(_request: Request, error: Exception) -> Response:
    """Answer for an error of our own tree."""
    assert isinstance(error, errors.MemoryServerError)
    return error_response(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer for what the router says (404, 405) and for anything else of Starlette's."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    message = f"{request.method} {request.url.path[:200]}: {error.detail or phrase}"
    hint = ROUTING_HINTS.get(error.status_code)
    return _shaped(error.status_code, code, message, hint=hint, headers=error.headers)


async def on_unforeseen(request: Request, error: Exception) -> Response:
    """Answer for what nobody foresaw: the details go to the log, never to the caller.

    Starlette answers this one outside of the guard, so the headers are put on here.
    """
    name = str(request.scope.get(REQUEST_ID, ""))
    with correlated(Correlation(name)):
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _shaped(
        500,
        "internal_error",
        f"the daemon failed on this request; its log has the details under request {name}",
        hint=f"memmcp logs --request {name}",
        headers={**SECURITY_HEADERS, REQUEST_HEADER: name},
    )
