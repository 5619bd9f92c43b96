"""The hot statements, compiled once per engine to the driver's own SQL with positional parameters.

A batch is bound row by row; the general path of SQLAlchemy would spend more on that than the database does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Connection, Dialect, Table, bindparam, cast, delete, func, insert, select, update

from .schema import (
    CHANNEL,
    audit,
    cursors,
    head,
    keys,
    links,
    marks,
    memories,
    outbox,
    policies,
    snapshots,
    trajectories,
)

Row = tuple[Any, ...]
LOOKUP_LEN_MAX = 400
"""Values in one IN list; SQLite allows 999 parameters in its oldest supported form."""


@dataclass(frozen=True, slots=True)
class Statements:
    """SQL text by use. Parameters come in the order of the table's columns, or as each field says."""

    insert_memories: str
    insert_keys: str
    insert_trajectories: str
    insert_snapshots: str
    insert_outbox: str
    read_head: str
    """On a server with its time, in nanoseconds, as the last column."""
    write_head: str
    """seq, outbox_id, known_at_ns, memories. On a server it tells the other daemons, once the commit is done."""
    supersede: str
    """superseded_at_ns, id, version."""
    close_trajectory: str
    """metadata, closed_at_ns, outcome, reward, reward_unit, id."""
    insert_audit: str
    insert_links: str
    """A link that had ended holds again."""
    insert_marks: str
    """One that is there stays as it is."""
    end_links: str
    """ended_at_ns, to_id, kind."""
    write_policy: str
    delete_policy: str
    write_cursor: str
    """name, seq, updated_at_ns; a cursor never goes back."""
    deletes: tuple[str, ...]
    """Each ends in ``IN`` of memory ids."""
    placeholder: str
    is_shared: bool
    """Other daemons may write too."""
    lookups: dict[tuple[str, int], str] = field(default_factory=dict)


def compile_statements(dialect: Dialect) -> Statements:
    is_shared = dialect.name == "postgresql"
    closing = ("metadata", "closed_at_ns", "outcome", "reward", "reward_unit")
    now = [cast(func.extract("epoch", func.clock_timestamp()) * 1_000_000_000, BigInteger)] if is_shared else []
    return Statements(
        insert_memories=_insert(memories, dialect),
        insert_keys=_insert(keys, dialect),
        insert_trajectories=_insert(trajectories, dialect),
        insert_snapshots=_insert(snapshots, dialect),
        insert_outbox=_insert(outbox, dialect),
        read_head=str(
            select(head.c.seq, head.c.outbox_id, head.c.known_at_ns, head.c.memories, head.c.instance_id, *now)
            .with_for_update()
            .compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        ),
        write_head=_update(head, ("seq", "outbox_id", "known_at_ns", "memories"), (), dialect)
        + (f" RETURNING pg_notify('{CHANNEL}', seq::text)" if is_shared else ""),
        supersede=_update(memories, ("superseded_at_ns",), ("id", "version"), dialect),
        close_trajectory=_update(trajectories, closing, ("id",), dialect),
        insert_audit=_insert(audit, dialect),
        insert_links=_insert(links, dialect)
        + " ON CONFLICT (from_id, kind, to_id) DO UPDATE SET ended_at_ns = NULL, to_version = excluded.to_version",
        insert_marks=_insert(marks, dialect) + " ON CONFLICT (memory_id, kind, source) DO NOTHING",
        end_links=_update(links, ("ended_at_ns",), ("to_id", "kind"), dialect) + " AND ended_at_ns IS NULL",
        write_policy=_insert(policies, dialect)
        + " ON CONFLICT (namespace) DO UPDATE SET policy = excluded.policy, updated_at_ns = excluded.updated_at_ns",
        delete_policy=str(delete(policies).where(policies.c.namespace == bindparam("by")).compile(dialect=dialect)),
        write_cursor=_insert(cursors, dialect)
        + " ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, updated_at_ns = excluded.updated_at_ns"
        " WHERE cursors.seq < excluded.seq",
        deletes=(
            "DELETE FROM memories WHERE id",
            "DELETE FROM keys WHERE memory_id",
            "DELETE FROM trajectories WHERE id",
            "DELETE FROM marks WHERE memory_id",
        ),
        placeholder="?" if dialect.paramstyle == "qmark" else "%s",
        is_shared=is_shared,
    )


def execute_rows(connection: Connection, sql: str, rows: Sequence[Row]) -> None:
    """Run the statement once per row, in one call of the driver."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        # Straight to the driver: half a dozen statements a batch would cost each row more than its own insert does.
        cursor = connection.connection.cursor()
        cursor.executemany(sql, rows)
        cursor.close()
    else:
        connection.exec_driver_sql(sql, rows if len(rows) > 1 else rows[0])


def fetch(connection: Connection, sql: str, parameters: Row) -> list[Row]:
    """Return the rows of a query."""
    if connection.dialect.name != "sqlite":
        return [tuple(row) for row in connection.exec_driver_sql(sql, parameters)]
    cursor = connection.connection.cursor()
    cursor.execute(sql, parameters)
    rows = [tuple(row) for row in cursor.fetchall()]
    cursor.close()
    return rows


def look_up(connection: Connection, statements: Statements, sql: str, values: Sequence[Any]) -> list[Row]:
    """Return the rows of a query that ends in ``IN (...)`` for the distinct values, a few hundred at a time."""
    found: list[Row] = []
    for text, parameters in _chunks(statements, sql, values):
        found.extend(fetch(connection, text, parameters))
    return found


def run_for(connection: Connection, statements: Statements, sql: str, values: Sequence[Any]) -> None:
    """Run a statement that ends in ``IN (...)`` for the distinct values, a few hundred at a time."""
    for text, parameters in _chunks(statements, sql, values):
        connection.exec_driver_sql(text, parameters)


def _chunks(statements: Statements, sql: str, values: Sequence[Any]) -> Iterator[tuple[str, Row]]:
    """Yield statement and parameters; the list is padded to a power of two with its last value, so that few different
    statements are prepared.
    """
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), LOOKUP_LEN_MAX):
        chunk = distinct[start : start + LOOKUP_LEN_MAX]
        padded = min(1 << (len(chunk) - 1).bit_length(), LOOKUP_LEN_MAX)
        text = statements.lookups.get((sql, padded))
        if text is None:
            places = ", ".join([statements.placeholder] * padded)
            text = statements.lookups[(sql, padded)] = f"{sql} IN ({places})"
        yield text, (*chunk, *([chunk[-1]] * (padded - len(chunk))))


def _insert(table: Table, dialect: Dialect) -> str:
    return str(insert(table).values({column: bindparam(column.name) for column in table.c}).compile(dialect=dialect))


def _update(table: Table, changed: Sequence[str], by: Sequence[str], dialect: Dialect) -> str:
    statement = update(table).values({name: bindparam(f"new_{name}") for name in changed})
    for name in by:
        statement = statement.where(table.c[name] == bindparam(f"by_{name}"))
    return str(statement.compile(dialect=dialect))
