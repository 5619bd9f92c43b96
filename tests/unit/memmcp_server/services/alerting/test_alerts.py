"""Alerts as memories: kept while the journal is down, rebuilt after a restart, silenced, cleaned, and bounded."""

import pytest
from tests.doubles.word_scanner import WordScanner
from tests.support.alert_world import World
from tests.support.journals import a_draft

from memmcp_server.domain.alert import Reading, Sample, labels_of
from memmcp_server.domain.alerting import KEYS_MAX
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.errors import InvalidInput, JournalUnavailable, NotFound, Refused
from memmcp_server.services.alerting.alerts import Alerts

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]
OPERATOR = Caller("ada", "", "test", "operator", "internal")
AGENT = Caller("claude", "", "test", "agent", "stdio")
HOUR_NS = 3_600_000_000_000


async def changes_of(world: World, rule: str) -> list[str]:
    [alert] = [alert for alert in world.alerts.current() if alert.rule == rule]
    return [str(version.metadata["change"]) for version in await world.journal.versions(alert.memory_id)]


async def halted(world: World) -> None:
    world.desk["state"] = "HALTED"
    await world.passes(2)


async def test_what_cannot_be_written_is_written_as_soon_as_it_can_be() -> None:
    world = World()
    await world.passes(2)
    world.journal.failure = JournalUnavailable("the disk is full")
    world.desk["state"] = "HALTED"
    for _ in range(3):
        world.clock.advance(1)
        with pytest.raises(JournalUnavailable):
            await world.watch.look()
    world.journal.failure = None
    await world.passes(1)
    assert await changes_of(world, "desk_halted") == ["raised"]
    [alert] = world.firing("desk_halted")
    assert alert.raised_ns < world.clock.now_ns() - 2_000_000_000, "it is told with the time at which it began"


async def test_a_restart_goes_on_with_the_same_alert_and_ends_it() -> None:
    world = World()
    await halted(world)
    [before] = world.firing("desk_halted")
    world.restart()
    await world.passes(2)
    [after] = world.firing("desk_halted")
    assert (after.memory_id, after.raised_ns) == (before.memory_id, before.raised_ns)
    world.desk["state"] = "ACTIVE"
    await world.passes(30)
    assert world.firing("desk_halted") == []
    assert await changes_of(world, "desk_halted") == ["raised", "resolved"]


async def test_nobody_answers_so_it_is_told_again_and_a_restart_does_not_begin_the_wait_anew() -> None:
    world = World()
    await halted(world)
    await world.passes(500, 20)
    world.restart()
    await world.passes(120, 20)
    assert await changes_of(world, "desk_halted") == ["raised", "escalated"]
    await world.passes(5 * 3_600, 60)
    [alert] = world.firing("desk_halted")
    assert alert.escalation == 3, "so often and no oftener"


async def test_an_acknowledged_alert_is_not_told_again() -> None:
    world = World()
    await halted(world)
    [alert] = world.firing("desk_halted")
    await world.alerts.acknowledge(alert.memory_id, OPERATOR)
    await world.passes(3_600, 60)
    assert await changes_of(world, "desk_halted") == ["raised", "acknowledged"]
    [alert] = world.firing("desk_halted")
    assert alert.acknowledged_by == "ada"


async def test_a_silence_ends_by_itself_and_what_still_fires_is_told_then() -> None:
    world = World()
    await halted(world)
    [alert] = world.firing("desk_halted")
    await world.alerts.silence(alert.memory_id, world.clock.now_ns() + HOUR_NS, OPERATOR)
    await world.passes(3_500, 100)
    assert await changes_of(world, "desk_halted") == ["raised", "silenced"]
    await world.passes(200, 50)
    assert await changes_of(world, "desk_halted") == ["raised", "silenced", "unsilenced", "escalated"]


