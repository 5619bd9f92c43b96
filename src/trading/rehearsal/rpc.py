"""What a node answers to JSON-RPC calls: the documented methods over the cluster, as one endpoint sees it.

Shapes follow solana.com/docs/rpc. ``lag_slots`` makes an endpoint that is behind: it does not know newer blocks.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from solders.account import Account
from solders.message import Message, MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from . import base58, shapes
from .cluster import EVERYBODY, Block, Cluster, Executed, Level, budget_of
from .tokens import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, token_balance

VERSION: Final = {"solana-core": "rehearsal", "feature-set": 0}
INVALID_PARAMS, METHOD_NOT_FOUND, INTERNAL = -32602, -32601, -32603
PREFLIGHT_FAILED, NODE_BEHIND, NOT_IN_SLOT, MIN_CONTEXT = -32002, -32005, -32004, -32016
ADDRESSES_MAX: Final = 100
STATUSES_MAX: Final = 256
SIGNATURES_MAX: Final = 1_000
RECENT_STATUS_SLOTS: Final = 150
_LEVELS: Final = {"processed": Level.PROCESSED, "confirmed": Level.CONFIRMED, "finalized": Level.FINALIZED}


class RpcError(Exception):
    """An error answer of JSON-RPC."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


@dataclass(slots=True)
class Node:
    """One endpoint: ``lag_slots`` behind the cluster."""

    cluster: Cluster
    lag_slots: int = 0

    @property
    def slot(self) -> int:
        return max(0, self.cluster.slot - self.lag_slots)

    def newest(self, level: Level) -> Block:
        return self.cluster.newest(level, self.slot)

    def level_of(self, slot: int) -> Level | None:
        return self.cluster.level(slot, self.slot)

    def executed(self, signature: str) -> tuple[Executed, Level] | None:
        found = self.cluster.executed.get(signature)
        level = None if found is None else self.level_of(found.slot)
        return None if found is None or level is None else (found, level)


