"""Liveness, readiness and queue statistics over HTTP."""

from collections import Counter

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.times import from_ns
from memmcp_server.services.container import Services
from memmcp_server.wire.status import CallerView, ClientList, HealthAnswer, MetricsAnswer

from .requests import NoQuery, answer, query_as
from .routing import ApiRoute


class StatusRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def health(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(HealthAnswer.of(await self._services.health.checks()))

    async def ready(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        report = await self._services.health.checks()
        return answer(HealthAnswer.of(report), 200 if report.ready else 503)

    async def metrics(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(MetricsAnswer.of(await self._services.health.metrics(), self._services.relay.stats()))

    async def clients(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        registry = self._services.clients
        callers = [
            CallerView(
                agent=each.agent,
                transport=each.transport,
                calls=each.calls,
                last_tool=each.last_tool,
                last=from_ns(each.last_ns),
            )
            for each in registry.callers
        ]
        connected = Counter("page" if each.name == "page" else each.transport for each in registry.clients)
        return answer(ClientList(connected=dict(connected), callers=callers))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/health",
                self.health,
                "200 for as long as the process lives; the checks say what is wrong. Needs no token.",
                query=NoQuery,
                answer=HealthAnswer,
            ),
            ApiRoute(
                "GET",
                "/ready",
                self.ready,
                "200 once the journal and, where enabled, trading are up.",
                query=NoQuery,
                answer=HealthAnswer,
                also={503: "Not ready; the checks say why."},
            ),
            ApiRoute(
                "GET",
                "/telemetry/metrics",
                self.metrics,
                "Queue statistics and cycle metrics.",
                query=NoQuery,
                answer=MetricsAnswer,
            ),
            ApiRoute(
                "GET", "/clients", self.clients, "Who is connected, and who has called what.", NoQuery, None, ClientList
            ),
        ]
