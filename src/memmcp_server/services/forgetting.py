"""Forget memories: who may, what goes along, and how much at once. What follows in the files is ``erasure``'s.

An order names memories, or a preview of a filter. A preview is bound to the memories it found, each in the version that
was there: the order forgets these and nothing that has joined since. When one of them was changed meanwhile, or a
trajectory among them got another step, the order is refused and nothing is forgotten.
"""

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.forgetting import ForgetOrder, ForgetPreview, Forgotten, Proof
from memmcp_server.domain.identifiers import MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import AUDIT_FORGET, ForgetMemory
from memmcp_server.domain.memory import Memory, MemoryFilter, Provenance, is_reserved
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.residues import WINDOWS_PER_TEXT_MIN, is_covered, said_in, windows_of
from memmcp_server.errors import InvalidInput, JournalUnavailable, NotFound, Refused
from memmcp_server.ports import Clock, Journal

from .erasure import Erasure
from .policies import Policies
from .spooling import Spooling, still_on_its_way

FORGET_MAX: Final = 10_000
"""Memories in one order, steps included; more are forgotten in several rounds."""

SCANNED_MAX: Final = 50_000
"""Memories that one preview looks at, those included that stay."""

IDS_MAX: Final = 256
BATCH_LEN: Final = 100
PAGE_LEN: Final = 200
WINDOWS_MAX: Final = 50_000
PREVIEWS_MAX: Final = 64
PREVIEW_S: Final = 600
REASON_LENGTH_MAX: Final = 1_000
KIND_TRAJECTORY: Final = "trajectory"
NS_PER_S: Final = 1_000_000_000

Objection = Literal["held", "foreign"]


@dataclass(frozen=True, slots=True)
class _Preview:
    versions: Mapping[MemoryId, int]
    where: MemoryFilter
    caller: tuple[str, str]
    expires_at_ns: int


@dataclass(slots=True)
class _Choice:
    """What a preview has found so far."""

    chosen: dict[MemoryId, Memory] = field(default_factory=dict)
    steps: int = 0
    stays: Counter[Objection] = field(default_factory=Counter)
    scanned: int = 0


