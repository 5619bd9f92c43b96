"""What the signer sees for itself, over endpoints that lag, lie, fail and talk nonsense."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from solders.pubkey import Pubkey

from trading.errors import ChainUnavailable, WrongChain
from trading.signing.chain_view import RpcChainView
from trading.signing.policy import HeightsSeen

pytestmark = pytest.mark.anyio
KEYS = [Pubkey.from_bytes(bytes([number]) * 32) for number in range(1, 6)]
TABLE = str(KEYS[0])
PROGRAM = "AddressLookupTab1e1111111111111111111111111"
Answer = Callable[[dict[str, Any]], Any]


def view(*answers: Answer) -> RpcChainView:
    """Return a view over one endpoint for each answer: a value, a whole response, or an error to raise."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        found = answers[(request.url.port or 1) - 1](asked)
        if isinstance(found, httpx2.Response):
            return found
        return httpx2.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": found})

    endpoints = [f"http://127.0.0.1:{port}" for port in range(1, len(answers) + 1)]
    return RpcChainView(endpoints, transport=httpx2.MockTransport(handle))


def heights(finalized: Any, confirmed: Any) -> Answer:
    return lambda asked: finalized if asked["params"][0]["commitment"] == "finalized" else confirmed


def fails(_asked: dict[str, Any]) -> httpx2.Response:
    raise httpx2.ConnectError("gone")


def account(held: list[Pubkey], **changes: Any) -> Answer:
    data = b"\x01\0\0\0" + bytes(52) + b"".join(map(bytes, held))
    value = {"owner": PROGRAM, "data": [base64.b64encode(data).decode(), "base64"], **changes}
    return lambda _asked: {"context": {"slot": 1}, "value": [value]}


async def test_the_lowest_finalized_and_the_highest_confirmed_height_count() -> None:
    async with view(heights(90, 130), heights(100, 120), fails) as chain:
        assert await chain.heights() == HeightsSeen(finalized=90, confirmed=130)


@pytest.mark.parametrize(
    "answer",
    [
        fails,
        heights("90", "130"),
        heights(True, 1.5),
        heights(-1, -1),
        lambda _asked: httpx2.Response(429, json={"result": 5}),
        lambda _asked: httpx2.Response(200, text="<html>busy</html>"),
        lambda _asked: httpx2.Response(200, json={"id": -1, "result": 5}),
        lambda _asked: httpx2.Response(200, json=[1]),
        lambda asked: httpx2.Response(200, json={"id": asked["id"], "error": {"code": -32005}}),
        lambda asked: httpx2.Response(200, content=b" " * 5_000_000),
    ],
)
async def test_an_answer_that_is_none_concludes_nothing(answer: Answer) -> None:
    async with view(answer) as chain:
        with pytest.raises(ChainUnavailable):
            await chain.heights()


async def test_endpoints_of_two_chains_are_refused() -> None:
    async with view(lambda _asked: "a", lambda _asked: "a") as chain:
        assert await chain.genesis_hash() == "a"
    async with view(lambda _asked: "a", lambda _asked: "b") as chain:
        with pytest.raises(WrongChain):
            await chain.genesis_hash()


async def test_a_table_is_read_from_the_chain_and_kept() -> None:
    asked = []

    def answer(request: dict[str, Any]) -> Any:
        asked.append(request["method"])
        return account(KEYS[1:3])(request)

    async with view(answer) as chain:
        assert await chain.tables([TABLE]) == {TABLE: (str(KEYS[1]), str(KEYS[2]))}
        await chain.tables([TABLE])
        assert asked == ["getMultipleAccounts"]
        chain.forget([TABLE])
        await chain.tables([TABLE])
        assert len(asked) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": TABLE},
        {"data": ["!!", "base64"]},
        {"data": None},
        {"data": [base64.b64encode(b"\x01\0\0\0" + bytes(53)).decode(), "base64"]},
        {"data": [base64.b64encode(bytes(56)).decode(), "base64"]},
        {"data": [base64.b64encode(b"\x01\0\0\0").decode(), "base64"]},
    ],
)
async def test_an_account_that_is_no_table_is_left_out(changes: dict[str, Any]) -> None:
    async with view(account(KEYS[1:3], **changes)) as chain:
        assert await chain.tables([TABLE]) == {}


async def test_a_missing_table_and_a_wrong_shape_are_left_out() -> None:
    for answer in (lambda _asked: {"value": [None]}, lambda _asked: {"value": []}, lambda _asked: None):
        async with view(answer) as chain:
            assert await chain.tables([TABLE]) == {}


async def test_endpoints_that_differ_about_a_table_are_not_believed_unless_one_is_only_behind() -> None:
    async with view(account(KEYS[1:3]), account(KEYS[1:4])) as chain:
        assert await chain.tables([TABLE]) == {TABLE: (str(KEYS[1]), str(KEYS[2]))}
    async with view(account([KEYS[1], KEYS[3]]), account(KEYS[1:4])) as chain:
        assert await chain.tables([TABLE]) == {}
