"""What one of each thing costs: taken by short runs of the real parts, in processor time, or read out of the committed
figures of ``docs/benchmarks.md``. Every cost says where it is from.

Processor time, because what else runs on the machine then counts for nobody; only the disk's sync is by the clock.
"""

import asyncio
import itertools
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np
import psutil
import psycopg
from pydantic import SecretStr
from tests.support.node_stage import node_stage, wish
from tests.support.postgres import PostgresServer, running_postgres

from memmcp_server.adapters.index.documents import parse_point, point_document
from memmcp_server.adapters.index.edge_store import EdgeStore
from memmcp_server.adapters.index.engine import IndexEngine
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.web.events_route import _encoded, _Stream
from memmcp_server.web.live import Follower, LiveEvent, _drain
from trading.adapters.node_store.opening import StoreRules

from .filling import BATCH, Prepared, WallClock, query_of, real_embedder, text_of
from .index import memory
from .journal import draft, produce, service_round

MEASURED, COMMITTED, EXTRAPOLATED, GUESSED = "measured", "committed", "extrapolated", "guessed"
EMBEDDED = 48
FOLLOWERS, ROWS = 50, 40
SINKS_MORE = 3
NODES, WALLETS, ASKED = 200, 4, 60
POINTS = 1_000
DIMENSION = 384


@dataclass(frozen=True)
class Cost:
    """``from_where``: measured (now), committed (read from the figures), extrapolated or guessed; ``how`` says more."""

    value: float
    unit: str
    from_where: str
    how: str


Costs = dict[str, Cost]


def measured(seconds: float) -> Costs:
    """Return what short runs of the real parts took; a run of the journal lasts so long."""
    return {**_embedding(), **_sqlite(seconds), **_postgresql(seconds), **_points(), **_streams()}


def committed(document: str) -> Costs:
    """Return what the figures of ``docs/benchmarks.md`` say. Raises: ValueError naming what is not there."""

    def found(name: str, pattern: str) -> float:
        section = re.search(f"<!-- {name} -->(.*?)<!-- /{name} -->", document, re.DOTALL)
        match = section and re.search(pattern, section.group(1))
        if not match:
            msg = f"docs/benchmarks.md has no figure {pattern!r} under {name}"
            raise ValueError(msg)
        return float(match.group(1).replace(",", ""))

    number = r"([\d,.]+)"
    small = r"(?s)50 namespaces of 2,000: where.*?\| "
    large = r"(?s)100,000 in one namespace: where.*?\| "
    few = found("memory", rf"one agent, 1,000 memories, MB \| {number}")
    many = found("memory", rf"one agent, 100,000 memories, MB \| {number}")
    parts = (
        found("search", small + rf"journal.surroundings \| [\d.]+ \| [\d.]+ \| [\d.]+ \| {number}"),
        found("search", small + rf"journal.unindexed \| [\d.]+ \| [\d.]+ \| [\d.]+ \| {number}"),
        found("search", small + rf"the service itself .*? \|\s*\|\s*\|\s*\| {number}"),
    )
    engine = r"of that: the engine's query \| [\d.]+ \| [\d.]+ \| [\d.]+ \| " + number
    near, far = found("search", small + engine), found("search", large + engine)
    replayed = 1_000 / found("engine", rf"full engine \| {number}")
    of_mib = found("journal_move", rf"rows, {number} MiB")
    of_memories = found("journal_move", rf"{number} memories, ")

    def cost(value: float, unit: str, how: str) -> Cost:
        return Cost(value, unit, COMMITTED, how)

    return {
        "search, daemon": cost(sum(parts), "ms", "search: its journal and service parts, by the clock"),
        "search, engine at 2,000": cost(near, "ms", "search: the engine's query, 50 namespaces of 2,000"),
        "search, engine per point": cost((far - near) / 98_000, "ms", "search: 100,000 against 2,000 in the namespace"),
        "resident per memory": cost((many - few) / 99_000 * 1e6, "B", "memory: in use at 100,000 against 1,000"),
        "resident at first": cost(few, "MB", "memory: in use at 1,000"),
        "journal per memory": cost(of_mib * 1_048_576 / of_memories, "B", "journal_move: file by memories"),
        "strategy and bar, replayed": cost(replayed, "ms", "engine: bars/s"),
        "strategy and bar, live": cost(
            found("background", rf"decided, median \| {number} us") / 1_000, "ms", "background: a cycle decided, median"
        ),
        "page, an update": cost(found("page", rf"mean of an update \| {number} ms"), "ms", "page: the page's thread"),
    }


