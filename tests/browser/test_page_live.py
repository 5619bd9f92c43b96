"""The page over a real daemon that trades a synthetic market: figures move, nothing is wrong, nobody else is asked."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from memmcp_server.daemon.finding import read_record
from memmcp_server.daemon.places import Places

from .conftest import Watched
from .tabs import tab
from .test_page import go

pytestmark = [pytest.mark.browser, pytest.mark.system, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
READY_TIMEOUT_S = 90.0
CHANGE_TIMEOUT_MS = 60_000
STOP_TIMEOUT_S = 20.0
PACE = {
    # Ten bars a second: something is decided every other second, and the processors have time for the page. On a busy
    # machine the feed may fall behind that pace by minutes of its own time, which is no staleness here.
    "TRADING_PAPER__SPEED": "3000",
    "TRADING_PAPER__STALE_AFTER_S": "1000000000",
}
POLL_S = 0.1


def wait_until(what: str, holds: Callable[[], bool], timeout_s: float, log: Path) -> None:
    """Poll until it holds; a failure shows the end of the daemon's output."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if holds():
            return
        time.sleep(POLL_S)
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:])
    pytest.fail(f"not within {timeout_s:g} s: {what}\n{tail}", pytrace=False)


def address_of(data_dir: Path) -> str:
    """Return the daemon's address, empty before it has one."""
    record = read_record(Places(data_dir))
    return "" if record is None else str(record["http"])


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/ready", timeout=2.0).status_code == 200
    except httpx2.HTTPError:
        return False


@contextlib.contextmanager
def daemon_in(data_dir: Path) -> Iterator[str]:
    """A daemon on a free port, with a desk on the synthetic feed; yields its address."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MEMMCP_", "TRADING_"))}
    environ |= PACE
    log = data_dir / "serve.out"
    command = [sys.executable, "-m", "memmcp_server", "serve", "--feed", "synthetic", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--data-dir", str(data_dir)], cwd=ROOT, env=environ, stdout=output, stderr=output
        )
        try:
            wait_until("daemon.json is there", lambda: bool(address_of(data_dir)), READY_TIMEOUT_S, log)
            url = address_of(data_dir)
            wait_until("the desk is up", lambda: is_ready(url), READY_TIMEOUT_S, log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_S)


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="memmcp-page-", ignore_cleanup_errors=True) as directory,
        daemon_in(Path(directory)) as url,
    ):
        yield url


@pytest.fixture
def live_page(browser: Browser, daemon: str) -> Iterator[Watched]:
    with tab(browser, viewport={"width": 1440, "height": 1000}, color_scheme="dark") as page:
        yield Watched(page, daemon)


def open_live(watched: Watched) -> Page:
    page = watched.open()
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    expect(page.locator("#panel-trading")).to_have_attribute("data-state", "ready", timeout=CHANGE_TIMEOUT_MS)
    return page


def expect_change(page: Page, selector: str) -> None:
    """Wait until the figure differs from what it is now."""
    present = page.locator(selector).inner_text()
    changed = re.compile(rf"^(?!{re.escape(present)}$).+")
    expect(page.locator(selector)).to_have_text(changed, timeout=CHANGE_TIMEOUT_MS)


@pytest.mark.requirement("Q2")
@pytest.mark.requirement("D1")
@pytest.mark.requirement("D2")
@pytest.mark.requirement("D3", "D4")
def test_equity_and_queue_figures_of_a_real_daemon_change_and_nothing_else_is_asked(live_page: Watched) -> None:
    page = open_live(live_page)
    expect(page.locator("#money-word")).to_have_text("PAPER")
    expect(page.locator("#feed-kind")).to_have_text("SYNTHETIC")
    expect(page.locator("#target-sol")).to_have_text(re.compile(r"^[\d\s]+\.\d{4} SOL$"))
    expect_change(page, "#trading-meta")
    expect_change(page, "#equity-sol")
    parts = (("Desk", ("compounding", "stream", "equity")), ("Risk", ("gate",)), ("System", ("queues",)))
    for view, panels in parts:
        go(page, view)
        for panel in panels:
            expect(page.locator(f"#panel-{panel}")).to_have_attribute("data-state", "ready", timeout=CHANGE_TIMEOUT_MS)
    expect_change(page, "#journal-seq")
    expect(page.locator("#queues")).to_contain_text("memory → qdrant")
    expect_change(page, "#queues")
    live_page.expect_only()


@pytest.mark.requirement("M1")
def test_a_memory_written_over_http_appears_on_the_page_at_once(live_page: Watched, daemon: str) -> None:
    page = open_live(live_page)
    page.get_by_role("button", name="Agents").click()
    body: dict[str, Any] = {"content": "exits staggered in thirds, says the operator", "agent": "claude-code"}
    answer = httpx2.post(f"{daemon}/memory/write", json=body, timeout=10.0)
    assert answer.status_code == 201
    entry = page.locator("#stream li").filter(has_text="exits staggered in thirds")
    expect(entry).to_be_visible()
    expect(entry).to_contain_text("claude-code")
    entry.get_by_role("link").first.click()
    dialog = page.get_by_role("dialog", name="Memory")
    expect(dialog.locator(".quoted")).to_have_text("exits staggered in thirds, says the operator")
    expect(dialog).to_contain_text(answer.json()["id"])
    live_page.expect_only()


@pytest.mark.requirement("M6")
def test_a_decision_on_the_page_opens_its_chain(live_page: Watched) -> None:
    page = open_live(live_page)
    page.get_by_role("button", name="Desk").click()
    link = page.locator("#stream a[data-trajectory]").first
    expect(link).to_be_visible(timeout=CHANGE_TIMEOUT_MS)
    page.get_by_role("button", name="Hold").click()
    link.click()
    dialog = page.get_by_role("dialog", name="Trajectory")
    expect(dialog.locator(".quoted")).not_to_be_empty()
    expect(dialog.get_by_text("Outcome:")).to_be_visible()
    live_page.expect_only()
