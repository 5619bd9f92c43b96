"""What changed since a reader looked last: pages of the journal's order behind a cursor, each change exactly once.

A cursor is opaque and names its journal. A reader with a name keeps its place here: it is moved by handing in the
cursor that an answer brought, so a reader that dies before that gets the same page again, and one that comes back with
nothing but its name goes on behind what it acknowledged. Names are each agent's own.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from memmcp_server.config import NewsSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import check_namespace
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import AUDIT_CONTRADICT, Change, Link, LinkKind
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.news import (
    FROM_NOW,
    FROM_START,
    HEADLINE_KINDS,
    Batch,
    ChangePage,
    Told,
    is_visible,
    read_cursor,
    write_cursor,
)
from memmcp_server.errors import InvalidInput, Unavailable
from memmcp_server.ports import Clock, Journal

from .headlines import HEADLINES_MAX, Headlines
from .policies import Policies

LIMIT_MAX = 500
PAGE_CHARS_MAX = 1_048_576
"""A page ends before its contents are longer than this together (one change is always told)."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z"
AGENT_CHARS_MAX = 128
BATCH_ROWS = 200
POLL_S = 0.5
"""Another daemon may write to the same journal (PostgreSQL); this one notices within that time."""

PAUSE_S = 0.02
"""Between two looks of the follower: what is written in that time is read together."""

RETRY_S = 1.0
RECENT_SEQS = 1_000
"""So much of the journal's end is read at the start, for headlines that their kind alone does not tell."""

SHOWN_LINKS = (LinkKind.SUPERSEDES, LinkKind.CONTRADICTS)

_log = logging.getLogger(__name__)

