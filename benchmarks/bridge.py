"""What the bridge costs: ``python -m benchmarks.bridge``.

One no-op tool, called over the SDK's own stdio server and through ``memmcp stdio`` to a daemon, in turns within one run
and by the same client, which speaks raw lines so that no client library hides the difference. Then the time from
spawning a process to its answer to ``initialize``, of both.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.agents import ROOT, data_directory, environment, until

from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

DIRECT = (sys.executable, "-m", "benchmarks.noop", "stdio")
BRIDGE = (str(Path(sys.executable).parent / "memmcp"), "stdio")
GOAL_SPAWN_MS = 100.0
GOAL_ADDED_MS = 0.5
CALLS_PER_ROUND = 200
HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}


def installed_environment() -> dict[str, str]:
    """As an installation runs: with the bytecode that its first start left behind."""
    environ = environment()
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return environ


class Wire:
    """A client of raw lines, one request at a time."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment(),
        )
        self._last_id = 0

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdout is not None
        self._last_id += 1
        self.send({"id": self._last_id, "method": method, "params": params})
        while line := self.process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            if answer.get("id") == self._last_id:
                if "result" not in answer:
                    raise RuntimeError(answer)
                return answer
        msg = "the server closed its output"
        raise RuntimeError(msg)

    def initialize(self) -> None:
        self.request("initialize", HANDSHAKE)
        self.send({"method": "notifications/initialized"})

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def connected(command: tuple[str, ...]) -> Iterator[Wire]:
    wire = Wire(command)
    try:
        wire.initialize()
        yield wire
    finally:
        wire.close()


def spawn_ms(command: tuple[str, ...], times: int) -> list[float]:
    """Return the milliseconds from spawning to the answer to ``initialize``."""
    taken: list[float] = []
    with connected(command):
        pass  # the first start writes the bytecode
    for _ in range(times):
        began_s = time.perf_counter()
        with connected(command):
            taken.append((time.perf_counter() - began_s) * 1_000)
    return taken


def call_ms(wire: Wire, calls: int) -> list[float]:
    taken = []
    for number in range(calls):
        began_s = time.perf_counter()
        wire.request("tools/call", {"name": "noop", "arguments": {"x": number}})
        taken.append((time.perf_counter() - began_s) * 1_000)
    return taken


@contextlib.contextmanager
def noop_daemon(data_dir: Path) -> Iterator[None]:
    command = (sys.executable, "-m", "benchmarks.noop", "daemon", "--data-dir", str(data_dir))
    process = subprocess.Popen(command, cwd=ROOT, env=environment())
    try:
        until(lambda: read_record(Places(data_dir)) is not None)
        yield
    finally:
        process.terminate()
        process.wait()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def row(name: str, values: list[float]) -> str:
    return (
        f"| {name} | {len(values)} | {statistics.median(values):.2f} | {percentile(values, 0.95):.2f} "
        f"| {percentile(values, 0.99):.2f} | {max(values):.2f} |"
    )


def measure(rounds: int, spawns: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return (call, spawn) milliseconds by way, rounds taking turns so that both see the same machine."""
    calls: dict[str, list[float]] = {"direct": [], "bridge": []}
    with data_directory() as data_dir, noop_daemon(data_dir):
        bridge = (*BRIDGE, "--data-dir", str(data_dir))
        with connected(DIRECT) as direct, connected(bridge) as bridged:
            ways = {"direct": direct, "bridge": bridged}
            for wire in ways.values():
                call_ms(wire, CALLS_PER_ROUND)
            for number in range(rounds):
                # Each goes first in half of the rounds.
                for name in sorted(ways, reverse=number % 2 == 1):
                    calls[name] += call_ms(ways[name], CALLS_PER_ROUND)
        starts = {"bridge": spawn_ms(bridge, spawns), "direct": spawn_ms(DIRECT, max(3, spawns // 5))}
    return calls, starts


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help=f"of {CALLS_PER_ROUND} calls over each way")
    parser.add_argument("--spawns", type=int, default=25)
    options = parser.parse_args(arguments)
    calls, starts = measure(options.rounds, options.spawns)
    print("| milliseconds | samples | p50 | p95 | p99 | max |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(row("no-op call, SDK stdio server", calls["direct"]))
    print(row("no-op call, bridge and daemon", calls["bridge"]))
    print(row("spawn to initialize, SDK stdio server", starts["direct"]))
    print(row("spawn to initialize, bridge to a running daemon", starts["bridge"]))
    added_ms = statistics.median(calls["bridge"]) - statistics.median(calls["direct"])
    start_ms = statistics.median(starts["bridge"])
    is_met = added_ms <= GOAL_ADDED_MS and start_ms <= GOAL_SPAWN_MS
    print(
        f"\nThe bridge adds {added_ms:+.2f} ms to a call at the median (goal: at most {GOAL_ADDED_MS} ms) and is there "
        f"after {start_ms:.0f} ms (goal: at most {GOAL_SPAWN_MS:.0f} ms): {'met' if is_met else 'short of the goal'}."
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
