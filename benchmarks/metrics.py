"""What being watched costs: a scrape, what a tool call and the trading loop pay for being counted, a line of the log.

The scrape is the whole of ``GET /metrics`` in the process, over a memory journal with a backlog in its outbox and the
paper desk on a synthetic feed, with every part asked anew each time (``metrics.fresh_s`` is 0; the default asks once a
second). The peer for counting is prometheus-client's own counter and histogram with the same labels, in the same run.
How late a timer comes while scrapers follow each other tells little on a busy machine, so what is held to a goal is the
processor time that the event loop itself spends on a scrape. Goals: a scrape under 25 ms at the median, 5 ms of it in
the event loop, 50 us for a tool call's counting, 5 us for the loop's.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from prometheus_client import CollectorRegistry, Counter, Histogram
from tests.doubles.desk_memory import ListMemory
from tests.support.stage import staged

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.trading_desk import AdaptedDesk
from memmcp_server.daemon.logs import JsonLines, Redacting
from memmcp_server.domain.correlation import Correlation, correlated
from memmcp_server.domain.meters import CALL_BOUNDS_S
from memmcp_server.services.meters import TOOL_CALLS, TOOL_SECONDS, Meters
from trading import desk as trading
from trading.runtime.metering import DeskMeters

SCRAPE_GOAL_MS = 25.0
LOOP_CPU_GOAL_MS = 5.0
CALL_GOAL_US = 50.0
LOOP_GOAL_US = 5.0
BACKLOG = 500
WARM_UP = 5
TICK_S = 0.001
BATCH = 2_000
ROUNDS = 15


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def each_us(work: Callable[[], object]) -> float:
    """Return the processor time of one call, the median of some rounds, in microseconds."""
    rounds = []
    for _ in range(ROUNDS):
        began_ns = time.thread_time_ns()
        for _ in range(BATCH):
            work()
        rounds.append((time.thread_time_ns() - began_ns) / BATCH / 1_000)
    return statistics.median(rounds)


async def lateness(stop: anyio.Event) -> list[float]:
    """Return how late each tick of a timer came, in ms."""
    late: list[float] = []
    while not stop.is_set():
        began_s = time.perf_counter()
        await asyncio.sleep(TICK_S)
        late.append((time.perf_counter() - began_s - TICK_S) * 1_000)
    return late


@dataclass
class Scrapes:
    """Milliseconds: of each scrape, of the event loop's processor time for each, and how late a timer was without and
    with scrapers. ``size``: bytes of an answer."""

    took: list[float]
    loop: list[float]
    late_quiet: list[float]
    late_busy: list[float]
    size: int


async def scrapes(count: int) -> Scrapes:
    with tempfile.TemporaryDirectory() as folder:
        options = trading.DeskOptions(data_dir=Path(folder) / "desk", feed="synthetic:7")
        async with (
            trading.open({"TRADING_PAPER__SPEED": "3000"}, ListMemory(), options) as opened,
            staged(Path(folder) / "data", desk=AdaptedDesk(opened)) as stage,  # type: ignore[arg-type]
        ):
            for number in range(BACKLOG):
                await stage.http.post("/memory/write", json={"content": f"memory {number}"})
            for _ in range(WARM_UP):
                await stage.http.get("/metrics")
            quiet = await measured(None, count)
            found = Scrapes([], [], quiet, [], 0)

            async def scrape() -> None:
                began_s, began_ns = time.perf_counter(), time.thread_time_ns()
                found.size = len((await stage.http.get("/metrics")).content)
                found.took.append((time.perf_counter() - began_s) * 1_000)
                found.loop.append((time.thread_time_ns() - began_ns) / 1e6)

            found.late_busy = await measured(scrape, count)
            return found


async def measured(work: Callable[[], object] | None, count: int) -> list[float]:
    """Return the lateness of a timer while something is done so many times, or nothing for about as long."""
    stop = anyio.Event()
    ticking = asyncio.create_task(lateness(stop))
    for _ in range(count):
        if work is None:
            await asyncio.sleep(0.005)
        else:
            await work()  # type: ignore[misc]
    stop.set()
    return await ticking


def counting() -> dict[str, float]:
    """Return microseconds of what a call, a request, a batch of the loop pays; of the peer too."""
    meters = Meters()

    def ours() -> None:
        began_s = time.perf_counter()
        with correlated(Correlation("r", agent="a", tool="why")):
            meters.tool_calls.add("memory_search", "ok")
            meters.tool_seconds.observe(time.perf_counter() - began_s, "memory_search")

    registry = CollectorRegistry()
    calls = Counter(TOOL_CALLS.name, "calls", TOOL_CALLS.labels, registry=registry)
    seconds = Histogram(TOOL_SECONDS.name, "s", TOOL_SECONDS.labels, registry=registry, buckets=CALL_BOUNDS_S)

    def peer() -> None:
        began_s = time.perf_counter()
        calls.labels("memory_search", "ok").inc()
        seconds.labels("memory_search").observe(time.perf_counter() - began_s)

    desk = DeskMeters(None, lambda: None, {})  # type: ignore[arg-type, return-value]
    return {"ours": each_us(ours), "peer": each_us(peer), "loop": each_us(lambda: desk.worked(1, 0.001, 0.002))}


def logging_us() -> dict[str, float]:
    """Return microseconds of a line of the log as JSON and as text, the redaction of both included."""
    record = logging.LogRecord("memmcp", logging.INFO, "p", 1, "relay %s: %d entries delivered", ("qdrant", 64), None)
    json_lines, text = JsonLines((), RuleScanner()), Redacting((), RuleScanner())
    with correlated(Correlation("0f0e0d0c-bridge:7", agent="cursor", tool="memory_search")):
        return {name: each_us(partial(made.format, record)) for name, made in (("json", json_lines), ("text", text))}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scrapes", type=int, default=200)
    given = parser.parse_args(arguments)
    found = asyncio.run(scrapes(given.scrapes))
    us, lines = counting(), logging_us()
    scrape_ms, loop_ms = statistics.median(found.took), statistics.median(found.loop)
    print("| what | figure | goal |\n| --- | --- | --- |")
    print(f"| a scrape ({found.size / 1_000:.0f} kB), median | {scrape_ms:.1f} ms | {SCRAPE_GOAL_MS:g} ms |")
    print(f"| a scrape, p99 | {p99(found.took):.1f} ms | |")
    print(f"| processor time of the event loop for it, median | {loop_ms:.2f} ms | {LOOP_CPU_GOAL_MS:g} ms |")
    print(f"| a timer of the event loop is late, p99, nobody scrapes | {p99(found.late_quiet):.2f} ms | |")
    print(f"| the same, one scrape after another | {p99(found.late_busy):.2f} ms | |")
    print(f"| a tool call: correlated, counted, timed | {us['ours']:.2f} us | {CALL_GOAL_US:g} us |")
    print(f"| prometheus-client: counter and histogram with the same labels | {us['peer']:.2f} us | |")
    print(f"| the trading loop, for each batch of cycles | {us['loop']:.2f} us | {LOOP_GOAL_US:g} us |")
    print(f"| a line of the log as JSON, six fields, redacted | {lines['json']:.1f} us | |")
    print(f"| the same as text | {lines['text']:.1f} us | |")
    held = scrape_ms <= SCRAPE_GOAL_MS and loop_ms <= LOOP_CPU_GOAL_MS
    return 0 if held and us["ours"] <= CALL_GOAL_US and us["loop"] <= LOOP_GOAL_US else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