def _processor_ms(run: Callable[[], object]) -> float:
    began_s = time.process_time()
    run()
    return (time.process_time() - began_s) * 1_000


def _embedding() -> Costs:
    with tempfile.TemporaryDirectory() as models_dir:
        embedder = real_embedder(Path(models_dir))
        texts = [text_of(number) for number in range(EMBEDDED)]
        embedder.embed(texts[:4])
        a_text = _processor_ms(lambda: embedder.embed(texts)) / EMBEDDED
        a_query = _processor_ms(lambda: [embedder.embed([query_of(number)]) for number in range(EMBEDDED)]) / EMBEDDED
    return {
        "embedding a memory": Cost(a_text, "ms", MEASURED, f"{EMBEDDED} texts of 30 words, one thread"),
        "embedding a query": Cost(a_query, "ms", MEASURED, f"{EMBEDDED} queries of 5 words, one thread"),
    }


def _sqlite(seconds: float) -> Costs:
    with tempfile.TemporaryDirectory() as folder:
        began_s, began = time.process_time(), time.perf_counter()
        round_ = asyncio.run(service_round(Path(folder), 32, seconds))
        rows = round_.rows_per_s * (time.perf_counter() - began)
        took_ms = (time.process_time() - began_s) * 1_000
    return {"write, daemon": Cost(took_ms / rows, "ms", MEASURED, "the service's door on SQLite, 32 producers")}


@dataclass(frozen=True)
class Turns:
    """A run of one daemon on PostgreSQL: rows a transaction, and processor time of a transaction where it holds the
    head: the writer's thread here, the backend there."""

    rows: float
    writer_ms: float
    server_ms: float

    @property
    def held_ms(self) -> float:
        return self.writer_ms + self.server_ms


def _postgresql(seconds: float) -> Costs:
    with running_postgres() as server:
        server.execute("ALTER SYSTEM SET fsync = on")
        server.execute("SELECT pg_reload_conf()")
        alone = asyncio.run(_turns(server, 1, 0, seconds))
        many = asyncio.run(_turns(server, 64, 0, seconds))
        more = asyncio.run(_turns(server, 64, SINKS_MORE, seconds))
        nodes = _nodes(server)
        sync_ms = _sync_ms(server.socket_dir)
    each = max(0.0, (many.held_ms - alone.held_ms) / (many.rows - alone.rows))
    once = max(0.0, alone.held_ms - each)
    entry = max(0.0, (more.held_ms - once - each * more.rows) / (more.rows * SINKS_MORE))
    how = f"PostgreSQL, 1 and 64 producers ({many.rows:.0f} rows a transaction)"
    return {
        "head held, a transaction": Cost(once, "ms", MEASURED, how),
        "head held, a row": Cost(each, "ms", MEASURED, how),
        "head held, an outbox row more": Cost(entry, "ms", MEASURED, f"{SINKS_MORE} indexes more"),
        "server's processor, a row": Cost(many.server_ms / many.rows, "ms", MEASURED, how),
        "sync": Cost(sync_ms, "ms", MEASURED, "fdatasync of 8 kB, by the clock, this disk"),
        **nodes,
    }


async def _turns(server: PostgresServer, producers: int, sinks: int, seconds: float) -> Turns:
    name = server.new_database()
    with tempfile.TemporaryDirectory() as folder:
        section = JournalSection(url=SecretStr(server.url(name)))
        async with open_journal(section, Path(folder), WallClock()) as journal:
            if sinks:
                server.execute(
                    "INSERT INTO sinks (name, delivered, spec, node, seen_at_ns) SELECT 'qdrant@' || n, 0, spec, node, "
                    f"seen_at_ns FROM sinks, generate_series(1, {sinks}) n",
                    name,
                )
            await journal.commit([draft(-1)])
            threads, there = _threads_ms(), _server_ms(server)
            await produce(lambda each: journal.commit([each]), producers, seconds, itertools.count())
            now = _threads_ms()
            writer_ms = max(now[each] - threads.get(each, 0.0) for each in now if each != os.getpid())
            server_ms = _server_ms(server) - there
    with psycopg.connect(server.url(name)) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT known_at_ns) FROM memories").fetchone()
    assert found is not None
    rows, transactions = found
    return Turns(rows / transactions, writer_ms / transactions, server_ms / transactions)


def _threads_ms() -> dict[int, float]:
    return {each.id: (each.user_time + each.system_time) * 1_000 for each in psutil.Process().threads()}


