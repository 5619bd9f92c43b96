"""Whatever is written, forgotten, killed and switched in whatever order: the index answers as a dictionary would.

Real shards, a journal in memory. A crash drops the engines as they are and opens others on the same directory; the
daemon's own memory (the migration's progress) goes with it, as after ``kill -9``.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.doubles.clocks import ManualClock
from tests.doubles.hash_embedder import HashEmbedder
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import a_draft
from tests.support.keeping import GoldenShelf
from tests.support.memory_disk import memory_directory

from memmcp_server.adapters.index.calls import IndexCalls, WorkerLimits
from memmcp_server.adapters.index.catalogue import EdgeCatalogue
from memmcp_server.adapters.index.documents import (
    array,
    hits_document,
    parse_filter,
    parse_point,
    text,
    texts,
)
from memmcp_server.adapters.index.engine import NotReady
from memmcp_server.adapters.index.generations import Generations, Which
from memmcp_server.adapters.index.inventory import held_document
from memmcp_server.adapters.index.sink import QdrantSink, points_of
from memmcp_server.adapters.index.store import Identity, StoreUnavailable
from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.errors import IndexUnavailable
from memmcp_server.ports import IndexStatus, NextGeneration, VectorIndex
from memmcp_server.services import migration
from memmcp_server.services.evaluation import Evaluation
from memmcp_server.services.index_health import IndexHealth
from memmcp_server.services.memories import Memories
from memmcp_server.services.migration import Migration
from memmcp_server.services.policies import Policies

BY = Provenance(agent="claude")
EMBEDDERS = (HashEmbedder(16, "double/one"), HashEmbedder(24, "double/two", salt="2"), HashEmbedder(16, "double/three"))
SCANNER = WordScanner({})
SLOTS = 6
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A new shard takes a second on a disk; what survives a crash of the machine is not what is asked here."""


class DirectIndex(IndexCalls):
    """The worker's calls without its process. ``budget``: how many writes it does before it is killed, None for any."""

    def __init__(self, directory: Path, clock: ManualClock) -> None:
        super().__init__(clock, WorkerLimits())
        self._directory = directory
        self.model = 0
        self.budget: int | None = None
        self.start()

    def start(self) -> None:
        embedder = EMBEDDERS[self.model]
        self._generations = Generations(
            EdgeCatalogue(self._directory), Bm25Words(), Identity(embedder.name, embedder.dimension)
        )
        self._generations.open()
        self._generations.adopt(embedder)
        if (old := self._generations.old_model()) is not None:
            self._generations.adopt_old(next(each for each in EMBEDDERS if each.name == old.model))
        self.budget = None

    def kill(self) -> None:
        self._generations.close()
        self.start()

    async def status(self) -> IndexStatus:
        said = self._generations.status()
        following = said["next"]
        beside = None
        if isinstance(following, dict):
            fields = {name: following[name] for name in ("generation", "model", "points", "token", "detail")}
            beside = NextGeneration(**fields)  # type: ignore[arg-type]
        return IndexStatus(
            state=said["state"],  # type: ignore[arg-type]
            backend="qdrant-edge",
            model=str(said["model"]),
            points=said["points"],  # type: ignore[arg-type]
            generation=said["generation"],  # type: ignore[arg-type]
            next=beside,
            wants=str(said["wants"]),
        )

    async def _until_writable(self) -> None:
        return

    async def _call(self, op: str, fields: JsonObject, timeout_s: float) -> JsonObject:
        if op in {"upsert", "remove", "switch", "begin"} and self.budget is not None:
            self.budget -= 1
            if self.budget < 0:
                raise IndexUnavailable("killed")
        try:
            return self._answer(op, fields)
        except (NotReady, StoreUnavailable) as problem:
            raise IndexUnavailable(str(problem)) from problem

    def _answer(self, op: str, fields: JsonObject) -> JsonObject:
        which: Which = "next" if fields.get("generation") == "next" else "active"
        generations = self._generations
        match op:
            case "upsert":
                points = [parse_point(point) for point in array(fields, "points")]
                (generations.fill if which == "next" else generations.upsert)(points)
            case "remove":
                generations.remove(texts(fields, "memory_ids"))
            case "search":
                where, now_ns = parse_filter(fields["where"]), self._clock.now_ns()
                hits = generations.search(which, text(fields, "query"), where, limit=100, now_ns=now_ns)
                return {"hits": hits_document(hits)}
            case "held":
                held = generations.held(which, texts(fields, "memory_ids"))
                return {"held": [held_document(point) for point in held]}
            case "page":
                found, following = generations.page(which, after=None, limit=1_000, lacking_vector=False)
                return {"memory_ids": list(found), "next": following}
            case "begin":
                generations.begin()
            case "switch":
                generations.switch()
            case "abandon":
                generations.abandon()
        return {}


