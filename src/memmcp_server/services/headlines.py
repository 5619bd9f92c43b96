"""What other agents and the desk did since an agent looked last, kept in memory so that asking costs nothing.

One follower of the journal (``services.news``) hands in what changed; the newest headlines stay here. Each session of
an agent has a place in them, and each agent a durable one, from which its next session goes on. The place moves when
something was put into an answer, so that everything is told once; a crash in that moment tells it again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from memmcp_server.config import NewsSection
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId, Seq
from memmcp_server.domain.lifecycle import AUDIT_FORGET, AUDIT_MERGE, LinkKind
from memmcp_server.domain.memory import MemoryFilter, namespace_covers
from memmcp_server.domain.news import Batch, Headline, Look, Weight, headlines_of
from memmcp_server.errors import Unavailable
from memmcp_server.ports import Clock, Journal

from .policies import Policies

HEADLINES_MAX = 512
SESSIONS_MAX = 1_024
AGENTS_MAX = 1_024
SHOWN_MAX = 512
"""Memories per agent of which is known that it was shown them."""

SAVE_EVERY_SEQS = 1_000
"""An agent that nothing is told is at a place of its own too; it is saved in such steps."""

RETRY_S = 1.0
CURSOR_PREFIX = "agent/"

_log = logging.getLogger(__name__)

Key = tuple[MemoryId, Seq | None]
"""A memory makes one headline by itself, and one for each contradiction that it is part of."""


@dataclass(slots=True)
class _Agent:
    """``seq``: how far any session of the agent has looked; ``saved``: what the journal was told of that."""

    seq: Seq
    saved: Seq
    since_ns: int | None
    is_new: bool
    shown: OrderedDict[MemoryId, None] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class _Session:
    seq: Seq
    looked_at_ns: int | None
    is_new: bool


class Headlines:
    """Used from one event loop; ``look`` is what a door calls for each answer."""

    def __init__(self, journal: Journal, policies: Policies, clock: Clock, section: NewsSection) -> None:
        self.section = section
        self._journal = journal
        self._policies = policies
        self._clock = clock
        self._held: OrderedDict[Key, Headline] = OrderedDict()
        self._keys: dict[MemoryId, list[Key]] = {}
        self._newest = Seq(0)
        self._upto = Seq(0)
        self._known_from = Seq(0)
        self._ready = asyncio.Event()
        self._agents: OrderedDict[str, _Agent] = OrderedDict()
        self._sessions: OrderedDict[tuple[str, str], _Session] = OrderedDict()
        self._loading: dict[str, asyncio.Task[_Agent]] = {}
        self._unsaved: OrderedDict[str, Seq] = OrderedDict()
        self._wake = asyncio.Event()

    @property
    def upto(self) -> Seq | None:
        """Up to where everything is known, None before ``begin``."""
        return self._upto if self._ready.is_set() else None

    @property
    def unsaved(self) -> int:
        """How many agents' places the journal does not hold yet."""
        return len(self._unsaved)

    def begin(self, known_from: Seq, upto: Seq) -> None:
        """Say that everything after ``known_from`` was handed in, up to ``upto``; from now on agents are answered."""
        self._known_from = max(self._known_from, known_from)
        self._upto = upto
        self._ready.set()

    def take_in(self, batch: Batch, upto: Seq) -> None:
        """Add what changed, and drop what does not stand any more."""
        for link in batch.links:
            if link.kind in (LinkKind.SUPERSEDES, LinkKind.MERGED):
                self._drop(link.to_id)
        for change in batch.changes:
            if change.memory is not None:
                self._drop(change.memory.id)
            elif change.audit is not None and change.audit.action in (AUDIT_FORGET, AUDIT_MERGE):
                self._drop(change.audit.memory_id)
        for headline in headlines_of(batch):
            self._hold(headline)
        while len(self._held) > HEADLINES_MAX:
            oldest = next(iter(self._held.values()))
            self._drop(oldest.id)
            self._known_from = max(self._known_from, oldest.seq)
        self._upto = max(self._upto, upto)

    async def look(self, caller: Caller) -> Look | None:
        """Return what is new to the caller, None where there is nothing (or nobody could say in time)."""
        if not self.section.block_enabled:
            return None
        session = self._sessions.get((caller.agent, caller.session))
        if session is not None and self._newest <= session.seq and not session.is_new:
            session.looked_at_ns = self._clock.now_ns()
            return None
        try:
            async with asyncio.timeout(self.section.block_wait_s):
                await self._ready.wait()
                return await self._look(caller, self._upto)
        except (TimeoutError, Unavailable) as problem:
            _log.debug("no news for %s this time: %s", caller.agent, problem)
            return None

    def note_told(self, look: Look) -> None:
        """Note that the look was put into an answer."""
        session = self._sessions.get((look.agent, look.session))
        if session is not None:
            session.is_new = False
        self._move(look.agent, look.session, look.upto, is_told=True)

    def note_read(self, caller: Caller, seq: Seq) -> None:
        """Note that the caller has read every change up to there in another way."""
        self._move(caller.agent, caller.session, min(seq, self._upto), is_told=True)

    def note_shown(self, caller: Caller, memory_ids: Iterable[MemoryId]) -> None:
        """Note what an answer shows, so that the agent is told when one of these is revised."""
        agent = self._agents.get(caller.agent)
        if agent is None:
            return
        for memory_id in memory_ids:
            agent.shown[memory_id] = None
            agent.shown.move_to_end(memory_id)
        while len(agent.shown) > SHOWN_MAX:
            agent.shown.popitem(last=False)

    async def keep_places(self) -> None:
        """Save the agents' places as they move, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            unsaved, self._unsaved = self._unsaved, OrderedDict()
            try:
                for name, seq in unsaved.items():
                    await self._journal.save_cursor(CURSOR_PREFIX + name, seq)
            except Unavailable as problem:
                _log.debug("places of agents are saved later: %s", problem.message)
                self._unsaved = OrderedDict({**unsaved, **self._unsaved})
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _look(self, caller: Caller, upto: Seq) -> Look | None:
        agent = await self._agent(caller.agent, upto)
        session = self._session(caller, agent)
        if session.is_new:
            earlier = await self._visible(caller, agent, Seq(0), session.seq)
            if earlier:
                return Look(caller.agent, caller.session, session.seq, None, earlier, is_first=True)
            session.is_new = False
        found = await self._visible(caller, agent, session.seq, upto)
        is_partial = session.seq < self._known_from
        if found or is_partial:
            return Look(caller.agent, caller.session, upto, session.looked_at_ns, found, is_partial=is_partial)
        self._move(caller.agent, caller.session, upto)
        return None

    async def _visible(self, caller: Caller, agent: _Agent, after: Seq, upto: Seq) -> tuple[Headline, ...]:
        """Return what lies between the places, was done by others, concerns the caller and may be seen by it."""
        found = []
        for headline in reversed(self._held.values()):
            if headline.seq <= after:
                break
            if headline.seq <= upto and headline.agent != caller.agent:
                found.append(headline)
        found = [each for each in found if _concerns(each, caller.agent, agent.shown)]
        if found:
            hidden = (await self._policies.book()).hidden_from(caller)
            found = [each for each in found if not any(namespace_covers(ns, each.namespace) for ns in hidden)]
        return tuple(sorted(found, key=lambda each: (each.weight, -each.seq)))

    async def _agent(self, name: str, upto: Seq) -> _Agent:
        agent = self._agents.get(name)
        if agent is not None:
            self._agents.move_to_end(name)
            return agent
        task = self._loading.get(name)
        if task is None:
            task = asyncio.create_task(self._load(name, upto), name=f"place of {name}")
            self._loading[name] = task
            task.add_done_callback(lambda done: self._loaded(name, done))
        # Whoever does not wait for it finds it at the next look.
        return await asyncio.shield(task)

    async def _load(self, name: str, upto: Seq) -> _Agent:
        kept = await self._journal.cursor(CURSOR_PREFIX + name)
        if kept is None:
            return _Agent(upto, upto, None, is_new=True)
        seq = min(kept, upto)
        before = await self._journal.page(MemoryFilter(), after=Seq(seq + 1), limit=1, newest_first=True)
        return _Agent(seq, kept, before[0].known_at_ns if before else None, is_new=False)

    def _loaded(self, name: str, task: asyncio.Task[_Agent]) -> None:
        self._loading.pop(name, None)
        if task.cancelled() or task.exception() is not None:
            return
        agent = task.result()
        self._agents[name] = agent
        while len(self._agents) > AGENTS_MAX:
            self._agents.popitem(last=False)
        if agent.is_new:
            self._save(name, agent.seq)

    def _session(self, caller: Caller, agent: _Agent) -> _Session:
        key = (caller.agent, caller.session)
        session = self._sessions.get(key)
        if session is None:
            session = _Session(agent.seq, agent.since_ns, agent.is_new)
            agent.is_new = False
            self._sessions[key] = session
            while len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return session

    def _move(self, name: str, session_name: str, upto: Seq, *, is_told: bool = False) -> None:
        session = self._sessions.get((name, session_name))
        if session is not None:
            session.seq = max(session.seq, upto)
            session.looked_at_ns = self._clock.now_ns()
        agent = self._agents.get(name)
        if agent is None:
            return
        agent.seq = max(agent.seq, upto)
        agent.since_ns = self._clock.now_ns()
        if agent.seq > agent.saved and (is_told or agent.seq - agent.saved >= SAVE_EVERY_SEQS):
            agent.saved = agent.seq
            self._save(name, agent.seq)

    def _save(self, name: str, seq: Seq) -> None:
        self._unsaved[name] = seq
        while len(self._unsaved) > AGENTS_MAX:
            lost, _ = self._unsaved.popitem(last=False)
            _log.warning("the place of agent %s is not saved; it may be told some news again", lost)
        self._wake.set()

    def _hold(self, headline: Headline) -> None:
        key = (headline.id, headline.seq if headline.revision == "contradicts" else None)
        self._held[key] = headline
        self._keys.setdefault(headline.id, []).append(key)
        self._newest = max(self._newest, headline.seq)

    def _drop(self, memory_id: MemoryId | None) -> None:
        """Take away what was said of a memory: it says something else now, or nothing."""
        if memory_id is not None:
            for key in self._keys.pop(memory_id, ()):
                self._held.pop(key, None)


def _concerns(headline: Headline, agent: str, shown: Container[MemoryId]) -> bool:
    if headline.weight is not Weight.REVISION:
        return True
    return agent in headline.authors or any(memory_id in shown for memory_id in headline.revises)
