"""Tabs in windows that stay open: each test has a tab of its own, and nothing of the test before is in its window.

A new window with its first tab costs Chromium as much as all that most tests do in it; a further tab of the same site,
which the keeper holds open, shares its process.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page

LOOK = {"color_scheme": "light", "reduced_motion": "no-preference"}
SIZE = {"width": 1280, "height": 720}
"""What a window has unless a test says otherwise: set for each tab, so that tests of any look share a window."""
SITE = "http://127.0.0.1/"
"""Where the keeper is: a port makes no other site of it, and nothing is asked of it."""


class Window:
    """A browser context for one test at a time."""

    def __init__(self, browser: Browser, options: dict[str, Any]) -> None:
        self.context: BrowserContext = browser.new_context(**options)
        self._keeper: Page | None = None
        self._session: CDPSession | None = None

    def tab(self, size: dict[str, int], look: dict[str, Any]) -> Page:
        page = self.context.new_page()
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
        page.emulate_media(**look)
        return page

    def clean(self, page: Page) -> None:
        """Close the test's tabs and forget what they stored, as a new window would."""
        used = urlsplit(page.url)
        self.context.set_offline(False)
        if self._session is None:
            self._session = self._keep()
        for each in self.context.pages:
            if each is not self._keeper:
                each.close()
        if used.netloc:
            origin = f"{used.scheme}://{used.netloc}"
            self._session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        self.context.clear_cookies()
        self.context.clear_permissions()

    def _keep(self) -> CDPSession:
        """Hold the site's process with an empty page, and return what forgets what others stored."""
        self._keeper = self.context.new_page()
        self._keeper.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
        self._keeper.goto(SITE)
        return self.context.new_cdp_session(self._keeper)


_idle: dict[tuple[Browser, str], list[Window]] = {}
"""Windows that no test has at the moment, by what cannot be set for a single tab."""


@contextlib.contextmanager
def tab(browser: Browser, **options: Any) -> Iterator[Page]:
    """Lend a new tab with the options of a browser context; its window is no other test's meanwhile."""
    size = options.pop("viewport", SIZE)
    look = {name: options.pop(name, usual) for name, usual in LOOK.items()}
    idle = _idle.setdefault((browser, repr(sorted(options.items()))), [])
    window = idle.pop() if idle else Window(browser, options | {"viewport": SIZE})
    page = window.tab(size, look)
    is_clean = False
    try:
        yield page
        window.clean(page)
        is_clean = True
    finally:
        if is_clean:
            idle.append(window)
        else:
            window.context.close()


def close_all(browser: Browser) -> None:
    """Forget the windows of a browser that ends."""
    for key in [key for key in _idle if key[0] is browser]:
        for window in _idle.pop(key):
            window.context.close()
