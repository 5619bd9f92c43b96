"""The policies that hold: an acknowledged one does at once, whatever was being read meanwhile."""

import anyio
import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.services.policies import FRESH_S, Policies

pytestmark = pytest.mark.anyio
OPERATOR = Caller("operator", "", "cli", "operator", "cli")


class SlowJournal(MemoryJournal):
    """Its first reader gets what it has read only when it is let go."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.has_read, self.may_go_on = anyio.Event(), anyio.Event()

    async def policies(self) -> dict[str, JsonObject]:
        found = await super().policies()
        if not self.has_read.is_set():
            self.has_read.set()
            await self.may_go_on.wait()
        return found


@pytest.mark.requirement("M5")
async def test_a_reader_of_before_a_change_does_not_bring_the_old_policies_back() -> None:
    clock = ManualClock()
    journal = SlowJournal(clock)
    policies = Policies(journal, clock)
    seen: list[bool] = []

    async def read() -> None:
        seen.append("private" in (await policies.book()).set_by_operator)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await journal.has_read.wait()
            await policies.set("private", {"readers": ["trae"]}, OPERATOR)
            journal.may_go_on.set()
    assert seen == [True]
    assert "private" in (await policies.book()).set_by_operator


async def test_what_another_daemon_sets_is_noticed_within_the_time_declared() -> None:
    clock = ManualClock()
    journal = MemoryJournal(clock)
    here, there = Policies(journal, clock), Policies(journal, clock)
    assert "private" not in (await here.book()).set_by_operator
    await there.set("private", {"readers": ["trae"]}, OPERATOR)
    clock.advance(FRESH_S + 0.1)
    assert "private" in (await here.book()).set_by_operator
