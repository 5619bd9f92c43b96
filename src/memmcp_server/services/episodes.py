"""Agents' trajectories as they are written: opened, added to, closed with what came of them.

Repeating a call changes nothing. A trajectory is open once for the same words of the same agent; a step is known by its
key or its content; an end by its outcome. While the journal's server is away, steps of trajectories that this daemon
knows to be open are taken all the same; to open or close one needs the journal.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftLimits, check_namespace
from memmcp_server.domain.identifiers import JsonObject, MemoryId, TrajectoryId
from memmcp_server.domain.lifecycle import LinkKind, LinkMemories
from memmcp_server.domain.memory import Acknowledgement, Provenance, Trust, is_reserved
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory, Trajectory
from memmcp_server.domain.trajectory_drafts import (
    CloseFields,
    OpenFields,
    StepFields,
    derived_trajectory_id,
    make_close,
    make_lesson,
    make_open,
    make_step,
)
from memmcp_server.errors import IdempotencyConflict, InvalidInput, JournalUnavailable, NotFound, Refused
from memmcp_server.ports import Clock, Journal, JournalCommand, SecretScanner

from .memories import Memories
from .policies import Policies
from .secrets import refuse_secrets
from .trajectories import Trajectories

OPENED_AGAIN_MAX = 2**20
"""So often one agent may open a trajectory with the same words, one after the other."""

HEADS_MAX = 1_000
"""So many trajectories are remembered, those last used: their steps are taken while the journal's server is away."""


@dataclass(frozen=True, slots=True)
class Opened:
    """``outcome``: what one that was there already is closed with, None while it is open."""

    id: TrajectoryId
    namespace: str
    acknowledgement: Acknowledgement
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Stepped:
    namespace: str
    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True)
class Closed:
    trajectory: Trajectory
    acknowledgement: Acknowledgement
    outcome: str
    lesson: Acknowledgement | None


