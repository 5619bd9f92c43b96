"""A proxy with faults in front of a node: the node is untouched, and its client meets each fault."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
import websockets
from solders.keypair import Keypair
from tests.support.transfers import signed_transfer

from trading.rehearsal.cluster import Cluster
from trading.rehearsal.faults import FOREVER, Fault, Kind
from trading.rehearsal.faulty_calls import OTHER_GENESIS
from trading.rehearsal.proxy import LATE_POLL_S, FaultProxy, proxying
from trading.rehearsal.server import Rehearsal, rehearsing

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

PAYER = Keypair.from_seed(bytes(range(32)))
FRIEND = Keypair.from_seed(bytes([3]) * 32).pubkey()
SENT = ("sendTransaction",)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Behind:
    """The proxy as its client sees it, and the chain behind it."""

    def __init__(self, proxy: FaultProxy, cluster: Cluster, http: httpx2.AsyncClient) -> None:
        self.proxy = proxy
        self.cluster = cluster
        self._http = http

    async def raw(self, method: str, *params: Any) -> httpx2.Response:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        return await self._http.post(self.proxy.url, json=body)

    async def call(self, method: str, *params: Any) -> Any:
        return (await self.raw(method, *params)).json()["result"]

    async def status(self, signature: str) -> Any:
        return (await self.call("getSignatureStatuses", [signature], {"searchTransactionHistory": True}))["value"][0]

    async def signed(self) -> tuple[str, list[Any]]:
        """Return a signature, and the params that send it."""
        value = (await self.call("getLatestBlockhash", {"commitment": "confirmed"}))["value"]
        signature, raw = signed_transfer(PAYER, str(FRIEND), 2_000_000, value["blockhash"])
        options = {"encoding": "base64", "preflightCommitment": "confirmed"}
        return signature, [base64.b64encode(raw).decode(), options]

    @property
    def given(self) -> int:
        held = self.cluster.account(FRIEND)
        return held.lamports if held else 0


@asynccontextmanager
async def a_node(*faults: Fault) -> AsyncIterator[Behind]:
    rehearsal = Rehearsal(Cluster("behind"), ("one",))
    rehearsal.cluster.airdrop(PAYER.pubkey(), 10**10)
    rehearsal.cluster.tick(40)
    async with (
        rehearsing(rehearsal, slots_run=False),
        proxying(rehearsal.url("one"), rehearsal.websocket_url("one")) as proxy,
        httpx2.AsyncClient(timeout=30, trust_env=False) as http,
    ):
        proxy.faults.add(*faults)
        yield Behind(proxy, rehearsal.cluster, http)


async def test_without_a_fault_answers_and_errors_are_those_of_the_node() -> None:
    async with a_node() as node:
        assert await node.call("getSlot", {"commitment": "processed"}) == node.cluster.slot
        assert await node.call("getGenesisHash") == node.cluster.genesis_hash
        told = (await node.raw("getNothing")).json()
        assert told == {"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "Method not found"}}
        signature, params = await node.signed()
        assert await node.call("sendTransaction", *params) == signature
        node.cluster.tick()
        assert (await node.status(signature))["err"] is None
        refused = (await node.raw("sendTransaction", *params)).json()["error"]
        assert refused["data"]["err"] == "AlreadyProcessed"
        assert node.given == 2_000_000


async def test_a_node_that_is_away_is_a_bad_gateway() -> None:
    async with proxying("http://127.0.0.1:1") as proxy, httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(proxy.url, json={"jsonrpc": "2.0", "id": 1, "method": "getSlot"})
        assert answer.status_code == 502
        assert "<html>" in answer.text


async def test_an_answer_that_is_lost_was_carried_out() -> None:
    async with a_node(Fault(Kind.LOST, SENT)) as node:
        signature, params = await node.signed()
        with pytest.raises(httpx2.RemoteProtocolError):
            await node.raw("sendTransaction", *params)
        node.cluster.tick()
        assert (await node.status(signature))["err"] is None
        assert node.given == 2_000_000


async def test_what_is_dropped_never_reaches_the_node_and_what_is_late_does() -> None:
    async with a_node(Fault(Kind.DROP), Fault(Kind.DELAY, slots=5)) as node:
        signature, params = await node.signed()
        assert await node.call("sendTransaction", *params) == signature
        node.cluster.tick(3)
        assert (node.given, node.cluster.executed) == (0, {})
        assert await node.call("sendTransaction", *params) == signature
        node.cluster.tick(4)
        await anyio.sleep(3 * LATE_POLL_S)
        assert node.given == 0
        node.cluster.tick()
        with anyio.fail_after(30):
            while not node.given:
                await anyio.sleep(LATE_POLL_S)
                node.cluster.tick()
        assert (await node.status(signature))["err"] is None


async def test_what_is_late_by_more_than_a_blockhash_lives_never_lands() -> None:
    async with a_node(Fault(Kind.DELAY, slots=155)) as node:
        signature, params = await node.signed()
        assert await node.call("sendTransaction", *params) == signature
        node.cluster.tick(156)
        for _ in range(5):
            await anyio.sleep(LATE_POLL_S)
            node.cluster.tick()
        assert node.given == 0
        assert await node.status(signature) is None


async def test_what_lies_on_a_dead_fork_is_confirmed_until_the_fork_is_given_up() -> None:
    async with a_node(Fault(Kind.FORK, slots=6)) as node:
        signature, params = await node.signed()
        assert await node.call("sendTransaction", *params) == signature
        node.cluster.tick(2)
        assert (await node.status(signature))["confirmationStatus"] == "confirmed"
        node.cluster.tick(6)
        assert await node.status(signature) is None
        assert await node.call("sendTransaction", *params) == signature
        node.cluster.tick()
        assert (await node.status(signature))["slot"] == node.cluster.slot
        assert node.given == 2_000_000


async def test_transport_faults_come_in_their_order() -> None:
    faults = [
        Fault(Kind.TOO_MANY, retry_after_s=2),
        Fault(Kind.BROKEN, status=503),
        Fault(Kind.GARBAGE),
        Fault(Kind.ERROR, code=-32002, message="busy"),
        Fault(Kind.WRONG_CHAIN),
    ]
    async with a_node(*faults) as node:
        busy = await node.raw("getSlot")
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
        page = await node.raw("getSlot")
        assert (page.status_code, page.headers["content-type"].split(";")[0]) == (503, "text/html")
        with pytest.raises(json.JSONDecodeError):
            (await node.raw("getSlot")).json()
        assert (await node.raw("getSlot")).json()["error"] == {"code": -32002, "message": "busy"}  # without data
        assert await node.call("getGenesisHash") == OTHER_GENESIS
        assert await node.call("getGenesisHash") == node.cluster.genesis_hash
        assert sum(node.proxy.faults.met.values()) == len(faults)


async def test_an_endpoint_that_denies_or_runs_ahead_does_so_until_it_is_cleared() -> None:
    async with a_node(Fault(Kind.DENY, calls=FOREVER), Fault(Kind.AHEAD, calls=FOREVER, slots=500)) as node:
        signature, params = await node.signed()
        await node.call("sendTransaction", *params)
        node.cluster.tick(40)
        assert await node.status(signature) is None
        assert await node.call("getTransaction", signature, {"maxSupportedTransactionVersion": 0}) is None
        assert await node.call("getSlot", {"commitment": "processed"}) == node.cluster.slot + 500
        assert (await node.call("getEpochInfo", {"commitment": "processed"}))[
            "blockHeight"
        ] == node.cluster.height + 500
        node.proxy.control({"clear": True})
        assert (await node.status(signature))["confirmationStatus"] == "finalized"
        assert await node.call("getSlot", {"commitment": "processed"}) == node.cluster.slot


async def test_an_endpoint_behind_knows_nothing_of_the_slots_that_it_has_not_seen() -> None:
    async with a_node() as node:
        old = (await node.call("getLatestBlockhash", {"commitment": "confirmed"}))["value"]
        node.cluster.tick(20)
        signature, params = await node.signed()
        await node.call("sendTransaction", *params)
        node.cluster.tick(5)
        node.proxy.control({"lag": 10})
        assert await node.call("getSlot", {"commitment": "processed"}) == node.cluster.slot - 10
        assert await node.status(signature) is None
        assert await node.call("getSignaturesForAddress", str(FRIEND), {"commitment": "confirmed"}) == []
        assert (await node.call("getLatestBlockhash", {"commitment": "confirmed"}))["value"] == old
        node.cluster.tick(28)
        seen = await node.status(signature)
        assert (seen["confirmationStatus"], seen["confirmations"]) == ("confirmed", 22)
        node.proxy.control({"lag": 200})
        assert (await node.raw("getHealth")).json()["error"]["code"] == -32005
        assert (await node.raw("getLatestBlockhash")).json()["error"]["code"] == -32005
        node.proxy.control({"lag": 0})
        assert (await node.status(signature))["confirmationStatus"] == "finalized"


async def test_notices_are_handed_on_muted_and_cut() -> None:
    async with a_node() as node, websockets.connect(node.proxy.websocket_url, proxy=None) as socket:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe", "params": []}
        with anyio.fail_after(30):
            await socket.send(json.dumps(ask))
            number = json.loads(await socket.recv())["result"]
            node.cluster.tick()
            told = json.loads(await socket.recv())["params"]
            assert (told["subscription"], told["result"]["slot"]) == (number, node.cluster.slot)
            node.proxy.control({"mute": True})
            node.cluster.tick()
            await socket.send(json.dumps(ask | {"id": 2}))
            assert json.loads(await socket.recv())["id"] == 2  # the notice before it was swallowed
            node.proxy.control({"cut": True})
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()


async def test_control_takes_faults_over_http_and_names_what_is_wrong() -> None:
    async with a_node() as node, httpx2.AsyncClient(trust_env=False) as http:
        told = await http.post(node.proxy.control_url, json={"fault": {"kind": "drop"}, "lag": 3})
        assert told.json() == {"lag": 3, "waiting": 1, "met": {}}
        wrong = await http.post(node.proxy.control_url, json={"fault": {"kind": "nothing"}})
        assert wrong.status_code == 400
        assert "kind" in wrong.json()["error"]
        page = await http.post(node.proxy.control_url, json={"clear": True}, headers={"Origin": "http://a.page"})
        assert page.status_code == 403
        assert len(node.proxy.faults.waiting) == 1
