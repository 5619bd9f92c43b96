"""The example agent of the documents, run as a reader runs it."""

import subprocess
import sys

import pytest

from tests.support.agents import ROOT, http_client, until

from .conftest import Daemon

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
