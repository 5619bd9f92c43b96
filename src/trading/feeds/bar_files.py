"""Recorded bars on disk: gzip CSV, CSV and Parquet, row by row, with a bound on everything.

A row leaves this module as text (or what Parquet holds); ``bar_rows`` gives it meaning.
"""

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple

from trading.errors import DataError, InvalidInput
from trading.model.units import NS_PER_S

if TYPE_CHECKING:  # twenty megabytes that a daemon without Parquet files has no use for
    import pyarrow as pa

SUFFIXES: Final = (".csv.gz", ".csv", ".parquet")
ROWS_MAX: Final = 5_000_000
LINE_CHARS_MAX: Final = 4_096
HASH_CHUNK_BYTES: Final = 1 << 20
TEXT_BYTES_MAX: Final = 2 << 30
PARQUET_BATCH_ROWS: Final = 16_384

Shape = Literal["bars", "tokens", "closes", "swaps"]
Quote = Literal["USD", "SOL"]

_COLUMNS: Final[dict[Shape, tuple[str, ...]]] = {
    "tokens": ("mint", "ts", "open", "high", "low", "close", "volume"),
    "bars": ("ts", "open", "high", "low", "close", "volume"),
    "closes": ("ts", "close"),
    "swaps": ("mint", "ts", "side", "sol", "tokens"),
}
_FURTHER: Final[dict[Shape, tuple[str, ...]]] = {"swaps": ("venue", "trader_id")}
"""Columns that are read where they are there."""
_PAIR = re.compile(r"^(?P<base>[a-z0-9]{2,20}?)[_-]?(?P<quote>usdt|usdc|usd|sol)(?=[_.-]|$)", re.IGNORECASE)
_INTERVAL = re.compile(r"(?:^|[_.-])(?P<count>\d{1,3})(?P<unit>[smhd])(?=[_.-]|$)")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class BarFile:
    """A file whose header has been read.

    ``symbol`` is "" for a file with several tokens. ``interval_s`` is what the name says, None where it says nothing.
    ``names`` are the columns that are read and ``columns`` their places in a row, ``width`` is how many the header has.
    ``sha256`` is over the file as CSV text, whatever it is packed in: the same rows have the same hash.
    """

    path: Path
    shape: Shape
    symbol: str
    quote: Quote
    interval_s: int | None
    names: tuple[str, ...]
    columns: tuple[int, ...]
    width: int
    sha256: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stem(self) -> str:
        """The name without what it is packed in."""
        return _stem(self.path)

    def source(self, row: int) -> str:
        """Return how an event refers to this row: "<file sha256 prefix>:<row>"."""
        return f"{self.sha256[:16]}:{row}"


class RawRow(NamedTuple):
    """One row as it stands. ``number`` is its line as CSV text (the header is 1)."""

    number: int
    values: Sequence[object]


def list_bar_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files meant: a folder stands for the bar files in it, sorted. Raises InvalidInput."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(entry for entry in path.iterdir() if entry.name.endswith(SUFFIXES))
            if not inside:
                msg = f"the folder {path} holds no bar file ({', '.join(SUFFIXES)})"
                raise InvalidInput(msg, field="data")
            found += inside
        elif not path.is_file():
            msg = f"there is no file {path}"
            raise InvalidInput(msg, field="data")
        elif not path.name.endswith(SUFFIXES):
            msg = f"{path.name} is not a bar file: the name must end in {', '.join(SUFFIXES)}"
            raise InvalidInput(msg, field="data")
        else:
            found.append(path)
    if not found:
        msg = "no bar file was given"
        raise InvalidInput(msg, field="data")
    return found


def interval_seconds(text: str) -> int:
    """Return the seconds of an interval such as 5m. Raises InvalidInput."""
    found = _INTERVAL.fullmatch(text)
    if found is None or not int(found["count"]):
        msg = f"interval is {text[:20]!r}; expected a number with s, m, h or d behind it, such as 5m"
        raise InvalidInput(msg, field="interval")
    return int(found["count"]) * _UNIT_S[found["unit"]]


