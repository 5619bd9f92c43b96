"""Prices with entries and exits, the list of trades with its filters, one trade from end to end, and files of it."""

import csv
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.doubles.trading_desk import MINT
from tests.support import page_documents as documents
from tests.support.page_server import Stage

from .conftest import Watched
from .test_page import PHONE, axe_violations, go, live
from .test_page_app import Daemon, running, watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D4")]
SIGNATURE = "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW"
HOSTILE = "<img src=x onerror=alert(1)>\u202e=1+1"


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_prices_are_told_in_words_and_a_chosen_trade_says_why(watched: Watched, stage: Stage) -> None:
    stage.answer("/candles", documents.candles(symbol=HOSTILE))
    landed = {"step": "transaction", "ts": "2026-11-22T06:00:01Z", "text": "landed", "order_id": "order-14"}
    stage.answer("/why", documents.chain({**landed, "figures": {"fill": {}, "source": SIGNATURE}}))
    page = live(watched)
    go(page, "Trades")
    expect(page.locator("#panel-candles")).to_have_attribute("data-state", "ready")
    chart = page.get_by_role("img", name="Price of <img src=x onerror")
    expect(chart).to_have_attribute("aria-label", re.compile("90 candles of 5 min.*7 entries and 7 exits"))
    assert chart.locator("canvas").count() == 1
    expect(page.locator("#candles-trades tr")).to_have_count(14)
    page.get_by_role("button", name="Exit, why").first.click()
    why = page.get_by_role("region", name="Why this trade was made")
    expect(why).to_contain_text("breakout over 48 bars")
    expect(why).to_contain_text("24 like it were recalled")
    why.get_by_role("link", name="the whole trade").click()
    dialog = page.get_by_role("dialog", name="Paper trade")
    expect(dialog.locator("ol.chain > li")).to_have_count(6)
    expect(dialog.locator("code.copyable")).to_have_text(SIGNATURE)
    assert query_of(page)["trade"] == ["order-14"]
    assert axe_violations(page, "#trade") == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.wait_for_url("**/?view=trades")
    page.go_back()
    expect(dialog).to_be_visible()
    watched.expect_only()


def alike(count: int, *, is_up: bool) -> dict[str, Any]:
    """As many candles of one size, each rising or falling by its whole body."""
    told = documents.candles(count)
    ends = {"open": "0.000000110", "close": "0.000000190", "high": "0.000000200", "low": "0.000000100"}
    turned = ends if is_up else ends | {"open": ends["close"], "close": ends["open"]}
    return told | {"candles": [each | turned for each in told["candles"]]}


def ink(page: Page) -> int:
    """How many points of the chart are in a strong colour: candles are, grid and labels are not."""
    return int(
        page.locator("#panel-candles canvas").evaluate(
            """canvas => {
                const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let painted = 0;
                for (let at = 0; at < data.length; at += 4) {
                    const colours = [data[at], data[at + 1], data[at + 2]];
                    if (data[at + 3] > 127 && Math.max(...colours) - Math.min(...colours) > 80) painted += 1;
                }
                return painted;
            }"""
        )
    )


def test_rising_candles_are_hollow_however_narrow_so_that_colour_is_not_the_only_sign(
    watched: Watched, stage: Stage
) -> None:
    stage.answer("/telemetry/trading/trades", documents.trades(0))
    watched.page.set_viewport_size(PHONE)
    painted = {}
    for is_up in (True, False):
        stage.answer("/candles", alike(300, is_up=is_up))
        watched.page.goto(f"{stage.url}/?view=trades")
        expect(watched.page.locator("#panel-candles canvas")).to_be_visible()
        painted[is_up] = ink(watched.page)
    bodies = 300 * 150  # a body is higher than that many points
    assert painted[False] - painted[True] > bodies * 0.5
    watched.expect_only()


def test_without_trades_or_with_an_answer_that_fails_the_panels_say_so(watched: Watched, stage: Stage) -> None:
    stage.answer("/telemetry/trading/trades", documents.trades(0))
    page = live(watched)
    go(page, "Trades")
    expect(page.locator("#panel-candles > .note")).to_have_text("Nothing was traded yet, so there is no token to show.")
    expect(page.locator("#panel-trade-list > .note")).to_have_text("No trade in this range.")
    expect(page.locator("#trade-list-export")).to_be_hidden()
    expect(page.locator("#candles-choice")).to_be_hidden()  # there is no token to choose
    expect(page.locator("#trade-list-token option")).to_have_text(["All"])
    stage.answer("/telemetry/trading/trades", {"error": {"code": "x", "message": "the disk is full"}}, 503)
    page.locator("#trade-list-side").select_option("buy")
    expect(page.locator("#panel-trade-list")).to_have_attribute("data-state", "error")
    expect(page.locator("#panel-trade-list > .note")).to_have_text("The disk is full.")
    page.goto(f"{watched.origin}/?trade=nobody")
    stage.answer("/why", {"error": {"code": "invalid", "message": "this run knows no nobody"}}, 422)
    page.reload()
    expect(page.locator("#trade-body [role=alert]")).to_have_text("Cannot show it: This run knows no nobody.")
    watched.expect_only("503 (Service Unavailable)", "422 (Unprocessable")


