"""Two hundred open streams on one daemon: does each get every row of the journal in order, does the daemon stay flat?

A real daemon, as many readers of ``GET /events`` as it lets in, in a process of their own, and steady writes, changes
and forgettings into its memory. Some readers are slow, some go and come back with ``Last-Event-ID``, some begin so far
behind that they are told of a gap. Each must have been given every row after where it began, in order and once, or have
been told what it missed and found it by the cursor of that event. One reader more must be refused with a reason. The
resident size of the daemon may grow by 5 % from the time when all had come, and its open descriptors must be back to
what they were when all have left. `make soak` runs it for ten minutes after its days.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from tests.support.agents import ROOT, data_directory, environment, http_client, until
from tests.support.daemons import served

from benchmarks.soak import ALLOWED, MIB, is_trading, memory_of
from benchmarks.stream_readers import Found, ReadPlan
from memmcp_server.cli.client import Client
from memmcp_server.wire.archive import LINES_MAX

BEHIND = 1_100
"""Memories before the first reader comes: more than a stream replays, so that a late reader is told of a gap."""

WARM_PART = 0.25
"""The part of the time after which the daemon's size is called its size: what answers and queues take once is there."""

WINDOW_PART = 0.2
HANDLES_SLACK = 2
DATABASE_HANDLES_SLACK = 8
"""Two readers of each of the two journals, a handle on the file and one on its log each."""

OPEN_WITHIN_S = 60.0
END_WITHIN_S = 120.0


@dataclass(frozen=True)
class Plan:
    """``streams`` is also the bound that the daemon is started with; ``writes`` are those of a second."""

    streams: int = 200
    slow: int = 8
    returning: int = 20
    late: int = 2
    seconds: float = 20.0
    writes: float = 10.0
    has_desk: bool = False
    warming_mib: float = 0.0
    """What the daemon may grow by besides, in a run so short that it is still taking what it will hold."""


@dataclass
class Figures:
    """Sizes in bytes. ``refusal``: what one reader more was told."""

    found: Found
    writes: int
    sizes: list[int]
    handles: tuple[int, int, int]
    """Before the first stream, with all of them, after the last."""

    refusal: str
    databases_grown: int = 0
    """By how many handles on databases: bounded, as their pools are."""

    short: list[str] = field(default_factory=list)

    def judge(self, warming_mib: float) -> None:
        warm = self.sizes[int(len(self.sizes) * WARM_PART) :]
        window = max(1, int(len(self.sizes) * WINDOW_PART))
        first, last = statistics.median(warm[:window]), statistics.median(warm[-window:])
        if last > first * ALLOWED + warming_mib * MIB:
            self.short.append(f"the daemon grew from {first / MIB:.1f} to {last / MIB:.1f} MiB")
        if self.handles[2] > self.handles[0] + HANDLES_SLACK:
            self.short.append(
                f"{self.handles[2]} handles beside databases' are left, {self.handles[0]} there were before"
            )
        if self.databases_grown > DATABASE_HANDLES_SLACK:
            self.short.append(f"{self.databases_grown} handles on databases more than before are left")
        if "too_many_streams" not in self.refusal:
            self.short.append(f"one stream more was told: {self.refusal[:200]}")
        self.short += [f"missing: {each}" for each in self.found.missing[:20]]
        self.short += [f"odd: {each}" for each in self.found.odd]

    def _growth(self) -> str:
        """The daemon's size at the beginning, after each quarter, in MiB."""
        last = len(self.sizes) - 1
        return " -> ".join(f"{self.sizes[last * quarter // 4] / MIB:.1f}" for quarter in range(5))

    def line(self, plan: Plan) -> str:
        found = self.found
        return (
            f"streams: {found.streams} for {plan.seconds:.0f} s, {self.writes:,} writes, {found.rows:,} rows in order; "
            f"{found.reconnects} reconnects, {found.gaps} gaps told and {found.caught_up:,} rows caught up, "
            f"lag p50 {found.lag_p50_ms:.0f} p99 {found.lag_p99_ms:.0f} ms; daemon {self._growth()} MiB, "
            f"handles {self.handles[0]} -> {self.handles[1]} -> {self.handles[2]}; "
            f"{'; '.join(self.short) if self.short else 'nothing missed, flat'}"
        )


class Writer:
    """Writes at an even pace, and now and then changes or forgets what it wrote."""

    def __init__(self, url: str, token: str, writes_a_second: float) -> None:
        self.count = 0
        self.told: list[int] = []
        """The seq of each write that was acknowledged."""

        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pause_s = 1.0 / writes_a_second
        self._ends = threading.Event()
        self.failure: Exception | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ends.set()
            thread.join(30)

    def _run(self) -> None:
        try:
            self._write()
        except (httpx2.HTTPError, AssertionError, KeyError) as error:
            self.failure = error

    def _write(self) -> None:
        written: list[str] = []
        with httpx2.Client(base_url=self._url, headers=self._headers, timeout=30) as http:

            def post(path: str, body: dict[str, object]) -> dict[str, Any]:
                answer = http.post(path, json=body)
                assert answer.is_success, answer.text
                self.count += 1
                told: dict[str, Any] = answer.json()
                self.told += [int(told["seq"])] if "seq" in told else []
                return told

            while not self._ends.wait(self._pause_s):
                text = f"sent {time.monotonic_ns()} as number {self.count}"
                written.append(post("/memory/write", {"content": text, "namespace": "streams"})["id"])
                if self.count % 10 == 0:
                    post(f"/memory/{written[-1]}/update", {"content": f"changed {time.monotonic_ns()}"})
                if self.count % 25 == 0:
                    post("/memory/forget", {"ids": [written.pop(0)], "reason": "the streams keep few"})