Listener = Callable[[Batch], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a reader asks for. ``cursor`` None: from where ``name`` has acknowledged, else from the start.

    With both, the cursor is acknowledged first. ``from_now``: a name that is seen for the first time begins here.
    ``wait_s`` is no longer than the operator allows.
    """

    cursor: str | None = None
    name: str | None = None
    namespace: str | None = None
    limit: int = 100
    wait_s: float = 0.0
    from_now: bool = False


class News:
    """Tells readers what changed; follows the journal for those who are told at once (``listening``, headlines)."""

    def __init__(self, journal: Journal, policies: Policies, clock: Clock, section: NewsSection) -> None:
        self.headlines = Headlines(journal, policies, clock, section)
        self._journal = journal
        self._policies = policies
        self._clock = clock
        self._section = section
        self._instance_id = ""
        self._waiting = 0
        self._listeners: list[Listener] = []
        self._after: Seq | None = None

    @property
    def waiting(self) -> int:
        """How many readers wait for a change just now."""
        return self._waiting

    async def changes(self, wish: Wish, caller: Caller) -> ChangePage:
        """Return what happened after the cursor, in order; wait for something when there is nothing yet.

        What the caller may not read is left out, and the next cursor stands behind it all the same.

        Raises: InvalidInput (a cursor that is not of this journal, a name, a limit), Unavailable (too many wait),
        JournalBusy, JournalUnavailable.
        """
        self._check(wish)
        horizon = await self._journal.horizon()
        after = await self._begin(wish, caller, horizon)
        deadline_s = self._clock.monotonic_s() + min(wish.wait_s, self._section.wait_s_max)
        while True:
            page = await self._page(after, wish, caller, horizon)
            patience_s = deadline_s - self._clock.monotonic_s()
            if page.told or patience_s <= 0:
                return page
            after = page.next_after
            if page.more:
                continue
            newest = await self._wait(after, patience_s)
            if newest <= after:
                return page
            horizon = newest

    def cursor_after(self, seq: Seq) -> str:
        """Return the cursor that stands after the seq; needs ``open``."""
        return write_cursor(self._instance_id, seq)

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Hand every batch of changes to the listener while the block runs; it must neither wait nor fail."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def open(self) -> None:
        """Note where the journal ends: listeners get everything after it, also what comes before ``run`` has begun.

        Whoever opens a door calls this first, so that a reader who catches up by pages and then listens misses nothing.
        Raises: JournalBusy, JournalUnavailable.
        """
        await self._instance()
        self._after = await self._journal.horizon()

    async def run(self) -> None:
        """Follow the journal until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.headlines.keep_places)
            failures = 0
            while True:
                try:
                    await self._round()
                    failures = 0
                except Unavailable as problem:
                    failures += 1
                    if failures == 1:  # once for each outage: the next lines would say the same
                        _log.warning("the journal does not answer (%s); news wait for it", problem.message)
                    await anyio.sleep(RETRY_S)

    @staticmethod
    def _check(wish: Wish) -> None:
        if not 1 <= wish.limit <= LIMIT_MAX:
            msg = f"limit is {wish.limit}; allowed are 1 to {LIMIT_MAX}"
            raise InvalidInput(msg, field="limit")
        if wish.name is not None and not re.match(NAME_PATTERN, wish.name):
            msg = (
                f"name is {wish.name[:64]!a}; allowed are 1 to 64 letters, digits and _ . : - (first a letter or digit)"
            )
            raise InvalidInput(msg, field="name")
        if wish.namespace is not None:
            check_namespace(wish.namespace.removesuffix("/"))

    async def _begin(self, wish: Wish, caller: Caller, horizon: Seq) -> Seq:
        """Return the seq to read after, and acknowledge the cursor of a reader that has a name."""
        instance_id = await self._instance()
        reader = None if wish.name is None else f"reader/{caller.agent[:AGENT_CHARS_MAX]}/{wish.name}"
        if wish.cursor is not None:
            after = read_cursor(wish.cursor, instance_id, horizon)
            if reader is not None:
                await self._journal.save_cursor(reader, after)
            return after
        kept = None if reader is None else await self._journal.cursor(reader)
        if kept is None:
            if reader is not None and wish.from_now:
                await self._journal.save_cursor(reader, horizon)
            return horizon if wish.from_now else Seq(0)
        if kept > horizon:
            msg = f"reader {wish.name} has acknowledged seq {kept}, but this journal ends at {horizon}: a copy is open"
            hint = f"go on under another name, with cursor={FROM_START} or cursor={FROM_NOW}"
            raise InvalidInput(msg, field="name", hint=hint)
        return kept

    async def _page(self, after: Seq, wish: Wish, caller: Caller, horizon: Seq) -> ChangePage:
        hidden = (await self._policies.book()).hidden_from(caller)
        found = await self._journal.changes(after, limit=wish.limit, namespace=wish.namespace, hidden=hidden)
        kept = _that_fit(found)
        more = len(kept) < len(found) or len(found) == wish.limit
        last = kept[-1].seq if kept else after
        next_after = last if more else max(last, horizon)
        told = [change for change in kept if is_visible(change, hidden, caller)]
        links = await self._journal.links([each.memory.id for each in told if each.memory is not None])
        shown = tuple(Told(each, _own_links(each, links)) for each in told)
        return ChangePage(shown, after, next_after, write_cursor(await self._instance(), next_after), horizon, more)

    async def _wait(self, after: Seq, patience_s: float) -> Seq:
        if self._waiting >= self._section.waiters_max:
            msg = f"{self._waiting} readers wait for changes already"
            raise Unavailable(msg, hint="ask without wait_s in a moment, or raise news.waiters_max")
        self._waiting += 1
        try:
            return await self._journal.wait_for_commit(after, patience_s)
        finally:
            self._waiting -= 1

    async def _instance(self) -> str:
        if not self._instance_id:
            self._instance_id = await self._journal.instance_id()
        return self._instance_id

    async def _round(self) -> None:
        """Wait for a commit and hand on what came."""
        if self._after is None:
            await self.open()
            assert self._after is not None
        if self.headlines.upto is None:
            await self._fill(self._after)
        horizon = await self._journal.wait_for_commit(self._after, POLL_S)
        while self._after < horizon:
            batch, upto = await self._next_batch(self._after, horizon)
            self._after = upto
            self.headlines.take_in(batch, upto)
            for listener in self._listeners if batch.changes else ():
                listener(batch)
            await anyio.sleep(PAUSE_S)

    async def _fill(self, end: Seq) -> None:
        """Read the headlines that were there already at the end."""
        recent = Seq(max(0, end - RECENT_SEQS))
        older = await self._journal.page(
            MemoryFilter(kinds=HEADLINE_KINDS), after=Seq(recent + 1), limit=HEADLINES_MAX, newest_first=True
        )
        older.reverse()
        self.headlines.take_in(await self._batch([Change(memory.seq, memory) for memory in older]), recent)
        known_from = older[0].seq if len(older) == HEADLINES_MAX else Seq(0)
        while recent < end:
            batch, recent = await self._next_batch(recent, end)
            self.headlines.take_in(batch, recent)
        self.headlines.begin(known_from, max(recent, end))

    async def _next_batch(self, after: Seq, horizon: Seq) -> tuple[Batch, Seq]:
        """Return the next changes and up to where they reach."""
        changes = await self._journal.changes(after, limit=BATCH_ROWS)
        last = changes[-1].seq if changes else after
        upto = last if len(changes) == BATCH_ROWS else max(last, horizon)
        return await self._batch(changes), upto

    async def _batch(self, changes: Sequence[Change]) -> Batch:
        memories = [change.memory for change in changes if change.memory is not None]
        links = await self._journal.links([memory.id for memory in memories])
        wanted = {link.to_id for link in links if link.kind is LinkKind.SUPERSEDES}
        wanted |= {memory.id for memory in memories if memory.version > 1}
        for change in changes:
            if change.audit is not None and change.audit.action == AUDIT_CONTRADICT:
                pair = (change.audit.memory_id, change.audit.detail.get("with"))
                wanted |= {MemoryId(each) for each in pair if isinstance(each, str)}
        versions = await self._journal.all_versions(sorted(wanted))
        return Batch(tuple(changes), tuple(links), versions, await self._policies.book())


def _that_fit(changes: Sequence[Change]) -> list[Change]:
    kept: list[Change] = []
    chars = 0
    for change in changes:
        chars += 0 if change.memory is None else len(change.memory.content)
        if kept and chars > PAGE_CHARS_MAX:
            break
        kept.append(change)
    return kept


def _own_links(change: Change, links: Sequence[Link]) -> tuple[Link, ...]:
    memory = change.memory
    if memory is None:
        return ()
    return tuple(
        link
        for link in links
        if (link.from_id == memory.id and link.kind in SHOWN_LINKS)
        or (link.to_id == memory.id and link.kind is LinkKind.CONTRADICTS)
    )
