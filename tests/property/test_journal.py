"""The journal against a model in plain Python: any commits, repeats, deliveries and reopenings, in any order."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import SINKS, a_draft, make_journal

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.memory import Acknowledgement, MemoryDraft, MemoryFilter
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import MemoryServerError
from memmcp_server.ports import Journal, JournalCommand

NAMES = st.sampled_from(["a", "b", "c"])
TRAJECTORIES = st.sampled_from(["t1", "t2"])
TIMES = st.integers(0, 50)

DRAFTS: st.SearchStrategy[MemoryDraft] = st.builds(
    lambda content, key, trajectory_id, ts, namespace: a_draft(
        content, key, trajectory_id=trajectory_id, ts_event_ns=ts, namespace=namespace
    ),
    NAMES,
    NAMES,
    st.none() | TRAJECTORIES,
    TIMES,
    st.sampled_from(["default", "team/x"]),
)
OPENINGS = st.builds(
    lambda name, ts: OpenTrajectory(TrajectoryId(name), Namespace("team"), "trade", f"title {name}", "open", ts),
    TRAJECTORIES,
    TIMES,
)
CLOSINGS = st.builds(
    lambda name, outcome, ts: CloseTrajectory(TrajectoryId(name), outcome, f"closed {outcome}", ts, ts, "lamports"),
    TRAJECTORIES,
    st.sampled_from(["won", "lost"]),
    TIMES,
)
SNAPSHOTS = st.builds(
    lambda desk, key, ts: RecordSnapshot(desk, key, ts, {"at": ts}), st.sampled_from(["local", "other"]), NAMES, TIMES
)
COMMITS = st.lists(DRAFTS | OPENINGS | CLOSINGS | SNAPSHOTS, min_size=1, max_size=4)


@dataclass(frozen=True)
class Deliver:
    count: int


@dataclass(frozen=True)
class Fail:
    count: int
    is_final: bool


@dataclass(frozen=True)
class Retry:
    pass


@dataclass(frozen=True)
class Refill:
    pass


@dataclass(frozen=True)
class Reopen:
    pass


@dataclass(frozen=True)
class Tick:
    seconds: int


Operation = list[JournalCommand] | Deliver | Fail | Retry | Refill | Reopen | Tick
OPERATIONS: st.SearchStrategy[list[Operation]] = st.lists(
    st.one_of(
        COMMITS,
        COMMITS,
        COMMITS,
        st.builds(Deliver, st.integers(1, 3)),
        st.builds(Fail, st.integers(1, 2), st.booleans()),
        st.just(Retry()),
        st.just(Refill()),
        st.just(Reopen()),
        st.builds(Tick, st.integers(-2, 5)),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    make_journal(JournalSection(), directory)
    return directory / "journal.db"


@pytest.mark.requirement("M2")
@pytest.mark.requirement("M3")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(operations=OPERATIONS)
def test_the_journal_does_what_the_model_does(template: Path, operations: list[Operation]) -> None:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(template, Path(name) / "journal.db")
        asyncio.run(compare(Path(name), operations))


async def compare(directory: Path, operations: list[Operation]) -> None:
    clock = ManualClock()
    model = MemoryJournal(clock, SINKS)
    remaining = list(operations)
    while True:
        async with open_journal(JournalSection(), directory, clock, sinks=SINKS) as journal:
            while remaining:
                operation = remaining.pop(0)
                if isinstance(operation, Reopen):
                    break
                if isinstance(operation, Tick):
                    clock.advance(operation.seconds)
                    continue
                assert await outcome(journal, operation, clock) == await outcome(model, operation, clock)
            assert await picture(journal, clock) == await picture(model, clock)
            if not remaining:
                return


async def outcome(journal: Journal, operation: Operation, clock: ManualClock) -> object:
    """Return what the operation came to, without ids: those are each body's own."""
    match operation:
        case list():
            try:
                return [shown(each) for each in await journal.commit(operation)]
            except MemoryServerError as error:
                return type(error)
        case Deliver(count):
            due = await journal.outbox_due("qdrant", now_ns=clock.now_ns(), limit=count)
            return await journal.outbox_delivered([each.id for each in due])
        case Fail(count, is_final):
            due = await journal.outbox_due("qdrant", now_ns=clock.now_ns(), limit=count)
            retry_at_ns = None if is_final else clock.now_ns() + 1_000_000_000
            return await journal.outbox_failed([each.id for each in due], error="down", retry_at_ns=retry_at_ns)
        case Retry():
            return await journal.outbox_retry(None)
        case Refill():
            return await journal.outbox_refill("qdrant")
    raise NotImplementedError(operation)


def shown(acknowledgement: Acknowledgement) -> tuple[int, int, int, bool]:
    each = acknowledgement
    return (each.seq, each.version, each.known_at_ns, each.duplicate)


async def picture(journal: Journal, clock: ManualClock) -> dict[str, object]:
    """Return everything that a reader can see, without ids."""
    everything = await journal.page(MemoryFilter(), after=None, limit=1_000, newest_first=False)
    then = MemoryFilter(as_of_ns=clock.now_ns() - 1_000_000_000)
    trajectories = await journal.trajectories(namespace=None, kind=None, is_open=None, before_ns=None, limit=100)
    entries = await journal.outbox_entries(None, dead=None, limit=1_000)
    unindexed = await journal.lexical(["a", "closed"], MemoryFilter(), scope="unindexed", limit=1_000)
    return {
        "horizon": await journal.horizon(),
        "count": await journal.count(MemoryFilter()),
        "memories": [(m.seq, m.version, m.content, m.namespace, m.ts_event_ns, m.known_at_ns) for m in everything],
        "then": [m.seq for m in await journal.page(then, after=None, limit=1_000, newest_first=True)],
        "versions": [[(v.seq, v.superseded_at_ns) for v in await journal.versions(m.id)] for m in everything],
        "trajectories": trajectories,
        "steps": [[m.seq for m in await journal.steps(each.id, after=None, limit=1_000)] for each in trajectories],
        "desks": await journal.desks(),
        "snapshots": [
            await journal.snapshots(desk, since_ns=None, until_ns=None, resolution_s=None, limit=100)
            for desk in ("local", "other")
        ],
        "outbox": [(e.id, e.sink, e.version, e.seq, e.attempts, e.last_error, e.dead) for e in entries],
        "stats": await journal.outbox_stats(),
        "unindexed": [m.seq for m in unindexed],
    }