class Forgetting:
    """``spooling``: where memories wait that the journal has not got yet, None where none do."""

    def __init__(
        self,
        journal: Journal,
        policies: Policies,
        clock: Clock,
        erasure: Erasure,
        spooling: Spooling | None = None,
    ) -> None:
        self._spooling = spooling
        self._journal = journal
        self._policies = policies
        self._clock = clock
        self._erasure = erasure
        self._previews: dict[str, _Preview] = {}

    async def carry_out(self, order: ForgetOrder, caller: Caller) -> ForgetPreview | Forgotten:
        """Do what an order asks for: see ``preview``, ``forget`` and ``forget_previewed``."""
        if order.preview_id is not None:
            return await self.forget_previewed(order.preview_id, order.reason, caller, order.where)
        if order.where is not None:
            return await self.preview(order.where, caller)
        return await self.forget(order.ids, order.reason, caller)

    async def preview(self, where: MemoryFilter, caller: Caller) -> ForgetPreview:
        """Find what a filter means, all of it or the first ``FORGET_MAX``; nothing is forgotten.

        Superseded and merged memories are among them; a trajectory takes its steps along.

        Raises: InvalidInput (a filter without any condition), Refused, JournalBusy, JournalUnavailable (also while
        memories are on their way to the journal, which a filter would miss).
        """
        _check_role(caller)
        if self._spooling is not None and not self._spooling.is_empty():
            msg = "memories are kept on this machine and on their way to the journal: a filter would miss them"
            raise JournalUnavailable(msg, hint="repeat in a moment; memmcp outbox list shows them")
        if where == MemoryFilter():
            msg = "the filter has no condition, so it would mean every memory there is"
            raise InvalidInput(msg, field="filter", hint="name a namespace (a/ for a subtree), kinds, tags or a time")
        book = await self._policies.book()
        hidden = replace(where, hidden=(*where.hidden, *book.hidden_from(caller)))
        choice, is_complete = _Choice(), True
        async for page in self._pages(hidden):
            if not await self._choose(page, choice, book, caller):
                is_complete = False
                break
        return self._kept(choice, where, caller, is_complete=is_complete)

    async def forget(self, memory_ids: Sequence[str], reason: str, caller: Caller) -> Forgotten:
        """Forget the memories, all or none; one that was forgotten before is a success too.

        Raises: NotFound, Refused, InvalidInput (the reason, too many), JournalBusy, JournalUnavailable, StorageFull.
        """
        _check_role(caller)
        _check_reason(reason)
        ids = [MemoryId(each) for each in dict.fromkeys(memory_ids)]
        if not 1 <= len(ids) <= IDS_MAX:
            msg = f"{len(ids)} ids in one call; allowed are 1 to {IDS_MAX}"
            raise InvalidInput(msg, field="id", hint="use a filter for more")
        ids = await self._in_the_journal(ids)
        book = await self._policies.book()
        present = await self._journal.all_versions(ids)
        gone = await self._journal.forgotten([each for each in ids if each not in present])
        chosen: dict[MemoryId, int] = {}
        for memory_id in ids:
            versions = present.get(memory_id)
            if versions is None or not book.may_read(caller, versions[-1].namespace):
                if memory_id not in gone:
                    msg = f"there is no memory {memory_id:.128}"
                    raise NotFound(msg, field="id", hint="search for its words; a write and a search return ids")
                continue
            _check_may_forget(versions, book, caller)
            chosen[memory_id] = versions[-1].version
            for step in await self._steps_of(versions[-1]):
                _check_may_forget(step, book, caller)
                chosen[step[-1].id] = step[-1].version
        if len(chosen) > FORGET_MAX:
            msg = f"{len(chosen)} memories with the steps of trajectories; one order may take {FORGET_MAX}"
            raise InvalidInput(msg, field="id", hint="forget in several rounds")
        already = len([memory_id for memory_id in ids if memory_id in gone])
        return replace(await self._forgotten(chosen, reason, caller, already), ids=tuple(ids))

    async def _in_the_journal(self, ids: Sequence[MemoryId]) -> list[MemoryId]:
        """Return the ids as the journal has them. Raises: JournalUnavailable: one is still on its way to it."""
        if self._spooling is None:
            return [*ids]
        for memory_id in ids:
            if self._spooling.holds(memory_id):
                raise still_on_its_way(memory_id)
        final = await self._spooling.final_ids(ids)
        return [final.get(each, each) for each in ids]

    async def forget_previewed(
        self, preview_id: str, reason: str, caller: Caller, where: MemoryFilter | None = None
    ) -> Forgotten:
        """Forget what a preview found, and nothing else; repeating it changes nothing.

        ``where``: the filter that the caller believes it to be of.

        Raises: NotFound (unknown, expired or another caller's), Refused (something was changed since, or may not be
        forgotten any more), InvalidInput (the reason), JournalBusy, JournalUnavailable, StorageFull.
        """
        _check_role(caller)
        _check_reason(reason)
        preview = self._previews.get(preview_id)
        if preview is None or preview.expires_at_ns <= self._clock.now_ns() or preview.caller != _who(caller):
            msg = f"there is no preview {preview_id:.64}, or it has expired"
            raise NotFound(msg, field="preview_id", hint="send the filter again without preview_id")
        if where is not None and where != preview.where:
            msg = "the filter is not the one that was previewed"
            raise InvalidInput(msg, field="filter", hint="leave it out, or send it again without preview_id")
        book = await self._policies.book()
        chosen: dict[MemoryId, int] = {}
        ids = list(preview.versions)
        for chunk in _chunks(ids, PAGE_LEN):
            present = await self._journal.all_versions(chunk)
            for memory_id, versions in present.items():
                _check_may_forget(versions, book, caller)
                if versions[-1].version != preview.versions[memory_id]:
                    raise _outdated(f"memory {memory_id} was changed")
                if any(step[-1].id not in preview.versions for step in await self._steps_of(versions[-1])):
                    raise _outdated(f"trajectory {memory_id} got another step")
                chosen[memory_id] = versions[-1].version
        return await self._forgotten(chosen, reason, caller, len(ids) - len(chosen))

    async def expel(self, memories: Sequence[Memory], reason: str, by: Provenance) -> int:
        """Forget these for the house itself (retention), without waiting for the proof; return how many went."""
        chosen = {memory.id: memory.version for memory in memories}
        return len(await self._commit(chosen, reason, by))

    async def _forgotten(self, chosen: Mapping[MemoryId, int], reason: str, caller: Caller, already: int) -> Forgotten:
        by = Provenance(agent=caller.agent, session=caller.session, tool=caller.tool)
        seqs = await self._commit(chosen, reason, by)
        if not seqs:
            return Forgotten(0, already, None, await self._earlier_proof())
        return Forgotten(len(seqs), already, seqs[-1], await self._erasure.proof(seqs[-1]))

    async def _commit(self, chosen: Mapping[MemoryId, int], reason: str, by: Provenance) -> list[Seq]:
        """Forget in batches. What a crash leaves undone is still there: the order can be repeated."""
        seqs: list[Seq] = []
        budget = max(WINDOWS_PER_TEXT_MIN, WINDOWS_MAX // max(1, len(chosen)))
        for chunk in _chunks(list(chosen), BATCH_LEN):
            present = await self._journal.all_versions(chunk)
            for memory_id, versions in present.items():
                texts = await self._texts(versions)
                windows = frozenset(window for text in texts for window in windows_of(text, budget))
                if any(window in reason.encode(errors="replace") for window in windows):
                    self._forget_windows(present)
                    msg = f"the reason repeats what memory {memory_id} says; it is kept in the audit"
                    raise InvalidInput(msg, field="reason", hint="say why, not what")
                is_whole = all(is_covered(text, budget) for text in texts)
                self._erasure.remember(memory_id, windows, is_whole=is_whole)
            commands = [ForgetMemory(memory_id, reason, by) for memory_id in chunk if memory_id in present]
            acknowledged = await self._journal.commit(commands)
            for each in acknowledged:
                if each.duplicate or each.version != present[each.id][-1].version:
                    self._erasure.no_longer_knows(each.id)
            seqs += [each.seq for each in acknowledged if not each.duplicate]
            self._erasure.wake()
        return seqs

    def _forget_windows(self, memory_ids: Mapping[MemoryId, object]) -> None:
        for memory_id in memory_ids:
            self._erasure.no_longer_knows(memory_id)

    async def _texts(self, versions: Sequence[Memory]) -> list[str]:
        """Return everything that the versions say, each text once."""
        texts = [text for version in versions for text in said_in(version)]
        if versions[-1].kind == KIND_TRAJECTORY:
            head = await self._journal.trajectory(TrajectoryId(versions[-1].id))
            texts += [] if head is None else [head.title, head.outcome or ""]
        return list(dict.fromkeys(texts))

    async def _earlier_proof(self) -> Proof:
        """Return how the last forgetting of all stands: what was forgotten before is covered by it."""
        entries = await self._journal.audit(action=AUDIT_FORGET, limit=1)
        return await self._erasure.proof(entries[0].seq if entries else Seq(0))

    async def _pages(self, where: MemoryFilter) -> AsyncIterator[list[Memory]]:
        after: Seq | None = None
        while page := await self._journal.kept(where, known_before_ns=None, after=after, limit=PAGE_LEN):
            yield page
            after = page[-1].seq

    async def _choose(self, page: Sequence[Memory], choice: _Choice, book: PolicyBook, caller: Caller) -> bool:
        """Take what may be forgotten; return False when the order is full and something was left out."""
        present = await self._journal.all_versions([memory.id for memory in page])
        for memory in page:
            versions = present.get(memory.id, [])
            if not versions or memory.id in choice.chosen:
                continue
            steps = [step for step in await self._steps_of(memory) if step[-1].id not in choice.chosen]
            choice.scanned += 1 + len(steps)
            objections = {_objection(each, book, caller) for each in (versions, *steps)} - {None}
            if objections:
                choice.stays["held" if "held" in objections else "foreign"] += 1
            elif len(choice.chosen) + 1 + len(steps) > FORGET_MAX:
                return False
            else:
                choice.chosen |= {each[-1].id: _outline(each[-1]) for each in (versions, *steps)}
                choice.steps += len(steps)
            if choice.scanned >= SCANNED_MAX:
                return False
        return True

    async def _steps_of(self, head: Memory) -> list[list[Memory]]:
        """Return every version of every step, without its text, when this is the head of a trajectory."""
        if head.kind != KIND_TRAJECTORY or await self._journal.trajectory(TrajectoryId(head.id)) is None:
            return []
        found: list[list[Memory]] = []
        after: Seq | None = None
        while steps := await self._journal.steps(TrajectoryId(head.id), after=after, limit=PAGE_LEN):
            present = await self._journal.all_versions([step.id for step in steps])
            found += [[_outline(version) for version in versions] for versions in present.values()]
            after = Seq(steps[-1].position)
            if len(found) > FORGET_MAX:
                msg = f"trajectory {head.id} has more than {FORGET_MAX} steps"
                raise InvalidInput(msg, field="id", hint="forget its steps first, in rounds, with a filter by time")
        return found

    def _kept(self, choice: _Choice, where: MemoryFilter, caller: Caller, *, is_complete: bool) -> ForgetPreview:
        now_ns = self._clock.now_ns()
        chosen = list(choice.chosen.values())
        preview_id, expires_at_ns = uuid.uuid4().hex, now_ns + PREVIEW_S * NS_PER_S
        for known, preview in list(self._previews.items()):
            if preview.expires_at_ns <= now_ns or len(self._previews) >= PREVIEWS_MAX:
                del self._previews[known]
        versions = {memory.id: memory.version for memory in chosen}
        self._previews[preview_id] = _Preview(versions, where, _who(caller), expires_at_ns)
        times = [memory.ts_event_ns for memory in chosen]
        return ForgetPreview(
            preview_id=preview_id,
            expires_at_ns=expires_at_ns,
            count=len(chosen),
            namespaces=dict(Counter(memory.namespace for memory in chosen).most_common()),
            kinds=dict(Counter(memory.kind for memory in chosen).most_common()),
            steps=choice.steps,
            pinned=sum(memory.pinned for memory in chosen),
            held=choice.stays["held"],
            foreign=choice.stays["foreign"],
            oldest_ns=min(times, default=None),
            newest_ns=max(times, default=None),
            is_complete=is_complete,
        )


def _outline(memory: Memory) -> Memory:
    """Return the memory without what it says: ten thousand texts are too much to hold at once."""
    return replace(memory, content="", tags=(), metadata={})


def _objection(versions: Sequence[Memory], book: PolicyBook, caller: Caller) -> Objection | None:
    """Return why this caller may not forget the memory. An agent may forget what it wrote first, where it may write."""
    last = versions[-1]
    if book.of(last.namespace).holds:
        return "held"
    if caller.role == "operator":
        return None
    is_own = versions[0].provenance.agent == caller.agent
    return None if is_own and book.may_write(caller, last.namespace) else "foreign"


def _check_may_forget(versions: Sequence[Memory], book: PolicyBook, caller: Caller) -> None:
    """Raises: Refused."""
    last = versions[-1]
    match _objection(versions, book, caller):
        case "held":
            msg = f"memory {last.id} is in {last.namespace}, which is under legal hold: nothing is forgotten there"
            lifts = "records of the runtime are kept for ever" if is_reserved(last.namespace) else None
            raise Refused(msg, field="id", hint=lifts or "the operator lifts it: memmcp namespace set ...")
        case "foreign":
            msg = f"memory {last.id} was written by {versions[0].provenance.agent or 'somebody else'}"
            hint = "an agent forgets what it wrote itself; ask the operator for the rest: memmcp forget ID"
            raise Refused(msg, field="id", hint=hint)
        case None:
            return


def _check_role(caller: Caller) -> None:
    if caller.role == "viewer":
        msg = "a viewer may search and read, not forget"
        raise Refused(msg, hint="connect with an agent's or an operator's token")


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_LENGTH_MAX:
        msg = f"reason has {len(reason)} characters; allowed are 1 to {REASON_LENGTH_MAX}, not all blank"
        raise InvalidInput(msg, field="reason")


def _outdated(what: str) -> Refused:
    return Refused(f"{what} since the preview: nothing was forgotten", field="preview_id", hint="preview again")


def _who(caller: Caller) -> tuple[str, str]:
    return caller.role, caller.agent


def _chunks(memory_ids: Sequence[MemoryId], length: int) -> Iterator[Sequence[MemoryId]]:
    for start in range(0, len(memory_ids), length):
        yield memory_ids[start : start + length]
