"""The readers of ``benchmarks.streams``, in a process of their own: many open streams, each held to the journal.

Started with its plan as JSON; says ``open`` once every stream has begun, reads until a line comes with the seqs that
the writer was told (JSON), and answers with what it found as one line of JSON.
"""

import json
import random
import re
import socket
import sys
import time
from array import array
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import anyio
import httpx2

ROW: Final = re.compile(rb"(?:^|\n)id: (\d+)\n")
KIND: Final = re.compile(rb"(?:^|\n)event: (\w+)\n")
DATA: Final = re.compile(rb"(?:^|\n)data: (.*)")
SENT: Final = re.compile(rb'"content":"sent (\d+) ')
SMALL_BUFFER: Final = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)]
"""So that what a slow reader has not taken waits in the daemon, and not in the kernel."""

RETRY_S: Final = 0.2
PAGE_ROWS: Final = 500
TIMEOUT: Final = httpx2.Timeout(30.0, pool=None)
EVENT_BYTES_MAX: Final = 1_048_576
LAGS_MAX: Final = 200_000


@dataclass(frozen=True)
class ReadPlan:
    """``steady`` streams stay; ``slow`` ones read little at a time, ``returning`` ones go and come back, and ``late``
    ones begin so far behind that they are told of a gap. ``start``: the seq after which the first three begin."""

    url: str
    start: int
    steady: int
    slow: int
    returning: int
    late: int
    patience_s: float = 60.0

    @property
    def streams(self) -> int:
        return self.steady + self.slow + self.returning + self.late


@dataclass
class Found:
    """What the readers met. ``missing`` and ``odd`` must be empty."""

    streams: int = 0
    rows: int = 0
    gaps: int = 0
    caught_up: int = 0
    reconnects: int = 0
    refused: int = 0
    lag_p50_ms: float = 0.0
    lag_p99_ms: float = 0.0
    missing: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


class Reader:
    """One client of ``GET /events``. It notes each row that it was given, and reads what it was told it has missed."""

    def __init__(self, name: str, readers: "Readers", start: int, http: httpx2.AsyncClient) -> None:
        self.name = name
        self.start = start
        self.last = start
        self.seqs = array("q")
        self.connections = 0
        self.gaps = 0
        self.is_open = anyio.Event()
        self.is_slow = False
        self._readers = readers
        self._http = http

    async def run(self, *, pause_s: float = 0.0, stays_s: float = 0.0) -> None:
        """Read until cancelled. ``pause_s``: after each piece; ``stays_s``: about how long before it leaves."""
        chance = random.Random(self.name)
        self.is_slow = pause_s > 0
        while True:
            stay_s = chance.uniform(0.5, 1.5) * stays_s if stays_s else float("inf")
            try:
                with anyio.move_on_after(stay_s):
                    await self._read(pause_s)
            except httpx2.HTTPError:
                pass  # cut off for being too slow, or not let in yet: both are the daemon's right
            await anyio.sleep(chance.uniform(0.0, stays_s / 4) if stays_s else RETRY_S)

    async def _read(self, pause_s: float) -> None:
        headers = {"Last-Event-ID": str(self.last), "X-Memmcp-Agent": self.name}
        async with self._http.stream("GET", "/events", headers=headers) as response:
            if response.status_code != 200:
                self._readers.found.refused += 1
                return
            self.connections += 1
            async for event in events_of(response):
                self.is_open.set()
                await self._take(event)
                if pause_s and not self._readers.is_ending:
                    await anyio.sleep(pause_s)

    async def _take(self, event: bytes) -> None:
        row = ROW.search(event)
        if row is None:
            return
        seq, kind = int(row[1]), KIND.search(event)
        if kind is not None and kind[1] == b"resync":
            await self._catch_up(event)
            return
        self._note(seq)
        if not self.is_slow and (sent := SENT.search(event)) is not None:
            self._readers.note_lag(int(sent[1]))

    def _note(self, seq: int) -> None:
        if seq <= self.last:
            self._readers.odd(f"{self.name} was given {seq} after {self.last}")
            return
        self.seqs.append(seq)
        self.last = seq

    async def _catch_up(self, event: bytes) -> None:
        """Read what was lost, as the event says: from its cursor on."""
        data = DATA.search(event)
        gap = json.loads(data[1]) if data is not None else {}
        self.gaps += 1
        if int(gap["from"]) <= self.last:
            self._readers.odd(f"{self.name} was told that {gap['from']} is lost, and has {self.last}")
        async for seq in self._readers.changes(str(gap["cursor"])):
            if seq > int(gap["to"]):
                break
            self._note(seq)
            self._readers.found.caught_up += 1
        self.last = max(self.last, int(gap["to"]))


