"""Where the money is and why there is no more of it at work: the API's own figures."""

import pytest
from playwright.sync_api import expect
from tests.support import page_documents as documents
from tests.support.page_server import Stage

from .conftest import Watched
from .test_page import axe_violations, go, live

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D7")]


def share(name: str, label: str, lamports: int, share_bps: int) -> dict[str, object]:
    return {"name": name, "label": label, "lamports": lamports, "share_bps": share_bps}


def test_exposure_is_shown_by_each_of_its_sides_and_the_funnel_stage_by_stage(watched: Watched, stage: Stage) -> None:
    tokens = [share("m1", "<b>BONK</b>", 158_451_551, 791), share("m2", "WIF", 20_000_000, 100)]
    whole = {f"by_{by}": [share(by, by.upper(), 178_451_551, 891)] for by in ("strategy", "bucket", "tier", "group")}
    stage.answer("/risk", {"exposure_bps": 891, "exposure_map": {"by_token": tokens, **whole}})
    page = live(watched)
    go(page, "Risk")
    expect(page.locator("#exposure-meta")).to_have_text("8.9 % of equity")
    rows = page.locator("#exposure tr")
    expect(rows).to_have_count(2)
    expect(rows.first.locator("th")).to_have_text("<b>BONK</b>")
    expect(rows.first.locator("td").nth(0)).to_have_text("0.1585 SOL")
    expect(rows.first.locator("td").nth(2)).to_have_text("7.9 %")
    for by in ("Strategy", "Bucket", "Tier", "Group"):
        page.locator("#exposure-by").get_by_role("button", name=by.lower()).click()
        expect(rows).to_have_count(1)
        expect(rows.first.locator("th")).to_have_text(by.upper())
    expect(page.locator("#funnel-summary")).to_have_text("Of 12 tokens one was bought.")
    counts = page.locator("#funnel tr td:nth-child(2)")
    expect(counts).to_have_text(["12", "9", "6", "4", "3", "1", "1"])
    expect(page.locator("#funnel-lost")).to_have_text("Fell away: pool too small 3, exposure 2.")
    expect(page.locator("#funnel-price")).to_contain_text("1 min")
    assert axe_violations(page) == []
    watched.expect_only()


def test_a_desk_that_holds_nothing_and_one_that_cannot_say_have_words_for_it(watched: Watched, stage: Stage) -> None:
    off = {"error": {"code": "trading_unavailable", "message": "trading is switched off"}}
    stage.answer("/why", off, 503)
    page = live(watched)
    go(page, "Risk")
    expect(page.locator("#panel-exposure > .note")).to_have_text("Nothing is held, and no entry is open.")
    expect(page.locator("#panel-funnel > .note")).to_have_text("Trading is switched off.")
    expect(page.locator("#panel-funnel")).to_have_attribute("data-state", "error")
    stage.answer("/why", documents.why())
    watched.expect_only("503 (Service Unavailable)")
