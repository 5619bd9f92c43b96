"""Who comes back to the page is told what happened meanwhile, once."""

import time
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect
from tests.support import page_documents as documents
from tests.support.page_server import Stage

from .conftest import DESKTOP, Watched
from .test_page import PHONE, axe_violations, live

pytestmark = [pytest.mark.browser, pytest.mark.requirement("O8")]


def returning(watched: Watched, stage: Stage, *, away_s: float, night: documents.Document | None = None) -> Page:
    """Open the page as somebody who looked so long ago."""
    stage.answer("/night", night or documents.night())
    desk_ms = (documents.START.timestamp() - 9 * 3_600) * 1_000
    looked = f"{desk_ms:.0f} {(time.time() - away_s) * 1_000:.0f}"
    # The script runs at every load; only the first one is the return.
    watched.page.add_init_script(
        f"if (!sessionStorage.getItem('back')) {{ sessionStorage.setItem('back', '1'); "
        f"localStorage.setItem('memmcp-looked', '{looked}'); }}"
    )
    return live(watched)


def test_who_comes_back_is_told_what_happened_and_what_waits_until_it_was_read(watched: Watched, stage: Stage) -> None:
    page = returning(watched, stage, away_s=8 * 3_600)
    panel = page.locator("#panel-night")
    expect(panel).to_be_visible()
    expect(panel.get_by_role("heading", name="While you slept")).to_be_visible()
    expect(page.locator("#night-line")).to_contain_text("3 trades finished, 1 with a profit")
    expect(page.locator("#night-line")).to_contain_text("6 denied")
    expect(page.locator("#night-happenings")).to_contain_text("nothing was seen for 30300 s")
    expect(page.locator("#night-waiting")).to_contain_text("memmcp-trade resume")
    page.reload()
    expect(panel).to_be_visible()
    panel.get_by_role("button", name="Seen").click()
    expect(panel).to_be_hidden()
    page.reload()
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
    expect(panel).to_be_hidden()
    watched.expect_only()


def test_a_report_that_was_seen_before_it_came_does_not_come_back(watched: Watched, stage: Stage) -> None:
    held: list[Route] = []
    watched.page.route("**/night?*", lambda route: held.append(route))  # the driver marks what it calls
    page = returning(watched, stage, away_s=8 * 3_600)
    panel = page.locator("#panel-night")
    expect(panel).to_be_visible()
    panel.get_by_role("button", name="Seen").click()
    expect(panel).to_be_hidden()
    with page.expect_response("**/night?*"):
        held[0].continue_()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(panel).to_be_hidden()
    watched.expect_only()


def test_a_short_absence_is_none(watched: Watched, stage: Stage) -> None:
    page = returning(watched, stage, away_s=60)
    expect(page.locator("#panel-night")).to_be_hidden()
    watched.expect_only()


def test_a_report_that_does_not_come_is_said_and_the_rest_goes_on(watched: Watched, stage: Stage) -> None:
    page = returning(watched, stage, away_s=8 * 3_600, night={"odd": True})
    expect(page.locator("#panel-night > .note")).to_contain_text("night report")
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
    watched.expect_only()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
class TestScreens:
    @pytest.fixture
    def context_options(self, viewport: dict[str, int]) -> dict[str, Any]:
        return {"viewport": viewport, "color_scheme": "dark"}

    def test_hostile_words_are_shown_as_words_and_the_panel_is_accessible(self, watched: Watched, stage: Stage) -> None:
        hostile = documents.night("<img src=x onerror=alert(1)>" + "x" * 400)
        page = returning(watched, stage, away_s=8 * 3_600, night=hostile)
        expect(page.locator("#night-happenings")).to_contain_text("<img src=x")
        assert page.locator("#night-happenings img").count() == 0
        assert axe_violations(page, "#panel-night") == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        watched.expect_only()
