"""What the rehearsal chain and a node that is not ours (Surfpool) must answer alike.

Surfpool comes with the tests' set-up on Linux x86-64; without it its half is skipped.
"""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest
import websockets
from solders.account import Account
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from tests.support.nodes import SLOT_MS, our_node, surfpool_node

pytestmark = [pytest.mark.anyio, pytest.mark.system, pytest.mark.requirement("T10")]

PAYER = Keypair.from_seed(bytes([5]) * 32)
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
FUNDS = 10**10
FEE = 5_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Node:
    """A node under test, told apart by nothing but its addresses."""

    def __init__(self, http: httpx2.AsyncClient, url: str, websocket_url: str) -> None:
        self._http = http
        self._url = url
        self.websocket_url = websocket_url

    async def answer(self, method: str, *params: Any) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 3, "method": method, "params": list(params)}
        told: dict[str, Any] = (await self._http.post(self._url, json=body)).json()
        assert (told["jsonrpc"], told["id"]) == ("2.0", 3)
        return told

    async def call(self, method: str, *params: Any) -> Any:
        told = await self.answer(method, *params)
        assert "error" not in told, told
        return told["result"]

    async def blockhash(self) -> tuple[str, int]:
        value = (await self.call("getLatestBlockhash", {"commitment": "confirmed"}))["value"]
        return value["blockhash"], value["lastValidBlockHeight"]

    async def send(self, raw: bytes, **config: Any) -> dict[str, Any]:
        options = {"encoding": "base64", "preflightCommitment": "confirmed", **config}
        return await self.answer("sendTransaction", base64.b64encode(raw).decode(), options)

    async def status(self, signature: str) -> Any:
        found = await self.call("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
        return found["value"][0]

    async def landed(self, signature: str) -> Any:
        async def seen() -> Any:
            status = await self.status(signature)
            return status if status and status["confirmationStatus"] in {"confirmed", "finalized"} else None

        return await until(seen)

    async def lamports(self, address: Pubkey) -> int:
        return int((await self.call("getBalance", str(address), {"commitment": "confirmed"}))["value"])


async def until(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return the first answer that is one, bounded."""
    with anyio.fail_after(30):
        while not (found := await ask()):  # noqa: ASYNC110 - a node behind HTTP has no event to wait on
            await anyio.sleep(0.02)
    return found


@pytest.fixture(params=[our_node, surfpool_node], ids=["ours", "surfpool"])
async def node(request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    async with request.param({PAYER.pubkey(): Account(FUNDS, b"", Pubkey.default())}) as at:
        made = Node(at.http, at.url, at.websocket_url)

        async def started() -> bool:
            return bool(await made.call("getBlockHeight", {"commitment": "confirmed"}))

        await until(started)
        yield made


def signed(blockhash: str, *instructions: Instruction) -> tuple[bytes, str]:
    message = MessageV0.try_compile(PAYER.pubkey(), list(instructions), [], Hash.from_string(blockhash))
    made = VersionedTransaction(message, [PAYER])
    return bytes(made), str(made.signatures[0])


def paying(lamports: int, to: Pubkey) -> Instruction:
    return transfer(TransferParams(from_pubkey=PAYER.pubkey(), to_pubkey=to, lamports=lamports))


async def test_a_transfer_lands_once_and_its_balances_say_so(node: Node) -> None:
    friend = Keypair.from_seed(bytes([6]) * 32).pubkey()
    raw, signature = signed((await node.blockhash())[0], paying(2_000_000, friend))
    assert (await node.send(raw))["result"] == signature
    status = await node.landed(signature)
    assert (status["err"], status["status"]) == (None, {"Ok": None})
    await node.send(raw, skipPreflight=True)  # whatever is answered, it has no second effect
    await anyio.sleep(10 * SLOT_MS / 1_000)
    assert await node.lamports(friend) == 2_000_000
    assert await node.lamports(PAYER.pubkey()) == FUNDS - 2_000_000 - FEE
    config = {"encoding": "base64", "maxSupportedTransactionVersion": 0, "commitment": "confirmed"}
    told = await node.call("getTransaction", signature, config)
    assert base64.b64decode(told["transaction"][0]) == raw
    meta = told["meta"]
    assert [after - before for before, after in zip(meta["preBalances"], meta["postBalances"], strict=True)][:2] == [
        -2_000_000 - FEE,
        2_000_000,
    ]
    listed = await node.call("getSignaturesForAddress", str(friend), {"commitment": "confirmed"})
    assert [each["signature"] for each in listed] == [signature]


async def test_what_would_fail_is_refused_by_preflight_and_pays_its_fee_without(node: Node) -> None:
    friend = Keypair.from_seed(bytes([7]) * 32).pubkey()
    raw, signature = signed((await node.blockhash())[0], paying(10 * FUNDS, friend))
    error = {"InstructionError": [0, {"Custom": 1}]}
    config = {"encoding": "base64", "commitment": "confirmed", "sigVerify": True}
    simulated = await node.call("simulateTransaction", base64.b64encode(raw).decode(), config)
    assert simulated["value"]["err"] == error
    refused = (await node.send(raw))["error"]
    assert (refused["code"], refused["data"]["err"]) == (-32002, error)
    assert await node.status(signature) is None
    assert await node.lamports(PAYER.pubkey()) == FUNDS
    assert (await node.send(raw, skipPreflight=True))["result"] == signature
    assert (await node.landed(signature))["err"] == error
    assert await node.lamports(PAYER.pubkey()) == FUNDS - FEE


async def test_a_blockhash_runs_out_and_what_carries_it_never_lands(node: Node) -> None:
    friend = Keypair.from_seed(bytes([8]) * 32).pubkey()
    blockhash, last_valid = await node.blockhash()
    height = await node.call("getBlockHeight", {"commitment": "confirmed"})
    # Surfpool gives the hash of a block that its confirmed height has not reached.
    assert 140 <= last_valid - height <= 152

    async def over() -> bool:
        return bool(await node.call("getBlockHeight", {"commitment": "confirmed"}) > last_valid + 5)

    await until(over)
    raw, signature = signed(blockhash, paying(1_000_000, friend))
    await node.send(raw, skipPreflight=True)
    await anyio.sleep(20 * SLOT_MS / 1_000)
    assert await node.status(signature) is None
    assert await node.lamports(friend) == 0


async def test_calls_that_are_none_and_transactions_that_are_too_long_are_refused(node: Node) -> None:
    assert (await node.answer("getNothing"))["error"]["code"] == -32601
    assert (await node.answer("getBalance", "0OIl"))["error"]["code"] == -32602
    raw, signature = signed((await node.blockhash())[0], Instruction(MEMO, b"x" * 1_100, []))
    longer = raw + bytes(1_300 - len(raw))
    for each in (longer, signed((await node.blockhash())[0], Instruction(MEMO, b"x" * 1_200, []))[0]):
        assert len(each) > 1_232
        assert (await node.send(each, skipPreflight=True))["error"]["code"] == -32602
    assert await node.status(signature) is None


async def test_a_signature_is_told_over_websocket_once(node: Node) -> None:
    friend = Keypair.from_seed(bytes([9]) * 32).pubkey()
    raw, signature = signed((await node.blockhash())[0], paying(3_000_000, friend))
    params = [signature, {"commitment": "confirmed"}]
    ask = {"jsonrpc": "2.0", "id": 1, "method": "signatureSubscribe", "params": params}
    async with websockets.connect(node.websocket_url, proxy=None) as socket:
        with anyio.fail_after(30):
            await socket.send(json.dumps(ask))
            number = json.loads(await socket.recv())["result"]
            await node.send(raw)
            told = json.loads(await socket.recv())
    assert told["method"] == "signatureNotification"
    assert told["params"]["subscription"] == number
    assert told["params"]["result"]["value"] == {"err": None}
