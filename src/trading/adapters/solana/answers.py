"""What endpoints answer, read into values. Every function raises one of UNREADABLE for an answer that does not say what
it should; who calls them makes a failure of the endpoint out of it."""

import base64
import binascii
from typing import Any, Final

from solders.pubkey import Pubkey
from solders.signature import Signature

from trading.adapters.canonical import canonical_json
from trading.model.chain import (
    AccountSeen,
    Commitment,
    SignatureSeen,
    Simulated,
    StatusSeen,
    TokenBalance,
    TransactionSeen,
)

UNREADABLE: Final = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
_SIGNATURE_BYTES: Final = 64
_KEY_BYTES: Final = 32
_U64_MAX: Final = 2**64 - 1


def whole(value: Any, name: str = "a number") -> int:
    """Return a whole number from 0 to 2^64 - 1."""
    if type(value) is not int or not 0 <= value <= _U64_MAX:
        raise ValueError(f"{name} is {value!r:.40}")
    return value


def error_text(error: Any) -> str:
    """Return the chain's error as canonical JSON, "" for none."""
    if error is None:
        return ""
    return canonical_json({"e": error}).decode()[len('{"e":') : -1]


def context_slot(result: Any) -> int:
    return whole(result["context"]["slot"], "the context slot")


def account(address: str, value: Any, slot: int) -> AccountSeen | None:
    if value is None:
        return None
    data, encoding = value["data"]
    if encoding != "base64":
        raise ValueError(f"account data came as {encoding!r:.20}")
    return AccountSeen(
        address,
        str(value["owner"]),
        whole(value["lamports"], "lamports"),
        _bytes(data),
        bool(value["executable"]),
        slot,
    )


def simulated(result: Any, watch: tuple[str, ...]) -> Simulated:
    value, slot = result["value"], context_slot(result)
    error = error_text(value["err"])
    given = value.get("accounts") or [None] * len(watch)
    if len(given) != len(watch):
        raise ValueError("other accounts than were asked for")
    seen = {address: account(address, each, slot) for address, each in zip(watch, given, strict=True)}
    return Simulated(error, whole(value.get("unitsConsumed") or 0), _logs(value.get("logs")), seen, slot)


def status(signature: str, value: Any, endpoint: str) -> StatusSeen | None:
    if value is None:
        return None
    level = value.get("confirmationStatus")
    if level is None:  # older nodes: a count of confirmations, none once it is finalized
        level = Commitment.FINALIZED if value["confirmations"] is None else Commitment.PROCESSED
    return StatusSeen(
        signature, whole(value["slot"], "the slot"), Commitment(level), error_text(value["err"]), endpoint
    )


def history_entry(value: Any) -> SignatureSeen:
    signature = str(Signature.from_string(value["signature"]))
    return SignatureSeen(signature, whole(value["slot"]), _time(value.get("blockTime")), error_text(value["err"]))


def transaction(signature: str, value: Any, endpoint: str) -> TransactionSeen:
    """Read an answer of ``getTransaction`` in base64. What its bytes say counts, not what stands beside them."""
    raw = _bytes(value["transaction"][0])
    if signature_of(raw) != signature:
        raise ValueError("another transaction than was asked for")
    meta = value["meta"]
    loaded = meta.get("loadedAddresses") or {"writable": [], "readonly": []}
    keys = [*static_keys(raw), *(str(each) for each in [*loaded["writable"], *loaded["readonly"]])]
    before, after = meta["preBalances"], meta["postBalances"]
    if not len(before) == len(after) == len(keys):
        raise ValueError(f"{len(before)} and {len(after)} balances of {len(keys)} accounts")
    return TransactionSeen(
        signature=signature,
        slot=whole(value["slot"], "the slot"),
        block_time_s=_time(value.get("blockTime")),
        error=error_text(meta["err"]),
        payer=keys[0],
        lamports={key: (whole(old), whole(new)) for key, old, new in zip(keys, before, after, strict=True)},
        tokens=_token_balances(keys, meta.get("preTokenBalances") or [], meta.get("postTokenBalances") or []),
        logs=_logs(meta.get("logMessages")),
        raw=raw,
        endpoint=endpoint,
        reported_fee_lamports=whole(meta["fee"], "the fee"),
    )


def signature_of(raw: bytes) -> str:
    """Return the first signature of a wire transaction. Raises: ValueError."""
    signatures, at = _short(raw, 0)
    if not signatures or len(raw) < at + _SIGNATURE_BYTES * signatures:
        raise ValueError("these bytes are no signed transaction")
    return str(Signature.from_bytes(raw[at : at + _SIGNATURE_BYTES]))


def static_keys(raw: bytes) -> list[str]:
    """Return the addresses that stand in a wire transaction itself, legacy or version 0. Raises: ValueError."""
    signatures, at = _short(raw, 0)
    at += _SIGNATURE_BYTES * signatures
    version = raw[at]
    if version & 0x80:
        if version != 0x80:
            raise ValueError(f"version {version & 0x7F} of transactions is not known")
        at += 1
    keys, at = _short(raw, at + 3)
    if not keys or len(raw) < at + _KEY_BYTES * keys:
        raise ValueError("these bytes are no transaction")
    return [str(Pubkey.from_bytes(raw[each : each + _KEY_BYTES])) for each in range(at, at + 32 * keys, 32)]


def _short(raw: bytes, at: int) -> tuple[int, int]:
    """Return a compact number and where it ends: seven bits a byte, the lowest first, at most three bytes."""
    number = 0
    for shift in (0, 7, 14):
        byte = raw[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return number, at
    raise ValueError("a compact number that does not end")


def _token_balances(keys: list[str], before: list[Any], after: list[Any]) -> tuple[TokenBalance, ...]:
    sides: list[dict[int, Any]] = [{}, {}]
    for side, given in zip(sides, (before, after), strict=True):
        for each in given:
            side[whole(each["accountIndex"])] = each
    found = []
    for index in sorted(sides[0].keys() | sides[1].keys()):
        old, new = sides[0].get(index), sides[1].get(index)
        named: Any = old if new is None else new
        found.append(
            TokenBalance(keys[index], str(named.get("owner") or ""), str(named["mint"]), _units(old), _units(new))
        )
    return tuple(found)


def _units(balance: Any) -> int | None:
    # The text: a balance may be larger than what a JSON number keeps.
    return None if balance is None else whole(int(balance["uiTokenAmount"]["amount"]))


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _logs(given: Any) -> tuple[str, ...]:
    return tuple(str(each) for each in given or ())


def _time(value: Any) -> int | None:
    return None if value is None else whole(value, "the block's time")
