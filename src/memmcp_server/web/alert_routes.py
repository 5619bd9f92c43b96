"""Alerts over HTTP: what fires, what was told, and the operator's answers."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.errors import Unavailable
from memmcp_server.services.alerting.alerts import Alerts
from memmcp_server.services.container import Services
from memmcp_server.wire.alerts import (
    AlertList,
    AlertView,
    RuleList,
    RuleView,
    SilenceRequest,
    SilenceUntil,
    SilenceView,
)
from memmcp_server.wire.base import Request as WireRequest

from .requests import NoQuery, answer, body_as, caller_of, query_as
from .routing import ApiRoute

ONE: Final = "/alerts/{id}"


class AlertsQuery(WireRequest):
    """``all``: also alerts that are over, at most a hundred of the newest."""

    all: bool = False


class AlertRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def _alerts(self) -> Alerts:
        if self._services.alerts is None:
            msg = "alerts are switched off in this daemon"
            raise Unavailable(msg, hint="set alerts.enabled = true in memmcp.toml and restart it")
        return self._services.alerts

    async def page(self, request: Request) -> JSONResponse:
        wish = query_as(request, AlertsQuery)
        return answer(AlertList.of(await self._alerts.overview(with_past=wish.all)))

    async def rules(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(RuleList(rules=[RuleView.of(rule) for rule in self._alerts.rules]))

    async def acknowledge(self, request: Request) -> JSONResponse:
        await body_as(request, WireRequest)
        caller = caller_of(request, "POST /alerts/acknowledge", role="operator")
        done = await self._alerts.acknowledge(request.path_params["id"], caller)
        return answer(AlertView.of(done, self._now_ns()))

    async def silence(self, request: Request) -> JSONResponse:
        wish = await body_as(request, SilenceUntil)
        caller = caller_of(request, "POST /alerts/silence", role="operator")
        done = await self._alerts.silence(request.path_params["id"], wish.until_ns(self._now_ns()), caller)
        return answer(AlertView.of(done, self._now_ns()))

    async def silence_rule(self, request: Request) -> JSONResponse:
        wish = await body_as(request, SilenceRequest)
        caller = caller_of(request, "POST /silences", role="operator")
        until_ns = wish.until_ns(self._now_ns())
        return answer(
            SilenceView.of(await self._alerts.silence_rule(wish.rule, wish.sorted_labels(), until_ns, caller))
        )

    def _now_ns(self) -> int:
        return self._services.clock.now_ns()

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/alerts",
                self.page,
                "What fires now, with its value and what to do; silences; notices of the desk.",
                query=AlertsQuery,
                answer=AlertList,
            ),
            ApiRoute("GET", "/alerts/rules", self.rules, "The rules in force.", query=NoQuery, answer=RuleList),
            ApiRoute(
                "POST",
                f"{ONE}/acknowledge",
                self.acknowledge,
                "Say that a person sees to it: it is not escalated any more.",
                body=WireRequest,
                answer=AlertView,
                operator=True,
            ),
            ApiRoute(
                "POST",
                f"{ONE}/silence",
                self.silence,
                "Tell nobody of this alert until then.",
                body=SilenceUntil,
                answer=AlertView,
                operator=True,
            ),
            ApiRoute(
                "POST",
                "/silences",
                self.silence_rule,
                "Tell nobody of what a rule raises, until then.",
                body=SilenceRequest,
                answer=SilenceView,
                operator=True,
            ),
        ]
