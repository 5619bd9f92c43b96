"""Advisory file locks that a dead process cannot keep. Standard library only."""

import contextlib
import os
import sys
import time
from pathlib import Path

POLL_S = 0.02


class FileLock:
    """An exclusive lock on a file, held until ``release`` or the end of the process."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def try_acquire(self) -> bool:
        """Take the lock now, or say that somebody else has it. Raises: OSError when the file cannot be opened."""
        # Not inheritable (the default), so that no child keeps the lock of a dead parent.
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(fd)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def acquire(self, deadline_s: float) -> bool:
        """Poll until ``deadline_s`` (monotonic); False when the time is over."""
        while not self.try_acquire():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(POLL_S)
        return True

    def release(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with contextlib.suppress(OSError):
                _unlock(fd)
            os.close(fd)


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)
