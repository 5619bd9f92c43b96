"""Domain objects on the wire and back."""

from datetime import UTC, datetime

import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memories import T0_NS, a_memory
from tests.doubles.memory_journal import MemoryJournal
from tests.support.journals import a_draft

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftLimits
from memmcp_server.domain.identifiers import Seq, TrajectoryId
from memmcp_server.domain.memory import Acknowledgement, Provenance, Trust
from memmcp_server.domain.search import Found, SearchResult
from memmcp_server.domain.times import to_ns
from memmcp_server.domain.trajectory import TrajectoryList, TrajectorySteps
from memmcp_server.errors import InvalidInput
from memmcp_server.wire.memory import (
    MemoryDocument,
    MemoryHit,
    MemorySearchAnswer,
    MemorySearchRequest,
    MemoryWriteAnswer,
    MemoryWriteRequest,
    TrajectoryDocument,
    TrajectoryPage,
)

CALLER = Caller("cursor", "s-1", "memory_write", "agent", "stdio")
NOBODY = Caller("", "", "POST /memory/write", "agent", "http")
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.requirement("M5")
def test_what_the_door_knows_of_the_writer_goes_before_what_the_body_says() -> None:
    request = MemoryWriteRequest(content="hello", agent="someone else", session="theirs", source="chart")
    known = request.to_draft(CALLER, DraftLimits(), to_ns(NOW)).provenance
    assert known == Provenance("cursor", "theirs", "memory_write", "chart", Trust.AGENT)
    unknown = request.to_draft(NOBODY, DraftLimits(), to_ns(NOW)).provenance
    assert (unknown.agent, unknown.tool) == ("someone else", "POST /memory/write")


def test_a_write_request_becomes_a_draft_with_its_key() -> None:
    request = MemoryWriteRequest(
        content="hello", namespace="team", kind="lesson", tags=["a"], metadata={"n": 1}, ts=NOW, trajectory_id="t"
    )
    draft = request.to_draft(CALLER, DraftLimits(), to_ns(NOW))
    assert (draft.namespace, draft.kind, draft.tags, draft.metadata) == ("team", "lesson", ("a",), {"n": 1})
    assert (draft.ts_event_ns, draft.trajectory_id) == (to_ns(NOW), "t")
    assert draft.key.startswith("content:")
    keyed = MemoryWriteRequest(content="hello", idempotency_key="mine").to_draft(CALLER, DraftLimits(), to_ns(NOW))
    assert keyed.key == "mine"
    with pytest.raises(InvalidInput, match="U\\+0007"):
        MemoryWriteRequest(content="\x07").to_draft(CALLER, DraftLimits(), to_ns(NOW))


def test_a_search_request_becomes_a_query_and_a_time_without_zone_is_refused() -> None:
    request = MemorySearchRequest(query="bonk", kinds=["lesson"], tags=["a"], since=NOW, as_of=NOW, limit=7)
    query = request.to_query()
    assert (query.text, query.limit, query.where.kinds, query.where.tags) == ("bonk", 7, ("lesson",), ("a",))
    assert (query.where.since_ns, query.where.as_of_ns, query.where.until_ns) == (to_ns(NOW), to_ns(NOW), None)
    with pytest.raises(InvalidInput) as caught:
        MemorySearchRequest(query="bonk", until=datetime(2026, 1, 1)).to_query()  # noqa: DTZ001
    assert caught.value.field == "until"


def test_an_acknowledgement_says_durable_and_where_the_memory_is() -> None:
    [memory] = [a_memory("m 1/2", "x")]
    answer = MemoryWriteAnswer.of(Acknowledgement(memory.id, Seq(7), 1, T0_NS, duplicate=True), "team", "http://h")
    assert (answer.seq, answer.durable, answer.duplicate, answer.namespace) == (7, True, True, "team")
    assert answer.url == "http://h/memory/m%201%2F2"


def test_a_hit_is_concise_unless_asked_for_in_full() -> None:
    memory = a_memory("t", "sold", kind="trajectory", metadata={"outcome": "won"}, tags=("bonk",))
    result = SearchResult((Found(memory, 0.123456, "words 1 of 1"),), "ready", 3, "3 memories wait")
    answer = MemorySearchAnswer.of(result)
    [hit] = answer.hits
    assert (answer.total, answer.index, answer.backlog, answer.note) == (1, "ready", 3, "3 memories wait")
    assert (hit.score, hit.why, hit.metadata, hit.known_at) == (0.1235, "words 1 of 1", None, None)
    assert hit.trajectory_id == "t"  # a trajectory's own memory leads to it
    full = MemoryHit.of(result.found[0], full=True)
    assert (full.metadata, full.version, full.session) == ({"outcome": "won"}, 1, "")


def test_a_document_has_every_field_of_the_memory() -> None:
    memory = a_memory("m", "x", superseded_at_ns=T0_NS + 1_000, expires_at_ns=T0_NS)
    document = MemoryDocument.of(memory)
    assert (document.id, document.trust, document.url) == ("m", "agent", "/memory/m")
    assert document.superseded_at is not None
    assert to_ns(document.superseded_at) == T0_NS + 1_000
    assert document.expires_at == document.ts


@pytest.mark.anyio
async def test_a_trajectory_is_shown_with_its_steps_or_without() -> None:
    journal = MemoryJournal(ManualClock())
    await journal.commit([a_draft("signal", trajectory_id="t")])
    trajectory = await journal.trajectory(TrajectoryId("t"))
    assert trajectory is not None
    steps = tuple(await journal.steps(trajectory.id, after=None, limit=9))
    document = TrajectoryDocument.of(TrajectorySteps(trajectory, steps, Seq(2)))
    assert [step.content for step in document.steps] == ["signal"]
    assert (document.next_cursor, document.steps_total, document.url) == ("2", 1, "/trajectories/t")
    page = TrajectoryPage.of(TrajectoryList((trajectory,), "next"))
    assert (page.trajectories[0].steps, page.trajectories[0].steps_total, page.next_cursor) == ([], 1, "next")
