"""A tool that does nothing, on ours and on a bare SDK server: ``python -m benchmarks.transports``.

Ours is the whole daemon (journal, index worker, guard, news, logs) with the tool registered as its others are; bare is
the SDK's ``MCPServer`` with nothing around it. The same client of raw lines and requests calls both in turns within one
run: over stdio (ours through the bridge), Streamable HTTP in both protocol eras, and SSE. Trading is off.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp_types import ToolAnnotations
from starlette.applications import Starlette
from tests.support.agents import ROOT, data_directory, environment, until

from benchmarks.bridge import BRIDGE, DIRECT, HANDSHAKE, call_ms, connected, percentile
from benchmarks.noop import build
from memmcp_server.cli import app as command_line
from memmcp_server.daemon import host
from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places
from memmcp_server.services.container import Services
from memmcp_server.tools.server import MemoryServer
from memmcp_server.tools.spec import Call, ToolSpec
from memmcp_server.tools.tool import make_tool
from memmcp_server.wire.base import Request, Wire

GOAL_RATIO = 1.2
CALLS_PER_ROUND = 100
MODERN = "2026-07-28"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
TimeCall = Callable[[int], float]


class NoopArguments(Request):
    x: int = 0


class NoopAnswer(Wire):
    result: int


async def noop(_call: Call, arguments: NoopArguments) -> NoopAnswer:
    return NoopAnswer(result=arguments.x)


def serve_ours(data_dir: str) -> None:
    """Be the daemon, with one tool more."""
    make = host.build_server
    hints = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
    spec = ToolSpec("noop", "Nothing", "Return the number.", NoopArguments, NoopAnswer, hints, noop)

    def with_noop(services: Services) -> MemoryServer:
        server = make(services)
        server._tool_manager._tools["noop"] = make_tool(spec, services)
        return server

    host.build_server = with_noop
    sys.argv = ["memmcp", "serve", "--data-dir", data_dir, "--port", "0", "--no-trading"]
    command_line()


def serve_bare() -> None:
    """Be the SDK's server over HTTP and SSE; print the port."""
    server: MCPServer[None] = build()
    web, sse = server.streamable_http_app(), server.sse_app()

    @contextlib.asynccontextmanager
    async def life(_app: Starlette) -> Any:
        async with server.session_manager.run():
            yield

    async def serve() -> None:
        app = Starlette(lifespan=life, routes=[*web.routes, *sse.routes])
        running = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.serve)
            while not running.started:
                await anyio.sleep(0.01)
            print(running.servers[0].sockets[0].getsockname()[1], flush=True)

    anyio.run(serve)


# The client


class Http:
    """Requests over one connection that is kept open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=30)
        self._headers = dict(HEADERS)
        self._last_id = 0

    def post(self, path: str, message: dict[str, Any], **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        body = json.dumps({"jsonrpc": "2.0", **message})
        self._connection.request("POST", path, body, {**self._headers, **headers})
        response = self._connection.getresponse()
        return response, response.read()

    def initialize(self) -> None:
        response, _ = self.post("/mcp", {"id": 0, "method": "initialize", "params": HANDSHAKE})
        self._headers["mcp-session-id"] = response.headers["mcp-session-id"]
        self._headers["mcp-protocol-version"] = str(HANDSHAKE["protocolVersion"])
        self.post("/mcp", {"method": "notifications/initialized"})

    def call_legacy(self, number: int) -> float:
        self._last_id += 1
        params = {"name": "noop", "arguments": {"x": number}}
        return self._timed({"id": self._last_id, "method": "tools/call", "params": params})

    def call_modern(self, number: int) -> float:
        self._last_id += 1
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": HANDSHAKE["clientInfo"],
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": "noop", "arguments": {"x": number}, "_meta": meta}
        headers = {"Mcp-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "noop"}
        return self._timed({"id": self._last_id, "method": "tools/call", "params": params}, **headers)

    def _timed(self, message: dict[str, Any], **headers: str) -> float:
        began_s = time.perf_counter()
        response, body = self.post("/mcp", message, **headers)
        taken_ms = (time.perf_counter() - began_s) * 1_000
        if response.status != http.client.OK or b'"result"' not in body:
            raise RuntimeError(f"{response.status}: {body[:300]!r}")
        return taken_ms


class Sse:
    """A stream that brings the answers, and posts beside it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._stream = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=30)
        self._stream.request("GET", "/sse", headers={"Accept": "text/event-stream"})
        self._answers = self._stream.getresponse()
        self._posts = Http(url)
        self._path = self._event()
        self._last_id = 0
        self._ask("initialize", HANDSHAKE)
        self._posts.post(self._path, {"method": "notifications/initialized"})

    def call(self, number: int) -> float:
        began_s = time.perf_counter()
        self._ask("tools/call", {"name": "noop", "arguments": {"x": number}})
        return (time.perf_counter() - began_s) * 1_000

    def _ask(self, method: str, params: dict[str, Any]) -> None:
        self._last_id += 1
        self._posts.post(self._path, {"id": self._last_id, "method": method, "params": params})
        while json.loads(self._event()).get("id") != self._last_id:
            pass

    def _event(self) -> str:
        while line := self._answers.readline():
            if line.startswith(b"data:"):
                return line[5:].strip().decode()
        raise RuntimeError("the stream ended")


