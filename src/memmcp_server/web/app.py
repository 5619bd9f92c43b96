"""The one application of the daemon: HTTP API, MCP over HTTP and SSE, live events and the page, behind one guard."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from memmcp_server.config import Sections
from memmcp_server.domain.grants import Scope
from memmcp_server.errors import MemoryServerError
from memmcp_server.services.container import Services

from .access import Access
from .act_routes import ActRoutes
from .alert_routes import AlertRoutes
from .approval_routes import ApprovalRoutes
from .arbitrage_routes import ArbitrageRoutes
from .assess_routes import AssessRoutes
from .errors import on_http_exception, on_server_error, on_unforeseen
from .events_route import EventsRoute
from .execution_routes import ExecutionRoutes
from .export_routes import ExportRoutes
from .finding_routes import FindingRoutes
from .guard import RESOURCE_METADATA, Guard, GuardPolicy, NamedTokens, TokenVerifier, guard_policy
from .lifecycle_routes import LifecycleRoutes
from .live import LiveEvents
from .memory_routes import MemoryRoutes
from .metrics_routes import MetricsRoutes
from .news_routes import NewsRoutes
from .openapi import openapi_document
from .page import Page
from .path_routes import PathRoutes
from .requests import NoQuery, query_as
from .routing import ApiRoute, starlette_routes
from .session_routes import SessionRoutes
from .status_routes import StatusRoutes
from .summary_routes import SummaryRoutes
from .task_routes import TaskRoutes
from .tracing import CallSpans
from .trade_routes import TradeRoutes
from .trading_routes import TradingRoutes
from .trajectory_routes import TrajectoryRoutes

SESSIONS_MAX: Final = 1_000


class McpDoor(Protocol):
    """The MCP server as this application serves it (``tools.server.MemoryServer``)."""

    def streamable_http_app(
        self,
        *,
        max_request_body_size: int,
        max_sessions: int | None,
        transport_security: TransportSecuritySettings | None,
    ) -> Starlette: ...

    def sse_app(
        self, *, max_request_body_size: int, transport_security: TransportSecuritySettings | None
    ) -> Starlette: ...

    @property
    def session_manager(self) -> Any: ...


def create_app(
    services: Services,
    sections: Sections,
    mcp: McpDoor,
    *,
    operator_token: str,
    admin: Sequence[BaseRoute] = (),
    tokens: NamedTokens | None = None,
    verifier: TokenVerifier | None = None,
) -> Starlette:
    """Return the application; its lifespan runs the live events and MCP's sessions.

    ``operator_token`` opens /actions/* and /admin/*; ``admin`` are the routes of the latter. ``app.state.live.close()``
    ends every live stream at once: whoever stops the server calls it first, so that no page holds it up.

    Raises: InvalidInput when the configuration would leave a door open.
    """
    policy = guard_policy(sections.http, operator_token, tokens, verifier)
    live = LiveEvents(services, sections.http.streams_max)
    table = api_routes(services, live, policy)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with live.running(), mcp.session_manager.run():
            yield

    app = Starlette(
        routes=[
            # First: routes are tried one after the other, and this door has most of the calls.
            *_mcp_routes(mcp, sections.http.body_bytes_max),
            *_resource_metadata(verifier, sections),
            *admin,
            *starlette_routes(table),
            *Page().routes(),
        ],
        middleware=[
            Middleware(Access, meters=services.meters),
            Middleware(Guard, policy=policy, logins=services.logins),
            *_tracing(services, table),
        ],
        exception_handlers={
            MemoryServerError: on_server_error,
            HTTPException: on_http_exception,
            Exception: on_unforeseen,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.live = live
    return app


def _tracing(services: Services, table: Sequence[ApiRoute]) -> list[Middleware]:
    """Return what tells of calls, behind the guard; nothing where nobody is told of any."""
    if services.calls is None:
        return []
    return [Middleware(CallSpans, recorder=services.calls, paths=[route.path for route in table])]


def api_routes(services: Services, live: LiveEvents, policy: GuardPolicy) -> list[ApiRoute]:
    """Return the table of the JSON routes, the description of itself included."""
    table = [
        # Before /memory/{id}, which would take them for an id.
        *NewsRoutes(services).routes(),
        *SummaryRoutes(services).routes(),
        *LifecycleRoutes(services).routes(),
        *MemoryRoutes(services).routes(),
        *TrajectoryRoutes(services).routes(),
        *TaskRoutes(services).routes(),
        # Before /actions/{name}, which would take it for a name.
        *ActRoutes(services).routes(),
        *TradingRoutes(services).routes(),
        *FindingRoutes(services).routes(),
        *ExecutionRoutes(services).routes(),
        *ArbitrageRoutes(services).routes(),
        *TradeRoutes(services).routes(),
        *ExportRoutes(services).routes(),
        *PathRoutes(services).routes(),
        *AssessRoutes(services).routes(),
        *ApprovalRoutes(services).routes(),
        *AlertRoutes(services).routes(),
        *StatusRoutes(services).routes(),
        *MetricsRoutes(services).routes(),
        *EventsRoute(services, live).routes(),
        *SessionRoutes(services, policy).routes(),
    ]

    async def describe(request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return JSONResponse(openapi_document(table))

    table.append(ApiRoute("GET", "/openapi.json", describe, "This description, as OpenAPI 3.1.", query=NoQuery))
    return table


def _resource_metadata(verifier: TokenVerifier | None, sections: Sections) -> list[BaseRoute]:
    """Return where a client learns which authorization servers' tokens are taken here (RFC 9728)."""
    if verifier is None:
        return []
    document = {
        "resource": f"{verifier.resource.rstrip('/')}/mcp",
        "authorization_servers": list(sections.http.authorization_servers),
        "scopes_supported": [scope.value for scope in Scope if scope is not Scope.ADMIN],
        "bearer_methods_supported": ["header"],
        "resource_name": "memMCP",
    }

    async def tell(_request: Request) -> JSONResponse:
        return JSONResponse(document)

    return [Route(path, tell, methods=["GET"]) for path in (RESOURCE_METADATA, f"{RESOURCE_METADATA}/mcp")]


def _mcp_routes(mcp: McpDoor, body_bytes_max: int) -> list[BaseRoute]:
    # Our guard stands before every route, so the SDK's own (which covers only these two doors) would check twice.
    unguarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    http = mcp.streamable_http_app(
        max_request_body_size=body_bytes_max, max_sessions=SESSIONS_MAX, transport_security=unguarded
    )
    sse = mcp.sse_app(max_request_body_size=body_bytes_max, transport_security=unguarded)
    return [*http.routes, *sse.routes]
