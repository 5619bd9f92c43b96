"""What a clumsy or hostile caller may send to the desk: it is refused by name, and the desk trades on."""

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.unit.trading.desk.test_paper_desk import MINT, Market, market, wished

from memmcp_server.wire.orders import TradeAnswer
from memmcp_server.wire.trading import TradingSnapshot
from trading.errors import InvalidInput, TradingError

pytestmark = pytest.mark.anyio

WRONG_ORDERS: list[tuple[dict[str, Any], str]] = [
    ({"amount_sol": "nan"}, "amount_sol"),
    ({"amount_sol": "-1"}, "amount_sol"),
    ({"amount_sol": "1e9"}, "amount_sol"),
    ({"amount_sol": "1e999999"}, "amount_sol"),
    ({"amount_sol": "1_0"}, "amount_sol"),
    ({"amount_sol": ""}, "amount_sol"),
    ({"amount_sol": "0.0000000000000000000000000000000001"}, "amount_sol"),
    ({"amount_sol": None, "amount_token": "1e999999"}, "amount_token"),
    ({"amount_sol": None, "amount_token": "-0"}, "amount_token"),
    ({"amount_sol": None, "amount_token": "sNaN"}, "amount_token"),
    ({"side": "short"}, "side"),
    ({"side": None}, "side"),
    ({"mint": "sim:ААА"}, "mint"),  # Cyrillic letters that look like the token's
    ({"mint": f" {MINT}"}, "mint"),
    ({"mint": "sim:aaa"}, "mint"),
    ({"bucket": "nobodys"}, "bucket"),
    ({"strategy": "martingale"}, "strategy"),
    ({"max_slippage_bps": -1}, "max_slippage_bps"),
    ({"max_slippage_bps": 10_001}, "max_slippage_bps"),
    ({"side": "sell"}, "amount_sol"),
]
WRONG_CONTROLS: list[tuple[dict[str, Any], str]] = [
    ({"action": "deposit", "amount_sol": "999999999999"}, "amount_sol"),
    ({"action": "deposit", "amount_sol": "1e999999"}, "amount_sol"),
    ({"action": "deposit", "amount_sol": "-1"}, "amount_sol"),
    ({"action": "withdraw", "amount_sol": "0"}, "amount_sol"),
    ({"action": "target", "amount_sol": "999999999999"}, "amount_sol"),
    ({"action": "close", "mint": MINT, "percent": 101}, "percent"),
    ({"action": "close", "mint": MINT, "percent": 1.5}, "percent"),
    ({"action": "close", "mint": MINT, "percent": "50"}, "percent"),
    ({"action": "close", "mint": "nobodys", "percent": 50}, "mint"),
    ({"action": "explode"}, "action"),
    ({"action": "resume", "reason": ["not", "text"]}, "command"),
]


