"""What a sidecar costs the trading loop: ``python -m benchmarks.sidecar``.

The same desk, on the same generated market at the same pace, without a sidecar and beside one that is down, slow, lying
or answering at once; the server is a process of its own, as a real one is. A decision begins when the feed hands over a
cycle and ends when the kernel has decided it. The runs take turns, so that what else the machine does meets them all.
The settings are the defaults, the breaker's too; the pace is some thousand times a desk's own.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import anyio
from tests.support import sidecar_desk
from tests.support.chat_server import ChatServer

from trading.config import SidecarSection
from trading.runtime.session import Session
from trading.runtime.sources import Cycle, PacedSource

MEDIAN_MAX: Final = 1.10
P99_MAX: Final = 1.5
ROUNDS: Final = 5
CYCLES: Final = 280
GIVEN: Final = frozenset({"url", "model", "key", "kind"})
WARM_UP: Final = 40
"""Cycles at the start of a run that are not counted: the desk is opening."""
SPEED: Final = 15_000.0
"""Of real time: fifty five-minute bars a second."""
SERVERS: Final[dict[str, dict[str, Any]]] = {
    "slow": {"faults": ["late:0.4"]},
    "lying": {"faults": ["over_the_mandate", "huge", "malformed", "an_order", "foreign_evidence", "error"] * 500},
    "answering": {"said": {"size_scale_bps": 9_999, "expires_in_s": 600}},
}
DOWN: Final = "down"
NOBODY: Final = "http://127.0.0.1:9"
"""Nobody listens there."""
WITH_A_GOAL: Final = (DOWN, "slow", "lying")
"""One that answers is measured too, without a goal: to hear advice is work, which a desk that wishes none has not."""


class Taps:
    """Notes when a cycle was handed over and when it was decided, in seconds."""

    def __init__(self) -> None:
        self.handed_s = 0.0
        self.latencies_s: list[float] = []

    @contextmanager
    def on(self) -> Iterator[None]:
        """Listen for as long as the block runs."""
        pull, take = PacedSource.next, Session.take

        async def handed(source: PacedSource) -> list[Cycle] | None:
            batch = await pull(source)
            self.handed_s = time.perf_counter()
            return batch

        def taken(session: Session, cycle: Cycle) -> None:
            take(session, cycle)
            self.latencies_s.append(time.perf_counter() - self.handed_s)

        PacedSource.next, Session.take = handed, taken  # type: ignore[method-assign]
        try:
            yield
        finally:
            PacedSource.next, Session.take = pull, take  # type: ignore[method-assign]


async def one_run(folder: Path, url: str, cycles: int) -> tuple[list[float], dict[str, Any]]:
    """Return the latencies of a run in milliseconds, and how asking went."""
    taps = Taps()
    sidecar_desk.CYCLES = cycles
    defaults = {name: field.default for name, field in SidecarSection.model_fields.items() if name not in GIVEN}
    settings = sidecar_desk.sections(url, speed=SPEED, **defaults)
    with taps.on():
        async with sidecar_desk.opened(folder, settings) as desk:
            shown = await sidecar_desk.ended(desk, within_s=120)
    return [each * 1_000 for each in taps.latencies_s[WARM_UP:]], shown["sidecar"].get("asking", {})


@contextmanager
def served(name: str) -> Iterator[str]:
    """Run the server of a variant in a process of its own; yields its address, "" for none."""
    if name not in SERVERS:
        yield NOBODY if name == DOWN else ""
        return
    command = [sys.executable, "-m", "benchmarks.sidecar", "--serve", name]
    quiet = subprocess.DEVNULL  # whoever it was talking to has gone away
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def serve(name: str) -> None:
    """Serve until the process is killed."""
    async with ChatServer(**SERVERS[name]).serving() as url:
        print(url, flush=True)
        await anyio.sleep_forever()


def p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[-(-len(ordered) * 99 // 100) - 1]


def measured(rounds: int, cycles: int) -> tuple[dict[str, list[list[float]]], dict[str, dict[str, int]]]:
    """Return the latencies of each variant round by round, and what the questions came to."""
    names = ("absent", DOWN, *SERVERS)
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    came: dict[str, dict[str, int]] = {name: {} for name in names}
    with tempfile.TemporaryDirectory() as folder:  # not counted: what is loaded at first use is loaded by now
        anyio.run(one_run, Path(folder), NOBODY, WARM_UP + 20)
    for number in range(rounds):
        turn = names[number % len(names) :] + names[: number % len(names)]
        for name in turn:
            with tempfile.TemporaryDirectory() as folder, served(name) as url:
                latencies, asking = anyio.run(one_run, Path(folder), url, cycles)
            found[name].append(latencies)
            for outcome, count in asking.get("outcomes", {}).items():
                came[name][outcome] = came[name].get(outcome, 0) + count
    return found, came


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.sidecar")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--serve", choices=sorted(SERVERS))
    given = parser.parse_args(argv)
    if given.serve:
        anyio.run(serve, given.serve)
        return 0
    found, came = measured(given.rounds, given.cycles)
    absent = [statistics.median(each) for each in found["absent"]]
    base = p99(list(chain.from_iterable(found["absent"])))
    print("| sidecar | decisions | median | p99 | median to absent | p99 to absent | questions came to |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    is_met = True
    for name, by_round in found.items():
        values = list(chain.from_iterable(by_round))
        middle, high = statistics.median(values), p99(values)
        # Round by round, because what else the machine does changes from one to the next.
        paired = statistics.median(statistics.median(one) / other for one, other in zip(by_round, absent, strict=True))
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(came[name].items())) or "-"
        ratios = paired, high / base
        is_met = is_met and (name not in WITH_A_GOAL or (ratios[0] <= MEDIAN_MAX and ratios[1] <= P99_MAX))
        print(
            f"| {name} | {len(values)} | {middle:.2f} ms | {high:.2f} ms | {ratios[0]:.2f} | {ratios[1]:.2f} | {told} |"
        )
    print(f"\n{given.rounds} rounds in turns, from the feed's hand-over to the kernel's decision, a cycle each 20 ms.")
    print("The ratio of medians is the middle one of the rounds, each to the run without a sidecar in the same round.")
    goal = f"Goal for {', '.join(WITH_A_GOAL)}: median at most {MEDIAN_MAX:.2f} times, p99 at most {P99_MAX:.1f} times"
    print(f"{goal}, {'' if is_met else 'not '}met.")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
