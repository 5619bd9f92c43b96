"""A loopback server that speaks the part of Binance's documented spot API that past bars need, with faults on demand.

``GET /api/v3/exchangeInfo`` and ``GET /api/v3/klines`` (oldest first, at most ``limit``, from ``startTime`` on).
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.market_server import NS, Answer, SteppedClock, loopback, page

INTERVALS_S = {"1m": 60, "5m": 300, "1h": 3_600}


class ExchangeServer:
    """``faults[name]`` is a queue of answers given instead of the next pages of that name: info, klines.

    Bars exist from ``first_s`` up to the present one of ``clock``; ``holes_s`` are missing, ``rows`` replace the bars
    of their time, ``cap`` is how many a page holds at most. ``is_unruly`` sends a page backwards and every bar twice.
    """

    def __init__(self, clock: SteppedClock, first_s: int) -> None:
        self.clock = clock
        self.first_s = first_s
        self.holes_s: set[int] = set()
        self.rows: dict[int, list[Any]] = {}
        self.cap = 1_000
        self.is_unruly = False
        self.skew_s = 0.0
        self.calls: dict[str, int] = defaultdict(int)
        self.faults: dict[str, deque[Answer]] = defaultdict(deque)
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def serving(cls, clock: SteppedClock, first_s: int) -> AsyncIterator[Self]:
        server = cls(clock, first_s)
        routes = [
            Route("/api/v3/exchangeInfo", server._route("info", server._info)),
            Route("/api/v3/klines", server._route("klines", server._klines)),
        ]
        async with loopback(routes) as url:
            server.url = url
            yield server

    def bar(self, open_s: int, interval_s: int) -> list[Any]:
        """Return a bar as the API sends it: prices as text with trailing zeros."""
        price = f"0.0000{2_000 + (open_s // interval_s) % 7}00"
        row = [open_s * 1_000, price, price, price, price, "1500.00", (open_s + interval_s) * 1_000 - 1]
        return self.rows.get(open_s, [*row, "0.03", 7, "700.00", "0.014", "0"])

    def _route(self, name: str, usual: Answer) -> Answer:
        async def answer(request: Request) -> Response:
            self.calls[name] += 1
            response = await (self.faults[name].popleft() if self.faults[name] else usual)(request)
            response.headers["date"] = formatdate(self.clock.now_ns() / NS + self.skew_s, usegmt=True)
            return response

        return answer

    async def _info(self, request: Request) -> Response:
        symbols = [_symbol("BONK", "USDT"), _symbol("SOL", "USDT"), _symbol("SOL", "BTC")]
        return page({"timezone": "UTC", "serverTime": self.clock.now_ns() // 1_000_000, "symbols": symbols})

    async def _klines(self, request: Request) -> Response:
        query = request.query_params
        if query["symbol"] not in ("BONKUSDT", "SOLUSDT"):
            return page({"code": -1121, "msg": "Invalid symbol."}, 400)
        interval_s = INTERVALS_S[query["interval"]]
        now_s = self.clock.now_ns() // NS
        open_s = max(self.first_s, -(-int(query["startTime"]) // 1_000))
        open_s = -(-open_s // interval_s) * interval_s
        rows: list[list[Any]] = []
        while open_s <= now_s and len(rows) < min(int(query["limit"]), self.cap):
            if open_s not in self.holes_s:
                rows.append(self.bar(open_s, interval_s))
            open_s += interval_s
        return page([*reversed(rows), *rows] if self.is_unruly else rows)


def _symbol(base: str, quote: str) -> dict[str, Any]:
    return {
        "symbol": base + quote,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "filters": [],
    }
