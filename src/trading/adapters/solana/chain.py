"""The body of ``ports.Chain``: what is asked of one endpoint, of the first that can tell, and of all."""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Self

import anyio
from anyio.abc import TaskGroup

from trading.adapters.solana import answers
from trading.adapters.solana.blockhashes import newest_blockhash
from trading.adapters.solana.endpoint import RpcEndpoint
from trading.adapters.solana.fees import PriorityFees
from trading.adapters.solana.pool import EndpointPool, Peer
from trading.adapters.solana.sending import Sender
from trading.adapters.solana.shared import Shared
from trading.adapters.solana.statuses import StatusReader
from trading.adapters.solana.wake import Wake
from trading.config import ChainSection
from trading.errors import ChainUnavailable, InvalidInput
from trading.model.chain import (
    AbsenceProof,
    AccountSeen,
    BlockhashSeen,
    Commitment,
    HeightSeen,
    SignatureSeen,
    Simulated,
    StatusSeen,
    TransactionSeen,
    Witnessed,
)
from trading.model.meters import CallFigures
from trading.model.network import host_of
from trading.ports import Clock

ACCOUNTS_MAX: Final = 100
HISTORY_PAGE: Final = 1_000
_CONFIRMED: Final = {"commitment": Commitment.CONFIRMED}
_TRANSACTION: Final = {
    "commitment": Commitment.FINALIZED,
    "encoding": "base64",
    "maxSupportedTransactionVersion": 0,
}


