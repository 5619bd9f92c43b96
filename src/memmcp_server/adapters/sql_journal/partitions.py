"""History in parts: on a server, snapshots and the audit lie in one table a month, by when they were written.

Those times never go back, so a new row is always in the newest parts, and old ones are read and vacuumed by themselves.
What was there before there were parts is one part, ``_first``; what no part is made for (a clock that ran ahead) goes
into ``_rest``. Parts are made ahead. Writers wait for no step longer than ``LOCK_TIMEOUT_MS``: one that finds a long
reader in its way gives up, and is done in a later round. Each step is one transaction, and a repeat goes on.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from memmcp_server.domain.times import NS_PER_S, from_ns
from memmcp_server.ports import Clock

from .engines import LIVELINESS, Place
from .schema import HISTORY
from .translate import translating

MONTHS_AHEAD: Final = 3
"""Parts are there for this month and the next two."""

FIRST_MONTHS: Final = 2
"""What was there before there were parts takes rows until the end of next month: time enough to look it through."""

LOCK_TIMEOUT_MS: Final = 1_000
LOCK_NUMBER: Final = 0x6D656D_6D6372
"""Advisory lock under which one daemon at a time makes parts."""

MOVED_MAX: Final = 50_000
"""So many rows at most are moved out of ``_rest`` at once, while writers wait."""

_PARTS = text(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = to_regclass(:parent)"
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """``until_ns`` None: the part that takes what no other does."""

    name: str
    until_ns: int | None


class Partitions:
    """Blocks: call it from a thread. It has connections of its own, so that nobody waits for what takes long."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._shown = place.shown
        self._clock = clock
        named = {**LIVELINESS, "application_name": "memmcp (parts)"}
        self._engine = create_engine(place.url, poolclass=NullPool, connect_args=named, hide_parameters=True)

    def keep(self) -> None:
        """Divide what is not divided yet, make the parts of the months to come, and drop old ones that hold nothing.

        Raises: JournalBusy (somebody reads for long), JournalUnavailable, StorageFull.
        """
        with translating(self._shown), self._engine.connect() as connection:
            locked = text("SELECT pg_try_advisory_lock(:number)")
            if not connection.execute(locked, {"number": LOCK_NUMBER}).scalar_one():
                return  # another daemon is at it; the lock goes with its connection
            connection.commit()
            for table, column in HISTORY.items():
                self._keep_one(connection, table, column)

    def _keep_one(self, connection: Connection, table: str, column: str) -> None:
        now_ns = self._now_ns(connection)
        parts = _parts(connection, table)
        if not parts:
            return
        if any(part.until_ns is None and part.name == f"{table}_first" for part in parts):
            self._settle(connection, table, column, now_ns)
            parts = _parts(connection, table)
        reached = max(part.until_ns for part in parts if part.until_ns is not None)
        while reached < month_after(now_ns, MONTHS_AHEAD):
            until = month_after(reached, 1)
            _make(connection, table, column, reached, until)
            reached = until
        for part in parts:
            if part.until_ns is not None and part.until_ns <= month_after(now_ns, -1):
                _drop_if_empty(connection, part.name)

    def _now_ns(self, connection: Connection) -> int:
        """Return the time that the next commit will have at least: as for that, never ahead of the server's own."""
        with _step(connection):
            query = text("SELECT max(known_at_ns), extract(epoch FROM clock_timestamp()) * 1000000000 FROM head")
            known, server_ns = connection.execute(query).one()
        return max(min(self._clock.now_ns(), int(server_ns)), known or 0)

    def _settle(self, connection: Connection, table: str, column: str, now_ns: int) -> None:
        """Make one bounded part of what was there before there were parts; it takes the rows of the next weeks too.

        The check that proves its bound is looked through while everybody writes; the change itself reads nothing.
        """
        first, check = f"{table}_first", f"{table}_first_until"
        until_ns = _proven(connection, check)
        if until_ns is None or until_ns < month_after(now_ns, FIRST_MONTHS - 1):
            until_ns = month_after(now_ns, FIRST_MONTHS)
            with _step(connection):
                # Also after a kill between the steps: a check of long ago would refuse what is written now.
                connection.execute(text(f"ALTER TABLE {first} DROP CONSTRAINT IF EXISTS {check}"))
                bound = f"ADD CONSTRAINT {check} CHECK ({column} < {until_ns}) NOT VALID"
                connection.execute(text(f"ALTER TABLE {first} {bound}"))
            with _step(connection):
                connection.execute(text(f"ALTER TABLE {first} VALIDATE CONSTRAINT {check}"))
        with _step(connection):
            connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {first}"))
            attach = f"ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ({until_ns})"
            connection.execute(text(f"ALTER TABLE {table} {attach}"))
            connection.execute(text(f"ALTER TABLE {first} DROP CONSTRAINT {check}"))
            _create(connection, table, f"{table}_rest")
            connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {table}_rest DEFAULT"))
        logger.info("%s is kept in parts by the month from %s on", table, from_ns(until_ns).date())


