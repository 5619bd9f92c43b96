"""An execution node at work: it says that it lives, holds leases of wallets, claims what is due and carries it out.

Each leased wallet has an executor of its own, which begins as a desk does after a crash: what was signed for the wallet
before, by whomever, is looked up on the chain before anything new is signed. When the lease is lost the executor ends;
when the database is away it waits. A node that cannot write signs nothing, because signed bytes are written first.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import uuid4

import anyio
import anyio.abc

from trading.adapters.node_store.journal import LeasedIntents
from trading.adapters.node_store.leases import Beat, Leases, Wish
from trading.adapters.node_store.opening import Door
from trading.adapters.node_store.orders import Orders
from trading.errors import ChainUnavailable, IllegalTransition, JournalUnavailable, LeaseLost, Unavailable
from trading.execution.beside import InBoundedThread
from trading.execution.executor import Executor, ExecutorRules, Operator, Outlook, Preparer
from trading.model.intent import Intent, IntentRecord, IntentState
from trading.model.node import Holder, Lease, NodeState, SharedState
from trading.ports import Chain, ExecutionJournal

SALES_BESIDE: Final = 4
LOOK_S: Final = 2.0
"""How long an intent can lie that a restart of its executor left behind."""

BALANCES_S: Final = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeRules:
    """``wallets_max`` leases at most; ``open_max`` children at once. It looks for work every ``claim_s``, says that it
    lives every ``beat_s``, and finishes what it has begun for up to ``drain_s`` when it is to end."""

    name: str
    wallets_max: int
    open_max: int
    claim_s: float
    beat_s: float
    drain_s: float
    backoff_s: float = 0.5
    version: str = "unknown"


def leased(door: Door, lease: Lease, now_ns: Callable[[], int]) -> ExecutionJournal:
    return LeasedIntents(door, lease, now_ns)


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What a node works with. ``wallets`` are the addresses that its signer can sign for."""

    door: Door
    chain: Chain
    preparer: Preparer
    wallets: Callable[[], Awaitable[Sequence[str]]]
    executor: ExecutorRules
    now_ns: Callable[[], int]
    operator: Operator | None = None
    journal_of: Callable[[Door, Lease, Callable[[], int]], ExecutionJournal] = leased


@dataclass(slots=True)
class _Work:
    """One leased wallet. ``executor`` is the present one; it changes when the database was away."""

    lease: Lease
    scope: anyio.CancelScope
    ended: anyio.Event
    executor: Executor | None = None

    @property
    def is_ready(self) -> bool:
        return self.executor is not None and self.executor.is_reconciled and not self.scope.cancel_called


@dataclass(slots=True)
class _Seen:
    state: SharedState = SharedState.ACTIVE
    lamports: dict[str, int] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    """The wallets that it can sign for."""
    trouble: str = ""
    ahead_ns: int = 0
    """How far the database's clock is ahead of ours: deadlines go by its."""


