"""The whole daemon for a long time: does it hold more memory, handles or disk than it must? `make soak`.

Accelerated (``--days 30``): a day of the desk's market passes in ``--day-s`` seconds, with agents, an outside engine,
the page and its stream, Prometheus and a receiver of traces at work. The wall clock jumps both ways, the feed falls
silent and the receiver is in trouble now and then. The first day begins when the daemon has been at work for ten
minutes. With ``--hours 72`` nothing is hastened and a period is an hour. At the end of each period the daemon and
its index worker give back what they have freed. The last periods are judged against the first, with 5 % allowed:

- memory: the resident size of the daemon and what lives in it (blocks of Python's objects, bytes given out by the C
  allocator), and the resident size of the index worker, which may grow by what its new points take.
- handles: the open descriptors of the daemon and its children.
- disk: the index as the worker's memory. What must be kept grows for ever (rows of the desk's journal, memories), so
  the bytes of each journal are judged against the bytes that its rows hold: a file that grows faster than its rows
  leaks. What is carried on or thinned must not pile up: the outbox, the desk's queue of snapshots, and snapshots beyond
  what the retention settings keep. The write-ahead logs and the daemon's own log stay under a fixed bound.

After that ``benchmarks.streams`` holds 200 pages' streams open on another daemon for ten minutes.
"""

import argparse
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from tests.support.agents import ROOT, daemon_pid, environment, http_client, until

from benchmarks.soak_control import VARIABLE, Control
from benchmarks.soak_daemon import ROUND_VARIABLE
from benchmarks.soak_load import FAULTS, Load, receiving
from memmcp_server.cli.client import Client, Failed, NoDaemon
from memmcp_server.daemon.places import Places

DAY_S = 86_400
ALLOWED = 1.05
WINDOW = 5
"""Periods of which the median is what is held: copies and caches come and go."""
WARM_S = 600.0
"""How long a hastened daemon is at work before its first day begins: what it loads and caches is no leak, and neither
is the most that answers and batches took for a moment, which it reaches by the number of requests, not of days."""
KIB = 1024
MIB = 1024 * 1024
WAL_BYTES_MAX = 64 * MIB
LOG_BYTES_MAX = 65_536
"""So small that it is rotated many times; three older files are kept."""
LOGS_BYTES_MAX = 4 * (LOG_BYTES_MAX + 16 * KIB) + 1 * MIB
QUEUE_ROWS_MAX = 2_000
QUEUE_MIB = 2.0
"""Pages that rows on their way (queued snapshots, the outbox) may have taken between two looks; they are used again."""
POINT_BYTES = 4 * KIB
"""What one point may take in the index: 1.5 KiB of vector, its words, and what it says."""
CACHES_MIB = 8.0
"""Pages that SQLite keeps of a file, 2 MB for each of a few connections, once the file has grown as large as that."""
HANDLES_SLACK = 4
"""A connection of the page or an agent may be open or not at the moment."""
JUMPS_DAYS = (0.04, -0.08, 1.04, 0.0, -1.04, 0.001, 0.0)
"""How far the wall clock is off, one after the other, in days of the soak."""
JOURNALS = {"memory": Path("journal.db"), "desk": Path("trading") / "journal.db"}


