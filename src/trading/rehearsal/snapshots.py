"""A cluster in a file, so that a rehearsal goes on after its process ended: gzip over one JSON document."""

import base64
import gzip
import os
import secrets
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import orjson
from solders.account import Account
from solders.pubkey import Pubkey

from trading.errors import DataError

from .cluster import Block, Cluster, Executed, State, TokenChange

VERSION: Final = 1
TRANSACTIONS_MAX: Final = 20_000
"""How many of the newest transactions a file keeps; older ones are unknown afterwards."""
_LEVEL: Final = 1


def packed(cluster: Cluster) -> bytes:
    """Return what the cluster is now as one JSON document; ``write`` makes it a file."""
    state = cluster.state()
    # Only a block that is not final yet can still be undone.
    undone_from = state.slot - state.finality_slots
    body = {
        "version": VERSION,
        "name": state.name,
        "slot_ms": state.slot_ms,
        "finality_slots": state.finality_slots,
        "slot": state.slot,
        "height": state.height,
        "accounts": {str(key): _account(each) for key, each in state.accounts.items()},
        "blocks": [_block(each, has_undo=each.slot >= undone_from) for each in state.blocks],
        "executed": [_executed(each) for each in state.executed[-TRANSACTIONS_MAX:]],
        "pending": [[due, _text(raw)] for due, raw in state.pending],
        "dies": state.dies,
    }
    return orjson.dumps(body)


def write(path: Path, document: bytes) -> None:
    """Put a document in its place as a whole, or leave what was there. Raises: OSError."""
    beside = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        with beside.open("xb") as file:
            file.write(gzip.compress(document, _LEVEL))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink()


def snapshot(cluster: Cluster, path: Path) -> None:
    """Keep a cluster in a file. Raises: OSError."""
    write(path, packed(cluster))


def load(path: Path) -> Cluster:
    """Return a cluster that goes on from a file; programs must be added again.

    Raises: FileNotFoundError; DataError for a file that is no snapshot of this version.
    """
    try:
        body = orjson.loads(gzip.decompress(path.read_bytes()))
        if body["version"] != VERSION:
            msg = f"version {body['version']}, expected {VERSION}"
            raise ValueError(msg)
        return Cluster.at(_state(body))
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        msg = f"{path} is no snapshot of a rehearsal chain: {error}"
        raise DataError(msg) from error


def _state(body: dict[str, Any]) -> State:
    return State(
        name=body["name"],
        slot_ms=body["slot_ms"],
        finality_slots=body["finality_slots"],
        slot=body["slot"],
        height=body["height"],
        accounts={Pubkey.from_string(key): _account_of(each) for key, each in body["accounts"].items()},
        blocks=[_block_of(each) for each in body["blocks"]],
        executed=[_executed_of(each) for each in body["executed"]],
        pending=[(due, base64.b64decode(raw)) for due, raw in body["pending"]],
        dies=body["dies"],
    )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _account(account: Account) -> list[Any]:
    return [account.lamports, _text(bytes(account.data)), str(account.owner)]


def _account_of(row: list[Any]) -> Account:
    lamports, data, owner = row
    return Account(lamports, base64.b64decode(data), Pubkey.from_string(owner))


def _block(block: Block, *, has_undo: bool) -> dict[str, Any]:
    undo = [[str(key), None if each is None else _account(each)] for key, each in block.undo] if has_undo else []
    return {
        "slot": block.slot,
        "height": block.height,
        "blockhash": block.blockhash,
        "signatures": block.signatures,
        "undo": undo,
        "prices": [[price, sorted(written)] for price, written in block.prices],
    }


def _block_of(row: dict[str, Any]) -> Block:
    undo = [(Pubkey.from_string(key), None if each is None else _account_of(each)) for key, each in row["undo"]]
    prices = [(price, frozenset(written)) for price, written in row["prices"]]
    return Block(**{**row, "undo": undo, "prices": prices})


def _executed(executed: Executed) -> dict[str, Any]:
    row = {each.name: getattr(executed, each.name) for each in fields(executed)}
    changes = [[getattr(change, each.name) for each in fields(change)] for change in executed.tokens]
    return {**row, "raw": _text(executed.raw), "tokens": changes}


def _executed_of(row: dict[str, Any]) -> Executed:
    writable, readonly = row["loaded"]
    tuples = {name: tuple(row[name]) for name in ("logs", "keys", "before", "after")}
    return Executed(
        **{
            **row,
            **tuples,
            "raw": base64.b64decode(row["raw"]),
            "loaded": (tuple(writable), tuple(readonly)),
            "tokens": tuple(TokenChange(*each) for each in row["tokens"]),
        }
    )