class Rpc:
    """The methods by name; ``call`` raises RpcError."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._methods: Mapping[str, Callable[..., Any]] = {
            name.removeprefix("do_"): getattr(self, name) for name in dir(self) if name.startswith("do_")
        }

    def call(self, method: str, params: Any) -> Any:
        found = self._methods.get(method)
        if found is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        if not isinstance(params, list):
            raise RpcError(INVALID_PARAMS, "Invalid params: expected an array")
        try:
            return found(*params)
        except TypeError as error:
            raise RpcError(INVALID_PARAMS, f"Invalid params: {error}") from error
        except ValueError as error:
            raise RpcError(INVALID_PARAMS, f"Invalid param: {error}") from error

    # The cluster

    def do_getHealth(self) -> str:
        if self.node.lag_slots > RECENT_STATUS_SLOTS:
            behind = self.node.lag_slots
            raise RpcError(NODE_BEHIND, f"Node is behind by {behind} slots", {"numSlotsBehind": behind})
        return "ok"

    def do_getVersion(self) -> Mapping[str, Any]:
        return VERSION

    def do_getGenesisHash(self) -> str:
        return self.node.cluster.genesis_hash

    def do_getSlot(self, config: Mapping[str, Any] | None = None) -> int:
        return self._block(config).slot

    def do_getBlockHeight(self, config: Mapping[str, Any] | None = None) -> int:
        return self._block(config).height

    def do_getEpochInfo(self, config: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        block = self._block(config)
        return {
            "absoluteSlot": block.slot,
            "blockHeight": block.height,
            "epoch": 0,
            "slotIndex": block.slot,
            "slotsInEpoch": 432_000,
            "transactionCount": len(self.node.cluster.executed),
        }

    def do_getLatestBlockhash(self, config: Mapping[str, Any] | None = None) -> Any:
        block = self._block(config)
        height = self.node.cluster.last_valid_height(block)
        return self._with_context({"blockhash": block.blockhash, "lastValidBlockHeight": height}, block)

    def do_isBlockhashValid(self, blockhash: str, config: Mapping[str, Any] | None = None) -> Any:
        block = self._block(config)
        return self._with_context(self.node.cluster.is_valid(blockhash, block), block)

    def do_getRecentPrioritizationFees(self, addresses: list[str] | None = None) -> Any:
        """For each recent slot the least that a transaction paid which wrote one of the accounts, 0 where none did."""
        wanted = frozenset(addresses or ())
        answer = []
        for block in self.node.cluster.blocks:
            if self.node.level_of(block.slot) is not None and block.slot > self.node.slot - RECENT_STATUS_SLOTS:
                paid = [price for price, written in block.prices if not wanted or (wanted | {EVERYBODY}) & written]
                answer.append({"slot": block.slot, "prioritizationFee": min(paid, default=0)})
        return answer

    def do_getMinimumBalanceForRentExemption(self, size: int, config: object = None) -> int:
        return self.node.cluster.rent(size)

    def do_getFeeForMessage(self, message: str, config: Mapping[str, Any] | None = None) -> Any:
        parsed = _message(base64.b64decode(message))
        price, limit = budget_of(parsed)
        fee = 5_000 * parsed.header.num_required_signatures - (-price * limit // 1_000_000)
        return self._with_context(fee, self._block(config))

    # Accounts

    def do_getBalance(self, address: str, config: Mapping[str, Any] | None = None) -> Any:
        account = self.node.cluster.account(Pubkey.from_string(address))
        return self._with_context(0 if account is None else account.lamports, self._block(config))

    def do_getAccountInfo(self, address: str, config: Mapping[str, Any] | None = None) -> Any:
        account = self.node.cluster.account(Pubkey.from_string(address))
        return self._with_context(self._account(account, config), self._block(config))

    def do_getMultipleAccounts(self, addresses: list[str], config: Mapping[str, Any] | None = None) -> Any:
        if len(addresses) > ADDRESSES_MAX:
            raise RpcError(INVALID_PARAMS, f"Too many inputs provided; max {ADDRESSES_MAX}")
        found = [self.node.cluster.account(Pubkey.from_string(each)) for each in addresses]
        return self._with_context([self._account(each, config) for each in found], self._block(config))

    def do_getProgramAccounts(self, program: str, config: Mapping[str, Any] | None = None) -> Any:
        found = self.node.cluster.program_accounts(Pubkey.from_string(program))
        return [
            {"pubkey": str(key), "account": self._account(account, config)}
            for key, account in found
            if all(_passes(account, each) for each in (config or {}).get("filters", ()))
        ]

    def do_getTokenAccountsByOwner(
        self, owner: str, which: Mapping[str, str], config: Mapping[str, Any] | None = None
    ) -> Any:
        programs = [which["programId"]] if "programId" in which else [str(TOKEN_PROGRAM), str(TOKEN_2022_PROGRAM)]
        answer = []
        for program in programs:
            for key, account in self.node.cluster.program_accounts(Pubkey.from_string(program)):
                held = token_balance(account)
                if held is not None and held.owner == owner and which.get("mint", held.mint) == held.mint:
                    answer.append({"pubkey": str(key), "account": self._account(account, config)})
        return self._with_context(answer, self._block(config))

    def do_getTokenAccountBalance(self, address: str, config: Mapping[str, Any] | None = None) -> Any:
        held = token_balance(self.node.cluster.account(Pubkey.from_string(address)))
        if held is None:
            raise RpcError(INVALID_PARAMS, "Invalid param: not a Token account")
        return self._with_context(shapes.amount(held.units, self._decimals(held.mint)), self._block(config))

    def do_getTokenSupply(self, mint: str, config: Mapping[str, Any] | None = None) -> Any:
        account = self.node.cluster.account(Pubkey.from_string(mint))
        if account is None or account.owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
            raise RpcError(INVALID_PARAMS, "Invalid param: not a Token mint")
        supply = int.from_bytes(bytes(account.data)[36:44], "little")
        return self._with_context(shapes.amount(supply, self._decimals(mint)), self._block(config))

    def do_getTokenLargestAccounts(self, mint: str, config: Mapping[str, Any] | None = None) -> Any:
        found = []
        for program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
            for key, account in self.node.cluster.program_accounts(program):
                held = token_balance(account)
                if held is not None and held.mint == mint and held.units:
                    found.append((held.units, str(key)))
        found.sort(reverse=True)
        decimals = self._decimals(mint)
        return self._with_context(
            [{"address": key, **shapes.amount(units, decimals)} for units, key in found[:20]], self._block(config)
        )

    def do_requestAirdrop(self, address: str, lamports: int, config: object = None) -> str:
        """Give lamports; the signature is no transaction of the chain's."""
        self.node.cluster.airdrop(Pubkey.from_string(address), lamports)
        return base58.encode(bytes(64))

    # Transactions

    def send(self, params: Any, delay_slots: int) -> str:
        """Carry ``sendTransaction`` out so that the leader has it that many slots later."""
        return self.do_sendTransaction(*params, delay_slots=delay_slots)

    def do_sendTransaction(self, encoded: str, config: Mapping[str, Any] | None = None, *, delay_slots: int = 0) -> str:
        wanted = config or {}
        raw = _decoded(encoded, wanted.get("encoding", "base58"))
        transaction = _transaction(raw)
        self._min_context(wanted)
        if not wanted.get("skipPreflight", False):
            level = _level(wanted.get("preflightCommitment", "finalized"))
            refused = self.node.cluster.check(transaction, raw, level)
            if refused is not None:
                message, error, logs = refused
                if error is None:
                    raise RpcError(INVALID_PARAMS, message)
                data = {"err": error, "logs": logs, "accounts": None, "unitsConsumed": 0, "returnData": None}
                raise RpcError(PREFLIGHT_FAILED, message, data)
        elif len(raw) > 1_232:
            raise RpcError(INVALID_PARAMS, f"base64 encoded too large: {len(raw)} bytes (max: encoded/raw 1644/1232)")
        return self.node.cluster.submit(raw, delay_slots=delay_slots)

    def do_simulateTransaction(self, encoded: str, config: Mapping[str, Any] | None = None) -> Any:
        wanted = config or {}
        self._min_context(wanted)
        raw = _decoded(encoded, wanted.get("encoding", "base58"))
        transaction = _transaction(raw)
        cluster, block = self.node.cluster, self._block(wanted)
        replaces = wanted.get("replaceRecentBlockhash", False)
        if replaces and wanted.get("sigVerify", False):
            raise RpcError(INVALID_PARAMS, "sigVerify may not be used with replaceRecentBlockhash")
        error: Any = None
        outcome = None
        if not replaces and not cluster.is_valid(str(transaction.message.recent_blockhash), block):
            error = "BlockhashNotFound"
        else:
            outcome = cluster.simulate(transaction, verifies=bool(wanted.get("sigVerify", False)))
        meta = outcome.meta() if outcome is not None else None
        if isinstance(outcome, FailedTransactionMetadata):
            error = json.loads(outcome.to_json())["err"]
        accounts = None
        if "accounts" in wanted:
            posts = {} if outcome is None or error is not None else dict(outcome.post_accounts())  # type: ignore[union-attr]
            addresses = [Pubkey.from_string(each) for each in wanted["accounts"]["addresses"]]
            states = [posts.get(each, cluster.account(each)) for each in addresses]
            shown = [None if each is None or not each.lamports else each for each in states]
            accounts = [self._account(each, wanted["accounts"]) for each in shown]
        value = {
            "err": error,
            "logs": [] if meta is None else meta.logs(),
            "accounts": accounts,
            "unitsConsumed": 0 if meta is None else meta.compute_units_consumed(),
            "returnData": None,
            "innerInstructions": None,
            "replacementBlockhash": None,
        }
        return self._with_context(value, block)

    def do_getSignatureStatuses(self, signatures: list[str], config: Mapping[str, Any] | None = None) -> Any:
        if len(signatures) > STATUSES_MAX:
            raise RpcError(INVALID_PARAMS, f"Too many inputs provided; max {STATUSES_MAX}")
        searches = bool((config or {}).get("searchTransactionHistory", False))
        return self._with_context([self._status(each, searches) for each in signatures], self._block(None))

    def do_getTransaction(self, signature: str, config: Mapping[str, Any] | str | None = None) -> Any:
        wanted = {"encoding": config} if isinstance(config, str) else config or {}
        found = self.node.executed(signature)
        if found is None or found[1] < _level(wanted.get("commitment", "finalized")):
            return None
        executed = found[0]
        encoding = wanted.get("encoding", "json")
        version = shapes.version(executed.raw)
        if version != "legacy" and wanted.get("maxSupportedTransactionVersion") is None:
            raise RpcError(-32015, f"Transaction version ({version}) is not supported by the requesting client")
        return {
            "slot": executed.slot,
            "blockTime": self.node.cluster.time_s(executed.slot),
            "transaction": shapes.encoded(executed, encoding),
            "meta": shapes.meta(executed),
            **({"version": version} if wanted.get("maxSupportedTransactionVersion") is not None else {}),
        }

    def do_getBlock(self, slot: int, config: Mapping[str, Any] | None = None) -> Any:
        """Return a block with its transactions, or, as ``transactionDetails`` asks, with signatures only or neither."""
        wanted = config or {}
        block = next((each for each in self.node.cluster.blocks if each.slot == slot), None)
        level = self.node.level_of(slot)
        if block is None or level is None or level < _level(wanted.get("commitment", "finalized")):
            raise RpcError(NOT_IN_SLOT, f"Block not available for slot {slot}")
        parent = next((each for each in reversed(self.node.cluster.blocks) if each.slot < slot), block)
        answer = {
            "blockhash": block.blockhash,
            "previousBlockhash": parent.blockhash,
            "parentSlot": parent.slot,
            "blockHeight": block.height,
            "blockTime": self.node.cluster.time_s(slot),
            "rewards": [],
        }
        match wanted.get("transactionDetails", "full"):
            case "none":
                return answer
            case "signatures":
                return answer | {"signatures": list(block.signatures)}
            case "full":
                asked = {**wanted, "commitment": wanted.get("commitment", "finalized")}
                return answer | {"transactions": [self._in_block(each, asked) for each in block.signatures]}
            case other:
                raise RpcError(INVALID_PARAMS, f"Invalid params: unknown transactionDetails {other!r}")

    def _in_block(self, signature: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
        whole = self.do_getTransaction(signature, config)
        return {name: value for name, value in whole.items() if name not in {"slot", "blockTime"}}

    def do_getSignaturesForAddress(self, address: str, config: Mapping[str, Any] | None = None) -> Any:
        wanted = config or {}
        limit = wanted.get("limit", SIGNATURES_MAX)
        if not 1 <= limit <= SIGNATURES_MAX:
            raise RpcError(INVALID_PARAMS, f"Invalid limit; max {SIGNATURES_MAX}")
        least = _level(wanted.get("commitment", "finalized"))
        before, until = wanted.get("before"), wanted.get("until")
        answer: list[Mapping[str, Any]] = []
        begins = before is None
        for signature in reversed(self.node.cluster.history(address)):
            if signature == until or len(answer) == limit:
                break
            found = self.node.executed(signature)
            if begins and found is not None and found[1] >= least:
                answer.append(
                    {
                        "signature": signature,
                        "slot": found[0].slot,
                        "err": found[0].error,
                        "memo": None,
                        "blockTime": self.node.cluster.time_s(found[0].slot),
                        "confirmationStatus": found[1].name.lower(),
                    }
                )
            begins = begins or signature == before
        return answer

    # Inside

    def _block(self, config: Mapping[str, Any] | None) -> Block:
        wanted = config or {}
        self._min_context(wanted)
        return self.node.newest(_level(wanted.get("commitment", "finalized")))

    def _min_context(self, config: Mapping[str, Any]) -> None:
        least = config.get("minContextSlot")
        if least is not None and self.node.slot < least:
            raise RpcError(MIN_CONTEXT, "Minimum context slot has not been reached", {"contextSlot": self.node.slot})

    @staticmethod
    def _with_context(value: Any, block: Block) -> Mapping[str, Any]:
        return {"context": {"slot": block.slot, "apiVersion": VERSION["solana-core"]}, "value": value}

    def _status(self, signature: str, searches: bool) -> Mapping[str, Any] | None:
        found = self.node.executed(signature)
        if found is None:
            return None
        executed, level = found
        age = self.node.slot - executed.slot
        if age > RECENT_STATUS_SLOTS and not searches:
            return None
        return {
            "slot": executed.slot,
            "confirmations": None if level is Level.FINALIZED else age,
            "err": executed.error,
            "status": {"Ok": None} if executed.error is None else {"Err": executed.error},
            "confirmationStatus": level.name.lower(),
        }

    def _decimals(self, mint: str) -> int:
        account = self.node.cluster.account(Pubkey.from_string(mint))
        return 0 if account is None else bytes(account.data)[44]

    def _account(self, account: Account | None, config: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if account is None:
            return None
        encoding = (config or {}).get("encoding", "base58")
        data = bytes(account.data)
        cut = (config or {}).get("dataSlice")
        if cut:
            data = data[cut["offset"] : cut["offset"] + cut["length"]]
        shown: Any
        if encoding == "jsonParsed" and token_balance(account) is not None:
            shown = self._parsed(account)
        elif encoding == "base58":
            shown = [base58.encode(data), "base58"]
        else:
            shown = [base64.b64encode(data).decode(), "base64"]
        return {
            "lamports": account.lamports,
            "owner": str(account.owner),
            "data": shown,
            "executable": account.executable,
            "rentEpoch": account.rent_epoch,
            "space": len(account.data),
        }

    def _parsed(self, account: Account) -> Mapping[str, Any]:
        held = token_balance(account)
        assert held is not None
        info = {
            "isNative": held.mint == "So11111111111111111111111111111111111111112",
            "mint": held.mint,
            "owner": held.owner,
            "state": "frozen" if bytes(account.data)[108] == 2 else "initialized",
            "tokenAmount": shapes.amount(held.units, self._decimals(held.mint)),
        }
        program = "spl-token" if account.owner == TOKEN_PROGRAM else "spl-token-2022"
        return {"program": program, "parsed": {"type": "account", "info": info}, "space": len(account.data)}


def signature_in(params: Any) -> str:
    """Return the signature of the transaction that a ``sendTransaction`` call carries."""
    config = params[1] if len(params) > 1 and params[1] else {}
    return str(_transaction(_decoded(params[0], config.get("encoding", "base58"))).signatures[0])


def _level(commitment: str) -> Level:
    if commitment not in _LEVELS:
        raise RpcError(INVALID_PARAMS, f"Invalid params: unknown commitment {commitment!r}")
    return _LEVELS[commitment]


def _passes(account: Account, wanted: Mapping[str, Any]) -> bool:
    if "dataSize" in wanted:
        return bool(len(account.data) == wanted["dataSize"])
    match = wanted["memcmp"]
    encoding = match.get("encoding", "base58")
    value = base58.decode(match["bytes"]) if encoding == "base58" else base64.b64decode(match["bytes"])
    return bytes(account.data)[match["offset"] :].startswith(value)


def _decoded(encoded: str, encoding: str) -> bytes:
    if encoding not in {"base58", "base64"}:
        raise RpcError(INVALID_PARAMS, f"unsupported encoding: {encoding}. Supported encodings: base58, base64")
    try:
        return base64.b64decode(encoded, validate=True) if encoding == "base64" else base58.decode(encoded)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, f"invalid {encoding} encoding: {error}") from error


def _transaction(raw: bytes) -> VersionedTransaction:
    try:
        return VersionedTransaction.from_bytes(raw)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, f"failed to deserialize VersionedTransaction: {error}") from error


def _message(raw: bytes) -> Message | MessageV0:
    parsed = from_bytes_versioned(raw)
    assert isinstance(parsed, Message | MessageV0)
    return parsed