@dataclass(frozen=True)
class Figures:
    """The daemon at the end of a period; sizes in bytes."""

    period: int
    daemon_rss: int
    worker_rss: int
    blocks: int
    heap_bytes: int
    """What lived in the daemon: ``Control.blocks`` and ``Control.heap_bytes``."""
    worker_mapped: int
    """The part of ``worker_rss`` that is pages of mapped files, which the system takes back at will."""
    threads: int
    handles: int
    points: int
    files: dict[str, int]
    rows: dict[str, int]
    payload: dict[str, int]
    pages: dict[str, int]
    """Bytes of each journal's pages, those in its log included: what its file comes to."""
    counts: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        sizes = ", ".join(f"{name} {size / MIB:.1f}" for name, size in self.files.items())
        return (
            f"{self.period:>3}: daemon {self.daemon_rss / MIB:.1f} MiB "
            f"({self.blocks} blocks, {self.heap_bytes / MIB:.1f} MiB given out), "
            f"worker {self.worker_rss / MIB:.1f} MiB ({self.worker_mapped / MIB:.1f} mapped), "
            f"{self.threads} threads, {self.handles} handles; "
            f"MiB on disk: {sizes}; "
            f"desk rows {self.rows.get('desk.rows', 0)}, memories {self.rows.get('memory.memories', 0)}, "
            f"snapshots {self.rows.get('memory.snapshots', 0)}, outbox {self.rows.get('memory.outbox', 0)}, "
            f"points {self.points}"
        )


def memory_of(pid: int, what: str = "VmRSS") -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * KIB
    return 0


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += [int(child), *children_of(int(child))]
    return found


