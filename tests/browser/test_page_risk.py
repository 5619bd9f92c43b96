"""Where the money is and why there is no more of it at work: the API's own figures."""

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.support import page_documents as documents
from tests.support.page_server import Stage, asked

from .conftest import Watched
from .test_page import axe_violations, go, live

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D7")]


SOL = 10**9


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


def test_denials_and_funnel_are_of_the_range_of_the_page_and_say_so(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    go(page, "Risk")
    expect(page.locator("#denials-title")).to_have_text("Denials by reason, whole run")
    expect(page.locator("#gate-meta")).to_have_text("185 denied")
    expect(page.locator("#funnel-meta")).to_have_text("whole run")
    assert asked(stage, "/why")[-1] == {"since": "1970-01-01T00:00:00Z"}
    told = documents.why(denied={"cooldown_s": 3, "exposure_bps_max": 2}, is_cut=True)
    text = "Since 2026-11-21T09:00:00+00:00: 12 tokens seen."
    stage.answer("/why", told | {"summary": text})
    page.get_by_role("button", name="1 d").click()
    expect(page.locator("#denials-title")).to_have_text("Denials by reason, last day")
    expect(page.locator("#gate-meta")).to_have_text("5 denied")
    expect(page.locator("#denials tr")).to_have_text(["cooldown3", "exposure2"])
    expect(page.locator("#denials-none")).to_have_text("There were more: these are the newest.")
    expect(page.locator("#funnel-meta")).to_have_text("last day, counted since 11-21 09:00 UTC")
    expect(page.locator("#funnel th").first).to_have_text("tokens seen now")
    # Instants are written as people read them, and exactly for machines.
    expect(page.locator("#funnel-summary")).to_have_text("Since 11-21 09:00 UTC: 12 tokens seen.")
    instant = page.locator("#funnel-summary time")
    expect(instant).to_have_attribute("datetime", "2026-11-21T09:00:00+00:00")
    since = documents.START + timedelta(minutes=180) - timedelta(days=1)
    assert asked(stage, "/why")[-1] == {"since": since.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
    # A range that cannot be told says why, and shows no number of another one.
    stage.answer("/why", {"error": {"code": "unavailable", "message": "the journal is busy"}}, 503)
    page.get_by_role("button", name="1 w").click()
    expect(page.locator("#denials-none")).to_have_text("The denials are not known: The journal is busy.")
    expect(page.locator("#denials tr")).to_have_count(0)
    expect(page.locator("#gate-meta")).to_have_text("")
    page.get_by_role("button", name="All", exact=True).click()
    expect(page.locator("#gate-meta")).to_have_text("185 denied")
    watched.expect_only("503 (Service Unavailable)")


def desk(desk_id: str, **more: Any) -> dict[str, Any]:
    told = {"ts": "2026-11-22T08:59:00Z", "recorded_at": "2026-11-22T08:59:01Z", "age_s": 65.0, "stale": False}
    figures = {"state": "ACTIVE", "equity_lamports": 2 * SOL, "exposure_lamports": SOL // 5, "exposure_bps": 1_000}
    return {"desk_id": desk_id, "is_own": False, "money": "real", "drawdown_bps": 120, **told, **figures} | more


def test_every_desk_is_shown_and_no_total_mixes_ours_with_others(watched: Watched, stage: Stage) -> None:
    nothing = {"state": None, "equity_lamports": None, "exposure_lamports": None, "exposure_bps": None}
    desks = [
        desk("local", is_own=True, money="paper"),
        desk("<b>nautilus</b>", state="HALTED", stale=True, age_s=7_200.0),
        desk("quiet", money=None, drawdown_bps=None, **nothing),
    ]
    sums = {"desks": 1, "stale": 0, "with_equity": 1, "with_exposure": 1}
    own = {"money": "paper", "equity_lamports": 2 * SOL, "exposure_lamports": SOL // 5, **sums}
    real = own | {"money": "real", "equity_lamports": None, "exposure_lamports": None, "stale": 1}
    totals = {"own": own, "outside": [real]}
    stage.answer("/telemetry/desks", {"desks": desks, "left_out": 0, "totals": totals})
    page = live(watched)
    go(page, "Risk")
    rows = page.locator("#desks tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("localours, paper moneyACTIVE, 1 min 5 s ago2.0000 SOL1.20")
    expect(rows.nth(1).locator("th")).to_have_text("<b>nautilus</b>outside, real moneyHALTED, 2 h ago, silent")
    expect(rows.nth(1).locator("td").nth(1)).to_contain_text("0.2000 SOL10.0")
    expect(rows.nth(2)).to_have_text("quietoutside, money not toldstate not told, 1 min 5 s ago–not told–not told")
    expect(page.locator("#desks-own")).to_have_text("Our own desk (paper): 2.0000 SOL, 0.2000 SOL in positions.")
    expect(page.locator("#desks-outside")).to_have_text(
        "Outside engines, never added to ours: real in 1 desk, silent, so in no sum."
    )
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
