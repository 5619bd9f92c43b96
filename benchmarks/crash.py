"""Kill the daemon again and again while agents write, then hold what they were told against what is there.

    python -m benchmarks.crash --runs 100 --seed 1

Every write that was acknowledged must be there once, none may be there twice, and search must find them all after the
index has caught up. The daemon is killed with SIGKILL at random instants; the writers are real agents behind bridges.
"""

import argparse
import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.agents import BRIDGE, Agent, Disconnected, data_directory, http_client, until

from memmcp_server.cli.client import Client, Failed, NoDaemon, is_served
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

WRITERS = 4
WRITES_PER_S = 20
GROUP_LEN = 50
KILL_AFTER_S = (0.05, 1.0)
ANSWER_TIMEOUT_S = 60.0
CATCH_UP_TIMEOUT_S = 120.0
QUERY = "crash note"


@dataclass
class Outcome:
    """``lost``: acknowledged and not there. ``doubled``: there twice. ``hidden``: there and not found by search."""

    kills: int
    acknowledged: int
    unacknowledged: int
    stored: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.doubled or self.hidden)

    def line(self) -> str:
        worst = max(self.recovery_s, default=0.0)
        return (
            f"crash: {self.kills} kills, {self.acknowledged} acknowledged ({self.unacknowledged} not), "
            f"{self.stored} stored: {len(self.lost)} lost, {len(self.doubled)} twice, {len(self.hidden)} not found; "
            f"back within {worst:.2f} s"
        )


class Writer(threading.Thread):
    """One agent that writes a new memory so often and remembers what it was told; ``local``: of it by the spool."""

    def __init__(self, number: int, agent: Agent, per_s: float = WRITES_PER_S) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.agent = agent
        self.per_s = per_s
        self.count = 0
        self.local = 0
        self.acknowledged: set[str] = set()
        self.unacknowledged: set[str] = set()
        self.ending = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        while not self.ending.is_set():
            next_s = time.monotonic() + 1 / self.per_s
            try:
                self._write(self.count)
            except (OSError, TimeoutError, Disconnected) as error:
                self.failure = error
                return
            self.count += 1
            self.ending.wait(max(0.0, next_s - time.monotonic()))

    def _write(self, count: int) -> None:
        content = f"{QUERY} {count} of writer {self.number}"
        arguments = {"content": content, "tags": [group_tag(self.number, count)]}
        answer = self.agent.request(
            "tools/call", {"name": "memory_write", "arguments": arguments}, timeout_s=ANSWER_TIMEOUT_S
        )
        result = answer.get("result", {})
        is_acknowledged = "error" not in answer and not result.get("isError")
        (self.acknowledged if is_acknowledged else self.unacknowledged).add(content)
        self.local += is_acknowledged and result["structuredContent"]["durable"] == "local"


def group_tag(writer: int, count: int) -> str:
    return f"w{writer}-{count // GROUP_LEN}"


def run(runs: int, seed: int, command: Sequence[str] = BRIDGE) -> Outcome:
    """Kill the daemon ``runs`` times and check. Raises: RuntimeError when a writer gets no answers any more."""
    chance = random.Random(seed)
    with data_directory() as data_dir, contextlib.ExitStack() as stack:
        writers = []
        for number in range(WRITERS):
            agent = Agent(data_dir, command=command, name=f"writer-{number}")
            stack.callback(agent.close)
            agent.initialize()
            writers.append(Writer(number, agent))
            stack.callback(writers[-1].ending.set)
        for writer in writers:
            writer.start()
        recovery_s = [_kill(data_dir, writers, chance) for _ in range(runs)]
        for writer in writers:
            writer.ending.set()
        for writer in writers:
            writer.join(ANSWER_TIMEOUT_S)
            if writer.failure is not None or writer.is_alive():
                msg = f"writer {writer.number} came to a stop: {writer.failure}"
                raise RuntimeError(msg)
        outcome = check(data_dir, writers)
        outcome.kills, outcome.recovery_s = runs, recovery_s
        return outcome


def _kill(data_dir: Path, writers: Sequence[Writer], chance: random.Random) -> float:
    """Wait until every writer was heard, then kill at a random instant; return the time until one was heard again."""
    before = _heard(writers)
    until(lambda: all(now > then for now, then in zip(_heard(writers), before, strict=True)), ANSWER_TIMEOUT_S)
    time.sleep(chance.uniform(*KILL_AFTER_S))
    record = read_record(Places(data_dir))
    if record is None or not is_served(Places(data_dir)):
        msg = "the daemon was gone before it was killed"
        raise RuntimeError(msg)
    os.kill(int(str(record["pid"])), signal.SIGKILL)
    killed_s = time.monotonic()
    before = _heard(writers)
    until(lambda: any(now > then for now, then in zip(_heard(writers), before, strict=True)), ANSWER_TIMEOUT_S)
    return time.monotonic() - killed_s


def _heard(writers: Sequence[Writer]) -> list[int]:
    return [len(writer.acknowledged) for writer in writers]


def check(data_dir: Path, writers: Sequence[Writer]) -> Outcome:
    """Hold the acknowledgements against the journal and, once the outbox is empty, against search."""
    acknowledged = {content for writer in writers for content in writer.acknowledged}
    unacknowledged = {content for writer in writers for content in writer.unacknowledged}
    client = answering(data_dir)
    until(lambda: pending(client) == 0, CATCH_UP_TIMEOUT_S, 0.1)
    stored = Counter(contents_of(client))
    found = set()
    for writer in writers:
        count = len(writer.acknowledged) + len(writer.unacknowledged)
        for first in range(0, count, GROUP_LEN):
            answer = client.get(
                "/memory/search", {"query": QUERY, "tags": [group_tag(writer.number, first)], "limit": 100}
            )
            found |= {hit["content"] for hit in answer["hits"]}
    return Outcome(
        kills=0,
        acknowledged=len(acknowledged),
        unacknowledged=len(unacknowledged),
        stored=sum(stored.values()),
        lost=sorted(acknowledged - set(stored)),
        doubled=sorted(content for content, count in stored.items() if count > 1),
        hidden=sorted(set(stored) - found),
    )


def answering(data_dir: Path) -> Client:
    """Return a client of a daemon that answers. Raises: TimeoutError saying what it said last."""
    told = ""

    def is_up() -> bool:
        nonlocal told
        try:
            http_client(data_dir).get("/health", timeout_s=5.0)
        except (AssertionError, NoDaemon, Failed) as problem:
            told = repr(problem)
            return False
        return True

    try:
        until(is_up, ANSWER_TIMEOUT_S, 0.1)
    except TimeoutError as error:
        msg = f"the daemon does not answer: {told}; its record: {read_record(Places(data_dir))}"
        raise TimeoutError(msg) from error
    return http_client(data_dir)


def pending(client: Client) -> int:
    queues = client.get("/telemetry/metrics")["queues"]
    return sum(int(queue["pending"]) for queue in queues.values())


def contents_of(client: Client) -> list[str]:
    contents: list[str] = []
    cursor: str | None = None
    while True:
        page = client.get("/admin/export", {"part": "memories", "cursor": cursor})
        contents += [line["content"] for line in page["lines"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return contents


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=100, help="how many kills")
    parser.add_argument("--seed", type=int, default=1, help="of the instants")
    arguments = parser.parse_args()
    outcome = run(arguments.runs, arguments.seed)
    print(outcome.line())
    for name in ("lost", "doubled", "hidden"):
        for content in getattr(outcome, name)[:10]:
            print(f"  {name}: {content}")
    return 0 if outcome.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
