"""What fires on the page: raised, shown with what to do, answered by the operator, and over."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, expect
from tests.support.page_server import Stage as PageStage
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged

from memmcp_server.domain.alert import Reading, Sample, labels_of

from .conftest import DESKTOP, Watched
from .tabs import tab
from .test_page import axe_violations, live

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D9")]

SILENCE_THE_RULE = """async () => (await fetch("/silences", {
  method: "POST",
  headers: { "Content-Type": "application/json", "X-Memmcp-Page": "1" },
  body: JSON.stringify({ rule: "drawdown", labels: { scope: "account" }, for_s: 3600 }),
})).status"""
"""As `memmcp alerts silence drawdown --for 1h --label scope=account` does, in the session of the page."""


@contextlib.contextmanager
def scene(browser: Browser, place: Path) -> Iterator[tuple[Stage, Watched, object]]:
    with start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        stage = stack.enter_context(portal.wrap_async_context_manager(staged(place)))
        url = stack.enter_context(portal.wrap_async_context_manager(served(stage.app)))
        page = stack.enter_context(tab(browser, viewport=DESKTOP))

        def read(used_bps: float) -> None:
            labels = labels_of({"limit": "drawdown_bps", "scope": "account"})
            reading = Reading("drawdown_used_bps", used_bps, labels, "Drawdown is <b>11</b> %.", "trade-7")
            assert stage.services.alerts is not None
            portal.call(stage.services.alerts.take, Sample((reading,), frozenset({"drawdown_used_bps"})))

        try:
            yield stage, Watched(page, url), read
        finally:
            portal.call(stage.app.state.live.close)


def test_an_alert_comes_by_itself_and_is_answered_with_the_operators_token(browser: Browser, tmp_path: Path) -> None:
    with scene(browser, tmp_path) as (_, watched, read):
        page = watched.open()
        expect(page.locator("#alerts-none")).to_be_visible()
        assert callable(read)
        read(11_000)
        item = page.locator("#alerts li")
        expect(item).to_have_attribute("data-severity", "critical")
        expect(item).to_contain_text("drawdown limit crossed (account)")
        expect(item).to_contain_text("Drawdown is <b>11</b> %.")
        expect(item.get_by_role("link", name="its trade")).to_have_attribute("href", "/trajectories/trade-7")
        assert axe_violations(page, "#panel-alerts") == []

        item.get_by_role("button", name="What to do").click()
        runbook = page.get_by_role("dialog", name="Runbook: drawdown limit crossed")
        expect(runbook).to_contain_text("Never raise the limit to make the alert go away.")
        expect(runbook.locator("code", has_text="memmcp-trade night")).to_be_visible()
        expect(runbook).to_contain_text("at 100.00 %, at once")
        assert axe_violations(page, "#detail") == []
        page.keyboard.press("Escape")
        expect(item.get_by_role("button", name="What to do")).to_be_focused()

        item.get_by_role("button", name="Acknowledge").click()
        expect(page.locator("#login")).to_be_visible()
        page.locator("#login-secret").fill(OPERATOR_TOKEN)
        page.locator("#login-form").get_by_role("button", name="Log in").click()
        expect(page.locator("#who-text")).to_have_text("operator")
        item.get_by_role("button", name="Acknowledge").click()
        expect(item).to_have_attribute("data-state", "acknowledged")
        item.get_by_role("button", name="Silence for 2 h").click()
        expect(item).to_have_attribute("data-silenced", "yes")
        expect(page.locator("#alerts-meta")).to_have_text("1 firing, 1 of them silenced")
        expect(item.locator(".answered")).to_have_text(
            re.compile(r"^Acknowledged by operator, silenced until .* UTC by operator$")
        )

        item.get_by_role("button", name="Tell again").click()
        expect(item).to_have_attribute("data-silenced", "no")

        status = page.evaluate(SILENCE_THE_RULE)
        assert status == 200
        silences = page.get_by_role("list", name="Silences").locator("li")
        expect(silences).to_have_text([re.compile(r"^Silent: drawdown \(scope account\) until .* UTC, by operator")])
        expect(item).to_have_attribute("data-silenced", "yes")
        assert axe_violations(page, "#panel-alerts") == []
        silences.get_by_role("button", name="Tell again of drawdown").click()
        expect(silences).to_have_count(0)
        expect(item).to_have_attribute("data-silenced", "no")
        expect(page.locator("#alerts-meta")).to_have_text("1 firing")
        watched.expect_only("401 (Unauthorized)")


def test_a_daemon_without_alerts_says_so_and_the_rest_goes_on(watched: Watched, stage: PageStage) -> None:
    stage.answer("/alerts", {"error": {"code": "unavailable", "message": "alerts are switched off"}}, 503)
    page = live(watched)
    expect(page.locator("#panel-alerts > .note")).to_contain_text("Alerts are switched off")
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
    watched.expect_only("503 (Service Unavailable)")
