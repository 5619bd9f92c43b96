"""Trajectories as they are read: one with its steps, or a page of them."""

from memmcp_server.domain.drafts import check_trajectory_id
from memmcp_server.domain.identifiers import Seq, TrajectoryId
from memmcp_server.domain.times import NS_MAX
from memmcp_server.domain.trajectory import Trajectory, TrajectoryList, TrajectorySteps
from memmcp_server.errors import InvalidInput, NotFound
from memmcp_server.ports import Journal

STEPS_LIMIT_MAX = 1_000
PAGE_LIMIT_MAX = 200


class Trajectories:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def get(self, trajectory_id: str, after: Seq | None = None, limit: int = 200) -> TrajectorySteps:
        """Return the trajectory with up to ``limit`` of its steps beyond the position ``after``, in journal order.

        Raises: InvalidInput, NotFound.
        """
        check_trajectory_id(trajectory_id)
        _check_limit(limit, STEPS_LIMIT_MAX)
        known = TrajectoryId(trajectory_id)
        trajectory = await self._journal.trajectory(known)
        if trajectory is None:
            msg = f"there is no trajectory {trajectory_id}"
            raise NotFound(msg, field="trajectory_id", hint="list them with GET /trajectories, or search for a word")
        steps = await self._journal.steps(known, after=after, limit=limit + 1)
        more = len(steps) > limit
        return TrajectorySteps(trajectory, tuple(steps[:limit]), Seq(steps[limit - 1].position) if more else None)

    async def page(
        self,
        *,
        namespace: str | None = None,
        kind: str | None = None,
        is_open: bool | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> TrajectoryList:
        """Return trajectories, newest opened first. ``cursor`` is the ``next_cursor`` of the page before.

        A namespace ending in '/' covers its subtree.

        Raises: InvalidInput.
        """
        _check_limit(limit, PAGE_LIMIT_MAX)
        before_ns, before_id = (None, None) if cursor is None else _parsed_cursor(cursor)
        found = await self._journal.trajectories(
            namespace=namespace, kind=kind, is_open=is_open, before_ns=before_ns, before_id=before_id, limit=limit + 1
        )
        more = len(found) > limit
        return TrajectoryList(tuple(found[:limit]), _cursor(found[limit - 1]) if more else None)


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
