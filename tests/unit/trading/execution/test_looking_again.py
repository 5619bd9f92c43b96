"""A second look at an intent that waits for a person: what endpoints prove decides, and no word against them does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.doubles.plain_chain import FINAL_SLOTS, WINDOW_BLOCKS, Endpoint, PlainChain, PlainPreparer, buying
from tests.support.signing import KEY

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.errors import ChainUnavailable, InvalidInput
from trading.execution.looking_again import Finding, look_again
from trading.model.chain import Witnessed
from trading.model.intent import IntentState
from trading.runtime.reviewing import GIVE_UP, LOOK, LiveReview, execution_items

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T10"), pytest.mark.requirement("O8")]
SOL = 10**9
WALLET = KEY.address
ITEM = "intent/int_one"


@dataclass
class LyingChain(PlainChain):
    """``lies``: endpoints that tell of a swap that took more than it did."""

    lies: set[str] = field(default_factory=set)

    async def testimonies(self, signature: str) -> Sequence[Witnessed]:
        return [self._told(each) for each in await super().testimonies(signature)]

    def _told(self, each: Witnessed) -> Witnessed:
        if each.seen is None or each.endpoint not in self.lies:
            return each
        before, after = each.seen.lamports[WALLET]
        return replace(each, seen=replace(each.seen, lamports={**each.seen.lamports, WALLET: (before, after - 7)}))


@dataclass
class Case:
    chain: LyingChain
    journal: SqlExecutionJournal
    went_on: list[str] = field(default_factory=list)

    async def answered(self, wallet: str) -> None:
        self.went_on.append(wallet)

    @property
    def state(self) -> IntentState:
        return self.journal.record("int_one").state

    async def finding(self) -> Finding:
        return (await look_again(self.journal.record("int_one"), self.chain)).finding

    async def answer(self, given: str) -> None:
        await LiveReview(self.journal, self.chain, self.answered).answer(ITEM, given, "operator:maria", "I looked")

    async def refused(self, given: str, match: str) -> InvalidInput:
        with pytest.raises(InvalidInput, match=match) as raised:
            await self.answer(given)
        assert self.state is IntentState.NEEDS_REVIEW
        assert raised.value.field == "answer"
        return raised.value


@pytest.fixture
def chain() -> LyingChain:
    made = LyingChain([Endpoint(name) for name in "abc"])
    made.wallets[WALLET] = [5 * SOL, 0]
    return made


@pytest.fixture
def journal(chain: LyingChain, tmp_path: Path) -> Iterator[SqlExecutionJournal]:
    made = SqlExecutionJournal.at(tmp_path / "e.db", chain.now_ns)
    yield made
    made.close()


async def a_case(chain: LyingChain, journal: SqlExecutionJournal, *, lands: bool) -> Case:
    """An intent whose transaction was sent, or not, and that was stopped for a person."""
    known = journal.open(buying(chain, WALLET, SOL))
    attempt = await PlainPreparer(chain).prepare(known)
    journal.signed(attempt)
    if lands:
        await chain.send(attempt.raw, is_first=True)
    chain.tick(2 * FINAL_SLOTS)
    journal.needs_review(known.intent.id, "it took 7 more", {"signature": attempt.signature})
    first, *_ = execution_items(journal)
    assert (first["id"], first["answers"]) == (ITEM, [LOOK, GIVE_UP])
    return Case(chain, journal)


async def test_what_all_say_was_as_signed_is_booked_whatever_one_said_before(
    chain: LyingChain, journal: SqlExecutionJournal
) -> None:
    case = await a_case(chain, journal, lands=True)
    told = await case.refused(GIVE_UP, "happened as it was signed")
    assert LOOK in (told.hint or "")
    await case.answer(LOOK)
    assert case.state is IntentState.SETTLED
    settled = journal.record("int_one").settlement
    assert settled is not None
    assert settled.in_units == SOL
    assert case.went_on == [WALLET]
    wallet, *_ = execution_items(journal)
    assert wallet["answers"] == ["release"]  # that is for a person still


async def test_two_agree_while_the_third_does_not_have_it_or_does_not_answer(
    chain: LyingChain, journal: SqlExecutionJournal
) -> None:
    chain.endpoints[2].denies = True
    case = await a_case(chain, journal, lands=True)
    assert await case.finding() is Finding.AGREES
    chain.endpoints[1].away_calls = 1
    assert await case.finding() is Finding.UNCLEAR


async def test_one_that_contradicts_keeps_it_waiting(chain: LyingChain, journal: SqlExecutionJournal) -> None:
    chain.lies = {"b"}
    case = await a_case(chain, journal, lands=True)
    for given in (LOOK, GIVE_UP):
        told = await case.refused(given, "do not agree")
        assert "b: final in slot" in told.message
    evidence = execution_items(journal)[0]["evidence"]
    assert sum("looked: operator:maria, " in line for line in evidence) == 2


async def test_what_all_say_was_otherwise_is_given_up_by_a_person_and_never_settled(
    chain: LyingChain, journal: SqlExecutionJournal
) -> None:
    chain.lies = {"a", "b", "c"}
    case = await a_case(chain, journal, lands=True)
    await case.refused(LOOK, "did not do what was signed")
    await case.answer(GIVE_UP)
    assert case.state is IntentState.FAILED
    assert "it took 1000000007" in journal.record("int_one").problem
    assert "operator:maria: I looked" in journal.record("int_one").problem


@pytest.mark.parametrize("given", [LOOK, GIVE_UP])
async def test_what_may_still_land_is_not_ended_and_what_never_can_is(
    chain: LyingChain, journal: SqlExecutionJournal, given: str
) -> None:
    case = await a_case(chain, journal, lands=False)
    await case.refused(given, "it may still land")
    chain.tick(WINDOW_BLOCKS + FINAL_SLOTS + 1)
    await case.answer(given)
    assert case.state is IntentState.FAILED
    assert "it can never land" in journal.record("int_one").problem


async def test_while_nobody_answers_nothing_is_decided(chain: LyingChain, journal: SqlExecutionJournal) -> None:
    case = await a_case(chain, journal, lands=True)
    for endpoint in chain.endpoints:
        endpoint.away_calls = 1_000
    for given in (LOOK, GIVE_UP):
        with pytest.raises(ChainUnavailable):
            await case.answer(given)
    assert case.state is IntentState.NEEDS_REVIEW


async def test_one_endpoint_is_enough_only_where_there_is_no_other(
    chain: LyingChain, journal: SqlExecutionJournal
) -> None:
    case = await a_case(chain, journal, lands=True)
    for endpoint in chain.endpoints[1:]:
        endpoint.away_calls = 1
    assert await case.finding() is Finding.UNCLEAR
    del chain.endpoints[1:]
    assert await case.finding() is Finding.AGREES


async def test_a_swap_that_failed_on_chain_is_booked_as_failed(chain: LyingChain, journal: SqlExecutionJournal) -> None:
    known = journal.open(buying(chain, WALLET, SOL))
    attempt = await PlainPreparer(chain).prepare(known)
    journal.signed(attempt)
    chain.pool[0] *= 2
    await chain.send(attempt.raw, is_first=False)
    chain.tick(2 * FINAL_SLOTS)
    journal.needs_review(known.intent.id, "somebody doubted it", {})
    case = Case(chain, journal)
    await case.answer(LOOK)
    assert case.state is IntentState.REVERTED
