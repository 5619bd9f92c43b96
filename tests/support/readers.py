"""Who reads the news in tests: callers, and a house with nothing but journal, policies and news."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel

from memmcp_server.config import NewsSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import SetPolicy
from memmcp_server.domain.memory import Acknowledgement, Provenance
from memmcp_server.domain.news import ChangePage
from memmcp_server.ports import Journal
from memmcp_server.services.news import News, Wish
from memmcp_server.services.policies import Policies
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import a_draft

PATIENCE_S = 30


def an_agent(name: str, session: str = "s") -> Caller:
    return Caller(name, session, "tool", "agent", "stdio")


OPERATOR = Caller("cli", "", "cli", "operator", "cli")


class House:
    """``journal`` is the one in memory unless another is given."""

    def __init__(self, journal: Journal | None = None, **section: Any) -> None:
        self.clock = ManualClock()
        self.journal: Journal = journal or MemoryJournal(self.clock)
        self.section = NewsSection(**{"block_wait_s": 5.0, **section})
        self.policies = Policies(self.journal, self.clock)
        self.news = News(self.journal, self.policies, self.clock, self.section)

    async def write(self, content: str, agent: str = "claude", **fields: Any) -> Acknowledgement:
        self.clock.advance(1)
        [acknowledgement] = await self.journal.commit([a_draft(content, agent=agent, **fields)])
        return acknowledgement

    async def hide(self, namespace: str, *readers: str) -> None:
        await self.journal.commit([SetPolicy(namespace, {"readers": list(readers)}, Provenance(agent="cli"))])
        self.clock.advance(60)

    async def read(self, reader: str | Caller = "cursor", **wish: Any) -> ChangePage:
        caller = an_agent(reader) if isinstance(reader, str) else reader
        return await self.news.changes(Wish(**wish), caller)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the follower while the block does."""
        await self.news.open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.news.run)
            await self.caught_up()
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def caught_up(self) -> None:
        """Wait until the follower knows everything that is committed."""
        horizon = await self.journal.horizon()
        with anyio.fail_after(PATIENCE_S):
            while self.news.headlines.upto is None or self.news.headlines.upto < horizon:
                await anyio.lowlevel.checkpoint()


def told(page: ChangePage) -> list[str]:
    """Return what the page tells: contents, and "action id" where something was done."""
    found = []
    for each in page.told:
        memory, entry = each.change.memory, each.change.audit
        if memory is not None:
            found.append(memory.content)
        elif entry is not None:
            found.append(f"{entry.action} {entry.memory_id}")
    return found


def ids(*acknowledgements: Acknowledgement) -> list[MemoryId]:
    return [each.id for each in acknowledgements]
