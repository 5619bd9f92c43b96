"""Memories against a model in plain Python, through journal, relay and index, with crashes in between.

Whatever is written, updated, superseded, merged, restored, forgotten or expires, in any order, and whatever dies on the
way: a search, of now or of any moment before, finds exactly what was known and current then.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.doubles.memory_index import state_of
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import a_draft, make_journal
from tests.support.migrated import migrated

from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.adapters.index.worker_index import WorkerIndex
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import EmbeddingSection, JournalSection, QdrantSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import UpdateFields
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory, MergeMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.search import SearchQuery
from memmcp_server.errors import MemoryServerError, Unavailable
from memmcp_server.ports import Journal
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies

SERVER_URL = os.environ.get("MEMMCP_TEST_QDRANT_URL")
SERVER_KEY = os.environ.get("MEMMCP_TEST_QDRANT_KEY")
BODIES = ["embedded", *(["server"] if SERVER_URL else [])]
WORDS = ("zebra", "quartz", "lantern", "glacier", "orchid")
NAMESPACES = ("default", "team/a")
CLAUDE = Caller("claude", "", "memory_write", "agent", "stdio")
ME = Provenance(agent="test")
SECOND_NS = 1_000_000_000
T0_NS = 1_700_000_000 * SECOND_NS
Deed = Literal[
    "write", "update", "supersede", "merge", "restore", "forget", "pass", "deliver", "kill", "reopen", "search"
]


@dataclass(frozen=True)
class Step:
    deed: Deed
    word: str
    which: int
    other: int
    namespace: str
    moment: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(
            ["write"] * 5
            + ["update", "update", "supersede", "merge", "restore", "forget", "pass", "deliver", "deliver"]
            + ["search"] * 4
            + ["kill", "reopen"]
        ),
        st.sampled_from(WORDS),
        st.integers(0, 20),
        st.integers(0, 20),
        st.sampled_from(NAMESPACES),
        st.integers(0, 30),
    ),
    min_size=4,
    max_size=24,
)


class Wall:
    """Time for records is told by the test, time for waits is real."""

    def __init__(self) -> None:
        self.at_ns = T0_NS

    def now_ns(self) -> int:
        return self.at_ns

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass
class Version:
    content: str
    known_from_ns: int
    known_to_ns: int | None = None


@dataclass
class Known:
    namespace: str
    expires_at_ns: int | None
    versions: list[Version]

    def at(self, moment_ns: int) -> str | None:
        """Return what was known and current then."""
        if self.expires_at_ns is not None and self.expires_at_ns <= moment_ns:
            return None
        for version in self.versions:
            if version.known_from_ns <= moment_ns and (version.known_to_ns is None or version.known_to_ns > moment_ns):
                return version.content
        return None

    def end(self, moment_ns: int) -> None:
        self.versions[-1].known_to_ns = moment_ns

    @property
    def is_current(self) -> bool:
        return self.versions[-1].known_to_ns is None


@dataclass
class Model:
    memories: dict[MemoryId, Known] = field(default_factory=dict)
    moments: list[int] = field(default_factory=lambda: [T0_NS])

    def found(self, word: str, moment_ns: int, namespace: str | None) -> dict[MemoryId, str]:
        present = {memory_id: known.at(moment_ns) for memory_id, known in self.memories.items()}
        return {
            memory_id: content
            for memory_id, content in present.items()
            if content is not None and word in content and namespace in (None, self.memories[memory_id].namespace)
        }


class House:
    """Journal, index and services over them. The index is one for all examples: it is emptied, not made anew."""

    def __init__(self, directory: Path, index: WorkerIndex, clock: Wall) -> None:
        self.directory = directory
        self.index = index
        self.clock = clock
        self.model = Model()
        self.count = 0

    async def run(self, steps: list[Step]) -> None:
        remaining = list(steps)
        while True:
            async with open_journal(JournalSection(), migrated(self.directory), self.clock) as journal:
                memories = Memories(journal, self.index, self.clock, Policies(journal, self.clock), WordScanner({}))
                while remaining:
                    step = remaining.pop(0)
                    if step.deed == "reopen":
                        break
                    self.clock.at_ns += SECOND_NS
                    await self.do(step, journal, memories)
                    self.model.moments.append(self.clock.at_ns)
                else:
                    await self.deliver(journal, 1_000)
                    for word in WORDS:
                        await self.search(memories, word, None, None)
                    return

    async def do(self, step: Step, journal: Journal, memories: Memories) -> None:
        ids = list(self.model.memories)
        memory_id = ids[step.which % len(ids)] if ids else MemoryId("nobody")
        other = ids[step.other % len(ids)] if ids else MemoryId("nobody")
        match step.deed:
            case "write":
                await self.write(step, memories)
            case "supersede":
                await self.write(step, memories, supersedes=(memory_id,) if ids else ())
            case "deliver":
                await self.deliver(journal, 3)
            case "kill":
                await self.kill()
            case "pass":
                self.clock.at_ns += 20 * SECOND_NS
            case "search":
                moment_ns = self.model.moments[step.moment % len(self.model.moments)] if step.moment % 2 else None
                await self.search(memories, step.word, moment_ns, step.namespace if step.which % 2 else None)
            case _ if ids:
                await self.change(step, journal, memories, memory_id, other)

    async def write(self, step: Step, memories: Memories, supersedes: tuple[MemoryId, ...] = ()) -> None:
        self.count += 1
        content = f"{step.word} number {self.count}"
        expires_at_ns = self.clock.at_ns + 15 * SECOND_NS if step.other % 5 == 0 else None
        draft = a_draft(content, namespace=step.namespace, expires_at_ns=expires_at_ns, supersedes=supersedes)
        acknowledged = await memories.write(draft, CLAUDE)
        for old in supersedes:
            if self.model.memories[old].is_current:
                self.model.memories[old].end(self.clock.at_ns)
        self.model.memories[acknowledged.id] = Known(
            step.namespace, expires_at_ns, [Version(content, self.clock.at_ns)]
        )

    async def change(
        self, step: Step, journal: Journal, memories: Memories, memory_id: MemoryId, other: MemoryId
    ) -> None:
        """Do what the step says; what the journal refuses, the model does not do either."""
        known = self.model.memories[memory_id]
        now_ns = self.clock.at_ns
        self.count += 1
        try:
            match step.deed:
                case "update":
                    content = f"{step.word} version {self.count}"
                    await memories.update(UpdateFields(memory_id, content=content), CLAUDE)
                    known.end(now_ns)
                    known.versions.append(Version(content, now_ns))
                case "merge":
                    [merged] = await journal.commit([MergeMemory(memory_id, other, "alike", ME)])
                    if not merged.duplicate:
                        known.end(now_ns)
                case "restore":
                    restored = await memories.restore(memory_id, "after all", CLAUDE)
                    if not restored.duplicate:
                        known.versions.append(replace(known.versions[-1], known_from_ns=now_ns, known_to_ns=None))
                case "forget":
                    await journal.commit([ForgetMemory(memory_id, "asked for", ME)])
                    del self.model.memories[memory_id]
        except MemoryServerError as error:
            if isinstance(error, Unavailable) or step.deed not in ("update", "merge"):
                raise

    async def deliver(self, journal: Journal, count: int) -> None:
        sink = QdrantSink(journal, self.index)
        while due := await journal.outbox_due("qdrant", now_ns=self.clock.at_ns, limit=min(count, 64)):
            try:
                await sink.deliver(due)
            except Unavailable:  # it was killed: what is not delivered comes again
                await state_of(self.index, "ready")
                continue
            await journal.outbox_delivered([entry.id for entry in due])
            if count < 64:
                return

    async def kill(self) -> None:
        if self.index.worker_pid is None:
            return  # a server's process is not ours
        with suppress(ProcessLookupError):
            os.kill(self.index.worker_pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while (await self.index.status()).state == "ready":  # noqa: ASYNC110 - the status has no event
                await asyncio.sleep(0.005)
        await state_of(self.index, "ready")

    async def search(self, memories: Memories, word: str, as_of_ns: int | None, namespace: str | None) -> None:
        where = MemoryFilter(as_of_ns=as_of_ns, namespace=namespace)
        result = await memories.search(SearchQuery(word, where, 100), CLAUDE)
        moment_ns = self.clock.at_ns if as_of_ns is None else as_of_ns
        for found in result.found:
            known = self.model.memories.get(found.memory.id)
            assert known is not None, f"{found.memory.content} was forgotten"
            assert known.at(moment_ns) == found.memory.content
        named = {found.memory.id: found.memory.content for found in result.found if word in found.memory.content}
        assert named == self.model.found(word, moment_ns, namespace)


@pytest.fixture(scope="module", params=BODIES)
def loop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Run coroutines that take (index, clock), on one event loop with one index worker for the whole module."""
    clock = Wall()
    directory = tmp_path_factory.mktemp("index")

    @asynccontextmanager
    async def running() -> AsyncIterator[WorkerIndex]:
        url = SERVER_URL if request.param == "server" else None
        key = SecretStr(SERVER_KEY) if url is not None and SERVER_KEY else None
        qdrant = QdrantSection(url=url, api_key=key, collection=f"memmcp_test_{uuid.uuid4().hex[:8]}")
        index = WorkerIndex(WorkerOptions(directory, qdrant, EmbeddingSection(allow_download=False)), clock)
        task = asyncio.create_task(index.run())
        await state_of(index, "ready")
        yield index
        await index.close()
        await task

    with asyncio.Runner() as runner:
        opened = running()
        index = runner.run(opened.__aenter__())

        def run(body: Callable[[WorkerIndex, Wall], Coroutine[Any, Any, None]]) -> None:
            runner.run(body(index, clock))

        yield run
        runner.run(opened.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    make_journal(JournalSection(), directory)
    return directory / "journal.db"


@pytest.mark.requirement("M2")
@pytest.mark.requirement("M4")
@pytest.mark.requirement("M8")
@pytest.mark.requirement("M17")
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(steps=STEPS)
def test_a_search_finds_exactly_what_was_known_and_current(
    template: Path, loop: Callable[..., None], steps: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(template, Path(name) / "journal.db")

        async def play(index: WorkerIndex, clock: Wall) -> None:
            await state_of(index, "ready")
            await index.clear()
            clock.at_ns = T0_NS
            await House(Path(name), index, clock).run(steps)

        loop(play)
