"""How many durable writes a second several daemons reach on one PostgreSQL, beside one on SQLite in the same run.

Each daemon is a process of its own with the journal as it is in production (keys, outbox, fsync) and 32 producers that
wait for each answer; the server runs beside them on the same cores and disk. Transactions of all daemons take turns at
the head of the journal, as its order demands, so what more daemons add is that one prepares while another commits; what
they cost is an outbox entry for the index inside of each. Floor: one daemon on SQLite. Goals: two and four daemons
together are no slower than 0.9 of one, and one daemon reaches 0.3 of SQLite.
"""

import argparse
import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr
from tests.support.postgres import PostgresServer, running_postgres

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection

from .journal import Round, WallClock, draft, produce

DAEMONS = (1, 2, 4)
PRODUCERS = 32
SECONDS = 6.0
ROUNDS = 3
GOAL_TOGETHER = 0.9
GOAL_OF_SQLITE = 0.3
WARM = 200


async def _measure(url: str, directory: Path, offset: int, begin_at_s: float, seconds: float) -> Round:
    section = JournalSection(url=SecretStr(url) if url else None)
    numbers = itertools.count(offset)
    async with open_journal(section, directory, WallClock()) as journal:
        for _ in range(WARM):
            await journal.commit([draft(next(numbers))])
        await asyncio.sleep(max(0.0, begin_at_s - time.time()))
        return await produce(lambda each: journal.commit([each]), PRODUCERS, seconds, numbers)


def work(arguments: argparse.Namespace) -> int:
    """One daemon's part: print its figures when its time is over."""
    directory = Path(arguments.directory)
    got = asyncio.run(_measure(arguments.url, directory, arguments.offset, arguments.begin_at_s, arguments.seconds))
    print(got.rows_per_s, got.p50_ms, got.p99_ms)
    return 0


def together(url: str, directory: Path, daemons: int, seconds: float) -> Round:
    """Return the rows a second of all of them, and the median and p99 of the slowest one."""
    begin_at_s = time.time() + 4.0 + daemons
    running = []
    for number in range(daemons):
        place = directory / f"d{number}"
        place.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.scale", "--url", url, "--directory", str(place)]
        numbers = ["--offset", str((number + 1) * 10_000_000 + time.time_ns() % 1_000_000)]
        times = ["--begin-at-s", str(begin_at_s), "--seconds", str(seconds)]
        running.append(subprocess.Popen([*command, *numbers, *times], stdout=subprocess.PIPE, text=True))
    figures = []
    for process in running:
        told, _ = process.communicate(timeout=seconds + 120)
        if process.returncode:
            msg = f"a daemon's part ended with {process.returncode}"
            raise RuntimeError(msg)
        figures.append([float(each) for each in told.split()])
    rows, medians, worsts = zip(*figures, strict=True)
    return Round(sum(rows), max(medians), max(worsts))


def one_round(server: PostgresServer, seconds: float) -> dict[str, Round]:
    found: dict[str, Round] = {}
    with tempfile.TemporaryDirectory() as folder:
        found["SQLite, 1 daemon"] = together("", Path(folder), 1, seconds)
    for daemons in DAEMONS:
        url = server.url(server.new_database())
        with tempfile.TemporaryDirectory() as folder:
            found[f"PostgreSQL, {daemons} daemon{'s' * (daemons > 1)}"] = together(url, Path(folder), daemons, seconds)
    return found


def middle(rounds: Sequence[Round]) -> Round:
    return Round(
        statistics.median(each.rows_per_s for each in rounds),
        statistics.median(each.p50_ms for each in rounds),
        statistics.median(each.p99_ms for each in rounds),
    )


def main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--url")
    parser.add_argument("--directory")
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--begin-at-s", type=float, default=0.0)
    arguments = parser.parse_args(given)
    if arguments.directory:
        return work(arguments)
    with running_postgres() as server:
        server.execute("ALTER SYSTEM SET fsync = on")
        server.execute("SELECT pg_reload_conf()")
        rounds = [one_round(server, arguments.seconds) for _ in range(arguments.rounds)]
    found = {name: middle([each[name] for each in rounds]) for name in rounds[0]}
    sqlite, one = found["SQLite, 1 daemon"], found["PostgreSQL, 1 daemon"]
    print(f"{PRODUCERS} producers a daemon, {arguments.seconds:g} s, median of {arguments.rounds} rounds.\n")
    print("| journal | rows/s | of SQLite | p50 ms | p99 ms |\n|---|---|---|---|---|")
    for name, each in found.items():
        share = each.rows_per_s / sqlite.rows_per_s
        print(f"| {name} | {each.rows_per_s:,.0f} | {share:.2f} | {each.p50_ms:.1f} | {each.p99_ms:.1f} |")
    several = [each.rows_per_s / one.rows_per_s for name, each in found.items() if name.endswith("daemons")]
    of_sqlite = one.rows_per_s / sqlite.rows_per_s
    is_met = min(several) >= GOAL_TOGETHER and of_sqlite >= GOAL_OF_SQLITE
    ratios = ", ".join(f"{ratio:.2f}" for ratio in several)
    print(
        f"\nTogether against one daemon: {ratios} (goal {GOAL_TOGETHER}); one against SQLite {of_sqlite:.2f} "
        f"(goal {GOAL_OF_SQLITE}): {'met' if is_met else 'missed'}."
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