async def events_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in response.aiter_raw():
        rest += piece.replace(b"\r", b"")
        *events, rest = rest.split(b"\n\n")
        for event in events:
            yield event
        if len(rest) > EVENT_BYTES_MAX:
            msg = "an event does not end"
            raise ValueError(msg)


class Readers:
    """All of them; see the module."""

    def __init__(self, plan: ReadPlan) -> None:
        self.plan = plan
        self.found = Found(streams=plan.streams)
        self.is_ending = False
        self._told: set[int] = set()
        self._lags_ms = array("d")

    async def run(self) -> Found:
        unlimited = httpx2.Limits(max_connections=None, max_keepalive_connections=8)
        async with httpx2.AsyncClient(base_url=self.plan.url, limits=unlimited, timeout=TIMEOUT) as self._http:
            readers = [Reader(f"steady-{at}", self, self.plan.start, self._http) for at in range(self.plan.steady)]
            readers += [Reader(f"late-{at}", self, 0, self._http) for at in range(self.plan.late)]
            returning = [Reader(f"back-{at}", self, self.plan.start, self._http) for at in range(self.plan.returning)]
            slow = [Reader(f"slow-{at}", self, self.plan.start, self._slow_client()) for at in range(self.plan.slow)]
            async with anyio.create_task_group() as tasks:
                for reader in readers:
                    tasks.start_soon(reader.run)
                for reader in returning:
                    tasks.start_soon(lambda reader=reader: reader.run(stays_s=4.0))
                for reader in slow:
                    tasks.start_soon(lambda reader=reader: reader.run(pause_s=0.5))
                readers += [*returning, *slow]
                await self._follow(readers)
                tasks.cancel_scope.cancel()
            for reader in slow:
                await reader._http.aclose()
            self._judge(readers, {seq async for seq in self.changes("start")})
        return self.found

    def _slow_client(self) -> httpx2.AsyncClient:
        transport = httpx2.AsyncHTTPTransport(socket_options=SMALL_BUFFER)
        return httpx2.AsyncClient(base_url=self.plan.url, transport=transport, timeout=TIMEOUT)

    async def _follow(self, readers: list[Reader]) -> None:
        with anyio.fail_after(self.plan.patience_s):
            for reader in readers:
                await reader.is_open.wait()
        print("open", flush=True)
        self._told = set(json.loads(await anyio.to_thread.run_sync(sys.stdin.readline)))
        self.is_ending, last = True, max(self._told)
        with anyio.move_on_after(self.plan.patience_s):
            while any(reader.last < last for reader in readers):
                await anyio.sleep(0.05)

    async def changes(self, cursor: str) -> AsyncIterator[int]:
        """Yield the seqs of what happened after the cursor, as GET /memory/changes tells them."""
        while True:
            query = {"cursor": cursor, "limit": str(PAGE_ROWS)}
            answer = await self._http.get("/memory/changes", params=query)
            answer.raise_for_status()
            page = answer.json()
            for change in page["changes"]:
                yield int(change["seq"])
            if not page["more"]:
                return
            cursor = page["next_cursor"]

    def _judge(self, readers: list[Reader], kept: set[int]) -> None:
        """Hold each reader to what the writer was told and what the journal holds, up to the last that it was told: a
        row of the daemon's own may come after that, when the readers end. Of what was forgotten meanwhile who has
        caught up was told nothing."""
        known, gone, last = self._told | kept, self._told - kept, max(self._told)
        for reader in readers:
            had = set(reader.seqs)
            lost = {seq for seq in known - had if reader.start < seq <= last} - (gone if reader.gaps else set())
            self.found.rows += len(reader.seqs)
            self.found.gaps += reader.gaps
            self.found.reconnects += max(0, reader.connections - 1)
            if lost:
                self.found.missing.append(f"{reader.name}: {len(lost)} of {len(known)}, first {sorted(lost)[:3]}")
            if had - known:
                self.odd(f"{reader.name} was given {sorted(had - known)[:3]}, which nobody wrote")
        lags = sorted(self._lags_ms) or [0.0]
        self.found.lag_p50_ms = lags[len(lags) // 2]
        self.found.lag_p99_ms = lags[min(len(lags) - 1, int(len(lags) * 0.99))]

    def note_lag(self, sent_ns: int) -> None:
        if len(self._lags_ms) < LAGS_MAX:
            self._lags_ms.append((time.monotonic_ns() - sent_ns) / 1e6)

    def odd(self, what: str) -> None:
        if len(self.found.odd) < 20:
            self.found.odd.append(what)


def allow_many() -> None:
    """Each stream takes a descriptor, and this process begins with as few as its user may have."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(given: dict[str, Any]) -> int:
    allow_many()
    print(json.dumps(asdict(anyio.run(Readers(ReadPlan(**given)).run))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
