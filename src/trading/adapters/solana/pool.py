"""Several endpoints as one: which of them are on the pinned chain and not behind, asked one after or beside another."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from trading.adapters.solana.answers import UNREADABLE, whole
from trading.adapters.solana.endpoint import RpcEndpoint
from trading.config import ChainSection
from trading.errors import ChainUnavailable, WrongChain
from trading.model.chain import Commitment
from trading.model.meters import CallFigures

_Value = TypeVar("_Value")
_LIARS_BORNE: Final = 3
"""With so many endpoints one that tells too high a slot does not make all others look late."""


@dataclass(slots=True)
class Peer:
    """An endpoint and what is known of it. ``genesis`` is "" until it was asked; ``slot`` is the confirmed one that it
    told last; ``lag_slots`` how far it was behind the others when all were asked."""

    endpoint: RpcEndpoint
    genesis: str = ""
    slot: int = 0
    lag_slots: int = 0

    @property
    def name(self) -> str:
        return self.endpoint.name


Ask = Callable[[Peer], Awaitable[_Value]]


class EndpointPool:
    """``ask`` of its methods is one question to one endpoint; what it raises as ChainUnavailable, or because the
    answer cannot be read, counts as no answer of that endpoint and as nothing else."""

    def __init__(self, endpoints: Sequence[RpcEndpoint], section: ChainSection) -> None:
        self.peers = [Peer(each) for each in endpoints]
        self._section = section
        self._compared_at_s = float("-inf")
        self._comparing = anyio.Lock()
        self._meeting = anyio.Lock()

    async def usable(self) -> list[Peer]:
        """Return the endpoints of the pinned chain that are not being left alone, however far behind.

        Raises: ChainUnavailable where there is none.
        """
        for peer in self.peers:
            if peer.endpoint.away_s > 0:
                peer.genesis = ""  # whatever stands there when it comes back is asked anew
        async with self._meeting:
            unknown = [peer for peer in self.peers if not peer.genesis and peer.endpoint.away_s == 0]
            if unknown:
                # One that is dead, and asked again each time its pause is over, must not hold up those that answer.
                is_known = any(peer.genesis == self._section.genesis_hash for peer in self.peers)
                wait_s = self._section.grace_s if is_known else float("inf")
                await self._each(unknown, self._ask_genesis, wait_s=wait_s)
        found = [peer for peer in self.peers if peer.genesis == self._section.genesis_hash]
        if not found:
            raise self._nobody("no endpoint can be used")
        return found

    async def healthy(self) -> list[Peer]:
        """Return the usable endpoints that are not behind, in the order of the settings."""
        found = await self.usable()
        async with self._comparing:
            is_due = anyio.current_time() - self._compared_at_s >= self._section.health_age_s
            if is_due and len(self.peers) > 1:
                told = await self._each(found, self._ask_slot)
                for peer, slot in told:
                    peer.slot = slot
                reference = self.reference()
                for peer, slot in told:
                    peer.lag_slots = max(0, reference - slot)
                self._compared_at_s = anyio.current_time()
        found = [peer for peer in found if peer.lag_slots <= self._section.lag_slots_max and peer.endpoint.away_s == 0]
        if not found:
            raise self._nobody("every endpoint is behind or does not answer")
        return found

    def reference(self, slots: Sequence[int] = ()) -> int:
        """Return the slot that endpoints are held against: the newest that was told, of three or more the second.

        Without ``slots`` it is of those that the endpoints told last, also of one that is silent now.
        """
        told = sorted(slots or [peer.slot for peer in self.peers if peer.slot], reverse=True)
        if not told:
            return 0
        return told[1] if len(told) >= _LIARS_BORNE else told[0]

    async def genesis_hash(self) -> str:
        """Ask all anew.

        Raises: WrongChain where one is not of the pinned chain; ChainUnavailable where none answers.
        """
        told = await self._each([peer for peer in self.peers if peer.endpoint.away_s == 0], self._ask_genesis)
        if not told:
            raise self._nobody("getGenesisHash: no endpoint answers")
        wanted = self._section.genesis_hash
        if any(genesis != wanted for _, genesis in told):
            names = ", ".join(f"{peer.name} is of {genesis}" for peer, genesis in told if genesis != wanted)
            raise WrongChain(
                f"the chain that is pinned is {wanted}, but {names}",
                field="chain.genesis_hash",
                hint="check the addresses of the endpoints and the pinned genesis hash",
            )
        return wanted

    async def first(self, peers: Sequence[Peer], method: str, ask: "Ask[_Value]") -> _Value:
        """Return the first usable answer. The next endpoint is asked when one fails, or is slow beside it.

        Raises: ChainUnavailable naming what each answered.
        """
        problems: list[str] = []
        waiting = list(peers)
        send, answers = anyio.create_memory_object_stream[tuple[Peer, _Value | ChainUnavailable]](len(peers))
        async with anyio.create_task_group() as tasks:
            running = 0
            with send, answers:
                while waiting or running:
                    if waiting:
                        tasks.start_soon(self._told, waiting.pop(0), ask, send)
                        running += 1
                    with anyio.move_on_after(self._section.grace_s if waiting else None):
                        _, answer = await answers.receive()
                        running -= 1
                        if not isinstance(answer, ChainUnavailable):
                            tasks.cancel_scope.cancel()
                            return answer
                        problems.append(str(answer))
        raise self._nobody(method, problems)

    async def each(
        self, peers: Sequence[Peer], method: str, ask: "Ask[_Value]", *, is_patient: bool = False
    ) -> list[tuple[Peer, _Value]]:
        """Return what all of them answer, at least one.

        After the first answer the others have ``grace_s`` left; ``is_patient``: as long as each question may take.
        Raises: ChainUnavailable where none gave a usable answer.
        """
        problems: list[str] = []
        found = await self._each(peers, ask, problems, is_patient=is_patient)
        if not found:
            raise self._nobody(method, problems)
        return found

    def calls(self) -> Mapping[str, CallFigures]:
        """Return what there is to count of each endpoint, by name."""
        return {
            peer.name: CallFigures(
                peer.endpoint.health.ok,
                dict(peer.endpoint.health.errors),
                peer.endpoint.health.answered_s,
                peer.endpoint.budget_left,
                peer.endpoint.away_s,
                peer.lag_slots,
            )
            for peer in self.peers
        }

    def report(self) -> Mapping[str, Any]:
        """Return what is known of each endpoint, by name."""
        return {
            peer.name: {
                "ok": peer.endpoint.health.ok,
                "errors": dict(sorted(peer.endpoint.health.errors.items())),
                "last_error": peer.endpoint.health.last_error,
                "backing_off_s": round(peer.endpoint.away_s, 3),
                "slot": peer.slot,
                "lag_slots": peer.lag_slots,
                "wrong_chain": peer.genesis if peer.genesis not in ("", self._section.genesis_hash) else None,
            }
            for peer in self.peers
        }

    async def _each(
        self,
        peers: Sequence[Peer],
        ask: "Ask[_Value]",
        problems: list[str] | None = None,
        *,
        is_patient: bool = False,
        wait_s: float = float("inf"),
    ) -> list[tuple[Peer, _Value]]:
        found: dict[int, _Value] = {}
        send, answers = anyio.create_memory_object_stream[tuple[Peer, _Value | ChainUnavailable]](max(1, len(peers)))
        late = {peer.name: peer for peer in peers}
        async with anyio.create_task_group() as tasks:
            with send, answers:
                for peer in peers:
                    tasks.start_soon(self._told, peer, ask, send)
                until_s = anyio.current_time() + wait_s
                while late:
                    with anyio.move_on_after(max(0.0, until_s - anyio.current_time())) as waited:
                        peer, answer = await answers.receive()
                    if waited.cancelled_caught:
                        break
                    del late[peer.name]
                    if not isinstance(answer, ChainUnavailable):
                        found[self.peers.index(peer)] = answer
                        if not is_patient:
                            until_s = min(until_s, anyio.current_time() + self._section.grace_s)
                    elif problems is not None:
                        problems.append(str(answer))
                tasks.cancel_scope.cancel()
        for peer in late.values():
            peer.endpoint.was_slow("asked beside others")
        return [(self.peers[index], found[index]) for index in sorted(found)]

    async def _told(
        self, peer: Peer, ask: "Ask[_Value]", send: MemoryObjectSendStream[tuple[Peer, _Value | ChainUnavailable]]
    ) -> None:
        answer: _Value | ChainUnavailable
        try:
            answer = await ask(peer)
        except ChainUnavailable as error:
            answer = error
        except UNREADABLE as error:
            answer = peer.endpoint.reject("an answer", f"it does not say what it should ({error})"[:200])
        try:
            send.send_nowait((peer, answer))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # nobody waits for it any more

    async def _ask_genesis(self, peer: Peer) -> str:
        told = await peer.endpoint.call("getGenesisHash")
        if not isinstance(told, str) or not told:
            raise ValueError("no genesis hash")
        peer.genesis = told
        return told

    async def _ask_slot(self, peer: Peer) -> int:
        return whole(await peer.endpoint.call("getSlot", [{"commitment": Commitment.CONFIRMED}]))

    def _nobody(self, what: str, problems: Sequence[str] = ()) -> ChainUnavailable:
        wrong = [peer.name for peer in self.peers if peer.genesis not in ("", self._section.genesis_hash)]
        said = list(problems) or [
            f"{peer.name}: {peer.endpoint.health.last_error}" for peer in self.peers if peer.endpoint.health.last_error
        ]
        said += [f"{name} is of another chain" for name in wrong]
        return ChainUnavailable(
            f"{what}: {'; '.join(said) or 'no endpoint gave a usable answer'}"[:1_000],
            hint="nothing is known about the chain because of this; it is asked again",
        )
