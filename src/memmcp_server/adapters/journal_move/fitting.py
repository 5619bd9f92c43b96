"""Values that SQLite holds and PostgreSQL cannot: U+0000 in a text, a text that is too long, a number out of range.

SQLite neither limits lengths nor insists on types. What this program writes fits; a file that others wrote may not.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, String

from .layout import Layout, Row

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Misfit:
    """Where a value is and what is wrong with it; never the value."""

    table: str
    key: str
    column: str
    problem: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.column} {self.problem}"


def misfits_sql(layout: Layout) -> str:
    """Return the query for rows with a value that does not fit; the parameter is how many at most."""
    cases = " ".join(f"WHEN {wrong} THEN '{column.name}|{told}'" for column, wrong, told in _rules(layout))
    keys = ", ".join(f'"{layout.columns[place]}"' for place in layout.key_places)
    # Names and rules are those of the schema; nothing of a user's is in it.
    return f'SELECT {keys}, CASE {cases} END AS misfit FROM "{layout.name}" WHERE misfit IS NOT NULL LIMIT ?'  # noqa: S608


def misfit_of(layout: Layout, found: Row) -> Misfit:
    """Return the misfit of a row of that query."""
    row: list[Any] = [None] * len(layout.columns)
    for place, part in zip(layout.key_places, found, strict=False):
        row[place] = part
    column, _, problem = str(found[-1]).partition("|")
    return Misfit(layout.name, layout.key_text(row), column, problem)


def _rules(layout: Layout) -> list[tuple[Column[Any], str, str]]:
    rules = []
    for column in layout.table.c:
        # A primary key of SQLite may hold NULL, unless it is the row's number.
        if not column.nullable:
            rules.append((column, f'"{column.name}" IS NULL', "is missing"))
        rules += [(column, wrong, told) for wrong, told in _wrongs(column)]
    return rules


def _wrongs(column: Column[Any]) -> list[tuple[str, str]]:
    """Return what can be wrong with a value, the gravest first; a later rule counts on those before."""
    name, kind = f'"{column.name}"', column.type
    if isinstance(kind, Boolean):
        return [(f"{name} NOT IN (0, 1)", "is neither 0 nor 1")]
    if isinstance(kind, Integer):
        wrong = [(f"typeof({name}) NOT IN ('integer', 'null')", "is no whole number")]
        if not isinstance(kind, BigInteger):
            wrong.append((f"{name} NOT BETWEEN {-INT32_MAX - 1} AND {INT32_MAX}", "is beyond 32 bits"))
        return wrong
    if isinstance(kind, LargeBinary):
        return [(f"typeof({name}) NOT IN ('blob', 'null')", "is no bytes")]
    wrong = [
        (f"typeof({name}) NOT IN ('text', 'null')", "is no text"),
        (f"instr({name}, char(0)) > 0", "holds U+0000"),
    ]
    if isinstance(kind, String) and kind.length is not None:
        wrong.append((f"length({name}) > {kind.length}", f"has more than {kind.length} characters"))
    return wrong
