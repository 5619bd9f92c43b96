"""The switch and the phone give readings where they are configured, and none where they are not."""

from pathlib import Path

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.phone_rig import listening
from tests.support.telegram_server import STRANGER, TelegramServer

from memmcp_server.adapters.dead_mans_switch import HttpSwitch
from memmcp_server.config import HeartbeatSection
from memmcp_server.services.alerting.door_readings import door_readings
from memmcp_server.services.heartbeat import Heartbeat, Vitals

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]


async def test_a_switch_that_is_not_reached_and_a_stranger_are_readings(tmp_path: Path) -> None:
    clock, server = ManualClock(), TelegramServer()
    section = HeartbeatSection(url="http://127.0.0.1:9/a-key", attempts_max=1)  # type: ignore[arg-type]
    switch = HttpSwitch(section)
    heart = Heartbeat(switch, Vitals(MemoryJournal(clock), None, clock, cycle_s_max=1), clock, section)
    async with server.serving(), listening(server, tmp_path, None) as rig:
        await heart.beat()
        server.say("/status", user=STRANGER)
        await rig.hears("/help")
        sources = door_readings(heart, rig.phone)
        read = {each.name: each for source in sources for each in await source.read()}
    await switch.aclose()
    assert {name: each.value for name, each in read.items()} == {
        "heartbeat_failures": 1,
        "phone_failures": 0,
        "phone_strangers_hour": 1,
    }
    assert set(read) == set().union(*(source.names for source in sources))
    assert read["phone_strangers_hour"].note == "1 since the beginning."


def test_nothing_configured_gives_no_reading() -> None:
    assert list(door_readings(None, None)) == []
