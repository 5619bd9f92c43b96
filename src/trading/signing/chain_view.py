"""What the signer itself sees of the chain: heights and lookup tables, from the endpoints of the armed mandate.

The asker is believed about neither: with a false height a second message of one intent could be had while the first
is alive, and with a false table a stranger's account could be hidden in a message.
"""

import base64
import itertools
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import anyio
import httpx2
from solders.pubkey import Pubkey

from trading.errors import ChainUnavailable, WrongChain
from trading.model.chain import AccountSeen

from .policy import HeightsSeen

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
TIMEOUT_S: Final = 5.0
_TABLE_PROGRAM: Final = "AddressLookupTab1e1111111111111111111111111"
_TABLE_HEAD_BYTES: Final = 56
_KEY_BYTES: Final = 32
_TABLES_MAX: Final = 4_096
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class ChainView(Protocol):
    """Raises everywhere: ChainUnavailable where no endpoint gave a usable answer, WrongChain where they differ."""

    async def genesis_hash(self) -> str: ...

    async def heights(self) -> HeightsSeen: ...

    async def tables(self, addresses: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return what each lookup table holds; one that does not exist is left out."""

    async def accounts(self, addresses: Sequence[str]) -> list[list[AccountSeen | None]]:
        """Return what each endpoint that answers says of these accounts, in their order; None: there is none."""

    def forget(self, addresses: Sequence[str]) -> None:
        """Look these tables up again when they are next asked for: they may have grown."""

    async def aclose(self) -> None: ...


class RpcChainView:
    """Over JSON-RPC, all endpoints at once. One that fails is left out; those that answer must agree."""

    def __init__(
        self, endpoints: Sequence[str], timeout_s: float = TIMEOUT_S, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._endpoints = tuple(endpoints)
        loopback = all(urlsplit(each).hostname in _LOOPBACK for each in endpoints)
        self._http = httpx2.AsyncClient(
            timeout=timeout_s,
            trust_env=not loopback,
            follow_redirects=False,
            transport=transport,
            verify=not all(each.startswith("http:") for each in endpoints),
        )
        self._numbers = itertools.count(1)
        self._tables: dict[str, tuple[str, ...]] = {}

    async def __aenter__(self) -> "RpcChainView":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def genesis_hash(self) -> str:
        found = {each for each in await self._all("getGenesisHash", []) if isinstance(each, str)}
        if len(found) != 1:
            msg = f"the endpoints are of {len(found)} different chains"
            raise WrongChain(msg)
        return found.pop()

    async def heights(self) -> HeightsSeen:
        # The finalized one first: read later it would be higher, and an attempt count as dead too early.
        finalized = await self._all("getBlockHeight", [{"commitment": "finalized"}])
        confirmed = await self._all("getBlockHeight", [{"commitment": "confirmed"}])
        low = [each for each in finalized if type(each) is int and each >= 0]
        high = [each for each in confirmed if type(each) is int and each >= 0]
        if not low or not high:
            msg = "no endpoint told its block height"
            raise ChainUnavailable(msg)
        return HeightsSeen(min(low), max(high))

    async def tables(self, addresses: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """What a table held once it holds for good, except that more may follow: a known one is looked up again only
        through ``forget``."""
        unknown = [each for each in addresses if each not in self._tables]
        if unknown:
            answers = await self._all(
                "getMultipleAccounts", [unknown, {"encoding": "base64", "commitment": "confirmed"}]
            )
            found = [_tables_of(unknown, answer) for answer in answers]
            for address in unknown:
                told = {each[address] for each in found if address in each}
                if len(told) > 1:
                    # One of them may be behind: what all of them agree on is a table's beginning.
                    told = {min(told, key=len)} if _is_one_growing(told) else set()
                if len(told) == 1:
                    self._tables[address] = told.pop()
            while len(self._tables) > _TABLES_MAX:
                del self._tables[next(iter(self._tables))]
        return {each: self._tables[each] for each in addresses if each in self._tables}

    async def accounts(self, addresses: Sequence[str]) -> list[list[AccountSeen | None]]:
        wish = [list(addresses), {"encoding": "base64", "commitment": "confirmed"}]
        answers = await self._all("getMultipleAccounts", wish)
        told = [seen for answer in answers if (seen := _accounts_of(addresses, answer)) is not None]
        if not told:
            msg = "no endpoint told of the accounts"
            raise ChainUnavailable(msg)
        return told

    def forget(self, addresses: Sequence[str]) -> None:
        for each in addresses:
            self._tables.pop(each, None)

    async def _all(self, method: str, params: list[Any]) -> list[Any]:
        """Return the results of the endpoints that answered. Raises: ChainUnavailable where none did."""
        good: list[Any] = []

        async def ask(endpoint: str) -> None:
            answer = await self._ask(endpoint, method, params)
            if answer is not None:
                good.append(answer[0])

        async with anyio.create_task_group() as tasks:
            for endpoint in self._endpoints:
                tasks.start_soon(ask, endpoint)
        if not good:
            msg = f"no endpoint answered {method}"
            raise ChainUnavailable(msg)
        return good

    async def _ask(self, endpoint: str, method: str, params: list[Any]) -> tuple[Any] | None:
        body = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": params}
        try:
            async with self._http.stream("POST", endpoint, json=body) as answer:
                content = b""
                async for piece in answer.aiter_bytes():
                    content += piece
                    if len(content) > ANSWER_BYTES_MAX:
                        return None
                if answer.status_code != httpx2.codes.OK:
                    return None
            document = _json(content)
        except httpx2.HTTPError:
            return None
        if not isinstance(document, dict) or document.get("id") != body["id"] or "result" not in document:
            return None
        return (document["result"],)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _accounts_of(addresses: Sequence[str], answer: Any) -> list[AccountSeen | None] | None:
    """Return the accounts of an answer, None for an answer that is none."""
    try:
        slot, values = int(answer["context"]["slot"]), answer["value"]
        if len(values) != len(addresses):
            return None
        return [
            None if value is None else _account(address, value, slot)
            for address, value in zip(addresses, values, strict=True)
        ]
    except (TypeError, KeyError, IndexError, ValueError):
        return None


def _account(address: str, value: Any, slot: int) -> AccountSeen:
    data = base64.b64decode(value["data"][0], validate=True)
    return AccountSeen(address, str(value["owner"]), int(value["lamports"]), data, bool(value["executable"]), slot)


def _tables_of(addresses: Sequence[str], answer: Any) -> dict[str, tuple[str, ...]]:
    values = answer.get("value") if isinstance(answer, dict) else None
    if not isinstance(values, list) or len(values) != len(addresses):
        return {}
    found = {}
    for address, value in zip(addresses, values, strict=True):
        held = _table(value)
        if held is not None:
            found[address] = held
    return found


def _table(value: Any) -> tuple[str, ...] | None:
    """Return the addresses of a lookup table's account: 56 bytes of head, then 32 a piece."""
    try:
        if value["owner"] != _TABLE_PROGRAM:
            return None
        data = base64.b64decode(value["data"][0], validate=True)
    except (TypeError, KeyError, IndexError, ValueError):
        return None
    if len(data) < _TABLE_HEAD_BYTES or (len(data) - _TABLE_HEAD_BYTES) % _KEY_BYTES or data[:4] != b"\x01\0\0\0":
        return None
    places = range(_TABLE_HEAD_BYTES, len(data), _KEY_BYTES)
    return tuple(str(Pubkey.from_bytes(data[place : place + _KEY_BYTES])) for place in places)


def _is_one_growing(told: set[tuple[str, ...]]) -> bool:
    ordered = sorted(told, key=len)
    return all(longer[: len(shorter)] == shorter for shorter, longer in itertools.pairwise(ordered))
