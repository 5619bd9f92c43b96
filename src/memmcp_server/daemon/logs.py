"""The daemon's log: one rotating file, readable by its owner alone, without secrets."""

import logging
import logging.handlers
import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from memmcp_server.domain.secrets import redacted
from memmcp_server.ports import SecretScanner

KEPT_FILES = 3
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
REDACTED = "[redacted]"
SECRET_CHARS_MIN = 8

SECRET_SHAPES = (
    (re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{8,}"), REDACTED),
    (re.compile(r"(?i)(?<=basic )[\w+/=]{8,}"), REDACTED),
    (
        re.compile(r"(?i)((?:api[_-]?key|token|secret|passw(?:or)?d)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&)]{6,}"),
        rf"\1{REDACTED}",
    ),
    # The credentials of a URL.
    (re.compile(r"(?<=://)[^\s:/@]*:[^\s/@]+(?=@)"), REDACTED),
    # What somebody sent, as the traceback of a failed validation repeats it: the text of a memory may be in it.
    (re.compile(r"(?s)(?<=\[type=)(\w+), input_value=.*?, input_type="), rf"\1, input_value={REDACTED}, input_type="),
)
"""Blunter than the scanner, which lets "token: BONK" pass: nobody searches a log by such a value."""


class Redacting(logging.Formatter):
    """Writes UTC, and neither the secrets it was told, nor what the scanner finds, nor what looks like a credential."""

    def __init__(self, secrets: Iterable[str], scanner: SecretScanner) -> None:
        super().__init__(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
        self._scanner = scanner
        self._secrets = [secret for secret in secrets if len(secret) >= SECRET_CHARS_MIN]

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))

    def redact(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        text = redacted(text, self._scanner.scan)
        for shape, replacement in SECRET_SHAPES:
            text = shape.sub(replacement, text)
        return text

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        return time.strftime(datefmt or "", time.gmtime(record.created))


class PrivateRotatingHandler(logging.handlers.RotatingFileHandler):
    """A rotating file that is created 0600."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base's own return type is not public
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT, 0o600))
        return super()._open()


def configure(path: Path, bytes_max: int, secrets: Iterable[str], scanner: SecretScanner, *, also_stderr: bool) -> None:
    """Send the process's log to the file, and its warnings to stderr when a person is watching. Raises: OSError."""
    formatter = Redacting(secrets, scanner)
    handlers: list[logging.Handler] = [
        PrivateRotatingHandler(path, maxBytes=bytes_max, backupCount=KEPT_FILES, encoding="utf-8")
    ]
    if also_stderr:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setLevel(logging.WARNING)
        handlers.append(terminal)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    logging.captureWarnings(True)
    # One line per request of every library would bury what matters.
    for chatty in ("httpx2", "httpcore", "mcp", "uvicorn.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
