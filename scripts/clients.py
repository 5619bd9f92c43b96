"""Nine real MCP clients over every transport they have: ``python -m scripts.clients [NAME ...]``.

One daemon with a paper desk; each client runs in its own environment and in turn lists the tools, writes a memory,
finds it and the one that the client before it wrote, reads a resource, previews a paper trade and gives a wrong
argument. The table goes to ``docs/clients.md`` when all ran; the exit code is 1 when one did not do what it should.
"""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.agents import ROOT, Agent, agents, data_directory, environment, http_client, until
from tests.support.daemons import served

from memmcp_server.errors import MemoryServerError
from memmcp_server.tools.server import tool_specs

from .results_file import splice

HERE = ROOT / "tests" / "clients"
DRIVERS = HERE / "drivers"
ENVIRONMENTS = ROOT / ".cache" / "clients"
DOCUMENT = ROOT / "docs" / "clients.md"
TRANSPORTS = ("stdio", "http", "sse")
PREVIEW_EXPIRY_S = 0.3
MARKET = {
    # A quarter of an hour of the synthetic market each second: the desk soon trades, and its view of a token outlives a
    # session. A preview reserves its token for the agent until it expires, so these expire before the next client asks.
    "TRADING_PAPER__SPEED": "900",
    "TRADING_PREVIEW__EXPIRY_S": str(PREVIEW_EXPIRY_S),
}
DENIED_MAX = 3
"""How often a client is run anew because the desk, rightly, denied the preview: the market had moved."""
SESSION_TIMEOUT_S = 90
TOOLS = [spec.name for spec in tool_specs()]
INSPECTOR = HERE / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
INSPECTOR_TOOL_ERROR = 5

Run = Callable[[str, dict[str, Any]], dict[str, Any]]


class ClientFailed(Exception):
    """A client ended with an error or saw something else than it should; the text says what."""


@dataclass(frozen=True)
class Client:
    """``name`` with its version, and how a session of it is run over a transport."""

    name: str
    run: Run


@dataclass(frozen=True)
class Outcome:
    """One cell of the table; ``failure`` is empty when the client did all it should."""

    client: str
    transport: str
    protocol: str = ""
    first_result_ms: float = 0.0
    has_data: bool = False
    failure: str = ""


def clients() -> list[Client]:
    """Return the nine, making the environments that are missing."""
    python = [Client(*made) for made in _python_clients()]
    sdk = f"mcp {_version(Path(sys.prefix), 'mcp')} Client"
    own = [Client(f"{sdk}, {mode}", _driver(sys.executable, "sdk_client.py", MODE=mode)) for mode in ("auto", "legacy")]
    node = [
        Client(f"{package} {_npm_version(package)}", _typescript(generation))
        for generation, package in (("sdk", "@modelcontextprotocol/sdk"), ("client", "@modelcontextprotocol/client"))
    ]
    inspector = Client(f"Inspector CLI {_npm_version('@modelcontextprotocol/inspector')}", _inspect)
    return [*own, *python, *node, inspector]


def _python_clients() -> Iterator[tuple[str, Run]]:
    for name, entry in tomllib.loads((HERE / "clients.toml").read_text("utf-8")).items():
        place = ENVIRONMENTS / name
        _make_environment(place, entry["packages"])
        python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
        yield f"{name} {entry['packages'][0].split('==')[1]}", _driver(str(python), entry["driver"])


def _make_environment(place: Path, packages: list[str]) -> None:
    """Make an environment that has exactly these; one whose list has changed is made anew."""
    made = place / "packages.txt"
    wanted = "\n".join(packages)
    if made.exists() and made.read_text("utf-8") == wanted:
        return
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(place)], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(place), *packages], check=True)
    made.write_text(wanted, "utf-8")


def _version(prefix: Path, package: str) -> str:
    found = next(prefix.glob(f"lib/python3*/site-packages/{package}-*.dist-info"), None)
    return found.name.removesuffix(".dist-info").split("-")[1] if found else "?"


def _npm_version(package: str) -> str:
    path = HERE / "node_modules" / package / "package.json"
    return str(json.loads(path.read_text("utf-8"))["version"])


def _session(command: list[str], environ: dict[str, str]) -> dict[str, Any]:
    """Run a driver to its end and return what it saw. Raises: ClientFailed."""
    done = subprocess.run(
        command,
        cwd=HERE,
        env=environ,
        capture_output=True,
        text=True,
        timeout=SESSION_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-12:]
        raise ClientFailed("\n".join(last))
    saw: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return saw


