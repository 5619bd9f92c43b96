"""Rows as a file that is sent while it is made: CSV that no spreadsheet takes for formulas, or JSON."""

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from starlette.responses import StreamingResponse

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would work out instead of showing it."""

FileFormat = Literal["csv", "json"]
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """``columns`` in their order; ``texts`` are those that hold words of others, or names, and never figures."""

    name: str
    columns: tuple[str, ...]
    texts: frozenset[str]

    def cells(self, row: Row) -> list[Any]:
        """Return a row's cells for CSV. A text that could be a formula gets an apostrophe before it."""
        return [_quoted(row.get(name)) if name in self.texts else row.get(name) for name in self.columns]

    def document(self, row: Row) -> dict[str, Any]:
        """Return a row for JSON, where nothing is worked out and texts stay as they are."""
        return {name: row.get(name) for name in self.columns}


def _quoted(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


async def download(
    table: Table, wanted: FileFormat, pages: AsyncIterator[Sequence[Row]], about: Row, now: datetime
) -> StreamingResponse:
    """Return the answer that sends the pages as they come; only one of them is held at a time.

    The first page is fetched before the answer begins, so that what is wrong with the request is an error and no file.
    ``about`` is told in JSON beside the rows.
    """
    first = await anext(pages, ())
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    made = _csv(table, first, pages) if wanted == "csv" else _json(table, first, pages, {**about, "at": stamp})
    media_type = "text/csv; charset=utf-8" if wanted == "csv" else "application/json"
    name = f"memmcp-{table.name}-{stamp}.{wanted}"
    return StreamingResponse(
        made, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


async def _csv(table: Table, first: Sequence[Row], pages: AsyncIterator[Sequence[Row]]) -> AsyncIterator[str]:
    yield _lines([list(table.columns), *map(table.cells, first)])
    async for page in pages:
        yield _lines(list(map(table.cells, page)))


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


async def _json(
    table: Table, first: Sequence[Row], pages: AsyncIterator[Sequence[Row]], about: Row
) -> AsyncIterator[str]:
    yield f'{json.dumps({**about, "table": table.name})[:-1]}, "rows": ['
    separator = ""
    if first:
        yield _objects(table, first)
        separator = ",\n"
    async for page in pages:
        if page:
            yield separator + _objects(table, page)
            separator = ",\n"
    yield "]}\n"


def _objects(table: Table, page: Sequence[Row]) -> str:
    return ",\n".join(json.dumps(table.document(row), ensure_ascii=False) for row in page)