class Episodes:
    def __init__(
        self,
        journal: Journal,
        memories: Memories,
        policies: Policies,
        scanner: SecretScanner,
        clock: Clock,
        limits: DraftLimits | None = None,
    ) -> None:
        self._journal = journal
        self._memories = memories
        self._trajectories = Trajectories(journal, policies)
        self._policies = policies
        self._scanner = scanner
        self._clock = clock
        self._limits = limits or DraftLimits()
        self._heads: OrderedDict[TrajectoryId, Trajectory] = OrderedDict()

    async def open(self, fields: OpenFields, caller: Caller, *, session: str = "") -> Opened:
        """Begin a trajectory. One that the same agent has open under the same words is returned as it is.

        Raises: InvalidInput, PayloadTooLarge, IdempotencyConflict (the id or key stands for another one), Refused,
        SecretRefused, JournalBusy, JournalUnavailable, StorageFull.
        """
        try:
            return await self._open(fields, caller, session)
        except JournalUnavailable as error:
            if not self._memories.keeps_writes:
                raise
            hint = "repeat in a moment; memory_write with a trajectory_id of your own is taken meanwhile, and opens it"
            raise JournalUnavailable(error.message, hint=hint) from error

    async def _open(self, fields: OpenFields, caller: Caller, session: str) -> Opened:
        check_namespace(fields.namespace)
        book = await self._policies.book()
        _check_may_write(fields.namespace, book, caller, "namespace")
        provenance = _provenance(caller, session, book, fields.namespace)
        # Checked first: an id is only made of what can be stored.
        command = make_open(fields, provenance, self._limits, self._clock.now_ns())
        refuse_secrets(self._scanner, _texts_of(fields, caller, session))
        trajectory_id = await self._id_for(fields, caller.agent)
        held = await self._journal.trajectory(trajectory_id)
        if held is not None:
            _check_same(held, fields, book, caller)
        command = replace(command, id=trajectory_id)
        [acknowledgement] = await self._journal.commit([command])
        self._remember(held or _head_of(command))
        return Opened(trajectory_id, fields.namespace, acknowledgement, None if held is None else held.outcome)

    async def step(self, trajectory_id: str, fields: StepFields, caller: Caller, *, session: str = "") -> Stepped:
        """Add a step to an open trajectory.

        While the journal's server is away it is kept on this machine, if the trajectory was open when this daemon last
        saw it; whether it still may be added is asked when it is carried.

        Raises: as ``open``; NotFound (the trajectory, or what is cited).
        """
        try:
            trajectory = await self._writable(trajectory_id, caller)
        except JournalUnavailable as error:
            trajectory = self._last_seen(trajectory_id, caller, error)
        if trajectory.closed_at_ns is not None:
            msg = f"trajectory {trajectory.id} is closed with the outcome {trajectory.outcome!r}"
            raise InvalidInput(msg, field="id", hint="open a new one, or write a memory that cites this one")
        _check_cites_others(trajectory, fields.cites)
        provenance = Provenance(agent=caller.agent, session=session or caller.session, tool=caller.tool)
        draft = make_step(fields, trajectory, provenance, self._limits, self._clock.now_ns())
        return Stepped(trajectory.namespace, await self._memories.write(draft, caller))

    async def close(self, trajectory_id: str, fields: CloseFields, caller: Caller, *, session: str = "") -> Closed:
        """End a trajectory with what came of it, and keep its lesson, in one commit.

        What it and its steps cited gains or loses credit with that. Without a text an extract of the steps says what
        happened.

        Raises: as ``step``; IdempotencyConflict (it is closed with another outcome, reward or lesson).
        """
        trajectory = await self._writable(trajectory_id, caller)
        self._memories.check_carried(trajectory.id)
        _check_cites_others(trajectory, fields.cites)
        if fields.reward is None and trajectory.outcome == fields.outcome:
            # A repeat that leaves the reward out means the one that is there, also in what its lesson says.
            fields = replace(fields, reward=trajectory.reward, reward_unit=trajectory.reward_unit)
        book = await self._policies.book()
        provenance = _provenance(caller, session, book, trajectory.namespace)
        now_ns = self._clock.now_ns()
        retold: Sequence[str] = ()
        if fields.text is None:
            retold = (await self._trajectories.closing_recap(trajectory)).body
        closing = make_close(fields, trajectory, retold, provenance, self._limits, now_ns)
        commands: list[JournalCommand] = [closing]
        if fields.lesson is not None:
            commands.append(make_lesson(fields.lesson, closing, trajectory, self._limits, now_ns))
        refuse_secrets(self._scanner, _texts_of(fields, caller, session))
        if trajectory.closed_at_ns is not None:
            _check_same_end(trajectory, closing)
        else:
            cited = await self._cited(fields.cites, book, caller)
            commands = [*self._links(trajectory, cited, provenance), *commands]
        acknowledged = await self._journal.commit(commands)
        acknowledged = acknowledged[commands.index(closing) :]
        self._heads.pop(trajectory.id, None)
        lesson = acknowledged[1] if fields.lesson is not None else None
        return Closed(trajectory, acknowledged[0], closing.outcome, lesson)

    def _links(self, trajectory: Trajectory, cited: Sequence[MemoryId], provenance: Provenance) -> list[JournalCommand]:
        head = MemoryId(trajectory.id)
        return [LinkMemories(LinkKind.CITES, head, each, provenance, trajectory.id) for each in cited]

    async def _id_for(self, fields: OpenFields, agent: str) -> TrajectoryId:
        """Return the given id, that of the key, or that of the first trajectory of these words that is not closed.

        The ids of such trajectories are numbered without a gap, so that halving finds the last one.
        """
        if fields.id is not None:
            return TrajectoryId(fields.id)
        if fields.key is not None:
            return derived_trajectory_id(fields, agent, 0)
        number = await self._opened_before(fields, agent)
        if number:
            newest = await self._journal.trajectory(derived_trajectory_id(fields, agent, number - 1))
            if newest is not None and newest.closed_at_ns is None:
                return newest.id
        return derived_trajectory_id(fields, agent, number)

    async def _opened_before(self, fields: OpenFields, agent: str) -> int:
        """Return how many trajectories the agent has opened with these words. Raises: InvalidInput (too many)."""

        async def is_known(number: int) -> bool:
            return await self._journal.trajectory(derived_trajectory_id(fields, agent, number)) is not None

        bound = 1
        while await is_known(bound - 1):
            bound *= 2
            if bound > OPENED_AGAIN_MAX:
                msg = f"a trajectory with this title was opened more than {bound // 2 - 1} times"
                raise InvalidInput(msg, field="title", hint="give it an id, or a title of its own")
        low, high = bound // 2, bound - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if await is_known(middle) else (low, middle)
        return low

    async def _writable(self, trajectory_id: str, caller: Caller) -> Trajectory:
        """Return the trajectory, if the caller may read it and write to it. Raises: InvalidInput, NotFound, Refused."""
        trajectory = await self._trajectories.head(trajectory_id, caller)
        _check_may_write(trajectory.namespace, await self._policies.book(), caller, "id")
        self._remember(trajectory)
        return trajectory

    def _remember(self, trajectory: Trajectory) -> None:
        self._heads[trajectory.id] = trajectory
        self._heads.move_to_end(trajectory.id)
        while len(self._heads) > HEADS_MAX:
            self._heads.popitem(last=False)

    def _last_seen(self, trajectory_id: str, caller: Caller, away: JournalUnavailable) -> Trajectory:
        """Return the trajectory as this daemon last saw it, by the policies that were last known.

        Raises: Refused; JournalUnavailable (nothing keeps writes, or it was not seen here).
        """
        trajectory, book = self._heads.get(TrajectoryId(trajectory_id)), self._policies.last_known()
        if not self._memories.keeps_writes:
            raise away
        if trajectory is None or not book.may_read(caller, trajectory.namespace):
            hint = "repeat in a moment; memory_write with this trajectory_id is taken meanwhile"
            raise JournalUnavailable(away.message, hint=hint) from away
        _check_may_write(trajectory.namespace, book, caller, "id")
        return trajectory

    async def _cited(self, cites: Sequence[str], book: PolicyBook, caller: Caller) -> list[MemoryId]:
        """Return the ids, if all of them are there for the caller. Raises: NotFound."""
        ids = [MemoryId(each) for each in dict.fromkeys(cites)]
        await require_readable(self._journal, ids, book, caller)
        return ids


