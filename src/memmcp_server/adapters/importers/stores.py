"""Which store a path is, and that store opened for reading."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from . import qdrant_folder, server_memory
from .found import Found, Item, NotReadable, in_parts
from .lines import open_lines, read_lines

OWN = "memmcp"
STORES = (OWN, qdrant_folder.STORE, server_memory.STORE)
OWN_LINE_BYTES_MAX = 1_000_000
RECOGNISED_WITHIN_LINES = 100


@dataclass(frozen=True, slots=True)
class Opened:
    """``moment`` is when the store was last written to: neither says of a memory when it was stored."""

    items: Iterator[Item]
    total: int
    moment: datetime


def recognise(path: Path) -> str:
    """Return the store's name by what lies at the path; a file of none that we know counts as our own.

    Raises: NotReadable.
    """
    with _reading():
        return _recognised(path)


def _recognised(path: Path) -> str:
    if path.is_dir():
        if (path / qdrant_folder.META).exists():
            return qdrant_folder.STORE
        message = f"{path} is a folder without {qdrant_folder.META}, so none of mcp-server-qdrant"
        raise NotReadable(message, hint="give that folder (QDRANT_LOCAL_PATH), or a file of JSON lines")
    with open_lines(path) as file:
        for _, line in zip(
            range(RECOGNISED_WITHIN_LINES), read_lines(file, str(path), server_memory.LINE_BYTES_MAX), strict=False
        ):
            kind = None if line.document is None else line.document.get("type")
            if kind in ("entity", "relation"):
                return server_memory.STORE
            if isinstance(kind, str):
                return OWN
    return OWN


@contextlib.contextmanager
def open_store(path: Path, store: str) -> Iterator[Opened]:
    """Open the other store for reading, with nobody else writing to it. Raises: NotReadable."""
    if store == server_memory.STORE:
        with open_lines(path) as file:
            yield _graph(path, file)
        return
    with _reading():
        if not path.is_dir():
            message = f"{path} is no folder" if path.exists() else f"there is no {path}"
            raise NotReadable(message, hint="mcp-server-qdrant keeps a folder (QDRANT_LOCAL_PATH)")
    with _alone(path / qdrant_folder.LOCK):
        with _reading():
            collections = qdrant_folder.collections_of(path)
            files = [path / qdrant_folder.META, *(collection.storage for collection in collections)]
            moment = datetime.fromtimestamp(max(file.stat().st_mtime for file in files), UTC)
        items = qdrant_folder.read_points(collections)
        yield Opened(_parts(items), qdrant_folder.count_points(collections), moment)


def _graph(path: Path, file: BinaryIO) -> Opened:
    status = os.fstat(file.fileno())
    moment = datetime.fromtimestamp(status.st_mtime, UTC)
    return Opened(_parts(server_memory.read_graph(file, str(path))), status.st_size, moment)


def _parts(items: Iterator[Item]) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Found):
            yield from in_parts(item)
        else:
            yield item


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn what the system says of a file into NotReadable."""
    try:
        yield
    except OSError as error:
        message = f"{error.filename} cannot be read: {error.strerror or error}"
        raise NotReadable(message) from error


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the lock that the Qdrant client takes, with the library it takes it with.

    A folder without one, or one that may only be read, is nobody's: the client writes the file before anything else.
    Raises: NotReadable.
    """
    import portalocker

    if lock.is_symlink() or (lock.exists() and not lock.is_file()):
        message = f"{lock} is no plain file; links, pipes and folders in its place are not read"
        raise NotReadable(message)
    try:
        file = lock.open("r+b")
    except OSError:
        yield
        return
    with file:
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.LockException as error:
            message = f"{lock.parent} is in use by another process"
            hint = "end mcp-server-qdrant (the clients that run it) and import again"
            raise NotReadable(message, hint=hint) from error
        try:
            yield
        finally:
            portalocker.unlock(file)
