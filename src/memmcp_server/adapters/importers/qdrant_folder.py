"""The folder of mcp-server-qdrant's local mode (QDRANT_LOCAL_PATH), which is that of the Qdrant client.

``meta.json`` names the collections; ``collection/NAME/storage.sqlite`` holds a row a point, pickled. It is opened for
reading only, each file must be a plain one inside of the folder, and no pickle is run (``restricted_pickle``).
"""

import contextlib
import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from memmcp_server.domain.drafts import TAG_LENGTH_MAX
from memmcp_server.domain.identifiers import Json, derived_id

from .found import Damaged, Found, Item, NotReadable
from .restricted_pickle import BadPickle, as_json, load_point

STORE = "mcp-server-qdrant"
META = "meta.json"
LOCK = ".lock"
STORAGE = "storage.sqlite"
STORAGE_OLD = "storage.dbm"
META_BYTES_MAX = 16 * 1024 * 1024
COLLECTIONS_MAX = 10_000
POINT_BYTES_MAX = 8 * 1024 * 1024
BUSY_TIMEOUT_S = 2.0
BESIDE = f"{STORE} payload"
"""No name that a program would give to metadata of its own."""
ROWS = (
    "SELECT rowid, CASE WHEN typeof(point) = 'blob' AND length(point) <= ? THEN point END, length(point) "
    "FROM points ORDER BY rowid"
)


@dataclass(frozen=True, slots=True)
class Collection:
    name: str
    storage: Path


def collections_of(folder: Path) -> list[Collection]:
    """Return the collections that ``meta.json`` names. Raises: NotReadable."""
    meta = _meta(folder)
    named = meta.get("collections")
    if not isinstance(named, dict):
        message = f"{folder / META} names no collections"
        raise NotReadable(message, hint="it is not the folder that mcp-server-qdrant writes (QDRANT_LOCAL_PATH)")
    if len(named) > COLLECTIONS_MAX:
        message = f"{folder / META} names {len(named)} collections; at most {COLLECTIONS_MAX} are read"
        raise NotReadable(message)
    return [Collection(name, _storage(folder, name)) for name in named]


def count_points(collections: list[Collection]) -> int:
    """Return how many rows there are to read; one that cannot be read has none here, and is named when it is read."""
    total = 0
    for collection in collections:
        with contextlib.suppress(NotReadable), _opened(collection) as database:
            total += int(database.execute("SELECT count(*) FROM points").fetchone()[0])
    return total


def read_points(collections: list[Collection]) -> Iterator[Item]:
    """Yield the points, collection by collection; ``done`` counts rows.

    A row that an earlier client left behind for a point that was written again is passed over, as the client does.
    A file that breaks off is one damaged place; the next collection is still read.
    """
    done = 0
    for collection in collections:
        try:
            for item in _points(collection, done):
                yield item
                done = item.done
        except NotReadable as problem:
            yield Damaged(f"collection {collection.name} after {done} rows", str(problem), done)


def _points(collection: Collection, done: int) -> Iterator[Item]:
    with _opened(collection) as database:
        newest = _newest_rows(database)
        # In the order of writing, so that what was said later is the newer memory here too.
        for row_id, blob, size in database.execute(ROWS, (POINT_BYTES_MAX,)):
            done += 1
            point_id, item = _read(collection.name, row_id, blob, size, done)
            if point_id is None or newest[point_id] == row_id:
                yield item


def _newest_rows(database: sqlite3.Connection) -> dict[str, int]:
    newest: dict[str, int] = {}
    for row_id, blob, size in database.execute(ROWS, (POINT_BYTES_MAX,)):
        point_id, _ = _read("", row_id, blob, size, 0)
        if point_id is not None:
            newest[point_id] = row_id
    return newest


