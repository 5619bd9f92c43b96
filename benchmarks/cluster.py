"""Several daemons on one PostgreSQL, killed with it again and again while agents write to all of them.

    python -m benchmarks.cluster --runs 30 --daemons 3 --writers 50 --seed 1

Every write that was acknowledged, durably by the journal or by the machine's own spool, must be there once when all is
over; none twice; and the index inside of every daemon must find them all, whoever wrote them. Meanwhile what one daemon
has acknowledged is looked for at another at once. The writers are real agents behind bridges, the server is PostgreSQL.
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.agents import Agent, data_directory, environment, http_client, until
from tests.support.homes import durable_postgres, point_at
from tests.support.postgres import PostgresServer

from benchmarks.crash import ANSWER_TIMEOUT_S, GROUP_LEN, QUERY, Writer, answering, contents_of, group_tag
from memmcp_server.cli.client import Client, Failed, NoDaemon, is_served
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

PAUSE_S = (0.2, 1.5)
OUTAGE_S = (0.5, 3.0)
OUTAGE_SHARE = 0.34
"""So many of the blows meet the server instead of a daemon."""

WRITES_PER_S = 4
CATCH_UP_TIMEOUT_S = 240.0
PROBE_EVERY_S = 0.25
SEEN_WITHIN_S = 1.0
"""What one daemon has acknowledged is found at another within this."""


@dataclass
class Outcome:
    """``late``: not found at another daemon within a second of the answer, while nothing was down."""

    daemons: int
    kills: int
    outages: int
    acknowledged: int
    local: int
    unacknowledged: int
    stored: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    seen_s: list[float] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.doubled or self.hidden or self.late)

    def line(self) -> str:
        worst = max(self.seen_s, default=0.0)
        usual = statistics.median(self.seen_s) if self.seen_s else 0.0
        return (
            f"cluster: {self.daemons} daemons, {self.kills} killed, PostgreSQL killed {self.outages} times; "
            f"{self.acknowledged} acknowledged ({self.local} of them by the spool, {self.unacknowledged} not), "
            f"{self.stored} stored: {len(self.lost)} lost, {len(self.doubled)} twice, {len(self.hidden)} not found in "
            f"some index; seen at another daemon after {usual:.3f} s, at most {worst:.3f} s ({len(self.seen_s)} looks, "
            f"{len(self.late)} late)"
        )


class Prober(threading.Thread):
    """Writes at one daemon, looks for it by its words at another, and notes how long that took while all was well."""

    def __init__(self, places: Sequence[Path], chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.places = places
        self.chance = chance
        self.is_calm = threading.Event()
        self.ending = threading.Event()
        self.seen_s: list[float] = []
        self.late: list[str] = []
        self.written: set[str] = set()

    def run(self) -> None:
        number = 0
        while not self.ending.wait(PROBE_EVERY_S):
            if self.is_calm.is_set():
                self._look(number)
                number += 1

    def _look(self, number: int) -> None:
        writer, reader = self.chance.sample(self.places, 2)
        content = f"probe zebra{number:06d}"
        try:
            written = http_client(writer).post("/memory/write", {"content": content, "agent": "prober"})
            told_s = time.monotonic()
            if written["durable"] == "local":
                self.written.add(content)
                return
            self.written.add(content)
            while not self._is_found(http_client(reader), content):
                if time.monotonic() - told_s > SEEN_WITHIN_S:
                    if self.is_calm.is_set():
                        self.late.append(content)
                    return
            if self.is_calm.is_set():
                self.seen_s.append(time.monotonic() - told_s)
        except (AssertionError, NoDaemon, Failed, OSError):
            return  # somebody was killed meanwhile

    def _is_found(self, client: Client, content: str) -> bool:
        hits = client.get("/memory/search", {"query": content, "limit": 5}, timeout_s=10.0)["hits"]
        return any(hit["content"] == content for hit in hits)


@dataclass
class House:
    """The daemons' data directories, the server, and who writes."""

    server: PostgresServer
    places: list[Path]
    writers: list[Writer]
    prober: Prober
    chance: random.Random
    kills: int = 0
    outages: int = 0

    def blow(self) -> None:
        """Kill a daemon or the server at a random instant, and wait until every writer is heard again."""
        time.sleep(self.chance.uniform(*PAUSE_S))
        self.prober.is_calm.clear()
        if self.chance.random() < OUTAGE_SHARE:
            self.server.kill()
            time.sleep(self.chance.uniform(*OUTAGE_S))
            self.server.start()
            self.outages += 1
        else:
            place = self.chance.choice(self.places)
            record = read_record(Places(place))
            if record is not None and is_served(Places(place)):
                kill(int(str(record["pid"])))
                self.kills += 1
        before = [len(writer.acknowledged) for writer in self.writers]
        until(lambda: self._is_heard(before), ANSWER_TIMEOUT_S, 0.1)
        self.prober.is_calm.set()

    def _is_heard(self, before: Sequence[int]) -> bool:
        for writer in self.writers:
            if writer.failure is not None:
                msg = f"writer {writer.number} came to a stop: {writer.failure!r}"
                raise RuntimeError(msg)
        return all(len(w.acknowledged) > then for w, then in zip(self.writers, before, strict=True))


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def run(runs: int, daemons: int, writers: int, seed: int) -> Outcome:
    """Blow ``runs`` times and check. Raises: RuntimeError when a writer gets no answers any more."""
    chance = random.Random(seed)
    with durable_postgres() as server, contextlib.ExitStack() as stack:
        url = server.url(server.new_database())
        places = [stack.enter_context(data_directory()) for _ in range(daemons)]
        for place in places:
            point_at(place, url)
        prober = Prober(places, random.Random(seed))
        agents = [_writer(stack, number, places[number % daemons]) for number in range(writers)]
        house = House(server, places, agents, prober, chance)
        for thread in (*house.writers, prober):
            stack.callback(thread.ending.set)
            thread.start()
        prober.is_calm.set()
        for _ in range(runs):
            house.blow()
        time.sleep(2.0)
        for thread in (*house.writers, prober):
            thread.ending.set()
        for thread in (*house.writers, prober):
            thread.join(ANSWER_TIMEOUT_S)
        return check(house)


