"""The desk on a market that the test moves: previews, keys across restarts, controls, why, and trouble."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import INTERVAL_NS, START_NS, ManualFeed, bar

from memmcp_server.wire.orders import RebalanceAnswer, TradeAnswer
from memmcp_server.wire.trading import EquitySeries, StrategyDigest, StrategyList, TradingSnapshot, WhyAnswer
from trading import desk as door
from trading.adapters.canonical import parse_json
from trading.adapters.live_feed_choice import Chosen
from trading.adapters.sql_journal import JournalStore
from trading.config import AccountSection, PaperSection, PreviewSection, RelaySection, Sections
from trading.engine import state
from trading.errors import InvalidInput, Unavailable
from trading.model.market_data import History, TokenListed
from trading.ports import Memory
from trading.runtime.paper_desk import PaperDesk
from trading.runtime.paper_run import PaperOptions, paper_desk

pytestmark = pytest.mark.anyio

MINT = "sim:AAA"
SECTIONS = Sections(
    paper=PaperSection(fill_wait_s=0.0, snapshot_interval_s=0.0),
    preview=PreviewSection(previews_max=4, expiry_s=30),
    relay=RelaySection(backoff_base_s=0.01, poll_s=0.05),
)


class Market:
    """An open desk and its market."""

    def __init__(self, desk: PaperDesk, feed: ManualFeed) -> None:
        self.desk = desk
        self.feed = feed

    async def move(self, price: str | None = None) -> TradingSnapshot:
        """Let one cycle pass, at a new price where one is given; return the snapshot after it."""
        if price is not None:
            self.feed.price = Decimal(price)
        before = (await self.desk.snapshot())["cycle"]
        self.feed.push()
        with anyio.fail_after(30):
            while (await self.desk.snapshot())["cycle"] == before:
                async for _ in self.desk.changes():
                    break
        return TradingSnapshot.model_validate(await self.desk.snapshot())

    async def buy(self, amount: str = "0.05", key: str = "k", **more: Any) -> TradeAnswer:
        """Preview and confirm."""
        shown = await self.preview(amount, **more)
        assert shown.status == "preview", shown.message
        wish = wished(amount, preview_id=shown.preview_id, **more)
        return TradeAnswer.model_validate(await self.desk.place_trade(wish, agent="a", key=key))

    async def preview(self, amount: str = "0.05", **more: Any) -> TradeAnswer:
        return TradeAnswer.model_validate(await self.desk.place_trade(wished(amount, **more), agent="a", key="preview"))

    async def control(self, action: str, **more: Any) -> dict[str, Any]:
        return await self.desk.control({"action": action, "reason": "because", **more}, actor="o", key=f"c-{action}")


def wished(amount: str, **more: Any) -> dict[str, Any]:
    return {"side": "buy", "mint": MINT, "amount_sol": amount, "reason": "a test buys", "bucket": "manual"} | more


@asynccontextmanager
async def market(folder: Path, memory: Memory | None = None, feed: ManualFeed | None = None) -> AsyncIterator[Market]:
    moved = feed or ManualFeed(MINT, "AAA", "0.001")
    options = PaperOptions(folder, "market", "foundation")
    async with paper_desk(options, SECTIONS, memory or ListMemory(), Chosen(moved, "by hand")) as opened:
        found = Market(opened, moved)
        await found.move()
        yield found


async def test_a_confirmed_order_fills_at_the_next_price_and_says_so(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        sent = await here.buy()
        assert sent.status == "working"
        snapshot = await here.move()
        assert [position.mint for position in snapshot.positions] == [MINT]
        again = TradeAnswer.model_validate(await here.desk.place_trade(wished("0.05"), agent="a", key="k"))
        assert (again.status, again.order_id) == ("done", sent.order_id)
        assert again.fill is not None
        assert again.fill["lamports"] == 50_000_000
        assert again.trajectory_id == snapshot.positions[0].trajectory_id


@pytest.mark.requirement("T1")
async def test_a_key_acts_once_also_across_a_restart(tmp_path: Path) -> None:
    feed = ManualFeed(MINT, "AAA", "0.001")
    async with market(tmp_path, feed=feed) as here:
        first = await here.buy(key="once")
        await here.move()
    other = ManualFeed(MINT, "AAA", "0.001")
    other._number = feed._number  # the market went on while the desk was away
    async with market(tmp_path, feed=other) as here:
        again = TradeAnswer.model_validate(await here.desk.place_trade(wished("0.05"), agent="a", key="once"))
        snapshot = await here.move()
        assert again.order_id == first.order_id
        assert again.status == "done"
        assert snapshot.trades_total == 1
        assert [position.mint for position in snapshot.positions] == [MINT]


async def test_an_order_under_way_when_the_desk_is_closed_fills_after_the_restart(tmp_path: Path) -> None:
    feed = ManualFeed(MINT, "AAA", "0.001")
    async with market(tmp_path, feed=feed) as here:
        await here.buy()
    other = ManualFeed(MINT, "AAA", "0.001")
    other._number = feed._number
    async with market(tmp_path, feed=other) as here:
        snapshot = TradingSnapshot.model_validate(await here.desk.snapshot())
        assert snapshot.trades_total == 1
        assert snapshot.equity.lamports < 2_000_000_000


async def test_a_close_that_the_run_has_had_is_not_taken_twice(tmp_path: Path) -> None:
    feed = ManualFeed(MINT, "AAA", "0.001")
    async with market(tmp_path, feed=feed) as here:
        await here.buy()
        before = await here.move()
    other = ManualFeed(MINT, "AAA", "0.5")
    other._number = feed._number - 1  # the feed is opened anew and brings the last close once more, at another price
    options = PaperOptions(tmp_path, "market", "foundation")
    async with paper_desk(options, SECTIONS, ListMemory(), Chosen(other, "by hand")) as opened:
        here = Market(opened, other)
        other.push()
        after = await here.move("0.001")
        assert after.cycle == before.cycle + 1
        assert after.equity.lamports == before.equity.lamports


async def test_two_requests_with_one_key_at_once_trade_once(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        shown = await here.preview()
        wish = wished("0.05", preview_id=shown.preview_id)
        found: list[str | None] = []

        async def place() -> None:
            found.append((await here.desk.place_trade(wish, agent="a", key="twice"))["order_id"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(place)
            tasks.start_soon(place)
        assert found[0] == found[1] is not None
        assert (await here.move()).trades_total == 1


@pytest.mark.requirement("A5")
async def test_a_price_beyond_the_previews_bound_makes_it_stale(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        shown = await here.preview()
        await here.move("0.0011")
        wish = wished("0.05", preview_id=shown.preview_id)
        answer = TradeAnswer.model_validate(await here.desk.place_trade(wish, agent="a", key="late"))
        assert answer.status == "stale"
        assert (await here.move()).trades_total == 0
        # a stale answer is not remembered: with a new preview the same key may act
        done = await here.buy(key="late")
        assert done.status == "working"


async def test_a_preview_makes_room_for_newer_ones(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        first = await here.preview()
        for number in range(4):
            await here.preview(f"0.0{number + 5}")
        wish = wished("0.05", preview_id=first.preview_id)
        answer = TradeAnswer.model_validate(await here.desk.place_trade(wish, agent="a", key="k"))
        assert answer.status == "expired"


async def test_an_order_beyond_a_limit_is_denied_with_the_limit_and_how_far_it_is(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        answer = await here.preview("1.5")
        assert answer.status == "denied"
        assert answer.preview_id is None
        assert answer.verdict is not None
        assert answer.verdict["reason"] == "order_lamports"
        assert answer.verdict["limit"] == 400_000_000
        assert answer.verdict["used"] == 1_500_000_000


async def test_an_amount_in_tokens_buys_at_least_that_many(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        wish = wished("0") | {"amount_sol": None, "amount_token": "75.5"}
        answer = TradeAnswer.model_validate(await here.desk.place_trade(wish, agent="a", key="p"))
        assert answer.quote is not None
        assert Decimal("75.5") <= Decimal(answer.quote["tokens"]) < Decimal("75.51")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"mint": "nothing-like-it"}, "mint"),
        ({"amount_sol": "0.0000000001"}, "amount_sol"),
        ({"amount_sol": None, "amount_token": "1.000001"}, "amount_token"),
        ({"amount_sol": None}, "amount_sol"),
        ({"amount_sol": "0"}, "amount_sol"),
        ({"amount_sol": None, "amount_token": "9999999999"}, "amount_token"),
    ],
)
async def test_a_wrong_amount_or_token_names_its_field(tmp_path: Path, more: dict[str, Any], field: str) -> None:
    async with market(tmp_path) as here:
        with pytest.raises(InvalidInput) as raised:
            await here.desk.place_trade(wished("0.05") | more, agent="a", key="k")
        assert raised.value.field == field


async def test_close_sells_a_share_and_then_the_rest(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        held = (await here.move()).positions[0]
        wish: dict[str, Any] = {"mint": MINT, "percent": 40, "reason": "take some"}
        shown = TradeAnswer.model_validate(await here.desk.close_position(wish, agent="a", key="s"))
        wish["preview_id"] = shown.preview_id
        await here.desk.close_position(wish, agent="a", key="s1")
        left = (await here.move()).positions[0]
        assert int(left.amount_base_units) == int(held.amount_base_units) - int(held.amount_base_units) * 40 // 100
        await here.control("close", mint=MINT, percent=100)
        snapshot = await here.move()
        assert snapshot.positions == []
        assert snapshot.costs.rent_lamports == 0


async def test_rebalancing_buckets_moves_cash_and_nothing_else(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        wish: dict[str, Any] = {
            "scope": "buckets",
            "weights_bps": {"mean_reversion": 7_500, "momentum_breakout": 2_500},
            "reason": "more of it",
        }
        shown = RebalanceAnswer.model_validate(await here.desk.rebalance(wish, agent="a", key="r"))
        assert shown.legs == [
            {"from": "momentum_breakout", "to": "mean_reversion", "lamports": 500_000_000, "sol": "0.5"}
        ]
        wish["preview_id"] = shown.preview_id
        done = RebalanceAnswer.model_validate(await here.desk.rebalance(wish, agent="a", key="r1"))
        assert (done.status, done.legs[0]["status"]) == ("done", "done")
        snapshot = await here.move()
        assert snapshot.equity.lamports == 2_000_000_000
        capital = {each["name"]: each["capital"]["lamports"] for each in (await here.desk.strategies())["strategies"]}
        assert capital == {"momentum_breakout": 500_000_000, "mean_reversion": 1_500_000_000}


async def test_rebalancing_tokens_buys_what_the_gate_allows_and_sells_to_cash(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        wish: dict[str, Any] = {"scope": "tokens", "weights_bps": {MINT: 1_000}, "reason": "own some"}
        shown = RebalanceAnswer.model_validate(await here.desk.rebalance(wish, agent="a", key="r"))
        wish["preview_id"] = shown.preview_id
        sent = RebalanceAnswer.model_validate(await here.desk.rebalance(wish, agent="a", key="r1"))
        assert (sent.status, sent.orders_open, sent.legs[0]["outcome"]) == ("done", 1, "working")
        snapshot = await here.move()
        settled = await here.desk.answered(agent="a", key="r1")
        assert settled is not None
        assert (settled["orders_open"], settled["legs"][0]["outcome"]) == (0, "filled")
        assert settled["legs"][0]["orders"][0].startswith(snapshot.run_id)
        assert abs(snapshot.positions[0].value.lamports - 200_000_000) < 3_000_000
        wish = {"scope": "tokens", "policy": "cash", "reason": "enough"}
        shown = RebalanceAnswer.model_validate(await here.desk.rebalance(wish, agent="a", key="r2"))
        assert shown.legs[0]["side"] == "sell"
        wish["preview_id"] = shown.preview_id
        await here.desk.rebalance(wish, agent="a", key="r3")
        assert (await here.move()).positions == []


async def test_controls_say_what_happens_to_positions_and_survive_a_restart(tmp_path: Path) -> None:
    feed = ManualFeed(MINT, "AAA", "0.001")
    async with market(tmp_path, feed=feed) as here:
        await here.buy()
        await here.move()
        answer = await here.control("reduce_only")
        assert answer["state"] == "REDUCING"
        assert "stay" in answer["effect"]
        assert (await here.preview()).status == "denied"
        await here.control("target", amount_sol="50")
    other = ManualFeed(MINT, "AAA", "0.001")
    other._number = feed._number
    async with market(tmp_path, feed=other) as here:
        snapshot = TradingSnapshot.model_validate(await here.desk.snapshot())
        assert snapshot.state == "REDUCING"
        assert snapshot.compounding.target.lamports == 50_000_000_000
        resumed = await here.control("resume")
        assert (resumed["state"], resumed["entries_allowed"]) == ("ACTIVE", True)
        again = await here.control("resume")
        assert again["effect"] == resumed["effect"]


async def test_a_withdrawal_never_takes_what_the_exits_need(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        await here.move()
        answer = await here.control("withdraw", amount_sol="1.95")
        assert answer["status"] == "denied"
        assert (await here.move()).net_deposits.lamports == 2_000_000_000


@pytest.mark.requirement("T19")
async def test_why_tells_the_chain_of_a_trade_and_the_funnel_of_none(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        sent = await here.buy()
        await here.move()
        await here.control("close", mint=MINT, percent=100)
        await here.move()
        chain = WhyAnswer.model_validate(
            await here.desk.why(order_id=sent.order_id, trajectory_id=None, mint=None, since_ns=None)
        )
        assert [step["step"] for step in chain.chain] == ["signal", "order", "fill", "order", "fill", "outcome"]
        assert "a test buys" in chain.summary
        same = WhyAnswer.model_validate(
            await here.desk.why(order_id=None, trajectory_id=chain.trajectory_id, mint=None, since_ns=None)
        )
        assert same.chain == chain.chain
        funnel = WhyAnswer.model_validate(
            await here.desk.why(order_id=None, trajectory_id=None, mint="aaa", since_ns=None)
        )
        assert funnel.funnel is not None
        assert funnel.funnel["filled"] == 1
        assert funnel.funnel["next_evaluation"] is not None
        with pytest.raises(InvalidInput, match="knows no"):
            await here.desk.why(order_id="ord_x", trajectory_id=None, mint=None, since_ns=None)


async def test_the_digest_says_how_little_a_small_sample_means(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        digest = StrategyDigest.model_validate(await here.desk.strategy_digest(strategy=None, window="7d"))
        assert digest.confidence == "no finished trade: nothing can be said"
        for wrong in ("7", "0d", "7y", ""):
            with pytest.raises(InvalidInput, match="window"):
                await here.desk.strategy_digest(strategy=None, window=wrong)
        with pytest.raises(InvalidInput, match="unknown"):
            await here.desk.strategy_digest(strategy="martingale", window="all")


@pytest.mark.requirement("M7")
async def test_digest_and_strategies_tell_windows_by_regime_and_tier_with_what_they_rest_on(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        [held] = (await here.move()).positions
        await here.control("close", mint=MINT, percent=100)
        await here.move()
        found = StrategyDigest.model_validate(await here.desk.strategy_digest(strategy="manual", window="1d"))
        [manual] = found.strategies
        [cell] = manual["cells"]
        listed = StrategyList.model_validate(await here.desk.strategies())
        end_ns = int(found.until.timestamp()) * 10**9 + 1
        later = await here.desk.strategy_digest(strategy="manual", window="all", since_ns=end_ns)
        within = await here.desk.strategy_digest(strategy="manual", window="all", since_ns=1, until_ns=end_ns)
        for wrong, field in (({"window": "1d", "since_ns": 1}, "window"), ({"window": "all", "since_ns": 2}, "since")):
            with pytest.raises(InvalidInput, match=rf"^{field}: ") as refused:
                await here.desk.strategy_digest(strategy=None, until_ns=1, **wrong)
            assert refused.value.field == field
    assert (within["window"], within["strategies"][0]["cells"]) == ("range", [cell])
    assert [(each["days"], each["trades"]) for each in within["strategies"][0]["windows"]] == [(1, 1), (7, 1), (30, 1)]
    assert [each["days"] for each in manual["windows"]] == []
    assert (later["strategies"][0]["trades"], later["strategies"][0]["cells"]) == (0, [])
    assert (cell["regime"], cell["tier"], cell["trades"], cell["evidence"]) == (
        *("unknown", "foundation", 1),
        [held.trajectory_id],
    )
    assert (manual["trades"], manual["low_bps"], manual["entered_under"]) == (1, None, {"foundation": 1})
    assert found.evidence == [held.trajectory_id]
    windows = {each.name: each.windows for each in listed.strategies}
    assert [(each["days"], each["trades"]) for each in windows["manual"]] == [(1, 1), (7, 1), (30, 1)]
    assert [(each["days"], each["trades"]) for each in windows["momentum_breakout"]] == [(1, 0), (7, 0), (30, 0)]


@pytest.mark.requirement("T21")
async def test_sums_are_in_sol_and_usd_and_the_zone_is_named(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        snapshot = await here.move()
        assert snapshot.sol_usd == "150"
        assert (snapshot.start.sol, snapshot.start.usd) == ("2", "300.00")
        assert Decimal(snapshot.equity.usd or 0) == (Decimal(snapshot.equity.sol) * 150).quantize(Decimal("0.01"))
        assert snapshot.zone == "UTC"
        page = await here.desk.trades(strategy=None, cursor=None, limit=1)
        assert page["trades"][0]["value"]["usd"] == "7.50"


@pytest.mark.requirement("T21")
async def test_the_desk_names_the_zone_whose_days_it_counts_and_keeps_it(tmp_path: Path) -> None:
    feed = ManualFeed(MINT, "AAA", "0.001")
    there = SECTIONS.model_copy(update={"account": AccountSection(zone="Asia/Kolkata")})
    for sections in (there, SECTIONS):  # the second start asks for UTC
        options = PaperOptions(tmp_path, "market", "foundation")
        async with paper_desk(options, sections, ListMemory(), Chosen(feed, "by hand")) as desk:
            assert (await desk.snapshot())["zone"] == "Asia/Kolkata"


async def test_the_equity_series_has_a_point_a_cycle_or_the_last_of_each_bucket(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        for _ in range(5):
            snapshot = await here.move()
        every = EquitySeries.model_validate(
            await here.desk.equity(since_ns=None, until_ns=None, resolution_s=None)
        ).points
        assert len(every) == 6
        assert every[-1].ts == snapshot.ts
        assert every[-1].equity_lamports == snapshot.equity.lamports
        assert every[-1].sol_usd == "150"
        thinned = EquitySeries.model_validate(
            await here.desk.equity(since_ns=None, until_ns=None, resolution_s=900)
        ).points
        assert 2 <= len(thinned) <= 3
        assert (thinned[-1].ts, thinned[-1].equity_lamports) == (every[-1].ts, every[-1].equity_lamports)
        assert sum(point.marks or 0 for point in thinned) == len(every)
        assert min(point.low_lamports or 0 for point in thinned) == min(point.equity_lamports for point in every)
        since_ns = int(every[3].ts.timestamp()) * 10**9
        later = await here.desk.equity(since_ns=since_ns, until_ns=None, resolution_s=None)
        assert [point["ts"] for point in later["points"]] == [point.ts.isoformat() for point in every[3:]]
        with pytest.raises(InvalidInput, match="resolution_s"):
            await here.desk.equity(since_ns=None, until_ns=None, resolution_s=0)


async def test_what_is_held_is_followed_by_the_feed(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        await here.move()
        assert here.feed.held == {MINT}


async def test_real_money_needs_a_wallet(tmp_path: Path) -> None:
    options = door.DeskOptions(tmp_path, feed="synthetic", money="real")
    with pytest.raises(InvalidInput, match="real money needs the wallet") as raised:
        async with door.open({}, ListMemory(), options):
            pass
    assert raised.value.field == "live.wallet"
    assert not (tmp_path / "execution.db").exists()


async def test_a_stopped_desk_refuses_and_says_so(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        desk = here.desk
    with pytest.raises(Unavailable, match="stopping"):
        await desk.place_trade(wished("0.05"), agent="a", key="k")


class RememberingFeed(ManualFeed):
    """A market that brings a token's past whenever it is opened anew, as the live feed does."""

    def push(self) -> None:
        if not self.has_told:
            self.has_told = True
            first = max(1, self._number - 40)
            known = [bar(number, self.price, mint=MINT) for number in range(first, self._number + 1)]
            past = tuple(replace(each, sol_usd=None, pool_lamports=None, source="past") for each in known)
            self._send.send_nowait(TokenListed(bar(self._number + 1, 1).ts_close_ns, self._instrument, "manual"))
            self._send.send_nowait(History(bar(self._number + 1, 1).ts_close_ns, MINT, past, "past"))
        super().push()

    has_told = False


