"""Records reach memory in order and once, behind a cursor that survives; trouble backs off and is shown."""

from pathlib import Path

import anyio
import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.kernel_bench import KernelBench
from tests.doubles.scripted_market import INTERVAL_NS, START_NS, script

from trading.adapters.sql_journal import JournalStore, SqlJournal
from trading.config import RelaySection
from trading.errors import MemoryUnavailable
from trading.model.event_codec import encode
from trading.model.events import RunStarted
from trading.runtime.relay import SINK, MemoryRelay

pytestmark = pytest.mark.anyio

QUICK = RelaySection(batch_len_max=3, backoff_base_s=0.01, backoff_cap_s=0.02, poll_s=0.02, write_timeout_s=0.05)


def traded(store: JournalStore) -> SqlJournal:
    """Return a run with two round trips and a signal that nobody followed."""
    journal = store.start_run("run", "t", 0)

    def opinion(seen: object) -> float | None:
        number = (seen.ts_close_ns - START_NS) // INTERVAL_NS  # type: ignore[attr-defined]
        return {1: -1.0, 2: 1.0, 5: -1.0, 8: 1.0, 11: -1.0}.get(number)

    KernelBench(opinion, journal=journal).feed(script(["1"] * 7 + ["1.02"] * 8))
    return journal


@pytest.fixture
def store(tmp_path: Path):
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def relay(store: JournalStore, journal: SqlJournal, memory: ListMemory, section: RelaySection = QUICK) -> MemoryRelay:
    return MemoryRelay(store, journal, "run", memory, section)


async def carried(of: MemoryRelay) -> None:
    while await of.carry():
        pass


async def test_a_trade_is_told_from_signal_to_outcome(store: JournalStore) -> None:
    memory = ListMemory()
    await carried(relay(store, traded(store), memory))
    first = memory.of("open")[0].trajectory_id
    told = [(record.action, record.kind) for record in memory.records if record.trajectory_id == first]
    assert told == [
        ("open", "trade"),
        ("step", "signal"),
        ("step", "verdict"),
        ("step", "order"),
        ("step", "fill"),
        ("step", "signal"),
        ("step", "verdict"),
        ("step", "order"),
        ("step", "fill"),
        ("close", "trade"),
    ]
    assert [record.embed for record in memory.records if record.trajectory_id == first] == [True, *[False] * 8, True]
    closes = memory.of("close")
    assert closes[0].outcome == "lost"
    assert closes[0].reward_lamports is not None
    assert closes[0].reward_lamports < 0
    assert "a losing trade, it failed" in closes[0].text
    assert "because: the script says so" in closes[0].text
    passed = next(record for record in memory.of("note") if record.kind == "signal")
    assert "not acted on (no_position)" in passed.text
    assert "the script says so" in passed.text


async def test_a_batch_that_failed_is_written_again_as_it_was(store: JournalStore) -> None:
    journal = traded(store)
    whole = ListMemory()
    await carried(relay(store, journal, whole))
    store.move_cursor(journal.run, "other", 0)
    again = JournalStore.at(store.path.parent / "again.db")
    copy = traded(again)
    memory = ListMemory()
    carrier = relay(again, copy, memory)
    for _ in range(40):
        memory.is_down = True
        with pytest.raises(MemoryUnavailable):
            await carrier.carry()
        memory.is_down = False
        if not await carrier.carry():
            break
        memory.is_down = True
        try:
            await carrier.carry()
        except MemoryUnavailable:
            continue
        break
    memory.is_down = False
    await carried(carrier)
    assert memory.records == whole.records
    again.close()


async def test_a_relay_that_starts_again_goes_on_at_its_cursor_and_knows_the_signals(store: JournalStore) -> None:
    journal = traded(store)
    whole = ListMemory()
    reference = JournalStore.at(store.path.parent / "reference.db")
    await carried(relay(reference, traded(reference), whole))
    memory = ListMemory()
    while await relay(store, journal, memory).carry():  # a new relay for every batch
        if store.cursor(journal.run, SINK) >= journal.horizon() - 3:
            break
    await carried(relay(store, journal, memory))
    assert memory.records == whole.records
    assert memory.repeats <= 3  # only what its last batch held
    reference.close()


async def test_trouble_is_shown_with_its_age_and_ends_with_the_first_success(store: JournalStore) -> None:
    journal = traded(store)
    memory = ListMemory()
    memory.is_stuck = True
    carrier = relay(store, journal, memory)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(carrier.run)
            while not carrier.stats().last_error:
                await anyio.wait_all_tasks_blocked()
            troubled = carrier.stats()
            assert troubled.pending > 0
            assert troubled.delivered == 0
            memory.is_stuck = False
            while carrier.stats().pending:
                await anyio.wait_all_tasks_blocked()
            assert carrier.stats().last_error == ""
            assert carrier.stats().oldest_s == 0.0
            tasks.cancel_scope.cancel()


async def test_snapshots_are_delivered_and_then_leave_the_disk(store: JournalStore) -> None:
    journal = traded(store)
    for number in range(5):
        journal.remember_snapshot(number, f"cycle/{number}", b'{"cycle": %d, "age_s": 0.5}' % number)
    journal.commit()
    memory = ListMemory()
    await carried(relay(store, journal, memory))
    assert [record.metadata["cycle"] for record in memory.of("snapshot")] == [0, 1, 2, 3, 4]
    assert next(record.key for record in memory.of("snapshot")) == "run.cycle/0"
    assert store.pending_snapshots(journal.run, 10) == []


async def test_what_came_before_the_first_event_is_told_at_the_time_of_the_start(store: JournalStore) -> None:
    memory = ListMemory()
    journal = store.start_run("run", "identity", 1_767_225_600 * 10**9)
    kind, body = encode(RunStarted("run", "paper", "foundation", "synthetic", "{}", 7))
    journal.append(0, kind, body)
    journal.commit()
    await carried(relay(store, journal, memory))
    [told] = memory.of("note")
    assert (told.kind, told.ts_event_ns) == ("run", 1_767_225_600 * 10**9)
