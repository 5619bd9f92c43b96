"""The journal's tables as a move sees them: columns, keys, and the statements that read and fill them.

Both databases are read in the order of the primary key, byte by byte, whatever the collation of either. A row comes as
a tuple of int, str, bytes and None: a boolean is 0 or 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    bindparam,
    func,
    make_url,
    select,
    tuple_,
)
from sqlalchemy import cast as sql_cast

from memmcp_server.adapters.sql_journal.schema import (
    audit,
    head,
    keys,
    links,
    marks,
    memories,
    metadata,
    policies,
    trajectories,
)

Row = tuple[Any, ...]

SQLITE: Final = make_url("sqlite://").get_dialect()()
POSTGRESQL: Final = make_url("postgresql+psycopg://").get_dialect()()

SETTLED = (memories, keys, trajectories, links, marks, audit, policies)
"""Every commit that changes one of these moves the head: as long as the head is the same, they are."""

UNSETTLED = tuple(table for name, table in sorted(metadata.tables.items()) if table not in (*SETTLED, head))
"""All others: they change without it (a delivery, a cursor), so a repeat copies them anew."""


@dataclass(frozen=True)
class Layout:
    table: Table

    @property
    def name(self) -> str:
        return self.table.name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.table.c.keys())

    @cached_property
    def key_places(self) -> tuple[int, ...]:
        return tuple(self.columns.index(column.name) for column in self.table.primary_key)

    @cached_property
    def byte_places(self) -> frozenset[int]:
        return frozenset(n for n, column in enumerate(self.table.c) if isinstance(column.type, LargeBinary))

    @cached_property
    def source_sql(self) -> str:
        """All rows of a SQLite journal."""
        return _compiled(select(*self.table.c).order_by(*self.table.primary_key), SQLITE)

    @cached_property
    def source_after_sql(self) -> str:
        """Those after a key; its parts are the parameters."""
        names = [column.name for column in self.table.primary_key]
        is_after = tuple_(*self.table.primary_key) > tuple_(*(bindparam(name) for name in names))
        query = select(*self.table.c).where(is_after).order_by(*self.table.primary_key)
        return _compiled(query, SQLITE)

    @cached_property
    def count_sql(self) -> str:
        return _compiled(select(func.count()).select_from(self.table), SQLITE)

    @cached_property
    def target_sql(self) -> str:
        shown = [sql_cast(c, Integer) if isinstance(c.type, Boolean) else c for c in self.table.c]
        order = [_by_bytes(column) for column in self.table.primary_key]
        return _compiled(select(*shown).order_by(*order), POSTGRESQL)

    @cached_property
    def copy_sql(self) -> str:
        columns = ", ".join(f'"{name}"' for name in self.columns)
        return f'COPY "{self.name}" ({columns}) FROM STDIN'

    def key_of(self, row: Sequence[Any]) -> Row:
        return tuple(row[place] for place in self.key_places)

    def key_text(self, row: Sequence[Any]) -> str:
        """Return the key as it is kept and shown: a JSON array, bytes as hex."""
        return orjson.dumps([part.hex() if isinstance(part, bytes) else part for part in self.key_of(row)]).decode()

    def read_key(self, text: str) -> Row:
        """Return the key that ``key_text`` wrote."""
        parts = zip(self.key_places, orjson.loads(text), strict=True)
        return tuple(bytes.fromhex(part) if place in self.byte_places else part for place, part in parts)

    def lines(self, rows: Sequence[Row]) -> bytes:
        """Return the rows in the form that is compared: each a JSON array on a line of its own, bytes as hex."""
        if self.byte_places:
            rows = [tuple(each.hex() if isinstance(each, bytes) else each for each in row) for row in rows]
        return b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows])


def _by_bytes(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # SQLite compares bytes; a server's own collation would order, and could even equate, otherwise.
    return column.collate("C") if isinstance(column.type, String) else column


def _compiled(query: Select[Any], dialect: Dialect) -> str:
    return str(query.compile(dialect=dialect))


SETTLED_LAYOUTS = tuple(Layout(table) for table in SETTLED)
UNSETTLED_LAYOUTS = tuple(Layout(table) for table in UNSETTLED)
HEAD = Layout(head)
LAYOUTS = (*SETTLED_LAYOUTS, *UNSETTLED_LAYOUTS)
"""All but the head, which is written last."""
