"""A daemon told to end while everybody writes: what is stored is acknowledged, what is refused is not stored."""

import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from tests.support.agents import Agent, agents, daemon_pid, until

from memmcp_server.cli.client import is_served
from memmcp_server.daemon.places import Places

pytestmark = pytest.mark.system
AGENTS = 6


class Writing(threading.Thread):
    """Writes until the first refusal."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(daemon=True)
        self._agent = agent
        self.acknowledged: list[str] = []
        self.refused = ""

    def run(self) -> None:
        while not self.refused:
            content = f"{self._agent.name} wrote {len(self.acknowledged)}"
            answer = self._agent.request("tools/call", {"name": "memory_write", "arguments": {"content": content}})
            if "result" in answer:
                self.acknowledged.append(content)
            else:
                self.refused = content


@pytest.mark.requirement("M2")
def test_a_write_in_flight_at_the_end_is_stored_and_acknowledged_or_neither(data_dir: Path) -> None:
    with agents(data_dir, AGENTS) as connected:
        for agent in connected:
            agent.initialize()
        writers = [Writing(agent) for agent in connected]
        for writer in writers:
            writer.start()
        until(lambda: all(len(writer.acknowledged) >= 3 for writer in writers))
        os.kill(daemon_pid(data_dir), signal.SIGTERM)
        for writer in writers:
            writer.join(60)
            assert writer.refused
        until(lambda: not is_served(Places(data_dir)))
        with sqlite3.connect(f"{(data_dir / 'journal.db').as_uri()}?mode=ro", uri=True) as journal:
            stored = {content for (content,) in journal.execute("SELECT content FROM memories")}
        journal.close()
    assert stored == {content for writer in writers for content in writer.acknowledged}
