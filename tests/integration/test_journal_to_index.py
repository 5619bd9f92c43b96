"""Journal, relay, worker and search together, on real files: what is written is found, whatever happens in between."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.memories import T0_NS
from tests.doubles.memory_index import state_of
from tests.doubles.word_scanner import WordScanner
from tests.support.migrated import migrated

from memmcp_server.adapters.golden_file import GoldenFile
from memmcp_server.adapters.index.options import WorkerOptions
from memmcp_server.adapters.index.sink import QdrantSink, points_of
from memmcp_server.adapters.index.worker_index import WorkerIndex, WorkerLimits
from memmcp_server.adapters.sql_journal import SqlJournal, open_journal
from memmcp_server.config import EmbeddingSection, JournalSection, QdrantSection, RelaySection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryDraft, MemoryFilter, Provenance
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.domain.search import SearchQuery
from memmcp_server.ports import VectorIndex
from memmcp_server.services.evaluation import Evaluation
from memmcp_server.services.index_health import IndexHealth
from memmcp_server.services.index_keeper import IndexKeeper
from memmcp_server.services.memories import Memories
from memmcp_server.services.migration import Migration
from memmcp_server.services.policies import Policies
from memmcp_server.services.relay import Relay

pytestmark = pytest.mark.anyio

CALLER = Caller("claude", "s1", "memory_search", "agent", "stdio")
QUICK = RelaySection(backoff_base_s=0.05, backoff_cap_s=0.5, poll_s=0.2)
BUNDLED = EmbeddingSection(allow_download=False)
WORDS_ONLY = EmbeddingSection(path=Path("/nowhere/model"))


@dataclass
class House:
    journal: SqlJournal
    index: WorkerIndex
    relay: Relay
    memories: Memories
    keeper: IndexKeeper
    evaluation: Evaluation

    async def write(self, *contents: str) -> None:
        drafts = [
            MemoryDraft(content, key=content, ts_event_ns=T0_NS, provenance=Provenance(agent="claude"))
            for content in contents
        ]
        await self.journal.commit(drafts)

    async def find(self, text: str) -> list[str]:
        result = await self.memories.search(SearchQuery(text, MemoryFilter(), 5), CALLER)
        return [found.memory.content for found in result.found]


@asynccontextmanager
async def open_house(data_dir: Path, embedding: EmbeddingSection = WORDS_ONLY) -> AsyncIterator[House]:
    clock = SystemClock()
    async with open_journal(JournalSection(), migrated(data_dir), clock) as journal:
        options = WorkerOptions(data_dir, QdrantSection(), embedding)
        index = WorkerIndex(options, clock, WorkerLimits(backoff_base_s=0.05))
        relay = Relay(journal, [QdrantSink(journal, index)], clock, QUICK)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(index.run)
            tasks.start_soon(relay.run)
            policies = Policies(journal, clock)
            scanner = WordScanner({})

            def memories_of(generation: VectorIndex) -> Memories:
                return Memories(journal, generation, clock, policies, scanner)

            evaluation = Evaluation(index, memories_of, GoldenFile(data_dir), clock, scanner)
            health = IndexHealth(journal, index, partial(points_of, journal), clock)
            migration = Migration(journal, health, evaluation, clock)
            keeper = IndexKeeper(journal, index, health, migration, clock, poll_s=0.1, first_check_s=0)
            tasks.start_soon(keeper.run)
            yield House(journal, index, relay, memories_of(index), keeper, evaluation)
            await index.close()
            tasks.cancel_scope.cancel()


@pytest.mark.requirement("M4")
async def test_what_is_written_is_found_by_another_wording_once_the_relay_has_carried_it(tmp_path: Path) -> None:
    async with open_house(tmp_path, BUNDLED) as house:
        await house.write("the position was closed at a loss after the pool was drained", "lunch was soup")
        assert await house.relay.drain(30)
        assert (await house.find("why did the trade lose money"))[0].startswith("the position was closed")


@pytest.mark.requirement("M1")
async def test_a_write_is_found_at_once_while_the_index_is_still_starting(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.write("BONK broke out")
        assert await house.find("BONK") == ["BONK broke out"]


@pytest.mark.requirement("M11")
async def test_killing_the_worker_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    contents = [f"report number{number}" for number in range(120)]
    async with open_house(tmp_path) as house:
        await state_of(house.index, "degraded")
        for start in range(0, 120, 40):
            await house.write(*contents[start : start + 40])
            if (pid := house.index.worker_pid) is not None:
                os.kill(pid, signal.SIGKILL)
            assert await house.find(f"number{start + 39}") == [contents[start + 39]]
        assert await house.relay.drain(30)

        stats = (await house.journal.outbox_stats())[SINK_QDRANT]
        assert (stats.pending, stats.dead) == (0, 0)
        assert (await house.index.status()).points == 120
        for content in (contents[0], contents[40], contents[119]):
            assert await house.find(content.split()[1]) == [content]


@pytest.mark.requirement("M9")
async def test_a_rebuild_makes_the_same_index_from_the_journal(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.write("alpha", "bravo")
        assert await house.relay.drain(30)

        await state_of(house.index, "degraded")
        await house.keeper.rebuild()

        with anyio.fail_after(30):
            while (await house.index.status()).generation == 1:
                assert await house.find("bravo") == ["bravo"]
        assert await house.find("bravo") == ["bravo"]
        status = await house.index.status()
        assert (status.generation, status.next, status.points) == (2, None, 2)
    assert not (tmp_path / "index" / "shard").exists()

    async with open_house(tmp_path) as house:
        await state_of(house.index, "degraded")
        assert (await house.index.status()).generation == 2
        assert await house.find("alpha") == ["alpha"]


@pytest.mark.requirement("M11")
async def test_what_was_written_while_no_model_was_there_gets_its_vector_by_itself(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.write("the position was closed at a loss after the pool was drained", "lunch was soup")
        assert await house.relay.drain(30)
        assert (await house.index.status()).unvectored == 0  # nothing can be done about it

    async with open_house(tmp_path, BUNDLED) as house:
        await state_of(house.index, "ready")
        with anyio.fail_after(30):
            while True:
                hits = await house.index.search("why did the trade lose money", MemoryFilter(), limit=1)
                if hits and hits[0].dense is not None:
                    break
        assert await house.relay.drain(30)
        assert (await house.index.status()).unvectored == 0
        assert (await house.find("why did the trade lose money"))[0].startswith("the position was closed")


@pytest.mark.requirement("M9")
async def test_what_was_removed_from_the_index_behind_its_back_is_back_after_the_check(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.write("alpha", "bravo", "charlie")
        assert await house.relay.drain(30)
        with anyio.fail_after(30):
            while house.keeper.report is None:  # noqa: ASYNC110 - the one at the start
                await anyio.sleep(0.02)
        [found] = [hit.memory_id for hit in await house.index.search("bravo", MemoryFilter(), limit=5)]
        await house.index.remove([found])

        report = await house.keeper.check(repair=True)

        assert (report.total, report.repaired, report.examples) == (1, 1, (found,))
        assert await house.relay.drain(30)
        assert len(await house.index.search("bravo", MemoryFilter(), limit=5)) == 1
        assert (await house.keeper.check(repair=False)).total == 0


@pytest.mark.requirement("M9")
async def test_an_index_whose_folder_was_deleted_fills_itself_again(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.write("alpha", "bravo")
        assert await house.relay.drain(30)
    for path in sorted((tmp_path / "index").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()

    async with open_house(tmp_path) as house:
        with anyio.fail_after(30):
            while (await house.index.status()).points < 2:  # noqa: ASYNC110 - as a page sees it
                await anyio.sleep(0.02)
        assert await house.find("alpha") == ["alpha"]
