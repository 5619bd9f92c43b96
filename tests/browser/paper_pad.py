"""An operator at the pad of the real paper desk: one application and one page for all tests of a file."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import Browser, Locator, Page, expect
from tests.support.paper_stage import OPERATOR, PaperStage
from tests.support.stage import OPERATOR_TOKEN

from memmcp_server.adapters.signer_approvals import SignerApprovals

from .conftest import Watched
from .test_page import go
from .test_page_app import Daemon, running, watching

AUTH = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
CLOSE_ALL = "for (const each of document.querySelectorAll('dialog[open]')) each.close()"


@dataclass
class PaperPad:
    """``signing``: where a signer is looked for; none is there until a test begins one."""

    daemon: Daemon
    paper: PaperStage
    watched: Watched
    signing: Path
    horizon: int = 0
    """The last row of the desk's journal when the test began."""

    @property
    def page(self) -> Page:
        return self.watched.page

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog", name="Act on the desk")

    @property
    def answer(self) -> Locator:
        return self.page.locator("#acts-answer")

    @property
    def end(self) -> Locator:
        return self.page.locator("#acts-end")

    @property
    def consequence(self) -> Locator:
        return self.page.locator("#acts-consequence")

    def get(self, path: str) -> Any:
        response = httpx2.get(f"{self.daemon.url}{path}", headers=AUTH)
        assert response.status_code == 200, response.text
        return response.json()

    def snapshot(self) -> Any:
        return self.get("/telemetry/trading")

    def strategy(self, name: str) -> Any:
        return next(each for each in self.get("/strategies")["strategies"] if each["name"] == name)

    def move(self, times: Decimal = Decimal(1)) -> None:
        """Let one cycle of the market pass."""
        self.daemon.portal.call(self.paper.move, times)

    def ready(self) -> None:
        """Bring the desk to where a test begins, and wait until the page shows it."""
        cycle = self.daemon.portal.call(self.paper.ready)["cycle"]
        expect(self.page.locator("#trading-meta")).to_contain_text(f"cycle {cycle} ")

    def log_in(self) -> None:
        self.page.keyboard.press("k")
        self.page.get_by_label("Code or token").fill(OPERATOR_TOKEN)
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#who-text")).to_have_text("operator")

    def begin(self) -> None:
        """As every test begins: nothing open, nothing wrong yet, the pad before the operator."""
        self.watched.problems.clear()
        self.page.unroute_all(behavior="wait")
        self.page.evaluate(CLOSE_ALL)
        if not self.page.locator("#trading-meta").is_visible():
            go(self.page, "Desk")
        self.ready()
        self.horizon = self.paper.commands(OPERATOR)[1]
        self.page.keyboard.press("k")
        expect(self.dialog).to_be_visible()

    def choose(self, label: str, reason: str = "said by the test") -> None:
        self.dialog.get_by_label(label, exact=True).check()
        if reason:
            self.dialog.get_by_label("Why (kept in the journal)").fill(reason)

    def pick(self, name: str, value: str) -> None:
        self.dialog.get_by_role("combobox", name=name, exact=True).select_option(value)

    def type_word(self, word: str) -> None:
        self.dialog.get_by_label(re.compile(f"^Type {word}")).fill(word)

    def send(self, *, twice: bool = False) -> None:
        button = self.page.locator("#acts-send")
        if twice:
            button.dblclick()
        else:
            button.click()

    def commands(self) -> list[tuple[str, Any]]:
        """Return what the operator had the desk do since the test began, as the desk's own journal has it."""
        return self.paper.commands(OPERATOR, self.horizon)[0]

    def done(self) -> list[str]:
        return [kind for kind, _ in self.commands()]

    def audited(self) -> list[Any]:
        """Return the newest entries about the desk in the memory journal's audit, newest first."""
        return [each["detail"] for each in self.get("/memory/audit?action=desk&limit=10")["entries"]]


@contextlib.contextmanager
def paper_pad(browser: Browser, place: Path, symbol: str = "BONK") -> Iterator[PaperPad]:
    paper = PaperStage(place / "trading", symbol)
    signing = place / "signing"
    environ = {"TRADING_LIVE__SIGNER_SOCKET": str(signing / "signer.sock")}
    with (
        running(place, desk_over=paper.over, approvals=SignerApprovals(environ, place)) as daemon,
        watching(browser, daemon.url) as watched,
    ):
        pad = PaperPad(daemon, paper, watched, signing)
        watched.open()
        pad.ready()
        pad.log_in()
        yield pad
