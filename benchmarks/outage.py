"""Send every write three times while the index is down and the daemon is killed; hold what is there against it.

    python -m benchmarks.outage --writes 1000 --down 30 [--database postgresql]

Four agents behind bridges write, each text three times. Meanwhile the index cannot open its store (somebody else holds
its lock), and the daemon is killed with SIGKILL half way through. Afterwards exactly one memory a text must be there,
and search must find each of them by its words.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.agents import POLL_S, Agent, Disconnected, daemon_pid, http_client, until
from tests.support.homes import DATABASES, SQLITE, home

from memmcp_server.adapters.index.lock import LockHeld, acquire

from .crash import ANSWER_TIMEOUT_S, CATCH_UP_TIMEOUT_S, answering, contents_of, pending

WRITERS = 4
TIMES = 3
LOCK_PATIENCE_S = 30.0
NAMESPACE = "outage"


@dataclass
class Outcome:
    """``missing``: acknowledged and not there. ``hidden``: there and not found. ``index``: what it said meanwhile."""

    writes: int
    sent: int
    acknowledged: int
    stored: int
    missing: list[str]
    doubled: list[str]
    hidden: list[str]
    index: set[str]
    down_s: float

    @property
    def is_sound(self) -> bool:
        whole = self.acknowledged == self.stored == self.writes
        return whole and not (self.missing or self.doubled or self.hidden) and "down" in self.index

    def line(self) -> str:
        return (
            f"outage: {self.writes} texts sent {self.sent} times with the index down for {self.down_s:.0f} s and the "
            f"daemon killed once: {self.stored} stored, {len(self.missing)} missing, {len(self.doubled)} twice, "
            f"{len(self.hidden)} not found"
        )


class Writer(threading.Thread):
    """One agent that writes each of its texts three times, and each time until it is acknowledged."""

    def __init__(self, agent: Agent, texts: list[str]) -> None:
        super().__init__(daemon=True)
        self.agent = agent
        self.texts = texts
        self.acknowledged: set[str] = set()
        self.sent = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            for text in self.texts:
                for _ in range(TIMES):
                    self._write(text)
        except (OSError, TimeoutError, Disconnected) as error:
            self.failure = error

    def _write(self, text: str) -> None:
        arguments = {"content": text, "namespace": NAMESPACE}
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < deadline_s:
            self.sent += 1
            answer = self.agent.request(
                "tools/call", {"name": "memory_write", "arguments": arguments}, timeout_s=ANSWER_TIMEOUT_S
            )
            if "error" not in answer and not answer["result"].get("isError"):
                self.acknowledged.add(text)
                return
            time.sleep(0.05)
        msg = f"{text!r} was not acknowledged within {ANSWER_TIMEOUT_S} s"
        raise TimeoutError(msg)


@contextlib.contextmanager
def index_down(data_dir: Path) -> Iterator[None]:
    """Kill the index worker and keep its store from being opened for as long as the block runs."""
    lock_path = data_dir / "index.lock"
    deadline_s = time.monotonic() + LOCK_PATIENCE_S
    while True:
        _kill_workers(daemon_pid(data_dir))
        try:
            held = acquire(lock_path, 0.5)
            break
        except LockHeld:
            if time.monotonic() > deadline_s:
                raise
    try:
        yield
    finally:
        held.close()


def _kill_workers(daemon: int) -> None:
    """Kill the daemon's children; its index worker is the only one that matters here."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == daemon and b"index.worker" in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


def run(writes: int, down_s: float, database: str = SQLITE) -> Outcome:
    """Raises: RuntimeError when a writer gets no answers any more."""
    texts = [f"outage note number {number} of the ledger" for number in range(writes)]
    with home(database) as place, contextlib.ExitStack() as stack:
        data_dir = place.data_dir
        writers = []
        for number in range(WRITERS):
            agent = Agent(data_dir, name=f"writer-{number}")
            stack.callback(agent.close)
            agent.initialize(60)
            writers.append(Writer(agent, texts[number::WRITERS]))
        began_s = time.monotonic()
        said: set[str] = set()
        with index_down(data_dir):
            for writer in writers:
                writer.start()
            until(lambda: sum(len(each.acknowledged) for each in writers) >= writes // 2, CATCH_UP_TIMEOUT_S, POLL_S)
            os.kill(daemon_pid(data_dir), signal.SIGKILL)
            for writer in writers:
                writer.join(CATCH_UP_TIMEOUT_S + ANSWER_TIMEOUT_S)
                if writer.failure is not None or writer.is_alive():
                    msg = f"a writer came to a stop: {writer.failure}"
                    raise RuntimeError(msg)
            client = answering(data_dir)
            until(lambda: said.add(_index_state(data_dir)) or "down" in said, CATCH_UP_TIMEOUT_S, 0.1)  # type: ignore[func-returns-value]
            time.sleep(max(0.0, down_s - (time.monotonic() - began_s)))
        down = time.monotonic() - began_s
        until(lambda: pending(client) == 0, CATCH_UP_TIMEOUT_S, 0.1)
        stored = Counter(content for content in contents_of(client) if content.startswith("outage note"))
        acknowledged = {text for writer in writers for text in writer.acknowledged}
        hidden = [text for text in texts if not _is_found(data_dir, text)]
        return Outcome(
            writes=writes,
            sent=sum(writer.sent for writer in writers),
            acknowledged=len(acknowledged),
            stored=sum(stored.values()),
            missing=sorted(acknowledged - set(stored)),
            doubled=sorted(text for text, count in stored.items() if count > 1),
            hidden=hidden,
            index=said,
            down_s=down,
        )


def _index_state(data_dir: Path) -> str:
    return str(http_client(data_dir).get("/telemetry/metrics")["index"]["state"])


def _is_found(data_dir: Path, text: str) -> bool:
    query = {"query": text, "namespace": NAMESPACE, "limit": 5}
    return text in [hit["content"] for hit in http_client(data_dir).get("/memory/search", query)["hits"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--writes", type=int, default=1_000)
    parser.add_argument("--down", type=float, default=30.0, help="seconds the index is down at least")
    parser.add_argument("--database", choices=DATABASES, default=SQLITE, help="where the journal is")
    arguments = parser.parse_args()
    outcome = run(arguments.writes, arguments.down, arguments.database)
    print(outcome.line())
    for name in ("missing", "doubled", "hidden"):
        for content in getattr(outcome, name)[:10]:
            print(f"  {name}: {content}")
    return 0 if outcome.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
