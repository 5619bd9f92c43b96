"""The memory browser over a real application: found, narrowed down, followed, and kept in the address."""

from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.support.stage import OPERATOR_TOKEN

from .test_page import axe_violations
from .test_page_app import running, watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D6")]

MARKUP = "Wombats <img src=x onerror=alert(1)> dig burrows"


def texts(page: Page) -> list[str]:
    return page.locator("#browser-hits .stream-text").all_inner_texts()


def test_a_search_is_found_narrowed_down_and_led_back_to(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        daemon.remember(MARKUP, "Quokkas smile at wombats", "Numbats nap")
        page = watched.open()
        page.keyboard.press("/")
        expect(page.locator("#browser-q")).to_be_focused()
        expect(page.locator("#panel-browser > .note")).to_contain_text("Ask for something")
        page.keyboard.type("wombats")
        page.keyboard.press("Enter")
        expect(page.locator("#browser-meta")).to_have_text("2 found")
        assert sorted(texts(page)) == sorted([MARKUP, "Quokkas smile at wombats"])
        assert axe_violations(page) == []
        page.locator("#browser-kinds").fill("lesson")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#panel-browser > .note")).to_have_text("Nothing was found.")
        assert "kinds=lesson" in page.url
        page.go_back()
        expect(page.locator("#browser-hits li")).to_have_count(2)
        expect(page.locator("#browser-kinds")).to_have_value("")
        page.locator("#browser-hits").get_by_role("link", name="open").first.click()
        expect(page.get_by_role("dialog", name="Memory").locator(".quoted")).to_contain_text("ombats")
        page.keyboard.press("Escape")
        page.reload()
        expect(page.locator("#browser-hits li")).to_have_count(2)
        watched.expect_only()


def test_more_is_asked_for_page_by_page_and_a_wrong_filter_is_an_error_that_names_it(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        daemon.remember(*(f"burrow number {number}" for number in range(25)))
        watched.page.goto(f"{daemon.url}/?view=memory&q=burrow")
        page = watched.page
        expect(page.locator("#browser-hits li")).to_have_count(20)
        page.get_by_role("button", name="More").click()
        expect(page.locator("#browser-hits li")).to_have_count(25)
        expect(page.get_by_role("button", name="More")).to_be_hidden()
        assert len(set(texts(page))) == 25
        page.locator("#browser-since").fill("yesterday")
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#panel-browser > .note")).to_contain_text("was given 'yesterday'")
        watched.expect_only("422 (Unprocessable")


def test_a_memory_is_pinned_followed_read_back_and_forgotten_for_good(browser: Browser, tmp_path: Path) -> None:
    with (
        running(tmp_path) as daemon,
        watching(browser, daemon.url) as watched,
        httpx2.Client(base_url=daemon.url) as http,
    ):
        first = http.post("/memory/write", json={"content": MARKUP}).json()["id"]
        http.post("/memory/write", json={"content": "On burrows, see the first.", "cites": [first]})
        http.post(f"/memory/{first}/update", json={"content": f"{MARKUP} at night"})
        watched.page.goto(f"{daemon.url}/?view=memory&q=wombats")
        page = watched.page
        page.locator("#browser-hits").get_by_role("link", name="open").first.click()
        detail = page.get_by_role("dialog", name="Memory")
        expect(detail.locator(".quoted")).to_have_text(f"{MARKUP} at night")
        detail.get_by_role("button", name="Show 1 earlier version").click()
        expect(detail.locator(".chain .stream-text")).to_have_text([MARKUP, f"{MARKUP} at night"])
        assert axe_violations(page, "#detail") == []
        detail.get_by_role("button", name="Pin").click()
        page.get_by_label("Code or token").fill(OPERATOR_TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#who-text")).to_have_text("operator")
        detail.get_by_role("button", name="Pin").click()
        expect(detail.get_by_role("button", name="Unpin")).to_be_visible()
        assert http.get(f"/memory/{first}").json()["pinned"] is True
        detail.get_by_text("Forget it").click()
        detail.get_by_label("Why (kept for ever)").fill("asked by its author")
        detail.get_by_label("Type forget to confirm it").fill("no")
        detail.get_by_role("button", name="Forget for good").click()
        expect(detail).to_contain_text("Type the word forget to confirm it.")
        assert http.get(f"/memory/{first}").status_code == 200
        detail.get_by_label("Type forget to confirm it").fill("forget")
        detail.get_by_role("button", name="Forget for good").click()
        expect(detail).to_contain_text("Forgotten.")
        assert http.get(f"/memory/{first}").status_code == 404
        page.keyboard.press("Escape")
        page.goto(f"{daemon.url}/?view=memory&q=burrows")
        page.locator("#browser-hits").get_by_role("link", name="open").first.click()
        expect(detail.locator(".quoted")).to_have_text("On burrows, see the first.")
        watched.expect_only()
