"""What the memory holds, over HTTP."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.services.container import Services
from memmcp_server.wire.summary import SummaryAnswer, SummaryRequest

from .requests import answer, query_as, steward_of
from .routing import ApiRoute


class SummaryRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def summary(self, request: Request) -> JSONResponse:
        wish = query_as(request, SummaryRequest)
        found = await self._services.summaries.of(wish.to_query(), steward_of(request, "GET /memory/summary"))
        return answer(SummaryAnswer.of(found))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/memory/summary",
                self.summary,
                "What the memory holds: counts, highlights, the newest, and digests with what made them stale.",
                query=SummaryRequest,
                answer=SummaryAnswer,
            )
        ]
