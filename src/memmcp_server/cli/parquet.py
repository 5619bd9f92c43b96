"""Tables for analysis: memories, trajectories, trades and equity as Parquet, page by page, in bounded memory.

Everything comes through the daemon's doors, newest first where these give the newest first. A file is whole or not
there: it is written beside its place and moved there when it is complete.
"""

import json as jsonlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memmcp_server.errors import InvalidInput

from .client import LONG_TIMEOUT_S, Client, Failed

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX: Final = ".parquet"
ROWS_AT_ONCE: Final = 4_096
"""Rows of one group of the file, the most that is held."""

TRADES_PAGE: Final = 200
POINTS_PAGE_MIN: Final = 1_000
"""A full page of the series has at least so many points: a shorter one is the last."""

RESOLUTION_S_MAX: Final = 31 * 86_400
TINY: Final = timedelta(microseconds=1)

Row = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """What of the history is wanted, where a table takes it: ``resolution_s`` of equity, and its bounds."""

    resolution_s: int = 60
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Table:
    rows: Callable[[Client, Path, Wish], Iterator[Row]]
    columns: Callable[[], "pa.Schema"]


def export_tables(daemon: Client, names: Sequence[str], place: Path, wish: Wish) -> dict[str, int]:
    """Write each table to ``place``: its file, or one file each in a directory. Return the rows of each.

    Raises: InvalidInput (a file exists, an unknown table), Failed (it cannot be written), NoDaemon.
    """
    if not 1 <= wish.resolution_s <= RESOLUTION_S_MAX:
        msg = f"resolution is {wish.resolution_s} s; allowed are 1 to {RESOLUTION_S_MAX}"
        raise InvalidInput(msg, field="resolution")
    is_file = place.suffix == SUFFIX
    files = {name: place if is_file else place / f"{name}{SUFFIX}" for name in names}
    for file in files.values():
        if file.exists():
            msg = f"{file} exists"
            raise InvalidInput(msg, field="file", hint="name another place, or remove it")
    try:
        if not is_file:
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {name: _write(TABLES[name], daemon, file, wish) for name, file in files.items()}
    except OSError as error:
        msg = f"{place} cannot be written: {error.strerror or error}"
        raise Failed(msg) from error


def tables_of(place: Path, table: str | None) -> list[str]:
    """Return which tables go to that place: all into a directory, one into a file, named or told by the file's name.

    Raises: InvalidInput.
    """
    known = ", ".join(TABLES)
    if table is not None and table not in TABLES:
        msg = f"table is {table!r}; there are {known}"
        raise InvalidInput(msg, field="table")
    if place.suffix != SUFFIX:
        return list(TABLES) if table is None else [table]
    name = table or place.stem
    if name not in TABLES:
        msg = f"a Parquet file holds one table, and {place.name} does not say which; there are {known}"
        raise InvalidInput(msg, field="table", hint="add --table NAME, or name a directory and --parquet for all")
    return [name]


