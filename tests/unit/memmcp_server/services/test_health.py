"""Each part is asked under a limit; what is wrong with it is said, and the others are not harmed."""

import anyio
import pytest
from tests.doubles.clocks import ManualClock, SystemClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.trading_desk import InMemoryDesk
from tests.support.journals import a_draft

import memmcp_server
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.outbox import RelayStats
from memmcp_server.errors import JournalUnavailable, TradingUnavailable, Unavailable
from memmcp_server.ports import TradingDesk
from memmcp_server.services.clients import ClientRegistry
from memmcp_server.services.health import Health, LoopLag
from memmcp_server.wire.status import HealthAnswer, MetricsAnswer, RelayView

pytestmark = pytest.mark.anyio


class DeskThat(InMemoryDesk):
    """A desk whose snapshot is refused."""

    error: Exception = TradingUnavailable("the feed is loading")

    async def snapshot(self) -> JsonObject:
        raise self.error


class StuckDesk(InMemoryDesk):
    async def snapshot(self) -> JsonObject:
        await anyio.sleep_forever()
        raise NotImplementedError


class Parts:
    def __init__(self, desk: TradingDesk | None = None, part_timeout_s: float = 2.0) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        self.index = MemoryIndex(self.clock)
        self.clients = ClientRegistry(self.clock, clients_max=2)
        self.health = Health(self.journal, self.index, self.clock, self.clients, desk, part_timeout_s=part_timeout_s)


async def test_everything_up_is_ok_and_ready() -> None:
    report = await Parts(InMemoryDesk()).health.checks()
    assert (report.status, report.ready) == ("ok", True)
    assert report.checks == {"journal": "ok", "index": "ok", "outbox": "ok", "trading": "ok"}
    assert HealthAnswer.of(report).version == memmcp_server.__version__


async def test_trading_that_is_off_hinders_nothing() -> None:
    report = await Parts().health.checks()
    assert (report.status, report.ready, report.checks["trading"]) == ("ok", True, "off")


async def test_an_index_that_is_down_degrades_but_does_not_stop_the_daemon() -> None:
    parts = Parts()
    parts.index.is_down = True
    report = await parts.health.checks()
    assert (report.status, report.ready, report.checks["index"]) == ("degraded", True, "down")


async def test_a_journal_that_fails_makes_the_daemon_unready_and_says_why() -> None:
    parts = Parts()
    parts.journal.failure = JournalUnavailable("the disk refused to write")
    report = await parts.health.checks()
    assert (report.status, report.ready) == ("degraded", False)
    assert report.checks["journal"] == "the disk refused to write"
    with pytest.raises(JournalUnavailable):
        await parts.health.metrics()


class FullJournal(MemoryJournal):
    """Reads work, writes do not: a full disk."""

    def write_problem(self) -> str | None:
        return "the disk is full"


async def test_a_journal_that_can_only_be_read_degrades_and_says_why() -> None:
    parts = Parts()
    journal = FullJournal(parts.clock)
    report = await Health(journal, parts.index, parts.clock, parts.clients).checks()
    assert (report.status, report.ready) == ("degraded", True)
    assert report.checks["journal"] == "the last write failed: the disk is full"


async def test_dead_letters_are_counted_with_what_to_do() -> None:
    parts = Parts()
    await parts.journal.commit([a_draft("a")])
    [entry] = await parts.journal.outbox_due("qdrant", now_ns=parts.clock.now_ns(), limit=9)
    await parts.journal.outbox_failed([entry.id], error="poison", retry_at_ns=None)
    report = await parts.health.checks()
    assert report.status == "degraded"
    assert report.checks["outbox"].startswith("1 entries are dead")
    assert "memmcp outbox" in report.checks["outbox"]


async def test_trading_that_is_not_up_yet_is_named_and_memory_metrics_go_on() -> None:
    parts = Parts(DeskThat())
    report = await parts.health.checks()
    assert (report.ready, report.checks["trading"]) == (False, "the feed is loading")
    assert (await parts.health.metrics()).cycle is None


async def test_a_stuck_part_is_told_after_the_limit() -> None:
    with anyio.fail_after(30):
        report = await Parts(StuckDesk(), part_timeout_s=0.02).health.checks()
    assert report.checks["trading"] == "no answer within 0.02 s"


@pytest.mark.requirement("D1")
async def test_metrics_tell_queues_memories_index_clients_and_the_cycle() -> None:
    parts = Parts(InMemoryDesk())
    await parts.journal.commit([a_draft("a"), a_draft("b")])
    parts.clock.advance(3)
    with parts.clients.connected("cursor", "stdio"):
        metrics = await parts.health.metrics()
    broken = RelayStats(state="backing_off", outages=3, retry_in_s=2.0, last_error="the index is down")
    answer = MetricsAnswer.of(metrics, {"qdrant": broken})
    assert answer.queues["qdrant"].relay == RelayView(
        state="backing_off", outages=3, retry_in_s=2.0, last_error="the index is down"
    )
    assert MetricsAnswer.of(metrics, {}).queues["qdrant"].relay is None
    assert (answer.journal_seq, answer.memories, answer.clients, answer.uptime_s) == (2, 2, 1, 3.0)
    assert (answer.queues["qdrant"].pending, answer.queues["qdrant"].oldest_s) == (2, 3.0)
    assert answer.index["state"] == "ready"
    assert answer.cycle is not None
    assert set(answer.cycle) >= {"cycle", "state", "profile", "tier", "money", "feed"}


async def test_the_lag_of_the_loop_is_what_timers_are_late() -> None:
    clock = SystemClock()
    lag = LoopLag(clock)
    assert lag.worst_ms() == 0.0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lag.run)
        await anyio.lowlevel.checkpoint()
        began_s = clock.monotonic_s()
        while clock.monotonic_s() - began_s < 0.35:
            pass  # hold the loop longer than the probe waits
        with anyio.fail_after(30):
            while lag.worst_ms() == 0.0:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert lag.worst_ms() >= 50


async def test_clients_are_counted_while_they_are_connected_and_bounded() -> None:
    parts = Parts()
    with parts.clients.connected("cursor", "stdio") as first, parts.clients.connected("claude", "http"):
        assert parts.clients.count == 2
        assert [client.name for client in parts.clients.clients] == ["cursor", "claude"]
        parts.clock.advance(60)
        assert parts.clients.idle_s() == 0.0
        with pytest.raises(Unavailable, match="at most 2"), parts.clients.connected("trae", "stdio"):
            raise NotImplementedError
        assert first.transport == "stdio"
    assert parts.clients.count == 0
    parts.clock.advance(5)
    assert parts.clients.idle_s() == 5.0
    parts.clients.touch()
    assert parts.clients.idle_s() == 0.0
