"""Writes while the journal's server is away: answered at once, carried once, never lost in silence."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import anyio
import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_index import MemoryIndex
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.memory_spool import MemorySpool
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import a_draft

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.lifecycle import ForgetMemory
from memmcp_server.domain.memory import Acknowledgement, MemoryDraft, MemoryFilter, Provenance
from memmcp_server.domain.search import SearchQuery
from memmcp_server.domain.spooled import SpooledWrite
from memmcp_server.domain.trajectory_drafts import CloseFields, OpenFields, StepFields
from memmcp_server.errors import (
    IdempotencyConflict,
    JournalBusy,
    JournalUnavailable,
    MemoryServerError,
    OutcomeUnknown,
    Refused,
    StorageFull,
)
from memmcp_server.ports import JournalCommand
from memmcp_server.services import spooling as spooling_module
from memmcp_server.services.episodes import Episodes
from memmcp_server.services.memories import Memories
from memmcp_server.services.policies import Policies
from memmcp_server.services.spooling import Spooling

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M2"), pytest.mark.requirement("M3")]
CLAUDE = Caller("claude", "", "memory_write", "agent", "stdio")
OPERATOR = Caller("claude", "", "memmcp write", "operator", "cli")
EVERYTHING = MemoryFilter()
GONE = JournalUnavailable("the journal at postgresql://host does not answer")


class ServerJournal(MemoryJournal):
    """A journal on a server whose answers can be lost, or be long in coming."""

    is_mute = False
    is_hung = False

    async def commit(self, commands: Sequence[JournalCommand]) -> list[Acknowledgement]:
        if self.is_hung:
            await anyio.sleep_forever()
        acknowledged = await super().commit(commands)
        if self.is_mute:
            raise OutcomeUnknown("the journal gave no answer", hint="repeat with the same idempotency key")
        return acknowledged


@dataclass
class World:
    journal: ServerJournal
    spool: MemorySpool
    spooling: Spooling
    memories: Memories
    policies: Policies

    async def write(self, content: str, key: str | None = None, **fields: object) -> Acknowledgement:
        return await self.memories.write(a_draft(content, key, **fields), CLAUDE)

    @contextlib.asynccontextmanager
    async def carrying(self) -> AsyncIterator[None]:
        """Run the task that carries, and end it with the block."""
        task = asyncio.create_task(self.spooling.run(self.memories.commit_each))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def carried(self) -> None:
        """Carry all that is kept."""
        with anyio.fail_after(10):
            async with self.carrying():
                while not self.spooling.is_empty() or self.spooling.problem is not None:  # noqa: ASYNC110
                    await anyio.sleep(0.005)

    async def contents(self) -> list[str]:
        rows = await self.journal.page(EVERYTHING, after=None, limit=1_000, newest_first=False)
        return [row.content for row in rows]


async def a_world(spool: MemorySpool | None = None, journal: ServerJournal | None = None) -> World:
    clock = ManualClock()
    journal, spool = journal or ServerJournal(clock), spool or MemorySpool()
    spooling, policies = Spooling(spool, journal, clock, wait_s=0.2), Policies(journal, clock)
    policies.recall(await spooling.open())
    memories = Memories(journal, MemoryIndex(clock), clock, policies, WordScanner({}), spooling=spooling)
    return World(journal, spool, spooling, memories, policies)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling_module, "BACK_OFF", replace(spooling_module.BACK_OFF, base_s=0.01, cap_s=0.02))


async def test_a_server_that_answers_is_written_to_and_the_spool_stays_empty() -> None:
    world = await a_world()
    first = await world.write("hello")
    again = await world.write("hello")
    assert (first.is_local, first.seq, first.duplicate) == (False, 1, False)
    assert (again.id, again.is_local, again.duplicate) == (first.id, False, True)
    assert world.spooling.is_empty()


async def test_a_write_while_the_server_is_away_keeps_the_id_that_its_answer_named() -> None:
    world = await a_world()
    world.journal.failure = GONE
    kept = [await world.write(f"note {number}") for number in range(3)]
    assert [(each.is_local, each.seq, each.duplicate) for each in kept] == [(True, 0, False)] * 3
    again = await world.write("note 1")
    assert (again.id, again.duplicate, again.is_local) == (kept[1].id, True, True)
    assert (await world.spool.stats()).pending == 3
    world.journal.failure = None
    await world.carried()
    assert await world.contents() == ["note 0", "note 1", "note 2"]
    assert [(await world.memories.get(each.id)).content for each in kept] == ["note 0", "note 1", "note 2"]
    after = await world.write("note 1")
    assert (after.id, after.duplicate, after.is_local) == (kept[1].id, True, False)


async def test_a_write_whose_answer_was_lost_is_kept_under_its_key_and_is_there_once() -> None:
    world = await a_world()
    world.journal.is_mute = True
    kept = await world.write("said once")
    assert kept.is_local
    world.journal.is_mute = False
    await world.carried()
    assert await world.contents() == ["said once"]
    assert (await world.memories.get(kept.id)).content == "said once"


async def test_a_server_that_hangs_costs_one_write_its_wait_and_the_next_none() -> None:
    world = await a_world()
    world.journal.is_hung = True
    with anyio.fail_after(5):
        first = await world.write("one")
        with anyio.fail_after(0.15):  # less than the wait for the server
            second = await world.write("two")
    assert first.is_local
    assert second.is_local


async def test_another_text_under_a_kept_key_is_refused_at_once() -> None:
    world = await a_world()
    world.journal.failure = GONE
    kept = await world.write("one", "key")
    with pytest.raises(IdempotencyConflict, match=kept.id):
        await world.write("two", "key")


async def test_a_key_that_another_daemon_took_meanwhile_becomes_a_dead_letter_that_can_be_seen_and_dropped() -> None:
    world = await a_world()
    world.journal.failure = GONE
    await world.write("ours", "key")
    await world.write("behind it")
    world.journal.failure = None
    await world.journal.commit([a_draft("theirs", "key")])
    await world.carried()
    assert await world.contents() == ["theirs", "behind it"]
    [letter] = await world.spooling.entries(dead=True, limit=10)
    shown = letter.document()
    assert (shown["content"], shown["key"], shown["dead"]) == ("ours", "key", True)
    assert "already stands for" in str(shown["last_error"])
    assert await world.spooling.retry([letter.id]) == 1
    await world.carried()
    [letter] = await world.spooling.entries(dead=True, limit=10)
    queue, _ = await world.spooling.queue()
    assert (queue.pending, queue.dead, queue.delivered) == (0, 1, 1)
    assert await world.spooling.drop(letter.id)
    assert await world.spooling.entries(dead=None, limit=10) == []


async def test_what_another_daemon_wrote_under_the_same_key_is_read_by_the_id_that_we_answered() -> None:
    world = await a_world()
    world.journal.failure = GONE
    kept = await world.write("the same")
    world.journal.failure = None
    [theirs] = await world.journal.commit([a_draft("the same")])
    await world.carried()
    assert await world.contents() == ["the same"]
    assert (await world.memories.get(kept.id)).id == theirs.id
    cited = await world.write("rests on it", cites=(kept.id,))
    [link] = await world.journal.links([cited.id])
    assert link.to_id == theirs.id


async def test_what_was_forgotten_elsewhere_before_it_was_carried_does_not_come_back() -> None:
    world = await a_world()
    world.journal.is_mute = True
    kept = await world.write("to be forgotten")
    world.journal.is_mute = False
    await world.journal.commit([ForgetMemory(kept.id, "on purpose", Provenance(agent="operator"))])
    await world.carried()
    assert await world.contents() == []
    assert await world.spooling.entries(dead=None, limit=10) == []


async def test_a_policy_of_the_meantime_refuses_what_is_carried_and_the_letter_says_so() -> None:
    world = await a_world()
    world.journal.failure = GONE
    await world.write("too late", namespace="closed")
    world.journal.failure = None
    other = Policies(world.journal, ManualClock())
    await other.set("closed", {"writers": ["somebody"]}, OPERATOR)
    world.policies.refresh()
    await world.carried()
    [letter] = await world.spooling.entries(dead=True, limit=10)
    assert "may not write in closed" in letter.last_error


async def test_the_policies_that_were_last_known_hold_while_the_server_is_away_and_after_a_restart() -> None:
    world = await a_world()
    await world.policies.set("closed", {"writers": ["somebody"]}, OPERATOR)
    world.spooling._note_away(GONE)
    await world.carried()
    world.journal.failure = GONE
    with pytest.raises(Refused):
        await world.write("no", namespace="closed")
    begun_again = await a_world(world.spool, world.journal)
    with pytest.raises(Refused):
        await begun_again.write("no", namespace="closed")
    assert (await begun_again.write("yes")).is_local


async def test_what_is_kept_survives_a_restart_and_its_keys_are_known_again() -> None:
    world = await a_world()
    world.journal.failure = GONE
    kept = await world.write("before")
    begun_again = await a_world(world.spool, world.journal)
    again = await begun_again.write("before")
    assert (again.id, again.duplicate) == (kept.id, True)
    world.journal.failure = None
    await begun_again.carried()
    assert await begun_again.contents() == ["before"]


async def test_a_full_spool_says_so_and_the_call_may_be_repeated() -> None:
    world = await a_world(MemorySpool(rows_max=1))
    world.journal.failure = GONE
    await world.write("fits")
    with pytest.raises(StorageFull) as refused:
        await world.write("does not")
    assert refused.value.retryable
    world.journal.failure = None
    await world.carried()
    assert not (await world.write("does not")).is_local


async def test_a_busy_journal_is_not_an_absent_one() -> None:
    world = await a_world()
    world.journal.failure = JournalBusy("full")
    with pytest.raises(JournalBusy):
        await world.write("later")
    assert world.spooling.is_empty()


async def test_only_what_has_an_order_waits_behind_what_is_kept() -> None:
    world = await a_world()
    world.journal.failure = GONE
    step = await world.write("step 1", trajectory_id="t")
    world.journal.failure = None
    await world.spooling._look()  # the server is back, nothing is carried yet
    assert not (await world.write("stands alone")).is_local
    assert (await world.write("step 2", trajectory_id="t")).is_local
    assert (await world.write("rests on it", cites=(step.id,))).is_local
    await world.carried()
    steps = [text for text in await world.contents() if text.startswith("step")]
    assert steps == ["step 1", "step 2"]


async def test_calls_of_one_key_at_one_time_are_one_memory() -> None:
    world = await a_world()
    world.journal.is_hung = True
    answers: list[Acknowledgement] = []

    async def call() -> None:
        answers.append(await world.write("the same", "key"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(call)
    assert len({each.id for each in answers}) == 1
    assert [each.duplicate for each in answers].count(False) == 1
    world.journal.is_hung = False
    await world.carried()
    assert await world.contents() == ["the same"]


async def test_reading_what_is_on_its_way_and_searching_say_what_is_the_matter() -> None:
    world = await a_world()
    world.journal.failure = GONE
    kept = await world.write("on its way")
    with pytest.raises(JournalUnavailable, match="on its way to the journal"):
        await world.memories.get(kept.id)
    with pytest.raises(JournalUnavailable) as refused:
        await world.memories.search(SearchQuery("way"), CLAUDE)
    assert "memory_write is taken meanwhile" in (refused.value.hint or "")


async def test_a_write_that_fails_at_a_server_that_answers_stands_aside_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spooling_module, "STUCK_TRIES_MAX", 3)
    world = await a_world()
    world.journal.failure = GONE
    await world.write("poison")
    await world.write("behind it")
    world.journal.failure = None

    async def commit(writes: Sequence[tuple[Sequence[MemoryDraft], Caller]]) -> list[list[Acknowledgement]]:
        if any(drafts[0].content == "poison" for drafts, _ in writes):
            raise JournalUnavailable("SQLSTATE 54000")
        return await world.memories.commit_each(writes)

    with anyio.fail_after(10):
        task = asyncio.create_task(world.spooling.run(commit))
        while not world.spooling.is_empty():  # noqa: ASYNC110
            await anyio.sleep(0.005)
        task.cancel()
        await asyncio.wait({task})
    assert await world.contents() == ["behind it"]
    [letter] = await world.spooling.entries(dead=True, limit=10)
    assert letter.last_error == "SQLSTATE 54000"


@pytest.mark.parametrize("refusal", [JournalUnavailable("SQLSTATE 25006, read-only"), StorageFull("its disk is full")])
async def test_no_write_stands_aside_for_a_server_that_takes_none_at_all(
    monkeypatch: pytest.MonkeyPatch, refusal: MemoryServerError
) -> None:
    """As one that only follows another, or whose disk is full: it answers whoever reads."""
    monkeypatch.setattr(spooling_module, "STUCK_TRIES_MAX", 3)
    world = await a_world()
    world.journal.failure = GONE
    await world.write("first")
    await world.write("second")
    world.journal.failure, tries, enough = None, 0, anyio.Event()

    async def refused(*_: object) -> list[list[Acknowledgement]]:
        nonlocal tries
        tries += 1
        if tries > 12:
            enough.set()
        raise refusal

    with anyio.fail_after(10), pytest.MonkeyPatch.context() as patch:
        if isinstance(refusal, JournalUnavailable):  # a full disk may have room left for something small
            patch.setattr(world.journal, "take_lease", refused)
        task = asyncio.create_task(world.spooling.run(refused))
        await enough.wait()
        task.cancel()
        await asyncio.wait({task})
    assert await world.spooling.entries(dead=True, limit=10) == []
    await world.carried()
    assert await world.contents() == ["first", "second"]


async def test_what_many_wrote_is_carried_by_few_commits_in_order_with_what_rests_on_it() -> None:
    world = await a_world()
    world.journal.failure = GONE
    first = await world.write("first")
    await world.write("rests on it", cites=(first.id,))
    others = [replace(CLAUDE, agent=f"agent-{number}") for number in range(50)]
    for number, caller in enumerate(others):
        await world.memories.write(a_draft(f"note {number}", agent=caller.agent), caller)
    world.journal.failure = None
    commits: list[int] = []

    async def commit(writes: Sequence[tuple[Sequence[MemoryDraft], Caller]]) -> list[list[Acknowledgement]]:
        commits.append(len(writes))
        return await world.memories.commit_each(writes)

    with anyio.fail_after(10):
        task = asyncio.create_task(world.spooling.run(commit))
        while not world.spooling.is_empty():  # noqa: ASYNC110
            await anyio.sleep(0.005)
        task.cancel()
        await asyncio.wait({task})
    assert commits == [52]
    assert await world.contents() == ["first", "rests on it", *(f"note {number}" for number in range(50))]
    [link] = await world.journal.links([first.id])
    assert link.to_id == first.id
    assert (await world.spool.stats()).delivered == 52


def episodes_of(world: World) -> Episodes:
    return Episodes(world.journal, world.memories, world.policies, WordScanner({}), ManualClock())


async def test_steps_of_a_trajectory_that_was_open_are_kept_in_order_and_its_end_waits_for_them() -> None:
    world = await a_world()
    episodes = episodes_of(world)
    opened = await episodes.open(OpenFields("mend the build"), CLAUDE)
    first = await episodes.step(opened.id, StepFields("read the log"), CLAUDE)
    assert not first.acknowledgement.is_local
    world.journal.failure = GONE
    kept = await episodes.step(opened.id, StepFields("raised the time-out"), CLAUDE)
    again = await episodes.step(opened.id, StepFields("raised the time-out"), CLAUDE)
    assert (kept.namespace, kept.acknowledgement.is_local, kept.acknowledgement.duplicate) == ("default", True, False)
    assert (again.acknowledgement.id, again.acknowledgement.duplicate) == (kept.acknowledgement.id, True)
    with pytest.raises(JournalUnavailable):
        await episodes.close(opened.id, CloseFields("done"), CLAUDE)
    world.journal.failure = None
    with pytest.raises(JournalUnavailable, match="still on their way"):
        await episodes.close(opened.id, CloseFields("done"), CLAUDE)
    await world.carried()
    steps = await world.journal.steps(opened.id, after=None, limit=10)
    assert [(step.content, step.id) for step in steps] == [
        ("read the log", first.acknowledgement.id),
        ("raised the time-out", kept.acknowledgement.id),
    ]
    await episodes.close(opened.id, CloseFields("done"), CLAUDE)
    world.journal.failure = GONE
    with pytest.raises(JournalUnavailable, match="does not answer"):  # it is closed: nothing is kept for it
        await episodes.step(opened.id, StepFields("too late"), CLAUDE)
    assert world.spooling.is_empty()


async def test_what_needs_the_journal_to_decide_is_refused_and_says_what_is_taken_meanwhile() -> None:
    world = await a_world()
    episodes = episodes_of(world)
    await world.policies.set("closed/", {"writers": ["trae"]}, replace(OPERATOR, agent="operator"))
    shut = await episodes.open(OpenFields("theirs", namespace="closed/x"), replace(CLAUDE, agent="trae"))
    world.journal.failure = GONE
    world.policies.refresh()  # as it does after a moment
    with pytest.raises(JournalUnavailable, match="postgresql://host") as refusal:
        await episodes.open(OpenFields("a new one"), CLAUDE)
    assert "memory_write with a trajectory_id of your own" in str(refusal.value.hint)
    with pytest.raises(JournalUnavailable, match="postgresql://host") as refusal:
        await episodes.step("never-seen", StepFields("x"), CLAUDE)
    assert "memory_write with this trajectory_id" in str(refusal.value.hint)
    with pytest.raises(Refused, match="may not write in closed/x"):
        await episodes.step(shut.id, StepFields("not mine"), CLAUDE)
    with pytest.raises(Refused, match="viewer"):
        await episodes.step(shut.id, StepFields("not mine"), replace(CLAUDE, role="viewer"))
    assert (await episodes.step(shut.id, StepFields("ours"), replace(CLAUDE, agent="trae"))).acknowledgement.is_local


async def test_what_the_operator_drops_is_not_carried() -> None:
    world = await a_world()
    world.journal.failure = GONE
    kept = await world.write("given up")
    found = await world.spool.find(MemoryId(kept.id))
    assert found is not None
    assert await world.spooling.drop(found.id)
    assert not await world.spooling.drop(found.id)
    world.journal.failure = None
    await world.carried()
    assert await world.contents() == []


async def test_what_was_kept_for_one_journal_is_not_carried_to_another() -> None:
    world = await a_world()
    await world.spooling._look()
    world.journal.failure = GONE
    kept = await world.write("for the first journal")
    other = await a_world(world.spool, ServerJournal(ManualClock()))
    async with other.carrying():
        with anyio.fail_after(10):
            while "are kept for journal" not in (await other.spooling.queue())[1].last_error:  # noqa: ASYNC110
                await anyio.sleep(0.005)
    assert not (await other.write("for this one")).is_local
    assert await other.contents() == ["for this one"]
    other.journal.failure = GONE
    with pytest.raises(JournalUnavailable, match="are kept for journal"):
        await other.write("cannot be kept beside them")
    other.journal.failure = None
    [write] = await other.spooling.entries(dead=None, limit=10)
    assert write.memory_ids == (kept.id,)
    assert await other.spooling.drop(write.id)
    await other.carried()
    other.journal.failure = GONE
    assert (await other.write("is kept for this one")).is_local


async def test_a_write_whose_caller_went_away_while_it_was_kept_is_carried_all_the_same() -> None:
    world = await a_world()
    world.journal.failure = GONE
    put, entered = world.spool.put, anyio.Event()

    async def slow(write: SpooledWrite) -> SpooledWrite:
        kept = await put(write)
        entered.set()
        await anyio.sleep_forever()
        return kept

    world.spool.put = slow  # type: ignore[method-assign]
    caller = asyncio.create_task(world.write("nobody was told"))
    await entered.wait()
    caller.cancel()
    await asyncio.wait({caller})
    world.spool.put = put  # type: ignore[method-assign]
    world.journal.failure = None
    async with world.carrying():
        with anyio.fail_after(10):
            while not await world.contents():  # noqa: ASYNC110
                await anyio.sleep(0.005)
    assert await world.contents() == ["nobody was told"]
