"""What the prices of a year come to on disk: ten tokens, a bar a minute each, thinned as the desk does it.

Bars are written as a live desk writes them, a minute of all tokens at once, with as many digits as the public sources
send. After each day what became old is taken together. Then a desk commits a row every few milliseconds, alone and
beside the thinning of days that piled up: what a commit waits for is told.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Context, Decimal
from pathlib import Path
from random import Random

import sqlalchemy as sa

from trading.adapters.bar_thinning import BarThinning
from trading.adapters.sql_journal import JournalStore
from trading.adapters.stored_bars import packed
from trading.config import BarsSection

DAY_S, MINUTE_NS = 86_400, 60 * 10**9
DAY_NS = DAY_S * 10**9
MIB = 1024 * 1024
COMMITS = 400
TIMES_MAX = 2.0
"""How much longer a commit may take beside thinning, at the median: it waits for a disk, which takes most of that."""
KEEP = "INSERT INTO kept_bars VALUES (1, ?, ?, 60000000000, 0, 1, ?)"
AS_BEFORE = "INSERT INTO bars VALUES (1, ?, ?, ?, ?)"


def rows_of_a_day(tokens: int) -> list[tuple[int, int, bytes | str, str]]:
    """Return (token, nanoseconds since midnight, figures as they are kept, figures as text), a minute of all tokens
    after the other."""
    chance, digits = Random(7), Context(prec=28)
    found = []
    for minute in range(1_440):
        for token in range(1, tokens + 1):
            level = Decimal(f"{chance.uniform(1e-6, 1e-2):.17g}")
            prices = [Decimal(f"{float(level) * chance.uniform(0.99, 1.01):.17g}") for _ in range(4)]
            volume = digits.divide(Decimal(f"{chance.uniform(1, 1e5):.17g}"), level)
            text = f"{prices[0]} {max(prices)} {min(prices)} {prices[3]} {volume}"
            kept = packed(prices[0], max(prices), min(prices), prices[3], volume)
            found.append((token, minute * MINUTE_NS, kept, text))
    return found


def begun(path: Path, tokens: int) -> JournalStore:
    store = JournalStore.at(path)
    store.start_run("year", "year", 0)
    with store.writing() as connection:
        for token in range(1, tokens + 1):
            connection.execute(sa.text("INSERT INTO mints VALUES (:n, :mint)"), {"n": token, "mint": f"{token:044d}"})
    return store


def pages(store: JournalStore) -> tuple[int, int]:
    """Return the bytes of the file and how many of them are free."""
    with store.reading() as connection:
        count, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
    return count * size, free * size


def bytes_before(folder: Path, day: Sequence[tuple[int, int, bytes | str, str]]) -> float:
    """Return what a bar took as text, with its token's name in each row."""
    store = begun(folder / "before.db", 1)
    with closing(store):
        empty, _ = pages(store)
        with store.writing() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE bars (run INTEGER NOT NULL, mint VARCHAR NOT NULL, open_ns BIGINT NOT NULL, "
                "close_ns BIGINT NOT NULL, ohlcv VARCHAR NOT NULL, PRIMARY KEY (run, mint, open_ns)) WITHOUT ROWID"
            )
            rows = [
                (f"{token:044d}", DAY_NS * 20_000 + at, DAY_NS * 20_000 + at + MINUTE_NS, text)
                for token, at, _, text in day
            ]
            connection.exec_driver_sql(AS_BEFORE, rows)
        return (pages(store)[0] - empty) / len(day)


def told(store: JournalStore, day: Sequence[tuple[int, int, bytes | str, str]], number: int) -> None:
    with store.writing(syncs_later=True) as connection:
        connection.exec_driver_sql(KEEP, [(token, DAY_NS * (20_000 + number) + at, kept) for token, at, kept, _ in day])


def year(path: Path, tokens: int, days: int, day: Sequence[tuple[int, int, bytes | str, str]]) -> Iterator[str]:
    """Yield the rows of the table: what the file comes to after so many days."""
    store = begun(path, tokens)
    with closing(store):
        empty, _ = pages(store)
        thinning, spent_s = BarThinning(store, 1, BarsSection()), 0.0
        for number in range(days):
            told(store, day, number)
            if number == 0:
                yield f"| 1 | {(pages(store)[0] - empty) / len(day):.1f} B a bar | | |"
            began_s = time.thread_time()
            for _ in thinning.round():
                pass
            spent_s += time.thread_time() - began_s
            if number + 1 in {14, 30, 90, 180, 365, 730} or number + 1 == days:
                size, free = pages(store)
                told_bytes = (number + 1) * len(day)
                yield (
                    f"| {number + 1} | {size / MIB:.1f} MiB | {free / MIB:.1f} MiB | "
                    f"{spent_s / told_bytes * 1e6:.1f} µs of a core a bar told |"
                )


def commits(store: JournalStore, until: threading.Event | None) -> list[float]:
    """Return what commits of a row each took, in ms: so many, or until the event."""
    journal, took = store.open_run(1), []
    while len(took) < COMMITS if until is None else not until.is_set():
        journal.append(1, "cycle_marked", {"cycle": len(took)})
        began_s = time.perf_counter()
        journal.commit()
        took.append((time.perf_counter() - began_s) * 1_000)
        time.sleep(0.005)
    return took


def beside(path: Path, tokens: int, day: Sequence[tuple[int, int, bytes | str, str]]) -> tuple[str, bool]:
    """Return what commits took alone and beside the thinning of days that piled up, and whether that is much more."""
    store = begun(path, tokens)
    with closing(store):
        for number in range(20):
            told(store, day, number)
        alone, is_done = commits(store, None), threading.Event()

        def thin() -> None:
            for _ in BarThinning(store, 1, BarsSection()).round():
                time.sleep(0.005)  # a tenth of the rest that the desk leaves
            is_done.set()

        worker = threading.Thread(target=thin)
        worker.start()
        along = commits(store, is_done)
        worker.join()
    texts = [
        f"{statistics.median(each):.2f} ms at the median, {statistics.quantiles(each, n=100)[98]:.2f} ms p99"
        for each in (alone, along)
    ]
    is_short = statistics.median(along) <= TIMES_MAX * statistics.median(alone)
    return f"A commit of the desk alone: {texts[0]}; beside thinning: {texts[1]}.", is_short


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10)
    parser.add_argument("--days", type=int, default=365)
    given = parser.parse_args(arguments)
    day = rows_of_a_day(given.tokens)
    with tempfile.TemporaryDirectory() as folder:
        before = bytes_before(Path(folder), day)
        print(f"{given.tokens} tokens, a bar a minute; a bar as text, its mint in each, took {before:.1f} bytes.\n")
        print("| days | file | of it free | thinning |\n|---|---|---|---|")
        for line in year(Path(folder) / "year.db", given.tokens, given.days, day):
            print(line, flush=True)
        text, is_short = beside(Path(folder) / "beside.db", given.tokens, day)
        print(f"\n{text}")
    return 0 if is_short else 1


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
