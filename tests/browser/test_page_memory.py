"""The memory browser over a real application: found, narrowed down, followed, and kept in the address."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

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
