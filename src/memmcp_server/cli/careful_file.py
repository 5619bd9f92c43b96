"""A person's file, changed with care: read whole, shown as a difference, kept as a back-up, replaced in one step."""

import difflib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from memmcp_server.errors import InvalidInput

FILE_BYTES_MAX = 8 * 1024 * 1024
BOM = "\ufeff"
MASK = "***"

_NAMED_SECRET = re.compile(
    r"""(?i)((?:[\w-]*(?:token|secret|passw|credential|api[_-]?key|private[_-]?key|[_-]key\b)[\w-]*|authorization)"""
    r"""["']?\s*[:=,]?\s*["']?(?:bearer\s+|basic\s+)?)((?!bearer\b|basic\b)[^\s"',}\]]{4,})"""
)
_BEARER = re.compile(r"(?i)((?:bearer|basic)\s+)(?!\$\{)[^\s\"',}\]]+")
_LONG = re.compile(r"(?<![\w./\\-])(?=[\w+=-]*\d)(?=[\w+=-]*[A-Za-z])[\w+=-]{20,}(?![\w./\\-])")
_LOGIN = re.compile(r"(://)[^/\s\"@]+@")


@dataclass(frozen=True)
class Change:
    """What would be written. ``before`` None: there is no file yet; ``after`` None: the file goes."""

    path: Path
    before: str | None
    after: str | None
    hidden: frozenset[str] = frozenset()

    @property
    def is_needed(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        """Return the change as a unified diff in which no secret of anybody's can be read."""
        old, new = (_lines(text) for text in (self.before, self.after))
        label = str(self.path)
        lines = list(difflib.unified_diff(old, new, label, label, lineterm=""))
        return "\n".join([*lines[:2], *(masked(line, self.hidden) for line in lines[2:])])


def _lines(text: str | None) -> list[str]:
    return [] if text is None else text.removeprefix(BOM).splitlines()


def masked(line: str, hidden: frozenset[str] = frozenset()) -> str:
    """Return the line without what looks like a secret; a reference such as ``${env:NAME}`` stays."""
    for value in sorted(hidden, key=len, reverse=True):
        line = line.replace(value, MASK)
    line = _LOGIN.sub(rf"\1{MASK}@", line)
    line = _BEARER.sub(rf"\1{MASK}", line)
    line = _NAMED_SECRET.sub(_unless_reference, line)
    return _LONG.sub(MASK, line)


def _unless_reference(match: re.Match[str]) -> str:
    names_one = match.group(2).startswith(("$", MASK)) or "env_var" in match.group(1)
    return match.group() if names_one else match.group(1) + MASK


def read(path: Path) -> str | None:
    """Return the text with its byte order mark and its line ends as they are, None when there is no file.

    Raises: InvalidInput when it cannot be read as UTF-8 or is larger than ``FILE_BYTES_MAX``.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise InvalidInput(msg, field="--config", hint="make it readable, or name another file") from error
    if len(raw) > FILE_BYTES_MAX:
        msg = f"{path} is larger than {FILE_BYTES_MAX} bytes, so it is left alone"
        raise InvalidInput(msg, field="--config")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 ({error.reason} at byte {error.start}), so it is left alone"
        raise InvalidInput(msg, field="--config", hint="save it as UTF-8") from error


def apply(change: Change) -> Path | None:
    """Write the file in one step, keeping its mode; return the back-up of what was there.

    Raises: InvalidInput when it cannot be written or became another one since it was read; nothing is changed then.
    """
    # A file that is a link into somebody's dotfiles stays one.
    path = change.path.resolve()
    draft = path.with_name(f"{path.name}.memmcp-{os.getpid()}")
    backup: Path | None = None
    try:
        if change.before is not None and not (path.stat().st_mode & 0o200 and os.access(path, os.W_OK)):
            raise PermissionError(13, "it is read-only")
        if read(path) != change.before:
            msg = f"{path} was changed by another program in the meantime"
            raise InvalidInput(msg, field="--config", hint="run the command once more; nothing was changed")
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600
        if change.before is not None:
            mode = path.stat().st_mode & 0o777
            backup = _free_name(path)
            _write(backup, change.before.encode(), mode)
        if change.after is None:
            path.unlink()
        else:
            _write(draft, change.after.encode(), mode)
            draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        if backup:
            backup.unlink(missing_ok=True)
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise InvalidInput(msg, field="--config", hint="nothing was changed; make it writable") from error
    return backup


def _free_name(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    candidate = path.with_name(f"{path.name}.{stamp}.bak")
    number = 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{stamp}-{number}.bak")
    return candidate


def _write(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(mode)
