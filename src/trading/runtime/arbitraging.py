"""Arbitrage beside the desk's loop: monitors, runner and transfers at work, told to memory, shown and counted.

The loop awaits nothing of it, and whatever fails here stops arbitrage alone: it is opened again after a pause, and
what was under way is taken up from its journals. It opens no trip while the desk is halted or takes no entries.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import anyio.to_thread

from trading.adapters.transfer_journal import SqlTransferJournal
from trading.adapters.trip_journal import SqlTripJournal
from trading.arbitrage.carrier import CarrierRules, Split, TransferCarrier
from trading.arbitrage.monitor import Monitor
from trading.arbitrage.paper_door import PaperDoor, PaperWay, booked
from trading.arbitrage.paper_leg import PaperInventory
from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.transfer_ports import Asset, TransferDoor, TransferKept
from trading.arbitrage.transfers import Transfer, TransferState
from trading.arbitrage.trip_ports import TripLimits
from trading.config import Sections
from trading.errors import TradingError, Unavailable
from trading.feeds.draws import Draws
from trading.model.units import NS_PER_S, sol_to_lamports
from trading.ports import Clock, Memory

from . import families as told
from .arbitrage_telling import Teller
from .arbitrage_texts import Units
from .arbitrage_venues import OpenedPair, paper_venues, venue_name

if TYPE_CHECKING:
    from .evm_reviewing import EvmReview
from .documents import Document

RETRY_S, RETRY_CAP_S = 5.0, 300.0
FOLLOW_S, POLL_S = 5.0, 5.0
ASSETS: Final[tuple[Asset, ...]] = ("money", "middle")
JOURNALS: Final = {"paper": ("arbitrage.db", "transfers.db"), "real": ("arbitrage-real.db", "transfers-real.db")}
"""A trip that was begun on paper is never gone on with for real, so each has files of its own."""

logger = logging.getLogger(__name__)
T = TypeVar("T")
Opening = Callable[["Journals"], Any]


@dataclass(frozen=True, slots=True)
class Journals:
    trips: SqlTripJournal
    transfers: SqlTransferJournal

    @classmethod
    def at(cls, folder: Path, money: str) -> "Journals":
        """Raises: JournalUnavailable."""
        trips, transfers = JOURNALS[money]
        opened = SqlTripJournal.at(folder / trips)
        try:
            return cls(opened, SqlTransferJournal.at(folder / transfers))
        except TradingError:
            opened.close()
            raise

    def strand(self, why: str, now_ns: int) -> None:
        """Go on with nothing that may have gone further since these files were copied."""
        self.trips.strand(why, now_ns)
        self.transfers.strand()

    def close(self) -> None:
        self.trips.close()
        self.transfers.close()

    def moved(self) -> dict[str, tuple[int, int]]:
        """Return what trips and transfers have changed at each venue so far: money, and the middle token."""
        found = self.trips.moved()
        for at, asset in enumerate(ASSETS):
            for venue, change in self.transfers.moved(asset).items():
                held = list(found.get(venue, (0, 0)))
                held[at] += change
                found[venue] = (held[0], held[1])
        return found


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``closed`` says why the desk lets no trip be opened, "" where it does; ``sol_usd`` what a SOL costs."""

    folder: Path
    memory: Memory
    clock: Clock
    closed: Callable[[], str]
    units: Callable[[], Units]


