"""Execution nodes as real processes on a real PostgreSQL and a real virtual machine, what is done to them, the books.

Each node reaches the database through a gate of its own, which can be shut (connections break) or go silent (nothing
comes through, and nobody says so). ``audit`` holds the chain against the books when all is over.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from json import dumps
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import sqlalchemy as sa
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.support.cutting_proxy import SOCKET
from tests.support.node_stage import NodeStage
from tests.support.rehearsal import JupiterStage
from trading.adapters.canonical import parse_json
from trading.errors import JournalUnavailable
from trading.execution.parents import ParentTerms, parent_of
from trading.execution.splitting import SplitRules
from trading.model.intent import SOL_MINT, Intent
from trading.model.node import Parent, SharedLimits
from trading.model.units import NS_PER_S
from trading.rehearsal.rpc import Node
from trading.rehearsal.server import Endpoint
from trading.rehearsal.tokens import NATIVE_MINT

OVER = {"settled", "reverted", "failed", "cancelled"}
CHUNK = 65_536


@dataclass
class Gate:
    """The way of one node to the database. ``is_shut``: it leads nowhere; ``is_silent``: what is sent is swallowed."""

    server: Path
    is_shut: bool = False
    is_silent: bool = False
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def shut(self) -> None:
        self.is_shut = True
        for writer in list(self._open):
            writer.close()

    def open(self) -> None:
        """Let everybody through again; who was kept in silence is cut off now, as his way would be."""
        was_silent, self.is_shut, self.is_silent = self.is_silent, False, False
        if was_silent:
            for writer in list(self._open):
                writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_shut:
            writer.close()
            return
        with contextlib.suppress(OSError):
            to_reader, to_writer = await asyncio.open_unix_connection(str(self.server / SOCKET))
            self._open |= {writer, to_writer}
            ways = [asyncio.create_task(self._pass(*way)) for way in ((reader, to_writer), (to_reader, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            for each in (writer, to_writer):
                self._open.discard(each)
                each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if not self.is_silent:
                    writer.write(data)
                    await writer.drain()


@asynccontextmanager
async def gates(server: Path, names: Sequence[str]) -> AsyncIterator[dict[str, Gate]]:
    made = {name: Gate(server) for name in names}
    listening = []
    try:
        for gate in made.values():
            listening.append(await asyncio.start_server(gate.serve, "127.0.0.1", 0))
            gate.port = listening[-1].sockets[0].getsockname()[1]
        yield made
    finally:
        for each in listening:
            each.close()
        for gate in made.values():
            gate.shut()


class Zygote:
    """The process that nodes are forked from. ``born`` returns the number of the process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.node_life"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lives: set[int] = set()

    def born(self, life: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(dumps(life) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self._lives.add(pid)
        return pid

    def close(self) -> None:
        for pid in self._lives:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@contextmanager
def a_zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    try:
        yield zygote
    finally:
        zygote.close()


@dataclass
class Fleet:
    """``nodes`` are the settings of each, ``lives`` the processes by the node's name."""

    store: NodeStage
    chain: JupiterStage
    zygote: Zygote
    gates: dict[str, Gate]
    folder: Path
    nodes: dict[str, Any]
    wallets: list[Keypair] = field(default_factory=list)
    lives: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=count)

    def new_wallets(self, many: int, lamports: int = 20 * 10**9) -> None:
        self.wallets = [self.chain.wallet(lamports) for _ in range(many)]
        self.before = {str(key.pubkey()): self.chain.lamports(key) for key in self.wallets}

    @property
    def addresses(self) -> list[str]:
        return [str(key.pubkey()) for key in self.wallets]

    async def begin(self, name: str, kind: str = "plain") -> None:
        """Start a node, or its replacement."""
        own = [Endpoint(f"{name}_{each}", Node(self.chain.cluster)) for each in ("one", "two")]
        self.chain.rehearsal.endpoints |= {each.name: each for each in own}
        urls = [self.chain.rehearsal.url(each.name) for each in own]
        pool = self.chain.pool
        mints = (Pubkey.from_string(self.chain.frog), NATIVE_MINT)
        life = {
            "name": name,
            "kind": kind,
            "url": f"postgresql://postgres@127.0.0.1:{self.gates[name].port}/{self.store.url.split('/')[3].split('?')[0]}",
            "log": str(self.folder / f"{name}.log"),
            "nodes": self.nodes,
            "chain": {
                "endpoints": [{"url": url, "calls_per_second": 5_000} for url in urls],
                "genesis_hash": self.chain.cluster.genesis_hash,
                "lag_slots_max": 100,
                "backoff_base_s": 0.02,
                "backoff_cap_s": 0.1,
            },
            "router": self.chain.server.url,
            "pools": {self.chain.frog: [str(pool.vault(mint)) for mint in mints]},
            "seeds": [bytes(key)[:32].hex() for key in self.wallets],
        }
        self.lives[name] = await anyio.to_thread.run_sync(self.zygote.born, life)

    def signal(self, name: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.lives[name], number)

    def is_stopped(self, name: str) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.lives[name]}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def buying(self, lamports: int, wallets: Sequence[str], wait_s: float, rules: SplitRules) -> Parent:
        quoted = self.chain.pool.quote(self.chain.cluster, NATIVE_MINT, lamports)
        return self._parent((SOL_MINT, self.chain.frog), (lamports, quoted), wallets, wait_s, rules)

    def selling(self, units: int, wallet: str, wait_s: float, rules: SplitRules) -> Parent:
        quoted = self.chain.pool.quote(self.chain.cluster, Pubkey.from_string(self.chain.frog), units)
        return self._parent((self.chain.frog, SOL_MINT), (units, quoted), [wallet], wait_s, rules)

    def _parent(
        self, pair: tuple[str, str], amounts: tuple[int, int], wallets: Sequence[str], wait_s: float, rules: SplitRules
    ) -> Parent:
        name, now_ns = f"order_{next(self.numbers)}", time.time_ns()
        whole = Intent(
            id=name,
            key=name,
            wallet="",
            in_mint=pair[0],
            out_mint=pair[1],
            amount_in=amounts[0],
            min_out=amounts[1] * 80 // 100,  # the others of the fleet move the price meanwhile
            slippage_bps_max=2_500,
            fee_lamports_max=100_000,
            attempts_max=30,
            created_ns=now_ns,
            deadline_ns=0,
            is_exit=pair[1] == SOL_MINT,
        )
        terms = ParentTerms(whole, tuple(wallets), 10**18, now_ns, int(wait_s * NS_PER_S))
        return parent_of(terms, rules)

    async def until_over(self, within_s: float) -> dict[str, int]:
        """Wait until every child is final; return how many ended how."""
        with anyio.fail_after(within_s):
            while True:
                with contextlib.suppress(JournalUnavailable):
                    counts = dict(await anyio.to_thread.run_sync(self.store.orders.counts))
                    if not counts.keys() - OVER:
                        return counts
                await anyio.sleep(0.1)

    def holdings(self) -> dict[str, int]:
        with self.store.door.writing() as connection:
            rows = connection.execute(sa.text("SELECT wallet, units FROM holdings")).all()
        return {row.wallet: int(row.units) for row in rows}

    def why(self) -> dict[str, int]:
        """Return how many children ended with each problem."""
        query = sa.text(
            "SELECT coalesce(i.problem, c.problem) AS problem, count(*) AS many FROM children c "
            "LEFT JOIN intents i ON i.id = c.id GROUP BY 1 ORDER BY 2 DESC LIMIT 12"
        )
        with self.store.door.writing() as connection:
            return {row.problem[:160]: row.many for row in connection.execute(query)}

    def audit(self) -> list[str]:
        """Hold the chain against the books, and the record against the rules; return what is wrong."""
        self.chain.cluster.tick(200)  # whatever is still under way lands now, or its blockhash has run out
        with self.store.door.writing() as connection:
            fills = connection.execute(sa.text("SELECT * FROM fills")).all()
            record = connection.execute(sa.text("SELECT * FROM record ORDER BY seq")).all()
            sides = {row.id: row for row in connection.execute(sa.text("SELECT * FROM children"))}
            left = connection.execute(sa.text("SELECT count(*) FROM reservations")).scalar_one()
        problems = [f"{left} reservations are left"] if left else []
        return problems + self._against_chain(fills) + crossings(record, sides)

    def _against_chain(self, fills: Sequence[Any]) -> list[str]:
        wrong, held = [], self.holdings()
        fees = self._fees()
        for key in self.wallets:
            wallet = str(key.pubkey())
            executed = self.chain.cluster.executed
            swaps = {each for each in self.chain.cluster.history(wallet) if executed[each].error is None}
            own = [each for each in fills if each.wallet == wallet]
            if swaps != {each.signature for each in own}:
                wrong.append(f"{wallet}: {len(swaps)} swaps on chain, {len(own)} in the books")
            units = self.chain.units(key, self.chain.frog)
            if units != held.get(wallet, 0):
                wrong.append(f"{wallet}: {units} units on chain, {held.get(wallet, 0)} in the books")
            spent = sum((1 if each.is_buy else -1) * each.lamports for each in own)
            spent += sum(each.fee_lamports + each.tip_lamports + each.rent_lamports for each in own)
            moved = self.before[wallet] - self.chain.lamports(key)
            if moved != spent + fees.get(wallet, 0):
                wrong.append(f"{wallet}: {moved} lamports left it, {spent + fees.get(wallet, 0)} in the books")
        return wrong

    def _fees(self) -> dict[str, int]:
        """Return what transactions cost that failed on chain, by wallet."""
        found: dict[str, int] = {}
        with self.store.door.writing() as connection:
            query = sa.text("SELECT wallet, settlement FROM intents WHERE state = 'reverted'")
            for row in connection.execute(query):
                found[row.wallet] = found.get(row.wallet, 0) + parse_json(row.settlement)["fee_lamports"]
        return found


