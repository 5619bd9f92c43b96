"""The path of the equity over HTTP: targets, the projected range, and what is marked on the curve."""

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.times import instant_ns
from memmcp_server.services.container import Services
from memmcp_server.wire.base import Moment
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.path import CurveMarks, Projection

from .requests import NoQuery, answer, query_as
from .routing import ApiRoute
from .trading_routes import desk_of


class MarksQuery(WireRequest):
    since: Moment | None = Field(default=None, description="ISO 8601 with zone, inclusive.")
    until: Moment | None = Field(default=None, description="ISO 8601 with zone, exclusive.")


class PathRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def projection(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(Projection.model_validate(await desk_of(self._services).projection()))

    async def marks(self, request: Request) -> JSONResponse:
        wish = query_as(request, MarksQuery)
        body = await desk_of(self._services).curve_marks(
            since_ns=instant_ns("since", wish.since), until_ns=instant_ns("until", wish.until)
        )
        return answer(CurveMarks.model_validate(body))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/projection",
                self.projection,
                "Tiers, targets as they were set, and where the equity may go: the past resampled, no promise.",
                NoQuery,
                None,
                Projection,
            ),
            ApiRoute(
                "GET",
                "/telemetry/trading/marks",
                self.marks,
                "Fills, deposits and withdrawals on the equity curve, thinned where there are many.",
                query=MarksQuery,
                answer=CurveMarks,
            ),
        ]
