"""Every panel says what the API says, of one recorded run that has ended: each figure, with its unit and its rounding.

What a panel should say is made from the API's JSON by rules of the test's own (``tests.support.shown``), not by the
page. A panel that is on the page and not in the table below fails.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from playwright.sync_api import Browser, Page, expect
from tests.support import panel_texts as desk
from tests.support import panel_texts_parts as parts
from tests.support import panel_texts_trades as dealing
from tests.support.panel_texts import Api, PanelTexts, Said
from tests.support.recorded_run import recorded_stage
from tests.support.stage import OPERATOR_TOKEN, Stage, served

from memmcp_server.domain.alert import Reading, Sample, labels_of

from .conftest import DESKTOP, Watched
from .tabs import tab
from .test_page import go

pytestmark = pytest.mark.browser

INDEX = Path(__file__).resolve().parents[2] / "src/memmcp_server/web/ui/index.html"
MARKET = Path(os.environ.get("MEMMCP_MARKET_DIR", "no market"))
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
LOOKED = "2024-03-10T16:00:00+00:00"
"""In the middle of the recording."""
EQUAL_WITHIN_S = 6
CARRIED_WITHIN_S = 20
POLL_S = 0.05
DEAD = 2
READ = """selectors => Object.fromEntries(selectors.map((selector) => {
  const [css, attribute] = selector.split("@");
  const found = [...document.querySelectorAll(css)];
  if (attribute) return [selector, found.map((each) => each.getAttribute(attribute)).filter((each) => each !== null)];
  return [selector, found.map((each) => {
    const walker = document.createTreeWalker(each, NodeFilter.SHOW_TEXT);
    const pieces = [];
    while (walker.nextNode()) pieces.push(walker.currentNode.data.trim());
    return pieces.filter((piece) => piece !== "").join(" | ");
  })];
}))"""

PANELS: dict[str, dict[str, PanelTexts]] = {
    "Desk": {
        "night": desk.night,
        "alerts": desk.alerts,
        "trading": desk.trading,
        "equity": desk.equity,
        "path": desk.path,
        "positions": desk.positions,
        "trades": desk.trades,
        "compounding": desk.compounding,
        "approvals": desk.approvals,
        "stream": desk.stream,
    },
    "Trades": {"candles": dealing.candles, "trade-list": dealing.trade_list},
    "Strategies": {"strategies": dealing.strategies},
    "Memory": {"browser": parts.browser},
    "Insights": {"insights": parts.insights, "profiles": parts.profiles, "totals": parts.totals},
    "Risk": {
        "gate": parts.gate,
        "exposure": parts.exposure_by("token"),
        "funnel": parts.funnel,
        "desks": parts.desks,
    },
    "Execution": {
        "nodes": dealing.nodes,
        "transactions": dealing.transactions,
        "wallets": dealing.wallets,
        "costs": dealing.costs,
    },
    "Agents": {"tasks": parts.tasks, "sidecar": parts.sidecar, "agents": parts.agents},
    "System": {"queues": parts.queues},
}


def test_every_panel_of_the_page_is_in_the_table() -> None:
    on_page = re.findall(r'<section class="panel[^"]*" id="panel-([a-z-]+)"', INDEX.read_text(encoding="utf-8"))
    assert len(on_page) > 20
    assert sorted(on_page) == sorted(name for panels in PANELS.values() for name in panels)


def fill(portal: BlockingPortal, stage: Stage, http: httpx2.Client) -> None:
    """What agents, an operator and another desk leave behind, so that no panel is empty."""

    def post(path: str, **body: Any) -> dict[str, Any]:
        answer = http.post(path, json=body, headers=OPERATOR)
        assert answer.status_code in {200, 201}, f"{path}: {answer.text}"
        return dict(answer.json())

    post("/actions/target", reason="the next tier", amount_sol="32.5")
    post("/actions/deposit", reason="more to work with", amount_sol="1.25")
    post("/memory/write", content="Take half at the first stall.", kind="lesson", agent="cursor", namespace="team")
    [done, _] = [post("/tasks", title=title, kind="review_loss", text="why?")["task"] for title in ("first", "second")]
    post(f"/tasks/{done['id']}/claim", agent="cursor")
    post(f"/tasks/{done['id']}/complete", agent="cursor", text="the signal was late")
    report = {"desk_id": "lab", "key": "lab-1", "ts": "2026-03-01T00:00:00Z", "money": "paper"}
    post("/telemetry/trading", **report, equity_lamports=3_140_000_001)
    services = stage.services
    for _ in range(3):
        portal.call(services.clients.note_call, "cursor", "stdio", "memory_search")
    labels = labels_of({"limit": "drawdown_bps", "scope": "account"})
    reading = Reading("drawdown_used_bps", 11_000, labels, "Drawdown is 11 %.", "trade-7")
    assert services.alerts is not None
    portal.call(services.alerts.take, Sample((reading,), frozenset({"drawdown_used_bps"})))
    post("/silences", rule="feed_stale", labels={"scope": "account"}, for_s=3_600)

    async def given_up() -> None:
        due = await services.journal.outbox_due("qdrant", now_ns=services.clock.now_ns(), limit=DEAD)
        await services.journal.outbox_failed([each.id for each in due], error="the disk is full", retry_at_ns=None)

    portal.call(given_up)
    until_s = time.monotonic() + CARRIED_WITHIN_S
    while http.get("/telemetry/trading").json()["queues"]["memory"]["pending"]:
        assert time.monotonic() < until_s, "the desk's records do not reach the memory"
        time.sleep(POLL_S)
    portal.call(stage.told_all)


@dataclass(frozen=True)
class Scene:
    api: Api
    page: Page
    watched: Watched

    def expect_equal(self, texts: PanelTexts) -> None:
        """Wait until the page says what the API says, which is something: an answer may still be on its way."""
        until_s = time.monotonic() + EQUAL_WITHIN_S
        while True:
            wanted = texts(self.api)
            assert not [each for each in wanted if not wanted[each] and not each.endswith("@hidden")]
            shown = self.page.evaluate(READ, list(wanted))
            differing = {selector for selector in wanted if not are_equal(wanted[selector], shown[selector])}
            if not differing:
                return
            if time.monotonic() > until_s:
                told = {each: {"api": list(map(str, wanted[each])), "page": shown[each]} for each in differing}
                pytest.fail(json.dumps(told, indent=1, ensure_ascii=False), pytrace=False)
            self.page.wait_for_timeout(100)


def are_equal(wanted: list[Said], shown: list[str]) -> bool:
    def is_equal(said: Said, text: str) -> bool:
        return said == text if isinstance(said, str) else said.fullmatch(text) is not None

    return len(wanted) == len(shown) and all(map(is_equal, wanted, shown))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an application whose desk has traded a recorded market to its end."""
    data_dir = tmp_path_factory.mktemp("figures")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(recorded_stage(MARKET, data_dir)) as stage,
        portal.wrap_async_context_manager(served(stage.app)) as url,
        httpx2.Client(base_url=url, timeout=30) as http,
    ):
        try:
            fill(portal, stage, http)
            yield url
        finally:
            portal.call(stage.app.state.live.close)