def crossings(record: Sequence[Any], children: dict[str, Any]) -> list[str]:
    """Return where purchases and sales of one token were open at once, or one wallet's child twice, by the record."""
    wrong: list[str] = []
    under_way: dict[str, Any] = {}
    for row in record:
        child = children.get(row.intent_id)
        if child is None:
            continue
        if row.kind == "claimed":
            if row.intent_id in under_way:
                wrong.append(f"{row.intent_id} was claimed twice")
            wrong += [
                f"{row.intent_id} was claimed while {name} was open"
                for name, each in under_way.items()
                if each.token == child.token and each.is_buy != child.is_buy
            ]
            under_way[row.intent_id] = child
        elif row.kind in OVER:
            under_way.pop(row.intent_id, None)
    return wrong + [f"{name} never ended" for name in under_way]


class Watch(threading.Thread):
    """Looks again and again whether the shared limits hold, and both sides of a token are never open at once."""

    def __init__(self, fleet: Fleet, every_s: float = 0.02) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._every_s = every_s
        self._ends = threading.Event()
        self.looks = 0
        self.most_lamports = 0
        self.most_entries = 0
        self.breaches: list[str] = []

    def run(self) -> None:
        limits = self._fleet.store.orders.shared_limits()
        while not self._ends.wait(self._every_s):
            with contextlib.suppress(JournalUnavailable):
                self._look(limits)

    def _look(self, limits: SharedLimits) -> None:
        used = self._fleet.store.orders.exposure()
        self.looks += 1
        self.most_lamports = max(self.most_lamports, used.lamports)
        self.most_entries = max(self.most_entries, used.entries_open)
        if used.lamports > limits.exposure_lamports_max or used.entries_open > limits.entries_open_max:
            self.breaches.append(f"{used} is beyond {limits}")
        both = sa.text("SELECT token FROM reservations GROUP BY token HAVING count(DISTINCT is_buy) > 1")
        with self._fleet.store.door.writing() as connection:
            self.breaches += [f"both sides of {each}" for each in connection.execute(both).scalars()]

    def end(self) -> None:
        self._ends.set()
        self.join()


@asynccontextmanager
async def time_moves(chain: JupiterStage, slot_s: float) -> AsyncIterator[None]:
    async def tick() -> None:
        while True:
            await anyio.sleep(slot_s)
            chain.cluster.tick()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()