def month_after(now_ns: int, months: int) -> int:
    """Return when the month begins, in UTC, that lies so many after the one of ``now_ns``."""
    now = from_ns(now_ns)
    number = now.year * 12 + now.month - 1 + months
    return int(datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S


@contextmanager
def _step(connection: Connection) -> Iterator[None]:
    with connection.begin():
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        yield


def _parts(connection: Connection, table: str) -> list[Part]:
    with _step(connection):
        rows = connection.execute(_PARTS, {"parent": table}).all()
    return [Part(name, None if bound == "DEFAULT" else _until(bound)) for name, bound in rows]


def _proven(connection: Connection, check: str) -> int | None:
    """Return the bound that every row of a first part was found to keep, None where that is not known."""
    query = text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name AND convalidated")
    with _step(connection):
        found = connection.execute(query, {"name": check}).scalar()
    digits = re.search(r"[0-9]{18,}", found or "")
    return None if digits is None else int(digits.group())


def _until(bound: str) -> int:
    """Return the upper end of ``FOR VALUES FROM ('1') TO ('2')``."""
    return int(bound.rpartition("TO (")[2].strip("')"))


def _make(connection: Connection, table: str, column: str, since_ns: int, until_ns: int) -> None:
    """Make the part of a month, with the rows of it that had gone into the rest meanwhile."""
    name, rest = f"{table}_{from_ns(since_ns):%Y_%m}", f"{table}_rest"
    inside = f"{column} >= {since_ns} AND {column} < {until_ns}"
    with _step(connection):
        strayed = connection.execute(text(f"SELECT count(*) FROM {rest} WHERE {inside}")).scalar_one()  # noqa: S608
        if strayed > MOVED_MAX:
            logger.warning(
                "%d rows of %s stay in %s, which is too many to move while others write", strayed, name, rest
            )
            return
        _create(connection, table, name)
        if strayed:
            moved = f"WITH moved AS (DELETE FROM {rest} WHERE {inside} RETURNING *)"  # noqa: S608
            connection.execute(text(f"{moved} INSERT INTO {name} SELECT * FROM moved"))  # noqa: S608
        attach = f"ATTACH PARTITION {name} FOR VALUES FROM ({since_ns}) TO ({until_ns})"
        connection.execute(text(f"ALTER TABLE {table} {attach}"))


def _create(connection: Connection, table: str, name: str) -> None:
    """Make an empty table that can become a part; its other indexes come with that."""
    connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS, PRIMARY KEY (seq))"))


def _drop_if_empty(connection: Connection, name: str) -> None:
    with _step(connection):
        if connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {name})")).scalar_one():  # noqa: S608
            return
        connection.execute(text(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"))
        if not connection.execute(text(f"SELECT EXISTS (SELECT 1 FROM {name})")).scalar_one():  # noqa: S608
            connection.execute(text(f"DROP TABLE {name}"))