def _environ(**more: str) -> dict[str, str]:
    """Return what a client runs in: nothing of ours, and no library phones home."""
    silent = {"MCP_USE_ANONYMIZED_TELEMETRY": "false", "DO_NOT_TRACK": "1", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    return {**environment(silent), **more}


def _driver(python: str, driver: str, **more: str) -> Run:
    def run(transport: str, job: dict[str, Any]) -> dict[str, Any]:
        return _session([python, str(DRIVERS / driver), transport, json.dumps(job)], _environ(**more))

    return run


def _node() -> str:
    return str(HERE / "node_modules" / ".bin" / "node")


def _typescript(generation: str) -> Run:
    def run(transport: str, job: dict[str, Any]) -> dict[str, Any]:
        return _session(
            [_node(), str(DRIVERS / "typescript_client.mjs"), generation, transport, json.dumps(job)], _environ()
        )

    return run


def _inspect(transport: str, job: dict[str, Any]) -> dict[str, Any]:
    """The Inspector connects anew for each command, so its first result includes the start of Node."""
    target = (
        job["target"] if transport == "stdio" else [f"{job['target'][0]}/{'mcp' if transport == 'http' else 'sse'}"]
    )
    chosen = [] if transport == "stdio" else ["--transport", transport]

    def ask(*options: str, exit_code: int = 0) -> Any:
        command = [_node(), str(INSPECTOR), "--cli", *target, *chosen, *options, "--format", "json"]
        done = subprocess.run(
            command,
            cwd=HERE,
            env=_environ(),
            capture_output=True,
            text=True,
            timeout=SESSION_TIMEOUT_S,
            check=False,
        )
        if done.returncode != exit_code:
            raise ClientFailed(f"exit code {done.returncode}: {done.stderr.strip()[-600:]}")
        return json.loads(done.stdout)["result"]

    def call(tool: str, exit_code: int = 0, **arguments: str) -> Any:
        given = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
        return ask("--method", "tools/call", "--tool-name", tool, *given, exit_code=exit_code)

    began_s = time.perf_counter()
    written = call("memory_write", content=job["note"], tags='["nine-clients"]')
    first_result_ms = (time.perf_counter() - began_s) * 1_000
    search = {"tags": '["nine-clients"]', "limit": "5"}
    found = call("memory_search", query=job["note"], **search)
    other = call("memory_search", query=job["other"]["content"], **search)
    reason = "A preview by a client under test"
    preview = call("place_trade", side="buy", mint=job["mint"], amount_sol='"0.05"', reason=reason)
    refused = call("memory_search", INSPECTOR_TOOL_ERROR, query="x", limit="0")
    return {
        "protocol": "not told",
        "first_result_ms": first_result_ms,
        "tools": [tool["name"] for tool in ask("--method", "tools/list")["tools"]],
        "written": written["structuredContent"],
        "found": found["structuredContent"],
        "found_text": found["content"][0]["text"],
        "other": other["structuredContent"],
        "preview": preview["structuredContent"],
        "refused": {"is_error": refused["isError"], "text": refused["content"][0]["text"]},
        "resource": json.loads(ask("--method", "resources/read", "--uri", "telemetry://latest")["contents"][0]["text"]),
        "data": "structuredContent" in found,
    }


def check(saw: dict[str, Any], job: dict[str, Any]) -> None:
    """Raises: ClientFailed, naming each thing that was not as it should be."""
    written, refused = saw["written"]["id"], saw["refused"]
    wrong = [
        text
        for text, holds in (
            (f"tools {saw['tools']}", saw["tools"] == TOOLS),
            ("its memory was not durable", saw["written"]["durable"] is True),
            ("did not find its own memory", written in [hit["id"] for hit in saw["found"]["hits"]]),
            ("text and data differ", written in saw["found_text"]),
            ("did not find the other's memory", job["other"]["id"] in [hit["id"] for hit in saw["other"]["hits"]]),
            (f"preview: {saw['preview'].get('message')}", saw["preview"]["status"] == "preview"),
            ("the preview does not say paper", saw["preview"]["money"] == "paper"),
            ("the preview has no preview_id", bool(saw["preview"].get("preview_id"))),
            ("the resource does not say paper", saw["resource"]["money"] == "paper"),
            (f"wrong argument: {refused}", refused["is_error"] and "limit" in refused["text"]),
        )
        if not holds
    ]
    if wrong:
        raise ClientFailed("; ".join(wrong))


@contextmanager
def daemon() -> Iterator[Path]:
    """Serve a paper desk on the synthetic market until the block ends."""
    environ = environment({"MEMMCP_TRADING__ENABLED": "true", **MARKET})
    with data_directory() as data_dir, served(data_dir, "--feed", "synthetic", environ=environ):
        until(lambda: _is_trading(data_dir), 60)
        yield data_dir


def _is_trading(data_dir: Path) -> bool:
    try:
        return bool(http_client(data_dir).get("/admin/status")["trading"].get("run_id"))
    except MemoryServerError:
        return False


def buyable(agent: Agent, data_dir: Path) -> str:
    """Return a mint that the desk would buy now: one that it traded. Raises: TimeoutError."""
    found: list[str] = []

    def look() -> bool:
        trades = http_client(data_dir).get("/telemetry/trading/trades")["trades"]
        for mint in sorted({trade["mint"] for trade in trades}):
            wish = {"side": "buy", "mint": mint, "amount_sol": "0.05", "reason": "looking for a token to preview"}
            result = agent.request("tools/call", {"name": "place_trade", "arguments": wish})["result"]
            if result.get("structuredContent", {}).get("status") == "preview":
                found.append(mint)
        return bool(found)

    until(look, 60, poll_s=0.5)
    # A quick client would find its token held by the preview that was just made to look.
    time.sleep(2 * PREVIEW_EXPIRY_S)
    return found[0]


def one(client: Client, transport: str, job: dict[str, Any], mint: Callable[[], str]) -> tuple[Outcome, dict[str, str]]:
    """Run a client over a transport; return the cell and the memory that the next one has to find."""
    try:
        for _ in range(DENIED_MAX):
            saw = client.run(transport, {**job, "mint": mint()})
            if saw["preview"]["status"] != "denied":
                break
        check(saw, job)
    except (ClientFailed, subprocess.TimeoutExpired, KeyError, ValueError) as error:
        return Outcome(client.name, transport, failure=f"{type(error).__name__}: {error}"), job["other"]
    outcome = Outcome(client.name, transport, saw["protocol"], saw["first_result_ms"], saw["data"])
    return outcome, {"content": job["note"], "id": saw["written"]["id"]}


def run_all(chosen: list[Client]) -> list[Outcome]:
    """Run each client over each transport against one daemon; every one has to find what the one before it wrote."""
    outcomes: list[Outcome] = []
    with daemon() as data_dir, agents(data_dir, 1) as [agent]:
        agent.initialize()
        url = str(http_client(data_dir).get("/admin/status")["http"]).rstrip("/")
        stdio = [sys.executable, "-m", "memmcp_server", "stdio", "--data-dir", str(data_dir)]
        content = "The table of clients begins here."
        written = agent.call("memory_write", content=content, tags=["nine-clients"])
        other = {"content": content, "id": str(written["id"])}
        for transport in TRANSPORTS:
            target = stdio if transport == "stdio" else [url]
            for client in chosen:
                note = f"{client.name} was here over {transport}."
                job = {"target": target, "note": note, "other": other}
                outcome, other = one(client, transport, job, lambda: buyable(agent, data_dir))
                outcomes.append(outcome)
                print(f"{client.name}, {transport}: {outcome.failure or cell(outcome)}", flush=True)
    return outcomes


def cell(outcome: Outcome) -> str:
    return "FAILED" if outcome.failure else f"ok, {outcome.first_result_ms:,.0f} ms, {outcome.protocol}"


def table(outcomes: list[Outcome]) -> str:
    """Return one row for each client, one column for each transport."""
    cells = {(outcome.client, outcome.transport): cell(outcome) for outcome in outcomes}
    names = list(dict.fromkeys(outcome.client for outcome in outcomes))
    data = {outcome.client: "data and text" if outcome.has_data else "text" for outcome in outcomes}
    head = [
        "| client | stdio, through `memmcp stdio` | Streamable HTTP | SSE | hands on |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows = [
        f"| {name} | {' | '.join(cells[name, transport] for transport in TRANSPORTS)} | {data[name]} |"
        for name in names
    ]
    return "\n".join([*head, *rows])


def main(names: list[str]) -> int:
    chosen = [client for client in clients() if not names or any(name in client.name for name in names)]
    if not chosen:
        print(f"no client is called {' or '.join(names)}", file=sys.stderr)
        return 2
    outcomes = run_all(chosen)
    failed = [outcome for outcome in outcomes if outcome.failure]
    told = table(outcomes)
    print(f"\n{told}\n\n{len(outcomes) - len(failed)} of {len(outcomes)} did every step.")
    if not names:
        stamp = f"`make clients`, {datetime.now(UTC):%Y-%m-%d}; {len(outcomes) - len(failed)} of {len(outcomes)} ok."
        splice("clients", f"{told}\n\n{stamp}", DOCUMENT)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
