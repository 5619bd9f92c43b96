"""The cluster behind HTTP and WebSocket, on loopback: any number of endpoints, each with its own lag and faults.

``rehearsing`` runs it in this process; time moves with the clock, or by ``tick`` of the control endpoint alone. One
event loop owns the cluster, so nothing is locked.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .cluster import Block, Cluster, Level
from .faults import Faults
from .faulty_calls import FaultyCalls, control_faults
from .loopback import LOOPBACK, bound, served
from .rpc import INVALID_PARAMS, Node, Rpc

NOTICES_LEN_MAX: Final = 1_024
SUBSCRIPTIONS_MAX: Final = 10_000


@dataclass(slots=True)
class Endpoint:
    """One URL of the cluster. ``cuts_websocket`` closes connections, ``mutes_websocket`` sends no notices."""

    name: str
    node: Node
    faults: Faults = field(default_factory=Faults)
    mutes_websocket: bool = False
    listeners: list["_Listener"] = field(default_factory=list)
    calls: FaultyCalls = field(init=False)

    def __post_init__(self) -> None:
        self.calls = FaultyCalls(_Carried(self.rpc), self.faults)

    @property
    def rpc(self) -> Rpc:
        return Rpc(self.node)


class _Carried:
    """The cluster as the carrier of an endpoint's calls."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def call(self, method: str, params: Any) -> Any:
        return self._rpc.call(method, params)

    async def send_later(self, params: Any, slots: int) -> Any:
        return self._rpc.send(params, slots)


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
        return await endpoint.calls.response(await request.body())

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
            control_faults(endpoint.faults, body)
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


@asynccontextmanager
async def rehearsing(rehearsal: Rehearsal, *, port: int = 0, slots_run: bool = True) -> AsyncIterator[Rehearsal]:
    """Serve until the block is left. ``slots_run``: time moves with the clock; otherwise by ``tick`` only.

    Raises: OSError when the port is taken.
    """
    async with bound(port) as listening:
        rehearsal.port = listening.getsockname()[1]
        async with served(rehearsal.app(), listening) as tasks:
            if slots_run:
                tasks.start_soon(_run_slots, rehearsal.cluster)
            yield rehearsal


async def _run_slots(cluster: Cluster) -> None:
    due = anyio.current_time()
    while True:
        due += cluster.slot_ms / 1_000
        await anyio.sleep_until(due)
        cluster.tick()
