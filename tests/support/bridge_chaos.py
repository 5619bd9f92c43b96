"""Transfers over a bridge that is late, loses, takes back and goes silent, by a process that is killed at its writings.

The truth about each transfer is the bridge's own, by a seed; what the journal says in the end is held against it.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.market_server import SteppedClock
from trading.adapters.transfer_journal import SqlTransferJournal
from trading.arbitrage.carrier import CarrierRules, TransferCarrier
from trading.arbitrage.transfer_ports import Asset, Heard, TransferEvent, TransferKept
from trading.arbitrage.transfers import Happening, Transfer, TransferState
from trading.errors import ChainUnavailable

H, S = Happening, 10**9
PLANNED_TURNS, UNSAFE_TURNS, TURNS = 8, 16, 22


@dataclass
class Bridge:
    """A bridge that is late, loses, and takes back: the truth about each transfer, and how it is told, by a seed."""

    chance: random.Random
    clock: SteppedClock
    silent: float = 0.0
    received: Counter[str] = field(default_factory=Counter)
    fates: dict[str, list[Heard]] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)

    def fate(self, amount: int) -> list[Heard]:
        came = Heard(H.CAME, amount - self.chance.randrange(0, amount // 10))
        kind = self.chance.choice(("comes", "reorged", "came_reorged", "lost", "late_lost"))
        self.kinds[kind] += 1
        return {
            "comes": [Heard(H.LEFT), came],
            "reorged": [Heard(H.LEFT), Heard(H.REORGED_LEFT), Heard(H.LEFT), came],
            "came_reorged": [Heard(H.LEFT), came, Heard(H.REORGED_CAME), came],
            "lost": [Heard(H.LEFT)],
            "late_lost": [],
        }[kind]

    def most(self, asset: Asset) -> int:
        return 10**9

    async def hand_in(self, kept: TransferKept) -> Heard | None:
        of = kept.transfer
        self.received[of.id] += 1
        if self.chance.random() < 0.2:  # it never came
            self.fates[of.id] = [Heard(H.NEVER_LEFT)]
            self.kinds["never_left"] += 1
        else:
            self.fates[of.id] = self.fate(of.amount)
        if self.chance.random() < 0.3:
            raise ChainUnavailable("the answer was lost")
        return None

    async def heard(self, kept: TransferKept) -> Sequence[Heard]:
        if self.chance.random() < self.silent:
            raise ChainUnavailable("nobody answers")
        fate = self.fates.get(kept.transfer.id)
        if fate is None:  # killed before it was handed in
            return [Heard(H.NEVER_LEFT)]
        if len(fate) > 1 and self.chance.random() < 0.7:
            fate.pop(0)
        return fate[:1]  # how it stands now, told again and again


class Killed(BaseException):
    """The process ends here."""


class KilledJournal:
    def __init__(self, journal: SqlTransferJournal, at: int, *, is_after: bool) -> None:
        self._journal, self._left, self._is_after = journal, at, is_after

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)

    def happened(self, events: Sequence[TransferEvent]) -> None:
        self._left -= 1
        if self._left == 0 and not self._is_after:
            raise Killed
        self._journal.happened(events)
        if self._left == 0:
            raise Killed


@dataclass
class Bridged:
    """How it came out. ``wrong``: what the journal says otherwise than the bridge, one line each."""

    states: Counter[TransferState]
    kinds: Counter[str]
    kills: int
    wrong: list[str]


async def bridged(folder: Path, seed: int, transfers: int = 1_000) -> Bridged:
    """Carry so many transfers, each with a fate of its own, and restart after every kill."""
    chance, clock, path = random.Random(seed), SteppedClock(), folder / f"transfers-{seed}.db"
    bridge, kills, each_turn = Bridge(chance, clock), 0, transfers // PLANNED_TURNS
    journal = SqlTransferJournal.at(path)
    for turn in range(TURNS):
        now_ns = clock.now_ns()
        count = each_turn if turn < PLANNED_TURNS else 0
        made = [Transfer(f"x{each_turn * turn + n}", "base", "solana", 1_000 + n) for n in range(count)]
        wished = [TransferKept(of, of.id, "money", now_ns, now_ns + 20 * S) for of in made]
        assert journal.plan(wished) == count
        bridge.silent = 0.2 if turn < UNSAFE_TURNS else 0.0
        dies = KilledJournal(journal, turn % 3 if turn < UNSAFE_TURNS else 0, is_after=turn % 2 < 1)
        doors = {("base", "solana"): bridge}
        carrier = TransferCarrier(dies, doors, CarrierRules(watch_s=8.0), clock, lambda _b, _a: None, clock.sleep)
        try:
            await carrier.look()
        except Killed:
            kills += 1
            journal.close()
            journal = SqlTransferJournal.at(path)
        clock.advance(3)
    now_ns = clock.now_ns()
    late = [each for each in journal.watched(now_ns + 1) if each.transfer.state is TransferState.LATE]
    journal.happened([TransferEvent(e.transfer.id, e.events, H.GIVEN_UP, 0, now_ns) for e in late])  # a person says so
    ended = [each.transfer for each in journal.watched(0)]
    wrong = [text for each in ended if (text := _wrong(each, bridge))]
    left = sum(each.amount for each in ended if each.has_left)
    if journal.moved("money") != {"base": -left, "solana": sum(each.received for each in ended)}:
        wrong.append(f"the inventory does not add up: {journal.moved('money')}")
    if len(ended) != each_turn * PLANNED_TURNS:
        wrong.append(f"{len(ended)} transfers of {each_turn * PLANNED_TURNS}")
    journal.close()
    return Bridged(Counter(each.state for each in ended), bridge.kinds, kills, wrong)


def _wrong(each: Transfer, bridge: Bridge) -> str:
    truth = bridge.fates.get(each.id, [Heard(H.NEVER_LEFT)])
    came = truth[-1].received if truth else 0
    if bridge.received[each.id] > 1:
        return f"{each.id} was handed in {bridge.received[each.id]} times"
    if not each.state.is_over or each.on_its_way or each.reserved:
        return f"{each.id} is {each.state} in the end"
    if each.received != came or (each.state is TransferState.RETURNED) != (truth[-1:] == [Heard(H.NEVER_LEFT)]):
        return f"{each.id} is {each.state} with {each.received}; the truth is {truth}"
    return ""
