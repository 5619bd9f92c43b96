"""What was learned and what is wrong, and all desks, of a real application: the API's own figures."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, expect
from tests.doubles.knowing_desk import KnowingDesk

from .test_page import axe_violations, go
from .test_page_app import running, watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D12")]

SOL = 10**9
LESSON = "Wait ten minutes after <b>launch</b>."


def test_lessons_warnings_and_desks_are_shown_as_the_api_tells_them(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, desk=KnowingDesk()) as daemon, watching(browser, daemon.url) as watched:
        with httpx2.Client(base_url=daemon.url) as http:
            http.post("/memory/write", json={"content": LESSON, "kind": "lesson", "agent": "cursor"})
            report: dict[str, Any] = {"desk_id": "nautilus-1", "key": "r1", "ts": "2026-11-22T08:00:00Z"}
            report |= {"money": "real", "equity_lamports": 3 * SOL, "exposure_lamports": SOL}
            assert http.post("/telemetry/trading", json=report).status_code == 201
            told = http.get("/insights").json()
            desks = http.get("/telemetry/desks").json()["desks"]
        page = watched.open()
        go(page, "Insights")
        expect(page.locator("#insights-lessons .stream-text")).to_have_text([LESSON])
        expect(page.locator("#insights-warnings li")).to_have_count(len(told["warnings"]))
        expect(page.locator("#insights-findings .stream-text")).to_have_text(
            [each["text"] for each in told["findings"]]
        )
        expect(page.locator("#insights-findings .dim")).to_have_text(
            [f"{each['about']} · n {each['sample']}" for each in told["findings"]]
        )
        expect(page.locator("#insights-meta")).to_have_text(f"1 lesson, {len(told['findings'])} findings")
        totals = page.locator("#totals dd")
        expect(totals.nth(0)).to_have_text("has not reported yet")
        expect(totals.nth(1)).to_have_text("real 3.0000 SOL, 1.0000 SOL in positions, in 1 desknever added to ours")
        expect(totals.nth(2)).to_have_text("1 of 1 worktransactions: 0 done, 0 failed, 0 expired")
        expect(totals.nth(3)).to_contain_text("0 connected, 0 have called")
        expect(totals.nth(4)).to_have_text("1by 1 writer")
        assert axe_violations(page) == []
        page.locator("#insights-lessons").get_by_role("link").first.click()
        expect(page.get_by_role("dialog", name="Memory").locator(".quoted")).to_have_text(LESSON)
        page.keyboard.press("Escape")
        page.get_by_role("link", name="each desk").click()
        rows = page.locator("#desks tr")
        expect(rows).to_have_count(len(desks))
        expect(rows.filter(has_text="nautilus-1")).to_contain_text("3.0000 SOL")
        watched.expect_only()
