"""Nodes to hold against each other: the rehearsal chain, and Surfpool, which is not ours (npm, Linux x86-64)."""

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from trading.rehearsal.cluster import Cluster
from trading.rehearsal.pools import ROUTER_PROGRAM, install, pool_binary
from trading.rehearsal.server import Rehearsal, rehearsing

SURFPOOL = Path(__file__).parents[1] / "system" / "surfpool"
START_S = 20
SLOT_MS = 10


@dataclass(frozen=True, slots=True)
class NodeAt:
    """A node, told apart by nothing but its addresses."""

    url: str
    websocket_url: str
    http: httpx2.AsyncClient

    async def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        told = (await self.http.post(self.url, json=body)).json()
        assert "error" not in told, (method, told)
        return told["result"]

    async def put(self, accounts: Mapping[Pubkey, Account]) -> None:
        """Put accounts and the pool program in place, by Surfpool's own methods for that."""
        await self.call("surfnet_writeProgram", str(ROUTER_PROGRAM), pool_binary().hex(), 0)
        for address, account in accounts.items():
            told = {"lamports": account.lamports, "data": bytes(account.data).hex(), "owner": str(account.owner)}
            await self.call("surfnet_setAccount", str(address), told)


@asynccontextmanager
async def our_node(accounts: Mapping[Pubkey, Account], *, slot_ms: int = SLOT_MS) -> AsyncIterator[NodeAt]:
    """Serve the rehearsal chain with these accounts and the pool program."""
    rehearsal = Rehearsal(Cluster("conformance", slot_ms=slot_ms))
    install(rehearsal.cluster)
    for address, account in accounts.items():
        rehearsal.cluster.set_account(address, account)
    async with rehearsing(rehearsal), httpx2.AsyncClient(trust_env=False) as http:
        yield NodeAt(rehearsal.url("one"), rehearsal.websocket_url("one"), http)


@asynccontextmanager
async def surfpool_node(accounts: Mapping[Pubkey, Account], *, slot_ms: int = SLOT_MS) -> AsyncIterator[NodeAt]:
    """Serve Surfpool with these accounts and the pool program; skip where it is not installed."""
    beside = Path(sys.executable).parent  # where set-up puts a Node.js if the machine has none
    node = shutil.which("node") or shutil.which("node", path=str(beside))
    if node is None or not (SURFPOOL / "node_modules" / "@solana").exists():
        pytest.skip("Surfpool is not installed (npm, Linux x86-64): make conformance")
    command = [node, "serve.cjs", str(slot_ms)]
    async with (
        httpx2.AsyncClient(trust_env=False) as http,
        await anyio.open_process(command, cwd=SURFPOOL, stderr=subprocess.DEVNULL) as process,
    ):
        assert process.stdout is not None
        try:
            with anyio.fail_after(START_S):
                told = json.loads(await process.stdout.receive())
            at = NodeAt(told["http"], told["websocket"], http)
            await at.put(accounts)
            yield at
        finally:
            process.kill()
