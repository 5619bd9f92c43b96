"""Snapshots that grow old are thinned without losing a spike: the same on every body of the journal."""

from typing import Any

import pytest
from tests.support.journals import SECOND_NS, T0_NS, Bench

from memmcp_server.config import HistorySection
from memmcp_server.domain.identifiers import Seq
from memmcp_server.domain.telemetry import RecordSnapshot, equity_of
from memmcp_server.services import thinning as module
from memmcp_server.services.thinning import Thinning

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O2")]
DAY_S = 86_400
SECTION = HistorySection(every_days=2, minutes_days=30)
START_NS = T0_NS // (3_600 * SECOND_NS) * 3_600 * SECOND_NS
"""The beginning of an hour."""


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_LEN", 7)
    monkeypatch.setattr(module, "ROUND_PAGES_MAX", 1_000)
    monkeypatch.setattr(module, "REST_S", 0.0)


def ours(at_s: int, equity: int, drawdown: int = 0) -> RecordSnapshot:
    body = {"equity": {"lamports": equity, "sol": "0", "usd": None}, "drawdown_bps": drawdown}
    return RecordSnapshot("local", f"run/cycle/{at_s}/{equity}", START_NS + at_s * SECOND_NS, body)  # type: ignore[arg-type]


def theirs(at_s: int, **body: Any) -> RecordSnapshot:
    return RecordSnapshot("bot", f"bot-{at_s}", START_NS + at_s * SECOND_NS, {"money": "paper", **body})


