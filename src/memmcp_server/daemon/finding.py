"""Find the daemon of a data directory, or start it. Standard library only.

``daemon.json`` says where it listens; the lock file, not that record, says whether it lives.
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from memmcp_server import __version__

from .locking import FileLock
from .places import Places

TYPE_CHECKING = False  # not from ``typing``: a bridge starts without that import
if TYPE_CHECKING:
    import io
    import subprocess

PROTOCOL = 1
"""Version of the lines that bridge and daemon exchange before the client's own."""

LINE_BYTES_MAX = 4 * 1024 * 1024
START_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
POLL_S = 0.02
SPAWNS_MAX = 2
CHILD_END_S = 2.0
REASON_BYTES_MAX = 2_000

PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA"),
    *("USERPROFILE", "HOMEDRIVE", "HOMEPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE", "FASTEMBED_CACHE_PATH"),
)
PASSED_ON_PREFIXES = ("MEMMCP_", "XDG_", "LC_")
MONEY_SETTINGS = ("MEMMCP_TRADING__MONEY", "MEMMCP_TRADING__PROFILE")
"""Never taken from the environment of whichever agent happened to come first; nor is any TRADING_ variable."""


class CannotReach(Exception):
    """No daemon can be reached or started; the text says why and what to do."""


class Line:
    """A socket read by lines of bounded length."""

    __slots__ = ("_buffer", "_eof", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()
        self._eof = False

    def read(self) -> bytes | None:
        """Return the next line with its newline, None at the end. Raises: OSError, ValueError (line too long)."""
        searched = 0
        while True:
            at = self._buffer.find(b"\n", searched)
            if at >= 0:
                line = bytes(self._buffer[: at + 1])
                del self._buffer[: at + 1]
                return line
            searched = len(self._buffer)
            if searched > LINE_BYTES_MAX:
                msg = f"a line longer than {LINE_BYTES_MAX} bytes"
                raise ValueError(msg)
            chunk = self.sock.recv(65_536)
            if not chunk:
                return None
            self._buffer += chunk


def read_record(places: Places) -> dict[str, object] | None:
    """Return what daemon.json says, None when there is none that can be read."""
    try:
        record = json.loads(places.record.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("socket"), str) else None


def dial(record: Mapping[str, object]) -> socket.socket:
    """Connect to the address of a record: a unix socket's path, or ``tcp:HOST:PORT``. Raises: OSError."""
    address = str(record["socket"])
    if address.startswith("tcp:"):
        host, _, port = address[4:].rpartition(":")
        sock = socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    if sys.platform == "win32":
        msg = f"daemon.json names a unix socket ({address}), which this platform lacks"
        raise OSError(msg)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(CONNECT_TIMEOUT_S)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def greet(line: Line, record: Mapping[str, object], bridge: str, deadline_s: float) -> dict[str, object] | None:
    """Exchange versions on a new connection; None when the daemon went away before it answered.

    Raises: CannotReach when the daemon refuses.
    """
    hello = {"memmcp": "bridge", "protocol": PROTOCOL, "version": __version__, "id": bridge}
    if str(record["socket"]).startswith("tcp:"):
        hello["secret"] = str(record.get("token", ""))
    try:
        line.sock.settimeout(max(0.1, deadline_s - time.monotonic()))
        line.sock.sendall(json.dumps(hello).encode() + b"\n")
        raw = line.read()
        answer = json.loads(raw) if raw else None
    except TimeoutError as error:
        msg = f"the daemon (pid {record.get('pid')}) does not answer: see `memmcp logs`, or `memmcp stop` and try again"
        raise CannotReach(msg) from error
    except (OSError, ValueError):
        return None
    if not isinstance(answer, dict):
        return None
    if answer.get("memmcp") != "daemon":
        raise CannotReach(str(answer.get("reason", "the daemon refused the connection")))
    line.sock.settimeout(None)
    return answer


def spawn_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What a daemon may inherit from the agent that happens to start it."""
    return {
        name: value
        for name, value in environ.items()
        if (name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)) and name not in MONEY_SETTINGS
    }


class Finder:
    """Brings one data directory's daemon within reach, starting it when nobody has."""

    def __init__(self, places: Places, environ: Mapping[str, str], bridge: str, command: tuple[str, ...] = ()) -> None:
        """``command`` replaces the program that is started (it gets ``--data-dir``); tests bring their own daemon."""
        self._places = places
        self._environ = environ
        self._bridge = bridge
        self._command = command or (sys.executable, "-m", "memmcp_server.daemon")
        self._child: subprocess.Popen[bytes] | None = None

    def connect(self, when_absent: Callable[[], None] | None = None) -> tuple[Line, dict[str, object]]:
        """Return a greeted connection and the daemon's answer. Raises: CannotReach.

        ``when_absent`` is called when no daemon runs, before one is started.
        """
        deadline_s = time.monotonic() + START_TIMEOUT_S
        for _ in range(SPAWNS_MAX + 1):
            found = self._dial_running()
            if found is None:
                if when_absent is not None:
                    when_absent()
                found = self._start(deadline_s)
            line, record = found
            try:
                answer = greet(line, record, self._bridge, deadline_s)
            except CannotReach:
                line.sock.close()
                raise
            if answer is not None:
                self._child = None  # it stands on its own feet; its later end is another story
                return line, answer
            line.sock.close()
            self._check_child()
            # It accepted and died before it answered: somebody else's daemon, or one that was just ending.
            time.sleep(POLL_S)
        raise CannotReach(self._reason("the daemon ends before it answers"))

    def is_answering(self, timeout_s: float) -> bool:
        """Say whether the daemon that runs greets in time; True where none runs: that is no hanging."""
        found = self._dial_running()
        if found is None:
            return True
        line, record = found
        try:
            greet(line, record, self._bridge, time.monotonic() + timeout_s)
        except CannotReach:
            return False
        finally:
            line.sock.close()
        return True

    def _check_child(self) -> None:
        """Raises: CannotReach when the daemon that we started gave up: starting another would change nothing.

        One that was killed (a negative code) said nothing of the kind.
        """
        child, self._child = self._child, None
        if child is None:
            return
        deadline_s = time.monotonic() + CHILD_END_S
        while child.poll() is None and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        if child.returncode is not None and child.returncode > 0:
            raise CannotReach(self._reason(f"the daemon ended with exit code {child.returncode}"))

    def _dial_running(self) -> tuple[Line, dict[str, object]] | None:
        record = read_record(self._places)
        if record is None:
            return None
        try:
            return Line(dial(record)), record
        except (OSError, ValueError):
            return None

    def _start(self, deadline_s: float) -> tuple[Line, dict[str, object]]:
        lock = FileLock(self._places.spawn_lock)
        try:
            self._places.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._places.logs.mkdir(exist_ok=True, mode=0o700)
            is_mine = lock.acquire(deadline_s)
        except OSError as error:
            msg = (
                f"the data directory {self._places.data_dir} cannot be used ({error.strerror or error}): "
                "make it writable, or name another one with --data-dir or MEMMCP_DATA_DIR"
            )
            raise CannotReach(msg) from error
        if not is_mine:
            msg = f"another process has been starting a daemon for {START_TIMEOUT_S:.0f} s: see `memmcp logs`"
            raise CannotReach(msg)
        try:
            return self._dial_running() or self._spawn_and_wait(deadline_s)
        finally:
            lock.release()

    def _spawn_and_wait(self, deadline_s: float) -> tuple[Line, dict[str, object]]:
        child = self._child = self._spawn()
        # Nobody else waits for it: without this a daemon that ends stays a zombie for the life of its bridge.
        threading.Thread(target=child.wait, name="reaper", daemon=True).start()
        while time.monotonic() < deadline_s:
            found = self._dial_running()
            if found is not None:
                return found
            code = child.poll()
            # 0: it lost the race to a daemon that is not listening yet.
            if code:
                raise CannotReach(self._reason(f"the daemon ended with exit code {code}"))
            time.sleep(POLL_S)
        raise CannotReach(self._reason(f"the daemon did not listen within {START_TIMEOUT_S:.0f} s"))

    def _spawn(self) -> "subprocess.Popen[bytes]":
        import subprocess  # 15 ms that only the one who starts a daemon pays

        command = [*self._command, "--data-dir", str(self._places.data_dir)]
        environ = spawn_environment(self._environ)
        null = subprocess.DEVNULL
        cwd = self._places.data_dir
        with self._start_output() as out:
            if sys.platform == "win32":
                # Clients put servers into a job that kills its members when it closes: the daemon has to leave it.
                flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
                away = flags | subprocess.CREATE_BREAKAWAY_FROM_JOB
                try:
                    return subprocess.Popen(
                        command, cwd=cwd, env=environ, stdin=null, stdout=out, stderr=out, creationflags=away
                    )
                except OSError:  # the job forbids it
                    return subprocess.Popen(
                        command, cwd=cwd, env=environ, stdin=null, stdout=out, stderr=out, creationflags=flags
                    )
            return subprocess.Popen(
                command, cwd=cwd, env=environ, stdin=null, stdout=out, stderr=out, start_new_session=True
            )

    def _start_output(self) -> "io.FileIO":
        import io

        path = self._places.start_output
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        return io.FileIO(os.open(path, flags, 0o600), "w")

    def _reason(self, what: str) -> str:
        said = tail(self._places.start_output, REASON_BYTES_MAX).strip()
        return f"{what}: {said}" if said else f"{what}: see {self._places.log}, or run `memmcp doctor`"


def tail(path: Path, bytes_max: int) -> str:
    """Return the end of a text file, empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - bytes_max))
            return file.read(bytes_max).decode("utf-8", "replace")
    except OSError:
        return ""
