"""Write, find and read memories: the same rules for every door."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DERIVED_KEY, DraftLimits, UpdateFields, make_update
from memmcp_server.domain.evidence import MemoryDetails, staleness
from memmcp_server.domain.identifiers import JsonObject, MemoryId
from memmcp_server.domain.lifecycle import MarkKind, MarkMemory, RestoreMemory, Standing, UpdateMemory
from memmcp_server.domain.memory import (
    Acknowledgement,
    Memory,
    MemoryDraft,
    Provenance,
    Trust,
    is_reserved,
)
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.search import SearchQuery, SearchResult
from memmcp_server.domain.secrets import looks_clean
from memmcp_server.domain.tracing.calls import observed, shown_ids
from memmcp_server.errors import InvalidInput, JournalUnavailable, NotFound, Refused
from memmcp_server.ports import Clock, Journal, SecretScanner, VectorIndex

from .finder import Finder
from .meters import Meters
from .policies import Policies
from .secrets import refuse_secrets
from .spooling import Spooling, still_on_its_way

BATCH_LEN_MAX = 256
ID_SHOWN_MAX = 128


class Memories:
    """``index_timeout_s`` bounds the wait for the index; after that the answer is by words alone and says so.

    ``spooling``: where writes go while the journal's server is away; None where the journal is a file of ours.
    """

    def __init__(
        self,
        journal: Journal,
        index: VectorIndex,
        clock: Clock,
        policies: Policies,
        scanner: SecretScanner,
        limits: DraftLimits | None = None,
        *,
        index_timeout_s: float = 5.0,
        meters: Meters | None = None,
        spooling: Spooling | None = None,
    ) -> None:
        self._spooling = spooling
        self._meters = meters or Meters()
        self._journal = journal
        self._clock = clock
        self._policies = policies
        self._scanner = scanner
        self._limits = limits or DraftLimits()
        self._finder = Finder(journal, index, clock, index_timeout_s)

    async def write(self, draft: MemoryDraft, caller: Caller) -> Acknowledgement:
        """Store the draft durably and return the journal's word for it.

        Raises: Refused, SecretRefused, NotFound (what it cites or supersedes), IdempotencyConflict, JournalBusy,
        JournalUnavailable, StorageFull.
        """
        return (await self.write_many((draft,), caller))[0]

    async def write_many(self, drafts: Sequence[MemoryDraft], caller: Caller) -> list[Acknowledgement]:
        """Store all of the drafts in one transaction, or none.

        Raises: as ``write``; InvalidInput (too many at once).
        """
        if len(drafts) > BATCH_LEN_MAX:
            msg = f"{len(drafts)} memories in one call; at most {BATCH_LEN_MAX} are allowed"
            raise InvalidInput(msg, field="memories")
        if not drafts:
            return []
        with observed("memory.write", "span") as call:
            written = await self._written(drafts, caller)
            call.tell(ids=shown_ids([each.id for each in written]), count=len(written))
            for draft in drafts:
                call.touch(draft.trajectory_id)
        return written

    async def _written(self, drafts: Sequence[MemoryDraft], caller: Caller) -> list[Acknowledgement]:
        for draft in drafts:
            _refuse_secrets(self._scanner, draft)
        if self._spooling is None:
            return await self.commit(drafts, caller)
        return await self._spooling.write(drafts, caller, self.commit, partial(self._admit, drafts, caller))

    def _admit(self, drafts: Sequence[MemoryDraft], caller: Caller) -> None:
        """Refuse by the policies that were last known; those of the day are asked when it is carried."""
        for draft in drafts:
            _trusted(draft, self._policies.last_known(), caller)

    async def commit(self, drafts: Sequence[MemoryDraft], caller: Caller) -> list[Acknowledgement]:
        """Store drafts that hold no secret in the journal itself, if its policies let the caller.

        Raises: as ``write``.
        """
        trusted = await self._checked(drafts, caller)
        with self._meters.timed("write"):
            return await self._journal.commit(trusted)

    async def commit_each(self, writes: Sequence[tuple[Sequence[MemoryDraft], Caller]]) -> list[list[Acknowledgement]]:
        """Store what several callers wrote, checked as by ``commit``, all of it or nothing. Raises: as ``write``."""
        trusted = [await self._checked(drafts, caller) for drafts, caller in writes]
        with self._meters.timed("write"):
            acknowledged = iter(await self._journal.commit([draft for drafts in trusted for draft in drafts]))
        return [[next(acknowledged) for _ in drafts] for drafts in trusted]

    async def _checked(self, drafts: Sequence[MemoryDraft], caller: Caller) -> list[MemoryDraft]:
        book = await self._policies.book()
        trusted = [_trusted(draft, book, caller) for draft in drafts]
        # Most writes stand alone; this is the way that has to be quick.
        if any(draft.trajectory_id is not None for draft in drafts):
            await self._check_trajectories(drafts, caller)
        if any(draft.supersedes or draft.cites for draft in drafts):
            trusted = [await self._with_final_ids(draft) for draft in trusted]
            await self._check_related([(draft.supersedes, draft.cites) for draft in trusted], book, caller)
        return trusted

    async def _with_final_ids(self, draft: MemoryDraft) -> MemoryDraft:
        """Name what the draft rests on as the journal does, where an answer of ours named it otherwise."""
        if self._spooling is None or not (draft.supersedes or draft.cites):
            return draft
        final = await self._spooling.final_ids([*draft.supersedes, *draft.cites])
        supersedes = tuple(final.get(each, each) for each in draft.supersedes)
        return replace(draft, supersedes=supersedes, cites=tuple(final.get(each, each) for each in draft.cites))

    @property
    def keeps_writes(self) -> bool:
        """Say whether a write is taken in while the journal's server is away."""
        return self._spooling is not None

    def check_carried(self, trajectory_id: str) -> None:
        """Raises: JournalUnavailable: steps of the trajectory are still on their way to the journal."""
        if self._spooling is not None and self._spooling.holds_steps(trajectory_id):
            msg = f"trajectory {trajectory_id[:ID_SHOWN_MAX]} has steps that are still on their way to the journal"
            raise JournalUnavailable(msg, hint="repeat in a moment; memmcp outbox list shows them")

    async def update(self, fields: UpdateFields, caller: Caller) -> Acknowledgement:
        """Append the next version of a memory; the ones before stay readable, and ``as_of`` knows them.

        Raises: Refused, NotFound, InvalidInput, IdempotencyConflict, JournalBusy, JournalUnavailable, StorageFull.
        """
        refuse_secrets(self._scanner, _texts_of_update(fields, caller))
        self._refuse_what_is_on_its_way(fields.id)
        book = await self._policies.book()
        held = await self._readable(fields.id, book, caller)
        _check_may_change(held, book, caller)
        if fields.pinned is not None and caller.role != "operator" and not await self._is_own(held, caller):
            msg = f"memory {held.id} was written by {held.provenance.agent or 'somebody else'}; only its author pins it"
            raise Refused(msg, field="pinned", hint="ask the operator: memmcp pin ID")
        trust = book.of(held.namespace).trust or (held.provenance.trust if fields.content is None else Trust.AGENT)
        by = replace(_provenance(caller), trust=trust)
        command = make_update(fields, held, by, self._limits, self._clock.now_ns())
        if held.superseded_at_ns is None and _changes_nothing(command, held):
            return Acknowledgement(held.id, held.seq, held.version, held.known_at_ns, duplicate=True)
        await self._check_related([(command.supersedes, command.cites)], book, caller)
        with self._meters.timed("update"):
            [acknowledgement] = await self._journal.commit([command])
        return acknowledgement

    async def confirm(self, memory_id: str, caller: Caller) -> Acknowledgement:
        """Note that somebody checked that a memory still holds: it is no longer shown as unverified.

        Raises: Refused, NotFound, InvalidInput (it is not current), JournalBusy, JournalUnavailable, StorageFull.
        """
        self._refuse_what_is_on_its_way(memory_id)
        book = await self._policies.book()
        held = await self._readable(memory_id, book, caller)
        _check_may_change(held, book, caller)
        if held.superseded_at_ns is not None:
            msg = f"memory {held.id} was superseded, so it cannot be confirmed"
            raise InvalidInput(msg, field="id", hint="confirm what superseded it, or restore it")
        source = f"{caller.agent[:128]}:{self._clock.now_ns()}"
        [acknowledgement] = await self._journal.commit([MarkMemory(held.id, MarkKind.CONFIRMED, source)])
        return acknowledgement

    async def restore(self, memory_id: str, reason: str, caller: Caller) -> Acknowledgement:
        """Make a superseded or merged memory current again.

        Raises: as ``update``.
        """
        refuse_secrets(self._scanner, {"reason": reason, "agent": caller.agent})
        self._refuse_what_is_on_its_way(memory_id)
        book = await self._policies.book()
        held = await self._readable(memory_id, book, caller)
        _check_may_change(held, book, caller)
        [acknowledgement] = await self._journal.commit([RestoreMemory(held.id, reason, _provenance(caller))])
        return acknowledgement

    async def get(self, memory_id: str, version: int | None = None, caller: Caller | None = None) -> Memory:
        """Return that version, or the last one, also when it is not current any more (``superseded_at_ns`` says so).

        Raises: NotFound (also where the caller may not read; None: whoever asks may read everything),
        JournalUnavailable (also for what is still on its way to the journal).
        """
        self._refuse_what_is_on_its_way(memory_id)
        book = await self._policies.book()
        return await self._readable(memory_id, book, caller, version)

    async def details(self, memory_id: str, version: int | None = None, caller: Caller | None = None) -> MemoryDetails:
        """Return a memory with its links and its standing.

        Raises: as ``get``.
        """
        memory = await self.get(memory_id, version, caller)
        links = await self._journal.links([memory.id])
        around = await self._journal.surroundings([memory.id], as_of_ns=None)
        others = {link.to_id if link.from_id == memory.id else link.from_id for link in links}
        present = await self._journal.all_versions(sorted(others))
        lasts = {memory_id: versions[-1] for memory_id, versions in present.items()}
        stale = staleness(memory.id, links, lasts, self._clock.now_ns())
        return MemoryDetails(memory, tuple(links), around.standings.get(memory.id, Standing()), stale)

    async def history(self, memory_id: str, caller: Caller | None = None) -> list[Memory]:
        """Return every version, oldest first.

        Raises: as ``get``.
        """
        memory = await self.get(memory_id, None, caller)
        return await self._journal.versions(memory.id)

    async def _readable(
        self, memory_id: str, book: PolicyBook, caller: Caller | None, version: int | None = None
    ) -> Memory:
        if self._spooling is not None:
            memory_id = (await self._spooling.final_ids([MemoryId(memory_id)])).get(MemoryId(memory_id), memory_id)
        versions = await self._journal.versions(MemoryId(memory_id))
        found = [memory for memory in versions if version in (None, memory.version)]
        if found and (caller is None or book.may_read(caller, found[-1].namespace)):
            return found[-1]
        shown = memory_id if len(memory_id) <= ID_SHOWN_MAX else f"{memory_id[:ID_SHOWN_MAX]}..."
        which = shown if version is None else f"{shown} in version {version}"
        if not versions and await self._journal.forgotten([MemoryId(memory_id)]):
            msg = f"memory {which} was forgotten"
            raise NotFound(msg, field="id", hint="nothing of it is left but the audit entry")
        msg = f"there is no memory {which}"
        raise NotFound(msg, field="id", hint="search for its words; a write and a search return ids")

    def _refuse_what_is_on_its_way(self, memory_id: str) -> None:
        """Raises: JournalUnavailable: the journal is to have it first."""
        if self._spooling is not None and self._spooling.holds(memory_id):
            raise still_on_its_way(memory_id)

    async def _is_own(self, memory: Memory, caller: Caller) -> bool:
        first = await self._journal.memory(memory.id, 1)
        return first is not None and first.provenance.agent == caller.agent

    async def _check_related(
        self, related: Sequence[tuple[Sequence[MemoryId], Sequence[MemoryId]]], book: PolicyBook, caller: Caller
    ) -> None:
        """Refuse to supersede what the caller may not change, and to cite what it may not read."""
        supersedes = {memory_id for each, _ in related for memory_id in each}
        cites = {memory_id for _, each in related for memory_id in each}
        if not supersedes and not cites:
            return
        present = await self._journal.all_versions(sorted(supersedes | cites))
        for memory_id, versions in present.items():
            last = versions[-1]
            if not book.may_read(caller, last.namespace):
                msg = f"there is no memory {memory_id}"
                raise NotFound(msg, field="supersedes" if memory_id in supersedes else "cites")
            if memory_id in supersedes:
                _check_may_change(last, book, caller, "supersedes")

    async def search(self, query: SearchQuery, caller: Caller) -> SearchResult:
        """Find memories by meaning and by words, best first; see ``Finder.find``.

        Raises: InvalidInput, Refused, JournalBusy, JournalUnavailable.
        """
        if self._spooling is not None and (problem := self._spooling.problem) is not None:
            raise JournalUnavailable(
                problem, hint="repeat in a moment; memory_write is taken meanwhile (durable: local)"
            )
        book = await self._policies.book()
        with observed("memory.search", "retriever") as call, self._meters.timed("search"):
            result = await self._finder.find(query, book, book.hidden_from(caller))
            ids = shown_ids([each.memory.id for each in result.found])
            call.tell(hits=len(result.found), ids=ids, index=result.index_state, backlog=result.backlog)
        return result

    async def _check_trajectories(self, drafts: Sequence[MemoryDraft], caller: Caller) -> None:
        """Refuse an agent's step in a trajectory of the runtime: its chain of evidence is written by the desk only."""
        if caller.role == "operator":
            return
        for trajectory_id in {draft.trajectory_id for draft in drafts if draft.trajectory_id is not None}:
            trajectory = await self._journal.trajectory(trajectory_id)
            if trajectory is not None and is_reserved(trajectory.namespace):
                msg = f"trajectory {trajectory_id} belongs to {trajectory.namespace}, which only the runtime writes"
                hint = "leave trajectory_id out and name the trajectory in metadata or tags"
                raise Refused(msg, field="trajectory_id", hint=hint)


