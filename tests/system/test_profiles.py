"""A switch of the profile on the running daemon: by the operator's command, in memory, and closed to agents upwards."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import agents, environment, until
from tests.support.daemons import served
from typer.testing import CliRunner

from trading.cli import app

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SLOW = {"MEMMCP_TRADING__ENABLED": "true", "TRADING_PAPER__SPEED": "3000"}


@pytest.mark.requirement("T2")
def test_an_operators_switch_is_in_memory_with_what_changed_and_an_agent_may_only_go_to_a_safer_one(
    data_dir: Path,
) -> None:
    (data_dir / "profiles").mkdir(parents=True)
    (data_dir / "profiles" / "calm.toml").write_text('extends = "cautious"\n[limits]\norder_bps_max = 900\n')
    environ = environment(SLOW)
    with served(data_dir, "--feed", "synthetic:4", environ=environ), agents(data_dir, 1, environ=environ) as (agent,):
        agent.initialize(60)

        def desk() -> dict[str, Any]:
            return agent.call("telemetry_trading")

        until(lambda: desk()["cycle"] > 2, 60)
        given = ["profile", "calm", "--reason", "the weather turns", "--data-dir", str(data_dir)]
        switched = CliRunner().invoke(app, given)
        assert switched.exit_code == 0, switched.output
        assert "From foundation to calm" in switched.stdout
        until(lambda: desk()["profile"] == "calm", 30)

        def told() -> list[dict[str, Any]]:
            found = agent.call("memory_search", query="profile switched", namespace="trading", kinds=["profile"])
            return list(found["hits"])

        until(lambda: len(told()) == 1, 60)
        [memory] = told()
        assert memory["content"].startswith("Profile foundation was switched to calm: the weather turns. Changed: ")

        wish = {"action": "profile", "reason": "I feel lucky"}
        refused = agent.call("trading_control", profile="aggressive", **wish)
        assert refused["status"] == "denied"
        assert "operator's to decide" in refused["effect"]
        assert desk()["profile"] == "calm"
