"""What a write and a search cost as the memory grows: 10^4 to 10^5 memories, with ``--million`` to 10^6.

One data directory grows from size to size (``benchmarks.filling``: the journal's own commits, the index's own engine,
vectors prepared, so that embedding is no part of it). At each size a daemon's inside is opened on it, journal and index
worker as ever: memories are written at the service's door, points are given to the worker, and namespaces of 1,000
memories are searched: ten of them, spread over all there are, each for the first time since the start and then again
and again. Counted is the processor time of this process and of the worker, so that what else runs on the machine counts
for nobody. Goals: at the largest size a write, a point and a search (the first one and a later one) take at most 1.5
times what they take at the smallest. With ``--million`` have 8 GB of memory and 6 GB of disk free, and half an hour.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from memmcp_server.adapters.index.texts import point_of
from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.memory import Memory, MemoryFilter, Provenance
from memmcp_server.domain.search import SearchQuery
from memmcp_server.ports import VectorIndex
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies

from .filling import BASE_LEN, WallClock, fill, make_base, query_of, text_of
from .index import memory
from .search import AGENT, opened

SIZES = (10_000, 30_000, 100_000)
MILLION = (300_000, 1_000_000)
NAMESPACE_LEN = 1_000
WRITES = 1_000
PRODUCERS = 32
POINTS = 640
POINTS_AT_ONCE = 64
NAMESPACES = 10
"""As many as there are at the smallest size, so that the same is done at each: no size has more first visits."""
WARM = 20
"""Searches in the first of them, before anything is measured: the processes' own first steps."""
ROUNDS = 20
GOAL = 1.5
CALLER = Caller("bench", "s1", "memory_write", "agent", "internal")


@dataclass(frozen=True)
class Figures:
    """At one size: processor time of one of each, a search by the clock, and what it all takes."""

    memories: int
    write_ms: float
    point_ms: float
    first_ms: float
    search_ms: float
    search_p50_ms: float
    search_p99_ms: float
    worker_mib: float
    journal_mib: float
    index_mib: float


def namespace_of(number: int) -> str:
    return f"growth/n{number // NAMESPACE_LEN}"


def processor_s() -> float:
    """Return the processor time of this process and of the worker it has started."""
    spent_s = time.process_time()
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        spent_s += times.user + times.system
    return spent_s


async def writes(memories: Memories, first: int) -> float:
    """Return ms of a write that is acknowledged, several producers at once."""
    limits, numbers = DraftLimits(), iter(range(first, first + WRITES))

    async def producer() -> None:
        for number in numbers:
            fields = DraftFields(f"Written {text_of(number)}", "growth/written", "note", ("bench",), {"number": number})
            by = Provenance(agent="bench", session="s1", tool="memory_write")
            await memories.write(make_draft(fields, by, limits, time.time_ns()), CALLER)

    began_s = processor_s()
    await asyncio.gather(*(producer() for _ in range(PRODUCERS)))
    return (processor_s() - began_s) * 1_000 / WRITES


async def points(index: VectorIndex, first: int) -> float:
    """Return ms of a point that the worker has stored, taken out again afterwards."""
    chance = random.Random(first)
    given: list[Memory] = [memory(first + place, chance, embed=True) for place in range(POINTS)]
    began_s = processor_s()
    for start in range(0, POINTS, POINTS_AT_ONCE):
        await index.upsert([point_of(each) for each in given[start : start + POINTS_AT_ONCE]])
    took_ms = (processor_s() - began_s) * 1_000 / POINTS
    await index.remove([each.id for each in given])
    return took_ms


