"""Each shipped rule has a scenario that raises it within its stated time, and one beside it that must not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from tests.support.alert_world import GIGABYTE, World
from tests.support.journals import a_draft

from memmcp_server.domain.alert_rules import READINGS, SHIPPED
from memmcp_server.domain.drift import DriftKind, DriftReport
from memmcp_server.domain.outbox import SINK_QDRANT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O4")]

Act = Callable[[World], Awaitable[None]]
RULES = {rule.name: rule for rule in SHIPPED}


@dataclass(frozen=True)
class Scenario:
    """``wrong`` makes the reading cross at once, ``fine`` goes as far as nothing may be raised. ``labels`` it has."""

    wrong: Act
    fine: Act
    labels: tuple[str, ...] = ()


def doing(act: Callable[[World], object]) -> Act:
    async def done(world: World) -> None:
        act(world)

    return done


def setting(**fields: object) -> Act:
    return doing(lambda world: world.desk.update(fields))


def health(**fields: object) -> Act:
    return doing(lambda world: world.health.update(fields))


def execution(**fields: object) -> Act:
    return doing(lambda world: world.health["execution"].update(fields))


def endpoints(*down: bool) -> Act:
    def set_down(world: World) -> None:
        for endpoint, is_down in zip(world.health["endpoints"], down, strict=True):
            endpoint.update(is_down=is_down, problem="refused" if is_down else "")

    return doing(set_down)


def chain(**fields: object) -> Act:
    return doing(lambda world: world.health["chain"].update(fields))


def nodes(**fields: object) -> Act:
    return health(nodes={"problem": "", "silent": {}, "halted": {}, **fields})


def feed(**fields: object) -> Act:
    return doing(lambda world: world.desk["feed"].update(fields))


def counts(**fields: int) -> Act:
    return doing(lambda world: world.health["feed_counts"].update(fields))


async def waits_in_the_outbox(world: World, *, seconds: float) -> None:
    await world.journal.commit([a_draft("alpha")])
    world.clock.advance(seconds)


async def dies_in_the_outbox(world: World) -> None:
    await world.journal.commit([a_draft("alpha")])
    entries = await world.journal.outbox_entries(SINK_QDRANT, dead=None, limit=1)
    await world.journal.outbox_failed([entries[0].id], error="nobody takes it", retry_at_ns=None)


def drift(found: int, repaired: int) -> Act:
    report = DriftReport(1, 100, {DriftKind.MISSING: found}, repaired=repaired)
    return doing(lambda world: setattr(world.keeping.keeper, "report", report))


def shrinking(days: float) -> Act:
    async def run(world: World) -> None:
        world.free_bytes = days * 20 * GIGABYTE + 1_800 * 20 * GIGABYTE / 86_400
        world.free_bytes_per_s = -20 * GIGABYTE / 86_400
        await world.watch.look()
        await world.passes(1_800, 60)

    return run


def jumping(seconds: float) -> Act:
    async def run(world: World) -> None:
        await world.watch.look()
        world.clock._now_ns += round(seconds * 1e9)

    return run


def outage(seconds: float) -> Act:
    async def run(world: World) -> None:
        await world.watch.look()
        world.away = "the trading desk waits: no node answers"
        world.clock.advance(seconds)

    return run


def late(bars: float) -> Act:
    async def run(world: World) -> None:
        await world.watch.look()
        world.clock.advance((1 + bars) * 300)

    return run


def asking(breaker: str) -> Act:
    status = {"breaker": breaker, "last_fault": "timeout"}
    return setting(sidecar={"asking": status})


def costs(lamports: int) -> Act:
    async def run(world: World) -> None:
        await world.watch.look()
        world.desk["costs"]["failed_lamports"] = lamports

    return run


def drawdown(used: int, *, scope: str = "account") -> Act:
    return doing(lambda world: world.limit("drawdown_bps", used, 1_000, scope))


def degraded(is_down: bool) -> Act:
    return doing(lambda world: setattr(world.index, "is_down", is_down))


def doors(**readings: float) -> Act:
    return doing(lambda world: world.doors.update(readings))


def faults(**fields: int) -> Act:
    async def run(world: World) -> None:
        await world.watch.look()
        await counts(**fields)(world)

    return run


SCENARIOS: dict[str, Scenario] = {
    "drawdown": Scenario(drawdown(1_000), drawdown(999), ("drawdown_bps", "account")),
    "drawdown_near": Scenario(drawdown(800, scope="bucket:main"), drawdown(799), ("drawdown_bps", "bucket:main")),
    "desk_halted": Scenario(setting(state="HALTED"), setting(state="REDUCING"), ("account",)),
    "desk_reducing": Scenario(setting(state="REDUCING"), setting(state="ACTIVE", entries_allowed=False), ("account",)),
    "loop_not_cycling": Scenario(late(2.1), late(1.2)),
    "feed_stale": Scenario(feed(stale=True, age_s=900.0), feed(age_s=400.0)),
    "feed_implausible": Scenario(faults(bar_withheld=3), faults(bar_withheld=2, bar_late=90), ("bar withheld",)),
    "slippage": Scenario(execution(shortfall_bps=50), execution(shortfall_bps=49)),
    "cost_over_model": Scenario(execution(fees_over_bps=50), execution(fees_over_bps=90, fills=2)),
    "failed_transactions": Scenario(execution(failed=6, reasons={"expired": 6}), execution(failed=2, fills=1)),
    "failed_fees": Scenario(costs(6_000_000), costs(4_000_000)),
    "reconciliation": Scenario(chain(halted={"main": "a transaction that nobody knows"}), chain(halted={}), ("main",)),
    "not_reconciled": Scenario(chain(is_reconciled=False), chain(not_armed="real money is not armed")),
    "node_down": Scenario(endpoints(True, False), endpoints(False, False), ("node-a",)),
    "all_nodes_down": Scenario(endpoints(True, True), endpoints(True, False), ("chain",)),
    "execution_node_silent": Scenario(nodes(silent={"node-b": "its wallets go to others"}), nodes(), ("node-b",)),
    "execution_nodes_unseen": Scenario(nodes(problem="connection refused"), nodes()),
    "signer_down": Scenario(chain(not_armed="the signer does not answer: refused"), chain(not_armed="it is locked")),
    "queue_stuck": Scenario(
        lambda world: waits_in_the_outbox(world, seconds=120), lambda world: waits_in_the_outbox(world, seconds=90),
        ("qdrant",),
    ),
    "queue_dead": Scenario(dies_in_the_outbox, lambda world: waits_in_the_outbox(world, seconds=60), ("qdrant",)),
    "desk_backlog": Scenario(
        setting(queues={"memory": {"pending": 9, "oldest_s": 200.0, "dead": 0, "delivered": 1}}),
        setting(queues={"memory": {"pending": 900, "oldest_s": 20.0, "dead": 0, "delivered": 1}}),
        ("memory",),
    ),
    "index_drift": Scenario(drift(4, 0), drift(4, 4)),
    "index_degraded": Scenario(degraded(True), degraded(False)),
    "disk_low": Scenario(
        doing(lambda world: setattr(world, "free_bytes", 0.9 * GIGABYTE)),
        doing(lambda world: setattr(world, "free_bytes", 1.1 * GIGABYTE)),
    ),
    "disk_filling": Scenario(shrinking(2.0), shrinking(20.0)),
    "clock_jumped": Scenario(jumping(-3_600), jumping(0.5)),
    "clock_offset": Scenario(health(clock_skew_s=-12.0), health(clock_skew_s=3.0)),
    "loop_lag": Scenario(
        doing(lambda world: setattr(world, "lag_ms", 1_500.0)), doing(lambda world: setattr(world, "lag_ms", 90.0))
    ),
    "sidecar_down": Scenario(asking("open"), asking("half_open")),
    "telemetry_dropped": Scenario(
        doing(lambda world: setattr(world, "spans_dropped", 5)), doing(lambda _world: None), ("langfuse",)
    ),
    "heartbeat_unsent": Scenario(doors(heartbeat_failures=3), doors(heartbeat_failures=2)),
    "phone_unheard": Scenario(doors(phone_failures=5), doors(phone_failures=4)),
    "phone_stranger": Scenario(doors(phone_strangers_hour=1), doors(phone_strangers_hour=0)),
    "source_silent": Scenario(outage(60), outage(30), ("desk",)),
}  # fmt: skip


def test_every_rule_has_a_scenario_and_every_reading_a_rule() -> None:
    assert SCENARIOS.keys() == RULES.keys()
    assert {rule.reading for rule in SHIPPED} == READINGS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_rule_is_raised_within_its_stated_time_and_ends_when_it_is_over(name: str) -> None:
    rule, scenario, world = RULES[name], SCENARIOS[name], World()
    await world.passes(3)
    assert world.alerts.current() == []

    await scenario.wrong(world)
    step_s = 1.0 if rule.for_s < 60 else 2.0
    passed_s = await world.passes(rule.due_s + 1, step_s, until=lambda: bool(world.firing(name)))

    [alert] = world.firing(name)
    assert rule.for_s <= passed_s <= rule.due_s
    assert alert.severity is rule.severity
    assert alert.memory_id, "it is a memory already"
    assert {value for _, value in alert.labels} == set(scenario.labels)
    assert alert.advice
    assert "{" not in alert.title + alert.text
    memory = await world.journal.memory(alert.memory_id)
    assert memory is not None
    assert memory.metadata["state"] == "firing"


@pytest.mark.parametrize("name", SCENARIOS)
async def test_what_stays_below_is_not_told(name: str) -> None:
    rule, scenario, world = RULES[name], SCENARIOS[name], World()
    await world.passes(3)
    await scenario.fine(world)
    step_s = 1.0 if rule.for_s < 60 else 10.0
    if name != "source_silent":
        await world.passes(rule.due_s + 2, step_s)
    assert world.firing(name) == []


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.for_s])
async def test_what_does_not_last_is_not_told(name: str) -> None:
    rule, scenario, world = RULES[name], SCENARIOS[name], World()
    await world.passes(3)
    before = World().desk
    await scenario.wrong(world)
    await world.passes(rule.for_s * 0.5, max(1.0, rule.for_s / 20))
    world.desk = before | {"feed": {**before["feed"], "kind": "market"}, "cycle": world.desk["cycle"] + 1}
    world.doors.update(dict.fromkeys(world.doors, 0))
    world.lag_ms, world.index.is_down, world.keeping.keeper.report = 0.0, False, None
    world.free_bytes_per_s, world.free_bytes, world.doors = 0.0, 400.0 * GIGABYTE, World().doors
    await world.passes(rule.due_s, max(1.0, rule.for_s / 10))
    assert world.firing(name) == []


async def test_a_market_that_is_fine_raises_nothing() -> None:
    world = World()
    for _ in range(24):
        world.cycle()
        await world.passes(300, 60)
    assert world.alerts.current() == []
