"""The page over the daemon's real application, journal and guard, with a desk in memory that the test moves."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, expect
from tests.doubles.memory_spool import MemorySpool
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged

from memmcp_server.domain.caller import Caller
from memmcp_server.domain.drafts import DraftFields, DraftLimits, make_draft
from memmcp_server.domain.memory import Provenance
from memmcp_server.errors import JournalUnavailable

from .conftest import DESKTOP, Watched
from .tabs import tab
from .test_page import axe_violations, go

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Daemon:
    """The application in its own thread; ``call`` runs something there."""

    portal: BlockingPortal
    stage: Stage
    url: str

    def advance(self) -> None:
        self.portal.call(self.stage.trading.advance)

    def remember(self, *texts: str) -> None:
        now_ns = self.stage.services.clock.now_ns()
        drafts = [make_draft(DraftFields(text), Provenance(agent="a"), DraftLimits(), now_ns) for text in texts]
        self.portal.call(self.stage.services.journal.commit, drafts)


@contextlib.contextmanager
def running(data_dir: Path, **options: Any) -> Iterator[Daemon]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(staged(data_dir, **options)) as stage,
        portal.wrap_async_context_manager(served(stage.app)) as url,
    ):
        try:
            yield Daemon(portal, stage, url)
        finally:
            portal.call(stage.app.state.live.close)


@contextlib.contextmanager
def watching(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    with tab(browser, viewport=DESKTOP, **options) as page:
        yield Watched(page, url)


@pytest.mark.requirement("D2")
def test_a_cycle_of_the_desk_moves_the_page(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        page = watched.open()
        expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
        expect(page.locator("#equity-sol")).to_have_text("2.0000 SOL")
        expect(page.locator("#equity-usd")).to_have_text("300.00 USD")
        before = page.locator("#trading-meta").inner_text()
        daemon.advance()
        expect(page.locator("#trading-meta")).not_to_have_text(before)
        expect(page.locator("#panel-equity")).to_have_attribute("data-state", "ready")
        watched.expect_only()


@pytest.mark.requirement("D1")
def test_memories_written_before_and_after_the_page_opened_are_both_there(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        daemon.remember("written before")
        page = watched.open()
        entries = page.locator("#stream .stream-text")
        expect(entries).to_have_text(["written before"])
        daemon.remember("written after")
        expect(entries).to_have_text(["written after", "written before"])
        go(page, "System")
        expect(page.locator("#journal-seq")).to_have_text("2")
        expect(page.locator("#queues tr").first.locator("td").first).to_have_text("2")
        watched.expect_only()


@pytest.mark.requirement("D1")
def test_what_the_outbox_gave_up_on_is_an_operators_to_see_and_to_try_again(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        daemon.remember("never indexed", "nor this")
        journal = daemon.stage.services.journal

        async def given_up() -> None:
            due = await journal.outbox_due("qdrant", now_ns=daemon.stage.services.clock.now_ns(), limit=9)
            await journal.outbox_failed([each.id for each in due], error="<i>the disk</i> is full", retry_at_ns=None)

        daemon.portal.call(given_up)
        page = watched.open()
        expect(page.get_by_role("link", name="System").locator(".badge")).to_have_text("2")
        go(page, "System")
        page.get_by_role("button", name="Log in to see to them").click()
        page.get_by_label("Code or token").fill(OPERATOR_TOKEN)
        page.keyboard.press("Enter")
        rows = page.locator("#dead-rows tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("<i>the disk</i> is full")
        assert axe_violations(page) == []
        page.get_by_role("button", name="Try all again").click()
        expect(page.locator("#dead-answer")).to_have_text("2 are tried again.")
        expect(page.locator("#dead")).to_be_hidden()
        watched.expect_only()


@pytest.mark.requirement("D1")
def test_what_is_kept_while_the_journal_is_away_and_what_it_then_refuses_is_seen(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path, spool=MemorySpool()) as daemon, watching(browser, daemon.url) as watched:
        services = daemon.stage.services
        spooling = services.spooling
        assert spooling is not None
        now_ns = services.clock.now_ns()
        fields = DraftFields("<b>kept here</b>", key="k")
        draft = make_draft(fields, Provenance(agent="a"), DraftLimits(), now_ns)
        theirs = make_draft(DraftFields("theirs", key="k"), Provenance(agent="a"), DraftLimits(), now_ns)

        async def cut_off() -> None:
            spooling._note_away(JournalUnavailable("the journal at postgresql://db does not answer"))
            await services.memories.write(draft, Caller("a", "", "memory_write", "agent", "stdio"))

        async def back_again() -> None:
            await services.journal.commit([theirs])
            carrying = asyncio.create_task(spooling.run(services.memories.commit_each))
            while not spooling.is_empty():  # noqa: ASYNC110
                await anyio.sleep(0.01)
            carrying.cancel()

        daemon.portal.call(cut_off)
        page = watched.open()
        go(page, "System")
        expect(page.locator("#queues-meta")).to_have_text("journal away, 1 kept here")
        row = page.locator("#queues tr", has_text="here \u2192 journal")
        expect(row.locator("td").first).to_have_text("1")
        expect(row.locator("th")).to_have_attribute("title", "the journal at postgresql://db does not answer")
        daemon.portal.call(back_again)
        expect(page.locator("#queues-meta")).to_have_text("1 dead letter")
        page.get_by_role("button", name="Log in to see to them").click()
        page.get_by_label("Code or token").fill(OPERATOR_TOKEN)
        page.keyboard.press("Enter")
        dead = page.locator("#dead-rows tr")
        expect(dead).to_contain_text(["<b>kept here</b>"])
        expect(dead).to_contain_text(["already stands for memory"])
        assert axe_violations(page) == []
        watched.expect_only()


def test_a_page_that_was_away_for_long_sees_the_gap_and_the_newest_memories(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        daemon.remember("the first")
        page = watched.open()
        expect(page.locator("#stream li")).to_have_count(1)
        page.context.set_offline(True)
        daemon.portal.call(daemon.stage.app.state.live.close)
        expect(page.locator("#connection")).not_to_have_attribute("data-state", "open")
        daemon.remember(*(f"missed {number}" for number in range(1_500)))
        # The same application serves on: this stands for a daemon that restarts on the same journal and port.
        daemon.portal.call(setattr, daemon.stage.app.state.live, "_closed", False)
        page.context.set_offline(False)
        expect(page.locator("#connection")).to_have_attribute("data-state", "open")
        expect(page.locator("#stream .stream-text").first).to_have_text("missed 1499")
        expect(page.locator("#stream li.gap")).to_have_count(1)
        watched.expect_only("Failed to load resource", "ERR_")