async def searches(memories: Memories, size: int) -> tuple[float, float, list[float]]:
    """Return ms of the processor for the first search in a namespace and for a later one, and ms by the clock of each
    later one."""
    chance = random.Random(7)
    spread = [part * (size // NAMESPACE_LEN) // NAMESPACES * NAMESPACE_LEN for part in range(NAMESPACES)]

    async def search(first: int) -> float:
        number = first + chance.randrange(NAMESPACE_LEN)
        query = SearchQuery(query_of(number), MemoryFilter(namespace=namespace_of(number)), 10)
        began_s = time.perf_counter()
        result = await memories.search(query, AGENT)
        took_ms = (time.perf_counter() - began_s) * 1_000
        assert any(query.text in found.memory.content for found in result.found), "the text was not among the hits"
        return took_ms

    for _ in range(WARM):
        await search(spread[0])
    began_s = processor_s()
    for first in spread[1:]:
        await search(first)
    first_ms = (processor_s() - began_s) * 1_000 / len(spread[1:])
    began_s = processor_s()
    by_clock_ms = [await search(first) for _ in range(ROUNDS) for first in spread]
    return first_ms, (processor_s() - began_s) * 1_000 / len(by_clock_ms), by_clock_ms


async def measure(data_dir: Path, base: Path, size: int) -> Figures:
    clock = WallClock()
    async with opened(data_dir, base) as (journal, index):
        memories = Memories(journal, index, clock, Policies(journal, clock), RuleScanner())
        first_ms, search_ms, by_clock_ms = await searches(memories, size)
        point_ms = await points(index, size)
        write_ms = await writes(memories, size)
        worker_b = sum(each.memory_info().rss for each in psutil.Process().children(recursive=True))
    return Figures(
        size,
        write_ms,
        point_ms,
        first_ms,
        search_ms,
        statistics.median(by_clock_ms),
        sorted(by_clock_ms)[int(len(by_clock_ms) * 0.99)],
        worker_b / 2**20,
        _mib(data_dir.glob("journal*")),
        _mib(data_dir.glob("index/**/*")),
    )


def _mib(paths: Iterable[Path]) -> float:
    return sum(each.stat().st_blocks * 512 for each in paths if each.is_file()) / 2**20


def report(found: Sequence[Figures], seconds: Sequence[float]) -> bool:
    print(
        "| memories | filled in s | a write ms | a point ms | a first search ms | a search ms "
        "| search by the clock p50 / p99 ms | worker MiB | journal MiB | index MiB |"
    )
    print("|" + " --- |" * 10)
    for each, took_s in zip(found, seconds, strict=True):
        print(
            f"| {each.memories:,} | {took_s:.0f} | {each.write_ms:.3f} | {each.point_ms:.3f} "
            f"| {each.first_ms:.2f} | {each.search_ms:.2f} | {each.search_p50_ms:.1f} / {each.search_p99_ms:.1f} "
            f"| {each.worker_mib:,.0f} | {each.journal_mib:,.0f} | {each.index_mib:,.0f} |"
        )
    first, last = found[0], found[-1]
    ratios = {
        "write": last.write_ms / first.write_ms,
        "point": last.point_ms / first.point_ms,
        "first search": last.first_ms / first.first_ms,
        "search": last.search_ms / first.search_ms,
    }
    is_flat = max(ratios.values()) <= GOAL
    told = ", ".join(f"a {name} {ratio:.2f}" for name, ratio in ratios.items())
    grown = max(1, last.memories - first.memories)
    worker_b = max(0.0, last.worker_mib - first.worker_mib) * 2**20 / grown
    print(
        f"\nProcessor time, but for the clock's. A search within a namespace of {NAMESPACE_LEN:,}. "
        f"{last.memories:,} against {first.memories:,}: {told} (goal {GOAL:g}): {'met' if is_flat else 'missed'}.\n"
        f"The worker grew by {worker_b:,.0f} B a memory: {worker_b * 1e6 / 2**30:.1f} GiB for a million."
    )
    return is_flat


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="go on to a million memories")
    parser.add_argument("--sizes", type=int, nargs="+", help="these instead, in ascending order")
    parser.add_argument("--base", type=int, default=BASE_LEN, help="texts that the model embeds for the vectors of all")
    options = parser.parse_args(given)
    sizes = options.sizes or (*SIZES, *(MILLION if options.million else ()))
    if list(sizes) != sorted(set(sizes)) or sizes[0] < NAMESPACE_LEN:
        parser.error(f"--sizes: given {sizes}; allowed: ascending, from {NAMESPACE_LEN} on")
    found, seconds, before = [], [], 0
    with tempfile.TemporaryDirectory(prefix="mm-") as directory:
        base = Path(directory) / "base.npy"
        prepared = make_base(base, options.base)
        data_dir = Path(directory) / "store"
        data_dir.mkdir()
        for size in sizes:
            seconds.append(fill(data_dir, range(before, size), prepared, namespace_of))
            found.append(asyncio.run(measure(data_dir, base, size)))
            before = size
    return 0 if report(found, seconds) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