def interval_text(interval_s: int) -> str:
    """Return the interval as file names have it: 300 -> "5m"."""
    unit = next(unit for unit in reversed(_UNIT_S) if interval_s % _UNIT_S[unit] == 0)
    return f"{interval_s // _UNIT_S[unit]}{unit}"


def open_bar_file(path: Path) -> BarFile:
    """Read name, header and hash. Raises DataError (unreadable, wrong header), InvalidInput (name says no symbol)."""
    header = _parquet_header(path) if path.suffix == ".parquet" else _csv_header(path)
    shape = _shape_of(path, header)
    stem = _stem(path)
    pair = _PAIR.match(stem)
    quote: Quote = "USD"
    symbol = ""
    names = _COLUMNS[shape] + tuple(name for name in _FURTHER.get(shape, ()) if name in header)
    if shape == "swaps":
        quote = "SOL"
    elif shape == "tokens":
        quote = "SOL" if stem.lower().endswith("_sol") else "USD"
    elif pair is None:
        msg = f"{path.name} must begin with its symbol and quote, such as BONKUSDT_5m"
        raise InvalidInput(msg, field="data")
    else:
        symbol = pair["base"].upper()
        quote = "SOL" if pair["quote"].upper() == "SOL" else "USD"
    named = _INTERVAL.search(stem)
    return BarFile(
        path=path,
        shape=shape,
        symbol=symbol,
        quote=quote,
        interval_s=int(named["count"]) * _UNIT_S[named["unit"]] if named else None,
        names=names,
        columns=tuple(header.index(name) for name in names),
        width=len(header),
        sha256=parquet_sha256(path, header) if path.suffix == ".parquet" else _text_sha256(path),
    )


def read_rows(file: BarFile) -> Iterator[RawRow]:
    """Yield the rows below the header, columns in the shape's order. Raises DataError naming file and row."""
    rows = _parquet_rows(file) if file.path.suffix == ".parquet" else _csv_rows(file)
    for count, row in enumerate(rows, 1):
        if count > ROWS_MAX:
            msg = f"{file.name}: more than {ROWS_MAX} rows"
            raise DataError(msg, field="data", hint="split the file")
        yield row


def _shape_of(path: Path, header: list[str]) -> Shape:
    if len(set(header)) == len(header):
        for shape, columns in _COLUMNS.items():
            # A bar file that lost a column must not pass for a SOL price file.
            if set(columns) <= set(header) and not (shape == "closes" and "open" in header):
                return shape
    msg = (
        f"{path.name}: row 1: the header is {','.join(header)[:200]!r}; expected "
        "ts,open,high,low,close,volume (several tokens in one file: also mint; a SOL price file: ts,close; "
        "swaps: mint,ts,side,sol,tokens)"
    )
    raise DataError(msg, field="data")


def _stem(path: Path) -> str:
    return next(path.name[: -len(suffix)] for suffix in SUFFIXES if path.name.endswith(suffix))


def _text_sha256(path: Path) -> str:
    """Return the hash of a CSV's text; how well it was compressed, and when, says nothing about its rows."""
    digest = hashlib.sha256()
    with _translating(path.name, [0]), _open_bytes(path) as file:
        size = 0
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if size > TEXT_BYTES_MAX:
                msg = f"{path.name}: more than {TEXT_BYTES_MAX} bytes of text"
                raise DataError(msg, field="data", hint="split the file")
    return digest.hexdigest()


def parquet_sha256(path: Path, header: Sequence[str]) -> str:
    """Return the hash that a CSV of these rows would have. Raises DataError."""
    import pyarrow.parquet as pq

    digest = hashlib.sha256(csv_line(header))
    with _translating_parquet(path.name, [0]), pq.ParquetFile(path) as parquet:
        names = parquet.schema_arrow.names
        for batch in parquet.iter_batches(batch_size=PARQUET_BATCH_ROWS):
            columns = [_plain(batch.column(name)) for name in names]
            digest.update(b"".join(csv_line(values) for values in zip(*columns, strict=True)))
    return digest.hexdigest()


def csv_line(values: Sequence[object]) -> bytes:
    """Return a row as one line of CSV text."""
    return (",".join(map(_field, values)) + "\n").encode()


def _field(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)


