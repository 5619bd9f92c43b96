"""Pictures of every panel and part, made anew by ``make screenshots`` from a daemon that trades a synthetic market.

Panels are found on the page: a new one is pictured without a word here. What a rich day does not show by itself (the
report on coming back, an order that waits for a passkey) is staged.
"""

import io
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from tests.support.page_server import full_stage, serving

from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

from .conftest import Watched
from .test_night import returning
from .test_page import go
from .test_page_approvals import scene
from .test_page_live import CHANGE_TIMEOUT_MS, IMAGES, daemon_in, open_live

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif("MEMMCP_SCREENSHOTS" not in os.environ, reason="pictures are made by make screenshots"),
]

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
TALL = {"width": 1280, "height": 2_400}
"""For pictures of single panels: nothing has to be scrolled, so the header covers nothing."""
COLOURS = 128
BYTES_MAX = 120_000
HEIGHT_MAX_PX = 900
"""Of a longer panel the picture shows the top."""
TRADES_MIN = 40
RULES = """
[alerts.rules.lag_of_mine]
reading = "loop_lag_ms"
raise_at = 0
clear_at = -1
severity = "warning"
title = "timers are late"
text = "A rule of one's own, over a reading of the daemon."
advice = "Look at the load of the machine."
"""
LESSONS = (
    ("claude-code", "Breakouts of BONK fade within the hour after funding resets: take half at the first stall."),
    ("cursor", "Mean reversion loses in a falling market with high volatility; it waits for the calm tercile."),
    ("claude-desktop", "Launches whose creator holds over 8 % were sold into us twice. Size them a third."),
    ("windsurf", "Slippage of WIF doubles when its pool is below 400 SOL; keep orders under 1 % of it."),
)
TASKS: tuple[dict[str, Any], ...] = (
    {"title": "Why did the newest losing trade lose?", "kind": "review_loss", "text": "Fee, slippage or the signal?"},
    {"title": "Weights for the buckets in this regime", "kind": "propose_rebalance", "priority": 70},
    {"title": "Read the launches of the last hour", "kind": "judge_launch", "claim_within_s": 1},
)


