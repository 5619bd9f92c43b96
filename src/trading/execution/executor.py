"""Carries intents out on a chain, exactly once, whatever dies: the write-ahead machine of ``model/intent.py``.

Each step reads what is durable, does one thing, and makes its outcome durable before the next. What it must never do:
send bytes that are not written down, sign again before the last attempt is proven dead, or conclude from an error.
The bytes of an attempt are sent again and again until they are part of the chain or can never be.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio
import anyio.abc
import anyio.to_thread

from trading.errors import (
    AwaitingOperator,
    DataError,
    IllegalTransition,
    InvalidInput,
    RouteRefused,
    SendRefused,
    SigningRefused,
    TradingError,
    Unavailable,
    WrongChain,
)
from trading.model.chain import Commitment, StatusSeen, TransactionSeen
from trading.model.intent import Answer, ApprovalAsked, Attempt, Intent, IntentRecord, IntentState
from trading.model.units import NS_PER_S
from trading.ports import Chain, ExecutionJournal

from .beside import Beside, InThread
from .together import together
from .turns import Sides, Turns
from .upkeep import judged

SWEEP_LIMIT: Final = 5_000
_LATE: Final = "the deadline passed before it landed"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExecutorRules:
    """``poll_s`` is how long to wait for a wake-up before the chain is asked again, ``resend_s`` how often the bytes
    are sent again meanwhile. A step that found nobody to ask is tried again after ``backoff_s``, doubled up to
    ``backoff_cap_s``. ``intents_len_max`` bounds how many are carried out at once; more wait their turn."""

    genesis_hash: str
    poll_s: float = 0.8
    resend_s: float = 2.0
    backoff_s: float = 0.5
    backoff_cap_s: float = 8.0
    sweep_s: float = 30.0
    intents_len_max: int = 64


class _Changed(TradingError):
    """What an attempt was begun on is no longer so. Nobody outside hears of it."""


class Preparer(Protocol):
    """Turns an open intent into a signed attempt that passed every check. It sends nothing and writes nothing."""

    async def prepare(self, known: IntentRecord) -> Attempt:
        """Return the next attempt.

        Raises: RouteRefused, SigningRefused, InvalidInput where this intent is not to be signed; AwaitingOperator where
        he was asked; Unavailable where it could not be found out.
        """


class Operator(Protocol):
    """The person without whose approval some orders are not signed, as far as he can be asked. Raises nothing."""

    async def answer_of(self, asked: ApprovalAsked) -> Answer:
        """Return what he said; WAITING also where that cannot be found out now."""

    async def withdraw(self, asked: ApprovalAsked) -> None:
        """Take a question back that needs no answer any more, if it still waits."""


async def _nobody(_wallet: str, _seen: TransactionSeen) -> None:
    """Nobody hears of it."""


@dataclass(slots=True)
class Outlook:
    """The desk as the executor sees it: its clock, its say before each new signature, and who hears of what moved."""

    now_ns: Callable[[], int]
    may_go_on: Callable[[IntentRecord], str] = lambda _known: ""
    """Returns why nothing more may be signed for it, "" where it may: risk limits are asked again for each attempt."""
    on_change: Callable[[str], None] = lambda _intent_id: None
    on_flow: Callable[[str, TransactionSeen], Awaitable[None]] = _nobody
    """A finalized transaction of the wallet that is not ours: a deposit, a withdrawal, a trade by hand."""
    operator: Operator | None = None
    """None: nobody can be asked, and what would wait for him ends."""


class Executor:
    """One per execution journal. ``running()`` reconciles, then works until it is cancelled; ``take`` hands in."""

    def __init__(
        self,
        journal: ExecutionJournal,
        chain: Chain,
        preparer: Preparer,
        rules: ExecutorRules,
        outlook: Outlook,
        beside: Beside | None = None,
    ) -> None:
        self._journal = journal
        self._chain = chain
        self._preparer = preparer
        self._rules = rules
        self._now_ns = outlook.now_ns
        self._outlook = outlook
        self._turns = Turns()
        self._sides = Sides()
        self._room = anyio.CapacityLimiter(rules.intents_len_max)
        self._io = beside or InThread()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._driven: set[str] = set()
        self._unsure: dict[str, set[str]] = {}
        """Per wallet the intents whose last attempt is not looked up yet since the start: nothing new is signed."""
        self._looked_up: dict[str, anyio.Event] = {}
        self.is_reconciled = False

    async def run(self, wallets: Sequence[str], *, task_status: anyio.abc.TaskStatus[None] | None = None) -> None:
        """Pin the chain, take up what is unfinished, sweep the wallets, then work until cancelled.

        Raises: WrongChain; JournalUnavailable: nothing may be done that cannot be written down.
        """
        await self._pin()
        unfinished = await self._io(self._journal.unfinished)
        for known in unfinished:
            if known.alive is not None and known.state is not IntentState.NEEDS_REVIEW:
                self._unsure.setdefault(known.intent.wallet, set()).add(known.intent.id)
        for wallet in {*wallets, *self._unsure}:
            self._looked_up[wallet] = anyio.Event()
            if wallet not in self._unsure:
                self._looked_up[wallet].set()
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                for wallet in wallets:
                    await self._sweep_until_told(wallet)
                # Those whose fate is open come first: others of their wallet wait for them.
                for known in sorted(unfinished, key=lambda each: each.alive is None):
                    self._drive(known)
                self.is_reconciled = True
                if task_status is not None:
                    task_status.started()
                while True:
                    await anyio.sleep(self._rules.sweep_s)
                    for wallet in wallets:
                        await self._sweep_until_told(wallet)
            finally:
                self._tasks = None
                self.is_reconciled = False

    async def take(self, intent: Intent) -> IntentRecord:
        """Write an intent down and begin; the same key again returns what became of it.

        Raises: InvalidInput; JournalUnavailable.
        """
        known = await self._io(self._journal.open, intent)
        self._drive(known)
        return known

    async def cancel(self, intent_id: str) -> IntentRecord:
        """Ask that nothing more is signed for an intent. What was signed is waited for: it may still land."""
        await self._io(self._journal.ask_to_cancel, intent_id)
        known = await self._io(self._journal.record, intent_id)
        self._drive(known)
        return known

    async def take_up(self, wallet: str) -> None:
        """Go on with what waited while the wallet was halted."""
        for known in await self._io(self._journal.unfinished):
            if known.intent.wallet == wallet:
                self._drive(known)

    @property
    def driven(self) -> int:
        """How many intents it carries out now."""
        return len(self._driven)

    def _drive(self, known: IntentRecord) -> None:
        if known.is_final or known.intent.id in self._driven or self._tasks is None:
            return
        self._driven.add(known.intent.id)
        self._tasks.start_soon(self._carry_out, known)

    async def _carry_out(self, known: IntentRecord) -> None:
        intent = known.intent
        try:
            async with AsyncExitStack() as turns:
                await turns.enter_async_context(self._room)
                for turn in self._turns.of(intent):
                    await turns.enter_async_context(turn)
                await turns.enter_async_context(self._sides.of(intent))
                await self.advance(intent.id, known)
        finally:
            self._driven.discard(intent.id)

    async def advance(self, intent_id: str, told: IntentRecord | None = None) -> IntentRecord:
        """Take steps until the intent is final or waits for a person, and return how it stands.

        ``told``: how it stood lately. An open one is begun on that word, and looked up beside the first questions.
        """
        wait_s = self._rules.backoff_s
        while True:
            if told is not None and told.state is IntentState.OPEN:
                known, told = told, None
            else:
                known = await self._io(self._journal.record, intent_id)
            if known.is_final or known.state is IntentState.NEEDS_REVIEW:
                self._is_sure(known.intent)
                return known
            try:
                if known.state is IntentState.OPEN:
                    self._is_sure(known.intent)
                    if not await self._sign(known):
                        return await self._io(self._journal.record, intent_id)
                elif known.state is IntentState.WAITING:
                    # Whoever waits for a person holds nobody up: its turn is over until it is driven again.
                    if not await self._hear(known):
                        return known
                elif known.state is IntentState.SIGNED:
                    await self._follow(known)
                else:
                    self._is_sure(known.intent)
                    await self._settle(known)
                wait_s = self._rules.backoff_s
            except Unavailable as error:
                if error.code == "journal_unavailable":
                    raise
                logger.warning("intent %s: %s; tried again", intent_id, error)
                await anyio.sleep(wait_s)
                wait_s = min(2 * wait_s, self._rules.backoff_cap_s)
            self._outlook.on_change(intent_id)

    async def _sign(self, known: IntentRecord) -> bool:
        """Sign the next attempt, or end the intent. Returns False where it has to wait: for its wallet, or a person."""
        intent = known.intent
        await self._looked_up_in(intent.wallet)
        over = self._over(known)
        if over is not None:
            await self._io(self._journal.ended, intent.id, *over)
            return True
        try:
            async with together() as ask:
                asked = ask(self._preparer.prepare, known)
                ask(self._require_as_known, known)
            attempt = asked.value
        except _Changed:
            return intent.wallet not in await self._io(self._journal.halted)
        except AwaitingOperator as error:
            approval = ApprovalAsked(error.approval_id, error.expires_ns)
            await self._io(self._journal.approval_asked, intent.id, approval)
            self._outlook.on_change(intent.id)
            return False
        except (RouteRefused, SigningRefused, InvalidInput, DataError) as error:
            logger.info("intent %s is given up: %s", intent.id, error)
            await self._io(self._journal.ended, intent.id, IntentState.FAILED, f"{error.code}: {error.message}")
            return True
        # Preparing can take a while. Nobody has seen these bytes yet: ask all again.
        if self._over(known) is not None:
            return True
        try:
            # Looks once more, in its own transaction, whether an end was asked for or the wallet is halted.
            await self._io(self._journal.signed, attempt)
        except IllegalTransition:
            if (await self._io(self._journal.record, intent.id)).is_cancel_asked:
                return True
            if intent.wallet in await self._io(self._journal.halted):
                return False
            raise
        await self._send(attempt, is_first=True)
        return True

    async def _require_as_known(self, known: IntentRecord) -> None:
        """Raises: _Changed where the record says something else by now, or the wallet is halted."""

        def as_written() -> bool:
            is_same = self._journal.record(known.intent.id) == known
            return is_same and known.intent.wallet not in self._journal.halted()

        if not await self._io(as_written):
            raise _Changed(f"intent {known.intent.id} is not as it was")

    async def _hear(self, known: IntentRecord) -> bool:
        """Take the operator's answer, or end what needs none any more. Returns False while there is no answer."""
        asked, operator, intent_id = known.approval, self._outlook.operator, known.intent.id
        if asked is None or operator is None:
            problem = "approval_unknown: nobody can be asked about it"
            await self._io(self._journal.ended, intent_id, IntentState.FAILED, problem)
            return True
        over = self._over(known)
        if over is not None:
            await self._io(self._journal.ended, intent_id, *over)
            await operator.withdraw(asked)
            return True
        answer = await operator.answer_of(asked)
        if answer is Answer.WAITING:
            return False
        if answer is Answer.APPROVED:
            await self._io(self._journal.approval_given, intent_id)
        else:
            problem = f"approval_{answer.value}: the operator did not approve it"
            await self._io(self._journal.ended, intent_id, IntentState.FAILED, problem)
        return True

    def _over(self, known: IntentRecord) -> tuple[IntentState, str] | None:
        """Return how an intent ends for which nothing more is to be signed, None where it goes on."""
        intent = known.intent
        if known.is_cancel_asked:
            return IntentState.CANCELLED, "asked for before anything of it was on chain"
        if self._now_ns() > known.until_ns:
            is_asked = known.state is IntentState.WAITING
            why = "approval_expired: the operator did not answer in time" if is_asked else _LATE
            return IntentState.FAILED, why
        if len(known.attempts) >= intent.attempts_max:
            return IntentState.FAILED, f"{len(known.attempts)} attempts expired"
        why = self._outlook.may_go_on(known)
        return (IntentState.FAILED, why) if why else None

    async def _follow(self, known: IntentRecord) -> None:
        """Send the same bytes until they are part of the chain or proven dead."""
        attempt = _alive(known)
        sent_ns = self._now_ns()
        if len(self._unsure.get(known.intent.wallet, ())) and known.intent.id in self._unsure[known.intent.wallet]:
            sent_ns = 0  # taken up after a start: whether they were ever sent is not known
        while True:
            status = await self._chain.status(attempt.signature)
            if status is not None and await self._is_decided(known, attempt, status):
                return
            if status is None:
                proof = await self._chain.proof_of_absence(attempt.signature, attempt.last_valid_block_height)
                if proof is not None:
                    await self._io(self._journal.expired, known.intent.id, proof)
                    return
                if self._now_ns() - sent_ns >= self._rules.resend_s * NS_PER_S:
                    await self._send(attempt, is_first=False)
                    sent_ns = self._now_ns()
            await self._chain.wait(attempt.signature, self._rules.poll_s)

    async def _is_decided(self, known: IntentRecord, attempt: Attempt, status: StatusSeen) -> bool:
        if status.error:
            # A failure counts when it is final: until then the block that holds it may vanish.
            return status.commitment is Commitment.FINALIZED and await self._book(known, attempt)
        if status.commitment is Commitment.PROCESSED:
            return False
        await self._io(self._journal.landed, known.intent.id, status)
        return True

    async def _settle(self, known: IntentRecord) -> None:
        """Wait until a landed transaction is final and book what it did; one that vanished is alive again."""
        attempt = _alive(known)
        while not await self._book(known, attempt):
            if await self._chain.status(attempt.signature) is None:
                await self._io(self._journal.vanished, known.intent.id, "no endpoint knows it any more")
                return
            await self._chain.wait(attempt.signature, self._rules.poll_s)

    async def _book(self, known: IntentRecord, attempt: Attempt) -> bool:
        """Book the finalized transaction, or stop for a person; False while no endpoint has it."""
        seen = await self._chain.transaction(attempt.signature)
        if seen is None:
            return False
        settlement, wrong = judged(known.intent, attempt, seen)
        if wrong:
            evidence = {"signature": seen.signature, "slot": seen.slot, "endpoint": seen.endpoint, "wrong": wrong}
            await self._io(self._journal.needs_review, known.intent.id, "; ".join(wrong), evidence)
        else:
            await self._io(self._journal.settled, settlement)
        return True

    async def _send(self, attempt: Attempt, *, is_first: bool) -> None:
        """Hand the bytes out. Whatever the answer, only the chain says what became of them."""
        try:
            await self._chain.send(attempt.raw, is_first=is_first)
        except (SendRefused, Unavailable) as error:
            logger.info("intent %s: sending attempt %s: %s", attempt.intent_id, attempt.number, error)

    async def _pin(self) -> None:
        wait_s = self._rules.backoff_s
        while True:
            try:
                found = await self._chain.genesis_hash()
                break
            except Unavailable as error:
                logger.warning("the chain cannot be reached: %s", error)
                await anyio.sleep(wait_s)
                wait_s = min(2 * wait_s, self._rules.backoff_cap_s)
        if found != self._rules.genesis_hash:
            msg = f"the endpoints are of the chain {found}, the desk is for {self._rules.genesis_hash}"
            raise WrongChain(msg, hint="set chain.endpoints and chain.genesis_hash to one cluster")

    async def _sweep_until_told(self, wallet: str) -> None:
        try:
            await self.sweep(wallet)
        except Unavailable as error:
            if error.code == "journal_unavailable":
                raise
            logger.warning("wallet %s is not swept: %s", wallet, error)

    async def sweep(self, wallet: str, limit: int = SWEEP_LIMIT) -> None:
        """Look through what the wallet's history has that was not seen yet; halt it for a swap that is not ours.

        The first sweep of a wallet only remembers where its history ends. Raises: ChainUnavailable.
        """
        cursor = await self._io(self._journal.cursor, wallet)
        found = await self._chain.signatures(wallet, until=cursor, limit=limit if cursor else 1)
        if cursor and len(found) >= limit:
            problem = f"{len(found)} transactions or more since the wallet was looked at: too many to look through"
            await self._io(self._journal.halt, wallet, problem, {"cursor": cursor})
            return
        for each in reversed(found if cursor else ()):
            if await self._io(self._journal.knows, each.signature):
                continue
            seen = await self._chain.transaction(each.signature)
            if seen is None:
                return  # not told yet: the next sweep begins here
            if seen.payer == wallet:
                evidence: Mapping[str, Any] = {"signature": each.signature, "slot": each.slot}
                problem = f"transaction {each.signature} was signed by the wallet and is not one of ours"
                await self._io(self._journal.halt, wallet, problem, evidence)
            await self._outlook.on_flow(wallet, seen)
            await self._io(self._journal.swept, wallet, each.signature)
        if found:
            await self._io(self._journal.swept, wallet, found[0].signature)

    def _is_sure(self, intent: Intent) -> None:
        unsure = self._unsure.get(intent.wallet)
        if unsure is not None:
            unsure.discard(intent.id)
            if not unsure:
                del self._unsure[intent.wallet]
                self._looked_up[intent.wallet].set()

    async def _looked_up_in(self, wallet: str) -> None:
        waiting = self._looked_up.get(wallet)
        if waiting is not None:
            await waiting.wait()


def _alive(known: IntentRecord) -> Attempt:
    if known.alive is None:
        msg = f"intent {known.intent.id} is {known.state.value} without a living attempt"
        raise TradingError(msg)
    return known.alive