@contextmanager
def _translating(name: str, row: list[int]) -> Iterator[None]:
    """Turn what libraries raise about a bad file into a DataError that names file and row (``row[0]``)."""
    try:
        yield
    except UnicodeDecodeError as exc:
        msg = f"{name}: near row {row[0] + 1}: not UTF-8 text ({exc.reason})"
        raise DataError(msg, field="data") from exc
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        msg = f"{name}: near row {row[0] + 1}: the gzip stream is broken ({exc})"
        raise DataError(msg, field="data") from exc
    except csv.Error as exc:
        msg = f"{name}: near row {row[0] + 1}: not CSV ({exc})"
        raise DataError(msg, field="data") from exc
    except OSError as exc:
        msg = f"{name}: cannot be read ({exc.strerror or exc})"
        raise DataError(msg, field="data") from exc


@contextmanager
def _translating_parquet(name: str, row: list[int]) -> Iterator[None]:
    """``_translating`` for what pyarrow raises besides."""
    import pyarrow as pa

    with _translating(name, row):
        try:
            yield
        except pa.ArrowException as exc:
            msg = f"{name}: near row {row[0] + 1}: not Parquet ({exc})"
            raise DataError(msg, field="data") from exc


def _open_text(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open("r", encoding="utf-8", newline="")


def _open_bytes(path: Path) -> IO[bytes]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]  # a file object in all but name
    return path.open("rb")


def _lines(stream: IO[str], name: str, row: list[int]) -> Iterator[str]:
    while line := stream.readline(LINE_CHARS_MAX):
        row[0] += 1
        if len(line) == LINE_CHARS_MAX:
            msg = f"{name}: row {row[0]}: longer than {LINE_CHARS_MAX} characters"
            raise DataError(msg, field="data")
        yield line


def _csv_header(path: Path) -> list[str]:
    row = [0]
    with _translating(path.name, row), _open_text(path) as stream:
        header = next(csv.reader(_lines(stream, path.name, row)), [])
    return [column.strip().removeprefix("\ufeff").lower() for column in header]


def _csv_rows(file: BarFile) -> Iterator[RawRow]:
    row = [0]
    width = max(file.columns) + 1
    in_order = file.columns == tuple(range(len(file.columns)))
    with _translating(file.name, row), _open_text(file.path) as stream:
        for values in islice(csv.reader(_lines(stream, file.name, row), strict=True), 1, None):
            if not values:  # an empty line, often the last one
                continue
            if len(values) > file.width:  # a decimal comma makes two fields of one number
                msg = f"{file.name}: row {row[0]}: {len(values)} fields, the header has {file.width}"
                raise DataError(msg, field="data", hint="is a comma used as decimal point?")
            if len(values) < width:
                msg = f"{file.name}: row {row[0]}: {len(values)} fields, expected at least {width}"
                raise DataError(msg, field="data")
            yield RawRow(row[0], values if in_order else [values[place] for place in file.columns])


def _parquet_header(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    with _translating_parquet(path.name, [0]):
        return [name.lower() for name in pq.read_schema(path).names]


def _parquet_rows(file: BarFile) -> Iterator[RawRow]:
    import pyarrow.parquet as pq

    row = [1]
    with _translating_parquet(file.name, row), pq.ParquetFile(file.path) as parquet:
        names = parquet.schema_arrow.names
        wanted = [names[place] for place in file.columns]
        for batch in parquet.iter_batches(batch_size=PARQUET_BATCH_ROWS, columns=wanted):
            columns = [_plain(batch.column(name)) for name in wanted]
            for values in zip(*columns, strict=True):
                row[0] += 1
                yield RawRow(row[0], values)


def _plain(column: "pa.Array") -> list[object]:
    """Return Python values; timestamps become Unix seconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns")).cast(pa.int64())
        return [_seconds(value) for value in column.to_pylist()]
    return list(column.to_pylist())


def _seconds(ts_ns: int | None) -> object:
    """Return whole seconds; a fraction stays one, so that the row check refuses it by name."""
    if ts_ns is None or not ts_ns % NS_PER_S:
        return ts_ns and ts_ns // NS_PER_S
    return ts_ns / NS_PER_S
