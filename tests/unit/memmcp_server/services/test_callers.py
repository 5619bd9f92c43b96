"""Who called what: counted by agent and door, the latest first, and bounded."""

import pytest
from tests.doubles.clocks import ManualClock

from memmcp_server.services.clients import CallsOf, ClientRegistry


@pytest.mark.requirement("A1")
def test_calls_are_counted_by_agent_and_door_and_those_of_the_longest_silence_are_left_out() -> None:
    clock = ManualClock(now_ns=5)
    registry = ClientRegistry(clock, clients_max=2)
    for agent, transport, tool in (
        ("cursor", "stdio", "memory_write"),
        ("windsurf", "http", "memory_search"),
        ("cursor", "stdio", "why"),
    ):
        registry.note_call(agent, transport, tool)
    assert registry.callers == (
        CallsOf("cursor", "stdio", 2, "why", 5),
        CallsOf("windsurf", "http", 1, "memory_search", 5),
    )
    registry.note_call("cursor", "http", "why")
    assert [(each.agent, each.transport) for each in registry.callers] == [("cursor", "http"), ("cursor", "stdio")]
    assert registry.count == 0
