"""Pages of changes: everything once and in order, hidden things never, cursors that say what is wrong with them."""

import re

import anyio
import pytest
from tests.doubles.memory_journal import MemoryJournal
from tests.support.readers import OPERATOR, PATIENCE_S, House, told

from memmcp_server.domain.identifiers import Seq, TrajectoryId
from memmcp_server.domain.lifecycle import (
    AUDIT_CONTRADICT,
    ForgetMemory,
    LinkKind,
    LinkMemories,
    RecordAudit,
    UpdateMemory,
)
from memmcp_server.domain.memory import Namespace, Provenance
from memmcp_server.domain.news import Batch, read_cursor, write_cursor
from memmcp_server.domain.telemetry import RecordSnapshot
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import InvalidInput, JournalUnavailable, Unavailable
from memmcp_server.services.news import LIMIT_MAX, PAGE_CHARS_MAX, Wish
from memmcp_server.wire.news import ChangesAnswer

pytestmark = pytest.mark.anyio
ME = Provenance(agent="claude")


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.requirement("M14")
async def test_pages_follow_each_other_without_a_gap_or_a_repeat(house: House) -> None:
    for number in range(7):
        await house.write(f"fact {number}")
    first = await house.read(limit=3)
    second = await house.read(limit=3, cursor=first.next_cursor)
    third = await house.read(limit=3, cursor=second.next_cursor)
    assert [told(first), told(second), told(third)] == [
        ["fact 0", "fact 1", "fact 2"],
        ["fact 3", "fact 4", "fact 5"],
        ["fact 6"],
    ]
    assert [first.more, second.more, third.more] == [True, True, False]
    assert told(await house.read(cursor=third.next_cursor)) == []


async def test_a_version_an_end_and_a_forgetting_are_told_as_what_they_are(house: House) -> None:
    old, gone = await house.write("the fee is 25"), await house.write("never mind")
    new = await house.write("the fee is 30", supersedes=(old.id,))
    await house.journal.commit([UpdateMemory(new.id, "u", ME, content="the fee is 31")])
    await house.journal.commit([ForgetMemory(gone.id, "asked to", ME)])
    trajectory = TrajectoryId("t-1")
    await house.journal.commit([OpenTrajectory(trajectory, Namespace("default"), "trade", "buy", "buys", 1)])
    await house.journal.commit([CloseTrajectory(trajectory, "won", "won it", 2)])
    answer = ChangesAnswer.of(await house.read())
    seen = [(each.action, each.content, each.superseded, each.supersedes) for each in answer.changes]
    assert seen == [
        ("write", "the fee is 25", True, []),
        ("write", "the fee is 30", True, [old.id]),
        ("update", "the fee is 31", False, [old.id]),
        ("forget", None, None, []),
        ("write", "buys", True, []),
        ("close", "won it", False, []),
    ]
    forgotten = answer.changes[3]
    assert (forgotten.id, forgotten.reason, forgotten.url) == (gone.id, "asked to", None)


async def test_a_contradiction_is_told_with_both_memories(house: House) -> None:
    one, other = await house.write("entries are allowed"), await house.write("entries are not allowed")
    tie = LinkMemories(LinkKind.CONTRADICTS, other.id, one.id, ME)
    await house.journal.commit([tie, RecordAudit(AUDIT_CONTRADICT, ME, detail={"with": one.id}, about=other.id)])
    changes = ChangesAnswer.of(await house.read()).changes
    assert [each.contradicts for each in changes] == [[other.id], [one.id], []]
    assert (changes[2].action, changes[2].id, changes[2].detail) == ("contradict", other.id, {"with": one.id})


@pytest.mark.requirement("M14")
async def test_a_hidden_namespace_is_left_out_and_does_not_hold_the_cursor_back(house: House) -> None:
    await house.hide("secret/", "claude")
    for number in range(5):
        await house.write(f"plan {number}", namespace="secret/plans")
    page = await house.read(limit=2)
    assert told(page) == []
    assert (page.more, page.next_after) == (False, await house.journal.horizon())
    await house.write("open")
    assert told(await house.read(cursor=page.next_cursor)) == ["open"]
    assert len((await house.read("claude")).told) == 6


