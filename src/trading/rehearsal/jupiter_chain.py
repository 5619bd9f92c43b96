"""As much of a chain as the local Jupiter server needs, over plain JSON-RPC: any cluster that speaks it will do."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import httpx2

_AT_ONCE: Final = 100
_CONFIRMED: Final = {"commitment": "confirmed"}


class ChainTrouble(Exception):
    """The chain did not answer, or answered with an error; the message says what."""


@dataclass(frozen=True, slots=True)
class LocalAccount:
    owner: str
    lamports: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Landed:
    """``error`` is None for a transaction that succeeded."""

    slot: int
    error: Any


class RpcChain:
    """Asks one endpoint. Raises everywhere: ChainTrouble."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url
        self._ids = count(1)

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, LocalAccount | None]:
        found: dict[str, LocalAccount | None] = {}
        for start in range(0, len(addresses), _AT_ONCE):
            asked = list(addresses[start : start + _AT_ONCE])
            answer = await self.call("getMultipleAccounts", asked, {"encoding": "base64", **_CONFIRMED})
            found.update(zip(asked, map(_account, answer["value"]), strict=True))
        return found

    async def blockhash(self) -> tuple[str, int]:
        """Return a confirmed blockhash and the last block height that it is good for."""
        value = (await self.call("getLatestBlockhash", _CONFIRMED))["value"]
        return value["blockhash"], value["lastValidBlockHeight"]

    async def block_height(self) -> int:
        return int(await self.call("getBlockHeight", _CONFIRMED))

    async def send(self, raw: bytes) -> str:
        config = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        return str(await self.call("sendTransaction", base64.b64encode(raw).decode(), config))

    async def landed(self, signature: str) -> Landed | None:
        """Return a transaction that is confirmed, None for any other."""
        answer = await self.call("getSignatureStatuses", [signature], {"searchTransactionHistory": True})
        seen = answer["value"][0]
        if seen is None or seen.get("confirmationStatus") not in ("confirmed", "finalized"):
            return None
        return Landed(seen["slot"], seen["err"])

    async def transaction(self, signature: str) -> Mapping[str, Any] | None:
        config = {"encoding": "json", "maxSupportedTransactionVersion": 0, **_CONFIRMED}
        found: Mapping[str, Any] | None = await self.call("getTransaction", signature, config)
        return found

    async def fees(self, writable: Sequence[str]) -> list[int]:
        """Return what lately got into blocks with these accounts, in micro-lamports a unit, the least first."""
        rows = await self.call("getRecentPrioritizationFees", list(writable))
        return sorted(int(row["prioritizationFee"]) for row in rows)

    async def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            document = (await self._http.post(self._url, json=body)).json()
        except (httpx2.HTTPError, ValueError) as exc:
            msg = f"{method}: {type(exc).__name__}"
            raise ChainTrouble(msg) from exc
        if not isinstance(document, dict) or "result" not in document:
            msg = f"{method}: {document.get('error') if isinstance(document, dict) else document!r}"
            raise ChainTrouble(msg)
        return document["result"]


def _account(value: Any) -> LocalAccount | None:
    if value is None:
        return None
    return LocalAccount(value["owner"], value["lamports"], base64.b64decode(value["data"][0]))
