"""The signer's record: append-only lines, each chained to the one before, those that carry state under a MAC.

A line is JSON: ``seq`` from 1, ``ts_ns``, ``kind``, ``body``, ``before`` (the hash of the line before), ``hash``, and
``mac`` once the signer is unlocked. What the signer may do is folded from lines with a good MAC alone. ``head.json``
beside it says how far the record was, so that one that was cut short is noticed.
"""

import fcntl
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from trading.errors import JournalUnavailable

from .files import require_private_folder

LOG_NAME: Final = "audit.jsonl"
HEAD_NAME: Final = "head.json"
LINE_BYTES_MAX: Final = 262_144
_START: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditLine:
    """``is_sealed``: it was written by the unlocked signer, so its body may be believed."""

    seq: int
    ts_ns: int
    kind: str
    body: Mapping[str, Any]
    hash: str
    is_sealed: bool


class AuditAltered(JournalUnavailable):
    """The record is not what was written: nothing is signed on it."""

    code = "audit_altered"


class AuditLog:
    """Open for one process at a time. Raises: JournalUnavailable where another one holds it, or the disk fails."""

    def __init__(self, folder: Path, now_ns: Callable[[], int]) -> None:
        require_private_folder(folder)
        self._folder = folder
        self._now_ns = now_ns
        self._key: bytes | None = None
        self._file = _opened(folder / LOG_NAME)
        self._lines = 0
        self._hash = _START
        try:
            for line in self._read():
                self._lines, self._hash = line["seq"], line["hash"]
        except BaseException:
            self._file.close()
            raise

    def unlock(self, key: bytes) -> list[AuditLine]:
        """Return every line, and seal those that are written from now on. Raises: AuditAltered."""
        lines = []
        for line in self._read():
            given = line.get("mac")
            if given is not None and not hmac.compare_digest(_mac(key, line["hash"]), given):
                msg = f"line {line['seq']} of the signer's record was not written by it"
                raise AuditAltered(msg)
            lines.append(
                AuditLine(line["seq"], line["ts_ns"], line["kind"], line["body"], line["hash"], given is not None)
            )
        self._check_head(key, lines)
        self._key = key
        return lines

    def lock(self) -> None:
        self._key = None

    def append(self, kind: str, body: Mapping[str, Any]) -> AuditLine:
        """Write a line down, durable when it returns. Raises: JournalUnavailable; then nothing may be done on it."""
        ts_ns = self._now_ns()
        line = {"seq": self._lines + 1, "ts_ns": ts_ns, "kind": kind, "body": body, "before": self._hash}
        found = _hash(line)
        mac = {} if self._key is None else {"mac": _mac(self._key, found)}
        text = json.dumps({**line, "hash": found, **mac}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        if len(text) > LINE_BYTES_MAX:
            msg = f"a line of {len(text)} bytes is too long for the record"
            raise JournalUnavailable(msg)
        at = self._file.tell()
        try:
            self._file.write(text)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(at)  # half a line would make the whole record unreadable
            msg = f"the signer cannot write its record: {error.strerror or error}"
            raise JournalUnavailable(msg) from error
        self._lines += 1
        self._hash = found
        self._write_head()
        return AuditLine(self._lines, ts_ns, kind, body, found, self._key is not None)

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        before, seq = _START, 0
        while text := self._file.readline(LINE_BYTES_MAX + 1):
            seq += 1
            if not text.endswith(b"\n"):
                if len(text) > LINE_BYTES_MAX:
                    msg = f"line {seq} of the signer's record is too long"
                    raise AuditAltered(msg)
                # The process died while it wrote: nothing was done on a line that was not whole.
                self._file.seek(-len(text), os.SEEK_END)
                self._file.truncate()
                break
            line = _parsed(text, seq)
            if line["seq"] != seq or line["before"] != before or line["hash"] != _hash(line):
                msg = f"line {seq} of the signer's record does not follow from the one before"
                raise AuditAltered(msg)
            before = line["hash"]
            yield line
        self._file.seek(0, os.SEEK_END)

    def _write_head(self) -> None:
        """Say how far the record is. It may lag behind after a crash, which is why it is only a lower bound."""
        if self._key is None:
            return
        head = {"seq": self._lines, "hash": self._hash, "mac": _mac(self._key, f"head {self._lines} {self._hash}")}
        beside = self._folder / f".{HEAD_NAME}"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(head).encode())
        beside.replace(self._folder / HEAD_NAME)

    def _check_head(self, key: bytes, lines: list[AuditLine]) -> None:
        try:
            head = json.loads((self._folder / HEAD_NAME).read_bytes())
            seq, found, mac = int(head["seq"]), str(head["hash"]), str(head["mac"])
        except FileNotFoundError:
            if any(line.is_sealed for line in lines):
                msg = f"{HEAD_NAME} is gone, so that nobody can tell whether the record is whole"
                raise AuditAltered(msg, hint="see docs/threat-model.md, a record that was altered") from None
            return
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{HEAD_NAME} of the signer is unreadable"
            raise AuditAltered(msg) from error
        if not hmac.compare_digest(_mac(key, f"head {seq} {found}"), mac):
            msg = f"{HEAD_NAME} was not written by the signer"
            raise AuditAltered(msg)
        if seq > len(lines) or lines[seq - 1].hash != found:
            msg = f"the signer's record was cut short: it has {len(lines)} lines and had {seq}"
            raise AuditAltered(msg, hint="put the whole record back; a copy of an old one is not enough")


def _opened(path: Path) -> IO[bytes]:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = os.fdopen(os.open(path, flags, 0o600), "r+b")
        try:
            seen = os.fstat(file.fileno())
            if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid() or stat.S_IMODE(seen.st_mode) & 0o077:
                msg = f"{path} must be a plain file of user {os.geteuid()} that nobody else can touch"
                raise JournalUnavailable(msg)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            file.close()
            raise
    except BlockingIOError as error:
        msg = f"another signer has {path} open"
        raise JournalUnavailable(msg, hint="stop it first") from error
    except OSError as error:
        msg = f"{path} cannot be opened: {error.strerror or error}"
        raise JournalUnavailable(msg) from error
    return file


def _parsed(text: bytes, seq: int) -> dict[str, Any]:
    try:
        line: dict[str, Any] = json.loads(text)
        if {"seq", "ts_ns", "kind", "body", "before", "hash"} - set(line):
            raise ValueError
    except (ValueError, TypeError) as error:
        msg = f"line {seq} of the signer's record is unreadable"
        raise AuditAltered(msg) from error
    return line


def _hash(line: Mapping[str, Any]) -> str:
    said = [line["seq"], line["ts_ns"], line["kind"], line["body"], line["before"]]
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, b"memmcp audit 1\0" + text.encode(), hashlib.sha256).hexdigest()
