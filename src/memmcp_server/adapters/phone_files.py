"""The phone's state and PIN in private files of the data directory; of the PIN its salted hash alone.

The daemon writes ``phone.json`` and ``phone-told.json``, the command line ``phone-pin.json``: neither writes what the
other one does.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from memmcp_server.domain.phone import Accepted, Asked, PhoneState, Pin, Tries
from memmcp_server.errors import DataDirectoryError

STATE_NAME: Final = "phone.json"
TOLD_NAME: Final = "phone-told.json"
PIN_NAME: Final = "phone-pin.json"
FORMAT: Final = 1
FILE_BYTES_MAX: Final = 262_144


class PhoneFiles:
    """``ports.PhoneBook`` over three files. A file that cannot be understood is an error: it may hold a lock."""

    def __init__(self, data_dir: Path) -> None:
        self._state = data_dir / STATE_NAME
        self._told = data_dir / TOLD_NAME
        self._pin = data_dir / PIN_NAME

    def load(self) -> PhoneState:
        held = _read(self._state)
        if held is None:
            return PhoneState()
        try:
            return PhoneState(
                bot=str(held["bot"]),
                offset=int(held["offset"]),
                offset_at_s=int(held["offset_at_s"]),
                tries=Tries(**held["tries"]),
                asked=None if held["asked"] is None else Asked(**held["asked"]),
                accepted=tuple(Accepted(**each) for each in held["accepted"]),
                strangers=int(held["strangers"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unusable(self._state, f"it cannot be understood ({error!r})") from error

    def save(self, state: PhoneState) -> None:
        _write(self._state, asdict(state))

    def told(self) -> Mapping[str, int]:
        held = _read(self._told)
        try:
            return {} if held is None else {str(name): int(version) for name, version in held["told"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unusable(self._told, f"it cannot be understood ({error!r})") from error

    def save_told(self, told: Mapping[str, int]) -> None:
        _write(self._told, {"told": dict(told)})

    def pin(self) -> Pin | None:
        held = _read(self._pin)
        if held is None:
            return None
        try:
            return Pin(**{name: held[name] for name in ("salt", "hash", "n", "r", "p")})
        except (KeyError, TypeError) as error:
            raise _unusable(self._pin, f"it cannot be understood ({error!r})") from error

    def set_pin(self, pin: Pin) -> None:
        """Keep this one in the place of any other. Raises: DataDirectoryError."""
        _write(self._pin, asdict(pin))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        status = path.stat()
        if status.st_mode & 0o077 and os.name == "posix":
            raise _unusable(path, "others on this machine can read it: chmod 600")
        if status.st_size > FILE_BYTES_MAX:
            raise _unusable(path, f"it is larger than {FILE_BYTES_MAX} bytes")
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unusable(path, f"it cannot be read ({error})"[:200]) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _unusable(path, "another version wrote it")
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, **document}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _unusable(path, error.strerror or str(error)) from error


def _unusable(path: Path, why: str) -> DataDirectoryError:
    msg = f"{path}: {why}"
    return DataDirectoryError(msg, field=path.name, hint="mend it, or remove it and begin anew")