async def require_readable(journal: Journal, ids: Sequence[MemoryId], book: PolicyBook, caller: Caller) -> None:
    """Refuse to cite what is not there, or not for the caller. Raises: NotFound naming the first."""
    present = await journal.all_versions(ids) if ids else {}
    for memory_id in ids:
        versions = present.get(memory_id)
        if not versions or not book.may_read(caller, versions[-1].namespace):
            msg = f"there is no memory {memory_id[:128]} that could be cited"
            raise NotFound(msg, field="cites", hint="search for its words; a write and a search return ids")


def _head_of(command: OpenTrajectory) -> Trajectory:
    """Return a trajectory as it stands when it was opened just now."""
    return Trajectory(
        id=command.id,
        namespace=command.namespace,
        kind=command.kind,
        title=command.title,
        tags=command.tags,
        metadata=command.metadata,
        agent=command.provenance.agent,
        opened_at_ns=command.ts_event_ns,
        closed_at_ns=None,
        outcome=None,
        reward=None,
        reward_unit="",
        steps=0,
    )


def _texts_of(fields: OpenFields | CloseFields, caller: Caller, session: str) -> JsonObject:
    """Return every text that would be stored, by the name of its field."""
    said: JsonObject = {"agent": caller.agent, "session": session, "metadata": dict(fields.metadata)}
    if isinstance(fields, OpenFields):
        return {
            **said,
            "title": fields.title,
            "tags": list(fields.tags),
            "id": fields.id,
            "idempotency_key": fields.key,
        }
    names = ("outcome", "reward_unit", "text", "lesson")
    return {**said, **{name: getattr(fields, name) for name in names}}


def _provenance(caller: Caller, session: str, book: PolicyBook, namespace: str) -> Provenance:
    return Provenance(
        agent=caller.agent,
        session=session or caller.session,
        tool=caller.tool,
        trust=book.of(namespace).trust or Trust.AGENT,
    )


def _check_may_write(namespace: str, book: PolicyBook, caller: Caller, field: str) -> None:
    """Raises: Refused."""
    if caller.role == "viewer":
        msg = "a viewer may search and read, not write"
        raise Refused(msg, hint="connect with an agent's or an operator's token")
    if caller.role == "operator":
        return
    if is_reserved(namespace):
        msg = f"trajectories of {namespace} are the runtime's: agents read them, only the desk writes them"
        raise Refused(msg, field=field, hint="open one in a namespace of yours, and cite the desk's by its id")
    if not book.may_write(caller, namespace):
        msg = f"{caller.agent or 'the caller'} may not write in {namespace}"
        raise Refused(msg, field=field, hint="use another namespace; memmcp namespace list NAME tells who may")


def _check_cites_others(trajectory: Trajectory, cites: Sequence[str]) -> None:
    """Raises: InvalidInput: what rests on itself would earn its own credit."""
    if trajectory.id in cites:
        msg = f"trajectory {trajectory.id} cannot cite itself"
        raise InvalidInput(msg, field="cites", hint="cite the memories or earlier trajectories it rests on")


def _check_same(held: Trajectory, fields: OpenFields, book: PolicyBook, caller: Caller) -> None:
    """Raises: IdempotencyConflict where the id stands for another trajectory."""
    if (held.namespace, held.kind, held.title) == (fields.namespace, fields.kind, fields.title):
        return
    name, value = ("id", fields.id) if fields.id is not None else ("idempotency_key", fields.key)
    stands = "another trajectory"
    if book.may_read(caller, held.namespace):
        stands = f"the {held.kind} {held.title!r} in {held.namespace}"
    msg = f"{name} {value!r} already stands for {stands}, not for the {fields.kind} {fields.title!r}"
    raise IdempotencyConflict(msg, field=name, hint="leave it out to open a new one")


def _check_same_end(held: Trajectory, closing: CloseTrajectory) -> None:
    """Raises: IdempotencyConflict where the reward is another; another outcome is the journal's to refuse."""
    if closing.reward is None or held.outcome != closing.outcome:
        return
    if (held.reward, held.reward_unit) != (closing.reward, closing.reward_unit):
        there = f"{held.reward} {held.reward_unit}".strip()
        given = f"{closing.reward} {closing.reward_unit}".strip()
        msg = f"trajectory {held.id} is closed with the reward {there}; it cannot be closed with {given}"
        raise IdempotencyConflict(msg, field="reward", hint="write a new memory about it instead")
