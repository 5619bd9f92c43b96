"""What the memory holds, summed up within bounds."""

from dataclasses import replace

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import T0_NS, a_draft

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.memory import MemoryFilter
from memmcp_server.domain.summary import Summary, SummaryQuery
from memmcp_server.errors import InvalidInput
from memmcp_server.services.policies import Policies
from memmcp_server.services.summaries import GROUPS_MAX, Summaries

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("M18")]
AGENT = Caller("cursor", "", "GET /memory/summary", "agent", "http")
OPERATOR = replace(AGENT, agent="operator", role="operator")


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal(ManualClock())


async def summed(journal: MemoryJournal, query: SummaryQuery, caller: Caller = AGENT) -> Summary:
    clock = ManualClock()
    return await Summaries(journal, Policies(journal, clock), clock).of(query, caller)


async def test_more_groups_than_are_listed_are_said_to_be_there(journal: MemoryJournal) -> None:
    await journal.commit([a_draft(f"{n}", kind=f"k{n:03d}") for n in range(GROUPS_MAX + 1)])
    summary = await summed(journal, SummaryQuery(MemoryFilter()))
    assert (len(summary.counts), summary.groups_left_out, summary.total) == (GROUPS_MAX, True, GROUPS_MAX + 1)
    await journal.commit([a_draft("x", kind="other", namespace="team")])
    one = await summed(journal, SummaryQuery(MemoryFilter(namespace="team")))
    assert (len(one.counts), one.groups_left_out) == (1, False)


async def test_what_has_expired_or_does_not_hold_now_is_counted_but_not_shown(journal: MemoryJournal) -> None:
    now_ns = ManualClock().now_ns()
    await journal.commit(
        [
            a_draft("over", valid_to_ns=now_ns - 1),
            a_draft("expired", expires_at_ns=now_ns - 1, ts_event_ns=now_ns - 5),
            a_draft("holds"),
        ]
    )
    summary = await summed(journal, SummaryQuery(MemoryFilter()))
    assert summary.total == 3
    assert [shown.memory.content for shown in summary.highlights] == ["holds"]
    assert [shown.memory.content for shown in summary.newest] == ["holds"]


async def test_the_window_bounds_when_it_happened(journal: MemoryJournal) -> None:
    await journal.commit([a_draft(f"{n}", ts_event_ns=T0_NS + n) for n in range(5)])
    summary = await summed(journal, SummaryQuery(MemoryFilter(since_ns=T0_NS + 1, until_ns=T0_NS + 3)))
    assert sorted(shown.memory.content for shown in summary.newest) == ["1", "2"]
    with pytest.raises(InvalidInput) as caught:
        await summed(journal, SummaryQuery(MemoryFilter(since_ns=5, until_ns=5)))
    assert caught.value.field == "since"


async def test_a_hidden_namespace_is_neither_counted_nor_named(journal: MemoryJournal) -> None:
    await journal.commit([a_draft("a", namespace="private/x", pinned=True), a_draft("b")])
    clock = ManualClock()
    await Policies(journal, clock).set("private/", {"readers": ["trae"]}, OPERATOR)
    seen = await summed(journal, SummaryQuery(MemoryFilter(), "namespace"))
    assert [(count.name, count.number) for count in seen.counts] == [("default", 1)]
    assert (seen.total, [shown.memory.content for shown in seen.highlights]) == (1, ["b"])
    assert (await summed(journal, SummaryQuery(MemoryFilter(), "namespace"), OPERATOR)).total == 2
    assert (await summed(journal, SummaryQuery(MemoryFilter(namespace="private/x")))).total == 0


async def test_digests_are_not_shown_where_another_kind_is_asked_for(journal: MemoryJournal) -> None:
    await journal.commit([a_draft("d", kind="digest"), a_draft("n", kind="note")])
    everything = await summed(journal, SummaryQuery(MemoryFilter()))
    assert [shown.memory.content for shown in everything.digests] == ["d"]
    notes = await summed(journal, SummaryQuery(MemoryFilter(kinds=("note",))))
    assert notes.digests == ()


async def test_the_lists_are_bounded_by_the_limit(journal: MemoryJournal) -> None:
    await journal.commit([a_draft(f"{n}", kind="digest") for n in range(9)])
    summary = await summed(journal, SummaryQuery(MemoryFilter(), limit=2))
    assert [len(each) for each in (summary.highlights, summary.newest, summary.digests)] == [2, 2, 2]
    for limit in (0, 51):
        with pytest.raises(InvalidInput):
            await summed(journal, SummaryQuery(MemoryFilter(), limit=limit))
