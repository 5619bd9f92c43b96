"""How fast memories become searchable: the index worker on its embedded engine against the same worker on the Qdrant
client's in-memory engine, in the same run, through the same pipe and the same code.

A search is a whole call from the daemon's side: embedding the query, both sides, fusion, filters. Goal: on the embedded
engine a search within one namespace takes at most half of what it takes on the client's engine.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.index.worker_index import WorkerIndex
from memmcp_server.config import EmbeddingSection, QdrantSection
from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq
from memmcp_server.domain.memory import Memory, MemoryFilter, Provenance

GOAL_RATIO = 0.5
NAMESPACES = 10
WORDS = """
pool depth volume breakout momentum reversion slippage rug launch liquidity exit entry stop drawdown wallet fee
priority landing bundle spread quote oracle price candle trend regime signal denied filled expired
""".split()  # noqa: SIM905 - thirty words in three lines
BATCH = 64


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True)
class Figures:
    start_s: float
    embedded_per_s: float
    words_per_s: float
    search_ms: list[float]
    filtered_ms: list[float]
    busy_ms: list[float]


def memory(number: int, chance: random.Random, *, embed: bool) -> Memory:
    now_ns = time.time_ns()
    return Memory(
        id=MemoryId(f"{'d' if embed else 'w'}{number}"),
        seq=Seq(number + 1),
        version=1,
        namespace=Namespace(f"bench/n{number % NAMESPACES}"),
        kind="decision",
        content=f"{number} " + " ".join(chance.choices(WORDS, k=40)),
        tags=("bench",),
        metadata={},
        provenance=Provenance(agent="bench"),
        ts_event_ns=now_ns,
        known_at_ns=now_ns,
        superseded_at_ns=None,
        expires_at_ns=None,
        trajectory_id=None,
        embed=embed,
    )


@asynccontextmanager
async def running(directory: Path, url: str | None) -> AsyncIterator[WorkerIndex]:
    options = WorkerOptions(directory, QdrantSection(url=url), EmbeddingSection(allow_download=False))
    index = WorkerIndex(options, WallClock())
    task = asyncio.create_task(index.run())
    try:
        while (await index.status()).state != "ready":
            await asyncio.sleep(0.005)
        yield index
    finally:
        await index.close()
        await task


async def rate(index: WorkerIndex, memories: list[Memory]) -> float:
    began_s = time.perf_counter()
    for start in range(0, len(memories), BATCH):
        await index.upsert([point_of(each) for each in memories[start : start + BATCH]])
    return len(memories) / (time.perf_counter() - began_s)


async def searches(index: WorkerIndex, count: int, where: MemoryFilter, chance: random.Random) -> list[float]:
    took_ms: list[float] = []
    for _ in range(count):
        query = " ".join(chance.choices(WORDS, k=5))
        began_s = time.perf_counter()
        await index.search(query, where, limit=10)
        took_ms.append((time.perf_counter() - began_s) * 1_000)
    return took_ms


async def measure(url: str | None, points: int, queries: int) -> Figures:
    chance = random.Random(7)
    with tempfile.TemporaryDirectory() as directory:
        began_s = time.perf_counter()
        async with running(Path(directory), url) as index:
            start_s = time.perf_counter() - began_s
            embedded = await rate(index, [memory(n, chance, embed=True) for n in range(points // 4)])
            words = await rate(index, [memory(n, chance, embed=False) for n in range(points)])
            search_ms = await searches(index, queries, MemoryFilter(), chance)
            filtered_ms = await searches(index, queries, MemoryFilter(namespace="bench/n3"), chance)
            batch = asyncio.create_task(
                rate(index, [memory(n, chance, embed=True) for n in range(points, points + 256)])
            )
            busy_ms: list[float] = []
            while not batch.done():
                busy_ms.extend(await searches(index, 1, MemoryFilter(namespace="bench/n3"), chance))
            await batch
        return Figures(start_s, embedded, words, search_ms, filtered_ms, busy_ms)


def spread(values_ms: list[float]) -> str:
    ordered = sorted(values_ms)
    return f"{statistics.median(ordered):.1f} / {ordered[int(len(ordered) * 0.99)]:.1f}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=2_000, help="memories found by words; a quarter more get vectors")
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args(arguments)
    print("| engine | start to ready s | with vectors/s | words only/s | search ms p50 / p99 | in one namespace | "
          "while a batch is embedded |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- |")
    medians: list[float] = []
    for name, url in (("embedded (qdrant-edge)", None), ("client in memory", ":memory:")):
        figures = asyncio.run(measure(url, options.points, options.queries))
        medians.append(statistics.median(figures.filtered_ms))
        print(
            f"| {name} | {figures.start_s:.2f} | {figures.embedded_per_s:,.0f} | {figures.words_per_s:,.0f} "
            f"| {spread(figures.search_ms)} | {spread(figures.filtered_ms)} | {spread(figures.busy_ms)} |"
        )
    ratio = medians[0] / medians[1]
    reached = ratio <= GOAL_RATIO
    print(
        f"\n{options.points * 5 // 4:,} memories. Within one namespace the embedded engine takes {ratio:.2f} of the "
        f"client's time ({'meets' if reached else 'short of'} the goal of {GOAL_RATIO})."
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