def _server_ms(server: PostgresServer) -> float:
    """Return the processor time of the backends; the ones that write and check in the background hold no lock."""
    total_s = 0.0
    for child in server._instance._postmaster_info.process.children(recursive=True):
        try:
            if "postgres: postgres" in " ".join(child.cmdline()):
                times = child.cpu_times()
                total_s += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total_s * 1_000


def _nodes(server: PostgresServer) -> Costs:
    """Return what nodes ask of their database, with as many of them there as in the largest load."""
    with node_stage(server, StoreRules()) as stage:
        stage.empty()
        wallets = {f"n{n}": tuple(f"w{n}_{k}" for k in range(WALLETS)) for n in range(NODES)}
        holders = {name: stage.leases.register(name, "1") for name in wallets}
        for name, own in wallets.items():
            stage.leases.beat(holders[name], wish(*own))
        some = list(wallets.items())[:ASKED]

        def both_ms(run: Callable[[], object]) -> float:
            there = _server_ms(server)
            return (_processor_ms(run) + _server_ms(server) - there) / ASKED

        beat = both_ms(lambda: [stage.leases.beat(holders[name], wish(*own)) for name, own in some])
        empty = both_ms(lambda: [stage.orders.claim(holders[name], own, 16) for name, own in some])
        for name, own in some:
            stage.planned(f"p{name}", own[0])
        full = both_ms(lambda: [stage.orders.claim(holders[name], own, 1) for name, own in some])
    how = f"both sides, {NODES} nodes with {WALLETS} wallets each"
    return {
        "node, a heartbeat": Cost(beat, "ms", MEASURED, f"its leases renewed; {how}"),
        "node, a look for work": Cost(empty, "ms", MEASURED, f"a claim that finds none, without a lock; {how}"),
        "node, an order claimed": Cost(full, "ms", MEASURED, f"under the limits' lock; {how}"),
    }


def _sync_ms(directory: Path) -> float:
    times_ms = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(60):
            os.write(file.fileno(), b"x" * 8_192)
            began_s = time.perf_counter()
            os.fdatasync(file.fileno())
            times_ms.append((time.perf_counter() - began_s) * 1_000)
    return statistics.median(times_ms)


def _points() -> Costs:
    chance = np.random.default_rng(7)
    base = chance.normal(size=(64, DIMENSION)).astype(np.float32)
    prepared = Prepared(base / np.linalg.norm(base, axis=1, keepdims=True), "capacity")

    memories = [memory(number, random.Random(number), embed=True) for number in range(POINTS)]
    documents = [parse_point(point_document(point_of(each))) for each in memories]
    with tempfile.TemporaryDirectory() as folder:
        engine = IndexEngine(EdgeStore(Path(folder)), Bm25Words(), prepared.name, prepared.dimension)
        engine.open()
        engine.adopt(prepared)
        steps = range(0, POINTS, min(64, BATCH))
        a_point = _processor_ms(lambda: [engine.upsert(documents[start : start + 64]) for start in steps]) / POINTS
        engine.close()
    return {"point, index worker": Cost(a_point, "ms", MEASURED, f"{POINTS} points in batches of 64, vectors prepared")}


def _streams() -> Costs:
    row = {"seq": 1, "id": "0" * 36, "kind": "note", "namespace": "a/b", "content": "x" * 200, "agent": "bench"}

    async def run() -> None:
        followers = [Follower() for _ in range(FOLLOWERS)]

        async def receive() -> dict[str, object]:
            await anyio.sleep_forever()
            raise AssertionError

        async def send(_: object) -> None:
            return None

        async def follow(follower: Follower) -> None:
            events = (_encoded(event, None) async for event in _drain(follower))
            scope = {"type": "http", "asgi": {"version": "3.0"}, "method": "GET", "headers": []}
            await _Stream(events, ExitStack())(scope, receive, send)  # type: ignore[arg-type]

        async with anyio.create_task_group() as tasks:
            for follower in followers:
                tasks.start_soon(follow, follower)
            await anyio.sleep(0.05)
            for number in range(ROWS):
                event = LiveEvent("memory", row, id=number + 1)
                for follower in followers:
                    follower.offer_row(event)
                await anyio.sleep(0)
                await anyio.sleep(0.002)
            for follower in followers:
                follower.close()

    took_ms = _processor_ms(lambda: asyncio.run(run()))
    how = f"{FOLLOWERS} followers of {ROWS} rows through the route's own response, without the socket"
    return {"stream, a row": Cost(took_ms / (FOLLOWERS * ROWS), "ms", MEASURED, how)}
