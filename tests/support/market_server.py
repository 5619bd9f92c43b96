"""A loopback server with pages of the documented schema of the public market APIs, and faults on demand.

The pages follow the OpenAPI files that docs/feeds.md names. Time is the test's: bars exist up to ``clock.now_ns()``.
"""

import json
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from email.utils import formatdate
from typing import Any, Self

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.loopback_server import LoopbackServer
from trading.config import MarketSection
from trading.feeds.instruments import WRAPPED_SOL_MINT

NS = 1_000_000_000
Answer = Callable[[Request], Awaitable[Response]]


async def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until the condition holds, bounded."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event to wait on
            await anyio.sleep(0.002)


class SteppedClock:
    """A clock that moves only when somebody sleeps on it or sets it."""

    def __init__(self, start_s: int = 1_790_000_000) -> None:
        self._now_ns = start_s * NS

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, seconds: float) -> None:
        self._now_ns += int(seconds * NS)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await anyio.lowlevel.checkpoint()


@dataclass(slots=True)
class FakePool:
    """A pool of a token against SOL as the server tells of it; set a field to make it lie."""

    address: str
    mint: str
    symbol: str
    decimals: int | None = 6
    price_sol: str = "0.0001"
    reserve_in_usd: str | None = "250000.5"
    volume_usd_day: str | None = "900000"
    created_at: str | None = "2026-01-01T00:00:00Z"
    liquidity_quote: float | None = 800.0
    liquidity_usd: float | None = 240_000.0
    second_price: str | None = None
    skip_bars_s: set[int] = field(default_factory=set)
    extra_rows: list[list[Any]] = field(default_factory=list)


def address(word: str) -> str:
    """Return a well-formed address that begins with the word."""
    return (word + "1" * 44)[:44]


