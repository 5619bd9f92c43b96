"""Trajectories page by page."""

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import a_draft

from memmcp_server.domain.identifiers import Namespace, TrajectoryId
from memmcp_server.domain.trajectory import OpenTrajectory
from memmcp_server.errors import InvalidInput, NotFound
from memmcp_server.services.policies import Policies
from memmcp_server.services.trajectories import Trajectories

pytestmark = pytest.mark.anyio


async def opened(count: int) -> Trajectories:
    journal = MemoryJournal(ManualClock())
    for number in range(count):
        command = OpenTrajectory(TrajectoryId(f"t:{number}"), Namespace("team/x"), "trade", "BONK", "open", number // 2)
        await journal.commit([command, *(a_draft(f"{number}.{n}", trajectory_id=f"t:{number}") for n in range(5))])
    return Trajectories(journal, Policies(journal, ManualClock()))


@pytest.mark.requirement("M6")
async def test_steps_are_read_page_by_page_to_the_end() -> None:
    trajectories = await opened(2)
    first = await trajectories.get("t:1", limit=3)
    assert [step.content for step in first.steps] == ["1.0", "1.1", "1.2"]
    assert first.trajectory.steps == 5
    assert first.next_after == first.steps[-1].seq
    last = await trajectories.get("t:1", after=first.next_after, limit=3)
    assert [step.content for step in last.steps] == ["1.3", "1.4"]
    assert last.next_after is None
    exact = await trajectories.get("t:1", limit=5)
    assert exact.next_after is None


@pytest.mark.requirement("M6")
async def test_the_cursor_leads_through_all_trajectories_once() -> None:
    trajectories = await opened(7)
    seen: list[str] = []
    cursor = None
    while True:
        page = await trajectories.page(namespace="team/", kind="trade", is_open=True, cursor=cursor, limit=2)
        seen += [each.id for each in page.trajectories]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [f"t:{number}" for number in reversed(range(7))]


async def test_an_unknown_trajectory_is_named() -> None:
    with pytest.raises(NotFound, match="nope"):
        await (await opened(0)).get("nope")


@pytest.mark.parametrize("cursor", ["", "x", "12", ":t", "-1:t", "99999999999999999999:t", "1e3:t"])
async def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await (await opened(0)).page(cursor=cursor)
    assert caught.value.field == "cursor"


async def test_limits_are_bounded() -> None:
    trajectories = await opened(1)
    for limit in (0, 1_001):
        with pytest.raises(InvalidInput):
            await trajectories.get("t:0", limit=limit)
    with pytest.raises(InvalidInput):
        await trajectories.page(limit=201)
    with pytest.raises(InvalidInput):
        await trajectories.get("")
