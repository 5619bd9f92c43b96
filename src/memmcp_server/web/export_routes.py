"""What the page shows, as files: trades, equity, candles, strategies, and memories that were found."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from memmcp_server.domain.times import from_ns, instant_ns, to_ns
from memmcp_server.errors import InvalidInput
from memmcp_server.services.container import Services
from memmcp_server.wire.base import Moment
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.budget import search_answer
from memmcp_server.wire.memory import MemorySearchAnswer, MemorySearchRequest
from memmcp_server.wire.trading import EquitySeries, StrategyList, StrategyView, TradePage, TradeView

from .requests import query_as, steward_of
from .routing import ApiRoute
from .tables import FileFormat, Row, Table, download
from .trade_routes import CandlesQuery, TradeWish, candles_of
from .trading_routes import desk_of

PAGE: Final = 500
TRADES_MAX: Final = 200_000
POINTS_A_PAGE: Final = 1_000
POINTS_MAX: Final = 600_000
MEMORIES_MAX: Final = 1_000
DAY_S: Final = 86_400
NS_PER_S: Final = 1_000_000_000

TRADES: Final = Table(
    "trades",
    (
        *("ts", "money", "side", "symbol", "mint", "strategy", "bucket", "amount", "amount_base_units"),
        *("value_sol", "value_usd", "value_lamports", "price_sol", "fee_lamports", "priority_lamports"),
        *("impact_lamports", "rent_lamports", "slippage_bps", "realised_sol", "realised_usd", "realised_lamports"),
        *("reason", "order_id", "trajectory_id"),
    ),
    frozenset({"symbol", "mint", "strategy", "bucket", "reason", "order_id", "trajectory_id"}),
)
EQUITY: Final = Table(
    "equity",
    (
        *("ts", "money", "equity_lamports", "drawdown_bps", "sol_usd", "first_lamports", "low_lamports"),
        *("high_lamports", "drawdown_bps_max", "marks"),
    ),
    frozenset(),
)
CANDLES: Final = Table(
    "candles",
    ("ts", "interval_s", "symbol", "mint", "open", "high", "low", "close", "volume", "bars"),
    frozenset({"symbol", "mint"}),
)
STRATEGIES: Final = Table(
    "strategies",
    (
        *("name", "kind", "enabled", "in_tier", "bucket", "stage", "lineage", "capital_lamports", "trades", "wins"),
        *("win_rate_bps", "realised_lamports", "unrealised_lamports", "last_signal"),
    ),
    frozenset({"name", "kind", "bucket", "stage", "lineage"}),
)
MEMORIES: Final = Table(
    "memories",
    ("ts", "id", "namespace", "kind", "agent", "trust", "score", "why", "tags", "trajectory_id", "content"),
    frozenset({"id", "namespace", "kind", "agent", "why", "tags", "trajectory_id", "content"}),
)


class FormatQuery(WireRequest):
    format: FileFormat = "csv"


class TradesExport(TradeWish):
    format: FileFormat = "csv"


class CandlesExport(CandlesQuery):
    format: FileFormat = "csv"


class EquityExport(WireRequest):
    format: FileFormat = "csv"
    since: Moment | None = Field(default=None, description="ISO 8601 with zone, inclusive.")
    until: Moment | None = Field(default=None, description="ISO 8601 with zone, exclusive.")
    resolution: int | None = Field(
        default=None, ge=1, le=31 * DAY_S, description="Seconds a point; as thin as the chart if left out."
    )


class MemoriesExport(MemorySearchRequest):
    format: FileFormat = "csv"
    limit: int = Field(default=100, ge=1, le=MEMORIES_MAX)
    cursor: Literal[None] = None


class ExportRoutes:
    """Every file is made page by page while it is sent; what would be too long is refused before it begins."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def _now(self) -> datetime:
        return from_ns(self._services.clock.now_ns())

    async def trades(self, request: Request) -> Response:
        wish = query_as(request, TradesExport)
        desk, wanted = desk_of(self._services), wish.wanted()

        async def page(cursor: str | None) -> TradePage:
            body = await desk.trades(strategy=wish.strategy, cursor=cursor, limit=PAGE, wanted=wanted)
            return TradePage.model_validate(body)

        first = await page(None)
        if first.totals is not None and first.totals.trades > TRADES_MAX:
            msg = f"since: {first.totals.trades} trades match, a file holds at most {TRADES_MAX}"
            raise InvalidInput(msg, field="since", hint="narrow it down with since and until")

        async def pages() -> AsyncIterator[Sequence[Row]]:
            found = first
            yield [_trade_row(each, found.money) for each in found.trades]
            while found.next_cursor is not None:
                found = await page(found.next_cursor)
                yield [_trade_row(each, found.money) for each in found.trades]

        return await download(TRADES, wish.format, pages(), {"money": first.money}, self._now())

    async def equity(self, request: Request) -> Response:
        wish = query_as(request, EquityExport)
        since_ns, until_ns = instant_ns("since", wish.since), instant_ns("until", wish.until)
        first = await self._points(since_ns, until_ns, wish.resolution)

        async def pages() -> AsyncIterator[Sequence[Row]]:
            if wish.resolution is None:
                yield _point_rows(first)
                return
            for begin_ns, end_ns in await self._windows(since_ns, until_ns, wish.resolution):
                yield _point_rows(await self._points(begin_ns, end_ns, wish.resolution))

        return await download(EQUITY, wish.format, pages(), {"money": first.money}, self._now())

    async def _points(self, since_ns: int | None, until_ns: int | None, resolution_s: int | None) -> EquitySeries:
        body = await desk_of(self._services).equity(since_ns=since_ns, until_ns=until_ns, resolution_s=resolution_s)
        return EquitySeries.model_validate(body)

    async def _windows(self, since_ns: int | None, until_ns: int | None, resolution_s: int) -> list[tuple[int, int]]:
        """Return stretches of time that hold at most a page of points each, of days in which there are any.

        Raises: InvalidInput where there are too many points.
        """
        days = (await self._points(since_ns, until_ns, DAY_S)).points
        if not days:
            return []
        begin_ns = to_ns(days[0].ts.replace(hour=0, minute=0, second=0, microsecond=0))
        begin_ns, last_ns = max(begin_ns, since_ns or 0), to_ns(days[-1].ts)
        points = (last_ns - begin_ns) // (resolution_s * NS_PER_S)
        if points > POINTS_MAX:
            msg = f"resolution: {resolution_s} s make {points} points, a file holds at most {POINTS_MAX}"
            raise InvalidInput(msg, field="resolution", hint="ask for a coarser one, or narrow down since and until")
        step_ns = resolution_s * POINTS_A_PAGE * NS_PER_S
        # The desk takes both ends of a range in.
        return [(start, min(start + step_ns, last_ns + 2) - 1) for start in range(begin_ns, last_ns + 1, step_ns)]

    async def candles(self, request: Request) -> Response:
        wish = query_as(request, CandlesExport)
        series = await candles_of(self._services, wish)
        common = {"interval_s": series.interval_s, "symbol": series.symbol, "mint": series.mint}

        async def pages() -> AsyncIterator[Sequence[Row]]:
            yield [{**common, **each.model_dump(mode="json")} for each in series.candles]

        return await download(CANDLES, wish.format, pages(), {**common, "is_cut": series.is_cut}, self._now())

    async def strategies(self, request: Request) -> Response:
        wish = query_as(request, FormatQuery)
        found = StrategyList.model_validate(await desk_of(self._services).strategies())

        async def pages() -> AsyncIterator[Sequence[Row]]:
            yield [_strategy_row(each) for each in found.strategies]

        return await download(STRATEGIES, wish.format, pages(), {"money": found.money}, self._now())

    async def memories(self, request: Request) -> Response:
        wish = query_as(request, MemoriesExport)
        caller = steward_of(request, "GET /export/memories")
        self._services.quotas.take(caller, "reads")

        async def page(cursor: str | None, limit: int) -> MemorySearchAnswer:
            query = wish.model_copy(update={"cursor": cursor, "limit": min(100, limit)}).to_query()
            result = await self._services.memories.search(query, caller)
            return search_answer(result, query, full=True, tokens_max=None)

        first = await page(None, wish.limit)

        async def pages() -> AsyncIterator[Sequence[Row]]:
            found, sent = first, 0
            while True:
                rows = [each.model_dump(mode="json") for each in found.hits][: wish.limit - sent]
                sent += len(rows)
                yield [{**row, "tags": " ".join(row.get("tags") or [])} for row in rows]
                if found.next_cursor is None or not rows or sent >= wish.limit:
                    return
                found = await page(found.next_cursor, wish.limit - sent)

        return await download(MEMORIES, wish.format, pages(), {"query": wish.query}, self._now())

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "GET",
                "/export/trades",
                self.trades,
                f"The trades that match as a file, newest first; at most {TRADES_MAX}.",
                query=TradesExport,
                media_type="text/csv",
            ),
            ApiRoute(
                "GET",
                "/export/equity",
                self.equity,
                "The equity series as a file.",
                query=EquityExport,
                media_type="text/csv",
            ),
            ApiRoute(
                "GET",
                "/export/candles",
                self.candles,
                "The prices of a token as a file, as GET /candles gives them.",
                query=CandlesExport,
                media_type="text/csv",
            ),
            ApiRoute(
                "GET",
                "/export/strategies",
                self.strategies,
                "The strategies with their results as a file.",
                query=FormatQuery,
                media_type="text/csv",
            ),
            ApiRoute(
                "GET",
                "/export/memories",
                self.memories,
                f"Memories that were found as a file, best first; at most {MEMORIES_MAX}.",
                query=MemoriesExport,
                media_type="text/csv",
            ),
        ]


def _trade_row(trade: TradeView, money: str) -> Row:
    plain = trade.model_dump(mode="json", exclude={"value", "costs", "realised"})
    realised = trade.realised
    return {
        **plain,
        "money": money,
        "value_sol": trade.value.sol,
        "value_usd": trade.value.usd,
        "value_lamports": trade.value.lamports,
        **trade.costs.model_dump(exclude={"failed_lamports"}),
        "realised_sol": None if realised is None else realised.sol,
        "realised_usd": None if realised is None else realised.usd,
        "realised_lamports": None if realised is None else realised.lamports,
    }


def _point_rows(series: EquitySeries) -> list[Row]:
    return [{**each.model_dump(mode="json"), "money": series.money} for each in series.points]


def _strategy_row(strategy: StrategyView) -> Row:
    return {
        **strategy.model_dump(mode="json"),
        "capital_lamports": strategy.capital.lamports,
        "realised_lamports": strategy.realised.lamports,
        "unrealised_lamports": strategy.unrealised.lamports,
    }
