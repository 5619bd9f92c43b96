"""memMCP beside two other memory servers, in one run on one machine: ``python -m benchmarks.memory``.

Each is spoken to over stdio by the same client (the MCP Python SDK), with its own store in a throw-away folder. Goal:
ahead of both in every row that they have.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from mcp import ClientSession, MCPError
from mcp.client.stdio import stdio_client

from memmcp_server.ports import Embedder

from .filling import make_base, query_of, real_embedder, text_of
from .peers import CallFailed, Ours, Server, install, own_children, resident_mb, versions

T = TypeVar("T")

AGENTS = 4
COPIES = 3
ROUNDS = 10
NEW = 10_000_000
"""Numbers of the memories that are written while measuring begin here."""

NOTES = """
What was done, so that the figures can be read:

- One client, one call at a time, the servers in turns, unless a row says otherwise. Texts have 30 words. A first
  agent's start includes memMCP's daemon; a further agent's is that of any other client beside it. Trading is off.
- mcp-server-qdrant is run unchanged, on its local folder, with the model that it would download (all-MiniLM-L6-v2, the
  same files that memMCP uses) laid into fastembed's cache, and HF_HUB_OFFLINE set so that it does not look for another;
  it embeds with all cores, memMCP with one thread. server-memory has no vectors and finds by parts of the text: queries
  are five words in a row of a stored text, and its time is compared with that of the others without the embedding.
- Stores were filled beside the servers: memMCP's by its own journal and index engine, mcp-server-qdrant's with the rows
  that its client writes, server-memory's with its lines. Vectors of filled memories are those of 256 embedded texts,
  each turned a little, the same for both; queries and new memories are embedded by the model as ever.
- Memory in use is the resident size of all processes that a server needs: for memMCP bridge, daemon and index worker.
- A write of memMCP is acknowledged after fsync; mcp-server-qdrant's after SQLite's commit; server-memory writes its
  whole file anew and does not sync it.
"""


@dataclass(frozen=True)
class Budget:
    """Of each server and size: what takes longer is not measured further, and the table says so."""

    spawns: int = 5
    calls: int = 100
    start_s: float = 60.0
    calls_s: float = 15.0
    writers_each: int = 50


@dataclass
class Row:
    """``cells`` by server; a number is compared (smaller is better, but for a rate), a text is only shown."""

    title: str
    unit: str
    cells: dict[str, float | str] = field(default_factory=dict)

    def best_peer(self, ours: str) -> float | None:
        peers = [value for name, value in self.cells.items() if name != ours and not isinstance(value, str)]
        return (max if self.is_rate else min)(peers, default=None)

    @property
    def is_rate(self) -> bool:
        return self.unit.endswith("/s")

    def is_behind(self, ours: str) -> bool:
        mine, best = self.cells.get(ours), self.best_peer(ours)
        if isinstance(mine, str) or mine is None:
            return True
        return best is not None and (mine < best if self.is_rate else mine > best)


Embedders = dict[str, Embedder]
"""By server: the model as that server runs it, to tell what of a find is the embedding of its query."""


class Table:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.rows: dict[str, Row] = {}
        self.shares: list[str] = []

    def put(self, title: str, unit: str, name: str, value: float | str) -> None:
        self.rows.setdefault(title, Row(title, unit)).cells[name] = value

    def print(self) -> None:
        print(f"| | {' | '.join(self.names)} | memMCP / best of the others |")
        print(f"| --- | {'--- | ' * len(self.names)}--- |")
        for row in self.rows.values():
            cells = [_shown(row.cells.get(name, "")) for name in self.names]
            mine, best = row.cells.get(self.names[0]), row.best_peer(self.names[0])
            ratio = f"{mine / best:.2f}" if best and isinstance(mine, float | int) else ""
            mark = " **behind**" if row.is_behind(self.names[0]) else ""
            print(f"| {row.title}, {row.unit} | {' | '.join(cells)} | {ratio}{mark} |")

    def behind(self) -> list[str]:
        return [row.title for row in self.rows.values() if row.is_behind(self.names[0])]


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}" if value < 10 else f"{value:.1f}"


@contextlib.asynccontextmanager
async def connected(server: Server) -> AsyncIterator[ClientSession]:
    with Path(os.devnull).open("w") as quiet:
        async with (
            stdio_client(server.parameters(), errlog=quiet) as (received, sent),
            ClientSession(received, sent) as session,
        ):
            await session.initialize()
            yield session


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def timed(arguments: Sequence[T], budget_s: float, call: Callable[[T], Awaitable[object]]) -> list[float]:
    """Return the milliseconds of a call with each argument: of fewer where the time is over, of one at least."""
    took_ms: list[float] = []
    ends_s = time.perf_counter() + budget_s
    for argument in arguments:
        began_s = time.perf_counter()
        if took_ms and began_s >= ends_s:
            break
        await call(argument)
        took_ms.append((time.perf_counter() - began_s) * 1_000)
    return took_ms


async def start(server: Server) -> tuple[float, float]:
    """Return the seconds from spawning to the answer to ``initialize`` and to the first find that finds something."""
    began_s = time.perf_counter()
    async with connected(server) as session:
        initialized_s = time.perf_counter() - began_s
        assert await server.find(session, query_of(7)), f"{server.name} found nothing"
        return initialized_s, time.perf_counter() - began_s


async def until_ready(server: Server, session: ClientSession) -> None:
    """Wait until memMCP's index answers with vectors too, and has reached all memories; before it answers by words."""
    while isinstance(server, Ours):
        answer = await session.call_tool("memory_search", {"query": "ready", "limit": 1})
        said = answer.structured_content or {}
        # A brief answer names the index only where it is not ready.
        if not answer.is_error and said.get("index", "ready") == "ready" and not said.get("backlog"):
            return
        await anyio.sleep(0.1)