async def test_what_was_done_to_no_single_memory_is_the_operators_to_see(house: House) -> None:
    await house.hide("secret/", "claude")
    page = await house.read(OPERATOR)
    assert [each.change.audit.action for each in page.told if each.change.audit] == ["policy"]
    assert told(await house.read()) == []


async def test_a_page_of_nothing_but_the_operators_affairs_is_passed_over(house: House) -> None:
    for number in range(4):
        await house.journal.commit([RecordAudit("backup", ME, detail={"n": number})])
    await house.write("at last")
    page = await house.read(limit=2, wait_s=1)
    assert told(page) == ["at last"]


async def test_only_one_namespace_or_subtree_when_asked_for(house: House) -> None:
    for namespace in ("team", "team/x", "teams", "other"):
        await house.write(namespace, namespace=namespace)
    assert told(await house.read(namespace="team")) == ["team"]
    page = await house.read(namespace="team/")
    assert told(page) == ["team", "team/x"]
    assert page.next_after == 4


async def test_a_long_page_ends_early_and_says_that_there_is_more(house: House) -> None:
    half = "x" * (PAGE_CHARS_MAX // 2)
    house.journal = MemoryJournal(house.clock)
    for number in range(3):
        await house.write(f"{number}{half}")
    house = House(house.journal)
    sizes = []
    page = await house.read()
    while page.told:
        sizes.append(len(page.told))
        page = await house.read(cursor=page.next_cursor)
    assert sizes == [1, 1, 1]


# Named readers


@pytest.mark.requirement("M14")
async def test_a_reader_that_comes_back_with_its_name_goes_on_where_it_acknowledged(house: House) -> None:
    for number in range(4):
        await house.write(f"fact {number}")
    first = await house.read(name="inbox", limit=2)
    died = await house.read(name="inbox", limit=2)
    assert told(died) == told(first) == ["fact 0", "fact 1"]
    await house.read(name="inbox", cursor=first.next_cursor, limit=2)
    house.news = House(house.journal).news  # another process
    assert told(await house.read(name="inbox")) == ["fact 2", "fact 3"]


async def test_an_older_cursor_reads_again_and_takes_nothing_back(house: House) -> None:
    for number in range(4):
        await house.write(f"fact {number}")
    first = await house.read(name="inbox", limit=1)
    second = await house.read(name="inbox", cursor=first.next_cursor, limit=2)
    await house.read(name="inbox", cursor=second.next_cursor)
    assert told(await house.read(name="inbox", cursor=first.next_cursor, limit=1)) == ["fact 1"]
    assert told(await house.read(name="inbox")) == ["fact 3"]


async def test_names_are_each_agents_own(house: House) -> None:
    await house.write("fact")
    page = await house.read("cursor", name="inbox")
    await house.read("cursor", name="inbox", cursor=page.next_cursor)
    assert told(await house.read("cursor", name="inbox")) == []
    assert told(await house.read("trae", name="inbox")) == ["fact"]
    assert told(await house.read("cursor", name="other")) == ["fact"]


async def test_a_reader_that_begins_now_is_told_what_comes_after_its_first_look(house: House) -> None:
    await house.write("before")
    assert told(await house.read(name="mcp", from_now=True)) == []
    await house.write("after")
    assert told(await house.read(name="mcp", from_now=True)) == ["after"]


# Cursors


async def test_a_cursor_of_another_journal_or_beyond_the_end_is_refused_with_what_to_do(house: House) -> None:
    await house.write("fact")
    instance = await house.journal.instance_id()
    for wrong, said in (
        (write_cursor(await House().journal.instance_id(), Seq(1)), "of another journal"),
        (write_cursor(instance, Seq(2)), "beyond the end"),
        ("1", "unchanged"),
        ("", "unchanged"),
        (f"{write_cursor(instance, Seq(1))}0000000000000000000000", "unchanged"),
        (f"{instance[:8]}.-1", "unchanged"),
        ("\N{SNOWMAN}.1", "unchanged"),
    ):
        with pytest.raises(InvalidInput, match=said) as raised:
            await house.read(cursor=wrong)
        assert raised.value.field == "cursor"
        assert "cursor=start" in str(raised.value.hint)


async def test_the_two_words_for_a_beginning(house: House) -> None:
    await house.write("fact")
    assert told(await house.read(cursor="start")) == ["fact"]
    assert told(await house.read(cursor="now")) == []


def test_a_cursor_says_nothing_but_journal_and_place() -> None:
    cursor = write_cursor("0f8fad5b-d9cb-469f-a165-70867728950e", Seq(42))
    assert re.fullmatch(r"[0-9a-f]{12}\.42", cursor)
    assert read_cursor(cursor, "0f8fad5b-d9cb-469f-a165-70867728950e", Seq(42)) == 42


async def test_a_reader_whose_journal_was_set_back_is_told_so(house: House) -> None:
    await house.journal.save_cursor("reader/cursor/inbox", Seq(99))
    with pytest.raises(InvalidInput, match="acknowledged seq 99, but this journal ends at 0") as raised:
        await house.read(name="inbox")
    assert "another name" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": LIMIT_MAX + 1}, "limit"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "a\n"}, "name"),
        ({"namespace": "../etc"}, "namespace"),
    ],
)
async def test_a_wrong_wish_names_its_field_and_moves_nothing(
    house: House, wish: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        await house.read(**wish)
    assert raised.value.field == field


# Waiting


async def test_a_reader_that_waits_is_answered_by_the_next_commit(house: House) -> None:
    pages = []

    async def wait() -> None:
        pages.append(await house.read(cursor="now", wait_s=PATIENCE_S))

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert pages == []
            await house.write("news")
    assert told(pages[0]) == ["news"]


async def test_a_wait_that_brings_nothing_ends_in_time_with_a_cursor_that_has_moved(house: House) -> None:
    await house.hide("secret/")
    start = await house.read(cursor="now")
    await house.journal.commit([RecordSnapshot("local", "k", 1, {})])
    page = await house.read(cursor=start.next_cursor, wait_s=0.01)
    assert page.told == ()
    assert page.next_after == start.next_after + 1


async def test_an_operator_bounds_how_long_and_how_many_wait() -> None:
    house = House(wait_s_max=PATIENCE_S, waiters_max=1)

    async def wait() -> None:
        await house.read(wait_s=300)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="1 readers wait"):
            await house.read(wait_s=1)
        assert (await house.read()).told == ()
        tasks.cancel_scope.cancel()
    await house.write("fact")
    assert told(await house.read(wait_s=1)) == ["fact"]
    assert (await House(wait_s_max=0).read(wait_s=300)).told == ()


