"""The table of routes: what Starlette serves and what /openapi.json describes come from the same rows."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One method on one path. ``query``, ``body`` and ``answer`` are wire models; ``answer`` None: not JSON.

    ``operator``: needs the operator's token. ``also`` are further statuses with their meaning.
    """

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    status: int = 200
    operator: bool = False
    media_type: str = "application/json"
    also: dict[int, str] = field(default_factory=dict)


def starlette_routes(table: Sequence[ApiRoute]) -> list[Route]:
    """Return one Starlette route per path, in table order, so that a wrong method answers 405 with all allowed ones."""
    paths = dict.fromkeys(row.path for row in table)
    return [_route(path, {row.method: row.endpoint for row in table if row.path == path}) for path in paths]


def _route(path: str, endpoints: dict[str, Endpoint]) -> Route:
    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return Route(path, dispatch, methods=list(endpoints))
