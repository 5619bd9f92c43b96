"""Writing and finding memories, with an index that is late, wrong, slow or gone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
import pytest
from tests.doubles.clocks import ManualClock
from tests.doubles.memory_journal import MemoryJournal
from tests.doubles.word_scanner import WordScanner
from tests.support.journals import a_draft

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.identifiers import MemoryId, Namespace, TrajectoryId
from memmcp_server.domain.memory import MemoryFilter, Provenance, Trust
from memmcp_server.domain.search import SearchQuery, SearchResult
from memmcp_server.domain.trajectory import CloseTrajectory, OpenTrajectory
from memmcp_server.errors import IndexUnavailable, InvalidInput, JournalUnavailable, NotFound, Refused
from memmcp_server.ports import IndexHit, IndexPoint, IndexStatus
from memmcp_server.services.memories import BATCH_LEN_MAX, Memories
from memmcp_server.services.policies import Policies
from memmcp_server.services.ranking import HITS_WANTED
from memmcp_server.services.words import query_words

pytestmark = pytest.mark.anyio
SCANNER = WordScanner({"hunter2": "password"})
AGENT = Caller("claude", "s-1", "memory_write", "agent", "stdio")
OPERATOR = replace(AGENT, role="operator")
VIEWER = replace(AGENT, role="viewer")


@dataclass
class ScriptedIndex:
    """An index that answers with given hits, in a given state, or not at all."""

    hits: list[IndexHit] = field(default_factory=list)
    state: IndexStatus = field(default_factory=lambda: IndexStatus("ready", "script", "none", 0))
    is_stuck: bool = False
    is_down: bool = False
    asked: list[tuple[str, MemoryFilter, int]] = field(default_factory=list)

    async def upsert(self, points: Sequence[IndexPoint]) -> None:
        raise NotImplementedError

    async def remove(self, memory_ids: Sequence[MemoryId]) -> None:
        raise NotImplementedError

    async def clear(self) -> None:
        raise NotImplementedError

    async def search(self, query: str, where: MemoryFilter, *, limit: int) -> list[IndexHit]:
        self.asked.append((query, where, limit))
        if self.is_stuck:
            await anyio.sleep_forever()
        if self.is_down:
            raise IndexUnavailable("the worker died")
        return self.hits[:limit]

    async def status(self) -> IndexStatus:
        return self.state


@dataclass
class Bench:
    clock: ManualClock = field(default_factory=ManualClock)
    index: ScriptedIndex = field(default_factory=ScriptedIndex)

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.clock)
        self.memories = Memories(
            self.journal, self.index, self.clock, Policies(self.journal, self.clock), SCANNER, index_timeout_s=0.05
        )

    async def write(self, content: str, **fields: object) -> MemoryId:
        return (await self.memories.write(a_draft(content, **fields), AGENT)).id

    async def index_everything(self) -> None:
        due = await self.journal.outbox_due("qdrant", now_ns=self.clock.now_ns(), limit=1_000)
        await self.journal.outbox_delivered([each.id for each in due])

    async def search(self, text: str, limit: int = 10, **where: object) -> SearchResult:
        return await self.memories.search(SearchQuery(text, MemoryFilter(**where), limit), AGENT)  # type: ignore[arg-type]


def hit(memory_id: MemoryId, version: int = 1, score: float = 0.5) -> IndexHit:
    return IndexHit(memory_id, version, score, 0.71, 3.2, 0.6, 0.9)


def texts(result: SearchResult) -> list[str]:
    return [found.memory.content for found in result.found]


@pytest.mark.requirement("M1")
async def test_a_write_is_found_at_once_by_its_words_before_the_index_has_it() -> None:
    bench = Bench()
    await bench.write("BONK broke out above its high")
    result = await bench.search("bonk breakout above")
    assert texts(result) == ["BONK broke out above its high"]
    assert "not yet indexed" in result.found[0].why
    assert (result.index_state, result.backlog) == ("ready", 1)
    assert result.note is not None
    assert "1 memories are not indexed yet" in result.note


async def test_a_tag_is_a_word_too() -> None:
    bench = Bench()
    await bench.write("bought the breakout", tags=("BONK",))
    assert texts(await bench.search("bonk")) == ["bought the breakout"]


async def test_index_and_words_are_united_each_memory_once_best_first() -> None:
    bench = Bench()
    old = await bench.write("momentum lesson: cut losers")
    await bench.index_everything()
    await bench.write("fresh momentum note", namespace="team")
    both = await bench.write("momentum lesson again")
    bench.index.hits = [hit(both, score=0.9), hit(old, score=0.8)]
    result = await bench.search("momentum lesson")
    assert texts(result) == ["momentum lesson again", "momentum lesson: cut losers", "fresh momentum note"]
    assert result.found[0].why == "meaning 0.71, words 3.2, words 2 of 2 (not yet indexed)"
    assert result.found[1].why == "meaning 0.71, words 3.2"
    assert all(0 < found.score <= 1 for found in result.found)
    assert bench.index.asked == [("momentum lesson", MemoryFilter(valid_at_ns=bench.clock.now_ns()), HITS_WANTED)]


async def test_what_the_index_invents_or_has_wrong_never_shows() -> None:
    bench = Bench()
    kept = await bench.write("kept", namespace="team")
    await bench.index_everything()
    bench.index.hits = [hit(MemoryId("forgotten")), hit(kept)]
    assert texts(await bench.search("anything")) == ["kept"]
    assert texts(await bench.search("anything", namespace="other")) == []  # the index ignored the filter


@pytest.mark.requirement("M4")
async def test_a_late_index_shows_the_present_text_and_as_of_the_one_of_then() -> None:
    bench = Bench()
    trade = TrajectoryId("t")
    await bench.journal.commit([OpenTrajectory(trade, Namespace("team"), "trade", "BONK", "holding BONK", 1)])
    then_ns = bench.clock.now_ns()
    bench.clock.advance(10)
    await bench.journal.commit([CloseTrajectory(trade, "won", "sold at a profit", 2)])
    await bench.index_everything()
    bench.index.hits = [hit(MemoryId(trade), version=1)]
    now = await bench.search("BONK")
    assert texts(now) == ["sold at a profit"]
    assert "changed since it was indexed" in now.found[0].why
    bench.index.hits = [hit(MemoryId(trade), version=2)]
    assert texts(await bench.search("BONK", as_of_ns=then_ns)) == ["holding BONK"]
    assert texts(await bench.search("BONK", as_of_ns=then_ns - 1)) == []


async def test_an_expired_memory_is_not_found_but_was_before() -> None:
    bench = Bench()
    written_ns = bench.clock.now_ns()
    await bench.write("short lived", expires_at_ns=written_ns + 5_000_000_000)
    assert texts(await bench.search("lived")) == ["short lived"]
    bench.clock.advance(5)
    assert texts(await bench.search("lived")) == []
    assert texts(await bench.search("lived", as_of_ns=written_ns)) == ["short lived"]


@pytest.mark.parametrize(
    ("index", "state", "said"),
    [
        (ScriptedIndex(state=IndexStatus("starting", "", "", 0)), "starting", "still starting"),
        (ScriptedIndex(state=IndexStatus("down", "", "", 0, "no worker")), "down", "no worker"),
        (ScriptedIndex(is_down=True), "down", "does not answer"),
        (ScriptedIndex(is_stuck=True), "down", "does not answer"),
    ],
    ids=["starting", "down", "died", "stuck"],
)
async def test_without_an_index_everything_is_searched_by_words_and_the_answer_says_so(
    index: ScriptedIndex, state: str, said: str
) -> None:
    bench = Bench(index=index)
    await bench.write("an old apple")
    await bench.index_everything()
    await bench.write("a new apple")
    with anyio.fail_after(30):
        result = await bench.search("apple")
    assert texts(result) == ["a new apple", "an old apple"]
    assert result.index_state == state
    assert result.note is not None
    assert said in result.note
    assert result.found[0].why == "words 1 of 1"


async def test_an_index_without_a_model_answers_and_is_called_degraded() -> None:
    bench = Bench(index=ScriptedIndex(state=IndexStatus("degraded", "edge", "", 1, "no model")))
    bench.index.hits = [IndexHit(await bench.write("an apple"), 1, 0.4, None, 2.5, 0.4)]
    await bench.index_everything()
    result = await bench.search("apple")
    assert (result.index_state, result.found[0].why) == ("degraded", "words 2.5")
    assert result.note is not None
    assert "no model" in result.note


async def test_a_search_fails_when_the_journal_does_rather_than_hide_it() -> None:
    bench = Bench()
    bench.journal.failure = JournalUnavailable("the disk is gone")
    with pytest.raises(JournalUnavailable):
        await bench.search("anything")


async def test_the_limit_bounds_the_answer() -> None:
    bench = Bench()
    for number in range(5):
        await bench.write(f"apple {number}")
    assert len((await bench.search("apple", limit=3)).found) == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (SearchQuery(" "), "query"),
        (SearchQuery("x" * 4_001), "query"),
        (SearchQuery("cut \ud83d"), "query"),
        (SearchQuery("a\x00"), "query"),
        (SearchQuery("a", limit=0), "limit"),
        (SearchQuery("a", limit=101), "limit"),
        (SearchQuery("a", MemoryFilter(since_ns=2, until_ns=2)), "since"),
    ],
)
async def test_a_query_that_cannot_be_answered_names_its_field(query: SearchQuery, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await Bench().memories.search(query, AGENT)
    assert caught.value.field == field


@pytest.mark.requirement("M5")
@pytest.mark.parametrize("namespace", ["trading", "memory_bank", "strategies/momentum"])
async def test_an_agent_cannot_write_where_the_runtime_does_and_an_operator_can(namespace: str) -> None:
    bench = Bench()
    draft = a_draft("I am the desk", namespace=namespace)
    with pytest.raises(Refused) as caught:
        await bench.memories.write_many([a_draft("innocent"), draft], AGENT)
    assert caught.value.field == "namespace"
    assert await bench.journal.count(MemoryFilter()) == 0
    await bench.memories.write(draft, OPERATOR)
    assert await bench.journal.count(MemoryFilter()) == 1


async def test_an_agent_cannot_add_a_step_to_the_runtimes_trajectory() -> None:
    bench = Bench()
    trade = OpenTrajectory(TrajectoryId("t"), Namespace("trading"), "trade", "BONK", "holding", 1)
    await bench.journal.commit([trade])
    with pytest.raises(Refused) as caught:
        await bench.write("I was the fill", trajectory_id="t")
    assert caught.value.field == "trajectory_id"
    await bench.write("my own step", trajectory_id="mine")
    await bench.write("my second step", trajectory_id="mine")
    assert (await bench.journal.steps(TrajectoryId("t"), after=None, limit=9)) == []


async def test_a_viewer_writes_nothing_and_nobody_but_the_runtime_claims_its_trust() -> None:
    bench = Bench()
    with pytest.raises(Refused, match="viewer"):
        await bench.memories.write(a_draft("a"), VIEWER)
    with pytest.raises(Refused) as caught:
        await bench.memories.write(a_draft("a", provenance=Provenance(trust=Trust.SYSTEM)), AGENT)
    assert caught.value.field == "trust"
    assert await bench.journal.count(MemoryFilter()) == 0


async def test_a_batch_is_bounded_and_an_empty_one_does_nothing() -> None:
    bench = Bench()
    assert await bench.memories.write_many([], AGENT) == []
    with pytest.raises(InvalidInput, match=str(BATCH_LEN_MAX)):
        await bench.memories.write_many([a_draft("a")] * (BATCH_LEN_MAX + 1), AGENT)


async def test_a_memory_is_read_by_id_and_version_and_an_unknown_one_is_named() -> None:
    bench = Bench()
    memory_id = await bench.write("hello")
    assert (await bench.memories.get(memory_id)).content == "hello"
    assert (await bench.memories.get(memory_id, 1)).content == "hello"
    for wanted, said in ((("nope", None), "nope"), ((memory_id, 2), "version 2")):
        with pytest.raises(NotFound, match=said):
            await bench.memories.get(*wanted)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Why did we buy BONK?", ("buy", "bonk")),
        ("what is it", ("what", "is", "it")),
        ("DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263", ("dezxaz8z7pnrnrjjz3wxborgixca6xjnb7yab1ppb263",)),
        ("買う BONK bonk", ("買う", "bonk")),
        ("note number 7 of x", ("note", "number", "7")),
        ("???", ("???",)),
    ],
)
async def test_the_words_of_a_query_are_those_worth_looking_for(text: str, words: tuple[str, ...]) -> None:
    assert query_words(text) == words
