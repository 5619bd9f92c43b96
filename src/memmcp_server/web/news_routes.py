"""GET /memory/changes: what happened after a cursor."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.errors import Refused
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
        site = request.headers.get("sec-fetch-site")
        if wish.name is not None and site is not None and site != "same-origin":
            # It moves the reader's place, so that it is not as harmless as a GET is taken to be by browsers.
            msg = f"a reader's place cannot be moved from another site ({site[:40]})"
            raise Refused(msg, field="Sec-Fetch-Site", hint="call from the daemon's own page, or from a program")
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