# The follower


async def test_listeners_get_every_batch_in_order_with_links_and_versions(house: House) -> None:
    batches: list[Batch] = []
    await house.write("before anybody listened")
    async with house.running():
        with house.news.listening(batches.append):
            old = await house.write("old")
            new = await house.write("new", supersedes=(old.id,))
            await house.journal.commit([ForgetMemory(new.id, "", ME)])
            await house.caught_up()
        await house.write("after")
        await house.caught_up()
    seqs = [change.seq for batch in batches for change in batch.changes]
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == 4
    assert 1 not in seqs


async def test_what_comes_between_the_opening_and_the_first_look_reaches_the_listeners(house: House) -> None:
    seqs: list[int] = []
    await house.write("before")
    await house.news.open()
    await house.write("the doors are open, the follower is not up yet")
    with house.news.listening(lambda batch: seqs.extend(change.seq for change in batch.changes)):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.news.run)
            await house.write("now it is")
            await house.caught_up()
            tasks.cancel_scope.cancel()
    assert seqs == [2, 3]


async def test_a_journal_that_is_down_for_a_while_costs_the_follower_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memmcp_server.services.news.RETRY_S", 0.01)
    seqs: list[int] = []
    journal = house.journal
    assert isinstance(journal, MemoryJournal)
    async with house.running():
        with house.news.listening(lambda batch: seqs.extend(change.seq for change in batch.changes)):
            await house.write("one")
            await house.caught_up()
            journal.failure = JournalUnavailable("gone")
            await anyio.sleep(0.05)
            journal.failure = None
            await house.write("two")
            await house.caught_up()
    assert seqs == [1, 2]


async def test_a_wish_is_never_moved_by_what_it_is_refused_for(house: House) -> None:
    await house.write("fact")
    with pytest.raises(InvalidInput):
        await house.news.changes(Wish(name="inbox", cursor="bad"), OPERATOR)
    assert await house.journal.cursor("reader/cli/inbox") is None
