"""Nine real clients over each transport they have, against one daemon; the table goes into docs/clients.md.

Each Python client runs in an environment of its own (``.cache/clients``, versions in tests/clients/peers), the npm ones
in tests/clients. Each lists the tools, writes a memory, finds it again and is told of a wrong argument.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp_types import Implementation
from tests.clients.conftest import DESK_TIMEOUT_S, is_trading
from tests.support.agents import ROOT, data_directory, environment, http_client, until
from tests.support.daemons import served

from memmcp_server.tools.server import tool_specs

DOCUMENT = ROOT / "docs" / "clients.md"
PEERS = ROOT / "tests" / "clients" / "peers"
NPM = ROOT / "tests" / "clients"
ENVIRONMENTS = ROOT / ".cache" / "clients"
BEGIN, END = "<!-- clients -->", "<!-- /clients -->"
TIMEOUT_S = 120
NAMES = [spec.name for spec in tool_specs()]
TRANSPORTS = ("stdio", "http", "sse")


@dataclass(frozen=True)
class Met:
    """What came of one client over one transport; ``problem`` is empty when all went well."""

    ms: int
    problem: str = ""


@dataclass(frozen=True)
class Daemon:
    data_dir: Path
    url: str
    environ: dict[str, str]

    def target(self, transport: str) -> list[str]:
        if transport == "stdio":
            return [sys.executable, "-m", "memmcp_server", "stdio", "--data-dir", str(self.data_dir)]
        return [self.url]

    def run(self, command: Sequence[str | Path], cwd: Path = ROOT) -> Any:
        """Return the JSON that a client's program printed last. Raises: RuntimeError with what it said instead."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env=self.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        try:
            return json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise RuntimeError(f"exit code {done.returncode}: {(done.stderr or done.stdout)[-400:]}") from error


Meet = Callable[[Daemon, str], Met]


def peers() -> dict[str, str]:
    """Return the Python clients with what pip calls them."""
    lines = (PEERS / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    return {line.partition("==")[0].partition("[")[0]: line for line in wanted}


def provide(name: str, requirement: str) -> Path:
    """Make a client's environment, unless it is there with this very version; return its Python."""
    place = ENVIRONMENTS / name
    python, stamp = place / "bin" / "python", place / ".requirement"
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == requirement):
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, place], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, requirement], check=True)
        stamp.write_text(requirement, encoding="utf-8")
    return python


def meet_peer(name: str, requirement: str) -> Meet:
    def meet(daemon: Daemon, transport: str) -> Met:
        python = provide(name, requirement)
        told = daemon.run([python, PEERS / "peer.py", name, transport, *daemon.target(transport)])
        return judged(told["ms"], told["tools"], f"{name} was here over {transport}.", told["found"], told["wrong"])

    return meet


def meet_python_sdk(mode: Any) -> Meet:
    def meet(daemon: Daemon, transport: str) -> Met:
        async def session() -> Met:
            content = f"python-sdk {mode} was here over {transport}."
            server: Any = f"{daemon.url}/mcp" if transport == "http" else sse_client(f"{daemon.url}/sse")
            if transport == "stdio":
                command, *arguments = daemon.target(transport)
                server = StdioServerParameters(command=command, args=arguments, env=daemon.environ)
            began_s = time.perf_counter()
            info = Implementation(name="python-sdk", version="1")
            async with Client(server, mode=mode, client_info=info) as client:
                tools = [tool.name for tool in (await client.list_tools()).tools]
                await client.call_tool("memory_write", {"content": content, "namespace": "clients"})
                found = await client.call_tool("memory_search", {"query": content, "namespace": "clients"})
                wrong = await client.call_tool("memory_search", {"query": "x", "limit": 0})
            took_ms = round((time.perf_counter() - began_s) * 1_000)
            return judged(took_ms, tools, content, found.content[0].text, wrong.content[0].text)

        return anyio.run(session)

    return meet


def meet_typescript(generation: str) -> Meet:
    def meet(daemon: Daemon, transport: str) -> Met:
        node = NPM / "node_modules" / ".bin" / "node"
        began_s = time.perf_counter()
        told = daemon.run([node, "use_memory.mjs", generation, transport, *daemon.target(transport)], NPM)
        took_ms = round((time.perf_counter() - began_s) * 1_000)
        content = f"A TypeScript {generation} client was here over {transport}."
        return judged(took_ms, told["tools"], content, told["foundText"], told["refused"]["text"])

    return meet


