"""How fast durable writes are: the journal and the service's door against plain sqlite3 with the same tables.

All commit in groups on one writer thread with ``synchronous=FULL``, and answer each producer after the commit. The
plain one only inserts: no idempotency look-up, no validation, no ids. The service's door is what every tool and route
calls: checks, secret scan, policies, keys, outbox; beside it the doors of a daemon (``doors``). Rounds alternate, so
that a busy machine slows all; the table shows the median round. Goal: the service's door reaches at least 0.7 of plain
sqlite3 with 32 producers.
"""

import argparse
import asyncio
import itertools
import queue
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.worker_index import WorkerIndex
from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.sql_journal.prepare import PreparedMemory, prepare
from memmcp_server.adapters.sql_journal.schema import keys, memories, outbox
from memmcp_server.config import EmbeddingSection, JournalSection, QdrantSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.identifiers import Namespace
from memmcp_server.domain.memory import MemoryDraft, Provenance
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies

from . import doors

GOAL_RATIO = 0.7
PLAIN, SERVICE = "plain sqlite3", "service door"
CALLER = Caller("bench", "s1", "memory_write", "agent", "internal")
PRODUCERS = (1, 32)
CONTENT = "BONK broke out above its 20 bar high on rising volume; bought 0.25 SOL at 35 bps of impact " * 2
THREAD = "c:0123456789abcdef0123456789abcdef"
Write = Callable[[MemoryDraft], Awaitable[object]]


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True)
class Round:
    rows_per_s: float
    p50_ms: float
    p99_ms: float


def draft(number: int) -> MemoryDraft:
    return MemoryDraft(
        content=f"{number} {CONTENT}",
        key=f"bench-{number}",
        ts_event_ns=1_700_000_000_000_000_000 + number,
        namespace=Namespace("bench"),
        kind="decision",
        tags=("bonk", "momentum"),
        metadata={"mint": "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", "score_bps": number},
        provenance=Provenance(agent="bench", session="s1", tool="memory_write"),
    )


