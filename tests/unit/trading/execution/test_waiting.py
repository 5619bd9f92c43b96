"""An intent that needs the operator waits without holding anybody up, and ends by his word, in time, or by the desk."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import pytest
from tests.doubles.plain_chain import TOKEN, PlainChain, PlainPreparer, buying
from tests.support.execution import RULES
from tests.support.signing import KEY

from trading.adapters.execution_journal import SqlExecutionJournal
from trading.errors import AwaitingOperator, IllegalTransition
from trading.execution.executor import Executor, Outlook
from trading.model.intent import SOL_MINT, Answer, ApprovalAsked, Attempt, Intent, IntentRecord, IntentState

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("A5")]
SOL = 10**9
WAIT_NS = 600 * SOL
WALLET = KEY.address


@dataclass
class Person:
    """The operator, and how a preparer meets him: buys wait for his word."""

    chain: PlainChain
    says: Answer = Answer.WAITING
    asked: list[ApprovalAsked] = field(default_factory=list)
    withdrawn: list[ApprovalAsked] = field(default_factory=list)

    async def answer_of(self, asked: ApprovalAsked) -> Answer:
        assert asked in self.asked
        return self.says

    async def withdraw(self, asked: ApprovalAsked) -> None:
        self.withdrawn.append(asked)

    async def prepare(self, known: IntentRecord) -> Attempt:
        attempt = await PlainPreparer(self.chain).prepare(known)
        if known.intent.is_exit or self.says is Answer.APPROVED:
            return attempt
        question = ApprovalAsked(f"a-{known.intent.id}", self.chain.now_ns() + WAIT_NS)
        self.asked.append(question)
        raise AwaitingOperator("he is asked", approval_id=question.id, expires_ns=question.expires_ns)


@dataclass
class Scene:
    chain: PlainChain
    person: Person
    journal: SqlExecutionJournal
    executor: Executor

    async def until(self, intent: Intent, holds: Callable[[IntentRecord], bool]) -> IntentRecord:
        """Hand it in again and again, as a courier does, until it stands so."""
        with anyio.fail_after(30):
            while True:
                known = await self.executor.take(intent)
                if holds(known):
                    return known
                await anyio.sleep(0.002)

    async def waiting(self, intent: Intent) -> IntentRecord:
        return await self.until(intent, lambda each: each.state is IntentState.WAITING)

    async def ended(self, intent: Intent) -> IntentRecord:
        return await self.until(intent, lambda each: each.is_final)


@asynccontextmanager
async def a_scene(
    path: Path, chain: PlainChain, person: Person, stops: list[str] | None = None
) -> AsyncIterator[Scene]:
    journal = SqlExecutionJournal.at(path, chain.now_ns)
    outlook = Outlook(chain.now_ns, operator=person)
    outlook.may_go_on = lambda known: "" if known.intent.is_exit or not stops else stops[0]
    executor = Executor(journal, chain, person, RULES, outlook)

    async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        await executor.run([WALLET], task_status=task_status)

    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(run)
            yield Scene(chain, person, journal, executor)
            tasks.cancel_scope.cancel()
    finally:
        journal.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def chain() -> PlainChain:
    made = PlainChain()
    made.wallets[WALLET] = [5 * SOL, 0]
    return made


def late(chain: PlainChain) -> None:
    """Let more time pass than an order that needs nobody is given."""
    chain.tick(400)


async def test_it_waits_beyond_its_own_deadline_with_its_money_reserved_and_swaps_once_after_a_yes(
    chain: PlainChain, tmp_path: Path
) -> None:
    person, intent = Person(chain), replace(buying(chain, WALLET, SOL), deadline_ns=chain.now_ns() + 20 * SOL)
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        known = await here.waiting(intent)
        assert known.approval == person.asked[0]
        late(chain)
        assert (await here.waiting(intent)).attempts == ()
        assert here.journal.reserved(WALLET)[SOL_MINT] >= SOL
        person.says = Answer.APPROVED
        assert (await here.ended(intent)).state is IntentState.SETTLED
    assert len(chain.swaps) == len(person.asked) == 1


@pytest.mark.parametrize("answer", [Answer.REFUSED, Answer.EXPIRED, Answer.UNKNOWN])
async def test_no_yes_is_the_end_of_it(chain: PlainChain, tmp_path: Path, answer: Answer) -> None:
    person, intent = Person(chain), buying(chain, WALLET, SOL)
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        await here.waiting(intent)
        person.says = answer
        known = await here.ended(intent)
        assert known.state is IntentState.FAILED
        assert known.problem.startswith(f"approval_{answer.value}: ")
        assert here.journal.reserved(WALLET) == {}
    assert chain.swaps == []


async def test_it_ends_by_our_own_clock_where_the_signer_never_says_so(chain: PlainChain, tmp_path: Path) -> None:
    person, intent = Person(chain), buying(chain, WALLET, SOL)
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        await here.waiting(intent)
        chain.tick(1_600)
        known = await here.ended(intent)
        assert known.problem.startswith("approval_expired: ")
        assert person.withdrawn == person.asked


async def test_an_exit_of_the_same_token_is_not_held_up_by_a_buy_that_waits(chain: PlainChain, tmp_path: Path) -> None:
    person, first, intent = Person(chain), buying(chain, WALLET, SOL, "first"), buying(chain, WALLET, SOL)
    pair = {"in_mint": TOKEN, "out_mint": SOL_MINT}
    way_out = replace(intent, id="x", key="run/x", **pair, amount_in=10**6, min_out=1, is_exit=True)
    person.says = Answer.APPROVED
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        await here.ended(first)
        person.says = Answer.WAITING
        for _ in range(3):  # asked for again and again, as long as it waits
            await here.waiting(intent)
            await anyio.sleep(0.01)
        assert (await here.ended(way_out)).state is IntentState.SETTLED
        assert (await here.waiting(intent)).attempts == ()


async def test_a_price_that_moved_meanwhile_voids_it_whatever_was_quoted_before(
    chain: PlainChain, tmp_path: Path
) -> None:
    person, intent = Person(chain), buying(chain, WALLET, SOL)
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        await here.waiting(intent)
        chain.pool[0] *= 2
        person.says = Answer.APPROVED
        known = await here.ended(intent)
        assert known.state is IntentState.FAILED
        assert "route_refused" in known.problem
    assert chain.swaps == []


async def test_a_desk_that_lets_nothing_in_any_more_ends_it_and_withdraws_the_question(
    chain: PlainChain, tmp_path: Path
) -> None:
    person, intent, stops = Person(chain), buying(chain, WALLET, SOL), list[str]()
    async with a_scene(tmp_path / "e.db", chain, person, stops) as here:
        await here.waiting(intent)
        stops.append("state_halted: the desk is HALTED")
        known = await here.ended(intent)
        assert known.problem == stops[0]
        assert person.withdrawn == person.asked
    assert chain.swaps == []


async def test_one_that_is_cancelled_while_it_waits_is_never_signed(chain: PlainChain, tmp_path: Path) -> None:
    person, intent = Person(chain), buying(chain, WALLET, SOL)
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        await here.waiting(intent)
        await here.executor.cancel(intent.id)
        person.says = Answer.APPROVED
        assert (await here.ended(intent)).state is IntentState.CANCELLED
    assert chain.swaps == []


@pytest.mark.parametrize("says", [Answer.APPROVED, Answer.REFUSED])
async def test_a_restart_goes_on_waiting_for_the_same_question(chain: PlainChain, tmp_path: Path, says: Answer) -> None:
    person, intent = Person(chain), replace(buying(chain, WALLET, SOL), deadline_ns=chain.now_ns() + 20 * SOL)
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        await here.waiting(intent)
    late(chain)
    async with a_scene(tmp_path / "e.db", chain, person) as here:
        assert (await here.waiting(intent)).approval == person.asked[0]
        person.says = says
        assert (await here.ended(intent)).state is (
            IntentState.SETTLED if says is Answer.APPROVED else IntentState.FAILED
        )
    assert len(person.asked) == 1
    assert len(chain.swaps) == (says is Answer.APPROVED)


async def test_nothing_is_signed_of_one_that_waits_and_a_yes_comes_once(chain: PlainChain, tmp_path: Path) -> None:
    journal = SqlExecutionJournal.at(tmp_path / "e.db", chain.now_ns)
    try:
        known = journal.open(buying(chain, WALLET, SOL))
        attempt = await PlainPreparer(chain).prepare(known)
        with pytest.raises(IllegalTransition):
            journal.approval_given(known.intent.id)
        journal.approval_asked(known.intent.id, ApprovalAsked("a", chain.now_ns() + SOL))
        with pytest.raises(IllegalTransition):
            journal.signed(attempt)
        journal.approval_given(known.intent.id)
        with pytest.raises(IllegalTransition):
            journal.approval_given(known.intent.id)
        journal.signed(attempt)
        assert journal.record(known.intent.id).approval == ApprovalAsked("a", chain.now_ns() + SOL)
    finally:
        journal.close()
