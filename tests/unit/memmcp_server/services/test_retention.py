"""Retention forgets what a policy says, in rounds, and nothing by accident."""

from pathlib import Path
from typing import Any

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import a_draft

from memmcp_server.adapters.back_ups import DeskFiles
from memmcp_server.domain.lifecycle import SetPolicy, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.services import retention as module
from memmcp_server.services.copies import Copies
from memmcp_server.services.erasure import Erasure
from memmcp_server.services.forgetting import Forgetting
from memmcp_server.services.policies import Policies
from memmcp_server.services.retention import Retention

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M8")]
ME = Provenance(agent="operator")
DAY_S = 86_400


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        self.policies = Policies(self.journal, self.clock)
        erasure = Erasure(
            self.journal, MemoryIndex(self.clock), Copies(self.journal, DeskFiles(Path("no such directory")))
        )
        forgetting = Forgetting(self.journal, self.policies, self.clock, erasure)
        self.retention = Retention(self.journal, self.policies, forgetting, self.clock)

    async def write(self, *contents: str, **fields: Any) -> None:
        await self.journal.commit([a_draft(content, **fields) for content in contents])

    async def rule(self, namespace: str, **policy: Any) -> None:
        await self.journal.commit([SetPolicy(namespace, policy, ME)])
        self.policies.refresh()

    async def left(self) -> set[str]:
        rows = await self.journal.kept(MemoryFilter(), known_before_ns=None, after=None, limit=1_000)
        return {memory.content for memory in rows if memory.kind != "trajectory"}


@pytest.fixture
def house() -> House:
    return House()


async def test_what_is_older_than_the_retention_goes_and_says_so_in_the_audit(house: House) -> None:
    await house.rule("log", retention_days=10)
    await house.write("old", namespace="log")
    await house.write("old elsewhere", namespace="team")
    house.clock.advance(10 * DAY_S)
    await house.write("new", namespace="log")
    assert await house.retention.round()
    assert await house.left() == {"old", "old elsewhere", "new"}  # ten days old is not older than ten days
    house.clock.advance(1)
    assert await house.retention.round()
    assert await house.left() == {"old elsewhere", "new"}
    [entry] = await house.journal.audit(action="forget", limit=9)
    assert (entry.reason, entry.agent, entry.namespace) == ("retention", "memmcp", "log")


async def test_the_last_version_counts(house: House) -> None:
    await house.rule("log", retention_days=10)
    [one] = await house.journal.commit([a_draft("old", namespace="log")])
    house.clock.advance(9 * DAY_S)
    await house.journal.commit([UpdateMemory(one.id, key="k", provenance=ME, content="renewed")])
    house.clock.advance(9 * DAY_S)
    await house.retention.round()
    assert await house.left() == {"renewed"}


async def test_pinned_held_and_unruled_memories_stay_expired_or_not(house: House) -> None:
    await house.rule("log/", retention_days=1)
    await house.rule("log/held", legal_hold=True)
    await house.rule("log/longer", retention_days=100)
    await house.write("pinned", namespace="log", pinned=True)
    await house.write("held", namespace="log/held")
    await house.write("longer", namespace="log/longer")
    await house.write("expired", namespace="team", expires_at_ns=house.clock.now_ns() + 1)
    await house.write("record", namespace="trading")
    await house.rule("trading", retention_days=1)
    await house.write("goes", namespace="log/deep")
    house.clock.advance(50 * DAY_S)
    assert await house.retention.round()
    assert await house.left() == {"pinned", "held", "longer", "expired", "record"}


async def test_a_trajectory_stays_as_long_as_one_of_its_steps(house: House) -> None:
    await house.rule("log", retention_days=10)
    await house.write("first", namespace="log", trajectory_id="t")
    house.clock.advance(9 * DAY_S)
    await house.write("second", namespace="log", trajectory_id="t")
    house.clock.advance(2 * DAY_S)
    await house.retention.round()
    assert await house.left() == {"second"}
    assert await house.journal.trajectories(namespace=None, kind=None, is_open=None, before_ns=None, limit=9)
    house.clock.advance(9 * DAY_S)
    await house.retention.round()
    assert await house.left() == set()
    assert await house.journal.count(MemoryFilter()) == 0


async def test_a_round_is_bounded_and_the_next_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_LEN", 10)
    monkeypatch.setattr(module, "ROUND_SCANNED_MAX", 20)
    await house.rule("log", retention_days=1)
    await house.write(*(f"pinned {n}" for n in range(25)), namespace="log", pinned=True)
    await house.write(*(f"note {n}" for n in range(10)), namespace="log")
    house.clock.advance(2 * DAY_S)
    assert not await house.retention.round()
    assert len(await house.left()) == 35
    assert await house.retention.round()
    assert len(await house.left()) == 25
    monkeypatch.setattr(module, "ROUND_FORGOTTEN_MAX", 5)
    await house.write(*(f"more {n}" for n in range(20)), namespace="log")
    house.clock.advance(2 * DAY_S)
    rounds = [await house.retention.round() for _ in range(8)]
    assert rounds[-1] or any(rounds)
    assert len(await house.left()) == 25
