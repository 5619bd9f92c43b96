"""A search beside the embedding itself: ``python -m benchmarks.search``.

At the service's door (``Memories.search``), over a real SQLite journal and the real index worker in its own process;
only the model is left out: the worker takes prepared vectors (``benchmarks.filling``), made before anything is measured
for memories and within a tenth of a millisecond for queries. 50 namespaces of 2,000 memories, searched within one, and
100,000 memories in one namespace. Beside it a timer of 10 ms runs in the same event loop, as the trading loop does.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.agents import ROOT

from memmcp_server.adapters.index.edge_store import EdgeStore
from memmcp_server.adapters.index.engine import IndexEngine
from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.adapters.index.worker_index import WorkerIndex
from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import EmbeddingSection, JournalSection, QdrantSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.search import SearchQuery
from memmcp_server.ports import Journal, VectorIndex
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies
from memmcp_server.services.ranking import HITS_WANTED

from .filling import BASE_LEN, Prepared, WallClock, fill, make_base, query_of

TICK_S = 0.010
TICK_ADDED_MS_MAX = 2.0
"""What searches may add to the 99th percentile of a tick's lateness: a fifth of the tick."""

AT_ONCE = 4
LIMIT = 10
READY_TIMEOUT_S = 60.0
AGENT = Caller("benchmark", "", "", "agent", "internal")


@dataclass(frozen=True)
class Goal:
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Shape:
    """How many memories lie in how many namespaces; a search asks within one of them."""

    title: str
    namespaces: int
    each: int
    goal: Goal

    def namespace_of(self, number: int) -> str:
        return f"bench/n{number % self.namespaces}"


@dataclass
class Figures:
    search_ms: list[float] = field(default_factory=list)
    quiet_ms: list[float] = field(default_factory=list)
    busy_ms: list[float] = field(default_factory=list)
    parts_ms: dict[str, list[float]] = field(default_factory=dict)


class Timed:
    """Stands before a part and notes how long each of its calls takes."""

    def __init__(self, part: Any, name: str, into: dict[str, list[float]]) -> None:
        self._part = part
        self._name = name
        self._into = into

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return await method(*arguments, **options)
            finally:
                took_ms = (time.perf_counter() - began_s) * 1_000
                self._into.setdefault(f"{self._name}.{name}", []).append(took_ms)

        return call


@contextlib.asynccontextmanager
async def opened(data_dir: Path, base: Path) -> AsyncIterator[tuple[Journal, VectorIndex]]:
    """Open journal and index of a filled data directory, with a worker that takes prepared vectors."""
    hook = {
        "BENCHMARK_VECTORS": str(base),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "benchmarks" / "prepared_worker"), str(ROOT)]),
    }
    before = {name: os.environ.get(name) for name in hook}
    os.environ.update(hook)
    options = WorkerOptions(data_dir, QdrantSection(), EmbeddingSection(allow_download=False))
    index = WorkerIndex(options, WallClock())
    task = asyncio.create_task(index.run())
    try:
        async with open_journal(JournalSection(), data_dir, WallClock()) as journal:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while (await index.status()).state != "ready":
                    await asyncio.sleep(0.05)
            yield journal, index
    finally:
        await index.close()
        await task
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextlib.asynccontextmanager
async def searchable(data_dir: Path, base: Path, into: dict[str, list[float]]) -> AsyncIterator[Memories]:
    """Open the memories of a filled data directory; how long the calls of journal and index take is noted."""
    async with opened(data_dir, base) as (journal, index):
        yield Memories(
            Timed(journal, "journal", into),
            Timed(index, "index", into),
            WallClock(),
            Policies(journal, WallClock()),
            RuleScanner(),
        )


async def tick(into: list[float], done: asyncio.Event) -> None:
    """Sleep for a tick again and again; note by how many milliseconds each comes too late."""
    loop = asyncio.get_running_loop()
    while not done.is_set():
        due_s = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        into.append((loop.time() - due_s) * 1_000)


@contextlib.asynccontextmanager
async def ticking(into: list[float]) -> AsyncIterator[None]:
    done = asyncio.Event()
    task = asyncio.create_task(tick(into, done))
    try:
        yield
    finally:
        done.set()
        await task


