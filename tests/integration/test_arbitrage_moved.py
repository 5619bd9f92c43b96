"""Arbitrage's journals that are older than what was sent: from a back-up, or in a copy of the data directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.two_venues import LIMITS, TwoVenues

from trading.arbitrage.runner import RunnerRules, TripRunner
from trading.arbitrage.transfer_ports import TransferKept
from trading.arbitrage.transfers import Transfer, TransferState
from trading.arbitrage.trips import Attempt, Began, Dead, Phase, Settled, fold
from trading.runtime.arbitrage_run import strand_if_moved
from trading.runtime.arbitraging import Journals

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T15")]


@dataclass
class Exchange:
    """Fills whatever it is sent, also a second time under one name, as an exchange does once the first is over."""

    name: str
    sent: list[str]
    known: Mapping[str, Settled | Dead]

    async def send(self, attempt: Attempt) -> Settled:
        self.sent.append(attempt.key)
        return Settled(attempt.key, attempt.amount_in, attempt.amount_out_min, 0, attempt.expires_ns)

    async def ask(self, attempt: Attempt) -> Settled | Dead:
        return self.known[attempt.key]


async def begun(folder: Path) -> tuple[Journals, TwoVenues, str]:
    """Return journals with a trip whose first leg was filled; its second leg's first attempt is under way."""
    market = TwoVenues(folder)
    market.plant(20_000)
    trip_id = await market.monitor.round()
    market.journal.close()
    (folder / "arbitrage.db").rename(folder / "arbitrage-real.db")
    journals = Journals.at(folder, "real")
    plan = journals.trips.kept(trip_id).plan
    events = [Began(plan.began_ns)]
    first = fold(plan, events)[0].open
    assert first is not None
    events.append(Settled(first.key, first.amount_in, first.amount_out_min, 0, plan.began_ns + 1))  # type: ignore[arg-type]
    for number, event in enumerate(events):
        trip = fold(plan, events[: number + 1])[0]
        journals.trips.happened(trip_id, number, event, trip.phase, trip.result)
    return journals, market, trip_id


@pytest.mark.parametrize("problem", ["", "it was restored from a back-up"])
async def test_what_was_sent_since_a_back_up_is_sent_no_second_time(tmp_path: Path, problem: str) -> None:
    journals, market, trip_id = await begun(tmp_path)
    plan = journals.trips.kept(trip_id).plan
    journals.transfers.plan([TransferKept(Transfer("t", "a", "b", 5), "usdc", "money", 7, 10**18)])
    # After the back-up was made: the second leg's first attempt died, and its second one was filled.
    keys = [f"{trip_id}:second:{number}" for number in (1, 2)]
    known = {keys[0]: Dead(keys[0], 0, plan.began_ns + 2)}
    venues = {name: Exchange(name, [], known) for name in ("a", "b")}
    strand_if_moved(journals, SimpleNamespace(problem=problem), market.clock)
    runner = TripRunner(journals.trips, venues, RunnerRules(LIMITS), market.clock, market.clock.sleep)  # type: ignore[arg-type]
    for kept in journals.trips.unfinished():
        await runner.carry_out(kept.plan.id)
    sent = [key for each in venues.values() for key in each.sent]
    [transfer] = journals.transfers.page(1)
    if problem:
        assert sent == []
        assert journals.trips.kept(trip_id).phase is Phase.STUCK
        assert "restored" in journals.trips.halted()
        assert (transfer.transfer.state, transfer.sent_ns) == (TransferState.SENT, 7), "asked about, not handed in"
        journals.trips.settle_by_hand(trip_id, "operator:me", "sold at the exchange", -5)
        journals.trips.resume("operator:me", "looked at the exchange")
        assert journals.trips.halted() == ""
    else:
        assert sent == [keys[1]], "in its own place a trip goes on: this is what a copy must not do"
        assert transfer.transfer.state is TransferState.PLANNED
    journals.close()
