"""Kill the daemon again and again while agents write, then hold what they were told against what is there.

    python -m benchmarks.crash --runs 100 --seed 1 [--database postgresql] [--control]

Every write that was acknowledged must be there once, none may be there twice, and search must find them all after the
index has caught up. The daemon is killed with SIGKILL at random instants; the writers are real agents behind bridges.
With the journal on PostgreSQL every third blow meets the server instead, which is started again a while later.
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
from operator import gt
from pathlib import Path

from tests.support.agents import BRIDGE, POLL_S, Agent, Disconnected, http_client, until
from tests.support.homes import DATABASES, SQLITE, Home, home
from tests.support.postgres import PostgresServer

from memmcp_server.cli.client import Client, Failed, NoDaemon, is_served
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

WRITERS = 4
WRITES_PER_S = 20
WRITES_PER_S_SHARED = 5
"""With a server: what follows on something that was kept while it was away goes the same way, and by more it would be
long until anything goes straight to the journal again."""

GROUP_LEN = 50
KILL_AFTER_S = (0.05, 1.0)
OUTAGE_S = (0.1, 1.0)
OUTAGE_EVERY = 3
"""Of so many blows one meets the server, the second first."""

CONTROL = (sys.executable, "-m", "tests.system.premature_bridge")
"""Agents whose daemon acknowledges before it commits: what it loses must be seen."""

CONTROL_RUNS = 2
CONTROL_SEEDS = 5
"""Whether a kill meets a write between the two depends on the machine's load: some runs may all pass between."""

ANSWER_TIMEOUT_S = 60.0
CATCH_UP_TIMEOUT_S = 120.0
QUERY = "crash note"


@dataclass
class Outcome:
    """``lost``: acknowledged and not there. ``doubled``: there twice. ``hidden``: there and not found by search.

    ``kills`` of the daemon, ``outages`` of its server; ``local``: acknowledged by the spool.
    """

    kills: int
    acknowledged: int
    unacknowledged: int
    stored: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    database: str = SQLITE
    outages: int = 0
    local: int = 0

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.doubled or self.hidden)

    def line(self) -> str:
        worst = max(self.recovery_s, default=0.0)
        server = f", the server killed {self.outages} times" if self.outages else ""
        spooled = f", {self.local} of them by the spool" if self.local else ""
        return (
            f"crash on {self.database}: {self.kills} kills{server}, "
            f"{self.acknowledged} acknowledged{spooled} ({self.unacknowledged} not), "
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


def run(
    runs: int, seed: int, command: Sequence[str] = BRIDGE, *, database: str = SQLITE, writers_count: int = WRITERS
) -> Outcome:
    """Kill the daemon, or its server, ``runs`` times and check.

    Raises: RuntimeError when a writer gets no answers any more, ValueError (an unknown database).
    """
    chance = random.Random(seed)
    with home(database) as place, contextlib.ExitStack() as stack:
        writers = []
        for number in range(writers_count):
            agent = Agent(place.data_dir, command=command, name=f"writer-{number}")
            stack.callback(agent.close)
            agent.initialize(ANSWER_TIMEOUT_S)
            writers.append(Writer(number, agent, WRITES_PER_S if place.server is None else WRITES_PER_S_SHARED))
            stack.callback(writers[-1].ending.set)
        for writer in writers:
            writer.start()
        recovery_s = [_blow(place, number, writers, chance) for number in range(runs)]
        for writer in writers:
            writer.ending.set()
        for writer in writers:
            writer.join(ANSWER_TIMEOUT_S)
            if writer.failure is not None or writer.is_alive():
                msg = f"writer {writer.number} came to a stop: {writer.failure}"
                raise RuntimeError(msg)
        outcome = check(place.data_dir, writers)
        outcome.database, outcome.recovery_s = database, recovery_s
        outcome.outages = 0 if place.server is None else sum(map(_is_outage, range(runs)))
        outcome.kills = runs - outcome.outages
        outcome.local = sum(writer.local for writer in writers)
        return outcome


def _blow(place: Home, number: int, writers: Sequence[Writer], chance: random.Random) -> float:
    """Wait until the journal has heard every writer, then kill at a random instant; return the time until an answer."""
    before = _committed(writers)
    until(lambda: all(map(gt, _committed(writers), before)), ANSWER_TIMEOUT_S, POLL_S)
    time.sleep(chance.uniform(*KILL_AFTER_S))
    if place.server is not None and _is_outage(number):
        return _cut(place.server, writers, chance)
    return _kill(place.data_dir, writers)


def _is_outage(number: int) -> bool:
    return number % OUTAGE_EVERY == 1


def _cut(server: PostgresServer, writers: Sequence[Writer], chance: random.Random) -> float:
    """Kill the server and start it again; the daemon lives, and answers meanwhile too."""
    server.kill()
    killed_s = time.monotonic()
    recovery_s = _until_heard(writers, killed_s)
    time.sleep(chance.uniform(*OUTAGE_S))
    server.start()
    return recovery_s


def _kill(data_dir: Path, writers: Sequence[Writer]) -> float:
    record = read_record(Places(data_dir))
    if record is None or not is_served(Places(data_dir)):
        msg = "the daemon was gone before it was killed"
        raise RuntimeError(msg)
    os.kill(int(str(record["pid"])), signal.SIGKILL)
    return _until_heard(writers, time.monotonic())


def _until_heard(writers: Sequence[Writer], since_s: float) -> float:
    before = _heard(writers)
    until(lambda: any(map(gt, _heard(writers), before)), ANSWER_TIMEOUT_S, POLL_S)
    return time.monotonic() - since_s


def _heard(writers: Sequence[Writer]) -> list[int]:
    return [len(writer.acknowledged) for writer in writers]


def _committed(writers: Sequence[Writer]) -> list[int]:
    """Return what each was told of its writes by the journal itself."""
    return [len(writer.acknowledged) - writer.local for writer in writers]


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


def is_control_caught(database: str) -> bool:
    """Say whether a daemon that acknowledges before it commits is found out."""
    seeds = range(7, 7 + CONTROL_SEEDS)
    return any(run(CONTROL_RUNS, seed, CONTROL, database=database).lost for seed in seeds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=100, help="how many kills")
    parser.add_argument("--seed", type=int, default=1, help="of the instants")
    parser.add_argument("--database", choices=DATABASES, default=SQLITE, help="where the journal is")
    parser.add_argument("--control", action="store_true", help="see too that what loses memories is found out")
    arguments = parser.parse_args()
    if arguments.control:
        is_caught = is_control_caught(arguments.database)
        print(f"control on {arguments.database}: acknowledged before the commit, {'caught' if is_caught else 'MISSED'}")
        if not is_caught:
            return 1
    outcome = run(arguments.runs, arguments.seed, database=arguments.database)
    print(outcome.line())
    for name in ("lost", "doubled", "hidden"):
        for content in getattr(outcome, name)[:10]:
            print(f"  {name}: {content}")
    return 0 if outcome.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
