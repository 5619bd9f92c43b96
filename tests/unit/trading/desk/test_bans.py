"""Tokens that nobody buys: no agent, no rebalance and no profile gets round the list, and everybody is told of it."""

from pathlib import Path

import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import ManualFeed
from tests.unit.trading.desk.test_paper_desk import MINT, SECTIONS, Market, wished

from trading.adapters.live_feed_choice import Chosen
from trading.config import LiveSection
from trading.model.profile import AGGRESSIVE
from trading.runtime.bans import with_bans
from trading.runtime.paper_run import PaperOptions, paper_desk

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T4")]


class Away:
    """A desk on paper that is opened again and again on a market that goes on; each time with other bans."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    def desk(self, *banned: str, **more: str):  # type: ignore[no-untyped-def]
        feed = ManualFeed(MINT, "AAA", "0.001")
        feed._number = self._number
        self._number += 40
        sections = SECTIONS.model_copy(update={"live": LiveSection(banned=banned, mints=more)})
        options = PaperOptions(self.folder, "market", "foundation")
        return feed, paper_desk(options, sections, ListMemory(), Chosen(feed, "by hand"))


async def test_an_agent_is_told_why_and_neither_a_rebalance_nor_another_profile_gets_round_it(tmp_path: Path) -> None:
    feed, opened = Away(tmp_path).desk(MINT)
    async with opened as desk:
        here = Market(desk, feed)
        await here.move()
        shown = await desk.place_trade(wished("0.05"), agent="a", key="p")
        assert (shown["status"], shown["verdict"]["reason"]) == ("denied", "banned")
        assert "ban list" in shown["message"]
        wish = {"scope": "tokens", "weights_bps": {MINT: 2_000}, "reason": "more of it"}
        [leg] = (await desk.rebalance(wish, agent="a", key="r"))["legs"]
        assert (leg["would_be"], leg["verdict"]["reason"]) == ("denied", "banned")
        why = await desk.why(order_id=None, trajectory_id=None, mint=MINT, since_ns=None)
        assert why["funnel"]["passed_over"] == {"banned": 1}
        switch = {"action": "profile", "profile": "aggressive", "reason": "the weather turns"}
        assert (await desk.control(switch, actor="operator:o", key="s"))["status"] == "done"
        assert (await here.move()).profile == "aggressive"
        again = await desk.place_trade(wished("0.05"), agent="a", key="p2")
        assert again["verdict"]["reason"] == "banned"


async def test_a_ban_of_a_later_start_holds_under_the_profile_that_was_switched_to(tmp_path: Path) -> None:
    away = Away(tmp_path)
    feed, opened = away.desk()
    async with opened as desk:
        here = Market(desk, feed)
        await here.move()
        await here.buy()
        assert (await here.move()).positions
        switch = {"action": "profile", "profile": "cautious", "reason": "the weather turns"}
        await desk.control(switch, actor="operator:o", key="s")
    feed, opened = away.desk(MINT)
    async with opened as desk:
        here = Market(desk, feed)
        assert (await here.move()).profile == "cautious"
        assert (await desk.place_trade(wished("0.05"), agent="a", key="p"))["verdict"]["reason"] == "banned"
        # What is held of it may be sold as ever.
        wish = {"mint": MINT, "percent": 100, "reason": "out"}
        shown = await desk.close_position(wish, agent="a", key="c")
        await desk.close_position(wish | {"preview_id": shown["preview_id"]}, agent="a", key="c1")
        assert (await here.move()).positions == []
    feed, opened = away.desk(MINT)
    async with opened as desk:
        await Market(desk, feed).move()
        assert (await desk.snapshot())["profile"] == "cautious"


def test_a_ban_means_the_feeds_name_and_the_chains_mint_alike() -> None:
    by_mint = with_bans(AGGRESSIVE, LiveSection(banned=("Mint111",), mints={"sim:A": "Mint111", "sim:B": "Mint222"}))
    assert by_mint.rugs.banned == ("Mint111", "sim:A")
    by_name = with_bans(AGGRESSIVE, LiveSection(banned=("sim:B",), mints={"sim:A": "Mint111", "sim:B": "Mint222"}))
    assert by_name.rugs.banned == ("Mint222", "sim:B")
    assert with_bans(AGGRESSIVE, LiveSection()) is AGGRESSIVE
    assert with_bans(by_mint, LiveSection(banned=("Other",))).rugs.banned == ("Mint111", "Other", "sim:A")
