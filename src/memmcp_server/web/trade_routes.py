"""Trades over HTTP, filtered and added up, and the prices around them."""

from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.times import instant_ns
from memmcp_server.services.container import Services
from memmcp_server.wire.base import Moment
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.prices import CandleSeries
from memmcp_server.wire.trading import TradePage

from .requests import answer, query_as
from .routing import ApiRoute
from .trading_routes import desk_of

INTERVAL_S_MAX = 31 * 86_400


class TradeWish(WireRequest):
    """Which trades are wanted; what is left out narrows nothing down."""

    strategy: str | None = Field(default=None, max_length=64)
    mint: str | None = Field(default=None, min_length=2, max_length=64, description="A mint, or a symbol of one token.")
    side: Literal["buy", "sell"] | None = None
    result: Literal["won", "lost"] | None = Field(default=None, description="Of sales: more than nothing, or not.")
    origin: Literal["strategy", "agent"] | None = Field(
        default=None, description="agent: from the bucket that agents and people trade from."
    )
    since: Moment | None = Field(default=None, description="ISO 8601 with zone, inclusive.")
    until: Moment | None = Field(default=None, description="ISO 8601 with zone, exclusive.")

    def wanted(self) -> JsonObject:
        """Return what the desk is asked for beside a strategy. Raises: InvalidInput (a time without a zone)."""
        found: JsonObject = {name: getattr(self, name) for name in ("mint", "side", "result", "origin")}
        found |= {"since_ns": instant_ns("since", self.since), "until_ns": instant_ns("until", self.until)}
        return {name: value for name, value in found.items() if value is not None}


class TradesQuery(TradeWish):
    cursor: str | None = Field(default=None, max_length=256, description="next_cursor of the last answer.")
    limit: int = Field(default=50, ge=1, le=200)


class CandlesQuery(WireRequest):
    mint: str | None = Field(
        default=None, min_length=2, max_length=64, description="A mint, or a symbol; the token traded last if left out."
    )
    since: Moment | None = Field(default=None, description="ISO 8601 with zone, inclusive.")
    until: Moment | None = Field(default=None, description="ISO 8601 with zone, exclusive.")
    interval: int | None = Field(
        default=None, ge=1, le=INTERVAL_S_MAX, description="Seconds a candle; what shows the whole range if left out."
    )


class TradeRoutes:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def trades(self, request: Request) -> JSONResponse:
        wish = query_as(request, TradesQuery)
        body = await desk_of(self._services).trades(
            strategy=wish.strategy, cursor=wish.cursor, limit=wish.limit, wanted=wish.wanted()
        )
        return answer(TradePage.model_validate(body))

    async def candles(self, request: Request) -> JSONResponse:
        return answer(await candles_of(self._services, query_as(request, CandlesQuery)))

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/telemetry/trading/trades",
                self.trades,
                "Trades, newest first, with what all that match come to.",
                query=TradesQuery,
                answer=TradePage,
            ),
            ApiRoute(
                "GET",
                "/candles",
                self.candles,
                "Prices of a token from the bars that the desk was told; gaps stay gaps.",
                query=CandlesQuery,
                answer=CandleSeries,
            ),
        ]


async def candles_of(services: Services, wish: CandlesQuery) -> CandleSeries:
    """Return the candles that a request wants. Raises: InvalidInput, TradingUnavailable."""
    body = await desk_of(services).candles(
        mint=wish.mint,
        since_ns=instant_ns("since", wish.since),
        until_ns=instant_ns("until", wish.until),
        interval_s=wish.interval,
    )
    return CandleSeries.model_validate(body)
