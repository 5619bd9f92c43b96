"""The examples, run as a reader runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import ROOT, Agent, http_client, until

from .conftest import HERE, Daemon, run_node

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.system


def ask(daemon: Daemon, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "examples/ask_the_desk.py", "--data-dir", str(daemon.data_dir), *options]
    return subprocess.run(
        command, cwd=ROOT, env=daemon.environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.requirement("T19")
def test_the_example_agent_learns_what_the_loop_did_and_why_and_leaves_a_note(daemon: Daemon) -> None:
    def has_traded() -> bool:
        return int(http_client(daemon.data_dir).get("/telemetry/trading")["trades_total"]) > 0

    until(has_traded, 60)
    done = ask(daemon, "--trades", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PAPER money on the synthetic feed")
    assert "  - signal: " in done.stdout
    assert "  - fill: " in done.stdout
    assert "  in memory: trajectory " in done.stdout
    assert "Left a note for other agents: memory " in done.stdout
    found = http_client(daemon.data_dir).get("/memory/search?query=reviewed+the+desk&namespace=agents/ask-the-desk")
    assert found["hits"][0]["agent"] == "ask-the-desk"


def test_the_example_agent_says_what_is_wrong_when_a_tool_refuses(daemon: Daemon) -> None:
    done = ask(daemon, "--trades", "999")
    assert done.returncode != 0
    assert "limit" in done.stderr


def run(daemon: Daemon, *command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=daemon.environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for_a_sale(daemon: Daemon) -> None:
    """Until the desk has closed a trade, so that there is something to review."""

    def has_sold() -> bool:
        digest = http_client(daemon.data_dir).get("/strategies")
        return any(int(strategy.get("trades") or 0) > 0 for strategy in digest["strategies"])

    until(has_sold, 60)


def traded(daemon: Daemon) -> list[dict[str, Any]]:
    """The trades as any agent reads them."""
    agent = Agent(daemon.data_dir, environ=daemon.environ)
    try:
        agent.initialize()
        answer = agent.request("resources/read", {"uri": "history://trades?limit=200"})
    finally:
        agent.close()
    trades: list[dict[str, Any]] = json.loads(answer["result"]["contents"][0]["text"])["trades"]
    return trades


def found(daemon: Daemon, query: str, namespace: str) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = http_client(daemon.data_dir).get(
        "/memory/search", {"query": query, "namespace": namespace}
    )["hits"]
    return hits


def test_one_agent_loses_and_another_finds_the_lesson_before_it_acts(daemon: Daemon) -> None:
    wait_for_a_sale(daemon)
    said = run(daemon, sys.executable, "examples/two_agents.py", "--data-dir", str(daemon.data_dir))
    lines = said.splitlines()
    assert "paper money, denied: " in lines[0]
    assert lines[2].startswith("trader: scout learned before me (")
    assert "trader: instead of 1000 SOL I ask for 0.02: paper money" in said
    hits = found(daemon, "how large may a buy be", "examples/two-agents")
    [lesson] = [hit for hit in hits if hit["kind"] == "lesson"]
    assert lesson["agent"] == "scout"
    assert lesson["id"] in lines[2]
    # Neither of them sent an order: whatever was traded in the meantime, the loop did.
    trades = traded(daemon)
    assert trades
    assert all(trade["bucket"] != "manual" for trade in trades)


def test_the_night_is_reviewed_with_a_lesson_and_a_brief(daemon: Daemon) -> None:
    wait_for_a_sale(daemon)
    command = [sys.executable, "examples/night_review.py", "--data-dir", str(daemon.data_dir), "--window", "all"]
    said = run(daemon, *command)
    assert "PAPER money on the synthetic feed over all: equity " in said
    brief = said.splitlines()[-1].removeprefix("brief: memory ")
    written = found(daemon, "PAPER money on the synthetic feed over all", "agents/night-review")
    assert brief in {hit["id"] for hit in written}
    assert {hit["agent"] for hit in written} == {"night-review"}


def test_the_typescript_agent_recalls_asks_and_leaves_a_note(daemon: Daemon, node: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")  # what `npm install` would have put there
    script = tmp_path / "ask_memory.ts"
    script.write_bytes((EXAMPLES / script.name).read_bytes())
    command = Path(sys.executable).with_name("memmcp")
    environ = {**daemon.environ, "MEMMCP_COMMAND": str(command)}
    own = Daemon(daemon.data_dir, daemon.url, environ)
    done = run_node(node, str(script), "what happened to quokkas?", str(daemon.data_dir), daemon=own)
    assert done.returncode == 0, done.stderr
    assert "PAPER money, equity " in done.stdout
    [note] = [hit for hit in found(daemon, "what happened to quokkas", "examples/typescript") if hit["kind"] == "note"]
    assert note["agent"] == "typescript-example"
    assert done.stdout.rstrip().endswith(f"Left a note: memory {note['id']}")


@pytest.mark.skipif("MEMMCP_EXAMPLES" not in os.environ, reason="installs pydantic-ai: make examples")
def test_the_pydantic_ai_agent_runs_without_a_network_of_its_own(daemon: Daemon) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    own = [uv, "run", "-q", "--no-project", "--python", sys.executable, "--with", "pydantic-ai-slim[mcp]>=2.68,<3"]
    script = ["examples/pydantic_ai_agent.py", "--data-dir", str(daemon.data_dir), "Ask the quolls"]
    said = run(daemon, *own, *script)
    assert "memories about the task; the desk trades paper money" in said
    [decision] = found(daemon, "Ask the quolls", "examples/pydantic-ai")
    assert decision["agent"] == "pydantic-ai-example"
    assert said.rstrip().endswith(f"memory {decision['id']}")


def test_every_example_is_listed_and_says_how_it_is_run() -> None:
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    files = [path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ts")]
    assert len(files) >= 6
    assert [name for name in files if f"({name})" not in readme] == []