async def test_agents_neither_acknowledge_nor_silence() -> None:
    world = World()
    await halted(world)
    [alert] = world.firing("desk_halted")
    with pytest.raises(Refused):
        await world.alerts.acknowledge(alert.memory_id, AGENT)
    with pytest.raises(Refused):
        await world.alerts.silence(alert.memory_id, world.clock.now_ns() + HOUR_NS, AGENT)
    with pytest.raises(Refused):
        await world.alerts.silence_rule("desk_halted", (), world.clock.now_ns() + HOUR_NS, AGENT)
    with pytest.raises(NotFound):
        await world.alerts.acknowledge("nothing", OPERATOR)


async def test_what_is_over_is_neither_acknowledged_nor_silenced() -> None:
    world = World()
    await halted(world)
    [alert] = world.firing("desk_halted")
    world.desk["state"] = "ACTIVE"
    await world.passes(30)
    assert not (await world.alerts.acknowledge(alert.memory_id, OPERATOR)).is_active
    with pytest.raises(InvalidInput, match="is over"):
        await world.alerts.silence(alert.memory_id, world.clock.now_ns() + HOUR_NS, OPERATOR)


async def test_a_rule_that_is_not_in_force_any_more_leaves_no_alert_behind() -> None:
    world = World()
    await halted(world)
    world.rules = [rule for rule in world.rules if rule.name != "desk_halted"]
    world.restart()
    await world.passes(1)
    assert world.firing("desk_halted") == []


async def test_what_was_read_is_unknown_and_not_over_while_the_desk_is_away() -> None:
    world = World()
    await halted(world)
    world.away = "the desk is starting"
    await world.passes(600, 10)
    assert len(world.firing("desk_halted")) == 1
    assert [alert.labels for alert in world.firing("source_silent")] == [labels_of({"source": "desk"})]


async def test_a_secret_in_what_others_say_is_cut_out() -> None:
    world = World()
    scanner = WordScanner({"hunter2": "password"})
    alerts = Alerts(world.journal, world.clock, world.rules, scanner=scanner)
    reading = Reading("signer_down", 1.0, (), "refused: https://node/hunter2")
    for _ in range(10):
        world.clock.advance(1)
        await alerts.take(Sample((reading,), frozenset({"signer_down"})))
    [alert] = alerts.current()
    memory = await world.journal.memory(alert.memory_id)
    assert memory is not None
    assert "hunter2" not in alert.text + memory.content + str(memory.metadata)


async def test_there_is_a_bound_on_what_is_followed() -> None:
    world = World()
    readings = tuple(Reading("queue_dead", 1.0, labels_of({"queue": f"q{number}"})) for number in range(KEYS_MAX + 50))
    raised = await world.alerts.take(Sample(readings, frozenset({"queue_dead"})))
    assert len(raised) == KEYS_MAX


async def test_a_part_that_says_nonsense_silences_nobody_else() -> None:
    world = World()
    await world.passes(2)
    world.desk = {"state": "HALTED"}
    world.free_bytes = 1.0
    await world.passes(70, 5)
    assert len(world.firing("disk_low")) == 1
    [silent] = world.firing("source_silent")
    assert "cannot be read" in silent.text


async def test_a_recording_that_is_played_slowly_is_not_late() -> None:
    world = World()
    world.health["cycle_s"] = 3_000.0
    await world.passes(5_000, 50)
    assert world.firing("loop_not_cycling") == []
    await world.passes(5_000, 50)
    assert len(world.firing("loop_not_cycling")) == 1


async def test_a_long_queue_that_is_worked_off_is_not_stuck() -> None:
    world = World()
    await world.journal.commit([a_draft(f"memory {number}") for number in range(12)])
    for _ in range(10):
        await world.passes(60, 20)
        [entry, *_] = await world.journal.outbox_due(SINK_QDRANT, now_ns=world.clock.now_ns(), limit=1)
        await world.journal.outbox_delivered([entry.id])
    assert world.firing("queue_stuck") == []
    await world.passes(140, 20)
    assert len(world.firing("queue_stuck")) == 1
