"""The real paper desk by keyboard alone, and for a viewer; its token bears the worst name that the door lets in.

An act is begun with a key, reached with Tab and the arrows, and followed to its result: no mouse.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

import httpx2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.support.paper_stage import MINT, STRATEGY

from trading.model.instrument import token_name

from .paper_pad import PaperPad, paper_pad
from .test_page import axe_violations, go
from .test_page_app import watching

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D10", "D11")]

GIVEN = "<img src=x onerror=window.ran=1>BO\ud800NK\x00\u202e\u2066 =1+1,\"' \U0001f438 \u05e9"
SYMBOL = token_name(GIVEN)
TABS_MAX = 120


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperPad]:
    with paper_pad(browser, tmp_path_factory.mktemp("keys"), SYMBOL) as pad:
        yield pad


@pytest.fixture
def pad(opened: PaperPad) -> PaperPad:
    opened.begin()
    return opened


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until the focus is there."""
    for _ in range(TABS_MAX):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{TABS_MAX} times Tab do not lead to {wanted}", pytrace=False)


def choose(pad: PaperPad, label: str) -> None:
    """Go through the acts with the arrows until the wished one is chosen."""
    reach(pad.page, pad.page.locator("#acts-choice input:checked"))
    wanted = pad.dialog.get_by_label(label, exact=True)
    for _ in range(TABS_MAX):
        if wanted.is_checked():
            return
        pad.page.keyboard.press("ArrowDown")
    pytest.fail(f"the arrows do not lead to {label}", pytrace=False)


def write(pad: PaperPad, name: str | re.Pattern[str], text: str) -> None:
    """Reach a field, and write over what is in it."""
    reach(pad.page, pad.dialog.get_by_label(name))
    pad.page.keyboard.press("Control+A")
    pad.page.keyboard.type(text)


def test_a_position_is_sold_by_keyboard_alone(pad: PaperPad) -> None:
    [before] = pad.snapshot()["positions"]
    assert before["symbol"] == SYMBOL
    choose(pad, "Close a position")
    write(pad, "Percent of it", "40")
    expect(pad.consequence).to_contain_text("40 % of <img src=x onerror=wind")
    write(pad, "Why (kept in the journal)", "by keyboard")
    pad.page.keyboard.press("Enter")
    expect(pad.answer).to_have_text("Type the word close to confirm it.")
    pad.page.keyboard.type("close")  # the focus is there already
    pad.page.keyboard.press("Enter")
    expect(pad.answer).to_contain_text("Done: ")
    pad.move()
    expect(pad.end).to_contain_text("The end: ")
    [after] = pad.snapshot()["positions"]
    assert abs(Decimal(after["amount"]) - Decimal(before["amount"]) * Decimal("0.6")) <= Decimal("0.0001")
    [(kind, closed)] = pad.commands()
    assert (kind, closed["mint"], closed["percent"]) == ("close_position", MINT, 40)
    sale = pad.get("/telemetry/trading/trades?limit=1")["trades"][0]
    assert (sale["side"], sale["trajectory_id"]) == ("sell", before["trajectory_id"])
    pad.page.keyboard.press("Escape")
    expect(pad.dialog).to_be_hidden()
    pad.watched.expect_only()


def test_a_strategy_is_switched_off_and_seen_off_and_on_again_by_keyboard_alone(pad: PaperPad) -> None:
    choose(pad, "Switch a strategy off")
    reach(pad.page, pad.dialog.get_by_role("combobox", name="Strategy", exact=True))
    pad.page.keyboard.type(STRATEGY)
    expect(pad.consequence).to_contain_text(f"{STRATEGY} enters nothing any more")
    write(pad, "Why (kept in the journal)", "it loses")
    pad.page.keyboard.press("Enter")
    expect(pad.answer).to_contain_text(f"Done: Exposure of strategy:{STRATEGY} can only shrink.")
    pad.page.keyboard.press("Escape")
    pad.page.keyboard.press("g")
    pad.page.keyboard.press("s")
    row = pad.page.locator("#strategies-rows tr").filter(has_text=STRATEGY)
    expect(row).to_contain_text("switched off (REDUCING)")
    pad.page.keyboard.press("g")
    pad.page.keyboard.press("d")
    pad.page.keyboard.press("k")
    choose(pad, "Switch a strategy on")
    reach(pad.page, pad.dialog.get_by_role("combobox", name="Strategy", exact=True))
    pad.page.keyboard.type(STRATEGY)
    expect(pad.consequence).to_contain_text("Now: REDUCING")
    write(pad, "Why (kept in the journal)", "mended")
    write(pad, re.compile("^Type on"), "on")
    pad.page.keyboard.press("Enter")
    expect(pad.answer).to_contain_text("Done: ")
    assert pad.strategy(STRATEGY)["state"] == "ACTIVE"
    assert pad.snapshot()["state"] == "ACTIVE"
    level = f"strategy:{STRATEGY}"
    assert [(kind, body["level"]) for kind, body in pad.commands()] == [("reduce_only", level), ("resume", level)]
    pad.watched.expect_only()


