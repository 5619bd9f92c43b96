"""GET /memory/changes: what happened after a cursor."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.services.container import Services
from memmcp_server.services.news import Wish
from memmcp_server.wire.news import ChangesAnswer, ChangesQuery

from .requests import answer, query_as, steward_of
from .routing import ApiRoute


class NewsRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def changes(self, request: Request) -> JSONResponse:
        wish = query_as(request, ChangesQuery)
        caller = steward_of(request, "GET /memory/changes")
        page = await self._services.news.changes(Wish(**wish.model_dump()), caller)
        return answer(ChangesAnswer.of(page))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/memory/changes",
                self.changes,
                "What was written and done after a cursor, in order, each once; waits for something if asked.",
                query=ChangesQuery,
                answer=ChangesAnswer,
            )
        ]
