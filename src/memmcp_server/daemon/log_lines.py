"""Reads the daemon's log back: JSON lines, and the text lines of before or of ``logs.format = text``."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .logs import KEPT_FILES

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
TEXT_LINE: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) ([A-Z]+) (\S+): (.*)", re.DOTALL)
READ_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one file; a rotated file is far shorter unless somebody raised its bound."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One record. ``more`` are the lines behind its first: a traceback. ``raw`` is it as it stands in the file."""

    raw: str
    ts: str = ""
    level: str = ""
    logger: str = ""
    message: str = ""
    request: str = ""
    agent: str = ""
    tool: str = ""
    trace_id: str = ""
    more: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """``level``: this or worse, empty for all. ``request``: its name or how it begins. ``since_ts``: as a ``ts``."""

    level: str = ""
    request: str = ""
    since_ts: str = ""

    def takes(self, entry: LogEntry) -> bool:
        if self.level and (entry.level not in LEVELS or LEVELS.index(entry.level) < LEVELS.index(self.level)):
            return False
        if self.request and not entry.request.startswith(self.request):
            return False
        return not self.since_ts or entry.ts[:19] >= self.since_ts[:19]


def newest(log: Path, count: int, wanted: Wanted) -> list[LogEntry]:
    """Return the newest entries that are wanted, oldest first, over the rotated files too."""
    found: list[LogEntry] = []
    for path in files_of(log):
        for entry in reversed(list(entries(_lines(path)))):
            if wanted.takes(entry):
                found.append(entry)
                if len(found) == count:
                    return found[::-1]
            elif wanted.since_ts and entry.ts and entry.ts[:19] < wanted.since_ts[:19]:
                return found[::-1]
    return found[::-1]


def files_of(log: Path) -> list[Path]:
    """Return the log and what was rotated away, newest first."""
    rotated = [log.with_name(f"{log.name}.{number}") for number in range(1, KEPT_FILES + 1)]
    return [path for path in (log, *rotated) if path.exists()]


def entries(lines: Iterable[str]) -> Iterator[LogEntry]:
    """Yield the records of these lines. What begins none belongs to the one before it."""
    held: list[str] = []
    for line in lines:
        if held and begins_record(line):
            yield entry_of(held)
            held = []
        held.append(line)
    if held:
        yield entry_of(held)


def begins_record(line: str) -> bool:
    return line.startswith("{") or TEXT_LINE.match(line) is not None


def entry_of(lines: Sequence[str]) -> LogEntry:
    """Return the record of these lines; one that nobody can read is its own text."""
    raw = "\n".join(lines)
    if lines[0].startswith("{"):
        try:
            fields = json.loads(lines[0])
        except ValueError:
            return LogEntry(raw, message=raw)
        if isinstance(fields, dict):
            return _of_fields(raw, fields, lines[1:])
    matched = TEXT_LINE.match(lines[0])
    if matched is None:
        return LogEntry(raw, message=raw)
    ts, level, logger, message = matched.groups()
    return LogEntry(raw, ts, level.lower(), logger, message, more="\n".join(lines[1:]))


def _of_fields(raw: str, fields: dict[str, Any], behind: Sequence[str]) -> LogEntry:
    def text(name: str) -> str:
        return str(fields.get(name, ""))

    error = fields.get("error")
    traceback = str(error.get("traceback", "")) if isinstance(error, dict) else ""
    return LogEntry(
        raw,
        ts=text("ts"),
        level=text("level"),
        logger=text("logger"),
        message=text("message"),
        request=text("request"),
        agent=text("agent"),
        tool=text("tool"),
        trace_id=text("trace_id"),
        more="\n".join(part for part in (traceback, text("stack"), *behind) if part),
    )


def _lines(path: Path) -> list[str]:
    # Not splitlines: that takes for an end what may stand in a text, such as U+2028.
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - READ_BYTES_MAX))
            text = file.read(READ_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return []  # rotated away meanwhile
    return text.removesuffix("\n").split("\n") if text else []


class Follower:
    """Gives what is added to a file, over its rotation; ``poll`` never waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._file.seek(0, 2)
        self._rest = b""

    def poll(self) -> Iterator[LogEntry]:
        """Yield the records that are complete by now."""
        while chunk := self._file.read(65_536):
            self._rest += chunk
        whole, _, self._rest = self._rest.rpartition(b"\n")
        if whole:
            yield from entries(whole.decode("utf-8", "replace").split("\n"))
        if self._is_rotated():
            self._file.close()
            self._file = self._path.open("rb")

    def _is_rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except OSError:
            return False

    def close(self) -> None:
        self._file.close()
