"""News against a model: whatever is written, acknowledged, crashed and reopened in between, each is told once."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import SINKS, a_draft, make_journal
from tests.support.migrated import migrated
from tests.support.readers import House, an_agent

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import ForgetMemory, SetPolicy, UpdateMemory
from memmcp_server.domain.memory import Provenance, namespace_covers
from memmcp_server.domain.news import ChangePage, namespace_of
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.errors import NotFound
from memmcp_server.ports import Journal
from memmcp_server.services.news import Wish

NAMESPACES = ("default", "secret/plans")
HIDDEN = "secret/"
ADMITTED = "claude"
AGENTS = ("claude", "cursor", "trae")


@dataclass(frozen=True)
class Write:
    agent: str
    namespace: str
    count: int


@dataclass(frozen=True)
class Revise:
    deed: Literal["update", "forget", "supersede"]
    which: int


@dataclass(frozen=True)
class Snapshot:
    pass


@dataclass(frozen=True)
class Read:
    reader: int
    limit: int


@dataclass(frozen=True)
class ReaderDies:
    """Between reading a page and acknowledging it: what it did with that page is lost."""

    reader: int


@dataclass(frozen=True)
class JournalDies:
    pass


Operation = Write | Revise | Snapshot | Read | ReaderDies | JournalDies
READERS = st.integers(0, 3)
OPERATIONS: st.SearchStrategy[list[Operation]] = st.lists(
    st.one_of(
        st.builds(Write, st.sampled_from(AGENTS), st.sampled_from(NAMESPACES), st.integers(1, 3)),
        st.builds(Revise, st.sampled_from(["update", "forget", "supersede"]), st.integers(0, 30)),
        st.just(Snapshot()),
        st.builds(Read, READERS, st.integers(1, 4)),
        st.builds(Read, READERS, st.integers(1, 4)),
        st.builds(ReaderDies, READERS),
        st.just(JournalDies()),
    ),
    max_size=30,
)


@dataclass
class Reader:
    """``is_named``: it comes back with its name alone; else it keeps the cursor of what it has accepted itself."""

    agent: str
    is_named: bool
    accepted: list[Seq] = field(default_factory=list)
    page: ChangePage | None = None
    kept: str | None = None

    async def read(self, house: House, limit: int) -> None:
        """Accept the page that is held and ask for the next one, as one step of a reader is."""
        cursor = self.kept
        if self.page is not None:
            self.accepted += [each.change.seq for each in self.page.told]
            cursor = self.page.next_cursor
        self.kept = None if self.is_named else cursor
        name = "inbox" if self.is_named else None
        self.page = await house.news.changes(Wish(cursor=cursor, name=name, limit=limit), an_agent(self.agent))

    def may_see(self, namespace: str) -> bool:
        return self.agent == ADMITTED or not namespace_covers(HIDDEN, namespace)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    make_journal(JournalSection(), directory)
    return directory / "journal.db"


@pytest.mark.requirement("M14")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(operations=OPERATIONS)
def test_every_reader_accepts_each_change_once_in_order_and_hidden_ones_never(
    template: Path, operations: list[Operation]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(template, Path(name) / "journal.db")
        asyncio.run(play(Path(name), operations))


async def play(directory: Path, operations: Sequence[Operation]) -> None:
    clock = ManualClock()
    readers = [Reader(agent, is_named) for agent in ("claude", "cursor") for is_named in (True, False)]
    world = World()
    remaining = list(operations)
    is_first = True
    while True:
        async with open_journal(JournalSection(), migrated(directory), clock, sinks=SINKS) as journal:
            house = House(journal)
            if is_first:
                await journal.commit([SetPolicy(HIDDEN, {"readers": [ADMITTED]}, Provenance(agent="cli"))])
                is_first = False
            while remaining:
                operation = remaining.pop(0)
                if isinstance(operation, JournalDies):
                    break
                if isinstance(operation, Read):
                    await readers[operation.reader].read(house, operation.limit)
                elif isinstance(operation, ReaderDies):
                    readers[operation.reader].page = None
                else:
                    await world.act(journal, operation)
            if not remaining:
                for reader in readers:
                    await check(house, reader)
                return


@dataclass
class World:
    ids: list[MemoryId] = field(default_factory=list)
    written: int = 0

    async def act(self, journal: Journal, operation: Operation) -> None:
        self.written += 1
        match operation:
            case Write(agent, namespace, count):
                texts = [f"{self.written}.{number}" for number in range(count)]
                drafts = [a_draft(text, agent=agent, namespace=namespace) for text in texts]
                self.ids += [each.id for each in await journal.commit(drafts)]
            case Snapshot():
                await journal.commit([RecordSnapshot("local", str(self.written), self.written, {})])
            case Revise(deed, which) if self.ids:
                await self._revise(journal, deed, self.ids[which % len(self.ids)])

    async def _revise(self, journal: Journal, deed: str, memory_id: MemoryId) -> None:
        by, text = Provenance(agent="trae"), f"{self.written}"
        try:
            match deed:
                case "update" if (await journal.memory(memory_id)) is not None:
                    await journal.commit([UpdateMemory(memory_id, text, by, content=text)])
                case "forget":
                    await journal.commit([ForgetMemory(memory_id, "asked to", by)])
                case "supersede":
                    [new] = await journal.commit([a_draft(text, agent="trae", supersedes=(memory_id,))])
                    self.ids.append(new.id)
        except NotFound:
            return  # forgotten before


async def check(house: House, reader: Reader) -> None:
    """Let the reader read to the end, and hold what it accepted against what the journal says."""
    for _ in range(200):
        await reader.read(house, 4)
        if reader.page is not None and not reader.page.told:
            break
    assert reader.accepted == sorted(set(reader.accepted)), "twice, or out of order"
    changes = await house.journal.changes(Seq(0), limit=1_000)
    visible = {each.seq for each in changes if (ns := namespace_of(each)) is not None and reader.may_see(ns)}
    hidden = {each.seq for each in changes} - visible
    assert visible <= set(reader.accepted), "missed"
    assert not hidden & set(reader.accepted), "saw what it may not"
    # What else it accepted was there when it read, and has been forgotten since.
    gone = set(reader.accepted) - visible
    forgotten = [each for each in changes if each.audit is not None and each.audit.action == "forget"]
    assert not gone or any(entry.seq > max(gone) for entry in forgotten)


# Headlines


@dataclass(frozen=True)
class Publish:
    agent: str
    namespace: str
    kind: str


@dataclass(frozen=True)
class Look:
    agent: str


@dataclass(frozen=True)
class Restart:
    pass


Step = Publish | Look | Restart
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(
            Publish, st.sampled_from(AGENTS), st.sampled_from(NAMESPACES), st.sampled_from(["lesson", "note", "digest"])
        ),
        st.builds(Look, st.sampled_from(AGENTS)),
        st.just(Restart()),
    ),
    max_size=25,
)


@pytest.mark.requirement("M14")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(steps=STEPS)
def test_every_agent_is_told_each_headline_of_the_others_once(steps: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memmcp_server.services.news.PAUSE_S", 0.0)
        asyncio.run(publish(steps))


async def publish(steps: Sequence[Step]) -> None:
    journal = MemoryJournal(ManualClock())
    await journal.commit([SetPolicy(HIDDEN, {"readers": [ADMITTED]}, Provenance(agent="cli"))])
    told: dict[str, list[str]] = {}
    owed: dict[str, list[str]] = {}
    remaining = [*steps, *(Look(agent) for agent in AGENTS)]
    number = 0
    while remaining:
        house = House(journal)
        async with house.running():
            while remaining:
                step: Any = remaining.pop(0)
                if isinstance(step, Restart):
                    break
                await house.caught_up()
                if isinstance(step, Look):
                    await one_look(house, step.agent, told)
                    owed.setdefault(step.agent, [])
                    continue
                number += 1
                await house.write(f"{number}", agent=step.agent, namespace=step.namespace, kind=step.kind)
                for agent, texts in owed.items():
                    is_visible = agent == ADMITTED or not namespace_covers(HIDDEN, step.namespace)
                    if step.kind != "note" and agent != step.agent and is_visible:
                        texts.append(f"{number}")
            await saved(house)
    assert {agent: sorted(texts, key=int) for agent, texts in told.items()} == owed


async def one_look(house: House, agent: str, told: dict[str, list[str]]) -> None:
    """Look until there is nothing: a new agent's first look only counts what was there before."""
    told.setdefault(agent, [])
    while (look := await house.news.headlines.look(an_agent(agent))) is not None:
        house.news.headlines.note_told(look)
        if not look.is_first:
            told[agent] += [headline.says for headline in look.headlines]


async def saved(house: House) -> None:
    with anyio.fail_after(30):
        while house.news.headlines.unsaved:
            await anyio.lowlevel.checkpoint()