async def starts(table: Table, server: Server, size: int, budget: Budget) -> None:
    there = f", {size:,} memories"
    firsts = []
    for _ in range(budget.spawns):
        server.end()
        firsts.append(await start(server))
    table.put(f"first agent: spawn to initialize{there}", "s", server.name, statistics.median(f for f, _ in firsts))
    table.put(f"first agent: spawn to first result{there}", "s", server.name, statistics.median(f for _, f in firsts))
    titles = [f"further agent: spawn to {what}{there}" for what in ("initialize", "first result")]
    async with connected(server):
        try:
            later = [await start(server) for _ in range(budget.spawns)]
        except (MCPError, ExceptionGroup, OSError):
            for title in titles:
                table.put(title, "s", server.name, "cannot start")
            return
    table.put(titles[0], "s", server.name, statistics.median(first for first, _ in later))
    table.put(titles[1], "s", server.name, statistics.median(first for _, first in later))


@dataclass
class Taken:
    """What one server has taken at a size; ``roots`` are the processes that it consists of."""

    session: ClientSession
    roots: set[int]
    found_ms: list[float] = field(default_factory=list)
    embedded_ms: list[float] = field(default_factory=list)
    written_ms: list[float] = field(default_factory=list)
    used_mb: float = 0.0


async def embedded(embedder: Embedder, query: str) -> None:
    embedder.embed([query])


async def opened(stack: contextlib.AsyncExitStack, server: Server, budget: Budget) -> Taken:
    """Connect and wait for a first result. Raises: TimeoutError."""
    before = own_children()
    async with asyncio.timeout(budget.start_s):
        session = await stack.enter_async_context(connected(server))
        await until_ready(server, session)
        await server.find(session, query_of(7))
    return Taken(session, (own_children() - before) | set(server.roots()))


def turns(servers: Sequence[Server]) -> Iterator[tuple[int, Server]]:
    for turn in range(ROUNDS if servers else 0):
        begin = turn % len(servers)
        yield from ((turn, server) for server in (*servers[begin:], *servers[:begin]))