def meet_inspector(daemon: Daemon, transport: str) -> Met:
    node = NPM / "node_modules" / ".bin" / "node"
    program = NPM / "node_modules" / "@modelcontextprotocol" / "inspector" / "cli" / "build" / "cli.js"
    if not program.exists():
        program = (NPM / "node_modules" / ".bin" / "mcp-inspector").resolve()
    door = {"stdio": [], "http": ["--transport", "http"], "sse": ["--transport", "sse"]}[transport]
    path = {"stdio": "", "http": "/mcp", "sse": "/sse"}[transport]
    where = daemon.target(transport) if transport == "stdio" else [f"{daemon.url}{path}"]
    call = ["--method", "tools/list"]
    began_s = time.perf_counter()
    command = [node, program, "--cli", *where, *door, *call]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=NPM,
        env=daemon.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    took_ms = round((time.perf_counter() - began_s) * 1_000)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-300:]}")
    tools = [tool["name"] for tool in json.loads(done.stdout)["tools"]]
    return Met(took_ms, "" if tools == NAMES else f"it lists {len(tools)} tools")


def judged(ms: int, tools: Sequence[str], content: str, found: str, wrong: str) -> Met:
    if sorted(tools) != sorted(NAMES):
        return Met(ms, f"it lists {len(tools)} tools, not {len(NAMES)}")
    if content not in found:
        return Met(ms, "what it wrote is not found")
    return Met(ms, "" if "limit" in wrong else "a wrong argument is not named")


def clients() -> dict[str, tuple[str, Meet]]:
    """Return each client with its version and how to meet it."""
    locked = json.loads((NPM / "package-lock.json").read_text(encoding="utf-8"))["packages"]

    def version(package: str) -> str:
        return str(locked[f"node_modules/{package}"]["version"])

    from importlib.metadata import version as installed

    found: dict[str, tuple[str, Meet]] = {
        "Python SDK, auto": (installed("mcp"), meet_python_sdk("auto")),
        "Python SDK, legacy": (installed("mcp"), meet_python_sdk("legacy")),
    }
    for name, requirement in peers().items():
        found[name] = (requirement.partition("==")[2], meet_peer(name, requirement))
    found["TypeScript SDK"] = (version("@modelcontextprotocol/sdk"), meet_typescript("sdk"))
    found["TypeScript client"] = (version("@modelcontextprotocol/client"), meet_typescript("client"))
    found["Inspector CLI"] = (version("@modelcontextprotocol/inspector"), meet_inspector)
    return found


def meet_all(daemon: Daemon) -> dict[str, list[Met]]:
    met: dict[str, list[Met]] = {}
    for name, (version, meet) in clients().items():
        met[f"{name} {version}"] = row = []
        for transport in TRANSPORTS:
            try:
                row.append(meet(daemon, transport))
            except (RuntimeError, subprocess.SubprocessError, OSError, KeyError) as error:
                row.append(Met(0, str(error)[:300].replace("\n", " ")))
            print(f"{name} over {transport}: {row[-1].problem or f'{row[-1].ms} ms'}", flush=True)
    return met


def table(met: dict[str, list[Met]]) -> str:
    lines = ["| client | stdio (bridge), ms | Streamable HTTP, ms | SSE, ms |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {' | '.join(each.problem or str(each.ms) for each in row)} |" for name, row in met.items()]
    stamp = f"`make clients`, {datetime.now(UTC):%Y-%m-%d}. From connecting to the last of four answers:"
    return "\n".join([BEGIN, stamp, "", *lines, END])


def main() -> int:
    environ = environment({"MEMMCP_TRADING__ENABLED": "true", "TRADING_PAPER__SPEED": "18000"})
    with data_directory() as data_dir, served(data_dir, "--feed", "synthetic", environ=environ):
        until(lambda: is_trading(data_dir), DESK_TIMEOUT_S)
        url = str(http_client(data_dir).get("/admin/status")["http"]).rstrip("/")
        met = meet_all(Daemon(data_dir, url, environ))
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    DOCUMENT.write_text(before + table(met) + rest.partition(END)[2], encoding="utf-8")
    failed = sum(bool(each.problem) for row in met.values() for each in row)
    print(f"{len(met)} clients over {len(TRANSPORTS)} transports, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
