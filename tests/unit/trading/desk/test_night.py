"""What a person is told in the morning, on a market that the test moves."""

from pathlib import Path
from typing import Any

import pytest
from tests.doubles.scripted_market import INTERVAL_NS, MINT, START_NS, ManualFeed
from tests.unit.trading.desk.test_paper_desk import market

from memmcp_server.wire.night import NightReport
from trading.model.units import NS_PER_S

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O8")]


async def told(desk: Any, since_ns: int | None = None) -> NightReport:
    return NightReport.model_validate(await desk.night(since_ns=since_ns))


async def test_results_changes_and_what_waits_are_told_since_the_time_that_is_asked_for(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        await here.buy()
        await here.move()
        evening_ns = START_NS + here.feed._number * INTERVAL_NS + 1
        await here.move("0.0012")
        await here.control("close", mint=MINT, percent=100)
        await here.move()
        await here.control("deposit", amount_sol="1")
        await here.control("flatten_and_halt")
        await here.move()
        night = await told(here.desk, evening_ns)
        assert (night.closed, night.wins) == (1, 1)
        assert night.realised.lamports > 0
        assert [trade.side for trade in night.trades] == ["sell"]
        assert night.equity_before is not None
        assert night.equity is not None
        assert night.equity.lamports > night.equity_before.lamports + 9 * 10**8
        kinds = [each.kind for each in night.happenings]
        assert kinds == ["trading_state_changed", "flatten_and_halt", "capital_deposited", "capital_deposited"]
        assert "went from ACTIVE to HALTED" in night.happenings[0].text
        waiting, feed = night.waiting
        assert feed.id == "feed"
        assert waiting.id == "desk"
        assert "HALTED" in waiting.evidence[0]
        assert "memmcp-trade resume" in waiting.answers[0]
        everything = await told(here.desk)
        assert [trade.side for trade in everything.trades] == ["sell", "buy"]
        later = await told(here.desk, night_end(night))
        assert (later.closed, later.trades, later.happenings) == (0, [], [])


def night_end(night: NightReport) -> int:
    return int(night.until.timestamp()) * NS_PER_S + NS_PER_S


async def test_a_gap_of_the_market_is_told_with_what_became_of_what_was_open(tmp_path: Path) -> None:
    feed = ManualFeed(MINT, "AAA", "0.001")
    async with market(tmp_path, feed=feed) as here:
        await here.buy()
        await here.move()
        feed._number += 100  # the machine slept for more than eight hours
        await here.move("0.0008")
        await here.move()
        night = await told(here.desk)
        gaps = [each.text for each in night.happenings if each.kind == "gap_seen"]
        assert gaps == ["A gap: nothing was seen for 30300 s. Positions: 1 to exit."]
        assert night.trades[0].side == "sell"
        assert night.trades[0].reason.startswith("after_gap")


async def test_a_desk_that_trades_waits_for_nobody_and_a_feed_that_is_stale_says_so(tmp_path: Path) -> None:
    async with market(tmp_path) as here:
        assert [each.id for each in (await told(here.desk)).waiting] == ["feed"]