# The run


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.transports", *arguments]
    environ = environment({"MEMMCP_TRADING__ENABLED": "false"})
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.terminate()
            child.wait()


def http_way(url: str, era: str) -> TimeCall:
    client = Http(url)
    if era == MODERN:
        return client.call_modern
    client.initialize()
    return client.call_legacy


def in_turns(ways: dict[str, TimeCall], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        for number in range(CALLS_PER_ROUND):
            call(number)
    for turn in range(rounds):
        for name in sorted(ways, reverse=turn % 2 == 1):
            found[name] += [ways[name](number) for number in range(CALLS_PER_ROUND)]
    return found


def measure(data_dir: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    with running("bare") as bare, running("ours", str(data_dir)):
        assert bare.stdout is not None
        bare_url = f"http://127.0.0.1:{bare.stdout.readline().strip()}"
        until(lambda: read_record(Places(data_dir)) is not None, 60)
        record = read_record(Places(data_dir))
        assert record is not None
        ours_url = str(record["http"])
        time.sleep(5)  # the model is loading beside it
        found = {}
        with connected(DIRECT) as direct, connected((*BRIDGE, "--data-dir", str(data_dir))) as bridged:
            wires: dict[str, TimeCall] = {
                "bare": lambda _number: call_ms(direct, 1)[0],
                "ours": lambda _number: call_ms(bridged, 1)[0],
            }
            found["stdio (bridge)"] = in_turns(wires, rounds)
        for name, way in (
            ("Streamable HTTP, 2025-11-25", partial(http_way, era="2025-11-25")),
            (f"Streamable HTTP, {MODERN}", partial(http_way, era=MODERN)),
            ("SSE", lambda url: Sse(url).call),
        ):
            found[name] = in_turns({"bare": way(bare_url), "ours": way(ours_url)}, rounds)
        return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", nargs="?", choices=("bare", "ours"))
    parser.add_argument("data_dir", nargs="?")
    parser.add_argument("--rounds", type=int, default=10, help=f"of {CALLS_PER_ROUND} calls over each way")
    options = parser.parse_args(arguments)
    if options.role == "bare":
        serve_bare()
        return 0
    if options.role == "ours":
        serve_ours(options.data_dir)
        return 0
    with data_directory() as data_dir:
        found = measure(data_dir, options.rounds)
    print("| no-op call, ms | bare p50 | ours p50 | ratio | bare p99 | ours p99 |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratios = {}
    for name, ways in found.items():
        bare, ours = statistics.median(ways["bare"]), statistics.median(ways["ours"])
        ratios[name] = ours / bare
        tails = f"{percentile(ways['bare'], 0.99):.2f} | {percentile(ways['ours'], 0.99):.2f}"
        print(f"| {name} | {bare:.2f} | {ours:.2f} | {ratios[name]:.2f} | {tails} |")
    worst = max(ratios, key=lambda name: ratios[name])
    is_met = ratios[worst] <= GOAL_RATIO
    samples = options.rounds * CALLS_PER_ROUND
    print(
        f"\n{samples} calls each. The widest ratio of medians is {ratios[worst]:.2f} ({worst}), "
        f"goal at most {GOAL_RATIO}: {'met' if is_met else 'short of the goal'}."
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(sys.argv[1:]))
