"""A scripted chain behind JSON-RPC on loopback, one address for each of its endpoints, with faults on demand."""

import base64
import re
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import anyio
import orjson
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from starlette.responses import Response

from tests.doubles.scripted_chain import WINDOW_BLOCKS, Fate, ScriptedChain, ScriptedEndpoint, Take
from trading.config import ChainSection
from trading.errors import SendRefused
from trading.model.chain import Commitment

Headers = Mapping[str, str]
Fault = Callable[[Headers, dict[str, Any]], Awaitable[Response]]
AGES = {"processed": 0, "confirmed": 1}


class ScriptedRpc:
    """Start with ``serving``. ``faults[endpoint][method]`` is a queue of answers given instead of the true ones
    (``"*"``: of any method), ``always`` the same without an end; ``calls`` counts by endpoint and method."""

    def __init__(self, world: ScriptedChain) -> None:
        self.world = world
        self.faults: dict[str, dict[str, deque[Fault]]] = defaultdict(lambda: defaultdict(deque))
        self.always: dict[str, dict[str, Fault]] = defaultdict(dict)
        self.calls: dict[str, Counter[str]] = defaultdict(Counter)
        self.requests: list[dict[str, Any]] = []
        self.url = ""
        self.fees: list[int] = [0, 1_000, 2_000]
        self._fates: dict[bytes, Fate] = {}

    @classmethod
    @asynccontextmanager
    async def serving(cls, world: ScriptedChain) -> AsyncIterator[Self]:
        server = cls(world)
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server._serve)
            server.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
            try:
                yield server
            finally:
                tasks.cancel_scope.cancel()

    def section(self, **changes: Any) -> ChainSection:
        """Return settings that point here, quick and without limits that slow a test down."""
        given: dict[str, Any] = {
            "endpoints": [
                {"url": f"{self.url}/{each.name}/secret-key-of-{each.name}", "calls_per_second": 100_000}
                for each in self.world.endpoints
            ],
            "genesis_hash": self.world.endpoints[0].genesis,
            "timeout_s": 2.0,
            "grace_s": 0.2,
            "health_age_s": 0.0,
            "backoff_base_s": 0.05,
            "backoff_cap_s": 0.1,
            "fee_age_s": 0.0,
        }
        return ChainSection.model_validate(given | changes)

    async def _serve(self, stream: SocketStream) -> None:
        """Answer the requests of one connection, as much HTTP as that takes."""
        reader = BufferedByteReceiveStream(stream)
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead):
            async with stream:
                while True:
                    head = (await reader.receive_until(b"\r\n\r\n", 65_536)).decode("latin-1").split("\r\n")
                    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in head[1:])}
                    body = await reader.receive_exactly(int(headers["content-length"]))
                    name = head[0].split()[1].split("/")[1]
                    answer = await self._answer(name, headers, orjson.loads(body))
                    lines = [b"HTTP/1.1 %d .\r\n" % answer.status_code]
                    lines += [b"%s: %s\r\n" % each for each in answer.raw_headers]
                    await stream.send(b"".join([*lines, b"\r\n", bytes(answer.body)]))

    async def _answer(self, name: str, headers: Headers, asked: dict[str, Any]) -> Response:
        method = asked["method"]
        self.requests.append(asked)
        self.calls[name][method] += 1
        endpoint = next(each for each in self.world.endpoints if each.name == name)
        for known in (method, "*"):
            if self.faults[name][known]:
                return await self.faults[name][known].popleft()(headers, asked)
            if known in self.always[name]:
                return await self.always[name][known](headers, asked)
        if endpoint.is_down:
            return Response("no", 503)
        made = getattr(self, "_" + re.sub("([A-Z])", lambda found: f"_{found[0].lower()}", method), None)
        if made is None:
            return error(-32601, "Method not found")(asked)
        try:
            return result(made(endpoint, *asked["params"]))(asked)
        except SendRefused as refused:
            err = orjson.loads(refused.error) if refused.error else None
            return error(-32002, refused.message, {"err": err, "logs": list(refused.logs)})(asked)

    def _slot(self, endpoint: ScriptedEndpoint, wanted: dict[str, Any] | None = None) -> int:
        age = AGES.get((wanted or {}).get("commitment", "finalized"), self.world.finality_slots)
        return self.world.slot - endpoint.lag_slots - age + endpoint.ahead_blocks

    def _context(self, endpoint: ScriptedEndpoint, value: Any, commitment: str = "confirmed") -> Any:
        return {"context": {"slot": self._slot(endpoint, {"commitment": commitment})}, "value": value}

    def _get_genesis_hash(self, endpoint: ScriptedEndpoint) -> Any:
        return endpoint.genesis

    def _get_slot(self, endpoint: ScriptedEndpoint, wanted: dict[str, Any] | None = None) -> Any:
        return self._slot(endpoint, wanted)

    def _get_epoch_info(self, endpoint: ScriptedEndpoint, wanted: dict[str, Any] | None = None) -> Any:
        slot = self._slot(endpoint, wanted)
        return {"absoluteSlot": slot, "blockHeight": slot - self.world.skipped, "epoch": 1}

    def _get_latest_blockhash(self, endpoint: ScriptedEndpoint, wanted: dict[str, Any]) -> Any:
        height = self._slot(endpoint, wanted) - self.world.skipped
        made = self.world._blockhash_at(height - endpoint.ahead_blocks)
        return self._context(endpoint, {"blockhash": made, "lastValidBlockHeight": height + WINDOW_BLOCKS})

    def _is_blockhash_valid(self, endpoint: ScriptedEndpoint, blockhash: str, wanted: dict[str, Any]) -> Any:
        born = self.world._born.get(blockhash)
        here = self.world.block_height - endpoint.lag_slots
        return self._context(endpoint, born is not None and born <= here <= born + WINDOW_BLOCKS)

    def _get_multiple_accounts(self, endpoint: ScriptedEndpoint, addresses: list[str], wanted: dict[str, Any]) -> Any:
        return self._context(endpoint, [self._account(each) for each in addresses])

    def _account(self, address: str) -> Any:
        seen = self.world.bank.account(address, 0)
        if seen is None:
            return None
        data = [base64.b64encode(seen.data).decode(), "base64"]
        return {"data": data, "owner": seen.owner, "lamports": seen.lamports, "executable": False, "rentEpoch": 0}

    def _simulate_transaction(self, endpoint: ScriptedEndpoint, raw: str, wanted: dict[str, Any]) -> Any:
        parsed = self.world.bank.parse(base64.b64decode(raw))
        err = self.world._preflight(parsed, verifies=wanted["sigVerify"])
        after = self.world.bank
        if err is None:
            after, err = self.world.bank.run(parsed)
        kept, self.world.bank = self.world.bank, after
        accounts = [self._account(each) for each in wanted.get("accounts", {}).get("addresses", [])]
        self.world.bank = kept
        value = {"err": err, "logs": ["log"], "unitsConsumed": 450, "accounts": accounts if err is None else None}
        return self._context(endpoint, value)

    def _send_transaction(self, endpoint: ScriptedEndpoint, raw: str, wanted: dict[str, Any]) -> Any:
        bytes_ = base64.b64decode(raw)
        parsed = self.world.bank.parse(bytes_)
        self.world.sent.append(bytes_)
        if not wanted["skipPreflight"]:
            if parsed.signature in self.world._landed:
                raise SendRefused("This transaction has already been processed", error='"AlreadyProcessed"')
            self.world._refuse(parsed)
        # One fate for the whole sending, however many endpoints it was handed to.
        if bytes_ not in self._fates:
            self._fates[bytes_] = self.world.fates.popleft() if self.world.fates else self.world.fate_always
        fate = self._fates[bytes_]
        if fate.take is not Take.DROPPED:
            self.world._pending.append((self.world.slot + 1 + fate.delay_slots, parsed))
        return parsed.signature

    def _get_signature_statuses(self, endpoint: ScriptedEndpoint, asked: list[str], wanted: dict[str, Any]) -> Any:
        values = []
        for each in asked:
            seen = self.world._status(endpoint, each)
            if seen and not wanted["searchTransactionHistory"] and self.world.slot - seen.slot > WINDOW_BLOCKS:
                seen = None  # only young ones are looked up in memory
            err = orjson.loads(seen.error) if seen and seen.error else None
            told = seen and {"slot": seen.slot, "err": err, "confirmationStatus": seen.commitment.value}
            values.append(told)
        return self._context(endpoint, values, "processed")

    def _get_transaction(self, endpoint: ScriptedEndpoint, signature: str, wanted: dict[str, Any]) -> Any:
        seen = self.world._status(endpoint, signature)
        if seen is None or seen.commitment is not Commitment.FINALIZED:
            return None
        told = self.world._transaction(self.world._landed[signature], endpoint)
        balances: list[list[Any]] = [[], []]
        for number, account in enumerate(told.lamports):
            for each in told.tokens:
                if each.account == account:
                    for side, units in zip(balances, (each.before_units, each.after_units), strict=True):
                        if units is not None:
                            amount = {"amount": str(units), "decimals": 6, "uiAmountString": ""}
                            entry = {"accountIndex": number, "mint": each.mint, "owner": each.owner}
                            side.append(entry | {"uiTokenAmount": amount})
        return {
            "slot": told.slot,
            "blockTime": told.block_time_s,
            "transaction": [base64.b64encode(told.raw).decode(), "base64"],
            "version": 0,
            "meta": {
                "err": orjson.loads(told.error) if told.error else None,
                "fee": 5_000,
                "preBalances": [each[0] for each in told.lamports.values()],
                "postBalances": [each[1] for each in told.lamports.values()],
                "preTokenBalances": balances[0],
                "postTokenBalances": balances[1],
                "logMessages": list(told.logs),
                "loadedAddresses": {"writable": [], "readonly": []},
            },
        }

    def _get_signatures_for_address(self, endpoint: ScriptedEndpoint, address: str, wanted: dict[str, Any]) -> Any:
        found = []
        before = wanted.get("before")
        for signature, landed in reversed(list(self.world._landed.items())):
            if before is not None:
                before = None if signature == before else before
                continue
            if signature == wanted.get("until") or len(found) == wanted["limit"]:
                break
            seen = self.world._status(endpoint, signature)
            if seen and seen.commitment is Commitment.FINALIZED and address in landed.parsed.accounts:
                found.append({"signature": signature, "slot": landed.slot, "err": None, "blockTime": 1, "memo": None})
        return found

    def _get_token_largest_accounts(self, endpoint: ScriptedEndpoint, mint: str, wanted: dict[str, Any]) -> Any:
        held = [(each.units, address) for address, each in self.world.bank.tokens.items() if each.mint == mint]
        largest = sorted(held, reverse=True)[:20]
        return self._context(endpoint, [{"address": address, "amount": str(units)} for units, address in largest])

    def _get_recent_prioritization_fees(self, endpoint: ScriptedEndpoint, accounts: list[str]) -> Any:
        return [{"slot": number, "prioritizationFee": fee} for number, fee in enumerate(self.fees)]


def result(value: Any) -> Callable[[dict[str, Any]], Response]:
    return lambda asked: page({"jsonrpc": "2.0", "id": asked["id"], "result": value})


def error(code: Any, message: str, data: Any = None, status: int = 200) -> Callable[[dict[str, Any]], Response]:
    """An error answer; without ``data`` where that is None."""
    given = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return lambda asked: page({"jsonrpc": "2.0", "id": asked["id"], "error": given}, status)


def page(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


def says(make: Callable[[dict[str, Any]], Response]) -> Fault:
    """Make a fault of an answer."""

    async def fault(headers: Headers, asked: dict[str, Any]) -> Response:
        return make(asked)

    return fault


def text(body: str | bytes, status: int = 200, **headers: str) -> Fault:
    """Any body, such as the page of a proxy."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return says(lambda asked: Response(body, status, headers=named))


def hanging(seconds: float = 30.0) -> Fault:
    """No answer for so long."""

    async def fault(headers: Headers, asked: dict[str, Any]) -> Response:
        await anyio.sleep(seconds)
        return Response("late")

    return fault
