"""The page in Chromium, in every state it can be in, against a staged daemon."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.support import page_documents as documents
from tests.support.page_server import Stage, sse

from .conftest import Watched

pytestmark = pytest.mark.browser

AXE = Path(__file__).resolve().parents[2] / "src/memmcp_server/web/ui/node_modules/axe-core/axe.min.js"
PHONE = {"width": 390, "height": 844}
REFUSED = "Failed to load resource"
"""Chromium reports every answer of 400 and above on the console; a staged refusal is no defect of the page."""


def live(watched: Watched) -> Page:
    page = watched.open()
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
    return page


def go(page: Page, view: str) -> None:
    """Show a part of the page by its name in the bar."""
    page.get_by_role("navigation", name="Parts of the page").get_by_role("link", name=view).click()
    expect(page.locator(f".view[data-view={view.lower()}]")).to_be_visible()


def note_of(page: Page, panel: str) -> Locator:
    return page.locator(f"#panel-{panel} > .note")


@pytest.mark.requirement("D2")
def test_the_page_says_whose_money_it_is_and_which_feed_it_rests_on(watched: Watched) -> None:
    page = live(watched)
    expect(page.locator("#money-word")).to_have_text("PAPER")
    expect(page.locator("#money-word")).to_be_in_viewport()
    expect(page.locator("body")).to_have_attribute("data-money", "paper")
    expect(page.locator("#feed-kind")).to_have_text("SYNTHETIC")
    expect(page.locator("#feed-age")).to_have_text(re.compile(r"^\d+(\.\d)? s old$"))
    expect(page.locator("#feed-line")).to_contain_text("Feed: seed 7")
    expect(page.locator("#profile")).to_have_text("foundation")
    expect(page).to_have_title(re.compile(r"^PAPER \d+\.\d{4} SOL · ACTIVE · memMCP$"))
    watched.expect_only()


def test_real_money_is_shown_as_real_in_word_and_colour(watched: Watched, stage: Stage) -> None:
    stage.greeting = [sse("trading", documents.snapshot(money="real")), sse("metrics", documents.metrics())]
    stage.answer("/telemetry/trading", documents.snapshot(money="real"))
    page = live(watched)
    expect(page.locator("#money")).to_have_text(re.compile("REAL.*real money at risk"))
    real = page.locator("#money").evaluate("element => getComputedStyle(element).backgroundColor")
    stage.push("trading", documents.snapshot(181))
    expect(page.locator("#money-word")).to_have_text("PAPER")
    paper = page.locator("#money").evaluate("element => getComputedStyle(element).backgroundColor")
    assert real != paper
    watched.expect_only()


@pytest.mark.requirement("D2", "T21")
def test_equity_and_positions_follow_the_stream_in_sol_and_dollars(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("trading", documents.snapshot(200, equity=documents.amount(2_345_678_901)))
    expect(page.locator("#equity-sol")).to_have_text("2.3457 SOL")
    expect(page.locator("#equity-sol")).to_have_attribute("title", "2.345678901 SOL")
    expect(page.locator("#equity-usd")).to_have_text("427.85 USD")
    expect(page.locator("#trading-meta")).to_have_text("cycle 200 · 2026-11-22 09:20:00 UTC")
    rows = page.locator("#positions tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("▲ +0.0312 SOL")
    expect(rows.first).to_contain_text("5.69 USD")
    expect(rows.first).to_contain_text("11-22 08:15 UTC")
    page.set_viewport_size({"width": 1280, "height": 900})
    cut = "body => body.scrollWidth - body.clientWidth"
    for panel in ("positions", "trades"):
        assert page.locator(f"#panel-{panel} .body").evaluate(cut) <= 0, panel
    stage.push("trading", documents.snapshot(201, positions=[]))
    expect(rows).to_have_count(0)
    expect(note_of(page, "positions")).to_have_text("No open position: all equity is cash.")
    watched.expect_only()


@pytest.mark.requirement("D3")
def test_compounding_shows_target_current_progress_changes_and_the_next_tier(watched: Watched) -> None:
    page = live(watched)
    panel = page.locator("#panel-compounding")
    expect(panel.locator("#target-sol")).to_have_text("20.0000 SOL")
    expect(panel.locator("#target-usd")).to_have_text(re.compile(r"^3\s648\.00 USD$"))
    expect(panel.locator("#progress-text")).to_have_text(re.compile(r"^\d+\.\d\s%$"))
    expect(panel.locator("#change-day")).to_have_text("▲ +0.0413 SOL · 7.53 USD")
    expect(panel.locator("#change-week")).to_have_text("▼ −0.0127 SOL · −2.32 USD")
    expect(panel.locator("#next-tier")).to_contain_text("acceleration at 20 SOL")
    spark = panel.get_by_role("img", name=re.compile(r"^Equity over the last 120 marks: from .* SOL"))
    expect(spark.locator("polyline")).to_have_attribute("points", re.compile(r"^0\.0,"))
    watched.expect_only()


@pytest.mark.requirement("D1")
def test_queue_figures_follow_the_stream_and_dead_letters_stand_out(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    go(page, "System")
    rows = page.locator("#queues tr")
    expect(rows).to_have_text([re.compile("memory → qdrant"), re.compile("desk → memory")])
    expect(page.locator("#queues-meta")).to_have_text("15 pending")
    queue = {"qdrant": {"pending": 4_321, "oldest_s": 95.0, "dead": 2, "delivered": 9}}
    stage.push("metrics", documents.metrics(5, queues=queue, journal_seq=7_000, memories=6_500))
    expect(rows.first.locator("td")).to_have_text([re.compile(r"^4\s321$"), "1 min 35 s", "⚠ 2", "9"])
    expect(page.locator("#queues-meta")).to_have_text("2 dead letters")
    expect(page.locator("#journal-seq")).to_have_text(re.compile(r"^7\s000$"))
    expect(page.locator("#memories")).to_have_text(re.compile(r"^6\s500$"))
    expect(page.locator("#index-state")).to_have_text(re.compile(r"^ready, 2\s092 points \(qdrant-edge\)$"))
    watched.expect_only()


def test_the_curve_is_drawn_and_told_in_words(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    chart = page.get_by_role(
        "img", name=re.compile(r"^Equity curve from 2026-11-22 06:00:00 UTC to .* UTC: 2\.0000 SOL")
    )
    expect(chart.locator("canvas")).to_be_visible()
    painted = chart.locator("canvas").evaluate(
        "it => it.getContext('2d').getImageData(0, 0, it.width, it.height).data.some(value => value > 0)"
    )
    assert painted
    expect(page.get_by_role("img", name=re.compile("^Drawdown curve .*: now .* worst "))).to_be_visible()
    stage.push("trading", documents.snapshot(300))
    expect(page.locator("#equity-readout")).to_contain_text("2026-11-22 11:00:00 UTC")
    chart.hover(position={"x": 200, "y": 80})
    expect(page.locator("#equity-readout")).not_to_contain_text("11:00:00 UTC")
    watched.expect_only()


def test_a_time_range_is_asked_for_from_the_desks_own_time(watched: Watched) -> None:
    page = live(watched)
    with page.expect_request(lambda request: "since=2026-11-22T08%3A00%3A00" in request.url) as asked:
        page.get_by_role("button", name="1 h").click()
    assert "resolution=5" in asked.value.url
    ranges = page.get_by_role("group", name="Time range of the page")
    expect(ranges.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")
    expect(ranges.get_by_role("button", name="All")).to_have_attribute("aria-pressed", "false")
    assert page.url.endswith("/?range=1h")
    with page.expect_request(lambda request: "since=2026-11-22T08%3A00%3A00" in request.url):
        page.reload()
    expect(ranges.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")
    watched.expect_only()


def test_trades_are_listed_with_value_costs_and_result(watched: Watched) -> None:
    page = live(watched)
    newest = page.locator("#trades tr").first
    expect(newest).to_contain_text("Sell WIF")
    expect(newest).to_contain_text("trailing stop at 4 % below the high")
    expect(newest).to_contain_text("0.3240 SOL")
    expect(newest).to_contain_text("59.10 USD")
    expect(newest).to_contain_text("11-22 06:56 UTC")
    expect(newest).to_contain_text("slippage 0.28")
    watched.expect_only()


def test_limits_and_denials_are_listed_nearest_and_most_frequent_first(watched: Watched) -> None:
    page = live(watched)
    go(page, "Risk")
    expect(page.locator("#limits tr").first).to_contain_text("exposure")
    expect(page.locator("#denials th")).to_have_text(["pool too shallow", "exposure", "average down", "cooldown"])
    expect(page.locator("#gate-meta")).to_have_text("185 denied")
    watched.expect_only()


def test_a_floor_says_at_least_and_a_limit_of(watched: Watched) -> None:
    page = live(watched)
    go(page, "Risk")
    expect(page.locator("#limits tr", has_text="exit reserve")).to_contain_text("1.7000 SOL")
    expect(page.locator("#limits tr", has_text="exit reserve")).to_contain_text("at least 0.0040 SOL")
    expect(page.locator("#limits tr", has_text="order size")).to_contain_text("of 0.4000 SOL")
    watched.expect_only()


def test_memories_arrive_newest_first_and_open_their_trajectory(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("memory", documents.memory(5_201, "Signal: BONK momentum 0.71"), 5_201)
    stage.push("memory", documents.memory(5_202, "Approved: 0.31 SOL", kind="verdict"), 5_202)
    entries = page.locator("#stream li")
    expect(entries).to_have_text([re.compile("Approved: 0.31 SOL"), re.compile("Signal: BONK momentum 0.71")])
    expect(entries.first.get_by_role("link", name="Memory 5202", exact=True)).to_have_attribute(
        "href", "/memory/mem-5202"
    )
    entries.first.get_by_role("link", name="Trajectory of memory 5202").click()
    dialog = page.get_by_role("dialog", name="Trajectory")
    expect(dialog.locator(".chain li")).to_have_count(5)
    expect(dialog).to_contain_text("signal of trade 7")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(entries.first.get_by_role("link", name="Trajectory of memory 5202")).to_be_focused()
    watched.expect_only()


def test_the_stream_can_be_filtered_and_held_while_reading(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("memory", documents.memory(5_201, "a decision"), 5_201)
    stage.push("memory", documents.memory(5_202, "a preference", namespace="default", kind="note"), 5_202)
    entries = page.locator("#stream li")
    expect(entries).to_have_count(2)
    page.get_by_role("button", name="Agents").click()
    expect(entries).to_have_text([re.compile("a preference")])
    page.get_by_role("button", name="All", exact=True).last.click()
    page.get_by_role("button", name="Hold").click()
    stage.push("memory", documents.memory(5_203, "later"), 5_203)
    resume = page.get_by_role("button", name="Resume (1 new)")
    expect(resume).to_be_visible()
    expect(entries).to_have_count(2)
    resume.click()
    expect(entries).to_have_count(3)
    watched.expect_only()


def test_hostile_text_is_shown_as_text_and_runs_nothing(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    attack = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202egnihsihp"
    stage.push("memory", documents.memory(5_201, attack, agent="<b>evil</b>"), 5_201)
    hostile = documents.position("<svg onload=alert(3)>", documents.BONK, 100_000_000, 90_000_000)
    stage.push("trading", documents.snapshot(190, positions=[hostile]))
    # As lists: two elements where one is expected end the test at once, while a list is looked at again, and the page
    # shows its first two positions until the stream has brought the hostile one.
    expect(page.locator("#stream li .stream-text")).to_have_text([attack.replace("\u202e", "\ufffd")])
    expect(page.locator("#positions a")).to_have_text(["<svg onload=alert(3)>"])
    assert page.locator("#stream img, #stream script, #stream b, #positions svg").count() == 0
    watched.expect_only()


def test_a_dead_daemon_is_said_at_once_and_the_stream_resumes_where_it_was(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("memory", documents.memory(5_220, "before"), 5_220)
    expect(page.locator("#stream li")).to_have_count(1)
    stage.answer("/events", {"error": {"code": "starting", "message": "the daemon is starting"}}, 503)
    stage.drop_streams()
    expect(page.locator("#connection")).to_have_attribute("data-state", "waiting")
    expect(page.locator("#connection-text")).to_contain_text("offline: The daemon is starting")
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "stale")
    expect(note_of(page, "trading")).to_contain_text("Not live: last news")
    expect(page.locator("#equity-sol")).to_contain_text("SOL")
    stage.greeting = [sse("trading", documents.snapshot()), sse("metrics", documents.metrics(journal_seq=5_220))]
    del stage.answers["/events"]
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    assert stage.connections == ["5170", "5220"]
    expect(page.locator("#stream li")).to_have_count(1)
    stage.push("memory", documents.memory(5_220, "before"), 5_220)
    stage.push("memory", documents.memory(5_221, "after"), 5_221)
    expect(page.locator("#stream li")).to_have_text([re.compile("after"), re.compile("before")])
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready")
    watched.expect_only(REFUSED, "ERR_INCOMPLETE_CHUNKED_ENCODING")


def test_a_gap_is_named_and_the_newest_memories_are_asked_for_again(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("memory", documents.memory(5_210, "before the gap"), 5_210)
    expect(page.locator("#stream li")).to_have_count(1)
    stage.greeting = [sse("trading", documents.snapshot()), sse("metrics", documents.metrics(journal_seq=9_000))]
    stage.push("resync", {"from": 5_211, "to": 9_000}, 9_000)
    expect(page.locator("#stream li.gap")).to_have_text(
        [re.compile(r"^Gap: journal entries 5\s211 to 8\s960 were skipped")]
    )
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    assert stage.connections[-1] == "8960"
    stage.push("memory", documents.memory(8_961, "after the gap"), 8_961)
    expect(page.locator("#stream li")).to_have_text(
        [re.compile("after the gap"), re.compile("^Gap"), re.compile("before the gap")]
    )
    watched.expect_only()


def test_trading_that_is_off_is_said_with_what_to_do_and_memory_works_on(watched: Watched, stage: Stage) -> None:
    off = {
        "error": {
            "code": "trading_unavailable",
            "message": "trading is switched off",
            "hint": "start it with: memmcp serve",
        }
    }
    for path in ("/telemetry/trading", "/telemetry/trading/history", "/telemetry/trading/trades"):
        stage.answer(path, off, 503)
    stage.greeting = [sse("metrics", documents.metrics())]
    page = watched.open()
    for view, panels in (("Desk", ("trading", "positions", "compounding", "equity", "trades")), ("Risk", ("gate",))):
        go(page, view)
        for panel in panels:
            expect(note_of(page, panel)).to_have_text("Trading is switched off. Start it with: memmcp serve.")
            expect(page.locator(f"#panel-{panel}")).to_have_attribute("data-state", "error")
    expect(page.locator("body")).to_have_attribute("data-money", "unknown")
    go(page, "System")
    expect(page.locator("#panel-queues")).to_have_attribute("data-state", "ready")
    go(page, "Desk")
    stage.push("memory", documents.memory(5_201, "still remembered"), 5_201)
    expect(page.locator("#stream li")).to_have_count(1)
    watched.expect_only(REFUSED)


def test_a_young_desk_has_words_for_everything_it_has_not_yet(watched: Watched, stage: Stage) -> None:
    young = documents.snapshot(
        0, positions=[], denials={}, limits=[], sol_usd=None, slippage_bps_mean=None, next_evaluation=None,
        feed=documents.feed(age_s=None),
    )  # fmt: skip
    for sum_name in ("equity", "cash"):
        young[sum_name]["usd"] = None
    stage.greeting = [sse("trading", young), sse("metrics", documents.metrics())]
    stage.answer("/telemetry/trading", young)
    stage.answer("/telemetry/trading/history", documents.series(0))
    stage.answer("/telemetry/trading/trades", documents.trades(0))
    page = live(watched)
    expect(page.locator("#trading-state")).to_have_text("STARTING")
    expect(page.locator("#trading-meta")).to_have_text("starting")
    expect(page.locator("#equity-usd")).to_have_text("USD price unknown")
    expect(page.locator("#feed-age")).to_have_text("no event yet")
    expect(note_of(page, "trades")).to_have_text("No trade yet.")
    expect(note_of(page, "positions")).to_contain_text("No open position")
    expect(note_of(page, "stream")).to_contain_text("No memory yet")
    go(page, "Risk")
    expect(page.locator("#denials-none")).to_be_visible()
    watched.expect_only()


def test_a_stale_feed_marks_every_figure_that_rests_on_it(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("trading", documents.snapshot(181, feed=documents.feed(stale=True, age_s=420.0)))
    expect(page.locator("#feed-age")).to_have_text(re.compile("^STALE, last event 7 min"))
    for panel in ("trading", "positions", "compounding"):
        expect(page.locator(f"#panel-{panel}")).to_have_attribute("data-state", "stale")
    go(page, "Risk")
    expect(page.locator("#panel-gate")).to_have_attribute("data-state", "stale")
    go(page, "System")
    expect(page.locator("#panel-queues")).to_have_attribute("data-state", "ready")
    expect(page.locator("#announcer")).to_have_text("PAPER, trading active, feed is stale")
    watched.expect_only()


def test_a_halt_is_announced_and_says_why(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push(
        "trading",
        documents.snapshot(181, state="HALTED", entries_allowed=False, state_reason="drawdown 15.2 % of 15 %"),
    )
    expect(page.locator("#trading-state")).to_have_text("HALTED")
    expect(page.locator("#entries")).to_have_text("no entries")
    expect(page.locator("#feed-line")).to_contain_text("HALTED: drawdown 15.2 % of 15 %")
    expect(page.locator("#announcer")).to_have_text("PAPER, trading halted")
    watched.expect_only()


def test_an_event_that_cannot_be_read_is_named_and_the_rest_goes_on(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("trading", documents.snapshot(181) | {"schema_version": 2})
    expect(page.get_by_role("alert")).to_have_text(re.compile('event of type "trading" cannot be read: .*version 2'))
    stage.push("metrics", documents.metrics(9, journal_seq=8_000))
    go(page, "System")
    expect(page.locator("#journal-seq")).to_have_text(re.compile(r"^8\s000$"))
    watched.expect_only()


def test_another_zone_is_used_and_named_everywhere(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("memory", documents.memory(5_201, "x"), 5_201)
    stage.push("trading", documents.snapshot(181, zone="Asia/Tokyo"))
    expect(page.locator("#trading-meta")).to_have_text("cycle 181 · 2026-11-22 18:01:00 Asia/Tokyo")
    expect(page.locator("#clock")).to_have_text(re.compile("Asia/Tokyo$"))
    expect(page.locator("#stream time")).to_have_text([re.compile("Asia/Tokyo$")])
    expect(page.locator("#zone")).to_have_text("Asia/Tokyo")
    watched.expect_only()


def axe_violations(page: Page, within: str = "html") -> list[str]:
    """Look through what a selector names; the desk with all of its rows takes axe a good part of a second."""
    expect(page.locator(within)).to_be_visible()  # of what is hidden axe has nothing to say
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(
        "async (within) => (await axe.run(document.querySelector(within), {resultTypes: ['violations']})).violations",
        within,
    )
    return [f"{v['id']}: {v['help']}: {[node['target'] for node in v['nodes'][:4]]}" for v in found]


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("viewport", [{"width": 1440, "height": 1000}, PHONE], ids=["desktop", "phone"])
class TestEveryScreen:
    @pytest.fixture
    def context_options(self, scheme: str, viewport: dict[str, int]) -> dict[str, Any]:
        return {"viewport": viewport, "color_scheme": scheme, "reduced_motion": "reduce"}

    def test_has_no_accessibility_violation_and_no_sideways_scroll(
        self, watched: Watched, stage: Stage, scheme: str, viewport: dict[str, int]
    ) -> None:
        # axe takes its time: two of the four looks show it each colour and each layout.
        is_looked_through = (scheme == "dark") is (viewport is not PHONE)
        page = live(watched)
        stage.push("memory", documents.memory(5_201, "Signal: BONK momentum 0.71"), 5_201)
        expect(page.locator("#stream li")).to_have_count(1)
        for view in ("Desk", "Trades", "Strategies", "Memory", "Insights", "Risk", "Execution", "Agents", "System"):
            go(page, view)
            assert not is_looked_through or axe_violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        watched.expect_only()


@pytest.mark.requirement("D11")
def test_everything_is_reached_by_keyboard_alone(watched: Watched) -> None:
    page = live(watched)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    reached: set[str] = set()
    focused = "document.activeElement.textContent.trim().slice(0, 40) || document.activeElement.id"
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(focused))
        if "Licences" in reached:
            break
    page.get_by_role("link", name="Skip to the figures").focus()  # what it skips is reached without it
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(focused))
    assert {"1 h", "1 d", "1 w", "All", "BONK", "Desk", "Agents", "Hold", "Licences"} <= reached
    watched.expect_only()


@pytest.mark.requirement("D11")
def test_keys_lead_to_each_part_and_the_address_leads_back(watched: Watched) -> None:
    page = live(watched)
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.locator("#panel-gate")).to_be_visible()
    expect(page.locator("#panel-trading")).to_be_hidden()
    assert page.url.endswith("/?view=risk")
    expect(page.get_by_role("link", name="Risk")).to_have_attribute("aria-current", "page")
    page.reload()
    expect(page.locator("#panel-gate")).to_be_visible()
    page.go_back()
    expect(page.locator("#panel-trading")).to_be_visible()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Go to System")
    page.keyboard.press("g")
    page.keyboard.press("y")  # a dialog is open: nothing happens behind it
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    expect(page.locator("#panel-trading")).to_be_visible()
    watched.expect_only()


def test_the_page_follows_the_colour_scheme_of_the_system(watched: Watched) -> None:
    page = live(watched)
    shades = []
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shades == ["rgb(10, 13, 19)", "rgb(243, 245, 248)"]
    watched.expect_only()


def test_another_journal_under_the_page_starts_the_list_anew(watched: Watched, stage: Stage) -> None:
    page = live(watched)
    stage.push("memory", documents.memory(5_211, "of the old journal"), 5_211)
    expect(page.locator("#stream li")).to_have_count(1)
    stage.greeting = [sse("trading", documents.snapshot()), sse("metrics", documents.metrics(journal_seq=3))]
    stage.drop_streams()
    expect(page.locator("#stream li")).to_have_count(0)
    stage.push("memory", documents.memory(4, "of the new journal"), 4)
    expect(page.locator("#stream li")).to_have_text([re.compile("of the new journal")])
    watched.expect_only("ERR_INCOMPLETE_CHUNKED_ENCODING")


def test_the_watch_itself_notices_errors_violations_and_foreign_hosts(watched: Watched) -> None:
    page = live(watched)
    watched.expect_only()
    page.evaluate("console.error('a console error')")
    page.evaluate("() => document.body.setAttribute('style', 'color: red')")
    with page.expect_event("pageerror"):
        page.evaluate("() => { setTimeout(() => { throw new Error('an exception'); }, 0); }")
    problems = "\n".join(watched.problems)
    assert "console error: a console error" in problems
    assert "exception: an exception" in problems
    assert "Content Security Policy" in problems
    with pytest.raises(AssertionError):
        watched.expect_only()
    watched.problems.clear()
    watched.hosts.add("http://elsewhere.example")
    with pytest.raises(AssertionError):
        watched.expect_only()
