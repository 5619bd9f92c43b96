"""Plans transfers that bring the inventory back to its split, and carries them: written down first, handed in once.

After a restart a transfer that was handed in, or may have been, is asked about and never handed in again. Only what
its door has proven, or a person has said, ends it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import anyio
import anyio.to_thread

from trading.errors import TradingError
from trading.model.identifiers import derived_id
from trading.model.units import BPS_ONE, NS_PER_S
from trading.ports import Clock

from .runner import Sleep
from .transfer_ports import Asset, Heard, TransferDoor, TransferEvent, TransferJournal, TransferKept
from .transfers import Happening, Transfer, TransferState, moved, wanted

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Split:
    """How a pair's inventory is to lie over its venues. ``least_bps``: a smaller gap, of all, is left as it is."""

    pair: str
    target_bps: Mapping[str, int]
    least_bps: int


@dataclass(frozen=True, slots=True)
class CarrierRules:
    """A transfer is late ``late_s`` after it was planned. So long after its end, ``watch_s``, it is still listened to:
    a block may be taken back, and what is lost may come."""

    poll_s: float = 5.0
    late_s: float = 3_600.0
    watch_s: float = 3_600.0


class TransferCarrier:
    """``doors`` by source and target; a way without one is not planned. ``on_moved`` hears of each step, after it was
    written down: the transfer before and after it."""

    def __init__(
        self,
        journal: TransferJournal,
        doors: Mapping[tuple[str, str], TransferDoor],
        rules: CarrierRules,
        clock: Clock,
        on_moved: Callable[[TransferKept, TransferKept], None],
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self._journal = journal
        self._doors = doors
        self._rules = rules
        self._clock = clock
        self._on_moved = on_moved
        self._sleep = sleep
        self._one = anyio.CapacityLimiter(1)
        self.by_hand: dict[tuple[str, Asset], str] = {}
        """What the split asks for and no door can carry, by pair and token."""
        self.waits: Callable[[], bool] = lambda: False
        """Says whether nothing may leave now: a trip that began since it was planned may need what lies there."""

    async def run(self) -> None:
        """Carry until cancelled. Raises: JournalUnavailable: what cannot be written down is not done."""
        while True:
            await self.look()
            await self._sleep(self._rules.poll_s)

    async def plan(self, split: Split, asset: Asset, held: Mapping[str, int]) -> TransferKept | None:
        """Write down the transfer that the split asks for, if any; ``held`` by venue. Raises: JournalUnavailable."""
        self.by_hand.pop((split.pair, asset), None)
        total = sum(held.get(name, 0) for name in split.target_bps)
        least = max(1, total * split.least_bps // BPS_ONE)
        under_way = [each for each in await self._open() if (each.pair, each.asset) == (split.pair, asset)]
        found = wanted(held, split.target_bps, [each.transfer for each in under_way], least=least)
        if found is None:
            return None
        source, target, amount = found
        door = self._doors.get((source, target))
        most = 0 if door is None else door.most(asset)
        if not most:
            self.by_hand[split.pair, asset] = f"{amount} of {asset} from {source} to {target}"
            return None
        amount = min(amount, most)
        now_ns = self._clock.now_ns()
        transfer_id = derived_id("transfer", f"{split.pair}/{asset}/{source}/{target}/{now_ns}")
        late_ns = now_ns + int(self._rules.late_s * NS_PER_S)
        kept = TransferKept(Transfer(transfer_id, source, target, amount), split.pair, asset, now_ns, late_ns)
        return kept if await self._io(lambda: self._journal.plan([kept])) else None

    async def look(self) -> None:
        """Hand in what is planned, and hear what has become of the rest. Raises: JournalUnavailable."""
        since_ns = self._clock.now_ns() - int(self._rules.watch_s * NS_PER_S)
        watched = await self._io(lambda: self._journal.watched(since_ns))
        planned = [each for each in watched if each.transfer.state is TransferState.PLANNED]
        # Settings may have taken its way since it was planned: nothing of it has left, and it must not bar the next.
        barred = [(each, [Heard(Happening.NEVER_LEFT)]) for each in planned if self._door(each) is None]
        ready = [] if self.waits() else [each for each in planned if self._door(each) is not None]
        sent = await self._happened([(each, [Heard(Happening.HANDED_IN)]) for each in ready])
        answers: list[tuple[TransferKept, Sequence[Heard]]] = [*barred]
        for each in sent:
            heard = await self._handed_in(each)
            if heard is not None:
                answers.append((each, [heard]))
        rest = [each for each in watched if each.transfer.state is not TransferState.PLANNED]
        answers += [(each, await self._heard(each)) for each in rest]
        await self._happened(answers)

    async def _handed_in(self, kept: TransferKept) -> Heard | None:
        door = self._door(kept)
        assert door is not None
        try:
            return await door.hand_in(kept)
        except TradingError as error:
            # It may have left all the same: from now on it is only asked about.
            logger.info("transfer %s: %s", kept.transfer.id, error)
            return None

    async def _heard(self, kept: TransferKept) -> Sequence[Heard]:
        door, found = self._door(kept), []
        if door is not None:
            try:
                found = list(await door.heard(kept))
            except TradingError as error:
                logger.info("transfer %s: %s", kept.transfer.id, error)
        if not kept.transfer.state.is_over and self._clock.now_ns() >= kept.late_ns:
            found.append(Heard(Happening.TIME_OVER))
        return found

    async def _happened(self, heard: Sequence[tuple[TransferKept, Sequence[Heard]]]) -> list[TransferKept]:
        """Write down what changes something, all at once; return how each of the transfers stands then."""
        events: list[TransferEvent] = []
        steps: list[tuple[TransferKept, TransferKept]] = []
        ends = []
        now_ns = self._clock.now_ns()
        for kept, words in heard:
            for word in words:
                after = moved(kept.transfer, word.happening, word.received)
                if after == kept.transfer:
                    continue
                events.append(TransferEvent(after.id, kept.events, word.happening, word.received, now_ns))
                sent_ns = now_ns if word.happening is Happening.HANDED_IN else kept.sent_ns
                newer = replace(kept, transfer=after, events=kept.events + 1, sent_ns=sent_ns, at_ns=now_ns)
                steps.append((kept, newer))
                kept = newer
            ends.append(kept)
        if events:
            await self._io(lambda: self._journal.happened(events))
        for before, newer in steps:
            self._on_moved(before, newer)
        return ends

    async def _open(self) -> Sequence[TransferKept]:
        found = await self._io(lambda: self._journal.watched(self._clock.now_ns() + 1))
        return [each for each in found if not each.transfer.state.is_over]

    def _door(self, kept: TransferKept) -> TransferDoor | None:
        return self._doors.get((kept.transfer.source, kept.transfer.target))

    async def _io(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._one)
