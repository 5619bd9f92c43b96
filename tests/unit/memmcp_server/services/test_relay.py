"""The relay against a sink that is down, picky, fragile or buggy."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import anyio
import anyio.lowlevel
import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.memories import a_memory
from tests.doubles.outbox_journal import OutboxJournal

from memmcp_server.config import RelaySection
from memmcp_server.domain.outbox import OutboxEntry
from memmcp_server.errors import IndexUnavailable, InvalidInput, ReceiverUnavailable
from memmcp_server.ports import Journal
from memmcp_server.services.relay import RETRY_AFTER_S_MAX, Relay, RelayStats

pytestmark = pytest.mark.anyio

QUICK = RelaySection(batch_len_max=16, attempts_max=3, backoff_base_s=0.01, backoff_cap_s=0.05, poll_s=0.02)


class FussySink:
    """Takes entries as told: ``invalid`` ids are refused for good, ``fragile`` ones bring it down, ``buggy`` ones hit
    a mistake in it.
    """

    def __init__(self) -> None:
        self.is_down = False
        self.invalid: set[str] = set()
        self.fragile: set[str] = set()
        self.buggy: set[str] = set()
        self.taken: list[str] = []
        self.attempts = 0

    @property
    def name(self) -> str:
        return "qdrant"

    async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
        self.attempts += 1
        ids = [entry.memory_id for entry in entries]
        if self.is_down or self.fragile & set(ids):
            raise IndexUnavailable("connection refused")
        if self.buggy & set(ids):
            raise KeyError("unforeseen")
        if self.invalid & set(ids):
            raise InvalidInput(f"{sorted(self.invalid & set(ids))} cannot be stored")
        self.taken.extend(ids)


@pytest.fixture
async def journal() -> OutboxJournal:
    return OutboxJournal()


@pytest.fixture
def sink() -> FussySink:
    return FussySink()


Running = Callable[..., AbstractAsyncContextManager[Relay]]


@pytest.fixture
def running(journal: OutboxJournal, sink: FussySink) -> Running:
    @asynccontextmanager
    async def running(section: RelaySection = QUICK) -> AsyncIterator[Relay]:
        relay = Relay(cast(Journal, journal), [sink], SystemClock(), section)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            yield relay
            tasks.cancel_scope.cancel()

    return running


def write(journal: OutboxJournal, *ids: str) -> None:
    journal.put(*(a_memory(memory_id, "text") for memory_id in ids))


async def until(relay: Relay, condition: Callable[[RelayStats], bool]) -> RelayStats:
    with anyio.fail_after(30):
        while not condition(relay.stats()["qdrant"]):  # noqa: ASYNC110 - the outside view, as a page has it
            await anyio.sleep(0.005)
    return relay.stats()["qdrant"]


@pytest.mark.requirement("M11")
async def test_entries_are_delivered_in_order_and_leave_the_outbox(
    journal: OutboxJournal, sink: FussySink, running: Running
) -> None:
    ids = [f"m{number}" for number in range(50)]
    write(journal, *ids)

    async with running() as relay:
        assert await relay.drain(5)

    assert sink.taken == ids
    assert journal.entries == {}
    assert relay.stats()["qdrant"].delivered == 50


async def test_a_commit_wakes_the_relay_long_before_its_next_poll(
    journal: OutboxJournal, sink: FussySink, running: Running
) -> None:
    async with running(QUICK.model_copy(update={"poll_s": 60.0})) as relay:
        await until(relay, lambda stats: stats.state == "idle")
        write(journal, "m")
        assert await relay.drain(5)


@pytest.mark.requirement("M11")
async def test_a_long_outage_counts_against_no_entry_and_everything_arrives_after_it(
    journal: OutboxJournal, sink: FussySink, running: Running
) -> None:
    sink.is_down = True
    write(journal, *(f"m{number}" for number in range(20)))

    async with running() as relay:
        stats = await until(relay, lambda stats: stats.outages > 3 * QUICK.attempts_max)
        assert (stats.state, stats.last_error) == ("backing_off", "connection refused")
        assert stats.retry_in_s == QUICK.backoff_cap_s
        assert {entry.attempts for entry in journal.live} == {0}
        assert journal.dead == {}
        sink.is_down = False
        assert await relay.drain(5)

    assert len(sink.taken) == 20
    assert relay.stats()["qdrant"].last_error == ""


@pytest.mark.requirement("M11")
async def test_an_invalid_entry_is_found_in_its_batch_and_dead_at_once(
    journal: OutboxJournal, sink: FussySink, running: Running
) -> None:
    sink.invalid = {"m3", "m11"}
    write(journal, *(f"m{number}" for number in range(16)))

    async with running() as relay:
        assert await relay.drain(5)

    assert set(journal.dead) == {"m3", "m11"}
    assert "m3" in journal.dead["m3"].last_error  # type: ignore[index]
    assert set(sink.taken) == {f"m{number}" for number in range(16)} - {"m3", "m11"}
    assert relay.stats()["qdrant"].dead == 2


@pytest.mark.requirement("M11")
@pytest.mark.parametrize("kind", ["fragile", "buggy"])
async def test_an_entry_that_breaks_the_sink_is_isolated_and_dead_after_its_attempts(
    journal: OutboxJournal, sink: FussySink, running: Running, kind: str
) -> None:
    setattr(sink, kind, {"m2"})
    write(journal, *(f"m{number}" for number in range(6)))

    async with running() as relay:
        with anyio.fail_after(30):
            while not journal.dead:
                write(journal, "good")  # neighbours that pass: the proof that the sink is up
                await anyio.sleep(0.02)
        assert await relay.drain(5)

    assert set(journal.dead) == {"m2"}
    assert journal.dead["m2"].attempts == QUICK.attempts_max  # type: ignore[index]
    assert {f"m{number}" for number in range(6)} - {"m2"} <= set(sink.taken)


async def test_a_journal_that_is_down_is_waited_for(journal: OutboxJournal, sink: FussySink, running: Running) -> None:
    write(journal, "m")
    journal.is_down = True

    async with running() as relay:
        await until(relay, lambda stats: stats.outages >= 2)
        journal.is_down = False
        assert await relay.drain(5)

    assert sink.taken == ["m"]


async def test_a_wake_ends_a_long_back_off(journal: OutboxJournal, sink: FussySink, running: Running) -> None:
    sink.is_down = True
    write(journal, "m")

    async with running(QUICK.model_copy(update={"backoff_base_s": 60.0, "backoff_cap_s": 60.0})) as relay:
        await until(relay, lambda stats: stats.state == "backing_off")
        sink.is_down = False
        relay.wake("another")
        assert not await relay.drain(0.05)
        relay.wake("qdrant")
        assert await relay.drain(5)


async def test_drain_says_when_the_time_was_too_short(
    journal: OutboxJournal, sink: FussySink, running: Running
) -> None:
    sink.is_down = True
    write(journal, "m")

    async with running() as relay:
        assert not await relay.drain(0.1)


async def test_an_outage_does_not_become_a_tight_loop(
    journal: OutboxJournal, sink: FussySink, running: Running
) -> None:
    sink.is_down = True
    write(journal, "m")

    async with running(QUICK.model_copy(update={"backoff_base_s": 0.1, "backoff_cap_s": 10.0})) as relay:
        await until(relay, lambda stats: stats.outages == 2)
        assert sink.attempts == 2


async def test_a_receiver_that_asks_to_be_left_alone_is(journal: OutboxJournal) -> None:
    class Busy(FussySink):
        async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
            self.attempts += 1
            raise ReceiverUnavailable("busy", retry_after_s=86_400.0, is_closed=True)

    busy = Busy()
    write(journal, "m")
    relay = Relay(cast(Journal, journal), [busy], SystemClock(), QUICK)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay.run)
        stats = await until(relay, lambda stats: stats.state == "backing_off")
        assert stats.retry_in_s == RETRY_AFTER_S_MAX
        for round_number in range(2, 8):
            relay.wake()
            await until(relay, lambda stats, number=round_number: stats.outages == number)  # type: ignore[misc]
        assert busy.attempts == 7, "it was asked once a round, not entry by entry"
        tasks.cancel_scope.cancel()


async def test_a_remote_sink_is_given_as_many_entries_at_once_as_it_takes(journal: OutboxJournal) -> None:
    sizes: list[int] = []

    class Wide(FussySink):
        batch_len_max = 40

        async def deliver(self, entries: Sequence[OutboxEntry]) -> None:
            sizes.append(len(entries))

        async def close(self) -> None: ...

    write(journal, *(f"m{number}" for number in range(50)))
    relay = Relay(cast(Journal, journal), [Wide()], SystemClock(), QUICK)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay.run)
        assert await relay.drain(5)
        tasks.cancel_scope.cancel()
    assert sizes == [40, 10]


async def test_what_is_for_a_server_elsewhere_gathers_after_the_first_and_a_full_batch_does_not_wait(
    journal: OutboxJournal,
) -> None:
    class Elsewhere(FussySink):
        batch_len_max = 40

        async def close(self) -> None: ...

    sink, section = Elsewhere(), QUICK.model_copy(update={"linger_s": 0.4})
    relay = Relay(cast(Journal, journal), [sink], SystemClock(), section)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(relay.run)
        write(journal, "first")
        await until(relay, lambda stats: stats.delivered == 1)
        for number in range(30):
            write(journal, f"m{number}")
            await anyio.lowlevel.checkpoint()
        await until(relay, lambda stats: stats.delivered == 31)
        assert sink.attempts == 2
        write(journal, *(f"many{number}" for number in range(4 * Elsewhere.batch_len_max)))
        relay.wake()
        await until(relay, lambda stats: stats.delivered == 31 + 4 * Elsewhere.batch_len_max)
        assert sink.attempts == 6
        tasks.cancel_scope.cancel()