def _refuse_secrets(scanner: SecretScanner, draft: MemoryDraft) -> None:
    """Look through everything of a draft that would be written. Raises: SecretRefused."""
    by = draft.provenance
    key = "" if draft.key.startswith(DERIVED_KEY) else draft.key
    named = [draft.namespace, draft.kind, key, draft.trajectory_id or "", by.agent, by.session, by.source]
    # Once without the names of our own fields: "idempotency_key" would make a password of any key.
    if looks_clean([draft.content, *draft.tags, dict(draft.metadata), *named], scanner.scan):
        return
    refuse_secrets(
        scanner,
        {
            "content": draft.content,
            "tags": list(draft.tags),
            "metadata": dict(draft.metadata),
            **dict(zip(("namespace", "kind", "idempotency_key", "trajectory_id"), named, strict=False)),
            **dict(zip(("agent", "session", "source"), named[4:], strict=True)),
        },
    )


def _texts_of_update(fields: UpdateFields, caller: Caller) -> JsonObject:
    return {
        "content": fields.content,
        "kind": fields.kind,
        "tags": list(fields.tags or ()),
        "metadata": dict(fields.metadata or {}),
        "idempotency_key": fields.key,
        "agent": caller.agent,
    }


def _trusted(draft: MemoryDraft, book: PolicyBook, caller: Caller) -> MemoryDraft:
    """Return the draft with the trust that its namespace gives. Raises: Refused."""
    _check_may_write(draft, book, caller)
    trust = book.of(draft.namespace).trust
    if trust is None or draft.provenance.trust is not Trust.AGENT:
        return draft
    return replace(draft, provenance=replace(draft.provenance, trust=trust))


