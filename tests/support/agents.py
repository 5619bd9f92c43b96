"""Agents as clients start them: ``memmcp stdio`` processes spoken to by lines, and the data directory they share."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memmcp_server.cli.client import Client, is_served
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = (sys.executable, "-m", "memmcp_server", "stdio")
PROTOCOL_VERSION = "2025-11-25"
QUIET = {
    # A free port, no desk, words only: what these tests start has to be up quickly on a busy machine.
    "MEMMCP_HTTP__PORT": "0",
    "MEMMCP_TRADING__ENABLED": "false",
    "MEMMCP_EMBEDDING__MODEL": "none/none",
    "MEMMCP_EMBEDDING__ALLOW_DOWNLOAD": "false",
    **{f"MEMMCP_QUOTAS__{kind}_PER_MINUTE_MAX": "0" for kind in ("READS", "WRITES", "ORDERS")},
}

POLL_S, POLL_MAX_S = 0.02, 0.25


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without settings of ours, plus the quiet ones and ``extra``."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("MEMMCP_", "TRADING_"))}
    return {**base, **QUIET, **(extra or {})}


class Disconnected(Exception):
    """The bridge closed its output."""


class Agent:
    """One ``memmcp stdio`` process."""

    def __init__(
        self,
        data_dir: Path,
        *,
        command: Sequence[str] = BRIDGE,
        environ: Mapping[str, str] | None = None,
        name: str = "agent",
    ) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ) if environ is not None else environment(),
            cwd=ROOT,
        )
        self.notifications: queue.Queue[dict[str, Any]] = queue.Queue()
        self.strays: queue.Queue[dict[str, Any]] = queue.Queue()
        self._answers: dict[int | str, queue.Queue[dict[str, Any]]] = {}
        self._last_id = 0
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            answers = self._answers.get(message.get("id")) if "method" not in message else None
            if answers is not None:
                answers.put(message)
            elif "method" in message:
                self.notifications.put(message)
            else:
                self.strays.put(message)
        for answers in list(self._answers.values()):
            answers.put({"disconnected": True})

    def send(self, message: Mapping[str, Any] | bytes) -> None:
        assert self.process.stdin is not None
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def begin(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a request; return its id for ``answer``."""
        with self._lock:
            self._last_id += 1
            request_id = self._last_id
            self._answers[request_id] = queue.Queue()
            self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}})
        return request_id

    def answer(self, request_id: int, timeout_s: float = 30.0) -> dict[str, Any]:
        try:
            message = self._answers[request_id].get(timeout=timeout_s)
        except queue.Empty as error:
            msg = f"{self.name}: no answer to request {request_id} within {timeout_s} s"
            raise TimeoutError(msg) from error
        del self._answers[request_id]
        if "disconnected" in message:
            raise Disconnected(self.name)
        return message

    def request(self, method: str, params: Mapping[str, Any] | None = None, timeout_s: float = 30.0) -> dict[str, Any]:
        return self.answer(self.begin(method, params), timeout_s)

    def initialize(self, timeout_s: float = 30.0) -> dict[str, Any]:
        answer = self.request("initialize", self.handshake(), timeout_s)
        assert "result" in answer, answer
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        # The bridge may have answered before there was a daemon; a test that goes on wants one.
        self.request("ping", timeout_s=timeout_s)
        return answer

    def handshake(self) -> dict[str, Any]:
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": {"name": self.name, "version": "1"},
        }

    def call(self, tool: str, timeout_s: float = 30.0, **arguments: Any) -> dict[str, Any]:
        """Return a tool's structured content. Raises: AssertionError with what came instead."""
        answer = self.request("tools/call", {"name": tool, "arguments": arguments}, timeout_s)
        assert "result" in answer, answer
        assert not answer["result"].get("isError"), answer
        content: dict[str, Any] = answer["result"]["structuredContent"]
        return content

    def close(self, timeout_s: float = 20.0) -> int:
        """Close stdin as a client does, and return the exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            return self.process.wait(timeout_s)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._reader.join(timeout_s)
            self.process.stdout.close()
            self.process.stderr.close()


@contextlib.contextmanager
def agents(data_dir: Path, count: int, **options: Any) -> Iterator[list[Agent]]:
    started = [Agent(data_dir, name=f"agent-{number}", **options) for number in range(count)]
    try:
        yield started
    finally:
        for agent in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                agent.close()


@contextlib.contextmanager
def data_directory() -> Iterator[Path]:
    """A short path (socket paths are limited), cleared away with the daemon that serves it."""
    directory = Path(tempfile.mkdtemp(prefix="mm-"))
    try:
        yield directory
    finally:
        end_daemon(directory)
        shutil.rmtree(directory, ignore_errors=True)


def daemon_pid(data_dir: Path) -> int:
    """Return the pid of the daemon that says so, 0 when none does (yet)."""
    record = read_record(Places(data_dir))
    return 0 if record is None else int(str(record["pid"]))


def http_client(data_dir: Path) -> Client:
    record = read_record(Places(data_dir))
    assert record is not None, f"no daemon.json in {data_dir}"
    return Client(record)


def end_daemon(data_dir: Path) -> None:
    """Kill the daemon of this directory, if there is one; the lease says so, and the pid is from its own record."""
    places = Places(data_dir)
    for _ in range(3):
        if not is_served(places):
            return
        record = read_record(places)
        if record is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(str(record["pid"])), signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            until(lambda: not is_served(places), timeout_s=5.0)


def until(condition: Callable[[], object], timeout_s: float = 20.0, poll_s: float | None = None) -> None:
    """Wait for a condition, looked at every ``poll_s``; without that the less often the longer it takes.

    Most looks are a request to a daemon that is busy with what is waited for. Raises: TimeoutError.
    """
    began_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began_s
        if waited_s > timeout_s:
            msg = f"not within {timeout_s} s: {condition}"
            raise TimeoutError(msg)
        time.sleep(min(max(POLL_S, waited_s / 10), POLL_MAX_S) if poll_s is None else poll_s)
