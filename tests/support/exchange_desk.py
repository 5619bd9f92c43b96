"""The private half of a loopback exchange: Binance's documented spot orders, balances and books, signatures checked.

Faults are per request: ``faults["order"]`` is a queue of names. Each order is taken or refused by the rules of the real
one: window of the time stamp, name used before, lot and tick, least worth, balance.
"""

import hashlib
import hmac
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.support.market_server import loopback, page

KEY, SECRET = "key-of-the-test", "secret-that-nobody-may-see"
STEP, TICK, LEAST = Decimal("0.001"), Decimal("0.01"), Decimal(5)
Fault = Literal["lost", "unsent", "slow", "reject", "rate", "broken", "half", "garbage", "delayed"]
"""lost: done and the connection cut before the answer. unsent: cut before it was done. slow: done, answered late.
reject: refused. rate: 429 with Retry-After. broken: 500, done all the same. half: only half of it is filled. garbage:
done, answered with no JSON. delayed: cut, and what was asked for arrives only ``delayed_ms`` later."""


@dataclass
class PlacedOrder:
    number: int
    name: str
    side: str
    wanted: Decimal
    price: Decimal
    status: str = "EXPIRED"
    fills: list[tuple[Decimal, Decimal, Decimal]] = field(default_factory=list)
    """Price, base, commission of what was received."""

    @property
    def filled(self) -> Decimal:
        return sum((each[1] for each in self.fills), Decimal(0))

    @property
    def cost(self) -> Decimal:
        return sum((each[0] * each[1] for each in self.fills), Decimal(0))