def _write(table: Table, daemon: Client, file: Path, wish: Wish) -> int:
    # Loaded here: no other command needs it.
    import pyarrow as pa
    from pyarrow import parquet

    schema, count = table.columns(), 0
    draft = file.with_name(f"{file.name}.part")
    try:
        # Private as the memories are: nobody else may read the file, whatever the umask says.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
                for rows in _grouped(table.rows(daemon, file, wish)):
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    count += len(rows)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _grouped(rows: Iterator[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == ROWS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _archived(daemon: Client, file: Path, part: str) -> Iterator[Mapping[str, Any]]:
    cursor: str | None = None
    while True:
        # The daemon notes where copies lie, so that who forgets can be told of them.
        page = daemon.get(
            "/admin/export", {"part": part, "cursor": cursor, "file": str(file.absolute())}, LONG_TIMEOUT_S
        )
        yield from page["lines"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _memories(daemon: Client, file: Path, _wish: Wish) -> Iterator[Row]:
    for line in _archived(daemon, file, "memories"):
        yield _memory(line, 1)
    for line in _archived(daemon, file, "versions"):
        yield _memory(line["memory"], line["version"])


def _memory(line: Mapping[str, Any], version: int) -> Row:
    plain = ("id", "namespace", "kind", "content", "tags", "agent", "session", "tool", "source", "trust")
    return {
        **{name: line[name] for name in plain},
        "version": version,
        "metadata": jsonlib.dumps(line["metadata"], ensure_ascii=False),
        "trajectory_id": line["trajectory_id"],
        "importance": line["importance"],
        "pinned": line["pinned"],
        **{name: _moment(line[name]) for name in ("ts", "expires_at", "valid_from", "valid_to")},
    }


def _trajectories(daemon: Client, file: Path, _wish: Wish) -> Iterator[Row]:
    """Yield the openings, then the outcomes, each a row of its own with the trajectory's id."""
    for line in _archived(daemon, file, "trajectories"):
        opening = ("id", "namespace", "kind", "title", "text", "tags", "agent")
        metadata = jsonlib.dumps(line["metadata"], ensure_ascii=False)
        yield {**{name: line[name] for name in opening}, "metadata": metadata, "opened_at": _moment(line["opened_at"])}
    for line in _archived(daemon, file, "outcomes"):
        closing = ("id", "outcome", "text", "reward", "reward_unit")
        yield {**{name: line[name] for name in closing}, "closed_at": _moment(line["closed_at"])}


def _trades(daemon: Client, _file: Path, _wish: Wish) -> Iterator[Row]:
    cursor: str | None = None
    while True:
        page = daemon.get("/telemetry/trading/trades", {"limit": TRADES_PAGE, "cursor": cursor})
        for trade in page["trades"]:
            plain = ("order_id", "trajectory_id", "side", "mint", "symbol", "strategy", "bucket", "slippage_bps")
            realised = trade["realised"]
            yield {
                **{name: trade[name] for name in plain},
                "ts": _moment(trade["ts"]),
                "amount_base_units": Decimal(trade["amount_base_units"]),
                "value_lamports": trade["value"]["lamports"],
                "value_usd": _decimal(trade["value"]["usd"]),
                "price_sol": float(trade["price_sol"]),
                **trade["costs"],
                "realised_lamports": None if realised is None else realised["lamports"],
                "reason": trade["reason"],
            }
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _equity(daemon: Client, _file: Path, wish: Wish) -> Iterator[Row]:
    """Yield the series from its end: each request asks for what lies before the oldest point of the last answer."""
    until, since = wish.until, None if wish.since is None else wish.since.isoformat()
    step = timedelta(seconds=wish.resolution_s)
    while True:
        asked = {"since": since, "until": None if until is None else until.isoformat()}
        page = daemon.get("/telemetry/trading/history", {**asked, "resolution": wish.resolution_s})
        points = page["points"]
        for point in reversed(points):
            others = ("first_lamports", "low_lamports", "high_lamports", "drawdown_bps_max", "marks")
            yield {
                "ts": _moment(point["ts"]),
                "equity_lamports": point["equity_lamports"],
                "drawdown_bps": point["drawdown_bps"],
                "sol_usd": _decimal(point["sol_usd"]),
                **{name: point.get(name) for name in others},
            }
        if len(points) < POINTS_PAGE_MIN:
            return
        oldest = datetime.fromisoformat(points[0]["ts"])
        whole, _ = divmod(oldest.timestamp(), wish.resolution_s)
        until = datetime.fromtimestamp(whole * wish.resolution_s, oldest.tzinfo) - TINY
        if until < oldest - 2 * step:  # what the arithmetic of times can be off by is far less
            msg = f"the daemon's series goes back to {oldest.isoformat()} in no order"
            raise Failed(msg)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else round(Decimal(text), 12)


def _memory_columns() -> "pa.Schema":
    import pyarrow as pa

    text, times = pa.string(), pa.timestamp("us", "UTC")
    return pa.schema(
        [
            *[(name, text) for name in ("id", "namespace", "kind", "content")],
            ("version", pa.int32()),
            ("tags", pa.list_(text)),
            ("metadata", text),
            *[(name, text) for name in ("agent", "session", "tool", "source", "trust", "trajectory_id")],
            ("importance", pa.int32()),
            ("pinned", pa.bool_()),
            *[(name, times) for name in ("ts", "expires_at", "valid_from", "valid_to")],
        ]
    )


def _trajectory_columns() -> "pa.Schema":
    import pyarrow as pa

    text, times = pa.string(), pa.timestamp("us", "UTC")
    return pa.schema(
        [
            *[(name, text) for name in ("id", "namespace", "kind", "title", "text")],
            ("tags", pa.list_(text)),
            *[(name, text) for name in ("metadata", "agent", "outcome")],
            ("reward", pa.int64()),
            ("reward_unit", text),
            ("opened_at", times),
            ("closed_at", times),
        ]
    )


def _trade_columns() -> "pa.Schema":
    import pyarrow as pa

    text, count = pa.string(), pa.int64()
    costs = ("fee_lamports", "impact_lamports", "priority_lamports", "failed_lamports", "rent_lamports")
    return pa.schema(
        [
            ("ts", pa.timestamp("us", "UTC")),
            *[(n, text) for n in ("order_id", "trajectory_id", "side", "mint", "symbol", "strategy", "bucket")],
            ("amount_base_units", pa.decimal128(38, 0)),
            ("value_lamports", count),
            ("value_usd", pa.decimal128(38, 12)),
            ("price_sol", pa.float64()),
            *[(name, count) for name in costs],
            ("slippage_bps", pa.int32()),
            ("realised_lamports", count),
            ("reason", text),
        ]
    )


def _equity_columns() -> "pa.Schema":
    import pyarrow as pa

    count = pa.int64()
    return pa.schema(
        [
            ("ts", pa.timestamp("us", "UTC")),
            ("equity_lamports", count),
            ("drawdown_bps", pa.int32()),
            ("sol_usd", pa.decimal128(38, 12)),
            *[(name, count) for name in ("first_lamports", "low_lamports", "high_lamports")],
            ("drawdown_bps_max", pa.int32()),
            ("marks", count),
        ]
    )


TABLES: Final[Mapping[str, Table]] = {
    "memories": Table(_memories, _memory_columns),
    "trajectories": Table(_trajectories, _trajectory_columns),
    "trades": Table(_trades, _trade_columns),
    "equity": Table(_equity, _equity_columns),
}