class TestOnAPhone:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"viewport": PHONE, "color_scheme": "light", "reduced_motion": "reduce"}

    def test_the_part_fits_and_works_by_keyboard(self, watched: Watched, stage: Stage) -> None:
        stage.answer("/candles", documents.candles())
        stage.answer("/why", documents.chain())
        page = watched.open()
        page.keyboard.press("g")
        page.keyboard.press("t")
        expect(page.locator("#panel-candles")).to_have_attribute("data-state", "ready")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.get_by_role("button", name="Entry, why").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#candles-why")).to_contain_text("breakout over 48 bars")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert axe_violations(page) == []
        watched.expect_only()


def trade_by_hand(daemon: Daemon, number: int, side: str) -> None:
    desk = daemon.stage.trading
    amount = {"amount_sol": "0.1"} if side == "buy" else {"amount_token": "20"}
    wish: dict[str, Any] = {"side": side, "mint": MINT, "reason": f"number {number}", "bucket": "manual", **amount}
    preview = daemon.portal.call(lambda: desk.place_trade(wish, agent="a", key=f"p{number}"))
    wish["preview_id"] = preview["preview_id"]
    daemon.portal.call(lambda: desk.place_trade(wish, agent="a", key=f"t{number}"))
    daemon.advance()


def test_list_filters_trade_and_file_are_what_the_application_says(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as daemon, watching(browser, daemon.url, accept_downloads=True) as watched:
        for number in range(60):
            trade_by_hand(daemon, number, "buy" if number % 3 else "buy" if number == 0 else "sell")
        whole = daemon.portal.call(lambda: daemon.stage.trading.trades(strategy=None, cursor=None, limit=200))
        sales = [each for each in whole["trades"] if each["side"] == "sell"]
        assert 0 < len(sales) < len(whole["trades"]) == 60
        page = watched.open()
        page.get_by_role("link", name="All trades").click()
        rows = page.locator("#trade-list tr")
        expect(rows).to_have_count(50)
        expect(page.locator("#trade-list-meta")).to_have_text("50 of 60 shown, paper money")
        page.get_by_role("button", name="More").click()
        expect(rows).to_have_count(60)
        expect(page.get_by_role("button", name="More")).to_be_hidden()
        page.locator("#trade-list-side").select_option("sell")
        expect(rows).to_have_count(len(sales))
        expect(page.locator("#trade-list-totals")).to_contain_text(f"All that match: {len(sales)} trades")
        assert query_of(page)["side"] == ["sell"]
        with page.expect_download() as started:
            page.get_by_role("link", name="CSV: save the trades as a file").click()
        assert started.value.suggested_filename.startswith("memmcp-trades-")
        with Path(started.value.path()).open(encoding="utf-8", newline="") as file:
            saved = list(csv.DictReader(file))
        assert [row["order_id"] for row in saved] == [each["order_id"] for each in sales]
        with page.expect_download() as started:
            page.get_by_role("link", name="JSON: save the candles as a file").click()
        candles = daemon.portal.call(
            lambda: daemon.stage.trading.candles(mint=None, since_ns=None, until_ns=None, interval_s=None)
        )
        saved_candles = json.loads(Path(started.value.path()).read_text(encoding="utf-8"))
        assert [each["close"] for each in saved_candles["rows"]] == [each["close"] for each in candles["candles"]]
        expect(page.locator("#candles-meta")).to_have_text(f"{len(candles['candles'])} candles of 5 min")
        rows.first.get_by_role("link").click()
        expect(page.get_by_role("dialog", name="Paper trade")).to_contain_text(sales[0]["order_id"])
        page.reload()
        expect(page.get_by_role("dialog", name="Paper trade")).to_contain_text("None: the fill is simulated")
        page.get_by_role("button", name="Close").click()
        page.locator("#trade-list-side").select_option("")
        page.locator("#trade-list-result").select_option("won")
        expect(rows).to_have_count(sum(each["realised"]["lamports"] > 0 for each in sales))
        watched.expect_only("404 (Not Found)")  # the memory of a desk that is a double knows no trajectory