def save(image: bytes, name: str) -> None:
    """Keep the top of a picture with few colours, so that it stays small. Fails where it does not."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{name}.png"
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, HEIGHT_MAX_PX)))
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < BYTES_MAX, f"{path.name} has {path.stat().st_size} bytes"


async def call(url: str, agent: str, tool: str, **arguments: Any) -> None:
    """Call a tool as an agent would, over its own connection. Fails where the tool refuses."""
    async with httpx2.AsyncClient() as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport, client_info=Implementation(name=agent, version="1")) as client:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content


def furnish(url: str, token: str) -> None:
    """What a day with agents leaves behind: lessons, searches, tasks in several states, another desk's report."""
    with start_blocking_portal() as portal:
        for agent, text in LESSONS:
            body = {"content": text, "kind": "lesson", "namespace": "team", "tags": ["lesson"]}
            portal.call(partial(call, url, agent, "memory_write", **body))
            portal.call(partial(call, url, agent, "memory_search", query="what did we learn about breakouts?"))
    operator = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=url, headers=operator, timeout=20.0) as http:
        filed = [http.post("/tasks", json=task).raise_for_status().json() for task in TASKS]
        now = http.get("/telemetry/trading").json()["ts"]
        report = {"desk_id": "lab", "key": "lab-1", "ts": now, "money": "paper", "equity_lamports": 3_140_000_000}
        report |= {"exposure_lamports": 820_000_000, "drawdown_bps": 240, "state": "ACTIVE"}
        assert http.post("/telemetry/trading", json=report).status_code == 201
    with start_blocking_portal() as portal:
        portal.call(partial(call, url, "claude-code", "agent_task", action="claim", id=filed[0]["task"]["id"]))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A daemon with a day behind it; yields its address."""
    data_dir = tmp_path_factory.mktemp("pictures")
    (data_dir / "memmcp.toml").write_text(RULES, encoding="utf-8")
    with daemon_in(data_dir) as url:
        record = read_record(Places(data_dir))
        assert record is not None
        furnish(url, str(record["token"]))
        yield url


@pytest.fixture
def shown(browser: Browser, furnished: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    options: dict[str, Any] = {"reduced_motion": "reduce", **request.param}
    context = browser.new_context(**options)
    watched = Watched(context.new_page(), furnished)
    page = open_live(watched)
    expect(page.locator("#trades tr").nth(TRADES_MIN - 1)).to_be_attached(timeout=CHANGE_TIMEOUT_MS * 3)
    yield page
    context.close()
    watched.expect_only()


def parts_of(page: Page) -> list[str]:
    return (
        page.get_by_role("navigation", name="Parts of the page")
        .get_by_role("link")
        .evaluate_all("links => links.map(link => link.firstChild.textContent)")
    )


def settle(page: Page, part: str) -> None:
    """Go to a part, give it something to show where it waits for a wish, and wait until nothing loads."""
    go(page, part)
    if part == "Memory":
        page.locator("#browser-q").fill("breakouts lose when volatility is high")
        page.locator("#browser-form").get_by_role("button", name="Search").click()
        expect(page.locator("#browser-hits li").first).to_be_visible()
    if part == "Strategies":
        expect(page.locator("#strategies-rows tr").first).to_be_visible(timeout=CHANGE_TIMEOUT_MS)
    view = page.locator(f".view[data-view={part.lower()}]")
    expect(view.locator(".panel[data-state=loading]:visible")).to_have_count(0, timeout=CHANGE_TIMEOUT_MS)


def panels_of(page: Page, part: str) -> list[Locator]:
    return page.locator(f".view[data-view={part.lower()}] .panel:visible").all()


@pytest.mark.parametrize("shown", [{"viewport": TALL, "color_scheme": "dark"}], indirect=True)
def test_every_panel_has_its_picture(shown: Page) -> None:
    for part in parts_of(shown):
        settle(shown, part)
        for panel in panels_of(shown, part):
            save(panel.screenshot(), str(panel.get_attribute("id")))


@pytest.mark.parametrize(
    ("shown", "look"),
    [
        ({"viewport": WIDE, "color_scheme": "dark"}, ""),
        ({"viewport": WIDE, "color_scheme": "light"}, "-light"),
        ({"viewport": PHONE, "color_scheme": "dark", "is_mobile": True, "has_touch": True}, "-phone"),
    ],
    indirect=["shown"],
)
def test_every_part_has_its_pictures(shown: Page, look: str) -> None:
    for part in parts_of(shown):
        settle(shown, part)
        name = "dashboard" if part == "Desk" else f"part-{part.lower()}"
        save(shown.screenshot(), f"{name}{look}")


def test_coming_back_after_a_night_has_its_picture(browser: Browser) -> None:
    with serving(full_stage()) as stage:
        context = browser.new_context(viewport=TALL, color_scheme="dark", reduced_motion="reduce")
        page = returning(Watched(context.new_page(), stage.url), stage, away_s=8 * 3_600)
        panel = page.locator("#panel-night")
        expect(panel).to_have_attribute("data-state", "ready")
        save(panel.screenshot(), "panel-night")
        context.close()


def test_an_order_that_waits_for_a_passkey_has_its_picture(browser: Browser, tmp_path: Path) -> None:
    with scene(browser, tmp_path) as here:
        here.page.emulate_media(color_scheme="dark")
        here.add_authenticator()
        here.register()
        asked = here.portal.call(here.signer.ask, 1, "breakout of BONK with twice its usual volume")
        expect(here.page.locator(f'#approvals li[data-id="{asked}"] .approve')).to_be_enabled()
        save(here.page.locator("#panel-approvals").screenshot(), "panel-approvals")
