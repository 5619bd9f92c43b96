"""When a window of the desk's time closes, its state is remembered in words, once, whatever happens in between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from tests.doubles.desk_memory import ListMemory
from tests.doubles.scripted_market import INTERVAL_NS, START_NS, ManualFeed

from trading.adapters.live_feed_choice import Chosen
from trading.adapters.sql_journal import SqlJournal
from trading.config import PaperSection, RelaySection, Sections
from trading.errors import JournalUnavailable
from trading.ports import MemoryRecord
from trading.runtime import paper
from trading.runtime.paper_desk import PaperDesk
from trading.runtime.paper_run import PaperOptions, paper_desk

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("O2")]

MINT = "sim:AAA"
WINDOW_S = 900
PER_WINDOW = WINDOW_S * 10**9 // INTERVAL_NS
SECTIONS = Sections(
    paper=PaperSection(fill_wait_s=0.0, snapshot_interval_s=0.0, snapshot_window_s=WINDOW_S),
    relay=RelaySection(backoff_base_s=0.01, poll_s=0.02),
)


class Market:
    """An open desk, its market and what its memory has been told."""

    def __init__(self, desk: PaperDesk, feed: ManualFeed, memory: ListMemory) -> None:
        self.desk = desk
        self.feed = feed
        self.memory = memory

    async def move(self, cycles: int = 1) -> None:
        for _ in range(cycles):
            before = (await self.desk.snapshot())["cycle"]
            self.feed.push()
            with anyio.fail_after(30):
                while (await self.desk.snapshot())["cycle"] == before:
                    async for _ in self.desk.changes():
                        break


def windows(memory: ListMemory) -> list[MemoryRecord]:
    return [record for record in memory.of("note") if record.kind == "snapshot"]


@asynccontextmanager
async def market(folder: Path, memory: ListMemory, feed: ManualFeed) -> AsyncIterator[Market]:
    options = PaperOptions(folder, "market", "foundation")
    async with paper_desk(options, SECTIONS, memory, Chosen(feed, "by hand")) as opened:
        yield Market(opened, feed, memory)


async def test_each_closed_window_is_told_once_with_exposure_in_words(tmp_path: Path) -> None:
    memory = ListMemory()
    async with market(tmp_path, memory, ManualFeed(MINT, "AAA", "0.001")) as here:
        await here.move(PER_WINDOW + 1)
        wish = {"side": "buy", "mint": MINT, "amount_sol": "0.05", "reason": "a test buys", "bucket": "manual"}
        shown = await here.desk.place_trade(wish, agent="a", key="preview")
        await here.desk.place_trade({**wish, "preview_id": shown["preview_id"]}, agent="a", key="k")
        await here.move(2 * PER_WINDOW)
    told = windows(memory)  # a desk that is closed brings over what it has told
    first = told[0]
    assert "No exposure: nothing is held, everything is cash." in first.text
    assert first.embed
    assert (first.namespace, first.trajectory_id) == ("trading", None)
    assert "exposure: " in told[-1].text
    assert "all of it in AAA" in told[-1].text
    assert "State ACTIVE, entries allowed; profile foundation, tier foundation, paper money." in told[-1].text
    assert list(told[-1].metadata["exposure_by_token_bps"]) == [MINT]
    closed = [datetime.fromisoformat(str(record.metadata["closed"])).timestamp() for record in told]
    assert [int(at) % WINDOW_S for at in closed] == [0, 0, 0]
    assert len(set(closed)) == len({record.key for record in told}) == 3
    assert closed[0] * 10**9 > START_NS


async def test_a_restart_in_a_window_neither_repeats_nor_misses_its_close(tmp_path: Path) -> None:
    memory, feed = ListMemory(), ManualFeed(MINT, "AAA", "0.001")
    for _ in range(2 * PER_WINDOW + 1):  # a restart after every cycle
        async with market(tmp_path, memory, feed) as here:
            await here.move()
    found = windows(memory)
    closed = [datetime.fromisoformat(str(record.metadata["closed"])).timestamp() for record in found]
    assert [int(later - earlier) for earlier, later in pairwise(closed)] == [WINDOW_S]
    assert len(found) == 2


async def test_a_window_that_could_not_be_recorded_is_told_when_the_disk_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "RETRY_BASE_S", 0.01)
    commit, broken = SqlJournal.commit, []

    def fails_once(journal: SqlJournal) -> None:
        if any(str(each["key"]).startswith("window/") for each in journal._snapshots) and not broken:
            broken.append(1)
            msg = "the disk is full"
            raise JournalUnavailable(msg)
        commit(journal)

    monkeypatch.setattr(SqlJournal, "commit", fails_once)
    memory, feed = ListMemory(), ManualFeed(MINT, "AAA", "0.001")
    async with market(tmp_path, memory, feed) as here:
        feed.price = Decimal("0.002")
        await here.move(PER_WINDOW + 1)
    assert broken
    assert len(windows(memory)) == 1
