"""Two hundred facts change, one after the other: none that was superseded is ever shown as current, and as_of is right.

Once with an index that follows at once, once with one that lags behind, once by words alone.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.word_scanner import WordScanner
from tests.support.migrated import migrated

from memmcp_server.adapters.index.sink import QdrantSink
from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.config import JournalSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, UpdateFields, make_draft
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.search import SearchQuery
from memmcp_server.ports import Journal
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies

pytestmark = pytest.mark.anyio
UPDATES = 200
SUBJECTS = ("deploy key", "pool fee", "exit target", "drawdown limit", "release branch", "oracle address", "stop rule")
CLAUDE = Caller("claude", "", "memory_write", "agent", "stdio")
Follows = Literal["at once", "late", "never"]


@dataclass
class Script:
    """What each subject's fact says, and since when."""

    journal: Journal
    memories: Memories
    index: MemoryIndex
    clock: ManualClock
    current: dict[str, tuple[MemoryId, str]] = field(default_factory=dict)
    past: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    async def change(self, subject: str, text: str, chance: random.Random) -> None:
        """State the fact anew: as a new version, or as a memory that supersedes the one before."""
        held = self.current.get(subject)
        if held is not None and chance.random() < 0.5:
            await self.memories.update(UpdateFields(held[0], content=text), CLAUDE)
            self.current[subject] = (held[0], text)
            return
        fields = DraftFields(text, kind="fact", supersedes=() if held is None else (held[0],))
        draft = make_draft(fields, Provenance(agent="claude"), DraftLimits(), self.clock.now_ns())
        written = await self.memories.write(draft, CLAUDE)
        self.current[subject] = (written.id, text)

    async def deliver(self) -> None:
        due = await self.journal.outbox_due("qdrant", now_ns=self.clock.now_ns(), limit=1_000)
        await QdrantSink(self.journal, self.index).deliver(due)
        await self.journal.outbox_delivered([entry.id for entry in due])

    async def told(self, subject: str, as_of_ns: int | None = None) -> set[str]:
        """Return what a search says about the subject."""
        result = await self.memories.search(SearchQuery(subject, MemoryFilter(as_of_ns=as_of_ns), 100), CLAUDE)
        return {found.memory.content for found in result.found if found.memory.content.startswith(subject)}


@pytest.mark.requirement("M17")
@pytest.mark.requirement("M4")
@pytest.mark.parametrize("follows", ["at once", "late", "never"])
async def test_no_superseded_fact_is_current_and_as_of_is_right_in_all(tmp_path: Path, follows: Follows) -> None:
    chance, clock = random.Random(7), ManualClock()
    async with open_journal(JournalSection(), migrated(tmp_path), clock) as journal:
        index = MemoryIndex(clock)
        index.is_down = follows == "never"
        script = Script(
            journal, Memories(journal, index, clock, Policies(journal, clock), WordScanner({})), index, clock
        )
        for number in range(UPDATES):
            clock.advance(60)
            subject = chance.choice(SUBJECTS)
            await script.change(subject, f"{subject} is now {number}", chance)
            script.past.append((clock.now_ns(), {name: text for name, (_, text) in script.current.items()}))
            if follows == "at once" or (follows == "late" and number % 17 == 16):
                await script.deliver()
            assert await script.told(subject) == {script.current[subject][1]}
        for moment_ns, facts in script.past:
            subject = chance.choice(list(facts))
            assert await script.told(subject, moment_ns) == {facts[subject]}
