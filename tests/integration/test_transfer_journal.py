"""Transfers on disk: handed in at most once and counted once, whatever is killed, late, lost or taken back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bridge_chaos import bridged
from tests.support.market_server import SteppedClock

from trading.adapters.transfer_journal import SqlTransferJournal
from trading.arbitrage.carrier import CarrierRules, Split, TransferCarrier
from trading.arbitrage.paper_door import PaperDoor, PaperWay, booked
from trading.arbitrage.paper_leg import PaperInventory
from trading.arbitrage.transfer_ports import TransferEvent, TransferKept
from trading.arbitrage.transfers import Happening, Transfer, TransferState
from trading.errors import InvalidInput, JournalUnavailable

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


async def test_nothing_leaves_while_a_trip_may_need_it(tmp_path: Path) -> None:
    clock = SteppedClock()
    desk = Paper(tmp_path / "transfers.db", clock)
    assert await desk.carrier.plan(SPLIT, "money", desk.money) is not None
    desk.carrier.waits = lambda: True  # a trip has begun since
    await desk.carrier.look()
    assert (desk.journal.page(1)[0].transfer.state, desk.money["a"]) == (TransferState.PLANNED, 9_000)
    desk.carrier.waits = lambda: False
    await desk.carrier.look()
    assert (desk.journal.page(1)[0].transfer.state, desk.money["a"]) == (TransferState.ON_ITS_WAY, 5_000)
    desk.journal.close()


async def test_one_whose_way_the_settings_took_before_it_left_bars_no_other(tmp_path: Path) -> None:
    clock = SteppedClock()
    desk = Paper(tmp_path / "transfers.db", clock)
    assert await desk.carrier.plan(SPLIT, "money", desk.money) is not None
    carrier = TransferCarrier(desk.journal, {}, CarrierRules(), clock, booked(desk.held), clock.sleep)
    await carrier.look()
    [kept] = desk.journal.page(5)
    assert (kept.transfer.state, desk.money) == (TransferState.RETURNED, {"a": 9_000, "b": 1_000})
    clock.advance(1)
    assert await desk.carrier.plan(SPLIT, "money", desk.money) is not None
    desk.journal.close()


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


async def test_in_a_thousand_seeds_with_restarts_all_end_flat_and_none_is_sent_twice(tmp_path: Path) -> None:
    """A bridge transfer that is late, lost or taken back: over the journal on disk, killed at its writings."""
    found = await bridged(tmp_path, seed=15)
    assert found.wrong == []
    assert set(found.states) == {TransferState.ARRIVED, TransferState.RETURNED, TransferState.LOST}
    assert found.kills > 7
    assert len(found.kinds) == 6
    assert min(found.kinds.values()) > 50
