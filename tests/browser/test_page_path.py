"""The path with its projected range, and the one time range of the page."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect
from tests.support import page_documents as documents
from tests.support import page_path
from tests.support.page_server import Stage, full_stage, serving

from memmcp_server.wire.path import CurveMark

from .conftest import DESKTOP, Watched
from .tabs import tab
from .test_page import PHONE, axe_violations, go, live

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shared(browser: Browser) -> Iterator[tuple[Stage, Watched]]:
    with serving(full_stage()) as stage, tab(browser, color_scheme="dark") as page:
        yield stage, Watched(page, stage.url)


@pytest.fixture
def stage(shared: tuple[Stage, Watched]) -> Stage:
    """A desk in the middle of its day again, whatever a test before made of it."""
    stage, _ = shared
    stage.answers = full_stage().answers
    return stage


@pytest.fixture
def watched(shared: tuple[Stage, Watched], stage: Stage) -> Watched:
    """The one page of these tests, about to be opened anew."""
    _, watched = shared
    watched.problems.clear()
    watched.page.set_viewport_size(DESKTOP)
    return watched


@pytest.mark.requirement("D3")
def test_the_path_names_its_tiers_and_says_how_many_paths_reach_them_and_when(watched: Watched, stage: Stage) -> None:
    stage.answer("/projection", page_path.projection())
    page = live(watched)
    panel = page.locator("#panel-path")
    expect(panel).to_have_attribute("data-state", "ready")
    chart = panel.get_by_role("img", name=re.compile("^Path on a logarithmic scale since 2026-10-13: from 2.0000 to"))
    for name in ("foundation", "acceleration, target", "institutional", "end of the path"):
        expect(chart.get_by_text(name, exact=True)).to_be_visible()
    expect(chart.locator("polygon")).to_have_count(2)
    reach = panel.locator("#path-reaches li")
    expect(reach).to_contain_text("acceleration at 20.00 SOL")
    expect(reach).to_contain_text(re.compile(r"not in reach within 160 days in 66\s% of the paths"))
    expect(reach).to_contain_text("50 % interval 90 d to beyond 160 d; 90 % interval 8.5 d to beyond 160 d")
    expect(panel).to_contain_text("no promise")
    panel.get_by_text("Targets as they were set").click()
    cells = panel.locator("#path-targets tr").locator("th, td")
    expect(cells.nth(1)).to_have_text("operator:<b>o</b>")
    expect(cells.nth(2)).to_have_text("10.0000 → 20.0000 SOL")
    expect(cells.nth(3)).to_have_text("<img src=x onerror=alert(1)> higher")
    assert axe_violations(page, "#panel-path") == []
    page.set_viewport_size(PHONE)
    expect(chart).to_have_attribute("width", re.compile("^3[0-9][0-9]$"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    watched.expect_only()


@pytest.mark.requirement("D3")
def test_too_little_history_is_said_and_draws_no_range(watched: Watched) -> None:
    page = live(watched)
    panel = page.locator("#panel-path")
    expect(panel.locator("#path-basis")).to_have_text("Too little history for a projection: 1.5 of 7 days.")
    expect(panel.locator("polyline")).to_be_visible()
    expect(panel.locator("polygon, #path-reaches li")).to_have_count(0)
    expect(panel.locator("#path-targets-note")).to_contain_text("nobody has changed it")
    watched.expect_only()


@pytest.mark.requirement("D3")
def test_a_path_that_cannot_be_had_says_why_and_the_button_asks_for_an_operator(watched: Watched, stage: Stage) -> None:
    off = {"error": {"code": "trading_unavailable", "message": "the desk is <b>away</b>"}}
    stage.answer("/projection", off, 503)
    page = live(watched)
    expect(page.locator("#panel-path")).to_have_attribute("data-state", "error")
    expect(page.locator("#panel-path > .note")).to_have_text("The desk is <b>away</b>.")
    page.get_by_role("button", name="Set the target").click()
    expect(page.locator("#login")).to_contain_text("Only an operator acts on the desk.")
    watched.expect_only("503 (Service Unavailable)")


@pytest.mark.requirement("D4")
def test_a_range_of_instants_stands_in_the_address_and_is_kept_by_every_part(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    page.get_by_text("Custom", exact=True).click()
    page.get_by_label("From (UTC)").nth(0).fill("yesterday")
    page.keyboard.press("Enter")
    expect(page.locator("#range-problem")).to_have_text("Write a time in UTC as 2026-11-22 or 2026-11-22 09:30.")
    expect(page.locator("#range-since")).to_be_focused()
    page.locator("#range-since").fill("2026-11-22 06:30")
    page.locator("#range-until").fill("2026-11-22 08:00")
    assert axe_violations(page, ".view-bar") == []
    with page.expect_request(
        lambda request: "since=2026-11-22T06%3A30" in request.url and "until=2026-11-22T08%3A00" in request.url
    ):
        page.keyboard.press("Enter")
    assert page.url.endswith("/?since=2026-11-22T06%3A30Z&until=2026-11-22T08%3A00Z")
    expect(page.locator("#equity-readout")).to_contain_text("08:59:00")
    before = page.locator("#equity-readout").inner_text()
    stage.push("trading", documents.snapshot(300))
    expect(page.locator("#trading-meta")).to_contain_text("11:00:00")
    expect(page.locator("#equity-readout")).to_have_text(before)  # a range that has ended gets no newer points
    go(page, "Risk")
    assert page.url.endswith("/?since=2026-11-22T06%3A30Z&until=2026-11-22T08%3A00Z&view=risk")
    page.get_by_role("button", name="1 m").click()
    assert page.url.endswith("/?view=risk&range=1m")
    watched.expect_only()


@pytest.mark.requirement("D4")
def test_trades_and_deposits_are_marked_on_the_curve_and_read_out(watched: Watched, stage: Stage) -> None:
    def mark(minute: int, kind: Literal["buy", "sell", "deposit"], symbol: str = "") -> CurveMark:
        return CurveMark(ts=documents.START + timedelta(minutes=minute), kind=kind, lamports=50_000_000, symbol=symbol)

    found = (mark(45, "buy", "<b>BONK</b>"), mark(90, "deposit"), mark(135, "sell", "WIF"))
    stage.answer("/telemetry/trading/marks", page_path.marks(*found, buy=9, deposit=1, sell=8))
    page = live(watched)
    expect(page.locator("#equity-meta")).to_have_text("▲ 9 buys · ▼ 8 sells · + 1 deposit; 3 of them are drawn")
    expect(page.locator("#equity-chart")).to_have_attribute("aria-label", re.compile("marked: ▲ 9 buys"))
    plot = page.locator("#equity-chart .u-over")
    box = plot.bounding_box()
    assert box is not None
    for share, said in ((0.25, "▲ buy <b>BONK</b> for 0.0500 SOL at 06:45:00 UTC"), (0.5, "+ deposit of 0.0500 SOL")):
        plot.hover(position={"x": box["width"] * share, "y": 60})
        expect(page.locator("#equity-readout")).to_contain_text(said)
    plot.hover(position={"x": box["width"] * 0.4, "y": 60})
    expect(page.locator("#equity-readout")).not_to_contain_text("SOL at")
    with page.expect_request(lambda request: "/marks?since=2026-11-22T08%3A00%3A00" in request.url):
        page.get_by_role("button", name="1 h").click()
    watched.expect_only()
