"""A file of JSON lines, read with a bound: a line that is too long is passed over without being held in memory."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .found import NotReadable

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """``document`` None: ``problem`` says what is wrong with it. ``done`` counts the bytes up to its end."""

    number: int
    done: int
    size: int
    document: dict[str, Any] | None = None
    problem: str = ""


def open_lines(path: Path) -> BinaryIO:
    """Open a regular file: a pipe or a device would block or never end. Raises: NotReadable."""
    try:
        if not path.is_file():
            message = f"{path} is no file" if path.exists() else f"there is no {path}"
            raise NotReadable(message)
        return path.open("rb")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise NotReadable(message) from error


def read_lines(file: BinaryIO, name: str, line_bytes_max: int) -> Iterator[Line]:
    """Yield every line that is not blank, numbered from 1. Raises: NotReadable (the disk fails)."""
    number = done = 0
    try:
        while raw := file.readline(line_bytes_max + 1):
            number += 1
            done += len(raw)
            if len(raw) > line_bytes_max and not raw.endswith(b"\n"):
                done += _rest_of_line(file)
                yield Line(number, done, 0, problem=f"longer than {line_bytes_max} bytes")
            elif raw.strip():
                yield _parsed(number, done, raw)
    except OSError as error:
        message = f"{name} cannot be read on after line {number}: {error.strerror or error}"
        raise NotReadable(message) from error


def _rest_of_line(file: BinaryIO) -> int:
    size = 0
    while piece := file.readline(PIECE_BYTES):
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _parsed(number: int, done: int, raw: bytes) -> Line:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return Line(number, done, len(raw), problem=f"not JSON ({error})")
    if not isinstance(document, dict):
        return Line(number, done, len(raw), problem="not a JSON object")
    return Line(number, done, len(raw), document)