async def kept(bench: Bench, desk_id: str = "local") -> list[int]:
    """Return the seconds of what is left, in order of the desk's time."""
    found = await bench.journal.snapshots(desk_id, since_ns=None, until_ns=None, resolution_s=None, limit=10_000)
    return [(each.ts_event_ns - START_NS) // SECOND_NS for each in found]


async def test_seconds_become_a_few_a_minute_and_then_a_few_an_hour_and_no_spike_is_lost(bench: Bench) -> None:
    told = [ours(at, 1_000 + at % 7, at % 5) for at in range(120)]
    told[33], told[71], told[80] = ours(33, 9_999), ours(71, 1), ours(80, 1_003, drawdown=7_777)
    await bench.journal.commit(told)
    thinning = Thinning(bench.journal, bench.clock, SECTION)
    assert await thinning.round()
    assert len(await kept(bench)) == 120, "what is young stays whole"

    bench.clock.advance(2 * DAY_S + 1)
    await thinning.round()
    by_minute = await kept(bench)
    assert {0, 33, 59, 60, 71, 80, 119} <= set(by_minute)
    assert len(by_minute) <= 2 * 5

    bench.clock.advance(28 * DAY_S)
    await thinning.round()
    assert await kept(bench) == [0, 33, 71, 80, 119]
    await Thinning(bench.journal, bench.clock, SECTION).round()
    assert await kept(bench) == [0, 33, 71, 80, 119]


async def test_each_desk_is_thinned_by_its_own_time_and_the_report_sent_last_stays_the_latest(bench: Bench) -> None:
    await bench.journal.commit(
        [theirs(at, equity_lamports=at) for at in (5, 50, 20, 30, 40)]  # 40 is sent last, though 50 is later
        + [ours(at, 5) for at in (10, 20, 30)]
        + [theirs(at) for at in (3_600, 3_610, 3_620)]  # says no equity
    )
    bench.clock.advance(31 * DAY_S)
    before = await bench.journal.latest_snapshot("bot")
    await Thinning(bench.journal, bench.clock, SECTION).round()
    assert await kept(bench, "bot") == [5, 40, 50, 3_600, 3_620]
    assert await kept(bench) == [10, 30]
    assert await bench.journal.latest_snapshot("bot") == before


async def test_a_report_of_long_ago_that_comes_late_is_weighed_against_what_was_kept(bench: Bench) -> None:
    await bench.journal.commit([ours(at, 100) for at in range(0, 60, 10)])
    bench.clock.advance(40 * DAY_S)
    thinning = Thinning(bench.journal, bench.clock, SECTION)
    await thinning.round()
    assert await kept(bench) == [0, 50]
    await bench.journal.commit([ours(25, 900), ours(26, 100), ours(55, 100)])
    bench.clock.advance(40 * DAY_S)
    await thinning.round()
    assert await kept(bench) == [0, 25, 55]


async def test_what_was_thinned_leaves_no_key_and_what_stays_is_still_known(bench: Bench) -> None:
    await bench.journal.commit([ours(at, 100) for at in range(60)])
    bench.clock.advance(31 * DAY_S)
    thinning = Thinning(bench.journal, bench.clock, SECTION)
    await thinning.round()
    assert await kept(bench) == [0, 59]
    [again] = await bench.journal.commit([ours(59, 100)])
    assert again.duplicate
    [anew] = await bench.journal.commit([ours(30, 100)])
    assert not anew.duplicate
    bench.clock.advance(31 * DAY_S)
    await thinning.round()
    assert 59 in await kept(bench)
    assert len(await kept(bench)) <= 3


async def test_what_is_cut_off_at_any_page_comes_to_the_same_when_it_is_done_again(bench: Bench) -> None:
    told = [ours(at * 3, 1_000 + (at * 7919) % 501, at * 31 % 97) for at in range(100)]
    await bench.journal.commit(told)
    bench.clock.advance(31 * DAY_S)
    pages = 0
    while True:
        thinning = Thinning(bench.journal, bench.clock, SECTION)  # a new one for each page, as after a kill
        found = [await thinning._page(tier) for tier in thinning._tiers]
        pages += sum(found)
        if not any(found):
            break
    assert pages > 10
    by_value = sorted(told, key=lambda each: each.body["equity"]["lamports"])  # type: ignore[index, call-overload]
    deepest = max(told, key=lambda each: each.body["drawdown_bps"])  # type: ignore[arg-type, return-value]
    expected = {told[0].key, told[-1].key, by_value[0].key, by_value[-1].key, deepest.key}
    page = await bench.journal.old_snapshots(
        Seq(0), recorded_before_ns=2**62, bucket_ns=3_600 * SECOND_NS, limit=10_000
    )
    assert {row.key for row in page.rows} == expected


async def test_a_clock_that_jumps_ahead_makes_nothing_old(bench: Bench) -> None:
    await bench.journal.commit([ours(at, 100) for at in range(60)])
    thinning = Thinning(bench.journal, bench.clock, SECTION)
    bench.clock._now_ns += 400 * DAY_S * SECOND_NS  # the wall alone: no time has passed
    await bench.journal.commit([ours(at, 100) for at in range(60, 120)])
    await thinning.round()
    assert len(await kept(bench)) == 120
    bench.clock._now_ns -= 800 * DAY_S * SECOND_NS
    await thinning.round()
    assert len(await kept(bench)) == 120


async def test_a_resolution_gives_the_last_of_each_stretch_of_the_desks_own_time(bench: Bench) -> None:
    await bench.journal.commit([ours(at, 1) for at in (0, 50, 61, 119, 130, 300)] + [theirs(at) for at in (10, 70)])
    await bench.journal.commit([ours(119, 2), ours(59, 1)])  # the same second again, and a late one

    async def last(since: int | None = None, until: int | None = None, limit: int = 10) -> list[tuple[int, int]]:
        bounds = [None if each is None else START_NS + each * SECOND_NS for each in (since, until)]
        found = await bench.journal.snapshots(
            "local", since_ns=bounds[0], until_ns=bounds[1], resolution_s=60, limit=limit
        )
        return [((each.ts_event_ns - START_NS) // SECOND_NS, equity_of(each) or 0) for each in found]

    assert await last() == [(59, 1), (119, 2), (130, 1), (300, 1)]
    assert await last(limit=2) == [(130, 1), (300, 1)]
    assert await last(since=60, until=130) == [(119, 2)]
    assert await last(since=400) == []
    assert [each.desk_id for each in await bench.journal.desks()] == ["bot", "local"]
