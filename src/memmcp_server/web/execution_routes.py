"""How the desk executes, and what it wrote down of its settings and its sidecar: nodes, transactions, logs."""

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.services.container import Services
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.desk_logs import ProfileLog, SidecarLog
from memmcp_server.wire.execution import NodesAnswer, TransactionPage, nodes_answer

from .requests import NoQuery, answer, query_as
from .routing import ApiRoute
from .trading_routes import desk_of


class PageQuery(WireRequest):
    cursor: str | None = Field(default=None, max_length=256, description="``next_cursor`` of the page before.")
    limit: int = Field(default=50, ge=1, le=200)


class ExecutionRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def nodes(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(nodes_answer(await desk_of(self._services).nodes()))

    async def transactions(self, request: Request) -> JSONResponse:
        wish = query_as(request, PageQuery)
        body = await desk_of(self._services).transactions(cursor=wish.cursor, limit=wish.limit)
        return answer(TransactionPage.model_validate(body))

    async def profile_log(self, request: Request) -> JSONResponse:
        wish = query_as(request, PageQuery)
        body = await desk_of(self._services).profile_log(cursor=wish.cursor, limit=wish.limit)
        return answer(ProfileLog.model_validate(body))

    async def sidecar_log(self, request: Request) -> JSONResponse:
        wish = query_as(request, PageQuery)
        body = await desk_of(self._services).sidecar_log(cursor=wish.cursor, limit=wish.limit)
        return answer(SidecarLog.model_validate(body))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/nodes",
                self.nodes,
                "The nodes that execute: state, latency, what transactions came to, wallets, endpoints.",
                query=NoQuery,
                answer=NodesAnswer,
            ),
            ApiRoute(
                "GET",
                "/transactions",
                self.transactions,
                "Transactions with their attempts and costs, newest first; on paper simulated ones, and they say so.",
                query=PageQuery,
                answer=TransactionPage,
            ),
            ApiRoute(
                "GET",
                "/profiles/log",
                self.profile_log,
                "When which profile, tier and parameters came into force, by whom and why, newest first.",
                query=PageQuery,
                answer=ProfileLog,
            ),
            ApiRoute(
                "GET",
                "/sidecar/log",
                self.sidecar_log,
                "What the desk asked its sidecar, what came of it and what it cost, newest first.",
                query=PageQuery,
                answer=SidecarLog,
            ),
        ]
