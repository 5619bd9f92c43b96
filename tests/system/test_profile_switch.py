"""Profiles of a running desk: an agent may go to a safer one only, a person to any, and a death undoes neither."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import Agent, agents, daemon_pid, environment, http_client, until
from tests.support.daemons import served
from typer.testing import CliRunner

from memmcp_server.cli.client import Failed
from trading.cli import app

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]
ENVIRON = environment({"MEMMCP_TRADING__ENABLED": "true", "TRADING_PAPER__SPEED": "1200"})


def snapshot(data_dir: Path) -> dict[str, Any]:
    """Return the desk's state, {} while it is coming up."""
    try:
        found: dict[str, Any] = http_client(data_dir).get("/telemetry/trading")
    except Failed:
        return {}
    return found


def profile(data_dir: Path) -> str:
    return str(snapshot(data_dir).get("profile", ""))


def switch(agent: Agent, name: str) -> dict[str, Any]:
    return agent.call("trading_control", action="profile", profile=name, reason="the night is restless")


def remembered(agent: Agent, before: str, after: str) -> bool:
    """Tell whether memory says of a switch, and why."""
    hits = agent.call("memory_search", query="profile switched", namespace="trading", limit=50)["hits"]
    return any(f"Profile {before} was switched to {after}: " in hit["content"] for hit in hits)


@pytest.mark.requirement("T2")
def test_a_switch_on_a_running_daemon_is_in_memory_and_outlives_a_kill(data_dir: Path) -> None:
    with served(data_dir, "--feed", "synthetic", environ=ENVIRON), agents(data_dir, 1, environ=ENVIRON) as (agent,):
        agent.initialize(60)
        until(lambda: profile(data_dir) == "foundation", 60)
        refused = switch(agent, "aggressive")
        assert refused["status"] == "denied"
        assert "aggressive may risk more than foundation, which is the operator's to decide" in str(refused)
        assert profile(data_dir) == "foundation"
        assert switch(agent, "cautious")["status"] != "denied"
        until(lambda: profile(data_dir) == "cautious")

        told = CliRunner().invoke(
            app, ["profile", "aggressive", "--reason", "a person wants it", "--data-dir", str(data_dir)]
        )
        assert told.exit_code == 0, told.output
        until(lambda: profile(data_dir) == "aggressive")
        until(lambda: remembered(agent, "foundation", "cautious") and remembered(agent, "cautious", "aggressive"))
        cycles = snapshot(data_dir)["cycle"]
        os.kill(daemon_pid(data_dir), signal.SIGKILL)

    with served(data_dir, "--feed", "synthetic", environ=ENVIRON), agents(data_dir, 1, environ=ENVIRON) as (agent,):
        agent.initialize(60)
        until(lambda: snapshot(data_dir).get("cycle", 0) > cycles, 60)
        assert profile(data_dir) == "aggressive"  # the start asks for foundation, as the one before did
        assert remembered(agent, "cautious", "aggressive")