def _check_may_change(memory: Memory, book: PolicyBook, caller: Caller, field: str = "id") -> None:
    """Raises: Refused."""
    if caller.role == "viewer":
        msg = "a viewer may search and read, not write"
        raise Refused(msg, hint="connect with an agent's or an operator's token")
    if book.of(memory.namespace).holds:
        msg = f"memory {memory.id} is a record of {memory.namespace}, which is kept as it was written"
        raise Refused(msg, field=field, hint="write a memory of your own about it, in a namespace of yours")
    if not book.may_write(caller, memory.namespace):
        msg = f"{caller.agent or 'the caller'} may not write in {memory.namespace}, where memory {memory.id} is"
        raise Refused(msg, field=field, hint="ask the operator: memmcp namespace list NAME")


def _changes_nothing(command: UpdateMemory, held: Memory) -> bool:
    """Say whether the memory is already as the update would make it."""
    if command.supersedes or command.cites or command.expected_version not in (None, held.version):
        return False
    names = ("content", "kind", "tags", "metadata", "ts_event_ns", "importance", "pinned")
    times = ("expires_at", "valid_from", "valid_to")
    return all(
        getattr(command, name) in (None, getattr(held, name)) for name in (*names, *(f"{time}_ns" for time in times))
    ) and all(getattr(held, f"{time}_ns") is None for time in command.cleared)


def _provenance(caller: Caller) -> Provenance:
    return Provenance(agent=caller.agent, session=caller.session, tool=caller.tool)


def _check_may_write(draft: MemoryDraft, book: PolicyBook, caller: Caller) -> None:
    if caller.role == "viewer":
        msg = "a viewer may search and read, not write"
        raise Refused(msg, hint="connect with an agent's or an operator's token")
    if caller.role == "operator":
        return
    if not book.may_write(caller, draft.namespace):
        msg = f"{caller.agent or 'the caller'} may not write in {draft.namespace}"
        raise Refused(msg, field="namespace", hint="use another namespace; memmcp namespace list NAME tells who may")
    if is_reserved(draft.namespace):
        msg = f"namespace is {draft.namespace}, which only the runtime writes"
        raise Refused(msg, field="namespace", hint="leave it out, or use a namespace of your own such as agents/NAME")
    if draft.provenance.trust is Trust.SYSTEM:
        msg = "trust is system, which only the runtime gives"
        raise Refused(msg, field="trust")
