"""The worker's exclusive lock. The operating system frees it when the process ends, however it ends."""

import os
import sys
import time
from pathlib import Path
from typing import IO

_POLL_S = 0.05


class LockHeld(Exception):
    """Another process has the lock; the message names it where it is known."""


def acquire(path: Path, timeout_s: float) -> IO[str]:
    """Return the locked file; closing it (or dying) frees the lock. Waits for a predecessor that is just ending.

    Raises: LockHeld.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline_s = time.monotonic() + timeout_s
    file = path.open("a+", encoding="ascii")
    while not _try_lock(file):
        if time.monotonic() >= deadline_s:
            file.seek(0)
            holder = file.read(32).strip()
            file.close()
            message = f"{path.name} is held by another process" + (f" (pid {holder})" if holder else "")
            raise LockHeld(message)
        time.sleep(_POLL_S)
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _try_lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 20)  # far beyond the pid, so that others can read it
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
