"""The cluster behind HTTP and WebSocket, on loopback: any number of endpoints, each with its own lag and faults.

``rehearsing`` runs it in this process; time moves with the clock, or by ``tick`` of the control endpoint alone. One
event loop owns the cluster, so nothing is locked.
"""

import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .cluster import Block, Cluster, Level
from .faults import Fault, Faults, Kind, error_body
from .rpc import INVALID_PARAMS, Node, Rpc, RpcError, signature_in

LOOPBACK: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 1_000_000
HANG_S: Final = 60.0
NOTICES_LEN_MAX: Final = 1_024
SUBSCRIPTIONS_MAX: Final = 10_000
_HEIGHTS: Final = frozenset({"getSlot", "getBlockHeight", "getEpochInfo", "getLatestBlockhash"})


@dataclass(slots=True)
class Endpoint:
    """One URL of the cluster. ``cuts_websocket`` closes connections, ``mutes_websocket`` sends no notices."""

    name: str
    node: Node
    faults: Faults = field(default_factory=Faults)
    mutes_websocket: bool = False
    listeners: list["_Listener"] = field(default_factory=list)

    @property
    def rpc(self) -> Rpc:
        return Rpc(self.node)


class Rehearsal:
    """The cluster and its endpoints, and what tests and users do to them."""

    def __init__(self, cluster: Cluster, endpoints: Sequence[str] = ("one", "two")) -> None:
        self.cluster = cluster
        self.endpoints = {name: Endpoint(name, Node(cluster)) for name in endpoints}
        self.port = 0
        cluster.listeners.append(self._told)

    def url(self, name: str) -> str:
        return f"http://{LOOPBACK}:{self.port}/{name}"

    def websocket_url(self, name: str) -> str:
        return f"ws://{LOOPBACK}:{self.port}/{name}"

    @property
    def control_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/control"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/control", self._control, methods=["POST"]),
                Route("/{name}", self._http, methods=["POST"]),
                WebSocketRoute("/{name}", self._websocket),
            ]
        )

    # HTTP

    async def _http(self, request: Request) -> Response:
        endpoint = self.endpoints.get(request.path_params["name"])
        if endpoint is None:
            return Response("no such endpoint", status_code=404)
        body = await request.body()
        if len(body) > BODY_BYTES_MAX:
            return Response("too large", status_code=413)
        try:
            call = json.loads(body)
        except ValueError:
            return _answer({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
        if isinstance(call, list):
            answers = [await self._answered(endpoint, each) for each in call]
            refused = next((each for each in answers if isinstance(each, Response)), None)
            return refused or JSONResponse(answers)
        answer = await self._answered(endpoint, call)
        return answer if isinstance(answer, Response) else _answer(answer)

    async def _answered(self, endpoint: Endpoint, call: Any) -> Any:
        """Return the JSON of an answer, or a whole response where the transport fails."""
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Invalid request"}}
        method, params, call_id = call["method"], call.get("params", []), call.get("id")
        refused = await self._refused(endpoint, method, call_id)
        if refused is not None:
            return refused
        try:
            result = self._carried_out(endpoint, method, params)
        except RpcError as error:
            told = {"code": error.code, "message": error.message}
            if error.data is not None:
                told["data"] = error.data
            return {"jsonrpc": "2.0", "id": call_id, "error": told}
        if endpoint.faults.next(method, (Kind.LOST,)):
            return _Cut()
        return {"jsonrpc": "2.0", "id": call_id, "result": result}

    async def _refused(self, endpoint: Endpoint, method: str, call_id: Any) -> Response | None:
        kinds = (Kind.TOO_MANY, Kind.ERROR, Kind.BROKEN, Kind.HANG, Kind.GARBAGE)
        fault = endpoint.faults.next(method, kinds)
        if fault is None:
            return None
        if fault.kind is Kind.TOO_MANY:
            headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
            return Response("Too many requests", status_code=429, headers=headers)
        if fault.kind is Kind.BROKEN:
            page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
            return Response(page, status_code=fault.status, media_type="text/html")
        if fault.kind is Kind.HANG:
            await anyio.sleep(HANG_S)
            return _Cut()
        if fault.kind is Kind.GARBAGE:
            return Response('{"jsonrpc":"2.0","id":1,"resul', media_type="application/json")
        return Response(error_body(call_id, fault), media_type="application/json")

    def _carried_out(self, endpoint: Endpoint, method: str, params: Any) -> Any:
        faults = endpoint.faults
        if method == "sendTransaction":
            if faults.next(method, (Kind.DROP,)):
                return signature_in(params)
            delay = faults.next(method, (Kind.DELAY,))
            if delay is not None:
                return endpoint.rpc.send(params, delay.slots)
        if method == "getGenesisHash" and faults.next(method, (Kind.WRONG_CHAIN,)):
            return "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
        denies = method in {"getSignatureStatuses", "getTransaction", "getSignaturesForAddress"}
        if denies and faults.next(method, (Kind.DENY,)):
            return _denied(method, endpoint)
        result = endpoint.rpc.call(method, params)
        if method in _HEIGHTS:
            ahead = faults.next(method, (Kind.AHEAD,))
            if ahead is not None:
                return _higher(method, result, ahead.slots)
        return result

    # Control

    async def _control(self, request: Request) -> Response:
        """Take one JSON object: ``tick``, ``die``, ``endpoint`` with ``fault``, ``clear``, ``lag``, ``mute`` or cut."""
        if request.client is None or request.client.host not in {LOOPBACK, "::1", "testclient"}:
            return Response("only from this machine", status_code=403)
        try:
            body = await request.json()
            return JSONResponse(self.control(body))
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    def control(self, body: dict[str, Any]) -> dict[str, Any]:
        """Do what a control request says; return where the chain is. Raises: ValueError, KeyError, TypeError."""
        if "die" in body:  # the block that comes so many slots from now
            self.cluster.dies.add(self.cluster.slot + int(body["die"]))
        if "tick" in body:
            self.cluster.tick(int(body["tick"]))
        if "endpoint" in body:
            endpoint = self.endpoints[body["endpoint"]]
            if body.get("clear"):
                endpoint.faults.clear()
            if "fault" in body:
                endpoint.faults.add(Fault.of(body["fault"]))
            if "lag" in body:
                endpoint.node.lag_slots = int(body["lag"])
            if "mute" in body:
                endpoint.mutes_websocket = bool(body["mute"])
            if body.get("cut"):
                for listener in list(endpoint.listeners):
                    listener.cut()
        return {
            "slot": self.cluster.slot,
            "height": self.cluster.height,
            "genesis_hash": self.cluster.genesis_hash,
            "endpoints": {
                name: {"lag": each.node.lag_slots, "met": each.faults.met} for name, each in self.endpoints.items()
            },
        }

    # WebSocket

    async def _websocket(self, websocket: WebSocket) -> None:
        endpoint = self.endpoints.get(websocket.path_params["name"])
        if endpoint is None:
            await websocket.close(1008)
            return
        await websocket.accept()
        listener = _Listener(endpoint)
        endpoint.listeners.append(listener)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.send_to, websocket, tasks.cancel_scope)
                with anyio.CancelScope():
                    await listener.listen(websocket)
                tasks.cancel_scope.cancel()
        finally:
            endpoint.listeners.remove(listener)
            listener.close()

    def _told(self, _cluster: Cluster, block: Block) -> None:
        for endpoint in self.endpoints.values():
            if not endpoint.mutes_websocket:
                for listener in endpoint.listeners:
                    listener.tell(block)


class _Listener:
    """One WebSocket connection: its subscriptions, and what waits to be sent."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._subscriptions: dict[int, tuple[str, Any, Level]] = {}
        self._next = 0
        self._out, self._in = anyio.create_memory_object_stream[str | None](NOTICES_LEN_MAX)

    def cut(self) -> None:
        self._put(None)

    def close(self) -> None:
        self._out.close()
        self._in.close()

    async def listen(self, websocket: WebSocket) -> None:
        while True:
            try:
                call = json.loads(await websocket.receive_text())
            except (WebSocketDisconnect, ValueError, KeyError, RuntimeError):
                return
            self._put(json.dumps(self._answer(call)))

    async def send_to(self, websocket: WebSocket, scope: anyio.CancelScope) -> None:
        async for text in self._in:
            if text is None:
                await websocket.close(1011)
                scope.cancel()
                return
            try:
                await websocket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                scope.cancel()
                return

    def _answer(self, call: Any) -> dict[str, Any]:
        method, params = str(call.get("method")), call.get("params", [])
        answer = {"jsonrpc": "2.0", "id": call.get("id")}
        if method.endswith("Unsubscribe"):
            return answer | {"result": self._subscriptions.pop(params[0], None) is not None}
        what = method.removesuffix("Subscribe")
        if what not in {"signature", "account", "logs", "slot"} or what == method:
            return answer | {"error": {"code": -32601, "message": "Method not found"}}
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            return answer | {"error": {"code": INVALID_PARAMS, "message": "too many subscriptions"}}
        config = params[1] if len(params) > 1 else {}
        level = {"processed": Level.PROCESSED, "confirmed": Level.CONFIRMED}.get(
            (config or {}).get("commitment", "finalized"), Level.FINALIZED
        )
        self._next += 1
        self._subscriptions[self._next] = (what, params[0] if params else None, level)
        return answer | {"result": self._next}

    def tell(self, _newest: Block) -> None:
        node = self._endpoint.node
        for number, (what, subject, level) in list(self._subscriptions.items()):
            if what == "slot":
                slot = node.slot
                self._notify(number, "slot", {"slot": slot, "parent": slot - 1, "root": max(0, slot - 32)})
                continue
            block = node.newest(level)
            context = {"slot": block.slot}
            if what == "signature":
                found = node.executed(subject)
                if found is not None and found[1] >= level:
                    self._notify(number, "signature", {"context": context, "value": {"err": found[0].error}})
                    del self._subscriptions[number]
                continue
            for signature in block.signatures:
                executed = node.cluster.executed[signature]
                if what == "account" and subject in executed.keys:
                    value = self._endpoint.rpc.call("getAccountInfo", [subject, {"encoding": "base64"}])
                    self._notify(number, "account", value)
                elif what == "logs" and (
                    not isinstance(subject, dict) or set(subject["mentions"]) & set(executed.keys)
                ):
                    value = {"signature": signature, "err": executed.error, "logs": list(executed.logs)}
                    self._notify(number, "logs", {"context": context, "value": value})

    def _notify(self, number: int, what: str, result: Any) -> None:
        params = {"result": result, "subscription": number}
        self._put(json.dumps({"jsonrpc": "2.0", "method": f"{what}Notification", "params": params}))

    def _put(self, text: str | None) -> None:
        """A client that does not read misses notices: a real node would cut it off."""
        try:
            self._out.send_nowait(text)
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


class _Cut(Response):
    """Ends the connection without an answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"1000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # Less than was announced: the server closes the connection.
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _answer(body: Any) -> Response:
    return JSONResponse(body)


def _denied(method: str, endpoint: Endpoint) -> Any:
    if method == "getSignatureStatuses":
        return {"context": {"slot": endpoint.node.slot}, "value": [None]}
    return None if method == "getTransaction" else []


def _higher(method: str, result: Any, slots: int) -> Any:
    if isinstance(result, int):
        return result + slots
    if method == "getEpochInfo":
        return {**result, "absoluteSlot": result["absoluteSlot"] + slots, "blockHeight": result["blockHeight"] + slots}
    return {**result, "context": {**result["context"], "slot": result["context"]["slot"] + slots}}


@asynccontextmanager
async def rehearsing(rehearsal: Rehearsal, *, port: int = 0, slots_run: bool = True) -> AsyncIterator[Rehearsal]:
    """Serve until the block is left. ``slots_run``: time moves with the clock; otherwise by ``tick`` only.

    Raises: OSError when the port is taken.
    """
    # With the protocol named, asyncio switches the delay of small packets off: 40 ms less per answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with closing(listening):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        rehearsal.port = listening.getsockname()[1]
        async with _serving(rehearsal, listening, slots_run=slots_run):
            yield rehearsal


@asynccontextmanager
async def _serving(rehearsal: Rehearsal, listening: socket.socket, *, slots_run: bool) -> AsyncIterator[None]:
    config = uvicorn.Config(rehearsal.app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listening])
        await server.up.wait()
        if slots_run:
            tasks.start_soon(_run_slots, rehearsal.cluster)
        try:
            yield
        finally:
            server.should_exit = server.force_exit = True
            with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                await server.down.wait()
            tasks.cancel_scope.cancel()


class _Server(uvicorn.Server):
    """Tells when it is up and down; the host of this process handles signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = anyio.Event()
        self.down = anyio.Event()

    def capture_signals(self) -> Any:
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.down.set()


async def _run_slots(cluster: Cluster) -> None:
    due = anyio.current_time()
    while True:
        due += cluster.slot_ms / 1_000
        await anyio.sleep_until(due)
        cluster.tick()
