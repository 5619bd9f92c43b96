"""A local server that speaks Jupiter's documented API over pools of a rehearsal chain: real instructions, real prices.

``/swap/v2/build``, ``/order``, ``/execute``, ``/price/v3`` and ``/tokens/v2/search`` as documented in August 2026,
exact in only. ``/control`` on loopback makes it fail or cheat (``jupiter_faults``). Of the chain it needs JSON-RPC and
no more, so it stands beside any cluster that has the pool program.
"""

import base64
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import ip_address
from time import monotonic, time, time_ns
from typing import Any, Final
from uuid import uuid4

import httpx2
import orjson
from solders.hash import Hash
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .jupiter_chain import ChainTrouble, RpcChain
from .jupiter_faults import Fault, Faults, instead
from .jupiter_market import Labels, LocalMarket, LocalToken, Quote
from .jupiter_orders import Orders, payer_of, quoted, shortfall
from .jupiter_parts import MALICE, Parts, assemble, compute_price
from .loopback import LOOPBACK, bound, served

_BPS: Final = 10_000
_U64_MAX: Final = 2**64 - 1
_WINDOW_S: Final = 60.0
_IDS_MAX: Final = 50
_SHOWN_MAX: Final = 20
_BODY_BYTES_MAX: Final = 16_384
_PERCENTILES: Final[Mapping[str, int]] = {"medium": 2_500, "high": 5_000, "veryHigh": 7_500}
Page = Callable[[Request, Fault | None], Awaitable[Response]]


class Refused(Exception):
    """A 400 with its documented body."""

    def __init__(self, error: str, code: str | None = None) -> None:
        super().__init__(error)
        self.body = {"error": error} | ({"errorCode": code} if code else {})


@dataclass(frozen=True, slots=True)
class Asked:
    """A question for a swap, read from the query."""

    in_mint: str
    out_mint: str
    amount: int
    slippage_bps: int
    labels: Labels
    taker: Pubkey | None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """``keys``: only these are let in, with or without a limit; empty: anybody, without a key. ``calls_per_minute``:
    None for no limit. ``execute_wait_s``: how long ``/execute`` waits for the chain."""

    keys: frozenset[str] = frozenset()
    calls_per_minute: int | None = None
    execute_wait_s: float = 30.0


