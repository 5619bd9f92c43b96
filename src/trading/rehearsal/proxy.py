"""Stands in front of any node and makes it fail on purpose: the faults of the rehearsal chain, for a chain that has
none. One URL for HTTP and WebSocket, on this machine only.

The node itself is left alone: what is dropped never reaches it, what is late is handed on later.
"""

import itertools
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import anyio.abc
import httpx2
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .faults import Faults
from .faulty_calls import HEIGHTS, CarrierAway, FaultyCalls, control_faults, shifted
from .loopback import LOOPBACK, bound, served
from .rpc import NODE_BEHIND, RECENT_STATUS_SLOTS, RpcError, signature_in

TIMEOUT_S: Final = 30.0
LATE_LEN_MAX: Final = 1_000
LATE_POLL_S: Final = 0.02
REMEMBERED: Final = 2_000
FINALITY_SLOTS: Final = 32


class Upstream:
    """Body of ``Carrier``: a node elsewhere. With ``lag_slots`` it is told as that many slots behind.

    A blockhash of the past is one that was asked for then; where none is remembered, the node says that it is behind.
    Accounts are those of now.
    """

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url
        self._ids = itertools.count(1)
        self._late: list[tuple[int, Any]] = []
        self._blockhashes: deque[tuple[int, Any]] = deque(maxlen=REMEMBERED)
        self.lag_slots = 0

    async def call(self, method: str, params: Any) -> Any:
        result = await self._asked(method, params)
        if method == "getLatestBlockhash":
            self._blockhashes.append((result["context"]["slot"], result))
        return await self._as_of_then(method, result) if self.lag_slots else result

    async def send_later(self, params: Any, slots: int) -> Any:
        signature = signature_in(params)
        if len(self._late) >= LATE_LEN_MAX:
            raise RpcError(NODE_BEHIND, f"at most {LATE_LEN_MAX} transactions may be late at once")
        due = await self._slot() + slots
        options = {**(params[1] if len(params) > 1 and params[1] else {}), "skipPreflight": True}
        self._late.append((due, [params[0], options]))
        return signature

    async def hand_on_late_ones(self) -> None:
        """Send what is due, until cancelled. Nobody is told where the node refuses it: nobody waits any more."""
        while True:
            await anyio.sleep(LATE_POLL_S)
            if not self._late:
                continue
            try:
                now = await self._slot()
                for each in [late for late in self._late if late[0] <= now]:
                    await self._hand_on(each[1])
                    self._late.remove(each)
            except (RpcError, CarrierAway):
                continue  # the node is away: they stay late

    async def _hand_on(self, params: Any) -> None:
        with suppress(RpcError):
            await self._asked("sendTransaction", params)

    async def _slot(self) -> int:
        return int(await self._asked("getSlot", [{"commitment": "processed"}]))

    async def _asked(self, method: str, params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            answer = (await self._http.post(self._url, json=body)).json()
        except (httpx2.HTTPError, ValueError) as error:
            raise CarrierAway(type(error).__name__) from error
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            told = answer["error"]
            raise RpcError(int(told.get("code", 0)), str(told.get("message", "")), told.get("data"))
        if not isinstance(answer, dict) or "result" not in answer:
            raise CarrierAway("no answer of JSON-RPC")
        return answer["result"]

    async def _as_of_then(self, method: str, result: Any) -> Any:
        behind = self.lag_slots
        if method == "getHealth" and behind > RECENT_STATUS_SLOTS:
            raise RpcError(NODE_BEHIND, f"Node is behind by {behind} slots", {"numSlotsBehind": behind})
        if method == "getLatestBlockhash":
            then = self._blockhashes[-1][0] - behind
            known = [each for slot, each in self._blockhashes if slot <= then]
            if not known:
                raise RpcError(NODE_BEHIND, f"Node is behind by {behind} slots", {"numSlotsBehind": behind})
            return known[-1]
        if method in HEIGHTS:
            return shifted(method, result, -behind)
        if method == "getTransaction":
            return result if result is not None and result["slot"] <= await self._slot() - behind else None
        if method == "getSignaturesForAddress":
            then = await self._slot() - behind
            return [each for each in result if each["slot"] <= then]
        if isinstance(result, dict) and isinstance(result.get("context"), dict):
            value = result["value"]
            if method == "getSignatureStatuses":
                then = await self._slot() - behind
                value = [_status_then(each, then) for each in value]
            return {
                **result,
                "context": {**result["context"], "slot": result["context"]["slot"] - behind},
                "value": value,
            }
        return result


class FaultProxy:
    """What stands in front of one node. Its faults and its lag are set from here or by ``/control``."""

    def __init__(self, http: httpx2.AsyncClient, url: str, websocket_url: str = "") -> None:
        self.upstream = Upstream(http, url)
        self.faults = Faults()
        self.mutes_websocket = False
        self.port = 0
        self._websocket_url = websocket_url
        self._calls = FaultyCalls(self.upstream, self.faults)
        self._open: set[anyio.CancelScope] = set()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def websocket_url(self) -> str:
        return f"ws://{LOOPBACK}:{self.port}/"

    @property
    def control_url(self) -> str:
        return f"{self.url}/control"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/control", self._control, methods=["POST"]),
                Route("/", self._http, methods=["POST"]),
                WebSocketRoute("/", self._websocket),
            ]
        )

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Do what a control request says, and return what was met. Raises: ValueError, TypeError."""
        control_faults(self.faults, body)
        if "lag" in body:
            self.upstream.lag_slots = int(body["lag"])
        if "mute" in body:
            self.mutes_websocket = bool(body["mute"])
        if body.get("cut"):
            for scope in self._open:
                scope.cancel()
        return {"lag": self.upstream.lag_slots, "waiting": len(self.faults.waiting), "met": self.faults.met}

    async def _http(self, request: Request) -> Response:
        return await self._calls.response(await request.body())

    async def _control(self, request: Request) -> Response:
        if "origin" in request.headers:  # no page of a browser
            return Response("only from this machine", status_code=403)
        try:
            return JSONResponse(self.control(await request.json()))
        except (ValueError, TypeError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    async def _websocket(self, socket: WebSocket) -> None:
        if not self._websocket_url:
            await socket.close(1008)
            return
        await socket.accept()
        try:
            async with websockets.connect(self._websocket_url, proxy=None, open_timeout=TIMEOUT_S) as node:
                await self._between(socket, node)
        except (OSError, TimeoutError, websockets.WebSocketException):
            pass  # the node is away: so is this connection
        try:
            await socket.close(1011)
        except RuntimeError:
            return  # the client has closed it

    async def _between(self, socket: WebSocket, node: websockets.ClientConnection) -> None:
        """Hand on what either side says until one of them leaves, or the connection is cut."""

        async def ask() -> None:
            try:
                while True:
                    await node.send(await socket.receive_text())
            except (WebSocketDisconnect, websockets.ConnectionClosed, RuntimeError):
                scope.cancel()

        async def tell() -> None:
            try:
                async for text in node:
                    said = text if isinstance(text, str) else text.decode()
                    if not (self.mutes_websocket and "method" in json.loads(said)):
                        await socket.send_text(said)
            except (websockets.ConnectionClosed, WebSocketDisconnect, RuntimeError):
                pass
            scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                scope = tasks.cancel_scope
                self._open.add(scope)
                tasks.start_soon(ask)
                tasks.start_soon(tell)
        finally:
            self._open.discard(scope)


@asynccontextmanager
async def proxying(url: str, websocket_url: str = "", *, port: int = 0) -> AsyncIterator[FaultProxy]:
    """Stand in front of a node until the block is left. Raises: OSError when the port is taken."""
    async with bound(port) as listening, httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
        proxy = FaultProxy(http, url, websocket_url)
        proxy.port = listening.getsockname()[1]
        async with served(proxy.app(), listening) as tasks:
            tasks.start_soon(proxy.upstream.hand_on_late_ones)
            yield proxy


def _status_then(status: Any, then: int) -> Any:
    """Return a status as a node at an earlier slot tells it."""
    if status is None or status["slot"] > then:
        return None
    age = then - status["slot"]
    if age >= FINALITY_SLOTS:
        return status
    return {**status, "confirmations": age, "confirmationStatus": "confirmed" if age else "processed"}
