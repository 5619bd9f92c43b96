"""A real Chromium, one for the whole run, and a page that fails its test on any error it meets."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from tests.support.page_server import STATIC, Stage, full_stage, serving

from .tabs import close_all, tab

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
WAIT_MS = 20_000
DESKTOP = {"width": 1440, "height": 1000}


def browser_path() -> str:
    named = os.environ.get("MEMMCP_BROWSER")
    if named:
        if not Path(named).is_file():
            pytest.fail(f"MEMMCP_BROWSER names no file: {named}", pytrace=False)
        return named
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.fail(
            "no Chromium found: install it (Debian: apt-get install chromium) or set MEMMCP_BROWSER", pytrace=False
        )
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not (STATIC / "app.js").is_file():
        pytest.fail("the page is not built: make setup, or npm ci && npm run build in web/ui", pytrace=False)
    path = browser_path()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        close_all(chromium)
        chromium.close()


@dataclass
class Watched:
    """A page with what it did wrong: console errors, exceptions, policy violations, requests elsewhere."""

    page: Page
    origin: str
    problems: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        expect.set_options(timeout=WAIT_MS)
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        self.page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"console {message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme == "data":
            return
        self.hosts.add(f"{parts.scheme}://{parts.netloc}")

    def open(self) -> Page:
        self.page.goto(self.origin, wait_until="load")
        return self.page

    def expect_only(self, *allowed: str) -> None:
        """Fail on any problem that none of the given texts explains, and on any foreign host."""
        unexplained = [problem for problem in self.problems if not any(text in problem for text in allowed)]
        assert unexplained == []
        assert self.hosts == {self.origin}


@pytest.fixture
def stage() -> Iterator[Stage]:
    with serving(full_stage()) as staged:
        yield staged


@pytest.fixture
def context_options() -> dict[str, Any]:
    return {"viewport": DESKTOP, "color_scheme": "dark"}


@pytest.fixture
def watched(browser: Browser, stage: Stage, context_options: dict[str, Any]) -> Iterator[Watched]:
    with tab(browser, **context_options) as page:
        yield Watched(page, stage.url)
