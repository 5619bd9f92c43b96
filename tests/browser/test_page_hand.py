"""The page in the hand, by keyboard alone, zoomed and on paper: every part, whatever panels it has."""

import pytest
from playwright.sync_api import Page, expect
from tests.support import page_documents as documents
from tests.support.page_server import Stage, sse

from .conftest import Watched
from .test_page import PHONE, live

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D11")]

TARGET_PX = 24
STEPS_MAX = 150
SMALL = f"""() => [...document.querySelectorAll("a, button, input, select, textarea, summary")]
  .filter((each) => each.getClientRects().length > 0 && !each.classList.contains("skip"))
  .map((each) => [each.id || each.textContent.trim().slice(0, 40), each.getBoundingClientRect()])
  .filter(([, box]) => box.height < {TARGET_PX} || box.width < {TARGET_PX})
  .map(([name, box]) => `${{name}}: ${{box.width}} x ${{box.height}}`)"""
FOCUSED = """() => {
  const element = document.activeElement;
  const box = element.getBoundingClientRect();
  const over = document.elementFromPoint(box.x + Math.min(box.width / 2, 40), box.y + Math.min(box.height / 2, 8));
  const style = getComputedStyle(element);
  return {
    name: element.id || element.getAttribute("aria-label") || element.textContent.trim().slice(0, 40),
    isEnd: element === document.body || element === document.querySelector("footer a:last-of-type"),
    isOutlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    isSeen: element.contains(over) || over === null || over.closest("label")?.contains(element) === true,
  };
}"""


def parts_of(page: Page) -> list[str]:
    links = page.get_by_role("navigation", name="Parts of the page").get_by_role("link")
    return list(links.evaluate_all("links => links.map(link => link.dataset.view)"))


def show(page: Page, part: str) -> None:
    page.locator(f"#views a[data-view={part}]").click()
    expect(page.locator(f".view[data-view={part}]")).to_be_visible()


class TestOnAPhone:
    @pytest.fixture
    def context_options(self) -> dict[str, object]:
        return {"viewport": PHONE, "color_scheme": "dark", "reduced_motion": "reduce", "is_mobile": True}

    @pytest.mark.parametrize("money", ["paper", "real"])
    def test_whose_money_it_is_stays_in_sight_while_scrolling(self, watched: Watched, stage: Stage, money: str) -> None:
        stage.greeting = [sse("trading", documents.snapshot(money=money)), sse("metrics", documents.metrics())]
        stage.answer("/telemetry/trading", documents.snapshot(money=money))
        page = live(watched)
        page.locator("footer").scroll_into_view_if_needed()
        assert page.evaluate("scrollY") > PHONE["height"]
        expect(page.locator("#money-word")).to_have_text(money.upper())
        expect(page.locator("#money-word")).to_be_in_viewport(ratio=1)
        box = page.locator("#money").bounding_box()
        assert box is not None
        assert (box["y"], box["width"]) == (0, PHONE["width"])
        assert box["height"] <= 48
        watched.expect_only()

    def test_whatever_can_be_touched_is_large_enough(self, watched: Watched, stage: Stage) -> None:
        page = live(watched)
        stage.push("memory", documents.memory(5_201, "Signal: BONK momentum 0.71"), 5_201)
        expect(page.locator("#stream li")).to_have_count(1)
        for part in parts_of(page):
            show(page, part)
            assert page.evaluate(SMALL) == [], part
        watched.expect_only()


class TestZoomed:
    @pytest.fixture
    def context_options(self) -> dict[str, object]:
        return {"viewport": {"width": 320, "height": 256}, "color_scheme": "light", "reduced_motion": "reduce"}

    def test_no_part_scrolls_sideways_at_four_times_its_size(self, watched: Watched) -> None:
        page = live(watched)
        for part in parts_of(page):
            show(page, part)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, part
        expect(page.locator("#money-word")).to_be_in_viewport(ratio=1)
        watched.expect_only()


def test_the_keyboard_goes_through_every_part_and_the_place_is_seen(watched: Watched) -> None:
    page = live(watched)
    for part in parts_of(page):
        page.keyboard.press("g")
        page.keyboard.press(page.locator(f"#views a[data-view={part}]").get_attribute("aria-keyshortcuts")[-1])  # type: ignore[index]
        expect(page.locator(f".view[data-view={part}]")).to_be_visible()
        if part != "desk":
            expect(page.locator("main")).to_be_focused()
        for _ in range(STEPS_MAX):
            page.keyboard.press("Tab")
            focused = page.evaluate(FOCUSED)
            if focused["isEnd"]:
                break
            assert focused["isOutlined"], (part, focused)
            assert focused["isSeen"], (part, focused)
        else:
            pytest.fail(f"{part} does not end within {STEPS_MAX} steps")
    watched.expect_only()


def test_a_part_that_waits_for_somebody_says_so_in_words(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    queue = {"qdrant": {"pending": 0, "oldest_s": 0.0, "dead": 2, "delivered": 9}}
    stage.push("metrics", documents.metrics(5, queues=queue))
    expect(page.get_by_role("link", name="System 2 dead letters", exact=True)).to_be_visible()
    watched.expect_only()


def test_print_is_black_on_white_with_every_row_and_no_controls(watched: Watched) -> None:
    page = live(watched)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    expect(page.locator("#money-word")).to_be_visible()
    expect(page.locator("#views")).to_be_hidden()
    expect(page.locator("#acts-open")).to_be_hidden()
    list_box = page.locator("#panel-trades .scroll")
    assert list_box.evaluate("each => each.scrollHeight - each.clientHeight") <= 1
    watched.expect_only()
