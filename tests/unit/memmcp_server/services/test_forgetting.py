"""Forgetting: who may, what goes along, what a preview binds, and what the audit keeps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import SECOND_NS, T0_NS, a_draft

from memmcp_server.adapters.back_ups import DeskFiles
from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId, TrajectoryId
from memmcp_server.domain.lifecycle import MergeMemory, SetPolicy, UpdateMemory
from memmcp_server.domain.memory import MemoryFilter, Provenance
from memmcp_server.domain.trajectory import CloseTrajectory
from memmcp_server.errors import InvalidInput, NotFound, Refused
from memmcp_server.services import forgetting as module
from memmcp_server.services.copies import Copies
from memmcp_server.services.erasure import Erasure
from memmcp_server.services.forgetting import PREVIEW_S, PREVIEWS_MAX, Forgetting
from memmcp_server.services.policies import Policies

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M8")]
CLAUDE = Caller("claude", "s-1", "memory_forget", "agent", "stdio")
CURSOR = Caller("cursor", "s-2", "memory_forget", "agent", "stdio")
OPERATOR = Caller("cli", "", "cli", "operator", "cli")
ME = Provenance(agent="test")
WHY = "asked for"


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        self.policies = Policies(self.journal, self.clock)
        self.index = MemoryIndex(self.clock)
        erasure = Erasure(
            self.journal, self.index, Copies(self.journal, DeskFiles(Path("no such directory"))), answer_wait_s=0.01
        )
        self.forgetting = Forgetting(self.journal, self.policies, self.clock, erasure)

    async def write(self, *contents: str, **fields: Any) -> list[MemoryId]:
        return [each.id for each in await self.journal.commit([a_draft(content, **fields) for content in contents])]

    async def left(self) -> set[str]:
        rows = await self.journal.kept(MemoryFilter(), known_before_ns=None, after=None, limit=1_000)
        return {memory.content for memory in rows}

    async def rule(self, namespace: str, **policy: Any) -> None:
        await self.journal.commit([SetPolicy(namespace, policy, ME)])
        self.policies.refresh()


@pytest.fixture
def house() -> House:
    return House()


async def test_an_agent_forgets_what_it_wrote_and_says_why(house: House) -> None:
    gone, _ = await house.write("wrong number", "kept")
    forgotten = await house.forgetting.forget([gone], "was never true", CLAUDE)
    assert (forgotten.count, forgotten.already, forgotten.ids) == (1, 0, (gone,))
    assert await house.left() == {"kept"}
    [entry] = await house.journal.audit(action="forget", limit=9)
    assert (entry.memory_id, entry.agent, entry.reason, entry.kind) == (gone, "claude", "was never true", "note")
    assert "wrong" not in str(entry)


async def test_what_was_forgotten_before_is_a_success_and_what_never_was_is_not(house: House) -> None:
    [gone] = await house.write("a")
    await house.forgetting.forget([gone], WHY, CLAUDE)
    again = await house.forgetting.forget([gone], WHY, CLAUDE)
    assert (again.count, again.already, again.seq) == (0, 1, None)
    with pytest.raises(NotFound, match="no memory nobody"):
        await house.forgetting.forget(["nobody"], WHY, CLAUDE)
    assert len(await house.journal.audit(action="forget", limit=9)) == 1


async def test_another_agents_memory_is_the_operators_to_forget(house: House) -> None:
    [mine] = await house.write("a")
    await house.journal.commit([UpdateMemory(mine, key="k", provenance=Provenance(agent="cursor"), content="b")])
    with pytest.raises(Refused, match="written by claude"):
        await house.forgetting.forget([mine], WHY, CURSOR)
    assert await house.left() == {"b"}
    assert (await house.forgetting.forget([mine], WHY, OPERATOR)).count == 1


async def test_a_viewer_forgets_nothing(house: House) -> None:
    [mine] = await house.write("a")
    viewer = replace(CLAUDE, role="viewer")
    for order in (house.forgetting.forget([mine], WHY, viewer), house.forgetting.forget_previewed("p", WHY, viewer)):
        with pytest.raises(Refused, match="viewer"):
            await order
    with pytest.raises(Refused, match="viewer"):
        await house.forgetting.preview(MemoryFilter(namespace="default"), viewer)


@pytest.mark.parametrize("namespace", ["trading", "memory_bank", "strategies/momentum"])
async def test_records_of_the_runtime_are_kept_also_from_the_operator(house: House, namespace: str) -> None:
    [record] = await house.write("sold at a loss", namespace=namespace)
    await house.rule(namespace, legal_hold=False)
    for caller in (CLAUDE, OPERATOR):
        with pytest.raises(Refused, match="legal hold"):
            await house.forgetting.forget([record], WHY, caller)
    preview = await house.forgetting.preview(MemoryFilter(namespace=namespace), OPERATOR)
    assert (preview.count, preview.held) == (0, 1)


async def test_the_operator_lifts_a_hold_of_his_own(house: House) -> None:
    [record] = await house.write("contract", namespace="legal")
    await house.rule("legal", legal_hold=True)
    with pytest.raises(Refused, match="legal hold") as refused:
        await house.forgetting.forget([record], WHY, OPERATOR)
    assert "namespace set" in str(refused.value.hint)
    await house.rule("legal", legal_hold=False)
    assert (await house.forgetting.forget([record], WHY, OPERATOR)).count == 1


async def test_an_agent_forgets_only_where_it_may_write_and_read(house: House) -> None:
    written, hidden = *(await house.write("a", namespace="team")), *(await house.write("b", namespace="closed"))
    await house.rule("team", writers=["cursor"])
    await house.rule("closed", readers=["cursor"])
    with pytest.raises(Refused):
        await house.forgetting.forget([written], WHY, CLAUDE)
    with pytest.raises(NotFound):
        await house.forgetting.forget([hidden], WHY, CLAUDE)
    preview = await house.forgetting.preview(MemoryFilter(agent="claude"), CLAUDE)
    assert (preview.count, preview.foreign) == (0, 1)


async def test_one_that_may_not_go_keeps_all_of_an_order(house: House) -> None:
    [mine], [theirs] = await house.write("mine"), await house.write("theirs", agent="cursor")
    with pytest.raises(Refused):
        await house.forgetting.forget([mine, theirs], WHY, CLAUDE)
    assert await house.left() == {"mine", "theirs"}


async def test_a_trajectory_takes_its_steps_along_and_the_preview_says_so(house: House) -> None:
    await house.write("signal", "order", trajectory_id="t", namespace="desk")
    await house.write("beside", namespace="desk")
    await house.journal.commit([CloseTrajectory(TrajectoryId("t"), "loss", "it fell", T0_NS)])
    preview = await house.forgetting.preview(MemoryFilter(kinds=("trajectory",)), CLAUDE)
    assert (preview.count, preview.steps, preview.kinds) == (3, 2, {"note": 2, "trajectory": 1})
    forgotten = await house.forgetting.forget(["t"], WHY, CLAUDE)
    assert forgotten.count == 3
    assert await house.left() == {"beside"}
    assert await house.journal.trajectory(TrajectoryId("t")) is None


async def test_a_trajectory_with_anothers_step_is_not_an_agents_to_forget(house: House) -> None:
    await house.write("mine", trajectory_id="t")
    await house.write("theirs", trajectory_id="t", agent="cursor")
    with pytest.raises(Refused, match="written by cursor"):
        await house.forgetting.forget(["t"], WHY, CLAUDE)
    preview = await house.forgetting.preview(MemoryFilter(kinds=("trajectory",)), CLAUDE)
    assert (preview.count, preview.foreign) == (0, 1)


async def test_a_filter_means_superseded_and_merged_memories_too(house: House) -> None:
    fact, twin, pinned = await house.write("fact", "twin", "pinned", namespace="team")
    await house.journal.commit([MergeMemory(twin, fact, "alike", ME)])
    await house.journal.commit([UpdateMemory(pinned, key="k", provenance=ME, pinned=True)])
    await house.write("elsewhere", agent="cursor", ts_event_ns=T0_NS - SECOND_NS)
    preview = await house.forgetting.preview(MemoryFilter(namespace="team"), OPERATOR)
    assert (preview.count, preview.pinned, preview.is_complete) == (3, 1, True)
    assert preview.namespaces == {"team": 3}
    assert (preview.oldest_ns, preview.newest_ns) == (T0_NS, T0_NS)
    assert await house.left() == {"fact", "twin", "pinned", "elsewhere"}
    forgotten = await house.forgetting.forget_previewed(preview.preview_id, WHY, OPERATOR)
    assert (forgotten.count, forgotten.already) == (3, 0)
    assert await house.left() == {"elsewhere"}


async def test_an_order_forgets_what_was_previewed_and_nothing_that_joined_since(house: House) -> None:
    await house.write("old", namespace="team")
    preview = await house.forgetting.preview(MemoryFilter(namespace="team"), CLAUDE)
    await house.write("new", namespace="team")
    await house.forgetting.forget_previewed(preview.preview_id, WHY, CLAUDE)
    assert await house.left() == {"new"}
    again = await house.forgetting.forget_previewed(preview.preview_id, WHY, CLAUDE)
    assert (again.count, again.already) == (0, 1)
    assert await house.left() == {"new"}


async def test_an_order_whose_memories_were_changed_since_is_refused_whole(house: House) -> None:
    one, _ = await house.write("one", "two", namespace="team")
    preview = await house.forgetting.preview(MemoryFilter(namespace="team"), CLAUDE)
    await house.journal.commit([UpdateMemory(one, key="k", provenance=ME, content="new one")])
    with pytest.raises(Refused, match="was changed since the preview"):
        await house.forgetting.forget_previewed(preview.preview_id, WHY, CLAUDE)
    await house.write("step", trajectory_id="t")
    preview = await house.forgetting.preview(MemoryFilter(kinds=("trajectory",)), CLAUDE)
    await house.write("another step", trajectory_id="t")
    with pytest.raises(Refused, match="another step since"):
        await house.forgetting.forget_previewed(preview.preview_id, WHY, CLAUDE)
    assert {"new one", "two", "step", "another step"} <= await house.left()


async def test_a_hold_that_was_set_after_the_preview_holds(house: House) -> None:
    await house.write("a", namespace="team")
    preview = await house.forgetting.preview(MemoryFilter(namespace="team"), OPERATOR)
    await house.rule("team", legal_hold=True)
    with pytest.raises(Refused, match="legal hold"):
        await house.forgetting.forget_previewed(preview.preview_id, WHY, OPERATOR)


async def test_a_preview_is_its_callers_expires_and_is_bound_to_its_filter(house: House) -> None:
    await house.write("a", namespace="team")
    where = MemoryFilter(namespace="team")
    preview = await house.forgetting.preview(where, CLAUDE)
    for preview_id, caller in ((preview.preview_id, CURSOR), ("made-up", CLAUDE)):
        with pytest.raises(NotFound, match="no preview"):
            await house.forgetting.forget_previewed(preview_id, WHY, caller)
    with pytest.raises(InvalidInput, match="not the one"):
        await house.forgetting.forget_previewed(preview.preview_id, WHY, CLAUDE, MemoryFilter(namespace="other"))
    house.clock.advance(PREVIEW_S)
    with pytest.raises(NotFound, match="expired"):
        await house.forgetting.forget_previewed(preview.preview_id, WHY, CLAUDE, where)
    assert await house.left() == {"a"}


async def test_only_so_many_previews_are_kept(house: House) -> None:
    await house.write("a", namespace="team")
    first = await house.forgetting.preview(MemoryFilter(namespace="team"), CLAUDE)
    for _ in range(PREVIEWS_MAX):
        last = await house.forgetting.preview(MemoryFilter(namespace="team"), CLAUDE)
    with pytest.raises(NotFound):
        await house.forgetting.forget_previewed(first.preview_id, WHY, CLAUDE)
    assert (await house.forgetting.forget_previewed(last.preview_id, WHY, CLAUDE)).count == 1


async def test_more_than_an_order_takes_is_forgotten_in_rounds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORGET_MAX", 5)
    await house.write(*(f"note {number}" for number in range(8)), namespace="team")
    preview = await house.forgetting.preview(MemoryFilter(namespace="team"), CLAUDE)
    assert (preview.count, preview.is_complete) == (5, False)
    await house.forgetting.forget_previewed(preview.preview_id, WHY, CLAUDE)
    rest = await house.forgetting.preview(MemoryFilter(namespace="team"), CLAUDE)
    assert (rest.count, rest.is_complete) == (3, True)


async def test_a_filter_without_a_condition_is_refused(house: House) -> None:
    with pytest.raises(InvalidInput, match="every memory"):
        await house.forgetting.preview(MemoryFilter(), OPERATOR)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1_001])
async def test_a_reason_is_needed(house: House, reason: str) -> None:
    [mine] = await house.write("a")
    with pytest.raises(InvalidInput, match="reason"):
        await house.forgetting.forget([mine], reason, CLAUDE)


async def test_a_reason_that_repeats_the_text_is_refused(house: House) -> None:
    [mine] = await house.write("the vault is behind the mirror")
    with pytest.raises(InvalidInput, match="repeats"):
        await house.forgetting.forget([mine], "it said: the vault is behind the mirror", CLAUDE)
    assert await house.left() == {"the vault is behind the mirror"}
    assert (await house.forgetting.forget([mine], "not for others", CLAUDE)).count == 1


async def test_too_many_ids_and_none_are_refused(house: House) -> None:
    for ids in ([], [f"m{number}" for number in range(257)]):
        with pytest.raises(InvalidInput, match="1 to 256"):
            await house.forgetting.forget(ids, WHY, CLAUDE)
