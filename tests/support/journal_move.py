"""A journal with everything in it that a journal can hold, and ways to look at one beside the code under test."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from memmcp_server.adapters.journal_move import Move, Progress, open_source, open_target
from memmcp_server.adapters.sql_journal.engines import place_of
from memmcp_server.adapters.sql_journal.schema import metadata
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.lifecycle import (
    ForgetMemory,
    LinkKind,
    LinkMemories,
    MarkKind,
    MarkMemory,
    MergeMemory,
    RestoreMemory,
    SetPolicy,
    UpdateMemory,
)
from memmcp_server.domain.memory import Provenance, Trust
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.ports import JournalCommand
from tests.support.journals import T0_NS, Bench, a_draft, sqlite_bench

ME = Provenance("désk é", "s\tes", "tool", "a\\b", Trust.SYSTEM)
ODD_TEXTS = (
    "plain",
    "tab\tand\nline\r\nends \\N \\. \\x00 \\\\",
    "\\.\n",
    "🚀 ñ 漢字 \u202eright to left\u202c \ufffe \U0010ffff",
    "e\u0301 is not \u00e9",
    "\x01\x08\x0b\x1f\x7f\x85",
    "'quotes\" and {braces} %s %(x)s ? :x $1",
    " leading and trailing \u00a0",
    "x" * 60_000,
)
ODD_NAMES = ("b", "B", "a b", "a-b", "ab", "á", "ab\u0301", "Z", "z", "_", "9", "10", "漢", "\U0001f680")
"""Which a collation would order otherwise than their bytes."""

LARGEST = {"most": 2**63 - 1, "least": -(2**63), "float": 1e300, "tiny": 5e-324, "minus": -0.0, "nul": "a\x00b"}


def commands() -> list[JournalCommand]:
    """Return what needs nothing that is there before."""
    found: list[JournalCommand] = [
        a_draft(text, f"odd {number}", metadata={"of": text[:90], **LARGEST}, tags=("a", "é"))
        for number, text in enumerate(ODD_TEXTS)
    ]
    found += [a_draft(f"in {name}", namespace=f"n/{name}", provenance=ME) for name in ODD_NAMES]
    found += [
        OpenTrajectory(TrajectoryId(n), Namespace("n"), "k", f"T {n}", n, T0_NS, provenance=ME) for n in ODD_NAMES
    ]
    found += [a_draft(f"step {n}", trajectory_id=name) for n, name in enumerate(ODD_NAMES * 5)]
    found += [RecordSnapshot("local", f"k{n}", T0_NS + n, {"equity": n, "at": "é"}) for n in range(40)]
    times = {"expires_at_ns": 2**63 - 1, "valid_from_ns": -(2**63), "valid_to_ns": T0_NS, "pinned": True}
    found.append(a_draft("with times", importance=99, embed=False, **times))
    return found


async def fill(bench: Bench, plain: int) -> None:
    """Write every kind of thing, and do to it what can be done."""
    journal, clock = bench.journal, bench.clock
    await journal.commit([a_draft(f"memory {number}", tags=(f"t{number % 3}",)) for number in range(plain)])
    clock.advance(5)
    written = await journal.commit(commands())
    ids = [each.id for each in written]
    updates = [UpdateMemory(ids[n], f"u{n}", ME, content=f"new text of {n}", tags=("new",)) for n in range(6)]
    for update in updates:
        clock.advance(1)
        await journal.commit([update])
    await journal.commit([a_draft("newer", supersedes=(ids[7],), cites=(ids[8],), trajectory_id="ab")])
    one, two, three, four, five = [
        each.id for each in await journal.commit([a_draft(f"of the five {number}") for number in range(5)])
    ]
    await journal.commit([MergeMemory(one, two, "the same", ME), RestoreMemory(one, "not the same", ME)])
    await journal.commit([LinkMemories(LinkKind.CONTRADICTS, two, three, ME), ForgetMemory(four, "wished so", ME)])
    await journal.commit([MarkMemory(five, MarkKind.CREDIT, name, -(2**63) + 1) for name in ODD_NAMES])
    await journal.commit([SetPolicy(f"n/{name}", {"legal_hold": name}, ME) for name in ODD_NAMES])
    await journal.commit(
        [
            CloseTrajectory(
                TrajectoryId("ab"), "won", "it is over", T0_NS + 9, provenance=ME, reward=2**62, reward_unit="SOL"
            )
        ]
    )
    for number, name in enumerate(ODD_NAMES):
        await journal.save_cursor(name, written[number].seq)
    due = await journal.outbox_due("qdrant", now_ns=clock.now_ns(), limit=60)
    await journal.outbox_delivered([entry.id for entry in due[:30]])
    await journal.outbox_failed([entry.id for entry in due[30:40]], error="poison \\N\t", retry_at_ns=None)
    await journal.outbox_failed([entry.id for entry in due[40:50]], error="later", retry_at_ns=clock.now_ns() + 10**12)


async def make_source(directory: Path, plain: int) -> Path:
    async with sqlite_bench(directory) as bench:
        await fill(bench, plain)
    return directory / "journal.db"


@contextmanager
def moving(source: Path, url: str, **options: Any) -> Iterator[Move]:
    place = place_of(JournalSection(url=SecretStr(url)), source.parent)
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source))
        yield Move(opened, stack.enter_context(open_target(place)), **options)


class Stop(Exception):
    """Ends a migration from within, as a lost connection would."""


class StopAt:
    """Raises at the n-th event."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, _progress: Progress) -> None:
        self._left -= 1
        if self._left == 0:
            raise Stop


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of a SQLite journal, read with the driver alone, sorted in Python."""
    with closing(sqlite3.connect(path)) as db:
        return {name: _sorted(db.execute(f'SELECT * FROM "{name}"')) for name in metadata.tables}


def rows_on(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of a journal on PostgreSQL in the same way."""
    with psycopg.connect(url) as db:
        return {
            name: _sorted(db.execute(f'SELECT {_columns(name)} FROM "{name}"'.encode())) for name in metadata.tables
        }


def _columns(name: str) -> str:
    return ", ".join(f'"{column.name}"' for column in metadata.tables[name].c)


def _sorted(rows: Any) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in rows), key=repr)
