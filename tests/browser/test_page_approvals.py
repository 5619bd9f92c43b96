"""Approving real money in the page: Chromium's virtual authenticator, the daemon's routes, and a real signer."""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Page, expect
from tests.support.signer_stage import SignerStage, armed_signer
from tests.support.signing import buy
from tests.support.stage import served, staged

from memmcp_server.adapters.signer_approvals import SignerApprovals
from trading.errors import SigningRefused

from .conftest import DESKTOP, Watched

pytestmark = [pytest.mark.browser, pytest.mark.requirement("A5")]
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Scene:
    """The daemon and the signer in a loop of their own; the page in Chromium."""

    def __init__(self, portal, signer: SignerStage, page: Page, watched: Watched) -> None:  # type: ignore[no-untyped-def]
        self.portal = portal
        self.signer = signer
        self.page = page
        self.watched = watched

    def add_authenticator(self, **changes: object) -> None:
        session = self.page.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": {**AUTHENTICATOR, **changes}})

    def register(self) -> None:
        code = self.portal.call(self.signer.begin_passkey)
        self.page.locator("#passkey-add summary").click()
        self.page.locator("#passkey-code").fill(code)
        self.page.locator("#passkey-form button").click()
        answer = self.page.locator("#approvals-answer")
        expect(answer).to_contain_text("Compare on the terminal")
        self.portal.call(self.signer.confirm_passkey, answer.inner_text().rpartition(": ")[2])


@contextlib.contextmanager
def scene(browser: Browser, place: Path) -> Iterator[Scene]:
    with start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        environ: dict[str, str] = {}
        approvals = SignerApprovals(environ, place)
        stage = stack.enter_context(portal.wrap_async_context_manager(staged(place, approvals=approvals)))
        url = stack.enter_context(portal.wrap_async_context_manager(served(stage.app)))
        url = url.replace("127.0.0.1", "localhost")  # a passkey belongs to a name, not to an address
        signer = stack.enter_context(portal.wrap_async_context_manager(armed_signer(place / "signing", url)))
        environ.update(signer.environ)
        context = stack.enter_context(contextlib.closing(browser.new_context(viewport=DESKTOP)))
        watched = Watched(context.new_page(), url)
        try:
            yield Scene(portal, signer, watched.open(), watched)
        finally:
            portal.call(stage.app.state.live.close)


def test_an_order_is_approved_with_a_passkey_and_only_then_signed(browser: Browser, tmp_path: Path) -> None:
    with scene(browser, tmp_path) as here:
        here.add_authenticator()
        expect(here.page.locator("#approvals-meta")).to_have_text("armed")
        here.register()
        asked = here.portal.call(here.signer.ask, 1, "breakout of <b>BONK</b>")
        item = here.page.locator(f'#approvals li[data-id="{asked}"]')
        expect(item).to_contain_text("breakout of <b>BONK</b>")
        expect(item).to_contain_text(f"{buy(1).amount_in} base units")
        with pytest.raises(SigningRefused, match="approval_missing"):
            here.portal.call(here.signer.core.sign, buy(1))
        expect(item.locator(".approve")).to_be_enabled()
        expect(item.locator("dd time")).to_have_text(re.compile(r"^\d\d-\d\d \d\d:\d\d UTC$"))
        item.locator(".approve").click()
        expect(here.page.locator("#approvals-answer")).to_have_text("Approved.")
        assert here.signer.state(asked) == "approved"
        assert len(here.portal.call(here.signer.core.sign, buy(1))) == 64
        expect(item).to_have_attribute("data-state", "done")
        here.watched.expect_only()


def test_an_order_is_refused_without_a_passkey_and_not_approved_without_its_owner(
    browser: Browser, tmp_path: Path
) -> None:
    with scene(browser, tmp_path) as here:
        here.add_authenticator(isUserVerified=False)
        asked = here.portal.call(here.signer.ask)
        item = here.page.locator(f'#approvals li[data-id="{asked}"]')
        expect(item.locator(".approve")).to_be_disabled()
        item.locator(".refuse").click()
        expect(item).to_have_attribute("data-state", "refused")
        code = here.portal.call(here.signer.begin_passkey)
        here.page.locator("#passkey-add summary").click()
        here.page.locator("#passkey-code").fill(code)
        here.page.locator("#passkey-form button").click()
        expect(here.page.locator("#approvals-answer")).not_to_have_text("…")
        assert here.signer.core.passkeys.waiting(time.time_ns()) is None
        here.watched.expect_only()