class ExchangeDesk:
    """One account at one exchange that trades SOL/USDC. ``bids`` and ``asks`` are (price, amount), the best first."""

    def __init__(self, now_ms: Any, taker: str = "0.001") -> None:
        self.now_ms = now_ms
        self.taker = Decimal(taker)
        self.bids = [(Decimal("149.90"), Decimal(50)), (Decimal("149.50"), Decimal(200))]
        self.asks = [(Decimal("150.10"), Decimal(50)), (Decimal("150.50"), Decimal(200))]
        self.free = {"SOL": Decimal(100), "USDC": Decimal(20_000), "BNB": Decimal(0)}
        self.orders: dict[str, PlacedOrder] = {}
        self.received: list[str] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.fault_for: Callable[[str, Mapping[str, str]], Fault | None] = lambda _route, _given: None
        """What meets a request that no fault of the queues does."""
        self.late: list[tuple[int, Mapping[str, str]]] = []
        self.delayed_ms = 1_000
        self.slow_s = 1.0
        self.fee_currency = ""
        self.calls: dict[str, int] = defaultdict(int)
        self.withdrawn: list[dict[str, Any]] = []
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def serving(cls, now_ms: Any, **how: Any) -> AsyncIterator[Self]:
        desk = cls(now_ms, **how)
        routes = [
            Route("/api/v3/exchangeInfo", desk._route("info", desk._info, is_private=False)),
            Route("/api/v3/time", desk._route("time", desk._time, is_private=False)),
            Route("/api/v3/depth", desk._route("depth", desk._depth, is_private=False)),
            Route("/api/v3/account", desk._route("account", desk._account)),
            Route("/api/v3/order", desk._route("order", desk._place), methods=["POST"]),
            Route("/api/v3/order", desk._route("look", desk._look), methods=["GET"]),
            Route("/api/v3/order", desk._route("cancel", desk._look), methods=["DELETE"]),
            Route("/api/v3/myTrades", desk._route("fills", desk._fills)),
            Route("/sapi/v1/capital/withdraw/apply", desk._route("withdraw", desk._withdraw), methods=["POST"]),
            Route("/sapi/v1/capital/withdraw/history", desk._route("withdrawals", desk._withdrawals)),
        ]
        async with loopback(routes) as url:
            desk.url = url
            yield desk

    def _route(self, name: str, usual: Any, *, is_private: bool = True) -> Any:
        async def answer(request: Request) -> Response:
            self.calls[name] += 1
            self._arrive()
            query = request.url.query or (await request.body()).decode()
            given = dict(parse_qsl(query, keep_blank_values=True))
            problem = self._problem(request, query, given) if is_private else None
            if problem is not None:
                return problem
            fault = self.faults[name].popleft() if self.faults[name] else self.fault_for(name, given)
            if fault in ("unsent", "delayed"):
                if fault == "delayed":
                    self.late.append((self.now_ms() + self.delayed_ms, given))
                return _cut()
            if fault == "rate":
                response = page({"code": -1003, "msg": "Too many requests."}, 429)
                response.headers["retry-after"] = "1"
                return response
            if fault == "reject":
                return page({"code": -2010, "msg": "Account has insufficient balance for requested action."}, 400)
            done = usual(given, is_half=fault == "half")
            if fault == "slow":
                await anyio.sleep(self.slow_s)
            if fault == "lost":
                return _cut()
            if fault == "broken":
                return page({"code": -1000, "msg": "An unknown error occurred."}, 500)
            return Response("<html>half an ans", media_type="text/html") if fault == "garbage" else done

        return answer

    def _problem(self, request: Request, query: str, given: Mapping[str, str]) -> Response | None:
        signed, _, told = query.rpartition("&signature=")
        if request.headers.get("x-mbx-apikey") != KEY:
            return page({"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, 401)
        if not hmac.compare_digest(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest(), told):
            return page({"code": -1022, "msg": "Signature for this request is not valid."}, 400)
        return self._late_problem(given)

    def _late_problem(self, given: Mapping[str, str], at_ms: int | None = None) -> Response | None:
        stamped, now_ms = int(given["timestamp"]), self.now_ms() if at_ms is None else at_ms
        if stamped >= now_ms + 1_000:
            return page({"code": -1021, "msg": "Timestamp for this request was ahead of the server's time."}, 400)
        if now_ms - stamped > int(given.get("recvWindow", 5_000)):
            return page({"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, 400)
        return None

    def _arrive(self) -> None:
        """Take what was under way all the time, if its window is still open."""
        for each in [late for late in self.late if late[0] <= self.now_ms()]:
            self.late.remove(each)
            if self._late_problem(each[1], each[0]) is None:
                self._place(each[1])

    def _info(self, given: Mapping[str, str], *, is_half: bool) -> Response:
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": str(TICK), "maxPrice": "100000", "tickSize": str(TICK)},
            {"filterType": "LOT_SIZE", "minQty": str(STEP), "maxQty": "9000", "stepSize": str(STEP)},
            {"filterType": "NOTIONAL", "minNotional": str(LEAST), "applyMinToMarket": True},
        ]
        symbol = {
            "symbol": "SOLUSDC",
            "status": "TRADING",
            "baseAsset": "SOL",
            "baseAssetPrecision": 8,
            "quoteAsset": "USDC",
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "MARKET"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "filters": filters,
        }
        return page({"timezone": "UTC", "serverTime": self.now_ms(), "symbols": [symbol]})

    def _time(self, given: Mapping[str, str], *, is_half: bool) -> Response:
        return page({"serverTime": self.now_ms()})

    def _depth(self, given: Mapping[str, str], *, is_half: bool) -> Response:
        most = int(given.get("limit", "100"))
        sides = {"bids": self.bids, "asks": self.asks}
        rows = {name: [[f"{p:f}", f"{a:f}"] for p, a in each[:most]] for name, each in sides.items()}
        return page({"lastUpdateId": 1, **rows})

    def _account(self, given: Mapping[str, str], *, is_half: bool) -> Response:
        rows = [{"asset": name, "free": f"{each:f}", "locked": "0.00"} for name, each in self.free.items()]
        return page({"canTrade": True, "accountType": "SPOT", "balances": rows})

    def _place(self, given: Mapping[str, str], *, is_half: bool = False) -> Response:
        name, side = given["newClientOrderId"], given["side"]
        wanted, price = Decimal(given["quantity"]), Decimal(given["price"])
        self.received.append(name)
        if name in self.orders:
            return page({"code": -2010, "msg": "Duplicate order sent."}, 400)
        if wanted % STEP or price % TICK or wanted < STEP:
            return page({"code": -1013, "msg": "Filter failure: LOT_SIZE"}, 400)
        if wanted * price < LEAST:
            return page({"code": -1013, "msg": "Filter failure: NOTIONAL"}, 400)
        needed, asset = (wanted * price, "USDC") if side == "BUY" else (wanted, "SOL")
        if self.free[asset] < needed:
            return page({"code": -2010, "msg": "Account has insufficient balance for requested action."}, 400)
        assert given["timeInForce"] == "IOC"
        assert given["type"] == "LIMIT"
        order = PlacedOrder(len(self.orders) + 1, name, side, wanted, price)
        self.orders[name] = order
        self._match(order, wanted / 2 // STEP * STEP if is_half else wanted)
        return page(self._shown(order) | {"fills": self._fill_rows(order)})

    def _match(self, order: PlacedOrder, most: Decimal) -> None:
        levels = self.asks if order.side == "BUY" else self.bids
        for at, (price, amount) in enumerate(list(levels)):
            left = most - order.filled
            is_in_vain = price > order.price if order.side == "BUY" else price < order.price
            if is_in_vain or not left:
                break
            taken = min(left, amount)
            got = taken if order.side == "BUY" else taken * price
            fee = (got * self.taker).quantize(Decimal("0.00000001"), ROUND_CEILING)
            order.fills.append((price, taken, fee))
            levels[at] = (price, amount - taken)
        levels[:] = [each for each in levels if each[1]]
        sign = 1 if order.side == "BUY" else -1
        self.free["SOL"] += sign * order.filled
        self.free["USDC"] -= sign * order.cost
        if not self.fee_currency:
            self.free["SOL" if order.side == "BUY" else "USDC"] -= sum((each[2] for each in order.fills), Decimal(0))
        order.status = "FILLED" if order.filled == order.wanted else "EXPIRED"

    def _look(self, given: Mapping[str, str], *, is_half: bool) -> Response:
        order = self.orders.get(given.get("origClientOrderId", ""))
        if order is None:
            return page({"code": -2013, "msg": "Order does not exist."}, 400)
        return page(self._shown(order))

    def _fills(self, given: Mapping[str, str], *, is_half: bool) -> Response:
        order = next((each for each in self.orders.values() if str(each.number) == given["orderId"]), None)
        assert order is not None
        rows = [
            each | {"symbol": "SOLUSDC", "id": n, "orderId": order.number, "time": self.now_ms(), "isMaker": False}
            for n, each in enumerate(self._fill_rows(order))
        ]
        return page([each | {"isBuyer": order.side == "BUY"} for each in rows])

    def _withdraw(self, given: Mapping[str, str], *, is_half: bool = False) -> Response:
        coin, amount = given["coin"], Decimal(given["amount"])
        if self.free[coin] < amount:
            return page({"code": -4026, "msg": "The user has insufficient balance available."}, 400)
        self.free[coin] -= amount
        row = {
            "id": f"w{len(self.withdrawn) + 1}",
            "amount": str(amount),
            "transactionFee": "0.001",
            "coin": coin,
            "status": 4,
            "address": given["address"],
            "txId": "",
            "applyTime": "2026-10-01 00:00:00",
            "network": given["network"],
            "transferType": 0,
            "withdrawOrderId": given["withdrawOrderId"],
        }
        self.withdrawn.append(row)
        return page({"id": row["id"]})

    def _withdrawals(self, given: Mapping[str, str], *, is_half: bool) -> Response:
        if int(given["endTime"]) - int(given["startTime"]) >= 7 * 86_400_000:
            return page({"code": -1128, "msg": "With withdrawOrderId it must be less than 7 days."}, 400)
        found = [each for each in self.withdrawn if each["withdrawOrderId"] == given["withdrawOrderId"]]
        return page(found)

    def _fill_rows(self, order: PlacedOrder) -> list[dict[str, Any]]:
        currency = self.fee_currency or ("SOL" if order.side == "BUY" else "USDC")
        return [
            {"price": f"{p:f}", "qty": f"{a:f}", "commission": f"{fee:f}", "commissionAsset": currency, "tradeId": n}
            for n, (p, a, fee) in enumerate(order.fills)
        ]

    def _shown(self, order: PlacedOrder) -> dict[str, Any]:
        return {
            "symbol": "SOLUSDC",
            "orderId": order.number,
            "clientOrderId": order.name,
            "transactTime": self.now_ms(),
            "price": f"{order.price:f}",
            "origQty": f"{order.wanted:f}",
            "executedQty": f"{order.filled:f}",
            "cummulativeQuoteQty": f"{order.cost:f}",
            "status": order.status,
            "timeInForce": "IOC",
            "type": "LIMIT",
            "side": order.side,
        }


def _cut() -> Response:
    return _Cut()


class _Cut(Response):
    """An answer whose head promises more than comes: the connection ends in its middle."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"64")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
