"""Database errors in our words: translated once, here, so that no floor above knows a driver."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memmcp_server.errors import (
    DataDirectoryError,
    InvalidInput,
    JournalBusy,
    JournalUnavailable,
    MemoryServerError,
    StorageFull,
)

_FULL_HINT = "nothing was written; free space on that disk and repeat the call"
_RESTORE_HINT = "stop the daemon, keep a copy of the file, then restore a backup"
_DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def translating(where: str) -> Iterator[None]:
    """Raise what the database or the disk says as one of our errors; ``where`` is the path or the server, no secret."""
    try:
        yield
    except PoolTimeout as error:
        msg = f"every connection to {where} is taken"
        raise JournalBusy(msg, hint="repeat in a moment") from error
    except DBAPIError as error:
        raise of_driver(error.orig, where) from error
    except sqlite3.Error as error:
        raise of_driver(error, where) from error
    except SQLAlchemyError as error:
        msg = f"the journal at {where} failed: {type(error).__name__}"
        raise JournalUnavailable(msg) from error
    except OSError as error:
        raise of_os(error, where) from error


@contextmanager
def opening(where: str, *, is_file: bool) -> Iterator[None]:
    """As ``translating``, for the opening: a file that is damaged or may not be written is the directory's fault."""
    try:
        with translating(where):
            yield
    except JournalUnavailable as error:
        if not is_file:
            raise
        raise DataDirectoryError(error.message, hint=error.hint) from error


def of_driver(error: BaseException | None, where: str) -> MemoryServerError:
    """Return our error for a driver's."""
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error, where)
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str) and sqlstate:
        return _of_postgresql(sqlstate, error, where)
    msg = f"the journal at {where} does not answer: {_first_line(error)}"
    return JournalUnavailable(msg, hint="check that the database runs and that its address is right, then repeat")


def of_os(error: OSError, where: str) -> MemoryServerError:
    if error.errno in _DISK_FULL_ERRNOS:
        msg = f"the disk of {where} is full"
        return StorageFull(msg, hint=_FULL_HINT)
    path = error.filename or where
    msg = f"{path} cannot be used: {error.strerror or error}"
    return DataDirectoryError(msg, hint="check that it is a directory of yours that can be written")


def _of_sqlite(error: sqlite3.Error, where: str) -> MemoryServerError:
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StorageFull(f"the disk of {where} is full", hint=_FULL_HINT)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            msg = f"another process holds {where}"
            return JournalBusy(msg, hint="close other programs that have the file open, then repeat")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return JournalUnavailable(f"{where} is damaged: {_first_line(error)}", hint=_RESTORE_HINT)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            msg = f"{where} cannot be opened for writing: {_first_line(error)}"
            return JournalUnavailable(msg, hint="check the owner and the rights of the file and its directory")
        case sqlite3.SQLITE_IOERR:
            msg = f"the disk refused to read or write {where}: {_first_line(error)}"
            return JournalUnavailable(msg, hint="check free space, quotas and the disk, then repeat")
        case sqlite3.SQLITE_INTERRUPT:
            msg = f"a search of {where} took too long and was stopped"
            return JournalBusy(msg, hint="narrow it by namespace or time, then repeat")
        case sqlite3.SQLITE_TOOBIG:
            return InvalidInput(f"a value is too large for {where}: {_first_line(error)}")
    return JournalUnavailable(f"the journal at {where} failed: {_first_line(error)}")


def _of_postgresql(sqlstate: str, error: BaseException | None, where: str) -> MemoryServerError:
    said = _first_line(error)
    if sqlstate == "53100":
        return StorageFull(f"the disk of {where} is full", hint=_FULL_HINT)
    if sqlstate == "57014":
        msg = f"a statement on {where} took too long and was stopped"
        return JournalBusy(msg, hint="narrow the search by namespace or time, then repeat")
    if sqlstate in ("40001", "40P01", "55P03"):
        return JournalBusy(f"another writer is in the way at {where}: {said}", hint="repeat in a moment")
    if sqlstate.startswith("22"):
        return InvalidInput(f"the journal cannot hold a value: {said}")
    return JournalUnavailable(f"the journal at {where} failed: {said} (SQLSTATE {sqlstate})")


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
