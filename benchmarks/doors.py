"""How fast durable writes come in by each door of a real daemon: MCP over stdio, HTTP, and a bulk import.

Clients and daemon share the machine's cores, as agents and their memory do. The index counts words only, so that no
model runs beside the doors. Printed beside the journal's figures (``benchmarks.journal``).
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.agents import BRIDGE, ROOT, Agent, agents, data_directory, environment
from tests.support.news_readers import open_connection

CLIENTS = 4
IN_FLIGHT = 8
"""Of each client: 32 writes are on their way at any time, as with the producers of the other table."""
TEXT = "BONK broke out above its 20 bar high on rising volume; bought 0.25 SOL at 35 bps of impact " * 2
MEMORIES_IMPORTED = 20_000


def body(number: int) -> dict[str, Any]:
    return {
        "content": f"{number} {TEXT}",
        "namespace": "bench",
        "kind": "decision",
        "tags": ["bonk", "momentum"],
        "metadata": {"mint": "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", "score_bps": number},
        "idempotency_key": f"bench-{number}",
    }


class Numbers:
    """Hands out numbers until the time is over; how many were acknowledged is how many were taken back."""

    def __init__(self, seconds: float) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self.done = 0
        self._ends_s = time.perf_counter() + seconds

    def __iter__(self) -> Iterator[int]:
        while time.perf_counter() < self._ends_s:
            with self._lock:
                self._last += 1
                number = self._last
            yield number
            with self._lock:
                self.done += 1


def by_mcp(data_dir: Path, seconds: float) -> float:
    """Return the writes per second of ``CLIENTS`` agents, each with its own bridge and some calls in flight."""
    with agents(data_dir, CLIENTS, environ=environment()) as started:
        for agent in started:
            agent.initialize()

        def write(agent: Agent, number: int) -> None:
            agent.call("memory_write", **body(number))

        return _rate([lambda n, a=agent: write(a, n) for agent in started for _ in range(IN_FLIGHT)], seconds)


def by_http(data_dir: Path, seconds: float) -> float:
    """Return the writes per second over as many kept connections."""
    with ExitStack() as stack:
        connections = [open_connection(data_dir, 30.0) for _ in range(CLIENTS * IN_FLIGHT)]
        for connection in connections:
            stack.callback(connection.close)

        def write(connection: Any, number: int) -> None:
            headers = {"Content-Type": "application/json", "X-Memmcp-Agent": "bench"}
            connection.request("POST", "/memory/write", json.dumps(body(number)), headers)
            response = connection.getresponse()
            answer = response.read()
            assert response.status in (200, 201), answer

        return _rate([lambda n, c=connection: write(c, n) for connection in connections], seconds)


def by_import(data_dir: Path, count: int) -> float:
    """Return the memories per second of ``memmcp import``, from the start of the command to its end."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "memories.jsonl"
        lines = (
            {"type": "entity", "name": f"note {number}", "entityType": "decision", "observations": [f"{number} {TEXT}"]}
            for number in range(count)
        )
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        began_s = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "memmcp_server", "import", str(file), "--data-dir", str(data_dir)],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
        )
        return count / (time.perf_counter() - began_s)


def _rate(writers: list[Callable[[int], None]], seconds: float) -> float:
    numbers = Numbers(seconds)

    def run(write: Callable[[int], None]) -> None:
        for number in numbers:
            write(number)

    threads = [threading.Thread(target=run, args=(write,)) for write in writers]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return numbers.done / (time.perf_counter() - began_s)


def report(seconds: float, imported: int = MEMORIES_IMPORTED) -> None:
    """Measure each door, on a data directory of its own, and print a table."""
    print(f"\n| door, words-only index, {os.cpu_count()} cores shared with the clients | durable writes/s |")
    print("| --- | --- |")
    doors: dict[str, Callable[[Path], float]] = {
        f"MCP over stdio, {CLIENTS} bridges with {IN_FLIGHT} calls in flight": lambda path: by_mcp(path, seconds),
        f"HTTP, {CLIENTS * IN_FLIGHT} kept connections": lambda path: by_http(path, seconds),
        f"`memmcp import` of {imported:,} memories": lambda path: by_import(path, imported),
    }
    for name, measure in doors.items():
        with data_directory() as data_dir, agents(data_dir, 1, command=BRIDGE, environ=environment()) as [starter]:
            starter.initialize()  # the daemon is up and has an agent
            print(f"| {name} | {measure(data_dir):,.0f} |")