async def test_a_restart_after_a_gap_shows_the_strategies_what_was_missed_and_nothing_twice(tmp_path: Path) -> None:
    async def opened_at(number: int) -> list[tuple[int, int]]:
        feed = RememberingFeed(MINT, "AAA", "0.001")
        feed._number = number
        memory = ListMemory()
        async with market(tmp_path, memory, feed=feed) as here:
            await here.move()
        store = JournalStore.at(tmp_path / "journal.db")
        rows = [parse_json(row.body) for row in store.open_run(1).rows(kinds=("bar_history",))]
        store.close()
        notes = [record for record in memory.of("note") if record.kind == "feed"]
        assert sum(len(row["bars"]) for row in rows[-1:]) == (notes[-1].metadata["bars"] if notes else 0)
        return [
            ((row["bars"][0][0] - START_NS) // INTERVAL_NS + 1, (row["bars"][-1][0] - START_NS) // INTERVAL_NS + 1)
            for row in rows
        ]

    assert await opened_at(50) == [(10, 50)]
    assert await opened_at(60) == [(10, 50), (53, 60)]  # 51 and 52 were seen live


async def test_every_trade_can_be_paged_to_also_those_that_the_state_has_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "TRADES_MAX", 10)
    feed = ManualFeed(MINT, "AAA", "0.001")

    async def all_pages(desk: PaperDesk, strategy: str | None = None) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await desk.trades(strategy=strategy, cursor=cursor, limit=4)
            found += [each["order_id"] for each in page["trades"]]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    made: list[str | None] = []
    async with market(tmp_path, feed=feed) as here:
        for number in range(8):
            made.append((await here.buy(key=f"k{number}")).order_id)
            await here.move()
            closed = await here.desk.control(
                {"action": "close", "reason": "out", "mint": MINT, "percent": 100}, actor="o", key=f"c{number}"
            )
            made += closed["order_ids"]
            await here.move(str(here.feed.price * Decimal("1.03")))  # sold at a profit, so that it may be bought again
        assert await all_pages(here.desk) == made[::-1]
        first = await here.desk.trades(strategy="manual", cursor=None, limit=1)
        assert first["trades"][0]["realised"]["lamports"] > 0
        assert first["trades"][0]["value"]["usd"] > "7.50"
        assert await all_pages(here.desk, "momentum_breakout") == []
    other = ManualFeed(MINT, "AAA", "0.001")
    other._number = feed._number
    async with market(tmp_path, feed=other) as here:
        assert await all_pages(here.desk) == made[::-1]