@pytest.fixture(scope="module")
def scene(browser: Browser, ended: str) -> Iterator[Scene]:
    """A page of somebody who looked last in the middle of the run, hours ago."""
    looked = f"{desk.instant_ms(LOOKED)} {(time.time() - 9 * 3_600) * 1_000:.0f}"
    with (
        tab(browser, viewport=DESKTOP) as page,
        httpx2.Client(base_url=ended, timeout=30) as http,
    ):
        watched = Watched(page, ended)
        watched.page.add_init_script(f"localStorage.setItem('memmcp-looked', '{looked}')")
        watched.open()
        expect(page.locator("#panel-night")).to_be_visible()
        yield Scene(Api(http, LOOKED), page, watched)
        watched.expect_only()


def test_the_head_of_the_page_says_what_the_api_says(scene: Scene) -> None:
    scene.expect_equal(desk.header)


@pytest.mark.requirement("Q2")
@pytest.mark.parametrize(("part", "panel"), [(part, panel) for part in PANELS for panel in PANELS[part]])
def test_a_panel_says_what_the_api_says(scene: Scene, part: str, panel: str) -> None:
    page = scene.page
    if not page.locator(f".view[data-view={part.lower()}]").is_visible():
        go(page, part)
    if panel == "browser":
        page.locator("#browser-q").fill(parts.SEARCHED)
        page.keyboard.press("Enter")
    scene.expect_equal(PANELS[part][panel])


def test_exposure_by_anything_and_strategies_by_regime_say_what_the_api_says(scene: Scene) -> None:
    page = scene.page
    go(page, "Risk")
    for by in ("strategy", "bucket", "tier", "group"):
        page.get_by_role("button", name=by, exact=True).click()
        scene.expect_equal(parts.exposure_by(by))
    go(page, "Strategies")
    page.get_by_role("button", name="random_entry").click()
    scene.expect_equal(dealing.strategy_detail)
    page.get_by_role("button", name="By regime").click()
    scene.expect_equal(dealing.strategies_by_regime)
    page.locator("#strategies-rows .cell").first.click()
    scene.expect_equal(dealing.strategy_cell)


@pytest.mark.requirement("D5")
@pytest.mark.requirement("D7")
def test_over_a_range_heatmap_denials_and_funnel_say_what_the_api_says_of_it(scene: Scene) -> None:
    since, until, last = "2024-03-12T00:00:00Z", "2024-03-15T12:00:00Z", "2024-03-15T11:59:59.999Z"
    said = "03-12 00:00 to 03-15 12:00 UTC"
    scene.page.goto(f"{scene.watched.origin}/?view=risk&since=2024-03-12&until=2024-03-15T12:00")
    scene.expect_equal(parts.funnel_within(since, last, said))
    go(scene.page, "Strategies")
    scene.expect_equal(dealing.strategies_within(since, until, said))
    # The ranges of a run that do not overlap add up to all of it.
    begin, end = "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
    ranges = [{"since": begin, "until": "2024-03-11T23:59:59.999Z"}, {"since": since, "until": last}]
    ranges += [{"since": until, "until": end}, {"since": begin, "until": end}]
    funnels = [scene.api.get("/why", **each)["funnel"] for each in ranges]
    stages = ("forecast", "signalled", "sized", "approved", "filled", "exits")
    *told, whole = [Counter({name: each[name] for name in stages}) + Counter(each["denied"]) for each in funnels]
    assert sum(told, Counter()) == whole
    assert funnels[-1]["denied"] == scene.api.get("/risk")["denials"]
    scene.page.get_by_role("button", name="All", exact=True).click()
    scene.expect_equal(dealing.strategies)


def test_a_trade_that_is_opened_says_what_the_api_says(scene: Scene) -> None:
    go(scene.page, "Trades")
    scene.page.locator("#trade-list a").first.click()
    [newest] = scene.api.get("/telemetry/trading/trades", limit=1)["trades"]
    scene.expect_equal(dealing.trade(newest["order_id"]))
