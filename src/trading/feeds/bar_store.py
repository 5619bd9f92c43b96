"""Bars that were fetched, as Parquet files: what a source said first stays, and what is new is added.

Values are kept as the text in which the source sent them, so nothing is rounded on the way. A file says where its
rows are from and what their hash is; a file whose rows were changed since is refused.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import portalocker

from trading.errors import DataError, InvalidInput
from trading.model.bar_market import BarMarket

from .bar_files import ROWS_MAX, csv_line, interval_text, open_bar_file, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER: Final = "bars"
SUFFIX: Final = ".parquet"
META_KEY: Final = b"memmcp.bars"
PRICES: Final = ("open", "high", "low", "close", "volume")
CHANGES_MAX: Final = 100
"""Changed bars that are named; all of them are counted."""

Values = tuple[str, str, str, str, str]
"""Open, high, low, close, volume, as the source wrote them."""


@dataclass(frozen=True, slots=True)
class ChangedBar:
    """A bar of the past that its source tells otherwise now."""

    ts_s: int
    stored: Values
    received: Values


@dataclass(slots=True)
class BarSeries:
    """The bars of one file by open time (seconds). ``fetched_s``: when the newest were fetched."""

    market: BarMarket
    bars: dict[int, Values] = field(default_factory=dict)
    fetched_s: int = 0

    @property
    def first_s(self) -> int | None:
        return min(self.bars, default=None)

    @property
    def last_s(self) -> int | None:
        return max(self.bars, default=None)

    def take(self, ts_s: int, values: Values) -> ChangedBar | None:
        """Add a bar that is new; one that is known stays as it is, and is returned where it is told otherwise."""
        known = self.bars.get(ts_s)
        if known is None:
            self.bars[ts_s] = values
            return None
        if known == values or all(Decimal(was) == Decimal(now) for was, now in zip(known, values, strict=True)):
            return None
        return ChangedBar(ts_s, known, values)


@dataclass(frozen=True, slots=True)
class StoredBars:
    """What a file says of itself, for people. ``gaps`` are places where bars are missing."""

    path: Path
    market: BarMarket
    rows: int
    first_s: int
    last_s: int
    gaps: int
    bars_missing: int
    fetched_s: int
    rows_sha256: str


def bars_path(data_dir: Path, market: BarMarket) -> Path:
    """Return where the bars lie; every folder holds bars of one interval and one kind of market only."""
    interval = interval_text(market.interval_s)
    ending = f"_{interval}_sol" if market.mint else f"_{interval}"
    return data_dir / FOLDER / f"{market.source}-{market.kind}" / interval / f"{market.name}{ending}{SUFFIX}"


def load_bars(path: Path, market: BarMarket) -> BarSeries:
    """Return what is stored, nothing where there is no file yet.

    Raises: DataError (damaged, or its rows were changed by hand), InvalidInput (the file is of another market).
    """
    if not path.exists():
        return BarSeries(market)
    meta = _checked_meta(path)
    stored = _market_of(path, meta)
    if stored != market:
        msg = f"{path} holds {stored}; {market} belongs into another file"
        raise InvalidInput(msg, field="data_dir")
    return BarSeries(market, dict(_rows(path)), int(meta["fetched_s"]))


def store_bars(path: Path, series: BarSeries) -> str:
    """Write the file whole, then put it in the old one's place; return the hash of its rows.

    Raises: DataError when the disk does not take it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(series.bars) > ROWS_MAX:
        msg = f"{path.name}: more than {ROWS_MAX} rows"
        raise DataError(msg, field="data", hint="fetch a shorter time, or a longer interval")
    times = sorted(series.bars)
    columns: dict[str, pa.Array] = {}
    if series.market.mint:
        columns["mint"] = pa.array([series.market.mint] * len(times), pa.string())
    columns["ts"] = pa.array(times, pa.int64())
    for place, name in enumerate(PRICES):
        columns[name] = pa.array([series.bars[ts_s][place] for ts_s in times], pa.string())
    table = pa.table(columns)
    market = {name: getattr(series.market, name) for name in BarMarket.__slots__}
    digest = rows_sha256(table)
    meta = {"version": 1, "market": market, "fetched_s": series.fetched_s, "rows": len(times), "rows_sha256": digest}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_name(f".{path.name}.new")
        with whole.open("wb") as file:
            pq.write_table(table.replace_schema_metadata({META_KEY: json.dumps(meta).encode()}), file)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
    except OSError as exc:
        msg = f"{path} cannot be written: {exc.strerror or exc}"
        raise DataError(msg, field="data_dir") from exc
    return digest


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other fetches of the same file out. Raises InvalidInput when one is under way, DataError for the disk."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with portalocker.Lock(lock, "a", fail_when_locked=True):
            yield
    except portalocker.exceptions.LockException as exc:
        msg = f"another fetch is writing {path}"
        raise InvalidInput(msg, field="symbol", hint="wait until it is done") from exc
    except OSError as exc:
        msg = f"{path.parent} cannot be written: {exc.strerror or exc}"
        raise DataError(msg, field="data_dir") from exc