@asynccontextmanager
async def loopback(routes: list[Route], port: int = 0) -> AsyncIterator[str]:
    """Serve the routes on a port of this machine, a free one unless it is named; yield the address."""
    # With the protocol named, asyncio switches Nagle's algorithm off: 40 ms less per answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        Starlette(routes=routes), log_config=None, lifespan="off", date_header=False, timeout_graceful_shutdown=1
    )
    runner = LoopbackServer(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.serve, [listener])
        await eventually(lambda: runner.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            runner.should_exit = True


class MarketServer:
    """Start with ``serving``. ``faults[name]`` is a queue of answers given instead of the next pages of that name.

    Names: trending, new, multi, token, ohlcv, dexscreener, jupiter.
    """

    def __init__(self, clock: SteppedClock, pools: list[FakePool], interval_s: int = 300) -> None:
        self.clock = clock
        self.pools = {pool.address: pool for pool in pools}
        self.new: list[FakePool] = []
        self.interval_s = interval_s
        self.sol_usd = "142.5"
        self.skew_s = 0.0
        self.calls: dict[str, int] = defaultdict(int)
        self.faults: dict[str, deque[Answer]] = defaultdict(deque)
        self.always: dict[str, Answer] = {}
        self.headers_seen: list[dict[str, str]] = []
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def serving(cls, clock: SteppedClock, pools: list[FakePool]) -> AsyncIterator[Self]:
        server = cls(clock, pools)
        routes = [
            Route("/gecko/networks/solana/trending_pools", server._route("trending", server._trending)),
            Route("/gecko/networks/solana/new_pools", server._route("new", server._new)),
            Route("/gecko/networks/solana/pools/multi/{addresses}", server._route("multi", server._multi)),
            Route("/gecko/networks/solana/tokens/{mint}/pools", server._route("token", server._token)),
            Route("/gecko/networks/solana/pools/{address}/ohlcv/{timeframe}", server._route("ohlcv", server._ohlcv)),
            Route("/dex/tokens/v1/solana/{mints}", server._route("dexscreener", server._dexscreener)),
            Route("/jup/price/v3", server._route("jupiter", server._jupiter)),
        ]
        async with loopback(routes) as url:
            server.url = url
            yield server

    def section(self, **changes: Any) -> MarketSection:
        """Return settings that point here, with budgets that don't slow a test down."""
        given: dict[str, Any] = {
            "gecko_url": f"{self.url}/gecko",
            "dexscreener_url": f"{self.url}/dex",
            "jupiter_url": f"{self.url}/jup",
            "gecko_calls_per_minute": 60_000,
            "dexscreener_calls_per_minute": 60_000,
            "jupiter_calls_per_minute": 60_000,
            "backoff_base_s": 0.01,
            "backoff_cap_s": 0.02,
            "timeout_s": 5.0,
        }
        return MarketSection.model_validate(given | changes)

    def bar_row(self, pool: FakePool, open_s: int) -> list[float]:
        """Return the bar that opens then: a small saw-tooth around the pool's price, volume in SOL."""
        step = (open_s // self.interval_s) % 7
        price = float(pool.price_sol) * (1 + 0.002 * step)
        return [open_s, price, price * 1.004, price * 0.997, price * 1.001, 12.5]

    def _route(self, name: str, page: Answer) -> Answer:
        async def answer(request: Request) -> Response:
            self.calls[name] += 1
            self.headers_seen.append(dict(request.headers))
            page_now = self.faults[name].popleft() if self.faults[name] else self.always.get(name, page)
            response = await page_now(request)
            response.headers["date"] = formatdate(self.clock.now_ns() / NS + self.skew_s, usegmt=True)
            return response

        return answer

    async def _trending(self, request: Request) -> Response:
        return self._pools_page(list(self.pools.values()))

    async def _new(self, request: Request) -> Response:
        return self._pools_page(self.new)

    async def _multi(self, request: Request) -> Response:
        wanted = request.path_params["addresses"].split(",")
        return self._pools_page([self.pools[name] for name in wanted if name in self.pools])

    async def _token(self, request: Request) -> Response:
        return self._pools_page([pool for pool in self.pools.values() if pool.mint == request.path_params["mint"]])

    async def _ohlcv(self, request: Request) -> Response:
        assert request.query_params["currency"] == "token"
        pool = self.pools.get(request.path_params["address"])
        if pool is None:
            return page({"errors": [{"status": "404", "title": "Not Found"}]}, 404)
        now_s = self.clock.now_ns() // NS
        before_s = min(now_s, int(request.query_params.get("before_timestamp", now_s + 1)) - 1)
        newest_s = before_s // self.interval_s * self.interval_s
        count = int(request.query_params["limit"]) - len(pool.extra_rows)
        opens = [newest_s - back * self.interval_s for back in range(count)]
        made_s = datetime.fromisoformat(pool.created_at).timestamp() if pool.created_at else 0
        there = (open_s for open_s in opens if open_s >= made_s and open_s not in pool.skip_bars_s)
        rows = [self.bar_row(pool, open_s) for open_s in there]
        return page({"data": {"id": "x", "attributes": {"ohlcv_list": pool.extra_rows + rows}}, "meta": {}})

    async def _dexscreener(self, request: Request) -> Response:
        mints = request.path_params["mints"].split(",")
        pairs = [self._dex_pair(pool) for pool in self.pools.values() if pool.mint in mints]
        if WRAPPED_SOL_MINT in mints:
            quote = {"address": address("USDC"), "symbol": "USDC", "name": "USD Coin"}
            pairs.append(
                {
                    "chainId": "solana",
                    "dexId": "orca",
                    "pairAddress": address("SoUsd"),
                    "baseToken": {"address": WRAPPED_SOL_MINT, "symbol": "SOL", "name": "Wrapped SOL"},
                    "quoteToken": quote,
                    "priceNative": self.sol_usd,
                    "priceUsd": self.sol_usd,
                    "liquidity": {"usd": 9_000_000.0, "base": 1.0, "quote": 1.0},
                }
            )
        return page(pairs)

    async def _jupiter(self, request: Request) -> Response:
        return page({WRAPPED_SOL_MINT: {"usdPrice": float(self.sol_usd) + 1, "blockId": 1, "decimals": 9}})

    def _dex_pair(self, pool: FakePool) -> dict[str, Any]:
        newest_s = self.clock.now_ns() // NS // self.interval_s * self.interval_s - self.interval_s
        price = pool.second_price or str(Decimal(repr(self.bar_row(pool, newest_s)[4])))
        return {
            "chainId": "solana",
            "dexId": "raydium",
            "pairAddress": pool.address,
            "baseToken": {"address": pool.mint, "symbol": pool.symbol, "name": pool.symbol},
            "quoteToken": {"address": WRAPPED_SOL_MINT, "symbol": "SOL", "name": "Wrapped SOL"},
            "priceNative": price,
            "priceUsd": "0.01",
            "txns": {"m5": {"buys": 1, "sells": 2}},
            "volume": {"h24": 1.0},
            "liquidity": {"usd": pool.liquidity_usd, "base": 1.0, "quote": pool.liquidity_quote},
            "pairCreatedAt": 1_790_000_000_000,
        }

    def _pools_page(self, pools: list[FakePool]) -> Response:
        included = [
            {
                "id": f"solana_{pool.mint}",
                "type": "token",
                "attributes": {"address": pool.mint, "symbol": pool.symbol, "decimals": pool.decimals},
            }
            for pool in pools
        ]
        return page({"data": [self._gecko_pool(pool) for pool in pools], "included": included})

    def _gecko_pool(self, pool: FakePool) -> dict[str, Any]:
        return {
            "id": f"solana_{pool.address}",
            "type": "pool",
            "attributes": {
                "address": pool.address,
                "name": f"{pool.symbol} / SOL",
                "base_token_price_usd": "0.014",
                "base_token_price_quote_token": pool.price_sol,
                "quote_token_price_usd": self.sol_usd,
                "reserve_in_usd": pool.reserve_in_usd,
                "volume_usd": {"m5": "1", "h24": pool.volume_usd_day},
                "pool_created_at": pool.created_at,
                "fdv_usd": "1000000",
                "market_cap_usd": None,
                "price_change_percentage": {"h1": "1.2", "h24": None},
            },
            "relationships": {
                "base_token": {"data": {"id": f"solana_{pool.mint}", "type": "token"}},
                "quote_token": {"data": {"id": f"solana_{WRAPPED_SOL_MINT}", "type": "token"}},
                "dex": {"data": {"id": "raydium", "type": "dex"}},
            },
        }


def page(document: Any, status: int = 200) -> Response:
    # Escaped, so that also half of a character comes through, as from a server that is not ours.
    return Response(json.dumps(document, separators=(",", ":")), status, media_type="application/json")


def html(status: int = 200) -> Answer:
    """An error page of a proxy or a bot check."""

    async def answer(request: Request) -> Response:
        return Response("<!DOCTYPE html><title>Just a moment...</title>", status, media_type="text/html")

    return answer


def status(code: int, **headers: str) -> Answer:
    async def answer(request: Request) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(b'{"error":"no"}', code, media_type="application/json", headers=named)

    return answer


def document(value: Any) -> Answer:
    """Any JSON instead of the documented page."""

    async def answer(request: Request) -> Response:
        return page(value)

    return answer


def hanging(release: anyio.Event) -> Answer:
    """No answer until the test releases it."""

    async def answer(request: Request) -> Response:
        await release.wait()
        return page({})

    return answer


def huge(size: int) -> Answer:
    async def answer(request: Request) -> Response:
        return Response(b"[" + b"1," * (size // 2) + b"1]", media_type="application/json")

    return answer
