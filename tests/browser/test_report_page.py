"""The page of a report in a real browser: it draws, fits a phone, changes its theme, and asks nobody for anything."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from trading.cli.html_report import render
from trading.feeds.synthetic import SyntheticFeed, SyntheticMarket
from trading.runtime.backtest import BacktestSpec, run_backtest
from trading.runtime.report import ReportSource, report_of

pytestmark = pytest.mark.browser

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
WAIT_MS = 20_000
DRAWN = ".js-plotly-plot .main-svg"
DARK, LIGHT = "rgb(10, 13, 19)", "rgb(243, 245, 248)"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    feed = SyntheticFeed(SyntheticMarket(seed=7, cycles=1_600))
    result = run_backtest(BacktestSpec(feed, profile="aggressive", conditions="calm"))
    return report_of(ReportSource("run", result.journal, result.plan, result.kept(), feed))


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Open a report as a file, without a network; any problem and any request fails the test at its end."""
    problems: list[str] = []
    contexts = []

    def show(document: dict[str, Any], *, width: int, scheme: str) -> Page:
        path = tmp_path / "report.html"
        path.write_text(render(document), encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: problems.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
        page.on("request", lambda request: None if request.url == path.as_uri() else problems.append(request.url[:80]))
        page.goto(path.as_uri(), wait_until="load")
        return page

    yield show
    for context in contexts:
        context.close()
    assert problems == []


def expect_drawn(page: Page, width: int, background: str) -> None:
    for plot in ("equity", "costs", "price"):
        expect(page.locator(f"#{plot} .main-svg").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#equity .scatterlayer .js-line").count() >= 4
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background


@pytest.mark.requirement("O6")
def test_a_phone_in_the_light_sees_every_plot(opened: Callable[..., Page], report: dict[str, Any]) -> None:
    expect_drawn(opened(report, width=390, scheme="light"), 390, LIGHT)


@pytest.mark.requirement("O6")
def test_unit_token_and_theme_can_be_chosen(opened: Callable[..., Page], report: dict[str, Any]) -> None:
    page = opened(report, width=1_280, scheme="dark")
    expect_drawn(page, 1_280, DARK)
    title = page.locator("#equity .ytitle")
    expect(title).to_have_text("SOL")
    page.get_by_role("button", name="USD").click()
    expect(title).to_have_text("USD")
    tokens = report["prices"]["tokens"]
    page.get_by_label("Token", exact=True).select_option(index=1)
    expect(page.locator("#price-note")).to_contain_text(f"of {tokens[1]['fills']} fills")
    line = page.locator("#equity .scatterlayer .js-line").first
    before = line.evaluate("each => each.style.stroke")
    page.get_by_role("button", name="Light", exact=True).click()
    expect(page.get_by_role("button", name="Dark", exact=True)).to_be_visible()
    expect_drawn(page, 1_280, LIGHT)
    assert line.evaluate("each => each.style.stroke") != before


@pytest.mark.skipif("MEMMCP_SCREENSHOTS" not in os.environ, reason="pictures are made by make screenshots")
def test_the_picture_of_the_documents_is_made_from_the_page(opened: Callable[..., Page]) -> None:
    feed = SyntheticFeed(SyntheticMarket(seed=7, cycles=6_000))
    result = run_backtest(BacktestSpec(feed, profile="aggressive", conditions="calm"))
    document = report_of(ReportSource("run", result.journal, result.plan, result.kept(), feed))
    page = opened(document, width=1_280, scheme="dark")
    expect_drawn(page, 1_280, DARK)
    page.screenshot(path=IMAGES / "report.png", clip={"x": 0, "y": 0, "width": 1_280, "height": 1_150}, full_page=True)


def test_a_run_that_has_only_begun_has_a_page_without_plots(
    opened: Callable[..., Page], report: dict[str, Any]
) -> None:
    empty = json.loads(json.dumps(report))
    empty |= {"tokens": [], "newest_trades": [], "denials": {}, "trades": 0, "first": None, "last": None}
    empty["prices"] = {"tokens": [], "left_out": 0, "note": ""}
    empty["costs"] |= {"total_lamports": 0}
    empty["series"] |= {"points": 0, "ms": []}
    page = opened(empty, width=390, scheme="light")
    expect(page.get_by_text("Too few marks for a curve.")).to_be_visible()
    expect(page.get_by_text("Nothing was traded.")).to_be_visible()
    assert page.locator(DRAWN).count() == 0