def list_stored(data_dir: Path) -> tuple[list[StoredBars], list[DataError]]:
    """Return what was fetched into a data directory, sorted by path, and what is wrong with the damaged files."""
    stored: list[StoredBars] = []
    damaged: list[DataError] = []
    for path in sorted((data_dir / FOLDER).glob(f"*/*/*{SUFFIX}")):
        try:
            stored.append(_listed(path))
        except DataError as error:
            damaged.append(error)
    return stored, damaged


def missing_bars(times: Sequence[int], interval_s: int) -> tuple[int, int]:
    """Return in how many places bars are missing between times in order, and how many."""
    holes = [later - earlier for earlier, later in pairwise(times) if later - earlier > interval_s]
    return len(holes), sum(hole // interval_s - 1 for hole in holes)


def rows_sha256(table: "pa.Table") -> str:
    """Return the hash of the rows as CSV text, which is the one a feed names them by."""
    digest = hashlib.sha256(csv_line(table.column_names))
    columns = [table.column(name).to_pylist() for name in table.column_names]
    digest.update(b"".join(csv_line(values) for values in zip(*columns, strict=True)))
    return digest.hexdigest()


def _listed(path: Path) -> StoredBars:
    meta = _checked_meta(path)
    market = _market_of(path, meta)
    times = sorted(ts_s for ts_s, _ in _rows(path))
    gaps, bars_missing = missing_bars(times, market.interval_s)
    return StoredBars(
        path=path,
        market=market,
        rows=len(times),
        first_s=times[0] if times else 0,
        last_s=times[-1] if times else 0,
        gaps=gaps,
        bars_missing=bars_missing,
        fetched_s=int(meta["fetched_s"]),
        rows_sha256=str(meta["rows_sha256"]),
    )


def _checked_meta(path: Path) -> Mapping[str, Any]:
    """Return the file's metadata, once its rows have proved to be those that it speaks of."""
    import pyarrow.parquet as pq

    file = open_bar_file(path)
    try:
        meta = json.loads((pq.read_schema(path).metadata or {})[META_KEY])
        declared = str(meta["rows_sha256"])
        int(meta["fetched_s"])
    except (KeyError, ValueError, TypeError) as exc:
        msg = f"{path.name} does not say where its bars are from: it was not fetched by this program"
        raise DataError(msg, field="data", hint="move it away, or fetch into another data directory") from exc
    if declared != file.sha256:
        msg = f"{path.name}: its rows have the hash {file.sha256[:16]}, written were rows of {declared[:16]}"
        raise DataError(msg, field="data", hint="the file was changed since: remove it and fetch it anew")
    return meta  # type: ignore[no-any-return]


def _market_of(path: Path, meta: Mapping[str, Any]) -> BarMarket:
    try:
        return BarMarket(**meta["market"])
    except (KeyError, TypeError) as exc:
        msg = f"{path.name}: its metadata is of another version of this program"
        raise DataError(msg, field="data", hint="remove it and fetch it anew") from exc


def _rows(path: Path) -> Iterator[tuple[int, Values]]:
    for _, values in read_rows(open_bar_file(path)):
        yield _row(path, values)


def _row(path: Path, values: Sequence[object]) -> tuple[int, Values]:
    ts_s, *prices = values[-1 - len(PRICES) :]
    if type(ts_s) is not int or len(prices) != len(PRICES) or not all(type(each) is str for each in prices):
        msg = f"{path.name}: a row is not as this program writes it: {list(values)}"
        raise DataError(msg, field="data", hint="remove it and fetch it anew")
    return ts_s, tuple(map(str, prices))  # type: ignore[return-value]
