"""What every TradingDesk promises the doors: each document is its wire model, previews bind, keys act once."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.doubles.clocks import SystemClock
from tests.doubles.trading_desk import MINT, SYMBOL, InMemoryDesk
from tests.doubles.word_scanner import WordScanner
from tests.support.migrated import migrated

from memmcp_server.adapters.sql_journal import open_journal
from memmcp_server.adapters.trading_desk import open_desk
from memmcp_server.config import JournalSection, Sections, TradingSection
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.meters import Reading
from memmcp_server.errors import IdempotencyConflict, InvalidInput, TradingUnavailable
from memmcp_server.ports import TradingDesk
from memmcp_server.services.scrape import readings_of
from memmcp_server.wire.desk_logs import ProfileLog, SidecarLog
from memmcp_server.wire.execution import NodesAnswer, TransactionPage
from memmcp_server.wire.night import NightReport
from memmcp_server.wire.orders import ControlAnswer, RebalanceAnswer, TradeAnswer
from memmcp_server.wire.path import CurveMarks, Projection
from memmcp_server.wire.prices import CandleSeries
from memmcp_server.wire.trading import (
    EquitySeries,
    StrategyDigest,
    StrategyList,
    TradePage,
    TradingSnapshot,
    WhyAnswer,
)
from trading.feeds.instruments import instrument_of

pytestmark = pytest.mark.anyio

WARM_UP_CYCLES = 577
BARS = 3_000
START_S = 1_704_067_200
PACE = {"TRADING_PAPER__SPEED": "3000"}
OpenDesk = Callable[[], AbstractAsyncContextManager["Bench"]]


class Bench:
    """A desk under test with a token that it can trade and a way to let a cycle pass."""

    def __init__(self, desk: TradingDesk, mint: str, symbol: str, advance: Callable[[], Awaitable[None]]) -> None:
        self.desk = desk
        self.mint = mint
        self.symbol = symbol
        self.advance = advance


@asynccontextmanager
async def in_memory() -> AsyncIterator[Bench]:
    desk = InMemoryDesk()

    async def advance() -> None:
        desk.advance()

    yield Bench(desk, MINT, SYMBOL, advance)


@asynccontextmanager
async def paper() -> AsyncIterator[Bench]:
    """The real desk, ten bars a second, with a memory journal to copy to, on a market so dull that no strategy has an
    opinion: whatever happens is what a test asked for."""
    with tempfile.TemporaryDirectory() as folder:
        feed = f"replay:{dull_bars(Path(folder), 'SOL', 150.0)},{dull_bars(Path(folder), SYMBOL, 0.03)}"
        sections = Sections(data_dir=Path(folder) / "data", trading=TradingSection(feed=feed))
        async with (
            open_journal(JournalSection(), migrated(sections.data_dir), SystemClock()) as journal,
            open_desk(PACE, sections, journal, WordScanner({})) as desk,
        ):

            async def advance() -> None:
                before = TradingSnapshot.model_validate(await desk.snapshot()).cycle
                with anyio.fail_after(30):
                    async for body in desk.changes():
                        if TradingSnapshot.model_validate(body).cycle > before + 1:
                            return

            with anyio.fail_after(30):
                while (await desk.snapshot())["cycle"] <= WARM_UP_CYCLES:  # without a pace, so prices run away
                    await advance()
            yield Bench(desk, instrument_of(SYMBOL).mint, SYMBOL, advance)


def dull_bars(folder: Path, symbol: str, price: float) -> Path:
    """Write bars whose price wavers by a thousandth in a fixed pattern, at an unchanging volume."""
    path = folder / f"{symbol}USDT_5m.csv"
    rows = ["ts,open,high,low,close,volume"]
    for number in range(BARS):
        close = price * (1 + 0.001 * (number % 7 - 3) / 3)
        opened = price * (1 + 0.001 * ((number - 1) % 7 - 3) / 3)
        high, low = max(opened, close), min(opened, close)
        rows.append(f"{START_S + 300 * number},{opened:.8f},{high:.8f},{low:.8f},{close:.8f},1000000")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


BODIES: dict[str, OpenDesk] = {"in_memory": in_memory, "paper": paper}


@pytest.fixture(params=sorted(BODIES))
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with BODIES[request.param]() as opened:
        yield opened


def buy(mint: str, **more: Any) -> JsonObject:
    return {"side": "buy", "mint": mint, "amount_sol": "0.05", "reason": "a contract test", "bucket": "manual", **more}


async def bought(bench: Bench, key: str = "buy-1") -> TradeAnswer:
    preview = TradeAnswer.model_validate(await bench.desk.place_trade(buy(bench.mint), agent="a", key=f"{key}-preview"))
    wish = buy(bench.mint, preview_id=preview.preview_id)
    answer = TradeAnswer.model_validate(await bench.desk.place_trade(wish, agent="a", key=key))
    await bench.advance()
    return answer


async def test_the_documents_of_a_quiet_desk_are_what_the_wire_promises(bench: Bench) -> None:
    desk = bench.desk
    snapshot = TradingSnapshot.model_validate(await desk.snapshot())
    assert snapshot.money == "paper"
    assert snapshot.equity.lamports == snapshot.cash.lamports + sum(p.value.lamports for p in snapshot.positions)
    TradePage.model_validate(await desk.trades(strategy=None, cursor=None, limit=10))
    EquitySeries.model_validate(await desk.equity(since_ns=None, until_ns=None, resolution_s=None))
    path = Projection.model_validate(await desk.projection())
    # Not its value in dollars: the price moves between the two questions.
    assert path.target.lamports == snapshot.compounding.target.lamports
    assert [tier.name for tier in path.tiers] == ["foundation", "acceleration", "institutional"]
    assert (path.range == []) == (path.too_little != "")
    assert CurveMarks.model_validate(await desk.curve_marks(since_ns=None, until_ns=None)).marks == []
    listed = StrategyList.model_validate(await desk.strategies())
    assert listed.outlook is not None
    assert listed.outlook.forecasts_open >= len(listed.outlook.forecasts)
    whole = StrategyDigest.model_validate(await desk.strategy_digest(strategy=None, window="all"))
    within = await desk.strategy_digest(strategy=None, window="all", since_ns=1, until_ns=2)
    assert (whole.window, StrategyDigest.model_validate(within).window) == ("all", "range")
    assert {"windows", "cells", "trades"} <= whole.strategies[0].keys()
    with pytest.raises(InvalidInput) as backwards:
        await desk.strategy_digest(strategy=None, window="all", since_ns=2, until_ns=1)
    assert backwards.value.field == "since"
    why_not = WhyAnswer.model_validate(
        await desk.why(order_id=None, trajectory_id=None, mint=bench.mint, since_ns=None)
    )
    assert why_not.funnel is not None
    assert {"seen", "eligible", "signalled", "sized", "approved", "filled", "denied"} <= why_not.funnel.keys()
    assert {"feed_age_s", "next_evaluation"} <= why_not.funnel.keys()
    assert why_not.chain == []
    with pytest.raises(InvalidInput) as refused:
        await desk.why(order_id=None, trajectory_id=None, mint=None, since_ns=2, until_ns=1)
    assert refused.value.field == "since"


@pytest.mark.requirement("O1")
async def test_the_figures_are_families_with_units_and_agree_with_the_snapshot(bench: Bench) -> None:
    await bought(bench)
    with anyio.fail_after(30):
        while not (fills := [each for each in await figures(bench, "memmcp_trading_fills_total") if each.value]):
            await bench.advance()
    assert {each.labels[1] for each in fills} == {"buy"}
    snapshot = TradingSnapshot.model_validate(await bench.desk.snapshot())
    [cycle] = await figures(bench, "memmcp_trading_cycles_total")
    assert cycle.value >= snapshot.cycle
    [state] = [each for each in await figures(bench, "memmcp_trading_state") if each.value]
    assert state.labels == (snapshot.state,)


async def figures(bench: Bench, name: str) -> list[Reading]:
    return [each for each in readings_of(await bench.desk.metrics()) if each.family.name == name]


@pytest.mark.requirement("A5")
async def test_a_preview_trades_nothing_and_the_order_after_it_does(bench: Bench) -> None:
    preview = TradeAnswer.model_validate(await bench.desk.place_trade(buy(bench.mint), agent="a", key="k0"))
    assert preview.status == "preview"
    assert preview.preview_id is not None
    assert preview.expires_at is not None
    before = TradingSnapshot.model_validate(await bench.desk.snapshot())
    assert before.positions == []
    done = await bought(bench)
    assert done.status in ("done", "working")
    after = TradingSnapshot.model_validate(await bench.desk.snapshot())
    assert [position.mint for position in after.positions] == [bench.mint]
    page = TradePage.model_validate(await bench.desk.trades(strategy=None, cursor=None, limit=10))
    assert [trade.side for trade in page.trades] == ["buy"]
    chain = WhyAnswer.model_validate(
        await bench.desk.why(order_id=done.order_id, trajectory_id=None, mint=None, since_ns=None)
    )
    assert chain.chain != []


async def test_a_preview_used_with_other_arguments_is_stale_and_trades_nothing(bench: Bench) -> None:
    preview = TradeAnswer.model_validate(await bench.desk.place_trade(buy(bench.mint), agent="a", key="k0"))
    other = buy(bench.mint, amount_sol="0.06", preview_id=preview.preview_id)
    answer = TradeAnswer.model_validate(await bench.desk.place_trade(other, agent="a", key="k1"))
    assert answer.status == "stale"
    await bench.advance()
    assert TradingSnapshot.model_validate(await bench.desk.snapshot()).trades_total == 0


async def test_a_preview_of_another_agent_is_not_mine(bench: Bench) -> None:
    preview = TradeAnswer.model_validate(await bench.desk.place_trade(buy(bench.mint), agent="a", key="k0"))
    wish = buy(bench.mint, preview_id=preview.preview_id)
    answer = TradeAnswer.model_validate(await bench.desk.place_trade(wish, agent="b", key="k1"))
    assert answer.status == "stale"


async def test_an_unknown_preview_is_expired(bench: Bench) -> None:
    wish = buy(bench.mint, preview_id="pre_of_yesterday")
    answer = TradeAnswer.model_validate(await bench.desk.place_trade(wish, agent="a", key="k1"))
    assert answer.status == "expired"


async def test_what_a_key_has_brought_can_be_asked_for_and_asking_does_nothing(bench: Bench) -> None:
    await bench.desk.place_trade(buy(bench.mint), agent="a", key="asked")
    assert await bench.desk.answered(agent="a", key="asked") is None
    first = await bought(bench, "asked")
    known = await bench.desk.answered(agent="a", key="asked")
    assert known is not None
    assert TradeAnswer.model_validate(known).order_id == first.order_id
    assert await bench.desk.answered(agent="b", key="asked") is None


async def test_the_same_key_gives_the_first_answer_and_trades_once(bench: Bench) -> None:
    first = await bought(bench, "once")
    again = TradeAnswer.model_validate(
        await bench.desk.place_trade(buy(bench.mint, preview_id="whatever"), agent="a", key="once")
    )
    await bench.advance()
    assert again.order_id == first.order_id
    assert TradingSnapshot.model_validate(await bench.desk.snapshot()).trades_total == 1


async def test_a_symbol_gives_candidates_and_never_a_trade(bench: Bench) -> None:
    answer = TradeAnswer.model_validate(await bench.desk.place_trade(buy(bench.symbol), agent="a", key="k"))
    assert answer.status == "candidates"
    assert answer.candidates
    assert answer.preview_id is None


async def test_a_token_that_nobody_lists_is_named(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as raised:
        await bench.desk.place_trade(buy("NOSUCHTOKEN"), agent="a", key="k")
    assert raised.value.field == "mint"


async def test_a_position_is_closed_by_preview_and_order(bench: Bench) -> None:
    await bought(bench)
    wish: JsonObject = {"mint": bench.mint, "percent": 100, "reason": "a contract test"}
    preview = TradeAnswer.model_validate(await bench.desk.close_position(wish, agent="a", key="c0"))
    assert preview.status == "preview"
    wish["preview_id"] = preview.preview_id
    done = TradeAnswer.model_validate(await bench.desk.close_position(wish, agent="a", key="c1"))
    assert done.status in ("done", "working")
    await bench.advance()
    assert TradingSnapshot.model_validate(await bench.desk.snapshot()).positions == []


async def test_a_rebalance_is_previewed_first(bench: Bench) -> None:
    wish: JsonObject = {"scope": "buckets", "policy": "equal", "reason": "a contract test"}
    preview = RebalanceAnswer.model_validate(await bench.desk.rebalance(wish, agent="a", key="r0"))
    assert preview.status == "preview"
    wish["preview_id"] = preview.preview_id
    done = RebalanceAnswer.model_validate(await bench.desk.rebalance(wish, agent="a", key="r1"))
    assert done.status == "done"


async def test_stopped_entries_deny_a_buy_and_resume_allows_it_again(bench: Bench) -> None:
    stop: JsonObject = {"action": "stop_entries", "reason": "a contract test"}
    stopped = ControlAnswer.model_validate(await bench.desk.control(stop, actor="operator:o", key="s1"))
    assert not stopped.entries_allowed
    await bench.advance()
    denied = TradeAnswer.model_validate(await bench.desk.place_trade(buy(bench.mint), agent="a", key="d1"))
    refused = denied.status == "denied" or (denied.verdict or {}).get("approved") is False
    assert refused
    resume: JsonObject = {"action": "resume", "reason": "a contract test"}
    resumed = ControlAnswer.model_validate(await bench.desk.control(resume, actor="operator:o", key="s2"))
    assert resumed.entries_allowed


async def test_a_night_is_told_as_the_wire_promises(bench: Bench) -> None:
    await bought(bench)
    told = NightReport.model_validate(await bench.desk.night(since_ns=None))
    assert told.since < told.until
    NightReport.model_validate(await bench.desk.night(since_ns=2**62))


@pytest.mark.requirement("T14")
async def test_without_a_sidecar_nobody_can_be_asked_and_it_says_so(bench: Bench) -> None:
    question: JsonObject = {"id": "q_1", "kind": "scenario", "question": "What if?", "evidence": []}
    with pytest.raises(TradingUnavailable, match="no sidecar"):
        await bench.desk.assess(question, agent="a")


async def test_flatten_and_halt_leaves_no_position(bench: Bench) -> None:
    await bought(bench)
    wish: JsonObject = {"action": "flatten_and_halt", "reason": "a contract test"}
    answer = ControlAnswer.model_validate(await bench.desk.control(wish, actor="operator:o", key="f1"))
    await bench.advance()
    snapshot = TradingSnapshot.model_validate(await bench.desk.snapshot())
    assert answer.state == "HALTED"
    assert snapshot.state == "HALTED"
    assert snapshot.positions == []


async def test_a_deposit_raises_equity_and_not_the_return(bench: Bench) -> None:
    before = TradingSnapshot.model_validate(await bench.desk.snapshot())
    wish: JsonObject = {"action": "deposit", "amount_sol": "1.5", "reason": "a contract test"}
    ControlAnswer.model_validate(await bench.desk.control(wish, actor="operator:o", key="dep"))
    await bench.advance()
    after = TradingSnapshot.model_validate(await bench.desk.snapshot())
    assert after.equity.lamports == before.equity.lamports + 1_500_000_000
    assert after.net_deposits.lamports == before.net_deposits.lamports + 1_500_000_000
    assert after.time_weighted_return_bps == before.time_weighted_return_bps


async def test_a_key_that_was_used_for_another_control_is_refused_and_nothing_is_done(bench: Bench) -> None:
    wish: JsonObject = {"action": "deposit", "amount_sol": "1.5", "reason": "a contract test"}
    before = TradingSnapshot.model_validate(await bench.desk.snapshot()).net_deposits.lamports
    first = ControlAnswer.model_validate(await bench.desk.control(wish, actor="operator:o", key="twice"))
    again = ControlAnswer.model_validate(
        await bench.desk.control({**wish, "reason": "in other words"}, actor="operator:o", key="twice")
    )
    assert again.effect == first.effect
    others: list[JsonObject] = [{**wish, "amount_sol": "2.5"}, {"action": "stop_entries", "reason": "in danger"}]
    for other in others:
        with pytest.raises(IdempotencyConflict, match="'twice' was used before, for"):
            await bench.desk.control(other, actor="operator:o", key="twice")
    await bench.advance()
    after = TradingSnapshot.model_validate(await bench.desk.snapshot())
    assert after.entries_allowed
    assert after.net_deposits.lamports == before + 1_500_000_000


async def test_trades_page_by_cursor_without_gap_or_repeat(bench: Bench) -> None:
    for number in range(3):
        await bought(bench, f"page-{number}")
    whole = TradePage.model_validate(await bench.desk.trades(strategy=None, cursor=None, limit=10))
    seen, cursor = [], None
    while True:
        page = TradePage.model_validate(await bench.desk.trades(strategy=None, cursor=cursor, limit=1))
        seen += [trade.order_id for trade in page.trades]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [trade.order_id for trade in whole.trades]
    assert len(seen) == len(set(seen)) >= 1


@pytest.mark.requirement("D4")
async def test_trades_are_filtered_and_added_up_over_all_that_match(bench: Bench) -> None:
    for number in range(3):
        await bought(bench, f"filter-{number}")

    async def page(**wanted: Any) -> TradePage:
        found = await bench.desk.trades(strategy=None, cursor=None, limit=1, wanted=wanted)
        return TradePage.model_validate(found)

    whole = TradePage.model_validate(await bench.desk.trades(strategy=None, cursor=None, limit=100))
    buys = [trade for trade in whole.trades if trade.side == "buy"]
    found = await page(mint=bench.mint, side="buy", origin="agent")
    assert found.totals is not None
    assert (len(found.trades), found.totals.trades) == (1, len(buys))
    fees = sum(trade.costs.fee_lamports + trade.costs.priority_lamports for trade in buys)
    assert (found.totals.fees.lamports, found.totals.realised.lamports) == (fees, 0)
    last_ns = int(buys[0].ts.timestamp()) * 1_000_000_000
    later = await page(since_ns=last_ns + 1_000_000_000)
    assert later.trades == []
    assert (await page(result="won")).trades == []
    assert (await page(until_ns=last_ns)).trades == [trade for trade in whole.trades if trade.ts < buys[0].ts][:1]
    with pytest.raises(InvalidInput) as raised:
        await page(mint="nobody-knows-it")
    assert raised.value.field == "mint"


@pytest.mark.requirement("D4")
async def test_candles_are_of_what_the_desk_was_told_and_of_nothing_else(bench: Bench) -> None:
    await bench.advance()
    await bench.advance()
    await bought(bench)

    async def candles(mint: str | None = None, **when: int) -> CandleSeries:
        given = {"since_ns": None, "until_ns": None, "interval_s": 300, **when}
        return CandleSeries.model_validate(await bench.desk.candles(mint=mint, **given))

    found = await candles()
    assert (found.mint, found.is_cut, found.tokens[0].mint) == (bench.mint, False, bench.mint)
    assert found.candles == sorted(found.candles, key=lambda candle: candle.ts)
    snapshot = TradingSnapshot.model_validate(await bench.desk.snapshot())
    for candle in found.candles:
        assert Decimal(candle.low) <= min(Decimal(candle.open), Decimal(candle.close))
        assert Decimal(candle.high) >= max(Decimal(candle.open), Decimal(candle.close))
        assert candle.ts < snapshot.ts
    middle_ns = int(found.candles[-1].ts.timestamp()) * 1_000_000_000
    assert (await candles(bench.mint, since_ns=middle_ns)).candles[0] == found.candles[-1]
    assert (await candles(bench.mint, until_ns=middle_ns)).candles[-5:] == found.candles[:-1][-5:]
    with pytest.raises(InvalidInput) as raised:
        await candles("nobody-knows-it")
    assert raised.value.field == "mint"


async def test_a_wrong_cursor_names_the_field(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as raised:
        await bench.desk.trades(strategy=None, cursor="not a cursor", limit=10)
    assert raised.value.field == "cursor"


async def test_an_unknown_order_names_the_field(bench: Bench) -> None:
    with pytest.raises(InvalidInput) as raised:
        await bench.desk.why(order_id="ord-of-nobody", trajectory_id=None, mint=None, since_ns=None)
    assert raised.value.field == "order_id"


async def test_changes_yields_a_snapshot_after_each_cycle(bench: Bench) -> None:
    cycles: list[int] = []
    reading = anyio.Event()

    async def read() -> None:
        reading.set()
        async for body in bench.desk.changes():
            cycles.append(TradingSnapshot.model_validate(body).cycle)
            if len(cycles) == 2:
                return

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await reading.wait()
            while len(cycles) < 2:
                await anyio.wait_all_tasks_blocked()
                await bench.advance()
    assert cycles == sorted(cycles)


@pytest.mark.requirement("D8")
@pytest.mark.requirement("D12")
async def test_a_desk_tells_of_its_node_its_transactions_its_profiles_and_its_sidecar(bench: Bench) -> None:
    made = await bought(bench)
    body = await bench.desk.nodes()
    nodes: Any = body["nodes"]
    node = NodesAnswer.model_validate({**body, "nodes": [{**each, "version": "1"} for each in nodes]}).nodes[0]
    assert (node.id, node.mode, node.state) == ("local", "paper", "working")
    assert node.transactions.success == 1
    assert [wallet.address for wallet in node.wallets] == [""]
    assert any(each.count > 0 for each in node.latency if not each.is_simulated)
    page = TransactionPage.model_validate(await bench.desk.transactions(cursor=None, limit=5))
    [one] = page.transactions
    assert (one.order_id, one.side, one.state) == (made.order_id, "buy", "simulated_fill")
    assert one.is_simulated
    assert one.signature is None
    assert one.took_s is not None
    assert one.took_s >= 0
    for limit in (0, 201):
        with pytest.raises(InvalidInput, match="limit"):
            await bench.desk.transactions(cursor=None, limit=limit)
    with pytest.raises(InvalidInput, match="cursor"):
        await bench.desk.transactions(cursor="x", limit=1)
    log = ProfileLog.model_validate(await bench.desk.profile_log(cursor=None, limit=50))
    first = log.entries[-1]
    assert (first.kind, first.what, first.after, first.by) == ("run_started", "profile", "foundation", "operator")
    said = SidecarLog.model_validate(await bench.desk.sidecar_log(cursor=None, limit=50))
    assert said.standing.asking is None
    assert said.entries == []


@pytest.mark.requirement("D3")
async def test_a_target_that_was_set_is_remembered_with_who_set_it_and_what_it_was(bench: Bench) -> None:
    before = Projection.model_validate(await bench.desk.projection())
    assert before.targets == []
    for key, amount_sol in (("t1", "30"), ("t2", "40")):
        wish: JsonObject = {"action": "target", "amount_sol": amount_sol, "reason": "a contract test"}
        ControlAnswer.model_validate(await bench.desk.control(wish, actor="operator:o", key=key))
        await bench.advance()
    after = Projection.model_validate(await bench.desk.projection())
    sums = [(None if each.before is None else each.before.sol, each.after.sol) for each in after.targets]
    assert sums == [("30", "40"), (before.target.sol, "30")]
    assert {each.actor for each in after.targets} == {"operator:o"}
    assert after.target.lamports == 40_000_000_000