async def test_before_the_first_event_the_desk_says_that_it_is_starting_and_no_time_of_1970(tmp_path: Path) -> None:
    feed = ManualFeed(MINT, "AAA", "0.001")
    options = PaperOptions(tmp_path, "market", "foundation")
    began = datetime.now(UTC)
    async with paper_desk(options, SECTIONS, ListMemory(), Chosen(feed, "by hand")) as desk:
        shown = await desk.snapshot()
        assert began <= TradingSnapshot.model_validate(shown).ts <= datetime.now(UTC)
        assert shown["state_reason"].startswith("starting")
        assert (shown["next_evaluation"], shown["feed"]["last_event"]) == (None, None)
        digest = await desk.strategy_digest(strategy=None, window="1d")
        funnel = await desk.why(order_id=None, trajectory_id=None, mint=None, since_ns=None)
        assert "1970" not in str(shown) + digest["since"] + digest["until"] + funnel["summary"]
        after = await Market(desk, feed).move()
        assert after.state_reason == "no limit is crossed"
        assert after.ts == after.feed.last_event


async def test_the_reserve_for_exits_is_a_floor(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        limits = {limit.name: limit for limit in (await here.move()).limits}
    floors = [name for name, limit in limits.items() if limit.is_floor]
    assert floors == ["exit_reserve_lamports"]
    reserve = limits["exit_reserve_lamports"]
    assert reserve.used > reserve.limit > 0 < reserve.distance_bps


async def test_an_exit_is_told_as_an_exit_not_as_within_no_limits(tmp_path: Path) -> None:
    memory = ListMemory()
    async with market(tmp_path, memory) as here:
        await here.buy()
        await here.move()
        sold = await here.control("close", mint=MINT, percent=100)
        await here.move()
        chain = await here.desk.why(order_id=sold["order_ids"][0], trajectory_id=None, mint=None, since_ns=None)
    verdicts = [record.text for record in memory.of("step") if record.kind == "verdict"]
    assert len(verdicts) == 2
    assert re.fullmatch(r"Approved by the risk gate, within \d+ limits\.", verdicts[0])
    assert "never hold an exit back" in verdicts[1]
    assert "within 0" not in str(chain)
    assert "which no limit holds back" in str(chain)