def handles_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def size_of(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(size_of(each) for each in path.iterdir())
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0  # gone while it was looked at


def rows_of(path: Path) -> tuple[dict[str, int], int, int]:
    """Return how many rows each table has, how many bytes all their values hold, and how many the pages take."""
    counts: dict[str, int] = {}
    payload = 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            lengths = " + ".join(f"coalesce(length(CAST({name} AS BLOB)), 0)" for name in columns)
            count, held = db.execute(f"SELECT count(*), coalesce(sum({lengths}), 0) FROM {table}").fetchone()
            counts[table] = count
            payload += held
        pages = int(db.execute("PRAGMA page_count").fetchone()[0])
        return counts, payload, pages * int(db.execute("PRAGMA page_size").fetchone()[0])


def tidied(pid: int, control: Control) -> list[int]:
    """Have the daemon and its index worker give back what they have freed; return the daemon's children."""
    before = control.tidied
    os.kill(pid, signal.SIGUSR1)
    until(lambda: control.tidied > before, 60)
    children = children_of(pid)
    for child in children:
        before = control.worker_tidied
        with suppress(ProcessLookupError):  # it is just being started anew
            os.kill(child, signal.SIGUSR1)
            until(lambda before=before: control.worker_tidied > before, 60)  # type: ignore[misc]
    return children


def measured(pid: int, data_dir: Path, control: Control, client: Client, load: Load, period: int) -> Figures:
    children = tidied(pid, control)
    rows: dict[str, int] = {}
    payload: dict[str, int] = {}
    pages: dict[str, int] = {}
    files: dict[str, int] = {}
    for name, place in JOURNALS.items():
        path = data_dir / place
        counts, payload[name], pages[name] = rows_of(path)
        rows |= {f"{name}.{table}": count for table, count in counts.items()}
        files[name] = size_of(path)
        files[f"{name} log"] = size_of(path.with_name(f"{path.name}-wal"))
    files["index"] = size_of(data_dir / "index")
    files["logs"] = size_of(Places(data_dir).logs)
    index = client.get("/health").get("index", {})
    points = int(index.get("points") or 0) or rows["memory.memories"]
    return Figures(
        period=period,
        daemon_rss=memory_of(pid),
        worker_rss=sum(memory_of(each) for each in children),
        blocks=control.blocks,
        heap_bytes=control.heap_bytes,
        worker_mapped=sum(memory_of(each, "RssFile") for each in children),
        threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
        handles=handles_of(pid) + sum(handles_of(each) for each in children),
        points=points,
        files=files,
        rows=rows,
        payload=payload,
        pages=pages,
        counts=dict(load.counts),
    )


@dataclass
class Floor:
    """The least that the index worker held and its files took within a period: a batch takes memory for as long as it
    runs, and while something is forgotten its files are there twice."""

    worker_rss: int = sys.maxsize
    index: int = sys.maxsize

    def look(self, pid: int, data_dir: Path) -> None:
        try:
            self.worker_rss = min(self.worker_rss, sum(memory_of(each) for each in children_of(pid)) or sys.maxsize)
        except (FileNotFoundError, ProcessLookupError):
            return  # it is just being started anew
        self.index = min(self.index, size_of(data_dir / "index") or sys.maxsize)

    def under(self, measure: Figures) -> Figures:
        files = {**measure.files, "index": min(self.index, measure.files["index"])}
        return replace(measure, worker_rss=min(self.worker_rss, measure.worker_rss), files=files)


def shortfalls(found: Sequence[Figures], warm: int, snapshots_max: int) -> list[str]:
    """Return what has grown by the last period beyond what it may, against the end of the first day (``warm`` periods).

    What swings (memory, handles, threads) is judged by the median of ``WINDOW`` periods, the first that there are
    against the last, a journal's pages by the most that its rows have held so far: what is freed is used again.
    """
    last = found[-1]
    first, now = found[max(0, warm - WINDOW) : max(warm, WINDOW)], found[-WINDOW:]
    short: list[str] = []

    def flat(name: str, before: float, after: float, slack: float = 0.0) -> None:
        if after > before * ALLOWED + slack:
            short.append(f"period {last.period}: {name} {after:,.1f}, after the first day {before:,.1f}")

    def held(name: str, of: Callable[[Figures], float], slack: float = 0.0) -> None:
        flat(name, statistics.median(map(of, first)), statistics.median(map(of, now)), slack)

    grown = max(0, now[0].points - first[0].points) * POINT_BYTES / MIB
    held("memory of the daemon (MiB)", lambda each: each.daemon_rss / MIB)
    held("live blocks of Python in the daemon", lambda each: each.blocks)
    held("memory that the daemon's C allocator gave out (MiB)", lambda each: each.heap_bytes / MIB, CACHES_MIB)
    held("memory of the index worker (MiB)", lambda each: each.worker_rss / MIB, grown)
    held("the index on disk (MiB)", lambda each: each.files["index"] / MIB, grown)
    held("handles", lambda each: each.handles, HANDLES_SLACK)
    held("threads", lambda each: each.threads, HANDLES_SLACK)
    for name in JOURNALS:
        before = min(_spread(found[: at + 1], name) for at in range(len(first)))
        expected = before * max(each.payload[name] for each in found) / MIB
        flat(f"the {name} journal, by what its rows hold (MiB)", expected, last.pages[name] / MIB, QUEUE_MIB)
        if last.files[f"{name} log"] > WAL_BYTES_MAX:
            short.append(f"period {last.period}: the {name} journal's log has {last.files[f'{name} log']:,} bytes")
    bounds = {"memory.outbox": QUEUE_ROWS_MAX, "desk.snapshots": QUEUE_ROWS_MAX, "memory.snapshots": snapshots_max}
    short += [
        f"period {last.period}: {last.rows[name]:,} rows in {name}, at most {bound:,} may be"
        for name, bound in bounds.items()
        if last.rows.get(name, 0) > bound
    ]
    if last.files["logs"] > LOGS_BYTES_MAX:
        short.append(f"period {last.period}: the logs have {last.files['logs']:,} bytes")
    return short


def _spread(found: Sequence[Figures], journal: str) -> float:
    """Return the bytes of a journal's pages per byte that its rows have held at most."""
    return found[-1].pages[journal] / max(each.payload[journal] for each in found)


@dataclass(frozen=True)
class Plan:
    """``period_s`` seconds of the wall each; the first ``warm`` periods are the first day."""

    periods: int
    period_s: float
    warm: int
    speed: float | None
    every_days: float
    minutes_days: float

    def environ(self, control: Path, traces: str) -> dict[str, str]:
        hastened = {} if self.speed is None else {
            "TRADING_PAPER__SPEED": str(self.speed),
            "TRADING_PAPER__SNAPSHOT_INTERVAL_S": "0",
            ROUND_VARIABLE: str(max(1.0, self.period_s / 10)),
        }  # fmt: skip
        model = {"MEMMCP_EMBEDDING__MODEL": "sentence-transformers/all-MiniLM-L6-v2"}
        return environment(
            {
                "MEMMCP_TRADING__ENABLED": "true",
                "MEMMCP_OTLP__ENDPOINT": traces,
                "MEMMCP_DAEMON__LOG_BYTES_MAX": str(LOG_BYTES_MAX),
                "MEMMCP_HISTORY__EVERY_DAYS": f"{self.every_days:.9f}",
                "MEMMCP_HISTORY__MINUTES_DAYS": f"{self.minutes_days:.9f}",
                **model,
                **hastened,
                VARIABLE: str(control),
            }
        )

    def snapshots_max(self, period: int, reports: int) -> int:
        """Return how many snapshots the retention may keep: all of its first days, a few an hour of each desk after
        that, and what its rounds have not come to. ``reports``: of the outside engine in a period."""
        kept_s = self.every_days * DAY_S
        young = kept_s / self.period_s * (DAY_S // 300 * 1.2 + reports * 1.2)
        hours = (period + 2) * 24 * 6 + (period + 2) * self.period_s / 60 * 6
        return int(2 * young + hours + 4_000)


@contextmanager
def daemon(data_dir: Path, environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon until the block ends; it must then stop by itself in time."""
    options = ("serve", "--data-dir", str(data_dir), "--port", "0", "--feed", "synthetic:11", "--profile", "foundation")
    with (data_dir.parent / "soak.daemon.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak_daemon", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            cwd=ROOT,
        )
        try:
            until(lambda: process.poll() is not None or daemon_pid(data_dir) == process.pid, 90)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()


def desk_day(client: Client) -> float:
    """Return how many days of its market the desk has had since the year began."""
    shown = client.get("/telemetry/trading")["ts"]
    return datetime.fromisoformat(shown).timestamp() / DAY_S


def disturb(control: Control, step: int, plan: Plan) -> None:
    """Set the wall clock wrong, and let the feed be silent for a part of the time."""
    day_s = plan.warm * plan.period_s
    control.offset_ns = int(JUMPS_DAYS[step % len(JUMPS_DAYS)] * day_s * 10**9)
    if step % 3 == 1:
        control.is_silent = True
        time.sleep(plan.period_s / 4)
        control.is_silent = False


def soak(plan: Plan, data_dir: Path) -> tuple[list[Figures], list[str], Load]:
    control_path = data_dir.parent / "soak.control"
    control = Control(control_path)
    found: list[Figures] = []
    short: list[str] = []
    with receiving() as (traces, receiver), daemon(data_dir, plan.environ(control_path, traces)) as process:
        until(lambda: is_trading(data_dir), 120)
        client = http_client(data_dir)
        load = Load(data_dir, max(0.25, plan.period_s / 120))
        with load.running():
            time.sleep(0 if plan.speed is None else WARM_S)
            began_s = time.monotonic()
            for period in range(1, plan.periods + 1):
                receiver.fault = FAULTS[period % len(FAULTS)]
                disturb(control, period, plan)
                ends_s = began_s + period * plan.period_s
                floor = Floor()
                while time.monotonic() < ends_s and process.poll() is None:
                    floor.look(process.pid, data_dir)
                    time.sleep(min(0.5, max(0.0, ends_s - time.monotonic())))
                if process.poll() is not None:
                    return found, [*short, f"the daemon ended with {process.returncode} in period {period}"], load
                measure = measured(process.pid, data_dir, control, client, load, period)
                found.append(floor.under(measure))
                print(found[-1].line(), flush=True)
                if period >= plan.warm + WINDOW:
                    reports = found[-1].counts.get("reports", 0) // period
                    short += shortfalls(found, plan.warm, plan.snapshots_max(period, reports))
            at = datetime.fromtimestamp(desk_day(client) * DAY_S, UTC)
            print(f"the desk has come to {at:%Y-%m-%d}; {len(receiver.spans):,} spans were received")
        receiver.fault = ""
        control.offset_ns = 0
    if process.returncode != 0:
        short.append(f"the daemon ended with {process.returncode} when it was told to stop")
    return found, short, load


def is_trading(data_dir: Path) -> bool:
    try:
        return bool(http_client(data_dir).get("/telemetry/trading").get("cycle"))
    except (Failed, NoDaemon, AssertionError, OSError):
        return False


def plan_of(arguments: argparse.Namespace) -> Plan:
    if arguments.hours is not None:
        warm = max(1, min(24, arguments.hours // 3))
        return Plan(arguments.hours, 3_600.0, warm, None, every_days=0.5, minutes_days=1.0)
    day_s = arguments.day_s
    return Plan(arguments.days, day_s, 1, DAY_S / day_s, every_days=day_s / DAY_S, minutes_days=3 * day_s / DAY_S)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30, help="Days of the market, hastened.")
    parser.add_argument("--day-s", type=float, default=24.0, help="Seconds that such a day takes.")
    parser.add_argument("--hours", type=int, help="Hours of the wall clock instead, nothing hastened.")
    parser.add_argument("--keep", type=Path, help="Leave the data here.")
    parser.add_argument("--streams-s", type=float, default=600.0, help="Seconds of 200 open streams after it, or 0.")
    arguments = parser.parse_args(argv)
    plan = plan_of(arguments)
    if plan.periods < plan.warm + WINDOW:
        parser.error(f"{plan.periods} periods are too few: at least {plan.warm + WINDOW}")
    with tempfile.TemporaryDirectory(prefix="mm-soak-", ignore_cleanup_errors=True) as folder:
        data_dir = (arguments.keep or Path(folder)) / "d"
        data_dir.mkdir(parents=True)
        found, short, load = soak(plan, data_dir)
    for each in load.failures:
        print(f"a client met: {each}")
    for each in short:
        print(f"grown: {each}")
    if found:
        print(summary(plan, found, load, short), flush=True)
    code = 1 if short or len(found) < plan.periods else 0
    return code if arguments.streams_s == 0 else max(code, streams(arguments.streams_s))


def streams(seconds: float) -> int:
    """The other thing that must stay flat for long: a daemon that many pages look at."""
    code: int = import_module("benchmarks.streams").main(["--seconds", str(seconds)])
    return code


def summary(plan: Plan, found: Sequence[Figures], load: Load, short: Sequence[str]) -> str:
    first, last = found[min(plan.warm, len(found)) - 1], found[-1]
    work = ", ".join(f"{count:,} {name}" for name, count in sorted(load.counts.items()))
    return (
        f"soak: {last.period} {'hours' if plan.speed is None else 'days'}; daemon {first.daemon_rss / MIB:.1f} -> "
        f"{last.daemon_rss / MIB:.1f} MiB with {first.blocks} -> {last.blocks} live blocks and "
        f"{first.heap_bytes / MIB:.1f} -> {last.heap_bytes / MIB:.1f} MiB given out, "
        f"worker {first.worker_rss / MIB:.1f} -> {last.worker_rss / MIB:.1f} MiB "
        f"for {first.points:,} -> {last.points:,} points, handles {first.handles} -> {last.handles}, journal bytes per "
        f"byte of rows: memory {first.pages['memory'] / first.payload['memory']:.2f} -> "
        f"{last.pages['memory'] / last.payload['memory']:.2f}, desk {first.pages['desk'] / first.payload['desk']:.2f} "
        f"-> {last.pages['desk'] / last.payload['desk']:.2f}; {work}; "
        f"{f'{len(short)} figures too large' if short else 'flat within 5 %'}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
