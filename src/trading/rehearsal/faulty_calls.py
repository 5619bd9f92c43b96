"""What faults do to the calls of JSON-RPC over HTTP, whoever carries them out: the rehearsal chain, or any node that a
proxy stands in front of. There is one body of each fault."""

import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio
from starlette.responses import JSONResponse, Response

from .faults import Fault, Faults, Kind, error_body
from .rpc import RpcError, signature_in

BODY_BYTES_MAX: Final = 1_000_000
HANG_S: Final = 60.0
FORKED_LEN_MAX: Final = 10_000
OTHER_GENESIS: Final = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
HEIGHTS: Final = frozenset({"getSlot", "getBlockHeight", "getEpochInfo", "getLatestBlockhash"})
_TRANSPORT: Final = (Kind.TOO_MANY, Kind.ERROR, Kind.BROKEN, Kind.HANG, Kind.GARBAGE)
_LOOK_UPS: Final = frozenset({"getSignatureStatuses", "getTransaction", "getSignaturesForAddress"})


class CarrierAway(Exception):
    """Whoever carries calls out could not be reached."""


class Carrier(Protocol):
    """Carries calls out, without a fault. Raises: RpcError as the node answers it; CarrierAway."""

    async def call(self, method: str, params: Any) -> Any:
        """Return the result."""

    async def send_later(self, params: Any, slots: int) -> Any:
        """Carry ``sendTransaction`` out so that the leader has it that many slots later; return its result now."""


@dataclass(frozen=True, slots=True)
class _Fork:
    slot: int
    slots: int


class FaultyCalls:
    """One endpoint: its carrier, and the faults that wait for it."""

    def __init__(self, carrier: Carrier, faults: Faults) -> None:
        self._carrier = carrier
        self._faults = faults
        self._forked: OrderedDict[str, _Fork] = OrderedDict()

    async def response(self, body: bytes) -> Response:
        """Answer the body of a POST: one call or a batch."""
        if len(body) > BODY_BYTES_MAX:
            return Response("too large", status_code=413)
        try:
            call = json.loads(body)
        except ValueError:
            return JSONResponse({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "Parse error"}})
        if isinstance(call, list):
            answers = [await self._answered(each) for each in call]
            refused = next((each for each in answers if isinstance(each, Response)), None)
            return refused or JSONResponse(answers)
        answer = await self._answered(call)
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    async def _answered(self, call: Any) -> Any:
        """Return the JSON of an answer, or a whole response where the transport fails."""
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Invalid request"}}
        method, params, call_id = call["method"], call.get("params", []), call.get("id")
        refused = await self._refused(method, call_id)
        if refused is not None:
            return refused
        try:
            result = await self._carried_out(method, params)
        except CarrierAway:
            return _page(502)
        except RpcError as error:
            told = {"code": error.code, "message": error.message}
            if error.data is not None:
                told["data"] = error.data
            return {"jsonrpc": "2.0", "id": call_id, "error": told}
        if self._faults.next(method, (Kind.LOST,)):
            return Cut()
        return {"jsonrpc": "2.0", "id": call_id, "result": result}

    async def _refused(self, method: str, call_id: Any) -> Response | None:
        fault = self._faults.next(method, _TRANSPORT)
        if fault is None:
            return None
        if fault.kind is Kind.TOO_MANY:
            headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
            return Response("Too many requests", status_code=429, headers=headers)
        if fault.kind is Kind.BROKEN:
            return _page(fault.status)
        if fault.kind is Kind.HANG:
            await anyio.sleep(HANG_S)
            return Cut()
        if fault.kind is Kind.GARBAGE:
            return Response('{"jsonrpc":"2.0","id":1,"resul', media_type="application/json")
        return Response(error_body(call_id, fault), media_type="application/json")

    async def _carried_out(self, method: str, params: Any) -> Any:
        faults = self._faults
        if method == "sendTransaction":
            swallowed = await self._swallowed(params)
            if swallowed is not None:
                return swallowed
            delay = faults.next(method, (Kind.DELAY,))
            if delay is not None:
                return await self._carrier.send_later(params, delay.slots)
        if method == "getGenesisHash" and faults.next(method, (Kind.WRONG_CHAIN,)):
            return OTHER_GENESIS
        denies = method in _LOOK_UPS and faults.next(method, (Kind.DENY,)) is not None
        result = await self._carrier.call(method, params)
        if denies:
            return _denied(method, result)
        if method in HEIGHTS:
            ahead = faults.next(method, (Kind.AHEAD,))
            if ahead is not None:
                return shifted(method, result, ahead.slots)
        if method == "getSignatureStatuses" and self._forked:
            return self._with_forks(params, result, await self._slot())
        return result

    async def _swallowed(self, params: Any) -> str | None:
        """Return the signature of a sending that no leader is to see, None for any other."""
        if self._faults.next("sendTransaction", (Kind.DROP,)):
            return signature_in(params)
        fork = self._faults.next("sendTransaction", (Kind.FORK,))
        if fork is None:
            return None
        signature = signature_in(params)
        self._forked[signature] = _Fork(await self._slot(), fork.slots)
        while len(self._forked) > FORKED_LEN_MAX:
            self._forked.popitem(last=False)
        return signature

    async def _slot(self) -> int:
        return int(await self._carrier.call("getSlot", [{"commitment": "processed"}]))

    def _with_forks(self, params: Any, result: Any, now: int) -> Any:
        """Say of what lies on a dead fork that it is confirmed, as long as nobody has given that fork up."""
        value = list(result["value"])
        for at, signature in enumerate(params[0]):
            fork = self._forked.get(signature)
            if value[at] is None and fork is not None and now <= fork.slot + fork.slots:
                told = {"slot": fork.slot, "confirmations": 1, "err": None, "status": {"Ok": None}}
                value[at] = {**told, "confirmationStatus": "confirmed"}
        return {**result, "value": value}


class Cut(Response):
    """Ends the connection without an answer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"1000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # Less than was announced: the server closes the connection.
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def control_faults(faults: Faults, body: dict[str, Any]) -> None:
    """Do what ``clear`` and ``fault`` of a control request say. Raises: ValueError, TypeError."""
    if body.get("clear"):
        faults.clear()
    if "fault" in body:
        faults.add(Fault.of(body["fault"]))


def shifted(method: str, result: Any, slots: int) -> Any:
    """Return the answer of one of ``HEIGHTS`` so many slots higher."""
    if isinstance(result, int):
        return result + slots
    if method == "getEpochInfo":
        return {**result, "absoluteSlot": result["absoluteSlot"] + slots, "blockHeight": result["blockHeight"] + slots}
    return {**result, "context": {**result["context"], "slot": result["context"]["slot"] + slots}}


def _page(status: int) -> Response:
    page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    return Response(page, status_code=status, media_type="text/html")


def _denied(method: str, result: Any) -> Any:
    if method == "getSignatureStatuses":
        return {**result, "value": [None] * len(result["value"])}
    return None if method == "getTransaction" else []
