"""GET /metrics, for Prometheus and whatever reads its formats."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from memmcp_server.adapters.prometheus import Exposition
from memmcp_server.services.container import Services
from memmcp_server.services.scrape import Scrape

from .requests import NoQuery, query_as
from .routing import ApiRoute


class MetricsRoutes:
    def __init__(self, services: Services) -> None:
        self._scrape = Scrape(services)
        self._exposition = Exposition()
        self._writing = asyncio.Lock()

    async def metrics(self, request: Request) -> Response:
        query_as(request, NoQuery)
        readings = await self._scrape.readings()
        async with self._writing:
            # In a thread: the first time a library is loaded for it, and the event loop has others to serve.
            body, content_type = await asyncio.to_thread(
                self._exposition.text, readings, request.headers.get("accept", "")
            )
        return Response(body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/metrics",
                self.metrics,
                "Everything that is counted and timed, as Prometheus text or, where Accept asks for it, OpenMetrics.",
                query=NoQuery,
                media_type="text/plain",
            )
        ]
