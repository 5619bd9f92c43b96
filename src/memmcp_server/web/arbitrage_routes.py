"""Arbitrage: how it stands, its trips, what was seen, its transfers, and what a person says of them."""

from typing import Any, TypeVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.services.container import Services
from memmcp_server.wire.arbitrage import (
    ArbitrageRequest,
    ArbitrageStatus,
    OpportunityList,
    TransferPage,
    TripPage,
)
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.money import TradingContext

from .execution_routes import PageQuery
from .requests import NoQuery, answer, body_as, caller_of, query_as
from .routing import ApiRoute
from .trading_routes import desk_of

ModelT = TypeVar("ModelT", bound=TradingContext)


class SeenQuery(WireRequest):
    limit: int = Field(default=50, ge=1, le=200)


class ArbitrageRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def status(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        return answer(await self._part(ArbitrageStatus, "status", None, 1))

    async def trips(self, request: Request) -> JSONResponse:
        wish = query_as(request, PageQuery)
        return answer(await self._part(TripPage, "trips", wish.cursor, wish.limit))

    async def opportunities(self, request: Request) -> JSONResponse:
        wish = query_as(request, SeenQuery)
        return answer(await self._part(OpportunityList, "opportunities", None, wish.limit))

    async def transfers(self, request: Request) -> JSONResponse:
        wish = query_as(request, PageQuery)
        return answer(await self._part(TransferPage, "transfers", wish.cursor, wish.limit))

    async def say(self, request: Request) -> JSONResponse:
        wish = await body_as(request, ArbitrageRequest)
        caller = caller_of(request, "POST /arbitrage/answer", role="operator")
        asked: dict[str, Any] = wish.model_dump(exclude_none=True)
        body = await desk_of(self._services).answer_arbitrage(asked, actor=f"operator:{caller.agent}")
        return answer(ArbitrageStatus.model_validate(body))

    async def _part(self, model: type[ModelT], part: str, cursor: str | None, limit: int) -> ModelT:
        body = await desk_of(self._services).arbitrage(part=part, cursor=cursor, limit=limit)
        return model.model_validate(body)

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/arbitrage",
                self.status,
                "How arbitrage stands: whose money, limits, what lies at each venue, what was seen in 24 hours.",
                query=NoQuery,
                answer=ArbitrageStatus,
            ),
            ApiRoute(
                "GET",
                "/arbitrage/trips",
                self.trips,
                "Trips between two venues with each of their events, newest first.",
                query=PageQuery,
                answer=TripPage,
            ),
            ApiRoute(
                "GET",
                "/arbitrage/opportunities",
                self.opportunities,
                "What was seen between venues, newest first, and why it was not taken.",
                query=SeenQuery,
                answer=OpportunityList,
            ),
            ApiRoute(
                "GET",
                "/arbitrage/transfers",
                self.transfers,
                "Transfers that bring inventory back to its venues, newest first.",
                query=PageQuery,
                answer=TransferPage,
            ),
            ApiRoute(
                "POST",
                "/arbitrage/answer",
                self.say,
                "What a person says of arbitrage: resume, settle a stuck trip, give a late transfer up.",
                body=ArbitrageRequest,
                answer=ArbitrageStatus,
                operator=True,
            ),
        ]