class JupiterServer:
    """The pages. Open it with ``serving``; ``faults`` is what ``/control`` fills."""

    def __init__(self, market: LocalMarket, options: ServerOptions | None = None) -> None:
        self._market = market
        self._options = options or ServerOptions()
        self._orders = Orders(market.chain, self._options.execute_wait_s)
        self._calls: deque[float] = deque()
        self.faults = Faults()
        self.url = ""

    def app(self) -> Starlette:
        pages: dict[str, tuple[str, Page, str]] = {
            "build": ("/swap/v2/build", self._build, "GET"),
            "order": ("/swap/v2/order", self._order, "GET"),
            "execute": ("/swap/v2/execute", self._execute, "POST"),
            "price": ("/price/v3", self._price, "GET"),
            "search": ("/tokens/v2/search", self._search, "GET"),
        }
        routes = [Route(path, self._page(name, page), methods=[way]) for name, (path, page, way) in pages.items()]
        return Starlette(routes=[*routes, Route("/control", self._control, methods=["GET", "POST", "DELETE"])])

    # -- the gateway

    def _page(self, name: str, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            fault = self.faults.take(name)
            response = self._turned_away(request) or (await instead(fault) if fault else None)
            if response is None:
                try:
                    response = await page(request, fault)
                except Refused as exc:
                    response = JSONResponse(exc.body, 400)
                except ChainTrouble as exc:
                    response = JSONResponse({"error": f"Internal server error: {exc}"}, 500)
                if fault is not None and fault.kind == "cut":
                    response = Response(bytes(response.body)[: len(response.body) // 2], media_type="application/json")
            response.headers["x-api-gateway-request-id"] = uuid4().hex
            return response

        return answer

    def _turned_away(self, request: Request) -> Response | None:
        if self._options.keys and request.headers.get("x-api-key") not in self._options.keys:
            return JSONResponse({"code": 401, "message": "Unauthorized"}, 401)
        limit = self._options.calls_per_minute
        if limit is None:
            return None
        now_s = monotonic()
        while self._calls and self._calls[0] <= now_s - _WINDOW_S:
            self._calls.popleft()
        if len(self._calls) < limit:
            self._calls.append(now_s)
            return None
        reset = str(int(time() + self._calls[0] + _WINDOW_S - now_s) + 1)
        headers = {"x-ratelimit-remaining": "0", "x-ratelimit-current": str(limit), "x-ratelimit-reset": reset}
        return JSONResponse({"error": "[API Gateway] Too many requests"}, 429, headers)

    async def _control(self, request: Request) -> Response:
        """POST {path, kind, count?, seconds?, retry_after_s?} to queue a fault, DELETE to forget all, GET to look."""
        host = request.client.host if request.client else ""
        if not _is_loopback(host):
            return JSONResponse({"error": "on this machine only"}, 403)
        if request.method == "DELETE":
            self.faults.clear()
        if request.method == "POST":
            try:
                given = orjson.loads(await request.body())
                fault = Fault(str(given["kind"]), float(given.get("seconds", 1)), given.get("retry_after_s"))
                self.faults.put(str(given["path"]), fault, int(given.get("count", 1)))
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                return JSONResponse({"error": f"no such fault: {exc}"}, 400)
        return JSONResponse(self.faults.left())

    # -- swaps

    async def _build(self, request: Request, fault: Fault | None) -> Response:
        asked = _asked(request)
        if asked.taker is None:
            raise Refused("taker is required")
        quote = await self._quote(asked, fault)
        wraps = request.query_params.get("wrapAndUnwrapSol", "true") == "true"
        parts = _cheated(await self._parts(asked.taker, quote, asked, wraps=wraps), fault)
        accounts_max = _number(request, "maxAccounts", 64, 1, 64)
        if len(parts.swap.accounts) > accounts_max:
            raise Refused("No routes found")
        blockhash, last_valid = await self._market.chain.blockhash()
        now_ns = time_ns()
        tables = await self._market.table_addresses()
        body = _told(quote, asked) | {
            "computeBudgetInstructions": [_json(compute_price(await self._advice(request, parts)))],
            "setupInstructions": [_json(each) for each in parts.setup],
            "swapInstruction": _json(parts.swap),
            "cleanupInstruction": _json(parts.cleanup) if parts.cleanup else None,
            "otherInstructions": [_json(each) for each in parts.others],
            "tipInstruction": _json(parts.tip) if parts.tip else None,
            "addressesByLookupTableAddress": tables or None,
            "blockhashWithMetadata": {
                "blockhash": list(bytes(Hash.from_string(blockhash))),
                "lastValidBlockHeight": last_valid,
                "fetchedAt": {"secs_since_epoch": now_ns // 10**9, "nanos_since_epoch": now_ns % 10**9},
            },
        }
        return JSONResponse(body)

    async def _order(self, request: Request, fault: Fault | None) -> Response:
        asked = _asked(request)
        if "metis" in request.query_params.get("excludeRouters", "").split(","):
            raise Refused("No routes found")
        quote = await self._quote(asked, fault)
        taker = None if asked.taker is None else str(asked.taker)
        body = _told(quote, asked) | {
            "priceImpact": -float(quote.impact * 100),
            "requestId": str(uuid4()),
            "transaction": None,
        }
        if asked.taker is None:
            return JSONResponse(body | quoted(None, None))
        parts = _cheated(await self._parts(asked.taker, quote, asked, wraps=True), fault)
        parts = replace(parts, price=await self._advice(request, parts))
        body |= quoted(parts, taker)
        lack = await shortfall(self._market.chain, parts)
        if lack is not None:
            lacking = {"transaction": "", "errorCode": lack[0], "errorMessage": lack[1], "error": lack[1]}
            return JSONResponse(body | lacking)
        blockhash, last_valid = await self._market.chain.blockhash()
        payer = payer_of(parts, fault.kind if fault else "")
        raw = self._orders.transaction(parts, blockhash, await self._market.table_addresses(), payer=payer)
        return JSONResponse(
            body
            | {
                "transaction": base64.b64encode(raw).decode(),
                "requestId": self._orders.remember(raw, last_valid),
                "lastValidBlockHeight": str(last_valid),
            }
        )

    async def _execute(self, request: Request, fault: Fault | None) -> Response:
        raw = await request.body()
        if len(raw) > _BODY_BYTES_MAX:
            raise Refused("Body too large")
        try:
            body = orjson.loads(raw)
        except ValueError as exc:
            raise Refused("Invalid JSON") from exc
        if not isinstance(body, dict) or not {"signedTransaction", "requestId"} <= body.keys():
            raise Refused("signedTransaction and requestId are required")
        kind = fault.kind if fault else ""
        done = await self._orders.execute(body, sends=kind != "never_sent")
        if kind == "lost_answer":
            return JSONResponse({"error": "Internal server error"}, 500)
        return JSONResponse(done)

    async def _quote(self, asked: Asked, fault: Fault | None) -> Quote:
        if asked.in_mint == asked.out_mint:
            raise Refused("Input and output mints are not allowed to be equal", "CIRCULAR_ARBITRAGE_IS_DISABLED")
        is_old = fault is not None and fault.kind == "stale"
        quote = await self._market.quote((asked.in_mint, asked.out_mint), asked.amount, asked.labels, is_old=is_old)
        if quote is None:
            raise Refused("No routes found")
        if quote.out < 1:
            error = "The route plan does not consume all the amount"
            raise Refused(error, "ROUTE_PLAN_DOES_NOT_CONSUME_ALL_THE_AMOUNT")
        return quote

    async def _parts(self, taker: Pubkey, quote: Quote, asked: Asked, *, wraps: bool) -> Parts:
        mints = (asked.in_mint, asked.out_mint)
        programs = await self._market.token_programs(mints)
        missing = [mint for mint in mints if mint not in programs]
        if missing:
            raise Refused(f"The token {missing[0]} is not tradable", "TOKEN_NOT_TRADABLE")
        return assemble(taker, quote, asked.slippage_bps, wraps=wraps)

    async def _advice(self, request: Request, parts: Parts) -> int:
        """Return a percentile of what lately got into blocks; a price that is set already stays."""
        if parts.price:
            return parts.price
        asked = request.query_params.get("computeUnitPricePercentile", "medium")
        share = _PERCENTILES.get(asked)
        if share is None:
            share = _number(request, "computeUnitPricePercentile", 0, 0, _BPS)
        seen = await self._market.chain.fees([str(each.pubkey) for each in parts.swap.accounts if each.is_writable])
        paid = [fee for fee in seen if fee > 0]
        return paid[min(len(paid) * share // _BPS, len(paid) - 1)] if paid else 0

    # -- prices and tokens

    async def _price(self, request: Request, fault: Fault | None) -> Response:
        ids = [each for each in request.query_params.get("ids", "").split(",") if each]
        if not ids or len(ids) > _IDS_MAX:
            raise Refused(f"ids takes 1 to {_IDS_MAX} mints")
        known = await self._market.usd_prices([each for each in ids if _key(each) is not None])
        body = {
            mint: {"usdPrice": float(price), "decimals": decimals, "liquidity": float(liquidity), "blockId": None}
            for mint, (price, decimals, liquidity) in known.items()
        }
        return JSONResponse(body)

    async def _search(self, request: Request, fault: Fault | None) -> Response:
        query = request.query_params.get("query", "")
        if not query:
            raise Refused("query is required")
        wanted = query.split(",")
        found = [
            token
            for token in self._market.tokens
            if token.mint in wanted or query.casefold() in (token.symbol.casefold(), token.name.casefold())
        ][:_SHOWN_MAX]
        known = await self._market.usd_prices([token.mint for token in found])
        programs = await self._market.token_programs([token.mint for token in found])
        return JSONResponse([self._token(token, known, programs) for token in found if token.mint in known])

    def _token(
        self, token: LocalToken, known: Mapping[str, tuple[Decimal, int, Decimal]], programs: Mapping[str, Pubkey]
    ) -> dict[str, Any]:
        price, decimals, liquidity = known[token.mint]
        first = next(pool for pool in self._market.pools if token.mint in map(str, pool.mints))
        made = datetime.fromtimestamp(token.created_s, UTC).isoformat()
        return {
            "id": token.mint,
            "symbol": token.symbol,
            "name": token.name,
            "decimals": decimals,
            "tokenProgram": str(programs[token.mint]),
            "usdPrice": float(price),
            "liquidity": float(liquidity),
            "isVerified": token.is_verified,
            "organicScore": 0.0,
            "firstPool": {"id": str(first.id), "createdAt": made},
        }


@asynccontextmanager
async def serving(
    rpc_url: str, market: Callable[[RpcChain], LocalMarket], options: ServerOptions | None = None, *, port: int = 0
) -> AsyncIterator[JupiterServer]:
    """Serve on loopback, on a free port where none is given; ``url`` of what is yielded says which."""
    async with bound(port) as listening, httpx2.AsyncClient(timeout=10, trust_env=False) as http:
        server = JupiterServer(market(RpcChain(http, rpc_url)), options)
        server.url = f"http://{LOOPBACK}:{listening.getsockname()[1]}"
        async with served(server.app(), listening):
            yield server


def _asked(request: Request) -> Asked:
    given = request.query_params
    mints = [given.get(name, "") for name in ("inputMint", "outputMint")]
    if any(_key(mint) is None for mint in mints):
        raise Refused("inputMint and outputMint must be addresses")
    if given.get("swapMode", "ExactIn") != "ExactIn":
        raise Refused("Only ExactIn is supported")
    only, without = (frozenset(filter(None, given.get(name, "").split(","))) for name in ("dexes", "excludeDexes"))
    if only and without:
        raise Refused("dexes and excludeDexes are mutually exclusive")
    taker = given.get("taker")
    key = _key(taker) if taker else None
    if taker and key is None:
        raise Refused("taker must be an address")
    amount, slippage = _number(request, "amount", 0, 1, _U64_MAX), _number(request, "slippageBps", 50, 0, _BPS)
    return Asked(mints[0], mints[1], amount, slippage, Labels(only, without), key)


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise Refused(f"{name} must be a whole number from {least} to {most}")
    return int(text)


def _key(text: str) -> Pubkey | None:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        return None


def _least(out: int, slippage_bps: int) -> int:
    return -(-out * (_BPS - slippage_bps) // _BPS)


def _cheated(parts: Parts, fault: Fault | None) -> Parts:
    return MALICE[fault.kind](parts) if fault is not None and fault.kind in MALICE else parts


def _told(quote: Quote, asked: Asked) -> dict[str, Any]:
    step = {
        "ammKey": str(quote.pool.id),
        "label": quote.pool.label,
        "inputMint": asked.in_mint,
        "outputMint": asked.out_mint,
        "inAmount": str(asked.amount),
        "outAmount": str(quote.out),
    }
    return {
        "inputMint": asked.in_mint,
        "outputMint": asked.out_mint,
        "inAmount": str(asked.amount),
        "outAmount": str(quote.out),
        "otherAmountThreshold": str(_least(quote.out, asked.slippage_bps)),
        "swapMode": "ExactIn",
        "slippageBps": asked.slippage_bps,
        "priceImpactPct": f"{quote.impact:f}",
        "routePlan": [{"swapInfo": step, "percent": 100, "bps": _BPS}],
    }


def _json(given: Instruction) -> dict[str, Any]:
    accounts = [
        {"pubkey": str(each.pubkey), "isWritable": each.is_writable, "isSigner": each.is_signer}
        for each in given.accounts
    ]
    return {
        "programId": str(given.program_id),
        "accounts": accounts,
        "data": base64.b64encode(bytes(given.data)).decode(),
    }


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
