"""Beats reach a switch outside while all is well; their end is the alarm: a hung loop or a stuck desk sends none."""

import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from pydantic import SecretStr
from tests.doubles.clocks import ManualClock, SystemClock
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.market_server import eventually
from tests.support.migrated import migrated
from tests.support.switch_server import HANGS, KEY, SwitchServer

from memmcp_server.adapters.dead_mans_switch import HttpSwitch
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import HeartbeatSection, JournalSection
from memmcp_server.domain.identifiers import JsonObject, Seq
from memmcp_server.errors import InvalidInput, StorageFull
from memmcp_server.ports import Journal, TradingDesk
from memmcp_server.services.background import beside
from memmcp_server.services.heartbeat import Heartbeat, Vitals

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]

PATIENT_S = 10.0
"""Longer than anything takes on a slow machine; what a test waits for on purpose is shorter."""


class FullJournal(MemoryJournal):
    is_full = True

    async def save_cursor(self, name: str, seq: Seq) -> None:
        if self.is_full:
            msg = "the disk is full"
            raise StorageFull(msg)
        await super().save_cursor(name, seq)


class HungDesk(InMemoryDesk):
    async def snapshot(self) -> JsonObject:
        await anyio.sleep_forever()
        raise NotImplementedError


def section_of(url: str, **changes: float) -> HeartbeatSection:
    given = {"interval_s": 0.03, "timeout_s": PATIENT_S, "backoff_base_s": 0.01, "fail_after_s": 0.0, **changes}
    return HeartbeatSection(url=SecretStr(url), **given)  # type: ignore[arg-type]


@asynccontextmanager
async def beating(
    server: SwitchServer,
    journal: Journal,
    desk: TradingDesk | None,
    clock: ManualClock | SystemClock,
    *,
    part_timeout_s: float = PATIENT_S,
    timeout_s: float = PATIENT_S,
) -> AsyncIterator[Heartbeat]:
    section = section_of(server.url, timeout_s=timeout_s)
    switch = HttpSwitch(section)
    vitals = Vitals(journal, desk, clock, cycle_s_max=section.cycle_s_max, part_timeout_s=part_timeout_s)
    try:
        yield Heartbeat(switch, vitals, clock, section)
    finally:
        await switch.aclose()


async def test_a_daemon_that_is_well_tells_its_start_and_goes_on_beating(tmp_path: Path) -> None:
    server, clock = SwitchServer(), SystemClock()
    async with (
        server.serving(),
        open_journal(JournalSection(), migrated(tmp_path), clock) as journal,
        beating(server, journal, InMemoryDesk(), clock) as heart,
        beside("heartbeat", heart.run),
    ):
        await eventually(lambda: server.beats >= 3)
    assert server.told[0] == ("/start", "")
    assert {path for path, _ in server.told[1:]} == {""}
    assert (heart.beats.failures, heart.beats.problem) == (0, "")


async def test_a_disk_that_takes_no_write_is_told_once_and_silences_the_beats() -> None:
    server, clock = SwitchServer(), ManualClock()
    journal = FullJournal(clock)
    async with server.serving(), beating(server, journal, None, clock) as heart:
        for _ in range(3):
            await heart.beat()
        assert server.told == [("/fail", "the journal takes no write: the disk is full")]
        assert heart.beats.document()["problem"] == "the journal takes no write: the disk is full"
        journal.is_full = False
        await heart.beat()
        assert server.told[1:] == [("", "")]


async def test_a_desk_that_ends_no_cycle_silences_the_beats_though_its_feed_goes_on() -> None:
    server, clock = SwitchServer(), ManualClock()
    desk = InMemoryDesk()
    async with server.serving(), beating(server, MemoryJournal(clock), desk, clock) as heart:
        await heart.beat()
        clock.advance(899)  # three bars of 300 s: still within what a desk may take
        await heart.beat()
        assert server.beats == 2
        clock.advance(2)
        await heart.beat()
        assert server.told[2:] == [("/fail", "the desk has ended no cycle for 901 s")]
        desk.advance()
        await heart.beat()
        assert server.beats == 3


