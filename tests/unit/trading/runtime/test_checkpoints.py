"""A restart from a checkpoint and the rows behind it knows and decides what the whole fold does."""

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.doubles.kernel_bench import catch_up, stored
from tests.doubles.scripted_market import ScriptedFeed, merged, script

from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.sql_journal import CHECKPOINTS_KEPT, JournalStore
from trading.engine import checkpoint
from trading.errors import DataError
from trading.feeds.synthetic import BOOKMARK_CYCLES, SyntheticFeed, SyntheticMarket
from trading.model import commands
from trading.model.market_data import Bar, CycleEnd, MarketEvent
from trading.ports import Feed
from trading.runtime import session as sessions
from trading.runtime.assembly import RunPlan, chosen_profile, make_kernel
from trading.runtime.session import Opener, Session
from trading.runtime.sources import Cycle

EVERY = 400


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CHECKPOINT_CYCLES", EVERY)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    opened = JournalStore.at(tmp_path / "journal.db")
    yield opened
    opened.close()


def plan(feed: Feed, profile: str = "aggressive") -> RunPlan:
    return RunPlan("paper", feed.description, chosen_profile(profile), 2 * 10**9, 20 * 10**9)


def waves(*, by_reference: bool) -> ScriptedFeed:
    """Two tokens that move enough to be bought and sold."""

    def walk(seed: int) -> list[str]:
        price, state, found = Decimal(1), seed, []
        for number in range(1_700):
            state = (state * 1_103_515_245 + 12_345) % 2**31
            drift = 12 if number // 150 % 2 else -9
            price = (price * (10_000 + (state >> 8) % 161 - 80 + drift) / 10_000).quantize(Decimal("0.00000001"))
            found.append(str(price))
        return found

    events = merged(script(walk(11)), script(walk(29), mint="sim:BBB"))
    loud = [
        replace(event, volume=Decimal(9_000)) if isinstance(event, Bar) and number % 5 == 0 else event
        for number, event in enumerate(events)
    ]
    return ScriptedFeed(loud, by_reference=by_reference)


def synthetic() -> SyntheticFeed:
    return SyntheticFeed(SyntheticMarket(seed=3, launch_ppm=40_000))


def drive(session: Session, feed: Feed, until: int) -> Session:
    """Take cycles up to that number, committing now and then; a control by hand comes in between."""
    events: list[MarketEvent] = []
    number = session.cycles
    for event in feed.events(session.cycles):
        if number >= until:
            break
        events.append(event)
        if isinstance(event, CycleEnd):
            number += 1
            session.take(Cycle(number, tuple(events)))
            events = []
            if number % 500 == 0:
                session.command(commands.Deposit(f"d{number}", "o", "more", 10**9))
            if number % 40 == 0:
                session.commit()
    session.commit()
    return session


def rows(store: JournalStore, run: int = 1) -> list[tuple[int, str, bytes]]:
    return [(row.ts_ns, row.kind, row.body) for row in store.open_run(run).rows() if row.kind != "run_started"]


def folded(store: JournalStore, feed: Feed, by_reference: bool) -> dict[str, Any]:
    """Return the state that the whole fold of the run's rows gives."""
    kernel = make_kernel(plan(feed), "run", store.open_run(1))
    kernel.restore(stored(store.open_run(1)), feed.events() if by_reference else None)
    if by_reference:
        catch_up(kernel, feed, store.open_run(1).progress())
    return checkpoint.taken(kernel)


@pytest.mark.requirement("T1")
@pytest.mark.parametrize("by_reference", [True, False])
def test_a_run_reopened_from_checkpoints_writes_the_rows_of_one_that_was_not(
    store: JournalStore, tmp_path: Path, by_reference: bool
) -> None:
    feed = waves(by_reference=by_reference)
    whole = JournalStore.at(tmp_path / "whole.db")
    unbroken = drive(Opener(whole, plan(feed), feed)(), feed, 1_700)
    assert unbroken.kernel.state.fills_total > 10
    for until in (390, 410, 1_111, 1_619, 1_700):
        session = Opener(store, plan(feed), feed)()
        state = checkpoint.taken(session.kernel)
        if session.cycles:
            assert session.checkpointed_at == session.cycles // EVERY * EVERY
            assert canonical_json(state) == canonical_json(folded(store, feed, by_reference))
        drive(session, feed, until)
        assert canonical_json(checkpoint.taken(session.kernel)) == canonical_json(folded(store, feed, by_reference))
    assert rows(store) == rows(whole)
    assert len(list(store.checkpoints(1, 10**9))) == CHECKPOINTS_KEPT
    whole.close()