class Arbitraging:
    """One per desk. ``venues`` opens the pairs, ``doors`` what carries transfers; both are paper's unless replaced."""

    def __init__(self, sections: Sections, around: Surroundings) -> None:
        self._sections = sections
        self._section = sections.arbitrage
        self._around = around
        self.venues: Callable[[Journals], Any] = self._paper
        self.doors: Callable[[Sequence[OpenedPair]], Mapping[tuple[str, str], TransferDoor]] = self._paper_doors
        self.journals: Journals | None = None
        self.problem = ""
        """Why it does not work now, "" where it does."""
        self.pairs: Sequence[OpenedPair] = ()
        self.by_hand: Mapping[tuple[str, Asset], str] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        self._figures: Document = {}
        self.on_its_way: Sequence[Transfer] = ()
        self.troubles: dict[str, str] = {}
        """By venue, why it could not be looked at last, "" where it could."""
        self._counted: Counter[tuple[str, str]] = Counter()
        self._review: EvmReview | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        wait_s = RETRY_S
        while True:
            began_s = anyio.current_time()
            try:
                await self._work()
            except* TradingError as errors:
                self.problem = _first(errors).message
                logger.warning("arbitrage rests: %s", self.problem)
            except* Exception:
                # A fault of ours here must not take the desk with it.
                self.problem = "a fault of its own; see the log"
                logger.exception("arbitrage rests after a fault")
            lasted_s = anyio.current_time() - began_s
            wait_s = RETRY_S if lasted_s > RETRY_CAP_S else min(2 * wait_s, RETRY_CAP_S)
            await anyio.sleep(wait_s)

    async def _work(self) -> None:
        async with self._opened() as journals, self.venues(journals) as pairs:
            self.pairs, venues = pairs, {name: leg for pair in pairs for name, leg in pair.venues.items()}
            venues |= {whole.name: whole for pair in pairs for whole in pair.wholes.values()}
            runner = TripRunner(journals.trips, venues, RunnerRules(self._limits()), self._around.clock)
            carrier = self._carrier(journals, pairs)
            carrier.waits = lambda: runner.is_busy
            self.by_hand = carrier.by_hand
            async with anyio.create_task_group() as tasks:
                await tasks.start(runner.run)
                for pair in pairs:
                    for late in pair.late:
                        tasks.start_soon(late.open)
                    monitor = self._monitor(pair, runner, journals)
                    tasks.start_soon(monitor.run)
                tasks.start_soon(carrier.run)
                tasks.start_soon(self._keep_balanced, pairs, carrier, journals)
                tasks.start_soon(Teller(journals, self._around.memory, self._around.units, self._around.clock).run)
                self.problem = ""
                await self._keep_counting(journals)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Journals]:
        money = self._section.money
        journals = await anyio.to_thread.run_sync(Journals.at, self._around.folder, money)
        self.journals = journals
        try:
            yield journals
        finally:
            self.journals, self.pairs = None, ()
            self._counted.update(journals.trips.counted)
            journals.close()

    def _limits(self) -> TripLimits:
        section = self._section
        return TripLimits(
            open_max=section.open_max,
            amount_max=int(sol_to_lamports(section.size_max_sol)),
            day_loss_max=int(sol_to_lamports(section.day_loss_sol)),
        )

    def _monitor(self, pair: OpenedPair, runner: TripRunner, journals: Journals) -> Monitor:
        from .arbitrage_venues import rules_of

        rules = rules_of(self._section, pair.section)
        monitor = Monitor(pair.venues, runner, journals.trips, rules, self._around.clock)
        monitor.closed, monitor.wholes = self._around.closed, pair.wholes
        monitor.on_looks, monitor.on_trouble = self._looked, self.troubles.__setitem__
        return monitor

    def _looked(self, venue: str, money: int, middle: int) -> None:
        self._seen[venue] = (money, middle)

    # What waits for a person at an account with real money

    def use_review(self, review: "EvmReview | None") -> None:
        """Have this one tell what waits and take the answers; None: there is no such account now."""
        self._review = review

    async def waiting(self) -> list[Document]:
        """Return wire.WaitingItem documents. Raises: JournalUnavailable."""
        return [] if self._review is None else await self._review.waiting()

    async def answer(self, item: str, given: str, actor: str, reason: str) -> None:
        """Carry out an answer to one of them. Raises: InvalidInput; ChainUnavailable, JournalUnavailable; Unavailable
        where the account is not open now."""
        if self._review is None:
            msg = f"the account of the EVM chain is not open now: {self.problem or 'nothing needed it yet'}"
            raise Unavailable(msg, hint="see: memmcp-trade arbitrage status")
        await self._review.answer(item, given, actor, reason)

    # Inventory

    def _carrier(self, journals: Journals, pairs: Sequence[OpenedPair]) -> TransferCarrier:
        held = {name: each for pair in pairs for name, each in pair.held.items()}
        section = self._section
        on_moved = booked(held) if section.money == "paper" else _nothing
        rules = CarrierRules(min(POLL_S, section.rebalance_every_s), section.transfer_late_s)
        return TransferCarrier(journals.transfers, self.doors(pairs), rules, self._around.clock, on_moved)

    async def _keep_balanced(self, pairs: Sequence[OpenedPair], carrier: TransferCarrier, journals: Journals) -> None:
        """Plan transfers where a split asks for one, between trips only: what a trip holds is not moved away."""
        while True:
            await anyio.sleep(self._section.rebalance_every_s)
            under_way = await anyio.to_thread.run_sync(journals.trips.open_count)
            if under_way or self._around.closed():
                continue
            for pair in pairs:
                if not pair.section.split_bps:
                    continue
                for asset in ASSETS:
                    held = self._lying(pair, asset)
                    if held is not None:
                        await carrier.plan(self._split(pair), asset, held)

    def _lying(self, pair: OpenedPair, asset: Asset) -> dict[str, int] | None:
        """Return what lies at each venue, None where one was not looked at yet."""
        at = ASSETS.index(asset)
        if pair.held:
            return {name: (each.money, each.middle)[at] for name, each in pair.held.items()}
        found = {name: self._seen[name][at] for name in pair.venues if name in self._seen}
        return found if len(found) == len(pair.venues) else None

    def _split(self, pair: OpenedPair) -> Split:
        shares = {venue_name(pair.section.name, kind): bps for kind, bps in pair.section.split_bps.items()}
        return Split(pair.section.name, shares, pair.section.rebalance_bps)

    @asynccontextmanager
    async def _paper(self, journals: Journals) -> AsyncIterator[list[OpenedPair]]:
        moved = await anyio.to_thread.run_sync(journals.moved)
        chance = Draws(self._sections.paper.seed + self._around.clock.now_ns() // NS_PER_S)
        async with paper_venues(self._sections, moved, chance, self._around.clock) as pairs:
            yield pairs

    def _paper_doors(self, pairs: Sequence[OpenedPair]) -> Mapping[tuple[str, str], TransferDoor]:
        section = self._section
        way = PaperWay(section.paper_transfer_s, section.carry_bps, int(sol_to_lamports(section.carry_fixed_sol)))
        doors: dict[tuple[str, str], TransferDoor] = {}
        for pair in pairs:
            held: Mapping[str, PaperInventory] = pair.held
            door = PaperDoor(way, held, self._around.clock)
            doors |= {(source, target): door for source in held for target in held if source != target}
        return doors

    # What is told

    async def _keep_counting(self, journals: Journals) -> None:
        while True:
            self._figures = await anyio.to_thread.run_sync(self._read, journals)
            await anyio.sleep(FOLLOW_S)

    def _read(self, journals: Journals) -> Document:
        under_way = [each.transfer for each in journals.transfers.watched(1 << 62) if not each.transfer.state.is_over]
        self.on_its_way = under_way
        return {
            "open": journals.trips.open_count(),
            "halted": journals.trips.halted(),
            "day_result": journals.trips.day_result(self._around.clock.now_ns()),
            "transfers": Counter(each.state for each in under_way),
        }

    def figures(self) -> list[Document]:
        """Return its families for ``desk.metrics``; it waits for nothing."""
        journals, figures = self.journals, self._figures
        counted = self._counted + (Counter() if journals is None else Counter(journals.trips.counted))

        def of(kind: str) -> list[tuple[tuple[str, ...], float]]:
            return [((name,), count) for (what, name), count in sorted(counted.items()) if what == kind]

        money = {name: each.money for pair in self.pairs for name, each in pair.held.items()}
        money |= {name: each[0] for name, each in self._seen.items() if name not in money}
        waiting = figures.get("transfers", {})
        return [
            told.ARB_SEEN.told(of("seen")),
            told.ARB_TRIPS.told(of("ended")),
            told.ARB_OPEN.told([((), figures.get("open", 0))]),
            told.ARB_HALTED.told([((), int(bool(figures.get("halted"))))]),
            told.ARB_DAY.told([((), figures.get("day_result", 0))]),
            told.ARB_MONEY.told(((name,), each) for name, each in sorted(money.items())),
            told.ARB_TRANSFERS.told(
                ((each.value,), waiting.get(each, 0)) for each in TransferState if not each.is_over
            ),
        ]

    async def read(self, call: Callable[[Journals], T]) -> T:
        """Return what the call reads from the journals. Raises: Unavailable while they are not open."""
        journals = self.journals
        if journals is None:
            msg = f"arbitrage is not working now: {self.problem or 'it is starting'}"
            raise Unavailable(msg, hint="see: memmcp-trade arbitrage status")
        return await anyio.to_thread.run_sync(call, journals)

    def lies(self) -> dict[str, tuple[int, int]]:
        """Return what lies at each venue: money, and the middle token; on paper as it is, else as it was seen last."""
        found = {name: (each.money, each.middle) for pair in self.pairs for name, each in pair.held.items()}
        return {name: self._seen[name] for name in self._seen if name not in found} | found


def _nothing(_before: TransferKept, _after: TransferKept) -> None:
    """With real money the venues say themselves what they hold."""


def _first(errors: BaseExceptionGroup[Any]) -> TradingError:
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, TradingError)
    return first
