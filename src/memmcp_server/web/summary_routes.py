"""What the memory holds, over HTTP."""

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.overviews.insights import insights_of
from memmcp_server.services.container import Services
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.insights import Insights
from memmcp_server.wire.summary import SummaryAnswer, SummaryRequest

from .requests import answer, query_as, steward_of
from .routing import ApiRoute


class InsightsQuery(WireRequest):
    """``namespace``: lessons and digests of one alone, or of a subtree where it ends in '/'."""

    namespace: str | None = Field(default=None, max_length=129)


class SummaryRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def summary(self, request: Request) -> JSONResponse:
        wish = query_as(request, SummaryRequest)
        found = await self._services.summaries.of(wish.to_query(), steward_of(request, "GET /memory/summary"))
        return answer(SummaryAnswer.of(found))

    async def insights(self, request: Request) -> JSONResponse:
        wish = query_as(request, InsightsQuery)
        return answer(await insights_of(self._services, steward_of(request, "GET /insights"), wish.namespace))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/memory/summary",
                self.summary,
                "What the memory holds: counts, highlights, the newest, and digests with what made them stale.",
                query=SummaryRequest,
                answer=SummaryAnswer,
            ),
            ApiRoute(
                "GET",
                "/insights",
                self.insights,
                "What the machine has learned, and what is wrong now: lessons, digests, results, warnings.",
                query=InsightsQuery,
                answer=Insights,
            ),
        ]
