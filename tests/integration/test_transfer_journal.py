"""Transfers on disk: handed in at most once and counted once, whatever is killed, late, lost or taken back."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.market_server import SteppedClock

from trading.adapters.transfer_journal import SqlTransferJournal
from trading.arbitrage.carrier import CarrierRules, Split, TransferCarrier
from trading.arbitrage.paper_door import PaperDoor, PaperWay, booked
from trading.arbitrage.paper_leg import PaperInventory
from trading.arbitrage.transfer_ports import Asset, Heard, TransferEvent, TransferKept
from trading.arbitrage.transfers import Happening, Transfer, TransferState
from trading.errors import ChainUnavailable, InvalidInput, JournalUnavailable

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]
H, S = Happening, 10**9
SPLIT = Split("usdc", {"a": 5_000, "b": 5_000}, 2_000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqlTransferJournal]:
    opened = SqlTransferJournal.at(tmp_path / "transfers.db")
    yield opened
    opened.close()


class Paper:
    """Two venues on paper, as a restart finds them: from the journal."""

    def __init__(self, path: Path, clock: SteppedClock) -> None:
        self.journal = SqlTransferJournal.at(path)
        moved = {asset: self.journal.moved(asset) for asset in ("money", "middle")}
        start = {"a": (9_000, 0), "b": (1_000, 0)}
        self.held = {
            name: PaperInventory(money + moved["money"].get(name, 0), middle + moved["middle"].get(name, 0))
            for name, (money, middle) in start.items()
        }
        door = PaperDoor(PaperWay(60.0, fee_bps=10, fee_money=6), self.held, clock)
        rules = CarrierRules(late_s=600.0)
        doors = {("a", "b"): door, ("b", "a"): door}
        self.carrier = TransferCarrier(self.journal, doors, rules, clock, booked(self.held), clock.sleep)

    @property
    def money(self) -> dict[str, int]:
        return {name: each.money for name, each in self.held.items()}


async def test_the_split_is_brought_back_and_arrives_over_a_restart(tmp_path: Path) -> None:
    clock, path = SteppedClock(), tmp_path / "transfers.db"
    desk = Paper(path, clock)
    planned = await desk.carrier.plan(SPLIT, "money", desk.money)
    assert planned is not None
    assert (planned.transfer.source, planned.transfer.target, planned.transfer.amount) == ("a", "b", 4_000)
    assert await desk.carrier.plan(SPLIT, "money", desk.money) is None  # what is under way counts as there
    await desk.carrier.look()
    assert desk.money == {"a": 5_000, "b": 1_000}
    desk.journal.close()
    desk = Paper(path, clock)
    assert desk.money == {"a": 5_000, "b": 1_000}
    clock.advance(61)
    await desk.carrier.look()
    assert desk.money == {"a": 5_000, "b": 4_990}
    [kept] = desk.journal.page(10)
    assert (kept.transfer.state, kept.transfer.received) == (TransferState.ARRIVED, 3_990)
    desk.journal.close()
    desk = Paper(path, clock)
    assert desk.money == {"a": 5_000, "b": 4_990}
    assert await desk.carrier.plan(SPLIT, "money", desk.money) is None
    desk.journal.close()


async def test_one_that_was_killed_between_its_event_and_its_sending_never_left(tmp_path: Path) -> None:
    clock, path = SteppedClock(), tmp_path / "transfers.db"
    desk = Paper(path, clock)
    planned = await desk.carrier.plan(SPLIT, "money", desk.money)
    assert planned is not None
    desk.journal.happened([TransferEvent(planned.transfer.id, 0, H.HANDED_IN, 0, clock.now_ns())])
    desk.journal.close()
    desk = Paper(path, clock)
    await desk.carrier.look()
    [kept] = desk.journal.page(1)
    assert (kept.transfer.state, desk.money) == (TransferState.RETURNED, {"a": 9_000, "b": 1_000})
    desk.journal.close()


async def test_a_way_that_nothing_can_be_sent_on_is_told_and_not_planned(journal: SqlTransferJournal) -> None:
    carrier = TransferCarrier(journal, {}, CarrierRules(), SteppedClock(), lambda _before, _after: None)
    assert await carrier.plan(SPLIT, "middle", {"a": 10, "b": 90}) is None
    assert carrier.by_hand == {("usdc", "middle"): "40 of middle from b to a"}
    assert journal.page(5) == []


def test_only_one_that_is_late_is_given_up_and_only_with_a_reason(journal: SqlTransferJournal) -> None:
    kept = TransferKept(Transfer("x1", "a", "b", 10), "usdc", "money", S, 2 * S)
    assert journal.plan([kept]) == 1
    assert journal.plan([kept]) == 0
    with pytest.raises(InvalidInput, match="planned"):
        journal.give_up("x1", "operator", "the bridge is gone", S)
    for number, happening in enumerate((H.HANDED_IN, H.LEFT, H.TIME_OVER)):
        journal.happened([TransferEvent("x1", number, happening, 0, S)])
    with pytest.raises(InvalidInput, match="reason"):
        journal.give_up("x1", "operator", " ", S)
    with pytest.raises(InvalidInput, match="not known"):
        journal.give_up("x2", "operator", "gone", S)
    journal.give_up("x1", "operator", "the bridge is gone", S)
    [found] = journal.page(5)
    assert (found.transfer.state, journal.moved("money")) == (TransferState.LOST, {"a": -10})
    with pytest.raises(JournalUnavailable):  # the number was written before
        journal.happened([TransferEvent("x1", 0, H.CAME, 9, S)])


def test_whoever_opens_the_journal_last_is_the_only_one_who_writes(journal: SqlTransferJournal) -> None:
    later = SqlTransferJournal.at(journal.path)
    kept = TransferKept(Transfer("x1", "a", "b", 10), "usdc", "money", S, 2 * S)
    with pytest.raises(JournalUnavailable, match="another process"):
        journal.plan([kept])
    assert later.plan([kept]) == 1
    later.close()


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


async def test_in_a_thousand_seeds_with_restarts_all_end_flat_and_none_is_sent_twice(tmp_path: Path) -> None:
    """A bridge transfer that is late, lost or taken back: over the journal on disk, killed at its writings."""
    chance, clock, path = random.Random(15), SteppedClock(), tmp_path / "transfers.db"
    bridge = Bridge(chance, clock)
    journal = SqlTransferJournal.at(path)
    started = killed = 0
    for turn in range(22):
        now_ns = clock.now_ns()
        made = [Transfer(f"x{125 * turn + n}", "base", "solana", 1_000 + n) for n in range(125 if turn < 8 else 0)]
        wished = [TransferKept(of, of.id, "money", now_ns, now_ns + 20 * S) for of in made]
        assert journal.plan(wished) == len(made)
        started += sum(of.amount for of in made)
        bridge.silent = 0.2 if turn < 16 else 0.0
        dies = KilledJournal(journal, turn % 3 if turn < 16 else 0, is_after=turn % 2 < 1)
        carrier = TransferCarrier(
            dies, {("base", "solana"): bridge}, CarrierRules(watch_s=8.0), clock, lambda _b, _a: None, clock.sleep
        )
        try:
            await carrier.look()
        except Killed:
            killed += 1
            journal.close()
            journal = SqlTransferJournal.at(path)
        clock.advance(3)
    late = [each for each in journal.watched(clock.now_ns() + 1) if each.transfer.state is TransferState.LATE]
    now_ns = clock.now_ns()
    journal.happened([TransferEvent(e.transfer.id, e.events, H.GIVEN_UP, 0, now_ns) for e in late])  # a person says so
    ended = [each.transfer for each in journal.watched(0)]
    journal.close()
    assert killed > 7
    assert {each.state for each in ended} == {TransferState.ARRIVED, TransferState.RETURNED, TransferState.LOST}
    assert max(bridge.received.values()) == 1
    assert min(bridge.kinds.values()) > 50
    assert len(bridge.kinds) == 6
    assert sum(each.amount for each in ended) == started
    for each in ended:
        truth = bridge.fates.get(each.id, [Heard(H.NEVER_LEFT)])
        came = truth[-1].received if truth else 0
        assert (each.on_its_way, each.reserved, each.received) == (0, 0, came), each
        assert (each.state is TransferState.RETURNED) == (truth[-1:] == [Heard(H.NEVER_LEFT)])
