"""The move of a journal from SQLite to PostgreSQL: how long it takes, how much memory, and whether both are equal.

The journal is filled through its own door: memories with tags, metadata and keys, some with a later version, each tenth
a step of a trajectory, and all of them still in the outbox. The server runs beside it on the same cores and disk, with
fsync. The move is a process of its own, whose greatest memory is told. Goals: equal; below 256 MiB at any size.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from pydantic import SecretStr

from memmcp_server.adapters.journal_move import Move, Progress, open_source, open_target
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.sql_journal.engines import place_of
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.lifecycle import UpdateMemory
from memmcp_server.domain.memory import MemoryDraft, Provenance
from memmcp_server.ports import Journal

from .filling import TS_NS, WallClock, text_of

MEMORIES = 200_000
GOAL_MIB = 256
COMMIT = 250
IN_FLIGHT = 4
UPDATE_EACH = 20
STEP_EACH = 10
STEPS_OF_ONE = 50
STAGES = ("checking", "copying", "indexing", "comparing")
BY = Provenance(agent="bench", session="s1", tool="memory_write")


def draft(number: int) -> MemoryDraft:
    trajectory = TrajectoryId(f"t-{number // STEPS_OF_ONE}") if number % STEP_EACH == 0 else None
    return MemoryDraft(
        content=text_of(number),
        key=f"key-{number}",
        namespace=Namespace(f"team/{number % 16}"),
        ts_event_ns=TS_NS + number,
        provenance=BY,
        tags=("bench", f"t{number % 7}"),
        metadata={"number": number, "source": "bench"},
        trajectory_id=trajectory,
    )


async def _fill(journal: Journal, count: int) -> None:
    async def write(first: int) -> None:
        numbers = range(first, min(first + COMMIT, count))
        written = await journal.commit([draft(number) for number in numbers])
        changed = [each for number, each in zip(numbers, written, strict=True) if number % UPDATE_EACH == 0]
        updates = [UpdateMemory(each.id, f"again {each.seq}", BY, content=f"again {each.seq}") for each in changed]
        await journal.commit(updates)

    for start in range(0, count, COMMIT * IN_FLIGHT):
        await asyncio.gather(*(write(start + COMMIT * n) for n in range(IN_FLIGHT) if start + COMMIT * n < count))


async def fill(directory: Path, count: int) -> None:
    async with open_journal(JournalSection(), directory, WallClock()) as journal:
        await _fill(journal, count)


def _peak_mib() -> float:
    """Return the greatest memory of this process. Not ``ru_maxrss``: that begins with what its parent had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def move(directory: Path, url: str) -> dict[str, object]:
    """Move and return the seconds of each stage, the rows, whether both are equal, and the memory's peak in MiB."""
    seconds: dict[str, float] = defaultdict(float)
    last = ["", time.monotonic()]

    def told(progress: Progress) -> None:
        now = time.monotonic()
        seconds[str(last[0])] += now - float(last[1])
        last[:] = [progress.stage, now]

    place = place_of(JournalSection(url=SecretStr(url)), directory)
    with open_source(directory / "journal.db") as source, open_target(place) as target:
        moved = Move(source, target, told).run()
    seconds[str(last[0])] += time.monotonic() - float(last[1])
    peak = _peak_mib()
    stages = {stage: seconds[stage] for stage in STAGES}
    return {"stages": stages, "rows": moved.rows, "equal": moved.is_equal, "peak_mib": peak}


def _moved_apart(directory: Path, url: str) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.journal_move", "--move", str(directory)]
    ended = subprocess.run(command, input=url, capture_output=True, text=True, check=True)
    answer: dict[str, object] = json.loads(ended.stdout)
    return answer


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=MEMORIES)
    parser.add_argument("--move", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.move is not None:
        print(json.dumps(move(options.move, sys.stdin.read())))
        return 0
    # The server comes from a package of the tests.
    from tests.support.postgres import running_postgres

    with tempfile.TemporaryDirectory(prefix="memmcp-bench-") as name, running_postgres() as server:
        server.execute("ALTER SYSTEM SET fsync = on")
        server.execute("SELECT pg_reload_conf()")
        directory = Path(name)
        began = time.monotonic()
        asyncio.run(fill(directory, options.memories))
        filling_s = time.monotonic() - began
        size_mib = (directory / "journal.db").stat().st_size / 2**20
        found = _moved_apart(directory, server.url(server.new_database()))
    return _report(options.memories, filling_s, size_mib, found)


def _report(memories: int, filling_s: float, size_mib: float, found: dict[str, object]) -> int:
    stages: dict[str, float] = found["stages"]  # type: ignore[assignment]
    rows, peak = int(str(found["rows"])), float(str(found["peak_mib"]))
    total = sum(stages.values())
    print(f"{memories:,} memories, {rows:,} rows, {size_mib:,.0f} MiB, filled in {filling_s:.0f} s\n")
    print("| stage | s | rows/s |\n|---|---:|---:|")
    for stage, seconds in stages.items():
        print(f"| {stage} | {seconds:.1f} | {rows / seconds:,.0f} |" if seconds else f"| {stage} | 0 | - |")
    print(f"| all | {total:.1f} | {rows / total:,.0f} |\n")
    is_met = bool(found["equal"]) and peak < GOAL_MIB
    print(f"Equal: {'yes' if found['equal'] else 'NO'}. Peak of the move's process: {peak:.0f} MiB (goal {GOAL_MIB}).")
    print(f"\n{'meets' if is_met else 'misses'} its goals")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