@pytest.mark.requirement("T21")
def test_a_run_keeps_the_zone_that_it_began_in_whatever_is_set_later(store: JournalStore, tmp_path: Path) -> None:
    feed, whole = waves(by_reference=True), JournalStore.at(tmp_path / "whole.db")
    there = replace(plan(feed), zone="America/Havana")
    drive(Opener(whole, there, feed)(), feed, 700)
    drive(Opener(store, there, feed)(), feed, 450)
    session = Opener(store, plan(feed), feed)()
    assert session.checkpointed_at == 400
    assert session.kernel.state.zone == "America/Havana"
    drive(session, feed, 700)
    assert rows(store) == rows(whole)
    whole.close()


def test_a_generated_market_goes_on_from_its_bookmark(store: JournalStore) -> None:
    feed = synthetic()
    drive(Opener(store, plan(feed), feed)(), feed, BOOKMARK_CYCLES + 500)
    again = Watched(SyntheticMarket(seed=3, launch_ppm=40_000))
    session = Opener(store, plan(again), again)()
    assert session.cycles == BOOKMARK_CYCLES + 500
    assert again.bookmark(10**6) == feed.bookmark(10**6) is not None
    drive(session, again, BOOKMARK_CYCLES + 900)
    assert again.asked == [1_200, 1_500]  # the checkpoint, then the loop
    assert canonical_json(checkpoint.taken(session.kernel)) == canonical_json(folded(store, synthetic(), True))


class Watched(SyntheticFeed):
    """Notes where it was asked to go on."""

    def __init__(self, market: SyntheticMarket) -> None:
        super().__init__(market)
        self.asked: list[int] = []

    def events(self, skip_cycles: int = 0) -> Iterator[MarketEvent]:
        self.asked.append(skip_cycles)
        return super().events(skip_cycles)


def spoil(path: Path, how: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(how)
    connection.close()


@pytest.mark.parametrize("how", ["damaged", "cut", "of another version", "of another shape", "a stranger's"])
def test_a_checkpoint_that_does_not_fit_is_passed_over_and_the_rows_are_folded(
    store: JournalStore, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    feed = waves(by_reference=True)
    before = canonical_json(checkpoint.taken(drive(Opener(store, plan(feed), feed)(), feed, 900).kernel))
    for point in list(store.checkpoints(1, 10**9)):
        body = point.body
        match how:
            case "damaged":
                spoil(store.path, f"UPDATE checkpoints SET body = zeroblob(40) WHERE seq = {point.seq}")
                continue
            case "cut":
                spoil(store.path, f"UPDATE checkpoints SET body = substr(body, 1, 90) WHERE seq = {point.seq}")
                continue
            case "of another version":
                body["kernel"]["version"] = 0
            case "of another shape":
                del body["kernel"]["state"][2]["cycle"]
            case _:
                body["kernel"] = {"hello": 1}
        store.keep_checkpoint(1, point.seq, body)
    with caplog.at_level(logging.WARNING):
        session = Opener(store, plan(feed), feed)()
    assert session.checkpointed_at == 0
    assert canonical_json(checkpoint.taken(session.kernel)) == before
    told = "passed over" in caplog.text
    assert told is (how not in ("damaged", "cut"))


def test_a_start_under_another_profile_goes_on_from_the_checkpoint(store: JournalStore) -> None:
    feed = waves(by_reference=True)
    drive(Opener(store, plan(feed), feed)(), feed, 900)
    session = Opener(store, plan(feed, "cautious"), feed)()
    assert session.checkpointed_at == 800
    assert session.kernel.state.profile.name == "cautious"
    again = Opener(store, plan(feed, "cautious"), feed)()
    assert canonical_json(checkpoint.taken(again.kernel)) == canonical_json(checkpoint.taken(session.kernel))


@pytest.mark.requirement("T2")
def test_a_start_under_another_profile_before_the_first_checkpoint_is_a_switch_in_the_journal(
    store: JournalStore,
) -> None:
    feed = waves(by_reference=True)
    before = drive(Opener(store, plan(feed), feed)(), feed, 380)
    assert before.checkpointed_at == 0
    told = canonical_json(checkpoint.taken(before.kernel))
    session = Opener(store, plan(feed, "cautious"), feed)()
    switches = [row for row in store.open_run(1).rows() if row.kind == "profile_switched"]
    assert [(parse_json(row.body)["before"], parse_json(row.body)["after"]) for row in switches] == [
        ("aggressive", "cautious")
    ]
    assert session.kernel.state.profile.name == "cautious"
    again = Opener(store, plan(feed, "cautious"), feed)()
    assert canonical_json(checkpoint.taken(again.kernel)) == canonical_json(checkpoint.taken(session.kernel)) != told
    assert len([row for row in store.open_run(1).rows() if row.kind == "profile_switched"]) == 1


def test_a_checkpoint_of_other_strategies_is_refused(store: JournalStore) -> None:
    feed = waves(by_reference=True)
    session = drive(Opener(store, plan(feed), feed)(), feed, 40)
    body = parse_json(canonical_json(checkpoint.taken(session.kernel)))
    body["rules"] = body["rules"].replace("288", "289")
    with pytest.raises(DataError, match="other rules"):
        checkpoint.put_back(make_kernel(plan(feed), "run", session.journal), body)
