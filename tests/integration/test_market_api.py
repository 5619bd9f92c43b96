"""The market feed against a loopback server with pages of the documented schema, and every fault it must survive."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import Response
from tests.support.market_server import (
    NS,
    FakePool,
    MarketServer,
    SteppedClock,
    address,
    document,
    eventually,
    hanging,
    html,
    huge,
    status,
)

from trading.adapters.live_feed import LiveMarketFeed
from trading.adapters.live_feed_choice import choose_feed
from trading.adapters.market_api import MarketApi
from trading.errors import FeedUnavailable, InvalidInput
from trading.model.market_data import Bar, CycleEnd, FeedGap, History, MarketEvent, TokenGone, TokenListed

pytestmark = pytest.mark.anyio

FROG = FakePool(address("PooFrog"), address("Frog"), "FROG")
BIRD = FakePool(address("PooBird"), address("Bird"), "BIRD", decimals=9, price_sol="0.002", reserve_in_usd="90000")


def a_pool(**changes: Any) -> FakePool:
    return FakePool(**{"address": address("PooFrog"), "mint": address("Frog"), "symbol": "FROG"} | changes)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@asynccontextmanager
async def an_api(
    clock: SteppedClock, *pools: FakePool, **changes: Any
) -> AsyncIterator[tuple[MarketServer, MarketApi]]:
    async with (
        MarketServer.serving(clock, list(pools or [a_pool()])) as server,
        MarketApi.connect(server.section(**changes), clock) as api,
    ):
        yield server, api


@asynccontextmanager
async def a_feed(
    clock: SteppedClock, *pools: FakePool, **changes: Any
) -> AsyncIterator[tuple[MarketServer, LiveMarketFeed]]:
    async with MarketServer.serving(clock, list(pools or [a_pool()])) as server:
        feed = LiveMarketFeed(server.section(events_len_max=64, **changes), clock, clock.sleep)
        yield server, feed


async def cycles(feed: LiveMarketFeed, count: int) -> list[list[MarketEvent]]:
    """Receive that many cycles, each with its CycleEnd."""
    found: list[list[MarketEvent]] = [[]]
    with anyio.fail_after(20):
        while True:
            event = await feed.receive()
            found[-1].append(event)
            if isinstance(event, CycleEnd):
                if len(found) == count:
                    return found
                found.append([])


def of_kind(groups: list[list[MarketEvent]], kind: type) -> list[Any]:
    return [event for group in groups for event in group if isinstance(event, kind)]


async def test_a_token_is_listed_before_its_first_bar_and_every_cycle_is_closed(clock: SteppedClock) -> None:
    async with a_feed(clock, FROG, BIRD) as (_, feed), feed.running():
        groups = await cycles(feed, 3)
    assert [type(event).__name__ for event in groups[0]] == [
        *["TokenListed", "History", "Bar"] * 2,
        "CycleEnd",
    ]
    assert [type(event).__name__ for event in groups[1]] == ["Bar", "Bar", "CycleEnd"]
    ends = of_kind(groups, CycleEnd)
    assert [end.ts_ns - ends[0].ts_ns for end in ends] == [0, 300 * NS, 600 * NS]
    assert ends[0].sol_usd == Decimal("142.5")
    listed = {event.instrument.symbol: event.instrument for event in of_kind(groups, TokenListed)}
    assert (listed["BIRD"].decimals, listed["FROG"].decimals) == (9, 6)
    assert listed["FROG"].pool_lamports_default == int(Decimal("250000.5") / 2 / Decimal("142.5") * 10**9)


HOSTILE_NAMES = {
    "FR\ud800OG": "FR OG",
    "\udc00": "Frog",
    "F\x00R\x07OG": "F R OG",
    "\u202eGORF\u2066": "GORF",
    "<b>FROG</b>": "<b>FROG</b>",
    " \n ": "Frog",
    "F" * 300: "F" * 64,
}


@pytest.mark.requirement("O5")
async def test_however_somebody_names_his_token_it_trades_under_a_name_that_can_be_kept(clock: SteppedClock) -> None:
    pools = [
        a_pool(address=address(f"Poo{letter}"), mint=address(f"Frog{letter}"), symbol=name)
        for letter, name in zip("ABCDEFG", HOSTILE_NAMES, strict=True)
    ]
    async with a_feed(clock, *pools) as (_, feed), feed.running():
        groups = await cycles(feed, 1)
    listed = {event.instrument.mint: event.instrument.symbol for event in of_kind(groups, TokenListed)}
    for pool, wanted in zip(pools, HOSTILE_NAMES.values(), strict=True):
        assert listed[pool.mint] == (pool.mint[:6] if wanted == "Frog" else wanted)
        listed[pool.mint].encode()


async def test_only_closed_bars_are_sent_and_each_once(clock: SteppedClock) -> None:
    async with a_feed(clock) as (server, feed), feed.running():
        groups = await cycles(feed, 4)
    bars = of_kind(groups, Bar)
    assert [len(group) for group in groups] == [4, 2, 2, 2]
    for bar, end in zip(bars, of_kind(groups, CycleEnd), strict=True):
        assert (bar.ts_close_ns, bar.ts_open_ns) == (end.ts_ns, end.ts_ns - 300 * NS)
        row = server.bar_row(FROG, bar.ts_open_ns // NS)
        assert [float(price) for price in (bar.open, bar.high, bar.low, bar.close)] == row[1:5]
        assert float(bar.volume) == pytest.approx(row[5] / row[4])
        assert bar.pool_lamports == 800 * 10**9


async def test_a_bar_without_trades_becomes_a_gap_before_the_next_and_is_not_filled_in(clock: SteppedClock) -> None:
    pool = a_pool()
    first_s = -(-clock.now_ns() // NS // 300) * 300
    pool.skip_bars_s = {first_s}  # the second cycle's bar
    async with a_feed(clock, pool) as (_, feed), feed.running():
        groups = await cycles(feed, 3)
        counts = feed.health()["counts"]
    assert [len(of_kind([group], Bar)) for group in groups] == [1, 0, 1]
    (gap,) = of_kind(groups, FeedGap)
    assert (gap.from_ns, gap.to_ns, gap.ts_ns) == (first_s * NS, (first_s + 300) * NS, (first_s + 600) * NS)
    assert counts["bar_missing"] >= 1


async def test_a_token_that_joins_brings_its_past_once_and_before_its_first_bar(clock: SteppedClock) -> None:
    async with a_feed(clock, FROG, BIRD) as (server, feed), feed.running():
        groups = await cycles(feed, 3)
        calls = server.calls["ohlcv"]
    past = {event.mint: event for event in of_kind(groups, History)}
    assert of_kind(groups[1:], History) == []
    assert set(past) == {FROG.mint, BIRD.mint}
    first_bar = next(bar for bar in of_kind(groups, Bar) if bar.mint == FROG.mint)
    closes = [bar.ts_close_ns for bar in past[FROG.mint].bars]
    assert closes == list(range(closes[0], first_bar.ts_open_ns + 1, 300 * NS))
    assert 990 < len(closes) < 1_000
    row = server.bar_row(FROG, past[FROG.mint].bars[-1].ts_open_ns // NS)
    assert float(past[FROG.mint].bars[-1].close) == row[4]
    assert calls == 6  # the past came with the first page: no call of its own


async def test_a_past_that_is_refused_is_given_up_after_two_cycles_and_the_token_warms_up_live(
    clock: SteppedClock,
) -> None:
    async with a_feed(clock, FROG, BIRD, backoff_base_s=1e-9, backoff_cap_s=1e-9) as (server, feed):
        pages, refuse = server.always, status(429)

        async def ohlcv(request: Request) -> Response:
            is_past = int(request.query_params["limit"]) > 500
            return await (refuse if is_past and BIRD.address in request.url.path else server._ohlcv)(request)

        pages["ohlcv"] = ohlcv
        async with feed.running():
            groups = await cycles(feed, 4)
            health, calls = feed.health(), feed.calls()
    past = {event.mint: len(event.bars) for event in of_kind(groups, History)}
    assert past == {FROG.mint: 998, BIRD.mint: 10}  # of BIRD what an ordinary page holds
    assert [[bar.mint for bar in of_kind([group], Bar)] for group in groups] == [
        *[[FROG.mint]] * 2,
        *[[BIRD.mint, FROG.mint]] * 2,
    ]
    assert health["counts"]["history_missed"] == 2
    assert calls["GeckoTerminal"].errors["http_429"] >= 2
    assert sum(calls["GeckoTerminal"].answered_s.counts) == calls["GeckoTerminal"].ok > 0
    assert calls["GeckoTerminal"].budget_left < 10_000
    assert health["endpoints"]["GeckoTerminal"]["errors"]["http_429"] >= 2


async def test_a_held_token_does_not_wait_for_its_past(clock: SteppedClock) -> None:
    async with a_feed(clock, FROG, BIRD, backoff_base_s=1e-9, backoff_cap_s=1e-9) as (server, feed):

        async def ohlcv(request: Request) -> Response:
            is_past = int(request.query_params["limit"]) > 500
            refused = is_past and BIRD.address in request.url.path
            return await (status(500) if refused else server._ohlcv)(request)

        server.always["ohlcv"] = ohlcv
        feed.hold([BIRD.mint])
        async with feed.running():
            groups = await cycles(feed, 1)
    assert {bar.mint for bar in of_kind(groups, Bar)} == {BIRD.mint, FROG.mint}
    assert {event.mint: len(event.bars) for event in of_kind(groups, History)} == {FROG.mint: 998, BIRD.mint: 10}


async def test_what_was_missed_in_an_outage_comes_as_history_behind_the_gap(clock: SteppedClock) -> None:
    began_ns = clock.now_ns()
    async with a_feed(clock, backoff_base_s=1e-9, backoff_cap_s=1e-9) as (server, feed):

        async def ohlcv(request: Request) -> Response:
            is_out = 900 * NS < clock.now_ns() - began_ns < 2_500 * NS
            return await (status(503) if is_out else server._ohlcv)(request)

        server.always["ohlcv"] = ohlcv
        async with feed.running():
            groups = await cycles(feed, 6)
    events = [event for group in groups for event in group]
    [gap] = of_kind(groups, FeedGap)
    past = events[events.index(gap) + 1]
    assert isinstance(past, History)
    assert len(past.bars) >= 4
    assert [bar.ts_open_ns for bar in past.bars] == list(range(gap.from_ns, gap.to_ns, 300 * NS))
    sent = [bar.ts_close_ns for bar in of_kind(groups, Bar)]
    assert not {bar.ts_close_ns for bar in past.bars} & set(sent)


async def test_a_bar_that_was_withheld_does_not_come_back_as_history(clock: SteppedClock) -> None:
    pool = a_pool()
    began_ns = clock.now_ns()
    async with a_feed(clock, pool, BIRD) as (server, feed):

        async def dexscreener(request: Request) -> Response:
            pool.second_price = "0.0002" if 900 * NS < clock.now_ns() - began_ns < 1_500 * NS else None
            return await server._dexscreener(request)

        server.always["dexscreener"] = dexscreener
        async with feed.running():
            groups = await cycles(feed, 7)
            counts = feed.health()["counts"]
    assert counts["bar_withheld"] == 2
    [gap] = of_kind(groups, FeedGap)
    assert (gap.mint, gap.to_ns - gap.from_ns) == (pool.mint, 600 * NS)
    assert len([event for event in of_kind(groups, History) if event.mint == pool.mint]) == 1  # the one at the start


async def test_rows_that_are_no_bars_are_left_out_and_counted(clock: SteppedClock) -> None:
    now_s = clock.now_ns() // NS
    on_grid_s = now_s // 300 * 300
    pool = a_pool(
        extra_rows=[
            [on_grid_s + 3_000, 1, 1, 1, 1, 1],
            [on_grid_s - 7, 1, 1, 1, 1, 1],
            [on_grid_s - 3_000, 1, 0.5, 1, 1, 1],
            [on_grid_s - 3_300, -1, 1, 1, 1, 1],
            [on_grid_s - 3_600, 1, 1],
            [on_grid_s - 3_900, None, 1, 1, 1, 1],
            ["soon", 1, 1, 1, 1, 1],
        ]
    )
    async with a_feed(clock, pool) as (_, feed), feed.running():
        groups = await cycles(feed, 1)
        counts = feed.health()["counts"]
    assert len(of_kind(groups, Bar)) == 1
    assert counts["bar_invalid"] >= 5
    assert counts["bar_off_grid"] >= 1
    assert counts["bar_future"] >= 1


async def test_a_bar_far_from_the_second_source_is_withheld(clock: SteppedClock) -> None:
    async with a_feed(clock, a_pool(second_price="0.0002"), BIRD) as (_, feed), feed.running():
        groups = await cycles(feed, 2)
        counts = feed.health()["counts"]
    assert {bar.mint for bar in of_kind(groups, Bar)} == {BIRD.mint}
    assert counts["bar_withheld"] >= 2


async def test_a_drained_pool_is_reported_gone_once(clock: SteppedClock) -> None:
    pool = a_pool()
    async with a_feed(clock, pool, BIRD) as (_, feed), feed.running():
        await cycles(feed, 1)
        pool.liquidity_usd, pool.liquidity_quote, pool.reserve_in_usd = 3.0, 0.01, "3"
        gone: list[Any] = []
        while not gone:
            gone = of_kind(await cycles(feed, 1), TokenGone)
        after = await cycles(feed, 40)
    assert [event.mint for event in gone] == [pool.mint]
    assert {bar.mint for bar in of_kind(after, Bar)} == {BIRD.mint}
    assert of_kind(after, TokenGone) == []


async def test_negative_and_null_reserves_never_become_depth(clock: SteppedClock) -> None:
    pools = [
        a_pool(reserve_in_usd="-1200.5"),
        FakePool(address("PooNone"), address("None"), "NONE", reserve_in_usd=None),
        BIRD,
    ]
    async with a_feed(clock, *pools) as (_, feed), feed.running():
        groups = await cycles(feed, 1)
        health = feed.health()
    assert [event.instrument.symbol for event in of_kind(groups, TokenListed)] == ["BIRD"]
    assert health["negative_reserves"] >= 1


async def test_pools_too_small_too_young_or_without_decimals_are_not_followed(clock: SteppedClock) -> None:
    young = datetime.fromtimestamp(clock.now_ns() / NS - 60, tz=UTC).isoformat()
    pools = [
        FakePool(address("PooS"), address("Sma11"), "SMALL", reserve_in_usd="49999"),
        FakePool(address("PooQ"), address("Quiet"), "QUIET", volume_usd_day="10"),
        FakePool(address("PooY"), address("Young"), "YOUNG", created_at=young),
        FakePool(address("PooU"), address("Unknown"), "UNKNOWN", decimals=None),
        FakePool(address("PooA"), address("Aged"), "AGED", created_at=None),
        FakePool(address("PooTwin"), BIRD.mint, "BIRD", decimals=9, reserve_in_usd="60000"),
        BIRD,
    ]
    async with a_feed(clock, *pools) as (_, feed), feed.running():
        groups = await cycles(feed, 1)
    assert [(event.instrument.symbol, event.source.split(":")[1]) for event in of_kind(groups, TokenListed)] == [
        ("BIRD", BIRD.address)
    ]


async def test_a_held_token_is_followed_whatever_its_rank(clock: SteppedClock) -> None:
    small = FakePool(address("PooS"), address("Sma11"), "SMALL", reserve_in_usd="900")
    async with a_feed(clock, BIRD, small, tokens_max=1) as (_, feed):
        feed.hold([small.mint])
        async with feed.running():
            groups = await cycles(feed, 1)
    assert {event.instrument.symbol for event in of_kind(groups, TokenListed)} >= {"SMALL"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (html(), "not_json"),
        (html(503), "http_5xx"),
        (status(429, retry_after="0"), "http_429"),
        (status(500), "http_5xx"),
        (status(403), "http_4xx"),
        (document([1, 2]), "schema"),
        (document({"data": [{"id": "solana_x", "attributes": {}}]}), "schema"),
        (document({"data": {"pools": []}}), "schema"),
        (huge(3_000_000), "too_large"),
    ],
    ids=["html", "html-503", "429", "500", "403", "list", "drifted-items", "drifted-page", "huge"],
)
async def test_each_kind_of_bad_answer_is_one_counted_error(clock: SteppedClock, fault: Any, kind: str) -> None:
    async with an_api(clock) as (server, api):
        server.faults["trending"].append(fault)
        with pytest.raises(FeedUnavailable, match="GeckoTerminal: "):
            await api.trending_pools()
        assert dict(api.gecko.health.errors) == {kind: 1}
        await eventually(lambda: api.gecko.away_s == 0)
        assert [pool.symbol for pool in await api.trending_pools()] == ["FROG"]


async def test_a_hanging_server_costs_the_time_out_and_no_more(clock: SteppedClock) -> None:
    release = anyio.Event()
    async with an_api(clock, timeout_s=0.1) as (server, api):
        server.faults["trending"].append(hanging(release))
        with anyio.fail_after(30), pytest.raises(FeedUnavailable, match=r"no answer within 0\.1 s"):
            await api.trending_pools()
        release.set()
        assert api.gecko.health.errors["timeout"] == 1


async def test_nobody_listening_is_an_error_not_a_crash(clock: SteppedClock) -> None:
    async with an_api(clock, gecko_url="http://127.0.0.1:9") as (_, api):
        with pytest.raises(FeedUnavailable):
            await api.trending_pools()
        assert api.gecko.health.errors["connect"] == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_retry_after_is_obeyed_and_capped(clock: SteppedClock, form: str) -> None:
    at = format_datetime(datetime.fromtimestamp(clock.now_ns() / NS + 500, tz=UTC), usegmt=True)
    async with an_api(clock, retry_after_cap_s=100.0) as (server, api):
        server.faults["trending"].append(status(429, retry_after="500" if form == "seconds" else at))
        with pytest.raises(FeedUnavailable, match="429"):
            await api.trending_pools()
        assert 99 < api.gecko.away_s <= 100
        calls = server.calls["trending"]
        with pytest.raises(FeedUnavailable, match="left alone for another"):
            await api.trending_pools()
        assert server.calls["trending"] == calls


async def test_repeated_failures_back_off_up_to_the_cap(clock: SteppedClock) -> None:
    aways: list[float] = []
    async with an_api(clock, backoff_base_s=0.01, backoff_cap_s=0.04) as (server, api):
        server.always["trending"] = status(500)
        for _ in range(5):
            with pytest.raises(FeedUnavailable, match="500"):
                await api.trending_pools()
            aways.append(api.gecko.away_s)
            await eventually(lambda: api.gecko.away_s == 0)
    assert aways[0] <= 0.01
    assert all(0.02 < away <= 0.04 for away in aways[2:])


async def test_the_budget_holds_calls_back(clock: SteppedClock) -> None:
    async with an_api(clock, gecko_calls_per_minute=600) as (server, api):
        began = anyio.current_time()
        for _ in range(7):
            await api.trending_pools()
        took_s = anyio.current_time() - began
    assert server.calls["trending"] == 7
    assert took_s >= 0.25  # four at once, three more at ten a second


async def test_nan_in_json_is_refused(clock: SteppedClock) -> None:
    async def nan(request: Any) -> Any:
        from starlette.responses import Response

        return Response(b'{"data": NaN}', media_type="application/json")

    async with an_api(clock) as (server, api):
        server.faults["trending"].append(nan)
        with pytest.raises(FeedUnavailable, match="not JSON"):
            await api.trending_pools()


async def test_one_bad_item_on_a_page_costs_that_item_only(clock: SteppedClock) -> None:
    bad = a_pool(address="not an address", mint=address("Bad"))
    async with an_api(clock, FROG, bad) as (_, api):
        assert [pool.symbol for pool in await api.trending_pools()] == ["FROG"]
        assert api.items_skipped == 1


async def test_an_empty_page_is_no_error(clock: SteppedClock) -> None:
    async with an_api(clock) as (server, api):
        server.faults["trending"].append(document({"data": []}))
        assert await api.trending_pools() == []
        assert not api.gecko.health.errors


async def test_the_sol_price_comes_from_jupiter_with_a_key_and_else_from_the_deepest_pair(clock: SteppedClock) -> None:
    async with an_api(clock, jupiter_key="k") as (server, api):
        assert await api.sol_usd() == Decimal("143.5")
        assert server.headers_seen[-1]["x-api-key"] == "k"
        server.faults["jupiter"].append(document({}))
        assert await api.sol_usd() == Decimal("142.5")
    async with an_api(clock) as (server, api):
        assert await api.sol_usd() == Decimal("142.5")
        assert server.calls["jupiter"] == 0


async def test_the_sol_price_falls_back_to_the_pools_page_and_then_stays_the_last_known(clock: SteppedClock) -> None:
    async with a_feed(clock) as (server, feed):
        server.always["dexscreener"] = html(503)
        server.sol_usd = "99"
        async with feed.running():
            first = await cycles(feed, 1)
            server.always["multi"] = status(500)
            while feed.health()["counts"].get("sol_price_missing", 0) < 2:
                last = await cycles(feed, 1)
    assert first[-1][-1].sol_usd == Decimal(99)  # type: ignore[union-attr]
    assert of_kind(last, CycleEnd)[0].sol_usd == Decimal(99)


async def test_a_token_that_dried_up_loses_its_place_unless_it_is_held(clock: SteppedClock) -> None:
    shallow = {"reserve_in_usd": "20000", "liquidity_usd": 20_000.0, "liquidity_quote": 70.0}
    for held in (False, True):
        pool = a_pool()
        async with a_feed(clock, pool, BIRD, universe_refresh_s=1.0) as (_, feed), feed.running():
            feed.hold([pool.mint] if held else [])
            await cycles(feed, 1)
            for name, value in shallow.items():
                setattr(pool, name, value)
            await eventually(lambda feed=feed: feed.health()["queued"] == 64)  # type: ignore[misc]
            late = await cycles(feed, 40)
            assert (feed.health()["counts"].get("token_dropped", 0) > 0) is not held
        assert (pool.mint in {bar.mint for bar in of_kind(late[-5:], Bar)}) is held


async def test_bars_that_drifted_from_the_schema_are_counted_and_send_nothing(clock: SteppedClock) -> None:
    async with a_feed(clock) as (server, feed):
        server.always["ohlcv"] = document({"data": {"attributes": {"ohlcv_list": "none"}}})
        async with feed.running():
            await eventually(lambda: feed.health()["counts"].get("cycle_lost", 0) > 1)
            health = feed.health()
    assert health["queued"] == 0
    assert health["endpoints"]["GeckoTerminal"]["errors"]["schema"] > 1
    assert "ohlcv_list" in health["endpoints"]["GeckoTerminal"]["last_error"]


async def test_a_jupiter_answer_without_meaning_is_its_error_and_the_next_source_answers(clock: SteppedClock) -> None:
    async with an_api(clock, jupiter_key="k") as (server, api):
        server.faults["jupiter"].extend([document([1]), document({"So1": {"usdPrice": "x"}}), document({})])
        for _ in range(3):
            assert await api.sol_usd() == Decimal("142.5")
        assert api.jupiter.health.errors["schema"] == 3


async def test_an_outage_makes_the_feed_old_and_it_goes_on_afterwards(clock: SteppedClock) -> None:
    async with a_feed(clock) as (server, feed), feed.running():
        first = await cycles(feed, 1)
        server.always["ohlcv"] = html(502)
        with anyio.fail_after(20):
            while feed.health()["counts"].get("cycle_lost", 0) < 3:
                with anyio.move_on_after(0.01):
                    first[-1].append(await feed.receive())
        assert feed.health()["age_s"] > 300
        assert feed.health()["endpoints"]["GeckoTerminal"]["errors"]["http_5xx"] >= 1
        del server.always["ohlcv"]
        gaps: list[Any] = []
        with anyio.fail_after(20):
            while not gaps:
                gaps = of_kind(await cycles(feed, 1), FeedGap)
    assert gaps[0].to_ns - gaps[0].from_ns >= 3 * 300 * NS


async def test_before_the_first_bar_the_feed_says_stale(clock: SteppedClock) -> None:
    async with a_feed(clock) as (server, feed):
        assert feed.health()["stale"] is True
        assert sum(server.calls.values()) == 0  # no host is reached before the feed runs
        async with feed.running():
            await cycles(feed, 1)
            assert feed.health()["stale"] is False
            clock.advance(3_600)
            assert feed.health()["stale"] is True


async def test_a_server_clock_behind_ours_delays_bars_instead_of_sending_open_ones(clock: SteppedClock) -> None:
    async with a_feed(clock) as (server, feed):
        server.skew_s = -120.0
        async with feed.running():
            await cycles(feed, 1)
            health = feed.health()
    assert health["skew_s"] == pytest.approx(-120, abs=1.5)
    assert health["counts"]["clock_skew"] >= 1


async def test_a_slow_reader_holds_the_feed_up_within_the_channel(clock: SteppedClock) -> None:
    async with a_feed(clock) as (_, feed), feed.running():
        await eventually(lambda: feed.health()["queued"] == 64)
        assert feed.health()["queued"] == 64
        groups = await cycles(feed, 40)
    ends = of_kind(groups, CycleEnd)
    assert all(later.ts_ns > earlier.ts_ns for earlier, later in pairwise(ends))


async def test_auto_takes_the_market_when_it_answers(clock: SteppedClock) -> None:
    async with MarketServer.serving(clock, [FROG]) as server:
        chosen = await choose_feed("auto", server.section(), clock)
    assert chosen.feed.description.kind == "market"
    assert "answer" in chosen.said


async def test_auto_falls_back_to_recorded_data_then_to_a_generated_market_and_says_why(
    clock: SteppedClock, tmp_path: Path
) -> None:
    recorded = tmp_path / "FROGSOL_5m.csv"
    recorded.write_text("ts,open,high,low,close,volume\n1700000100,1,1,1,1,1\n")
    async with MarketServer.serving(clock, []) as server:
        server.always["trending"] = html(503)
        section = server.section(probe_timeout_s=2.0)
        replay = await choose_feed("auto", section, clock, recorded=[recorded])
        synthetic = await choose_feed("auto", section, clock)
        asked = server.calls["trending"]
        await choose_feed("synthetic:3", section, clock)
        assert server.calls["trending"] == asked == 2
    assert replay.feed.description.kind == "replay"
    assert "recorded data, because the market cannot be reached (GeckoTerminal: the server answered 503)" in replay.said
    assert synthetic.feed.description.kind == "synthetic"
    assert "generated market, because" in synthetic.said


async def test_market_as_asked_stays_market_and_says_that_it_did_not_answer(clock: SteppedClock) -> None:
    async with MarketServer.serving(clock, [FROG]) as server:
        server.faults["trending"].append(html(503))
        down = await choose_feed("market", server.section(), clock)
        up = await choose_feed("market", server.section(), clock)
    assert down.feed.description.kind == up.feed.description.kind == "market"
    assert down.said == "market, as asked; it did not answer at the start (GeckoTerminal: the server answered 503)"
    assert up.said == "market, as asked"


async def test_an_unknown_feed_is_refused_by_name(clock: SteppedClock) -> None:
    async with MarketServer.serving(clock, []) as server:
        with pytest.raises(InvalidInput, match=r"feed is 'moon'; allowed: auto, market") as caught:
            await choose_feed("moon", server.section(), clock)
    assert caught.value.field == "feed"