async def measure(data_dir: Path, base: Path, shape: Shape, queries: int, quiet_s: float) -> Figures:
    figures = Figures()
    chance = random.Random(7)
    total = shape.namespaces * shape.each

    async def search(memories: Memories) -> float:
        number = chance.randrange(total)
        query = SearchQuery(query_of(number), MemoryFilter(namespace=shape.namespace_of(number)), LIMIT)
        began_s = time.perf_counter()
        result = await memories.search(query, AGENT)
        took_ms = (time.perf_counter() - began_s) * 1_000
        assert result.index_state == "ready", result.note
        assert any(query.text in found.memory.content for found in result.found), "the text was not among the hits"
        return took_ms

    async with searchable(data_dir, base, figures.parts_ms) as memories:
        for _ in range(20):
            await search(memories)
        figures.parts_ms.clear()
        async with ticking(figures.quiet_ms):
            await asyncio.sleep(quiet_s)
        async with ticking(figures.busy_ms):
            for _ in range(queries):
                figures.search_ms.append(await search(memories))
            alone = {name: list(values) for name, values in figures.parts_ms.items()}
            # Several at once: what the loop has to bear, not how fast each is.
            for _ in range(queries // AT_ONCE):
                await asyncio.gather(*(search(memories) for _ in range(AT_ONCE)))
        figures.parts_ms = alone
    return figures


def engine_ms(data_dir: Path, prepared: Prepared, shape: Shape, queries: int) -> dict[str, list[float]]:
    """Return what the worker's own steps take, in this process and without a pipe."""
    chance = random.Random(11)
    words = Bm25Words()
    store = EdgeStore(WorkerOptions(data_dir, QdrantSection(), EmbeddingSection()).index_dir)
    engine = IndexEngine(store, words, prepared.name, prepared.dimension)
    engine.open()
    engine.adopt(prepared)
    steps: dict[str, list[float]] = {}
    inner = store.search

    def timed(name: str, call: Callable[[], Any]) -> Any:
        began_s = time.perf_counter()
        result = call()
        steps.setdefault(name, []).append((time.perf_counter() - began_s) * 1_000)
        return result

    store.search = lambda query: timed("of that: the engine's query", lambda: inner(query))  # type: ignore[method-assign]
    for _ in range(queries):
        number = chance.randrange(shape.namespaces * shape.each)
        where = MemoryFilter(namespace=shape.namespace_of(number))
        text = query_of(number)
        timed("of that: the vector of the query", partial(prepared.embed, [text]))
        timed(
            "worker: search without the pipe",
            partial(engine.search, text, where, limit=HITS_WANTED, now_ns=time.time_ns()),
        )
    engine.close()
    return steps


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def is_met(figures: Figures, goal: Goal) -> bool:
    fast = statistics.median(figures.search_ms) <= goal.p50_ms and percentile(figures.search_ms, 0.99) <= goal.p99_ms
    added_ms = percentile(figures.busy_ms, 0.99) - percentile(figures.quiet_ms, 0.99)
    return fast and added_ms <= TICK_ADDED_MS_MAX


def report(shape: Shape, figures: Figures) -> None:
    p50, p99 = statistics.median(figures.search_ms), percentile(figures.search_ms, 0.99)
    quiet, busy = percentile(figures.quiet_ms, 0.99), percentile(figures.busy_ms, 0.99)
    said = "met" if is_met(figures, shape.goal) else "**short**"
    print(
        f"| {shape.title} | {p50:.1f} ({shape.goal.p50_ms:g}) | {p99:.1f} ({shape.goal.p99_ms:g}) "
        f"| {quiet:.2f} | {busy:.2f} | {said} |"
    )


def report_parts(shape: Shape, figures: Figures, steps: dict[str, list[float]]) -> None:
    print(f"\n{shape.title}: where the time goes, one search at a time\n")
    print("| part | calls per search | p50 ms | p99 ms | mean ms per search |")
    print("| --- | --- | --- | --- | --- |")
    count = len(figures.search_ms)
    mean = sum(figures.search_ms) / count
    rest = mean - sum(sum(values) for values in figures.parts_ms.values()) / count
    for name, values in sorted(figures.parts_ms.items(), key=lambda part: -sum(part[1])):
        _print_part(name, values, count)
    print(f"| the service itself (fusion, checks, waiting for the loop) | | | | {rest:.2f} |")
    print(f"| all of a search | 1.0 | {statistics.median(figures.search_ms):.2f} "
          f"| {percentile(figures.search_ms, 0.99):.2f} | {mean:.2f} |")  # fmt: skip
    for name, values in sorted(steps.items(), reverse=True):
        _print_part(name, values, len(steps["worker: search without the pipe"]))


def _print_part(name: str, values: Sequence[float], count: int) -> None:
    print(
        f"| {name} | {len(values) / count:.1f} | {statistics.median(values):.2f} | {percentile(values, 0.99):.2f} "
        f"| {sum(values) / count:.2f} |"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespaces", type=int, default=50)
    parser.add_argument("--each", type=int, default=2_000, help="memories in each of them")
    parser.add_argument("--single", type=int, default=100_000, help="memories in the one namespace")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--base", type=int, default=BASE_LEN, help="texts that the model embeds for the vectors of all")
    parser.add_argument("--quiet", type=float, default=3.0, help="seconds of ticks without searches")
    options = parser.parse_args(arguments)
    shapes = (
        Shape(
            f"{options.namespaces} namespaces of {options.each:,}", options.namespaces, options.each, Goal(5.0, 15.0)
        ),
        Shape(f"{options.single:,} in one namespace", 1, options.single, Goal(40.0, 150.0)),
    )
    measured: list[tuple[Shape, Figures, dict[str, list[float]]]] = []
    with tempfile.TemporaryDirectory(prefix="mm-") as directory:
        base = Path(directory) / "base.npy"
        prepared = make_base(base, options.base)
        for number, shape in enumerate(shapes):
            data_dir = Path(directory) / f"store{number}"
            data_dir.mkdir()
            fill(data_dir, range(shape.namespaces * shape.each), prepared, shape.namespace_of)
            figures = asyncio.run(measure(data_dir, base, shape, options.queries, options.quiet))
            measured.append((shape, figures, engine_ms(data_dir, prepared, shape, options.queries // 3)))
    print("| | search ms p50 (goal) | p99 (goal) | a tick's lateness ms p99, no searches | with searches | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for shape, figures, _ in measured:
        report(shape, figures)
    for shape, figures, steps in measured:
        report_parts(shape, figures, steps)
    short = [shape.title for shape, figures, _ in measured if not is_met(figures, shape.goal)]
    print(
        f"\nSearches may add {TICK_ADDED_MS_MAX:g} ms to the lateness of a tick (p99). "
        + (f"Short of a goal: {'; '.join(short)}." if short else "All goals met.")
    )
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
