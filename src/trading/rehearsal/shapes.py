"""How transactions and amounts look in the answers of JSON-RPC (solana.com/docs/rpc/json-structures)."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from . import base58
from .cluster import Executed


def amount(units: int, decimals: int) -> Mapping[str, Any]:
    text = str(units).rjust(decimals + 1, "0")
    whole = f"{text[:-decimals]}.{text[-decimals:]}".rstrip("0").rstrip(".") if decimals else text
    return {"amount": str(units), "decimals": decimals, "uiAmount": float(whole), "uiAmountString": whole}


def version(raw: bytes) -> str | int:
    message = VersionedTransaction.from_bytes(raw).message
    return 0 if isinstance(message, MessageV0) else "legacy"


def encoded(executed: Executed, encoding: str) -> Any:
    if encoding == "base64":
        return [base64.b64encode(executed.raw).decode(), "base64"]
    if encoding == "base58":
        return [base58.encode(executed.raw), "base58"]
    return json.loads(VersionedTransaction.from_bytes(executed.raw).to_json())


def meta(executed: Executed) -> Mapping[str, Any]:
    def balances(which: str) -> list[Mapping[str, Any]]:
        return [
            {
                "accountIndex": change.index,
                "mint": change.mint,
                "owner": change.owner,
                "programId": change.program,
                "uiTokenAmount": amount(units, change.decimals),
            }
            for change in executed.tokens
            if (units := getattr(change, which)) is not None
        ]

    return {
        "err": executed.error,
        "status": {"Ok": None} if executed.error is None else {"Err": executed.error},
        "fee": executed.fee,
        "preBalances": list(executed.before),
        "postBalances": list(executed.after),
        "preTokenBalances": balances("before"),
        "postTokenBalances": balances("after"),
        "logMessages": list(executed.logs),
        "computeUnitsConsumed": executed.compute_units,
        "innerInstructions": _inner(executed),
        "loadedAddresses": {"writable": list(executed.loaded[0]), "readonly": list(executed.loaded[1])},
        "rewards": [],
    }


def _inner(executed: Executed) -> list[Mapping[str, Any]]:
    """Return the calls that programs made. The virtual machine writes arrays with their length before them."""
    return [
        {
            "index": index,
            "instructions": [
                {
                    "programIdIndex": call["instruction"]["programIdIndex"],
                    "accounts": call["instruction"]["accounts"][1:],
                    "data": base58.encode(bytes(call["instruction"]["data"][1:])),
                    "stackHeight": call["stackHeight"],
                }
                for call in calls
            ],
        }
        for index, calls in enumerate(executed.inner)
        if calls
    ]
