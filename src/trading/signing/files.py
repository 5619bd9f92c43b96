"""Files that money depends on: opened once, judged by what was opened, written as a whole."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from trading.errors import InvalidInput

_SHARED = stat.S_IRWXG | stat.S_IRWXO


def read_bounded(path: Path, bytes_max: int) -> bytes:
    """Return what a plain file holds. Raises: InvalidInput: a link, no plain file, too large, or it cannot be read."""
    return _read(path, bytes_max, is_private=False)


def read_private(path: Path, bytes_max: int) -> bytes:
    """Return what a file holds that only its owner, who we are, may touch. Raises: InvalidInput, which says why not."""
    return _read(path, bytes_max, is_private=True)


def _read(path: Path, bytes_max: int, *, is_private: bool) -> bytes:
    try:
        # O_NONBLOCK: a pipe that somebody put here must not hold us up.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        msg = f"{path} cannot be opened: {error.strerror or error}"
        hint = "a symbolic link is not followed" if path.is_symlink() else None
        raise InvalidInput(msg, field="path", hint=hint) from error
    with os.fdopen(handle, "rb") as file:
        seen = os.fstat(file.fileno())
        problem = _problem(seen, is_private=is_private)
        if problem:
            msg = f"{path} {problem}"
            raise InvalidInput(msg, field="path", hint="chmod 600, and owned by the user of the signer")
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        msg = f"{path} is larger than {bytes_max} bytes"
        raise InvalidInput(msg, field="path")
    return content


def _problem(seen: os.stat_result, *, is_private: bool) -> str:
    if not stat.S_ISREG(seen.st_mode):
        return "is no plain file"
    if not is_private:
        return ""
    if seen.st_uid != os.geteuid():
        return f"belongs to user {seen.st_uid}, not to us ({os.geteuid()})"
    if stat.S_IMODE(seen.st_mode) & _SHARED:
        return f"may be touched by others (mode {stat.S_IMODE(seen.st_mode):o})"
    if seen.st_nlink != 1:
        return "has a second name, so that a copy of it lies elsewhere"
    return ""


def require_private_folder(path: Path) -> None:
    """Make the folder, or see that it is ours alone. Raises: InvalidInput."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o022:
        msg = f"{path} must be a folder of user {os.geteuid()} that nobody else can write to"
        raise InvalidInput(msg, field="path")


def write_new_private(path: Path, content: bytes) -> None:
    """Write a file that must not be there yet, mode 0600, durably. Raises: InvalidInput where it is, or on a fault."""
    beside = path.parent / f".{path.name[:40]}.{secrets.token_hex(6)}"
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)  # unlike a rename, it never replaces what is there
        finally:
            beside.unlink()
        sync_folder(path.parent)
    except FileExistsError as error:
        msg = f"{path} is there already, and a key is never overwritten"
        raise InvalidInput(msg, field="path") from error
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise InvalidInput(msg, field="path") from error


def sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
