"""The journal against a model in plain Python: any commits, repeats, deliveries and reopenings, in any order."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import SINKS, a_draft, make_journal
from tests.support.migrated import migrated

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import (
    ForgetMemory,
    LinkKind,
    LinkMemories,
    MarkKind,
    MarkMemory,
    MergeMemory,
    RestoreMemory,
    UpdateMemory,
)
from memmcp_server.domain.memory import Acknowledgement, MemoryDraft, MemoryFilter, Provenance
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import MemoryServerError
from memmcp_server.ports import Journal, JournalCommand

ME = Provenance(agent="cursor")
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


@dataclass(frozen=True)
class Revise:
    """Something done to memories that are there, named by their place among all that ever were."""

    deed: Literal["update", "supersede", "cite", "merge", "restore", "forget", "confirm", "contradict"]
    which: int
    other: int
    text: str
    key: str


Operation = Revise | list[JournalCommand] | Deliver | Fail | Retry | Refill | Reopen | Tick
REVISIONS: st.SearchStrategy[Revise] = st.builds(
    Revise,
    st.sampled_from(["update", "supersede", "cite", "merge", "restore", "forget", "confirm", "contradict"]),
    st.integers(0, 30),
    st.integers(0, 30),
    NAMES,
    NAMES,
)
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
        REVISIONS,
        REVISIONS,
    ),
    max_size=16,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    make_journal(JournalSection(), directory)
    return directory / "journal.db"


@pytest.mark.requirement("M2")
@pytest.mark.requirement("M3")
@pytest.mark.requirement("M8")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(operations=OPERATIONS)
def test_the_journal_does_what_the_model_does(template: Path, operations: list[Operation]) -> None:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(template, Path(name) / "journal.db")
        asyncio.run(compare(Path(name), operations))


async def compare(directory: Path, operations: list[Operation]) -> None:
    clock = ManualClock()
    model = MemoryJournal(clock, SINKS)
    ids = Ids()
    remaining = list(operations)
    while True:
        async with open_journal(JournalSection(), migrated(directory), clock, sinks=SINKS) as journal:
            while remaining:
                operation = remaining.pop(0)
                if isinstance(operation, Reopen):
                    break
                ours, theirs = ids.named(operation, "journal"), ids.named(operation, "model")
                if isinstance(ours, Tick):
                    clock.advance(ours.seconds)
                    continue
                assert await outcome(journal, ours, clock, ids.journal) == await outcome(
                    model, theirs, clock, ids.model
                )
            assert await picture(journal, clock, ids.journal) == await picture(model, clock, ids.model)
            if not remaining:
                return


class Ids:
    """The memories each body has acknowledged, in the same order: what is one in the other."""

    def __init__(self) -> None:
        self.journal: list[MemoryId] = []
        self.model: list[MemoryId] = []

    def named(self, operation: Operation, body: str) -> Operation:
        """Return a deed as the command for that body, anything else as it is."""
        ids = self.journal if body == "journal" else self.model
        if not isinstance(operation, Revise):
            return operation
        if not ids:
            return Tick(0)
        return [command_of(operation, ids[operation.which % len(ids)], ids[operation.other % len(ids)])]


def command_of(deed: Revise, memory_id: MemoryId, other: MemoryId) -> JournalCommand:
    match deed.deed:
        case "update":
            return UpdateMemory(memory_id, deed.key, ME, content=deed.text, importance=deed.which)
        case "supersede":
            return a_draft(f"new {deed.text}", deed.key, supersedes=(memory_id,), cites=(other,))
        case "cite":
            return a_draft(f"says {deed.text}", deed.key, cites=(memory_id,), trajectory_id="t1")
        case "merge":
            return MergeMemory(memory_id, other, deed.text, ME)
        case "restore":
            return RestoreMemory(memory_id, deed.text, ME)
        case "forget":
            return ForgetMemory(memory_id, deed.text, ME)
        case "confirm":
            return MarkMemory(memory_id, MarkKind.CONFIRMED, deed.key, 1)
        case "contradict":
            return LinkMemories(LinkKind.CONTRADICTS, memory_id, other, ME)


async def outcome(journal: Journal, operation: Operation, clock: ManualClock, ids: list[MemoryId]) -> object:
    """Return what the operation came to, without ids: those are each body's own."""
    match operation:
        case list():
            try:
                acknowledged = await journal.commit(operation)
            except MemoryServerError as error:
                return type(error)
            kept = [each.id for each, command in zip(acknowledged, operation, strict=True) if is_memory(command)]
            ids.extend(memory_id for memory_id in kept if memory_id not in ids)
            return [shown(each) for each in acknowledged]
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


def is_memory(command: JournalCommand) -> bool:
    return isinstance(command, MemoryDraft | OpenTrajectory | CloseTrajectory)


def shown(acknowledgement: Acknowledgement) -> tuple[int, int, int, bool]:
    each = acknowledgement
    return (each.seq, each.version, each.known_at_ns, each.duplicate)


async def picture(journal: Journal, clock: ManualClock, ids: list[MemoryId]) -> dict[str, object]:
    """Return everything that a reader can see, with places among ``ids`` for ids: those are each body's own."""
    place = {memory_id: number for number, memory_id in enumerate(ids)}
    around = await journal.surroundings(ids, as_of_ns=None)
    versions = await journal.all_versions(ids)
    changes = await journal.changes(Seq(0), limit=1_000)
    audit = await journal.audit(limit=1_000)
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
        "all versions": {
            place[memory_id]: [(v.version, v.content, v.importance, v.position, v.superseded_at_ns) for v in each]
            for memory_id, each in versions.items()
        },
        "around": [
            {place.get(one): place.get(other) for one, other in side.items()} for side in (around.before, around.after)
        ],
        "standings": {
            place[memory_id]: standing for memory_id, standing in around.standings.items() if memory_id in place
        },
        "links": {
            (link.kind, place.get(link.from_id), place.get(link.to_id), link.to_version, link.trajectory_id)
            for link in await journal.links(ids)
        },
        "changes": [(each.seq, each.memory is None) for each in changes],
        "audit": [(e.seq, e.at_ns, e.action, place.get(e.memory_id), e.reason) for e in audit],  # type: ignore[arg-type]
        "forgotten": {place[memory_id] for memory_id in await journal.forgotten(ids)},
        "counts": await journal.counts(MemoryFilter(), "kind", limit=100),
        "highlights": [m.seq for m in await journal.highlights(MemoryFilter(), limit=100)],
    }
