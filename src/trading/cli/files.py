"""Results written to files: said beforehand where that cannot be, and never left behind in part."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from trading.errors import InvalidInput, TradingError


class OutputFailed(TradingError):
    """The work is done and its result could not be written where it should go."""

    code = "output_failed"


def require_folder(path: Path | None, field: str) -> None:
    """Say before the work, not after it, that its result has no place to go. Raises: InvalidInput."""
    if path is None:
        return
    parent = path.absolute().parent
    problem = None if os.path.isdir(parent) else f"there is no folder {path.parent}"  # noqa: PTH112 - never raises
    problem = "it is a folder" if os.path.isdir(path) else problem  # noqa: PTH112
    if problem is not None:
        msg = f"{path} cannot be written: {problem}"
        raise InvalidInput(msg, field=field)


def write_whole(path: Path, text: str, field: str) -> None:
    """Write a text so that the file is there as a whole or as it was before. Raises: OutputFailed."""
    write_with(path, lambda file: file.write(text), field)


def write_with(path: Path, write: Callable[[IO[str]], object], field: str) -> None:
    """Let ``write`` fill a file beside the target, then put it in its place: a reader never sees half of it.

    Raises: OutputFailed; whatever ``write`` raises, with nothing left behind.
    """
    beside = path.absolute().parent / f".{path.name[:40]}.{secrets.token_hex(6)}"
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise _failed(path, field, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def _failed(path: Path, field: str, error: OSError) -> OutputFailed:
    return OutputFailed(f"{path} cannot be written: {error.strerror or error}", field=field)
