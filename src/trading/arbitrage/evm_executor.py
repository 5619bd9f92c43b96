"""Carries intents out on an EVM chain, exactly once, whatever dies: the write-ahead machine of ``model/evm.py``.

Each step reads what is durable, does one thing, and makes its outcome durable before the next. An account has one
nonce in flight. Every transaction of an intent has that nonce, so the chain itself takes at most one of them; bytes are
written down before they are sent; and nothing is concluded from an error, a node that lags, or two that disagree.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import anyio
import anyio.abc
import anyio.to_thread

from trading.errors import (
    ChainUnavailable,
    DataError,
    IllegalTransition,
    InvalidInput,
    NotArmed,
    RouteRefused,
    SendRefused,
    SigningRefused,
)
from trading.execution.beside import Beside, InThread
from trading.model.evm import (
    EvmAttempt,
    EvmIntent,
    EvmKind,
    EvmMandate,
    EvmRecord,
    EvmSettlement,
    EvmState,
    EvmTx,
    Receipt,
)
from trading.model.identifiers import derived_id
from trading.model.units import NS_PER_S

from .evm_ports import EvmChain, EvmJournal, EvmPreparer, EvmSigner

DAY_NS: Final = 86_400 * NS_PER_S
CANCELS_MAX: Final = 8
_UNDER_WAY: Final = frozenset({EvmState.OPEN, EvmState.PENDING, EvmState.LANDED})
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvmRules:
    """``confirmations``: how deep a block must be before its amounts are told. ``bump_after_s``: how long the newest
    bytes wait in no block before dearer ones of the same nonce are signed."""

    confirmations: int = 5
    poll_s: float = 1.0
    final_poll_s: float = 30.0
    bump_after_s: float = 12.0
    backoff_s: float = 0.5
    backoff_cap_s: float = 8.0


@dataclass(frozen=True, slots=True)
class EvmParts:
    """What the machine works with."""

    journal: EvmJournal
    chain: EvmChain
    preparer: EvmPreparer
    signer: EvmSigner


class EvmExecutor:
    """One per account and journal. ``run`` takes up what is unfinished, then works until it is cancelled."""

    def __init__(
        self,
        parts: EvmParts,
        mandate: EvmMandate,
        rules: EvmRules,
        now_ns: Callable[[], int],
        on_change: Callable[[EvmRecord], None] = lambda _known: None,
    ) -> None:
        self._journal = parts.journal
        self._chain = parts.chain
        self._preparer = parts.preparer
        self._signer = parts.signer
        self._mandate = mandate
        self._rules = rules
        self._now_ns = now_ns
        self._on_change = on_change
        self._lane = anyio.Lock()
        self._io: Beside = InThread()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._driven: set[str] = set()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take up what is unfinished, those first that hold a nonce, and work. Raises: JournalUnavailable."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                await self.take_up()
                task_status.started()
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def take(self, intent: EvmIntent) -> EvmRecord:
        """Write an intent down and begin; the same key again returns what became of it. Raises: InvalidInput."""
        known = await self._io(self._journal.open, intent)
        if not known.is_final:
            self._drive(known.intent.id)
        return known

    async def take_up(self) -> None:
        """Go on with what is unfinished, also with what a person has answered. Raises: JournalUnavailable."""
        unfinished = await self._io(self._journal.unfinished, self._signer.account)
        for known in sorted(unfinished, key=lambda each: not each.attempts):
            self._drive(known.intent.id)

    async def cancel(self, intent_id: str) -> EvmRecord:
        """Ask that an intent ends: its nonce is used up by an empty transaction, unless the swap is faster."""
        await self._io(self._journal.ask_to_cancel, intent_id)
        return await self._io(self._journal.record, intent_id)

    def _drive(self, intent_id: str) -> None:
        if self._tasks is not None and intent_id not in self._driven:
            self._driven.add(intent_id)
            self._tasks.start_soon(self._carry_out, intent_id)

    async def _carry_out(self, intent_id: str) -> None:
        try:
            async with self._lane:
                await self._until(intent_id, lambda each: each.state not in _UNDER_WAY, self._rules.poll_s)
            # Whether a deep block stays is watched beside the next intent.
            await self._until(intent_id, lambda each: not each.is_watched, self._rules.final_poll_s)
        finally:
            self._driven.discard(intent_id)

    async def _until(self, intent_id: str, is_over: Callable[[EvmRecord], bool], poll_s: float) -> None:
        wait_s = self._rules.backoff_s
        while not is_over(await self._io(self._journal.record, intent_id)):
            try:
                if not await self.step(intent_id):
                    await anyio.sleep(poll_s)
                wait_s = self._rules.backoff_s
            except ChainUnavailable as error:
                logger.warning("intent %s: %s; tried again", intent_id, error)
                await anyio.sleep(wait_s)
                wait_s = min(2 * wait_s, self._rules.backoff_cap_s)

    async def step(self, intent_id: str) -> bool:
        """Take one step; return whether anything changed. Raises: ChainUnavailable: nothing is known, nothing changed
        but what the journal says."""
        known = await self._io(self._journal.record, intent_id)
        steps = {EvmState.OPEN: self._begin, EvmState.PENDING: self._follow, EvmState.LANDED: self._deepen}
        if known.is_watched:
            steps[known.state] = self._finalize
        if known.state not in steps:
            return False
        has_changed = await steps[known.state](known)
        if has_changed:
            self._on_change(await self._io(self._journal.record, intent_id))
        return has_changed

    async def _begin(self, known: EvmRecord) -> bool:
        """Sign the first transaction, or end the intent while nothing of it can be on chain."""
        intent = known.intent
        over = await self._over(known)
        if over is not None:
            await self._io(self._journal.ended, intent.id, *over)
            return True
        if await self._io(self._journal.halted, intent.account):
            return False
        try:
            # First: while its allowance is under way, that one holds the nonce.
            if intent.kind is EvmKind.SWAP and not await self._is_allowed(intent):
                return False
            nonce = await self._free_nonce(intent.account)
            if nonce is None:
                return False
            tx, quoted, at = await self._preparer.first(known, nonce)
            over = await self._over(known)  # preparing can take a while
            if over is None:
                return await self._sign(known, tx, (quoted, at), is_cancel=False)
        except (RouteRefused, SigningRefused, NotArmed, InvalidInput, DataError) as error:
            over = EvmState.FAILED, f"{error.code}: {error.message}"
        await self._io(self._journal.ended, intent.id, *over)
        return True

    async def _over(self, known: EvmRecord) -> tuple[EvmState, str] | None:
        intent, now_ns = known.intent, self._now_ns()
        if (await self._io(self._journal.record, intent.id)).is_cancel_asked:
            return EvmState.CANCELLED, "it was asked for before anything was signed"
        if now_ns >= intent.deadline_ns:
            return EvmState.FAILED, "the deadline passed before anything was signed"
        if intent.kind is EvmKind.SWAP:
            given = await self._io(self._journal.given, intent.account, intent.in_token, now_ns - DAY_NS)
            most = self._mandate.token_day_max.get(intent.in_token, 0)
            if given + intent.amount_in > most:
                why = f"day_limit: {given} of {intent.in_token} were given in 24 hours, and {most} may be"
                return EvmState.FAILED, why
        return None

    async def _free_nonce(self, account: str) -> int | None:
        """Return the nonce of the next transaction, None where the account was halted.

        Raises: ChainUnavailable where the nodes do not know yet what we know, or somebody's transaction waits.
        """
        expected = await self._io(self._journal.next_nonce, account)
        mined, waiting = await self._chain.nonces(account)
        if expected is not None and mined < expected:
            msg = f"a node says that {mined} transactions of {account} are in blocks, and {expected} were"
            raise ChainUnavailable(msg)
        if expected is not None and mined > expected:
            why = f"nonces {expected} to {mined - 1} were used by somebody else who has the key"
            await self._io(self._journal.halt, account, why)
            return None
        if waiting > mined:
            msg = f"{waiting - mined} transactions of {account} wait that are not ours"
            raise ChainUnavailable(msg)
        return mined

    async def _is_allowed(self, intent: EvmIntent) -> bool:
        """Tell whether the router may take the amount. Where it may not, carry out an intent of its own that lets it
        take exactly so much. Raises: RouteRefused where that did not come about."""
        key = f"{intent.key}/allow"
        known = await self._io(self._journal.by_key, key)
        if known is None and await self._preparer.allowance(intent) < intent.amount_in:
            wished = replace(intent, id=derived_id("evm", key), key=key, kind=EvmKind.ALLOW, min_out=1)
            known = await self._io(self._journal.open, wished)
        if known is None:
            return True
        if known.state in _UNDER_WAY:
            self._drive(known.intent.id)  # once the lane is free again: somebody has to see that its block stays
            await self.step(known.intent.id)
            return False
        if await self._preparer.allowance(intent) >= intent.amount_in:
            return True
        msg = f"the allowance is {known.state.value}: {known.problem or 'and was used up by something else'}"
        raise RouteRefused(msg, reason="allowance")

    async def _sign(self, known: EvmRecord, tx: EvmTx, quote: tuple[int, int], *, is_cancel: bool) -> bool:
        """Sign, write the bytes down, and send them. Returns False where the journal did not take them."""
        intent, now_ns = known.intent, self._now_ns()
        tx_hash, raw = self._signer.sign(tx, intent, now_ns)
        attempt = EvmAttempt(
            intent_id=intent.id,
            number=len(known.attempts) + 1,
            nonce=tx.nonce,
            tx_hash=tx_hash,
            raw=raw,
            max_fee_wei=tx.max_fee_wei,
            tip_wei=tx.tip_wei,
            gas=tx.gas,
            signed_ns=now_ns,
            quoted_out=quote[0],
            quoted_block=quote[1],
            is_cancel=is_cancel,
        )
        try:
            await self._io(self._journal.signed, attempt)
        except IllegalTransition as error:
            # Asked to cancel, or halted, since it was looked at: nobody has seen these bytes.
            logger.info("%s", error)
            return False
        await self._send(attempt)
        return True

    async def _send(self, attempt: EvmAttempt) -> None:
        try:
            await self._chain.send(attempt.raw)
        except (SendRefused, ChainUnavailable) as error:
            # Known already, nonce too low, no answer: whatever it says, only the chain tells what became of the bytes.
            logger.info("intent %s, attempt %d: %s", attempt.intent_id, attempt.number, error)

    async def _follow(self, known: EvmRecord) -> bool:
        """Look for the nonce in a block; meanwhile send the bytes again, dearer ones, or what takes their place."""
        receipt = await self._receipt(known)
        if receipt is not None:
            await self._io(self._journal.landed, known.intent.id, receipt)
            return True
        newest = known.attempts[-1]
        mined, _ = await self._chain.nonces(known.intent.account)
        if mined > newest.nonce:
            return await self._used_up(known)
        now_ns = self._now_ns()
        is_over = known.is_cancel_asked or now_ns >= known.intent.deadline_ns
        is_late = now_ns - newest.signed_ns >= self._rules.bump_after_s * NS_PER_S
        tx, cancels = None, sum(each.is_cancel for each in known.attempts)
        try:
            if (is_over or newest.is_cancel) and cancels < CANCELS_MAX and (not newest.is_cancel or is_late):
                tx = await self._preparer.emptying(known)
            elif not is_over and is_late and len(known.attempts) < known.intent.attempts_max:
                tx = await self._preparer.dearer(known)
            if tx is not None:
                return await self._sign(known, tx, (newest.quoted_out, newest.quoted_block), is_cancel=not tx.data)
        except (SigningRefused, NotArmed, RouteRefused) as error:
            logger.warning("intent %s: %s; its bytes are sent on", known.intent.id, error)
        await self._send(newest)
        return False

    async def _used_up(self, known: EvmRecord) -> bool:
        """The nonce is in a block and no receipt is ours: told only when it is as deep as a fill has to be."""
        nonce, intent = known.attempts[-1].nonce, known.intent
        at = (await self._chain.head()).number - self._rules.confirmations
        if at < 0 or await self._chain.nonce_at(intent.account, at) <= nonce:
            return False
        if await self._receipt(known) is not None:
            return False  # the next step takes it
        why = f"nonce {nonce} was used by a transaction that is not ours: somebody else has the key"
        await self._io(self._journal.ended, intent.id, EvmState.REPLACED, why)
        await self._io(self._journal.halt, intent.account, why)
        return True

    async def _deepen(self, known: EvmRecord) -> bool:
        """Wait until the block is deep enough; then tell what it did."""
        intent, receipt = known.intent, await self._receipt(known)
        if receipt is None or (receipt.block_number, receipt.block_hash) != known.landed_in:
            await self._io(self._journal.vanished, intent.id, f"the block {known.landed_in} is gone")
            return True
        if (await self._chain.head()).number - receipt.block_number < self._rules.confirmations:
            return False
        attempt = next(each for each in known.attempts if each.tx_hash == receipt.tx_hash)
        empty = EvmSettlement(
            intent.id,
            receipt.tx_hash,
            receipt.block_number,
            receipt.block_hash,
            0,
            0,
            receipt.fee_wei,
            receipt.l1_fee_wei,
        )
        outcome: tuple[EvmState, EvmSettlement, str]
        if not receipt.is_success:
            outcome = EvmState.REVERTED, empty, "the chain refused it, and charged for that"
        elif attempt.is_cancel:
            outcome = EvmState.CANCELLED, empty, "its nonce was used up by an empty transaction"
        else:
            try:
                outcome = EvmState.CONFIRMED, self._preparer.settled(known, receipt), ""
            except DataError as error:
                await self._io(self._journal.needs_review, intent.id, error.message)
                return True
        await self._io(self._journal.settled, intent.id, *outcome)
        return True

    async def _finalize(self, known: EvmRecord) -> bool:
        """See that the block of what was told stays until no reorganisation can take it away."""
        assert known.landed_in is not None
        number, block_hash = known.landed_in
        block = await self._chain.block(number)
        if block is None:
            msg = f"no node has block {number} now"
            raise ChainUnavailable(msg)
        if block.hash != block_hash:
            why = f"block {number} was acted on and is no part of the chain any more: {block_hash}"
            await self._io(self._journal.needs_review, known.intent.id, why)
            return True
        final = await self._chain.block("finalized")
        if final is None or final.number < number:
            return False
        await self._io(self._journal.finalized, known.intent.id)
        return True

    async def _receipt(self, known: EvmRecord) -> Receipt | None:
        """Return the receipt of whichever of the intent's transactions is in a block, newest first."""
        for each in reversed(known.attempts):
            found = await self._chain.receipt(each.tx_hash)
            if found is not None:
                return found
        return None
