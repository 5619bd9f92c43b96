"""The main job from end to end: start, trade on the recorded feed, ask over MCP why, get the evidence."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import Agent, agents, environment, until
from tests.support.daemons import served

pytestmark = [pytest.mark.system, pytest.mark.market, pytest.mark.timeout(180)]

FAST = {"MEMMCP_TRADING__ENABLED": "true", "TRADING_PAPER__SPEED": "max"}
STEPS = ["signal", "verdict", "order", "fill"]


SHOWN = 5


def buys(agent: Agent) -> list[dict[str, Any]]:
    """Return what was bought, the first one first."""
    read = agent.request("resources/read", {"uri": "history://trades"})
    if "error" in read:  # the desk is still coming up
        return []
    trades = json.loads(read["result"]["contents"][0]["text"])["trades"]
    return [trade for trade in reversed(trades) if trade["side"] == "buy"]


def orders_to_buy_in_memory(agent: Agent) -> int:
    found = agent.call("memory_search", query="order to buy", namespace="trading", kinds=["order"], limit=50)["hits"]
    return sum(hit["content"].startswith("Order to buy BONK") for hit in found)


@pytest.mark.requirement("Q2", "T19", "M6", "O2")
def test_an_agent_learns_over_mcp_why_the_desk_bought(data_dir: Path, market_dir: Path) -> None:
    bars = [market_dir / "ohlcv_5m" / f"{symbol}_5m.csv.gz" for symbol in ("SOLUSDT", "BONKUSDT")]
    feed = "replay:" + ",".join(map(str, bars))
    environ = environment(FAST)
    with served(data_dir, "--feed", feed, environ=environ), agents(data_dir, 1, environ=environ) as (agent,):
        agent.initialize(60)
        until(lambda: buys(agent), 90)
        buy = buys(agent)[0]

        answer = agent.call("why", order_id=buy["order_id"])
        assert answer["money"] == "paper"
        assert answer["feed"]["kind"] == "replay"
        assert [step["step"] for step in answer["chain"]][:4] == ["forecast", "signal", "order", "fill"]
        assert "approved, within" in answer["summary"]

        def remembered() -> dict[str, Any]:
            read = agent.request("resources/read", {"uri": f"trajectory://{buy['trajectory_id']}"})
            if "error" in read:
                return {}
            document: dict[str, Any] = json.loads(read["result"]["contents"][0]["text"])
            return document

        until(lambda: len(remembered().get("steps", ())) >= len(STEPS), 60)
        kinds = [step["kind"] for step in remembered()["steps"]]
        assert [kind for kind in kinds if kind in STEPS][: len(STEPS)] == STEPS
        signal = next(step for step in remembered()["steps"] if step["kind"] == "signal")
        assert signal["metadata"]["evidence"]

        # With fewer answers than are looked at, what stands beside one is next, and need not name the token.
        until(lambda: orders_to_buy_in_memory(agent) >= SHOWN, 60)
        found = agent.call("memory_search", query="why did we buy BONK", namespace="trading")["hits"]
        assert found
        assert all("BONK" in hit["content"] for hit in found[:SHOWN])
