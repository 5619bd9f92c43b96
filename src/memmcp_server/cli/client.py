"""Speak to the daemon over HTTP, with nothing but the standard library: a command should be there at once."""

import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from memmcp_server.daemon.finding import CannotReach, Finder, read_record
from memmcp_server.daemon.locking import FileLock
from memmcp_server.daemon.places import Places, resolve_data_dir

TIMEOUT_S = 30.0
LONG_TIMEOUT_S = 600.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
AGENT = "cli"
REFUSED = (400, 403, 404, 409, 413, 422)


class NoDaemon(Exception):
    """Nothing answers for this data directory; the text says what to do."""


class Failed(Exception):
    """The daemon understood and said no, or something is wrong here."""

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self._status = status

    @property
    def is_refusal(self) -> bool:
        """Whether the daemon will not take just this; the same call fails again, another one need not."""
        return self._status in REFUSED


class Client:
    """One daemon, found through the record in its data directory."""

    def __init__(self, record: Mapping[str, object]) -> None:
        self.record = record
        url = urlsplit(str(record.get("http", "")))
        self._host = url.hostname or "127.0.0.1"
        self._port = url.port or 80
        self._token = str(record.get("token", ""))

    def get(self, path: str, query: Mapping[str, object] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
        pairs = [(name, value) for name, value in (query or {}).items() if value is not None]
        flat = [
            (name, _text(item)) for name, value in pairs for item in (value if isinstance(value, list) else [value])
        ]
        return self._call("GET", f"{path}?{urlencode(flat)}" if flat else path, None, timeout_s)

    def post(self, path: str, body: Mapping[str, object] | None = None, timeout_s: float = TIMEOUT_S) -> Any:
        return self._call("POST", path, None if body is None else json.dumps(body).encode(), timeout_s)

    def _call(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", "X-Memmcp-Agent": AGENT}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            raw = response.read(ANSWER_BYTES_MAX)
        except TimeoutError as error:
            msg = f"the daemon (pid {self.record.get('pid')}) does not answer within {timeout_s:g} s: see `memmcp logs`"
            raise NoDaemon(msg) from error
        except (OSError, http.client.HTTPException) as error:
            msg = f"the daemon at {self._host}:{self._port} cannot be reached ({error}): see `memmcp doctor`"
            raise NoDaemon(msg) from error
        finally:
            connection.close()
        return _parsed(response.status, raw)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parsed(status: int, raw: bytes) -> Any:
    try:
        document = json.loads(raw) if raw else {}
    except ValueError as error:
        msg = f"what answers at the daemon's address is no memMCP daemon (HTTP {status})"
        raise Failed(msg, hint="see `memmcp doctor`") from error
    if status < 400:
        return document
    problem = document.get("error") if isinstance(document, dict) else None
    if not isinstance(problem, dict):
        msg = f"the daemon answered HTTP {status}"
        raise Failed(msg)
    raise Failed(str(problem.get("message")), hint=problem.get("hint"), status=status)


def places_of(data_dir: Path | None) -> Places:
    return Places(resolve_data_dir(data_dir, os.environ))


def is_served(places: Places) -> bool:
    """Whether a daemon holds the lease, whatever its record says."""
    if not places.lock.exists():
        return False
    lock = FileLock(places.lock)
    try:
        is_free = lock.try_acquire()
    except OSError:
        return False
    lock.release()
    return not is_free


def find(places: Places) -> Client:
    """Return the running daemon. Raises: NoDaemon."""
    record = read_record(places)
    if record is None or not is_served(places):
        msg = f"no daemon serves {places.data_dir}: start one with `memmcp serve`, or connect an agent"
        raise NoDaemon(msg)
    return Client(record)


@contextmanager
def found_or_started(places: Places) -> Iterator[Client]:
    """Find the daemon or start it, as a bridge does; it is held for as long as the block runs. Raises: NoDaemon."""
    try:
        line, _ = Finder(places, os.environ, f"{AGENT}-{os.getpid()}").connect()
    except CannotReach as error:
        raise NoDaemon(str(error)) from error
    try:
        yield find(places)
    finally:
        line.sock.close()


def wait_until_free(places: Places, timeout_s: float) -> bool:
    """Return whether the lease was let go within the time."""
    deadline_s = time.monotonic() + timeout_s
    while is_served(places):
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(0.05)
    return True
