"""Every driver's error becomes one of ours, with the place in it."""

import errno
import sqlite3

import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from memmcp_server.adapters.sql_journal.translate import of_driver, opening, translating
from memmcp_server.errors import (
    DataDirectoryError,
    InvalidInput,
    JournalBusy,
    JournalUnavailable,
    MemoryServerError,
    StorageFull,
)

WHERE = "the place"


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("said sqlite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), StorageFull),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), JournalBusy),
        (sqlite_error(sqlite3.SQLITE_LOCKED), JournalBusy),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX), JournalUnavailable),
        (sqlite_error(sqlite3.SQLITE_NOTADB), JournalUnavailable),
        (sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED), JournalUnavailable),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), JournalUnavailable),
        (sqlite_error(sqlite3.SQLITE_INTERRUPT), JournalBusy),
        (sqlite_error(sqlite3.SQLITE_TOOBIG), InvalidInput),
        (sqlite_error(sqlite3.SQLITE_ERROR), JournalUnavailable),
        (sqlite3.ProgrammingError("closed"), JournalUnavailable),
        (psycopg.errors.DiskFull("no space"), StorageFull),
        (psycopg.errors.QueryCanceled("statement timeout"), JournalBusy),
        (psycopg.errors.SerializationFailure("retry"), JournalBusy),
        (psycopg.errors.DeadlockDetected("retry"), JournalBusy),
        (psycopg.errors.UntranslatableCharacter("bad text"), InvalidInput),
        (psycopg.errors.AdminShutdown("going down"), JournalUnavailable),
        (psycopg.OperationalError("connection refused"), JournalUnavailable),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_drivers_error_has_a_class_of_ours_that_names_what_happened(
    error: Exception, expected: type[MemoryServerError]
) -> None:
    translated = of_driver(error, WHERE)
    assert type(translated) is expected
    assert WHERE in translated.message or str(error) in translated.message
    assert "\n" not in translated.message


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (PoolTimeout("pool"), JournalBusy),
        (DBAPIError("INSERT", {}, psycopg.errors.DiskFull("no space")), StorageFull),
        (InvalidRequestError("closed"), JournalUnavailable),
        (sqlite_error(sqlite3.SQLITE_FULL), StorageFull),
        (OSError(errno.ENOSPC, "No space left on device"), StorageFull),
        (OSError(errno.EACCES, "Permission denied"), DataDirectoryError),
    ],
)
def test_whatever_the_stack_raises_is_translated_once_with_its_cause(
    raised: Exception, expected: type[MemoryServerError]
) -> None:
    with pytest.raises(expected) as caught, translating(WHERE):
        raise raised
    assert caught.value.__cause__ is raised
    assert WHERE in caught.value.message


def test_our_own_errors_pass_through() -> None:
    own = InvalidInput("ours")
    with pytest.raises(InvalidInput) as caught, translating(WHERE):
        raise own
    assert caught.value is own


def test_at_the_opening_a_bad_file_is_the_directorys_fault_and_a_silent_server_is_not() -> None:
    damaged = sqlite_error(sqlite3.SQLITE_CORRUPT)
    with pytest.raises(DataDirectoryError), opening(WHERE, is_file=True):
        raise damaged
    with pytest.raises(JournalUnavailable), opening(WHERE, is_file=False):
        raise DBAPIError("SELECT 1", {}, psycopg.OperationalError("refused"))
    with pytest.raises(StorageFull), opening(WHERE, is_file=True):
        raise sqlite_error(sqlite3.SQLITE_FULL)
