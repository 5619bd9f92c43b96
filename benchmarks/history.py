"""How fast the history of equity is answered when the desk has marked its account every second for a year.

31.5 million marks are generated into the journal of a real desk and folded by what folds them in the daemon. Then the
route is asked, over the application as it is served: the time is from the request to the whole answer.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import sqlalchemy as sa
from tests.doubles.clocks import SystemClock
from tests.support.stage import staged

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.trading_desk import open_desk
from memmcp_server.config import JournalSection, Sections, TradingSection
from trading.adapters.mark_buckets import SINK, MarkBuckets
from trading.adapters.sql_journal import JournalStore

YEAR_S = 365 * 86_400
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
GOAL_MS = 100.0
ASKED = 30
ROWS_AT_ONCE = 500_000
MONTH = "a month at hourly resolution"
QUIET = {"TRADING_PAPER__SPEED": "0.000001"}
"""The desk itself stands still: only what is generated is asked for."""

GENERATED = sa.text(
    """
    WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
    INSERT INTO rows (run, seq, ts_ns, kind, body)
    SELECT :run, i - :below, :began + i * 1000000000, 'cycle_marked', CAST(printf(
        '{"cash_lamports":%d,"cycle":%d,"drawdown_bps":%d,"equity_lamports":%d,"exposure_lamports":%d,'
        || '"sol_usd":"%d.%02d","state":"ACTIVE","ts_ns":%d}',
        1000000000, i, i % 311, 2000000000 + (i * 7919) % 1000003 - (i % 40007 = 0) * 150000000, 1000000000,
        150 + i % 50, i % 100, :began + i * 1000000000) AS BLOB)
    FROM n
    """
)


def generate(path: Path, run: int, seconds: int) -> float:
    """Write a mark a second, numbered below the run's own rows, which stay as they are. Return the seconds it took."""
    began_s = time.perf_counter()
    with closing(JournalStore.at(path)) as store:
        for first in range(0, seconds, ROWS_AT_ONCE):
            given = {
                "first": first,
                "last": min(seconds, first + ROWS_AT_ONCE) - 1,
                "run": run,
                "below": seconds + 1,
                "began": int(BEGAN.timestamp()) * 10**9,
            }
            with store.writing(syncs_later=True) as connection:
                connection.execute(GENERATED, given)
        with store.writing() as connection:
            place = {"run": run, "sink": SINK, "seq": -seconds - 2}
            connection.execute(sa.text("INSERT OR REPLACE INTO cursors VALUES (:run, :sink, :seq)"), place)
    return time.perf_counter() - began_s


def fold(path: Path, run: int) -> tuple[int, float]:
    """Fold all of it as the daemon does, without its pauses; return how many marks and the seconds."""
    began_s, folded = time.perf_counter(), 0
    with closing(JournalStore.at(path)) as store:
        buckets = MarkBuckets(store, run)
        while count := buckets.fold():
            folded += count
    return folded, time.perf_counter() - began_s


async def asked(http: httpx2.AsyncClient, query: dict[str, str]) -> tuple[list[float], int]:
    """Return how long each answer took in milliseconds, and how many points one has."""
    took: list[float] = []
    points = 0
    for _ in range(ASKED):
        began_s = time.perf_counter()
        answer = await http.get("/telemetry/trading/history", params=query)
        took.append((time.perf_counter() - began_s) * 1_000)
        answer.raise_for_status()
        points = len(answer.json()["points"])
    return took, points


def questions(seconds: int) -> dict[str, dict[str, str]]:
    end = BEGAN + timedelta(seconds=seconds)
    middle = BEGAN + timedelta(seconds=seconds // 2)

    def span(since: datetime, until: datetime, resolution_s: int | None) -> dict[str, str]:
        bounds = {"since": since.isoformat(), "until": until.isoformat()}
        return bounds if resolution_s is None else {**bounds, "resolution": str(resolution_s)}

    return {
        MONTH: span(middle, middle + timedelta(days=31), 3_600),
        "an hour, every second": span(middle, middle + timedelta(hours=1), 1),
        "a day by 2 minutes": span(middle, middle + timedelta(days=1), 120),
        "a week by a quarter of an hour": span(middle, middle + timedelta(days=7), 900),
        "a year by days": span(BEGAN, end, 86_400),
        "a year, as fine as fits": span(BEGAN, end, None),
    }


async def run(folder: Path, seconds: int) -> int:
    sections = Sections(data_dir=folder, trading=TradingSection(feed="synthetic:3"))
    path = folder / "trading" / "journal.db"
    async with AsyncExitStack() as stack:
        memory = folder / "memory"
        memory.mkdir()
        journal = await stack.enter_async_context(open_journal(JournalSection(), memory, SystemClock()))
        desk = await stack.enter_async_context(open_desk(QUIET, sections, journal, RuleScanner()))
        number = 1
        wrote_s = await asyncio.to_thread(generate, path, number, seconds)
        folded, folded_s = await asyncio.to_thread(fold, path, number)
        house = folder / "stage"
        house.mkdir()
        stage = await stack.enter_async_context(staged(house, real_desk=desk))
        print(
            f"{folded:,} marks, one a second, {path.stat().st_size / 1e9:.1f} GB of journal; generated in "
            f"{wrote_s:.0f} s, folded in {folded_s:.0f} s ({folded / folded_s:,.0f} a second).\n"
        )
        print("| asked for | points | median ms | 95 % ms | first ms |\n|---|---|---|---|---|")
        middle_ms = 0.0
        for name, query in questions(seconds).items():
            took, points = await asked(stage.http, query)
            p95, median = statistics.quantiles(took, n=20)[-1], statistics.median(took)
            print(f"| {name} | {points:,} | {median:.1f} | {p95:.1f} | {took[0]:.1f} |")
            middle_ms = median if name == MONTH else middle_ms
        verdict = "within" if middle_ms < GOAL_MS else "beyond"
        print(f"\n{MONTH}: {middle_ms:.1f} ms at the median, {verdict} the goal of {GOAL_MS:.0f} ms.")
        return int(middle_ms >= GOAL_MS)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=YEAR_S, help="How long the desk has been at it.")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="mm-history-") as folder:
        return asyncio.run(run(Path(folder), arguments.seconds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
