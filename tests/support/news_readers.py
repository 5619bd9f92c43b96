"""Subscribers of a daemon's news, each a thread that goes on over the daemon's death, and writers at every door."""

import contextlib
import http.client
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from memmcp_server.cli.client import Client, Failed, NoDaemon, find
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places
from tests.support.agents import Agent, Disconnected

POLL_S = 0.02
WAIT_S = 1.0
CHANGES = "memory://changes"


@dataclass
class Row:
    seq: int
    content: str
    at_s: float


@dataclass
class Subscriber:
    """``rows`` is what it saw, in its order; ``connections`` how often it has reached a daemon."""

    name: str
    rows: list[Row] = field(default_factory=list)
    connections: int = 0
    failure: BaseException | None = None

    def saw(self, seq: int, content: str) -> None:
        self.rows.append(Row(seq, content, time.monotonic()))

    @property
    def contents(self) -> set[str]:
        return {row.content for row in list(self.rows)}


def problems(subscriber: Subscriber, expected: set[str]) -> list[str]:
    """Return what is wrong with what a subscriber saw: each must be there once, in the journal's order."""
    found = [] if subscriber.failure is None else [f"it failed: {subscriber.failure!r}"]
    seen = [row.content for row in subscriber.rows]
    missed = expected - set(seen)
    if missed:
        found.append(f"missed {len(missed)}: {sorted(missed)[:5]}")
    if len(seen) != len(set(seen)):
        twice = sorted({each for each in seen if seen.count(each) > 1})
        found.append(f"saw {len(twice)} more than once: {twice[:5]}")
    seqs = [row.seq for row in subscriber.rows]
    if seqs != sorted(seqs):
        found.append("saw them out of order")
    return found


Role = Callable[[Subscriber, threading.Event], None]


@contextlib.contextmanager
def running(roles: Sequence[tuple[Role, Subscriber]]) -> Iterator[None]:
    """Run each subscriber in a thread until the block ends."""
    ending = threading.Event()

    def guarded(role: Role, subscriber: Subscriber) -> None:
        try:
            role(subscriber, ending)
        except BaseException as failure:
            subscriber.failure = failure
            raise

    threads = [threading.Thread(target=guarded, args=each, name=each[1].name) for each in roles]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join(WAIT_S + 10)
            assert not thread.is_alive(), thread.name