def _writer(stack: contextlib.ExitStack, number: int, place: Path) -> Writer:
    agent = Agent(place, environ=environment(), name=f"writer-{number}")
    stack.callback(agent.close)
    agent.initialize(ANSWER_TIMEOUT_S)
    return Writer(number, agent, WRITES_PER_S)


def check(house: House) -> Outcome:
    """Hold the acknowledgements against the journal, and every daemon's search against both, once all is delivered."""
    clients = [answering(place) for place in house.places]
    for client in clients:
        until(lambda client=client: _pending(client) == 0, CATCH_UP_TIMEOUT_S, 0.2)  # type: ignore[misc]
    acknowledged = {content for writer in house.writers for content in writer.acknowledged} | house.prober.written
    # Not what daemons write of themselves: each says that its own index has no model, in the same words.
    ours = [each for each in contents_of(clients[0]) if each.startswith(QUERY) or each in acknowledged]
    stored = Counter(ours)
    hidden: list[str] = []
    for client in clients:
        found = set()
        for writer in house.writers:
            for first in range(0, writer.count, GROUP_LEN):
                wish = {"query": QUERY, "tags": [group_tag(writer.number, first)], "limit": 100}
                found |= {hit["content"] for hit in client.get("/memory/search", wish)["hits"]}
        hidden += [content for content in stored if content.startswith(QUERY) and content not in found]
    return Outcome(
        daemons=len(house.places),
        kills=house.kills,
        outages=house.outages,
        acknowledged=len(acknowledged),
        local=sum(writer.local for writer in house.writers),
        unacknowledged=sum(len(writer.unacknowledged) for writer in house.writers),
        stored=sum(stored.values()),
        lost=sorted(acknowledged - set(stored)),
        doubled=sorted(content for content, count in stored.items() if count > 1),
        hidden=sorted(hidden),
        late=house.prober.late,
        seen_s=house.prober.seen_s,
    )


def _pending(client: Client) -> int:
    """Return what waits for anybody's index, or in this daemon's spool."""
    queues = client.get("/telemetry/metrics")["queues"]
    return sum(int(queue["pending"]) for queue in queues.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=30, help="how often a daemon or the server is killed")
    parser.add_argument("--daemons", type=int, default=3)
    parser.add_argument("--writers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1, help="of the instants")
    arguments = parser.parse_args()
    outcome = run(arguments.runs, arguments.daemons, arguments.writers, arguments.seed)
    print(outcome.line())
    for name in ("lost", "doubled", "hidden", "late"):
        for content in getattr(outcome, name)[:10]:
            print(f"  {name}: {content}")
    return 0 if outcome.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
