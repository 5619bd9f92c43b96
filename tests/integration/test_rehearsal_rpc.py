"""The rehearsal chain over HTTP and WebSocket: what a client of a real node relies on, and what it must survive."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx2
import pytest
import websockets
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from trading.rehearsal.cluster import Cluster
from trading.rehearsal.faults import Fault, Kind
from trading.rehearsal.server import Rehearsal, rehearsing

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10")]

PAYER = Keypair.from_seed(bytes(range(32)))
FRIEND = Pubkey.from_string("11157t3sqMV725NVRLrVQbAu98Jjfk1uCKehJnXXQs")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Client:
    def __init__(self, rehearsal: Rehearsal, http: httpx2.AsyncClient) -> None:
        self.rehearsal = rehearsal
        self.http = http

    async def raw(self, method: str, *params: Any, endpoint: str = "one") -> httpx2.Response:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        return await self.http.post(self.rehearsal.url(endpoint), json=body)

    async def call(self, method: str, *params: Any, endpoint: str = "one") -> Any:
        answer = (await self.raw(method, *params, endpoint=endpoint)).json()
        assert answer["id"] == 7
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    async def refused(self, method: str, *params: Any) -> Any:
        return (await self.raw(method, *params)).json()["error"]

    async def blockhash(self, commitment: str = "confirmed") -> tuple[str, int]:
        value = (await self.call("getLatestBlockhash", {"commitment": commitment}))["value"]
        return value["blockhash"], value["lastValidBlockHeight"]

    async def send(self, raw: bytes, **config: Any) -> str:
        options = {"encoding": "base64", "preflightCommitment": "confirmed", **config}
        return str(await self.call("sendTransaction", base64.b64encode(raw).decode(), options))

    async def status(self, signature: str, endpoint: str = "one") -> Any:
        config = {"searchTransactionHistory": True}
        return (await self.call("getSignatureStatuses", [signature], config, endpoint=endpoint))["value"][0]


@asynccontextmanager
async def a_chain() -> AsyncIterator[Client]:
    rehearsal = Rehearsal(Cluster("test"))
    rehearsal.cluster.airdrop(PAYER.pubkey(), 10**10)
    rehearsal.cluster.tick(40)
    async with rehearsing(rehearsal, slots_run=False), httpx2.AsyncClient(timeout=30) as http:
        yield Client(rehearsal, http)


def paying(blockhash: str, lamports: int = 1_000_000) -> bytes:
    move = transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=FRIEND, lamports=lamports))
    message = MessageV0.try_compile(PAYER.pubkey(), [move], [], Hash.from_string(blockhash))
    return bytes(VersionedTransaction(message, [PAYER]))


async def test_a_transaction_is_processed_confirmed_and_final_as_blocks_are_made() -> None:
    async with a_chain() as client:
        blockhash, _ = await client.blockhash()
        signature = await client.send(paying(blockhash))
        assert await client.status(signature) is None
        seen = []
        for slots in (1, 1, 31):
            client.rehearsal.cluster.tick(slots)
            seen.append((await client.status(signature))["confirmationStatus"])
        assert seen == ["processed", "confirmed", "finalized"]
        config = {"encoding": "base64", "maxSupportedTransactionVersion": 0}
        told = await client.call("getTransaction", signature, config)
        assert told["meta"]["preBalances"][0] - told["meta"]["postBalances"][0] == 1_000_000 + 5_000
        assert told["meta"]["err"] is None
        [listed] = await client.call("getSignaturesForAddress", str(PAYER.pubkey()))
        assert listed["signature"] == signature


async def test_a_blockhash_runs_out_after_150_blocks_and_what_comes_later_never_lands() -> None:
    async with a_chain() as client:
        blockhash, last = await client.blockhash()
        raw = paying(blockhash)
        client.rehearsal.cluster.tick(149)
        assert (await client.call("isBlockhashValid", blockhash, {"commitment": "processed"}))["value"] is True
        client.rehearsal.cluster.tick(3)
        assert await client.call("getBlockHeight", {"commitment": "processed"}) > last
        config = {"encoding": "base64", "preflightCommitment": "confirmed"}
        refused = await client.refused("sendTransaction", base64.b64encode(raw).decode(), config)
        assert refused["data"]["err"] == "BlockhashNotFound"
        signature = await client.send(raw, skipPreflight=True)
        client.rehearsal.cluster.tick(200)
        assert await client.status(signature) is None


async def test_preflight_at_finalized_does_not_know_a_young_blockhash() -> None:
    async with a_chain() as client:
        young, _ = await client.blockhash("confirmed")
        encoded = base64.b64encode(paying(young)).decode()
        error = await client.refused("sendTransaction", encoded, {"encoding": "base64"})
        assert (error["code"], error["data"]["err"]) == (-32002, "BlockhashNotFound")
        await client.send(paying(young), preflightCommitment="confirmed")


async def test_the_same_bytes_again_change_nothing_and_a_landed_one_is_refused_by_preflight() -> None:
    async with a_chain() as client:
        raw = paying((await client.blockhash())[0])
        first = await client.send(raw)
        assert await client.send(raw) == first
        client.rehearsal.cluster.tick()
        error = await client.refused("sendTransaction", base64.b64encode(raw).decode(), {"encoding": "base64"})
        assert error["data"]["err"] == "AlreadyProcessed"
        assert await client.send(raw, skipPreflight=True) == first
        client.rehearsal.cluster.tick(5)
        balance = await client.call("getBalance", str(FRIEND))
        assert balance["value"] == 1_000_000


async def test_a_block_on_a_fork_that_lost_takes_its_transactions_along() -> None:
    async with a_chain() as client:
        signature = await client.send(paying((await client.blockhash())[0]))
        await client.http.post(client.rehearsal.control_url, json={"die": 1, "tick": 3})
        assert (await client.status(signature))["confirmationStatus"] == "confirmed"
        client.rehearsal.cluster.tick(20)
        assert await client.status(signature) is None
        assert (await client.call("getBalance", str(FRIEND)))["value"] == 0


async def test_each_endpoint_fails_in_its_own_way() -> None:
    async with a_chain() as client:

        async def fault(**told: Any) -> None:
            answer = await client.http.post(client.rehearsal.control_url, json={"endpoint": "one", "fault": told})
            assert answer.status_code == 200, answer.text

        await fault(kind="too_many", retry_after_s=1.5)
        answer = await client.raw("getSlot")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1.5")
        assert (await client.raw("getSlot")).status_code == 200
        await fault(kind="broken")
        assert "<html>" in (await client.raw("getSlot")).text
        await fault(kind="error", code=-32002, message="already processed")
        assert "data" not in (await client.raw("getSlot")).json()["error"]
        await fault(kind="garbage")
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            (await client.raw("getSlot")).json()
        await fault(kind="wrong_chain", methods=["getGenesisHash"])
        assert await client.call("getGenesisHash") != await client.call("getGenesisHash", endpoint="two")
        await fault(kind="ahead", methods=["getBlockHeight"], slots=500)
        ahead = await client.call("getBlockHeight")
        assert ahead == await client.call("getBlockHeight") + 500
        refused = await client.http.post(client.rehearsal.control_url, json={"endpoint": "one", "fault": {"kind": "x"}})
        assert refused.status_code == 400


async def test_a_sending_is_dropped_delayed_or_carried_out_with_its_answer_lost() -> None:
    async with a_chain() as client:
        faults = client.rehearsal.endpoints["one"].faults
        blockhash, _ = await client.blockhash()
        faults.add(Fault(Kind.DROP), Fault(Kind.DELAY, slots=8), Fault(Kind.LOST, ("sendTransaction",), after=2))
        dropped, delayed, lost = (paying(blockhash, lamports) for lamports in (1_000_001, 1_000_002, 1_000_003))
        first, second = await client.send(dropped), await client.send(delayed)
        with pytest.raises(httpx2.HTTPError):
            await client.send(lost)
        client.rehearsal.cluster.tick(4)
        assert await client.status(first) is None
        assert await client.status(second) is None
        third = str(VersionedTransaction.from_bytes(lost).signatures[0])
        assert (await client.status(third))["err"] is None
        client.rehearsal.cluster.tick(8)
        assert (await client.status(second))["err"] is None


async def test_an_endpoint_that_lags_does_not_know_what_others_know() -> None:
    async with a_chain() as client:
        await client.http.post(client.rehearsal.control_url, json={"endpoint": "two", "lag": 60, "tick": 60})
        signature = await client.send(paying((await client.blockhash())[0]))
        client.rehearsal.cluster.tick(40)
        assert (await client.status(signature))["confirmationStatus"] == "finalized"
        assert await client.status(signature, "two") is None
        heights = [await client.call("getBlockHeight", endpoint=name) for name in ("one", "two")]
        assert heights[0] - heights[1] == 60


async def test_signatures_accounts_logs_and_slots_are_told_over_websocket() -> None:
    async with a_chain() as client:
        raw = paying((await client.blockhash())[0])
        signature = str(VersionedTransaction.from_bytes(raw).signatures[0])
        async with websockets.connect(client.rehearsal.websocket_url("one")) as socket:
            asked = (
                ("signatureSubscribe", [signature, {"commitment": "confirmed"}]),
                ("accountSubscribe", [str(FRIEND), {"encoding": "base64", "commitment": "processed"}]),
                ("logsSubscribe", [{"mentions": [str(FRIEND)]}, {"commitment": "processed"}]),
                ("slotSubscribe", []),
            )
            for number, (method, params) in enumerate(asked):
                await socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
                assert json.loads(await socket.recv())["result"] == number + 1
            await client.send(raw)
            told: set[str] = set()
            with anyio.fail_after(30):
                while len(told) < 4:
                    client.rehearsal.cluster.tick()
                    with anyio.move_on_after(0.05):
                        while True:
                            told.add(json.loads(await socket.recv())["method"])
            assert told == {f"{each}Notification" for each in ("signature", "account", "logs", "slot")}
            await client.http.post(client.rehearsal.control_url, json={"endpoint": "one", "cut": True})
            with anyio.fail_after(30), suppress(websockets.ConnectionClosed):
                async for _ in socket:
                    pass
            assert socket.close_code == 1011


async def test_a_simulation_shows_what_would_be_and_changes_nothing() -> None:
    async with a_chain() as client:
        raw = paying((await client.blockhash())[0])
        config = {
            "encoding": "base64",
            "commitment": "confirmed",
            "sigVerify": True,
            "accounts": {"encoding": "base64", "addresses": [str(PAYER.pubkey()), str(FRIEND)]},
        }
        value = (await client.call("simulateTransaction", base64.b64encode(raw).decode(), config))["value"]
        assert value["err"] is None
        assert [each["lamports"] for each in value["accounts"]] == [10**10 - 1_000_000 - 5_000, 1_000_000]
        assert (await client.call("getBalance", str(FRIEND)))["value"] == 0
        poor = paying((await client.blockhash())[0], 10**12)
        value = (await client.call("simulateTransaction", base64.b64encode(poor).decode(), config))["value"]
        assert value["err"] == {"InstructionError": [0, {"Custom": 1}]}


async def test_what_is_no_call_is_answered_as_json_rpc_says() -> None:
    async with a_chain() as client:
        assert (await client.refused("getNothing"))["code"] == -32601
        assert (await client.refused("getBalance"))["code"] == -32602
        assert (await client.refused("getBalance", "0OIl"))["code"] == -32602
        assert (await client.refused("sendTransaction", "????", {"encoding": "base64"}))["code"] == -32602
        batch = [{"jsonrpc": "2.0", "id": each, "method": "getSlot", "params": []} for each in (1, 2)]
        answers = (await client.http.post(client.rehearsal.url("one"), json=batch)).json()
        assert [each["id"] for each in answers] == [1, 2]
