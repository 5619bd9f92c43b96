"""``POST /assess``: a question to the desk's sidecar, under its budget, breaker and memory."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.errors import TradingUnavailable
from memmcp_server.services.container import Services
from memmcp_server.wire.sidecar import AssessAnswer, AssessRequest

from .requests import answer, body_as, steward_of
from .routing import ApiRoute


class AssessRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def assess(self, request: Request) -> JSONResponse:
        wish = await body_as(request, AssessRequest)
        caller = steward_of(request, "POST /assess")
        desk = self._services.desk
        if desk is None:
            msg = "trading is switched off in this daemon, and the sidecar is the desk's"
            raise TradingUnavailable(msg, hint="start it with: memmcp serve (without --no-trading)")
        # It spends the desk's money, as an order does.
        self._services.quotas.take(caller, "orders")
        body = await desk.assess(wish.model_dump(mode="json"), agent=caller.agent)
        return answer(AssessAnswer.model_validate(body))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "POST",
                "/assess",
                self.assess,
                "Ask the sidecar to assess a situation. Its answer is an opinion and moves nothing; 503 says why there "
                "is none. Any server of this contract can be the sidecar of a desk.",
                body=AssessRequest,
                answer=AssessAnswer,
            )
        ]