async def test_orders_that_make_no_sense_name_their_field_and_the_desk_trades_on(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        for more, field in WRONG_ORDERS:
            with pytest.raises(InvalidInput) as raised:
                await here.desk.place_trade(wished("0.05") | more, agent="a", key="k")
            assert raised.value.field == field, more
        for percent in (0, 101, -5, 1.5, "50"):
            wish = {"mint": MINT, "percent": percent, "reason": "a test sells"}
            with pytest.raises(InvalidInput, match="percent"):
                await here.desk.close_position(wish, agent="a", key="k")
        for more in ({"scope": "everything", "policy": "cash"}, {"scope": "buckets", "policy": "hope"}):
            with pytest.raises(InvalidInput, match=r"scope|policy"):
                await here.desk.rebalance(more | {"reason": "a test moves"}, agent="a", key="k")
        assert (await here.move()).trades_total == 0


async def test_controls_that_make_no_sense_leave_no_row_that_a_restart_stumbles_over(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        for number, (wish, field) in enumerate(WRONG_CONTROLS):
            with pytest.raises(InvalidInput) as raised:
                await here.desk.control({"reason": "a test"} | wish, actor="o", key=f"k{number}")
            assert raised.value.field == field, wish
        before = await here.move()
        feed = here.feed
    again = type(feed)(MINT, "AAA", "0.001")
    again._number = feed._number
    async with market(tmp_path, feed=again) as here:
        after = await here.move()
        assert after.cycle == before.cycle + 2
        assert after.equity == before.equity


async def test_a_preview_binds_the_agent_the_arguments_and_the_tool_and_acts_once(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        shown = await here.preview()
        wish = wished("0.05", preview_id=shown.preview_id)

        async def answer(wish: dict[str, Any], agent: str = "a", key: str = "k") -> str:
            return TradeAnswer.model_validate(await here.desk.place_trade(wish, agent=agent, key=key)).status

        assert await answer(wish, agent="b") == "stale"
        for change in (
            {"amount_sol": "0.06"},
            {"side": "sell"},
            {"max_slippage_bps": 9_999},
            {"bucket": "mean_reversion"},
        ):
            assert await answer(wish | change) == "stale"
        close = {"mint": MINT, "percent": 50, "reason": "a test buys", "preview_id": shown.preview_id}
        assert (await here.desk.close_position(close, agent="a", key="c"))["status"] == "stale"
        assert await answer(wish) == "working"
        assert await answer(wish, key="another") == "expired"
        assert (await here.move()).trades_total == 1


async def test_selling_more_than_is_held_is_denied_and_dust_is_sold_along(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        held = (await here.move()).positions[0]
        more = wished("0") | {"side": "sell", "amount_sol": None, "amount_token": "50"}
        answer = TradeAnswer.model_validate(await here.desk.place_trade(more, agent="a", key="s"))
        assert answer.status == "denied"
        assert answer.verdict is not None
        assert (answer.verdict["reason"], answer.verdict["limit"]) == ("nothing_to_sell", int(held.amount_base_units))
        [left] = (await _closed(here, 99)).positions
        assert int(left.amount_base_units) == int(held.amount_base_units) - int(held.amount_base_units) * 99 // 100
        # 1 in 10,000 would be worth 5,000 lamports, less than the transaction that sells it
        snapshot = await _closed(here, 99)
        assert (snapshot.positions, snapshot.costs.rent_lamports) == ([], 0)


async def _closed(here: Market, percent: int) -> TradingSnapshot:
    wish: dict[str, Any] = {"action": "close", "mint": MINT, "percent": percent, "reason": "a test sells"}
    cycle = (await here.desk.snapshot())["cycle"]
    await here.desk.control(wish, actor="o", key=f"close-{cycle}")
    return await here.move()


async def test_a_fault_in_an_answer_is_not_recorded_and_stops_nobody_else(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        before = await here.move()
        with pytest.raises(TradingError, match="nothing was done"):
            await here.desk.rebalance(
                {"scope": "tokens", "weights_bps": {MINT: "many"}, "reason": "a test"}, agent="a", key="r"
            )
        assert (await here.buy(key="after")).status == "working"
        after = await here.move()
        assert (after.cycle, after.trades_total) == (before.cycle + 1, 1)


async def test_one_who_gives_up_waiting_lets_nobody_do_it_twice(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        wish = {"action": "withdraw", "amount_sol": "0.7", "reason": "once"}

        async def withdraw() -> None:
            await here.desk.control(wish, actor="o", key="w")

        async def give_up() -> None:
            with anyio.move_on_after(0):
                await withdraw()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(withdraw)
            await anyio.lowlevel.checkpoint()
            await give_up()
            tasks.start_soon(withdraw)
        assert (await here.move()).net_deposits.lamports == 1_300_000_000


async def test_controls_at_once_leave_the_desk_in_the_most_careful_state(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        await here.move()
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for action in ("stop_entries", "reduce_only", "flatten_and_halt"):
                    tasks.start_soon(here.control, action)
            snapshot = await here.move()
            assert (snapshot.state, snapshot.entries_allowed) == ("HALTED", False)
        assert snapshot.positions == []
        assert (await here.preview()).status == "denied"
        resumed = await here.control("resume")
        assert (resumed["state"], resumed["entries_allowed"]) == ("ACTIVE", True)