class House:
    """Journal, index and migration, with a dictionary that says what should be found."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        self.index = DirectIndex(directory, self.clock)
        self.model: dict[MemoryId, str] = {}
        self.delivered: dict[MemoryId, str] = {}
        self.past: list[tuple[int, dict[MemoryId, str]]] = []
        self.slots: list[MemoryId | None] = [None] * SLOTS
        self.number = 0
        self.policies = Policies(self.journal, self.clock)
        self.restart()

    def _memories_of(self, index: VectorIndex) -> Memories:
        return Memories(self.journal, index, self.clock, self.policies, SCANNER)

    def restart(self) -> None:
        evaluation = Evaluation(self.index, self._memories_of, GoldenShelf(), self.clock, SCANNER)
        self.health = IndexHealth(self.journal, self.index, partial(points_of, self.journal), self.clock)
        self.migration = Migration(self.journal, self.health, evaluation, self.clock)

    async def write(self, slot: int) -> None:
        self.number += 1
        self.clock.advance(1)
        content, held = f"word{self.number}", self.slots[slot]
        if held is None:
            [written] = await self.journal.commit([a_draft(content)])
            self.slots[slot] = written.id
        else:
            [written] = await self.journal.commit([UpdateMemory(held, f"k{self.number}", BY, content=content)])
        self.model[written.id] = content
        self.past.append((self.clock.now_ns(), dict(self.model)))

    async def forget(self, slot: int) -> None:
        held = self.slots[slot]
        if held is None:
            return
        self.clock.advance(1)
        await self.journal.commit([ForgetMemory(held, "asked", BY)])
        self.slots[slot] = None
        del self.model[held]
        for _, known in self.past:
            known.pop(held, None)

    async def deliver(self) -> None:
        due = await self.journal.outbox_due(SINK_QDRANT, now_ns=self.clock.now_ns(), limit=1_000)
        try:
            await QdrantSink(self.journal, self.index).deliver(due)
        except IndexUnavailable:
            return self.kill()
        await self.journal.outbox_delivered([entry.id for entry in due])
        self.delivered = dict(self.model)
        return None

    async def step(self) -> None:
        try:
            await self.migration.step()
        except IndexUnavailable:
            self.kill()

    def kill(self) -> None:
        self.index.kill()
        self.restart()

    def choose(self, model: int) -> None:
        self.index.model = model
        self.kill()

    async def found(self, word: str, as_of_ns: int | None = None) -> set[MemoryId]:
        hits = await self.index.search(word, MemoryFilter(as_of_ns=as_of_ns), limit=100)
        return {hit.memory_id for hit in hits if hit.lexical is not None}

    async def check(self) -> None:
        """At any moment: what was delivered and still holds is found, and nothing that was forgotten and delivered."""
        waiting = {entry.memory_id for entry in await self.journal.outbox_entries(SINK_QDRANT, dead=None, limit=1_000)}
        for memory_id, content in self.model.items():
            if memory_id not in waiting:
                assert await self.found(content) == {memory_id}
        forgotten = set(self.delivered) - set(self.model) - waiting
        hits = await self.index.search("word1", MemoryFilter(), limit=100)
        assert not {hit.memory_id for hit in hits} & forgotten

    async def settle(self) -> None:
        for _ in range(3):
            await self.deliver()
        for _ in range(50):
            await self.step()
        status = await self.index.status()
        assert (status.next, status.wants, status.state) == (None, "", "ready")
        assert status.model == EMBEDDERS[self.index.model].name
        report = await self.health.check(repair=False)
        assert report.total == 0
        everything = await self.index.search("nothing", MemoryFilter(), limit=100)
        assert {hit.memory_id for hit in everything} == set(self.model)
        assert all(hit.dense is not None for hit in everything)
        for moment_ns, known in self.past:
            for memory_id, content in known.items():
                assert await self.found(content, moment_ns) == {memory_id}


slots = st.integers(0, SLOTS - 1)
acts = st.one_of(
    st.tuples(st.just("write"), slots),
    st.tuples(st.just("write"), slots),
    st.tuples(st.just("forget"), slots),
    st.tuples(st.just("deliver"), st.none()),
    st.tuples(st.just("step"), st.none()),
    st.tuples(st.just("step"), st.none()),
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("kill"), st.none()),
    st.tuples(st.just("budget"), st.integers(0, 3)),
    st.tuples(st.just("choose"), st.integers(0, len(EMBEDDERS) - 1)),
)


async def play(directory: Path, order: Sequence[tuple[str, int | None]]) -> None:
    house = House(directory)
    for act, value in order:
        match act, value:
            case "write", int(slot):
                await house.write(slot)
            case "forget", int(slot):
                await house.forget(slot)
            case "deliver", _:
                await house.deliver()
            case "step", _:
                await house.step()
            case "begin", _:
                try:
                    await house.migration.begin()
                except IndexUnavailable:
                    house.kill()
            case "kill", _:
                house.kill()
            case "budget", int(budget):
                house.index.budget = budget
            case "choose", int(model):
                house.choose(model)
        await house.check()
    house.kill()
    await house.settle()
    house.index._generations.close()


@pytest.mark.requirement("M9")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(acts, max_size=20))
def test_the_index_answers_as_a_dictionary_would_whatever_happens(
    order: list[tuple[str, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "GIVE_WAY_S", 0.0)
    monkeypatch.setattr(migration, "PAGE_LEN", 2)
    with memory_directory() as directory:
        asyncio.run(play(directory / "index", order))


def test_the_control_a_filling_that_skips_a_page_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check before the switch mends what the filling lost; without both, the property above must fail."""

    async def nothing(self: Migration, memory_ids: Sequence[MemoryId]) -> None:
        return

    async def no_check(self: Migration) -> int:
        return 0

    monkeypatch.setattr(migration, "GIVE_WAY_S", 0.0)
    monkeypatch.setattr(Migration, "_write", nothing)
    order: list[tuple[str, int | None]] = [("write", 0), ("deliver", None), ("begin", None), ("step", None)]
    with memory_directory() as directory:
        monkeypatch.setattr(Migration, "_verified", no_check)
        with pytest.raises(AssertionError):
            asyncio.run(play(directory / "index", [*order, ("step", None), ("step", None)]))