def fill(client: Client, count: int) -> None:
    """Bring in so many memories, many in each commit."""
    same = {"namespace": "streams", "kind": "note", "tags": [], "metadata": {}, "agent": "streams", "trust": "agent"}
    same |= {"session": "", "tool": "", "source": "", "ts": "2026-01-01T00:00:00Z", "embed": True}
    same |= {"type": "memory", "expires_at": None, "trajectory_id": None}
    lines = [{**same, "id": f"before-{number}", "content": f"before {number}"} for number in range(count)]
    for first in range(0, count, LINES_MAX):
        client.post("/admin/import", {"lines": lines[first : first + LINES_MAX]}, timeout_s=60)


@contextmanager
def reading(plan: ReadPlan) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "benchmarks.stream_readers", json.dumps(asdict(plan))]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=environment())
    try:
        yield process
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        process.kill()
        process.wait()


def line_of(process: "subprocess.Popen[str]", within_s: float) -> str:
    """Return the next line that it says. Raises: AssertionError where it ends or is silent instead."""
    said: list[str] = []
    assert process.stdout is not None
    reads: Callable[[], str] = process.stdout.readline
    thread = threading.Thread(target=lambda: said.append(reads()), daemon=True)
    thread.start()
    thread.join(within_s)
    assert said, f"the readers said nothing within {within_s:.0f} s"
    assert said[0], f"the readers ended with {process.wait(5)}"
    return said[0]


def run(plan: Plan, data_dir: Path) -> Figures:
    extra = {"MEMMCP_HTTP__STREAMS_MAX": str(plan.streams), "MEMMCP_TRADING__ENABLED": str(plan.has_desk).lower()}
    with served(data_dir, "--feed", "synthetic:3", environ=environment(extra)) as daemon:
        client = http_client(data_dir)
        record = client.record
        url, token = str(record["http"]), str(record["token"])
        if plan.has_desk:
            until(lambda: is_trading(data_dir), 120)
        fill(client, BEHIND)
        start = horizon_of(url)
        before, databases = streams_of(daemon.pid), databases_of(daemon.pid)
        steady = plan.streams - plan.slow - plan.returning - plan.late
        read_plan = ReadPlan(url, start, steady, plan.slow, plan.returning, plan.late)
        writer, sizes = Writer(url, token, plan.writes), []
        with reading(read_plan) as readers:
            assert line_of(readers, OPEN_WITHIN_S).strip() == "open"
            during, refusal = streams_of(daemon.pid), refused(url)
            with writer.running():
                ends_s = time.monotonic() + plan.seconds
                while time.monotonic() < ends_s and writer.failure is None:
                    sizes.append(memory_of(daemon.pid))
                    time.sleep(min(1.0, plan.seconds / 40))
            assert writer.failure is None, writer.failure
            assert readers.stdin is not None
            readers.stdin.write(f"{json.dumps(writer.told)}\n")
            readers.stdin.flush()
            found = Found(**json.loads(line_of(readers, END_WITHIN_S)))
        with suppress(TimeoutError):
            until(lambda: streams_of(daemon.pid) <= before + HANDLES_SLACK, 20)
        figures = Figures(found, writer.count, sizes, (before, during, streams_of(daemon.pid)), refusal)
        figures.databases_grown = databases_of(daemon.pid) - databases
    figures.judge(plan.warming_mib)
    return figures


def streams_of(pid: int) -> int:
    """Return how many handles a daemon has but for those on databases: a pool opens connections up to its bound when
    many read at once, and keeps them."""
    return sum(not is_database for is_database in _handles(pid))


def databases_of(pid: int) -> int:
    return sum(_handles(pid))


def _handles(pid: int) -> Iterator[bool]:
    """Yield of each open handle whether it is on a database."""
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed while it was looked at
            yield ".db" in handle.readlink().name


def horizon_of(url: str) -> int:
    answer = httpx2.get(f"{url}/telemetry/metrics", timeout=30).raise_for_status()
    return int(answer.json()["journal_seq"])


def refused(url: str) -> str:
    """Return what one stream more is told. Those that come and go leave a place for a moment: it asks some times."""
    told = ""
    for _ in range(50):
        with httpx2.stream("GET", f"{url}/events", timeout=30) as answer:
            told = f"{answer.status_code}"
            if answer.status_code != 200:
                return f"{told} {answer.read().decode()}"
        time.sleep(0.05)
    return told


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--writes", type=float, default=20.0, help="A second.")
    parser.add_argument("--no-desk", action="store_true", help="A daemon without trading.")
    given = parser.parse_args(arguments)
    plan = Plan(streams=given.streams, seconds=given.seconds, writes=given.writes, has_desk=not given.no_desk)
    with data_directory() as data_dir:
        figures = run(plan, data_dir)
    print(figures.line(plan))
    return 1 if figures.short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
