"""Trajectories as they are read: one with its steps, one in a few lines, or a page of them."""

from dataclasses import replace

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import check_trajectory_id
from memmcp_server.domain.identifiers import MemoryId, Seq, TrajectoryId
from memmcp_server.domain.lifecycle import LinkKind
from memmcp_server.domain.memory import Memory, MemoryFilter
from memmcp_server.domain.policy import PolicyBook
from memmcp_server.domain.recap import CLOSING_TOKENS_MAX, RECAP_TOKENS_MAX, Recap, recap
from memmcp_server.domain.times import NS_MAX
from memmcp_server.domain.trajectory import Trajectory, TrajectoryList, TrajectorySteps
from memmcp_server.errors import InvalidInput, NotFound
from memmcp_server.ports import Journal

from .policies import Policies

STEPS_LIMIT_MAX = 1_000
PAGE_LIMIT_MAX = 200
RECAP_READ_MAX = 500
"""So many of the first and so many of the last steps are looked at for a recap; those between are counted."""

KINDS_COUNTED_MAX = 100


class Trajectories:
    """What a caller may not read is not there for it; no caller: whoever asks may read everything."""

    def __init__(self, journal: Journal, policies: Policies) -> None:
        self._journal = journal
        self._policies = policies

    async def get(
        self, trajectory_id: str, after: Seq | None = None, limit: int = 200, caller: Caller | None = None
    ) -> TrajectorySteps:
        """Return the trajectory with up to ``limit`` of its steps beyond the position ``after``, in journal order.

        Steps in a namespace that the caller may not read are left out.

        Raises: InvalidInput, NotFound.
        """
        _check_limit(limit, STEPS_LIMIT_MAX)
        book = await self._policies.book()
        trajectory = await self._readable(trajectory_id, book, caller)
        steps = await self._journal.steps(trajectory.id, after=after, limit=limit + 1)
        more = len(steps) > limit
        seen = tuple(step for step in steps[:limit] if caller is None or book.may_read(caller, step.namespace))
        return TrajectorySteps(trajectory, seen, Seq(steps[limit - 1].position) if more else None)

    async def head(self, trajectory_id: str, caller: Caller | None = None) -> Trajectory:
        """Return the trajectory without its steps. Raises: InvalidInput, NotFound."""
        return await self._readable(trajectory_id, await self._policies.book(), caller)

    async def recap(self, trajectory_id: str, caller: Caller | None = None) -> tuple[Trajectory, Recap]:
        """Return the trajectory and what happened in it, in a few lines.

        Raises: InvalidInput, NotFound.
        """
        book = await self._policies.book()
        trajectory = await self._readable(trajectory_id, book, caller)
        where = MemoryFilter(trajectory_id=trajectory.id, hidden=() if caller is None else book.hidden_from(caller))
        return trajectory, await self._retold(trajectory, where, RECAP_TOKENS_MAX)

    async def closing_recap(self, trajectory: Trajectory) -> Recap:
        """Return what is written into the trajectory's memory when it is closed.

        Only steps of its own namespace are told: whoever may read the one may not be allowed to read others.
        """
        where = MemoryFilter(trajectory_id=trajectory.id, namespace=trajectory.namespace)
        return await self._retold(trajectory, where, CLOSING_TOKENS_MAX)

    async def _retold(self, trajectory: Trajectory, where: MemoryFilter, tokens_max: int) -> Recap:
        steps = await self._ends(trajectory, where)
        counts = await self._journal.counts(where, "kind", limit=KINDS_COUNTED_MAX)
        kinds = {count.name: count.number for count in counts}
        seen = replace(trajectory, steps=await self._journal.count(where))
        return recap(seen, steps, kinds=kinds, cited=await self._cited(steps), tokens_max=tokens_max)

    async def page(
        self,
        *,
        namespace: str | None = None,
        kind: str | None = None,
        is_open: bool | None = None,
        cursor: str | None = None,
        limit: int = 50,
        caller: Caller | None = None,
    ) -> TrajectoryList:
        """Return trajectories, newest opened first. ``cursor`` is the ``next_cursor`` of the page before.

        A namespace ending in '/' covers its subtree.

        Raises: InvalidInput.
        """
        _check_limit(limit, PAGE_LIMIT_MAX)
        before_ns, before_id = (None, None) if cursor is None else _parsed_cursor(cursor)
        found = await self._journal.trajectories(
            namespace=namespace,
            kind=kind,
            is_open=is_open,
            before_ns=before_ns,
            before_id=before_id,
            limit=limit + 1,
            hidden=() if caller is None else (await self._policies.book()).hidden_from(caller),
        )
        more = len(found) > limit
        return TrajectoryList(tuple(found[:limit]), _cursor(found[limit - 1]) if more else None)

    async def _readable(self, trajectory_id: str, book: PolicyBook, caller: Caller | None) -> Trajectory:
        check_trajectory_id(trajectory_id)
        trajectory = await self._journal.trajectory(TrajectoryId(trajectory_id))
        if trajectory is None or (caller is not None and not book.may_read(caller, trajectory.namespace)):
            msg = f"there is no trajectory {trajectory_id}"
            raise NotFound(msg, field="trajectory_id", hint="list them with GET /trajectories, or search for a word")
        return trajectory

    async def _ends(self, trajectory: Trajectory, where: MemoryFilter) -> list[Memory]:
        """Return the first and the last steps under these conditions, in order; all of them where they are few."""
        first = await self._journal.steps(trajectory.id, after=None, limit=RECAP_READ_MAX)
        ends = {step.id: step for step in first if where.admits(step)}
        if trajectory.steps > RECAP_READ_MAX:
            newest = await self._journal.page(where, after=None, limit=RECAP_READ_MAX, newest_first=True)
            ends |= {step.id: step for step in newest}
        return sorted(ends.values(), key=lambda step: step.position)

    async def _cited(self, steps: list[Memory]) -> dict[MemoryId, int]:
        """Return how often each step is cited."""
        own = {step.id for step in steps}
        cited: dict[MemoryId, int] = {}
        for link in await self._journal.links(sorted(own)):
            if link.kind is LinkKind.CITES and link.to_id in own:
                cited[link.to_id] = cited.get(link.to_id, 0) + 1
        return cited


def _check_limit(limit: int, limit_max: int) -> None:
    if not 1 <= limit <= limit_max:
        msg = f"limit is {limit}; allowed are 1 to {limit_max}"
        raise InvalidInput(msg, field="limit")


def _cursor(last: Trajectory) -> str:
    return f"{last.opened_at_ns}:{last.id}"


def _parsed_cursor(cursor: str) -> tuple[int, TrajectoryId]:
    opened_at, separator, trajectory_id = cursor.partition(":")
    is_time = opened_at.isascii() and opened_at.isdecimal() and len(opened_at) < 20 and int(opened_at) <= NS_MAX
    if not (separator and trajectory_id and is_time):
        msg = f"cursor is {cursor[:64]!a}; pass the next_cursor of an earlier page unchanged"
        raise InvalidInput(msg, field="cursor")
    return int(opened_at), TrajectoryId(trajectory_id)
