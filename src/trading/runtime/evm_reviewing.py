"""What waits for a person at the account of the EVM chain: swaps that need review, and the account that is halted.

What became of a swap is never taken from a person. Whoever lets one go on says only that the chain is to be followed
again, with the same nonce; and one is over only when its nonce was used in a block that cannot be taken away.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import anyio.to_thread

from trading.arbitrage.evm_ports import EvmChain
from trading.errors import ChainUnavailable, InvalidInput
from trading.model.evm import EvmRecord, EvmState

from .documents import Document
from .reviewing import EVM_ACCOUNT, EVM_SWAP, RELEASE, item_document, require_allowed

GO_ON, BOOKED = "go-on", "booked"
ATTEMPTS_SHOWN_MAX: Final = 20


class ReviewedJournal(Protocol):
    """The journal of the account as far as a person's answers need it. Raises: JournalUnavailable."""

    def record(self, intent_id: str) -> EvmRecord: ...

    def unfinished(self, account: str) -> Sequence[EvmRecord]: ...

    def halted(self, account: str) -> str: ...

    def answered(self, intent_id: str, state: EvmState, actor: str, reason: str) -> None: ...

    def release(self, account: str, actor: str, reason: str) -> None: ...


class EvmReview:
    """``goes_on`` has the executor take up again what is unfinished."""

    def __init__(
        self, journal: ReviewedJournal, chain: EvmChain, account: str, goes_on: Callable[[], Awaitable[None]]
    ) -> None:
        self._journal = journal
        self._chain = chain
        self._account = account
        self._goes_on = goes_on

    async def waiting(self) -> list[Document]:
        """Return swaps in the order of their nonces, then the account. Raises: JournalUnavailable."""
        return await anyio.to_thread.run_sync(self._items)

    async def answer(self, item: str, given: str, actor: str, reason: str) -> None:
        """Carry out an answer.

        Raises: InvalidInput for an item that does not wait, an answer that it does not allow or that the chain does
        not bear out, or no reason; ChainUnavailable where that cannot be asked; JournalUnavailable.
        """
        require_allowed(await self.waiting(), item, given, reason)
        name = item.partition("/")[2]
        if given == RELEASE:
            await anyio.to_thread.run_sync(self._journal.release, name, actor, reason)
            return
        known = await anyio.to_thread.run_sync(self._journal.record, name)
        state = EvmState.PENDING
        if given == BOOKED:
            reason, state = f"{reason} (the chain: {await self._seen_over(known)})", EvmState.FINALIZED
        await anyio.to_thread.run_sync(self._journal.answered, name, state, actor, reason)
        await self._goes_on()

    def _items(self) -> list[Document]:
        waiting = [each for each in self._journal.unfinished(self._account) if each.state is EvmState.NEEDS_REVIEW]
        waiting.sort(key=lambda each: -1 if each.nonce is None else each.nonce)
        found = [
            # Answers come in the order of nonces: what is behind the first waits for it.
            item_document(f"{EVM_SWAP}{each.intent.id}", _swap(each), _evidence(each), [] if place else [GO_ON, BOOKED])
            for place, each in enumerate(waiting)
        ]
        if why := self._journal.halted(self._account):
            what = f"account {self._account} of the EVM chain is halted"
            found.append(item_document(f"{EVM_ACCOUNT}{self._account}", what, [why], [] if waiting else [RELEASE]))
        return found

    async def _seen_over(self, known: EvmRecord) -> str:
        """Return what the chain says of a swap of which nothing can come any more. Raises: InvalidInput where something
        can; ChainUnavailable."""
        final = await self._chain.block("finalized")
        if final is None:
            msg = "no node has a finalized block now"
            raise ChainUnavailable(msg)
        assert known.nonce is not None  # only what was signed can need review
        used = await self._chain.nonce_at(self._account, final.number)
        if used <= known.nonce:
            msg = (
                f"answer: nonce {known.nonce} is not used in a block that is final ({final.number}): it can still land"
            )
            raise InvalidInput(msg, field="answer", hint=f"answer {GO_ON}, or wait until its block is final")
        for each in reversed(known.attempts):
            receipt = await self._chain.receipt(each.tx_hash)
            if receipt is not None:
                return f"{each.tx_hash} is in block {receipt.block_number}, nonces below {used} are final"
        return f"none of its transactions is in a block, nonces below {used} are final"


def _swap(known: EvmRecord) -> str:
    wish = known.intent
    return f"{wish.amount_in} of {wish.in_token} for {wish.out_token} in {wish.account}"


def _evidence(known: EvmRecord) -> list[str]:
    block = [] if known.landed_in is None else [f"was seen in block {known.landed_in[0]}, {known.landed_in[1]}"]
    attempts = [f"nonce {each.nonce}, attempt {each.number}: {each.tx_hash}" for each in known.attempts]
    return [known.problem, *block, *attempts[-ATTEMPTS_SHOWN_MAX:]]
