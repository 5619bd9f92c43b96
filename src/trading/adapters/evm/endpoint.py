"""One node of an EVM chain through web3.py. What carries its questions is the house's own endpoint, so time, size,
repeats and budget have bounds, and addresses with keys in them are shown to nobody.

Every way in which a node or web3.py fails ends as ChainUnavailable; a call that the chain itself refuses is
RouteRefused ("reverted"); a transaction that a node does not take is SendRefused, which proves nothing.
"""

from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

from eth_typing import ChecksumAddress, HexStr
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3 import AsyncWeb3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import BlockIdentifier, RPCEndpoint, RPCResponse, TxParams

from trading.adapters.solana.endpoint import RpcEndpoint, RpcRefused
from trading.errors import ChainUnavailable, RouteRefused, SendRefused
from trading.model.evm import WEI_MAX, BlockSeen, Log, Receipt, address_of, is_hash

T = TypeVar("T")
LOGS_MAX: Final = 1_000
CALL_BYTES_MAX: Final = 262_144
_HASH_BYTES: Final = 32
_NOT_KNOWN: Final = "nothing is known about the chain because of this"


class _Carried(AsyncJSONBaseProvider):
    """web3.py's questions over an endpoint of the house. It follows no address that a contract names (CCIP)."""

    global_ccip_read_enabled = False

    def __init__(self, endpoint: RpcEndpoint) -> None:
        super().__init__()
        self._endpoint = endpoint

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        try:
            result = await self._endpoint.call(method, params, is_send=method == "eth_sendRawTransaction")
        except RpcRefused as refused:
            error = {"code": refused.rpc_code, "message": refused.said, "data": refused.data}
            return cast(RPCResponse, {"jsonrpc": "2.0", "id": 1, "error": error})
        return cast(RPCResponse, {"jsonrpc": "2.0", "id": 1, "result": result})


class EvmEndpoint:
    """Made with an endpoint that is its own to close. ``at`` is a block's number or tag."""

    def __init__(self, carrier: RpcEndpoint) -> None:
        self.name = carrier.name
        self._carrier = carrier
        # No middleware: none of them is needed, and some ask the node by themselves.
        self._eth = AsyncWeb3(_Carried(carrier), middleware=[]).eth

    async def aclose(self) -> None:
        await self._carrier.aclose()

    async def chain_id(self) -> int:
        return _natural("chain id", await self._told(self._eth.chain_id))

    async def block(self, at: int | str) -> BlockSeen | None:
        """Return a block, None for one that the node has not."""
        try:
            with _translating(self.name):
                found = await self._eth.get_block(_identifier(at))
        except _Absent:
            return None
        with _translating(self.name):
            return _block(cast(Mapping[str, Any], found))

    async def nonce(self, account: str, at: int | str = "latest") -> int:
        counted = self._eth.get_transaction_count(_checksum(account), _identifier(at))
        return _natural("nonce", await self._told(counted))

    async def balance_wei(self, account: str) -> int:
        return _natural("balance", await self._told(self._eth.get_balance(_checksum(account))))

    async def call(self, to: str, data: bytes, at: int | str = "latest", sender: str = "") -> bytes:
        """Return what a contract answers. Raises: RouteRefused where it reverts."""
        wanted: TxParams = {"to": _checksum(to), "data": HexBytes(data)}
        if sender:
            wanted["from"] = _checksum(sender)
        found = bytes(await self._told(self._eth.call(wanted, _identifier(at))))
        if len(found) > CALL_BYTES_MAX:
            msg = f"{self.name}: a contract answered {len(found)} bytes"
            raise ChainUnavailable(msg, hint=_NOT_KNOWN)
        return found

    async def gas_for(self, sender: str, to: str, data: bytes) -> int:
        """Return how much gas the call would take now. Raises: RouteRefused where it would revert."""
        wanted: TxParams = {"from": _checksum(sender), "to": _checksum(to), "data": HexBytes(data)}
        return _natural("gas", await self._told(self._eth.estimate_gas(wanted)))

    async def tip_wei(self) -> int:
        return _natural("tip", await self._told(self._eth.max_priority_fee))

    async def send(self, raw: bytes) -> str:
        """Hand the bytes in; return the hash that the node gives them. Raises: SendRefused, ChainUnavailable."""
        try:
            return "0x" + bytes(await self._eth.send_raw_transaction(HexBytes(raw))).hex()
        except ChainUnavailable:
            raise
        except (Web3Exception, ValueError, TypeError, KeyError) as error:
            msg = f"{self.name} did not take the transaction: {_said(error)}"
            raise SendRefused(msg) from None

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """Return the receipt that the node has, None for none. Raises: ChainUnavailable for one of something else."""
        try:
            with _translating(self.name):
                found = await self._eth.get_transaction_receipt(HexStr(tx_hash))
        except _Absent:
            return None
        with _translating(self.name):
            receipt = _receipt(cast(Mapping[str, Any], found))
        if receipt.tx_hash != tx_hash:
            msg = f"{self.name} was asked for the receipt of {tx_hash} and gave that of {receipt.tx_hash}"
            raise ChainUnavailable(msg, hint=_NOT_KNOWN)
        return receipt

    async def _told(self, asked: Awaitable[T]) -> T:
        with _translating(self.name):
            return await asked


