"""What endpoints know of signatures: many asked about in one call, and the proof that one can never land."""

from collections.abc import Sequence
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from trading.adapters.solana import answers
from trading.adapters.solana.endpoint import RpcRefused
from trading.adapters.solana.pool import EndpointPool, Peer
from trading.config import ChainSection
from trading.errors import ChainUnavailable
from trading.model.chain import AbsenceProof, Commitment, HeightSeen, StatusSeen

SIGNATURES_MAX: Final = 256
SOURCES_MIN: Final = 2
GATHER_S: Final = 0.004
"""So long is waited for others who ask at the same time: one call answers all of them."""
_METHOD: Final = "getSignatureStatuses"
_NO_SUCH_METHOD: Final = -32601
_ORDER: Final = list(Commitment)


class _Batch:
    def __init__(self) -> None:
        self.signatures: dict[str, None] = {}
        self.done = anyio.Event()
        self.found: dict[str, StatusSeen | None] = {}
        self.problem = "the endpoints were closed"


class StatusReader:
    """Batches live in ``tasks``, so that who asked first may be cancelled without the others losing their answer."""

    def __init__(self, section: ChainSection, pool: EndpointPool, tasks: TaskGroup) -> None:
        self._section = section
        self._pool = pool
        self._tasks = tasks
        self._batch: _Batch | None = None

    async def status(self, signature: str) -> StatusSeen | None:
        """See ``ports.Chain.status``."""
        batch = self._batch
        if batch is None or len(batch.signatures) >= SIGNATURES_MAX:
            batch = self._batch = _Batch()
            self._tasks.start_soon(self._run, batch)
        batch.signatures[signature] = None
        await batch.done.wait()
        if batch.problem:
            raise ChainUnavailable(batch.problem, hint="nothing is known about the chain because of this")
        return batch.found[signature]

    async def proof_of_absence(self, signature: str, last_valid_block_height: int) -> AbsenceProof | None:
        """See ``ports.Chain.proof_of_absence``."""
        peers = await self._pool.usable()
        is_alone = len(self._section.endpoints) == 1

        async def ask(peer: Peer) -> Sequence[HeightSeen | StatusSeen]:
            found = []
            for _ in range(2 if is_alone else 1):
                seen = await self._absent(peer, signature, last_valid_block_height)
                if seen is not None:
                    found.append(seen)
            return found

        # Nobody is hurried: a second source that is always slower than the first is a source all the same.
        told = await self._pool.each(peers, "proof of absence", ask, is_patient=True)
        seen = [each for _, found in told for each in found]
        heights = tuple(each for each in seen if isinstance(each, HeightSeen))
        # Whoever knows the signature outweighs all who do not.
        is_proven = len(heights) == len(seen) >= SOURCES_MIN
        return AbsenceProof(signature, last_valid_block_height, heights) if is_proven else None

    async def height(self, peer: Peer, commitment: Commitment) -> HeightSeen:
        """Return how far one endpoint is. ``slot`` is never below the one at which it had that block height."""
        wanted = [{"commitment": commitment}]
        try:
            told = await peer.endpoint.call("getEpochInfo", wanted)
            slot, height = told["absoluteSlot"], told["blockHeight"]
        except RpcRefused as error:
            if error.rpc_code != _NO_SUCH_METHOD:
                raise
            height = await peer.endpoint.call("getBlockHeight", wanted)
            slot = await peer.endpoint.call("getSlot", wanted)
        return HeightSeen(peer.name, answers.whole(slot, "the slot"), answers.whole(height, "the block height"))

    async def _absent(self, peer: Peer, signature: str, last_valid_block_height: int) -> HeightSeen | StatusSeen | None:
        """Return the endpoint's finalized height where that is past the end and the signature is not known after it;
        its status where it is known; None where this endpoint can tell neither."""
        height = await self.height(peer, Commitment.FINALIZED)
        if height.block_height <= last_valid_block_height:
            return None
        context_slot, found = await self._ask(peer, [signature])
        known = found[signature]
        if known is not None:
            return known
        # Behind one address may stand several machines: the one that does not know it must be as far.
        return height if context_slot >= height.slot else None

    async def _run(self, batch: _Batch) -> None:
        try:
            await anyio.sleep(GATHER_S)
            self._closed(batch)
            signatures = list(batch.signatures)

            async def ask(peer: Peer) -> dict[str, StatusSeen | None]:
                return (await self._ask(peer, signatures))[1]

            told = await self._pool.each(await self._pool.usable(), _METHOD, ask)
            for signature in signatures:
                known = [seen for _, found in told if (seen := found[signature]) is not None]
                batch.found[signature] = max(known, key=lambda seen: _ORDER.index(seen.commitment), default=None)
            batch.problem = ""
        except ChainUnavailable as error:
            batch.problem = error.message
        finally:
            self._closed(batch)
            batch.done.set()

    def _closed(self, batch: _Batch) -> None:
        if self._batch is batch:
            self._batch = None

    async def _ask(self, peer: Peer, signatures: Sequence[str]) -> tuple[int, dict[str, StatusSeen | None]]:
        wanted: dict[str, Any] = {"searchTransactionHistory": True}
        result = await peer.endpoint.call(_METHOD, [list(signatures), wanted])
        values = result["value"]
        if len(values) != len(signatures):
            raise ValueError("other signatures than were asked for")
        pairs = zip(signatures, values, strict=True)
        return answers.context_slot(result), {each: answers.status(each, value, peer.name) for each, value in pairs}
