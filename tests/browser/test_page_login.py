"""Logging in on the page of a real application: by a code, by a token, as a viewer, and out again."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr
from tests.support.stage import OPERATOR_TOKEN

from memmcp_server.config import HttpSection

from .test_page import axe_violations
from .test_page_app import Daemon, running, watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("O5")]

CLOSED = HttpSection(token=SecretStr("the-agents-token"))
REFUSED = "401 (Unauthorized)"


def code_of(daemon: Daemon, role: str) -> str:
    return str(daemon.portal.call(daemon.stage.services.logins.new_code, role)[1])


def is_live(page: Page, role: str) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
    expect(page.locator("#who-text")).to_have_text(role)


def test_the_address_of_memmcp_login_opens_the_page_and_keeps_no_code(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, http=CLOSED) as daemon, watching(browser, daemon.url) as watched:
        code = code_of(daemon, "operator")
        asked: list[str] = []
        watched.page.on("request", lambda request: asked.append(request.url))
        watched.page.goto(f"{daemon.url}/#login={code}")
        is_live(watched.page, "operator")
        assert watched.page.url == f"{daemon.url}/"
        assert asked
        assert not any(code in each for each in asked)
        assert watched.page.evaluate("document.cookie") == ""
        assert watched.page.evaluate("sessionStorage.length + localStorage.length") <= 1  # when it was last looked at
        watched.page.reload()
        is_live(watched.page, "operator")
        watched.expect_only()


def test_a_closed_daemon_shows_nothing_until_somebody_logs_in_and_nothing_new_after_the_logout(
    browser: Browser, tmp_path: Path
) -> None:
    with running(tmp_path, http=CLOSED) as daemon, watching(browser, daemon.url) as watched:
        page = watched.open()
        dialog = page.get_by_role("dialog", name="Log in")
        expect(dialog).to_be_visible()
        assert axe_violations(page) == []
        page.get_by_label("Code or token").fill("a guess")
        dialog.get_by_role("button", name="Log in").click()
        expect(page.locator("#login-answer")).to_contain_text("unknown, used or expired")
        page.get_by_label("Code or token").fill(code_of(daemon, "viewer"))
        page.keyboard.press("Enter")
        is_live(page, "viewer")
        page.get_by_role("button", name="Log out").click()
        expect(dialog).to_be_visible()
        expect(page.locator("#who-text")).to_have_text("not logged in")
        daemon.advance()
        expect(page.locator("#connection")).to_have_attribute("data-state", "unauthorised")
        watched.expect_only(REFUSED)


def test_everybody_may_read_an_open_daemon_and_its_operator_logs_in_to_act(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url) as watched:
        page = watched.open()
        is_live(page, "not logged in, reading")
        page.locator("#who-button").click()
        page.get_by_label("Code or token").fill(OPERATOR_TOKEN)
        page.keyboard.press("Enter")
        is_live(page, "operator")
        daemon.portal.call(daemon.stage.services.logins.end_all)
        page.reload()
        is_live(page, "not logged in, reading")
        watched.expect_only()