class SolanaChain:
    """Open it with ``connect``."""

    def __init__(self, section: ChainSection, pool: EndpointPool, tasks: TaskGroup, wake: Wake) -> None:
        self._section = section
        self._pool = pool
        self._wake = wake
        self._sender = Sender(section, pool, tasks)
        self._statuses = StatusReader(section, pool, tasks)
        self._fees = PriorityFees(section, pool, tasks)
        self._heights: Shared[Commitment, HeightSeen] = Shared(tasks)

    @classmethod
    @asynccontextmanager
    async def connect(cls, section: ChainSection, clock: Clock) -> AsyncIterator[Self]:
        """Open the endpoints of the section. Nothing is asked before the first question.

        Raises: InvalidInput where no endpoint is configured.
        """
        if not section.endpoints:
            raise InvalidInput("no Solana endpoint is configured", field="chain.endpoints")
        async with AsyncExitStack() as stack:
            endpoints: list[RpcEndpoint] = []
            for number, each in enumerate(section.endpoints, 1):
                host = host_of(each.url.get_secret_value())
                name = f"{host} #{number}" if host in {other.name for other in endpoints} else host
                endpoints.append(RpcEndpoint(name, each, section, clock))
                stack.push_async_callback(endpoints[-1].aclose)
            wake = Wake([each.websocket_url for each in section.endpoints if each.websocket_url], section)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wake.run)
                try:
                    yield cls(section, EndpointPool(endpoints, section), tasks, wake)
                finally:
                    tasks.cancel_scope.cancel()

    async def genesis_hash(self) -> str:
        return await self._pool.genesis_hash()

    async def height(self, commitment: Commitment) -> HeightSeen:
        return await self._heights.get(commitment, lambda: self._height(commitment))

    async def latest_blockhash(self) -> BlockhashSeen:
        return await newest_blockhash(self._pool, self._section)

    async def accounts(self, addresses: Sequence[str]) -> Mapping[str, AccountSeen | None]:
        found: dict[str, AccountSeen | None] = {}
        for start in range(0, len(addresses), ACCOUNTS_MAX):
            found |= await self._accounts(addresses[start : start + ACCOUNTS_MAX])
        return found

    async def simulate(self, raw: bytes, watch: Sequence[str], *, verifies: bool = True) -> Simulated:
        wanted: dict[str, Any] = {"encoding": "base64", "sigVerify": verifies, **_CONFIRMED}
        if watch:
            wanted["accounts"] = {"encoding": "base64", "addresses": list(watch)}
        params = [base64.b64encode(raw).decode(), wanted]

        async def ask(peer: Peer) -> Simulated:
            seen = answers.simulated(await peer.endpoint.call("simulateTransaction", params), tuple(watch))
            self._check_age(peer, "simulateTransaction", seen.context_slot)
            return seen

        return await self._pool.first(await self._pool.healthy(), "simulateTransaction", ask)

    async def send(self, raw: bytes, *, is_first: bool) -> str:
        return await self._sender.send(raw, is_first=is_first)

    async def status(self, signature: str) -> StatusSeen | None:
        return await self._statuses.status(signature)

    async def proof_of_absence(self, signature: str, last_valid_block_height: int) -> AbsenceProof | None:
        return await self._statuses.proof_of_absence(signature, last_valid_block_height)

    async def transaction(self, signature: str) -> TransactionSeen | None:
        unknown: list[str] = []

        async def ask(peer: Peer) -> TransactionSeen:
            found = await peer.endpoint.call("getTransaction", [signature, _TRANSACTION])
            if found is None:
                unknown.append(peer.name)
                raise ChainUnavailable(f"{peer.name} does not have it")
            return answers.transaction(signature, found, peer.name)

        try:
            return await self._pool.first(await self._pool.usable(), "getTransaction", ask)
        except ChainUnavailable:
            if unknown:
                return None
            raise

    async def testimonies(self, signature: str) -> Sequence[Witnessed]:
        async def ask(peer: Peer) -> TransactionSeen | None:
            found = await peer.endpoint.call("getTransaction", [signature, _TRANSACTION])
            return None if found is None else answers.transaction(signature, found, peer.name)

        # Nobody is hurried, and nobody's silence counts for another's word.
        asked = await self._pool.each(await self._pool.usable(), "getTransaction", ask, is_patient=True)
        told = {peer.name: seen for peer, seen in asked}
        silent = "gave no usable answer"
        return [
            Witnessed(peer.name, told.get(peer.name), "" if peer.name in told else silent) for peer in self._pool.peers
        ]

    async def signatures(self, address: str, *, until: str | None, limit: int) -> Sequence[SignatureSeen]:
        async def ask(peer: Peer) -> list[SignatureSeen]:
            found: list[SignatureSeen] = []
            while len(found) < limit:
                wanted: dict[str, Any] = {
                    "commitment": Commitment.FINALIZED,
                    "limit": min(HISTORY_PAGE, limit - len(found)),
                }
                if until is not None:
                    wanted["until"] = until
                if found:
                    wanted["before"] = found[-1].signature
                page = await peer.endpoint.call("getSignaturesForAddress", [address, wanted])
                if len(page) > wanted["limit"]:
                    raise ValueError("more signatures than were asked for")
                found += [answers.history_entry(each) for each in page]
                if len(page) < wanted["limit"]:
                    break
            return found

        # All pages from one endpoint: another one's history may end elsewhere.
        return await self._pool.first(await self._pool.healthy(), "getSignaturesForAddress", ask)

    async def priority_fee(self, writable: Sequence[str]) -> int:
        return await self._fees.price(writable)

    async def wait(self, signature: str, timeout_s: float) -> None:
        await self._wake.wait(signature, timeout_s)

    async def largest_accounts(self, mint: str) -> Sequence[tuple[str, int]]:
        """Return the largest token accounts of a mint, at most twenty, and what each holds in base units."""

        async def ask(peer: Peer) -> list[tuple[str, int]]:
            found = await peer.endpoint.call("getTokenLargestAccounts", [mint, _CONFIRMED])
            return [(str(each["address"]), answers.whole(int(each["amount"]))) for each in found["value"]]

        return await self._pool.first(await self._pool.healthy(), "getTokenLargestAccounts", ask)

    def calls(self) -> Mapping[str, CallFigures]:
        """Return what there is to count of each endpoint, by name."""
        return self._pool.calls()

    def health(self) -> Mapping[str, Any]:
        """Return counts, lag and trouble by endpoint, and what is known of the wake-up connections."""
        return {"endpoints": self._pool.report(), "wake": self._wake.report()}

    async def _height(self, commitment: Commitment) -> HeightSeen:
        async def ask(peer: Peer) -> HeightSeen:
            return await self._statuses.height(peer, commitment)

        told = await self._pool.each(await self._pool.usable(), "getEpochInfo", ask)
        reference = self._pool.reference([seen.slot for _, seen in told])
        return max((seen for _, seen in told if seen.slot <= reference), key=lambda seen: seen.slot)

    async def _accounts(self, addresses: Sequence[str]) -> dict[str, AccountSeen | None]:
        params = [list(addresses), {"encoding": "base64", **_CONFIRMED}]

        async def ask(peer: Peer) -> dict[str, AccountSeen | None]:
            result = await peer.endpoint.call("getMultipleAccounts", params)
            slot, values = answers.context_slot(result), result["value"]
            if len(values) != len(addresses):
                raise ValueError("other accounts than were asked for")
            self._check_age(peer, "getMultipleAccounts", slot)
            return {each: answers.account(each, value, slot) for each, value in zip(addresses, values, strict=True)}

        return await self._pool.first(await self._pool.healthy(), "getMultipleAccounts", ask)

    def _check_age(self, peer: Peer, method: str, slot: int) -> None:
        """An endpoint may be several machines: the one that answers may be far behind the one that told its slot."""
        behind = self._pool.reference() - slot
        if behind > self._section.lag_slots_max:
            raise peer.endpoint.reject(method, f"the answer is {behind} slots old")
        peer.slot = slot