def open_connection(data_dir: Path, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection to whoever the data directory says serves it. Raises: OSError."""
    record = read_record(Places(data_dir))
    if record is None:
        msg = "no daemon yet"
        raise ConnectionRefusedError(msg)
    host, _, port = str(record["http"]).removeprefix("http://").rpartition(":")
    return http.client.HTTPConnection(host, int(port), timeout=timeout_s)


def get_json(connection: http.client.HTTPConnection, path: str, agent: str) -> Any:
    connection.request("GET", path, headers={"X-Memmcp-Agent": agent})
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return json.loads(body)


def poll_by_name(data_dir: Path, subscriber: Subscriber, ending: threading.Event) -> None:
    """Long-poll; after a broken connection come back with nothing but the name, and take no seq twice."""
    last_seq = 0
    while not ending.is_set():
        with _broken_is_fine(), contextlib.closing(open_connection(data_dir, WAIT_S + 10)) as connection:
            cursor = None
            is_counted = False
            while not ending.is_set():
                query = {"name": "inbox", "wait_s": WAIT_S, **({"cursor": cursor} if cursor else {})}
                page = get_json(connection, f"/memory/changes?{urlencode(query)}", subscriber.name)
                subscriber.connections += not is_counted
                is_counted = True
                for change in page["changes"]:
                    if change["seq"] > last_seq:
                        last_seq = change["seq"]
                        subscriber.saw(change["seq"], change["content"])
                cursor = page["next_cursor"]


def poll_without_memory(
    data_dir: Path, subscriber: Subscriber, ending: threading.Event, begin: str, may_begin: Callable[[], bool]
) -> None:
    """A control: as ``poll_by_name``, but it has no name and loses its cursor with the connection."""
    while not ending.is_set():
        if subscriber.connections and not may_begin():
            ending.wait(POLL_S)
            continue
        with _broken_is_fine(), contextlib.closing(open_connection(data_dir, WAIT_S + 10)) as connection:
            cursor = begin if subscriber.connections else "start"
            is_counted = False
            while not ending.is_set():
                query = {"cursor": cursor, "wait_s": WAIT_S}
                page = get_json(connection, f"/memory/changes?{urlencode(query)}", subscriber.name)
                subscriber.connections += not is_counted
                is_counted = True
                for change in page["changes"]:
                    subscriber.saw(change["seq"], change["content"])
                cursor = page["next_cursor"]


def follow_events(data_dir: Path, subscriber: Subscriber, ending: threading.Event) -> None:
    """Read the stream; come back with the id of the last row, as a browser does."""
    last_id = "0"
    while not ending.is_set():
        with _broken_is_fine(), contextlib.closing(open_connection(data_dir, WAIT_S + 10)) as connection:
            connection.request("GET", "/events", headers={"Last-Event-ID": last_id, "X-Memmcp-Agent": subscriber.name})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            subscriber.connections += 1
            kind = row_id = data = ""
            # Gauges come every second, so that a stream without a line is a broken one.
            while not ending.is_set() and (raw := response.readline()):
                line = raw.decode().rstrip("\r\n")
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    row_id = value
                elif name == "data":
                    data = value
                elif not line:
                    assert kind != "resync", data
                    if kind == "memory":
                        last_id = row_id
                        subscriber.saw(int(row_id), json.loads(data)["content"])
                    kind = row_id = data = ""


def follow_resource(agent: Agent, subscriber: Subscriber, ending: threading.Event) -> None:
    """Subscribe once, over a bridge; read on from the last cursor after each notification."""
    cursor = "start"
    answer = agent.request("resources/subscribe", {"uri": CHANGES})
    assert "result" in answer, answer
    while not ending.is_set():
        message = _notification(agent)
        if message is None or message["params"]["uri"] != CHANGES:
            continue
        subscriber.connections += 1
        while True:
            answer = agent.request("resources/read", {"uri": f"{CHANGES}?cursor={cursor}&limit=200"})
            assert "result" in answer, answer
            page = json.loads(answer["result"]["contents"][0]["text"])
            for change in page["changes"]:
                subscriber.saw(change["seq"], change["content"])
            cursor = page["next_cursor"]
            if not page["more"]:
                break


def _notification(agent: Agent) -> dict[str, Any] | None:
    try:
        return agent.notifications.get(timeout=POLL_S)
    except queue.Empty:
        return None


@contextlib.contextmanager
def _broken_is_fine() -> Iterator[None]:
    """A daemon that is gone, or not there yet, is what these threads live through; they try again."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError):
        time.sleep(POLL_S)


# Writers: each returns when the text is acknowledged, however often it has to be sent.


def write_by_bridge(agent: Agent, text: str) -> None:
    while True:
        with contextlib.suppress(AssertionError, TimeoutError):
            agent.call("memory_write", content=text, idempotency_key=text)
            return
        if agent.process.poll() is not None:
            raise Disconnected(agent.name)


def write_by_http(data_dir: Path, held: list[http.client.HTTPConnection], text: str) -> None:
    body = json.dumps({"content": text, "idempotency_key": text})
    while True:
        with _broken_is_fine():
            if not held:
                held.append(open_connection(data_dir, 10.0))
            try:
                headers = {"Content-Type": "application/json", "X-Memmcp-Agent": "http-writer"}
                held[0].request("POST", "/memory/write", body, headers)
                response = held[0].getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                held.pop().close()
                raise
            assert response.status in (200, 201, 503), answer
            if response.status != 503:
                return


def write_by_command(data_dir: Path, text: str) -> None:
    """As ``memmcp write`` does, without a process for each."""
    while True:
        with contextlib.suppress(NoDaemon, Failed):
            client: Client = find(Places(data_dir))
            client.post("/memory/write", {"content": text, "idempotency_key": text, "source": "cli"})
            return
        time.sleep(POLL_S)
