"""Who uses the daemon during the soak: agents that write, search, change and forget, the page, an outside engine."""

import contextlib
import http.client
import itertools
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from tests.support.agents import Agent
from tests.support.otlp_receiver import Fault, OtlpReceiver

from memmcp_server.cli.client import Client, Failed
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

WORDS = ("pool", "fee", "slippage", "breakout", "exit", "rug", "depth", "wallet", "quote", "spread", "bonk", "funding")
FAULTS: tuple[Fault, ...] = ("", "broken", "", "busy", "", "hanging")
"""How the receiver of traces is, one period after the other."""
KEPT = 200
"""Memories of the agents that are not forgotten: the rest goes, oldest first, so that a day is like the next."""

FORGOTTEN_AT_ONCE = 40


@contextlib.contextmanager
def receiving() -> Iterator[tuple[str, OtlpReceiver]]:
    """Serve a receiver of traces in a thread of this process; yield its address and it."""
    receiver, addresses, ends = OtlpReceiver(), queue.Queue[str](), threading.Event()

    async def serve() -> None:
        async with receiver.serving() as url:
            addresses.put(url)
            while not ends.is_set():
                await anyio.sleep(0.1)

    thread = threading.Thread(target=anyio.run, args=(serve,), daemon=True)
    thread.start()
    try:
        yield addresses.get(timeout=30), receiver
    finally:
        ends.set()
        thread.join(30)


class Load:
    """``counts``: what was done and what failed, by name. Every worker is a thread that ends with the block."""

    def __init__(self, data_dir: Path, pause_s: float) -> None:
        self._data_dir = data_dir
        self._pause_s = pause_s
        self._ends = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        workers = (
            *(self._writes, self._reads, self._reports, self._page, self._streams, self._speaks_mcp),
            self._scrapes,
        )
        threads = [threading.Thread(target=self._kept, args=(each,), daemon=True) for each in workers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ends.set()
            for thread in threads:
                thread.join(30)

    def _kept(self, work: Callable[[], None]) -> None:
        """Do it again and again; what fails is counted and told."""
        while not self._ends.is_set():
            try:
                work()
            except (Failed, OSError, http.client.HTTPException, AssertionError, TimeoutError, ValueError) as error:
                self._count(f"failed {work.__name__.strip('_')}")
                if len(self.failures) < 20:
                    self.failures.append(f"{work.__name__}: {error!r}"[:300])
                self._ends.wait(1.0)

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1

    def _client(self) -> Client:
        record = read_record(Places(self._data_dir))
        if record is None:
            msg = "no daemon says where it is"
            raise Failed(msg)
        return Client(record)

    def _writes(self) -> None:
        client, chance = self._client(), random.Random(7)
        written: list[str] = []
        for number in itertools.count():
            if self._ends.wait(self._pause_s):
                return
            text = " ".join(chance.choices(WORDS, k=12))
            body = {"content": f"note {number} {chance.random()}: {text}", "namespace": "soak", "tags": ["soak"]}
            written.append(client.post("/memory/write", body)["id"])
            self._count("writes")
            if number % 5 == 4:
                at = chance.randrange(len(written))
                client.post(f"/memory/{written[at]}/update", {"content": f"changed {number} {chance.random()}: {text}"})
                self._count("updates")
            if len(written) >= KEPT + FORGOTTEN_AT_ONCE:
                gone, written = written[:FORGOTTEN_AT_ONCE], written[FORGOTTEN_AT_ONCE:]
                client.post("/memory/forget", {"ids": gone, "reason": "the soak keeps few"}, 120)
                self._count("forgettings")

    def _reads(self) -> None:
        client, chance = self._client(), random.Random(8)
        while not self._ends.wait(self._pause_s):
            client.get("/memory/search", {"query": " ".join(chance.choices(WORDS, k=3)), "limit": 10})
            self._count("searches")

    def _reports(self) -> None:
        """An outside engine that reports under its own id."""
        client = self._client()
        for number in itertools.count():
            if self._ends.wait(self._pause_s):
                return
            body = {
                "desk_id": "outside",
                "key": f"{time.monotonic_ns()}",
                "ts": datetime.now(UTC).isoformat(),
                "money": "paper",
                "equity_lamports": 10**9 + number % 1_000,
                "positions": [{"mint": f"m{each}", "value": number} for each in range(20)],
            }
            client.post("/telemetry/trading", body)
            self._count("reports")

    def _page(self) -> None:
        """What the page asks for beside its stream, and what Prometheus asks."""
        client = self._client()
        asked: tuple[tuple[str, dict[str, Any]], ...] = (
            ("/telemetry/trading", {}),
            ("/telemetry/metrics", {}),
            ("/telemetry/trading/history", {"resolution": 3_600}),
            ("/telemetry/trading/trades", {"limit": 50}),
            ("/strategies", {}),
            ("/risk", {}),
            ("/memory/summary", {}),
            ("/trajectories", {}),
            ("/health", {}),
            ("/alerts", {}),
        )
        for path, query in itertools.cycle(asked):
            if self._ends.wait(self._pause_s / 2):
                return
            client.get(path, query)
            self._count("page")

    def _scrapes(self) -> None:
        """Prometheus."""
        connection, headers = self._connection()
        try:
            while not self._ends.wait(self._pause_s * 4):
                connection.request("GET", "/metrics", headers=headers)
                response = connection.getresponse()
                assert response.status == 200, response.status
                assert b"# TYPE" in response.read()
                self._count("scrapes")
        finally:
            connection.close()

    def _connection(self) -> tuple[http.client.HTTPConnection, dict[str, str]]:
        record = self._client().record
        host, _, port = str(record["http"]).removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port.strip("/")), timeout=60)
        return connection, {"Authorization": f"Bearer {record['token']}"}

    def _streams(self) -> None:
        """Read the event stream, and connect anew now and then, as a page that is reloaded."""
        connection, headers = self._connection()
        try:
            connection.request("GET", "/events", headers=headers)
            response = connection.getresponse()
            assert response.status == 200, response.status
            ends_s = time.monotonic() + 20
            while not self._ends.is_set() and time.monotonic() < ends_s:
                if response.fp.readline() == b"":
                    break
                self._count("stream lines")
        finally:
            connection.close()

    def _speaks_mcp(self) -> None:
        """An agent over its bridge; now and then it goes and another one comes."""
        agent = Agent(self._data_dir, name="soak-agent")
        try:
            agent.initialize(60)
            for number in range(60):
                if self._ends.wait(self._pause_s):
                    return
                if number % 3 == 0:
                    agent.call("memory_search", query="what was the slippage of the last exit", limit=5)
                else:
                    agent.call("telemetry_trading", window="1d")
                self._count("mcp calls")
        finally:
            with contextlib.suppress(Exception):
                agent.close()