class _Absent(Exception):
    """The node has no such block or transaction."""


@contextmanager
def _translating(name: str) -> Iterator[None]:
    """Turn whatever web3.py says into an error of ours, once. What a malformed answer breaks on is such a thing too."""
    try:
        yield
    except ChainUnavailable:
        raise
    except (BlockNotFound, TransactionNotFound):
        raise _Absent from None
    except ContractLogicError as error:
        msg = f"the contract refuses: {_said(error)}"
        raise RouteRefused(msg, reason="reverted") from None
    except Web3RPCError as error:
        msg = f"{name}: {_said(error)}"
        raise ChainUnavailable(msg, hint=_NOT_KNOWN) from None
    except (Web3Exception, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        msg = f"{name} gave an answer that cannot be read ({type(error).__name__})"
        raise ChainUnavailable(msg, hint=_NOT_KNOWN) from None


def _said(error: Exception) -> str:
    return str(error)[:200]


def _checksum(address: str) -> ChecksumAddress:
    return to_checksum_address(address)


def _identifier(at: int | str) -> BlockIdentifier:
    return cast(BlockIdentifier, at)


def _natural(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= WEI_MAX:
        msg = f"{name}: not an integer of 0 to {WEI_MAX}"
        raise ChainUnavailable(msg, hint=_NOT_KNOWN)
    return value


def _hash(value: Any) -> str:
    found = "0x" + bytes(HexBytes(value)).hex()
    if not is_hash(found):
        msg = f"a hash has {_HASH_BYTES} bytes"
        raise ValueError(msg)
    return found


def _block(found: Mapping[str, Any]) -> BlockSeen:
    return BlockSeen(
        number=_natural("number", found["number"]),
        hash=_hash(found["hash"]),
        parent_hash=_hash(found["parentHash"]),
        time_s=_natural("timestamp", found["timestamp"]),
        base_fee_wei=_natural("baseFeePerGas", found.get("baseFeePerGas", 0)),
    )


def _receipt(found: Mapping[str, Any]) -> Receipt:
    status = found["status"]
    if status not in (0, 1):
        msg = "a receipt says 0 or 1"
        raise ValueError(msg)
    gas = _natural("gasUsed", found["gasUsed"])
    l1_fee_wei = _natural("l1Fee", int(HexBytes(found.get("l1Fee") or 0).hex() or "0", 16))
    logs = found["logs"]
    if len(logs) > LOGS_MAX:
        msg = f"a receipt with {len(logs)} logs"
        raise ValueError(msg)
    return Receipt(
        tx_hash=_hash(found["transactionHash"]),
        block_number=_natural("blockNumber", found["blockNumber"]),
        block_hash=_hash(found["blockHash"]),
        is_success=status == 1,
        gas_used=gas,
        fee_wei=gas * _natural("effectiveGasPrice", found["effectiveGasPrice"]) + l1_fee_wei,
        l1_fee_wei=l1_fee_wei,
        logs=tuple(
            Log(address_of(each["address"]), tuple(map(_hash, each["topics"])), bytes(HexBytes(each["data"])))
            for each in logs
        ),
    )
