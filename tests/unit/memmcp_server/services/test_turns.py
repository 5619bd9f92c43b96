"""One daemon at a time does what only one may do; the next takes over when it ends, is cut off or sleeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.doubles.memory_journal import MemoryJournal

from memmcp_server.bootstrap import SystemClock
from memmcp_server.errors import JournalUnavailable, Refused
from memmcp_server.services.turns import Turns

pytestmark = pytest.mark.anyio
TTL_S = 0.3


class SharedJournal(MemoryJournal):
    """A journal with other daemons; ``is_away``: its server does not answer."""

    is_away = False

    @property
    def node(self) -> str:
        return "0123456789ab"

    async def take_lease(self, name: str, holder: str, ttl_s: float) -> int | None:
        if self.is_away:
            raise JournalUnavailable("away")
        return await super().take_lease(name, holder, ttl_s)


class Stage:
    """Counts who is at work, and the most that ever were at once."""

    def __init__(self) -> None:
        self.at_work: list[str] = []
        self.most = 0
        self.turns: list[str] = []
        self.begun = asyncio.Event()

    async def work(self, name: str) -> None:
        self.at_work.append(name)
        self.turns.append(name)
        self.begun.set()
        self.most = max(self.most, len(self.at_work))
        try:
            await asyncio.sleep(3_600)
        finally:
            self.at_work.remove(name)

    async def until(self, name: str) -> None:
        async with asyncio.timeout(20 * TTL_S):
            while self.at_work != [name]:
                await self.begun.wait()
                self.begun.clear()


@asynccontextmanager
async def running(stage: Stage, journal: MemoryJournal, name: str) -> AsyncIterator[asyncio.Task[None]]:
    part = Turns(journal, ttl_s=TTL_S).alone("upkeep", lambda: stage.work(name))
    task = asyncio.create_task(part())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_one_is_at_work_and_the_next_goes_on_when_it_ends() -> None:
    stage, journal = Stage(), SharedJournal(SystemClock())
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running(stage, journal, "one"))
        await stage.until("one")
        await stack.enter_async_context(running(stage, journal, "two"))
        await asyncio.sleep(3 * TTL_S)
        assert stage.at_work == ["one"]
        one.cancel()
        await stage.until("two")
    assert stage.turns == ["one", "two"]
    assert stage.most == 1


async def test_one_that_cannot_renew_stops_before_another_begins() -> None:
    stage, near = Stage(), SharedJournal(SystemClock())
    far = SharedJournal(SystemClock())
    far._leases = near._leases
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(stage, near, "cut off"))
        await stage.until("cut off")
        near.is_away = True
        await stack.enter_async_context(running(stage, far, "other"))
        await stage.until("other")
        near.is_away = False
        await asyncio.sleep(3 * TTL_S)
        assert stage.at_work == ["other"]
    assert stage.most == 1


async def test_a_part_that_fails_gives_its_turn_back_and_is_heard_of() -> None:
    journal = SharedJournal(SystemClock())

    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await Turns(journal, ttl_s=TTL_S).alone("upkeep", fail)()
    assert await journal.take_lease("upkeep", "another", 60) is not None


async def test_a_daemon_that_has_the_journal_alone_needs_no_turn() -> None:
    journal, ran = MemoryJournal(SystemClock()), []

    async def run() -> None:
        ran.append(1)

    await Turns(journal).alone("upkeep", run)()
    assert ran == [1]
    assert journal._leases == {}


async def test_what_is_kept_stays_with_its_daemon_until_an_operator_takes_it_over() -> None:
    one = SharedJournal(SystemClock())
    two = OtherJournal(SystemClock())
    two._leases = one._leases
    await Turns(one).keep("trading desk", take_over=False)
    await Turns(one).keep("trading desk", take_over=False)  # after a restart
    with pytest.raises(Refused, match="kept by the daemon 0123456789ab") as refused:
        await Turns(two).keep("trading desk", take_over=False)
    assert "MEMMCP_TRADING__TAKE_OVER" in str(refused.value.hint)
    await Turns(two).keep("trading desk", take_over=True)
    with pytest.raises(Refused, match="kept by the daemon ba9876543210"):
        await Turns(one).keep("trading desk", take_over=False)
    await Turns(MemoryJournal(SystemClock())).keep("trading desk", take_over=False)  # has the journal alone


class OtherJournal(SharedJournal):
    @property
    def node(self) -> str:
        return "ba9876543210"
