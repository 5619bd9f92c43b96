"""What stands behind a figure of the heatmap, over HTTP."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.overviews.cells import cell_of
from memmcp_server.services.container import Services
from memmcp_server.wire.findings import CellAnswer, CellQuery

from .requests import answer, query_as, steward_of
from .routing import ApiRoute
from .trading_routes import desk_of


class FindingRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def cell(self, request: Request) -> JSONResponse:
        wish = query_as(request, CellQuery)
        caller = steward_of(request, "GET /strategies/cell")
        return answer(await cell_of(self._services, desk_of(self._services), wish, caller))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/strategies/cell",
                self.cell,
                "Behind a cell of the heatmap: findings with sample and evidence, trades, digests, memories.",
                query=CellQuery,
                answer=CellAnswer,
            )
        ]
