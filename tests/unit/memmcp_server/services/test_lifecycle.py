"""Updating, confirming, restoring and superseding: who may, what holds, what stays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import T0_NS, a_draft

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import UpdateFields
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory, SetPolicy
from memmcp_server.domain.memory import Acknowledgement, Memory, Provenance, Trust
from memmcp_server.errors import (
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    Refused,
    SecretRefused,
)
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies

pytestmark = pytest.mark.anyio
CLAUDE = Caller("claude", "s-1", "memory_update", "agent", "stdio")
CURSOR = Caller("cursor", "s-2", "memory_update", "agent", "stdio")
OPERATOR = Caller("cli", "", "cli", "operator", "cli")
VIEWER = replace(CLAUDE, role="viewer")
ME = Provenance(agent="test")


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock)
        policies = Policies(self.journal, self.clock)
        self.memories = Memories(
            self.journal, MemoryIndex(self.clock), self.clock, policies, WordScanner({"hunter2": "password"})
        )

    async def write(self, content: str, **fields: Any) -> MemoryId:
        return (await self.memories.write(a_draft(content, **fields), CLAUDE)).id

    async def update(self, memory_id: str, caller: Caller = CLAUDE, **fields: Any) -> Acknowledgement:
        return await self.memories.update(UpdateFields(memory_id, **fields), caller)

    async def last(self, memory_id: MemoryId) -> Memory:
        return await self.memories.get(memory_id)

    async def rule(self, namespace: str, **policy: Any) -> None:
        await self.journal.commit([SetPolicy(namespace, policy, ME)])


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.requirement("M8")
async def test_anybody_who_may_write_there_may_correct_and_the_history_says_who(house: House) -> None:
    memory_id = await house.write("fee is 25 bps")
    await house.update(memory_id, CURSOR, content="fee is 30 bps")
    one, two = await house.memories.history(memory_id)
    assert (one.content, one.provenance.agent) == ("fee is 25 bps", "claude")
    assert (two.content, two.provenance.agent, two.provenance.tool) == ("fee is 30 bps", "cursor", "memory_update")


@pytest.mark.requirement("M3")
async def test_the_same_change_again_adds_no_version(house: House) -> None:
    memory_id = await house.write("a")
    first = await house.update(memory_id, content="b", tags=["t"])
    again = await house.update(memory_id, content="b", tags=["t"])
    assert (again.version, again.duplicate) == (first.version, True)
    keyed = await house.update(memory_id, content="c", key="k")
    assert (await house.update(memory_id, content="c", key="k")).version == keyed.version == 3
    with pytest.raises(IdempotencyConflict):
        await house.update(memory_id, content="d", key="k")


@pytest.mark.requirement("M5")
async def test_text_from_outside_stays_untrusted_until_somebody_writes_it_anew(house: House) -> None:
    memory_id = await house.write("buy now!!", provenance=Provenance(agent="web", trust=Trust.UNTRUSTED))
    await house.update(memory_id, tags=["seen"])
    assert (await house.last(memory_id)).provenance.trust is Trust.UNTRUSTED
    await house.update(memory_id, content="a site says: buy now")
    assert (await house.last(memory_id)).provenance.trust is Trust.AGENT


@pytest.mark.requirement("M5")
async def test_a_policy_gives_trust_to_what_is_written_and_updated(house: House) -> None:
    await house.rule("web/", trust="untrusted")
    memory_id = await house.write("headline", namespace="web/news")
    assert (await house.last(memory_id)).provenance.trust is Trust.UNTRUSTED
    await house.update(memory_id, content="another headline")
    assert (await house.last(memory_id)).provenance.trust is Trust.UNTRUSTED


@pytest.mark.requirement("M5")
async def test_a_policy_says_who_writes_and_who_reads(house: House) -> None:
    await house.rule("desk/", writers=["claude"], readers=["claude"])
    memory_id = await house.write("plan", namespace="desk/plans")
    for act in (
        house.memories.write(a_draft("mine", namespace="desk/plans", agent="cursor"), CURSOR),
        house.memories.write(a_draft("about it", cites=(memory_id,), agent="cursor"), CURSOR),
        house.update(memory_id, CURSOR, content="x"),
        house.memories.get(memory_id, None, CURSOR),
        house.memories.details(memory_id, None, CURSOR),
        house.memories.history(memory_id, CURSOR),
        house.memories.confirm(memory_id, CURSOR),
        house.memories.restore(memory_id, "why not", CURSOR),
    ):
        with pytest.raises((Refused, NotFound)):
            await act
    assert (await house.memories.get(memory_id, None, CLAUDE)).content == "plan"
    await house.update(memory_id, OPERATOR, content="the operator's plan")


@pytest.mark.requirement("M8")
@pytest.mark.parametrize("namespace", ["trading", "strategies/momentum", "memory_bank"])
async def test_records_of_the_runtime_are_changed_by_nobody(house: House, namespace: str) -> None:
    [acknowledged] = await house.journal.commit([a_draft("bought", namespace=namespace)])
    for caller in (CLAUDE, OPERATOR):
        with pytest.raises(Refused, match="kept as it was written"):
            await house.update(acknowledged.id, caller, content="sold")
        with pytest.raises(Refused):
            await house.memories.restore(acknowledged.id, "why not", caller)
        with pytest.raises(Refused):
            await house.memories.write(a_draft("better", supersedes=(acknowledged.id,)), caller)
    await house.memories.write(a_draft("a lesson about it", cites=(acknowledged.id,)), CLAUDE)


async def test_a_viewer_changes_nothing(house: House) -> None:
    memory_id = await house.write("a")
    for act in (house.update(memory_id, VIEWER, content="b"), house.memories.confirm(memory_id, VIEWER)):
        with pytest.raises(Refused, match="viewer"):
            await act


@pytest.mark.requirement("M8")
async def test_only_the_author_and_the_operator_pin(house: House) -> None:
    memory_id = await house.write("a")
    await house.update(memory_id, CURSOR, content="b")
    with pytest.raises(Refused, match="author"):
        await house.update(memory_id, CURSOR, pinned=True)
    await house.update(memory_id, CLAUDE, pinned=True)
    assert (await house.last(memory_id)).pinned
    await house.update(memory_id, OPERATOR, pinned=False)
    assert not (await house.last(memory_id)).pinned


@pytest.mark.requirement("M17")
async def test_a_superseded_memory_can_be_read_with_what_took_its_place_and_restored(house: House) -> None:
    old = await house.write("sell at +20 %")
    new = await house.write("sell at +30 %", supersedes=(old,))
    details = await house.memories.details(old)
    assert details.memory.superseded_at_ns == house.clock.now_ns()
    assert [(link.kind, link.from_id) for link in details.links] == [("supersedes", new)]
    with pytest.raises(InvalidInput, match="superseded"):
        await house.memories.confirm(old, CLAUDE)
    restored = await house.memories.restore(old, "it held after all", CURSOR)
    assert (restored.version, restored.duplicate) == (2, False)
    assert (await house.memories.details(old)).links == ()


@pytest.mark.requirement("M17")
async def test_a_confirmation_is_kept_with_the_memory(house: House) -> None:
    memory_id = await house.write("a")
    assert (await house.memories.details(memory_id)).standing.confirmed_at_ns is None
    house.clock.advance(3_600)
    await house.memories.confirm(memory_id, CURSOR)
    assert (await house.memories.details(memory_id)).standing.confirmed_at_ns == house.clock.now_ns()


@pytest.mark.requirement("M7")
async def test_a_digest_goes_stale_when_what_it_cites_does_not_stand_any_more(house: House) -> None:
    ids = [await house.write(f"evidence {number}") for number in range(4)]
    soon = await house.write("evidence 4", expires_at_ns=house.clock.now_ns() + 10**9)
    brief = await house.write("evidence 5", valid_to_ns=house.clock.now_ns() + 10**9)
    digest = await house.write("all is well", kind="digest", cites=(*ids, soon, brief))
    assert (await house.memories.details(digest)).stale == ()
    await house.update(ids[0], content="evidence 0, corrected")
    await house.write("the opposite", supersedes=(ids[1],))
    await house.journal.commit([ForgetMemory(ids[2], "asked", ME)])
    house.clock.advance(5)
    reasons = (await house.memories.details(digest)).stale
    assert [reason.partition(" ")[2].split(" (")[0] for reason in sorted(reasons)] == [
        "was updated since",
        "was superseded",
        "was forgotten",
        "has expired",
        "does not hold any more",
    ]
    assert not any(reason.startswith(ids[3]) for reason in reasons)


async def test_what_is_gone_says_so(house: House) -> None:
    memory_id = await house.write("a")
    await house.journal.commit([ForgetMemory(memory_id, "asked", ME)])
    with pytest.raises(NotFound, match="forgotten"):
        await house.memories.get(memory_id)
    with pytest.raises(NotFound, match="there is no memory"):
        await house.memories.get("nope" * 100)


@pytest.mark.requirement("M12")
@pytest.mark.parametrize(
    "where",
    [
        {"content": "it is hunter2"},
        {"tags": ("hunter2",)},
        {"metadata": {"a": {"hunter2": 1}}},
        {"metadata": {"a": ["hunter2"]}},
        {"key": "hunter2"},
        {"trajectory_id": "hunter2"},
        {"provenance": Provenance(agent="claude", source="hunter2")},
        {"provenance": Provenance(agent="claude", session="hunter2")},
    ],
)
async def test_a_write_that_holds_a_secret_anywhere_is_refused_without_repeating_it(
    house: House, where: dict[str, Any]
) -> None:
    with pytest.raises(SecretRefused) as caught:
        await house.write(where.pop("content", "a note"), **where)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}".replace("trajectory_id", "")
    assert await house.journal.horizon() == 0


@pytest.mark.requirement("M12")
async def test_of_several_memories_one_with_a_secret_keeps_all_of_them_out(house: House) -> None:
    with pytest.raises(SecretRefused):
        await house.memories.write_many([a_draft("fine"), a_draft("hunter2")], CLAUDE)
    assert await house.journal.horizon() == 0


@pytest.mark.requirement("M12")
@pytest.mark.parametrize(
    "fields",
    [{"content": "hunter2"}, {"tags": ["hunter2"]}, {"metadata": {"k": "hunter2"}}, {"key": "hunter2", "pinned": True}],
)
async def test_a_change_that_brings_a_secret_is_refused(house: House, fields: dict[str, Any]) -> None:
    memory_id = await house.write("a")
    with pytest.raises(SecretRefused):
        await house.update(memory_id, **fields)
    with pytest.raises(SecretRefused):
        await house.memories.restore(memory_id, "because hunter2", CLAUDE)
    assert await house.journal.horizon() == 1


NOW = datetime.fromtimestamp(T0_NS / 1e9, UTC)


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({}, InvalidInput, "content"),
        ({"content": "  "}, InvalidInput, "content"),
        ({"content": "x" * 70_000}, PayloadTooLarge, "content"),
        ({"content": "a\x00b"}, InvalidInput, "content"),
        ({"kind": "Not A Kind"}, InvalidInput, "kind"),
        ({"tags": ["a"] * 33}, InvalidInput, "tags"),
        ({"importance": 101}, InvalidInput, "importance"),
        ({"metadata": {"a": float("inf")}}, InvalidInput, "metadata"),
        ({"supersedes": ["x"] * 65}, InvalidInput, "supersedes"),
        ({"cites": [""]}, InvalidInput, "cites[0]"),
        ({"valid_from": NOW, "valid_to": NOW}, InvalidInput, "valid_to"),
        ({"expires_at": NOW - timedelta(days=1)}, InvalidInput, "expires_at"),
        ({"ts": NOW + timedelta(days=3)}, InvalidInput, "ts"),
        ({"valid_to": datetime(2026, 1, 1)}, InvalidInput, "valid_to"),  # noqa: DTZ001 - the fault under test
        ({"content": "b", "expected_version": 7}, IdempotencyConflict, "expected_version"),
        ({"content": "b", "key": "k" * 201}, InvalidInput, "idempotency_key"),
    ],
)
async def test_a_wrong_update_names_its_field_and_changes_nothing(
    house: House, fields: dict[str, Any], error: type[Exception], field: str
) -> None:
    memory_id = await house.write("a", ts_event_ns=T0_NS)
    with pytest.raises(error) as caught:
        await house.update(memory_id, **fields)
    assert getattr(caught.value, "field", None) == field
    assert [version.content for version in await house.memories.history(memory_id)] == ["a"]


async def test_an_end_before_the_beginning_that_is_held_is_refused(house: House) -> None:
    memory_id = await house.write("a", valid_from_ns=T0_NS + 10**12)
    with pytest.raises(InvalidInput, match="valid_from"):
        await house.update(memory_id, valid_to=NOW)
    await house.update(memory_id, valid_to=NOW, cleared=["valid_from"])
