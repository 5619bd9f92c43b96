"""An index over a journal, both in memory, with all that keeps the index in order."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from memmcp_server.adapters.index.sink import QdrantSink, points_of
from memmcp_server.domain.golden import GoldenSet
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.outbox import SINK_QDRANT
from memmcp_server.ports import IndexPoint
from memmcp_server.services.evaluation import Evaluation
from memmcp_server.services.index_health import IndexHealth
from memmcp_server.services.index_keeper import IndexKeeper
from memmcp_server.services.memories import Memories
from memmcp_server.services.migration import Migration
from memmcp_server.services.policies import Policies
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import a_draft


class GoldenShelf:
    """GoldenStore in memory; ``failure`` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.golden: GoldenSet | None = None
        self.failure: Exception | None = None

    async def load(self) -> GoldenSet | None:
        if self.failure is not None:
            raise self.failure
        return self.golden

    async def save(self, golden: GoldenSet) -> None:
        if self.failure is not None:
            raise self.failure
        self.golden = golden


async def until(condition: Callable[[], Awaitable[object]], timeout_s: float = 30.0) -> None:
    """Wait for something that tells nobody when it comes true."""
    with anyio.fail_after(timeout_s):
        while not await condition():  # noqa: ASYNC110 - see above
            await anyio.sleep(0.005)


@dataclass
class Keeping:
    """Nothing runs by itself: a test delivers and steps. ``projected`` are the pages that were read."""

    clock: ManualClock = field(default_factory=ManualClock)
    projected: list[list[MemoryId]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.clock)
        self.index = MemoryIndex(self.clock)
        self.shelf = GoldenShelf()
        policies = Policies(self.journal, self.clock)
        self.scanner = WordScanner({"hunter2": "password"})
        self.memories_of = lambda index: Memories(self.journal, index, self.clock, policies, self.scanner)
        self.evaluation = Evaluation(self.index, self.memories_of, self.shelf, self.clock, self.scanner)
        self.restart()

    def restart(self) -> None:
        """Forget everything that a daemon keeps in memory."""
        self.health = IndexHealth(self.journal, self.index, self._project, self.clock)
        self.migration = Migration(self.journal, self.health, self.evaluation, self.clock)
        self.keeper = IndexKeeper(
            self.journal, self.index, self.health, self.migration, self.clock, poll_s=0.01, first_check_s=0
        )

    async def _project(self, memory_ids: Sequence[MemoryId]) -> Mapping[MemoryId, Sequence[IndexPoint]]:
        self.projected.append(list(memory_ids))
        return await partial(points_of, self.journal)(memory_ids)

    async def write(self, *contents: str, deliver: bool = True) -> list[MemoryId]:
        acknowledgements = await self.journal.commit([a_draft(content) for content in contents])
        if deliver:
            await self.deliver()
        return [each.id for each in acknowledgements]

    async def deliver(self) -> None:
        """Carry what waits to the index, as the relay does."""
        due = await self.journal.outbox_due(SINK_QDRANT, now_ns=self.clock.now_ns(), limit=100_000)
        await QdrantSink(self.journal, self.index).deliver(due)
        await self.journal.outbox_delivered([entry.id for entry in due])

    async def migrate(self, steps: int = 1_000) -> int:
        """Step until there is nothing to do at once; return how many steps it took."""
        for step in range(steps):
            if not await self.migration.step():
                return step + 1
        message = f"more than {steps} steps"
        raise AssertionError(message)
