"""Kill the phone's listener again and again around a confirmed /flatten, then count what the desk did.

    python -m benchmarks.crash_phone --runs 50 --seed 1

Each command must be carried out once: none may be lost, none done twice, though every message is delivered again after
each kill. The listener is a process of its own over the real client, files and hashing; it is killed with SIGKILL at
random instants from the moment the confirmation is sent. The desk is a file: one line for each act, done once per key.
"""

import argparse
import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from pydantic import SecretStr
from tests.doubles.clocks import SystemClock
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.telegram_server import OPERATOR, TOKEN, TelegramServer

from memmcp_server.adapters.phone_files import PhoneFiles
from memmcp_server.adapters.telegram import opened_chat
from memmcp_server.config import PhoneSection
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.phone import Pin
from memmcp_server.services.phone import Carrying, Keeping, Phone

PIN = "83-jkl-2"
KILL_AFTER_S = (0.0, 1.5)
WORK_S = 0.2
ANSWER_TIMEOUT_S = 60.0
POLL_S = 0.01
ACTS = "acts.jsonl"


class FileDesk(InMemoryDesk):
    """Does each key once, and writes it down before it answers; ``asked`` lines tell how often it was told to."""

    path = Path()

    async def control(self, request: JsonObject, *, actor: str, key: str) -> JsonObject:
        self._note("asked", key)
        await anyio.sleep(WORK_S)  # so long that a kill falls before, between and behind
        if key not in done_keys(self.path):
            self._note("done", key)
        await anyio.sleep(WORK_S)
        return await super().control(request, actor=actor, key=key)

    def _note(self, what: str, key: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, "key": key}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def lines_of(path: Path, what: str) -> list[str]:
    if not path.exists():
        return []
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    return [each["key"] for each in found if each["what"] == what]


def done_keys(path: Path) -> list[str]:
    return lines_of(path, "done")


async def listen(directory: Path, url: str) -> None:
    """Be the listener that is killed."""
    section = PhoneSection(token=SecretStr(TOKEN), users=(OPERATOR,), base_url=url, poll_s=1, backoff_base_s=0.05)
    clock, desk = SystemClock(), FileDesk()
    desk.path = directory / ACTS
    async with opened_chat(section) as chat:
        keeping = Keeping(PhoneFiles(directory))
        carrying = Carrying(chat, keeping, desk, MemoryJournal(clock), clock, section)
        await Phone(chat, keeping, carrying, section).run()


@dataclass
class Outcome:
    runs: int = 0
    lost: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)

    @property
    def doubled(self) -> list[str]:
        return [key for key, times in self.done.items() if times > 1]

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.doubled) and sum(self.done.values()) == self.runs

    def line(self) -> str:
        again = sum(times > 1 for times in self.asked.values())
        carried = sum(self.done.values())
        return (
            f"phone: {self.runs} commands, each with a kill: {carried} carried out, {len(self.lost)} lost, "
            f"{len(self.doubled)} twice; {again} were taken up again after the kill"
        )


class Rig:
    def __init__(self, server: TelegramServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.crash_phone", "--listen", str(self.directory), self.server.url]
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()

    async def command(self, randomness: random.Random) -> str:
        """Send a command and its confirmation, kill the listener around it, and return the key of the act."""
        server = self.server
        server.now_s = int(time.time())
        before = len(server.sent)
        server.say("/flatten")
        code = await until(lambda: _code(server.said[before:]))
        number = server.say(f"{code} {PIN}")
        await anyio.sleep(randomness.uniform(*KILL_AFTER_S))
        self.kill()
        server.repeat_all()
        self.start()
        return f"phone/{TOKEN.partition(':')[0]}/{number}"


def _code(said: list[str]) -> str | None:
    found = [re.search(r"^(\d{6}) YOURPIN$", text, re.MULTILINE) for text in said]
    return next((each[1] for each in reversed(found) if each is not None), None)


async def until(look: Any) -> Any:
    """Wait until ``look`` returns something, bounded."""
    with anyio.fail_after(ANSWER_TIMEOUT_S):
        while not (found := look()):
            await anyio.sleep(POLL_S)
    return found


async def run(runs: int, seed: int) -> Outcome:
    """Return what came of so many commands."""
    randomness, outcome, server = random.Random(seed), Outcome(), TelegramServer(now_s=int(time.time()))
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        PhoneFiles(directory).set_pin(await asyncio.to_thread(Pin.of, PIN))
        async with server.serving():
            rig = Rig(server, directory)
            rig.start()
            try:
                for _ in range(runs):
                    key = await rig.command(randomness)
                    outcome.runs += 1
                    try:
                        await until(lambda key=key: key in done_keys(directory / ACTS))
                        # Taken off the list, too: the next command is not to come into the middle of this one.
                        await until(lambda: not PhoneFiles(directory).load().accepted)
                    except TimeoutError:
                        outcome.lost.append(key)
                        print(f"lost {key}: {server.said[-5:]}, {PhoneFiles(directory).load()}", file=sys.stderr)
            finally:
                rig.kill()
        outcome.done.update(done_keys(directory / ACTS))
        outcome.asked.update(lines_of(directory / ACTS, "asked"))
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--listen", nargs=2, metavar=("DIR", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.listen:
        anyio.run(listen, Path(given.listen[0]), given.listen[1])
        return 0
    outcome = anyio.run(run, given.runs, given.seed)
    print(outcome.line())
    return 0 if outcome.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
