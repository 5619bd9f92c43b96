"""Whether two journals are equal: row by row, in the order of the primary key, as each database returns its rows.

A table's digest is the SHA-256 of its rows, each a JSON array on a line of its own: numbers as they are, booleans 0 or
1, bytes as hex, NULL null. Where two digests differ, both tables are read once more beside each other and the rows
named; their contents never are.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from .layout import Layout, Row

DIFFERENCES_MAX = 5
"""So many are named of a table."""


@dataclass(frozen=True, slots=True)
class TableProof:
    name: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not the same on both sides: its key, and what is wrong with the target's."""

    table: str
    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.table} {self.key} {self.what}"


def prove(layout: Layout, chunks: Iterable[list[Row]], told: Callable[[int], object]) -> TableProof:
    """Return how many rows there are and their digest; ``told`` gets the number of each chunk."""
    digest, rows = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(layout.lines(chunk))
        rows += len(chunk)
        told(len(chunk))
    return TableProof(layout.name, rows, digest.hexdigest())


def whole_digest(tables: Iterable[TableProof]) -> str:
    """Return one digest over those of all tables."""
    lines = "".join(f"{each.name} {each.rows} {each.sha256}\n" for each in tables)
    return hashlib.sha256(lines.encode()).hexdigest()


def differences(layout: Layout, source: Iterable[list[Row]], target: Iterable[list[Row]]) -> Iterator[Difference]:
    """Yield the rows that differ, in the order of the key. Both sides come in that order."""
    ours, theirs = chain.from_iterable(source), chain.from_iterable(target)
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and layout.key_of(mine) < layout.key_of(other)):
            yield Difference(layout.name, layout.key_text(mine or ()), "is missing")
            mine = next(ours, None)
        elif mine is None or layout.key_of(other) < layout.key_of(mine):
            yield Difference(layout.name, layout.key_text(other), "is there and should not be")
            other = next(theirs, None)
        else:
            if mine != other:
                pairs = zip(layout.columns, mine, other, strict=True)
                changed = ", ".join(name for name, here, there in pairs if here != there)
                yield Difference(layout.name, layout.key_text(mine), f"differs in {changed}")
            mine, other = next(ours, None), next(theirs, None)