async def test_what_passes_soon_is_no_alarm_and_a_start_is_none() -> None:
    server, clock, desk = SwitchServer(), ManualClock(), InMemoryDesk(away="the trading desk is starting")
    async with server.serving(), beating(server, MemoryJournal(clock), desk, clock) as heart:
        heart._section = section_of(server.url, fail_after_s=180.0)
        await heart.beat()
        clock.advance(179)
        await heart.beat()
        assert server.told == []
        clock.advance(2)
        await heart.beat()
        assert [path for path, _ in server.told] == ["/fail"]
        desk.away = ""
        await heart.beat()
    assert server.beats == 1


async def test_a_stale_feed_silences_the_beats() -> None:
    server, clock = SwitchServer(), ManualClock()

    class StaleDesk(InMemoryDesk):
        async def snapshot(self) -> JsonObject:
            found = await super().snapshot()
            return found | {"feed": {"kind": "market", "detail": "", "age_s": 1_200.0, "stale": True}}

    async with server.serving(), beating(server, MemoryJournal(clock), StaleDesk(), clock) as heart:
        await heart.beat()
    assert server.told == [("/fail", "the feed is stale: nothing new for 1200.0 s")]


@pytest.mark.parametrize(
    ("desk", "said"), [(HungDesk(), "gives no answer within"), (InMemoryDesk(away="starting"), "is away: starting")]
)
async def test_a_desk_that_does_not_answer_silences_the_beats(desk: InMemoryDesk, said: str) -> None:
    server, clock = SwitchServer(), ManualClock()
    async with server.serving(), beating(server, MemoryJournal(clock), desk, clock, part_timeout_s=0.05) as heart:
        await heart.beat()
    assert [path for path, _ in server.told] == ["/fail"]
    assert said in server.told[0][1]


async def test_a_beat_that_fails_is_sent_again_within_bounds_and_becomes_a_reading() -> None:
    server, clock = SwitchServer(), ManualClock()
    async with server.serving(), beating(server, MemoryJournal(clock), None, clock, timeout_s=1.0) as heart:
        server.faults = [500, HANGS]
        await heart.beat()
        assert (server.beats, heart.beats.failures) == (1, 0)
        server.faults = [500] * 7
        await heart.beat()
        await heart.beat()
        assert (server.beats, heart.beats.failures) == (1, 2)
        assert heart.beats.document()["last_error"] == "the dead man's switch answered 500"
        assert len(server.faults) == 1  # three tries each, no more


async def test_the_address_is_in_no_log_and_in_no_error(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    nobody = SwitchServer(url=f"http://127.0.0.1:9/{KEY}")
    with caplog.at_level(logging.DEBUG):
        async with beating(nobody, MemoryJournal(clock), None, clock) as heart:
            await heart.beat()
    assert heart.beats.failures == 1
    assert KEY not in caplog.text + repr(heart.beats) + repr(section_of(nobody.url))
    with pytest.raises(InvalidInput) as refused:
        HttpSwitch(section_of(f"ftp://{KEY}"))
    assert (refused.value.field, KEY in str(refused.value)) == ("heartbeat.url", False)


@contextmanager
def server_in_a_thread() -> Iterator[SwitchServer]:
    """Serve from another thread, so that it lives on while this thread's loop hangs."""
    server = SwitchServer()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server.serving()):
        yield server


async def test_beats_stop_while_the_event_loop_hangs_and_come_again_after_it() -> None:
    clock = SystemClock()
    with server_in_a_thread() as server:
        async with beating(server, MemoryJournal(clock), None, clock) as heart, beside("heartbeat", heart.run):
            await eventually(lambda: server.beats >= 2)
            time.sleep(0.1)  # what is under way comes in, then nothing may
            before = server.beats
            time.sleep(0.3)  # the loop hangs for ten intervals
            assert server.beats == before
            await eventually(lambda: server.beats > before)