def test_a_memory_is_searched_and_an_agent_asked_about_it_by_keyboard_alone(pad: PaperPad) -> None:
    page = pad.page
    page.keyboard.press("Escape")
    pad.daemon.remember("the unlock of the team comes in spring")
    page.keyboard.press("/")
    page.keyboard.type("unlock of the team")
    page.keyboard.press("Enter")
    hit = page.locator("#browser-hits li").filter(has_text="comes in spring")
    expect(hit).to_be_visible()
    reach(page, hit.get_by_role("link", name="open"))
    page.keyboard.press("Enter")
    detail = page.get_by_role("dialog", name="Memory")
    reach(page, detail.locator("summary").filter(has_text="Ask an agent about this"))
    page.keyboard.press("Enter")
    reach(page, detail.get_by_label("What is asked"))
    page.keyboard.press("Control+A")
    page.keyboard.type("Which week?")
    page.keyboard.press("Enter")
    expect(detail.locator(".watched")).to_contain_text("Any connected agent may take it")
    [task] = [each for each in pad.get("/tasks")["tasks"] if each["title"] == "Which week?"]
    context = pad.get(f"/tasks/{task['id']}")["context"]
    assert [each["text"] for each in context] == ["the unlock of the team comes in spring"]
    url = f"{pad.daemon.url}/tasks/{task['id']}"
    httpx2.post(f"{url}/claim", json={"agent": "quick"}).raise_for_status()
    httpx2.post(f"{url}/complete", json={"agent": "quick", "text": "The second of April."}).raise_for_status()
    expect(detail.locator(".watched .quoted")).to_have_text("The second of April.")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("d")
    pad.watched.expect_only()


def test_a_token_with_such_a_name_is_one_everywhere(pad: PaperPad) -> None:
    page = pad.page
    pad.choose("Rebalance", "")
    expect(pad.dialog.get_by_label(re.compile(r"^<img src=x onerror=.*, %"))).to_be_visible()
    for label, name in (("Close a position", "Position"), ("Ask the sidecar", "About"), ("Ask an agent", "About")):
        pad.choose(label, "")
        options = pad.dialog.get_by_role("combobox", name=name, exact=True)
        expect(options).to_contain_text("<img src=x onerror=")
    page.keyboard.press("Escape")
    for part in ("Trades", "Risk", "Desk"):
        go(page, part)
        expect(page.locator(f".view[data-view={part.lower()}]")).to_contain_text("<img src=x onerror=")
        assert page.locator(".panel[data-state=error]:visible").count() == 0
    assert page.evaluate("window.ran") is None
    for path in ("/telemetry/trading", "/telemetry/trading/trades", "/why", "/strategies", "/risk", "/night"):
        pad.get(path)
    assert pad.get(f"/candles?mint={MINT}")["symbol"] == SYMBOL
    pad.watched.expect_only()


def test_a_viewer_sees_and_takes_files_home_and_acts_nowhere(pad: PaperPad, browser: Browser) -> None:
    code = pad.daemon.portal.call(pad.daemon.stage.services.logins.new_code, "viewer")[1]
    with watching(browser, pad.daemon.url) as watched:
        page = watched.page
        page.goto(f"{pad.daemon.url}/#login={code}")
        expect(page.locator("#who-text")).to_have_text("viewer")
        expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
        page.keyboard.press("k")
        login = page.get_by_role("dialog", name="Log in")
        expect(login).to_contain_text("Only an operator acts")
        expect(page.get_by_role("dialog", name="Act on the desk")).to_be_hidden()
        assert axe_violations(page) == []
        page.keyboard.press("Escape")
        go(page, "Trades")
        with page.expect_download() as taken:
            page.locator("#trade-list-export").get_by_role("link", name="CSV").focus()
            page.keyboard.press("Enter")
        text = taken.value.path().read_text(encoding="utf-8")
        assert text.splitlines()[1].count("<img src=x") == 1
        watched.expect_only()
    assert pad.done() == []
