"""An EVM chain through several nodes: the body of ``EvmChain``. Two that contradict each other prove nothing."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio

from trading.adapters.evm.endpoint import EvmEndpoint
from trading.errors import ChainUnavailable, SendRefused, WrongChain
from trading.model.evm import BlockSeen, Receipt
from trading.model.units import NS_PER_S
from trading.ports import Clock

T = TypeVar("T")
_HINT: Final = "nothing is concluded from that; it is asked again"


class EvmNodes:
    """``stale_s_max``: a newest block older than this is no news of the chain. Open with ``pin``."""

    def __init__(self, endpoints: Sequence[EvmEndpoint], chain_id: int, stale_s_max: float, clock: Clock) -> None:
        self._all = tuple(endpoints)
        self._good: tuple[EvmEndpoint, ...] = ()
        self._chain_id = chain_id
        self._stale_s_max = stale_s_max
        self._clock = clock
        self._problem = ""

    async def pin(self) -> None:
        """Leave out every node that is of another chain, or does not answer.

        Raises: WrongChain where one is of another; ChainUnavailable where none answers.
        """
        told = await self._each(self._all, EvmEndpoint.chain_id)
        foreign = [each.name for each, found in told if found != self._chain_id]
        if foreign:
            msg = f"chain {self._chain_id} is wished, and of another one are: {', '.join(foreign)}"
            raise WrongChain(msg, field="endpoints")
        self._good = tuple(each for each, _ in told)
        self._some(self._good, "tells which chain it is of")

    async def aclose(self) -> None:
        for each in self._all:
            await each.aclose()

    async def with_one(self, ask: Callable[[EvmEndpoint], Awaitable[T]]) -> T:
        """Return what the first node says that can say it. Raises: ChainUnavailable of the last."""
        problem = ChainUnavailable("no node is of the right chain", hint=_HINT)
        for each in self._good:
            try:
                return await ask(each)
            except ChainUnavailable as error:
                problem = error
        raise problem

    async def head(self) -> BlockSeen:
        """Return the newest block that a node has."""
        told = await self._each(self._good, lambda each: each.block("latest"))
        found = [block for _, block in self._some(told, "tells its newest block") if block is not None]
        newest = max(found, key=lambda each: each.number, default=None)
        if newest is None:
            msg = "no node has a block"
            raise ChainUnavailable(msg, hint=_HINT)
        self.require_fresh(newest)
        return newest

    def require_fresh(self, block: BlockSeen) -> None:
        """Raises: ChainUnavailable for a newest block that is too old."""
        age_s = self._clock.now_ns() / NS_PER_S - block.time_s
        if age_s > self._stale_s_max:
            msg = f"the newest block, {block.number}, is {age_s:.0f} s old, and {self._stale_s_max:g} s are allowed"
            raise ChainUnavailable(msg, hint=_HINT)

    async def block(self, at: int | str) -> BlockSeen | None:
        """Return a block. Raises: ChainUnavailable where two nodes have different ones of one number."""
        told = self._some(await self._each(self._good, lambda each: each.block(at)), "tells a block")
        found = {block for _, block in told if block is not None}
        if isinstance(at, int) and len(found) > 1:
            msg = f"the nodes have different blocks of number {at}"
            raise ChainUnavailable(msg, hint=_HINT)
        # Of a tag the least that is said: what one calls final is not final for all.
        return min(found, key=lambda each: each.number, default=None)

    async def nonces(self, account: str) -> tuple[int, int]:
        mined = self._some(await self._each(self._good, lambda each: each.nonce(account)), "tells a nonce")
        waiting = self._some(await self._each(self._good, lambda each: each.nonce(account, "pending")), "tells a nonce")
        least = min(each for _, each in mined)
        return least, max(least, *(each for _, each in waiting))

    async def nonce_at(self, account: str, number: int) -> int:
        told = await self._each(self._good, lambda each: each.nonce(account, number))
        if len(told) < len(self._good):
            msg = f"not every node tells the nonce at block {number}"
            raise ChainUnavailable(msg, hint=_HINT)
        return min(each for _, each in self._some(told, "tells a nonce"))

    async def receipt(self, tx_hash: str) -> Receipt | None:
        told = self._some(await self._each(self._good, lambda each: _witnessed(each, tx_hash)), "tells of receipts")
        found = {receipt for _, (receipt, _) in told if receipt is not None}
        if not found:
            if len(told) < len(self._good):
                msg = f"not every node tells whether it has a receipt of {tx_hash}"
                raise ChainUnavailable(msg, hint=_HINT)
            return None
        (receipt, *others) = found
        # One that has the block and does not know the transaction contradicts, one that lags does not.
        denies = any(known is None and head >= receipt.block_number for _, (known, head) in told)
        if others or denies:
            msg = f"the nodes contradict each other about {tx_hash}"
            raise ChainUnavailable(msg, hint=_HINT)
        return receipt

    async def send(self, raw: bytes) -> None:
        refused: list[SendRefused] = []

        async def hand_in(each: EvmEndpoint) -> str:
            try:
                return await each.send(raw)
            except SendRefused as error:
                refused.append(error)
                return ""

        told = self._some(await self._each(self._good, hand_in), "takes a transaction")
        if refused and len(refused) == len(told):
            raise refused[0]

    async def _each(
        self, endpoints: Sequence[EvmEndpoint], ask: Callable[[EvmEndpoint], Awaitable[T]]
    ) -> list[tuple[EvmEndpoint, T]]:
        """Ask them all at once; return who answered what, in their order."""
        found: dict[int, T] = {}
        self._problem = ""

        async def one(place: int, endpoint: EvmEndpoint) -> None:
            try:
                found[place] = await ask(endpoint)
            except ChainUnavailable as error:
                self._problem = error.message

        async with anyio.create_task_group() as tasks:
            for place, endpoint in enumerate(endpoints):
                tasks.start_soon(one, place, endpoint)
        return [(endpoints[place], found[place]) for place in sorted(found)]

    def _some(self, told: Sequence[T], what: str) -> Sequence[T]:
        if not told:
            msg = f"no node {what}" + (f": {self._problem}" if self._problem else "")
            raise ChainUnavailable(msg, hint=_HINT)
        return told


async def _witnessed(endpoint: EvmEndpoint, tx_hash: str) -> tuple[Receipt | None, int]:
    """Return the receipt that a node has, if its block is part of the node's own chain, and how far the node is."""
    receipt = await endpoint.receipt(tx_hash)
    if receipt is None:
        head = await endpoint.block("latest")
        return None, -1 if head is None else head.number
    block = await endpoint.block(receipt.block_number)
    if block is None or block.hash != receipt.block_hash:
        return None, -1  # a receipt of a block that was reorganised away, which some nodes keep
    return receipt, receipt.block_number