async def calls(table: Table, servers: Sequence[Server], size: int, budget: Budget, embedders: Embedders) -> set[str]:
    """Measure finding, writing and memory in use at a size; return the servers that were not there in time.

    The servers take turns of a few calls, each first as often as the others, so that all see the same machine.
    """
    chance = random.Random(size)
    queries = [query_of(chance.randrange(size)) for _ in range(budget.calls)]
    taken: dict[str, Taken] = {}
    late: set[str] = set()
    each, budget_s = max(1, budget.calls // ROUNDS), budget.calls_s / ROUNDS
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            try:
                taken[server.name] = await opened(stack, server, budget)
            except TimeoutError:
                late.add(server.name)
        there = [server for server in servers if server.name in taken]
        for turn, server in turns(there):
            mine, first = taken[server.name], turn * each
            asked = queries[first : first + each]
            mine.found_ms += await timed(asked, budget_s, partial(server.find, mine.session))
            if server.name in embedders:
                mine.embedded_ms += await timed(asked, budget_s, partial(embedded, embedders[server.name]))
        for server in there:
            taken[server.name].used_mb = resident_mb(taken[server.name].roots)
        for turn, server in turns(there):
            mine, first = taken[server.name], NEW + 10 * size + turn * each
            texts = [text_of(number) for number in range(first, first + each)]
            mine.written_ms += await timed(texts, budget_s, partial(server.write, mine.session))
            await until_ready(server, mine.session)  # or its index would still be busy in the others' turn
    for server in there:
        put_calls(table, server, size, taken[server.name])
    for name in late:
        table.put(f"find by meaning, p50, {size:,} memories", "ms", name, f"not there within {budget.start_s:g} s")
    return late


def put_calls(table: Table, server: Server, size: int, taken: Taken) -> None:
    there = f", {size:,} memories"
    find_ms = statistics.median(taken.found_ms), percentile(taken.found_ms, 0.99)
    embed_ms = statistics.median(taken.embedded_ms) if taken.embedded_ms else 0.0
    beside_ms = find_ms[0] - embed_ms
    if isinstance(server, Ours):
        table.shares.append(f"{embed_ms / find_ms[0]:.0%} of the median find at {size:,} ({embed_ms:.1f} ms)")
    # A difference between two medians says little where it is small beside both: only ours and the plain one count.
    is_compared = isinstance(server, Ours) or not server.has_vectors
    title = f"find, the embedding of the query taken out, p50{there}"
    table.put(title, "ms", server.name, beside_ms if is_compared else f"about {max(beside_ms, 0.0):.1f}")
    for share, took_ms in zip(("p50", "p99"), find_ms, strict=True):
        shown = took_ms if server.has_vectors else f"{took_ms:.1f} (by parts of the text)"
        table.put(f"find by meaning, {share}{there}", "ms", server.name, shown)
    table.put(f"write acknowledged, p50{there}", "ms", server.name, statistics.median(taken.written_ms))
    table.put(f"write acknowledged, p99{there}", "ms", server.name, percentile(taken.written_ms, 0.99))
    rate = 1_000 / statistics.mean(taken.written_ms)
    table.put(f"one write after another{there}", "writes/s", server.name, rate)
    table.put(f"memory in use, one agent{there}", "MB", server.name, taken.used_mb)


async def several(table: Table, server: Server, size: int) -> None:
    """Measure what a few agents on the same store need."""
    title = f"memory in use, {AGENTS} agents, {size:,} memories"
    before = own_children()
    async with contextlib.AsyncExitStack() as stack:
        try:
            for _ in range(AGENTS):
                session = await stack.enter_async_context(connected(server))
                await until_ready(server, session)
                await server.find(session, query_of(7))
        except (MCPError, ExceptionGroup, OSError):
            table.put(title, "MB", server.name, "only one can start")
            return
        table.put(title, "MB", server.name, resident_mb((own_children() - before) | set(server.roots())))


async def two_writers(table: Table, server: Server, budget: Budget) -> None:
    """Two agents write at once; afterwards each acknowledged text is looked for."""
    server.end()
    server.reset()
    acknowledged: list[str] = []
    arrived = 0
    both = anyio.Event()

    async def writer(first: int) -> None:
        nonlocal arrived
        try:
            async with connected(server) as session:
                arrived += 1
                if arrived == 2:
                    both.set()
                with anyio.move_on_after(20):
                    await both.wait()
                for number in range(first, first + budget.writers_each):
                    text = text_of(NEW + number)
                    await server.write(session, text)
                    acknowledged.append(text)
        except (MCPError, ExceptionGroup, OSError):
            both.set()  # this one could not start, or was thrown out: the other goes on

    await asyncio.gather(writer(0), writer(budget.writers_each))
    async with connected(server) as session:
        await until_ready(server, session)
        lost = [text for text in acknowledged if text not in await server.find(session, text)]
        same = text_of(NEW - 1)
        for _ in range(COPIES):
            with contextlib.suppress(CallFailed):
                await server.write(session, same)
        copies = (await server.find(session, same)).count(same)
    title = f"two agents write {2 * budget.writers_each} at once"
    table.put(f"{title}: not acknowledged", "memories", server.name, float(2 * budget.writers_each - len(acknowledged)))
    table.put(f"{title}: acknowledged and lost", "memories", server.name, float(len(lost)))
    table.put(f"the same text stored {COPIES} times", "copies", server.name, float(copies))


async def measure(
    table: Table, servers: Sequence[Server], sizes: Sequence[int], budget: Budget, embedders: Embedders
) -> None:
    before = 0
    out: set[str] = set()
    for server in servers:
        server.reset()
    for size in sizes:
        present = [server for server in servers if server.name not in out]
        for server in present:
            await asyncio.to_thread(server.fill, range(before, size))
            if size == sizes[0]:
                await starts(table, server, size, budget)
                await several(table, server, size)
        out |= await calls(table, present, size, budget, embedders)
        for server in present:
            server.end()
        before = size
    for server in servers:
        await two_writers(table, server, budget)
        server.end()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000", help="memories, ascending, separated by commas")
    parser.add_argument("--spawns", type=int, default=Budget.spawns)
    parser.add_argument("--calls", type=int, default=Budget.calls, help="at most, of each kind and size")
    options = parser.parse_args(arguments)
    sizes = sorted({int(size) for size in options.sizes.split(",")})
    folder = Path(tempfile.mkdtemp(prefix="mm-"))
    try:
        prepared = make_base(folder / "base.npy")
        try:
            servers = install(folder, prepared)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"The peers cannot be installed (uv, npm and their registries are needed): {error}")
            return 1
        table = Table([server.name for server in servers])
        budget = Budget(options.spawns, options.calls)
        models = folder / "models"
        embedders: Embedders = {
            servers[0].name: real_embedder(models),
            servers[1].name: real_embedder(models, os.cpu_count() or 1),
        }
        try:
            asyncio.run(measure(table, servers, sizes, budget, embedders))
        finally:
            for server in servers:
                server.end()
        about = versions(servers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    table.print()
    print(f"\nEmbedding the query is {', '.join(table.shares)} of memMCP. Compared: {about}.")
    print(NOTES)
    behind = table.behind()
    print(
        f"Ahead in {len(table.rows) - len(behind)} of {len(table.rows)} rows"
        + (f"; behind: {'; '.join(behind)}." if behind else ".")
    )
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