async def produce(write: Write, producers: int, seconds: float, numbers: "itertools.count[int]") -> Round:
    """Run the producers, each waiting for its write before the next, and measure every write."""
    latencies_ms: list[float] = []
    began_s = time.perf_counter()
    ends_s = began_s + seconds

    async def producer() -> None:
        while (started_s := time.perf_counter()) < ends_s:
            await write(draft(next(numbers)))
            latencies_ms.append((time.perf_counter() - started_s) * 1_000)

    await asyncio.gather(*(producer() for _ in range(producers)))
    took_s = time.perf_counter() - began_s
    latencies_ms.sort()
    count = len(latencies_ms)
    return Round(count / took_s, latencies_ms[count // 2], latencies_ms[min(count - 1, count * 99 // 100)])


class PlainWriter:
    """The floor: sqlite3, executemany, one transaction for whatever has queued up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[tuple[MemoryDraft, asyncio.Future[int], asyncio.AbstractEventLoop] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def write(self, each: MemoryDraft) -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._queue.put((each, future, loop))
        return await future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        inserts = [
            f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.c))})" for table in (memories, keys, outbox)
        ]
        seq = 0
        while (first := self._queue.get()) is not None:
            batch = [first]
            while len(batch) < 256 and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    self._queue.put(None)
                    break
                batch.append(following)
            now_ns = time.time_ns()
            rows = [self._rows(seq + place, each, now_ns) for place, (each, _, _) in enumerate(batch, 1)]
            connection.execute("BEGIN IMMEDIATE")
            for sql, values in zip(inserts, zip(*rows, strict=True), strict=True):
                connection.executemany(sql, values)
            connection.execute("COMMIT")
            seq += len(batch)
            first[2].call_soon_threadsafe(self._answer, batch, seq)
        connection.close()

    @staticmethod
    def _rows(seq: int, each: MemoryDraft, now_ns: int) -> tuple[tuple[object, ...], ...]:
        by = each.provenance
        memory_id = str(uuid.uuid4())
        said = (
            each.namespace,
            each.kind,
            each.content,
            "\x1fbonk\x1fmomentum\x1f",
            '{"mint":"DezXAZ8z7PnrnRJjz3wXBo"}',
        )
        made = (by.agent, by.session, by.tool, by.source, "agent", each.ts_event_ns, now_ns, None, None, None, True)
        return (
            (seq, memory_id, 1, *said, *made, 50, False, None, None, THREAD, seq),
            (uuid.uuid4().bytes, b"f" * 32, memory_id, 1, seq, now_ns),
            (seq, "qdrant", memory_id, 1, seq, now_ns, now_ns, 0, "", False),
        )

    @staticmethod
    def _answer(batch: list[tuple[MemoryDraft, asyncio.Future[int], asyncio.AbstractEventLoop]], seq: int) -> None:
        for _, future, _ in batch:
            future.set_result(seq)


async def plain_round(directory: Path, producers: int, seconds: float) -> Round:
    # The journal makes the tables, so that both write into the same schema.
    async with open_journal(JournalSection(), directory, WallClock()) as journal:
        path = journal.path
    assert path is not None
    writer = PlainWriter(path)
    try:
        return await produce(writer.write, producers, seconds, itertools.count())
    finally:
        writer.close()


async def journal_round(directory: Path, producers: int, seconds: float) -> Round:
    async with open_journal(JournalSection(), directory, WallClock()) as journal:
        return await produce(lambda each: journal.commit([each]), producers, seconds, itertools.count())


async def service_round(directory: Path, producers: int, seconds: float) -> Round:
    """As the doors do it: from fields to a draft, through the firewall and the policies, into the journal."""
    clock, limits = WallClock(), DraftLimits()
    index = WorkerIndex(WorkerOptions(directory, QdrantSection(), EmbeddingSection()), clock)  # never started
    async with open_journal(JournalSection(), directory, clock) as journal:
        scanner = RuleScanner()
        scanner.load()
        memories = Memories(journal, index, clock, Policies(journal, clock), scanner, limits)

        async def write(each: MemoryDraft) -> object:
            fields = DraftFields(each.content, each.namespace, each.kind, each.tags, each.metadata, key=each.key)
            return await memories.write(make_draft(fields, each.provenance, limits, clock.now_ns()), CALLER)

        return await produce(write, producers, seconds, itertools.count())


def rounds_of(producers: int, rounds: int, seconds: float) -> dict[str, Round]:
    """Return the median round of each writer (by rows per second)."""
    results: dict[str, list[Round]] = {name: [] for name in WRITERS}
    for _ in range(rounds):
        for name, run in WRITERS.items():
            with tempfile.TemporaryDirectory() as directory:
                results[name].append(asyncio.run(run(Path(directory), producers, seconds)))
    return {name: _median(each) for name, each in results.items()}


WRITERS = {PLAIN: plain_round, "journal": journal_round, SERVICE: service_round}


def _median(rounds: list[Round]) -> Round:
    return sorted(rounds, key=lambda each: each.rows_per_s)[len(rounds) // 2]


def preparing_us() -> float:
    """Return what the caller's side of a write costs, in microseconds."""
    drafts = [draft(number) for number in range(2_000)]
    began_s = time.perf_counter()
    prepared = [prepare(each) for each in drafts]
    took_s = time.perf_counter() - began_s
    assert all(isinstance(each, PreparedMemory) for each in prepared)
    return took_s / len(drafts) * 1_000_000


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--imported", type=int, default=doors.MEMORIES_IMPORTED, help="memories in the bulk import")
    parser.add_argument("--no-doors", dest="doors", action="store_false", help="leave out the doors of a daemon")
    options = parser.parse_args(arguments)
    print("| producers | writer | durable writes/s | p50 ms | p99 ms | of plain |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratio = 0.0
    for producers in PRODUCERS:
        rounds = rounds_of(producers, options.rounds, options.seconds)
        ratio = rounds[SERVICE].rows_per_s / rounds[PLAIN].rows_per_s
        for name, result in rounds.items():
            share = result.rows_per_s / rounds[PLAIN].rows_per_s
            print(
                f"| {producers} | {name} | {result.rows_per_s:,.0f} | {result.p50_ms:.2f} | {result.p99_ms:.2f} "
                f"| {share:.2f} |"
            )
    if options.doors:
        doors.report(2 * options.seconds, options.imported)
    reached = ratio >= GOAL_RATIO
    costs = statistics.median(preparing_us() for _ in range(5))
    print(
        f"\nWith {PRODUCERS[-1]} producers the service's door reaches {ratio:.2f} of plain sqlite3 "
        f"({'meets' if reached else 'short of'} the goal of {GOAL_RATIO}); preparing a write costs {costs:.0f} us."
    )
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
