"""``/order`` and ``/execute`` of the local Jupiter server: whole transactions, and sending what was signed."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from uuid import uuid4

import anyio
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from .jupiter_chain import RpcChain
from .jupiter_parts import STRANGER, Parts, compute_limit, compute_price
from .tokens import NATIVE_MINT

COMPUTE_UNITS: Final = 300_000
ORDERS_MAX: Final = 10_000
ORDER_LIFE_S: Final = 120.0
_POLL_S: Final = 0.05
_SIGNATURE_LAMPORTS: Final = 5_000


@dataclass(frozen=True, slots=True)
class _Order:
    message: bytes
    last_valid_block_height: int
    made_s: float


class Orders:
    """The orders that were given out, each for two minutes, at most ten thousand. ``wait_s``: how long an execution
    waits for the chain; ``now_s`` is the time by which orders age."""

    def __init__(self, chain: RpcChain, wait_s: float, now_s: Callable[[], float] = monotonic) -> None:
        self._chain = chain
        self._wait_s = wait_s
        self._now_s = now_s
        self._known: dict[str, _Order] = {}

    def transaction(self, parts: Parts, blockhash: str, tables: Mapping[str, Sequence[str]], *, payer: Pubkey) -> bytes:
        """Return a v0 transaction that nobody has signed yet."""
        given = [compute_limit(COMPUTE_UNITS), compute_price(parts.price), *parts.all]
        lookups = [
            AddressLookupTableAccount(Pubkey.from_string(table), [Pubkey.from_string(key) for key in keys])
            for table, keys in tables.items()
        ]
        message = MessageV0.try_compile(payer, given, lookups, Hash.from_string(blockhash))
        empty = [Signature.default()] * message.header.num_required_signatures
        return bytes(VersionedTransaction.populate(message, empty))

    def remember(self, raw: bytes, last_valid_block_height: int) -> str:
        """Return the request id under which the signed transaction is expected."""
        now_s = self._now_s()
        for name in [name for name, each in self._known.items() if now_s - each.made_s > ORDER_LIFE_S]:
            del self._known[name]
        if len(self._known) >= ORDERS_MAX:
            del self._known[next(iter(self._known))]
        name = str(uuid4())
        message = to_bytes_versioned(VersionedTransaction.from_bytes(raw).message)
        self._known[name] = _Order(message, last_valid_block_height, now_s)
        return name

    async def execute(self, body: Mapping[str, Any], *, sends: bool) -> dict[str, Any]:
        """Send a signed order and wait for it. The same body again sends the same bytes: nothing happens twice."""
        order = self._known.get(str(body.get("requestId")))
        if order is None or self._now_s() - order.made_s > ORDER_LIFE_S:
            return _failed(-1, "Order not found or expired")
        try:
            raw = base64.b64decode(str(body.get("signedTransaction")), validate=True)
            transaction = VersionedTransaction.from_bytes(raw)
        except (binascii.Error, ValueError):
            return _failed(-2, "Invalid signed transaction")
        if to_bytes_versioned(transaction.message) != order.message:
            return _failed(-3, "Invalid message bytes")
        if not all(transaction.verify_with_results()):
            return _failed(-1003, "Transaction not fully signed")
        signature = str(transaction.signatures[0])
        if sends:
            await self._chain.send(raw)
        return await self._outcome(signature, order, waits=sends)

    async def _outcome(self, signature: str, order: _Order, *, waits: bool) -> dict[str, Any]:
        with anyio.move_on_after(self._wait_s if waits else 0):
            while await self._chain.block_height() <= order.last_valid_block_height:
                landed = await self._chain.landed(signature)
                if landed is not None:
                    return await self._told(signature, landed.slot, landed.error)
                await anyio.sleep(_POLL_S)
        return _failed(-1000, "Failed to land") | {"signature": signature}

    async def _told(self, signature: str, slot: int, error: Any) -> dict[str, Any]:
        base = {"signature": signature, "slot": str(slot)}
        if error is not None:
            code = _custom(error)
            return base | {"status": "Failed", "error": str(error), "code": -1001 if code is None else code}
        seen = await self._chain.transaction(signature)
        return base | {"status": "Success", "code": 0} | ({} if seen is None else {"fee": seen["meta"]["fee"]})


def quoted(parts: Parts | None, taker: str | None) -> dict[str, Any]:
    """Return who pays what, as ``/order`` tells it: the taker pays, also where the transaction says otherwise."""
    priority = 0 if parts is None else min(parts.price * COMPUTE_UNITS // 10**6, 2**53)
    return {
        "mode": "manual",
        "router": "metis",
        "feeBps": 0,
        "signatureFeeLamports": _SIGNATURE_LAMPORTS,
        "signatureFeePayer": taker,
        "prioritizationFeeLamports": priority,
        "prioritizationFeePayer": taker,
        "rentFeeLamports": 0,
        "rentFeePayer": taker,
        "gasless": False,
        "taker": taker,
    }


def payer_of(parts: Parts, malice: str) -> Pubkey:
    """Return who pays for the transaction."""
    return STRANGER if malice == "wrong_payer" else parts.wallet


async def shortfall(chain: RpcChain, parts: Parts) -> tuple[int, str] | None:
    """Return the code and the word for what the taker lacks, None where it has enough."""
    wallet, source = str(parts.wallet), str(parts.source)
    seen = await chain.accounts([wallet, source])
    own, held = seen[wallet], seen[source]
    native = own.lamports if own else 0
    spends_sol = parts.quote.in_mint == NATIVE_MINT
    units = native if spends_sol else int.from_bytes(held.data[64:72], "little") if held else 0
    if units < parts.quote.amount_in:
        return 1, "Insufficient funds"
    if native < _SIGNATURE_LAMPORTS + (parts.quote.amount_in if spends_sol else 0):
        return 2, "Insufficient SOL for gas"
    return None


def _failed(code: int, error: str) -> dict[str, Any]:
    return {"status": "Failed", "code": code, "error": error, "signature": ""}


def _custom(error: Any) -> int | None:
    """Return the program's own error number of an instruction that failed."""
    inner = error.get("InstructionError") if isinstance(error, dict) else None
    last = inner[1] if isinstance(inner, list) and len(inner) == 2 else None
    code = last.get("Custom") if isinstance(last, dict) else None
    return code if isinstance(code, int) else None
