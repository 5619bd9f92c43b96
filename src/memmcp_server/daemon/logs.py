"""The daemon's log: one rotating file of JSON lines, readable by its owner alone, without secrets.

A line says ``ts`` (UTC), ``level``, ``logger``, ``message``; of a request its ``request``, ``agent`` and ``tool``, of a
span ``trace_id`` and ``span_id``, of the trading loop ``run`` and ``cycle``; and of a failure ``error`` with its type,
message and traceback. What a person reads on the terminal is text.
"""

import json
import logging
import logging.handlers
import os
import re
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memmcp_server.config import LogsSection
from memmcp_server.domain.correlation import current
from memmcp_server.domain.secrets import redacted
from memmcp_server.ports import SecretScanner

KEPT_FILES = 3
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
REDACTED = "[redacted]"
SECRET_CHARS_MIN = 8
MESSAGE_CHARS_MAX = 16_384
TRACEBACK_CHARS_MAX = 16_384
CUT = "\n[...]\n"
LOOP_FIELDS = ("run", "cycle")
"""What a record of the trading loop carries in its ``extra``."""

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


class JsonLines(Redacting):
    """Writes each record as one line of JSON; every text in it is redacted, and bounded."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "ts": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage(), MESSAGE_CHARS_MAX),
        }
        correlation = current()
        if correlation is not None:
            for name in ("request", "agent", "tool", "trace_id", "span_id"):
                if told := getattr(correlation, name):
                    line[name] = self.redact(told)
        for name in LOOP_FIELDS:
            if (told := getattr(record, name, None)) is not None:
                line[name] = told if isinstance(told, int) else self.redact(str(told))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = self._error(record.exc_info[1])
        if record.stack_info:
            line["stack"] = self._clean(record.stack_info, TRACEBACK_CHARS_MAX)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))

    def _error(self, error: BaseException) -> dict[str, str]:
        told = "".join(traceback.format_exception(error)).rstrip("\n")
        return {
            "type": type(error).__qualname__,
            "message": self._clean(str(error), MESSAGE_CHARS_MAX),
            "traceback": self._clean(told, TRACEBACK_CHARS_MAX),
        }

    def _clean(self, text: str, chars_max: int) -> str:
        """Return a text without secrets, and bounded. It is cut twice: what the first cut leaves of a secret at its
        seam, where nobody would know it any more, the second one takes away."""
        return _bounded(self.redact(_bounded(text, 4 * chars_max)), chars_max)


def _bounded(text: str, chars_max: int) -> str:
    """Return a text with its middle left out where it is too long: the beginning names the place, the end the cause."""
    if len(text) <= chars_max:
        return text
    return text[: chars_max // 4] + CUT + text[-chars_max * 3 // 4 :]


class PrivateRotatingHandler(logging.handlers.RotatingFileHandler):
    """A rotating file that is created 0600."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base's own return type is not public
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT, 0o600))
        return super()._open()


def configure(
    path: Path,
    bytes_max: int,
    secrets: Iterable[str],
    scanner: SecretScanner,
    *,
    also_stderr: bool,
    section: LogsSection | None = None,
) -> None:
    """Send the process's log to the file, and its warnings to stderr when a person is watching. Raises: OSError."""
    text = Redacting(secrets := list(secrets), scanner)
    is_text = section is not None and section.format == "text"
    file = PrivateRotatingHandler(path, maxBytes=bytes_max, backupCount=KEPT_FILES, encoding="utf-8")
    file.setFormatter(text if is_text else JsonLines(secrets, scanner))
    handlers: list[logging.Handler] = [file]
    if also_stderr:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setLevel(logging.WARNING)
        terminal.setFormatter(text)
        handlers.append(terminal)
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(True)
    # One line per request of every library would bury what matters.
    for chatty in ("httpx2", "httpcore", "mcp", "uvicorn.access", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