def _read(name: str, row_id: int, blob: bytes | None, size: int | None, done: int) -> tuple[str | None, Item]:
    """Return the point's id where it has one, and what was read."""
    row = f"collection {name}, row {row_id}"
    if blob is None:
        return None, Damaged(row, f"not a pickle of at most {POINT_BYTES_MAX} bytes ({size} bytes)", done)
    try:
        fields = load_point(blob)
        payload = as_json(fields.get("payload"))
    except BadPickle as problem:
        return None, Damaged(row, str(problem), done)
    point_id = _point_id(fields.get("id"))
    if point_id is None:
        return None, Damaged(row, "its id is neither a number nor a UUID", done)
    place = f"collection {name}, point {point_id}"
    document = payload.get("document") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(document, str):
        return point_id, Damaged(
            place, "its payload has no text under 'document'; mcp-server-qdrant did not write it", done
        )
    return point_id, Found(
        place=place,
        id=derived_id(STORE, name, point_id, json.dumps(payload, sort_keys=True)),
        content=document,
        kind="note",
        source=f"{STORE}, collection {name}"[:256],
        done=done,
        tags=(STORE, name[:TAG_LENGTH_MAX]),
        metadata=_metadata(payload),
    )


def _point_id(given: object) -> str | None:
    """Return the id in one spelling: clients of some versions kept a UUID as it was written, dashes or not."""
    match given:
        case bool():
            return None
        case int() if 0 <= given < 2**64:
            return str(given)
        case str():
            try:
                return str(uuid.UUID(given))
            except ValueError:
                return None
        case _:
            return None


def _metadata(payload: dict[str, Json]) -> dict[str, Json]:
    """Return the metadata as it was given; what else another program put beside it stays under ``BESIDE``."""
    given = payload.get("metadata")
    metadata: dict[str, Json] = dict(given) if isinstance(given, dict) else {}
    beside = {name: value for name, value in payload.items() if name not in ("document", "metadata")}
    if given is not None and not isinstance(given, dict):
        beside["metadata"] = given
    return {**metadata, BESIDE: beside} if beside else metadata


def _meta(folder: Path) -> dict[str, Json]:
    path = folder / META
    if not path.exists():
        message = f"{folder} has no {META}"
        hint = "give the folder that QDRANT_LOCAL_PATH names; a Qdrant server's own storage has to be read by a server"
        raise NotReadable(message, hint=hint)
    _require_plain(path)
    try:
        if path.stat().st_size > META_BYTES_MAX:
            message = f"{path} is longer than {META_BYTES_MAX} bytes"
            raise NotReadable(message)
        meta = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        message = f"{path} is not JSON ({error})"
        raise NotReadable(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise NotReadable(message) from error
    return meta if isinstance(meta, dict) else {}


def _storage(folder: Path, name: str) -> Path:
    """Return the file of a collection: the name comes from a file and must not lead out of the folder."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in ("..", ".", "/") or "\\" in part or "\x00" in part for part in parts):
        message = f"{folder / META} names the collection {ascii(name)[:80]}, which leads out of the folder"
        raise NotReadable(message)
    directory = folder
    for part in ("collection", *parts):
        directory = directory / part
        if directory.is_symlink():
            message = f"{directory} is a symbolic link; only what lies in the folder itself is read"
            raise NotReadable(message)
    path = directory / STORAGE
    if not path.exists() and any(directory.glob(f"{STORAGE_OLD}*")):
        message = f"{directory} is in the format of qdrant-client before 1.1.7"
        raise NotReadable(message, hint="open the folder once with a later version, which rewrites it")
    if not path.exists() and not path.is_symlink():
        message = f"{path} is missing, although {META} names the collection"
        raise NotReadable(message, hint="take the folder from a back-up, or leave the collection out of meta.json")
    _require_plain(path)
    return path


def _require_plain(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        message = f"{path} is no plain file; links, pipes and folders in its place are not read"
        raise NotReadable(message)


@contextlib.contextmanager
def _opened(collection: Collection) -> Iterator[sqlite3.Connection]:
    """Open one collection for reading. Raises: NotReadable, also while its rows are read."""
    address = f"file:{quote(str(collection.storage.absolute()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("BEGIN")  # one state for all that is read
            kind = database.execute("SELECT type FROM sqlite_master WHERE name = 'points'").fetchone()
            if kind is None or kind[0] != "table":
                message = f"{collection.storage} has no table of points"
                raise NotReadable(message, hint="it was not written by the Qdrant client")
            yield database
    except sqlite3.Error as error:
        message = f"{collection.storage} cannot be read: {error}"
        hint = "after a crash the client that wrote it has to open and close it once"
        raise NotReadable(message, hint=hint) from error