class Node:
    """Made once per process; ``run`` works until it is cancelled, or drained after ``drain``."""

    def __init__(self, parts: NodeParts, rules: NodeRules) -> None:
        self._parts = parts
        self._rules = rules
        self._leases = Leases(parts.door)
        self._orders = Orders(parts.door, parts.now_ns)
        self._io = InBoundedThread(parts.door.rules.answer_s)
        self._work: dict[str, _Work] = {}
        self._seen = _Seen()
        self._drains = anyio.Event()
        self._process = uuid4().hex
        self._tasks: anyio.abc.TaskGroup | None = None

    def drain(self) -> None:
        """Begin nothing more, finish what was begun, then end."""
        self._drains.set()

    async def run(self) -> None:
        """Raises: LeaseLost where another process took the node's name; WrongChain; whatever a signer cannot say."""
        holder = await self._registered()
        logger.info("node %s works, opening %s", holder.node, holder.epoch)
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._watch_balances)
            await self._until_drained(holder)
            tasks.cancel_scope.cancel()
        with suppress(JournalUnavailable):
            await self._io(self._leases.leave, holder)

    async def _registered(self) -> Holder:
        while True:
            try:
                return await self._io(self._leases.register, self._rules.name, self._rules.version, self._process)
            except JournalUnavailable as error:
                self._tell(error)
                await anyio.sleep(self._rules.backoff_s)

    async def _until_drained(self, holder: Holder) -> None:
        beat_s = look_s = 0.0
        ends_s: float | None = None
        while True:
            if ends_s is None and self._drains.is_set():
                ends_s, beat_s = time.monotonic() + self._rules.drain_s, 0.0
            try:
                if time.monotonic() >= beat_s:
                    beat_s = time.monotonic() + self._rules.beat_s
                    await self._beat(holder)
                if ends_s is None:
                    await self._claim(holder)
                elif time.monotonic() > ends_s or not await self._unfinished():
                    return
                if time.monotonic() >= look_s:
                    look_s = time.monotonic() + LOOK_S
                    await self._look()
                self._seen.trouble = ""
            except Unavailable as error:  # the database or the signer: without either nothing can be begun
                self._tell(error)
                if ends_s is not None and time.monotonic() > ends_s:
                    return
            with anyio.move_on_after(self._rules.claim_s):
                await (anyio.sleep_forever() if ends_s is not None else self._drains.wait())

    async def _beat(self, holder: Holder) -> None:
        state = NodeState.DRAINING if self._drains.is_set() else NodeState.WORKING
        told = {"lamports": {name: str(each) for name, each in self._seen.lamports.items()}}
        wallets = tuple(await self._parts.wallets())
        self._seen.own = frozenset(wallets)
        wish = Wish(state, wallets, self._rules.wallets_max, told)
        beat = await self._io(self._leases.beat, holder, wish)
        self._seen.state = beat.state
        self._seen.ahead_ns = beat.now_ns - self._parts.now_ns()
        await self._follow(beat)
        # A wallet that it cannot sign for is only watched until what was begun in it has ended.
        await self._give_back(holder, [each for each in self._work if each not in self._seen.own], len(self._work))
        if state is NodeState.WORKING:
            await self._give_back(holder, list(self._work), beat.surplus)

    async def _follow(self, beat: Beat) -> None:
        """Begin what came and end what went."""
        held = {each.wallet: each for each in beat.leases}
        for wallet, work in list(self._work.items()):
            if work.lease != held.get(wallet) or work.ended.is_set():
                await self._end(wallet)
        assert self._tasks is not None
        for wallet, lease in held.items():
            if wallet not in self._work:
                self._work[wallet] = _Work(lease, anyio.CancelScope(), anyio.Event())
                self._tasks.start_soon(self._carry, self._work[wallet])

    async def _end(self, wallet: str) -> None:
        work = self._work.pop(wallet)
        work.scope.cancel()
        await work.ended.wait()

    async def _give_back(self, holder: Holder, wallets: Sequence[str], most: int) -> None:
        """Let others have wallets of which nothing is begun. Nothing is claimed meanwhile: that is this task's too."""
        idle: list[str] = []
        for wallet in wallets:
            work = self._work[wallet]
            if len(idle) < most and work.is_ready and not await self._goes_on(work, {IntentState.NEEDS_REVIEW}):
                idle.append(wallet)
        for wallet in idle:
            await self._end(wallet)
        if idle:
            await self._io(self._leases.release, holder, idle)

    async def _claim(self, holder: Holder) -> None:
        own = self._seen.own
        ready = {wallet: work.executor for wallet, work in self._work.items() if work.is_ready and wallet in own}
        room = self._rules.open_max - sum(each.driven for each in ready.values() if each is not None)
        if not ready:
            return
        # Who is full of purchases still takes sales: nothing may keep the desk from getting out.
        claim = partial(self._orders.claim, buys=room > 0)
        for intent in await self._io(claim, holder, list(ready), max(room, SALES_BESIDE)):
            await self._hand_in(intent, ready[intent.wallet])

    async def _hand_in(self, intent: Intent, executor: Executor | None) -> None:
        assert executor is not None
        logger.info("child %s is claimed", intent.id)
        await executor.take(intent)

    async def _unfinished(self) -> bool:
        """Tell whether anything goes on that needs no person."""
        for work in self._work.values():
            if not work.ended.is_set() and await self._goes_on(work, {IntentState.NEEDS_REVIEW, IntentState.WAITING}):
                return True
        return False

    async def _goes_on(self, work: _Work, but: Collection[IntentState]) -> bool:
        known = await self._io(self._journal(work.lease).unfinished)
        return any(each.state not in but for each in known)

    async def _look(self) -> None:
        for wallet, work in list(self._work.items()):
            if work.is_ready and work.executor is not None:
                await work.executor.take_up(wallet)

    async def _carry(self, work: _Work) -> None:
        """Work for one wallet until its lease is lost; where the database is away, wait and begin anew."""
        try:
            with work.scope:
                while await self._carried(work):
                    work.executor = None
                    await anyio.sleep(self._rules.backoff_s)
        finally:
            work.executor = None
            work.ended.set()

    async def _carried(self, work: _Work) -> bool:
        """Work until something comes in between; return whether to begin anew."""
        goes_on = True
        outlook = Outlook(self._now_ns, self._may_go_on, operator=self._parts.operator)
        beside = InBoundedThread(self._parts.door.rules.answer_s)
        parts = self._parts
        work.executor = Executor(
            self._journal(work.lease), parts.chain, parts.preparer, parts.executor, outlook, beside
        )
        try:
            await work.executor.run([work.lease.wallet])
        except* JournalUnavailable as lost:
            self._tell(lost.exceptions[0])
        except* IllegalTransition as lost:
            # A write that was given up as unanswered was done after all: the record says what is next.
            self._tell(lost.exceptions[0])
        except* LeaseLost as lost:
            self._tell(lost.exceptions[0])
            goes_on = False
        return goes_on

    def _now_ns(self) -> int:
        return self._parts.now_ns() + self._seen.ahead_ns

    def _journal(self, lease: Lease) -> ExecutionJournal:
        return self._parts.journal_of(self._parts.door, lease, self._parts.now_ns)

    def _may_go_on(self, known: IntentRecord) -> str:
        if self._seen.state is SharedState.REDUCING and not known.intent.is_exit:
            return "reducing: the nodes only sell"
        return ""

    def _tell(self, error: BaseException) -> None:
        said = str(error)
        if said != self._seen.trouble:
            logger.warning("node %s: %s", self._rules.name, said)
        self._seen.trouble = said

    async def _watch_balances(self) -> None:
        while True:
            addresses = list(self._work)
            with suppress(ChainUnavailable):
                found: Mapping[str, Any] = await self._parts.chain.accounts(addresses) if addresses else {}
                self._seen.lamports = {name: 0 if each is None else each.lamports for name, each in found.items()}
            await anyio.sleep(BALANCES_S if addresses else self._rules.claim_s)
