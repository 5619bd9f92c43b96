"""One daemon per data directory: a lock that dies with its holder, and a record of where to find it."""

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from memmcp_server import __version__
from memmcp_server.errors import DataDirectoryError, LeaseHeld

from .finding import read_record
from .locking import FileLock
from .places import UNIX_PATH_BYTES_MAX, Places

SOCKET_DIRECTORY_PREFIX = "memmcp-"


@dataclass(frozen=True)
class Record:
    """What daemon.json says. ``http`` is a base URL, ``socket`` a path or ``tcp:HOST:PORT``; mode 0600."""

    http: str
    socket: str
    token: str
    started_at: datetime

    def document(self) -> dict[str, str | int]:
        return {
            "pid": os.getpid(),
            "version": __version__,
            "http": self.http,
            "token": self.token,
            "socket": self.socket,
            "started_at": self.started_at.astimezone(UTC).isoformat(),
        }


class Lease:
    """Ownership of a data directory, from ``take`` until ``release`` or the end of the process."""

    def __init__(self, places: Places, lock: FileLock) -> None:
        self.places = places
        self.token = secrets.token_urlsafe(32)
        self._lock = lock
        self._socket_path: Path | None = None

    @classmethod
    def take(cls, places: Places) -> "Lease":
        """Take the directory and clear away what a dead daemon left. Raises: LeaseHeld, DataDirectoryError."""
        try:
            places.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            places.logs.mkdir(exist_ok=True, mode=0o700)
            lock = FileLock(places.lock)
            is_mine = lock.try_acquire()
        except OSError as error:
            msg = f"the data directory {places.data_dir} cannot be used: {error.strerror or error}"
            hint = "make it writable for this user, or name another one with --data-dir or MEMMCP_DATA_DIR"
            raise DataDirectoryError(msg, field="data_dir", hint=hint) from error
        if not is_mine:
            record = read_record(places) or {}
            msg = f"another daemon (pid {record.get('pid', 'unknown')}) owns {places.data_dir}"
            hint = f"it listens on {record.get('http', 'an address not written down yet')}; `memmcp stop` ends it"
            raise LeaseHeld(msg, field="data_dir", hint=hint)
        lease = cls(places, lock)
        lease._clear_leftovers()
        return lease

    def _clear_leftovers(self) -> None:
        record = read_record(self.places)
        if record is not None:
            _remove_socket(Path(str(record["socket"])))
        self.places.record.unlink(missing_ok=True)
        self.places.socket.unlink(missing_ok=True)

    def socket_path(self) -> Path:
        """Return where the bridges' socket goes: the data directory, or a private folder when that path is too long."""
        path = self.places.socket
        if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
            # mkdtemp makes the folder 0700 under a name that nobody can have prepared.
            path = Path(tempfile.mkdtemp(prefix=SOCKET_DIRECTORY_PREFIX)) / "daemon.sock"
        self._socket_path = path
        return path

    def publish(self, record: Record) -> None:
        """Say where the daemon listens, in one step. Raises: DataDirectoryError."""
        path = self.places.record
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            draft.unlink(missing_ok=True)
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(record.document(), file)
            draft.replace(path)
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror or error}"
            raise DataDirectoryError(msg, field="data_dir", hint="make room, or make it writable") from error

    def mark_stopped(self) -> None:
        """Tell the bridges that this end is wanted: they come back on their client's next message only."""
        with contextlib.suppress(OSError):
            self.places.stopped.touch(mode=0o600)

    def clear_stopped(self) -> None:
        with contextlib.suppress(OSError):
            self.places.stopped.unlink(missing_ok=True)

    def release(self) -> None:
        """Take the record and the socket away, then let go. Repeating it changes nothing."""
        with contextlib.suppress(OSError):
            self.places.record.unlink(missing_ok=True)
        if self._socket_path is not None:
            _remove_socket(self._socket_path)
        self._lock.release()


def _remove_socket(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    if path.parent.name.startswith(SOCKET_DIRECTORY_PREFIX) and path.parent.parent == Path(tempfile.gettempdir()):
        shutil.rmtree(path.parent, ignore_errors=True)
